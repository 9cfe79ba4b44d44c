//! Nodes that leave: what this balancer decides, has promised on disk, and answers (`protocols A.4`).

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::{Upstreams, ended};
use crate::agent::applier::Applier;
use crate::apply::{Error, Process, RunBy};
use crate::drain::{DrainTag, Fact, Ledger, Place, Promises, Question, Reply, Request, Standing, Told};
use crate::endpoint::Endpoint;
use crate::serf::{QueryEvent, QueryKey};
use crate::time::Instant;
use crate::upstream::Drain;
use crate::upstream::balancer::Balancer;
use crate::wire::NodeName;
use crate::wire::serf::decode_tags;

/// The balancer's side of safe leave.
#[derive(Debug)]
pub(super) struct Drains {
    ledger: Ledger,
    /// `apply` is asked to keep promises; no job begins meanwhile.
    keeping: Option<JoinHandle<Result<Standing, Error>>>,
    /// Whom the balancer was told to drain.
    told: BTreeSet<NodeName>,
    /// Whose drains have ended since somebody asked.
    ended: Vec<NodeName>,
    /// What is to be sent.
    answers: Vec<(QueryKey, Reply)>,
}

impl Drains {
    /// With what an earlier run has promised.
    pub(super) fn new(now: Instant, promises: Promises) -> Self {
        Self {
            ledger: Ledger::new(now, promises),
            keeping: None,
            told: BTreeSet::new(),
            ended: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// All promises that hold, for every job.
    pub(super) fn promises(&self) -> &Promises {
        self.ledger.promises()
    }

    /// What an earlier run has promised is known by now.
    pub(super) fn handle_known(&mut self, now: Instant, promises: &Promises) {
        self.ledger.handle_known(now, promises);
    }

    /// The node itself says in an answer that was asked for then that it does not drain.
    pub(super) fn handle_serving(&mut self, node: &NodeName, asked: Instant) {
        self.ledger.handle_serving(node, asked);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.ledger.poll_timeout()
    }

    /// Whether no job may begin.
    pub(super) fn is_keeping(&self) -> bool {
        self.keeping.is_some()
    }

    /// Takes gossip's word about everybody.
    pub(super) fn handle_members(&mut self, now: Instant, endpoint: &Endpoint) {
        self.ledger.handle_members(now, endpoint.members().map(|member| Told::of(member, endpoint.swim())));
    }

    /// Has the balancer decide by what is known.
    pub(super) fn tell(&mut self, now: Instant, balancer: &mut Balancer) {
        let concerned: BTreeSet<NodeName> = self.ledger.concerned().cloned().collect();
        for node in self.told.difference(&concerned) {
            balancer.handle_drain(now, node, Drain::No);
            self.ended.push(node.clone());
        }
        for node in &concerned {
            balancer.handle_drain(now, node, self.ledger.drain_of(node));
        }
        self.told = concerned;
    }

    /// Whose drains have ended since the last call. An application may have been started anew meanwhile.
    pub(super) fn take_ended(&mut self) -> Vec<NodeName> {
        std::mem::take(&mut self.ended)
    }

    /// The end of what `apply` was asked; `None` if it broke off. Cancel-safe.
    pub(super) async fn kept(&mut self) -> Option<Result<Standing, Error>> {
        ended(&mut self.keeping).await
    }
}

impl Upstreams {
    /// A leaving node asks whether it gets no requests any more.
    pub(in crate::agent) fn handle_question(&mut self, now: Instant, endpoint: &Endpoint, query: &QueryEvent) {
        let Some(question) = Question::parse(&query.payload) else {
            debug!(from = %crate::escape::escape(&query.source), "a question about a drain is not understood");
            return;
        };
        if question.node.as_str() != query.source {
            debug!(from = %crate::escape::escape(&query.source), node = %question.node, "a question about another's drain");
            return;
        }
        let known = endpoint.swim().member(&question.node);
        let told = known.map(|known| Fact::told(known.incarnation, DrainTag::of(&decode_tags(&known.node.meta))));
        self.drains.ledger.handle_question(now, query.key, question, told);
        self.drains.tell(now, &mut self.balancer);
    }

    /// Answers what can be answered, after everything else was decided and asked for.
    pub(super) fn advance_drains(&mut self, now: Instant) {
        let is_free = self.members_at.is_some() && !self.is_held_back();
        let trouble = self.applies.trouble(self.applier.run_by());
        self.drains.ledger.handle_next_job(self.balancer.next_job());
        let place = |node: &NodeName| Place::of(&self.balancer, trouble.as_deref(), node);
        self.drains.ledger.advance(now, is_free.then_some(place));
        while let Some(request) = self.drains.ledger.poll_output() {
            match request {
                Request::Keep(promises) => {
                    self.balancer.suspend();
                    let master = self.watch.master();
                    self.drains.keeping = Some(keep(Arc::clone(&self.applier), promises, master));
                }
                Request::Answer { query, reply } => self.drains.answers.push((query, reply)),
            }
        }
    }

    pub(super) fn send_answers(&mut self, now: Instant, endpoint: &mut Endpoint) {
        for (query, reply) in self.drains.answers.drain(..) {
            debug!(answer = %reply, "leaving node is answered");
            // It asks again.
            let _too_late = endpoint.respond(now, &query, reply.to_string().into());
        }
    }

    pub(super) fn handle_kept(&mut self, now: Instant, result: Option<Result<Standing, Error>>) {
        let by: RunBy = self.applier.run_by();
        let result = match result {
            None => Err("it broke off".to_owned()),
            Some(result) => result.map_err(|error| error.told(by).what),
        };
        if let Err(error) = &result {
            warn!(error, "promises to leaving nodes are not kept");
        }
        self.drains.ledger.handle_kept(now, result);
        self.drains.tell(now, &mut self.balancer);
        self.balancer.resume(now);
    }
}

/// Blocks on another thread.
fn keep(applier: Arc<Applier>, promises: Promises, known: Option<Process>) -> JoinHandle<Result<Standing, Error>> {
    tokio::task::spawn_blocking(move || applier.promise(promises, known))
}
