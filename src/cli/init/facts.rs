//! What is found on this host. Nothing is changed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::super::config::DEFAULT;
use super::units::Units;
use crate::agent::hand::{self, HandError};
use crate::config::{self, ConfigErrors, Loaded, SecretSource, Source, Sources};
use crate::crypto::KeyId;
use crate::error::{Explain as _, Trouble};

/// Everything that the plan depends on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) configuration: Found,
    /// Where one that is written anew is kept.
    pub(super) aside: PathBuf,
    pub(super) ring: Ring,
    pub(super) ring_path: PathBuf,
    /// The private addresses of this host; the choice among several is not ours.
    pub(super) addresses: Vec<Candidate>,
    pub(super) units: Units,
}

/// The configuration that is there.
#[derive(Debug)]
pub(super) enum Found {
    Missing,
    Wrong(ConfigErrors),
    Read(Box<Loaded>),
}

/// The keyring that is there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ring {
    Missing,
    /// With this one to seal.
    Held(KeyId),
    /// It cannot be used.
    Bad(Trouble),
    /// The configuration says that nothing is encrypted, or has the key itself.
    None,
}

/// An address that others may reach.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Candidate {
    pub(super) ip: IpAddr,
    pub(super) interface: String,
    /// The default route leaves from it.
    pub(super) outward: bool,
}

impl Facts {
    /// Looks at everything. Blocks for as long as systemd and NGINX take to answer.
    pub(super) fn look() -> Self {
        let configuration = configuration(Path::new(DEFAULT));
        Self {
            ring: ring(&configuration),
            ring_path: ring_path(&configuration),
            configuration,
            aside: aside(Path::new(DEFAULT)),
            addresses: addresses(),
            units: Units::look(),
        }
    }
}

/// The first name beside `path` that is free: what was kept before is not lost.
fn aside(path: &Path) -> PathBuf {
    let name = |number: u32| PathBuf::from(format!("{}.old{number}", path.display()));
    let names = std::iter::once(PathBuf::from(format!("{}.old", path.display()))).chain((2..).map(name));
    names.into_iter().find(|name| name.symlink_metadata().is_err()).unwrap_or_else(|| name(0))
}

/// As the unit reads it, which has none of our environment.
pub(super) fn sources(path: &Path) -> Sources {
    let here = Sources::here(vec![Source::File(path.into())], config::Overrides::default(), false);
    Sources { environment: Vec::new(), pipes: false, ..here }
}

fn configuration(path: &Path) -> Found {
    if !path.exists() {
        return Found::Missing;
    }
    match config::load(&sources(path)) {
        Ok(loaded) => Found::Read(Box::new(loaded)),
        Err(errors) => Found::Wrong(errors),
    }
}

/// Of the configuration that is there, or where one is by default.
fn ring(found: &Found) -> Ring {
    let default = config::Config::default().encryption.keyring;
    let source = match found {
        Found::Read(loaded) => loaded.config.encryption.keyring.clone(),
        Found::Missing | Found::Wrong(_) => default,
    };
    match source {
        None | Some(SecretSource::Inline(_)) => Ring::None,
        Some(source) => match hand::read(&source) {
            Ok(ring) => Ring::Held(ring.primary().id()),
            Err(HandError::Load(error)) if error.is_missing() => Ring::Missing,
            Err(error) => Ring::Bad(Trouble::new(crate::error::what(&error), error.remedy().unwrap_or_default())),
        },
    }
}

/// Where a keyring is, or goes.
fn ring_path(found: &Found) -> PathBuf {
    let configured = match found {
        Found::Read(loaded) => loaded.config.encryption.keyring.clone(),
        Found::Missing | Found::Wrong(_) => config::Config::default().encryption.keyring,
    };
    match configured {
        Some(SecretSource::File(path)) => path,
        None | Some(SecretSource::Credential(_) | SecretSource::Inline(_)) => PathBuf::new(),
    }
}

fn addresses() -> Vec<Candidate> {
    // Whoever cannot list addresses says so when it is to bind one.
    let private = crate::agent::check::private_addresses().unwrap_or_default().into_iter();
    private.map(|(ip, interface, outward)| Candidate { ip, interface, outward }).collect()
}
