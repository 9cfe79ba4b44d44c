//! The RPC server behind real sockets, with a small agent of the tests' own behind it; at the other end our client, raw bytes,
//! and (`ignored`) the real `serf` command and the Python libraries that people use.

mod client;
mod files;
mod limits;
mod order;
mod push;
mod python;
mod serf;
mod stage;
