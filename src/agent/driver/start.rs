//! From a configuration to a running agent: address, sockets, keyring, snapshot, endpoint; in this order, so that what is
//! wrong is said before anything was changed.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

use tracing::warn;

use super::super::checks::LocalChecks;
use super::super::commands::{Commands, Pending};
use super::super::discover::Discovery;
use super::super::doctor::Doctor;
use super::super::exec::Handlers;
use super::super::joins::Joins;
use super::super::key_writer::KeyWriter;
use super::super::leave::SafeLeave;
use super::super::log::Log;
use super::super::notice::{Notice, Ready};
use super::super::reload::Reloads;
use super::super::rotate::KeyRequests;
use super::super::serving::Reached;
use super::super::signal::Signals;
use super::super::stop::Stops;
use super::super::store::{Restored, Store};
use super::super::stream::Streams;
use super::super::systemd::Systemd;
use super::super::tags_file::{self, TagChanges};
use super::super::timer::Timer;
use super::super::upstreams::{InPlace, Upstreams};
use super::super::{AgentError, Start, address, bind, check, clock, file, key_state, keyring, random, tags};
use super::Agent;
use crate::config::{Config, Mode, SecretSource};
use crate::crypto::Keyring;
use crate::drain::{DrainTag, Kept};
use crate::endpoint::{self, Endpoint};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::Tags;

/// Binds, reads and connects everything. On an error nothing stays behind.
pub(in crate::agent) async fn start(start: Start, log: Log) -> Result<Agent, AgentError> {
    let Start { loaded, sources, console: _ } = start;
    let config = loaded.config;
    let kept_tags = tags_file::load(&config).map_err(AgentError::Tags)?;
    if let (Some((tags, path)), Mode::Serf) = (&kept_tags, config.mode) {
        log.tell(Notice::TagsRestored { tags: tags.len(), file: path.display().to_string() });
    }
    let files = loaded.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
    log.tell(Notice::Starting { config: files });

    let now = clock::now();
    let (ring, place) = read_keyring(&config)?;
    warn_of_mounts(&config);
    let (udp, listener) = bind::bind(address::to_bind(&config.gossip.bind)?).map_err(AgentError::Bind)?;
    let bound = udp.local();
    let (store, mut restored) = Store::open(&config, now);
    let advertise = address::to_advertise(&config.gossip.advertise, bound, restored.advertised)?;
    // Under an earlier name of ours.
    restored.members.retain(|member| member.addr != advertise);
    restore_tags(&config, kept_tags, &mut restored, &log);
    let state_path = config.encryption.keyring.as_ref().and_then(key_state::path);
    let key_state = state_path.as_deref().map(key_state::load).unwrap_or_default();
    restored.endpoint.sealed = key_state.sealed();
    restored.endpoint.removed = key_state.removed(SystemTime::now());
    restored.endpoint.serf.ballot = key_state.kept_ballot(SystemTime::now());
    tell_listening(&log, &config, bound, ring.as_ref());
    warn_of_choice(&config, advertise.ip());

    let rng = || random::seeded().map_err(AgentError::System);
    let mut checks = LocalChecks::new(now, &config.checks, rng()?);
    let mut tags = own_tags(&config, &restored, &mut checks);
    let kept = restored.drain.take();
    if let Some(Kept { id, since, .. }) = &kept {
        // Our first word to others has it already.
        tags.insert(DrainTag::NAME.to_owned(), DrainTag::new(id.clone(), *since).to_string());
    }
    let options = endpoint::Options { tags, ..config.endpoint(advertise) };
    let (rng, leave_rng) = (rng()?, rng()?);
    let endpoint = Endpoint::new(options, ring, restored.endpoint, rng, Box::new(random::system), now);
    let commands = Commands::listen(&config.rpc, &log)?;
    let discovery = match &config.gossip.discover {
        Some(cluster) => Some(
            Discovery::start(cluster, config.node.name.as_str(), advertise)
                .map_err(|error| AgentError::Discover(error.to_string()))?,
        ),
        None => None,
    };
    let from_snapshot = restored.members.len();
    let joins = Joins::new(&config, restored.members, discovery, log.clone(), now);
    let mut agent = Agent {
        started: now,
        streams: Streams::new(bound.ip()),
        timer: Timer::new().map_err(AgentError::System)?,
        signals: Signals::new().map_err(AgentError::System)?,
        stops: Stops::default(),
        systemd: Systemd::from_environment(now),
        handlers: Handlers::new(&config.handlers, config.mode),
        checks,
        pending: Pending::default(),
        upstreams: upstreams(&config, &restored.gone, now),
        safe_leave: SafeLeave::new(&config, kept, leave_rng, now),
        leaving: None,
        exit: None,
        keys: KeyWriter::new(place, state_path, key_state),
        tag_changes: TagChanges::new(&config),
        key_requests: KeyRequests::default(),
        doctor: Doctor::default(),
        reached: Reached::default(),
        reloads: Reloads::new(sources, config.clone()),
        config,
        log,
        endpoint,
        udp,
        listener,
        commands,
        joins,
        store,
    };
    agent.store.tags(&agent.config.node.tags, agent.endpoint.tags());
    agent.log.tell(Notice::Ready(agent.ready(from_snapshot)));
    agent.joins.begin(now, &mut agent.endpoint, &agent.config);
    agent.systemd.ready(agent.status());
    Ok(agent)
}

