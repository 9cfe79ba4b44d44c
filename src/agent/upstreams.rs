//! Members to NGINX: decide, let it settle, apply off the loop, and take the result back.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::applier::Applier;
use super::clock;
use crate::apply;
use crate::config::Config;
use crate::endpoint::Endpoint;
use crate::serf::{Member, Status};
use crate::swim::Swim;
use crate::time::{Instant, millis};
use crate::upstream::desired::Desired;
use crate::upstream::settle::{self, News, Settle};
use crate::upstream::{
    Candidate, Circumstances, Decision, Generation, Gossip, LeftOut, Mode, Options, Previous, UpstreamName, Want,
    decide,
};
use crate::wire::NodeName;

/// After a restart, who is missing may only not be back yet (`protocols D.3`).
const REJOIN_GRACE: Duration = Duration::from_secs(30);
/// The first join may take this long before what is known counts as complete.
const FIRST_VIEW: Duration = Duration::from_secs(5);
/// An apply's time at the agent's end. It takes a fraction of a second; systemd waits for 45 s, 30 s of them for the leave.
const LAST_APPLY: Duration = Duration::from_secs(10);
/// Decides again although nothing was reported, so that whatever was missed heals.
const RECONCILE: Duration = Duration::from_secs(30);

/// All upstreams of this balancer.
#[derive(Debug)]
pub(super) struct Upstreams {
    each: Vec<Upstream>,
    settle: Settle,
    apply: Arc<Applier>,
    /// Chooses the order of lines, different on each balancer.
    order: u64,
    /// Applies and recoveries that run on threads now; they take turns.
    running: JoinSet<Done>,
    /// Members changed since the last decision.
    dirty: bool,
    complete: bool,
    started: Instant,
    again_at: Instant,
    last: Option<Last>,
}

/// One upstream and what is known of it.
#[derive(Debug)]
struct Upstream {
    options: Options,
    previous: Previous,
    decision: Option<Decision>,
    /// What was put in place last: a placeholder leaves no trace in `previous`.
    in_place: Option<Want>,
    /// What the debounce was asked for last, and is not in place. Forgotten when the wish is what is in place: an apply that
    /// is still under way may be about to replace just that.
    asked: Option<Want>,
}

/// What a decision asks of the debounce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ask {
    /// It is in place.
    Nothing,
    /// It was asked for before and is not in place yet: under way, or to be tried again in due time.
    Again,
    New(News),
}

/// How the last apply ended, for `info`.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) at: Instant,
    pub(super) word: &'static str,
    pub(super) text: String,
}

/// What comes back from the threads.
#[derive(Debug)]
pub(super) enum Done {
    /// An apply has ended.
    Applied(Box<Report>),
    /// What an earlier run left half done is ended, if it left anything.
    Recovered(Option<Box<Recovered>>),
}

/// How an apply ended.
#[derive(Debug)]
pub(super) struct Report {
    /// Made of the configuration of that time.
    apply: Arc<Applier>,
    decisions: Vec<(UpstreamName, Decision)>,
    outcome: apply::Report,
    took: Duration,
}

/// What became of a run that died.
#[derive(Debug)]
pub(super) struct Recovered {
    outcome: apply::Report,
    took: Duration,
}

impl Upstreams {
    /// Reads what an earlier run left in place, and begins to end what it left half done, whatever there is to apply now;
    /// `None` without upstreams. Blocks shortly on the disk.
    pub(super) fn new(config: &Config, now: Instant) -> Option<Self> {
        if config.upstreams.is_empty() {
            return None;
        }
        let apply = Applier::new(config);
        let live = apply.live().unwrap_or_else(|error| {
            warn!(%error, "what is in place is not known, upstreams start afresh");
            None
        });
        let (generation, live) = live.map_or((Generation::default(), None), |(number, live)| (number, Some(live)));
        let each: Vec<_> =
            config.upstreams.iter().map(|upstream| Upstream::new(&upstream.options, live.as_ref())).collect();
        info!(upstreams = each.len(), %generation, "balancing");
        let order = Desired::order_of(&config.node.name);
        let mut upstreams = Self {
            each,
            settle: Settle::new(config.apply.settle(settle::Options::jitter_of(order))),
            apply: Arc::new(apply),
            order,
            running: JoinSet::new(),
            dirty: true,
            complete: false,
            started: now,
            again_at: now,
            last: None,
        };
        upstreams.recover();
        Some(upstreams)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = (!self.complete).then(|| self.started + FIRST_VIEW);
        [Some(self.again_at), self.settle.poll_timeout(), waiting].into_iter().flatten().min()
    }

