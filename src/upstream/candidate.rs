//! What is known about one member when servers are chosen.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Options;
use crate::health::probe::Probe;
use crate::health::query::Check;
use crate::serf::{Member, Status};
use crate::swim::Swim;
use crate::wire::NodeName;
use crate::wire::serf::{LamportTime, Tags};

/// A member with all evidence about it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name.
    pub name: NodeName,
    /// The address it advertises; the port of gossip does not matter here.
    pub addr: IpAddr,
    /// Its tags.
    pub tags: Arc<Tags>,
    /// What it is to this balancer.
    pub standing: Standing,
    /// First witness: what gossip says.
    pub gossip: Gossip,
    /// What this balancer's own pings of it add to that.
    pub pings: Pings,
    /// What it says of its own health.
    pub check: Check,
    /// Second witness: what this balancer's own probe says.
    pub probe: Probe,
    /// Where that was asked; `None`: wherever the member serves.
    pub probed: Option<SocketAddr>,
    /// Whether it wants to leave.
    pub drain: Drain,
    /// Whether its witnesses changed their minds too often (`design §7`).
    pub flapping: bool,
    /// Percent of its weight that it gets while it starts slowly; `None` for all of it.
    pub ramp: Option<u8>,
}

impl Candidate {
    /// A member as gossip knows it.
    pub fn of(member: &Member, swim: &Swim) -> Self {
        let suspected = || swim.member(&member.node.name).is_some_and(|member| member.state.is_suspect());
        let gossip = match member.status {
            Status::Alive if suspected() => Gossip::Suspect,
            Status::Alive => Gossip::Alive,
            Status::Leaving => Gossip::Leaving,
            Status::Left => Gossip::Left,
            Status::Failed => Gossip::Failed,
        };
        let is_self = swim.local_node().name == member.node.name;
        let standing = if is_self { Standing::Itself } else { Standing::Other };
        Self { standing, ..Self::new(member.node.name.clone(), member.node.addr.ip(), member.tags(), gossip) }
    }

    /// A member about which gossip is the only witness.
    pub fn new(name: NodeName, addr: IpAddr, tags: Tags, gossip: Gossip) -> Self {
        Self {
            name,
            addr,
            tags: Arc::new(tags),
            standing: Standing::Other,
            gossip,
            pings: Pings::default(),
            check: Check::None,
            probe: Probe::None,
            probed: None,
            drain: Drain::No,
            flapping: false,
            ramp: None,
        }
    }

    /// A server of an earlier generation that is no member: not yet again, after our own restart, or not any more.
    pub(super) fn missing(name: NodeName, addr: IpAddr, rejoining: bool) -> Self {
        let gossip = if rejoining { Gossip::Unknown } else { Gossip::Failed };
        Self { standing: Standing::Missing, ..Self::new(name, addr, Tags::new(), gossip) }
    }

    /// What the probe says of the service at `addr`; of one elsewhere it says nothing.
    pub(super) fn probe_of(&self, addr: SocketAddr, options: &Options) -> Probe {
        if self.probed.is_none_or(|probed| probed == addr) { self.probe } else { options.unprobed() }
    }

    /// What gossip says, as far as this balancer believes it (`protocols D.4`).
    pub(super) fn heard(&self) -> Gossip {
        match (self.gossip, self.pings) {
            (Gossip::Alive, Pings::Unanswered) => Gossip::Suspect,
            (gossip, Pings::Answered | Pings::Unanswered) => gossip,
        }
    }
}

/// What gossip says: Serf's statuses, and SWIM's suspicion, which Serf does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gossip {
    /// Alive and not suspected.
    Alive,
    /// Suspected by SWIM; still alive to Serf.
    Suspect,
    /// Failed.
    Failed,
    /// In our last generation but no member of that name yet, after our own restart.
    Unknown,
    /// Announced its leave.
    Leaving,
    /// Left.
    Left,
}

/// What a member is to a balancer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Standing {
    /// Another member.
    #[default]
    Other,
    /// The balancer.
    Itself,
    /// No member: a server of an earlier generation.
    Missing,
    /// No member yet: what would be if it joined. Tags of which nothing is known are as an upstream selects them.
    Supposed,
}

/// What came of pinging a member directly: the second witness, whose word counts at this balancer alone (`protocols D.4`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pings {
    /// It answered, or nobody had a reason to ask.
    #[default]
    Answered,
    /// All were silent: alive counts as suspect, and a suspect's port that does not open as evidence.
    Unanswered,
}

/// Whether a member wants to leave (`protocols A`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Drain {
    /// It does not.
    #[default]
    No,
    /// It asks; whether it may depends on the others.
    Asked(Rank),
    /// This balancer has promised not to route to it.
    Promised,
}

/// Who asked to leave first. Ties are broken by name; smaller goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// Member Lamport time when the drain was first asked for.
    Since(LamportTime),
    /// An operator's tag on a plain Serf agent: no time in it, so its turn comes last.
    Last,
}
