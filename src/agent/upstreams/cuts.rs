//! Has NGINX's connections to dead servers ended, on another thread, and tells the operator once for each death (`protocols D.4`).

use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::ended;
use super::probes::Probes;
use crate::agent::applier::Applier;
use crate::apply::{Cut, CutOff, Dead, Deaths, Looked, Notes, Process, Uncut};
use crate::time::Instant;
use crate::upstream::UpstreamName;
use crate::upstream::balancer::Balancer;
use crate::upstream::cuts::{self, Passed, Place};
use crate::wire::NodeName;

/// What a pass over dead servers came to.
pub(super) type Passes = Result<Vec<Looked>, Uncut>;

/// The passes of this balancer.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    deaths: cuts::Cuts,
    /// Of which decisions the deaths are.
    decisions: u64,
    passing: Option<JoinHandle<Passes>>,
    /// Whom that is about.
    under_way: Vec<Place>,
    /// Why connections go on, as it was told last.
    told: Option<Uncut>,
}

impl Cuts {
    /// When to call [`Self::advance`], if nothing comes before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deaths.poll_timeout().filter(|_| self.passing.is_none())
    }

    /// Takes note of what is decided, and begins the passes that are due. `known` is the master that was seen last.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        balancer: &Balancer,
        probes: &Probes,
        applier: &Arc<Applier>,
        known: Option<Process>,
    ) {
        if std::mem::replace(&mut self.decisions, balancer.decisions()) != balancer.decisions() {
            self.deaths.handle_decisions(now, balancer);
        }
        if self.passing.is_some() {
            return;
        }
        // Together, so that nobody waits for another one and may have recovered by then.
        let due = std::iter::from_fn(|| self.deaths.poll_cut(now, vouched_by(probes)));
        let dead: Vec<Dead> =
            due.take(Deaths::MAX).map(|((upstream, member), cut)| Dead { upstream, member, cut }).collect();
        if dead.is_empty() {
            return;
        }
        self.under_way = dead.iter().map(|dead| (dead.upstream.clone(), dead.member.clone())).collect();
        let (applier, cut) = (Arc::clone(applier), Cut { dead: Deaths::new(dead), known });
        self.passing = Some(tokio::task::spawn_blocking(move || applier.cut(cut)));
    }

    /// Whose connections a job ends once it is in place.
    pub(super) fn deaths(&mut self, probes: &Probes) -> Deaths {
        Deaths::new(self.deaths.dead(vouched_by(probes)).map(|(upstream, member, cut)| Dead {
            upstream: upstream.clone(),
            member: member.clone(),
            cut,
        }))
    }

    /// The next passes that have ended; `None` if they broke off. Cancel-safe.
    pub(super) async fn passed(&mut self) -> Option<Passes> {
        ended(&mut self.passing).await
    }

    /// A pass has ended.
    pub(super) fn handle_passed(&mut self, now: Instant, passes: Option<Passes>) {
        let under_way = std::mem::take(&mut self.under_way);
        let (looked, otherwise) = match passes {
            Some(Ok(looked)) => (looked, Passed::Failed),
            Some(Err(uncut)) => (Vec::new(), self.handle_uncut(uncut)),
            None => (Vec::new(), Passed::Failed),
        };
        for place in under_way {
            let (upstream, member) = &place;
            let one = looked.iter().find(|looked| (&looked.upstream, &looked.member) == (upstream, member));
            let passed = one.map_or(otherwise, |looked| looked.ended.map_or(Passed::Over, Passed::Cut));
            if let Some(connections) = self.deaths.handle_cut(now, &place, passed) {
                tell(&place, connections);
            }
            self.deaths.handle_written(&place, one.map_or(0, |looked| looked.recorded));
        }
    }

    /// A job has ended, and with it what it cut.
    pub(super) fn handle_applied(&mut self, notes: &Notes) {
        for CutOff { upstream, member, connections } in &notes.cut {
            let place = (upstream.clone(), member.clone());
            if let Some(connections) = self.deaths.handle_recorded(&place, *connections) {
                tell(&place, connections);
            }
        }
        self.deaths.handle_job_ended();
        if let Some(uncut) = &notes.uncut {
            self.handle_uncut(uncut.clone());
        }
    }

    /// Told once, as long as it is the same; what keeps a job from being done is told by that.
    fn handle_uncut(&mut self, uncut: Uncut) -> Passed {
        let passed = if uncut.is_lasting() { Passed::Impossible } else { Passed::Failed };
        match &uncut {
            Uncut::NotDone(error) => debug!(%error, "connections to a dead server go on"),
            Uncut::Unsupported | Uncut::NotPermitted | Uncut::OtherNetwork { .. } | Uncut::Kernel(_) => {
                if self.told.as_ref() != Some(&uncut) {
                    warn!(error = %uncut, "connections to a dead server go on");
                    self.told = Some(uncut);
                }
            }
        }
        passed
    }
}

/// While nobody else answers it may be our own network.
fn vouched_by(probes: &Probes) -> impl Fn(&UpstreamName, &NodeName) -> bool {
    |upstream, member| probes.others_answer(upstream, member)
}

fn tell((upstream, member): &Place, count: u32) {
    info!(%upstream, %member, count, "connections cut");
}
