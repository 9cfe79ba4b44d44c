//! Bytes to values and back, without policy.
//!
//! Owns the encodings of `memberlist` (packets and streams) and of Serf (user messages, push/pull state). Every length is
//! checked before it is used, decoding allocates no more than the input justifies, and no input panics.
//!
//! Label and encryption, which lie around a packet or stream, are [`label`]'s and [`crate::crypto`]'s; [`packet`] and
//! [`stream`] begin where those end.

mod addr;
pub mod compound;
mod compress;
pub mod crc;
mod error;
pub mod label;
pub mod lzw;
pub mod message;
pub mod msgpack;
pub mod name;
pub mod packet;
pub mod serf;
pub mod stream;

#[cfg(test)]
mod properties;

pub use error::{DecodeError, Problem};
pub use name::NodeName;
