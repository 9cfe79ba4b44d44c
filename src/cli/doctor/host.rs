//! This host: files and who may use them, its clock, its ring.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::super::connect::{self, AgentArgs, Environment};
use super::super::failure::Failure;
use super::reach::RESOLVE_TIMEOUT;
use super::unit::Unit;
use super::{directory_of, unit};
use crate::agent::hand;
use crate::config::{ApplyMode, Config, Loaded, SecretSource};
use crate::file;
use crate::nginx::Context;
use crate::rpc::client::Address;
use crate::serf::Status;
use crate::snapshot::{self, Replay, Rules, UnixTime};
use crate::status::doctor::{Access, File, Files, Purpose, Ring, Stat, User};
use crate::status::node::Member;

/// The address of the agent that flags or environment name, if it is not this host's.
pub(super) async fn elsewhere(args: &AgentArgs) -> Result<Option<Address>, Failure> {
    let addresses = connect::candidates(args.rpc_addr.as_deref(), &Environment::read())?;
    for address in addresses {
        let Address::Tcp(place) = &address else { continue };
        // What has no address is nobody's; that it has none is said where it is dialled.
        let Ok(Ok(found)) = timeout(RESOLVE_TIMEOUT, lookup_host(place)).await else { continue };
        let found: Vec<SocketAddr> = found.collect();
        if !found.is_empty() && !found.iter().any(|addr| is_own(addr.ip())) {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Whether an address is one of this host's: only those can be bound.
pub(super) fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Everything about files.
pub(super) fn files(loaded: &Loaded, agent: Option<User>, unit: Option<&Unit>) -> Files {
    let config = &loaded.config;
    let secret = matches!(config.encryption.keyring, Some(SecretSource::Inline(_)))
        || matches!(config.rpc.token, Some(SecretSource::Inline(_)));
    let mut list: Vec<(Purpose, PathBuf)> =
        loaded.files.iter().map(|path| (Purpose::Config { secret }, path.clone())).collect();
    // Where the agent replaces files it needs the directory, and space.
    let mut homes = BTreeSet::new();
    if let Some(SecretSource::File(path)) = &config.encryption.keyring {
        list.push((Purpose::Keyring, path.clone()));
        homes.insert(home_of(path));
    }
    if let Some(path) = config.encryption.keyring.as_ref().and_then(hand::state_path) {
        list.push((Purpose::KeyState, path));
    }
    if let Some(SecretSource::File(path)) = &config.rpc.token {
        list.push((Purpose::Token, path.clone()));
    }
    if let Some(path) = &config.snapshot.path {
        list.push((Purpose::Snapshot, path.clone()));
        homes.insert(home_of(path));
    }
    if let Some(path) = &config.rpc.socket {
        list.push((Purpose::Socket, path.clone()));
    }
    let of_upstreams = config.upstreams.iter().filter_map(|upstream| Some(&upstream.file.as_ref()?.output));
    let of_templates = config.templates.iter().map(|template| &template.output);
    let outputs = of_upstreams.chain(of_templates).map(|output| there_or_made(directory_of(output), config));
    let outputs: BTreeSet<PathBuf> = outputs.collect();
    list.extend(homes.iter().map(|path| (Purpose::Directory, path.clone())));
    match config.apply.mode {
        ApplyMode::Direct => list.extend(outputs.iter().map(|path| (Purpose::Output, path.clone()))),
        // Its unit lets it write there; what is in its way it says itself.
        ApplyMode::Helper => {}
    }
    let mut spaces: BTreeSet<&PathBuf> = homes.union(&outputs).collect();
    if !outputs.is_empty() && config.apply.state.exists() {
        if config.apply.mode == ApplyMode::Direct {
            list.push((Purpose::Record, config.apply.state.clone()));
        }
        spaces.insert(&config.apply.state);
    }
    let asker = asker();
    let links = list.iter().filter(|(_, path)| path.is_symlink());
    let links = links.filter_map(|(_, path)| Some((shown(path), shown(&crate::agent::file::target(path).ok()?))));
    let links = links.collect();
    let paths: Vec<PathBuf> = list.iter().map(|(_, path)| path.clone()).collect();
    let access = access(&paths, &asker, agent.as_ref(), unit);
    Files {
        agent,
        sandbox: unit.map(|unit| unit.sandbox.clone()),
        asker,
        rpc_group: group_named(&config.rpc.group),
        files: list.into_iter().zip(access).map(|((purpose, path), access)| file(purpose, &path, access)).collect(),
        links,
        space: spaces.into_iter().filter_map(|path| space(path)).collect(),
        exchange: outputs.iter().filter(|path| path.is_dir()).map(|path| (shown(path), exchanges(path))).collect(),
    }
}

/// A directory that weir makes where it is not there: the one above it has to be right then.
fn there_or_made(directory: PathBuf, config: &Config) -> PathBuf {
    let made = config.nginx.config.with_file_name(Context::Stream.directory());
    if directory == made && !directory.exists() { directory_of(&directory) } else { directory }
}

/// The directory in which a file is replaced: that of the file itself, where `path` is a link to it.
fn home_of(path: &Path) -> PathBuf {
    directory_of(&crate::agent::file::target(path).unwrap_or_else(|_| path.to_owned()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What the agent may do with each of `paths`, where that can be tried: in the unit's place, or by whoever is the agent's user.
fn access(paths: &[PathBuf], asker: &User, agent: Option<&User>, unit: Option<&Unit>) -> Vec<Option<Access>> {
    let tried = match unit {
        Some(unit) => unit.access(paths),
        None if agent.map_or(0, |agent| agent.uid) == asker.uid => {
            Some(paths.iter().map(|path| super::super::access::look(path)).collect())
        }
        None => None,
    };
    tried.map_or_else(|| vec![None; paths.len()], |tried| tried.into_iter().map(Some).collect())
}

fn file(purpose: Purpose, path: &Path, access: Option<Access>) -> File {
    let (stat, denied) = match fs::metadata(path) {
        Ok(metadata) => (Some(stat(path, &metadata)), false),
        Err(error) => (None, error.kind() == io::ErrorKind::PermissionDenied),
    };
    File { purpose, path: shown(path), stat, denied, access }
}

fn stat(path: &Path, metadata: &Metadata) -> Stat {
    let user = nix::unistd::User::from_uid(metadata.uid().into()).ok().flatten();
    let group = nix::unistd::Group::from_gid(metadata.gid().into()).ok().flatten();
    Stat {
        mode: metadata.permissions().mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        owner: user.map_or_else(|| metadata.uid().to_string(), |user| user.name),
        group: group.map_or_else(|| metadata.gid().to_string(), |group| group.name),
        mount: metadata.is_file() && crate::agent::file::is_mount_point(path),
        directory: metadata.is_dir(),
        acl: has_acl(path),
    }
}

/// Whether an access control list goes beyond the mode. A file system without such lists has none.
fn has_acl(path: &Path) -> bool {
    let mut list = [0_u8; 256];
    match rustix::fs::getxattr(path, "system.posix_acl_access", &mut list) {
        Ok(bytes) => bytes > 0,
        Err(error) => error == rustix::io::Errno::RANGE,
    }
}

/// Who runs this program.
fn asker() -> User {
    let uid = rustix::process::geteuid().as_raw();
    user_of_process(std::process::id()).unwrap_or(User { uid, name: uid.to_string(), groups: Vec::new() })
}

/// Whom a process of this program runs as, by what the kernel tells everybody.
pub(super) fn user_of_process(pid: u32) -> Option<User> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    // A number of another namespace may be anybody's here.
    if pid != std::process::id() && !matches!(name.trim_end(), "weir" | "serf") {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    let uid = *numbers("Uid:").get(1)?;
    let mut groups = numbers("Groups:");
    groups.extend(numbers("Gid:").get(1));
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    Some(User { uid, name: user.map_or_else(|| uid.to_string(), |user| user.name), groups })
}

/// Whether the file that a process of this program was started from has been replaced. Only root and the process's own user are told.
pub(super) fn is_replaced(pid: u32) -> bool {
    // As the kernel marks it: proc_pid_exe(5).
    let file = fs::read_link(format!("/proc/{pid}/exe"));
    file.is_ok_and(|file| file.as_os_str().as_encoded_bytes().ends_with(b"/weir (deleted)"))
}

/// A user of this host and its own group.
pub(super) fn user_named(name: &str) -> Option<User> {
    let user = nix::unistd::User::from_name(name).ok()??;
    Some(User { uid: user.uid.as_raw(), name: user.name, groups: vec![user.gid.as_raw()] })
}

fn group_named(name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    nix::unistd::Group::from_name(name).ok()?.map(|group| group.name)
}

/// Free bytes of a directory's file system, and whether it is mounted read-only.
fn space(path: &Path) -> Option<(String, u64, bool)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let read_only = stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    Some((shown(path), stat.f_bavail.saturating_mul(stat.f_frsize), read_only))
}

/// Whether two files in a directory can change places in one step, tried with two of our own that no include loads.
fn exchanges(directory: &Path) -> Option<bool> {
    let make = || tempfile::Builder::new().prefix(".weir-doctor-").tempfile_in(directory).ok();
    let (one, other) = (make()?, make()?);
    let cwd = rustix::fs::CWD;
    match rustix::fs::renameat_with(cwd, one.path(), cwd, other.path(), rustix::fs::RenameFlags::EXCHANGE) {
        Ok(()) => Some(true),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => Some(false),
        Err(_) => None,
    }
}

/// The ring as the agent would read it.
pub(super) fn ring(config: &Config) -> Ring {
    let Some(source) = &config.encryption.keyring else { return Ring::Off };
    match hand::read(source) {
        Ok(ring) => Ring::Read {
            ids: ring.keys().iter().map(|key| key.id().to_string()).collect(),
            guessable: ring.keys().iter().filter(|key| key.is_guessable()).map(|key| key.id().to_string()).collect(),
            read_only: matches!(source, SecretSource::Credential(_)),
        },
        Err(error) => {
            let is_denied = error.is_denied();
            let trouble = super::trouble(&error);
            if is_denied { Ring::Denied { what: trouble.what } } else { Ring::Bad(trouble) }
        }
    }
}

/// What an agent of this host would find in its snapshot.
fn replay(config: &Config) -> Option<Replay> {
    let bytes = file::read(config.snapshot.path.as_ref()?, snapshot::MAX_BYTES).ok()?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = UnixTime(since_epoch.map_or(0, |since| since.as_secs()));
    Some(Replay::read(&bytes, Rules { rejoin_after_leave: true, failed_for: config.gossip.reconnect_timeout, now }))
}

/// The address that the last agent of this host advertised.
pub(super) fn advertised(config: &Config) -> Option<IpAddr> {
    replay(config)?.state.own_address(&config.node.name).map(|addr| addr.ip())
}

/// The members that an agent of this host would try after a start.
pub(super) fn remembered(config: &Config) -> Vec<Member> {
    let member = |peer: &snapshot::Peer| Member {
        name: peer.name.as_str().to_owned(),
        addr: peer.addr,
        // Perhaps: this was written by an earlier run.
        status: Status::Failed.into(),
        since: None,
        tags: Default::default(),
        envelope: None,
        own: false,
    };
    let replay = replay(config);
    replay.iter().flat_map(|replay| replay.state.dial_order(&config.node.name)).map(member).collect()
}

/// Whether something keeps this clock right, by whoever can be asked first.
pub(super) fn synchronised() -> Option<(bool, &'static str)> {
    let limit = Duration::from_secs(3);
    let asked = unit::output("timedatectl", &["show", "--property=NTPSynchronized", "--value"], limit);
    match asked.as_deref().map(str::trim) {
        Some("yes") => return Some((true, "timedatectl")),
        Some("no") => return Some((false, "timedatectl")),
        Some(_) | None => {}
    }
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some((true, "systemd-timesyncd"));
    }
    // The last field says whether the source is one: `Normal`, or `Not synchronised`.
    let tracking = unit::output("chronyc", &["-c", "tracking"], limit)?;
    let state = tracking.trim().rsplit(',').next()?.to_owned();
    (!state.is_empty()).then(|| (state != "Not synchronised", "chronyc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_another_host_is_told_from_one_of_this() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // TEST-NET-1 and the documentation's IPv6 prefix are nobody's.
        for (place, other) in [
            ("192.0.2.1:7373", true),
            ("[2001:db8::1]:7373", true),
            ("127.0.0.9:7373", false),
            ("0.0.0.0:7373", false),
            ("localhost:7373", false),
            ("unix:/run/weir/rpc.sock", false),
        ] {
            let args = AgentArgs { rpc_addr: Some(place.to_owned()), ..AgentArgs::default() };
            assert_eq!(runtime.block_on(elsewhere(&args)).unwrap().is_some(), other, "{place}");
        }
    }

    #[test]
    fn an_access_control_list_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "x").unwrap();
        assert!(!has_acl(&path) && !has_acl(&dir.path().join("none")));
        // Version 2: the owner rw, user 990 r, the group r, the mask r, others nothing.
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, bits, id) in
            [(1_u16, 6_u16, u32::MAX), (2, 4, 990), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
        {
            list.extend([tag.to_le_bytes(), bits.to_le_bytes()].concat());
            list.extend(id.to_le_bytes());
        }
        match rustix::fs::setxattr(&path, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty()) {
            Err(rustix::io::Errno::OPNOTSUPP) => {} // not on this file system
            set => {
                set.unwrap();
                assert!(has_acl(&path));
            }
        }
    }
}
