//! Answers what operators ask about decisions: why a member is where it is, and what would happen if.

use std::collections::BTreeMap;

use super::Upstreams;
use crate::agent::clock::Calendar;
use crate::config::nearest;
use crate::endpoint::Endpoint;
use crate::health;
use crate::health::query::Source;
use crate::rpc::refusal::{Kind, Refusal};
use crate::rpc::weir::{
    Explained, ExplainedIn, Joiner, Planned, PlannedIn, PlannedServer, UpstreamExplain, UpstreamPlan,
};
use crate::status::health::MemberHealth;
use crate::status::node::{self, ServerState};
use crate::status::serving::Told;
use crate::time::Instant;
use crate::upstream::balancer::Upstream;
use crate::upstream::explain::Details;
use crate::upstream::plan::{Assumption, Newcomer};
use crate::upstream::{Candidate, Decision, Gossip, Pings, PlainName, Want};
use crate::wire::NodeName;

/// Most assumptions that one question may make.
const MAX_ASSUMPTIONS: usize = 256;

impl Upstreams {
    /// Why a member is where it is; `told` is what the node document says of the upstreams.
    pub(in crate::agent) fn explain(
        &self,
        now: Instant,
        endpoint: &Endpoint,
        told: &[node::Upstream],
        request: &UpstreamExplain,
    ) -> Result<Explained, Refusal> {
        let calendar = Calendar::read();
        let name = NodeName::new(&request.member).ok_or_else(|| self.unknown(&request.member))?;
        let details = |upstream: &Upstream, member: &Candidate| {
            let told = told.iter().find(|told| told.name == upstream.name().as_str());
            self.details(now, endpoint, &calendar, upstream, member, told)
        };
        let explained = self.balancer.explain(now, &name, details).ok_or_else(|| self.unknown(&request.member))?;
        let explained = explained.into_iter().filter_map(|explanation| {
            let told = told.iter().find(|told| told.name == explanation.upstream.name().as_str())?;
            Some(ExplainedIn {
                upstream: about(told, &request.member),
                rules: explanation.asked,
                back_when: explanation.back_when,
            })
        });
        Ok(Explained { upstreams: explained.collect() })
    }

    /// Whether requests go to `member`; `document` is the node's.
    pub(in crate::agent) fn serving(
        &self,
        now: Instant,
        endpoint: &Endpoint,
        document: &node::Document,
        member: &str,
    ) -> Told {
        let request = UpstreamExplain { member: member.to_owned() };
        match self.explain(now, endpoint, &document.upstreams, &request) {
            Ok(Explained { upstreams }) => {
                Told::of(document, upstreams.iter().map(|told| (&told.upstream, &told.rules[..])))
            }
            Err(_nobody) => Told::unknown(self.applies.generation()),
        }
    }

    fn details(
        &self,
        now: Instant,
        endpoint: &Endpoint,
        calendar: &Calendar,
        upstream: &Upstream,
        member: &Candidate,
        told: Option<&node::Upstream>,
    ) -> Details {
        let since = endpoint.gossip_since(member.name.as_str()).map(|since| format!("since {}", calendar.date(since)));
        let gossip = match (member.gossip, member.pings) {
            (Gossip::Alive, Pings::Unanswered) => "by this balancer's own pings, which it does not answer".to_owned(),
            (Gossip::Suspect, _) if self.balancer.is_disputed(&member.name) => {
                let failed = since.map_or_else(|| "failed".to_owned(), |since| format!("failed {since}"));
                format!("{failed}, which does not count as long as it answers this balancer's own pings")
            }
            (Gossip::Suspect, Pings::Unanswered) => {
                let since = since.into_iter().chain(["this balancer's own pings it does not answer either".to_owned()]);
                since.collect::<Vec<_>>().join("; ")
            }
            (Gossip::Unknown, _) if self.balancer.is_unheard(&member.name) => {
                let failed = since.map_or_else(|| "failed".to_owned(), |since| format!("failed {since}"));
                format!("{failed}, when this balancer heard nobody: that does not count yet")
            }
            _ => since.unwrap_or_default(),
        };
        let held = told.and_then(|told| told.held.as_ref()).map(|held| {
            let since = held.since.as_ref().map(|since| format!("since {since}"));
            since.into_iter().chain(held.reason.clone()).collect::<Vec<_>>().join(", ")
        });
        let own = told.and_then(|told| told.servers.iter().find(|server| server.member == member.name.as_str()));
        let probe = own.and_then(|server| server.probe.as_ref());
        Details {
            gossip,
            checks: checked(member.tags.get(health::TAG), self.health.of(&member.name, calendar).as_ref()),
            probe: probe.map(probed).unwrap_or_default(),
            rise: probe.map(|probe| probe.rise),
            flapping: upstream.held_down_until(now, &member.name).map(|until| calendar.date(until)),
            held,
        }
    }

