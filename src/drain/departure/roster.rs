//! Whom a leaving node has to hear from (`protocols A.3`): evaluated anew at every step, never fixed.

use std::time::Duration;

use crate::drain::DrainTag;
use crate::serf::{Member, Status};
use crate::swim::Swim;
use crate::time::Instant;
use crate::upstream::Rank;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::LamportTime;

/// The tag that marks a balancer, so that leaving members know whom to ask (`protocols A.1`).
pub const BALANCER: &str = "weir_lb";

/// How long a failed balancer is waited for.
pub(super) const UNREACHABLE_WAIT: Duration = Duration::from_secs(5);

/// A member, as far as a leave is concerned with it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: NodeName,
    pub presence: Presence,
    /// Its own count. It goes up with each restart, so that one that was built anew under its name has another.
    pub incarnation: Incarnation,
    /// Whether it carries the tag `weir_lb`.
    pub is_balancer: bool,
    /// What it says of its own drain.
    pub drain: Option<DrainTag>,
}

impl Peer {
    /// A member that matters; others neither balance nor drain.
    pub fn of(member: &Member, swim: &Swim) -> Option<Self> {
        let tags = member.tags();
        let presence = match member.status {
            Status::Alive => Presence::Alive,
            Status::Failed => Presence::Failed { since: member.since },
            Status::Leaving | Status::Left => Presence::Gone,
        };
        let is_balancer = tags.get(BALANCER).is_some_and(|value| value == "1");
        let drain = DrainTag::of(&tags);
        let name = member.node.name.clone();
        let incarnation = swim.member(&name).map(|known| known.incarnation).unwrap_or_default();
        (is_balancer || drain.is_some()).then_some(Self { name, presence, incarnation, is_balancer, drain })
    }
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// Alive, perhaps suspected.
    Alive,
    Failed {
        since: Instant,
    },
    /// It leaves or has left.
    Gone,
}

/// All members.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster(Vec<Peer>);

impl Roster {
    pub(super) fn new(peers: Vec<Peer>) -> Self {
        Self(peers)
    }

    /// Balancers that have to confirm a drain that began then.
    pub(super) fn awaited(&self, now: Instant, begun: Instant) -> impl Iterator<Item = &NodeName> {
        self.balancers().filter(move |peer| is_awaited(peer, now, begun)).map(|peer| &peer.name)
    }

    /// Balancers that have failed too long ago to be waited for, and since when they have.
    pub(super) fn unreachable(&self, now: Instant, begun: Instant) -> impl Iterator<Item = (&NodeName, Instant)> {
        self.balancers().filter_map(move |peer| match peer.presence {
            Presence::Failed { since } if !is_awaited(peer, now, begun) => Some((&peer.name, since)),
            Presence::Alive | Presence::Failed { .. } | Presence::Gone => None,
        })
    }

    /// Whether somebody drains who asked before `own` did, `since` then.
    pub(super) fn has_earlier(&self, own: &NodeName, since: Rank) -> bool {
        self.0
            .iter()
            .filter(|peer| peer.presence == Presence::Alive && peer.name != *own)
            .any(|peer| peer.drain.as_ref().is_some_and(|drain| (drain.rank, &peer.name) < (since, own)))
    }

    /// That time, or a later one if somebody else drains who has asked by then.
    pub(super) fn after_others(&self, own: &NodeName, time: LamportTime) -> LamportTime {
        let others = self.0.iter().filter(|peer| peer.presence == Presence::Alive && peer.name != *own);
        let times = others.filter_map(|peer| match peer.drain.as_ref()?.rank {
            Rank::Since(since) => Some(LamportTime(since.get().saturating_add(1))),
            Rank::Last => None,
        });
        times.fold(time, LamportTime::max)
    }

    /// Whether that member is a balancer.
    pub(super) fn is_balancer(&self, name: &NodeName) -> bool {
        self.balancers().any(|peer| peer.name == *name)
    }

    /// The count of that balancer.
    pub(super) fn incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        self.balancers().find(|peer| peer.name == *name).map(|peer| peer.incarnation)
    }

    /// Whether that member is a balancer that has not left.
    pub(super) fn is_there(&self, name: &NodeName) -> bool {
        self.balancers().any(|peer| peer.name == *name && peer.presence != Presence::Gone)
    }

    fn balancers(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter().filter(|peer| peer.is_balancer)
    }
}

fn is_awaited(peer: &Peer, now: Instant, begun: Instant) -> bool {
    match peer.presence {
        Presence::Alive => true,
        Presence::Failed { since } => now < since.max(begun) + UNREACHABLE_WAIT,
        Presence::Gone => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn the_failed_are_waited_for_from_the_start_or_their_failing_and_the_left_not_at_all() {
        let begun = at(100);
        let failed = |second| Presence::Failed { since: at(second) };
        // presence, now, whether it is waited for
        for (presence, now, awaited) in [
            (Presence::Alive, 100, true),
            (Presence::Alive, 1000, true),
            (Presence::Gone, 100, false),
            (failed(0), 104, true),
            (failed(0), 105, false),
            (failed(103), 107, true),
            (failed(103), 108, false),
        ] {
            let name = NodeName::new("lb1").unwrap();
            let incarnation = Incarnation::FIRST;
            let peer = Peer { name: name.clone(), presence, incarnation, is_balancer: true, drain: None };
            let roster = Roster::new(vec![peer.clone(), Peer { is_balancer: false, ..peer }]);
            assert_eq!(roster.awaited(at(now), begun).count(), usize::from(awaited), "{presence:?} {now}");
            let unreachable = !awaited && presence != Presence::Gone;
            assert_eq!(roster.unreachable(at(now), begun).count(), usize::from(unreachable), "{presence:?} {now}");
        }
    }
}
