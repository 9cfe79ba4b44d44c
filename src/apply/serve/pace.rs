//! How often the connections to one server are looked at, without I/O (`protocols D.4`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use crate::apply::{Cut, Dead, Deaths};
use crate::upstream::UpstreamName;
use crate::wire::NodeName;

/// At most one look at a member of an upstream in this time: whoever has taken over the agent cannot keep its requests from
/// being answered without taking it out as well.
const INTERVAL: Duration = Duration::from_millis(300);

/// Who was looked at a moment ago. Holds no more than were asked for in that time.
#[derive(Debug, Default)]
pub(super) struct Pace {
    recent: BTreeMap<(UpstreamName, NodeName), Instant>,
}

impl Pace {
    /// Takes out of a request whose time has not come; takes note of the others.
    pub(super) fn keep_back(&mut self, now: Instant, cut: &mut Cut) {
        self.recent.retain(|_, at| now.saturating_duration_since(*at) < INTERVAL);
        let recent = &mut self.recent;
        let is_free = |dead: &&Dead| match recent.entry((dead.upstream.clone(), dead.member.clone())) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(now);
                true
            }
        };
        cut.dead = Deaths::new(cut.dead.iter().filter(is_free).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(upstream: &str, member: &str) -> Dead {
        Dead { upstream: UpstreamName::new(upstream).unwrap(), member: NodeName::new(member).unwrap(), cut: 0 }
    }

    #[test]
    fn a_member_of_an_upstream_is_looked_at_once_in_its_time() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let (web1, web2, api1) = (dead("web", "web1"), dead("web", "web2"), dead("api", "web1"));
        for (after, asked, left) in [
            (0, vec![&web1], vec![&web1]),
            (1, vec![&web1, &web2, &api1], vec![&web2, &api1]),
            (299, vec![&web1], vec![]),
            (300, vec![&web1, &web2], vec![&web1]),
            (599, vec![&web1], vec![]),
            (600, vec![&web1, &web1], vec![&web1]),
        ] {
            let mut cut = Cut { dead: Deaths::new(asked.into_iter().cloned()), known: None };
            pace.keep_back(start + Duration::from_millis(after), &mut cut);
            assert_eq!(cut.dead.iter().collect::<Vec<_>>(), left, "{after}");
        }
        assert_eq!(pace.recent.len(), 1, "what is over is forgotten");
    }
}
