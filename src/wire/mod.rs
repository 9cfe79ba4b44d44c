//! Bytes to values and back, without policy.
//!
//! Owns the encodings of `memberlist` (packets and streams) and of Serf (user messages, push/pull state). Every length is
//! checked before it is used, decoding allocates no more than the input justifies, and no input panics.

pub mod message;
pub mod name;
pub mod serf;

pub use name::NodeName;
