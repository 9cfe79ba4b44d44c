//! How the plain kinds of value are read from a file and written back: numbers, text, lists, durations, words.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::error::Trouble;

use super::duration;
use super::mistake::nearest;
use super::tree::{Item, Origin, Value};

/// What is wrong with a value: its place, the value as written, and what it is instead, `is …`, with the way out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) at: Origin,
    pub(crate) value: String,
    pub(crate) trouble: Trouble,
    /// A number that the key's type cannot hold; the key's own bounds say more than `trouble`.
    pub(crate) out_of_range: bool,
}

impl Item {
    /// This value is wrong in the way `trouble` says.
    pub(crate) fn wrong(&self, trouble: Trouble) -> Vec<Wrong> {
        vec![Wrong { at: self.at.clone(), value: self.value.to_string(), trouble, out_of_range: false }]
    }

    fn out_of_range(&self, least: impl fmt::Display, most: impl fmt::Display) -> Vec<Wrong> {
        let mut wrongs = self.wrong(Trouble::new("is out of range", format!("{least} to {most} is accepted")));
        wrongs.iter_mut().for_each(|wrong| wrong.out_of_range = true);
        wrongs
    }

    /// This value has the wrong kind; `write` says what belongs here.
    pub(crate) fn not(&self, write: &str) -> Vec<Wrong> {
        self.wrong(Trouble::new(format!("is {}", self.value.kind()), format!("write {write}")))
    }
}

/// A type that a key may hold, in the form in which a file writes it.
pub(crate) trait Written: Sized {
    /// The checked value, or everything that is wrong with it.
    fn read(item: &Item) -> Result<Self, Vec<Wrong>>;
    /// As a file would write it.
    fn write(&self) -> Json;
    /// What may be written, as JSON Schema.
    fn schema() -> Json;
}

/// A type that is written as text.
pub(crate) trait Text: Sized {
    /// What to write, for a value that is no text at all: `an address, "10.0.0.1:7946"`.
    const WANTED: &'static str;
    /// All that may be written, if that is a set of words.
    const WORDS: &'static [&'static str] = &[];
    /// The checked value, or what the text is instead, `is …`, with the way out.
    fn parse(text: &str) -> Result<Self, Trouble>;
    /// As a file would write it.
    fn text(&self) -> String;
}

impl<T: Text> Written for T {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        match &item.value {
            Value::Text(text) => T::parse(text).map_err(|trouble| item.wrong(trouble)),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(item.not(T::WANTED))
            }
        }
    }

    fn write(&self) -> Json {
        self.text().into()
    }

    fn schema() -> Json {
        if T::WORDS.is_empty() { json!({ "type": "string" }) } else { json!({ "type": "string", "enum": T::WORDS }) }
    }
}

impl Written for bool {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        match item.value {
            Value::Bool(truth) => Ok(truth),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(item.not("true or false, without quotes"))
            }
        }
    }

    fn write(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "boolean" })
    }
}

macro_rules! whole_numbers {
    ($($int:ty),*) => {$(
        impl Written for $int {
            fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
                match item.value {
                    Value::Int(number) => {
                        Self::try_from(number).map_err(|_| item.out_of_range(Self::MIN, Self::MAX))
                    }
                    // So large that it was no integer any more.
                    Value::Float(number) if number.fract() == 0.0 && number.abs() > i64::MAX as f64 => {
                        Err(item.out_of_range(Self::MIN, Self::MAX))
                    }
                    Value::Float(_) => Err(item.wrong(Trouble::new("is not a whole number", "write one without a point"))),
                    Value::Text(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                        Err(item.not("a whole number, without quotes"))
                    }
                }
            }

            fn write(&self) -> Json {
                (*self).into()
            }

            fn schema() -> Json {
                json!({ "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX })
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, usize);

impl Written for f64 {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        match item.value {
            Value::Float(number) => Ok(number),
            Value::Int(number) => Ok(number as Self),
            Value::Text(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(item.not("a number, without quotes"))
            }
        }
    }

    fn write(&self) -> Json {
        (*self).into()
    }

    fn schema() -> Json {
        json!({ "type": "number" })
    }
}

impl<T: Written> Written for Vec<T> {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        let Value::List(list) = &item.value else {
            return Err(item.not("a list, [\"…\", \"…\"]"));
        };
        let (mut values, mut wrongs) = (Self::with_capacity(list.len()), Vec::new());
        for element in list {
            match T::read(element) {
                Ok(value) => values.push(value),
                Err(wrong) => wrongs.extend(wrong),
            }
        }
        if wrongs.is_empty() { Ok(values) } else { Err(wrongs) }
    }

    fn write(&self) -> Json {
        self.iter().map(T::write).collect()
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl Text for String {
    const WANTED: &'static str = "text in quotes";

    fn parse(text: &str) -> Result<Self, Trouble> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

/// A path; empty means none, which the key's reader decides about.
impl Text for PathBuf {
    const WANTED: &'static str = "a path in quotes";

    fn parse(text: &str) -> Result<Self, Trouble> {
        if text.contains('\0') { Err(Trouble::new("holds a NUL byte", "remove it")) } else { Ok(text.into()) }
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Written for Duration {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        let wanted = "a duration with its unit";
        match &item.value {
            Value::Text(text) => duration::parse(text).ok_or_else(|| {
                item.wrong(Trouble::new(
                    "is not a duration",
                    format!("write {wanted}, \"200ms\", \"30s\" or \"1m30s\""),
                ))
            }),
            // The number is repeated with the unit that was probably meant; which one it is stays the writer's decision.
            Value::Int(number @ 1..) => {
                let unit = if *number < 100 { "s" } else { "ms" };
                Err(item.not(&format!("{wanted}, \"{number}{unit}\"")))
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(item.not(&format!("{wanted}, \"30s\"")))
            }
        }
    }

    fn write(&self) -> Json {
        duration::text(*self).into()
    }

    fn schema() -> Json {
        let pattern = r"^([0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|sec|m|min|h|hr|d|day|days|w|weeks?) ?)+$";
        json!({ "type": "string", "pattern": pattern })
    }
}

/// The word among `words`, or what is accepted.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, Trouble> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let accepted: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    if let [only] = accepted[..] {
        return Err(Trouble::new("is unknown", format!("only \"{only}\" is accepted")));
    }
    Err(match nearest(text, accepted.iter().copied()) {
        Some(near) => {
            Trouble::new(format!("is not one of {}", accepted.join(", ")), format!("did you mean \"{near}\"?"))
        }
        None => Trouble::new("is unknown", format!("one of {} is accepted", accepted.join(", "))),
    })
}

/// Gives an enum its words: in files, in `config show` and in the schema.
macro_rules! words {
    ($enum:ty, $wanted:literal, $(($word:literal, $variant:ident)),+ $(,)?) => {
        impl $crate::config::value::Text for $enum {
            const WANTED: &'static str = $wanted;
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn parse(text: &str) -> Result<Self, $crate::error::Trouble> {
                $crate::config::value::word(text, &[$(($word, Self::$variant)),+])
            }

            fn text(&self) -> String {
                match self { $(Self::$variant => $word),+ }.to_owned()
            }
        }
    };
}
pub(crate) use words;
