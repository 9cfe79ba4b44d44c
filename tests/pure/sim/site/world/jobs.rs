//! The privileged side of a balancer, and its NGINX.

use super::*;

impl World {
    pub(super) fn submit(&mut self, at: usize, order: Order) {
        let life = self.hosts[at].life;
        if self.front_mut(at).helper.submit(life, order) {
            self.happens(Duration::from_millis(2), Happening::Job { front: at });
        }
    }

    pub(super) fn job(&mut self, at: usize) -> Result<Option<usize>, Broken> {
        let now = self.now();
        if !self.hosts[at].has_power {
            return Ok(None);
        }
        let front = self.hosts[at].front.as_mut().expect("a balancer");
        let (effects, pause) = front.helper.step(&mut front.nginx, &mut self.rng);
        if let Some(pause) = pause {
            self.happens(pause, Happening::Job { front: at });
        }
        let mut touched = None;
        for effect in effects {
            match effect {
                Effect::Reload { anew } => self.reloaded(at, anew)?,
                Effect::Cut(dead) => {
                    for place in &dead {
                        let count = self.cut(at, place).unwrap_or_default();
                        self.coverage.count(if count > 0 { "cut after a job" } else { "nothing to cut after a job" });
                    }
                }
                Effect::Answer { life, answer } if life == self.hosts[at].life => {
                    touched = Some(at);
                    self.answer(at, now, answer);
                }
                Effect::Answer { .. } => {}
            }
        }
        self.check_live(at)?;
        Ok(touched)
    }

    pub(super) fn answer(&mut self, at: usize, now: Instant, answer: Answer) {
        let front = self.front_mut(at);
        let Some(agent) = &mut front.agent else { return };
        match answer {
            Answer::Applied { applied, trouble } => {
                if applied.reloaded() {
                    front.reloaded_at = Some(now);
                }
                if applied.is_in_place() {
                    let asked = std::mem::take(&mut front.asked);
                    front.unknown.retain(|name| !asked.contains(name));
                }
                front.last = Some(applied);
                agent.handle_applied(now, applied, trouble);
                self.coverage.count(&format!("applied {applied:?}"));
            }
            Answer::Kept(standing) => agent.handle_kept(now, standing),
            Answer::WentBack { applied, live } => {
                if applied.reloaded() {
                    front.reloaded_at = Some(now);
                }
                front.last = Some(applied);
                agent.handle_went_back(now, applied, live);
                // What lies there now was decided by nobody.
                self.knows_nothing(at);
                self.coverage.count("went back");
            }
            Answer::Recovered => agent.handle_recovered(),
        }
    }

    pub(super) fn reloaded(&mut self, at: usize, anew: bool) -> Result<(), Broken> {
        self.front_mut(at).nginx.reloads += 1;
        self.coverage.count("reloads");
        if !anew {
            return Err(Broken::new(
                Rule::ReloadWithoutChange,
                format!("node-{at} reloads NGINX, and nothing is different"),
            ));
        }
        Ok(())
    }

    pub(crate) fn start_nginx(&mut self, at: usize) {
        self.knows_nothing(at);
        let front = self.front_mut(at);
        if !front.nginx.is_running() {
            let file = front.on_path().clone();
            front.nginx.load(&file);
            front.agent.as_mut().into_iter().for_each(Agent::nginx_started);
        }
        self.hosts[at].touched = self.now();
        self.hosts[at].due = Some(self.now());
    }

    /// What is in place may be asked for again, until a job that begins from now on has told the agent.
    pub(crate) fn knows_nothing(&mut self, at: usize) {
        let unknown = self.plan.upstreams.iter().map(|options| options.name.clone()).collect();
        let front = self.front_mut(at);
        front.unknown = unknown;
        front.asked.clear();
    }

    pub(crate) fn stop_nginx(&mut self, at: usize) {
        self.front_mut(at).nginx.stop();
        self.hosts[at].touched = self.now();
        self.requests.retain(|_, request| request.front != at);
    }

    /// Ends requests that are at a server, wherever some worker has it. `None` if none has.
    pub(super) fn cut(&mut self, at: usize, (upstream, member): &Server) -> Option<u32> {
        let addrs: BTreeSet<SocketAddr> = self.front(at).nginx.places(upstream, member).collect();
        if addrs.is_empty() {
            return None;
        }
        let is_there = |request: &Request| request.at.as_ref().is_some_and(|attempt| addrs.contains(&attempt.addr));
        let there = self.requests.iter().filter(|(_, request)| request.front == at && is_there(request));
        let there: Vec<_> = there.map(|(id, request)| (*id, request.attempts)).collect();
        let count = u32::try_from(there.len()).expect("few");
        for (request, attempt) in there {
            self.happens(Duration::ZERO, Happening::Ends { request, attempt, how: How::Failed });
        }
        if count > 0 {
            self.coverage.count("requests cut");
        }
        Some(count)
    }
}