    /// What would happen under some assumptions.
    pub(in crate::agent) fn plan(
        &self,
        now: Instant,
        told: &[node::Upstream],
        request: &UpstreamPlan,
    ) -> Result<Planned, Refusal> {
        let assumptions = self.assumptions(request)?;
        let planned = self.balancer.plan(now, &assumptions).map_err(|name| self.unknown(name.as_str()))?;
        let planned = planned.into_iter().map(|(upstream, decision)| {
            let before = told.iter().find(|told| told.name == upstream.name().as_str());
            let mut planned = planned_in(upstream, &decision, before);
            let is_supposed =
                |name: &str| request.join.iter().any(|joiner| joiner.name == name && joiner.addr.is_none());
            for server in &mut planned.servers {
                server.addr_supposed = server.addr.is_some() && is_supposed(&server.member);
            }
            planned
        });
        Ok(Planned { upstreams: planned.collect() })
    }

    fn assumptions(&self, request: &UpstreamPlan) -> Result<Vec<Assumption>, Refusal> {
        let UpstreamPlan { fail, drain, critical, join } = request;
        let known = |name: &String| NodeName::new(name).ok_or_else(|| self.unknown(name));
        // A member that joins may be told to fail as well.
        let joins = join.iter().map(|joiner| self.newcomer(joiner).map(Assumption::Join));
        let fails = fail.iter().map(|name| known(name).map(Assumption::Fail));
        let drains = drain.iter().map(|name| known(name).map(Assumption::Drain));
        let criticals = critical.iter().map(|name| known(name).map(Assumption::Critical));
        let all: Vec<Assumption> = joins.chain(fails).chain(drains).chain(criticals).collect::<Result<_, _>>()?;
        if all.len() > MAX_ASSUMPTIONS {
            let refusal = Refusal::new(format!("at most {MAX_ASSUMPTIONS} assumptions can be made"));
            return Err(refusal.of_kind(Kind::Usage));
        }
        Ok(all)
    }

    fn newcomer(&self, Joiner { name, addr, tags }: &Joiner) -> Result<Newcomer, Refusal> {
        let plain = PlainName::new(name).and_then(|plain| NodeName::new(plain.as_str()));
        let Some(named) = plain else {
            return Err(Refusal::new(format!("'{name}' is no member's name"))
                .with_remedy("write --join NAME,port=8080")
                .of_kind(Kind::Usage));
        };
        if self.balancer.names().any(|known| *known == named) {
            return Err(Refusal::new(format!("'{name}' is a member already")).with_remedy("name another one"));
        }
        Ok(Newcomer { name: named, addr: *addr, tags: tags.clone() })
    }

    fn unknown(&self, name: &str) -> Refusal {
        let refusal = Refusal::new(format!("no member '{name}'"));
        let known: Vec<&str> = self.balancer.names().map(NodeName::as_str).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => refusal.with_remedy(format!("did you mean '{near}'?")),
            None => refusal.with_remedy("'weir members' lists them"),
        }
    }
}

/// `site: connection refused, 3 times in a row, since 2026-11-28T15:10:14Z`.
fn checked(tag: Option<&String>, known: Option<&MemberHealth>) -> String {
    let tagged = tag.map(|said| format!("tag {}={said}", health::TAG));
    let Some(known) = known else { return tagged.unwrap_or_default() };
    let said = match known.source.word() {
        Some(Source::Answer) => match known.checks.first() {
            Some(check) if check.output.is_empty() => Some(check.name.clone()),
            Some(check) => Some(format!("{}: {}", check.name, check.output)),
            None => Some(known.output.clone()).filter(|said| !said.is_empty()),
        },
        Some(Source::Tag) => tagged,
        Some(Source::Silence) => Some("it does not answer the query health any more".to_owned()),
        // Until it has answered, its tag does not count.
        Some(Source::Nothing) => Some(match tagged {
            Some(tagged) => format!("{tagged}, and no answer to the query health yet"),
            None => "it has not answered the query health".to_owned(),
        }),
        None => tagged,
    };
    let since = known.since.as_ref().map(|since| format!("since {since}"));
    said.into_iter().chain(since).collect::<Vec<_>>().join(", ")
}

