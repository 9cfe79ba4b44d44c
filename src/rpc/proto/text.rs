//! Error texts that clients compare byte for byte (`rpc §8`), and ours beside them.

/// The command is not known; the connection is closed.
pub const UNSUPPORTED_COMMAND: &str = "Unsupported command";
/// The client wants another version than [`super::VERSION`].
pub const UNSUPPORTED_VERSION: &str = "Unsupported IPC version";
/// A second handshake.
pub const HANDSHAKE_DONE: &str = "Handshake already performed";
/// Anything before the handshake; the connection is closed.
pub const HANDSHAKE_REQUIRED: &str = "Handshake required";
/// A second monitor on one connection.
pub const MONITOR_EXISTS: &str = "Monitor already exists";
/// A stream of something unknown.
pub const INVALID_FILTER: &str = "Invalid event filter";
/// A second stream under the same sequence number.
pub const STREAM_EXISTS: &str = "Stream with given sequence exists";
/// A response to a query that this connection was never shown, or that is over.
pub const NO_PENDING_QUERY: &str = "No pending queries matching ID";
/// The one error that never has a response body.
pub const AUTH_REQUIRED: &str = "Authentication required";
/// A wrong token, or any token where none is configured.
pub const INVALID_TOKEN: &str = "Invalid authentication token";
/// What an answer to a query is refused with, in front of the reason.
pub const RESPOND_PREFIX: &str = "failed to respond to key query: ";
/// Ours: the agent went away while it was asked.
pub const AGENT_STOPPING: &str = "the agent is stopping";
