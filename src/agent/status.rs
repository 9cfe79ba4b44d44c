//! The node document: what every part has to tell, in one place.

use std::collections::BTreeMap;

use tracing::info;

use super::address;
use super::checks::LocalChecks;
use super::clock::{self, Calendar};
use super::commands::Commands;
use super::exec::Handlers;
use super::joins::Joins;
use super::key_writer::KeyWriter;
use super::leave::SafeLeave;
use super::reload::Reloads;
use super::store::Store;
use super::udp::Udp;
use super::upstreams::Upstreams;
use crate::config::{Config, Mode};
use crate::crypto::KeyId;
use crate::endpoint::{Endpoint, JoinTarget, Knowledge, NameTrouble, RemovedKey, Stranger};
use crate::serf::Status;
use crate::status::Trouble;
use crate::status::groups::groups;
use crate::status::node::{
    self, Clocks, Cluster, Configuration, Document, Health, Key, Keys, Member, Node, Queues, Runtime, Traffic,
    attention,
};
use crate::status::strangers;
use crate::time::Instant;
use crate::wire::NodeName;

/// Packets and streams that one key bears over the whole cluster (`session §7`).
const KEY_BEARS: f64 = (1_u64 << 32) as f64;

/// Whoever has something to tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) started: Instant,
    pub(super) endpoint: &'a Endpoint,
    pub(super) udp: &'a Udp,
    pub(super) handlers: &'a Handlers,
    pub(super) checks: &'a LocalChecks,
    pub(super) commands: &'a Commands,
    pub(super) joins: &'a Joins,
    pub(super) keys: &'a KeyWriter,
    pub(super) leave: &'a SafeLeave,
    pub(super) reloads: &'a Reloads,
    pub(super) store: &'a Store,
    pub(super) upstreams: Option<&'a Upstreams>,
}

/// What is so now, with all members or without.
pub(super) fn document(parts: &Parts<'_>, with_members: bool) -> Document {
    let calendar = Calendar::read();
    let Parts { endpoint, .. } = *parts;
    let mut document = Document {
        node: node(parts, &calendar),
        cluster: cluster(parts, &calendar),
        health: health(parts),
        config: Configuration { refused: parts.reloads.refused(&calendar) },
        keys: Keys {
            keys: keys(parts, &calendar),
            removed: endpoint.removed_keys().map(removed).collect(),
            alone: endpoint.seals_alone(clock::now()),
            failing: parts.keys.failing(&calendar),
        },
        snapshot: parts.store.status(&calendar),
        checks: parts.checks.status(&calendar),
        handlers: parts.handlers.status(&calendar),
        traffic: traffic(parts),
        drops: drops(endpoint),
        rpc: parts.commands.counts().by_name(),
        ..Document::default()
    };
    if with_members || !document.cluster.strangers.is_empty() {
        document.members = members(endpoint, &calendar);
    }
    strangers::explain(&mut document);
    if !with_members {
        document.members = Vec::new();
    }
    if let Some(upstreams) = parts.upstreams {
        let node::Balancing { mut upstreams, nginx, apply, isolated_since } = upstreams.status(parts.config, &calendar);
        document.cluster.isolated_since = isolated_since;
        for server in upstreams.iter_mut().flat_map(|upstream| &mut upstream.servers) {
            server.gossip_since = endpoint.gossip_since(&server.member).map(|since| calendar.date(since));
        }
        (document.upstreams, document.nginx, document.apply) = (upstreams, Some(nginx), Some(apply));
    }
    document.attention = attention(&document);
    document
}

/// For SIGUSR1, on which Serf dumps its metrics.
pub(super) fn log(document: &Document) {
    for (group, values) in groups(document) {
        let values = values.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
        info!(group, values, "stats");
    }
}

