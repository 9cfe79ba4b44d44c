//! What is known of one drain or leave, from the operator's word on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::{Cause, Flight, Times, step};
use crate::drain::document::Done;
use crate::drain::{DrainId, DrainTag, Word};
use crate::time::{Instant, millis};
use crate::upstream::Generation;
use crate::wire::NodeName;
use crate::wire::message::Incarnation;
use crate::wire::serf::LamportTime;

/// What all this is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    Drain { force: bool },
    Leave(Cause),
}

impl Goal {
    pub(super) fn leaves(self) -> bool {
        matches!(self, Self::Leave(_))
    }
}

/// A balancer that is done.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) done: Done,
    pub(super) generation: Generation,
    /// Its own count when it said so.
    pub(super) incarnation: Incarnation,
    /// Whether it has said where requests go that may be on their way.
    pub(super) named: bool,
}

/// One drain, from the operator's word on.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) goal: Goal,
    pub(super) times: Times,
    /// Of this drain, or of the next one while yielding.
    pub(super) id: DrainId,
    pub(super) since: LamportTime,
    pub(super) begun: Instant,
    pub(super) counted: BTreeMap<NodeName, Counted>,
    /// Who was done when the drain was over, by their count: what was on its way from there has had its time.
    pub(super) settled: BTreeMap<NodeName, Incarnation>,
    /// Their last word, of those who have not counted.
    pub(super) refusing: BTreeMap<NodeName, Word>,
    /// Who had too few other servers when this node let others go first.
    pub(super) floors: BTreeSet<NodeName>,
    /// Where balancers send requests.
    pub(super) servers: BTreeSet<SocketAddr>,
    /// Who is not waited for any more though nobody knows that it is done.
    pub(super) forced: BTreeSet<NodeName>,
    pub(super) told_unreachable: BTreeSet<NodeName>,
    pub(super) told_gone: BTreeSet<NodeName>,
    /// The time to confirm was over, and that was told.
    pub(super) overdue: bool,
    pub(super) ask_at: Instant,
    /// Not before that others are let go first, after a try that the disk did not take.
    pub(super) yield_at: Instant,
    pub(super) pause: Duration,
    pub(super) flight: Flight,
}

impl Run {
    pub(super) fn new(now: Instant, goal: Goal, times: Times, id: DrainId, since: LamportTime) -> Self {
        Self {
            goal,
            times,
            id,
            since,
            begun: now,
            counted: BTreeMap::new(),
            settled: BTreeMap::new(),
            refusing: BTreeMap::new(),
            floors: BTreeSet::new(),
            servers: BTreeSet::new(),
            forced: BTreeSet::new(),
            told_unreachable: BTreeSet::new(),
            told_gone: BTreeSet::new(),
            overdue: false,
            ask_at: now,
            yield_at: now,
            pause: step::YIELD,
            flight: Flight::Unknown,
        }
    }

    /// The same drain for another end, which begins now.
    pub(super) fn aimed(self, now: Instant, goal: Goal, times: Times) -> Self {
        let (told_unreachable, told_gone) = (BTreeSet::new(), BTreeSet::new());
        Self { goal, times, begun: now, overdue: false, ask_at: now, told_unreachable, told_gone, ..self }
    }

    pub(super) fn tag(&self) -> DrainTag {
        DrainTag::new(self.id.clone(), self.since)
    }

    pub(super) fn elapsed(&self, now: Instant) -> u64 {
        millis(now.since(self.begun))
    }

    pub(super) fn deadline(&self) -> Instant {
        self.begun + self.times.confirm
    }

    pub(super) fn is_idle(&self, name: &NodeName) -> bool {
        self.counted.get(name).is_some_and(|counted| counted.done != Done::Out)
    }
}
