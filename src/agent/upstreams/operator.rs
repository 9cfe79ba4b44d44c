//! What operators want of upstreams: holds, releases and going back, and who waits to hear that it is done.
//!
//! A hold or a release takes effect at once and is answered when a job has carried it, for only then it outlives a restart.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::timeline::Asked;
use super::{Ended, Upstreams, kept, status};
use crate::agent::applier::Applier;
use crate::agent::clock::{self, Calendar};
use crate::agent::notice::some_of;
use crate::apply::{self, Error, Report, Rollback, RunBy, Saved};
use crate::drain::Promises;
use crate::error::Trouble;
use crate::rpc::refusal::{Kind, Refusal};
use crate::rpc::weir::{
    Answer, Differences, HeldBack, HoldChanged, RolledBack, UpstreamHold, UpstreamRelease, UpstreamRollback, Wanted,
    no_upstream,
};
use crate::time::{Instant, millis};
use crate::upstream::desired::{Desired, Target};
use crate::upstream::settle::Applied;
use crate::upstream::{Generation, Hold, Holds, Reason, UpstreamName};

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Operator {
    /// For the next job.
    waiting: Vec<Waiting>,
    /// For the job that is under way.
    carried: Vec<Waiting>,
    /// For what is under way to end, to go back then.
    rollback: Option<GoBack>,
    going_back: Option<(JoinHandle<WentBack>, Answer<UpstreamRollback>)>,
}

/// Where to, and who wants to hear that it is done.
#[derive(Debug)]
struct GoBack {
    /// `None` is the one before the one in place.
    to: Option<Generation>,
    reason: Option<Reason>,
    /// Even to one in which nobody serves.
    force: bool,
    answer: Answer<UpstreamRollback>,
}

/// What a hold or a release makes of the upstreams that it names.
#[derive(Debug)]
struct Changed {
    changed: BTreeSet<UpstreamName>,
    /// Held before, and now for another reason.
    explained: BTreeSet<UpstreamName>,
    unchanged: BTreeSet<UpstreamName>,
}

/// Holds that changed, and who wants to hear that they last.
#[derive(Debug)]
struct Waiting {
    changed: HoldChanged,
    reply: Reply,
}

#[derive(Debug)]
enum Reply {
    Hold(Answer<UpstreamHold>),
    Release(Answer<UpstreamRelease>),
}

impl Reply {
    fn send(self, answer: Result<HoldChanged, Refusal>) {
        match self {
            Self::Hold(to) => to.send(answer),
            Self::Release(to) => to.send(answer),
        }
    }
}

/// How going back ended.
#[derive(Debug)]
pub(in crate::agent) struct WentBack {
    outcome: Result<Report, NotGone>,
    /// What is in place since then, as far as that can be read.
    live: Option<(Generation, Desired)>,
    /// All that is held now.
    holds: Holds,
    /// What of it was not held before.
    held: Holds,
    /// What of it was held before, for another reason.
    explained: Holds,
    /// Which generation that was made of.
    to: Option<Generation>,
    took: Duration,
}

/// Why nobody goes back.
#[derive(Debug, Eq, PartialEq)]
enum NotGone {
    /// It failed, or cannot be done.
    Error(Error),
    /// Somebody serves these now, and nobody would then.
    NoServer { generation: Generation, upstreams: Vec<UpstreamName> },
}

impl From<Error> for NotGone {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl NotGone {
    fn told(&self, by: RunBy) -> Refusal {
        match self {
            Self::Error(error) => refusal(error, by),
            Self::NoServer { generation, upstreams } => {
                let what = format!(
                    "generation {generation} has no server for {}",
                    some_of(upstreams.iter().map(UpstreamName::as_str))
                );
                Refusal::new(what)
                    .with_remedy("name another one ('weir upstream history'), or --force")
                    .of_kind(Kind::Harmful)
            }
        }
    }
}

impl Operator {
    /// A job begins, and carries what was wanted until now.
    pub(super) fn carried(&mut self) {
        self.carried.append(&mut self.waiting);
    }

    /// That job has ended, or broken off.
    pub(super) fn applied(&mut self, report: Option<&Report>, by: RunBy) {
        let unsaved = unsaved(report, by);
        for Waiting { changed, reply } in self.carried.drain(..) {
            reply.send(Ok(HoldChanged { unsaved: unsaved.clone(), ..changed }));
        }
    }

