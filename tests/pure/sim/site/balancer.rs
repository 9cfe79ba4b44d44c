//! A balancer's agent: its real machines, brought together as the driver does it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir::drain::{Ledger, Place, Promises, Question, Request, Standing, Told};
use weir::health::answer::Outcome;
use weir::health::isolation::Isolation;
use weir::health::probe::{Doubt, Event, Prober, Start, TargetId, reached};
use weir::health::query::{End, Output as Asked, Queries, QuestionId, Seen, Selector, Target, answer};
use weir::health::second_witness::{Heard, Output as Witness, SecondWitnesses, Word};
use weir::serf::{Answer, QueryEvent, QueryKey, QueryOutput, QueryParams, Status};
use weir::sim::{NodeId, Sim};
use weir::time::Instant;
use weir::upstream::balancer::{Balancer, Group, Notice, Output};
use weir::upstream::cuts::{Cuts, Passed, Place as Server};
use weir::upstream::desired::{Desired, Target as Placed};
use weir::upstream::settle::Applied;
use weir::upstream::{Candidate, Drain, Gossip, Holds, Mode, Options, select};
use weir::wire::NodeName;

use super::Flaw;
use super::apply::Order;
use super::plan::Plan;
use super::world::fact_of;

/// As in the driver.
const RECONCILE: Duration = Duration::from_secs(30);
const REJOIN_GRACE: Duration = Duration::from_secs(30);
const FIRST_PROBES: Duration = Duration::from_millis(1500);

