//! The program itself, run as a command: against nobody, and against a stand-in agent behind the real RPC server.

mod agent;
mod drain;
mod fake;
mod go_style;
mod keys;
mod local;
mod nobody;
mod ours;
mod serf;
mod serf_agent;
mod support;
mod terminal;
mod upstream;
