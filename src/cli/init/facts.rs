//! What is found on this host. Nothing is changed.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::config::DEFAULT;
use super::super::doctor::Unit;
use super::super::failure::Failure;
use super::Kind;
use super::beside::Beside;
use super::document::Document;
use super::existing::contradictions;
use super::firewall::Walls;
use super::guard::Guarded;
use super::nginx::Nginx;
use super::port::{Choice, Ports};
use super::units::Units;
use super::wanted::Wanted;
use crate::agent::hand::{self, HandError};
use crate::config::{self, Advertise, Config, ConfigErrors, GOSSIP_PORT, Loaded, SecretSource, Source, Sources};
use crate::crypto::KeyId;
use crate::error::{Explain as _, Trouble};
use crate::nginx::{Context, Form};
use crate::status::doctor::{Access as UnitAccess, Permission};
use crate::status::shell::argument;
use crate::upstream::UpstreamName;

/// The directory that the unit has for its own.
const STATE: &str = "/var/lib/weir";

/// Everything that the plan depends on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) configuration: Found,
    /// What it was written as, if nobody has edited it since.
    pub(super) written: Option<Document>,
    /// The one that the agent is to have, as far as it is known before anything is asked: with the files beside it.
    pub(super) coming: Config,
    /// Files beside it, in the order in which they are read.
    pub(super) drop_ins: Vec<PathBuf>,
    /// What they say of addresses.
    pub(super) beside: Beside,
    /// Whether the agent may read them all.
    pub(super) access: Access,
    /// Where one that is written anew is kept.
    pub(super) aside: PathBuf,
    pub(super) ring: Ring,
    pub(super) ring_path: PathBuf,
    /// Why the agent cannot keep it there.
    pub(super) ring_place: Option<Trouble>,
    /// The private addresses of this host; the choice among several is not ours.
    pub(super) addresses: Vec<Candidate>,
    /// Others reach it by IPv6 and not by IPv4.
    pub(super) ipv6_alone: bool,
    /// All of them.
    pub(super) own: Vec<IpAddr>,
    pub(super) units: Units,
    /// By the running agent's word.
    pub(super) pending: Pending,
    /// Of a balancer.
    pub(super) nginx: Option<Balanced>,
    /// Of a web server: the site on port 80 that passes requests on to this upstream.
    pub(super) balancers_site: Option<(PathBuf, UpstreamName)>,
    /// The application that was named.
    pub(super) guarded: Option<Guarded>,
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
    /// The configuration, which may be `ours` as it was written, and the files beside it.
    fn look(path: &Path, ours: bool, drop_ins: &[PathBuf]) -> Self {
        let mut access = Self::default();
        // Without the user there is no package.
        let Ok(Some(weir)) = nix::unistd::User::from_name("weir") else { return access };
        let user = User { uid: weir.uid.as_raw(), gid: weir.gid.as_raw() };
        access.take(path, user, 0, ours);
        drop_ins.iter().for_each(|path| access.take(path, user, 0, false));
        access
    }

    /// `owner` is root. What is `ours` goes back to it from whoever has it.
    fn take(&mut self, path: &Path, user: User, owner: u32, ours: bool) {
        let link = std::fs::read_link(path).ok();
        let (Ok(real), Some(rights)) = (path.canonicalize(), Rights::of(path)) else {
            if let Some(target) = link {
                let path = path.display();
                let what = format!("{path} leads to {}, which is not there", target.display());
                let way_out = format!("'sudo rm {path}', or put the file there, then again");
                self.trouble.get_or_insert(Trouble::new(what, way_out));
            }
            return;
        };
        let mut on_the_way = real.ancestors().skip(1);
        let shut = on_the_way.find(|on_the_way| Rights::of(on_the_way).is_some_and(|rights| !rights.allow(user, 1)));
        let may_read = rights.allow(user, 4);
        let is_roots = rights.uid == owner;
        if shut.is_none() && may_read && is_roots && !rights.is_open() {
            return;
        }
        if shut.is_none() && link.is_none() && (is_roots || ours) {
            return self.closed.push(path.to_owned());
        }
        let shown = argument(&real.display().to_string()).into_owned();
        let what = match shut {
            Some(directory) => {
                format!("the agent may not read {shown}: {} is closed to user weir", directory.display())
            }
            None if !may_read => format!("the agent may not read {shown}: it is closed to user weir"),
            None => format!("others than root may write {shown}"),
        };
        let way_out = match (shut, link.is_some()) {
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
    /// The unit brings it along, by this name.
    Credential(String),
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
    pub(super) fn look(wanted: &Wanted) -> Result<Self, Failure> {
        let path = Path::new(DEFAULT);
        let configuration = configuration(path);
        let written = std::fs::read_to_string(path).ok().and_then(|text| Document::written(&text));
        let drop_ins = drop_ins(&path.with_extension("d"));
        let access = Access::look(path, written.is_some(), &drop_ins);
        let checked = written.as_ref().and_then(Document::unit);
        let look = |application| Guarded::look(application, listening(&configuration), checked);
        let guarded = wanted.unit.as_ref().map(look).transpose()?;
        let (coming, is_new) = match &configuration {
            Found::Read(loaded) if !is_replaced(&loaded.config, wanted, guarded.as_ref()) => {
                (loaded.config.clone(), false)
            }
            Found::Read(_) | Found::Missing | Found::Wrong(_) => (coming(wanted, &drop_ins), true),
        };
        Ok(Self {
            nginx: (wanted.kind == Kind::Balancer).then(|| balanced(&coming, wanted, is_new)).flatten(),
            balancers_site: (wanted.kind == Kind::Web).then(|| super::nginx::balancers_site(&coming)).flatten(),
            ring: ring(&coming),
            ring_place: ring_place(&ring_path(&coming)),
            ring_path: ring_path(&coming),
            configuration,
            beside: Beside::of(&coming, &drop_ins),
            written,
            drop_ins,
            access,
            aside: aside(path),
            addresses: addresses(),
            ipv6_alone: crate::agent::check::has_ipv6_alone().unwrap_or_default(),
            own: crate::agent::check::own_addresses().unwrap_or_default(),
            units: Units::look(),
            pending: Pending::default(),
            guarded,
            walls: Walls::look(),
            coming,
        })
    }
}

impl Facts {
    /// Whether nobody but this host's own agent is there.
    pub(super) fn is_own_agent(&self, addr: SocketAddr) -> bool {
        let ip = addr.ip().to_canonical();
        let is_own = ip.is_loopback() || ip.is_unspecified() || self.own.contains(&ip);
        is_own && addr.port() == self.gossip_port()
    }

    /// Where the agent takes gossip, by the configuration that is there, or else by the files beside it.
    fn gossip_port(&self) -> u16 {
        let of = |loaded: &Loaded| loaded.config.gossip.bind.port;
        match &self.configuration {
            Found::Read(loaded) => of(loaded),
            Found::Missing if !self.drop_ins.is_empty() => {
                let paths = self.drop_ins.iter().cloned().map(Source::File).collect();
                let alone = Sources { paths, ..sources(Path::new(DEFAULT)) };
                config::load(&alone).as_ref().map_or(GOSSIP_PORT, of)
            }
            Found::Missing | Found::Wrong(_) => GOSSIP_PORT,
        }
    }
}

impl Facts {
    /// Where the configuration so far has others find this server, if it says so.
    pub(super) fn former(&self) -> Option<IpAddr> {
        match &self.configuration {
            Found::Read(loaded) => match loaded.config.gossip.advertise {
                Advertise::Address(ip, _) => Some(ip),
                Advertise::Auto | Advertise::FirstPrivate => None,
            },
            Found::Missing | Found::Wrong(_) => None,
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

/// As far as it was said what is to be written, with the files beside it. Where they are wrong that is told before anything is written.
pub(super) fn coming(wanted: &Wanted, drop_ins: &[PathBuf]) -> Config {
    let load = || {
        let directory = tempfile::tempdir().ok()?;
        let path = directory.path().join("weir.toml");
        std::fs::write(&path, Document::sketched(wanted).text()).ok()?;
        let mut sources = sources(&path);
        sources.paths.extend(drop_ins.iter().cloned().map(Source::File));
        config::load(&sources).ok()
    };
    load().map(|loaded| loaded.config).unwrap_or_default()
}

/// Whose the port is of a web server that is configured; `None` where none is.
fn listening(found: &Found) -> Option<Option<String>> {
    let Found::Read(loaded) = found else { return None };
    let port = loaded.config.node.tags.get("port").and_then(|port| port.parse().ok()).unwrap_or(80);
    match Ports::look(Some(port)).choose(Some(port)) {
        Choice::Port(_, listener) => Some(listener.and_then(|listener| listener.unit)),
        Choice::Several(_) | Choice::Stopped(..) | Choice::Hidden(_) | Choice::Nothing => Some(None),
    }
}

fn ring(config: &Config) -> Ring {
    let source = match &config.encryption.keyring {
        None | Some(SecretSource::Inline(_)) => return Ring::None,
        // What the unit has is not seen from here.
        Some(SecretSource::Credential(name)) => return Ring::Credential(name.clone()),
        Some(source @ SecretSource::File(_)) => source,
    };
    match hand::read(source) {
        Ok(ring) => Ring::Held(ring.primary().id()),
        Err(HandError::Load(error)) if error.is_missing() => Ring::Missing,
        Err(error) => Ring::Bad(Trouble::new(crate::error::what(&error), error.remedy().unwrap_or_default())),
    }
}

/// Where a keyring is, or goes.
fn ring_path(config: &Config) -> PathBuf {
    match &config.encryption.keyring {
        Some(SecretSource::File(path)) => path.clone(),
        None | Some(SecretSource::Credential(_) | SecretSource::Inline(_)) => PathBuf::new(),
    }
}

/// Whether the unit lets the agent put files beside its keyring, as a rotation does. Blocks.
fn ring_place(path: &Path) -> Option<Trouble> {
    let target = crate::agent::file::target(path).ok()?;
    let directory = target.parent().filter(|directory| *directory != Path::new(STATE))?;
    let access = Unit::ask()?.access(&[directory.to_owned()])?.pop()?;
    unwritable(directory, &access)
}

fn unwritable(directory: &Path, access: &UnitAccess) -> Option<Trouble> {
    let why = match access.lacks(0o3)? {
        Permission::ReadOnly => "is read-only for weir.service (ProtectSystem=)",
        Permission::Denied => "is not user weir's to write",
        Permission::Missing => "is not there for weir.service",
        Permission::Granted | Permission::Unknown => return None,
    };
    let what = format!("{} {why}: the agent cannot keep its keyring there", directory.display());
    let way_out = "set encryption.keyring = \"/var/lib/weir/keyring.json\" ('weir config show --origin' says where it is set now)";
    Some(Trouble::new(what, way_out))
}

/// `None` where no upstream is NGINX's to pass requests to. The one of a configuration that is new is known by its name.
fn balanced(config: &Config, wanted: &Wanted, is_new: bool) -> Option<Balanced> {
    let name = if is_new { Some(wanted.upstream()) } else { wanted.upstream.clone() };
    let (upstream, output) = if config.upstreams.is_empty() {
        let upstream = wanted.upstream();
        let directory = config.nginx.config.with_file_name(Context::Http.directory());
        let output = directory.join(format!("weir-{upstream}.conf"));
        (upstream, output)
    } else {
        config.upstreams.iter().find_map(|upstream| {
            let file = upstream.file.as_ref()?;
            let is_plain = file.block.context == Context::Http && file.block.form == Form::Block;
            let is_wanted = name.as_ref().is_none_or(|name| *name == upstream.options.name);
            (is_plain && is_wanted).then(|| (upstream.options.name.clone(), file.output.clone()))
        })?
    };
    Some(Balanced { nginx: Nginx::look(config, &output), upstream, output })
}

/// Whether another is written in its place.
pub(super) fn is_replaced(config: &Config, wanted: &Wanted, guarded: Option<&Guarded>) -> bool {
    let is_amended = || guarded.is_some_and(|guarded| !guarded.amendment(config).is_empty());
    wanted.force && (!contradictions(config, wanted).is_empty() || is_amended())
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
    fn what_lies_beside_the_configuration_counts_before_that_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let drop_in = dir.path().join("a.toml");
        let wanted = |kind| Wanted {
            kind,
            role: None,
            name: Some("x1".to_owned()),
            address: None,
            join: Some("lb1".parse().expect("it is a name")),
            port: None,
            tags: Default::default(),
            upstream: None,
            unit: None,
            site: super::super::Site::Auto,
            force: false,
        };
        let coming = |kind, text: &str| {
            fs::write(&drop_in, text).expect("it is ours");
            coming(&wanted(kind), std::slice::from_ref(&drop_in))
        };
        let path = dir.path().join("k.json");
        let moved = coming(Kind::Web, &format!("encryption.keyring = {:?}\n", path.display().to_string()));
        assert_eq!((ring_path(&moved), ring(&moved)), (path, Ring::Missing));
        let unit = coming(Kind::Web, "encryption.keyring = \"credential:ring\"\ncheck.site.interval = \"1s\"\n");
        assert_eq!(ring(&unit), Ring::Credential("ring".to_owned()));
        assert_eq!(ring(&coming(Kind::Balancer, "encryption.seal = \"off\"\n")), Ring::None);
        let bound =
            coming(Kind::Balancer, "gossip.bind = \"10.0.0.1:7947\"\nupstream.web.nginx.method = \"least_conn\"\n");
        assert_eq!((bound.gossip.bind.port, bound.upstreams.len()), (7947, 1));
        assert!(coming(Kind::Web, "x=").checks.is_empty(), "what is wrong is told later");
    }

    #[test]
    fn a_keyring_where_the_agent_cannot_write_is_told() {
        use Permission::{Denied, Granted, Missing, ReadOnly, Unknown};
        for (write, execute, why) in [
            (Granted, Granted, None),
            (ReadOnly, Granted, Some("is read-only for weir.service (ProtectSystem=)")),
            (Denied, Granted, Some("is not user weir's to write")),
            (Missing, Missing, Some("is not there for weir.service")),
            (Unknown, Granted, None),
        ] {
            let access = UnitAccess { read: Granted, write, execute, closed: None, mount: false };
            let told = unwritable(Path::new("/etc/weir"), &access).map(|trouble| trouble.what);
            assert_eq!(told, why.map(|why| format!("/etc/weir {why}: the agent cannot keep its keyring there")));
        }
    }

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
        let look_at = |path: &Path, owner, ours| {
            let mut access = Access::default();
            access.take(path, user, owner, ours);
            (access.closed.len(), access.trouble.map(|trouble| trouble.way_out).unwrap_or_default())
        };
        let look = |path: &Path, owner| look_at(path, owner, false);
        for (mode, closed) in [(0o640, 0), (0o644, 0), (0o600, 1), (0o660, 1), (0o604, 1)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(look(&file, own), (closed, String::new()), "{mode:o}");
        }
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let shown = file.display();
        let by_hand = format!("'chown root:weir {shown}' and 'chmod 640 {shown}', then again");
        assert_eq!(look(&file, own + 2), (0, by_hand.clone()), "it is somebody's");
        for mode in [0o600, 0o640, 0o664] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(look(&file, own + 2), (0, by_hand.clone()), "{mode:o}: whoever has it rules this node");
            assert_eq!(look_at(&file, own + 2, true), (1, String::new()), "{mode:o}: it is as it was written");
        }
        symlink(&file, &link).expect("it is ours");
        assert_eq!(look(&link, own), (0, by_hand));
        fs::remove_file(&link).expect("it is ours");
        symlink(shut.join("w.toml"), &link).expect("it is ours");
        fs::set_permissions(&shut, Permissions::from_mode(0o700)).expect("it is ours");
        assert_eq!(look(&link, own), (0, format!("put the file itself at {}", link.display())));
        assert_eq!(look(&dir.path().join("none"), own), (0, String::new()));
        fs::remove_file(&link).expect("it is ours");
        symlink("/nonexistent/w.toml", &link).expect("it is ours");
        let dangling = format!("'sudo rm {}', or put the file there, then again", link.display());
        assert_eq!(look(&link, own), (0, dangling));
    }
}
