//! What is kept of a handler's output: its last bytes.

/// A bounded buffer that forgets its beginning.
#[derive(Clone, Debug)]
pub struct Tail {
    kept: Vec<u8>,
    limit: usize,
    total: u64,
}

impl Tail {
    /// What the reference keeps of a script's output.
    pub const HANDLER_BYTES: usize = 8192;

    /// Keeps the last `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, total: 0 }
    }

    /// Appends.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let new = &bytes[bytes.len().saturating_sub(self.limit)..];
        let surplus = (self.kept.len() + new.len()).saturating_sub(self.limit);
        self.kept.drain(..surplus);
        self.kept.extend_from_slice(new);
    }

    /// Bytes that were pushed and are no longer here.
    pub fn lost(&self) -> u64 {
        self.total - self.kept.len() as u64
    }

    /// What is left.
    pub fn as_bytes(&self) -> &[u8] {
        &self.kept
    }

    /// What is left.
    pub fn into_bytes(self) -> Vec<u8> {
        self.kept
    }
}
