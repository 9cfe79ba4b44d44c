//! Whether others answer: connections from here, and pings by the agent or, without one, by hand.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::conversation::{Heard, MAX_MEMBERS, tried};
use super::{host, own, ping};
use crate::config::{BindHost, Config, JoinAddress, Loaded};
use crate::error::system_words;
use crate::serf::Status;
use crate::status::doctor::{Gossip, JoinPlace, Member, OtherKey, Standing, Tcp, Trouble, Udp, Undecipherable};
use crate::status::{node, strangers};

/// A host that is there answers within milliseconds; a firewall that drops takes all of it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// Keys beside the primary one that members are asked with; a ring holds more for a moment only.
const MAX_OTHER_KEYS: usize = 3;
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Tries everybody at once.
pub(super) async fn gossip(loaded: Option<&Loaded>, heard: &Heard) -> Gossip {
    let config = loaded.map(|loaded| &loaded.config);
    let remembered = heard.members().is_empty();
    let known = if remembered { config.map(host::remembered).unwrap_or_default() } else { heard.members().to_vec() };
    let members: Vec<&node::Member> = tried(&known).collect();
    let untried = members.len().saturating_sub(MAX_MEMBERS);
    let members = &members[..members.len() - untried];
    let from = config.and_then(source);
    // Somebody may have joined us instead.
    let is_alone = !tried(heard.members()).any(|member| member.status.is(&Status::Alive));
    let own: Vec<SocketAddr> =
        heard.document().iter().flat_map(|document| [document.node.addr, document.node.bind]).flatten().collect();
    let (tcp, pings, join) = tokio::join!(
        connect_all(members.iter().map(|member| member.addr).collect(), from),
        pings(config, from, heard, members),
        join_places(config, from, &own),
    );
    let (udp, by_hand, no_pings) = match pings {
        Ok((udp, by_hand)) => {
            let unpinged = members.iter().filter(|member| !udp.contains_key(&member.name)).count();
            let why = || Trouble::new(format!("{unpinged} of them could not be pinged"), "run it again");
            (udp, by_hand, (unpinged > 0).then(why))
        }
        Err(why) => (BTreeMap::new(), false, Some(why)),
    };
    let is_deaf = |member: &&&node::Member| {
        udp.get(&member.name) == Some(&Udp::Silent) && tcp.get(&member.addr) == Some(&Tcp::Open)
    };
    let deaf: Vec<&node::Member> = members.iter().filter(is_deaf).copied().collect();
    let other_key = match config {
        Some(config) => other_key(config, from, &deaf).await,
        None => None,
    };
    let member = |member: &&node::Member| Member {
        name: member.name.clone(),
        addr: member.addr,
        standing: match member.status.word() {
            _ if remembered => Standing::Remembered,
            Some(Status::Failed) => Standing::Failed,
            Some(Status::Alive | Status::Leaving | Status::Left) | None => Standing::Alive,
        },
        tcp: tcp.get(&member.addr).cloned().unwrap_or(Tcp::Silent),
        udp: udp.get(&member.name).copied().unwrap_or(Udp::Unchecked),
    };
    Gossip {
        members: members.iter().map(member).collect(),
        untried,
        join,
        join_failures: heard
            .document()
            .filter(|_| is_alone)
            .map(|document| document.cluster.join_failures.clone())
            .unwrap_or_default(),
        apart: heard.document().map(|document| document.cluster.apart().to_vec()).unwrap_or_default(),
        undecipherable: undecipherable(heard, &deaf),
        no_pings,
        by_hand,
        other_key,
        own: own::look(config, heard),
    }
}

/// What pings came to, by member, and whether they were ours; or why there were none, and the way to have them.
async fn pings(
    config: Option<&Config>,
    from: Option<IpAddr>,
    heard: &Heard,
    members: &[&node::Member],
) -> Result<(BTreeMap<String, Udp>, bool), Trouble> {
    if let Some(probed) = &heard.probed {
        let answered = probed.reached.keys().map(|name| (name.clone(), Udp::Answered));
        let silent = probed.silent.iter().map(|name| (name.clone(), Udp::Silent));
        return Ok((answered.chain(silent).collect(), false));
    }
    if members.is_empty() {
        return Ok((BTreeMap::new(), true));
    }
    let Some(config) = config else {
        return Err(Trouble::new("no agent answers and no configuration can be read", "sudo weir doctor"));
    };
    Ok((ping::by_hand(config, ping::ring(config)?, from, members).await?, true))
}

