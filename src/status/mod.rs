//! The state of a node and of what is around it, as values and text: what `weir doctor` finds, and what it is found in.
//!
//! Nothing here looks by itself. Facts come from `cli` and from the agent; here is decided what they mean and how it is said
//! (`ux.md` §3.4 and §4).

pub mod doctor;
pub mod document;
pub(crate) mod shell;
