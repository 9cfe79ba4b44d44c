//! The agents of a site: from what is on their disks to Serf's leave, as the driver does it.

use super::*;

/// A document in few words.
fn told(desired: &Desired) -> String {
    let line = |server: &weir::upstream::Server| {
        let kind = if server.down {
            " down"
        } else if server.backup {
            " backup"
        } else {
            ""
        };
        format!("{}*{}{kind}", server.member, server.weight.get())
    };
    let upstream = |(name, target): (&UpstreamName, &Target)| {
        let lines: Vec<_> = target.servers().into_iter().flat_map(Servers::as_slice).map(line).collect();
        format!("{name} [{}]", lines.join(", "))
    };
    desired.upstreams.iter().map(upstream).collect::<Vec<_>>().join(" ")
}

impl World {
    /// Starts the agent of a host, from what is on its disk.
    pub(crate) fn start(&mut self, at: usize) {
        let (now, id) = (self.now(), NodeId(at));
        let seed = self.rng.random();
        let own = StdRng::seed_from_u64(seed);
        let host = &mut self.hosts[at];
        host.life += 1;
        host.then = Then::ComeBack;
        let departure = Departure::new(host.name.clone(), own);
        let departure = match host.kept.clone() {
            Some(kept) => departure.restored(now, kept, self.plan.times),
            None => departure,
        };
        host.drain = departure.tag().map(|tag| tag.id.clone());
        host.drains.extend(host.drain.clone());
        let is_ours = host.front.as_ref().is_none_or(|front| front.scripts.is_none());
        if host.front.is_none() && self.plan.checks {
            let mut checks = Checks::new(StdRng::seed_from_u64(seed ^ 1));
            checks.add(now, self.plan.check());
            host.checks = Some(checks);
        }
        let mut tags = host.tags.clone();
        match &host.front {
            Some(_) => tags.insert(BALANCER.to_owned(), "1".to_owned()),
            None => tags.insert("role".to_owned(), host.role.to_owned()),
        };
        let state = host.checks.as_ref().map_or(State::None, Checks::state);
        if is_ours {
            tags.insert(health::TAG.to_owned(), state.to_string());
        }
        if host.backup {
            tags.insert("backup".to_owned(), "true".to_owned());
        }
        if let Some(tag) = departure.tag() {
            tags.insert(DrainTag::NAME.to_owned(), tag.to_string());
        }
        (host.departure, host.members_changed, host.has_joined, host.touched) =
            (is_ours.then_some(departure), true, false, now);
        (host.due, host.is_forced) = (Some(now), false);
        let snapshot = std::mem::take(&mut host.snapshot);
        self.sim.start(id, None, snapshot, |options| {
            options.tags = tags;
            options.serf.reconnect_interval = Duration::from_secs(5);
        });
        if self.hosts[at].front.is_some() && is_ours {
            self.start_agent(at);
        }
        self.join(at);
    }

    pub(super) fn start_agent(&mut self, at: usize) {
        let (now, flaw) = (self.now(), self.flaw);
        let order = Desired::order_of(&self.hosts[at].name);
        let front = self.hosts[at].front.as_mut().expect("a balancer");
        let (live, holds) = (front.helper.in_place().cloned(), front.helper.holds().clone());
        let promises = front.helper.promises().clone();
        if promises.iter().next().is_some() {
            self.coverage.count("promises read back");
        }
        (front.reloaded_at, front.last) = (None, None);
        front.agent = Some(Agent::new(now, &self.plan, order, live, holds, promises, flaw));
        self.knows_nothing(at);
        self.submit(at, Order::Recover);
    }

    pub(super) fn join(&mut self, at: usize) {
        let running = (0..self.hosts.len()).filter(|other| *other != at && self.is_running(*other)).map(NodeId);
        let running: Vec<_> = running.collect();
        if running.is_empty() {
            self.hosts[at].has_joined = true;
            self.view_complete(at);
            return;
        }
        let seeds: Vec<_> = running.sample(&mut self.rng, 3).copied().collect();
        self.sim.join(NodeId(at), &seeds);
    }

    /// Whom it knows is the cluster.
    pub(super) fn view_complete(&mut self, at: usize) {
        let now = self.now();
        self.hear_members(at);
        self.hosts[at].departure.iter_mut().for_each(|own| own.handle_view(now));
    }

