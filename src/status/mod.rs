//! The state of a node and of what is around it, as values: [`node`] is the one document of what a node knows, [`groups`] shows
//! it as Serf does, [`doctor`] judges it together with what can be seen on the host.
//!
//! Nothing here looks by itself. Facts come from `cli` and from the agent; here is decided what they mean and how it is said
//! (`ux §3.4 and §4`).

pub mod doctor;
pub mod groups;
mod known;
mod level;
pub mod node;
pub mod probe;
pub(crate) mod shell;

pub use crate::error::Trouble;
pub use known::Known;
pub use level::Level;
