//! A coordinate as the payload of an ack (`serf §10.1`).

use bytes::Bytes;

use super::Coordinate;
use crate::wire::msgpack::{Reader, Writer};
use crate::wire::{DecodeError, Problem};

/// The only version of the payload.
const PING_VERSION: u8 = 1;

/// Most dimensions that are read; real agents use 8.
const MAX_DIMENSIONS: usize = 64;

impl Coordinate {
    /// Reads version byte and map. Numbers may be anything a float can be, and dimensions up to 64: the caller judges.
    pub fn decode_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(payload);
        let version = r.byte().map_err(|error| error.within("coordinate"))?;
        if version != PING_VERSION {
            return Err(DecodeError::new("coordinate", 0, Problem::MessageType(version)));
        }
        let mut coordinate = Self { vec: Vec::new(), error: 0.0, adjustment: 0.0, height: 0.0 };
        r.record(&["Vec", "Error", "Adjustment", "Height"], |r, field| {
            match field {
                "Vec" => {
                    let len = r.array_header()?;
                    if len > MAX_DIMENSIONS {
                        return Err(r.error(Problem::TooLong));
                    }
                    coordinate.vec = (0..len).map(|_| r.f64()).collect::<Result<_, _>>()?;
                }
                "Error" => coordinate.error = r.f64()?,
                "Adjustment" => coordinate.adjustment = r.f64()?,
                _ => coordinate.height = r.f64()?,
            }
            Ok(())
        })
        .map_err(|error| error.within("coordinate"))?;
        Ok(coordinate)
    }

    /// The version byte and the map.
    pub fn encode_payload(&self) -> Bytes {
        let mut w = Writer::message(PING_VERSION);
        w.map_header(4).str("Adjustment").f64(self.adjustment).str("Error").f64(self.error);
        w.str("Height").f64(self.height).str("Vec").array_header(self.vec.len());
        for component in &self.vec {
            w.f64(*component);
        }
        w.into_bytes()
    }
}