    /// Ends an agent at once.
    pub(crate) fn kill(&mut self, at: usize) {
        let id = NodeId(at);
        if let Some(endpoint) = self.sim.endpoint(id) {
            self.hosts[at].snapshot = remember(endpoint).restored;
        }
        self.sim.kill(id);
        self.ended(at);
    }

    pub(super) fn ended(&mut self, at: usize) {
        let now = self.now();
        let direct = self.plan.direct;
        let host = &mut self.hosts[at];
        host.ends();
        host.touched = now;
        let Some(front) = &mut host.front else { return };
        if front.agent.take().is_none() {
            return;
        }
        front.helper.asker_died();
        if direct && front.helper.crash() {
            self.coverage.count("agent died within a job");
        } else if front.helper.is_running() {
            self.coverage.count("job outlived its agent");
        }
    }

    /// Power is cut: nothing of the host is left, nobody answers for it.
    pub(crate) fn cut_power(&mut self, at: usize) {
        self.kill(at);
        self.hosts[at].has_power = false;
        self.hosts[at].service = Service::Down;
        self.hosts[at].service_life += 1;
        if let Some(front) = &mut self.hosts[at].front {
            if front.helper.crash() {
                self.coverage.count("helper died within a job");
            }
            self.stop_nginx(at);
        }
    }

    pub(super) fn advance_host(&mut self, at: usize) -> Result<(), Broken> {
        if self.hosts[at].departure.is_none() || self.sim.is_paused(NodeId(at)) {
            self.hosts[at].due = None;
            return Ok(());
        }
        self.advance_checks(at);
        self.advance_departure(at)?;
        self.advance_agent(at)?;
        let host = &self.hosts[at];
        let departure = host.departure.as_ref().and_then(Departure::poll_timeout);
        let checks = host.checks.as_ref().and_then(Checks::poll_timeout);
        let agent = host.front.as_ref().and_then(|front| front.agent.as_ref()).and_then(Agent::poll_timeout);
        self.hosts[at].due = [departure, checks, agent].into_iter().flatten().min();
        Ok(())
    }

    pub(super) fn advance_checks(&mut self, at: usize) {
        let now = self.now();
        let host = &mut self.hosts[at];
        let Some(checks) = &mut host.checks else { return };
        checks.handle_timeout(now);
        let outputs: Vec<_> = std::iter::from_fn(|| checks.poll_output()).collect();
        let state = checks.state();
        for output in outputs {
            let Checked::Run(run) = output else { continue };
            let (verdict, took) = match self.hosts[at].service {
                Service::Up => (Verdict::Passing, Duration::from_millis(2)),
                Service::Down => (Verdict::Critical, Duration::from_millis(1)),
                Service::Slow | Service::Hung => (Verdict::Critical, Duration::from_secs(1)),
            };
            let life = self.hosts[at].life;
            let finding = Finding { verdict, output: String::new(), took };
            self.happens(took, Happening::Checked { host: at, life, run, finding });
        }
        let leaves = self.hosts[at].departure.as_ref().is_some_and(Departure::is_leaving);
        let tags = self.sim.endpoint(NodeId(at)).map(Endpoint::tags).filter(|_| !leaves);
        if let Some(mut tags) = tags.filter(|tags| tags.get(health::TAG).is_none_or(|tag| *tag != state.to_string())) {
            tags.insert(health::TAG.to_owned(), state.to_string());
            let _too_large = self.sim.with(NodeId(at), |endpoint, now| endpoint.set_tags(now, &tags));
        }
    }

    pub(crate) fn hear_members(&mut self, at: usize) {
        let Some(endpoint) = self.sim.endpoint(NodeId(at)) else { return };
        let host = &mut self.hosts[at];
        host.members_changed = false;
        let Some(departure) = &mut host.departure else { return };
        departure.handle_members(endpoint.members().filter_map(|member| Peer::of(member, endpoint.swim())).collect());
        departure.handle_incarnation(endpoint.swim().incarnation());
    }