    /// Whether an operator goes back from now on. Only while nothing else is under way. `holds` are known to whoever applies,
    /// because who waits for a job that carries them has it first.
    pub(super) fn begin_rollback(
        &mut self,
        applier: &Arc<Applier>,
        state: &Path,
        holds: &Holds,
        promises: &Promises,
    ) -> bool {
        let Some(GoBack { to, reason, force, answer }) = self.next_rollback() else { return false };
        let (applier, state, before) = (Arc::clone(applier), state.to_owned(), holds.clone());
        let promises = promises.clone();
        let work = tokio::task::spawn_blocking(move || {
            match named(&state, to).and_then(|to| if force { Ok(to) } else { harmless(&state, to) }) {
                Ok(to) => go_back(&applier, &state, Rollback { to, reason, promises }, &before),
                Err(why) => WentBack::not(why, before),
            }
        });
        self.going_back = Some((work, answer));
        true
    }

    fn next_rollback(&mut self) -> Option<GoBack> {
        self.rollback.take_if(|_| self.waiting.is_empty() && self.going_back.is_none())
    }

    /// This node leaves, and no job begins any more: whoever waits for one is told.
    pub(super) fn leave(&mut self) {
        if let Some(GoBack { answer, .. }) = self.rollback.take() {
            answer.send(Err(leaves()));
        }
        for Waiting { changed, reply } in self.waiting.drain(..) {
            let unsaved = Trouble::new("this node leaves", "say it again once the agent is back");
            reply.send(Ok(HoldChanged { unsaved: Some(unsaved), ..changed }));
        }
    }

    pub(super) fn is_going_back(&self) -> bool {
        self.going_back.is_some()
    }

    /// How that ended; `None` if it broke off. Never without one. Cancel-safe.
    pub(super) async fn went_back(&mut self) -> Option<WentBack> {
        let Some((running, _)) = &mut self.going_back else { return std::future::pending().await };
        running.await.inspect_err(|error| error!(%error, "going back broke off")).ok()
    }
}

impl WentBack {
    /// Nothing was asked for.
    fn not(why: NotGone, holds: Holds) -> Self {
        let (held, explained) = (Holds::default(), Holds::default());
        Self { outcome: Err(why), live: None, holds, held, explained, to: None, took: Duration::ZERO }
    }
}

/// Blocks. `before` is held already.
fn go_back(applier: &Applier, state: &Path, rollback: Rollback, before: &Holds) -> WentBack {
    let to = rollback.to;
    info!(generation = %to, reason = rollback.reason.as_ref().map(Reason::as_str), "an operator goes back to an older generation");
    let (started, by) = (clock::now(), applier.run_by());
    let (outcome, holds) = match applier.roll_back(rollback) {
        Ok((report, holds)) => (Ok(report), holds),
        // Who has not answered may have done it.
        Err(error) => {
            let holds = kept::known(applier, state).map(|kept| kept.holds).unwrap_or_else(|error| {
                warn!(error = %error.told(by), "what a rollback holds is not known");
                before.clone()
            });
            (Err(error.into()), holds)
        }
    };
    let took = clock::now().since(started);
    let live = applier.live().unwrap_or_else(|error| {
        warn!(error = %error.told(by), "what a rollback left in place is not known");
        None
    });
    let (held, explained) = (holds.beyond(before), holds.explained_since(before));
    WentBack { outcome, live, held, explained, holds, to: Some(to), took }
}

/// Which generation is meant. Who is asked again after a run that died would find another one before the live one.
fn named(state: &Path, to: Option<Generation>) -> Result<Generation, NotGone> {
    match to {
        Some(to) => Ok(to),
        None => {
            apply::generation_before(state)?.ok_or(Error::NotDone(apply::Refusal::NoGeneration { to: None }).into())
        }
    }
}

/// `to`, unless it takes every server from an upstream that has one now.
fn harmless(state: &Path, to: Generation) -> Result<Generation, NotGone> {
    let Some((_, live)) = apply::live(state)? else { return Ok(to) };
    let saved = apply::generation(state, to)?;
    let upstreams = emptied(&live, &saved);
    if upstreams.is_empty() { Ok(to) } else { Err(NotGone::NoServer { generation: to, upstreams }) }
}

fn emptied(live: &Desired, saved: &Saved) -> Vec<UpstreamName> {
    let is_served = |desired: &Desired, name: &UpstreamName| {
        desired.upstreams.get(name).and_then(Target::servers).is_some_and(|servers| servers.serving().next().is_some())
    };
    let has_file = |name: &UpstreamName| saved.files().iter().any(|file| file.upstream == *name);
    let is_emptied =
        |name: &&UpstreamName| is_served(live, name) && has_file(name) && !is_served(saved.desired(), name);
    live.upstreams.keys().filter(is_emptied).cloned().collect()
}

/// Why holds that a job carried may not be on disk.
fn unsaved(report: Option<&Report>, by: RunBy) -> Option<Trouble> {
    match report {
        None => Some(Trouble::new("an apply broke off", "see 'journalctl -u weir'")),
        Some(report @ Report::Refused { error, .. }) if !report.was_begun() => Some(error.told(by)),
        Some(_) => None,
    }
}

impl Upstreams {
    /// Freezes one, or all.
    pub(in crate::agent) fn hold(&mut self, now: Instant, request: UpstreamHold, answer: Answer<UpstreamHold>) {
        let wanted = self.reason(request.reason).and_then(|reason| Ok((self.configured(request.upstream)?, reason)));
        let (names, reason) = match wanted {
            Ok(wanted) => wanted,
            Err(refusal) => return answer.send(Err(refusal)),
        };
        let (held, changed): (BTreeSet<_>, BTreeSet<_>) =
            names.into_iter().partition(|name| self.balancer.holds().get(name).is_some());
        let is_other = |hold: &Hold| reason.is_some() && hold.reason != reason;
        let (explained, unchanged): (BTreeSet<_>, BTreeSet<_>) =
            held.into_iter().partition(|name| self.balancer.holds().get(name).is_some_and(is_other));
        if changed.len() > self.balancer.holds().room() {
            let refusal = Refusal::new(format!("at most {} upstreams can be held", Holds::MAX));
            return answer
                .send(Err(refusal.with_remedy("'weir upstream release' those that are not configured any more")));
        }
        for upstream in &changed {
            info!(%upstream, reason = reason.as_ref().map(Reason::as_str), "held");
        }
        for upstream in &explained {
            info!(%upstream, reason = reason.as_ref().map(Reason::as_str), "held for another reason");
        }
        let all = changed.union(&explained).cloned().collect();
        self.balancer.handle_hold(now, &all, &Hold { since: Calendar::unix_now(), reason });
        self.hold_changed(Changed { changed, explained, unchanged }, Reply::Hold(answer));
    }

