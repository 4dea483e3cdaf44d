//! What follows the word of a directive: numbers, words, strings, several of them.

use crate::marked::Marked;

/// A value, or several one after the other, as the language writes them.
///
/// A `&str` is text of the language: a name, a number with its unit, a whole expression. A string
/// of the language is [`string`]. A tuple is its members with spaces between.
///
/// ```
/// use build::{Value, string};
///
/// let value = Value::from((string("CAESAR."), "every", 1000, "temperature", 0.8));
/// assert_eq!(value.text(), "\"CAESAR.\" every 1000 temperature 0.8");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Value(pub(crate) Marked);

impl Value {
    /// As it will be written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self(Marked::plain(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::plain(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::plain(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::plain(if value { "true" } else { "false" })
    }
}

/// Nothing: of a directive that takes no value.
impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::plain(real(x))
    }
}

impl From<f32> for Value {
    fn from(x: f32) -> Self {
        // By its own digits: 0.1 is not to become 0.10000000149011612.
        Self::plain(real(format!("{x:?}").parse().unwrap_or(f64::NAN)))
    }
}

macro_rules! whole_numbers {
    ($($t:ty)*) => { $(
        impl From<$t> for Value {
            fn from(n: $t) -> Self {
                Self::plain(n.to_string())
            }
        }
    )* };
}

whole_numbers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<$($name: Into<Value>),*> From<($($name,)*)> for Value {
            #[allow(non_snake_case, reason = "a type and its value share a letter")]
            fn from(($($name,)*): ($($name,)*)) -> Self {
                joined([$($name.into()),*], " ")
            }
        }
    };
}

tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
tuples!(A B C D E F G H I);
tuples!(A B C D E F G H I J);

/// A list: `[2, 4, 8]`.
impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(members: [T; N]) -> Self {
        let mut out = Marked::plain("[");
        out.append(&joined(members.map(Into::into), ", ").0);
        out.push("]");
        Self(out)
    }
}

/// Groups of a directive that takes several: `90% train, 10% val`.
pub fn several<T: Into<Value>>(groups: impl IntoIterator<Item = T>) -> Value {
    joined(groups.into_iter().map(Into::into), ", ")
}

/// A string of the language. `{name}` in it stays what it is there: an interpolated name.
///
/// ```
/// assert_eq!(build::string("a \"b\"\n").text(), r#""a \"b\"\n""#);
/// ```
pub fn string(text: impl AsRef<str>) -> Value {
    let mut out = String::from("\"");
    for c in text.as_ref().chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    Value::plain(out)
}

fn joined(values: impl IntoIterator<Item = Value>, between: &str) -> Value {
    let mut out = Marked::default();
    let mut is_first = true;
    for value in values {
        if !is_first {
            out.push(between);
        }
        is_first = false;
        out.append(&value.0);
    }
    Value(out)
}

/// A real number with as many digits as read back to it, in the form that people write.
pub(crate) fn real(x: f64) -> String {
    let is_small = x != 0.0 && x.abs() < 0.01;
    if is_small { format!("{x:e}") } else { format!("{x:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_write_them() {
        let cases = [(3e-3, "3e-3"), (0.9, "0.9"), (1.0, "1.0"), (1e-30, "1e-30"), (1e20, "1e20")];
        for (x, text) in cases {
            assert_eq!(Value::from(x).text(), text);
        }
        assert_eq!(Value::from(0.1_f32).text(), "0.1");
        assert_eq!(Value::from(-3).text(), "-3");
    }

    #[test]
    fn several_values_are_words_groups_or_a_list() {
        assert_eq!(Value::from(("every", 250)).text(), "every 250");
        assert_eq!(Value::from([1, 2]).text(), "[1, 2]");
        assert_eq!(several([("90%", "train"), ("10%", "val")]).text(), "90% train, 10% val");
    }
}
