//! Serf's client RPC (`RPC`, all sections): the protocol, the server inside the agent, and the client the command line uses.
//!
//! `proto` is bytes to values and back and has no policy. `server` owns connections, their order rules and limits. It never
//! looks at the agent's state: each request becomes a [`Call`] on the agent's channel and is answered through a oneshot.
//! `client` is the other end, for our agent and for a real one. `weir` is what only our agents and clients say, and
//! `refusal` how ours say no.

pub mod call;
pub mod client;
pub mod feed;
pub mod proto;
pub mod refusal;
pub mod server;
pub mod weir;

pub use call::Call;
pub use feed::Feed;
pub use refusal::Refusal;
