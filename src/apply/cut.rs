//! The end of NGINX's connections to servers that are held dead (`protocols D.4`): requests that wait on them are retried
//! elsewhere at once.
//!
//! Who asks names a member, never an address: that comes from the generation that was confirmed last, and from the one before as
//! long as workers of older ones finish requests. Whether a member is dead is for who asks to know; this side ends nothing
//! but NGINX's own connections to a server of one of its own generations. It waits for no lock, so it is done beside a job. What
//! a job itself cuts it records with what was cut before; what is cut after it is recorded if nobody holds the lock just then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::journal::{Event, Journal};
use super::lock::Lock;
use super::master::{Master, Workers};
use super::store::{Saved, Store};
use super::system::Nginx;
use super::{Apply, Error, Options, Process, SystemError, SystemErrorKind, proc};
use crate::error::system_words;
use crate::nginx::Context;
use crate::sock_diag::{Filter, SockDiag, SockDiagError, TcpSocket, TcpState};
use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Generation, OnDead, Server, Servers, UpstreamName};
use crate::wire::NodeName;

/// Most records of what requests cut for one generation: whoever has taken over the agent does not fill the disk.
const MAX_RECORDS: usize = 8;
/// How often connections are looked for that NGINX has begun meanwhile. Each round ends what the one before has not seen.
const MAX_ROUNDS: usize = 3;

/// States in which connections to `addr` are ended. NGINX answers their end by trying another server, but never moves a session of
/// `stream { }` once it is established. Which upstream a connection is of cannot be seen, so that of the most careful one counts.
fn states(options: &Options, generations: &[&Desired], addr: SocketAddr) -> &'static [TcpState] {
    let is_there = |desired: &Desired, upstream: &UpstreamName| {
        servers_of(desired, upstream).iter().any(|server| server.addr == addr)
    };
    let mut states: &[TcpState] = &[TcpState::Established, TcpState::SynSent];
    for target in options.targets() {
        if !generations.iter().any(|desired| is_there(desired, &target.options.name)) {
            continue;
        }
        match (target.options.policy.on_dead, target.block.context) {
            (OnDead::Wait, _) => return &[],
            (OnDead::Retry, Context::Stream) => states = &[TcpState::SynSent],
            (OnDead::Retry, Context::Http) => {}
        }
    }
    states
}

/// Whose connections are to be ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Theirs.
    pub dead: Deaths,
    /// The master that was seen last: as long as it is there and is one, nobody else is looked for.
    pub known: Option<Process>,
}

/// A server that is dead, as who asks tells of it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// An upstream of which it was a server.
    pub upstream: UpstreamName,
    /// Its name.
    pub member: NodeName,
    /// Connections of it that were ended since it died, and are not recorded.
    pub cut: u32,
}

/// What came of one of [`Cut::dead`]. One that was looked at a moment ago has none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// Its upstream,
    pub upstream: UpstreamName,
    /// and its name.
    pub member: NodeName,
    /// How many connections were ended, each seen to be gone; `None` if no worker has that server any more.
    pub ended: Option<u32>,
    /// How many are recorded now, of these and of [`Dead::cut`].
    pub recorded: u32,
}

/// Every server that is dead, at most [`Self::MAX`] of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<Dead>", into = "Vec<Dead>")]
pub struct Deaths(Vec<Dead>);

/// Connections to one server that were ended, from its death until its generation was confirmed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CutOff {
    /// An upstream of which it was a server.
    pub upstream: UpstreamName,
    /// Its name.
    pub member: NodeName,
    /// How many.
    pub connections: u32,
}

/// Why connections go on as they are.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Uncut {
    /// The kernel cannot end them.
    Unsupported,
    /// Who applies may not end them.
    NotPermitted,
    /// NGINX's network is another one than that of who applies.
    OtherNetwork { pid: u32 },
    /// The kernel was not understood.
    Kernel(SystemError),
    /// Whose they are is not known.
    NotDone(Error),
}

impl Deaths {
    /// Most of them in one job.
    pub const MAX: usize = 1024;

