//! This node's own drain and safe leave (`protocols A.3`): the hand of [`Departure`].
//!
//! What is decided there is carried out here: the record in the snapshot, the tag, the questions, the operator's story. Serf's
//! leave at the end of it is the driver's.

mod flight;
mod guard;
mod order;
mod remote;
mod story;

use std::collections::HashSet;
use std::time::Duration;

use rand::rngs::StdRng;
use tracing::{error, info};

use super::store::Store;
use crate::config::{self, Config};
use crate::drain::document::{Depart, Follow, Line, Started};
use crate::drain::{BALANCER, Cause, Departure, DrainId, DrainTag, Guard, Kept, Output, Peer, Question, Reply, Times};
use crate::endpoint::Endpoint;
use crate::rpc::Refusal;
use crate::rpc::refusal::Kind;
use crate::rpc::weir::Answer;
use crate::serf::{self, QueryKey, QueryOutput, QueryParams};
use crate::status::node;
use crate::time::{Instant, millis};
use crate::wire::NodeName;
use flight::{Flights, Looked};
use guard::Look;
use remote::Remotes;
use story::Stories;

/// A leave that waits for nobody.
const AT_ONCE: Times = Times { confirm: Duration::ZERO, drain: Duration::ZERO };
/// An answer that comes later counts no more.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);

/// The drain or leave of this node, and what others were asked for it.
#[derive(Debug)]
pub(super) struct SafeLeave {
    departure: Departure,
    stories: Stories,
    flights: Flights,
    guard: Look,
    /// Questions to balancers that are open.
    queries: HashSet<QueryKey>,
    /// Drains of other nodes that are asked for here,
    remotes: Remotes,
    /// and the last one of ours that is asked for elsewhere, with its story.
    ordered: Option<(DrainId, u64)>,
    /// Members have changed since the machine heard of them.
    members_changed: bool,
    begun: Instant,
    /// How long the process goes on once it has left,
    stay: Duration,
    /// until then.
    stays_until: Option<Instant>,
    /// Members that did not acknowledge the leave.
    unconfirmed: Vec<NodeName>,
}

/// What was seen on this host.
#[derive(Debug)]
pub(super) enum Seen {
    /// Its connections.
    Flight(Looked),
    /// Guards whose reason for a drain is over.
    Guards { over: Vec<Guard> },
}

/// What the driver has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Serf's leave.
    Leave,
}

impl SafeLeave {
    /// Goes on with a drain of an earlier run, whose tag is out already.
    pub(super) fn new(config: &Config, kept: Option<Kept>, rng: StdRng, now: Instant) -> Self {
        let guard = Look::new(now);
        let departure = Departure::new(config.node.name.clone(), rng);
        let departure = match kept {
            Some(kept) => departure.restored(now, kept, times(config.leave.timeout, config.leave.drain_time)),
            None => departure,
        };
        Self {
            departure,
            stories: Stories::default(),
            flights: Flights::default(),
            guard,
            queries: HashSet::new(),
            remotes: Remotes::default(),
            ordered: None,
            members_changed: true,
            begun: now,
            stay: Duration::ZERO,
            stays_until: None,
            unconfirmed: Vec::new(),
        }
    }

