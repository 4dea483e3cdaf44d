//! Maps, rows and columns on the emulated device: planted faults, and more than 2^32 elements.

mod bugs;
mod cases;
mod large;
mod machine;
#[path = "../kernels/reference.rs"]
mod reference;
