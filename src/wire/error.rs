//! Why bytes were not a value.

use std::net::SocketAddr;

use super::NodeName;

/// Where decoding stopped, and why. Nothing of the value was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {problem}, at byte {offset}")]
pub struct DecodeError {
    /// The innermost field that was being read; the kind of value if it was none.
    pub field: &'static str,
    /// Counted from the start of the value that was handed to the decoder, or of the decompressed bytes.
    pub offset: usize,
    pub problem: Problem,
}

/// What was wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("ends too early")]
    Truncated,
    #[error("unexpected msgpack marker {0:#04x}")]
    Marker(u8),
    #[error("number out of range")]
    Range,
    #[error("not UTF-8")]
    Utf8,
    #[error("nested too deeply")]
    Depth,
    #[error("longer than allowed")]
    TooLong,
    /// Of the member at `addr`, if that is what the value is about.
    #[error("name of {bytes} bytes, {} are accepted", NodeName::RULE)]
    LongName { bytes: usize, addr: Option<SocketAddr> },
    #[error("length not allowed")]
    Length,
    #[error("missing or empty")]
    Missing,
    #[error("unknown message type {0}")]
    MessageType(u8),
    #[error("checksum does not match")]
    Checksum,
    #[error("unknown compression algorithm {0}")]
    Algorithm(u8),
    #[error("broken compressed data")]
    Compressed,
    #[error("layer not allowed here")]
    Nesting,
}

impl DecodeError {
    pub(crate) fn new(field: &'static str, offset: usize, problem: Problem) -> Self {
        Self { field, offset, problem }
    }

    /// Whether more input might have helped.
    pub fn is_truncated(&self) -> bool {
        self.problem == Problem::Truncated
    }

    /// The member whose name is too long to be taken, and its bytes, if that is the trouble.
    pub(crate) fn long_name(&self) -> Option<(SocketAddr, usize)> {
        match self.problem {
            Problem::LongName { bytes, addr } => Some((addr?, bytes)),
            _ => None,
        }
    }

    /// Names the field, unless an inner one was named already.
    pub(crate) fn within(self, field: &'static str) -> Self {
        if self.field.is_empty() { Self { field, ..self } } else { self }
    }
}