/// Those who do not answer and are heard with a key that is not ours.
fn undecipherable(heard: &Heard, silent: &[&node::Member]) -> Vec<Undecipherable> {
    let Some(document) = heard.document() else { return Vec::new() };
    let about_keys =
        strangers::heard(document, strangers::RECENT_S).filter(|stranger| strangers::is_about_keys(stranger));
    let is_silent = |stranger: &&node::Stranger| silent.iter().any(|member| member.addr.ip() == stranger.addr.ip());
    let said = about_keys.filter(is_silent);
    said.map(|stranger| Undecipherable { addr: stranger.addr, trouble: strangers::trouble(stranger, document) })
        .collect()
}

/// A key of this host's ring that these answer, who do not answer its primary key.
async fn other_key(config: &Config, from: Option<IpAddr>, silent: &[&node::Member]) -> Option<OtherKey> {
    if silent.is_empty() {
        return None;
    }
    let ring = ping::ring(config).ok()??;
    for key in ring.keys().iter().skip(1).take(MAX_OTHER_KEYS) {
        let mut with_it = ring.clone();
        with_it.use_key(key).ok()?;
        let became = ping::by_hand(config, Some(with_it), from, silent).await.ok()?;
        let members: Vec<String> =
            became.into_iter().filter(|(_, udp)| *udp == Udp::Answered).map(|(name, _)| name).collect();
        if !members.is_empty() {
            return Some(OtherKey { primary: ring.primary().id().to_string(), key: key.id().to_string(), members });
        }
    }
    None
}

/// The address that the agent's own connections come from, if it is bound to one.
fn source(config: &Config) -> Option<IpAddr> {
    match &config.gossip.bind.host {
        BindHost::Address(ip) if !ip.is_unspecified() => Some(*ip),
        BindHost::Address(_) | BindHost::Interface(_) => None,
    }
}

async fn connect_all(addrs: Vec<SocketAddr>, from: Option<IpAddr>) -> BTreeMap<SocketAddr, Tcp> {
    let mut tasks = JoinSet::new();
    for addr in addrs {
        tasks.spawn(async move { (addr, connect(addr, from).await) });
    }
    tasks.join_all().await.into_iter().collect()
}

/// A connection that is closed again at once. Members are used to those.
async fn connect(addr: SocketAddr, from: Option<IpAddr>) -> Tcp {
    let connect = async {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from.filter(|from| from.is_ipv4() == addr.is_ipv4()) {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(addr).await.map(drop)
    };
    match timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(())) => Tcp::Open,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Tcp::Refused,
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Tcp::Silent,
        Ok(Err(error)) => Tcp::Failed(system_words(&error)),
        Err(_elapsed) => Tcp::Silent,
    }
}

/// `gossip.join`, all but ourselves.
async fn join_places(config: Option<&Config>, from: Option<IpAddr>, own: &[SocketAddr]) -> Vec<JoinPlace> {
    let mut places = Vec::new();
    let mut tasks = JoinSet::new();
    for (index, address) in config.into_iter().flat_map(|config| config.gossip.join.clone()).enumerate() {
        tasks.spawn(async move {
            let result = match resolve(&address).await {
                Ok(addrs) => Ok(connect_all(addrs, from).await.into_iter().collect()),
                Err(reason) => Err(reason),
            };
            (index, JoinPlace { place: address.to_string(), result })
        });
    }
    let mut tried = tasks.join_all().await;
    tried.sort_by_key(|(index, _)| *index);
    for (_, place) in tried {
        let is_own = place
            .result
            .as_ref()
            .is_ok_and(|tried: &Vec<(SocketAddr, Tcp)>| tried.iter().any(|(addr, _)| own.contains(addr)));
        if !is_own {
            places.push(place);
        }
    }
    places
}

async fn resolve(address: &JoinAddress) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = address.host.parse() {
        return Ok(vec![SocketAddr::new(ip, address.port)]);
    }
    match timeout(RESOLVE_TIMEOUT, lookup_host((address.host.as_str(), address.port))).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
            if found.is_empty() { Err("name has no address".to_owned()) } else { Ok(found) }
        }
        Ok(Err(_)) => Err("name not known".to_owned()),
        Err(_elapsed) => Err("the resolver does not answer".to_owned()),
    }
}