/// What a step asks of the host.
#[derive(Debug)]
pub(crate) enum Act {
    Submit(Order),
    Probe(Start),
    Cut(Vec<Server>),
    /// Answers to `weir-drained` go out.
    Word {
        node: NodeName,
        id: weir::drain::DrainId,
        counts: bool,
        word: &'static str,
    },
    /// Something happened that a long run must have seen.
    Saw(&'static str),
}

/// The process on a balancer.
pub(crate) struct Agent {
    pub(crate) balancer: Balancer,
    pub(crate) prober: Prober,
    pub(crate) ledger: Ledger,
    witnesses: SecondWitnesses,
    isolation: Isolation,
    queries: Queries,
    selectors: Vec<(Selector, Options)>,
    asked: BTreeMap<QueryKey, (QuestionId, Instant)>,
    /// Nodes of open questions about drains.
    asking: BTreeMap<QueryKey, NodeName>,
    told: BTreeSet<NodeName>,
    cuts: Cuts,
    decisions: u64,
    /// Of which decisions the targets are.
    probed: u64,
    cutting: bool,
    applying: bool,
    keeping: bool,
    recovering: bool,
    going_back: bool,
    /// An operator wants to.
    wants_back: bool,
    complete_by: Option<Instant>,
    members_at: Option<Instant>,
    /// Why the last job brought nothing in place.
    trouble: Option<String>,
    /// Whom its pings do not reach.
    pub(crate) silent: BTreeSet<NodeName>,
    nginx_news: bool,
    started: Instant,
    /// How often it has looked at the members.
    looks: u32,
    flaw: Flaw,
}

impl Agent {
    pub(crate) fn new(
        now: Instant,
        plan: &Plan,
        order: u64,
        live: Option<Desired>,
        holds: Holds,
        promises: Promises,
        flaw: Flaw,
    ) -> Self {
        let selectors = selectors(&plan.upstreams);
        let names = selectors.iter().map(|(selector, _)| selector.clone()).collect();
        let mut prober = Prober::default();
        prober.handle_configuration(now, plans(plan), BTreeSet::new(), &BTreeSet::new());
        Self {
            balancer: Balancer::new(plan.upstreams.clone(), settle(plan, flaw), order, live, holds, now),
            prober,
            ledger: Ledger::new(now, promises),
            witnesses: SecondWitnesses::default(),
            isolation: Isolation::new(now),
            queries: Queries::new(now, plan.health, names),
            selectors,
            asked: BTreeMap::new(),
            asking: BTreeMap::new(),
            told: BTreeSet::new(),
            cuts: Cuts::default(),
            decisions: 0,
            probed: 0,
            cutting: false,
            applying: false,
            keeping: false,
            recovering: true,
            going_back: false,
            wants_back: false,
            complete_by: None,
            members_at: Some(now),
            trouble: None,
            silent: BTreeSet::new(),
            nginx_news: false,
            started: now,
            looks: 0,
            flaw,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let open = |at: Option<Instant>| at.filter(|_| self.members_at.is_some());
        let cuts = self.cuts.poll_timeout().filter(|_| !self.cutting);
        let probes = [self.prober.poll_timeout(), self.prober.release_at()];
        let own = [self.balancer.poll_timeout(), self.ledger.poll_timeout(), cuts].into_iter().chain(probes);
        let others =
            [self.queries.poll_timeout(), self.witnesses.poll_timeout(), self.isolation.poll_timeout()].map(open);
        own.chain(others).chain([self.complete_by, self.members_at]).flatten().min()
    }

    pub(crate) fn is_settled(&self) -> bool {
        !self.applying && !self.recovering && !self.going_back && !self.keeping && self.trouble.is_none()
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.members_at.is_none()
    }

    pub(crate) fn members_changed(&mut self) {
        if let Some(at) = &mut self.members_at {
            *at = Instant::ZERO;
        }
    }

    pub(crate) fn first_view_complete(&mut self, now: Instant) {
        self.complete_by = Some(now + FIRST_PROBES);
        self.members_changed();
    }

    pub(crate) fn leave(&mut self) {
        self.members_at = None;
        self.balancer.leave();
        self.prober = Prober::default();
        self.cuts = Cuts::default();
    }

    pub(crate) fn reconfigure(&mut self, now: Instant, plan: &Plan) {
        self.selectors = selectors(&plan.upstreams);
        let names = self.selectors.iter().map(|(selector, _)| selector.clone()).collect();
        self.queries.reconfigure(now, plan.health, names);
        self.balancer.handle_configuration(now, plan.upstreams.clone(), settle(plan, self.flaw));
        self.prober.handle_configuration(now, plans(plan), BTreeSet::new(), &BTreeSet::new());
        self.probed = u64::MAX;
        self.members_changed();
    }

    pub(crate) fn go_back(&mut self) {
        self.wants_back = true;
    }

    /// NGINX is another one than before.
    pub(crate) fn nginx_started(&mut self) {
        self.nginx_news = true;
    }

    /// A question of a leaving node, if it is one.
    pub(crate) fn handle_question(&mut self, now: Instant, sim: &Sim, id: NodeId, query: &QueryEvent) {
        let Some(question) = Question::parse(&query.payload) else { return };
        let told = sim.endpoint(id).and_then(|endpoint| fact_of(endpoint, &question.node));
        self.asking.insert(query.key, question.node.clone());
        self.ledger.handle_question(now, query.key, question, told);
        self.tell_drains(now);
    }

    pub(crate) fn handle_query(&mut self, now: Instant, output: &QueryOutput) {
        let Some((id, at)) = self.asked.get(&output.key).copied() else { return };
        match &output.answer {
            Answer::Ack { .. } => {}
            Answer::Response { from, payload } => self.queries.handle_answer(now, id, from, payload),
            Answer::Done { .. } => {
                self.asked.remove(&output.key);
                let end = if self.isolation.has_heard_since(at) { End::Over } else { End::NotAsked };
                self.queries.handle_end(now, id, end);
            }
        }
    }

    pub(crate) fn handle_second_witness(&mut self, now: Instant, member: &NodeName, heard: Heard) {
        if heard == Heard::Nothing {
            self.silent.insert(member.clone())
        } else {
            self.silent.remove(member)
        };
        self.witnesses.handle_heard(now, member, heard);
    }

    pub(crate) fn handle_probed(&mut self, now: Instant, target: TargetId, outcome: Outcome) {
        self.prober.handle_outcome(now, target, outcome);
    }

    pub(crate) fn handle_recovered(&mut self) {
        self.recovering = false;
    }

    pub(crate) fn handle_applied(&mut self, now: Instant, applied: Applied, trouble: Option<String>) {
        (self.applying, self.trouble) = (false, trouble);
        self.cuts.handle_job_ended();
        let applied = if self.flaw == Flaw::AsksAgain { Applied::Failed { reloaded: false } } else { applied };
        self.balancer.handle_applied(now, applied, &[]);
    }

    pub(crate) fn handle_kept(&mut self, now: Instant, standing: Standing) {
        self.keeping = false;
        self.ledger.handle_kept(now, Ok(standing));
        self.tell_drains(now);
        self.balancer.resume(now);
    }

    pub(crate) fn handle_went_back(&mut self, now: Instant, applied: Applied, live: Desired) {
        self.going_back = false;
        self.balancer.handle_rolled_back(now, applied, Some(live), &Holds::default());
    }

    pub(crate) fn handle_cut(&mut self, now: Instant, passes: &[(Server, Passed)]) {
        self.cutting = false;
        for (place, passed) in passes {
            self.cuts.handle_cut(now, place, *passed);
        }
    }

    /// As `Upstreams::advance`.
    pub(crate) fn advance(&mut self, now: Instant, sim: &mut Sim, id: NodeId) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.members_at.is_some() {
            self.listen(now, sim, id);
        }
        let looks_at_members = self.members_at.is_some_and(|at| at <= now);
        if looks_at_members {
            self.members_at = Some(now + RECONCILE);
            self.looks += 1;
            if self.flaw != Flaw::LooksAway || self.looks < 10 {
                self.look_at_members(now, sim, id);
            }
        }
        self.tell_probes(now, sim, id);
        if self.members_at.is_some() {
            self.ask_health(now, sim, id);
            self.ask_witnesses(now, sim, id, &mut acts);
        }
        if std::mem::take(&mut self.nginx_news) {
            self.balancer.handle_nginx(now);
        }
        if self.wants_back && !self.is_busy() {
            (self.wants_back, self.going_back) = (false, true);
            self.balancer.suspend();
            acts.push(Act::Submit(Order::GoBack { promises: self.ledger.promises().clone() }));
        }
        self.balancer.handle_timeout(now);
        if self.members_at.is_some() && self.flaw != Flaw::NeverCut {
            self.cut(now, &mut acts);
        }
        if self.members_at.is_some()
            && std::mem::replace(&mut self.probed, self.balancer.decisions()) != self.balancer.decisions()
        {
            self.prober.handle_targets(now, self.balancer.targets());
            self.tell_probes(now, sim, id);
        }
        acts.extend(std::iter::from_fn(|| self.prober.poll_start(now)).map(Act::Probe));
        let all_are_heard = !self.prober.has_unprobed() && !self.queries.awaits_first_answers();
        if self.complete_by.is_some_and(|by| by <= now || all_are_heard) {
            self.complete_by = None;
            self.balancer.handle_first_view(now);
            self.balancer.handle_timeout(now);
        }
        while let Some(output) = self.balancer.poll_output() {
            match output {
                Output::Apply { desired, .. } => acts.push(self.apply(desired)),
                Output::Tell(notice) => acts.push(Act::Saw(word(&notice))),
            }
        }
        self.advance_drains(now, sim, id, &mut acts);
        acts
    }

