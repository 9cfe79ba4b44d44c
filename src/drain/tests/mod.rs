//! Both sides together, over messages that are lost, late and repeated, and processes that die.

mod explore;
mod world;
