//! From a configuration to a running agent: address, sockets, keyring, snapshot, endpoint; in this order, so that what is
//! wrong is said before anything was changed.

use std::net::SocketAddr;
use std::time::SystemTime;

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::address;
use super::commands::{Commands, Pending};
use super::discover::Discovery;
use super::doctor::Doctor;
use super::driver::{Agent, REPORT_QUEUE};
use super::exec::Handlers;
use super::join::Retry;
use super::key_state;
use super::key_writer::KeyWriter;
use super::keyring;
use super::log::Log;
use super::rejoin::Rejoin;
use super::rotate::KeyRequests;
use super::signal::Signals;
use super::store::Store;
use super::stream::Streams;
use super::systemd::Systemd;
use super::timer::Timer;
use super::upstreams::Upstreams;
use super::{AgentError, OnReady, Start, bind, clock};
use crate::config::{Advertise, BindAddress, BindHost, Config, Mode, Profile};
use crate::crypto::Keyring;
use crate::endpoint::{self, Endpoint};
use crate::upstream::desired::Desired;
use crate::wire::serf::Tags;

/// Marks a balancer, so that leaving members know whom to ask (`protocols A.1`).
const BALANCER_TAG: &str = "weir_lb";

/// What an agent turned out to be, once its sockets are bound and its snapshot is read.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its name.
    pub name: String,
    /// The gossip address it is bound to, with the real port.
    pub bind: SocketAddr,
    /// The address it tells others.
    pub advertise: SocketAddr,
    /// Where RPC listens on TCP, with the real port.
    pub rpc: Option<SocketAddr>,
    /// Whether gossip is sealed.
    pub encrypted: bool,
}

/// Binds, reads and connects everything. On an error nothing stays behind.
pub(super) async fn start(start: Start, log: Log) -> Result<Agent, AgentError> {
    let Start { loaded, sources, on_ready, console: _ } = start;
    let config = loaded.config;
    let files = loaded.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",");
    info!(version = env!("CARGO_PKG_VERSION"), config = files, "starting");

    let now = clock::now();
    let (ring, place) = read_keyring(&config)?;
    let (udp, listener) = bind::bind(bind_address(&config.gossip.bind)?).map_err(AgentError::Bind)?;
    let bound = udp.local();
    let advertise = advertise_address(&config, bound)?;
    let (store, mut restored) = Store::open(&config, now)?;
    let state_path = config.encryption.keyring.as_ref().and_then(key_state::path);
    let key_state = state_path.as_deref().map(key_state::load).unwrap_or_default();
    restored.endpoint.sealed = key_state.sealed();
    restored.endpoint.serf.ballot = key_state.kept_ballot(SystemTime::now());
    log_listening(&config, bound, ring.as_ref());

    let tags = own_tags(&config, &restored.tags);
    let options = endpoint::Options { tags, ..config.endpoint(advertise) };
    let rng = StdRng::try_from_rng(&mut SysRng).map_err(|error| AgentError::System(std::io::Error::other(error)))?;
    let endpoint = Endpoint::new(options, ring, restored.endpoint, rng, Box::new(system_random), now);
    let commands = Commands::listen(&config.rpc)?;
    let discovery = match &config.gossip.discover {
        Some(cluster) => Some(
            Discovery::start(cluster, config.node.name.as_str(), advertise)
                .map_err(|error| AgentError::Discover(error.to_string()))?,
        ),
        None => None,
    };
    let (report, reports) = mpsc::channel(REPORT_QUEUE);
    let retry = Retry::new(
        !config.gossip.join.is_empty(),
        config.gossip.join_retry_interval,
        config.gossip.join_retry_max,
        now,
    );
    let from_snapshot = restored.members.len();
    let rejoin = Rejoin::new(restored.members, &config.gossip, now);
    let order = Desired::order_of(&config.node.name);
    let mut agent = Agent {
        started: now,
        streams: Streams::new(bound.ip()),
        timer: Timer::new().map_err(AgentError::System)?,
        signals: Signals::new().map_err(AgentError::System)?,
        systemd: Systemd::from_environment(now),
        handlers: Handlers::new(&config.handlers),
        pending: Pending::default(),
        joins: Vec::new(),
        upstreams: Upstreams::new(&config, order, now),
        leaving: None,
        exit: None,
        keys: KeyWriter::new(place, state_path, key_state),
        key_requests: KeyRequests::default(),
        doctor: Doctor::default(),
        config,
        sources,
        log,
        endpoint,
        udp,
        listener,
        commands,
        retry,
        rejoin,
        discovery,
        store,
        report,
        reports,
    };
    info!(members = agent.endpoint.members().count().saturating_sub(1), from_snapshot, "ready");
    agent.recover_upstreams();
    agent.begin_rejoin(now);
    agent.systemd.ready(agent.status());
    if let Some(OnReady(tell)) = on_ready {
        tell(&agent.ready());
    }
    Ok(agent)
}

