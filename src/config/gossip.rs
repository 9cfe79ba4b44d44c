//! `[gossip]`: the cluster's traffic.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::Trouble;
use crate::swim;
use crate::swim::Profile;

use super::address::{Advertise, BindAddress, BindHost, JoinAddress};
use super::reader::Section;
use super::serf::Extras;
use super::value::{Text, words};

words!(Profile, "a profile, \"lan\"", ("lan", Lan), ("wan", Wan), ("local", Local));

/// How this node gossips. Every member of a cluster should have the same timings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gossip {
    /// The set of timings; each may also be given by itself.
    pub profile: Profile,
    /// One member is probed in each of these.
    pub probe_interval: Duration,
    /// How long a probe's direct answer may take before others are asked; less than probe_interval.
    pub probe_timeout: Duration,
    /// Pause between two rounds of gossip.
    pub gossip_interval: Duration,
    /// Members that a round of gossip goes to.
    pub gossip_nodes: usize,
    /// Scales the time that a suspected member has to object.
    pub suspicion_mult: u32,
    /// Scales how often a message is passed on.
    pub retransmit_mult: u32,
    /// Pause between two exchanges of the full state with another member.
    pub push_pull_interval: Duration,
    /// Address or interface, and port, for UDP and TCP. `[::]:7946` serves both families.
    pub bind: BindAddress,
    /// The address that others use. auto: the bound one, else the last one if it is still ours, else the only private one, else
    /// that of the default route.
    pub advertise: Advertise,
    /// Members to join, "host" or "host:port"; tried until one answers, DNS asked anew each time.
    pub join: Vec<JoinAddress>,
    /// Pause between tries to join, after the first ones at 1, 2, 4 … seconds.
    pub join_retry_interval: Duration,
    /// Tries to join before giving up with exit code 1; 0: for ever.
    pub join_retry_max: u32,
    /// Name of the cluster in mDNS; empty: no discovery.
    pub discover: Option<String>,
    /// memberlist's label, at most 255 bytes; the same on every node.
    pub label: String,
    /// Compress what is sent. Both forms are always read.
    pub compression: bool,
    /// Keep network coordinates, for rtt and the map.
    pub coordinates: bool,
    /// How often failed members are tried.
    pub reconnect_interval: Duration,
    /// A failed member is forgotten after this time.
    pub reconnect_timeout: Duration,
    /// A member that left is forgotten after this time.
    pub tombstone_timeout: Duration,
    /// How long leave and force-leave wait for their message to be sent.
    pub broadcast_timeout: Duration,
    /// Deliver user events that are older than our join.
    pub replay_on_join: bool,
    /// Largest user event, name and payload, in bytes.
    pub event_size_limit: usize,
    /// Largest query in bytes.
    pub query_size_limit: usize,
    /// Largest answer to a query in bytes.
    pub query_response_size_limit: usize,
    /// Members beyond this number are not admitted.
    pub max_members: usize,
    /// The first try to join decides whether the agent runs: Serf's `-join` without `-retry-join`.
    pub start_join: bool,
    /// Serf protocol version that we announce, 2 to 5; a flag of Serf's.
    pub protocol: u8,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const HOUR: Duration = seconds(3600);
const YEAR: Duration = seconds(366 * 24 * 3600);

/// Digits and dots alone are an address, or a slip in one, and never a name.
fn no_address(join: &JoinAddress) -> Option<Trouble> {
    let host = &join.host;
    let is_numeric = host.contains('.') && host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_numeric && host.parse::<IpAddr>().is_err()).then(|| {
        Trouble::new(format!("has no address in \"{host}\""), "write four numbers of 0 to 255, or a host name")
    })
}

