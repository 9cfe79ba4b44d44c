//! Cuts a stream of bytes into whole msgpack values: there is no length prefix and no delimiter (`rpc §1`).

use zeroize::Zeroize;

use crate::wire::msgpack::{Head, Reader};

/// Deepest nesting of a value.
const MAX_DEPTH: usize = 16;

/// Received bytes, and how far the value at their start is known.
///
/// Each byte is looked at once however slowly it arrives, and no announced length is believed before it has arrived.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    /// Where the current value begins.
    start: usize,
    /// Bytes of the current value that were looked at.
    scanned: usize,
    /// Values still due in each array and map that is open, outermost first.
    open: Vec<u64>,
}

/// Why the bytes cannot become a value. Nothing after them can be understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// Not msgpack, or nested without need.
    #[error("not a msgpack value")]
    Malformed,
    /// It has announced more than this, or more than this has come.
    #[error("request exceeds limit of {0} bytes")]
    TooLarge(usize),
}

impl Frames {
    /// Where received bytes are to be appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.compact();
        &mut self.buffer
    }

    /// Whether a value has begun to arrive.
    pub fn is_partial(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// Whether a whole value of at most `limit` bytes is there.
    pub fn is_ready(&mut self, limit: usize) -> Result<bool, FrameError> {
        while !self.is_complete() {
            if !self.scan(limit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The value that [`is_ready`](Self::is_ready) has found; empty if it has not.
    pub fn take(&mut self) -> &[u8] {
        let len = if self.is_complete() { std::mem::take(&mut self.scanned) } else { 0 };
        let value = self.start..self.start + len;
        self.start = value.end;
        &self.buffer[value]
    }

    fn is_complete(&self) -> bool {
        self.scanned > 0 && self.open.is_empty()
    }

    /// Passes over one scalar or header; `false` if it is not here yet.
    fn scan(&mut self, limit: usize) -> Result<bool, FrameError> {
        let mut reader = Reader::new(&self.buffer[self.start + self.scanned..]);
        let head = match reader.head() {
            Ok(head) => head,
            Err(error) if error.is_truncated() => return Ok(false),
            Err(_) => return Err(FrameError::Malformed),
        };
        let available = reader.rest().len();
        let (inline, values) = match head {
            Head::Nil | Head::Bool(_) | Head::Uint(_) | Head::Negative(_) | Head::Float(_) => (0, 0),
            Head::Raw(len) | Head::Ext(len) => (len, 0),
            Head::Array(len) => (0, len as u64),
            Head::Map(len) => (0, 2 * len as u64),
        };
        let end = self.scanned.saturating_add(reader.offset()).saturating_add(inline);
        // Each value still due takes a byte at least.
        if end.saturating_add(usize::try_from(values).unwrap_or(usize::MAX)) > limit {
            return Err(FrameError::TooLarge(limit));
        }
        if inline > available {
            return Ok(false);
        }
        // A value that failed stays where it is, and fails again.
        if values > 0 && self.open.len() == MAX_DEPTH {
            return Err(FrameError::Malformed);
        }
        self.scanned = end;
        self.account(values);
        Ok(true)
    }

    /// One value came, and `values` more belong into it.
    fn account(&mut self, values: u64) {
        if let Some(due) = self.open.last_mut() {
            *due -= 1;
        }
        if values > 0 {
            self.open.push(values);
        }
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
    }

    /// Drops what was handed out, wiping it: it may have held keys. Memory that one large value needed is given back.
    fn compact(&mut self) {
        if self.start > 0 {
            let rest = self.buffer.len() - self.start;
            self.buffer.copy_within(self.start.., 0);
            self.buffer[rest..].zeroize();
            self.buffer.truncate(rest);
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > 64 * 1024 {
            self.buffer = Vec::new();
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}
