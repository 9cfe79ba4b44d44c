//! A balancer in a simulated cluster: the machine of `weir::upstream::balancer`, fed by real gossip, under a model of NGINX.
//!
//! `life` tells one life step by step, `faults` draws many from seeds; what must hold of each step is in `world`.

mod faults;
mod life;
mod nginx;
mod world;
