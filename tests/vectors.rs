//! The bytes of `tests/vectors` against the codecs, both ways, every case of every file.
//!
//! Captured bytes come from real agents (each file says how), the others from an independent implementation of the
//! documents. What we decode has to be what the file says, and encoding that has to give the same bytes, nonces taken from the
//! file. `serf-snapshot.json` and `server-decisions.json` are the fixtures of the modules that they describe.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test reads files and stops at what it cannot use"
)]

#[path = "suite/lzw.rs"]
mod lzw;
#[path = "suite/memberlist.rs"]
mod memberlist;
#[path = "suite/serf.rs"]
mod serf;
#[path = "suite/session.rs"]
mod session;
#[path = "suite/support.rs"]
mod support;
#[path = "suite/tolerance.rs"]
mod tolerance;