    /// Takes a new configuration. Upstreams that keep their name keep their memory.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        let mut before = std::mem::take(&mut self.each);
        for upstream in &config.upstreams {
            let options = &upstream.options;
            let kept = before.iter().position(|known| known.options.name == options.name);
            let mut next = kept.map_or_else(|| Upstream::new(options, None), |index| before.swap_remove(index));
            next.options = options.clone();
            // The file may have to change although the servers do not.
            next.in_place = None;
            next.asked = None;
            next.decision = None;
            self.each.push(next);
        }
        self.apply = Arc::new(Applier::new(config));
        self.settle.set_options(config.apply.settle(settle::Options::jitter_of(self.order)));
        self.dirty = true;
    }

    /// For `info`: each upstream in a line, and how the last apply ended.
    pub(super) fn stats(&self) -> BTreeMap<String, String> {
        let mut lines: BTreeMap<_, _> = self.each.iter().map(Upstream::line).collect();
        if let Some(last) = &self.last {
            let ago = clock::now().since(last.at).as_secs();
            lines.insert("last_apply".to_owned(), format!("{}, {ago} s ago: {}", last.word, last.text));
        }
        lines
    }

    /// Something about the members is different; decided once after everything that belongs to it was heard.
    pub(super) fn members_changed(&mut self) {
        self.dirty = true;
    }

    /// The first join has ended: what is known now is the cluster.
    pub(super) fn first_view_complete(&mut self) {
        self.dirty |= !std::mem::replace(&mut self.complete, true);
    }

    /// Decides if something changed, and applies if that is due.
    pub(super) fn advance(&mut self, now: Instant, endpoint: &Endpoint) {
        self.complete |= now.since(self.started) >= FIRST_VIEW;
        if self.dirty || self.again_at <= now {
            self.decide(now, endpoint);
        }
        if self.complete {
            // After the first decision, which is then due at once.
            self.settle.complete();
        }
        if self.settle.handle_timeout(now) {
            self.apply();
        }
    }

    fn apply(&mut self) {
        let (desired, decisions) = self.desired();
        let apply = self.apply.clone();
        self.running.spawn_blocking(move || {
            let started = clock::now();
            let outcome = apply.apply(&desired);
            let took = clock::now().since(started);
            Done::Applied(Box::new(Report { apply, decisions, outcome, took }))
        });
    }

    fn recover(&mut self) {
        let apply = self.apply.clone();
        self.running.spawn_blocking(move || {
            let started = clock::now();
            let recovered = apply.recover();
            let took = clock::now().since(started);
            Done::Recovered(recovered.map(|outcome| Box::new(Recovered { outcome, took })))
        });
    }

    /// The next apply or recovery that has ended. Cancel-safe.
    pub(super) async fn done(&mut self) -> Done {
        loop {
            match self.running.join_next().await {
                Some(Ok(done)) => return done,
                Some(Err(error)) => error!(%error, "apply broke off"),
                None => return std::future::pending().await,
            }
        }
    }

    pub(super) fn handle_done(&mut self, now: Instant, done: Done) {
        match done {
            Done::Applied(report) => self.handle_applied(now, *report),
            Done::Recovered(None) => {}
            Done::Recovered(Some(recovered)) => {
                warn!("the last run of the agent ended within an apply");
                log_outcome(&recovered.outcome, recovered.took);
            }
        }
    }

    fn handle_applied(&mut self, now: Instant, report: Report) {
        let Report { apply, decisions, outcome, took } = report;
        log_outcome(&outcome, took);
        self.settle.applied(now, outcome.applied());
        self.last = Some(Last { at: now, word: outcome.word(), text: outcome.to_string() });
        // With a configuration that came meanwhile the same servers may make another file, or the same file in another place.
        let outdated = !Arc::ptr_eq(&apply, &self.apply);
        if outcome.is_in_place() {
            for (name, decision) in decisions {
                // A reload may have taken the upstream away meanwhile.
                let Some(upstream) = self.each.iter_mut().find(|each| each.options.name == name) else { continue };
                upstream.put_in_place(decision);
                if outdated {
                    upstream.in_place = None;
                }
            }
        }
        self.dirty = true;
    }

    /// Waits for an apply that runs: cut short, it can leave a file in place that NGINX has not tested, and nobody who would put
    /// the old one back. `unless` ends the wait.
    pub(super) async fn finish(&mut self, unless: impl Future<Output = ()>) {
        let (mut limit, mut unless) = (pin!(sleep(LAST_APPLY)), pin!(unless));
        while !self.running.is_empty() {
            tokio::select! {
                done = self.done() => self.handle_done(clock::now(), done),
                () = &mut unless => break,
                () = &mut limit => break,
            }
        }
        if !self.running.is_empty() {
            warn!("an apply is cut short; the next start of the agent puts back what it left half done");
        }
    }

    /// Decides for every upstream and tells the debounce what that means.
    fn decide(&mut self, now: Instant, endpoint: &Endpoint) {
        self.dirty = false;
        self.again_at = now + RECONCILE;
        let candidates: Vec<_> = endpoint.members().map(|member| candidate(member, endpoint.swim())).collect();
        let rejoining = now.since(self.started) < REJOIN_GRACE;
        let at = Circumstances { now, held: false, rejoining };
        let mut differs = false;
        for upstream in &mut self.each {
            let decision = decide(&candidates, &upstream.options, &upstream.previous, &at);
            upstream.previous.decided(&decision);
            if let Some(again_at) = decision.again_at {
                self.again_at = self.again_at.min(again_at);
            }
            match upstream.ask(&decision) {
                Ask::Nothing => {}
                Ask::Again => differs = true,
                Ask::New(news) => {
                    differs = true;
                    self.settle.wanted(now, news);
                }
            }
            upstream.report_mode(&decision);
            upstream.report_left_out(&decision);
            upstream.decision = Some(decision);
        }
        if rejoining {
            self.again_at = self.again_at.min(self.started + REJOIN_GRACE);
        }
        if !differs {
            self.settle.unwanted();
        }
    }

    /// The document, and the decisions it was made from.
    fn desired(&self) -> (Desired, Vec<(UpstreamName, Decision)>) {
        let mut desired = Desired::new(self.order);
        let mut decisions = Vec::new();
        for upstream in &self.each {
            let Some(decision) = &upstream.decision else { continue };
            let Some(target) = decision.target() else { continue };
            desired.upstreams.insert(upstream.options.name.clone(), target);
            decisions.push((upstream.options.name.clone(), decision.clone()));
        }
        (desired, decisions)
    }
}

