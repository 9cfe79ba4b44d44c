//! How the plain kinds of value are read from a file and written back: numbers, text, lists, durations, words.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value as Json;

use super::mistake::nearest;
use super::tree::{Node, Origin, Value};

/// What is wrong with a value: its place, the value as written, and `is …; WAY OUT`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) at: Origin,
    pub(crate) value: String,
    pub(crate) text: String,
    /// A number that the key's type cannot hold; the key's own bounds say more than `text`.
    pub(crate) out_of_range: bool,
}

impl Node {
    /// This value is wrong in the way `text` says.
    pub(crate) fn wrong(&self, text: impl Into<String>) -> Vec<Wrong> {
        vec![Wrong { at: self.at.clone(), value: self.value.to_string(), text: text.into(), out_of_range: false }]
    }

    fn out_of_range(&self, least: impl fmt::Display, most: impl fmt::Display) -> Vec<Wrong> {
        let mut wrongs = self.wrong(format!("is out of range; {least} to {most} is accepted"));
        wrongs.iter_mut().for_each(|wrong| wrong.out_of_range = true);
        wrongs
    }

    /// This value has the wrong kind; `write` says what belongs here.
    pub(crate) fn not(&self, write: &str) -> Vec<Wrong> {
        self.wrong(format!("is {}; write {write}", self.value.kind()))
    }
}

/// A type that a key may hold, in the form in which a file writes it.
pub(crate) trait Written: Sized {
    /// The checked value, or everything that is wrong with it.
    fn read(node: &Node) -> Result<Self, Vec<Wrong>>;
    /// As a file would write it.
    fn write(&self) -> Json;
}

/// A type that is written as text.
pub(crate) trait Text: Sized {
    /// What to write, for a value that is no text at all: `an address, "10.0.0.1:7946"`.
    const WANTED: &'static str;
    /// The checked value, or `is …; WAY OUT`.
    fn parse(text: &str) -> Result<Self, String>;
    /// As a file would write it.
    fn text(&self) -> String;
}

impl<T: Text> Written for T {
    fn read(node: &Node) -> Result<Self, Vec<Wrong>> {
        match &node.value {
            Value::Text(text) => T::parse(text).map_err(|wrong| node.wrong(wrong)),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(node.not(T::WANTED))
            }
        }
    }

    fn write(&self) -> Json {
        self.text().into()
    }
}

impl Written for bool {
    fn read(node: &Node) -> Result<Self, Vec<Wrong>> {
        match node.value {
            Value::Bool(truth) => Ok(truth),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(node.not("true or false, without quotes"))
            }
        }
    }

    fn write(&self) -> Json {
        (*self).into()
    }
}

