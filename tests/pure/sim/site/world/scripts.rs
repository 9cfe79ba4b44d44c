//! A balancer whose agent is a plain Serf agent: event handlers write its servers, one at a time under one lock, and `etc/drained.sh`
//! answers whoever leaves.

use std::collections::VecDeque;

use weir::drain::{DrainId, Word};
use weir::upstream::{Candidate, Generation, Server as Line, Weight, select};

use super::*;

/// Until what was written is taken to be loaded, as in the script.
const LOADED: Duration = Duration::from_secs(1);

/// What is on its disk, and the handlers that wait for the lock.
#[derive(Debug)]
pub(crate) struct Scripts {
    /// What they wrote last. NGINX reads it.
    pub(crate) file: Desired,
    written: Instant,
    queue: VecDeque<Call>,
}

/// What a handler is called for.
#[derive(Debug)]
pub(crate) enum Call {
    Members,
    Drained { query: QueryKey, question: Question },
}

impl Scripts {
    pub(crate) fn new(now: Instant) -> Self {
        Self { file: Desired::new(0), written: now, queue: VecDeque::new() }
    }

    fn has(&self, node: &NodeName) -> bool {
        self.file
            .upstreams
            .values()
            .filter_map(Target::servers)
            .flat_map(Servers::as_slice)
            .any(|line| line.member == *node)
    }
}

impl World {
    pub(super) fn call_script(&mut self, at: usize, call: Call) {
        let Some(scripts) = &mut self.front_mut(at).scripts else { return };
        let is_asked = |call: &Call| matches!(call, Call::Members);
        // One that has not looked yet sees this, too.
        if is_asked(&call) && scripts.queue.iter().skip(1).any(is_asked) {
            return;
        }
        scripts.queue.push_back(call);
        if scripts.queue.len() == 1 {
            self.run_script(at);
        }
    }

    fn run_script(&mut self, at: usize) {
        let took = Duration::from_millis(self.rng.random_range(10..60));
        self.happens(took, Happening::Script { front: at });
    }

    /// The first one does its work, and the next one gets the lock.
    pub(super) fn script(&mut self, at: usize) -> Result<(), Broken> {
        let Some(scripts) = &mut self.front_mut(at).scripts else { return Ok(()) };
        let call = scripts.queue.pop_front();
        if !scripts.queue.is_empty() {
            self.run_script(at);
        }
        match call {
            Some(Call::Members) => self.write_members(at),
            Some(Call::Drained { query, question }) => self.script_answers(at, &query, question),
            None => {}
        }
        self.check_live(at)
    }

    /// Whoever is alive and does not drain. Of an upstream with nobody the lines stay, since NGINX refuses an empty one.
    fn write_members(&mut self, at: usize) {
        let Some(endpoint) = self.sim.endpoint(NodeId(at)) else { return };
        let mut file = self.scripts(at).file.clone();
        for options in &self.plan.upstreams {
            let candidates = endpoint.members().filter(|member| member.status == Status::Alive);
            let candidates = candidates.map(|member| Candidate::of(member, endpoint.swim()));
            let servers = candidates.filter(|member| !member.tags.contains_key(DrainTag::NAME)).filter_map(|member| {
                let draft = select(&member, options).ok()?;
                let weight = Weight::new(u16::try_from(draft.weight).ok()?)?;
                Some(Line {
                    member: member.name,
                    addr: draft.addr,
                    weight,
                    down: false,
                    backup: draft.backup,
                    max_conns: 0,
                })
            });
            let servers: Vec<_> = servers.collect();
            if servers.iter().any(|line| !line.backup) {
                let servers = Servers::new(servers).expect("different members at different addresses");
                file.upstreams.insert(options.name.clone(), Target::Servers(servers));
            }
        }
        self.write(at, file);
    }

    fn script_answers(&mut self, at: usize, query: &QueryKey, question: Question) {
        let Question { id, node, .. } = question;
        let (now, word) = (self.now(), self.script_says(at, &node, &id));
        let reply = Reply { id: id.clone(), generation: Generation(0), word };
        let counts = reply.word.counts();
        let text = reply.to_string();
        let word = ["out", "wait", "no"].into_iter().find(|word| text.starts_with(word)).unwrap_or("?");
        let word = if word == "no" { "no apply" } else { word };
        self.coverage.count(&format!("a script answers {word}"));
        let _too_late = self.sim.with(NodeId(at), |endpoint, now| endpoint.respond(now, query, text.into()));
        if counts {
            self.rules.confirmed(at, &node, id, now);
        }
    }

    fn script_says(&mut self, at: usize, node: &NodeName, id: &DrainId) -> Word {
        let wait = || Word::Wait { text: String::new() };
        let Some(endpoint) = self.sim.endpoint(NodeId(at)) else { return wait() };
        let known = endpoint.swim().member(node);
        let tag = known.and_then(|known| DrainTag::of(&decode_tags(&known.node.meta)));
        let answers_at_once = self.flaw == Flaw::ScriptAnswersAtOnce;
        // Before its agent knows, the next handler would write the node again.
        if tag.is_none_or(|tag| tag.id != *id) && !answers_at_once {
            return wait();
        }
        let scripts = self.scripts(at);
        let is_loaded = self.now().since(scripts.written) >= LOADED || answers_at_once;
        if scripts.has(node) {
            let mut file = scripts.file.clone();
            for target in file.upstreams.values_mut() {
                let Target::Servers(servers) = target else { continue };
                let others = servers.as_slice().iter().filter(|line| line.member != *node).cloned();
                match Servers::new(others.collect()) {
                    Ok(others) if others.serving().any(|line| !line.backup) => *servers = others,
                    Ok(_) | Err(_) => return Word::Apply { error: "no servers are inside upstream".to_owned() },
                }
            }
            if !self.front(at).nginx.is_running() {
                return Word::Apply { error: "NGINX does not run".to_owned() };
            }
            self.write(at, file);
            return if answers_at_once { Word::Out { servers: Vec::new() } } else { wait() };
        }
        if is_loaded { Word::Out { servers: Vec::new() } } else { wait() }
    }

    fn scripts(&self, at: usize) -> &Scripts {
        self.front(at).scripts.as_ref().expect("a balancer with scripts")
    }

    fn write(&mut self, at: usize, file: Desired) {
        let now = self.now();
        let front = self.front_mut(at);
        let scripts = front.scripts.as_mut().expect("a balancer with scripts");
        if scripts.file == file {
            return;
        }
        (scripts.file, scripts.written) = (file, now);
        if front.nginx.is_running() {
            front.nginx.load(&scripts.file);
            let took = Duration::from_millis(self.rng.random_range(100..300));
            self.happens(took, Happening::Loaded { front: at });
        }
    }
}