impl Gossip {
    pub(crate) fn read(section: &Section<'_>, extras: &Extras) -> Self {
        let profile = section.key("profile").restart().or(Profile::Lan);
        let usual = swim::Options::profile(profile);
        // A failed `-join` ends Serf's agent, a failed `-retry-join` does not (`cli §3`).
        let start_join = section.by_mode(false, extras.start_join && !extras.retry_join);
        let timing = |name, usual| section.key(name).restart().within(ms(10), HOUR).or(usual);
        let join_retry_max = section.key("join_retry_max").or(u32::from(start_join));
        let gossip = Self {
            profile,
            probe_interval: timing("probe_interval", usual.probe_interval),
            probe_timeout: timing("probe_timeout", usual.probe_timeout),
            gossip_interval: timing("gossip_interval", usual.gossip_interval),
            gossip_nodes: section.key("gossip_nodes").restart().within(1, 100).or(usual.gossip_nodes),
            suspicion_mult: section.key("suspicion_mult").restart().within(1, 100).or(usual.suspicion_mult),
            retransmit_mult: section.key("retransmit_mult").restart().within(1, 100).or(usual.retransmit_mult),
            push_pull_interval: timing("push_pull_interval", usual.push_pull_interval),
            bind: section.key("bind").restart().or(BindAddress::parse("0.0.0.0:7946").expect("it is an address")),
            advertise: section.key("advertise").restart().or(section.by_mode(Advertise::Auto, Advertise::FirstPrivate)),
            join: section
                .key("join")
                .check(|join: &Vec<JoinAddress>| join.iter().filter(|_| !section.serf()).find_map(no_address))
                .or(Vec::new()),
            join_retry_interval: section.key("join_retry_interval").within(seconds(1), YEAR).or(seconds(30)),
            join_retry_max: if start_join { 1 } else { join_retry_max },
            discover: Some(section.key("discover").restart().check(|text: &String| too_long(text)).or(String::new()))
                .filter(|name| !name.is_empty()),
            label: section.key("label").restart().check(|text: &String| too_long(text)).or(String::new()),
            compression: section.key("compression").or(true),
            coordinates: section.key("coordinates").restart().or(true),
            reconnect_interval: section.key("reconnect_interval").within(seconds(1), YEAR).or(seconds(30)),
            reconnect_timeout: section.key("reconnect_timeout").within(seconds(1), YEAR).or(24 * HOUR),
            tombstone_timeout: section.key("tombstone_timeout").within(seconds(1), YEAR).or(24 * HOUR),
            broadcast_timeout: section.key("broadcast_timeout").within(seconds(1), HOUR).or(seconds(5)),
            replay_on_join: section.key("replay_on_join").or(false),
            event_size_limit: section.key("event_size_limit").restart().within(1, 9216).or(512),
            query_size_limit: section.key("query_size_limit").restart().within(1, 9216).or(1024),
            query_response_size_limit: section.key("query_response_size_limit").restart().within(1, 9216).or(1024),
            max_members: section.key("max_members").restart().within(1, 1_000_000).or(65_536),
            start_join,
            protocol: extras.protocol.unwrap_or(5),
        };
        if gossip.probe_timeout >= gossip.probe_interval {
            let name = if section.is_set("probe_timeout") { "probe_timeout" } else { "probe_interval" };
            section.conflict(
                name,
                Trouble::new("gossip.probe_timeout must be less than gossip.probe_interval", "change one"),
            );
        }
        if let (false, Some(trouble)) = (section.serf(), unreachable(&gossip.bind, &gossip.advertise)) {
            section.conflict("advertise", trouble);
        }
        gossip
    }
}

/// Why nobody would reach us at what is advertised: it is of the family that is not bound.
fn unreachable(bind: &BindAddress, advertise: &Advertise) -> Option<Trouble> {
    let (BindHost::Address(bound), Advertise::Address(advertised, _)) = (&bind.host, advertise) else { return None };
    let serves_both = bound.is_ipv6() && bound.is_unspecified();
    (!serves_both && bound.is_ipv4() != advertised.is_ipv4()).then(|| {
        let what = format!("gossip.advertise = \"{advertised}\" is not served by gossip.bind = \"{bind}\"");
        Trouble::new(what, format!("set gossip.bind = \"[::]:{}\", which serves both families", bind.port))
    })
}

fn too_long(text: &str) -> Option<Trouble> {
    (text.len() > 255).then(|| Trouble::new("is too long", "at most 255 bytes are accepted"))
}
