//! Durations as flags take them: Go's form, which is also TOML's.

use std::time::Duration;

/// `300ms`, `1m30s`, `1.5s`. A number without a unit is refused: nobody can know what it counts.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is no duration; write a number with its unit, \"300ms\" or \"1m30s\"");
    if text.is_empty() {
        return Err(problem());
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(problem)?;
        let number: f64 = rest[..digits].parse().map_err(|_| problem())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(problem()),
        };
        rest = &rest[letters..];
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| problem())?;
        total = total.checked_add(part).ok_or_else(problem)?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        for (text, nanos) in [
            ("300ms", 300_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            ("2h", 7_200_000_000_000),
            ("0s", 0),
            ("7ns", 7),
            ("3µs", 3_000),
        ] {
            assert_eq!(parse(text).map(|d| d.as_nanos()), Ok(nanos), "{text}");
        }
        for text in ["", "5", "s", "5x", "1.2.3s", "-1s", "1s5", "999999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