    fn is_busy(&self) -> bool {
        self.applying || self.recovering || self.keeping || self.going_back
    }

    fn look_at_members(&mut self, now: Instant, sim: &Sim, id: NodeId) {
        let Some(endpoint) = sim.endpoint(id) else { return };
        let members: Vec<_> = endpoint.members().map(|member| Candidate::of(member, endpoint.swim())).collect();
        let doubt = |gossip| match gossip {
            Gossip::Suspect => Some(Doubt::Suspected),
            Gossip::Failed => Some(Doubt::Failed),
            Gossip::Alive | Gossip::Unknown | Gossip::Leaving | Gossip::Left => None,
        };
        let doubted = |member: &Candidate| {
            let doubt = doubt(member.gossip)?;
            let doubt = if self.balancer.is_unheard(&member.name) { Doubt::Suspected } else { doubt };
            Some((member.name.clone(), doubt))
        };
        self.prober.handle_doubts(now, members.iter().filter_map(doubted).collect());
        let is_given_up = |member: &&Candidate| !matches!(member.gossip, Gossip::Alive | Gossip::Suspect);
        let given_up = members.iter().filter(is_given_up).map(|member| member.name.clone()).collect();
        let failed = members.iter().filter(|member| member.gossip == Gossip::Failed).map(|member| &member.name);
        let (balancer, believes) = (&self.balancer, self.flaw == Flaw::BelievesHearsay);
        let hearsay: BTreeSet<&NodeName> = failed.filter(|member| balancer.has_server(member) && !believes).collect();
        self.witnesses.handle_given_up(now, given_up, |member| hearsay.contains(member));
        let seen: Vec<_> = members.iter().filter_map(|member| self.seen(member)).collect();
        self.queries.handle_members(now, seen);
        self.balancer.handle_members(now, members);
        self.ledger.handle_members(now, endpoint.members().map(|member| Told::of(member, endpoint.swim())));
        self.tell_drains(now);
    }

