//! `apply` against a real NGINX: each test runs its own, on its own loopback address, and ends it.

mod crash;
mod files;
mod find;
mod helper;
mod namespace;
mod reload;
mod servers;
mod sizes;
mod slow;