    /// As many as there is room for.
    pub fn new(dead: impl IntoIterator<Item = Dead>) -> Self {
        Self(dead.into_iter().take(Self::MAX).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Dead> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Dead>> for Deaths {
    type Error = String;

    fn try_from(dead: Vec<Dead>) -> Result<Self, String> {
        let fits = dead.len() <= Self::MAX;
        if fits { Ok(Self(dead)) } else { Err(format!("more than {} dead servers", Self::MAX)) }
    }
}

impl From<Deaths> for Vec<Dead> {
    fn from(Deaths(dead): Deaths) -> Self {
        dead
    }
}

impl Uncut {
    /// Whether it will be the same for the next server that dies.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unsupported | Self::NotPermitted | Self::OtherNetwork { .. } => true,
            Self::Kernel(_) | Self::NotDone(_) => false,
        }
    }

    /// What happened, without the way out.
    pub fn what(&self) -> String {
        match self {
            Self::Unsupported => "this kernel cannot end connections".to_owned(),
            Self::NotPermitted => "who applies may not end connections".to_owned(),
            Self::OtherNetwork { pid } => format!("nginx, process {pid}, has a network of its own"),
            Self::Kernel(source) => format!("the kernel was asked for nginx's connections: {}", source.text),
            Self::NotDone(error) => error.what(),
        }
    }

    /// The way out, where there is one.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Unsupported => Some("requests wait for the site's proxy_read_timeout: keep it short".to_owned()),
            Self::NotPermitted => Some("run weir-apply.service, or this agent, with CAP_NET_ADMIN".to_owned()),
            Self::OtherNetwork { .. } => {
                Some("give weir-apply.service the same NetworkNamespacePath= as nginx's unit".to_owned())
            }
            Self::Kernel(_) => None,
            Self::NotDone(error) => error.remedy(),
        }
    }
}

impl fmt::Display for Uncut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl From<SockDiagError> for Uncut {
    fn from(error: SockDiagError) -> Self {
        let odd = |text| Self::Kernel(SystemError { kind: SystemErrorKind::Other, text });
        match error {
            SockDiagError::Unsupported => Self::Unsupported,
            SockDiagError::NotPermitted => Self::NotPermitted,
            SockDiagError::System(error) => odd(system_words(&error)),
            error @ SockDiagError::Malformed(_) => odd(error.to_string()),
        }
    }
}

/// Whether the kernel is known to have no way to end connections.
pub fn kernel_cannot_cut() -> bool {
    SockDiag::open().and_then(|mut diag| diag.can_destroy()).is_ok_and(|can| !can)
}

impl Apply {
    /// Ends NGINX's connections to servers that are dead, and says how many.
    pub(super) fn cut(&self, cut: &Cut) -> Result<Vec<Looked>, Uncut> {
        let generations = self.served_generations().map_err(Uncut::NotDone)?;
        let [confirmed, before] = generations.each_ref().map(|saved| saved.as_ref().map(Saved::desired));
        let known: Vec<&Desired> = confirmed.into_iter().chain(before).collect();
        let is_known = |dead: &Dead| {
            self.options.target(&dead.upstream).is_some()
                && known.iter().any(|desired| line(desired, &dead.upstream, &dead.member).is_some())
        };
        let mut places: Vec<Place<'_>> = cut.dead.iter().map(Place::nowhere).collect();
        if !cut.dead.iter().any(is_known) {
            return Ok(places.into_iter().map(|place| place.looked(&mut BTreeMap::new())).collect());
        }
        let master = self.master_of_known(cut.known).map_err(Uncut::NotDone)?;
        let workers = Workers::of(master);
        // Those that serve open none to a server that is down.
        let has_older = !workers.leaving.is_empty();
        for place in places.iter_mut().filter(|place| is_known(place.dead)) {
            let of = |desired: Option<&Desired>| line(desired?, &place.dead.upstream, &place.dead.member).cloned();
            let held = of(confirmed).filter(|server| has_older || !server.down);
            place.addrs.extend(held.into_iter().chain(of(before).filter(|_| has_older)).map(|server| server.addr));
        }
        let addrs = places.iter().flat_map(|place| &place.addrs);
        let remotes = addrs.map(|addr| (*addr, states(&self.options, &known, *addr))).collect();
        let mut ended = end(&Ours::of(master, &workers)?, &remotes)?;
        let mut looked: Vec<Looked> = places.into_iter().map(|place| place.looked(&mut ended)).collect();
        if let Some(saved) = &generations[0] {
            self.record(saved, cut, &mut looked);
        }
        Ok(looked)
    }

