//! The level setting, `info` or `info,swim=debug`, held against an event's level and part.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use tracing::Level;

use crate::config::{self, LogFilter};

const CRATE: &str = "weir";

/// Whether an event of `part` (`swim`, `agent`) at `level` is shown.
pub(super) fn allows(filter: &RwLock<LogFilter>, part: &str, level: Level) -> bool {
    let filter = read(filter);
    let of_part = filter.parts.iter().find(|(name, _)| name == part).map(|(_, level)| *level);
    level <= tracing_level(of_part.unwrap_or(filter.level))
}

/// The most detailed level that any part has.
pub(super) fn highest(filter: &RwLock<LogFilter>) -> Level {
    let filter = read(filter);
    filter.parts.iter().map(|(_, level)| tracing_level(*level)).fold(tracing_level(filter.level), Level::max)
}

fn read(filter: &RwLock<LogFilter>) -> RwLockReadGuard<'_, LogFilter> {
    filter.read().unwrap_or_else(PoisonError::into_inner)
}

fn tracing_level(level: config::Level) -> Level {
    match level {
        config::Level::Error => Level::ERROR,
        config::Level::Warn => Level::WARN,
        config::Level::Info => Level::INFO,
        config::Level::Debug => Level::DEBUG,
        config::Level::Trace => Level::TRACE,
    }
}

/// Whether a target is one of this crate's modules.
pub(super) fn is_ours(target: &str) -> bool {
    target.split("::").next() == Some(CRATE)
}

/// The part of the program a target names: `swim` for `weir::swim::probe`.
pub(super) fn part(target: &str) -> &str {
    let mut names = target.split("::");
    let first = names.next().unwrap_or(target);
    names.next().unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_overrides_the_default() {
        let parts = vec![("swim".to_owned(), config::Level::Debug), ("serf".to_owned(), config::Level::Error)];
        let filter = RwLock::new(LogFilter { level: config::Level::Warn, parts });
        for (part, level, shown) in [
            ("agent", Level::WARN, true),
            ("agent", Level::INFO, false),
            ("swim", Level::DEBUG, true),
            ("swim", Level::TRACE, false),
            ("serf", Level::ERROR, true),
            ("serf", Level::WARN, false),
        ] {
            assert_eq!(allows(&filter, part, level), shown, "{part} {level}");
        }
        assert_eq!(highest(&filter), Level::DEBUG);
    }

    #[test]
    fn target_names_its_part() {
        assert_eq!(part("weir::swim::probe"), "swim");
        assert_eq!(part("weir"), "weir");
        assert!(is_ours("weir::agent"));
        assert!(!is_ours("weird::agent"));
    }
}
