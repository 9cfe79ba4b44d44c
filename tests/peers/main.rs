//! weir beside the reference: clusters of both kinds, and the same commands at either. Debian's package `serf` is the peer.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start processes and watch them from threads, and stop at what they cannot use"
)]

#[path = "../support/mod.rs"]
mod support;

mod interop;
mod mixed;
mod serf_command;
