//! Every way into the cluster: what is configured, what the snapshot knows, what mDNS finds, and what clients ask for.
//!
//! Owns the tries and what they wait for. What a join means to the rest of the agent comes out as [`Event`]s.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;

use tokio::task::JoinSet;
use tracing::{error, info};

use super::discover::Discovery;
use super::join::{self, Next, Resolved, Retry, Unjoined, Unresolved};
use super::join_reply::{JoinReply, join_errors};
use super::log::Log;
use super::notice::Notice;
use super::rejoin::{self, Rejoin};
use crate::config::{Config, JoinAddress, Mode};
use crate::endpoint::{Endpoint, JoinFailure, JoinId, JoinKind, JoinTarget, Joined};
use crate::serf::{Member, Status};
use crate::status::Trouble;
use crate::status::node::Apart;
use crate::time::Instant;

/// Failed members that are tried at once when something has changed for all of them.
const MAX_AGAIN: usize = 16;

/// The joins under way and those to come.
///
/// The driver calls [`Self::begin`] once, then [`Self::handle_timeout`] when [`Self::poll_timeout`] says so, hands over
/// what [`Self::recv`] and the endpoint bring, and takes [`Self::poll_event`] after each of them.
#[derive(Debug)]
pub(super) struct Joins {
    retry: Retry,
    rejoin: Rejoin,
    discovery: Option<Discovery>,
    log: Log,
    /// Names that are being looked up.
    lookups: JoinSet<Found>,
    under_way: Vec<Joining>,
    /// The last try to join what is configured.
    configured: Failed,
    /// Members of the snapshot that answered the last try, and are not understood. Who does not answer may come by itself.
    remembered: Failed,
    events: VecDeque<Event>,
}

/// Why a try failed, address by address; empty after a success.
#[derive(Debug, Default)]
struct Failed {
    troubles: Vec<Trouble>,
    /// Those of them who have another key. A success elsewhere does not make up for them.
    refused: Vec<Apart>,
}

/// What a join means to the rest of the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// What is known now is the cluster.
    FirstView,
    /// This member of the snapshot never answered and is not looked for any more.
    Forgotten(String),
    /// `gossip.join_retry_max` tries have failed and nobody else is there.
    GaveUp,
}

/// Somebody who should be there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Missed {
    /// A member's, or the address where `gossip.join` expects one.
    pub(super) name: String,
    /// As `weir join` takes it.
    pub(super) addr: String,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, addr } = self;
        if name == addr { addr.fmt(f) } else { write!(f, "{name} ({addr})") }
    }
}

/// Who wants to join.
#[derive(Debug)]
enum Purpose {
    /// `gossip.join`.
    Configured,
    /// What the snapshot knows.
    Rejoin,
    /// Found by mDNS.
    Discovered,
    /// A client.
    Client(JoinReply),
}

/// Addresses to contact, and for whom.
#[derive(Debug)]
pub(super) struct Found {
    purpose: Purpose,
    resolved: Resolved,
}

/// A join under way.
#[derive(Debug)]
struct Joining {
    purpose: Purpose,
    id: Option<JoinId>,
    started: Instant,
    /// The labels of its targets.
    tried: Vec<String>,
    unresolved: Vec<Unresolved>,
}

impl Joins {
    /// `members` are those of the snapshot, the most promising first.
    pub(super) fn new(
        config: &Config,
        members: Vec<JoinTarget>,
        discovery: Option<Discovery>,
        log: Log,
        now: Instant,
    ) -> Self {
        let gossip = &config.gossip;
        let retry = Retry::new(!gossip.join.is_empty(), gossip.join_retry_interval, gossip.join_retry_max, now);
        Self {
            retry,
            rejoin: Rejoin::new(members, gossip, now),
            discovery,
            log,
            lookups: JoinSet::new(),
            under_way: Vec::new(),
            configured: Failed::default(),
            remembered: Failed::default(),
            events: VecDeque::new(),
        }
    }

    /// Goes back to the members of the snapshot. With nobody to join or to discover, what we know is the cluster.
    pub(super) fn begin(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config) {
        if self.rejoin.is_needed() {
            self.continue_rejoin(now, endpoint, config);
        } else if config.gossip.join.is_empty() && self.discovery.is_none() {
            self.events.push_back(Event::FirstView);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.retry.poll_timeout().into_iter().chain(self.rejoin.poll_timeout()).min()
    }

    /// Starts the tries that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config) {
        self.continue_rejoin(now, endpoint, config);
        if self.retry.is_due(now) {
            self.look_up(config, Purpose::Configured, config.gossip.join.clone());
        }
    }