impl Agent {
    fn ready(&self) -> Ready {
        Ready {
            name: self.endpoint.local().name.to_string(),
            bind: self.udp.local(),
            advertise: self.endpoint.local().addr,
            rpc: self.commands.tcp_address(),
            encrypted: self.endpoint.keyring().is_some(),
        }
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

pub(super) fn bind_address(bind: &BindAddress) -> Result<SocketAddr, AgentError> {
    let ip = match &bind.host {
        BindHost::Address(ip) => *ip,
        BindHost::Interface(name) => address::of_interface(name, &interfaces()?).map_err(AgentError::Address)?,
    };
    Ok(SocketAddr::new(ip, bind.port))
}

pub(super) fn advertise_address(config: &Config, bound: SocketAddr) -> Result<SocketAddr, AgentError> {
    let automatic = |first| -> Result<SocketAddr, AgentError> {
        let all = if bound.ip().is_unspecified() { interfaces()? } else { Vec::new() };
        let ip = address::advertise(bound.ip(), &all, first).map_err(AgentError::Address)?;
        Ok(SocketAddr::new(ip, bound.port()))
    };
    match config.gossip.advertise {
        Advertise::Auto => automatic(false),
        Advertise::FirstPrivate => automatic(true),
        Advertise::Address(ip, port) => Ok(SocketAddr::new(ip, port.unwrap_or(bound.port()))),
    }
}

fn interfaces() -> Result<Vec<address::Interface>, AgentError> {
    address::interfaces().map_err(AgentError::System)
}

fn log_listening(config: &Config, addr: SocketAddr, ring: Option<&Keyring>) {
    let profile = profile_name(config.gossip.profile);
    match ring {
        Some(ring) => {
            let (primary, keys) = (ring.primary().id(), ring.keys().len());
            info!(%addr, encrypted = true, %primary, keys, profile, "gossip listening");
        }
        None => {
            info!(%addr, encrypted = false, profile, "gossip listening");
            warn!("gossip is not encrypted; give the cluster a key ('weir keygen')");
        }
    }
}

/// As configuration and Serf call it.
pub(super) fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Lan => "lan",
        Profile::Wan => "wan",
        Profile::Local => "local",
    }
}

/// Configured tags, those set at run time over them, and our own.
pub(super) fn own_tags(config: &Config, run_time: &Tags) -> Tags {
    let mut tags = config.node.tags.clone();
    tags.extend(run_time.iter().map(|(name, value)| (name.clone(), value.clone())));
    if config.mode == Mode::Weir && !config.upstreams.is_empty() {
        tags.insert(BALANCER_TAG.to_owned(), "1".to_owned());
    } else {
        tags.remove(BALANCER_TAG);
    }
    tags
}

/// `tags` without those that say what this program does.
pub(super) fn without_own(mut tags: Tags) -> Tags {
    tags.remove(BALANCER_TAG);
    tags
}

/// The operating system's generator. It does not fail once it has been seen to work, and the agent has drawn from it.
fn system_random(bytes: &mut [u8]) {
    use rand::TryRng as _;
    SysRng.try_fill_bytes(bytes).expect("the system's generator worked at start");
}
