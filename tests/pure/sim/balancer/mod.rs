//! A balancer's life in a simulated cluster, step by step: the machine of `weir::upstream::balancer`, fed by real gossip, under a simple
//! `apply`. How many jobs each step costs is counted here; lives drawn from seeds, under faults, are `site`'s.

mod life;
mod nginx;
mod world;
