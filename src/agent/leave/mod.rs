//! This node's own drain and safe leave (`protocols A.3`): the hand of [`Departure`].
//!
//! What is decided there is carried out here: the record in the snapshot, the tag, the questions, the operator's story. Serf's
//! leave at the end of it is the driver's.

mod flight;
mod guard;
mod story;

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use tracing::{error, info};

use super::store::Store;
use crate::config::{self, Config};
use crate::drain::document::{Depart, Follow, Line, Start, Started};
use crate::drain::{
    BALANCER, Departure, DrainRequest, DrainTag, Kept, Output, Peer, Question, RemoteAnswer, RemoteDrain, Reply, Times,
};
use crate::endpoint::Endpoint;
use crate::rpc::Refusal;
use crate::rpc::refusal::Kind;
use crate::rpc::weir::Answer;
use crate::serf::{self, QueryEvent, QueryKey, QueryOutput, QueryParams, Status};
use crate::status::node;
use crate::time::{Instant, millis};
use crate::upstream::Reason;
use crate::wire::NodeName;
use flight::{Flights, Looked};
use guard::Guard;
use story::Stories;

/// An answer that comes later counts no more.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// The same of another node that is to drain.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(3);

/// The drain or leave of this node, and what others were asked for it.
#[derive(Debug)]
pub(super) struct SafeLeave {
    departure: Departure,
    stories: Stories,
    flights: Flights,
    guard: Guard,
    /// Questions that are open; what each of them was for.
    queries: HashMap<QueryKey, Asked>,
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

#[derive(Debug)]
enum Asked {
    /// Whether balancers are done.
    Drained,
    /// Another node, to drain.
    Remote { story: u64, member: String, answered: bool },
}

/// What was seen on this host.
#[derive(Debug)]
pub(super) enum Seen {
    /// Its connections.
    Flight(Looked),
    /// Whether the guard's reason for an earlier run's drain is over.
    Guard { over: bool },
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
        let guard = Guard::of(kept.as_ref());
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
            queries: HashMap::new(),
            members_changed: true,
            begun: now,
            stay: Duration::ZERO,
            stays_until: None,
            unconfirmed: Vec::new(),
        }
    }

    /// What is to be seen of a drain that lasts.
    pub(super) fn status(&self) -> Option<node::Drain> {
        let kept = self.departure.kept()?;
        Some(node::Drain { operator: kept.operator, guard: kept.guard, reason: kept.reason.clone() })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.departure.poll_timeout(), self.flights.poll_timeout()].into_iter().flatten().min()
    }

    /// Something about the members is different.
    pub(super) fn members_changed(&mut self) {
        self.members_changed = true;
    }

    /// Drains this node, asks another one to, or takes that back.
    pub(super) fn start(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        config: &Config,
        start: Start,
        answer: Answer<Start>,
    ) {
        let own = endpoint.local().name.clone();
        let begun = match start.member.clone().filter(|member| *member != own.as_str()) {
            Some(member) if start.force || start.reason.is_some() => {
                Err(Refusal::new("--force and --reason concern this agent's own node")
                    .with_remedy(format!("run 'weir drain' on {}", crate::escape::escape(&member))))
            }
            Some(member) => self.ask_remote(now, endpoint, member, start.undo),
            None => self.start_own(now, endpoint, config, start),
        };
        answer.send(begun.map(|story| Started { story }));
    }

    fn start_own(&mut self, now: Instant, endpoint: &Endpoint, config: &Config, start: Start) -> Result<u64, Refusal> {
        let Start { undo, force, guard, reason, .. } = start;
        if undo && self.departure.has_left() || !undo && self.departure.is_leaving() {
            return Err(
                Refusal::new("this node leaves the cluster").with_remedy("start the agent again once it has ended")
            );
        }
        let reason = reason.map(Reason::try_from).transpose().map_err(|error| Refusal::new(error.to_string()))?;
        let story = self.begin(now, endpoint);
        if undo {
            self.departure.undo(guard);
        } else {
            self.guard.asked();
            let request = DrainRequest { force, guard, reason: reason.map(String::from) };
            let times = times(config.leave.timeout, config.leave.drain_time);
            self.departure.drain(now, endpoint.serf().seen_clocks().member, request, times);
        }
        Ok(story)
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
            return answer.send(Err(Refusal::new(what)
                .with_remedy(format!("give it at least {least} s"))
                .of_kind(Kind::Failed)));
        }
        let story = self.leave(now, endpoint, on_stop, times(timeout, drain_time));
        answer.send(Ok(Started { story }));
    }

    /// Leaves, with the times that are configured.
    pub(super) fn leave_as_configured(&mut self, now: Instant, endpoint: &Endpoint, config: &Config) {
        self.leave(now, endpoint, false, times(config.leave.timeout, config.leave.drain_time));
    }

    /// Serf's leave begins, whoever has not confirmed.
    pub(super) fn leave_at_once(&mut self, now: Instant, endpoint: &Endpoint) {
        let at_once = Times { confirm: Duration::ZERO, drain: Duration::ZERO };
        self.leave(now, endpoint, true, at_once);
        self.departure.hurry(now);
    }

    fn leave(&mut self, now: Instant, endpoint: &Endpoint, on_stop: bool, times: Times) -> u64 {
        if self.departure.is_leaving() {
            return self.stories.own();
        }
        let story = self.begin(now, endpoint);
        self.departure.leave(now, endpoint.serf().seen_clocks().member, on_stop, times);
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

    /// Another node wants this one to drain, or to serve again. Only where the configuration lets it.
    pub(super) fn handle_remote(&mut self, now: Instant, endpoint: &mut Endpoint, config: &Config, query: &QueryEvent) {
        let answer = match RemoteDrain::parse(&query.payload) {
            None => RemoteAnswer::No("the payload is neither on nor off".to_owned()),
            Some(_) if !config.leave.remote_drain => {
                let own = &endpoint.local().name;
                RemoteAnswer::No(format!("leave.remote_drain is false on {own}; run 'weir drain' there, or set it"))
            }
            Some(_) if self.departure.is_leaving() => RemoteAnswer::No("it leaves the cluster".to_owned()),
            Some(drain) => {
                let undo = drain == RemoteDrain::Off;
                let before = self.departure.kept().map(|kept| kept.id.clone());
                let reason = Some(format!("asked for by {}", crate::escape::escape(&query.source)));
                let start = Start { undo, reason: reason.filter(|_| !undo), ..Start::default() };
                let started = self.start_own(now, endpoint, config, start);
                match (started, self.departure.kept().map(|kept| kept.id.clone()).or(before)) {
                    (Err(refusal), _) => RemoteAnswer::No(refusal.what),
                    (Ok(_), Some(id)) => RemoteAnswer::Ok(id),
                    (Ok(_), None) => RemoteAnswer::No("it does not drain".to_owned()),
                }
            }
        };
        // Whoever asked may have gone.
        let _too_late = endpoint.respond(now, &query.key, answer.to_string().into());
    }

    fn ask_remote(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        member: String,
        undo: bool,
    ) -> Result<u64, Refusal> {
        match endpoint.member(&member).map(|known| known.status) {
            Some(Status::Alive) => {}
            Some(Status::Leaving | Status::Left) => {
                return Err(Refusal::new(format!("{member} has left")).with_remedy("there is nothing to drain"));
            }
            Some(Status::Failed) => {
                return Err(Refusal::new(format!("{member} has failed and cannot answer"))
                    .with_remedy("'weir upstream show' tells whether it gets requests"));
            }
            None => return Err(no_member(endpoint, &member)),
        }
        let drain = if undo { RemoteDrain::Off } else { RemoteDrain::On };
        let params = QueryParams {
            name: RemoteDrain::NAME.to_owned(),
            payload: drain.as_str().into(),
            nodes: vec![member.clone()],
            ack: true,
            timeout: Some(REMOTE_TIMEOUT),
            ..QueryParams::default()
        };
        let key = endpoint.query(now, params).map_err(|error| Refusal::of(&error))?;
        let story = self.stories.begin_other();
        self.queries.insert(key, Asked::Remote { story, member, answered: false });
        Ok(story)
    }

    /// An answer to a query of this part, or its end. Gives back what is another's.
    pub(super) fn handle_query(&mut self, now: Instant, output: QueryOutput) -> Option<QueryOutput> {
        let Some(asked) = self.queries.get_mut(&output.key) else { return Some(output) };
        match (output.answer, asked) {
            (serf::Answer::Response { from, payload }, Asked::Drained) => {
                if let (Some(from), Some(reply)) = (NodeName::new(&from), Reply::parse(&payload)) {
                    self.departure.handle_answer(now, &from, reply);
                }
            }
            (serf::Answer::Response { from, payload }, Asked::Remote { story, member, answered })
                if from == *member =>
            {
                let (story, member) = (*story, member.clone());
                *answered = true;
                self.stories.tell_other(
                    story,
                    match RemoteAnswer::parse(&payload) {
                        Some(RemoteAnswer::Ok(id)) => Line::Remote { member, id: id.to_string() },
                        Some(RemoteAnswer::No(text)) => Line::RemoteRefused { member, text },
                        None => Line::RemoteRefused { member, text: "its answer is not understood".to_owned() },
                    },
                );
            }
            (serf::Answer::Done { .. }, Asked::Remote { story, member, answered: false }) => {
                let (story, member) = (*story, member.clone());
                self.queries.remove(&output.key);
                self.stories.tell_other(story, Line::RemoteSilent { member });
            }
            (serf::Answer::Done { .. }, Asked::Drained | Asked::Remote { .. }) => {
                self.queries.remove(&output.key);
            }
            (serf::Answer::Ack { .. } | serf::Answer::Response { .. }, Asked::Drained | Asked::Remote { .. }) => {}
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
        step
    }

    /// What was looked at on this host. Never while nothing is. Cancel-safe.
    pub(super) async fn seen(&mut self) -> Seen {
        tokio::select! {
            looked = self.flights.looked() => Seen::Flight(looked),
            over = self.guard.looked() => Seen::Guard { over },
        }
    }

    pub(super) fn handle_seen(&mut self, now: Instant, seen: Seen) {
        match seen {
            Seen::Flight(looked) => {
                let flight = self.flights.handle_looked(looked);
                self.departure.handle_flight(now, flight);
            }
            Seen::Guard { over } => {
                if over {
                    info!("the application that this node was drained for is there again");
                    self.departure.undo(true);
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
            Ok(key) => drop(self.queries.insert(key, Asked::Drained)),
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
