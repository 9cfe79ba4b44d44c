//! What goes over TCP: requests of clients, and probes.

use super::*;

impl World {
    /// Whether connections go through between two hosts.
    pub(crate) fn reaches(&self, one: usize, other: usize) -> bool {
        let carries = |host: usize| matches!(self.sim.uplink(NodeId(host)), Uplink::Sound | Uplink::NoDatagrams);
        one == other || self.sim.group(NodeId(one)) == self.sim.group(NodeId(other)) && carries(one) && carries(other)
    }

    /// What a web server's host does with a connection.
    pub(super) fn service(&self, at: usize) -> Service {
        match self.hosts[at].service {
            Service::Up | Service::Slow if self.sim.is_paused(NodeId(at)) => Service::Hung,
            service => service,
        }
    }

    pub(super) fn host_at(&self, addr: SocketAddr) -> Option<usize> {
        self.hosts.iter().position(|host| host.addr == addr)
    }

    pub(super) fn is_lost(&mut self) -> bool {
        let loss = self.loss * self.loss;
        loss > 0.0 && self.rng.random_bool(loss)
    }

    pub(super) fn probe(&mut self, at: usize, start: &Start) {
        let timeout = Duration::from_millis(if start.bare { 500 } else { self.probe_timeout() });
        let vouches = self
            .plan
            .upstreams
            .iter()
            .zip(&self.plan.probes)
            .any(|(upstream, probe)| upstream.name == start.upstream && probe.is_some_and(|probe| probe.vouches));
        let silent = |step| (timeout, Err(Failure::TimedOut(step)));
        let host = self.host_at(start.addr);
        let is_there = host.is_some_and(|host| self.hosts[host].has_power && self.reaches(at, host));
        let lost = self.is_lost();
        let (took, result) = match host.filter(|_| is_there && !lost) {
            None => silent(Step::Connection),
            Some(host) => match self.service(host) {
                Service::Down => (Duration::from_micros(400), Err(Failure::Connect(Errno::ECONNREFUSED))),
                Service::Slow | Service::Hung if vouches && !start.bare => silent(Step::Answer),
                Service::Slow | Service::Hung | Service::Up => (Duration::from_millis(1), Ok(())),
            },
        };
        let (life, target) = (self.hosts[at].life, start.target);
        self.happens(took, Happening::Probed { front: at, life, target, outcome: Outcome { took, result } });
    }

    pub(super) fn probe_timeout(&self) -> u64 {
        let shortest = self.plan.probes.iter().flatten().map(|probe| probe.interval.as_millis()).min();
        shortest.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(250).max(200)
    }

    pub(super) fn arrive(&mut self, at: usize) -> Result<(), Broken> {
        let now = self.now();
        let front = self.hosts[at].front.as_mut().expect("a balancer");
        let Some(workers) = front.nginx.accept(&mut self.rng) else { return Ok(()) };
        let number = workers.number;
        let is_cut_off = front.cut_off.is_some();
        let upstreams: Vec<_> = workers.upstreams().cloned().collect();
        let Some(upstream) = upstreams.choose(&mut self.rng).cloned() else { return Ok(()) };
        let work = if self.rng.random_bool(0.85) { 2..60 } else { 500..3000 };
        self.numbers += 1;
        let request = Request {
            front: at,
            upstream,
            begun: now,
            workers: number,
            tried: BTreeSet::new(),
            work: Duration::from_millis(self.rng.random_range(work)),
            attempts: 0,
            at: None,
            met_forced: is_cut_off,
        };
        let id = self.numbers;
        self.requests.insert(id, request);
        self.coverage.count("requests");
        self.attempt(id)
    }

