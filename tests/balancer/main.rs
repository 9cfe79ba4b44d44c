//! The main job by real processes: agents by the built binary, a real NGINX, requests through it, and trouble.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start processes, and stop at what they cannot use"
)]

mod demo;
mod handlers;
mod members;
#[path = "../apply/nginx.rs"]
#[allow(dead_code, reason = "shared with the tests of apply")]
mod nginx;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod trouble;
