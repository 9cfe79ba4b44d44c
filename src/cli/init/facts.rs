//! What is found on this host. Nothing is changed.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::config::DEFAULT;
use super::Kind;
use super::existing::contradictions;
use super::firewall::Walls;
use super::nginx::Nginx;
use super::units::Units;
use super::wanted::Wanted;
use crate::agent::hand::{self, HandError};
use crate::config::{self, Config, ConfigErrors, Loaded, SecretSource, Source, Sources};
use crate::crypto::KeyId;
use crate::error::{Explain as _, Trouble};
use crate::nginx::{Context, Form};
use crate::status::shell::argument;
use crate::upstream::UpstreamName;

/// Everything that the plan depends on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) configuration: Found,
    /// Files beside it, in the order in which they are read.
    pub(super) drop_ins: Vec<PathBuf>,
    /// Whether the agent may read them all.
    pub(super) access: Access,
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
    /// Of a web server: the site on port 80 that passes requests on to this upstream.
    pub(super) balancers_site: Option<(PathBuf, UpstreamName)>,
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

/// Whether the agent, which is no root, may read the configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Access {
    /// Files of root's that it may not, or that others may write.
    pub(super) closed: Vec<PathBuf>,
    /// What is not ours to change.
    pub(super) trouble: Option<Trouble>,
}

/// The agent's user, by its numbers.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

/// Owner, group and mode of a file or directory.
#[derive(Clone, Copy, Debug)]
struct Rights {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Rights {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() })
    }

    /// Whether `user` may read a file (4), or go through a directory (1).
    const fn allow(self, user: User, bit: u32) -> bool {
        let shift = if self.uid == user.uid {
            6
        } else if self.gid == user.gid {
            3
        } else {
            0
        };
        self.mode >> shift & bit != 0
    }

    /// Whether anybody but root may write it.
    const fn is_open(self) -> bool {
        self.mode & 0o022 != 0
    }
}

impl Access {
    fn look<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        let mut access = Self::default();
        // Without the user there is no package.
        let Ok(Some(weir)) = nix::unistd::User::from_name("weir") else { return access };
        let user = User { uid: weir.uid.as_raw(), gid: weir.gid.as_raw() };
        for path in paths {
            access.take(path, user, 0);
        }
        access
    }

    /// `owner` is root.
    fn take(&mut self, path: &Path, user: User, owner: u32) {
        let (Ok(real), Some(rights)) = (path.canonicalize(), Rights::of(path)) else { return };
        let mut on_the_way = real.ancestors().skip(1);
        let shut = on_the_way.find(|on_the_way| Rights::of(on_the_way).is_some_and(|rights| !rights.allow(user, 1)));
        let may_read = rights.allow(user, 4);
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if shut.is_none() && may_read && !(rights.is_open() && rights.uid == owner && !is_link) {
            return;
        }
        if shut.is_none() && !is_link && rights.uid == owner {
            return self.closed.push(path.to_owned());
        }
        let shown = argument(&real.display().to_string()).into_owned();
        let what = match shut {
            Some(directory) => {
                format!("the agent may not read {shown}: {} is closed to user weir", directory.display())
            }
            None => format!("the agent may not read {shown}: it is closed to user weir"),
        };
        let way_out = match (shut, is_link) {
            (Some(_), true) => format!("put the file itself at {}", path.display()),
            (Some(directory), false) => {
                format!("'chgrp weir {0}' and 'chmod 750 {0}', then again", directory.display())
            }
            (None, _) => format!("'chown root:weir {shown}' and 'chmod 640 {shown}', then again"),
        };
        self.trouble.get_or_insert(Trouble::new(what, way_out));
    }
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
        let drop_ins = drop_ins(&Path::new(DEFAULT).with_extension("d"));
        let access = Access::look(std::iter::once(Path::new(DEFAULT)).chain(drop_ins.iter().map(PathBuf::as_path)));
        Self {
            nginx: (wanted.kind == Kind::Balancer).then(|| balanced(&configuration, wanted)).flatten(),
            balancers_site: (wanted.kind == Kind::Web).then(|| balancers_site(&configuration)).flatten(),
            ring: ring(&configuration),
            ring_path: ring_path(&configuration),
            configuration,
            drop_ins,
            access,
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
pub(super) fn aside(path: &Path) -> PathBuf {
    let name = |number: u32| PathBuf::from(format!("{}.old{number}", path.display()));
    let names = std::iter::once(PathBuf::from(format!("{}.old", path.display()))).chain((2..).map(name));
    names.into_iter().find(|name| name.symlink_metadata().is_err()).unwrap_or_else(|| name(0))
}

/// As the unit reads it, which has none of our environment.
pub(super) fn sources(path: &Path) -> Sources {
    let here = Sources::here(vec![Source::File(path.into())], config::Overrides::default(), false);
    Sources { environment: Vec::new(), pipes: false, ..here }
}

/// As the configuration's reader takes them; what cannot be listed it tells itself.
fn drop_ins(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let is_wanted =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "toml") && !is_hidden(path) && !path.is_dir();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_wanted).collect();
    paths.sort();
    paths
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
        Found::Read(loaded) if !loaded.config.upstreams.is_empty() && !is_replaced(&loaded.config, wanted) => {
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

/// Whether another is written in its place.
fn is_replaced(config: &Config, wanted: &Wanted) -> bool {
    wanted.force && !contradictions(config, wanted).is_empty()
}

/// Of a web server: what is left of a balancer.
fn balancers_site(found: &Found) -> Option<(PathBuf, UpstreamName)> {
    match found {
        Found::Read(loaded) => super::nginx::balancers_site(&loaded.config),
        Found::Missing | Found::Wrong(_) => super::nginx::balancers_site(&Config::default()),
    }
}

fn addresses() -> Vec<Candidate> {
    // Whoever cannot list addresses says so when it is to bind one.
    let private = crate::agent::check::private_addresses().unwrap_or_default().into_iter();
    private.map(|(ip, interface, outward)| Candidate { ip, interface, outward }).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_the_agent_may_not_read_is_mended_or_told() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("it is ours");
        let (file, link, shut) = (dir.path().join("weir.toml"), dir.path().join("link"), dir.path().join("shut"));
        fs::create_dir(&shut).expect("it is ours");
        fs::write(&file, "").expect("it is ours");
        fs::write(shut.join("w.toml"), "").expect("it is ours");
        let Rights { uid: own, gid, .. } = Rights::of(&file).expect("it is there");
        let user = User { uid: own + 1, gid };
        let look = |path: &Path, owner| {
            let mut access = Access::default();
            access.take(path, user, owner);
            (access.closed.len(), access.trouble.map(|trouble| trouble.way_out).unwrap_or_default())
        };
        for (mode, closed) in [(0o640, 0), (0o644, 0), (0o600, 1), (0o660, 1), (0o604, 1)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(look(&file, own), (closed, String::new()), "{mode:o}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let shown = file.display();
        let by_hand = format!("'chown root:weir {shown}' and 'chmod 640 {shown}', then again");
        assert_eq!(look(&file, own + 2), (0, by_hand.clone()), "it is somebody's");
        symlink(&file, &link).expect("it is ours");
        assert_eq!(look(&link, own), (0, by_hand));
        fs::remove_file(&link).expect("it is ours");
        symlink(shut.join("w.toml"), &link).expect("it is ours");
        fs::set_permissions(&shut, Permissions::from_mode(0o700)).expect("it is ours");
        assert_eq!(look(&link, own), (0, format!("put the file itself at {}", link.display())));
        assert_eq!(look(&dir.path().join("none"), own), (0, String::new()));
    }
}
