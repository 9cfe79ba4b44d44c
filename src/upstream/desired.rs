//! The document that crosses from the agent to `apply`: data, never text for NGINX.
//!
//! The agent faces the network and `apply` may be root, so the receiving side trusts nothing in it: size, version, unknown
//! fields, names, addresses, weights and counts are checked while it is read, and the configured limits of each upstream again
//! by `apply`. What NGINX's file needs beyond servers comes from the configuration on the receiving side.

use std::collections::BTreeMap;

use super::{Servers, UpstreamName};

/// What every upstream should look like. Upstreams that are not in it stay as they are.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// [`Self::VERSION`].
    version: u32,
    /// Chooses this balancer's order of lines.
    pub order: u64,
    /// By name.
    pub upstreams: BTreeMap<UpstreamName, Target>,
}

/// What one upstream should look like.
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// These servers.
    Servers(Servers),
    /// The placeholder line alone.
    Placeholder,
}

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// Larger than [`Desired::MAX_BYTES`].
    #[error("a desired document of {0} bytes is too large, the limit is {max}", max = Desired::MAX_BYTES)]
    TooLarge(usize),
    /// Written by another version of weir.
    #[error("desired document version {0} is not understood, this is version {ours}; restart weir and weir-apply together", ours = Desired::VERSION)]
    Version(u32),
    /// Not the document.
    #[error("not a desired document")]
    Syntax(#[from] serde_json::Error),
}

impl Desired {
    /// The version written and understood.
    pub const VERSION: u32 = 1;
    /// Largest document, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// An empty document for the balancer with this seed of order.
    pub fn new(order: u64) -> Self {
        Self { version: Self::VERSION, order, upstreams: BTreeMap::new() }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and numbers always have a JSON form")
    }

    /// Checks and reads.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DesiredError> {
        #[derive(serde::Deserialize)]
        struct Head {
            version: u32,
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(DesiredError::TooLarge(bytes.len()));
        }
        let head: Head = serde_json::from_slice(bytes)?;
        if head.version != Self::VERSION {
            return Err(DesiredError::Version(head.version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}
