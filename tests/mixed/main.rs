//! Clusters of three and ten, half of them real `serf` agents, encrypted and compressed: whatever one kind tells, both kinds
//! know, and know the same. Debian's package `serf` is the peer.

#![allow(clippy::disallowed_methods, reason = "these tests run processes and watch them from threads")]
#![allow(clippy::unwrap_used, reason = "a test stops at what it cannot use")]

mod cluster;
mod distance;
mod events;
mod members;
mod partition;
mod queries;
mod watch;

#[path = "../support/mod.rs"]
mod support;
