//! How often the connections to one server are looked at, without I/O (`protocols D.4`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::apply::{Ask, Cut, Refusal};
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
    /// Why a request is not done now; takes note of one that is.
    pub(super) fn keeps_back(&mut self, now: Instant, ask: &Ask) -> Option<Refusal> {
        let Ask::Cut(Cut { upstream, member, .. }) = ask else { return None };
        self.recent.retain(|_, at| now.saturating_duration_since(*at) < INTERVAL);
        let (upstream, member) = (upstream.clone(), member.clone());
        if self.recent.contains_key(&(upstream.clone(), member.clone())) {
            return Some(Refusal::TooSoon { upstream, member });
        }
        self.recent.insert((upstream, member), now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(upstream: &str, member: &str) -> Ask {
        let (upstream, member) = (UpstreamName::new(upstream).unwrap(), NodeName::new(member).unwrap());
        Ask::Cut(Cut { upstream, member, known: None })
    }

    #[test]
    fn a_member_of_an_upstream_is_looked_at_once_in_its_time() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        for (after, upstream, member, is_kept_back) in [
            (0, "web", "web1", false),
            (1, "web", "web1", true),
            (1, "web", "web2", false),
            (1, "api", "web1", false),
            (299, "web", "web1", true),
            (300, "web", "web1", false),
            (300, "web", "web2", true),
            (599, "web", "web1", true),
            (600, "web", "web1", false),
        ] {
            let refusal = pace.keeps_back(start + Duration::from_millis(after), &cut(upstream, member));
            assert_eq!(matches!(refusal, Some(Refusal::TooSoon { .. })), is_kept_back, "{after} {upstream} {member}");
        }
        assert_eq!(pace.recent.len(), 1, "what is over is forgotten");
        assert_eq!(pace.keeps_back(start, &Ask::Check), None);
    }
}
