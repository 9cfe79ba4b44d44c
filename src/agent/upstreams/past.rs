//! What generations there were, and what differs between them: read from the state directory of `apply`.

use std::collections::BTreeSet;
use std::path::Path;

use super::Upstreams;
use super::operator::refusal;
use crate::agent::clock::{self, Calendar};
use crate::apply::{self, CutOff, Error, Outcome, Past, RunBy};
use crate::rpc::refusal::Refusal;
use crate::rpc::weir::{self, Answer, Differences, Generations, PastResult, UpstreamDiff, UpstreamHistory};
use crate::status::node::Change;
use crate::upstream::desired::Desired;
use crate::upstream::{Difference, Generation, UpstreamName, differences};

impl Upstreams {
    /// The last generations.
    pub(in crate::agent) fn history(&self, request: UpstreamHistory, answer: Answer<UpstreamHistory>) {
        let (state, by) = (self.state.clone(), self.applier.run_by());
        tokio::task::spawn_blocking(move || {
            answer.send(generations(&state, request.count).map_err(|error| refusal(&error, by)));
        });
    }

    /// What differs between what is in place and what is wanted, or between generations.
    pub(in crate::agent) fn diff(&self, request: UpstreamDiff, answer: Answer<UpstreamDiff>) {
        let (state, by) = (self.state.clone(), self.applier.run_by());
        match (request.from, request.to) {
            (None, _) => answer.send(Ok(self.wanted_changes(clock::now()))),
            (Some(from), to) => drop(tokio::task::spawn_blocking(move || {
                answer.send(match to {
                    None => changed_by(&state, from, by),
                    Some(to) => between(&state, from, to).map_err(|error| refusal(&error, by)),
                });
            })),
        }
    }
}

/// When the generation in place was made, in milliseconds of Unix time, if there is a record of it.
pub(super) fn made_at(state: &Path, generation: Option<Generation>) -> Option<u64> {
    let all = apply::history(state).ok()?;
    all.iter().rev().find(|past| Some(past.generation) == generation).map(|past| past.at)
}

/// The last `count` of those that are kept, the newest first.
fn generations(state: &Path, count: usize) -> Result<Generations, Error> {
    let (live, past) = (apply::live(state)?, apply::history(state)?);
    let count = if count == 0 { usize::MAX } else { count };
    let changed = past.iter().flat_map(|past| past.changes.keys());
    let upstreams: BTreeSet<_> = live.iter().flat_map(|(_, live)| live.upstreams.keys()).chain(changed).collect();
    let upstreams = upstreams.into_iter().map(ToString::to_string).collect();
    let live = live.as_ref().map(|(generation, _)| *generation);
    let told = past.iter().rev().take(count).map(|past| told(past, live));
    Ok(Generations { generations: told.collect(), upstreams })
}

fn told(past: &Past, live: Option<Generation>) -> weir::Past {
    weir::Past {
        generation: past.generation,
        at: Some(Calendar::unix(past.at)),
        upstreams: past.changes.keys().map(|name| name.as_str().to_owned()).collect(),
        cause: cause(past),
        changes: changes(past),
        more: past.more,
        result: result(past, live).into(),
        validate_ms: past.validate_ms,
        confirm_ms: past.confirm_ms,
        error: past.error.as_ref().map(Error::what),
        cut: past.cut.iter().map(cut).collect(),
    }
}

fn cut(CutOff { upstream, member, connections }: &CutOff) -> weir::Cut {
    let (upstream, member) = (upstream.as_str().to_owned(), member.as_str().to_owned());
    weir::Cut { upstream, member, connections: *connections }
}

fn cause(past: &Past) -> String {
    past.rollback_to.map_or_else(|| past.causes.to_string(), |to| format!("operator, back to {to}"))
}

fn changes(past: &Past) -> Vec<Change> {
    let of = |(name, changes): (&UpstreamName, &Vec<Difference>)| {
        changes.iter().map(|difference| Change::new(name, difference)).collect::<Vec<_>>()
    };
    past.changes.iter().flat_map(of).collect()
}

fn result(past: &Past, live: Option<Generation>) -> PastResult {
    match past.outcome {
        Outcome::Live | Outcome::Stored if live != Some(past.generation) => PastResult::Replaced,
        Outcome::Live => PastResult::Live,
        Outcome::Stored => PastResult::Stored,
        Outcome::Refused { .. } => PastResult::Refused,
        Outcome::RolledBack { .. } => PastResult::RolledBack,
        Outcome::Open => PastResult::Open,
    }
}

/// What one generation changed, against the one that was in place before it.
fn changed_by(state: &Path, generation: Generation, by: RunBy) -> Result<Differences, Refusal> {
    let all = apply::history(state).map_err(|error| refusal(&error, by))?;
    let Some(at) = all.iter().position(|past| past.generation == generation) else {
        return Err(Refusal::new(format!("there is no record of generation {generation}"))
            .with_remedy("'weir upstream history' lists what is"));
    };
    let was_in_place = |past: &&Past| matches!(past.outcome, Outcome::Live | Outcome::Stored);
    let before = all[..at].iter().rev().find(was_in_place).map(|past| past.generation);
    let past = &all[at];
    Ok(Differences {
        from: before,
        to: Some(generation),
        changes: changes(past),
        cause: Some(cause(past)).filter(|cause| !cause.is_empty()),
        at: Some(Calendar::unix(past.at)),
        ..Differences::default()
    })
}

fn between(state: &Path, from: Generation, to: Generation) -> Result<Differences, Error> {
    let (before, after) = (apply::generation(state, from)?, apply::generation(state, to)?);
    let changes = desired_changes(before.desired(), after.desired());
    Ok(Differences { from: Some(from), to: Some(to), changes, ..Differences::default() })
}

fn desired_changes(before: &Desired, after: &Desired) -> Vec<Change> {
    let servers = |desired: &'_ Desired, name: &UpstreamName| {
        desired.upstreams.get(name).and_then(|target| target.servers().cloned())
    };
    let mut names: Vec<&UpstreamName> = before.upstreams.keys().chain(after.upstreams.keys()).collect();
    names.sort();
    names.dedup();
    let of = |name: &UpstreamName| {
        let changes = differences(servers(before, name).as_ref(), servers(after, name).as_ref());
        changes.iter().map(|difference| Change::new(name, difference)).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(of).collect()
}
