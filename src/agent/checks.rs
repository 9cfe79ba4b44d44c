//! The checks of this node: runs what is due, each on its own, and knows how well the node is.
//!
//! When something is due and what its results mean is [`crate::health::check`]'s decision. A check that hangs holds up nothing
//! but itself.

mod look;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use self::look::Look;
use super::clock::Calendar;
use super::request::Trusts;
use crate::config::{Check, Service, Subject, duration, nearest};
use crate::health::State;
use crate::health::check::{self, Checks, Finding, NotSet, Output, Run, Verdict};
use crate::rpc::refusal::{Kind, Refusal};
use crate::rpc::weir::CheckSet;
use crate::status::node;
use crate::time::{Instant, millis};

#[derive(Debug)]
struct Entry {
    config: Check,
    /// `None` if somebody says how it is.
    look: Option<Arc<Look>>,
}

/// What ends a check's run.
pub(super) type Ended = (Run, Finding);

/// All checks of this node.
#[derive(Debug)]
pub(super) struct LocalChecks {
    entries: Vec<Entry>,
    machine: Checks,
    running: JoinSet<Ended>,
    /// The health that the cluster was told last.
    told: Option<State>,
    /// The one that it could not be told, as long as that is so.
    untold: Option<State>,
}

impl LocalChecks {
    /// `rng` spreads their runs.
    pub(super) fn new(now: Instant, configs: &[Check], rng: StdRng) -> Self {
        let (machine, running) = (Checks::new(rng), JoinSet::new());
        let mut checks = Self { entries: Vec::new(), machine, running, told: None, untold: None };
        checks.replace(now, configs);
        checks
    }

    /// Takes a new configuration. Checks that stay as they are keep their state, and read anew whose certificates they take; a run
    /// of another one that has not ended means nothing any more.
    pub(super) fn replace(&mut self, now: Instant, configs: &[Check]) {
        let (mut before, mut trusts) = (std::mem::take(&mut self.entries), Trusts::default());
        for config in configs {
            match before.iter().position(|entry| entry.config == *config) {
                Some(kept) => drop(before.swap_remove(kept)),
                None => self.machine.add(now, config.options()),
            }
            self.entries.push(Entry { config: config.clone(), look: Look::new(config, &mut trusts).map(Arc::new) });
        }
        let is_named = |name: &str| configs.iter().any(|config| config.name == name);
        for gone in before.iter().map(|entry| &entry.config.name).filter(|name| !is_named(name)) {
            self.machine.remove(gone);
        }
    }

    /// The application that they watch was started anew.
    pub(super) fn start_over(&mut self, now: Instant) {
        self.machine.start_over(now);
        self.advance();
    }

    /// How well this node is.
    pub(super) fn state(&self) -> State {
        self.machine.state()
    }

    /// Each with its state and what it found last, by name.
    pub(super) fn found(&self) -> impl Iterator<Item = (&str, State, &str)> {
        self.machine.iter().map(|(name, check)| {
            let output = check.last().map_or("", |last| last.output.as_str());
            (name, check.state(), output)
        })
    }

    /// How well this node is, if the cluster has not been told; then [`Self::told`] or
    /// [`Self::not_told`] follows.
    pub(super) fn news(&self) -> Option<State> {
        Some(self.state()).filter(|_| self.told != Some(self.state()))
    }

    /// The cluster has been told.
    pub(super) fn told(&mut self, state: State) {
        (self.told, self.untold) = (Some(state), None);
    }

    /// The cluster could not be told, which is tried again. Returns whether that is new.
    pub(super) fn not_told(&mut self, state: State) -> bool {
        self.untold.replace(state) != Some(state)
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// Starts what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
        self.advance();
    }