    /// What a join means to others.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Members of the snapshot that were not heard of since the start.
    pub(super) fn unfound(&self) -> &[JoinTarget] {
        self.rejoin.missing()
    }

    /// While nobody is there: whom the snapshot knows, or else where `gossip.join` expects somebody. Failed members are not
    /// among them, the table knows those.
    pub(super) fn missed(&self, endpoint: &Endpoint, config: &Config) -> Vec<Missed> {
        if !rejoin::is_alone(endpoint) {
            return Vec::new();
        }
        let unheard = self.unfound().iter().filter(|target| endpoint.member(&target.label).is_none());
        let unfound: Vec<_> =
            unheard.map(|target| Missed { name: target.label.clone(), addr: target.addr.to_string() }).collect();
        if !unfound.is_empty() || !self.retry.is_trying() {
            return unfound;
        }
        let configured = config.gossip.join.iter().map(ToString::to_string);
        configured.map(|addr| Missed { name: addr.clone(), addr }).collect()
    }

    /// Tries everybody again who is not there: what kept them away may be over.
    pub(super) fn again(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config) {
        if !config.gossip.join.is_empty() {
            self.retry.again(now);
        }
        self.rejoin.again(now);
        let failed = endpoint.members().filter(|member| member.status == Status::Failed).take(MAX_AGAIN);
        let target = |member: &Member| JoinTarget { label: member.node.name.to_string(), addr: member.node.addr };
        let targets: Vec<_> = failed.map(target).collect();
        if !targets.is_empty() {
            // The Serf layer would look for them too, one at a time.
            endpoint.join(now, JoinKind::Rejoin, targets);
        }
    }

    /// Why nobody who is configured answered, address by address, if that is so, and who of the snapshot is not understood.
    pub(super) fn failures(&self) -> Vec<Trouble> {
        let Self { configured, remembered, .. } = self;
        let others = remembered.troubles.iter().filter(|trouble| !configured.troubles.contains(trouble));
        configured.troubles.iter().chain(others).cloned().collect()
    }

    /// Whether one of [`Self::failures`] is that either side lacks the other's key.
    pub(super) fn lacks_key(&self) -> bool {
        !self.configured.refused.is_empty() || !self.remembered.refused.is_empty()
    }

    /// Who of `gossip.join` and of the snapshot has another key, each host once.
    pub(super) fn refused(&self, endpoint: &Endpoint) -> Vec<Apart> {
        let mut list: Vec<Apart> = Vec::new();
        for refused in self.configured.refused.iter().chain(&self.remembered.refused) {
            let is_known = list.iter().any(|known| known.addr == refused.addr);
            if !is_known && !is_present_at(endpoint, refused.addr) {
                list.push(refused.clone());
            }
        }
        list
    }

    /// Joins for a client, who is told.
    pub(super) fn ask(&mut self, config: &Config, addresses: Vec<JoinAddress>, reply: JoinReply) {
        self.look_up(config, Purpose::Client(reply), addresses);
    }

    /// Takes a new configuration; addresses that are new are tried.
    pub(super) fn reconfigure(&mut self, now: Instant, before: &Config, new: &Config) {
        self.retry.set_limits(new.gossip.join_retry_interval, new.gossip.join_retry_max);
        self.rejoin.set_limits(&new.gossip);
        let join = &new.gossip.join;
        if *join != before.gossip.join && !join.is_empty() && before.mode == Mode::Weir {
            self.retry.again(now);
        }
    }

    /// No further try: the agent leaves.
    pub(super) fn stop(&mut self) {
        self.retry.stop();
        self.rejoin.stop();
    }

    /// Turns names into addresses, off the loop.
    fn look_up(&mut self, config: &Config, purpose: Purpose, addresses: Vec<JoinAddress>) {
        if config.mode == Mode::Serf {
            self.log.tell(joining(config, &purpose, &addresses));
        }
        self.lookups.spawn(async move {
            let resolved = join::resolve(&addresses).await;
            Found { purpose, resolved }
        });
    }