    fn seen(&self, member: &Candidate) -> Option<Seen> {
        let selects = |options: &Options| {
            options.select.iter().all(|(tag, pattern)| member.tags.get(tag).is_some_and(|value| pattern.matches(value)))
        };
        let places = self.selectors.iter().enumerate().filter(|(_, (_, options))| selects(options));
        let seen = Seen {
            name: member.name.clone(),
            tag: Seen::tag_of(&member.tags),
            is_alive: member.gossip == Gossip::Alive,
            selected_by: places.map(|(place, _)| place).collect(),
            serves: self.selectors.iter().filter_map(|(_, each)| Some(select(member, each).ok()?.addr)).collect(),
        };
        (!matches!(member.gossip, Gossip::Left | Gossip::Leaving)).then_some(seen)
    }

    /// As `Upstreams::listen`.
    fn listen(&mut self, now: Instant, sim: &Sim, id: NodeId) {
        let Some(endpoint) = sim.endpoint(id) else { return };
        let local = &endpoint.options().name;
        let alive = endpoint.members().filter(|member| member.status == Status::Alive && member.node.name != *local);
        let interval = endpoint.options().swim.probe_interval;
        let is_isolated = self.isolation.observe(now, endpoint.heard(), interval, alive);
        self.balancer.handle_isolation(now, is_isolated && self.flaw != Flaw::HearsNobody);
    }

    fn tell_probes(&mut self, now: Instant, sim: &Sim, id: NodeId) {
        self.pass_on(now);
        let (witnesses, flaw, endpoint) = (&self.witnesses, self.flaw, sim.endpoint(id));
        let word = |member: &NodeName| match flaw {
            Flaw::TrustsGossip => Word::Answers(Instant::ZERO),
            _ => witnesses.word(member),
        };
        let (is_isolated, back) = (self.balancer.is_isolated(), self.balancer.heard_again());
        let heard = |member: &NodeName| endpoint?.heard_beside(member).filter(|_| !is_isolated);
        self.prober.release(now, word, |member| match flaw {
            Flaw::TrustsProbes => Some(now),
            _ => heard(member).map(|heard| back.map_or(heard, |back| reached(heard, back))),
        });
        self.pass_on(now);
    }

    fn pass_on(&mut self, now: Instant) {
        while let Some(event) = self.prober.poll_event() {
            match event {
                Event::Says { upstream, member, addr, probe } => {
                    self.balancer.handle_probe(now, &upstream, &member, addr, probe);
                }
                Event::Failed { member, .. } => self.witnesses.handle_failure(now, &member),
                Event::Blind { upstream, is_blind } => self.balancer.handle_blindness(now, &upstream, is_blind),
            }
        }
    }

    fn tell_drains(&mut self, now: Instant) {
        let concerned: BTreeSet<NodeName> = self.ledger.concerned().cloned().collect();
        for node in self.told.difference(&concerned) {
            self.balancer.handle_drain(now, node, Drain::No);
        }
        for node in &concerned {
            self.balancer.handle_drain(now, node, self.ledger.drain_of(node));
        }
        self.told = concerned;
    }

    fn ask_health(&mut self, now: Instant, sim: &mut Sim, id: NodeId) {
        self.queries.handle_timeout(now);
        while let Some(output) = self.queries.poll_output() {
            match output {
                Asked::Ask { id: question, target, timeout } => {
                    let whom = match target {
                        Target::Selected(tags) => QueryParams { tags, ..QueryParams::default() },
                        Target::Named(names) => {
                            let nodes = names.iter().map(ToString::to_string).collect();
                            QueryParams { nodes, ..QueryParams::default() }
                        }
                    };
                    let name = answer::QUERY.to_owned();
                    let params = QueryParams { name, ack: true, timeout: Some(timeout), ..whom };
                    match sim.with(id, |endpoint, now| endpoint.query(now, params)) {
                        Some(Ok(key)) => drop(self.asked.insert(key, (question, now))),
                        Some(Err(_)) | None => self.queries.handle_end(now, question, End::NotAsked),
                    }
                }
                Asked::Serving { member, asked } => {
                    self.ledger.handle_serving(&member, asked);
                    self.tell_drains(now);
                }
                Asked::Check { member, check } => self.balancer.handle_check(now, &member, check),
            }
        }
    }

