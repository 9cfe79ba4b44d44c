//! Durations as files and command lines write them: `1m30s`, `200ms`.

use std::time::Duration;

/// Why a text is no duration of Go's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotGo {
    /// Not numbers with units, or more than can be held.
    Invalid,
    /// A number without one.
    MissingUnit,
    UnknownUnit(String),
    /// It is one, but no time that could be waited for.
    Negative,
}

/// What files take: Go's durations, and the longer units and blanks of systemd.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().or_else(|| parse_go(text).ok())
}

/// Go's durations: decimal numbers, each with one of `h m s ms us µs ns`, exactly; a rest below a nanosecond is cut.
pub(crate) fn parse_go(text: &str) -> Result<Duration, NotGo> {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut nanos: u64 = 0;
    loop {
        let (whole, tail) = digits(rest);
        let (fraction, tail) = tail.strip_prefix('.').map_or(("", tail), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(NotGo::Invalid);
        }
        let (unit, tail) = tail.split_at(tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len()));
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(NotGo::MissingUnit),
            unknown => return Err(NotGo::UnknownUnit(unknown.to_owned())),
        };
        nanos = decimal(whole, fraction, unit).and_then(|part| nanos.checked_add(part)).ok_or(NotGo::Invalid)?;
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    if text.starts_with('-') && nanos != 0 { Err(NotGo::Negative) } else { Ok(Duration::from_nanos(nanos)) }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` times `unit` nanoseconds.
fn decimal(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.bytes() {
        place /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(nanos)
}

/// `1m30s`: the largest units first, none that is zero, hours at most (so `24h`, as the defaults are written).
pub(crate) fn text(value: Duration) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_exact_and_strict() {
        let ms = |millis| Ok(Duration::from_millis(millis));
        for (text, value) in [
            ("1m30s", ms(90_000)),
            ("1.5s", ms(1_500)),
            (".5s", ms(500)),
            ("5.s", ms(5_000)),
            ("1h0m0.25s", ms(3_600_250)),
            ("200ms", ms(200)),
            ("3µs", Ok(Duration::from_micros(3))),
            ("7ns", Ok(Duration::from_nanos(7))),
            ("0", ms(0)),
            ("-0", ms(0)),
            ("0s", ms(0)),
            ("+1s", ms(1_000)),
            ("5x", Err(NotGo::UnknownUnit("x".to_owned()))),
            ("1 s", Err(NotGo::UnknownUnit(" s".to_owned()))),
            ("5", Err(NotGo::MissingUnit)),
            ("1s5", Err(NotGo::MissingUnit)),
            ("1.2.3s", Err(NotGo::MissingUnit)),
            ("", Err(NotGo::Invalid)),
            ("+", Err(NotGo::Invalid)),
            ("s", Err(NotGo::Invalid)),
            (".s", Err(NotGo::Invalid)),
            ("99999999999999999999h", Err(NotGo::Invalid)),
            ("-1s", Err(NotGo::Negative)),
        ] {
            assert_eq!(parse_go(text), value, "{text}");
        }
    }

    #[test]
    fn durations_are_written_short() {
        for written in ["24h", "1m30s", "200ms", "0s", "1h1ms", "30s", "2us", "1ns"] {
            assert_eq!(text(parse(written).unwrap()), written);
        }
        assert_eq!(text(Duration::from_secs(90)), "1m30s");
    }

    proptest::proptest! {
        #[test]
        fn a_written_duration_reads_back(nanos in 0_u64..u64::MAX / 2) {
            let value = Duration::from_nanos(nanos);
            proptest::prop_assert_eq!(parse(&text(value)), Some(value));
            proptest::prop_assert_eq!(parse_go(&text(value)), Ok(value));
        }

        #[test]
        fn any_text_is_a_duration_or_not_but_never_a_panic(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
