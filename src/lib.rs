//! weir: an encrypted, self-configuring NGINX load-balancer cluster that speaks HashiCorp Serf's protocols.
//!
//! `docs/` is the specification; what is cited in comments, `design §2.1`, is a section of a page there. The module map and
//! the driver are `design §2`.
//!
//! ```text
//!   bytes ─▶ endpoint ─▶ swim ─▶ serf ─▶ members ─┐
//!    ▲   (label, open,   who is   intents, events, ├─▶ upstream ─▶ desired set ══▶ apply ─▶ swap, nginx -t, reload,
//!    │      decode)       alive    queries, keys   │   select,      (typed data,      │       confirm or roll back
//!  agent: sockets, clock, signals, systemd ────────┘   weigh,        not text)        │
//!    ▲                                                 settle                         │
//!    └──────────────────────── applied generation, last error ◀───────────────────────┘
//! ```
//!
//! **Layering.** `wire`, `crypto`, `swim`, `serf`, `endpoint`, `health`, `drain`, `upstream`, `nginx`, `rotate`, `snapshot`, `status`, `template`, `handlers` and `sim` are pure: no
//! tokio, no sockets, no files, no clock, no hidden randomness, no environment. Time is a `now` argument and randomness is
//! handed over at construction. `clippy.toml` lists the calls that are forbidden there; `agent`, `apply`, `cli`, `rpc`, `file`
//! and `command` opt out once, with a reason; `config::file` reads by `file`; `sock_diag` is shell, too. Imports point one way:
//!
//! ```text
//! cli → agent, apply → config, rpc, status, sim, handlers, snapshot, nginx, template, command, file, sock_diag → endpoint, drain, rotate, upstream → health → serf → swim → crypto, wire
//! ```

pub mod agent;
pub mod apply;
pub mod cli;
mod command;
pub mod config;
pub mod crypto;
pub mod digest;
pub mod drain;
pub mod endpoint;
pub mod error;
mod escape;
mod file;
pub mod handlers;
pub mod health;
pub mod known;
pub mod nginx;
mod outage;
pub mod rotate;
pub mod rpc;
pub mod serf;
mod service_manager;
pub mod sim;
pub mod snapshot;
pub mod sock_diag;
pub mod status;
pub mod swim;
pub mod template;
pub mod time;
pub mod upstream;
mod upstream_name;
pub mod wire;
