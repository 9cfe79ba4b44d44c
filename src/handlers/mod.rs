//! Event handler scripts: what they are told, and in which form.
//!
//! Pure formatting and the filter grammar (`event handlers`). Starting processes, their queues and time limits are
//! [`crate::agent`]'s.

mod environment;
pub mod filter;
mod input;
mod output;
mod script;
mod selection;

pub use environment::{Local, environment};
pub use input::input;
pub use output::Tail;
pub use script::{Head, Unrunnable};
pub use selection::{name, passes, serf_name};

#[cfg(test)]
mod tests;
