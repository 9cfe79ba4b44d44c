//! The main job by real processes: agents by the built binary, a real NGINX, requests through it, and trouble.

mod crowd;
mod demo;
mod handlers;
mod members;
mod stage;
mod trouble;
