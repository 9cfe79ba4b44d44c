//! Agents that end without warning come back by what their snapshot knows, with no address to join configured (`design §5`).

mod churn;
mod disk;
mod kills;
mod outage;
mod watch;

use crate::support::Settings;

/// 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Settings with quick timings, so that failures are noticed within a test's patience.
fn settings() -> Settings {
    Settings { profile: Some("local"), ..Settings::key(KEY).log_level("info") }
}
