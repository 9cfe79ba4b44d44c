//! Clusters of three and ten, half of them real `serf` agents, encrypted and compressed: whatever one kind tells, both kinds
//! know, and know the same. Debian's package `serf` is the peer.

mod cluster;
mod distance;
mod drain;
mod events;
mod health;
mod members;
mod partition;
mod queries;
mod watch;
