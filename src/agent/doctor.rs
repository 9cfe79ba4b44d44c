//! What `weir doctor` asks of the running agent: what it sees of others, and whether they answer it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::clock;
use super::driver::Agent;
use super::rotate::envelope_name;
use crate::config::Mode;
use crate::crypto::Key;
use crate::endpoint::{MAX_OUTSTANDING, Stranger};
use crate::rpc::Refusal;
use crate::rpc::weir::Answer;
use crate::serf::{Event, QueryEvent};
use crate::status::document::{AgentView, CLOCK_QUERY, MemberView, Probe, Probed, StrangerView};
use crate::time::{Instant, millis};
use crate::wire::NodeName;

/// Pings to a member until it counts as silent.
const TRIES: usize = 3;
/// Patience with each of them.
const PAUSE: Duration = Duration::from_millis(600);
/// Members that one call may ask for.
const MAX_MEMBERS: usize = 256;
/// Calls that may be under way.
const MAX_RUNS: usize = 4;
const _: () = assert!(MAX_RUNS * MAX_MEMBERS * TRIES <= MAX_OUTSTANDING, "every ping of theirs can be sent");

/// What is remembered for `doctor` alone.
#[derive(Debug, Default)]
pub(super) struct Doctor {
    runs: Vec<Run>,
}

/// Members that are being pinged for a client.
#[derive(Debug)]
struct Run {
    waiting: BTreeSet<NodeName>,
    /// To whom a ping has gone out. Of others, silence says nothing.
    pinged: BTreeSet<NodeName>,
    reached: BTreeMap<String, u64>,
    tries: usize,
    due: Instant,
    answer: Answer<Probe>,
}

impl Run {
    fn tell(self) {
        let silent = self.waiting.intersection(&self.pinged).map(|name| name.as_str().to_owned()).collect();
        self.answer.send(Ok(Probed { reached: self.reached, silent }));
    }
}

impl Doctor {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.runs.iter().map(|run| run.due).min()
    }
}

impl Agent {
    pub(super) fn view(&self) -> AgentView {
        let now = clock::now();
        let local = self.endpoint.local();
        let members = self.endpoint.members().map(|member| MemberView {
            name: member.node.name.as_str().to_owned(),
            addr: member.node.addr,
            status: member.status.to_string(),
            envelope: envelope_name(&self.endpoint, &member.node.name).to_owned(),
            own: member.node.name == local.name,
        });
        let ring = self.endpoint.keyring().into_iter().flat_map(|ring| ring.keys());
        AgentView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: local.name.as_str().to_owned(),
            bind: Some(self.udp.local()),
            addr: Some(local.addr),
            pid: std::process::id(),
            keys: ring.map(Key::id).map(|id| id.to_string()).collect(),
            silenced: self.endpoint.is_silent(),
            members: members.collect(),
            strangers: self.endpoint.strangers().map(|stranger| stranger_view(stranger, now)).collect(),
            join_failures: self.joins.failures().to_vec(),
        }
    }

    pub(super) fn probe_call(&mut self, probe: &Probe, answer: Answer<Probe>) {
        let waiting = probe.members.iter().filter_map(|name| NodeName::new(name)).take(MAX_MEMBERS).collect();
        if self.doctor.runs.len() >= MAX_RUNS {
            let refusal = Refusal::new("other probes are under way").with_remedy("try again in a moment");
            return answer.send(Err(refusal));
        }
        self.doctor.runs.push(Run {
            waiting,
            pinged: BTreeSet::new(),
            reached: BTreeMap::new(),
            tries: 0,
            due: clock::now(),
            answer,
        });
        self.advance_probes(clock::now());
    }

    /// Pings who has not answered yet, and ends what has taken long enough.
    pub(super) fn advance_probes(&mut self, now: Instant) {
        for mut run in std::mem::take(&mut self.doctor.runs) {
            if run.due <= now && run.tries < TRIES {
                run.tries += 1;
                run.due = now + PAUSE;
                for name in &run.waiting {
                    if self.endpoint.reach(now, name) {
                        run.pinged.insert(name.clone());
                    }
                }
            }
            if run.waiting.is_empty() || run.due <= now {
                run.tell();
            } else {
                self.doctor.runs.push(run);
            }
        }
    }

    pub(super) fn reached(&mut self, member: &NodeName, took: Duration) {
        for run in &mut self.doctor.runs {
            if run.waiting.remove(member) {
                run.reached.insert(member.as_str().to_owned(), millis(took));
            }
        }
        self.advance_probes(clock::now());
    }

    /// Answers a query that is for the agent itself; false if it is for handlers and clients.
    pub(super) fn answers_query(&mut self, event: &Event) -> bool {
        let Event::Query(QueryEvent { key, name, .. }) = event else { return false };
        let is_clock = *name == CLOCK_QUERY && self.config.mode == Mode::Weir;
        if is_clock {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // An asker who has gone needs no answer.
            let _too_late = self.endpoint.respond(clock::now(), key, millis(since_epoch).to_string().into());
        }
        is_clock
    }
}

fn stranger_view(stranger: &Stranger, now: Instant) -> StrangerView {
    StrangerView {
        addr: stranger.addr,
        reason: stranger.reason.as_str().to_owned(),
        key: stranger.key.map(|key| key.to_string()),
        ago_s: now.since(stranger.last).as_secs(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_never_pinged_is_not_called_silent() {
        let name = |name: &str| NodeName::new(name).unwrap();
        let (answer, mut answered) = Answer::channel();
        let run = Run {
            waiting: [name("a"), name("gone")].into(),
            pinged: [name("a"), name("b")].into(),
            reached: [("b".to_owned(), 1)].into(),
            tries: TRIES,
            due: Instant::ZERO,
            answer,
        };
        run.tell();
        let told = answered.try_recv().unwrap().unwrap();
        assert_eq!(told, Probed { reached: [("b".to_owned(), 1)].into(), silent: vec!["a".to_owned()] });
    }
}
