//! `weir doctor`: from facts to findings, each with its remedy (`ux §3.4`).
//!
//! Each file takes the facts of one group, which `cli` gathered, and says what they mean. A fact that could not be had is a
//! finding of its own, [`Level::Skip`], with the way to have it: silence would read as health.

mod access;
mod agent;
mod attention;
mod checks;
mod clock;
mod config;
mod consequence;
mod files;
mod finding;
mod gossip;
mod handlers;
mod keys;
mod leave;
mod nginx;
mod nothing;
mod ports;
mod report;
mod upstreams;

pub use access::{Access, Permission};
pub use agent::{Agent, ThisProgram, agent};
pub use attention::attention;
pub use checks::{Authority, Checks, Guarded, checks};
pub use clock::{Clock, PeerClock, clock};
pub use config::{Configuration, Pending, configuration};
pub use files::{File, Files, Purpose, Stat, User, files};
pub use finding::{Finding, Findings, Group};
pub use gossip::{
    Advertised, Gossip, JoinPlace, Link, Member, OtherKey, Own, Standing, Tcp, Udp, Undecipherable, gossip,
};
pub use handlers::{Handler, Handlers, Program, ProtectSystem, Sandbox, handlers};
pub use keys::{Agreement, Keys, Ring, keys};
pub use leave::{Leave, leave};
pub use nginx::{Master, Nginx, Output, Refused, nginx};
pub use nothing::nothing;
pub use ports::{Choice, Port, Ports, ports};
pub use report::Report;
pub use upstreams::upstreams;

pub use super::{Level, Trouble};
