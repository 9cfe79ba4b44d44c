//! LZW as Go's `compress/lzw` writes it: least significant bit first, literals of 8 bits, codes of 9 to 12 bits
//! (`memberlist §1.5`).
//!
//! The encoder is our own because its bytes must be Go's to the last one, also after the table was cleared.

use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

const CLEAR: u16 = 256;
const END: u16 = 257;
/// The code that is never given out: the encoder clears its table instead.
const LAST: u16 = 4095;

/// Why compressed bytes were refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LzwError {
    /// A code that does not exist, or no end code.
    Broken,
    /// The output would be longer than the limit.
    TooLong,
}

/// Decompresses into at most `limit` bytes; the output grows as it is produced. The end code is mandatory, what follows it
/// is ignored.
pub fn decode(mut input: &[u8], limit: usize) -> Result<Vec<u8>, LzwError> {
    let mut decoder = Decoder::new(BitOrder::Lsb, 8);
    let mut out = vec![0; input.len().saturating_mul(4).clamp(64, limit.max(64))];
    let mut written = 0;
    loop {
        let step = decoder.decode_bytes(input, &mut out[written..]);
        input = &input[step.consumed_in..];
        written += step.consumed_out;
        if written > limit {
            return Err(LzwError::TooLong);
        }
        match step.status {
            Err(_) => return Err(LzwError::Broken),
            Ok(LzwStatus::Done) => {
                out.truncate(written);
                return Ok(out);
            }
            Ok(LzwStatus::NoProgress) if written < out.len() => return Err(LzwError::Broken),
            Ok(LzwStatus::Ok | LzwStatus::NoProgress) => {
                if written == out.len() {
                    // One byte of room above the limit tells output that ends there from output that goes on.
                    out.resize((2 * written).min(limit + 1), 0);
                }
            }
        }
    }
}

/// Compresses, byte for byte as Go does.
pub fn encode(input: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder {
        out: Vec::with_capacity(input.len() / 2 + 8),
        pending: 0,
        pending_bits: 0,
        table: Table::new(),
        newest: END,
        width: 9,
    };
    encoder.push(CLEAR);
    if let Some((&first, rest)) = input.split_first() {
        let mut prefix = u16::from(first);
        for &byte in rest {
            match encoder.table.find(prefix, byte) {
                Ok(code) => prefix = code,
                Err(slot) => {
                    encoder.push(prefix);
                    prefix = byte.into();
                    if encoder.advance() {
                        encoder.table.insert(slot, encoder.newest);
                    }
                }
            }
        }
        encoder.push(prefix);
        encoder.advance();
    }
    encoder.push(END);
    encoder.finish()
}

struct Encoder {
    out: Vec<u8>,
    pending: u32,
    pending_bits: u32,
    table: Table,
    /// The code given out last.
    newest: u16,
    width: u32,
}

impl Encoder {
    /// Writes a code, least significant bit first.
    fn push(&mut self, code: u16) {
        self.pending |= u32::from(code) << self.pending_bits;
        self.pending_bits += self.width;
        while self.pending_bits >= 8 {
            self.out.push(self.pending as u8);
            self.pending >>= 8;
            self.pending_bits -= 8;
        }
    }

    /// Moves on to the next code. False if there was none left, so that the table was cleared.
    fn advance(&mut self) -> bool {
        self.newest += 1;
        if self.newest == LAST {
            self.push(CLEAR);
            self.table.clear();
            (self.newest, self.width) = (END, 9);
            return false;
        }
        self.width += u32::from(self.newest == 1 << self.width);
        true
    }

    fn finish(mut self) -> Vec<u8> {
        if self.pending_bits > 0 {
            self.out.push(self.pending as u8);
        }
        self.out
    }
}

/// Strings seen, as (code of all but the last byte, last byte) -> code; open addressing, at most a quarter full.
struct Table {
    /// prefix (12 bits), byte (8 bits), code (12 bits); 0 is free, as no code is 0.
    slots: Box<[u32]>,
}

/// A free place for the key that was looked for.
struct Slot {
    index: usize,
    key: u32,
}

impl Table {
    const SLOTS: usize = 1 << 14;

    fn new() -> Self {
        Self { slots: vec![0; Self::SLOTS].into() }
    }

    fn clear(&mut self) {
        self.slots.fill(0);
    }

    fn find(&self, prefix: u16, byte: u8) -> Result<u16, Slot> {
        let key = u32::from(prefix) << 8 | u32::from(byte);
        let mut index = (key.wrapping_mul(0x9e37_79b1) >> 18) as usize;
        loop {
            match self.slots[index] {
                0 => return Err(Slot { index, key }),
                slot if slot >> 12 == key => return Ok((slot & 0xfff) as u16),
                _ => index = (index + 1) % Self::SLOTS,
            }
        }
    }

    fn insert(&mut self, slot: Slot, code: u16) {
        self.slots[slot.index] = slot.key << 12 | u32::from(code);
    }
}
