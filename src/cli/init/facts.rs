//! What is found on this host. Nothing is changed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::super::config::DEFAULT;
use super::Kind;
use super::firewall::Walls;
use super::nginx::Nginx;
use super::units::Units;
use super::wanted::Wanted;
use crate::agent::hand::{self, HandError};
use crate::config::{self, Config, ConfigErrors, Loaded, SecretSource, Source, Sources};
use crate::crypto::KeyId;
use crate::error::{Explain as _, Trouble};
use crate::nginx::{Context, Form};
use crate::upstream::UpstreamName;

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
    /// All of them.
    pub(super) own: Vec<IpAddr>,
    pub(super) units: Units,
    /// By the running agent's word.
    pub(super) pending: Pending,
    /// Of a balancer.
    pub(super) nginx: Option<Balanced>,
    /// Firewalls, and what else is between this server and others.
    pub(super) walls: Walls,
}

/// What of the configuration the running agent has not taken over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Pending {
    #[default]
    Nothing,
    /// It does so on reload.
    Live,
    /// It does so when it is started again.
    Restart,
}

/// The NGINX that balances.
#[derive(Debug)]
pub(super) struct Balanced {
    pub(super) nginx: Nginx,
    /// The first of its upstreams that requests can be passed to.
    pub(super) upstream: UpstreamName,
    /// The file of that one.
    pub(super) output: PathBuf,
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
    pub(super) fn look(wanted: &Wanted) -> Self {
        let configuration = configuration(Path::new(DEFAULT));
        Self {
            nginx: (wanted.kind == Kind::Balancer).then(|| balanced(&configuration, wanted)).flatten(),
            ring: ring(&configuration),
            ring_path: ring_path(&configuration),
            configuration,
            aside: aside(Path::new(DEFAULT)),
            addresses: addresses(),
            own: crate::agent::check::own_addresses().unwrap_or_default(),
            units: Units::look(),
            pending: Pending::default(),
            walls: Walls::look(),
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
    let default = Config::default().encryption.keyring;
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
        Found::Missing | Found::Wrong(_) => Config::default().encryption.keyring,
    };
    match configured {
        Some(SecretSource::File(path)) => path,
        None | Some(SecretSource::Credential(_) | SecretSource::Inline(_)) => PathBuf::new(),
    }
}

/// By the configuration that is there, or by the one that would be; `None` where no upstream is NGINX's to pass requests to.
fn balanced(found: &Found, wanted: &Wanted) -> Option<Balanced> {
    let default = Config::default();
    let (config, upstream, output) = match found {
        Found::Read(loaded) if !loaded.config.upstreams.is_empty() => {
            let config = &loaded.config;
            let (upstream, file) = config.upstreams.iter().find_map(|upstream| {
                let file = upstream.file.as_ref()?;
                let is_plain = file.block.context == Context::Http && file.block.form == Form::Block;
                let is_wanted = wanted.upstream.as_ref().is_none_or(|wanted| *wanted == upstream.options.name);
                (is_plain && is_wanted).then_some((upstream, file))
            })?;
            (config, upstream.options.name.clone(), file.output.clone())
        }
        Found::Read(_) | Found::Missing | Found::Wrong(_) => {
            let upstream = wanted.upstream();
            let directory = default.nginx.config.with_file_name(Context::Http.directory());
            let output = directory.join(format!("weir-{upstream}.conf"));
            (&default, upstream, output)
        }
    };
    Some(Balanced { nginx: Nginx::look(config, &output), upstream, output })
}

fn addresses() -> Vec<Candidate> {
    // Whoever cannot list addresses says so when it is to bind one.
    let private = crate::agent::check::private_addresses().unwrap_or_default().into_iter();
    private.map(|(ip, interface, outward)| Candidate { ip, interface, outward }).collect()
}
