//! Names that are in the way of others: two hosts claim one, or one is too long to be taken. What a third party sees of it, and
//! when to tell of it.
//!
//! Addresses and names are somebody's word, so an entry is a hint for an operator and nothing else.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::swim;
use crate::time::Instant;
use crate::wire::NodeName;

/// Most that are remembered.
pub const MAX_NAME_TROUBLES: usize = 16;
/// Nothing is told within this time after something else was: whoever invents names costs a line a minute.
const TELL_INTERVAL: Duration = Duration::from_secs(60);
/// The same is told again after this time, if it goes on.
const REPEAT_INTERVAL: Duration = Duration::from_secs(3600);

/// What is the matter with a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NameTrouble {
    /// Whoever is at `other` claims the name of the member at `holder`.
    Claimed { name: NodeName, holder: SocketAddr, other: SocketAddr },
    /// Whoever is at `addr` cannot be a member here: its name has so many bytes.
    TooLong { addr: SocketAddr, bytes: usize },
}

/// It, and when it last showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KnownNameTrouble {
    pub trouble: NameTrouble,
    pub last: Instant,
    told: Option<Instant>,
}

/// The last few, the one seen longest ago first.
#[derive(Debug, Default)]
pub(super) struct NameTroubles {
    known: VecDeque<KnownNameTrouble>,
    quiet_until: Option<Instant>,
}

impl NameTroubles {
    /// Remembers what was seen. Returns whether it is to be told.
    pub(super) fn note(&mut self, trouble: &NameTrouble, now: Instant) -> bool {
        let at = self.known.iter().position(|known| known.trouble == *trouble);
        let told = at.and_then(|at| self.known.remove(at)).and_then(|known| known.told);
        let is_due = |at: Option<Instant>, pause| at.is_none_or(|at| at + pause <= now);
        let tell = is_due(told, REPEAT_INTERVAL) && self.quiet_until.is_none_or(|until| until <= now);
        if tell {
            self.quiet_until = Some(now + TELL_INTERVAL);
        }
        if self.known.len() == MAX_NAME_TROUBLES {
            self.known.pop_front();
        }
        let told = if tell { Some(now) } else { told };
        self.known.push_back(KnownNameTrouble { trouble: trouble.clone(), last: now, told });
        tell
    }

    /// Forgets what a member's change puts right: a host that is a member has a name of its own, and one that is gone
    /// holds none.
    pub(super) fn handle_event(&mut self, event: &swim::Event) {
        match event {
            swim::Event::Joined(node) | swim::Event::Updated(node) => self.known.retain(|known| match &known.trouble {
                NameTrouble::Claimed { other: addr, .. } | NameTrouble::TooLong { addr, .. } => *addr != node.addr,
            }),
            swim::Event::Gone { node, .. } => self.forget(&node.name),
            swim::Event::Purged(name) => self.forget(name),
            swim::Event::Suspected { .. } | swim::Event::Cleared(_) | swim::Event::Conflict { .. } => {}
        }
    }

    fn forget(&mut self, gone: &NodeName) {
        self.known.retain(|known| !matches!(&known.trouble, NameTrouble::Claimed { name, .. } if name == gone));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &KnownNameTrouble> {
        self.known.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::wire::message::Versions;

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 7946))
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn claimed(other: u8) -> NameTrouble {
        NameTrouble::Claimed { name: name("web"), holder: addr(1), other: addr(other) }
    }

    fn at(second: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(second)
    }

    fn node(text: &str, host: u8) -> Arc<swim::Node> {
        Arc::new(swim::Node { name: name(text), addr: addr(host), meta: bytes::Bytes::new(), versions: Versions::OURS })
    }

    #[test]
    fn the_same_is_told_once_an_hour_and_anything_once_a_minute() {
        let long = NameTrouble::TooLong { addr: addr(9), bytes: 600 };
        let mut troubles = NameTroubles::default();
        for (second, trouble, told) in [
            (0, claimed(2), true),
            (1, claimed(2), false),
            (59, long.clone(), false),
            (60, long.clone(), true),
            (120, claimed(2), false),
            (3599, claimed(2), false),
            (3600, claimed(2), true),
            (3659, long.clone(), false),
            (3660, long, true),
        ] {
            assert_eq!(troubles.note(&trouble, at(second)), told, "{second} {trouble:?}");
        }
        let last: Vec<_> = troubles.iter().map(|known| known.last).collect();
        assert_eq!(last, [at(3600), at(3660)]);
    }

    #[test]
    fn whoever_invents_claims_costs_a_line_a_minute_and_few_bytes() {
        let mut troubles = NameTroubles::default();
        let told = (0..600).filter(|second| troubles.note(&claimed((second % 200) as u8), at(*second))).count();
        assert_eq!((told, troubles.iter().count()), (10, MAX_NAME_TROUBLES));
    }

    #[test]
    fn what_was_put_right_is_forgotten() {
        let long = NameTrouble::TooLong { addr: addr(9), bytes: 600 };
        for (event, left) in [
            (swim::Event::Joined(node("web2", 2)), vec![claimed(3), long.clone()]),
            (swim::Event::Updated(node("web", 2)), vec![claimed(3), long.clone()]),
            (swim::Event::Joined(node("short", 9)), vec![claimed(2), claimed(3)]),
            (swim::Event::Joined(node("web", 1)), vec![claimed(2), claimed(3), long.clone()]),
            (swim::Event::Gone { node: node("web", 1), left: true }, vec![long.clone()]),
            (swim::Event::Purged(name("web")), vec![long.clone()]),
            (swim::Event::Cleared(name("web")), vec![claimed(2), claimed(3), long.clone()]),
        ] {
            let mut troubles = NameTroubles::default();
            for trouble in [claimed(2), claimed(3), long.clone()] {
                troubles.note(&trouble, at(0));
            }
            troubles.handle_event(&event);
            assert_eq!(
                troubles.iter().map(|known| &known.trouble).collect::<Vec<_>>(),
                left.iter().collect::<Vec<_>>()
            );
        }
    }
}
