//! Key requests and their answers (`serf §3.7, §3.8`; the ballot `protocols B.2`).

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::message::string;
use super::{KeyRequest, KeyResponse, kind};
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::{DecodeError, Problem};

/// What the message of a member begins with that obeys in memory alone (`session §7`).
pub const NOT_KEPT: &str = "not kept";

/// A ballot has 12 bytes; no bytes are no ballot.
fn ballot(r: &mut Reader<'_>) -> Result<Option<[u8; 12]>, DecodeError> {
    let bytes = r.bytes()?;
    if bytes.is_empty() {
        return Ok(None);
    }
    <[u8; 12]>::try_from(&*bytes).map(Some).map_err(|_| r.error(Problem::Length))
}

impl KeyRequest {
    /// Reads the body behind the type byte, which real agents do not look at either. No bytes are an error, where real
    /// agents crash.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        r.byte().map_err(|error| error.within("key request"))?;
        let mut request = Self::default();
        r.record(&["Key", "Rot"], |r, field| {
            match field {
                "Key" => request.key = Zeroizing::new(r.bytes()?.into_owned()),
                _ => request.rot = ballot(r)?,
            }
            Ok(())
        })
        .map_err(|error| error.within("key request"))?;
        Ok(request)
    }

    /// The type byte and the body. It holds the key: keep it no longer than the query.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::KEY_REQUEST);
        w.map_header(1 + usize::from(self.rot.is_some())).str("Key").bin(&self.key);
        if let Some(rot) = &self.rot {
            w.str("Rot").bin(rot);
        }
        w.into_bytes()
    }
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").field("key_bytes", &self.key.len()).field("rot", &self.rot).finish()
    }
}

impl fmt::Debug for KeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { result, message, keys, rot, .. } = self;
        write!(f, "KeyResponse({result}, {message:?}, {} keys, {rot:?})", keys.len())
    }
}

impl KeyResponse {
    /// Reads type byte and body.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let kind = r.byte().map_err(|error| error.within("key response"))?;
        if kind != kind::KEY_RESPONSE {
            return Err(DecodeError::new("key response", 0, Problem::MessageType(kind)));
        }
        let mut response = Self::default();
        r.record(&["Result", "Message", "Keys", "PrimaryKey", "Rot"], |r, field| {
            match field {
                "Result" => response.result = r.bool()?,
                "Message" => response.message = string(r)?,
                "Keys" => {
                    let len = r.array_header()?;
                    response.keys = (0..len).map(|_| string(r)).collect::<Result<_, _>>()?;
                }
                "PrimaryKey" => response.primary_key = string(r)?,
                _ => response.rot = ballot(r)?,
            }
            Ok(())
        })
        .map_err(|error| error.within("key response"))?;
        Ok(response)
    }

    /// The type byte and the body.
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::message(kind::KEY_RESPONSE);
        w.map_header(4 + usize::from(self.rot.is_some())).str("Keys");
        if self.keys.is_empty() {
            w.nil();
        } else {
            w.array_header(self.keys.len());
            for key in &self.keys {
                w.str(key);
            }
        }
        w.str("Message").str(&self.message).str("PrimaryKey").str(&self.primary_key).str("Result").bool(self.result);
        if let Some(rot) = &self.rot {
            w.str("Rot").bin(rot);
        }
        w.into_bytes()
    }
}
