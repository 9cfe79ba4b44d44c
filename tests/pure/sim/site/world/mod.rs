//! A whole site: agents on a simulated network, web servers, NGINX and its clients, under one clock and one seed.
//!
//! After everything that happens, the rules (`rules`) are asked about whatever changed.

mod agents;
mod jobs;
mod remote;
mod requests;
mod scripts;

pub(crate) use scripts::Scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use weir::drain::DrainId;
use weir::drain::document::Line;
use weir::drain::flight::Connection;
use weir::drain::{
    BALANCER, Departure, DrainRequest, DrainTag, Fact, NotKept, Output as Out, Peer, Question, RemoteAnswer,
    RemoteDrain, Reply,
};
use weir::endpoint::{Endpoint, Output as Told};
use weir::health::answer::{Failure, Outcome, Step};
use weir::health::check::{Checks, Finding, Output as Checked, Run, Verdict};
use weir::health::probe::{Start, TargetId};
use weir::health::query::answer;
use weir::health::{self, State};
use weir::serf::{Answer as Said, Event, QueryEvent, QueryKey, QueryOutput, QueryParams, Status};
use weir::sim::{Network, NodeId, Sim, Uplink};
use weir::time::Instant;
use weir::upstream::cuts::{Passed, Place as Server};
use weir::upstream::desired::{Desired, Target};
use weir::upstream::{Servers, UpstreamName};
use weir::wire::NodeName;
use weir::wire::serf::{Tags, decode_tags};

use super::super::cluster::remember;
use super::super::coverage::Coverage;
use super::Flaw;
use super::apply::{Answer, Effect, Helper, Mood, Order};
use super::balancer::{Act, Agent};
use super::host::{Front, Host, Service, Then};
use super::nginx::Picked;
use super::plan::{CONNECT_TIMEOUT, Kind, Plan, READ_TIMEOUT};
use super::rules::{Broken, Rule, Rules};

use scripts::Call;

/// Servers that NGINX tries for one request (`proxy_next_upstream_tries` of the site example).
const TRIES: usize = 2;
const LOOK: Duration = Duration::from_millis(250);
const PATROL: Duration = Duration::from_secs(1);

/// A client's request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) front: usize,
    pub(crate) upstream: UpstreamName,
    pub(crate) begun: Instant,
    workers: u64,
    tried: BTreeSet<SocketAddr>,
    /// How long its service takes for it.
    pub(crate) work: Duration,
    pub(crate) attempts: u32,
    at: Option<Attempt>,
    /// It was at a server that left without confirmation, or at a balancer without a network.
    pub(crate) met_forced: bool,
}

