//! Maps, rows and columns on the emulated device: planted faults, large kernels.

mod bugs;
mod cases;
mod large;
mod machine;
#[path = "../kernels/reference.rs"]
mod reference;