    /// Thaws one, or all.
    pub(in crate::agent) fn release(
        &mut self,
        now: Instant,
        request: UpstreamRelease,
        answer: Answer<UpstreamRelease>,
    ) {
        let held: BTreeSet<UpstreamName> = self.balancer.holds().iter().map(|(name, _)| name.clone()).collect();
        let is_held = |name: &String| held.iter().any(|held| held.as_str() == name);
        let names = match request.upstream {
            None => Ok(held),
            // One that is not configured any more may still be held.
            Some(name) if is_held(&name) => Ok(held.into_iter().filter(|held| held.as_str() == name).collect()),
            Some(name) => self.configured(Some(name)),
        };
        let names = match names.and_then(|names| self.present().map(|()| names)) {
            Ok(names) => names,
            Err(refusal) => return answer.send(Err(refusal)),
        };
        let (changed, unchanged): (BTreeSet<_>, BTreeSet<_>) =
            names.into_iter().partition(|name| self.balancer.holds().get(name).is_some());
        for upstream in &changed {
            info!(%upstream, "released");
        }
        self.balancer.handle_release(now, &changed);
        self.hold_changed(Changed { changed, explained: BTreeSet::new(), unchanged }, Reply::Release(answer));
    }

    fn hold_changed(&mut self, Changed { changed, explained, unchanged }: Changed, reply: Reply) {
        let is_same = changed.is_empty() && explained.is_empty();
        let changed = HoldChanged {
            upstreams: words(changed),
            explained: words(explained),
            unchanged: words(unchanged),
            unsaved: None,
        };
        if is_same {
            reply.send(Ok(changed));
        } else {
            self.operator.waiting.push(Waiting { changed, reply });
        }
    }

    /// Goes back to an older generation once nothing else is under way.
    pub(in crate::agent) fn roll_back(&mut self, request: UpstreamRollback, answer: Answer<UpstreamRollback>) {
        let reason = self.present().and_then(|()| self.reason(request.reason));
        match reason {
            Err(refusal) => answer.send(Err(refusal)),
            Ok(_) if self.operator.rollback.is_some() || self.operator.is_going_back() => {
                answer.send(Err(Refusal::new("somebody goes back already").with_remedy("wait until that has ended")));
            }
            Ok(reason) => {
                let UpstreamRollback { to, force, .. } = request;
                self.operator.rollback = Some(GoBack { to, reason, force, answer });
            }
        }
    }

