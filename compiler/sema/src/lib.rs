//! Meaning: names, shapes, units, directives. Trees in, a [`Program`] out.
//!
//! Pure: what it needs to know of the data comes in as [`Facts`]. It always returns every
//! diagnostic, and a program only where there is no error.

mod dim;
mod library;
mod program;
pub mod schema;
mod shape;
mod spec;
pub mod trace;
mod tracer;
mod value;

pub use library::{Ambient, Library, Provenance};
pub use program::{
    Call, Checkpoint, Clean, Clip, Column, Columns, DataSource, Device, DeviceLine, Eval, Facts,
    Fields, Filter, Float, Format, Group, Limit, LossOn, LossScale, Measure, Normal, Numerics,
    OnNan, Overlap, Pack, ParamSet, Precision, Program, Recompute, Sample, Schedule, Setting,
    SettingClass, Shuffle, Source, Stated, Step, Task, Term, Tokenizer, Train,
};
pub use spec::{Override, allows, check, data_request};
pub use value::{StaticArg, StaticEnv};