/// `GET http://10.77.0.13:80/: connection refused, 2 of fall 2`; of more than it takes, `60 times in a row`.
fn probed(node::Probe { question, error, took_ms, failures, fall, .. }: &node::Probe) -> String {
    match (error, took_ms) {
        (Some(error), _) if failures > fall => format!("{question}: {error}, {failures} times in a row"),
        (Some(error), _) => format!("{question}: {error}, {failures} of fall {fall}"),
        (None, Some(took)) => format!("{question}: {took:.1} ms"),
        (None, None) => question.clone(),
    }
}

/// What is told of one member alone.
fn about(told: &node::Upstream, member: &str) -> node::Upstream {
    let mut about = told.clone();
    about.servers.retain(|server| server.member == member);
    about.left_out.retain(|left_out| left_out.member == member);
    about.waiting.retain(|change| change.member == member);
    about
}

fn planned_in(upstream: &Upstream, decision: &Decision, before: Option<&node::Upstream>) -> PlannedIn {
    let servers = match &decision.want {
        Want::Servers(servers) => Some(servers),
        Want::Placeholder => None,
        Want::Hold(_) => upstream.live(),
    };
    let after = node::Upstream::decided(upstream.name(), decision, servers);
    let mut planned: BTreeMap<&str, PlannedServer> = before.map(present).unwrap_or_default();
    for server in &after.servers {
        let now = planned.remove(server.member.as_str());
        let entry = PlannedServer {
            addr: Some(server.addr),
            after: Some(server.state.clone()),
            share_after: server.share,
            why: server.why.clone(),
            reason: Some(server.reason.clone()),
            notes: server.notes.clone(),
            ..now.unwrap_or_else(|| nowhere(&server.member))
        };
        planned.insert(&server.member, entry);
    }
    for left_out in &after.left_out {
        let now = planned.remove(left_out.member.as_str());
        let entry = PlannedServer {
            after: Some(ServerState::LeftOut.into()),
            share_after: 0.0,
            why: left_out.why.clone(),
            reason: None,
            notes: Vec::new(),
            ..now.unwrap_or_else(|| nowhere(&left_out.member))
        };
        planned.insert(&left_out.member, entry);
    }
    PlannedIn {
        name: after.name.clone(),
        serving: decision.serving(),
        base: decision.base,
        min_healthy: upstream.min_healthy().to_string(),
        panic: after.panic,
        panic_before: before.is_some_and(|before| before.panic),
        reloads: u32::from(!upstream.is_live(decision)),
        servers: planned.into_values().collect(),
    }
}

/// Where everybody is now, as if nobody were selected any more.
fn present(now: &node::Upstream) -> BTreeMap<&str, PlannedServer> {
    let left_out = now.left_out.iter().map(|left_out| {
        let before = Some(ServerState::LeftOut.into());
        (left_out.member.as_str(), PlannedServer { before, ..nowhere(&left_out.member) })
    });
    let servers = now.servers.iter().map(|server| {
        let entry = PlannedServer {
            addr: Some(server.addr),
            before: Some(server.state.clone()),
            share_before: server.share,
            ..nowhere(&server.member)
        };
        (server.member.as_str(), entry)
    });
    // Who could not get a line is in both; that it is left out says more.
    servers.chain(left_out).collect()
}

fn nowhere(member: &str) -> PlannedServer {
    PlannedServer {
        member: member.to_owned(),
        addr: None,
        before: None,
        after: None,
        share_before: 0.0,
        share_after: 0.0,
        why: "not selected".to_owned(),
        reason: None,
        notes: Vec::new(),
        addr_supposed: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_failures_than_it_takes_are_counted_plainly() {
        let of = |failures| {
            let asked = serde_json::json!({
                "state": "down", "question": "GET http://10.77.0.13:80/", "error": "connection refused", "failures": failures, "fall": 2,
            });
            probed(&serde_json::from_value(asked).unwrap())
        };
        assert_eq!(of(1), "GET http://10.77.0.13:80/: connection refused, 1 of fall 2");
        assert_eq!(of(2), "GET http://10.77.0.13:80/: connection refused, 2 of fall 2");
        assert_eq!(of(60), "GET http://10.77.0.13:80/: connection refused, 60 times in a row");
    }
}
