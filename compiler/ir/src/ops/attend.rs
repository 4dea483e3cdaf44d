//! What the ops of attention share: who attends to whom, operands, shapes.
//!
//! Queries are `q[b,h,t,k]`, keys `k[b,g,s,k]`, values `v[b,g,s,e]`; head `i` reads group
//! `i / (h / g)`. The operands that follow them, as far as the attributes name them, are the
//! segments of rows and keys (i32 `[b,t]` and `[b,s]`), the offset (i32 scalar), and stream, seed,
//! step and first row of the random numbers (i32 scalars).

use crate::attr::{Attr, AttrError, Attrs};
use crate::ops::rules::ShapeError;
use crate::sample::{self, Fill};
use crate::types::{Dtype, Type};

/// Which keys a row attends to, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attend {
    /// A score is the product of query and key times this.
    pub scale: f64,
    /// Whether a row attends to no key behind its own place.
    pub is_causal: bool,
    /// A row attends to this many keys, the last of them at its own place.
    pub window: Option<u64>,
    /// Whether only keys of a row's segment count.
    pub has_segments: bool,
    /// Whether an operand says at which key row 0 has its place; else it is key 0.
    pub has_offset: bool,
    /// A weight is left out with this probability, and scaled by `1 / (1 - drop)` otherwise.
    pub drop: f64,
}

/// Where the operands are that follow queries, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extras {
    /// Segments of rows and of keys.
    pub segments: Option<[usize; 2]>,
    /// The place of row 0 among the keys.
    pub offset: Option<usize>,
    /// Stream, seed, step and first row.
    pub draw: Option<[usize; 4]>,
    /// One more than the last operand.
    pub end: usize,
}

/// The sizes of one attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Sequences.
    pub batch: u64,
    /// Heads of the queries.
    pub heads: u64,
    /// Heads of keys and values.
    pub groups: u64,
    /// Queries of a sequence.
    pub rows: u64,
    /// Keys of a sequence.
    pub keys: u64,
    /// Elements of a query and of a key.
    pub width: u64,
    /// Elements of a value; 0 where there are no values.
    pub value_width: u64,
}

/// Which result of an attention an op is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The weighted means of values.
    Out,
    /// The logarithm of the sum of the exponentials of a row's scores.
    Lse,
    /// The gradient of the queries.
    Dq,
    /// The gradient of the keys.
    Dk,
    /// The gradient of the values.
    Dv,
}

impl Part {
    /// How many operands come before those of [`Extras`].
    pub fn n_tensors(self) -> usize {
        match self {
            Self::Lse => 2,
            Self::Out => 3,
            Self::Dq | Self::Dk | Self::Dv => 6,
        }
    }
}

const KEYS: [&str; 6] = ["scale", "causal", "window", "segments", "offset", "drop"];

impl Attend {
    /// All rows attend to all keys.
    pub fn all(scale: f64) -> Self {
        let (is_causal, window, has_segments, has_offset) = (false, None, false, false);
        Self { scale, is_causal, window, has_segments, has_offset, drop: 0.0 }
    }

