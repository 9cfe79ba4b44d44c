//! The rejoin log: what a restarted agent must know to be back at once (`design §5`).
//!
//! An append-only file of text records, one a line, each with its own checksum. Pure: bytes in, bytes out. [`Replay::read`]
//! turns a file into a [`State`], [`Log`] turns events into what is to be written, and the agent does the writing.
//!
//! ```text
//! e70a6e19 weir-snapshot 1
//! d4e68628 alive web-1 192.0.2.1:7946 1760000000
//! fea624a1 clocks 12 3 40
//! ```
//!
//! The first eight digits are the CRC-32 of the rest of the line. A line that does not agree with its checksum is skipped:
//! damage costs the records that it touches and no other. Serf's own snapshots are read and then replaced by ours.

mod log;
mod record;
mod replay;
mod serf;
mod state;

pub use log::{COMPACT_BYTES, Log, REPAIR_INTERVAL, SYNC_INTERVAL, Write};
pub use record::{Record, UnixTime};
pub use replay::{Damage, Format, Replay, Rules};
pub use state::{Peer, State};

/// More than the snapshot of any cluster.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
