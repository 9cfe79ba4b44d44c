//! The built program and the libraries around it, run as they are: agents, commands, NGINX and scripts on loopback addresses.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests start processes and touch files, and stop at what they cannot use"
)]

#[path = "../support/hostile_tags.rs"]
mod hostile_tags;
#[path = "../support/mod.rs"]
mod support;

mod agent;
mod apply;
mod balancer;
mod cli;
mod doctor;
mod drained;
mod files;
mod hostile;
mod kept;
mod keys;
mod load;
mod log;
mod nginx;
mod replay;
mod restart;
mod rotate;
mod rpc;
mod secrets;
mod site;
