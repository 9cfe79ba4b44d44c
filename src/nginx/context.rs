//! Which part of NGINX an upstream is for.

use std::fmt;

use super::tree::Directive;
use crate::upstream::Method;

/// The block of NGINX's configuration that an upstream stands in. Each has upstreams of its own; shared memory they have in common.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// `http { }`: requests are passed on, and tried elsewhere.
    #[default]
    Http,
    /// `stream { }`: TCP connections and UDP sessions are.
    Stream,
}

impl Context {
    /// The name of the block.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Stream => "stream",
        }
    }

    /// Beside NGINX's configuration, where nothing else is named: what is included in the block.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Http => "conf.d",
            Self::Stream => "stream.d",
        }
    }

    /// What is hashed unless something else is named: `stream { }` knows nothing of requests.
    pub fn hash_key(self) -> &'static str {
        match self {
            Self::Http => "$request_uri",
            Self::Stream => "$remote_addr",
        }
    }

    /// Whether NGINX can balance so there.
    pub fn allows(self, method: &Method) -> bool {
        match (self, method) {
            (Self::Stream, Method::IpHash) => false,
            (Self::Http, Method::IpHash)
            | (
                Self::Http | Self::Stream,
                Method::RoundRobin
                | Method::LeastConn
                | Method::RandomTwo
                | Method::RandomTwoLeastConn
                | Method::Hash { .. },
            ) => true,
        }
    }

    /// Whether connections to its servers can be kept for other requests.
    pub fn keeps_connections(self) -> bool {
        match self {
            Self::Http => true,
            Self::Stream => false,
        }
    }

    /// Whether what stands within these blocks, outermost first, stands in this one.
    pub fn is_around(self, within: &[&Directive]) -> bool {
        within.first().is_some_and(|block| block.name == self.as_str())
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