impl Upstream {
    fn new(options: &Options, live: Option<&Desired>) -> Self {
        let previous = match live.and_then(|live| live.upstreams.get(&options.name)) {
            Some(target) => Previous::restored(target.clone()),
            None => Previous::default(),
        };
        Self { options: options.clone(), previous, decision: None, in_place: None, asked: None }
    }

    /// `web`: `2 of 3 in`, and how the group is doing if not well.
    fn line(&self) -> (String, String) {
        let name = self.options.name.to_string();
        let Some(decision) = &self.decision else { return (name, "undecided".to_owned()) };
        let serving = match &decision.want {
            Want::Servers(servers) => servers.serving().count(),
            Want::Placeholder | Want::Hold(_) => 0,
        };
        let mode = match decision.mode {
            Mode::Normal => "",
            Mode::Floor => ", too few are well: those that are ill stay",
            Mode::Last => ", nobody is well: the last good ones stay",
        };
        (name, format!("{serving} of {} in{mode}", decision.members.len()))
    }

    fn ask(&mut self, decision: &Decision) -> Ask {
        if self.is_in_place(decision) {
            self.asked = None;
            return Ask::Nothing;
        }
        if self.asked.as_ref() == Some(&decision.want) {
            return Ask::Again;
        }
        self.asked = Some(decision.want.clone());
        Ask::New(self.previous.news(decision))
    }

