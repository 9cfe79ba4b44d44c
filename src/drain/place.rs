//! What the decisions of a balancer make of a node that leaves, which is what its answer rests on (`protocols A.4`).

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::upstream::balancer::{Balancer, Upstream};
use crate::upstream::{Decision, Drain, Judged, Servers, Want};
use crate::wire::NodeName;

/// What this balancer's decisions make of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// No upstream selects it, and none has it.
    Elsewhere,
    /// It gets no requests, and that is in place.
    Out {
        /// Where it got them.
        servers: Vec<SocketAddr>,
    },
    /// It is to go, and that is not in place yet.
    Going,
    /// The same, and it cannot be brought in place now.
    Stuck { error: String },
    /// Too few would be left.
    Refused {
        /// Who else drains there and is out for that.
        beside: Vec<NodeName>,
        /// By which setting of which upstream, for people.
        rule: String,
    },
}

impl Place {
    /// By the last decisions about all upstreams; `trouble` is why nothing can be put in place.
    pub fn of(balancer: &Balancer, trouble: Option<&str>, node: &NodeName) -> Self {
        let mut servers = Vec::new();
        let (mut is_selected, mut is_going) = (false, false);
        let mut refusing: Option<(BTreeSet<NodeName>, String)> = None;
        for upstream in balancer.upstreams() {
            let Some(decision) = upstream.decision() else { return Self::Going };
            is_going |= serves(upstream.live(), node);
            let Ok(index) = decision.members.binary_search_by(|judged| judged.name.cmp(node)) else { continue };
            let judged = &decision.members[index];
            is_selected = true;
            if !servers.contains(&judged.draft.addr) {
                servers.push(judged.draft.addr);
            }
            // A member that is no more may have been called otherwise there.
            is_going |=
                upstream.live().is_some_and(|live| live.serving().any(|server| server.addr == judged.draft.addr));
            let gets_requests = gets_requests(decision, judged);
            match judged.drain {
                Drain::Asked(_) if gets_requests => {
                    let (beside, _) = refusing.get_or_insert_with(|| (BTreeSet::new(), rule(upstream)));
                    beside.extend(others(upstream, judged));
                }
                Drain::No | Drain::Asked(_) | Drain::Promised => is_going |= gets_requests,
            }
        }
        match (refusing, trouble) {
            (Some((beside, rule)), _) => Self::Refused { beside: beside.into_iter().collect(), rule },
            (None, Some(error)) if is_going => Self::Stuck { error: error.to_owned() },
            (None, _) if is_going => Self::Going,
            (None, _) if is_selected => Self::Out { servers },
            (None, _) => Self::Elsewhere,
        }
    }
}

/// `min_healthy = "50%" of upstream web`.
fn rule(upstream: &Upstream) -> String {
    format!("{} of upstream {}", upstream.min_healthy().setting(), upstream.name())
}

fn serves(live: Option<&Servers>, node: &NodeName) -> bool {
    live.is_some_and(|live| live.serving().any(|server| server.member == *node))
}

/// By what is decided there.
fn gets_requests(decision: &Decision, judged: &Judged) -> bool {
    decision.want != Want::Placeholder && judged.draft.weight > 0 && judged.verdict.placed.is_in()
}

/// Who else drains there and is out for that; whoever is refused as well leaves nobody more room by going on.
fn others<'a>(upstream: &'a Upstream, judged: &'a Judged) -> impl Iterator<Item = NodeName> + 'a {
    let drained = |decision: &'a Decision| {
        let others = decision.members.iter().filter(|other| other.drain != Drain::No && other.name != judged.name);
        others.filter(move |other| !gets_requests(decision, other)).map(|other| other.name.clone())
    };
    upstream.decision().into_iter().flat_map(drained)
}