    pub(super) fn handle_went_back(&mut self, now: Instant, went_back: Option<WentBack>) {
        let Some((_, answer)) = self.operator.going_back.take() else { return };
        let Some(WentBack { outcome, live, holds, held, explained, to, took }) = went_back else {
            self.balancer.handle_rolled_back(now, Applied::Failed { reloaded: false }, None, &Holds::default());
            self.watch.applied(now, None, self.applier.run_by());
            return answer.send(Err(Refusal::new("going back broke off").with_remedy("see 'journalctl -u weir'")));
        };
        for (upstream, Hold { reason, .. }) in held.iter() {
            info!(%upstream, reason = reason.as_ref().map(Reason::as_str), "held");
        }
        self.balancer.handle_explained(&explained);
        let by = self.applier.run_by();
        let (generation, live) = live.unzip();
        match outcome {
            Err(why) => {
                if let Some(generation) = generation {
                    self.applies.in_place(now, generation);
                }
                self.balancer.handle_rolled_back(now, Applied::Failed { reloaded: false }, live, &held);
                self.watch.applied(now, None, self.applier.run_by());
                answer.send(Err(why.told(by)));
            }
            Ok(report) => {
                let Trouble { what: message, way_out } = report.told(by);
                let told = RolledBack {
                    to,
                    generation: report.generation(),
                    result: Some(status::result(&report).into()),
                    elapsed_ms: millis(took),
                    held: words(holds.iter().map(|(name, _)| name.clone()).collect()),
                    message,
                    remedy: Some(way_out).filter(|way_out| !way_out.is_empty()),
                };
                self.balancer.handle_rolled_back(now, Applied::from(&report), live, &held);
                self.watch.applied(now, Some(&report), by);
                let ended = Ended { report, took, by };
                self.timeline.tell(&ended, &Asked::default());
                // Who asked is told of a refusal; nothing was wanted in vain since.
                if !matches!(ended.report, Report::Refused { .. }) {
                    self.applies.ended(now, ended);
                }
                answer.send(Ok(told));
            }
        }
    }

    /// What differs between what is in place and what is wanted.
    pub(in crate::agent) fn wanted_changes(&self, now: Instant) -> Differences {
        let held = self.balancer.released(now).filter_map(|(upstream, released)| {
            let Hold { since, reason } = self.balancer.holds().get(upstream.name())?;
            Some(HeldBack {
                upstream: upstream.name().to_string(),
                since: Some(Calendar::unix(*since)),
                reason: reason.as_ref().map(ToString::to_string),
                changes: status::changes_to(upstream, &released),
            })
        });
        Differences {
            from: self.applies.generation(),
            changes: self.waiting(),
            held: held.collect(),
            ..Differences::default()
        }
    }

    /// What is wanted of `apply`.
    pub(in crate::agent) fn wanted(&self) -> Wanted {
        let is_decided = self.balancer.upstreams().iter().any(|upstream| upstream.decision().is_some());
        let desired = || String::from_utf8(self.balancer.desired().to_json()).ok();
        Wanted { desired: is_decided.then(desired).flatten() }
    }

    /// Refused while this node leaves: what is in place stays; and while it is not known what is held.
    fn present(&self) -> Result<(), Refusal> {
        match self.members_at {
            None => Err(leaves()),
            Some(_) if self.awaits_kept => {
                Err(Refusal::new("what is held and was promised is not known").with_remedy("see 'weir status'"))
            }
            Some(_) => Ok(()),
        }
    }

    fn reason(&self, reason: Option<String>) -> Result<Option<Reason>, Refusal> {
        self.present()?;
        reason.map(Reason::try_from).transpose().map_err(|error| Refusal::new(error.to_string()).of_kind(Kind::Usage))
    }

