//! The state of a node and of what is around it, as values: [`node`] is the one document of what a node knows, [`groups`] shows
//! it as Serf does, [`doctor`] judges it together with what can be seen on the host.
//!
//! Nothing here looks by itself. Facts come from `cli` and from the agent; here is decided what they mean and how it is said
//! (`ux §3.4 and §4`).

pub mod doctor;
pub mod groups;
pub mod health;
mod importer;
mod level;
pub mod node;
pub mod probe;
pub mod serving;
pub(crate) mod shell;
pub(crate) mod strangers;

/// The way out where an agent that is not root would have to write NGINX's files, test them or signal its master.
pub(crate) const USE_THE_HELPER: &str = "set apply.mode = \"helper\" with 'systemctl enable --now weir-apply.socket' and \
     'systemctl restart weir', or run the agent as root";

pub use crate::error::Trouble;
pub use crate::known::Known;
pub use importer::{Importer, Presence, Standing, Voter};
pub use level::Level;
