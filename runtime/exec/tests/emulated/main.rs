//! The emulator: what instructions give, where lanes go, and what it reports.

mod control;
mod conversions;
mod device;
mod faults;
mod instructions;
mod memory;
mod text;
mod values;
