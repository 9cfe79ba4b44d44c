//! The checks of this node as a machine: when each is due, what its results in a row make of it, how long a word that was set
//! lasts (`design §6`).
//!
//! It runs nothing. A driver calls [`Checks::handle_timeout`] when [`Checks::poll_timeout`] says so, runs what
//! [`Checks::poll_output`] names, and tells what it found by [`Checks::handle_finding`], once per run. A check that has not
//! ended is never named again, however long it takes.

mod row;
#[cfg(test)]
mod tests;
pub mod unit;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;

use self::row::Row;
use super::State;
use crate::time::Instant;

/// What is kept of a check's output, its beginning and its end: the reason may stand at either.
pub const MAX_OUTPUT_BYTES: usize = 4096;
/// As much of that is its beginning.
pub const HEAD_BYTES: usize = 1024;
/// What says that the middle is missing takes less, together with how a program ended.
pub const CUT_BYTES: usize = 256;

/// Whoever runs a check ends it when its time is up, and says so. This much later it is counted as failed all the same: a process
/// on a disk that does not answer cannot be ended.
const OVERDUE: Duration = Duration::from_millis(250);

/// A check is run again after its interval, this share of it sooner or later.
const JITTER: f64 = 0.1;

/// What the machine must know of one check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Unique on this node.
    pub name: Arc<str>,
    pub timing: Timing,
    /// Failures do not count for so long after it was added or started over.
    pub start_grace: Duration,
}

/// By what it gets its results.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timing {
    /// It is run.
    Run {
        interval: Duration,
        /// At most the interval.
        timeout: Duration,
        /// Results in a row that are better, until the check is.
        rise: u32,
        /// Results in a row that are worse, until the check is.
        fall: u32,
    },
    /// Somebody says the word, each time for so long.
    Ttl(Duration),
}

/// One result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    Passing,
    Warning,
    Critical,
}

impl From<Verdict> for State {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passing => Self::Passing,
            Verdict::Warning => Self::Warning,
            Verdict::Critical => Self::Critical,
        }
    }
}

/// What a run found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    pub verdict: Verdict,
    /// In words, as it came: escape it before a terminal sees it.
    pub output: String,
    pub took: Duration,
}

/// The last result of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Last {
    pub verdict: Verdict,
    /// At most [`MAX_OUTPUT_BYTES`].
    pub output: String,
    /// `None` if nothing was run.
    pub took: Option<Duration>,
    pub at: Instant,
}

/// Which run of which check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Run {
    pub name: Arc<str>,
    number: u64,
}

/// What follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// To be run now.
    Run(Run),
    /// A check is in another state.
    Changed { name: Arc<str>, before: State, after: State },
}

/// Why a word was not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotSet {
    /// There is no such check.
    Unknown,
    /// It has results of its own.
    NotTtl,
}

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    options: Options,
    /// When it was added or started over: what a run found that began before does not count.
    begun: Instant,
    state: State,
    since: Instant,
    row: Row,
    last: Option<Last>,
    /// When somebody said the word last.
    word_at: Option<Instant>,
    phase: Phase,
}

/// What a check waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Its next run.
    Due(Instant),
    /// The end of a run, which counts as failed at `overdue`.
    Running { number: u64, started: Instant, overdue: Instant, was_counted: bool },
    /// A word, which must come by then.
    Word(Instant),
    /// A word, whenever it comes: its time is up.
    Expired,
}

impl Check {
    fn new(options: Options, now: Instant) -> Self {
        let phase = match options.timing {
            Timing::Run { .. } => Phase::Due(now),
            Timing::Ttl(ttl) => Phase::Word(now + ttl.max(options.start_grace)),
        };
        let (state, row, last) = (State::Wait, Row::default(), None);
        Self { options, begun: now, state, since: now, row, last, word_at: None, phase }
    }

    /// Passing, warning, critical, or wait before the first verdict.
    pub fn state(&self) -> State {
        self.state
    }

