//! Times and spans for people.

/// `15:02:11Z` of an RFC 3339 time of the last day, else all of it.
pub(crate) fn of_day(text: &str) -> String {
    let recent = text
        .parse::<jiff::Timestamp>()
        .is_ok_and(|time| jiff::Timestamp::now().duration_since(time).as_secs() < 24 * 3600);
    match text.split_once('T') {
        Some((_, time)) if recent => time.to_owned(),
        _ => text.to_owned(),
    }
}

/// `12 s`, `7 min`, `2 h 04 min`, `3 d 7 h`.
pub(crate) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {:02} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_units_that_matter() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7440, "2 h 04 min"),
            (86_399, "23 h 59 min"),
            (284_400, "3 d 7 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        assert_eq!(of_day("2020-01-02T03:04:05Z"), "2020-01-02T03:04:05Z");
        let now = format!("{:.0}", jiff::Timestamp::now());
        assert_eq!(of_day(&now), now.split_once('T').unwrap().1);
        assert_eq!(of_day("no time"), "no time");
    }
}