    fn ask_witnesses(&mut self, now: Instant, sim: &mut Sim, id: NodeId, acts: &mut Vec<Act>) {
        let prober = &self.prober;
        self.witnesses.handle_timeout(now, |member| prober.is_failing(member));
        while let Some(output) = self.witnesses.poll_output() {
            match output {
                Witness::Ask(member) => {
                    if sim.with(id, |endpoint, now| endpoint.ask_second_witness(now, &member)) != Some(true) {
                        self.witnesses.handle_not_asked(&member);
                    }
                }
                Witness::Disputes { member, disputed } => {
                    acts.push(Act::Saw(if disputed { "failure disputed" } else { "dispute over" }));
                    self.balancer.handle_dispute(now, &member, disputed);
                }
                Witness::Says { member, silent } => {
                    acts.push(Act::Saw(if silent { "second witness silent" } else { "second witness answered" }));
                    self.balancer.handle_second_witness(now, &member, silent);
                }
            }
        }
    }

    fn cut(&mut self, now: Instant, acts: &mut Vec<Act>) {
        if std::mem::replace(&mut self.decisions, self.balancer.decisions()) != self.balancer.decisions() {
            self.cuts.handle_decisions(now, &self.balancer);
        }
        if self.cutting {
            return;
        }
        let prober = &self.prober;
        let mut next = || self.cuts.poll_cut(now, |upstream, member| prober.others_answer(upstream, member));
        let places: Vec<Server> = match self.flaw {
            Flaw::CutTheLiving => self.failing().into_iter().collect(),
            _ => std::iter::from_fn(|| next().map(|(place, _)| place)).collect(),
        };
        if !places.is_empty() {
            self.cutting = true;
            acts.push(Act::Cut(places));
        }
    }

    /// Somebody whose probe fails, whatever gossip says.
    fn failing(&self) -> Option<Server> {
        let upstreams = self.balancer.upstreams().iter().filter(|upstream| upstream.options().probed);
        let mut places = upstreams.flat_map(|upstream| {
            let members = upstream.decision().into_iter().flat_map(|decision| &decision.members);
            members.map(|judged| (upstream.name().clone(), judged.name.clone()))
        });
        places.find(|(_, member)| self.prober.is_failing(member))
    }

    fn apply(&mut self, mut desired: Desired) -> Act {
        // The recovery of before is ended first, by `apply` itself.
        let is_under_way = self.applying || self.keeping || self.going_back;
        assert!(!is_under_way, "an apply is asked for while something is under way");
        self.applying = true;
        if self.flaw == Flaw::IgnoresHolds {
            let held = self.balancer.holds().iter().map(|(name, _)| (name.clone(), Placed::Placeholder));
            desired.upstreams.extend(held);
        }
        if self.flaw == Flaw::PanicEmpties {
            let panics = |upstream: &&weir::upstream::balancer::Upstream| {
                upstream.decision().is_some_and(|decision| decision.mode != Mode::Normal)
            };
            for upstream in self.balancer.upstreams().iter().filter(panics) {
                desired.upstreams.insert(upstream.name().clone(), Placed::Placeholder);
            }
        }
        let prober = &self.prober;
        let dead = self.cuts.dead(|upstream, member| prober.others_answer(upstream, member));
        let dead = dead.map(|(upstream, member, _)| (upstream.clone(), member.clone())).collect();
        let (promises, holds) = (self.ledger.promises().clone(), self.balancer.holds().clone());
        Act::Submit(Order::Apply { desired, promises, holds, dead })
    }

    fn advance_drains(&mut self, now: Instant, sim: &mut Sim, id: NodeId, acts: &mut Vec<Act>) {
        let is_free = self.members_at.is_some() && !self.is_busy();
        let (balancer, trouble, flaw) = (&self.balancer, self.trouble.as_deref(), self.flaw);
        let place = |node: &NodeName| match Place::of(balancer, trouble, node) {
            Place::Going if flaw == Flaw::AnswerFromIntent => Place::Out { servers: Vec::new() },
            place => place,
        };
        self.ledger.handle_next_job(self.balancer.next_job());
        self.ledger.advance(now, is_free.then_some(place));
        while let Some(request) = self.ledger.poll_output() {
            match request {
                Request::Keep(promises) => {
                    self.keeping = true;
                    self.balancer.suspend();
                    acts.push(Act::Submit(Order::Keep(promises)));
                }
                Request::Answer { query, reply } => {
                    let _too_late =
                        sim.with(id, |endpoint, now| endpoint.respond(now, &query, reply.to_string().into()));
                    if let Some(node) = self.asking.remove(&query) {
                        let text = reply.to_string();
                        let word = ["out", "idle", "none", "wait", "no floor", "no apply"];
                        let word = word.into_iter().find(|word| text.starts_with(*word));
                        let word = match (&reply.word, word) {
                            (weir::drain::Word::Floor { .. }, _) => "no floor",
                            (weir::drain::Word::Apply { .. }, _) => "no apply",
                            (_, word) => word.unwrap_or("?"),
                        };
                        let counts = reply.word.counts();
                        acts.push(Act::Word { node, id: reply.id, counts, word });
                    }
                }
            }
        }
    }

