//! What a packet holds under label and encryption: checksum, compression, compound, messages
//! (`memberlist §1.1, §7.2`).

use bytes::Bytes;

use super::message::{Message, kind};
use super::{DecodeError, Problem, compound, compress, crc};

/// Longest datagram that is sent or read.
pub const MAX_DATAGRAM: usize = 65_536;

/// Most bytes that one datagram may decompress to.
const MAX_INFLATED: usize = 256 << 10;

/// What was found in a packet, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    pub messages: Vec<Message>,
    /// One for each part that was dropped.
    pub errors: Vec<DecodeError>,
}

/// Takes a packet apart.
///
/// A broken part does not spoil the others. Accepted are bare messages, compounds of them, and one compressed part per packet,
/// which may lie in a compound and may hold one. A checksum is recognised in front of everything only.
pub fn decode(plain: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    let layers = Layers { compound: true, compress: true };
    if let Err(error) = crc::strip(plain).and_then(|packet| decoded.open(packet, layers)) {
        decoded.errors.push(error);
    }
    decoded
}

/// Which layers may still come.
#[derive(Clone, Copy)]
struct Layers {
    compound: bool,
    compress: bool,
}

impl Decoded {
    fn open(&mut self, packet: &[u8], layers: Layers) -> Result<(), DecodeError> {
        match packet {
            [kind::COMPOUND, body @ ..] if layers.compound => self.open_compound(body, layers),
            [kind::COMPRESS, body @ ..] if layers.compress => {
                let plain = compress::inflate(body, MAX_INFLATED)?;
                self.open(&plain, Layers { compound: true, compress: false })
            }
            [kind::COMPOUND | kind::COMPRESS, ..] => Err(DecodeError::new("packet", 0, Problem::Nesting)),
            message => Message::decode(message).map(|message| self.messages.push(message)),
        }
    }

    fn open_compound(&mut self, body: &[u8], mut layers: Layers) -> Result<(), DecodeError> {
        layers.compound = false;
        for part in compound::parts(body)? {
            let opened = part.and_then(|part| self.open(part, layers));
            layers.compress &= !matches!(part, Ok([kind::COMPRESS, ..]));
            if let Err(error) = opened {
                self.errors.push(error);
            }
        }
        Ok(())
    }
}

/// Packs 1 to 255 bare messages into one packet.
///
/// Compression is left out where it would not make the packet smaller, as real agents do. Panics without parts or with too
/// many or too long ones, see [`compound::encode`].
pub fn encode(parts: &[Bytes], compress: bool, crc: bool) -> Vec<u8> {
    let mut packet = match parts {
        [] => panic!("a packet has at least one part"),
        [message] => message.to_vec(),
        parts => compound::encode(parts),
    };
    if compress {
        let smaller = compress::deflate(&packet);
        if smaller.len() < packet.len() {
            packet = smaller;
        }
    }
    if crc { crc::prepend(&packet) } else { packet }
}

#[cfg(test)]
mod tests;