    /// The same without dropping: what the sum of a row's exponentials knows.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { drop: 0.0, ..self }
    }

    /// As attributes; 0 stands for what is not asked for.
    pub fn attrs(&self) -> Attrs {
        let flag = |is_set| Attr::Int(u64::from(is_set));
        Attrs::none()
            .with(KEYS[0], Attr::Float(self.scale))
            .with(KEYS[1], flag(self.is_causal))
            .with(KEYS[2], Attr::Int(self.window.unwrap_or(0)))
            .with(KEYS[3], flag(self.has_segments))
            .with(KEYS[4], flag(self.has_offset))
            .with(KEYS[5], Attr::Float(self.drop))
    }

    /// From attributes.
    pub fn from_attrs(attrs: &Attrs) -> Result<Self, AttrError> {
        attrs.only(&KEYS)?;
        let flag = |key| match attrs.int(key)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(AttrError::Kind { key, expected: "0 or 1" }),
        };
        let drop = attrs.float("drop")?;
        if !(0.0..1.0).contains(&drop) {
            return Err(AttrError::Kind { key: "drop", expected: "at least 0 and below 1" });
        }
        Ok(Self {
            scale: attrs.float("scale")?,
            is_causal: flag("causal")?,
            window: Some(attrs.int("window")?).filter(|&window| window > 0),
            has_segments: flag("segments")?,
            has_offset: flag("offset")?,
            drop,
        })
    }

    /// Where the operands are that start at `first`.
    pub fn extras(&self, first: usize) -> Extras {
        let mut end = first;
        let mut take = |n: usize| {
            end += n;
            end - n
        };
        let segments = self.has_segments.then(|| take(2)).map(|at| [at, at + 1]);
        let offset = self.has_offset.then(|| take(1));
        let draw = (self.drop > 0.0).then(|| take(4)).map(|at| [at, at + 1, at + 2, at + 3]);
        Extras { segments, offset, draw, end }
    }

    /// Whether a row at `place` among the keys attends to the key at `key`, segments aside.
    pub fn sees(&self, place: i64, key: i64) -> bool {
        let is_before = key <= place;
        match self.window {
            Some(window) => is_before && place - key < window.cast_signed(),
            None => is_before || !self.is_causal,
        }
    }

    /// The sizes, when all operands of `part` fit.
    pub fn sizes(&self, part: Part, args: &[Type]) -> Result<Sizes, ShapeError> {
        let extras = self.extras(part.n_tensors());
        if args.len() != extras.end {
            return Err(ShapeError::Count { expected: extras.end, found: args.len() });
        }
        let dtype = args[0].dtype;
        if dtype != Dtype::F32 && !dtype.is_narrow() {
            return Err(ShapeError::Dtype { arg: 0, expected: "f32, f16 or bf16", found: dtype });
        }
        let [batch, heads, rows, width] = axes(args, 0, "`[b, h, t, k]`")?;
        let [_, groups, keys, _] = axes(args, 1, "`[b, g, s, k]`")?;
        if groups == 0 || heads % groups != 0 {
            return Err(wrong(args, 1, format!("a number of heads that divides {heads}")));
        }
        fits(args, 1, dtype, &[batch, groups, keys, width])?;
        let value_width = match part {
            Part::Lse => 0,
            Part::Out | Part::Dq | Part::Dk | Part::Dv => axes(args, 2, "`[b, g, s, e]`")?[3],
        };
        if part != Part::Lse {
            fits(args, 2, dtype, &[batch, groups, keys, value_width])?;
        }
        if let Part::Dq | Part::Dk | Part::Dv = part {
            fits(args, 3, dtype, &[batch, rows, heads, value_width])?;
            fits(args, 4, Dtype::F32, &[batch, heads, rows])?;
            fits(args, 5, Dtype::F32, &[batch, heads, rows])?;
        }
        if let Some([of_rows, of_keys]) = extras.segments {
            fits(args, of_rows, Dtype::I32, &[batch, rows])?;
            fits(args, of_keys, Dtype::I32, &[batch, keys])?;
        }
        for scalar in extras.offset.into_iter().chain(extras.draw.into_iter().flatten()) {
            fits(args, scalar, Dtype::I32, &[])?;
        }
        Ok(Sizes { batch, heads, groups, rows, keys, width, value_width })
    }

    /// Types and values of the operands that the attributes name, for samples.
    pub(super) fn sample_extras(&self, sizes: &Sizes) -> Vec<(Type, Fill)> {
        let scalar = |low, high| (Type::scalar(Dtype::I32), Fill::Ints(low, high));
        let segments = |n| (Type::new(Dtype::I32, [sizes.batch, n]), Fill::Ints(0, 2));
        let mut args = vec![];
        if self.has_segments {
            args.extend([segments(sizes.rows), segments(sizes.keys)]);
        }
        if self.has_offset {
            args.push(scalar(0, 4));
        }
        if self.drop > 0.0 {
            let any = scalar(i32::MIN, i32::MAX);
            args.extend([any.clone(), any, scalar(0, 1000), scalar(0, 64)]);
        }
        args
    }
}

