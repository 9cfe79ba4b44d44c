//! Asks the servers how they are, and tells the balancer what they say.

use std::collections::HashMap;

use tracing::{debug, warn};

use super::drains::Drains;
use crate::agent::clock::Calendar;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::error::Explain as _;
use crate::health::isolation::Isolation;
use crate::health::query::answer::{Answer, QUERY};
use crate::health::query::{End, Output, Queries, QuestionId, Seen, Selector, Target};
use crate::outage::Outage;
use crate::serf::{self, QueryKey, QueryOutput, QueryParams};
use crate::status::health::{CheckHealth, MemberHealth};
use crate::time::Instant;
use crate::upstream::balancer::Balancer;
use crate::upstream::{Candidate, Gossip, Options, TagPattern, select};
use crate::wire::NodeName;

/// The questions of this balancer.
#[derive(Debug)]
pub(super) struct Health {
    /// Each that upstreams have, once; in the machine's order.
    selectors: Vec<(Selector, Vec<(String, TagPattern)>)>,
    /// By which members become servers.
    upstreams: Vec<Options>,
    queries: Queries,
    /// What was asked, and when.
    asked: HashMap<QueryKey, (QuestionId, Instant)>,
    /// Questions that could not be sent.
    unsent: Outage,
}

impl Health {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let selectors = selectors(config);
        let queries = Queries::new(now, config.health.options(), names(&selectors));
        Self { selectors, upstreams: super::options(config), queries, asked: HashMap::new(), unsent: Outage::default() }
    }

    /// Takes a new configuration. The members have to be told again.
    pub(super) fn reconfigure(&mut self, now: Instant, config: &Config) {
        (self.selectors, self.upstreams) = (selectors(config), super::options(config));
        self.queries.reconfigure(now, config.health.options(), names(&self.selectors));
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.queries.poll_timeout()
    }

    /// Everybody there is now.
    pub(super) fn handle_members(&mut self, now: Instant, members: &[Candidate]) {
        let has_stayed = |member: &&Candidate| !matches!(member.gossip, Gossip::Left | Gossip::Leaving);
        let seen = members.iter().filter(has_stayed).map(|member| Seen {
            name: member.name.clone(),
            tag: Seen::tag_of(&member.tags),
            is_alive: member.gossip == Gossip::Alive,
            selected_by: self.selected_by(member),
            serves: self.upstreams.iter().filter_map(|each| Some(select(member, each).ok()?.addr)).collect(),
        });
        self.queries.handle_members(now, seen.collect::<Vec<_>>());
    }

    /// Whether a server is there whose first answer may still come soon.
    pub(super) fn awaits_first_answers(&self) -> bool {
        self.queries.awaits_first_answers()
    }

    /// Asks who is to be asked, and tells the balancer what is known now.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        balancer: &mut Balancer,
        drains: &mut Drains,
    ) {
        self.queries.handle_timeout(now);
        while let Some(output) = self.queries.poll_output() {
            match output {
                Output::Ask { id, target, timeout } => {
                    let params = QueryParams {
                        name: QUERY.to_owned(),
                        ack: true,
                        timeout: Some(timeout),
                        ..addressed_to(target)
                    };
                    self.ask(now, endpoint, id, params);
                }
                Output::Serving { member, asked } => {
                    drains.handle_serving(&member, asked);
                    drains.tell(now, balancer);
                }
                Output::Check { member, check } => {
                    debug!(%member, ?check, "health is another");
                    balancer.handle_check(now, &member, check);
                }
            }
        }
    }

    /// An answer to a query, or its end. Whether it is one of these.
    pub(super) fn handle_answer(&mut self, now: Instant, output: &QueryOutput, isolation: &Isolation) -> bool {
        let Some((id, at)) = self.asked.get(&output.key).copied() else { return false };
        match &output.answer {
            serf::Answer::Ack { .. } => {}
            serf::Answer::Response { from, payload } => self.queries.handle_answer(now, id, from, payload),
            serf::Answer::Done { .. } => {
                self.asked.remove(&output.key);
                // Who hears nobody has asked nobody.
                let end = if isolation.has_heard_since(at) { End::Over } else { End::NotAsked };
                self.queries.handle_end(now, id, end);
            }
        }
        true
    }

    /// What is known of that member; `None` of one that no upstream selects.
    pub(super) fn of(&self, member: &NodeName, calendar: &Calendar) -> Option<MemberHealth> {
        let known = self.queries.of(member)?;
        let mut health = MemberHealth {
            health: known.check().into(),
            source: known.source(self.queries.options()).into(),
            since: Some(calendar.date(known.since())),
            ..MemberHealth::default()
        };
        match known.words(self.queries.options()) {
            Some(Answer { check: Some(name), state, text, .. }) => health.checks.push(CheckHealth {
                name: name.clone(),
                kind: None,
                state: (*state).into(),
                since: None,
                output: text.clone(),
            }),
            Some(Answer { text, .. }) => health.output.clone_from(text),
            None => {}
        }
        Some(health)
    }

    fn ask(&mut self, now: Instant, endpoint: &mut Endpoint, id: QuestionId, params: QueryParams) {
        match endpoint.query(now, params) {
            Ok(key) => {
                self.asked.insert(key, (id, now));
                if let Some(questions) = self.unsent.worked(tokio::time::Instant::now().into_std()) {
                    warn!(questions, "health is asked for again, questions were not sent");
                }
            }
            Err(error) => {
                self.queries.handle_end(now, id, End::NotAsked);
                if self.unsent.failed(tokio::time::Instant::now().into_std()) {
                    warn!(error = error.sentence(), "servers cannot be asked for their health");
                }
            }
        }
    }

    /// The places of the selectors that a member matches.
    fn selected_by(&self, member: &Candidate) -> Vec<usize> {
        let has =
            |(tag, pattern): &(String, TagPattern)| member.tags.get(tag).is_some_and(|value| pattern.matches(value));
        let places = self
            .selectors
            .iter()
            .enumerate()
            .filter(|(_, (_, patterns))| !patterns.is_empty() && patterns.iter().all(has));
        places.map(|(place, _)| place).collect()
    }
}

/// Those of the upstreams, each once.
fn selectors(config: &Config) -> Vec<(Selector, Vec<(String, TagPattern)>)> {
    let mut selectors: Vec<(Selector, Vec<_>)> = Vec::new();
    for upstream in &config.upstreams {
        let patterns = &upstream.options.select;
        let selector: Selector = patterns.iter().map(|(tag, pattern)| (tag.clone(), pattern.to_string())).collect();
        if !selectors.iter().any(|(known, _)| *known == selector) {
            selectors.push((selector, patterns.clone()));
        }
    }
    selectors
}

fn names(selectors: &[(Selector, Vec<(String, TagPattern)>)]) -> Vec<Selector> {
    selectors.iter().map(|(selector, _)| selector.clone()).collect()
}

fn addressed_to(target: Target) -> QueryParams {
    match target {
        Target::Selected(tags) => QueryParams { tags, ..QueryParams::default() },
        Target::Named(names) => {
            let nodes = names.iter().map(|name| name.as_str().to_owned()).collect();
            QueryParams { nodes, ..QueryParams::default() }
        }
    }
}