    /// The next addresses that were looked up or discovered. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Found {
        loop {
            tokio::select! {
                Some(found) = self.lookups.join_next() => match found {
                    Ok(found) => return found,
                    Err(error) => error!(%error, "looking up names failed"),
                },
                addr = discovered(&mut self.discovery) => return found_by_mdns(addr),
            }
        }
    }

    /// Contacts what was found, unless it is a member.
    pub(super) fn handle_found(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config, mut found: Found) {
        if let (Purpose::Discovered, [JoinTarget { addr, .. }]) = (&found.purpose, &found.resolved.targets[..]) {
            if endpoint.members().any(|member| member.node.addr == *addr) {
                return;
            }
            info!(%addr, "discovered");
        }
        if matches!(found.purpose, Purpose::Configured) && !self.configured.refused.is_empty() {
            // Some have joined meanwhile.
            found.resolved.targets.retain(|target| !is_present_at(endpoint, target.addr));
        }
        self.start(now, endpoint, config, found);
    }

    fn start(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config, found: Found) {
        let Found { purpose, resolved: Resolved { targets, unresolved } } = found;
        let kind = match &purpose {
            Purpose::Rejoin => JoinKind::Rejoin,
            Purpose::Configured | Purpose::Discovered => JoinKind::Join { ignore_old: !config.gossip.replay_on_join },
            Purpose::Client(reply) => JoinKind::Join { ignore_old: !reply.replay() },
        };
        let tried = targets.iter().map(|target| target.label.clone()).collect();
        let mut joining = Joining { purpose, id: None, started: now, tried, unresolved };
        if matches!(joining.purpose, Purpose::Configured) && targets.is_empty() && joining.unresolved.is_empty() {
            // All of them are members by now.
            self.configured = Failed::default();
            return self.retry.succeeded(now);
        }
        if targets.is_empty() {
            return self.end(now, endpoint, config, joining, 0, &[]);
        }
        joining.id = Some(endpoint.join(now, kind, targets));
        self.under_way.push(joining);
    }

    /// The endpoint has ended a join.
    pub(super) fn handle_joined(&mut self, now: Instant, endpoint: &Endpoint, config: &Config, joined: &Joined) {
        let Some(index) = self.under_way.iter().position(|joining| joining.id == Some(joined.id)) else { return };
        let joining = self.under_way.swap_remove(index);
        self.end(now, endpoint, config, joining, joined.contacted, &joined.failures);
    }

    /// Tells whoever wanted it.
    fn end(
        &mut self,
        now: Instant,
        endpoint: &Endpoint,
        config: &Config,
        joining: Joining,
        contacted: usize,
        failures: &[(JoinTarget, JoinFailure)],
    ) {
        let is_configured = matches!(joining.purpose, Purpose::Configured);
        if contacted > 0 {
            let members = endpoint.members().count();
            let elapsed = now.since(joining.started);
            self.log.tell(Notice::Joined { contacted, members, elapsed });
            self.remembered = Failed::default();
            if is_configured || self.configured.refused.is_empty() {
                self.retry.succeeded(now);
                self.configured = Failed::default();
            }
            self.events.push_back(Event::FirstView);
        }
        let unfound = self.rejoin.missing();
        let named = if is_configured { failures } else { &[] };
        let failures: Vec<_> = failures.iter().map(|failed| Unjoined::new(endpoint, unfound, named, failed)).collect();
        let mut troubles: Vec<_> = joining.unresolved.iter().map(Trouble::of).collect();
        troubles.extend(failures.iter().map(join::explain));
        match joining.purpose {
            Purpose::Configured if contacted == 0 => {
                let for_serf = || vec![Trouble::new(join_errors(&joining.unresolved, &failures), "")];
                let told = if config.mode == Mode::Serf { for_serf() } else { troubles.clone() };
                self.configured = Failed { troubles, refused: refused(&failures, |it| it.as_named()) };
                self.retry_later(now, endpoint, config, &told);
            }
            Purpose::Configured => {
                join::tell_unanswered(&troubles);
                self.configured.refused = refused(&failures, |it| it.as_named());
                self.go_on(now, endpoint, config);
            }
            Purpose::Rejoin => {
                if contacted == 0 {
                    self.remembered = Failed::of_answers(&failures);
                }
                self.rejoin.ended(now, endpoint, &troubles);
            }
            Purpose::Discovered => join::tell_unanswered(&troubles),
            Purpose::Client(reply) => reply.done(contacted, &joining.tried, &joining.unresolved, &failures),
        }
        if let Some(discovery) = &mut self.discovery {
            failures.iter().for_each(|failed| discovery.forget(failed.target.addr));
        }
    }

    fn retry_later(&mut self, now: Instant, endpoint: &Endpoint, config: &Config, troubles: &[Trouble]) {
        let cannot = |trouble: &Trouble, pause| self.log.tell(Notice::CannotJoin { error: trouble.to_string(), pause });
        match self.retry.failed(now) {
            Next::After(pause) => troubles.iter().for_each(|trouble| cannot(trouble, Some(pause))),
            Next::GiveUp => {
                troubles.iter().for_each(|trouble| cannot(trouble, None));
                self.log.tell(Notice::JoinGivenUp { tries: config.gossip.join_retry_max });
                // Addresses that came with a reload, or that the snapshot's members have replaced, end no member of a cluster.
                if rejoin::is_alone(endpoint) {
                    self.events.push_back(Event::GaveUp);
                }
            }
            Next::Nothing => {
                join::tell_unanswered(troubles);
                self.go_on(now, endpoint, config);
            }
        }
    }

    /// Others were joined by another way or at another address, but not who has another key: with the key of before, hosts find
    /// each other beside the cluster. Serf's agent stops with the first answer.
    fn go_on(&mut self, now: Instant, endpoint: &Endpoint, config: &Config) {
        if !self.configured.refused.is_empty() && config.mode == Mode::Weir && !endpoint.is_leaving() {
            self.retry.again(now + config.gossip.join_retry_interval);
        }
    }

    fn continue_rejoin(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config) {
        match self.rejoin.handle_timeout(now, endpoint) {
            rejoin::Step::Nothing => {}
            rejoin::Step::Try(targets) => {
                let resolved = Resolved { targets, unresolved: Vec::new() };
                self.start(now, endpoint, config, Found { purpose: Purpose::Rejoin, resolved });
            }
            rejoin::Step::Forget(names) => self.events.extend(names.into_iter().map(Event::Forgotten)),
        }
        if !self.rejoin.is_needed() {
            self.remembered = Failed::default();
        }
    }
}

