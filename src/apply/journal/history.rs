//! What became of every generation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::{CutOff, Error, Step};
use super::record::{Abort, Begin, Event, Live, Record, Work};
use crate::upstream::{Causes, Difference, Generation, UpstreamName};

/// One generation, or the attempt at one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Past {
    /// Its number.
    pub generation: Generation,
    /// When it was made, in Unix time, milliseconds.
    pub at: u64,
    /// Those whose files it changes, each with what that means for its servers.
    pub changes: BTreeMap<UpstreamName, Vec<Difference>>,
    /// Further changes of servers, which are not named.
    pub more: u32,
    /// Why they change.
    pub causes: Causes,
    /// The generation that an operator went back to.
    pub rollback_to: Option<Generation>,
    /// What became of it.
    pub outcome: Outcome,
    /// How long its test took.
    pub validate_ms: Option<u64>,
    /// From the reload to new workers.
    pub confirm_ms: Option<u64>,
    /// Why it is not live.
    pub error: Option<Error>,
    /// Connections that were ended to servers that it does without.
    pub cut: Vec<CutOff>,
}

/// What became of a generation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its run has not ended, or what was put back in its place is not confirmed either.
    Open,
    /// In place, and nobody has been seen to serve it.
    Stored,
    /// Workers have served it.
    Live,
    /// It was never in place, or not for longer than a test.
    Refused {
        /// Where it stopped.
        step: Step,
    },
    /// It was in place, could not be loaded, and that one was put back.
    RolledBack {
        /// Its number.
        to: Generation,
    },
}

impl Past {
    fn new(generation: Generation, at: u64, work: &Work) -> Self {
        Self {
            generation,
            at,
            changes: work.upstreams.clone(),
            more: work.more,
            causes: work.causes.clone(),
            rollback_to: work.rollback_to,
            outcome: Outcome::Open,
            validate_ms: None,
            confirm_ms: None,
            error: None,
            cut: Vec::new(),
        }
    }
}

/// By the records, oldest first.
pub(super) fn of(records: &[Record]) -> Vec<Past> {
    let mut all: BTreeMap<Generation, Past> = BTreeMap::new();
    // What was put back counts once it is confirmed, or nobody runs who could.
    let mut back = None;
    for Record { at, event } in records {
        if matches!(event, Event::Live(_) | Event::Stored { .. })
            && let Some((failed, to)) = back.take()
            && let Some(past) = all.get_mut(&failed)
        {
            past.outcome = Outcome::RolledBack { to };
        }
        match event {
            Event::Base(_) | Event::Foreign { .. } | Event::Reload { .. } => {}
            Event::Begin(Begin { generation, work, .. }) => {
                all.insert(*generation, Past::new(*generation, *at, work));
            }
            Event::Stored { generation } => {
                if let Some(past) = all.get_mut(generation).filter(|past| past.outcome == Outcome::Open) {
                    past.outcome = Outcome::Stored;
                }
            }
            Event::Live(live) => {
                if let Some(past) = all.get_mut(&live.generation) {
                    went_live(past, live);
                }
            }
            Event::Cut { generation, cut } => {
                if let Some(past) = all.get_mut(generation) {
                    cut.iter().for_each(|cut| add(&mut past.cut, cut));
                }
            }
            Event::Back { failed, to, cause } => {
                if let Some(past) = all.get_mut(failed) {
                    past.error = Some(cause.clone());
                    back = Some((*failed, *to));
                }
            }
            Event::Abort(Abort { generation, step, cause, work, may_be_served: _ }) => {
                let past = all
                    .entry(*generation)
                    .or_insert_with(|| Past::new(*generation, *at, work.as_ref().unwrap_or(&Work::default())));
                (past.outcome, past.error) = (Outcome::Refused { step: *step }, Some(cause.clone()));
            }
        }
    }
    all.into_values().collect()
}

/// What later passes have ended counts with the first.
fn add(all: &mut Vec<CutOff>, cut: &CutOff) {
    let is_it = |known: &&mut CutOff| (&known.upstream, &known.member) == (&cut.upstream, &cut.member);
    match all.iter_mut().find(is_it) {
        Some(known) => known.connections = known.connections.saturating_add(cut.connections),
        None => all.push(cut.clone()),
    }
}

fn went_live(past: &mut Past, live: &Live) {
    past.outcome = Outcome::Live;
    past.error = None;
    past.validate_ms = past.validate_ms.or(live.validate_ms);
    past.confirm_ms = past.confirm_ms.or(live.confirm_ms);
}