macro_rules! whole_numbers {
    ($($int:ty),*) => {$(
        impl Written for $int {
            fn read(node: &Node) -> Result<Self, Vec<Wrong>> {
                match node.value {
                    Value::Int(number) => {
                        Self::try_from(number).map_err(|_| node.out_of_range(Self::MIN, Self::MAX))
                    }
                    // So large that it was no integer any more.
                    Value::Float(number) if number.fract() == 0.0 && number.abs() > i64::MAX as f64 => {
                        Err(node.out_of_range(Self::MIN, Self::MAX))
                    }
                    Value::Float(_) => Err(node.wrong("is not a whole number; write one without a point")),
                    Value::Text(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                        Err(node.not("a whole number, without quotes"))
                    }
                }
            }

            fn write(&self) -> Json {
                (*self).into()
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, u64, usize);

impl<T: Written> Written for Vec<T> {
    fn read(node: &Node) -> Result<Self, Vec<Wrong>> {
        let Value::List(list) = &node.value else {
            return Err(node.not("a list, [\"…\", \"…\"]"));
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
}

impl Text for String {
    const WANTED: &'static str = "text in quotes";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

/// A path; empty means none, which the key's reader decides about.
impl Text for PathBuf {
    const WANTED: &'static str = "a path in quotes";

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('\0') { Err("holds a NUL byte; remove it".to_owned()) } else { Ok(text.into()) }
    }

    fn text(&self) -> String {
        self.display().to_string()
    }
}

impl Written for Duration {
    fn read(node: &Node) -> Result<Self, Vec<Wrong>> {
        let wanted = "a duration with its unit";
        match &node.value {
            Value::Text(text) => parse_duration(text).ok_or_else(|| {
                node.wrong(format!("is not a duration; write {wanted}, \"200ms\", \"30s\" or \"1m30s\""))
            }),
            // The number is repeated with the unit that was probably meant; which one it is stays the writer's decision.
            Value::Int(number @ 1..) => {
                let unit = if *number < 100 { "s" } else { "ms" };
                Err(node.not(&format!("{wanted}, \"{number}{unit}\"")))
            }
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(node.not(&format!("{wanted}, \"30s\"")))
            }
        }
    }

    fn write(&self) -> Json {
        duration(*self).into()
    }
}

/// `1m30s`, `200ms`; `0` and what Go writes (`1.5s`) as well, which command lines made for Serf use.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().or_else(|| go_duration(text))
}

/// Go's durations: decimal numbers, each with one of `h m s ms us µs ns`; a sign is refused unless the value is zero.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let nanos_per_unit: u64 = match &tail[..unit] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(decimal(number, nanos_per_unit)?)?;
        rest = &tail[unit..];
    }
    Some(total).filter(|_| !text.trim_start_matches('+').is_empty())
}

/// `number` (`12`, `1.5`, `.5`) times `unit` nanoseconds, exactly; a rest below a nanosecond is cut.
fn decimal(number: &str, unit: u64) -> Option<Duration> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(Duration::from_nanos(nanos))
}

/// `1m30s`: the largest units first, none that is zero, hours at most (so `24h`, as the defaults are written).
pub(crate) fn duration(value: Duration) -> String {
    const UNITS: [(u128, &str); 6] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut nanos = value.as_nanos();
    let mut text = String::new();
    for (size, unit) in UNITS {
        if nanos >= size {
            text.push_str(&format!("{}{unit}", nanos / size));
            nanos %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The word among `words`, or what is accepted.
pub(crate) fn word<T: Copy>(text: &str, words: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let accepted: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    if let [only] = accepted[..] {
        return Err(format!("is unknown; only \"{only}\" is accepted"));
    }
    Err(match nearest(text, accepted.iter().copied()) {
        Some(near) => format!("is not one of {}; did you mean \"{near}\"?", accepted.join(", ")),
        None => format!("is unknown; one of {} is accepted", accepted.join(", ")),
    })
}

/// Gives an enum its words: in files, in `config show` and in the schema.
macro_rules! words {
    ($enum:ty, $wanted:literal, $(($word:literal, $variant:ident)),+ $(,)?) => {
        impl $crate::config::value::Text for $enum {
            const WANTED: &'static str = $wanted;

            fn parse(text: &str) -> Result<Self, String> {
                $crate::config::value::word(text, &[$(($word, Self::$variant)),+])
            }

            fn text(&self) -> String {
                match self { $(Self::$variant => $word),+ }.to_owned()
            }
        }

        impl schemars::JsonSchema for $enum {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($enum).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),+] })
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_exact_and_strict() {
        let ms = Duration::from_millis;
        for (text, value) in [
            ("1m30s", Some(ms(90_000))),
            ("1.5s", Some(ms(1_500))),
            (".5s", Some(ms(500))),
            ("1h0m0.25s", Some(ms(3_600_250))),
            ("200ms", Some(ms(200))),
            ("3µs", Some(Duration::from_micros(3))),
            ("0", Some(Duration::ZERO)),
            ("0s", Some(Duration::ZERO)),
            ("5x", None),
            ("5", None),
            ("", None),
            ("+", None),
            (".s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("1 s", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(go_duration(text), value, "{text}");
        }
    }

    #[test]
    fn durations_are_written_short() {
        for text in ["24h", "1m30s", "200ms", "0s", "1h1ms", "30s", "2us", "1ns"] {
            assert_eq!(duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(duration(Duration::from_secs(90)), "1m30s");
    }

    proptest::proptest! {
        #[test]
        fn a_written_duration_reads_back(nanos in 0_u64..u64::MAX / 2) {
            let value = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse_duration(&duration(value)), Some(value));
            proptest::prop_assert_eq!(go_duration(&duration(value)), Some(value));
        }

        #[test]
        fn any_text_is_a_duration_or_not_but_never_a_panic(text in ".{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
