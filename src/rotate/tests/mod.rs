//! The protocol as a model: members' rings, operators, and messages that are lost, late or delivered twice. Each failed idea
//! of `protocols B.4` has its test by name.

mod failed_ideas;
mod random;
mod run;
mod world;
