//! What operators ask a balancer: why a member is where it is, and what would happen if.

use super::{Balancer, Upstream};
use crate::time::Instant;
use crate::upstream::explain::{Asked, Details, back_when, explain};
use crate::upstream::plan::Assumption;
use crate::upstream::{Candidate, Circumstances, Decision};
use crate::wire::NodeName;

/// Why a member is where it is in one upstream.
#[derive(Debug)]
pub struct Explanation<'a> {
    pub upstream: &'a Upstream,
    /// Every rule that was asked.
    pub asked: Vec<Asked>,
    /// What would put it in; `None` of one that is in, or that is no server for a reason of its own.
    pub back_when: Option<String>,
}

impl Balancer {
    /// Why `member` is where it is, by the last decision about each upstream; `None` of somebody whom nobody knows.
    pub fn explain(
        &self,
        now: Instant,
        member: &NodeName,
        details: impl Fn(&Upstream, &Candidate) -> Details,
    ) -> Option<Vec<Explanation<'_>>> {
        let explained = |upstream| {
            let seen = self.seen(now, upstream);
            let candidate = seen.iter().find(|candidate| candidate.name == *member)?;
            let decision = upstream.decision()?;
            let details = details(upstream, candidate);
            let judged = decision.members.iter().find(|judged| judged.name == *member);
            let judged = judged.filter(|_| !decision.leaves_out(member));
            Some(Explanation {
                upstream,
                asked: explain(candidate, upstream.options(), decision, &details),
                back_when: judged
                    .and_then(|judged| back_when(candidate, upstream.options(), decision, judged, &details)),
            })
        };
        let all: Vec<Explanation<'_>> = self.upstreams.iter().filter_map(explained).collect();
        (!all.is_empty()).then_some(all)
    }

    /// What would be decided about each upstream under these assumptions, or the name of somebody whom nobody knows.
    pub fn plan(&self, now: Instant, assumptions: &[Assumption]) -> Result<Vec<(&Upstream, Decision)>, NodeName> {
        for assumption in assumptions {
            let is_new = matches!(assumption, Assumption::Join(_));
            if !is_new && !self.names().any(|name| name == assumption.member()) {
                return Err(assumption.member().clone());
            }
        }
        let planned = |upstream| {
            let mut members = self.seen(now, upstream);
            assumptions.iter().for_each(|assumption| assumption.assume(&mut members, upstream.options()));
            (upstream, upstream.decision_about(&members, &self.circumstances(now, upstream)))
        };
        Ok(self.upstreams.iter().map(planned).collect())
    }

    /// What would be decided now about each upstream that is held, if it were released.
    pub fn released(&self, now: Instant) -> impl Iterator<Item = (&Upstream, Decision)> {
        let held = self.upstreams.iter().filter(|upstream| self.holds.get(upstream.name()).is_some());
        held.map(move |upstream| {
            let at = Circumstances { held: false, ..self.circumstances(now, upstream) };
            let seen = upstream.seen(&self.members, &self.testimonies, &at);
            (upstream, upstream.decision_about(&seen, &at))
        })
    }

    /// Everybody who can be asked about.
    pub fn names(&self) -> impl Iterator<Item = &NodeName> {
        let servers = self.upstreams.iter().flat_map(Upstream::decision).flat_map(|decision| &decision.members);
        self.members.iter().map(|member| &member.name).chain(servers.map(|judged| &judged.name))
    }

    fn seen(&self, now: Instant, upstream: &Upstream) -> Vec<Candidate> {
        upstream.seen(&self.members, &self.testimonies, &self.circumstances(now, upstream))
    }

    pub(super) fn circumstances(&self, now: Instant, upstream: &Upstream) -> Circumstances {
        let held = self.holds.get(upstream.name()).is_some();
        Circumstances { now, held, rejoining: now < self.grace_until, isolated: self.is_isolated() }
    }
}
