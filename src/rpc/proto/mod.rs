//! Requests, responses and records as types (`rpc §1, §2, §4`).
//!
//! Strings are accepted as raw, str or bin, records as maps or arrays in declaration order, nil as an empty record; unknown
//! keys are skipped. What we write is what Go writes: keys in ASCII order, strings as str, bytes as bin.

pub(in crate::rpc) mod record;
pub mod text;

mod command;
mod frame;
mod member;
mod read;
mod request;
mod response;

pub use command::Command;
pub use frame::{FrameError, Frames};
pub use member::{Member, MemberFilter, Status};
pub use record::{EventRecord, LogLevel, LogRecord, QueryRecord};
pub use request::{Header, MembersQuery, Request, RequestError};
pub use response::{Body, KeyResponse, Ours, Response, ResponseHeader, Stats};

/// Only protocol version there is.
pub const VERSION: i32 = 1;

/// Largest request header or body; the largest legal one has about 9 KiB.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The same before a client has shown that it may be here.
pub const MAX_STRANGER_BYTES: usize = 64 * 1024;

/// Largest response a client takes: some hundred thousand members.
pub const MAX_RESPONSE_BYTES: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests;