#[derive(Debug)]
struct Attempt {
    host: usize,
    addr: SocketAddr,
    service_life: u64,
    accepted: bool,
    /// Its answer could not come when it was ready.
    stuck: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum How {
    Answered,
    Failed,
}

#[derive(Debug)]
enum Happening {
    Arrives {
        front: usize,
    },
    Ends {
        request: u64,
        attempt: u32,
        how: How,
    },
    Probed {
        front: usize,
        life: u64,
        target: TargetId,
        outcome: Outcome,
    },
    Job {
        front: usize,
    },
    Kept {
        host: usize,
        life: u64,
        write: u64,
        kept: Option<weir::drain::Kept>,
        fails: bool,
    },
    Checked {
        host: usize,
        life: u64,
        run: Run,
        finding: Finding,
    },
    Look {
        host: usize,
        life: u64,
    },
    Cut {
        front: usize,
        life: u64,
        places: Vec<Server>,
    },
    /// A script has done its work,
    Script {
        front: usize,
    },
    /// and NGINX has loaded what it wrote.
    Loaded {
        front: usize,
    },
    /// What was answered to another node's word has had its time.
    Answered {
        host: usize,
        life: u64,
        drain: RemoteDrain,
        id: DrainId,
    },
    Gone {
        host: usize,
        life: u64,
    },
    Start {
        host: usize,
    },
    Join {
        host: usize,
        life: u64,
    },
    Patrol,
}

/// A word to another node.
struct Remote {
    at: usize,
    drain: RemoteDrain,
    answered: bool,
}

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) rng: StdRng,
    pub(crate) plan: Plan,
    pub(crate) flaw: Flaw,
    pub(crate) hosts: Vec<Host>,
    pub(crate) loss: f64,
    agenda: BTreeMap<(Instant, u64), Happening>,
    numbers: u64,
    /// Nodes that were asked from elsewhere to drain, or to serve again, by who asked.
    remotes: BTreeMap<(usize, QueryKey), Remote>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) rules: Rules,
    pub(crate) coverage: Coverage,
    pub(crate) story: Vec<String>,
    pub(crate) serves_clients: bool,
    /// Every server has been in once.
    pub(crate) serves_strictly: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, flaw: Flaw) -> Self {
        let mut sim = Sim::new(plan.seed, Network::default());
        let now = sim.now();
        let hosts = (0..plan.balancers + plan.webs).map(|number| {
            let id = sim.add();
            let addr = SocketAddr::new(sim.addr(id).ip(), 80);
            let scripts = (number >= plan.ours()).then(|| Scripts::new(now));
            let front = plan.is_balancer(number).then(|| Front::new(Helper::new(flaw), scripts));
            let backup = number >= plan.balancers + plan.webs - plan.backups;
            Host { backup, ..Host::new(sim.name(id).clone(), addr, now, front) }
        });
        let hosts = hosts.collect();
        let mut world = Self {
            sim,
            rng: StdRng::seed_from_u64(plan.seed ^ 0x0c1e_a45e),
            flaw,
            hosts,
            loss: 0.0,
            agenda: BTreeMap::new(),
            numbers: 0,
            remotes: BTreeMap::new(),
            requests: BTreeMap::new(),
            rules: Rules::new(plan.kind),
            coverage: Coverage::default(),
            story: Vec::new(),
            serves_clients: true,
            serves_strictly: false,
            plan,
        };
        for front in 0..world.plan.balancers {
            world.start_nginx(front);
            world.happens(Duration::from_millis(1), Happening::Arrives { front });
        }
        world.happens(PATROL, Happening::Patrol);
        world
    }

    pub(crate) fn now(&self) -> Instant {
        self.sim.now()
    }

    pub(crate) fn tell(&mut self, what: &str) {
        let at = self.now().as_nanos() as f64 / 1e9 - 3600.0;
        self.story.push(format!("{at:>9.3} s  {what}"));
    }

    pub(crate) fn fronts(&self) -> std::ops::Range<usize> {
        0..self.plan.balancers
    }

    pub(crate) fn webs(&self) -> std::ops::Range<usize> {
        self.plan.balancers..self.hosts.len()
    }

    pub(crate) fn front(&self, front: usize) -> &Front {
        self.hosts[front].front.as_ref().expect("a balancer")
    }

    pub(crate) fn front_mut(&mut self, front: usize) -> &mut Front {
        self.hosts[front].front.as_mut().expect("a balancer")
    }

    pub(crate) fn index_of(&self, name: &NodeName) -> Option<usize> {
        self.hosts.iter().position(|host| host.name == *name)
    }

    pub(crate) fn is_running(&self, host: usize) -> bool {
        self.sim.endpoint(NodeId(host)).is_some()
    }

    fn happens(&mut self, after: Duration, what: Happening) {
        self.numbers += 1;
        self.agenda.insert((self.now() + after, self.numbers), what);
    }

    // Time.

    pub(crate) fn advance(&mut self, duration: Duration) -> Result<(), Broken> {
        let end = self.now() + duration;
        let mut stalls = 0;
        loop {
            let before = self.now();
            let due = self.hosts.iter().filter_map(|host| host.due).min();
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let until = [Some(end), due, next].into_iter().flatten().min().unwrap_or(end).max(before);
            let stepped = self.sim.step_until(until);
            let now = self.now();
            stalls = if now > before { 0 } else { stalls + 1 };
            if stalls > 100_000 {
                return Err(Broken::new(
                    Rule::Progress,
                    format!("time stands still at {:?}", self.hosts.iter().map(|host| host.due).collect::<Vec<_>>()),
                ));
            }
            let mut touched: BTreeSet<usize> = stepped.map(|node| node.0).into_iter().collect();
            if stepped.is_none() {
                while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
                    let what = entry.remove();
                    touched.extend(self.happen(what)?);
                }
            }
            self.take_notes(&mut touched)?;
            touched.extend((0..self.hosts.len()).filter(|host| self.hosts[*host].due.is_some_and(|at| at <= now)));
            self.settle(touched)?;
            if now >= end && stepped.is_none() {
                return Ok(());
            }
        }
    }

    /// Lets every touched agent go on, and whoever that touches.
    fn settle(&mut self, mut touched: BTreeSet<usize>) -> Result<(), Broken> {
        while let Some(host) = touched.pop_first() {
            self.advance_host(host)?;
            self.take_notes(&mut touched)?;
        }
        Ok(())
    }

    fn take_notes(&mut self, touched: &mut BTreeSet<usize>) -> Result<(), Broken> {
        for note in self.sim.take_notes() {
            if self.take_note(note.node, note.output)? {
                touched.insert(note.node.0);
            }
        }
        Ok(())
    }

    fn take_note(&mut self, id: NodeId, told: Told) -> Result<bool, Broken> {
        let now = self.now();
        let host = &mut self.hosts[id.0];
        let agent = host.front.as_mut().and_then(|front| front.agent.as_mut());
        match told {
            Told::Member(_) | Told::Leaving { .. } | Told::Suspicion { .. } => {
                host.members_changed = true;
                agent.into_iter().for_each(Agent::members_changed);
                if host.front.is_some() {
                    self.call_script(id.0, Call::Members);
                }
            }
            Told::Joined(joined) => {
                if joined.contacted > 0 {
                    host.has_joined = true;
                    agent.into_iter().for_each(|agent| agent.first_view_complete(now));
                    self.view_complete(id.0);
                } else {
                    let life = host.life;
                    self.happens(Duration::from_secs(2), Happening::Join { host: id.0, life });
                }
            }
            Told::SecondWitness { member, heard } => {
                agent.into_iter().for_each(|agent| agent.handle_second_witness(now, &member, heard));
            }
            Told::Query(output) => self.heard(id, &output)?,
            Told::Event(Event::Query(query)) => self.asked(id, &query),
            Told::Left { .. } => {
                let (life, stay) = (host.life, host.stay);
                self.happens(stay + Duration::from_millis(1), Happening::Gone { host: id.0, life });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A query of somebody else.
    fn asked(&mut self, id: NodeId, query: &QueryEvent) {
        let now = self.now();
        if query.name == answer::QUERY {
            let Some(endpoint) = self.sim.endpoint(id) else { return };
            let drain = match DrainTag::of(&endpoint.tags()) {
                Some(tag) => answer::Drain::Asked(tag.id.to_string()),
                None => answer::Drain::No,
            };
            let state = self.hosts[id.0].checks.as_ref().map(Checks::state);
            let checks = state.map(|state| ("site", state, ""));
            let text = answer::Answer::of(checks, drain).to_string();
            let _too_late = self.sim.with(id, |endpoint, now| endpoint.respond(now, &query.key, text.into()));
        } else if query.name == RemoteDrain::NAME {
            self.asked_to_drain(id.0, query);
        } else if let (Question::NAME, Some(question)) = (query.name.as_str(), Question::parse(&query.payload))
            && self.hosts[id.0].front.as_ref().is_some_and(|front| front.scripts.is_some())
        {
            self.call_script(id.0, Call::Drained { query: query.key, question });
        } else if query.name == Question::NAME
            && let Some(mut agent) = self.hosts[id.0].front.as_mut().and_then(|front| front.agent.take())
        {
            agent.handle_question(now, &self.sim, id, query);
            self.front_mut(id.0).agent = Some(agent);
        }
    }

    /// An answer to a query of its own.
    fn heard(&mut self, id: NodeId, output: &QueryOutput) -> Result<(), Broken> {
        if self.remotes.contains_key(&(id.0, output.key)) {
            return self.heard_of_drain(id.0, output);
        }
        let now = self.now();
        let host = &mut self.hosts[id.0];
        if host.queries.contains(&output.key) {
            match &output.answer {
                Said::Response { from, payload } => {
                    if let (Some(from), Some(reply), Some(departure)) =
                        (NodeName::new(from), Reply::parse(payload), &mut host.departure)
                    {
                        departure.handle_answer(now, &from, reply);
                    }
                }
                Said::Done { .. } => drop(host.queries.remove(&output.key)),
                Said::Ack { .. } => {}
            }
        } else if let Some(agent) = host.front.as_mut().and_then(|front| front.agent.as_mut()) {
            agent.handle_query(now, output);
        }
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Result<Option<usize>, Broken> {
        let now = self.now();
        let is_live =
            |hosts: &[Host], host: usize, life: u64| hosts[host].life == life && hosts[host].departure.is_some();
        match what {
            Happening::Arrives { front } => {
                if self.serves_clients {
                    let pause = self.plan.pause.mul_f64(self.rng.random_range(0.2..1.8));
                    self.happens(pause, Happening::Arrives { front });
                    self.arrive(front)?;
                }
                Ok(None)
            }
            Happening::Ends { request, attempt, how } => self.ends(request, attempt, how).map(|()| None),
            Happening::Job { front } => self.job(front),
            Happening::Script { front } => self.script(front).map(|()| None),
            Happening::Loaded { front } => {
                self.front_mut(front).nginx.retire();
                Ok(None)
            }
            Happening::Answered { host, life, drain, id } => {
                let is_last = self.hosts[host].obeyed == Some((self.hosts[host].asked, drain.clone()));
                let is_as_then = is_live(&self.hosts, host, life) && is_last;
                let is_as_then = is_as_then && !self.sim.is_paused(NodeId(host));
                if is_as_then { self.check_told(host, &drain, &id).map(|()| None) } else { Ok(None) }
            }
            Happening::Patrol => {
                self.happens(PATROL, Happening::Patrol);
                self.patrol().map(|()| None)
            }
            Happening::Start { host } => {
                if !self.is_running(host) && self.hosts[host].has_power {
                    if !self.plan.is_balancer(host) {
                        self.set_service(host, Service::Up);
                    }
                    self.start(host);
                }
                Ok(Some(host))
            }
            Happening::Join { host, life } => {
                if is_live(&self.hosts, host, life) && !self.hosts[host].has_joined {
                    self.join(host);
                }
                Ok(Some(host))
            }
            Happening::Gone { host, life } => {
                if self.hosts[host].life == life {
                    self.has_left(host);
                }
                Ok(None)
            }
            Happening::Probed { front: host, life, .. }
            | Happening::Kept { host, life, .. }
            | Happening::Checked { host, life, .. }
            | Happening::Look { host, life }
            | Happening::Cut { front: host, life, .. }
                if !is_live(&self.hosts, host, life) =>
            {
                Ok(None)
            }
            // Whoever stands still hears of it afterwards.
            what @ (Happening::Probed { front: host, .. }
            | Happening::Checked { host, .. }
            | Happening::Look { host, .. }
            | Happening::Kept { host, .. })
                if self.sim.is_paused(NodeId(host)) =>
            {
                self.happens(Duration::from_millis(100), what);
                Ok(None)
            }
            Happening::Probed { front, target, outcome, .. } => {
                if let Some(agent) = &mut self.front_mut(front).agent {
                    agent.handle_probed(now, target, outcome);
                }
                Ok(Some(front))
            }
            Happening::Kept { host, write, kept, fails, .. } => {
                if !fails {
                    self.hosts[host].kept = kept;
                }
                if self.hosts[host].writes == write {
                    self.hear_members(host);
                    let result = if fails { Err(NotKept::Failed("disk full".to_owned())) } else { Ok(()) };
                    self.hosts[host]
                        .departure
                        .as_mut()
                        .into_iter()
                        .for_each(|own| own.handle_kept(now, result.clone()));
                }
                Ok(Some(host))
            }
            Happening::Checked { host, run, finding, .. } => {
                let checks = self.hosts[host].checks.as_mut();
                checks.into_iter().for_each(|checks| checks.handle_finding(now, &run, finding.clone()));
                Ok(Some(host))
            }
            Happening::Look { host, .. } => {
                self.look(host);
                Ok(Some(host))
            }
            Happening::Cut { front, places, .. } => {
                let passed =
                    |place: &Server, ended: Option<u32>| (place.clone(), ended.map_or(Passed::Over, Passed::Cut));
                let passes: Vec<_> = places.iter().map(|place| passed(place, self.cut(front, place))).collect();
                let agent = self.front_mut(front).agent.as_mut();
                agent.into_iter().for_each(|agent| agent.handle_cut(now, &passes));
                Ok(Some(front))
            }
        }
    }

    /// Members that a balancer's agent holds alive, and not suspected.
    pub(crate) fn sees_alive(&self, front: usize, web: usize) -> bool {
        let Some(endpoint) = self.sim.endpoint(NodeId(front)) else { return false };
        let name = self.hosts[web].name.as_str();
        let is_suspect = endpoint.swim().member(&self.hosts[web].name).is_some_and(|known| known.state.is_suspect());
        endpoint.member(name).is_some_and(|known| known.status == Status::Alive) && !is_suspect
    }

    pub(crate) fn mood(&mut self, front: usize, mood: Mood) {
        self.front_mut(front).helper.mood = mood;
        self.hosts[front].touched = self.now();
    }
}

/// Names that get requests by a document, for one upstream.
pub(crate) fn serving<'a>(desired: &'a Desired, upstream: &UpstreamName) -> impl Iterator<Item = &'a NodeName> {
    let servers = desired.upstreams.get(upstream).and_then(|target| target.servers());
    servers.into_iter().flat_map(Servers::serving).map(|server| &server.member)
}

/// What gossip has of a node's drain.
pub(crate) fn fact_of(endpoint: &Endpoint, node: &NodeName) -> Option<Fact> {
    let known = endpoint.swim().member(node)?;
    let tags: Tags = decode_tags(&known.node.meta);
    Some(Fact::told(known.incarnation, DrainTag::of(&tags)))
}
