//! All knowledge of NGINX's syntax and words.
//!
//! Renders server lists from typed values ([`render()`]), reads what `nginx -t` complains about ([`parse_test_output`]) and finds
//! what an installation says about itself ([`Build`], [`MasterTitle`], [`walk`]). No text from a peer reaches a file: names are
//! [`UpstreamName`](crate::upstream::UpstreamName)s from the configuration, addresses and numbers are values. `docs/nginx.md` has the measured facts behind
//! the rules.

mod block;
mod build;
mod context;
mod feature;
mod network;
mod order;
mod problem;
mod render;
mod server;
mod title;
mod tree;

pub use block::{Block, Form, Host, PageSize, Zone};
pub(crate) use build::dumped_file;
pub use build::{Build, StreamModule, Version};
pub use context::Context;
pub use feature::Feature;
pub use network::{host_names, ports, upstream_places};
pub use problem::{Missing, Ours, Problem, parse_log, parse_test_output};
pub use render::{Turn, generation_of, render};
pub use server::{Server, servers_at};
pub use title::MasterTitle;
pub use tree::{
    Directive, MAX_NESTING, TooDeep, Unread, Why, all_in_block, in_block, include_pattern, includes, parse, walk,
};
