//! The end of NGINX's connections to servers that are held dead (`protocols D.4`): requests that wait on them are retried
//! elsewhere at once.
//!
//! Who asks names a member, never an address: that comes from the generation that was confirmed last, and from the one before as
//! long as workers of older ones finish requests. Whether a member is dead is for who asks to know; this side ends nothing
//! but NGINX's own connections to a server of one of its own generations. It takes no lock and writes nothing, so it is done
//! beside a job; what a job itself cuts it records.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::master::{Master, Workers};
use super::store::{Saved, Store};
use super::system::Nginx;
use super::{Apply, Body, Error, Options, Process, Refusal, SystemError, SystemErrorKind, proc};
use crate::error::system_words;
use crate::nginx::Context;
use crate::sock_diag::{Filter, SockDiag, SockDiagError, TcpState};
use crate::upstream::desired::{Desired, Target};
use crate::upstream::{Generation, Server, Servers, UpstreamName};
use crate::wire::NodeName;

/// States of a connection whose end NGINX answers by trying another server. A session of `stream { }` it never moves once it is
/// established.
fn states(context: Context) -> &'static [TcpState] {
    match context {
        Context::Http => &[TcpState::Established, TcpState::SynSent],
        Context::Stream => &[TcpState::SynSent],
    }
}

/// Whose connections are to be ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// One of its servers is dead.
    pub upstream: UpstreamName,
    /// That one.
    pub member: NodeName,
    /// The master that was seen last: as long as it is there and is one, nobody else is looked for.
    pub known: Option<Process>,
}

/// A server that is dead, as a job tells of it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dead {
    /// An upstream of which it was a server.
    pub upstream: UpstreamName,
    /// Its name.
    pub member: NodeName,
    /// Connections of it that were ended since it died.
    pub cut: u32,
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
    /// Ends NGINX's connections to one member, and says how many.
    pub(super) fn cut(&self, Cut { upstream, member, known }: &Cut) -> Body {
        let generations = match self.served_generations() {
            Ok(generations) => generations,
            Err(error) => return Body::Cut(Err(Uncut::NotDone(error))),
        };
        let lines = generations.map(|saved| saved.and_then(|saved| line(saved.desired(), upstream, member).cloned()));
        let nowhere = || Body::Refused(Refusal::NoServer { upstream: upstream.clone(), member: member.clone() });
        let Some(target) = self.options.target(upstream).filter(|_| lines != [None, None]) else { return nowhere() };
        let master = match self.master_of_known(*known) {
            Ok(master) => master,
            Err(error) => return Body::Cut(Err(Uncut::NotDone(error))),
        };
        let (workers, [confirmed, before]) = (Workers::of(master), lines);
        // Those that serve open none to a server that is down.
        let has_older = !workers.leaving.is_empty();
        let held = confirmed.filter(|server| has_older || !server.down).into_iter().chain(before.filter(|_| has_older));
        let remotes: BTreeSet<SocketAddr> = held.map(|server| server.addr).collect();
        if remotes.is_empty() {
            return nowhere();
        }
        let ours = Ours::of(master, &workers);
        Body::Cut(ours.and_then(|ours| Ok(end(&ours, &remotes, states(target.block.context))?.into_values().sum())))
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
    let servers = desired.upstreams.get(upstream).and_then(Target::servers);
    servers.map(Servers::as_slice).unwrap_or_default().iter().find(|server| server.member == *member)
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
    let gone = deaths.iter().filter_map(|dead| {
        let context = options.target(&dead.upstream)?.block.context;
        let is_gone = line(now, &dead.upstream, &dead.member).is_none_or(|server| server.down);
        is_gone.then(|| Gone { dead, context, addr: address_in(before, &dead.upstream, &dead.member) })
    });
    let gone: Vec<Gone<'_>> = gone.collect();
    let ours = Ours::of(master, &Workers::of(master))?;
    let mut cut = Vec::new();
    for context in [Context::Http, Context::Stream] {
        let gone = || gone.iter().filter(|gone| gone.context == context);
        let ended = end(&ours, &gone().filter_map(|gone| gone.addr).collect(), states(context))?;
        cut.extend(gone().filter_map(|gone| gone.cut_off(&ended)));
    }
    Ok(cut)
}

/// A server that is dead, and that NGINX does without from now on.
#[derive(Debug)]
struct Gone<'a> {
    dead: &'a Dead,
    context: Context,
    /// Where older workers have it, if they do.
    addr: Option<SocketAddr>,
}

impl Gone<'_> {
    fn cut_off(&self, ended: &BTreeMap<SocketAddr, u32>) -> Option<CutOff> {
        let ended = self.addr.and_then(|addr| ended.get(&addr)).copied().unwrap_or_default();
        let (upstream, member) = (self.dead.upstream.clone(), self.dead.member.clone());
        let connections = self.dead.cut.saturating_add(ended);
        (connections > 0).then_some(CutOff { upstream, member, connections })
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

/// Ends every connection of `ours` to one of `remotes` that is in one of these states, and says how many have gone of each.
fn end(ours: &Ours, remotes: &BTreeSet<SocketAddr>, states: &[TcpState]) -> Result<BTreeMap<SocketAddr, u32>, Uncut> {
    if remotes.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The kernel chooses by port; of several servers all sockets are listed once.
    let mut one = remotes.iter().copied();
    let filter = Filter { states, local_port: None, remote: one.next().filter(|_| one.next().is_none()) };
    let mut diag = SockDiag::open()?;
    let mut found = Vec::new();
    diag.list(&filter, |socket| {
        if ours.uids.contains(&socket.uid) && remotes.contains(&socket.remote) {
            found.push(socket);
        }
    })?;
    if found.is_empty() {
        return Ok(BTreeMap::new());
    }
    for socket in &found {
        diag.destroy(socket)?;
    }
    // A kernel without the call may have said that it is done.
    let mut left = HashSet::new();
    diag.list(&filter, |socket| {
        left.insert(socket.cookie());
    })?;
    let mut ended = BTreeMap::new();
    for socket in found.iter().filter(|socket| !left.contains(&socket.cookie())) {
        *ended.entry(socket.remote).or_insert(0) += 1;
    }
    if ended.is_empty() { Err(Uncut::Unsupported) } else { Ok(ended) }
}

#[cfg(test)]
mod tests;