/// `gone` are those of whom gossip had let go when the earlier run ended.
fn upstreams(config: &Config, gone: &[NodeName], now: Instant) -> Option<Upstreams> {
    let mut upstreams = Upstreams::new(config, InPlace::look(config)?, now);
    upstreams.handle_gone(now, gone);
    Some(upstreams)
}

impl Agent {
    fn ready(&self, from_snapshot: usize) -> Ready {
        Ready {
            name: self.endpoint.local().name.to_string(),
            bind: self.udp.local(),
            advertise: self.endpoint.local().addr,
            rpc: self.commands.tcp_address(),
            encrypted: self.endpoint.keyring().is_some(),
            members: self.endpoint.members().count().saturating_sub(1),
            from_snapshot,
        }
    }
}

/// The tags with which this node shows itself first.
fn own_tags(config: &Config, restored: &Restored, checks: &mut LocalChecks) -> Tags {
    let tags = tags::own(config, &restored.tags, &restored.deleted_tags);
    match checks.news() {
        Some(state) if config.mode == Mode::Weir => {
            checks.told(state);
            tags::with_health(tags, state)
        }
        Some(_) | None => tags,
    }
}

/// A container that mounts a single file cannot have it replaced, which is better known before a rotation stops at it.
fn warn_of_mounts(config: &Config) {
    let ring = config.encryption.keyring.as_ref().and_then(|source| match source {
        SecretSource::File(path) => Some(path),
        SecretSource::Credential(_) | SecretSource::Inline(_) => None,
    });
    for path in [ring, config.snapshot.path.as_ref(), config.node.tags_file.as_ref()].into_iter().flatten() {
        if file::is_mount_point(path) {
            warn!(path = %path.display(), "file is a mount of its own and cannot be replaced; mount the directory");
        }
    }
}

/// Serf's mode keeps the tags of run time in its file alone, where one is named. Ours takes them from there if there was no run
/// of ours before.
fn restore_tags(config: &Config, kept: Option<(Tags, &Path)>, restored: &mut Restored, log: &Log) {
    match (config.mode, kept) {
        (Mode::Serf, kept) if config.node.tags_file.is_some() => {
            restored.tags = kept.map(|(tags, _)| tags).unwrap_or_default();
            restored.deleted_tags.clear();
        }
        (Mode::Weir, Some((tags, path))) if restored.is_first => {
            log.tell(Notice::TagsRestored { tags: tags.len(), file: path.display().to_string() });
            restored.tags = tags;
        }
        (Mode::Serf | Mode::Weir, _) => {}
    }
}

fn read_keyring(config: &Config) -> Result<(Option<Keyring>, keyring::Place), AgentError> {
    match &config.encryption.keyring {
        Some(source) => {
            let (ring, place) = keyring::load(source).map_err(AgentError::Secret)?;
            Ok((Some(ring), place))
        }
        None => Ok((None, keyring::Place::Nowhere)),
    }
}

fn tell_listening(log: &Log, config: &Config, addr: SocketAddr, ring: Option<&Keyring>) {
    let keys = ring.map(|ring| (ring.primary().id(), ring.keys().len()));
    log.tell(Notice::GossipListening { addr, profile: config.gossip.profile, keys });
    if keys.is_none() {
        log.tell(Notice::NotEncrypted);
    }
}

/// An address that could have been another is said, so that nobody wonders about half a cluster.
fn warn_of_choice(config: &Config, advertised: IpAddr) {
    if let Some(choice) = check::choice(config, advertised) {
        warn!(reason = choice.words(), "the advertised address was a choice; set gossip.advertise");
    }
}
