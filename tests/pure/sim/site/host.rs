//! A host: its agent's own drain and checks, its web server, and what of all that is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use weir::drain::flight::Traffic;
use weir::drain::{Departure, DrainId, Kept, RemoteDrain};
use weir::endpoint::Restored;
use weir::health::check::Checks;
use weir::serf::QueryKey;
use weir::time::Instant;
use weir::upstream::UpstreamName;
use weir::upstream::desired::{Desired, Target};
use weir::upstream::settle::Applied;
use weir::wire::NodeName;
use weir::wire::serf::Tags;

use super::apply::Helper;
use super::balancer::Agent;
use super::nginx::Nginx;
use super::world::Scripts;

/// What a web server does with requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Service {
    Up,
    /// It answers, too late for a probe.
    Slow,
    /// Its kernel takes connections, and nobody reads them.
    Hung,
    /// Connections are refused.
    Down,
}

/// What an operator does once an agent has left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    /// The machine is switched off: the application stops after the agent.
    Stop,
    /// Both are started again after a while.
    ComeBack,
}

pub(crate) struct Host {
    pub(crate) name: NodeName,
    pub(crate) addr: SocketAddr,
    pub(crate) role: &'static str,
    /// It is a server only for when the others are gone.
    pub(crate) backup: bool,
    /// Tags beside the role.
    pub(crate) tags: Tags,
    /// Counts the processes of its agent.
    pub(crate) life: u64,
    // On disk.
    pub(crate) snapshot: Restored,
    pub(crate) kept: Option<Kept>,
    // In memory.
    pub(crate) departure: Option<Departure>,
    pub(crate) checks: Option<Checks>,
    /// Writes that are under way; the last counts.
    pub(crate) writes: u64,
    pub(crate) queries: BTreeSet<QueryKey>,
    pub(crate) traffic: Traffic,
    pub(crate) is_looking: bool,
    pub(crate) members_changed: bool,
    pub(crate) has_joined: bool,
    pub(crate) then: Then,
    /// The drain that it is in by its own word, the last one of a process that ended in it.
    pub(crate) drain: Option<DrainId>,
    /// Every drain that it has had.
    pub(crate) drains: BTreeSet<DrainId>,
    /// When it was asked last to drain, to leave or to serve again,
    pub(crate) asked: Instant,
    /// and when it last obeyed another node.
    pub(crate) obeyed: Option<(Instant, RemoteDrain)>,
    /// How long its process goes on once it has left.
    pub(crate) stay: Duration,
    /// It said that balancers did not confirm, and leaves all the same.
    pub(crate) is_forced: bool,
    pub(crate) has_power: bool,
    pub(crate) service: Service,
    /// Counts the processes of its service.
    pub(crate) service_life: u64,
    /// When something was done to it last.
    pub(crate) touched: Instant,
    /// When its agent has to be called.
    pub(crate) due: Option<Instant>,
    /// `None` on a web server.
    pub(crate) front: Option<Front>,
}

/// What a balancer has beside its agent's own.
pub(crate) struct Front {
    pub(crate) agent: Option<Agent>,
    /// What is there in place of weir where the agent is Serf's.
    pub(crate) scripts: Option<Scripts>,
    pub(crate) helper: Helper,
    pub(crate) nginx: Nginx,
    pub(crate) reloaded_at: Option<Instant>,
    /// An operator's word, which waits for no budget.
    pub(crate) is_ordered: bool,
    /// How the last job of this agent ended,
    pub(crate) last: Option<Applied>,
    /// and of which upstreams it cannot know what is in place, since no job has told it.
    pub(crate) unknown: BTreeSet<UpstreamName>,
    /// Upstreams of the job under way.
    pub(crate) asked: Vec<UpstreamName>,
    /// What was in place when its own network went down, until that is over for clients, too.
    pub(crate) cut_off: Option<Desired>,
    /// What was in place when another balancer's network went down, until that one has been back for a while: nobody died.
    pub(crate) misled: Option<Desired>,
    /// Since when each member should be in, or out.
    pub(crate) should: BTreeMap<(usize, NodeName), (bool, Instant)>,
}

impl Front {
    /// Nothing runs yet.
    pub(crate) fn new(helper: Helper, scripts: Option<Scripts>) -> Self {
        Self {
            agent: None,
            scripts,
            helper,
            nginx: Nginx::default(),
            reloaded_at: None,
            is_ordered: false,
            cut_off: None,
            misled: None,
            last: None,
            unknown: BTreeSet::new(),
            asked: Vec::new(),
            should: BTreeMap::new(),
        }
    }

    /// Whether the last job that succeeded was for this.
    pub(crate) fn has_in_place(&self, upstream: &UpstreamName, target: &Target) -> bool {
        match (self.helper.in_place().and_then(|file| file.upstreams.get(upstream)), target) {
            (Some(Target::Servers(file)), Target::Servers(target)) => file.routes_like(target, false),
            (file, Target::Placeholder) => file == Some(&Target::Placeholder),
            (Some(Target::Placeholder) | None, Target::Servers(_)) => false,
        }
    }

    /// What NGINX reads when it starts.
    pub(crate) fn on_path(&self) -> &Desired {
        self.scripts.as_ref().map_or_else(|| self.helper.on_path(), |scripts| &scripts.file)
    }
}

impl Host {
    pub(crate) fn new(name: NodeName, addr: SocketAddr, now: Instant, front: Option<Front>) -> Self {
        Self {
            name,
            addr,
            role: "web",
            backup: false,
            tags: Tags::new(),
            life: 0,
            snapshot: Restored::default(),
            kept: None,
            departure: None,
            checks: None,
            writes: 0,
            queries: BTreeSet::new(),
            traffic: Traffic::default(),
            is_looking: false,
            members_changed: true,
            has_joined: false,
            then: Then::ComeBack,
            drain: None,
            drains: BTreeSet::new(),
            asked: now,
            obeyed: None,
            stay: Duration::ZERO,
            is_forced: false,
            has_power: true,
            service: Service::Down,
            service_life: 0,
            touched: now,
            due: None,
            front,
        }
    }

    /// Forgets what a process had in memory.
    pub(crate) fn ends(&mut self) {
        (self.departure, self.checks, self.is_looking) = (None, None, false);
        (self.queries, self.traffic) = (BTreeSet::new(), Traffic::default());
        self.due = None;
        self.writes += 1;
    }
}