    /// Since when it is in its state.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Its last result, counted or not.
    pub fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// When somebody said the word about it last; never of one that is run.
    pub fn word_at(&self) -> Option<Instant> {
        self.word_at
    }

    /// How many results like the last one have come in a row.
    pub fn in_a_row(&self) -> u32 {
        self.last.as_ref().map_or(0, |last| self.row.of(last.verdict))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Due(at) | Phase::Word(at) | Phase::Running { overdue: at, .. } => Some(at),
            Phase::Expired => None,
        }
    }

    /// Takes a result.
    fn note(&mut self, now: Instant, verdict: Verdict, output: String, took: Option<Duration>) {
        self.last = Some(Last { verdict, output: bounded(output), took, at: now });
        let in_grace = now < self.begun + self.options.start_grace;
        let state = match self.options.timing {
            Timing::Run { .. } if in_grace && verdict == Verdict::Critical => return,
            Timing::Run { rise, fall, .. } => self.row.after(verdict, self.state, rise, fall),
            Timing::Ttl(_) => {
                self.row.push(verdict);
                verdict.into()
            }
        };
        if state != self.state {
            (self.state, self.since) = (state, now);
        }
    }

    /// Knows nothing any more, as if it had just been added. A run that has not ended stays the only one, and is not counted.
    fn start_over(&mut self, now: Instant) {
        let mut new = Self::new(self.options.clone(), now);
        if let Phase::Running { number, started, overdue, .. } = self.phase {
            new.phase = Phase::Running { number, started, overdue, was_counted: true };
        }
        if self.state == State::Wait {
            new.since = self.since;
        }
        *self = new;
    }

    /// What it waits for after a word, or after a run that began at `started`.
    fn next(&self, now: Instant, started: Instant, rng: &mut StdRng) -> Phase {
        match self.options.timing {
            Timing::Run { .. } if started < self.begun => Phase::Due(now),
            Timing::Run { interval, .. } => {
                let share = 1.0 - JITTER + 2.0 * JITTER * rng.random::<f64>();
                Phase::Due((started + interval.mul_f64(share)).max(now))
            }
            Timing::Ttl(ttl) => Phase::Word((now + ttl).max(self.begun + self.options.start_grace)),
        }
    }
}

/// All checks of this node, by name.
#[derive(Debug)]
pub struct Checks {
    checks: BTreeMap<Arc<str>, Check>,
    runs: u64,
    outputs: VecDeque<Output>,
    rng: StdRng,
}

impl Checks {
    /// None yet; `rng` spreads their runs.
    pub fn new(rng: StdRng) -> Self {
        Self { checks: BTreeMap::new(), runs: 0, outputs: VecDeque::new(), rng }
    }

    /// Adds a check, which is due at once. It takes the place of one of its name.
    pub fn add(&mut self, now: Instant, options: Options) {
        self.checks.insert(Arc::clone(&options.name), Check::new(options, now));
    }

    /// Forgets a check. A run of it may still end, which then means nothing.
    pub fn remove(&mut self, name: &str) {
        self.checks.remove(name);
    }

    /// What they watch has been started anew, so that what they found of it before says nothing: each waits for its first result,
    /// and is due at once.
    pub fn start_over(&mut self, now: Instant) {
        for (name, check) in &mut self.checks {
            let before = check.state;
            check.start_over(now);
            tell_change(&mut self.outputs, name, before, check.state);
        }
    }

    /// The worst of them.
    pub fn state(&self) -> State {
        State::worst(self.checks.values().map(Check::state))
    }

    /// The check of this name.
    pub fn get(&self, name: &str) -> Option<&Check> {
        self.checks.get(name)
    }

