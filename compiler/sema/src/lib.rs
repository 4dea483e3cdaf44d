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

pub use library::{Ambient, Declarations, Library, Provenance, Used};
pub use program::{
    Budget, Call, Checkpoint, Clean, Clip, Column, Columns, DataSource, Device, DeviceLine,
    EarlyStop, Eval, Facts, Fields, Filter, Float, Format, Group, Limit, LogForm, LogTo, LossOn,
    LossScale, Measure, Normal, Numerics, NumericsLine, OnNan, Origin, OriginOf, Overlap, Pack,
    ParamSet, Precision, Program, Recompute, Resume, Sample, Schedule, Setting, SettingClass,
    Shuffle, Source, Stated, Step, Task, Term, Tokenizer, Train, Weights,
};
pub use spec::{
    ArgInfo, CliOption, Import, Input, Interface, JobInfo, Override, allows, check, data_request,
    interface, origin, variables,
};
pub use value::{StaticArg, StaticEnv};