fn node(parts: &Parts<'_>, calendar: &Calendar) -> Node {
    let Parts { endpoint, started, .. } = *parts;
    let local = endpoint.local();
    Node {
        name: local.name.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        serf_mode: parts.config.mode == Mode::Serf,
        pid: std::process::id(),
        started: Some(calendar.date(started)),
        uptime_s: calendar.age(started).as_secs(),
        bind: Some(parts.udp.local()),
        addr: Some(local.addr),
        tags: endpoint.tags(),
        incarnation: endpoint.swim().incarnation().get(),
        awareness: endpoint.swim().health_score(),
        address_gone: address_gone(parts),
        silenced: endpoint.is_silent(),
        silenced_since: endpoint.silent_since().map(|since| calendar.date(since)),
        namesake: endpoint.serf().namesake().map(|namesake| node::Namesake {
            addr: namesake.addr,
            ago_s: calendar.age(namesake.last).as_secs(),
            claim: namesake.claim.into(),
        }),
        drain: parts.leave.status(clock::now()),
        runtime: Runtime {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            tasks: tokio::runtime::Handle::try_current().map_or(0, |handle| handle.metrics().num_alive_tasks()),
        },
    }
}

/// The address is another's where a member is there, or where our name is held at one that is ours.
fn address_gone(Parts { config, endpoint, .. }: &Parts<'_>) -> Option<Trouble> {
    let local = endpoint.local();
    let is_there = |member: &crate::serf::Member| {
        member.node.name != local.name && member.node.addr == local.addr && member.status.is_present()
    };
    let is_ours = || endpoint.serf().namesake().is_some_and(|namesake| address::is_own(namesake.addr.ip()));
    address::gone(&config.gossip, local.addr.ip(), endpoint.members().any(is_there) || is_ours())
}

fn cluster(parts: &Parts<'_>, calendar: &Calendar) -> Cluster {
    let Parts { endpoint, joins, .. } = *parts;
    let stats = endpoint.serf().stats();
    let mut cluster = Cluster {
        members: stats.members,
        left: stats.left,
        failed: stats.failed,
        clocks: Clocks { member: stats.member_time.0, event: stats.event_time.0, query: stats.query_time.0 },
        queues: Queues { intents: stats.queues.intents, events: stats.queues.events, queries: stats.queues.queries },
        coordinate_resets: stats.coordinate_resets,
        join_failures: joins.failures(),
        lacks_key: joins.lacks_key(),
        refused: joins.refused(endpoint),
        unfound: joins.unfound().iter().filter_map(|target| unfound(endpoint, target)).collect(),
        strangers: endpoint.strangers().map(|known| stranger(endpoint, known, calendar)).collect(),
        ..Cluster::default()
    };
    for known in endpoint.name_troubles() {
        let ago_s = calendar.age(known.last).as_secs();
        match known.trouble.clone() {
            NameTrouble::Claimed { name, holder, other } => {
                let name = name.as_str().to_owned();
                cluster.name_claims.push(node::NameClaim { name, holder, other, ago_s });
            }
            NameTrouble::TooLong { addr, bytes } => cluster.long_names.push(node::LongName { addr, bytes, ago_s }),
        }
    }
    let mut changed: Option<&crate::serf::Member> = None;
    for member in endpoint.members() {
        cluster.alive += usize::from(member.status == Status::Alive);
        cluster.leaving += usize::from(member.status == Status::Leaving);
        if member.node.name != endpoint.local().name && changed.is_none_or(|latest| latest.since < member.since) {
            changed = Some(member);
        }
    }
    cluster.last_change = changed.map(|member| node::LastChange {
        member: member.node.name.as_str().to_owned(),
        status: member.status.into(),
        at: Some(calendar.date(member.since)),
    });
    cluster
}

/// How well everybody is, as `weir health` tells it.
fn health(parts: &Parts<'_>) -> Health {
    let mut health = Health { own: parts.checks.state().into(), ..Health::default() };
    for member in super::health::members(parts.endpoint, parts.upstreams).members {
        if member.status.is_some_and(|status| status.is(&Status::Alive)) {
            health.count(member.health.word().copied().unwrap_or_default());
        }
    }
    health
}