    /// Each, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Check)> {
        self.checks.iter().map(|(name, check)| (&**name, check))
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.checks.values().filter_map(Check::poll_timeout).min()
    }

    /// What is to be done or known.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Starts what is due, and counts what has not ended or was not said in time.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (name, check) in &mut self.checks {
            if check.poll_timeout().is_none_or(|at| at > now) {
                continue;
            }
            let before = check.state;
            match (check.phase, check.options.timing) {
                (Phase::Due(_), Timing::Run { timeout, .. }) => {
                    self.runs += 1;
                    let (number, overdue) = (self.runs, now + timeout + OVERDUE);
                    check.phase = Phase::Running { number, started: now, overdue, was_counted: false };
                    self.outputs.push_back(Output::Run(Run { name: Arc::clone(name), number }));
                }
                (Phase::Running { number, started, .. }, Timing::Run { interval, timeout, .. }) => {
                    let overdue = now + interval;
                    check.phase = Phase::Running { number, started, overdue, was_counted: true };
                    let output = format!("no result within {} ms, and it has not ended", timeout.as_millis());
                    check.note(now, Verdict::Critical, output, Some(now.since(started)));
                }
                (Phase::Word(_), Timing::Ttl(ttl)) => {
                    check.phase = Phase::Expired;
                    check.note(now, Verdict::Critical, format!("no word within {} s", ttl.as_secs_f64()), None);
                }
                // A check keeps its timing, and each kind of timing has phases of its own.
                (Phase::Due(_) | Phase::Running { .. }, Timing::Ttl(_))
                | (Phase::Word(_), Timing::Run { .. })
                | (Phase::Expired, Timing::Run { .. } | Timing::Ttl(_)) => {}
            }
            tell_change(&mut self.outputs, name, before, check.state);
        }
    }

    /// A run has ended. One of a check that is gone or another by now means nothing, and what comes after the run was counted as
    /// failed only makes room for the next.
    pub fn handle_finding(&mut self, now: Instant, run: &Run, finding: Finding) {
        let Some(check) = self.checks.get_mut(&run.name) else { return };
        let Phase::Running { number, started, was_counted, .. } = check.phase else { return };
        if number != run.number {
            return;
        }
        let before = check.state;
        if !was_counted {
            check.note(now, finding.verdict, finding.output, Some(finding.took));
        }
        check.phase = check.next(now, started, &mut self.rng);
        tell_change(&mut self.outputs, &run.name, before, check.state);
    }

    /// Somebody says the word about a ttl check.
    pub fn set(&mut self, now: Instant, name: &str, verdict: Verdict, output: String) -> Result<(), NotSet> {
        let check = self.checks.get_mut(name).ok_or(NotSet::Unknown)?;
        match check.options.timing {
            Timing::Run { .. } => return Err(NotSet::NotTtl),
            Timing::Ttl(_) => {}
        }
        let before = check.state;
        check.note(now, verdict, output, None);
        check.word_at = Some(now);
        check.phase = check.next(now, now, &mut self.rng);
        let (name, after) = (Arc::clone(&check.options.name), check.state);
        tell_change(&mut self.outputs, &name, before, after);
        Ok(())
    }
}

fn tell_change(outputs: &mut VecDeque<Output>, name: &Arc<str>, before: State, after: State) {
    if before != after {
        outputs.push_back(Output::Changed { name: Arc::clone(name), before, after });
    }
}

/// The beginning and the end of `output`, without the space around it.
fn bounded(output: String) -> String {
    let text = output.trim();
    if text.len() <= MAX_OUTPUT_BYTES {
        return if text.len() == output.len() { output } else { text.to_owned() };
    }
    let is_border = |at: &usize| text.is_char_boundary(*at);
    let behind = text.len() - (MAX_OUTPUT_BYTES - HEAD_BYTES - CUT_BYTES);
    let head = &text[..(0..=HEAD_BYTES).rev().find(is_border).unwrap_or_default()];
    let tail = &text[(behind..=text.len()).find(is_border).unwrap_or(text.len())..];
    without_middle(head, (text.len() - head.len() - tail.len()) as u64, tail)
}

/// The two ends of a text, with how much was cut out between them.
pub fn without_middle(head: &str, lost: u64, tail: &str) -> String {
    format!("{}\n[… {lost} bytes cut …]\n{}", head.trim_end(), tail.trim_start())
}
