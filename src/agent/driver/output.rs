//! What the endpoint asks for is done, what it and the parts tell is passed on. Never waits.

use tracing::{error, info, warn};

use super::super::notice::Notice;
use super::super::{Exit, clock, doctor, health, joins, leave, tags};
use super::Agent;
use crate::agent::stop::Progress;
use crate::config::{Config, Mode};
use crate::drain::{Question, RemoteDrain};
use crate::endpoint::Output;
use crate::error::Explain as _;
use crate::handlers::Local;
use crate::serf::{ConflictOutcome, Event, MemberEvent, QueryEvent};
use crate::status::serving::SERVING_QUERY;
use crate::time::Instant;
use crate::wire::NodeName;

impl Agent {
    /// Carries out every output. Doing one may cause further ones; the loop ends when there are none.
    pub(super) fn perform(&mut self) {
        self.tell_health();
        self.perform_outputs();
        let now = clock::now();
        if let Some(leave::Step::Leave) = self.safe_leave.advance(now, &mut self.endpoint, &mut self.store) {
            self.leave();
        }
        if self.progress() == Progress::Serving {
            self.stops.handle_serving();
            self.pending.not_left();
        }
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.advance(now, &mut self.endpoint);
        }
        // A tag, questions and answers go out.
        self.perform_outputs();
        self.store.record(now, &self.endpoint);
        self.keys.count_sealed(now, &self.endpoint);
        if !self.is_leaving() && self.systemd.wants_status() {
            self.systemd.status(self.status());
        }
        if self.exit.is_none() && self.safe_leave.stays_until().is_some_and(|at| at <= now) {
            self.safe_leave.end(now);
            self.pending.left();
            self.exit = Some(Exit::Left);
        }
    }

    fn perform_outputs(&mut self) {
        loop {
            if let Some(output) = self.endpoint.poll_output() {
                self.perform_one(output);
            } else if let Some(event) = self.joins.poll_event() {
                self.handle_join_event(event);
            } else {
                break;
            }
        }
    }

    /// Tells the cluster how well this node is, if that has changed; others hear of it within a round of gossip.
    pub(super) fn tell_health(&mut self) {
        if self.config.mode == Mode::Serf || self.is_leaving() {
            return;
        }
        let Some(state) = self.checks.news() else { return };
        match self.endpoint.set_tags(clock::now(), &tags::with_health(self.endpoint.tags(), state)) {
            Ok(()) => self.checks.told(state),
            Err(error) if self.checks.not_told(state) => {
                error!(%error, health = %state, "health is not told to the cluster");
            }
            Err(_) => {} // as before
        }
    }

    fn handle_join_event(&mut self, event: joins::Event) {
        match event {
            joins::Event::FirstView => {
                self.safe_leave.first_view_complete(clock::now(), &self.endpoint);
                if let Some(upstreams) = &mut self.upstreams {
                    upstreams.first_view_complete(clock::now());
                }
            }
            joins::Event::Forgotten(name) => self.store.forget(&name),
            joins::Event::GaveUp => self.exit = Some(Exit::JoinGaveUp),
        }
    }

    fn perform_one(&mut self, output: Output) {
        let now = clock::now();
        match output {
            Output::Datagram { to, payload } => self.udp.send(to, &payload),
            Output::Connect { stream, to } => self.streams.connect(stream, to),
            Output::Write { stream, data, close } => {
                if !self.streams.write(stream, data, close) {
                    self.endpoint.handle_stream_end(now, stream, Some("write: the peer does not read".into()));
                }
            }
            Output::Close { stream } => self.streams.close(stream),
            Output::Member(event) => self.member_changed(&event),
            Output::Suspicion { member, by } => self.suspicion_changed(&member, by.as_ref()),
            Output::Leaving { .. } => self.members_changed(),
            Output::Event(event) => {
                let is_ours = doctor::answers_query(now, &mut self.endpoint, self.config.mode, &event)
                    || self.answers_drain(now, &event)
                    || self.answers_serving(now, &event)
                    || self.answers_health(now, &event);
                if !is_ours {
                    self.publish(&event);
                }
            }
            Output::Query(answer) => {
                let Some(answer) = self.safe_leave.handle_query(now, answer) else { return };
                let upstreams = self.upstreams.as_mut();
                if !upstreams.is_some_and(|upstreams| upstreams.handle_query(now, &answer)) {
                    self.pending.query_answer(answer);
                }
            }
            Output::Keys { query, outcome } => {
                if !self.key_requests.handle_outcome(now, &mut self.endpoint, &query, &outcome) {
                    self.pending.keys_done(&query, &outcome);
                }
            }
            Output::KeyringChanged { id, answer } => {
                if self.key_requests.handle_changed(&self.endpoint, id, &answer) {
                    // Whoever could not be heard before may be now.
                    self.joins.again(now, &mut self.endpoint, &self.config);
                }
            }
            Output::StoreKeyring(change) => self.keys.store(change, &self.endpoint),
            Output::Joined(joined) => self.joins.handle_joined(now, &self.endpoint, &self.config, &joined),
            Output::Left { unconfirmed } => self.left(&unconfirmed),
            Output::ForceLeft { member, result } => {
                match &result {
                    Ok(()) => info!(%member, "member was made to leave"),
                    Err(error) => warn!(%member, error = error.sentence(), "member was not made to leave"),
                }
                self.pending.force_left(&member, &result);
            }
            Output::Reached { member, took } => self.doctor.handle_reached(now, &member, took),
            Output::SecondWitness { member, heard } => {
                if let Some(upstreams) = &mut self.upstreams {
                    upstreams.handle_second_witness(now, &member, heard);
                }
            }
            Output::Conflict(outcome) => self.name_conflict(&outcome),
            Output::NameTrouble(trouble) => self.log.tell(Notice::NameTrouble(trouble)),
        }
    }

    fn member_changed(&mut self, event: &MemberEvent) {
        self.log.tell(Notice::Member(event.clone()));
        self.store.member(event);
        self.members_changed();
        self.systemd.status_is_old();
    }

    fn suspicion_changed(&mut self, member: &NodeName, by: Option<&NodeName>) {
        match by {
            Some(by) => info!(%member, %by, "member suspected"),
            None => info!(%member, "member no longer suspected"),
        }
        self.members_changed();
    }

    /// Takes a question about a drain; false if it is for handlers and clients.
    fn answers_drain(&mut self, now: Instant, event: &Event) -> bool {
        let Event::Query(query) = event else { return false };
        match (self.config.mode, query.name.as_str(), &mut self.upstreams) {
            (Mode::Weir, RemoteDrain::NAME, _) => {
                self.safe_leave.handle_remote(now, &mut self.endpoint, &self.config, query);
                true
            }
            (Mode::Weir, Question::NAME, Some(upstreams)) => {
                upstreams.handle_question(now, &self.endpoint, query);
                true
            }
            (Mode::Weir | Mode::Serf, _, _) => false,
        }
    }

    /// Tells a member whether this balancer sends it requests; false if the event is for others.
    fn answers_serving(&mut self, now: Instant, event: &Event) -> bool {
        let Event::Query(QueryEvent { key, name, payload, source, .. }) = event else { return false };
        let (SERVING_QUERY, Mode::Weir, Some(upstreams)) = (name.as_str(), self.config.mode, &self.upstreams) else {
            return false;
        };
        let member = String::from_utf8_lossy(payload);
        let mut told = upstreams.serving(now, &self.endpoint, &self.document(false), &member);
        if let Some(known) = self.endpoint.member(&member) {
            let (name, addr) = (known.node.name.clone(), known.node.addr);
            told.at = Some(addr);
            // Nobody is tried whom others ask about.
            if *source == member {
                told.tcp = self.reached.look(now, &name, addr, self.streams.source());
            }
        }
        // It asks again.
        let _too_late = self.endpoint.respond(now, key, told.to_payload().into());
        true
    }

    fn members_changed(&mut self) {
        self.safe_leave.members_changed();
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.members_changed();
        }
    }

    /// Answers the query `health` from the checks; false if the event is for others.
    fn answers_health(&mut self, now: Instant, event: &Event) -> bool {
        let Config { mode, handlers, .. } = &self.config;
        health::answers_query(now, &mut self.endpoint, *mode, handlers, self.checks.found(), event)
    }

    /// Handlers and streams get it, each through a queue of its own.
    fn publish(&mut self, event: &Event) {
        if self.config.mode == Mode::Serf {
            self.log.tell(Notice::EventReceived { event: serf_name(event) });
        }
        let name = self.endpoint.local().name.clone();
        let tags = self.endpoint.tags();
        let now = clock::now();
        if let Some((query, answer)) = self.handlers.dispatch(event, Local { name: &name, tags: &tags }) {
            // The limit is configurable down to less than this sentence.
            let _too_large = self.endpoint.respond(now, &query, answer.into());
        }
        self.commands.publish(event, now);
    }

    fn left(&mut self, unconfirmed: &[NodeName]) {
        let Some(begun) = self.leaving else { return };
        let (members, elapsed) = (self.endpoint.members().count(), clock::now().since(begun));
        self.log.tell(Notice::Left { members, elapsed, unconfirmed: unconfirmed.to_vec() });
        self.store.left(clock::now());
        self.safe_leave.left(clock::now(), unconfirmed);
    }

    fn name_conflict(&self, outcome: &ConflictOutcome) {
        let member = &self.endpoint.local().name;
        match *outcome {
            ConflictOutcome::Asked { other } => {
                self.log.tell(Notice::NameConflict { member: member.clone(), other });
            }
            ConflictOutcome::Claimed { other } => {
                self.log.tell(Notice::NameClaimed { member: member.clone(), other });
            }
            ConflictOutcome::Won { responses, matching } => {
                warn!(%member, responses, matching, "the majority sides with us about our name");
            }
            ConflictOutcome::Unanswered => {
                warn!(%member, "nobody is there to say whose our name is, it stays ours; set a different node.name on one of the two");
            }
            ConflictOutcome::Lost { responses, matching } => {
                error!(%member, responses, matching, "another member has our name and the majority sides with it, so this node keeps silent until the name is free; set a different node.name");
            }
            ConflictOutcome::Freed => info!(%member, "our name is free again"),
        }
    }
}

/// An event as Serf's log names it.
fn serf_name(event: &Event) -> String {
    match event {
        Event::Member { kind, .. } => kind.as_str().to_owned(),
        Event::User(event) => format!("user-event: {}", event.name),
        Event::Query(QueryEvent { name, .. }) => format!("query: {name}"),
    }
}
