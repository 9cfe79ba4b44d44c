//! The main job by real processes: agents by the built binary, a real NGINX, requests through it, and trouble.

mod budget;
pub(crate) mod crowd;
mod demo;
mod drains;
mod guard;
mod handlers;
mod haproxy;
mod hostile;
mod ill;
mod members;
mod operator;
mod probe_load;
mod probes;
mod questions;
mod serving;
mod shares;
pub(crate) mod stage;
mod trouble;
