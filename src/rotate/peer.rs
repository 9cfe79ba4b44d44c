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
    /// Another member is present at its address: its host was given another name.
    pub replaced: bool,
    /// It is known to be a weir member. Plain Serf obeys no ballot, and neither may whoever is not known.
    pub obeys_ballots: bool,
}

impl Peer {
    /// `member` at `now`, who is not known for anything.
    pub fn new(member: &Member, now: Instant) -> Self {
        Self {
            name: member.node.name.clone(),
            status: member.status,
            age: now.since(member.since),
            forced_out: false,
            replaced: false,
            obeys_ballots: false,
        }
    }

    /// Whether it is not left: it has to confirm, or to be named by the operator.
    pub fn counts(&self) -> bool {
        match self.status {
            Status::Alive | Status::Leaving => true,
            Status::Failed => !self.replaced,
            Status::Left => self.age < RECENT_LEAVE && !self.forced_out && !self.replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_come_back_with_its_old_ring_counts() {
        // status, seconds, forced out, replaced, counts
        for (status, seconds, forced_out, replaced, counts) in [
            (Status::Alive, 0, false, false, true),
            (Status::Leaving, 0, false, false, true),
            (Status::Failed, 0, false, false, true),
            (Status::Failed, 80_000, false, false, true),
            (Status::Failed, 0, false, true, false),
            (Status::Left, 0, false, false, true),
            (Status::Left, 599, false, false, true),
            (Status::Left, 600, false, false, false),
            (Status::Left, 0, true, false, false),
            (Status::Left, 0, false, true, false),
        ] {
            let name = NodeName::new("a").unwrap();
            let age = Duration::from_secs(seconds);
            let peer = Peer { name, status, age, forced_out, replaced, obeys_ballots: true };
            assert_eq!(peer.counts(), counts, "{peer:?}");
        }
    }
}
