//! What `weir doctor` asks of the running agent beyond its state: whether others answer it, and what time it is here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::Mode;
use crate::endpoint::{Endpoint, MAX_OUTSTANDING};
use crate::rpc::Refusal;
use crate::rpc::weir::Answer;
use crate::serf::{Event, QueryEvent};
use crate::status::probe::{CLOCK_QUERY, Probe, Probed};
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

/// Pings for clients that are under way.
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
    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.runs.iter().map(|run| run.due).min()
    }

    /// Pings members for a client, who is told within two seconds.
    pub(super) fn ask(&mut self, now: Instant, endpoint: &mut Endpoint, probe: &Probe, answer: Answer<Probe>) {
        if self.runs.len() >= MAX_RUNS {
            let refusal = Refusal::new("other probes are under way").with_remedy("try again in a moment");
            return answer.send(Err(refusal));
        }
        let waiting = probe.members.iter().filter_map(|name| NodeName::new(name)).take(MAX_MEMBERS).collect();
        let (pinged, reached) = (BTreeSet::new(), BTreeMap::new());
        self.runs.push(Run { waiting, pinged, reached, tries: 0, due: now, answer });
        self.handle_timeout(now, endpoint);
    }

    /// Pings who has not answered yet, and ends what has taken long enough.
    pub(super) fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        for run in self.runs.iter_mut().filter(|run| run.due <= now && run.tries < TRIES) {
            run.tries += 1;
            run.due = now + PAUSE;
            for name in &run.waiting {
                if endpoint.reach(now, name) {
                    run.pinged.insert(name.clone());
                }
            }
        }
        self.tell_ended(now);
    }

    /// A member has answered a ping.
    pub(super) fn handle_reached(&mut self, now: Instant, member: &NodeName, took: Duration) {
        for run in &mut self.runs {
            if run.waiting.remove(member) {
                run.reached.insert(member.as_str().to_owned(), millis(took));
            }
        }
        self.tell_ended(now);
    }

    fn tell_ended(&mut self, now: Instant) {
        self.runs.extract_if(.., |run| run.waiting.is_empty() || run.due <= now).for_each(Run::tell);
    }
}

/// Answers a query that is for the agent itself; false if it is for handlers and clients.
pub(super) fn answers_query(now: Instant, endpoint: &mut Endpoint, mode: Mode, event: &Event) -> bool {
    let Event::Query(QueryEvent { key, name, .. }) = event else { return false };
    let is_clock = *name == CLOCK_QUERY && mode == Mode::Weir;
    if is_clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // An asker who has gone needs no answer.
        let _too_late = endpoint.respond(now, key, millis(since_epoch).to_string().into());
    }
    is_clock
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