    pub(super) fn advance_departure(&mut self, at: usize) -> Result<(), Broken> {
        let now = self.now();
        let own = |world: &Self| {
            world.hosts[at].departure.as_ref().map(|own| (own.tag().is_some() || own.is_leaving(), own.poll_timeout()))
        };
        let Some((is_under_way, due)) = own(self) else { return Ok(()) };
        if self.hosts[at].members_changed && is_under_way {
            self.hear_members(at);
            self.hosts[at].departure.as_mut().into_iter().for_each(|own| own.handle_timeout(now));
        }
        if due.is_some_and(|at| at <= now) {
            self.hear_members(at);
            self.hosts[at].departure.as_mut().into_iter().for_each(|own| own.handle_timeout(now));
        }
        while let Some(output) = self.hosts[at].departure.as_mut().and_then(Departure::poll_output) {
            self.depart(at, output)?;
        }
        let is_open = self.hosts[at].departure.as_ref().is_some_and(|own| own.servers().next().is_some());
        let host = &mut self.hosts[at];
        if !is_open {
            host.traffic = weir::drain::flight::Traffic::default();
        } else if !std::mem::replace(&mut host.is_looking, true) {
            let life = host.life;
            self.happens(LOOK, Happening::Look { host: at, life });
        }
        Ok(())
    }

    pub(super) fn depart(&mut self, at: usize, output: Out) -> Result<(), Broken> {
        let id = NodeId(at);
        match output {
            Out::Keep(kept) => {
                let fails = self.plan.kind == Kind::Rough && self.rng.random_bool(0.05);
                let host = &mut self.hosts[at];
                host.drains.extend(kept.as_ref().map(|kept| kept.id.clone()));
                host.writes += 1;
                let (life, write) = (host.life, host.writes);
                let took = Duration::from_millis(self.rng.random_range(1..10));
                self.happens(took, Happening::Kept { host: at, life, write, kept, fails });
            }
            Out::Publish(tag) => {
                let Some(mut tags) = self.sim.endpoint(id).map(Endpoint::tags) else { return Ok(()) };
                match &tag {
                    Some(tag) => tags.insert(DrainTag::NAME.to_owned(), tag.to_string()),
                    None => tags.remove(DrainTag::NAME),
                };
                let _too_large = self.sim.with(id, |endpoint, now| endpoint.set_tags(now, &tags));
                let host = &mut self.hosts[at];
                host.drain = tag.map(|tag| tag.id);
                host.drains.extend(host.drain.clone());
                if self.flaw == Flaw::StopsEarly && self.hosts[at].drain.is_some() {
                    self.set_service(at, Service::Down);
                }
                let incarnation = self.sim.endpoint(id).map(|endpoint| endpoint.swim().incarnation());
                if let (Some(own), Some(incarnation)) = (&mut self.hosts[at].departure, incarnation) {
                    own.handle_incarnation(incarnation);
                }
            }
            Out::Ask { question, of } => {
                let params = QueryParams {
                    name: Question::NAME.to_owned(),
                    payload: question.to_string().into(),
                    nodes: of.iter().map(ToString::to_string).collect(),
                    timeout: Some(Duration::from_secs(1)),
                    ..QueryParams::default()
                };
                if let Some(Ok(key)) = self.sim.with(id, |endpoint, now| endpoint.query(now, params)) {
                    self.hosts[at].queries.insert(key);
                }
            }
            Out::Tell(line) => return self.hear_line(at, &line),
            Out::Leave { stay } => {
                self.hosts[at].stay = stay;
                if let Some(agent) = self.hosts[at].front.as_mut().and_then(|front| front.agent.as_mut()) {
                    agent.leave();
                }
                self.sim.with(id, |endpoint, now| endpoint.leave(now));
            }
        }
        Ok(())
    }

    pub(super) fn hear_line(&mut self, at: usize, line: &Line) -> Result<(), Broken> {
        let word = match line {
            Line::Refused { .. } => "drain refused",
            Line::Yielded { .. } => "rank yielded",
            Line::NotKept { .. } => "drain not kept",
            Line::Unconfirmed { .. } => "drain unconfirmed",
            Line::Unreachable { .. } => "balancer unreachable",
            Line::Lingered { .. } => "lingered",
            Line::Drained { .. } => "drained",
            Line::Undone { stays: false, .. } => {
                self.rules.over(&self.hosts[at].name);
                "undone"
            }
            Line::Leaving { unconfirmed, unreachable, .. } if unconfirmed.is_empty() && unreachable.is_empty() => {
                "left confirmed"
            }
            Line::Leaving { .. } => {
                self.hosts[at].is_forced = true;
                "left unconfirmed"
            }
            _ => "drain told",
        };
        self.coverage.count(word);
        self.tell(&format!("node-{at}: {line:?}"));
        let is_over = matches!(line, Line::Drained { .. }) || word == "left confirmed";
        if is_over { self.check_drained(at) } else { Ok(()) }
    }