impl Failed {
    /// Of those who answered.
    fn of_answers(failures: &[Unjoined]) -> Self {
        let answered = failures.iter().filter(|failed| failed.is_answered());
        Self { troubles: answered.map(join::explain).collect(), refused: refused(failures, |it| it.as_remembered()) }
    }
}

/// Those of `failures` that are about keys.
fn refused(failures: &[Unjoined], trouble: impl Fn(&Unjoined) -> Trouble) -> Vec<Apart> {
    let about_keys = failures.iter().filter(|failed| failed.is_about_keys());
    about_keys.map(|failed| Apart { addr: failed.target.addr, trouble: trouble(failed) }).collect()
}

/// Whether a member is there.
fn is_present_at(endpoint: &Endpoint, addr: SocketAddr) -> bool {
    endpoint.members().any(|member| member.node.addr == addr && member.status.is_present())
}

fn found_by_mdns(addr: SocketAddr) -> Found {
    let targets = vec![JoinTarget { label: addr.to_string(), addr }];
    Found { purpose: Purpose::Discovered, resolved: Resolved { targets, unresolved: Vec::new() } }
}

/// The next address that mDNS found; never without discovery.
async fn discovered(discovery: &mut Option<Discovery>) -> SocketAddr {
    match discovery {
        Some(discovery) => discovery.recv().await,
        None => std::future::pending().await,
    }
}

/// A line that Serf's agent has for each try; ours would repeat it for as long as nobody answers.
fn joining(config: &Config, purpose: &Purpose, addresses: &[JoinAddress]) -> Notice {
    let replay = match purpose {
        Purpose::Client(reply) => reply.replay(),
        Purpose::Configured | Purpose::Rejoin | Purpose::Discovered => config.gossip.replay_on_join,
    };
    let configured = matches!(purpose, Purpose::Configured);
    let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    Notice::Joining { addresses, replay, configured }
}
