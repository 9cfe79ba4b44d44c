//! What happens to a site: the network, machines, operators.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;
use weir::drain::{Cause, Departure, DrainRequest, Guard, RemoteDrain, Times};
use weir::serf::Status;
use weir::sim::{Network, NodeId, Uplink};
use weir::upstream::{Hold, UpstreamName};

use super::Flaw;
use super::apply::Mood;
use super::balancer::Agent;
use super::host::{Service, Then};
use super::plan::{FAIL_TIMEOUT, READ_TIMEOUT, vary};
use super::rules::Broken;
use super::world::World;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    fn did(&mut self, deed: &str, detail: &str) {
        self.coverage.count(&format!("deed {deed}"));
        self.tell(&format!("{deed} {detail}"));
    }

    fn draw(&mut self, of: Vec<usize>) -> Option<usize> {
        of.choose(&mut self.rng).copied()
    }

    fn running_webs(&self) -> Vec<usize> {
        self.webs().filter(|web| self.is_running(*web) && !self.sim.is_paused(NodeId(*web))).collect()
    }

    /// Lets a host's agent see to what was asked of it.
    fn nudge(&mut self, at: usize) {
        (self.hosts[at].due, self.hosts[at].touched) = (Some(self.now()), self.now());
    }

    // Operators.

    /// An operator's drain, by hand or by the guard of an application, on the node or from another one.
    fn drain_somehow(&mut self, at: usize, force: bool) {
        match self.draw_other(at) {
            Some(by) => self.remote(by, at, RemoteDrain::On),
            None => {
                let guard = self.rng.random_bool(0.2).then(Guard::unnamed);
                self.drain(at, DrainRequest { force, guard, ..DrainRequest::default() });
            }
        }
    }

    /// Takes it back.
    fn undo_somehow(&mut self, at: usize) {
        match self.draw_other(at) {
            Some(by) => self.remote(by, at, RemoteDrain::Off),
            None => self.undo(at),
        }
    }

    /// Whoever speaks for the operator in every third case.
    fn draw_other(&mut self, at: usize) -> Option<usize> {
        let others = (0..self.hosts.len()).filter(|other| *other != at && self.is_running(*other)).collect();
        self.draw(others).filter(|_| self.rng.random_bool(0.3))
    }

    fn remote(&mut self, by: usize, at: usize, drain: RemoteDrain) {
        self.did("word to another node", &format!("{drain} from {by} to {at}"));
        self.ask_remote(by, at, drain);
    }

    pub(crate) fn drain(&mut self, at: usize, request: DrainRequest) {
        self.did("drain", &format!("{at} force {}", request.force));
        let times = self.plan.times;
        self.ask_departure(at, |own, now, time| {
            own.drain(now, time, request, times);
        });
    }

    pub(crate) fn undo(&mut self, at: usize) {
        let word = self.hosts[at]
            .departure
            .as_ref()
            .map_or("", |own| if own.servers().next().is_some() { "in flight" } else { "" });
        self.did("undo", &format!("{at} {word}"));
        if !word.is_empty() {
            self.coverage.count("undo while in flight");
        }
        self.ask_departure(at, |own, _, _| {
            let _too_late = own.undo();
        });
    }

    pub(crate) fn leave(&mut self, at: usize, then: Then) {
        let on_stop = self.rng.random_bool(0.5);
        self.did("leave", &format!("{at} on stop {on_stop}, {then:?}"));
        self.hosts[at].then = then;
        let mut times = self.plan.times;
        if self.flaw == Flaw::LeavesAtOnce {
            times = Times { confirm: Duration::ZERO, drain: Duration::ZERO };
        }
        let cause = if on_stop { Cause::Stop } else { Cause::Asked };
        self.ask_departure(at, |own, now, time| own.leave(now, time, cause, times));
    }

    fn ask_departure(
        &mut self,
        at: usize,
        ask: impl FnOnce(&mut Departure, weir::time::Instant, weir::wire::serf::LamportTime),
    ) {
        let now = self.now();
        let Some(time) = self.sim.endpoint(NodeId(at)).map(|endpoint| endpoint.serf().seen_clocks().member) else {
            return;
        };
        self.hear_members(at);
        self.hosts[at].asked = now;
        if let Some(own) = &mut self.hosts[at].departure {
            ask(own, now, time);
        }
        self.nudge(at);
    }

    fn agent(&mut self, at: usize) -> Option<&mut Agent> {
        self.front_mut(at).agent.as_mut()
    }

    fn hold(&mut self, at: usize) {
        let now = self.now();
        let name = self.draw_upstream();
        let Some(agent) = self.agent(at) else { return };
        let is_new = agent.balancer.holds().get(&name).is_none();
        agent.balancer.handle_hold(now, &[name.clone()].into(), &Hold { since: 0, reason: None });
        self.front_mut(at).is_ordered |= is_new;
        self.did("hold", &format!("{name} of {at}"));
        self.nudge(at);
    }

    fn release(&mut self, at: usize) {
        let now = self.now();
        let Some(agent) = self.agent(at) else { return };
        let held: std::collections::BTreeSet<UpstreamName> =
            agent.balancer.holds().iter().map(|(name, _)| name.clone()).collect();
        if held.is_empty() {
            return;
        }
        agent.balancer.handle_release(now, &held);
        self.front_mut(at).is_ordered = true;
        self.did("release", &at.to_string());
        self.nudge(at);
    }

    fn go_back(&mut self, at: usize) {
        let Some(agent) = self.agent(at) else { return };
        let is_held = !agent.balancer.holds().is_empty();
        agent.go_back();
        self.did("rollback", &at.to_string());
        if is_held {
            self.coverage.count("rollback under a hold");
        }
        self.nudge(at);
    }

    fn draw_upstream(&mut self) -> UpstreamName {
        self.plan.upstreams.choose(&mut self.rng).expect("one at least").name.clone()
    }

    fn reconfigure(&mut self) {
        let (now, plan) = (self.now(), &mut self.plan);
        for upstream in &mut plan.upstreams {
            vary(upstream, &mut self.rng);
        }
        plan.settle.min_reload_interval = seconds(self.rng.random_range(0..4));
        for front in self.fronts() {
            let plan = &self.plan;
            let agent = self.hosts[front].front.as_mut().and_then(|front| front.agent.as_mut());
            agent.into_iter().for_each(|agent| agent.reconfigure(now, plan));
            self.knows_nothing(front);
            self.nudge(front);
        }
        self.did("configuration", "");
    }

    // Machines.

    pub(crate) fn switch_on(&mut self, at: usize) {
        self.hosts[at].has_power = true;
        if self.plan.is_balancer(at) {
            self.start_nginx(at);
        } else {
            self.set_service(at, Service::Up);
        }
        if !self.is_running(at) {
            self.start(at);
        }
    }

    /// As SIGSTOP of the agent and everything else.
    fn pause(&mut self, at: usize) {
        self.did("pause", &at.to_string());
        self.sim.pause(NodeId(at));
        self.hosts[at].touched = self.now();
    }

    pub(crate) fn resume(&mut self, at: usize) {
        if self.sim.is_paused(NodeId(at)) {
            self.sim.resume(NodeId(at));
            self.nudge(at);
            self.unstick();
        }
    }

    fn change_tags(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.tags.clear();
        if self.rng.random_bool(0.6) {
            let port = *["80", "80", "80;", "0"].choose(&mut self.rng).expect("not empty");
            let weight = *["1", "3", "x", "0"].choose(&mut self.rng).expect("not empty");
            host.tags.insert("port".to_owned(), port.to_owned());
            host.tags.insert("weight".to_owned(), weight.to_owned());
        }
        self.publish(at);
    }

    /// Its tags as they are configured now, with what the agent says of itself.
    fn publish(&mut self, at: usize) {
        let Some(mut tags) = self.sim.endpoint(NodeId(at)).map(weir::endpoint::Endpoint::tags) else { return };
        tags.retain(|name, _| name.starts_with("weir_"));
        tags.extend(self.hosts[at].tags.clone());
        if !self.plan.is_balancer(at) {
            tags.insert("role".to_owned(), self.hosts[at].role.to_owned());
        }
        if self.hosts[at].backup {
            tags.insert("backup".to_owned(), "true".to_owned());
        }
        self.did("tags", &format!("{at} {tags:?}"));
        let _too_large = self.sim.with(NodeId(at), |endpoint, now| endpoint.set_tags(now, &tags));
        self.nudge(at);
    }

    fn change_role(&mut self, at: usize) {
        self.hosts[at].role = if self.hosts[at].role == "web" && self.plan.upstreams.len() > 1 { "api" } else { "web" };
        self.publish(at);
    }

    // The network.

    fn partition(&mut self) {
        let groups = self.rng.random_range(2..=3);
        for host in 0..self.hosts.len() {
            let group = self.rng.random_range(0..groups);
            self.sim.set_group(NodeId(host), group);
        }
        self.note_shape();
    }

    fn break_uplink(&mut self) {
        let at = self.rng.random_range(0..self.hosts.len());
        let uplink = *[Uplink::Mute, Uplink::Deaf, Uplink::NoDatagrams].choose(&mut self.rng).expect("not empty");
        self.sim.set_uplink(NodeId(at), uplink);
        self.note_shape();
    }

    /// Which kinds of nodes can talk to each other: runs are told apart by it.
    fn note_shape(&mut self) {
        let mut groups: std::collections::BTreeMap<u32, (usize, usize)> = std::collections::BTreeMap::new();
        let mut broken: Vec<String> = Vec::new();
        for host in 0..self.hosts.len() {
            let kind = if self.plan.is_balancer(host) { "b" } else { "w" };
            match self.sim.uplink(NodeId(host)) {
                Uplink::Sound => {}
                uplink => broken.push(format!("{kind}{uplink:?}")),
            }
            let group = groups.entry(self.sim.group(NodeId(host))).or_default();
            *(if kind == "b" { &mut group.0 } else { &mut group.1 }) += 1;
        }
        let mut shape: Vec<_> = groups.values().map(|(balancers, webs)| format!("b{balancers}w{webs}")).collect();
        shape.sort();
        broken.sort();
        let shape = format!("{} {}", shape.join("|"), broken.join(","));
        self.coverage.count(&format!("shape {}", shape.trim_end()));
        self.did("partition", &shape);
    }

    pub(crate) fn heal(&mut self) {
        self.did("heal", "");
        for host in 0..self.hosts.len() {
            self.sim.set_group(NodeId(host), 0);
            self.sim.set_uplink(NodeId(host), Uplink::Sound);
            self.hosts[host].touched = self.now();
        }
        self.set_network(0.0, 0);
        self.unstick();
    }

    fn set_network(&mut self, loss: f64, jitter_micros: u64) {
        self.loss = loss;
        let jitter = Duration::from_micros(jitter_micros);
        self.sim.set_network(Network { loss, jitter, ..Network::default() });
    }

    // One of each kind of trouble.

    /// An operator's day: one thing after the other, each waited for.
    pub(crate) fn deploy(&mut self) -> Result<(), Broken> {
        let webs = self.running_webs();
        match (self.rng.random_range(0..10), self.draw(webs)) {
            (0..=3, Some(web)) => {
                self.leave(web, Then::ComeBack);
                self.wait_for(web)?;
            }
            (4..=6, Some(web)) => {
                self.drain_somehow(web, false);
                let pause = self.rng.random_range(0..12);
                self.advance(seconds(pause))?;
                if self.rng.random_bool(0.3) {
                    self.restart(web)?;
                }
                self.undo_somehow(web);
            }
            (7, Some(web)) => self.restart(web)?,
            (8, _) => {
                let front = self.rng.random_range(0..self.plan.ours());
                self.restart(front)?;
            }
            (_, _) if self.plan.balancers > 1 => {
                self.leave(0, Then::ComeBack);
                self.wait_for(0)?;
            }
            (_, Some(web)) => {
                // Two at once; one may have to let the other go first.
                let others = self.running_webs().into_iter().filter(|other| *other != web).collect();
                self.drain_somehow(web, false);
                if let Some(other) = self.draw(others) {
                    self.advance(Duration::from_millis(300))?;
                    self.drain_somehow(other, false);
                    self.advance(seconds(15))?;
                    self.undo_somehow(other);
                }
                self.undo_somehow(web);
            }
            (_, None) => {}
        }
        let pause = self.rng.random_range(6..15);
        self.advance(seconds(pause))
    }

    /// An agent is restarted, as on an upgrade.
    fn restart(&mut self, at: usize) -> Result<(), Broken> {
        self.did("restart", &at.to_string());
        self.kill(at);
        let pause = self.rng.random_range(200..1500);
        self.advance(Duration::from_millis(pause))?;
        self.start(at);
        Ok(())
    }

    fn wait_for(&mut self, at: usize) -> Result<(), Broken> {
        let life = self.hosts[at].life;
        for _ in 0..80 {
            if self.hosts[at].life > life {
                break;
            }
            self.advance(seconds(1))?;
        }
        self.advance(seconds(8))
    }

    /// A web server dies in one of the ways there are, and comes back.
    pub(crate) fn death(&mut self) -> Result<(), Broken> {
        let is_probed = self.plan.upstreams.iter().all(|options| options.probed);
        if !is_probed || self.rng.random_bool(0.15) {
            return self.cut_off();
        }
        let webs = self.running_webs();
        let Some(web) = self.draw(webs) else { return Ok(()) };
        let way = self.rng.random_range(0..6);
        match way {
            0 => {
                self.did("kill of agent and service", &web.to_string());
                self.kill(web);
                self.set_service(web, Service::Down);
            }
            1 => self.pause(web),
            2 => {
                self.did("power cut", &web.to_string());
                self.cut_power(web);
            }
            3 => {
                self.did("kill of the service", &web.to_string());
                self.set_service(web, Service::Down);
            }
            4 => {
                self.did("kill of the agent", &web.to_string());
                self.kill(web);
            }
            _ => {
                self.sim.set_group(NodeId(web), 1);
                self.note_shape();
            }
        }
        let other = self.running_webs().into_iter().find(|other| *other != web && self.flaw == Flaw::DieByTwo);
        if let Some(other) = other {
            self.set_service(other, Service::Down);
        }
        let pause = self.rng.random_range(5..30);
        self.advance(seconds(pause))?;
        self.tell(&format!("{web} comes back"));
        self.sim.set_group(NodeId(web), 0);
        self.resume(web);
        self.switch_on(web);
        self.unstick();
        self.advance(seconds(25))
    }

    /// A balancer's own network goes down and comes back: nobody is told from the others by that, here or elsewhere.
    pub(crate) fn cut_off(&mut self) -> Result<(), Broken> {
        let front = self.rng.random_range(0..self.plan.balancers);
        for at in self.fronts().collect::<Vec<_>>() {
            let in_place = self.front(at).helper.in_place().cloned();
            let own = self.front_mut(at);
            *(if at == front { &mut own.cut_off } else { &mut own.misled }) = in_place;
        }
        self.requests.values_mut().filter(|request| request.front == front).for_each(|each| each.met_forced = true);
        self.sim.set_group(NodeId(front), 1);
        self.note_shape();
        let pause = self.rng.random_range(500..40_000);
        self.advance(Duration::from_millis(pause))?;
        self.tell(&format!("{front} has a network again"));
        self.sim.set_group(NodeId(front), 0);
        self.unstick();
        // What NGINX left alone it tries again.
        self.advance(FAIL_TIMEOUT + READ_TIMEOUT)?;
        for at in self.fronts().collect::<Vec<_>>() {
            let own = self.front_mut(at);
            (own.cut_off, own.misled) = (None, None);
        }
        self.advance(seconds(10))
    }

    /// Anything.
    pub(crate) fn rough(&mut self) -> Result<(), Broken> {
        let webs = self.running_webs();
        let web = self.draw(webs);
        let down = self.draw((0..self.hosts.len()).filter(|host| !self.is_running(*host)).collect());
        let front = self.rng.random_range(0..self.plan.ours());
        match (self.rng.random_range(0..100), web, down) {
            (0..=4, Some(web), _) => {
                self.did("kill of agent and service", &web.to_string());
                self.kill(web);
                self.set_service(web, Service::Down);
            }
            (5..=7, Some(web), _) => {
                self.did("kill of the agent", &web.to_string());
                self.kill(web);
            }
            (8..=11, Some(web), _) => self.pause(web),
            (12..=14, Some(web), _) => {
                self.did("power cut", &web.to_string());
                self.cut_power(web);
            }
            (15..=17, Some(web), _) => {
                let service = *[Service::Down, Service::Hung, Service::Slow].choose(&mut self.rng).expect("not empty");
                self.did("service", &format!("{web} {service:?}"));
                self.set_service(web, service);
            }
            (18..=32, _, Some(host)) => {
                self.did("start", &host.to_string());
                self.switch_on(host);
            }
            (33..=42, Some(web), _) => {
                let force = self.rng.random_bool(0.3);
                self.drain_somehow(web, force);
            }
            (43..=47, Some(web), _) => self.undo_somehow(web),
            (48..=53, Some(web), _) => {
                let then = if self.rng.random_bool(0.5) { Then::Stop } else { Then::ComeBack };
                self.leave(web, then);
            }
            (54..=57, ..) => self.partition(),
            (58..=59, ..) => self.break_uplink(),
            (60..=66, ..) => {
                self.heal();
                (0..self.hosts.len()).for_each(|host| self.resume(host));
            }
            (67..=69, ..) => {
                let (loss, jitter) = (self.rng.random_range(0.0..0.4), self.rng.random_range(0..50_000));
                self.set_network(loss, jitter);
                self.did("network", &format!("loses {loss:.2}"));
            }
            (70..=72, Some(web), _) => self.change_tags(web),
            (73..=74, Some(web), _) => self.change_role(web),
            (75..=76, ..) => self.reconfigure(),
            (77..=81, ..) => {
                self.did("kill of a balancer's agent", &front.to_string());
                self.kill(front);
                if self.rng.random_bool(0.7) {
                    let pause = self.rng.random_range(200..8000);
                    self.start_later(front, Duration::from_millis(pause));
                }
            }
            (82..=83, ..) => {
                self.did("power cut of a balancer", &front.to_string());
                self.cut_power(front);
            }
            (84..=86, ..) => {
                let front = self.rng.random_range(0..self.plan.balancers);
                let is_running = self.front(front).nginx.is_running();
                self.did("nginx", if is_running { "stop" } else { "start" });
                if is_running { self.stop_nginx(front) } else { self.start_nginx(front) }
            }
            (87..=90, ..) => {
                let mood = *[Mood::Fine, Mood::Refusing, Mood::Rough].choose(&mut self.rng).expect("not empty");
                self.did("mood", &format!("{front} {mood:?}"));
                self.mood(front, mood);
            }
            (91..=93, ..) => self.hold(front),
            (94..=95, ..) => self.release(front),
            (96..=98, ..) => self.go_back(front),
            (99, ..) if self.plan.ours() > 1 => self.leave(front, Then::ComeBack),
            _ => {}
        }
        let is_quick = self.rng.random_bool(0.4);
        let pause = if is_quick { self.rng.random_range(0..500) } else { self.rng.random_range(500..9000) };
        self.advance(Duration::from_millis(pause))
    }

    /// Everything is mended, and everybody is to serve.
    pub(crate) fn calm(&mut self) {
        self.heal();
        for host in 0..self.hosts.len() {
            self.resume(host);
            self.hosts[host].then = Then::ComeBack;
            self.switch_on(host);
            if !self.hosts[host].tags.is_empty() {
                self.hosts[host].tags.clear();
                self.publish(host);
            }
            self.undo(host);
        }
        for front in self.fronts() {
            self.mood(front, Mood::Fine);
            self.start_nginx(front);
            self.release(front);
            self.agent(front).into_iter().for_each(Agent::nginx_started);
            // Who found nobody when it started is an island.
            for host in 0..self.hosts.len() {
                if self.is_running(host) && host != front {
                    self.sim.join(NodeId(host), &[NodeId(front)]);
                }
            }
            self.nudge(front);
        }
    }

    /// A drain that was on its way to the disk, or of a node that had yielded, may have come after all.
    pub(crate) fn undo_all(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].departure.as_ref().is_some_and(|own| own.tag().is_some() && !own.is_leaving()) {
                self.undo(host);
            }
        }
    }

    /// What is not yet as it should be in calm.
    pub(crate) fn disagreement(&self) -> Option<String> {
        for host in 0..self.hosts.len() {
            if !self.is_running(host) {
                return Some(format!("node-{host} does not run"));
            }
            if self.hosts[host].departure.as_ref().is_some_and(|own| own.tag().is_some() || own.is_leaving()) {
                return Some(format!("node-{host} drains"));
            }
        }
        for front in self.fronts() {
            let own = self.front(front);
            if own.agent.as_ref().is_some_and(|agent| !agent.is_settled()) {
                return Some(format!("node-{front} is at work"));
            }
            // In mode floor such a one is in, and out again for a while once that mode is left.
            let is_held_down = |web: usize| {
                let mut upstreams = own.agent.iter().flat_map(|agent| agent.balancer.upstreams());
                let name: &weir::wire::NodeName = &self.hosts[web].name;
                upstreams.any(|upstream| upstream.held_down_until(self.now(), name).is_some())
            };
            if let Some(web) = self.webs().find(|web| is_held_down(*web)) {
                return Some(format!("node-{front} holds node-{web} down"));
            }
            let decided = own.agent.iter().flat_map(|agent| agent.balancer.upstreams());
            let mut targets = decided.filter_map(|upstream| Some((upstream.name(), upstream.decision()?.target()?)));
            if let Some((name, _)) = targets.find(|(name, target)| !own.has_in_place(name, target)) {
                return Some(format!("{name} of node-{front} is not as it is decided"));
            }
            for options in &self.plan.upstreams {
                // With nobody there the last ones are kept. NGINX refuses a file without an ordinary server, and scripts have no
                // placeholder.
                let serves =
                    |web: usize| self.selects(options, web) && !(own.scripts.is_some() && self.hosts[web].backup);
                if !self.webs().any(serves) {
                    continue;
                }
                for web in self.webs() {
                    let host = &self.hosts[web];
                    let should = self.selects(options, web);
                    let is_in = own.nginx.accepting().any(|workers| workers.serves(&options.name, &host.name));
                    let known =
                        self.sim.endpoint(NodeId(front)).and_then(|endpoint| endpoint.member(host.name.as_str()));
                    if should != is_in {
                        let status = known.map(|known| known.status == Status::Alive);
                        return Some(format!(
                            "node-{web} in {} of node-{front}: {is_in}, and alive {status:?}",
                            options.name
                        ));
                    }
                }
            }
        }
        None
    }
}
