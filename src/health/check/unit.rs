//! What systemd says of a unit, and what that makes of a check.

use super::Verdict;

/// The properties that are asked for.
pub const PROPERTIES: &str = "LoadState,ActiveState,SubState";

/// The verdict about a unit whose properties were shown as `NAME=VALUE`, a line each, with the reason in words.
///
/// A unit that reloads serves meanwhile. One that is unknown to systemd is said to be so, as its name is then probably wrong.
pub fn judge(shown: &str) -> (Verdict, String) {
    let value = |name: &str| {
        let of = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.trim().to_owned());
        shown.lines().find_map(of).filter(|value| !value.is_empty())
    };
    let Some(active) = value("ActiveState") else {
        return (Verdict::Critical, "its state is not told".to_owned());
    };
    match value("LoadState").as_deref() {
        Some("not-found") => return (Verdict::Critical, "there is no such unit".to_owned()),
        Some("masked") => return (Verdict::Critical, "the unit is masked".to_owned()),
        Some(_) | None => {}
    }
    let verdict = match active.as_str() {
        "active" | "reloading" | "refreshing" => Verdict::Passing,
        "activating" => Verdict::Warning,
        _ => Verdict::Critical,
    };
    (verdict, value("SubState").map_or(active.clone(), |sub| format!("{active} ({sub})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_unit_is_a_verdict_with_its_reason() {
        use Verdict::{Critical, Passing, Warning};
        for (load, active, sub, verdict, reason) in [
            ("loaded", "active", "running", Passing, "active (running)"),
            ("loaded", "active", "exited", Passing, "active (exited)"),
            ("loaded", "reloading", "reload", Passing, "reloading (reload)"),
            ("loaded", "activating", "auto-restart", Warning, "activating (auto-restart)"),
            ("loaded", "deactivating", "stop-sigterm", Critical, "deactivating (stop-sigterm)"),
            ("loaded", "inactive", "dead", Critical, "inactive (dead)"),
            ("loaded", "failed", "failed", Critical, "failed (failed)"),
            ("masked", "inactive", "dead", Critical, "the unit is masked"),
            ("not-found", "inactive", "dead", Critical, "there is no such unit"),
            ("loaded", "of-a-later-systemd", "", Critical, "of-a-later-systemd"),
        ] {
            let shown = format!("LoadState={load}\nActiveState={active}\nSubState={sub}\n");
            assert_eq!(judge(&shown), (verdict, reason.to_owned()), "{shown}");
        }
        for nothing in ["", "Failed to connect to bus\n", "ActiveState=\n"] {
            assert_eq!(judge(nothing), (Critical, "its state is not told".to_owned()));
        }
    }
}