/// The four axes of an operand.
fn axes(args: &[Type], arg: usize, expected: &str) -> Result<[u64; 4], ShapeError> {
    let axes = args[arg].shape.as_slice().try_into();
    axes.map_err(|_| wrong(args, arg, expected.to_owned()))
}

fn fits(args: &[Type], arg: usize, dtype: Dtype, shape: &[u64]) -> Result<(), ShapeError> {
    let expected = Type::new(dtype, shape);
    if args[arg] == expected { Ok(()) } else { Err(wrong(args, arg, expected.to_string())) }
}

fn wrong(args: &[Type], arg: usize, expected: String) -> ShapeError {
    ShapeError::Shape { arg, expected, found: args[arg].clone() }
}

/// Sizes and attributes for samples: each kind of mask with sizes that are odd, 1, or equal.
pub(super) fn samples(part: Part) -> Vec<(Attend, Vec<(Type, Fill)>)> {
    let sizes = [
        (1, 1, 1, 1, 1, 1, 1),
        (2, 2, 1, 3, 5, 2, 3),
        (1, 4, 2, 5, 3, 3, 1),
        (2, 3, 3, 4, 4, 1, 2),
        (1, 2, 2, 7, 7, 2, 2),
        (0, 2, 1, 2, 2, 2, 2),
        (1, 1, 1, 2, 0, 2, 2),
        (1, 3, 1, 6, 2, 3, 2),
    ];
    let all = Attend::all(0.75);
    let causal = Attend { is_causal: true, ..all };
    let kinds = [
        all,
        causal,
        Attend { window: Some(2), has_offset: true, ..all },
        Attend { has_segments: true, ..causal },
        Attend { drop: 0.25, ..causal },
        Attend { window: Some(3), has_segments: true, has_offset: true, drop: 0.5, ..causal },
    ];
    // Rows that attend to some key: nothing flows from the others, but -inf has no differences.
    let wide = Attend { window: Some(16), ..all };
    let never_empty = [
        all,
        causal,
        wide,
        Attend { is_causal: true, ..wide },
        Attend { has_offset: true, ..causal },
        Attend { has_offset: true, ..wide },
    ];
    let kinds = if part == Part::Lse { never_empty } else { kinds };
    let mut samples = vec![];
    for (i, (batch, heads, groups, rows, keys, width, value_width)) in sizes.into_iter().enumerate()
    {
        for (j, kind) in kinds.into_iter().enumerate() {
            let sizes = Sizes { batch, heads, groups, rows, keys, width, value_width };
            if part != Part::Lse || keys > 0 {
                samples.push((kind, sample_args(part, &kind, &sizes, i + j)));
            }
        }
    }
    samples
}

fn sample_args(part: Part, attend: &Attend, sizes: &Sizes, i: usize) -> Vec<(Type, Fill)> {
    let Sizes { batch, heads, groups, rows, keys, width, value_width } = *sizes;
    let fill = Fill::Range(-2.0, 2.0);
    let mut args = vec![
        (sample::mixed(i, &[batch, heads, rows, width]), fill),
        (sample::mixed(i, &[batch, groups, keys, width]), fill),
        (sample::mixed(i, &[batch, groups, keys, value_width]), fill),
        (sample::mixed(i, &[batch, rows, heads, value_width]), fill),
        // Above most scores, so that weights are below 1.
        (sample::f32s(&[batch, heads, rows]), Fill::Range(2.0, 4.0)),
        (sample::f32s(&[batch, heads, rows]), fill),
    ];
    args.truncate(part.n_tensors());
    args.extend(attend.sample_extras(sizes));
    args
}
