//! The compressed form of a packet or stream: type byte and a map of algorithm and bytes (`memberlist §1.5`).

use std::borrow::Cow;

use super::lzw::{self, LzwError};
use super::message::kind;
use super::msgpack::{Reader, Writer};
use super::{DecodeError, Problem};

/// The only algorithm there is.
const LZW: u8 = 0;

/// How many times its own length something may always decompress to. Real push/pulls, lists of nils included, stay under 20.
const MAX_RATIO: usize = 256;

/// Output that is allowed whatever the ratio.
const FREE_BYTES: usize = 256 << 10;

/// Decompresses the body that follows the type byte, into 1 to `limit` bytes.
pub(super) fn inflate(body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(body);
    let (mut algorithm, mut compressed) = (0, Cow::Borrowed(&[][..]));
    let fields = reader.record(&["Algo", "Buf"], |r, field| {
        match field {
            "Algo" => algorithm = r.u8()?,
            _ => compressed = r.bytes()?,
        }
        Ok(())
    });
    let failed = |problem| DecodeError::new("compressed", reader.offset(), problem);
    fields.map_err(|error| error.within("compressed"))?;
    if algorithm != LZW {
        return Err(failed(Problem::Algorithm(algorithm)));
    }
    let limit = limit.min(compressed.len().saturating_mul(MAX_RATIO).max(FREE_BYTES));
    match lzw::decode(&compressed, limit) {
        Ok(plain) if plain.is_empty() => Err(failed(Problem::Missing)),
        Ok(plain) => Ok(plain),
        Err(LzwError::Broken) => Err(failed(Problem::Compressed)),
        Err(LzwError::TooLong) => Err(failed(Problem::TooLong)),
    }
}

/// Compresses, with the type byte.
pub(super) fn deflate(plain: &[u8]) -> Vec<u8> {
    let compressed = lzw::encode(plain);
    let mut writer = Writer::message(kind::COMPRESS);
    writer.map_header(2).str("Algo").uint(LZW).str("Buf").bin(&compressed);
    writer.into_vec()
}
