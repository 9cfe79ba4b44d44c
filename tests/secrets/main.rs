//! Keys and tokens stay where they belong: no output, log, file that others can read, or `Debug` shows one.

#![allow(clippy::disallowed_methods, reason = "these tests run processes and read what they leave behind")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it cannot use")]

mod agents;
mod debug;
mod forms;

#[path = "../support/mod.rs"]
mod support;