    /// Adds what was cut of those that the generation does without to its history; for that alone, so nobody waits for it.
    fn record(&self, saved: &Saved, cut: &Cut, looked: &mut [Looked]) {
        let (generation, state) = (saved.generation(), &self.options.apply.state);
        let is_gone = |looked: &Looked| is_gone(saved.desired(), &looked.upstream, &looked.member);
        let carried = cut.dead.iter().map(|dead| dead.cut);
        let counts = looked.iter().zip(carried).map(|(looked, carried)| {
            let all = carried.saturating_add(looked.ended.unwrap_or_default());
            if is_gone(looked) { all } else { 0 }
        });
        let counts: Vec<u32> = counts.collect();
        let cut_off = looked.iter().zip(&counts).filter(|(_, connections)| **connections > 0);
        let cut: Vec<CutOff> = cut_off.map(|(looked, connections)| looked.cut_off(*connections)).collect();
        if cut.is_empty() {
            return;
        }
        let Ok(_lock) = Lock::take_if_free(state) else { return };
        let Ok(mut journal) = Journal::read(state) else { return };
        let has_room = journal.cuts_of(generation) < MAX_RECORDS;
        if has_room && journal.state().confirmed == generation && journal.write(Event::Cut { generation, cut }).is_ok()
        {
            looked.iter_mut().zip(counts).for_each(|(looked, count)| looked.recorded = count);
        }
    }

    /// The one that was confirmed last, and the one before.
    fn served_generations(&self) -> Result<[Option<Saved>; 2], Error> {
        let state = &self.options.apply.state;
        let journal = Journal::read(state)?;
        let store = Store::new(state);
        let load = |generation| if generation == Generation(0) { Ok(None) } else { store.load(generation) };
        Ok([load(journal.state().confirmed)?, load(journal.state().before)?])
    }

    /// Whoever asks may name any process, so it is looked at.
    fn master_of_known(&self, known: Option<Process>) -> Result<Process, Error> {
        let is_known = |master: &Master| Some(master.process()) == known;
        if let Some(master) = known.and_then(|known| Master::verify(known.pid).ok().flatten()).filter(is_known) {
            return Ok(master.process());
        }
        let nginx = Nginx::find(&self.options.nginx, self.options.names())?;
        nginx.find_master()?.map(|master| master.process()).ok_or_else(|| nginx.not_running())
    }
}

/// Where a member is a server of that upstream, whether it gets requests or not.
fn address_in(desired: &Desired, upstream: &UpstreamName, member: &NodeName) -> Option<SocketAddr> {
    line(desired, upstream, member).map(|server| server.addr)
}

fn line<'a>(desired: &'a Desired, upstream: &UpstreamName, member: &NodeName) -> Option<&'a Server> {
    servers_of(desired, upstream).iter().find(|server| server.member == *member)
}

fn servers_of<'a>(desired: &'a Desired, upstream: &UpstreamName) -> &'a [Server] {
    let servers = desired.upstreams.get(upstream).and_then(Target::servers);
    servers.map(Servers::as_slice).unwrap_or_default()
}

/// Whether NGINX sends that server nothing by this.
fn is_gone(desired: &Desired, upstream: &UpstreamName, member: &NodeName) -> bool {
    line(desired, upstream, member).is_none_or(|server| server.down)
}

/// What a job that has just been confirmed cuts: the connections of older workers to those of `deaths` that it does without.
/// `before` is what they were made from.
pub(super) fn after(
    options: &Options,
    master: Process,
    before: &Desired,
    now: &Desired,
    deaths: &Deaths,
) -> Result<Vec<CutOff>, Uncut> {
    let known = [before, now];
    let gone = deaths
        .iter()
        .filter(|dead| options.target(&dead.upstream).is_some() && is_gone(now, &dead.upstream, &dead.member));
    let places: Vec<Place<'_>> = gone.map(|dead| Place::in_one(before, dead)).collect();
    let ours = Ours::of(master, &Workers::of(master))?;
    let addrs = places.iter().flat_map(|place| &place.addrs);
    let mut ended = end(&ours, &addrs.map(|addr| (*addr, states(options, &known, *addr))).collect())?;
    let counted = places.into_iter().map(|place| {
        let connections = place.dead.cut.saturating_add(place.count(&mut ended));
        CutOff { upstream: place.dead.upstream.clone(), member: place.dead.member.clone(), connections }
    });
    Ok(counted.filter(|cut| cut.connections > 0).collect())
}