    /// Sends a request to the next server, or fails it.
    pub(super) fn attempt(&mut self, id: u64) -> Result<(), Broken> {
        let now = self.now();
        let Some(request) = self.requests.get_mut(&id) else { return Ok(()) };
        let at = request.front;
        request.attempts += 1;
        request.at = None;
        let nginx = &mut self.hosts[at].front.as_mut().expect("a balancer").nginx;
        let picked =
            nginx.workers(request.workers).and_then(|workers| workers.pick(now, &request.upstream, &request.tried));
        let may_try = request.tried.len() < TRIES;
        let Some(Picked { member, addr, backup }) = picked.filter(|_| may_try) else { return self.fail(id) };
        if backup {
            self.coverage.count("backup asked");
        }
        let (attempt, work, begun) = (request.attempts, request.work, request.begun);
        let host = self.host_at(addr);
        let is_there = host.is_some_and(|host| self.hosts[host].has_power && self.reaches(at, host));
        let lost = self.is_lost();
        let service_life = host.map_or(0, |host| self.hosts[host].service_life);
        let forced = host.is_some_and(|host| self.hosts[host].is_forced);
        let service = host.filter(|_| is_there && !lost).map(|host| self.service(host));
        let request = self.requests.get_mut(&id).expect("it is there");
        request.met_forced |= forced;
        request.at = host.map(|host| Attempt {
            host,
            addr,
            service_life,
            accepted: matches!(service, Some(Service::Up | Service::Slow | Service::Hung)),
            stuck: service == Some(Service::Hung),
        });
        let mut ends = |after, how| self.happens(after, Happening::Ends { request: id, attempt, how });
        match service {
            None => ends(CONNECT_TIMEOUT, How::Failed),
            Some(Service::Down) => ends(Duration::from_millis(1), How::Failed),
            Some(service) => {
                let slow = if service == Service::Slow { Duration::from_secs(4) } else { Duration::ZERO };
                if service != Service::Hung {
                    ends(work + slow, How::Answered);
                }
                ends(READ_TIMEOUT, How::Failed);
            }
        }
        if self.requests[&id].at.is_none() {
            return Ok(());
        }
        self.check_try(at, &member, begun)
    }

    pub(super) fn ends(&mut self, id: u64, attempt: u32, how: How) -> Result<(), Broken> {
        let now = self.now();
        let Some(request) = self.requests.get_mut(&id).filter(|request| request.attempts == attempt) else {
            return Ok(());
        };
        let at = request.front;
        if how == How::Answered {
            let Some(now_at) = &request.at else { return Ok(()) };
            let (host, life) = (now_at.host, now_at.service_life);
            let is_well = self.reaches(at, host)
                && self.hosts[host].service_life == life
                && matches!(self.service(host), Service::Up | Service::Slow);
            let request = self.requests.get_mut(&id).expect("it is there");
            if !is_well {
                request.at.as_mut().expect("it is at a server").stuck = true;
                return Ok(());
            }
            return self.answered(id);
        }
        let Some(failed) = request.at.take() else { return self.attempt(id) };
        request.tried.insert(failed.addr);
        let (upstream, workers) = (request.upstream.clone(), request.workers);
        let marked_until = now + self.plan.fail_timeout(&upstream);
        let nginx = &mut self.hosts[at].front.as_mut().expect("a balancer").nginx;
        if let Some(workers) = nginx.workers(workers) {
            workers.mark(marked_until, &upstream, failed.addr);
        }
        self.coverage.count("tried again elsewhere");
        self.attempt(id)
    }

    pub(super) fn answered(&mut self, id: u64) -> Result<(), Broken> {
        let request = self.requests.remove(&id).expect("it is there");
        let took = self.now().since(request.begun);
        self.coverage.count("requests answered");
        self.reap(request.front);
        self.check_answered(&request, took)
    }

    pub(super) fn fail(&mut self, id: u64) -> Result<(), Broken> {
        let request = self.requests.remove(&id).expect("it is there");
        self.coverage.count("requests failed");
        self.reap(request.front);
        self.check_failed(&request)
    }

    pub(super) fn reap(&mut self, at: usize) {
        let busy = self.requests.values().filter(|request| request.front == at).map(|request| request.workers);
        let busy = busy.collect();
        self.front_mut(at).nginx.reap(&busy);
    }

    /// Its web server ends: whoever waits there is told by the kernel.
    pub(crate) fn set_service(&mut self, at: usize, service: Service) {
        let now = self.now();
        let host = &mut self.hosts[at];
        let was = std::mem::replace(&mut host.service, service);
        host.touched = now;
        if service == Service::Down && was != Service::Down {
            host.service_life += 1;
            let addr = host.addr;
            let is_there =
                |request: &&Request| request.at.as_ref().is_some_and(|now_at| now_at.addr == addr && now_at.accepted);
            let there =
                self.requests.iter().filter(|(_, request)| is_there(request) && self.reaches(request.front, at));
            let there: Vec<_> = there.map(|(id, request)| (*id, request.attempts)).collect();
            for (request, attempt) in there {
                self.happens(Duration::from_millis(1), Happening::Ends { request, attempt, how: How::Failed });
            }
        }
        self.unstick();
    }

    /// Answers that were held up come now, where nothing holds them up any more.
    pub(crate) fn unstick(&mut self) {
        let stuck = self.requests.iter().filter(|(_, request)| request.at.as_ref().is_some_and(|now_at| now_at.stuck));
        let stuck: Vec<_> = stuck.map(|(id, request)| (*id, request.attempts)).collect();
        for (request, attempt) in stuck {
            self.happens(Duration::from_millis(2), Happening::Ends { request, attempt, how: How::Answered });
        }
    }
}
