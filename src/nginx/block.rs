//! What is configured about one upstream, as far as only its file is concerned.

use std::fmt;
use std::str::FromStr;

use super::Context;
use crate::upstream::{Method, UpstreamName};

/// `[upstream.NAME.nginx]`, and what all server lines have in common.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// Name of the block.
    pub name: UpstreamName,
    /// What it stands in.
    pub context: Context,
    /// What the file holds.
    pub form: Form,
    /// How NGINX balances.
    pub method: Method,
    /// Shared memory for counters; only in form block.
    pub zone: Option<Zone>,
    /// Idle connections kept per worker, 0 for none; only in form block and in `http`.
    pub keepalive: u32,
    /// Failures within `fail_timeout` after which NGINX itself avoids a server; 0 turns that off.
    pub max_fails: u32,
    /// In whole seconds, as NGINX wants it.
    pub fail_timeout: u32,
}

impl Block {
    /// Everything at its default (`ux §1.2`).
    pub fn new(name: UpstreamName) -> Self {
        Self {
            name,
            context: Context::Http,
            form: Form::Block,
            method: Method::RoundRobin,
            zone: Some(Zone::Auto),
            keepalive: 32,
            max_fails: 1,
            fail_timeout: 10,
        }
    }

    /// Whether no connection to its servers is to be kept, which some versions do without being told.
    pub fn keeps_nothing(&self) -> bool {
        self.form == Form::Block && self.context.keeps_connections() && self.keepalive == 0
    }

    /// Of its shared memory, if the file declares any. Both contexts name it in one place, so a stream's has another name than the
    /// `http` upstream that may be called the same.
    pub fn zone_name(&self) -> Option<String> {
        let suffix = match self.context {
            Context::Http => "",
            Context::Stream => "_stream",
        };
        self.zone.filter(|_| self.form == Form::Block).map(|_| format!("{}{suffix}", self.name))
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

/// The size of a shared memory zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Zone {
    /// By the number of servers, with room to spare.
    Auto,
    /// In KiB, at least 32: NGINX refuses 8 (`nginx §3`).
    Fixed(u32),
}

/// The host's page of memory. NGINX gives each size of piece in a zone a page of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageSize {
    kib: u32,
}

impl PageSize {
    /// Of most hosts.
    pub const USUAL: Self = Self { kib: 4 };

    /// As the system has it.
    pub fn from_bytes(bytes: usize) -> Self {
        Self { kib: u32::try_from(bytes / 1024).unwrap_or(u32::MAX).clamp(4, 1024) }
    }
}

/// What a file depends on besides what is in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Host {
    pub page: PageSize,
    /// NGINX has [`Feature::KeepaliveOff`](super::Feature::KeepaliveOff).
    pub keepalive_off: bool,
}

impl Host {
    /// Most of them.
    pub const USUAL: Self = Self { page: PageSize::USUAL, keepalive_off: false };
}

impl Zone {
    /// Smallest, in KiB.
    pub const MIN_KIB: u32 = 32;
    /// Largest, in KiB.
    pub const MAX_KIB: u32 = 1 << 20;
    /// What is free at least in a zone that is sized by itself.
    const AUTO_PAGES: u32 = 32;
    /// A server takes 0.8 to 1.2 KiB (`nginx §3`), and twice that is a power of two that seldom changes.
    const AUTO_KIB_PER_SERVER: u32 = 2;

    /// What a zone takes for itself; with it a server counts as a whole KiB.
    const OVERHEAD_KIB: usize = 20;

    /// `None` outside the limits.
    pub fn from_kib(kib: u32) -> Option<Self> {
        (Self::MIN_KIB..=Self::MAX_KIB).contains(&kib).then_some(Self::Fixed(kib))
    }

    /// In KiB, for so many servers.
    pub fn kib(self, servers: usize, page: PageSize) -> u32 {
        match self {
            Self::Fixed(kib) => kib,
            Self::Auto => {
                let servers = u32::try_from(servers).unwrap_or(u32::MAX);
                let wanted = servers.saturating_mul(Self::AUTO_KIB_PER_SERVER).max(Self::AUTO_PAGES * page.kib);
                wanted.min(Self::MAX_KIB).next_power_of_two()
            }
        }
    }

    /// Whether so many servers fill it, or nearly.
    pub fn is_tight(self, servers: usize) -> bool {
        match self {
            Self::Fixed(kib) => servers.saturating_add(Self::OVERHEAD_KIB) > kib as usize,
            Self::Auto => false,
        }
    }
}

/// Why a text is no zone size.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a zone size; write \"auto\", \"32k\" to \"1024m\", or \"\" for none")]
pub struct ZoneError(String);

impl FromStr for Zone {
    type Err = ZoneError;

    /// `auto`, or a number with `k` or `m`, as NGINX writes it.
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
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
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(kib) => write!(f, "{kib}k"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_sizes_are_those_that_nginx_accepts() {
        for (text, shown) in [("auto", "auto"), ("32k", "32k"), ("64K", "64k"), ("1m", "1024k"), ("1024M", "1048576k")]
        {
            assert_eq!(text.parse::<Zone>().unwrap().to_string(), shown);
        }
        for text in ["", "Auto", "31k", "64", "k", "+64k", "-1k", "64 k", "64kb", "1025m", "4294967295m", "64k;"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_automatic_zone_has_room_to_spare_and_seldom_changes() {
        let large = PageSize::from_bytes(64 * 1024);
        for (servers, page, kib) in [
            (0, PageSize::USUAL, 128),
            (64, PageSize::USUAL, 128),
            (65, PageSize::USUAL, 256),
            (128, PageSize::USUAL, 256),
            (450, PageSize::USUAL, 1024),
            (2000, PageSize::USUAL, 4096),
            (4096, PageSize::USUAL, 8192),
            (0, large, 2048),
            (2000, large, 4096),
            (usize::MAX, PageSize::USUAL, Zone::MAX_KIB),
            (0, PageSize::from_bytes(usize::MAX), 32 * 1024),
        ] {
            assert_eq!(Zone::Auto.kib(servers, page), kib, "{servers} {page:?}");
            assert_eq!(Zone::Fixed(64).kib(servers, page), 64);
        }
    }

    #[test]
    fn a_fixed_zone_is_tight_before_nginx_refuses_it() {
        // As measured (`nginx §3`): what a zone holds of IPv4, and where of IPv6.
        for (kib, holds) in [(32, 15), (64, 56), (64, 63), (128, 128), (256, 288), (1024, 1231)] {
            assert!(Zone::Fixed(kib).is_tight(holds), "{kib} {holds}");
        }
        assert!(!Zone::Fixed(64).is_tight(40) && !Zone::Auto.is_tight(4096));
    }
}