fn removed(RemovedKey { key, members }: RemovedKey) -> node::RemovedKey {
    node::RemovedKey { id: key.to_string(), members }
}

fn unfound(endpoint: &Endpoint, JoinTarget { label, addr }: &JoinTarget) -> Option<node::Unfound> {
    endpoint.member(label).is_none().then(|| node::Unfound { name: label.clone(), addr: *addr })
}

fn stranger(endpoint: &Endpoint, stranger: &Stranger, calendar: &Calendar) -> node::Stranger {
    node::Stranger {
        addr: stranger.addr,
        reason: stranger.reason.as_str().to_owned(),
        key: stranger.key.map(|key| key.to_string()),
        ago_s: calendar.age(stranger.last).as_secs(),
        unheard: endpoint.unheard_since(stranger),
        member: false,
        trouble: None,
    }
}

fn members(endpoint: &Endpoint, calendar: &Calendar) -> Vec<Member> {
    let own = &endpoint.local().name;
    let member = |member: &crate::serf::Member| Member {
        name: member.node.name.as_str().to_owned(),
        addr: member.node.addr,
        status: member.status.into(),
        since: Some(calendar.date(member.since)),
        tags: member.tags(),
        envelope: envelope(endpoint, &member.node.name).map(str::to_owned),
        own: member.node.name == *own,
    };
    endpoint.members().map(member).collect()
}

/// What `member` understands, if that is known.
pub(super) fn envelope(endpoint: &Endpoint, member: &NodeName) -> Option<&'static str> {
    match endpoint.envelope_of(member) {
        None => Some("memberlist"),
        Some(_) if *member == endpoint.local().name => Some("session"),
        Some(Knowledge::Old) => Some("memberlist"),
        Some(Knowledge::Session(_)) => Some("session"),
        Some(Knowledge::Unknown) => None,
    }
}

fn keys(parts: &Parts<'_>, calendar: &Calendar) -> Vec<Key> {
    let Parts { endpoint, keys, .. } = *parts;
    let members = endpoint.swim().present();
    let key = |id: KeyId| {
        let sealed_packets = endpoint.sealed().get(&id).copied().unwrap_or_default();
        let worn_since = keys.worn_since(id).map(|since| calendar.date(since));
        Key { id: id.to_string(), sealed_packets, worn: sealed_packets as f64 * members as f64 / KEY_BEARS, worn_since }
    };
    endpoint.keyring().into_iter().flat_map(|ring| ring.keys()).map(|held| key(held.id())).collect()
}

fn traffic(parts: &Parts<'_>) -> Traffic {
    let (traffic, udp) = (parts.endpoint.traffic(), parts.udp.stats());
    Traffic {
        packets_in: traffic.packets_in,
        packets_out: traffic.packets_out,
        bytes_in: traffic.bytes_in,
        bytes_out: traffic.bytes_out,
        exchanges: traffic.exchanges,
        streams: parts.endpoint.open_streams(),
        udp_send_errors: udp.send_errors,
        udp_receive_errors: udp.receive_errors,
    }
}

/// By reason; what the layers refused under their own names.
fn drops(endpoint: &Endpoint) -> BTreeMap<String, u64> {
    let envelopes = endpoint.drops().iter().map(|(reason, count)| (reason.as_str().to_owned(), count));
    let swim = endpoint.swim().stats().drops();
    let swim = swim.map(|(reason, count)| (format!("swim_{}", reason.as_str()), count));
    let serf = endpoint.serf().drops().iter().filter(|(reason, _)| !reason.is_ordinary());
    let serf = serf.map(|(reason, count)| (format!("serf_{}", reason.as_str()), count));
    envelopes.chain(swim).chain(serf).filter(|(_, count)| *count > 0).collect()
}