    pub(super) fn advance_agent(&mut self, at: usize) -> Result<(), Broken> {
        let now = self.now();
        let Some(mut agent) = self.hosts[at].front.as_mut().and_then(|front| front.agent.take()) else { return Ok(()) };
        let acts = agent.advance(now, &mut self.sim, NodeId(at));
        let decided = self.check_decisions(at, &agent);
        self.front_mut(at).agent = Some(agent);
        decided?;
        for act in acts {
            self.act(at, act)?;
        }
        Ok(())
    }

    pub(super) fn act(&mut self, at: usize, act: Act) -> Result<(), Broken> {
        match act {
            Act::Saw(word) => self.coverage.count(word),
            Act::Submit(order) => {
                if let Order::Apply { desired, promises, holds, .. } = &order {
                    let changed = !holds.is_empty();
                    if changed {
                        self.coverage.count("job under a hold");
                    }
                    let (desired, promises) = (desired.clone(), promises.clone());
                    self.tell(&format!("node-{at} asks for {}", told(&desired)));
                    self.check_order(at, &desired, &promises)?;
                }
                self.submit(at, order);
            }
            Act::Probe(start) => self.probe(at, &start),
            Act::Cut(places) => {
                for place in &places {
                    let agent = self.front(at).agent.as_ref().expect("it acts");
                    let may = agent.may_cut(&self.sim, NodeId(at), place);
                    self.check_cut(at, place, may)?;
                    self.coverage.count("cut asked for");
                }
                let (life, took) = (self.hosts[at].life, Duration::from_millis(self.rng.random_range(2..20)));
                self.happens(took, Happening::Cut { front: at, life, places });
            }
            Act::Word { node, id, counts, word } => {
                self.coverage.count(&format!("answer {word}"));
                if counts {
                    let now = self.now();
                    self.rules.confirmed(at, &node, id, now);
                }
            }
        }
        Ok(())
    }

    /// What the kernel of a leaving node says of its connections.
    pub(super) fn look(&mut self, at: usize) {
        let now = self.now();
        self.hosts[at].is_looking = false;
        let ports = self.hosts[at].departure.iter().flat_map(Departure::servers).map(|addr| addr.port()).collect();
        let local = self.hosts[at].addr;
        let busy =
            self.requests.values().filter(|request| request.at.as_ref().is_some_and(|now_at| now_at.addr == local));
        let connections: Vec<_> = busy
            .map(|request| Connection {
                local,
                remote: self.hosts[request.front].addr,
                unacknowledged: 0,
                sent_ago: Duration::from_secs(9),
                received_ago: Duration::from_secs(1),
            })
            .collect();
        let flight = self.hosts[at].traffic.judge(&ports, &connections);
        if flight == weir::drain::Flight::NoneLeft {
            self.coverage.count("flight measured");
        }
        self.hosts[at].departure.as_mut().into_iter().for_each(|own| own.handle_flight(now, flight));
    }

    /// Serf's leave is over: the process ends, and the operator goes on.
    pub(super) fn has_left(&mut self, at: usize) {
        if !self.is_running(at) {
            return;
        }
        let then = self.hosts[at].then;
        self.tell(&format!("node-{at} has left, {then:?}"));
        self.kill(at);
        let name = self.hosts[at].name.clone();
        self.rules.over(&name);
        self.coverage.count("left");
        if self.hosts[at].front.is_none() {
            self.set_service(at, Service::Down);
        }
        if then == Then::ComeBack {
            let after = Duration::from_millis(self.rng.random_range(500..6000));
            self.happens(after, Happening::Start { host: at });
        }
    }

    pub(crate) fn start_later(&mut self, at: usize, after: Duration) {
        self.happens(after, Happening::Start { host: at });
    }
}
