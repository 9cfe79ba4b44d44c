//! What is kept of a program's output: its last bytes, and its first ones where the reason stands there.

/// A bounded buffer that forgets its beginning, or its middle.
#[derive(Clone, Debug)]
pub struct Tail {
    head: Vec<u8>,
    head_limit: usize,
    kept: Vec<u8>,
    limit: usize,
    total: u64,
}

impl Tail {
    /// What the reference keeps of a script's output.
    pub const HANDLER_BYTES: usize = 8192;

    /// Keeps the last `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self::with_head(0, limit)
    }

    /// Keeps the first `head` bytes as well.
    pub fn with_head(head: usize, limit: usize) -> Self {
        Self { head: Vec::new(), head_limit: head, kept: Vec::new(), limit, total: 0 }
    }

    /// Appends.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (first, bytes) = bytes.split_at(bytes.len().min(self.head_limit - self.head.len()));
        self.head.extend_from_slice(first);
        let new = &bytes[bytes.len().saturating_sub(self.limit)..];
        let surplus = (self.kept.len() + new.len()).saturating_sub(self.limit);
        self.kept.drain(..surplus);
        self.kept.extend_from_slice(new);
    }

    /// Bytes that were pushed and are no longer here.
    pub fn lost(&self) -> u64 {
        self.total - self.head.len() as u64 - self.kept.len() as u64
    }

    /// The first bytes that are kept, and the last ones.
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.kept]
    }

    /// The last bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept
    }
}
