//! A member as a rotation sees it.

use std::time::Duration;

use crate::serf::{Member, Status};
use crate::time::Instant;
use crate::wire::NodeName;

/// Whoever left within this time is rebooting, most likely, and counts as failed.
pub const RECENT_LEAVE: Duration = Duration::from_secs(600);

/// One member, and what decides whether it has to confirm.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    pub name: NodeName,
    pub status: Status,
    /// How long it has had this status.
    pub age: Duration,
    /// It was declared left after it had died without a word, so nobody expects it back.
    pub forced_out: bool,
    /// It is known to be a weir member. Plain Serf obeys no ballot, and neither may whoever is not known.
    pub obeys_ballots: bool,
}

impl Peer {
    /// `member` at `now`; whether it was forced out, [`Serf::was_forced_out`](crate::serf::Serf::was_forced_out) tells.
    pub fn new(member: &Member, now: Instant, forced_out: bool, obeys_ballots: bool) -> Self {
        Self {
            name: member.node.name.clone(),
            status: member.status,
            age: now.since(member.since),
            forced_out,
            obeys_ballots,
        }
    }

    /// Whether it is not left: it has to confirm, or to be named by the operator.
    pub fn counts(&self) -> bool {
        match self.status {
            Status::Alive | Status::Leaving | Status::Failed => true,
            Status::Left => self.age < RECENT_LEAVE && !self.forced_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_come_back_with_its_old_ring_counts() {
        // status, seconds, forced out, counts
        for (status, seconds, forced_out, counts) in [
            (Status::Alive, 0, false, true),
            (Status::Leaving, 0, false, true),
            (Status::Failed, 0, false, true),
            (Status::Failed, 80_000, false, true),
            (Status::Left, 0, false, true),
            (Status::Left, 599, false, true),
            (Status::Left, 600, false, false),
            (Status::Left, 0, true, false),
        ] {
            let name = NodeName::new("a").unwrap();
            let peer = Peer { name, status, age: Duration::from_secs(seconds), forced_out, obeys_ballots: true };
            assert_eq!(peer.counts(), counts, "{peer:?}");
        }
    }
}
