//! What is configured about one upstream, as far as only its file is concerned.

use std::fmt;
use std::str::FromStr;

use crate::upstream::{Method, UpstreamName};

/// `[upstream.NAME.nginx]`, and what all server lines have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// Name of the block and of its zone.
    pub name: UpstreamName,
    /// What the file holds.
    pub form: Form,
    /// How NGINX balances.
    pub method: Method,
    /// Shared memory for counters; only in form block.
    pub zone: Option<Zone>,
    /// Idle connections kept per worker, 0 for none; only in form block.
    pub keepalive: u32,
    /// Failures within `fail_timeout` after which NGINX itself avoids a server; 0 turns that off.
    pub max_fails: u32,
    /// In whole seconds, as NGINX wants it.
    pub fail_timeout: u32,
}

impl Block {
    /// Everything at its default (`ux §1.2`).
    pub fn new(name: UpstreamName) -> Self {
        let zone = Some(Zone { kib: 64 });
        Self {
            name,
            form: Form::Block,
            method: Method::RoundRobin,
            zone,
            keepalive: 32,
            max_fails: 1,
            fail_timeout: 10,
        }
    }
}

/// What the file holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Form {
    /// A whole `upstream NAME { … }`, for `conf.d`.
    #[default]
    Block,
    /// Server lines to include in a block that the operator wrote.
    Servers,
}

/// The size of a shared memory zone, at least 32k: NGINX refuses 8k (`nginx §3`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Zone {
    kib: u32,
}

impl Zone {
    /// Smallest, in KiB.
    pub const MIN_KIB: u32 = 32;
    /// Largest, in KiB.
    pub const MAX_KIB: u32 = 1 << 20;

    /// `None` outside the limits.
    pub fn from_kib(kib: u32) -> Option<Self> {
        (Self::MIN_KIB..=Self::MAX_KIB).contains(&kib).then_some(Self { kib })
    }
}

/// Why a text is no zone size.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a zone size; write \"32k\" to \"1024m\", or \"\" for none")]
pub struct ZoneError(String);

impl FromStr for Zone {
    type Err = ZoneError;

    /// A number with `k` or `m`, as NGINX writes it.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let sized = |digits: &str, kib: u32| digits.parse::<u32>().ok().and_then(|n| n.checked_mul(kib));
        let kib = match text.to_ascii_lowercase() {
            lower if lower.starts_with('+') => None,
            lower => lower.strip_suffix('k').map_or_else(|| sized(lower.strip_suffix('m')?, 1024), |n| sized(n, 1)),
        };
        kib.and_then(Self::from_kib).ok_or_else(|| ZoneError(text.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}k", self.kib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_sizes_are_those_that_nginx_accepts() {
        for (text, shown) in [("32k", "32k"), ("64K", "64k"), ("1m", "1024k"), ("1024M", "1048576k")] {
            assert_eq!(text.parse::<Zone>().unwrap().to_string(), shown);
        }
        for text in ["", "31k", "64", "k", "+64k", "-1k", "64 k", "64kb", "1025m", "4294967295m", "64k;"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
