//! The emulator: what instructions give, where lanes go, and what it reports.

mod control;
mod device;
mod faults;