    /// What an apply with `decision` has put there.
    fn put_in_place(&mut self, decision: Decision) {
        self.previous.applied(&decision);
        self.in_place = Some(decision.want);
    }

    fn is_in_place(&self, decision: &Decision) -> bool {
        match &self.in_place {
            Some(want) => *want == decision.want || self.previous.is_live(decision),
            // Not known whether the file is there and NGINX has read it: `apply` finds out, and says `unchanged` if so.
            None => matches!(decision.want, Want::Hold(_)),
        }
    }

    /// One line for each selected member that from now on cannot be a server, with the reason.
    fn report_left_out(&self, decision: &Decision) {
        let before = self.decision.as_ref().map(|before| &before.left_out[..]).unwrap_or_default();
        let upstream = &self.options.name;
        for (member, reason) in newly_left_out(before, &decision.left_out) {
            warn!(%upstream, %member, %reason, "member is no server");
        }
    }

    /// One line of the operator's timeline when the group begins to do better or worse.
    fn report_mode(&self, decision: &Decision) {
        let before = self.decision.as_ref().map(|before| (before.mode, before.want == Want::Placeholder));
        let after = (decision.mode, decision.want == Want::Placeholder);
        if before == Some(after) || before.is_none() && decision.mode == Mode::Normal {
            return;
        }
        let upstream = &self.options.name;
        let (floor, base) = (decision.floor, decision.base);
        if decision.want == Want::Placeholder {
            return warn!(%upstream, "no server is there, requests are answered 502");
        }
        match decision.mode {
            Mode::Normal => info!(%upstream, floor, base, "enough servers are well again"),
            Mode::Floor => warn!(%upstream, floor, base, "too few servers are well, those that are ill stay in"),
            Mode::Last => warn!(%upstream, floor, base, "no server is well, the last good ones stay"),
        }
    }
}

/// What `after` holds beyond `before`; both are sorted by name.
fn newly_left_out<'a>(
    before: &'a [(NodeName, LeftOut)],
    after: &'a [(NodeName, LeftOut)],
) -> impl Iterator<Item = &'a (NodeName, LeftOut)> {
    let known = |(name, reason): &(NodeName, LeftOut)| {
        before.binary_search_by(|(other, _)| other.cmp(name)).is_ok_and(|index| before[index].1 == *reason)
    };
    after.iter().filter(move |entry| !known(entry))
}

fn candidate(member: &Member, swim: &Swim) -> Candidate {
    let suspected = || swim.member(&member.node.name).is_some_and(|member| member.state.is_suspect());
    let gossip = match member.status {
        Status::Alive if suspected() => Gossip::Suspect,
        Status::Alive => Gossip::Alive,
        Status::Leaving => Gossip::Leaving,
        Status::Left => Gossip::Left,
        Status::Failed => Gossip::Failed,
    };
    Candidate::new(member.node.name.clone(), member.node.addr.ip(), member.tags(), gossip)
}

fn log_outcome(outcome: &apply::Report, took: Duration) {
    let elapsed_ms = millis(took);
    match outcome {
        apply::Report::Live { generation, upstreams, .. } => {
            let upstream = upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            info!(upstream, %generation, elapsed_ms, "apply live");
        }
        apply::Report::Unchanged { generation } => info!(%generation, elapsed_ms, "apply unchanged"),
        apply::Report::Stored { generation, .. } => warn!(%generation, elapsed_ms, error = %outcome, "apply stored"),
        apply::Report::Refused { step, error, ours } => {
            error!(%step, ours, elapsed_ms, error = %error, "apply refused");
        }
        apply::Report::RolledBack { failed, .. } => {
            error!(generation = %failed, elapsed_ms, error = %outcome, "apply rolled back")
        }
        apply::Report::Failed { failed, .. } => error!(generation = %failed, elapsed_ms, error = %outcome, "apply failed"),
    }
}

#[cfg(test)]
mod tests;