    /// Whether a server is dead for the reasons that `protocols D.4` allows, by what this process was told.
    pub(crate) fn may_cut(&self, sim: &Sim, id: NodeId, (upstream, member): &Server) -> Result<(), &'static str> {
        let Some(endpoint) = sim.endpoint(id) else { return Err("the agent is gone") };
        let known = endpoint.members().find(|known| known.node.name == *member);
        let gossip = known.map(|known| Candidate::of(known, endpoint.swim()).gossip);
        let is_doubted = match gossip {
            Some(Gossip::Failed) => true,
            Some(Gossip::Alive | Gossip::Suspect) => self.silent.contains(member),
            Some(Gossip::Unknown | Gossip::Leaving | Gossip::Left) => false,
            // Who is no member counts as failed once it has had time to come back.
            None => sim.now().since(self.started) >= REJOIN_GRACE,
        };
        let standing = self.prober.standing(upstream, member);
        let of = self.balancer.upstreams().iter().find(|each| each.name() == upstream);
        let mode = of.and_then(|upstream| upstream.decision()).map(|decision| decision.mode);
        if !is_doubted {
            return Err("gossip does not doubt it");
        }
        if standing.is_none_or(|standing| standing.probe != weir::upstream::Probe::Down) {
            return Err("its probe does not say down");
        }
        if self.ledger.drain_of(member) != Drain::No {
            return Err("it drains");
        }
        if mode == Some(Mode::Last) {
            return Err("nobody else is there");
        }
        if of.is_some_and(|of| of.options().policy.on_dead == weir::upstream::OnDead::Wait) {
            return Err("on_dead is wait");
        }
        let others = self.balancer.upstreams().iter().filter(|each| each.name() != upstream);
        let mut others = others.filter_map(|other| other.decision()).flat_map(|decision| &decision.members);
        if others.any(|judged| judged.name == *member && judged.verdict.placed.is_in()) {
            return Err("another upstream sends it requests");
        }
        if !self.prober.others_answer(upstream, member) {
            return Err("nobody else answers");
        }
        Ok(())
    }
}

fn plans(plan: &Plan) -> BTreeMap<weir::upstream::UpstreamName, weir::health::probe::Plan> {
    let named = plan.upstreams.iter().zip(&plan.probes);
    named.filter_map(|(upstream, probe)| Some((upstream.name.clone(), (*probe)?))).collect()
}

fn settle(plan: &Plan, flaw: Flaw) -> weir::upstream::settle::Options {
    let mut options = plan.settle;
    if flaw == Flaw::NoBudget {
        options.min_reload_interval = Duration::ZERO;
    }
    options
}

/// Each selector once, with one of its upstreams.
fn selectors(upstreams: &[Options]) -> Vec<(Selector, Options)> {
    let selector = |options: &Options| {
        options.select.iter().map(|(tag, pattern)| (tag.clone(), pattern.to_string())).collect::<Selector>()
    };
    upstreams.iter().map(|options| (selector(options), options.clone())).collect()
}

fn word(notice: &Notice) -> &'static str {
    match notice {
        Notice::LeftOut { .. } => "member left out",
        Notice::Isolation { is_isolated: true } => "nobody heard",
        Notice::Isolation { is_isolated: false } => "heard again",
        Notice::Group { now: Group::Empty, .. } => "placeholder",
        Notice::Group { now: Group::Well, .. } => "enough servers again",
        Notice::Group { now: Group::Floor, .. } => "panic entered",
        Notice::Group { now: Group::Unrecorded, .. } => "held unrecorded",
        Notice::Group { now: Group::Last, .. } => "nobody left, the last good ones kept",
        Notice::Group { now: Group::AllLeft, .. } => "all left, the file kept",
    }
}
