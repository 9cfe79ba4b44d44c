//! What needs no process, no socket and no rights: values in, values out.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads files and its environment, and stops at what it cannot use"
)]

#[path = "../support/hostile_tags.rs"]
mod hostile;

mod config;
mod docs;
mod fuzz;
mod hostile_tags;
mod log;
mod nginx_render;
mod serf;
mod sim;
mod snapshot;
mod template;
mod vectors;