    /// What is to be seen of a drain that lasts.
    pub(super) fn status(&self, now: Instant) -> Option<node::Drain> {
        let kept = self.departure.kept()?;
        let (confirmed, open) = self.departure.told(now);
        let words = |names: Vec<&NodeName>| names.into_iter().map(ToString::to_string).collect();
        let named = kept.guards.iter().filter(|guard| **guard != Guard::unnamed());
        Some(node::Drain {
            operator: kept.operator,
            guard: !kept.guards.is_empty(),
            guards: named.map(ToString::to_string).collect(),
            reason: kept.reason.clone(),
            confirmed: words(confirmed),
            open: words(open),
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let own = [self.departure.poll_timeout(), self.guard.poll_timeout()];
        let all = own.into_iter().chain([self.flights.poll_timeout(), self.remotes.poll_timeout()]);
        all.flatten().min()
    }

    /// Something about the members is different.
    pub(super) fn members_changed(&mut self) {
        self.members_changed = true;
    }

    /// Leaves as a client wants it.
    pub(super) fn depart(
        &mut self,
        now: Instant,
        endpoint: &Endpoint,
        config: &Config,
        depart: Depart,
        answer: Answer<Depart>,
    ) {
        let Depart { drain_time_ms, timeout_ms, on_stop } = depart;
        let drain_time = drain_time_ms.map_or(config.leave.drain_time, Duration::from_millis);
        let timeout = timeout_ms.map_or(config.leave.timeout, Duration::from_millis);
        if !drain_time.is_zero() && timeout < drain_time + config::Leave::MIN_BESIDE_DRAIN {
            let least = (drain_time + config::Leave::MIN_BESIDE_DRAIN).as_secs_f64();
            let what = format!("a leave in {} s leaves the balancers no time", timeout.as_secs_f64());
            return answer
                .send(Err(Refusal::new(what).with_remedy(format!("give it at least {least} s")).of_kind(Kind::Usage)));
        }
        let cause = if on_stop { Cause::Stop } else { Cause::Asked };
        let story = self.leave(now, endpoint, cause, times(timeout, drain_time));
        answer.send(Ok(Started { story }));
    }

    /// Leaves, with the times that are configured.
    pub(super) fn leave_as_configured(&mut self, now: Instant, endpoint: &Endpoint, config: &Config) {
        self.leave(now, endpoint, Cause::Asked, times(config.leave.timeout, config.leave.drain_time));
    }

    /// The process is to be stopped once the leave that is under way has ended.
    pub(super) fn stopped(&mut self, now: Instant, endpoint: &Endpoint) {
        self.leave(now, endpoint, Cause::Stop, AT_ONCE);
    }

    /// Serf's leave begins, whoever has not confirmed.
    pub(super) fn leave_at_once(&mut self, now: Instant, endpoint: &Endpoint) {
        self.leave(now, endpoint, Cause::Stop, AT_ONCE);
        self.departure.hurry(now);
    }

    /// One that is under way goes on as it began.
    fn leave(&mut self, now: Instant, endpoint: &Endpoint, cause: Cause, times: Times) -> u64 {
        let is_leaving = self.departure.is_leaving();
        let story = if is_leaving { self.stories.own() } else { self.begin(now, endpoint) };
        self.departure.leave(now, endpoint.serf().seen_clocks().member, cause, times);
        story
    }

    /// Answers as soon as there is news.
    pub(super) fn follow(&mut self, follow: Follow, answer: Answer<Follow>) {
        self.stories.follow(follow, answer);
    }

    /// Whether this node drains, or leaves.
    pub(super) fn is_under_way(&self) -> bool {
        self.departure.is_under_way()
    }

    /// Whether this node is on its way out of the cluster.
    pub(super) fn is_leaving(&self) -> bool {
        self.departure.is_leaving()
    }

    /// What is known now is the cluster.
    pub(super) fn first_view_complete(&mut self, now: Instant, endpoint: &Endpoint) {
        self.hear_members(endpoint);
        self.departure.handle_view(now);
    }

    /// An answer to a query of this part, or its end. Gives back what is another's.
    pub(super) fn handle_query(&mut self, now: Instant, output: QueryOutput) -> Option<QueryOutput> {
        if !self.queries.contains(&output.key) {
            return self.remotes.handle_query(now, &mut self.stories, output);
        }
        match output.answer {
            serf::Answer::Response { from, payload } => {
                if let (Some(from), Some(reply)) = (NodeName::new(&from), Reply::parse(&payload)) {
                    self.departure.handle_answer(now, &from, reply);
                }
            }
            serf::Answer::Done { .. } => drop(self.queries.remove(&output.key)),
            serf::Answer::Ack { .. } => {}
        }
        None
    }

    /// Goes on as far as it can; to be called after every input.
    pub(super) fn advance(&mut self, now: Instant, endpoint: &mut Endpoint, store: &mut Store) -> Option<Step> {
        if let Some(result) = store.poll_drain(now) {
            self.hear_members(endpoint);
            self.departure.handle_kept(now, result);
        }
        if self.members_changed && self.is_under_way() {
            self.hear_members(endpoint);
            self.departure.handle_timeout(now);
        }
        if self.departure.poll_timeout().is_some_and(|at| at <= now) {
            self.departure.handle_incarnation(endpoint.swim().incarnation());
            self.departure.handle_timeout(now);
        }
        let mut step = None;
        while let Some(output) = self.departure.poll_output() {
            match output {
                Output::Keep(kept) => store.drain(now, kept.as_ref()),
                Output::Publish(tag) => self.publish(now, endpoint, tag.as_ref()),
                Output::Ask { question, of } => self.ask(now, endpoint, &question, of),
                Output::Tell(line) => self.stories.tell(line),
                Output::Leave { stay } => {
                    self.stay = stay;
                    step = Some(Step::Leave);
                }
            }
        }
        self.flights.advance(now, self.departure.servers());
        self.guard.advance(now, self.departure.kept());
        self.remotes.advance(now, endpoint, &mut self.stories);
        step
    }

    /// What was looked at on this host. Never while nothing is. Cancel-safe.
    pub(super) async fn seen(&mut self) -> Seen {
        tokio::select! {
            looked = self.flights.looked() => Seen::Flight(looked),
            over = self.guard.looked() => Seen::Guards { over },
        }
    }

    pub(super) fn handle_seen(&mut self, now: Instant, seen: Seen) {
        match seen {
            Seen::Flight(looked) => {
                let flight = self.flights.handle_looked(looked);
                self.departure.handle_flight(now, flight);
            }
            Seen::Guards { over } => {
                for guard in over {
                    info!(unit = %guard, "an application that this node was drained for is there again");
                    if let Some(stays) = self.departure.undo_guard(&guard) {
                        self.stories.tell_beside(stays);
                    }
                }
            }
        }
    }

    /// Serf's leave has ended. When the process may end.
    pub(super) fn left(&mut self, now: Instant, unconfirmed: &[NodeName]) -> Instant {
        self.unconfirmed = unconfirmed.to_vec();
        *self.stays_until.insert(now + self.stay)
    }

    /// When the process ends after a leave; `None` before it has left.
    pub(super) fn stays_until(&self) -> Option<Instant> {
        self.stays_until
    }

    /// The last word.
    pub(super) fn end(&mut self, now: Instant) {
        let unconfirmed = self.unconfirmed.iter().map(ToString::to_string).collect();
        self.stories.tell(Line::Left { unconfirmed, elapsed_ms: millis(now.since(self.begun)) });
    }

    fn begin(&mut self, now: Instant, endpoint: &Endpoint) -> u64 {
        self.begun = now;
        self.hear_members(endpoint);
        self.stories.begin()
    }

    fn hear_members(&mut self, endpoint: &Endpoint) {
        self.members_changed = false;
        let members = endpoint.members().filter_map(|member| Peer::of(member, endpoint.swim()));
        self.departure.handle_members(members.collect());
        self.departure.handle_incarnation(endpoint.swim().incarnation());
    }

    fn publish(&mut self, now: Instant, endpoint: &mut Endpoint, tag: Option<&DrainTag>) {
        let mut tags = endpoint.tags();
        match tag {
            Some(tag) => tags.insert(DrainTag::NAME.to_owned(), tag.to_string()),
            None => tags.remove(DrainTag::NAME),
        };
        if let Err(error) = endpoint.set_tags(now, &tags) {
            error!(%error, "the drain is not told to others");
        }
        self.departure.handle_incarnation(endpoint.swim().incarnation());
    }

    fn ask(&mut self, now: Instant, endpoint: &mut Endpoint, question: &Question, of: Vec<NodeName>) {
        let params = |nodes: Vec<String>| {
            let every = nodes.is_empty().then(|| (BALANCER.to_owned(), "^1$".to_owned()));
            QueryParams {
                name: Question::NAME.to_owned(),
                payload: question.to_string().into(),
                nodes,
                tags: every.into_iter().collect(),
                timeout: Some(QUERY_TIMEOUT),
                ..QueryParams::default()
            }
        };
        let names = of.iter().map(|name| name.as_str().to_owned()).collect();
        let sent = match endpoint.query(now, params(names)) {
            // So many names do not fit.
            Err(serf::QueryError::TooLarge { .. }) => endpoint.query(now, params(Vec::new())),
            sent => sent,
        };
        match sent {
            Ok(key) => drop(self.queries.insert(key)),
            Err(error) => error!(%error, "balancers are not asked"),
        }
    }
}

fn no_member(endpoint: &Endpoint, name: &str) -> Refusal {
    let refusal = Refusal::new(format!("no member '{}'", crate::escape::escape(name)));
    let known: Vec<&str> = endpoint.members().map(|member| member.node.name.as_str()).collect();
    match config::nearest(name, known) {
        Some(near) => refusal.with_remedy(format!("did you mean '{near}'?")),
        None => refusal.with_remedy("'weir members' lists them"),
    }
}

/// What of a leave's time is for what (`protocols A.5`).
fn times(timeout: Duration, drain: Duration) -> Times {
    Times { confirm: timeout.saturating_sub(drain + config::Leave::SERF), drain }
}
