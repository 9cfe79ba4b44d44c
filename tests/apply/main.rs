//! `apply` against a real NGINX: each test runs its own, on its own loopback address, and ends it.

#![expect(clippy::disallowed_methods, reason = "these tests run programs and touch files")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod crash;
mod files;
mod nginx;
mod reload;
mod servers;