    /// The next run that has ended. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Ended {
        loop {
            match self.running.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(error)) => error!(%error, "a check broke down"),
                None => return std::future::pending().await,
            }
        }
    }

    /// A run has ended.
    pub(super) fn handle_ended(&mut self, now: Instant, (run, finding): Ended) {
        self.machine.handle_finding(now, &run, finding);
        self.advance();
    }

    /// A client says the word about a ttl check.
    pub(super) fn set(&mut self, now: Instant, request: CheckSet) -> Result<node::Check, Refusal> {
        let CheckSet { name, state, output } = request;
        let Some(verdict) = state.word().and_then(|state| verdict(*state)) else {
            return Err(Refusal::new(format!("a check cannot be set to {state}"))
                .with_remedy("say passing, warning or critical")
                .of_kind(Kind::Usage));
        };
        let name = match name {
            Some(name) => name,
            None => self.only_ttl()?,
        };
        match self.machine.set(now, &name, verdict, output) {
            Ok(()) => {}
            Err(NotSet::Unknown) => return Err(self.unknown(&name)),
            Err(NotSet::NotTtl) => {
                let what = format!("check '{name}' has results of its own, so nobody can say how it is");
                return Err(Refusal::new(what).with_remedy("give it a ttl, or name one that has"));
            }
        }
        self.advance();
        let calendar = Calendar::read();
        let told = self.status(&calendar).into_iter().find(|check| check.name == name);
        told.ok_or_else(|| self.unknown(&name))
    }

    /// Each, by name.
    pub(super) fn status(&self, calendar: &Calendar) -> Vec<node::Check> {
        let known = self.machine.iter();
        known.filter_map(|(name, check)| Some(told(&self.entry(name)?.config, check, calendar))).collect()
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.config.name == name)
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.iter().map(|entry| entry.config.name.as_str())
    }

    /// The one check that can be meant where none is named.
    fn only_ttl(&self) -> Result<String, Refusal> {
        let ttl = self.entries.iter().filter(|entry| entry.look.is_none());
        let all: Vec<&str> = ttl.map(|entry| entry.config.name.as_str()).collect();
        match all[..] {
            [only] => Ok(only.to_owned()),
            [] => {
                Err(Refusal::new("no check of this node has a ttl")
                    .with_remedy("write [check.NAME] with ttl = \"30s\""))
            }
            _ => Err(Refusal::new("several checks of this node have a ttl")
                .with_remedy(format!("name one of {}", all.join(", ")))
                .of_kind(Kind::Usage)),
        }
    }

    fn unknown(&self, name: &str) -> Refusal {
        let refusal = Refusal::new(format!("no check '{name}'"));
        match nearest(name, self.names()) {
            Some(near) => refusal.with_remedy(format!("did you mean '{near}'?")),
            None if self.entries.is_empty() => refusal.with_remedy("write [check.NAME]"),
            None => refusal.with_remedy(format!("known here: {}", self.names().collect::<Vec<_>>().join(", "))),
        }
    }

    /// Starts what the machine names, and tells the operator what has changed.
    fn advance(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Run(run) => {
                    if let Some(look) = self.entry(&run.name).and_then(|entry| entry.look.clone()) {
                        self.running.spawn(async move { (run, look.look().await) });
                    }
                }
                Output::Changed { name, before, after } => log_change(&name, before, after, self.machine.get(&name)),
            }
        }
    }
}

/// What may be said of a check.
fn verdict(state: State) -> Option<Verdict> {
    match state {
        State::Passing => Some(Verdict::Passing),
        State::Warning => Some(Verdict::Warning),
        State::Critical => Some(Verdict::Critical),
        State::Wait | State::None => None,
    }
}

fn log_change(name: &str, before: State, after: State, check: Option<&check::Check>) {
    let output = check.and_then(check::Check::last).map(|last| last.output.as_str()).unwrap_or_default();
    match after {
        State::Warning | State::Critical => warn!(check = name, %before, %after, output, "check changed"),
        State::Passing | State::Wait | State::None => info!(check = name, %before, %after, output, "check changed"),
    }
}

fn told(config: &Check, check: &check::Check, calendar: &Calendar) -> node::Check {
    let last = check.last();
    let (kind, target) = match &config.subject {
        Subject::Service { service, to } => match **service {
            Service::Http(_) => (node::CheckKind::Http, service.question(to)),
            Service::Tcp(_) => (node::CheckKind::Tcp, to.to_string()),
        },
        Subject::Exec(argv) => (node::CheckKind::Exec, argv.join(" ")),
        Subject::Ttl(ttl) => (node::CheckKind::Ttl, duration::text(*ttl)),
        Subject::Systemd(unit) => (node::CheckKind::Systemd, unit.as_str().to_owned()),
    };
    node::Check {
        name: config.name.clone(),
        kind: kind.into(),
        target,
        state: check.state().into(),
        since: Some(calendar.date(check.since())),
        for_s: calendar.age(check.since()).as_secs(),
        result: last.map(|last| State::from(last.verdict).into()),
        at: last.map(|last| calendar.date(last.at)),
        word_at: check.word_at().map(|at| calendar.date(at)),
        in_a_row: check.in_a_row(),
        took_ms: last.and_then(|last| last.took).map(millis),
        output: last.map(|last| last.output.clone()).unwrap_or_default(),
    }
}