    /// The one of that name, or all.
    fn configured(&self, name: Option<String>) -> Result<BTreeSet<UpstreamName>, Refusal> {
        let all = || self.balancer.upstreams().iter().map(|upstream| upstream.name());
        let Some(name) = name else { return Ok(all().cloned().collect()) };
        match all().find(|known| known.as_str() == name) {
            Some(known) => Ok(BTreeSet::from([known.clone()])),
            None => Err(no_upstream(&name, all().map(UpstreamName::as_str))),
        }
    }
}

fn leaves() -> Refusal {
    Refusal::new("this node leaves, what nginx has stays as it is")
}

pub(super) fn refusal(error: &Error, by: RunBy) -> Refusal {
    let Trouble { what, way_out } = error.told(by);
    let refusal = Refusal::new(what);
    if way_out.is_empty() { refusal } else { refusal.with_remedy(way_out) }
}

fn words(names: BTreeSet<UpstreamName>) -> Vec<String> {
    names.into_iter().map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::super::InPlace;
    use super::*;
    use crate::apply::{Notes, Step};
    use crate::config::{ApplyMode, Config};
    use crate::rpc::weir::Awaited;

    #[test]
    fn going_back_names_its_generation_before_anybody_is_asked() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(named(state.path(), Some(Generation(7))), Ok(Generation(7)));
        let none = named(state.path(), None).unwrap_err();
        assert_eq!(none, Error::NotDone(apply::Refusal::NoGeneration { to: None }).into());
    }

    fn waiting() -> (Waiting, Awaited<UpstreamHold>) {
        let (answer, told) = Answer::channel();
        let changed = HoldChanged { upstreams: vec!["web".to_owned()], ..HoldChanged::default() };
        (Waiting { changed, reply: Reply::Hold(answer) }, told)
    }

    fn go_back_to(to: u64) -> (GoBack, Awaited<UpstreamRollback>) {
        let (answer, told) = Answer::channel();
        (GoBack { to: Some(Generation(to)), reason: None, force: false, answer }, told)
    }

    #[test]
    fn who_goes_back_waits_for_holds_that_no_job_has_carried_yet() {
        let mut operator = Operator::default();
        let ((hold, mut held), (go_back, _told)) = (waiting(), go_back_to(7));
        (operator.waiting, operator.rollback) = (vec![hold], Some(go_back));
        assert!(operator.next_rollback().is_none());
        operator.carried();
        operator.applied(None, RunBy::Root);
        assert!(held.try_recv().is_some());
        assert_eq!(operator.next_rollback().and_then(|go_back| go_back.to), Some(Generation(7)));
    }

    #[test]
    fn whoever_waits_for_a_job_is_told_when_this_node_leaves() {
        let mut operator = Operator::default();
        let ((hold, mut held), (go_back, mut went_back)) = (waiting(), go_back_to(7));
        (operator.waiting, operator.rollback) = (vec![hold], Some(go_back));
        operator.leave();
        assert_eq!(held.try_recv().unwrap().unwrap().unsaved.unwrap().what, "this node leaves");
        assert_eq!(went_back.try_recv().unwrap().unwrap_err(), leaves());
        assert!(operator.next_rollback().is_none());
    }

    #[tokio::test]
    async fn what_a_rollback_has_put_in_place_counts_though_nobody_answered() {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        (config.apply.mode, config.apply.state) = (ApplyMode::Direct, state.path().to_owned());
        let (applier, holds) = (Applier::new(&config), Holds::default());
        let in_place = InPlace { applier, live: None, since: None, kept: Some(kept::Kept::default()) };
        let mut upstreams = Upstreams::new(&config, in_place, Instant::ZERO);
        let (answer, mut told) = Answer::channel();
        upstreams.operator.going_back = Some((tokio::spawn(std::future::pending()), answer));
        let live = Some((Generation(9), Desired::new(0)));
        let (outcome, to, took) = (Err(Error::MasterGone.into()), Some(Generation(7)), Duration::ZERO);
        let (held, explained) = (holds.clone(), holds.clone());
        let went_back = WentBack { outcome, live, held, explained, holds, to, took };
        upstreams.handle_went_back(Instant::ZERO, Some(went_back));
        assert!(told.try_recv().unwrap().is_err());
        assert_eq!(upstreams.applies.generation(), Some(Generation(9)));
    }

    #[test]
    fn a_hold_is_told_as_saved_only_if_its_job_was_begun() {
        for (step, is_saved) in [
            (Step::Ask, false),
            (Step::Limits, false),
            (Step::Lock, false),
            (Step::Locate, true),
            (Step::Plan, true),
            (Step::Validate, true),
        ] {
            let (error, notes) = (Error::MasterGone, Notes::default());
            let report = Report::Refused { generation: None, step, error, ours: false, notes };
            assert_eq!(unsaved(Some(&report), RunBy::Root).is_none(), is_saved, "{step}");
        }
        assert!(unsaved(None, RunBy::Root).is_some(), "it broke off");
    }
}