/// Where workers have a server that is dead.
#[derive(Debug)]
struct Place<'a> {
    dead: &'a Dead,
    addrs: BTreeSet<SocketAddr>,
}

impl<'a> Place<'a> {
    fn nowhere(dead: &'a Dead) -> Self {
        Self { dead, addrs: BTreeSet::new() }
    }

    fn in_one(desired: &Desired, dead: &'a Dead) -> Self {
        Self { dead, addrs: address_in(desired, &dead.upstream, &dead.member).into_iter().collect() }
    }

    /// Each connection counts once, also where two have an address.
    fn count(&self, ended: &mut BTreeMap<SocketAddr, u32>) -> u32 {
        self.addrs.iter().filter_map(|addr| ended.remove(addr)).sum()
    }

    fn looked(self, ended: &mut BTreeMap<SocketAddr, u32>) -> Looked {
        let count = (!self.addrs.is_empty()).then(|| self.count(ended));
        let (upstream, member) = (self.dead.upstream.clone(), self.dead.member.clone());
        Looked { upstream, member, ended: count, recorded: 0 }
    }
}

impl Looked {
    fn cut_off(&self, connections: u32) -> CutOff {
        CutOff { upstream: self.upstream.clone(), member: self.member.clone(), connections }
    }
}

/// What makes a socket one of NGINX's: a program of the same user cannot be told apart.
#[derive(Debug)]
struct Ours {
    uids: BTreeSet<u32>,
}

impl Ours {
    fn of(master: Process, workers: &Workers) -> Result<Self, Uncut> {
        let ours = proc::network(std::process::id());
        if ours.is_none() || proc::network(master.pid) != ours {
            return Err(Uncut::OtherNetwork { pid: master.pid });
        }
        let all = workers.serving.iter().chain(&workers.leaving);
        Ok(Self { uids: all.filter_map(|worker| proc::status(worker.pid)).map(|status| status.uid).collect() })
    }
}

/// Ends every connection of `ours` to one of `remotes` that is in one of its states, and says how many have gone of each.
fn end(ours: &Ours, remotes: &BTreeMap<SocketAddr, &[TcpState]>) -> Result<BTreeMap<SocketAddr, u32>, Uncut> {
    let remotes: BTreeMap<SocketAddr, &[TcpState]> =
        remotes.iter().filter(|(_, states)| !states.is_empty()).map(|(addr, states)| (*addr, *states)).collect();
    if remotes.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The kernel chooses by port; of several servers all sockets are listed once.
    let remote = remotes.keys().next().copied().filter(|_| remotes.len() == 1);
    let filter = Filter { states: &[TcpState::Established, TcpState::SynSent], local_port: None, remote };
    let is_one = |socket: &TcpSocket| {
        let states = remotes.get(&socket.remote);
        ours.uids.contains(&socket.uid) && states.is_some_and(|states| states.contains(&socket.state))
    };
    let mut diag = SockDiag::open()?;
    let (mut asked, mut was_tried, mut refused) = (BTreeMap::new(), false, None);
    for round in 0.. {
        let mut there = Vec::new();
        diag.list(&filter, |socket| there.push(socket))?;
        let fresh = there.iter().filter(|socket| is_one(socket) && !asked.contains_key(&socket.cookie()));
        let fresh: Vec<&TcpSocket> = fresh.collect();
        if round == MAX_ROUNDS || fresh.is_empty() {
            // A kernel without the call may have said that it is done.
            for socket in &there {
                asked.remove(&socket.cookie());
            }
            break;
        }
        for socket in fresh {
            was_tried = true;
            asked.insert(socket.cookie(), socket.remote);
            // One that cannot be ended keeps none of the others.
            match diag.destroy(socket) {
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
    }
    let mut ended = BTreeMap::new();
    asked.into_values().for_each(|remote| *ended.entry(remote).or_insert(0) += 1);
    match refused {
        _ if !ended.is_empty() || !was_tried => Ok(ended),
        Some(error) => Err(error.into()),
        None => Err(Uncut::Unsupported),
    }
}

#[cfg(test)]
mod tests;
