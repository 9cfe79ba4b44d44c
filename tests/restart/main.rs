//! Agents that end without warning come back by what their snapshot knows, with no address to join configured (`design §5`).

#![allow(clippy::disallowed_methods, reason = "these tests run processes and read what they leave behind")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it cannot use")]

mod churn;
mod disk;
mod kills;
mod outage;
mod watch;

#[path = "../support/mod.rs"]
mod support;

/// 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Settings with quick timings, so that failures are noticed within a test's patience.
fn settings() -> support::Settings {
    support::Settings { profile: Some("local"), ..support::Settings::key(KEY).log_level("info") }
}
