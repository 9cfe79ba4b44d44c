//! The hand of the balancer: tells it what gossip says, carries out on other threads what it asks for, and tells the operator.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{error, info, warn};

use self::busy::Busy;
use self::cuts::Cuts;
use self::drains::Drains;
use self::health::Health;
use self::kept::Kept;
use self::operator::{Operator, WentBack};
use self::probes::Probes;
use self::status::Applies;
use self::timeline::{Asked, Timeline};
use self::watch::{Look, Watch};
use super::applier::Applier;
use super::clock::{self, Calendar};
use super::notice::some_of;
use crate::apply::{self, Job, Notes, Report, RunBy};
use crate::config::Config;
use crate::drain::Standing;
use crate::endpoint::Endpoint;
use crate::error::Trouble;
use crate::health::isolation::Isolation;
use crate::health::second_witness::{Heard, SecondWitnesses};
use crate::serf::{self, QueryOutput, Status};
use crate::status::health::MemberHealth;
use crate::time::Instant;
use crate::upstream::balancer::{Balancer, Group, Notice, Output, Strength};
use crate::upstream::desired::Desired;
use crate::upstream::settle::{self, Applied};
use crate::upstream::{Candidate, Generation, Options, UpstreamName};
use crate::wire::NodeName;

mod busy;
mod cuts;
mod drains;
mod health;
mod kept;
mod operator;
mod past;
mod probes;
mod questions;
mod status;
mod timeline;
mod watch;
mod witness;

/// An apply's time at the agent's end. It takes a fraction of a second; systemd waits for 45 s, 30 s of them for the leave.
const LAST_APPLY: Duration = Duration::from_secs(10);
/// Members are looked at again although nothing was reported, so that whatever was missed heals.
const RECONCILE: Duration = Duration::from_secs(30);
/// The first probes of all servers are spread over a second; what is known counts as complete without those that take longer.
const FIRST_PROBES: Duration = Duration::from_millis(1500);

/// All upstreams of this node.
#[derive(Debug)]
pub(super) struct Upstreams {
    balancer: Balancer,
    applier: Arc<Applier>,
    /// Where `apply` keeps what it did.
    state: PathBuf,
    /// Chooses the order of lines and the jitter, different on each balancer.
    order: u64,
    applying: Option<JoinHandle<Ended>>,
    /// What that is to change.
    asked: Asked,
    timeline: Timeline,
    /// How long whoever applies has been at it, whatever it is.
    busy: Busy,
    /// What an earlier run left half done is being ended.
    recovering: Option<JoinHandle<Option<Ended>>>,
    /// What an earlier run has promised and held is not known yet. Every job carries all of that, so none begins.
    awaits_kept: bool,
    /// Nodes that leave.
    drains: Drains,
    /// What operators wait for.
    operator: Operator,
    watch: Watch,
    probes: Probes,
    cuts: Cuts,
    health: Health,
    witnesses: SecondWitnesses,
    isolation: Isolation,
    /// The first join has ended; when what is known counts as complete although servers have not been probed or heard yet.
    complete_by: Option<Instant>,
    /// When the balancer is to hear of the members again; `None` once this node leaves.
    members_at: Option<Instant>,
    applies: Applies,
}

/// What comes back from the threads; `None` of a thread that broke off.
#[derive(Debug)]
pub(super) enum Done {
    /// An apply has ended.
    Applied(Option<Ended>),
    /// What an earlier run left half done is ended, if it left anything.
    Recovered(Option<Option<Ended>>),
    /// What leaving nodes may be promised.
    Kept(Option<Result<Standing, apply::Error>>),
    /// An operator's rollback has ended.
    WentBack(Option<WentBack>),
    /// Who NGINX's master is.
    Looked(Option<Look>),
    /// A server has been probed.
    Probed(probes::Ended),
    /// Connections to dead servers were ended.
    Passed(Option<cuts::Passes>),
}

/// How an apply ended.
#[derive(Debug)]
pub(super) struct Ended {
    report: Report,
    took: Duration,
    by: RunBy,
}

/// What an earlier run left in place.
#[derive(Debug)]
pub(super) struct InPlace {
    applier: Applier,
    live: Option<(Generation, Desired)>,
    /// Since when, in milliseconds of Unix time, if that is known.
    since: Option<u64>,
    /// `None` if that is not known.
    kept: Option<Kept>,
}

impl InPlace {
    /// Looks; `None` with nothing to put there or to take away. Blocks on the disk.
    pub(super) fn look(config: &Config) -> Option<Self> {
        let has_targets = !config.upstreams.is_empty() || !config.templates.is_empty();
        let applier = Applier::new(config);
        let live = applier.live().unwrap_or_else(|error| {
            if has_targets {
                warn!(error = %error.told(applier.run_by()), "what is in place is not known, upstreams start afresh");
            }
            None
        });
        // Files of upstreams that are not configured any more are to be taken away.
        let has_files = live.as_ref().is_some_and(|(_, desired)| !desired.upstreams.is_empty());
        if !has_targets && !has_files {
            return None;
        }
        let generation = live.as_ref().map(|(generation, _)| *generation);
        let kept = kept::known(&applier, &config.apply.state)
            .inspect_err(|error| {
                let error = error.told(applier.run_by());
                error!(%error, "what is held and was promised is not known, nothing is put in place until it is");
            })
            .ok();
        Some(Self { applier, since: past::made_at(&config.apply.state, generation), live, kept })
    }
}

impl Upstreams {
    /// Goes on from what is in place, and begins to end what the earlier run left half done, whatever there is to apply now.
    pub(super) fn new(config: &Config, in_place: InPlace, now: Instant) -> Self {
        let InPlace { applier, live, since, kept } = in_place;
        let awaits_kept = kept.is_none();
        let Kept { holds, promises } = kept.unwrap_or_default();
        let (generation, live) = live.unzip();
        let upstreams = some_of(config.upstreams.iter().map(|upstream| upstream.options.name.as_str()));
        info!(upstreams, generation = %generation.unwrap_or_default(), "balancing");
        kept::tell(&holds, &promises);
        let order = Desired::order_of(&config.node.name);
        let applier = Arc::new(applier);
        let mut balancer = Balancer::new(options(config), settle(config, order), order, live, holds, now);
        balancer.handle_templates(now, !config.templates.is_empty());
        if awaits_kept {
            balancer.suspend();
        }
        Self {
            balancer,
            recovering: Some(recover(Arc::clone(&applier))),
            applier,
            state: config.apply.state.clone(),
            order,
            applying: None,
            busy: Busy::default(),
            asked: Asked::default(),
            timeline: Timeline::default(),
            awaits_kept,
            drains: Drains::new(now, promises),
            operator: Operator::default(),
            watch: Watch::new(now),
            probes: Probes::new(now, config),
            cuts: Cuts::default(),
            health: Health::new(config, now),
            witnesses: SecondWitnesses::default(),
            isolation: Isolation::new(now),
            complete_by: None,
            members_at: Some(now),
            applies: Applies::new(generation, since),
        }
    }

    /// Whom gossip had let go of when the earlier run of this agent ended. To be called before anything is heard of members.
    pub(super) fn handle_gone(&mut self, now: Instant, gone: &[NodeName]) {
        self.balancer.handle_gone(now, gone);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let look_at = self.watch.poll_timeout().filter(|_| self.members_at.is_some());
        let health_at = self.health.poll_timeout().filter(|_| self.members_at.is_some());
        let witness_at = self.witnesses.poll_timeout().filter(|_| self.members_at.is_some());
        let heard_by = self.isolation.poll_timeout().filter(|_| self.members_at.is_some());
        let own = [self.balancer.poll_timeout(), self.probes.poll_timeout(), self.drains.poll_timeout()];
        let others = [self.cuts.poll_timeout(), self.complete_by, self.members_at, look_at, health_at, witness_at];
        own.into_iter().chain(others).chain([self.busy.poll_timeout(), heard_by]).flatten().min()
    }

    /// Takes a new configuration.
    pub(super) fn reconfigure(&mut self, now: Instant, config: &Config) {
        self.applier = Arc::new(Applier::new(config));
        self.watch.reconfigured(now);
        self.health.reconfigure(now, config);
        self.balancer.handle_configuration(now, options(config), settle(config, self.order));
        self.balancer.handle_templates(now, !config.templates.is_empty());
        self.probes.reconfigure(now, config);
        self.members_changed();
    }

    /// Something about the members is different; looked at once after everything that belongs to it was heard.
    pub(super) fn members_changed(&mut self) {
        if let Some(at) = &mut self.members_at {
            *at = Instant::ZERO;
        }
    }

    /// A node that leaves is no judge of the others any more; its NGINX keeps what it has.
    pub(super) fn leave(&mut self) {
        self.members_at = None;
        self.balancer.leave();
        self.probes.stop();
        self.cuts = Cuts::default();
        self.operator.leave();
    }

    /// The first join has ended: what is known now is the cluster, and soon how its servers are.
    pub(super) fn first_view_complete(&mut self, now: Instant) {
        self.complete_by = Some(now + FIRST_PROBES);
        self.members_changed();
    }

    /// Lets the balancer go on, and does what it asks for.
    pub(super) fn advance(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if self.members_at.is_some() {
            self.listen(now, endpoint);
        }
        let looks_at_members = self.members_at.is_some_and(|at| at <= now);
        if looks_at_members {
            self.members_at = Some(now + RECONCILE);
            let members: Vec<_> = endpoint.members().map(|member| Candidate::of(member, endpoint.swim())).collect();
            self.probes.handle_members(now, &members, &self.balancer);
            witness::handle_members(&mut self.witnesses, now, &members, &self.balancer);
            self.health.handle_members(now, &members);
            self.balancer.handle_members(now, members);
            self.drains.handle_members(now, endpoint);
            self.drains.tell(now, &mut self.balancer);
        }
        self.probes.tell(now, endpoint, &mut self.balancer, &mut self.witnesses);
        if self.members_at.is_some() {
            self.health.advance(now, endpoint, &mut self.balancer, &mut self.drains);
            witness::advance(&mut self.witnesses, now, endpoint, &mut self.balancer, &self.probes);
            self.watch.handle_timeout(now, &self.applier);
        }
        if self.applying.is_none()
            && self.recovering.is_none()
            && !self.awaits_kept
            && !self.drains.is_keeping()
            && self.operator.begin_rollback(&self.applier, &self.state, self.balancer.holds(), self.drains.promises())
        {
            self.balancer.suspend();
            self.watch.pause();
        }
        let drained = self.drains.take_ended();
        if !drained.is_empty() {
            drained.iter().for_each(|member| self.probes.start_over(member));
            self.probes.tell(now, endpoint, &mut self.balancer, &mut self.witnesses);
        }
        self.balancer.handle_timeout(now);
        // At once, and what is dead is known when a job is asked for.
        if self.members_at.is_some() {
            self.cuts.advance(now, &self.balancer, &self.probes, &self.applier, self.watch.master());
        }
        if self.members_at.is_some() {
            self.probes.handle_decided(now, &self.balancer);
            self.probes.tell(now, endpoint, &mut self.balancer, &mut self.witnesses);
        }
        self.probes.handle_timeout(now);
        let all_are_heard = !self.probes.has_unprobed() && !self.health.awaits_first_answers();
        if self.complete_by.is_some_and(|by| by <= now || all_are_heard) {
            self.complete_by = None;
            self.balancer.handle_first_view(now);
            self.balancer.handle_timeout(now);
        }
        while let Some(output) = self.balancer.poll_output() {
            match output {
                Output::Apply { desired, causes } => {
                    self.asked = Asked::new(&self.balancer, &desired);
                    self.operator.carried();
                    self.watch.pause();
                    let holds = self.balancer.holds().clone();
                    let (promises, dead) = (self.drains.promises().clone(), self.cuts.deaths(&self.probes));
                    let job = Job { desired, causes, promises, holds, dead };
                    self.applying = Some(carry_out(Arc::clone(&self.applier), job));
                }
                Output::Tell(notice) => tell(&notice),
            }
        }
        self.advance_drains(now);
        self.busy.observe(now, self.is_busy());
        self.busy.handle_timeout(now, self.applier.run_by());
        self.send_answers(now, endpoint);
    }

    /// An answer to a query of this node's, or its end. Whether it is one of the balancer's.
    pub(super) fn handle_query(&mut self, now: Instant, output: &QueryOutput) -> bool {
        self.health.handle_answer(now, output, &self.isolation)
    }

    /// What a round of pings about a member came to.
    pub(super) fn handle_second_witness(&mut self, now: Instant, member: &NodeName, heard: Heard) {
        self.witnesses.handle_heard(now, member, heard);
    }

    /// What that member has said of its health; `None` of one that no upstream selects.
    pub(super) fn health_of(&self, member: &NodeName, calendar: &Calendar) -> Option<MemberHealth> {
        self.health.of(member, calendar)
    }

    /// The next apply or recovery that has ended. Cancel-safe.
    pub(super) async fn done(&mut self) -> Done {
        tokio::select! {
            applied = ended(&mut self.applying) => Done::Applied(applied),
            recovered = ended(&mut self.recovering) => Done::Recovered(recovered),
            kept = self.drains.kept() => Done::Kept(kept),
            went_back = self.operator.went_back() => Done::WentBack(went_back),
            looked = self.watch.looked() => Done::Looked(looked),
            probed = self.probes.ended() => Done::Probed(probed),
            passed = self.cuts.passed() => Done::Passed(passed),
        }
    }

    pub(super) fn handle_done(&mut self, now: Instant, done: Done) {
        if matches!(done, Done::Applied(_) | Done::Recovered(_) | Done::Kept(_) | Done::WentBack(_)) {
            self.busy.ended(now);
        }
        match done {
            Done::Applied(Some(ended)) => {
                self.operator.applied(Some(&ended.report), ended.by);
                self.timeline.tell(&ended, &std::mem::take(&mut self.asked));
                let waiting = ended.report.notes().waits.as_ref().map_or(&[][..], |waits| &waits.upstreams);
                self.balancer.handle_applied(now, Applied::from(&ended.report), waiting);
                self.watch.applied(now, Some(&ended.report), ended.by);
                self.cuts.handle_applied(ended.report.notes());
                self.applies.ended(now, ended);
            }
            Done::Applied(None) => {
                self.operator.applied(None, self.applier.run_by());
                self.balancer.handle_applied(now, Applied::Failed { reloaded: false }, &[]);
                self.watch.applied(now, None, self.applier.run_by());
                self.cuts.handle_applied(&Notes::default());
            }
            Done::Recovered(Some(Some(ended))) => {
                if ended.report.was_tried() {
                    warn!("an earlier apply was cut short, and is ended now");
                }
                self.timeline.tell(&ended, &Asked::default());
            }
            Done::Recovered(Some(None) | None) => {}
            Done::Kept(kept) => self.handle_kept(now, kept),
            Done::WentBack(went_back) => self.handle_went_back(now, went_back),
            Done::Probed(probed) => self.probes.handle_ended(now, probed),
            Done::Passed(passes) => self.cuts.handle_passed(now, passes),
            Done::Looked(look) => {
                if let Some(Ok(state)) = &look {
                    self.handle_known(now, state);
                }
                let live = look.as_ref().and_then(|look| look.as_ref().ok()).map(|state| state.live);
                let is_lost = live == Some(None) && self.applies.forget();
                if is_lost {
                    warn!("what was put in place is recorded no more, what is wanted is put there anew");
                }
                let news = self.watch.handle_look(now, look, self.applier.run_by());
                // What has failed may go well now, what a site needed may go, and what is in place may not be ours or not be
                // served.
                let open = self.watch.has_drifted || self.applies.last_went_wrong() || self.applies.keeps_orphans();
                let matters = (news.touched || news.looks_again) && open;
                if is_lost || news.another_master || news.drifted || matters {
                    self.balancer.handle_nginx(now);
                }
            }
        }
    }

    /// Waits for an apply that runs: cut short, it can leave a file in place that NGINX has not tested, and nobody who would put
    /// the old one back. `unless` ends the wait.
    pub(super) async fn finish(&mut self, unless: impl Future<Output = ()>) {
        let (mut limit, mut unless) = (pin!(sleep(LAST_APPLY)), pin!(unless));
        while self.is_busy() {
            tokio::select! {
                done = self.done() => self.handle_done(clock::now(), done),
                () = &mut unless => break,
                () = &mut limit => break,
            }
        }
        if self.is_busy() {
            match self.applier.run_by() {
                RunBy::Helper => warn!("an apply is not waited for any longer; weir-apply.service goes on with it"),
                RunBy::Root | RunBy::User => {
                    warn!("an apply is cut short; the next start of the agent ends what it left half done");
                }
            }
        }
    }
}

impl Upstreams {
    /// Who hears nobody is told so before it looks at who has failed.
    fn listen(&mut self, now: Instant, endpoint: &Endpoint) {
        let local = &endpoint.options().name;
        let is_alive_to_us = |member: &&serf::Member| member.status == Status::Alive && member.node.name != *local;
        let (alive, interval) = (endpoint.members().filter(is_alive_to_us), endpoint.options().swim.probe_interval);
        let is_isolated = self.isolation.observe(now, endpoint.heard(), interval, alive);
        self.balancer.handle_isolation(now, is_isolated);
    }

    /// Nothing may be asked of whoever applies now.
    fn is_held_back(&self) -> bool {
        self.awaits_kept || self.is_busy()
    }

    /// An apply is under way, or keeping promises, or going back, or ending what an earlier run left.
    fn is_busy(&self) -> bool {
        self.applying.is_some()
            || self.recovering.is_some()
            || self.drains.is_keeping()
            || self.operator.is_going_back()
    }
}

fn options(config: &Config) -> Vec<Options> {
    config.upstreams.iter().map(|upstream| upstream.options.clone()).collect()
}

fn settle(config: &Config, order: u64) -> settle::Options {
    config.apply.settle(settle::Options::jitter_of(order))
}

fn carry_out(applier: Arc<Applier>, job: Job) -> JoinHandle<Ended> {
    tokio::task::spawn_blocking(move || {
        let started = clock::now();
        let report = applier.apply(job);
        Ended { report, took: clock::now().since(started), by: applier.run_by() }
    })
}

fn recover(applier: Arc<Applier>) -> JoinHandle<Option<Ended>> {
    tokio::task::spawn_blocking(move || {
        let started = clock::now();
        let report = applier.recover()?;
        Some(Ended { report, took: clock::now().since(started), by: applier.run_by() })
    })
}

/// What `task` brings, once; `None` if it broke off. Never without a task. Cancel-safe.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(running) = task else { return std::future::pending().await };
    let result = running.await;
    *task = None;
    result.inspect_err(|error| error!(%error, "apply broke off")).ok()
}

/// One line of the operator's timeline.
fn tell(notice: &Notice) {
    match notice {
        Notice::LeftOut { upstream, member, reason } => {
            let reason = Trouble::new(reason.to_string(), reason.remedy(upstream, member));
            warn!(%upstream, %member, %reason, "member is no server");
        }
        Notice::Group { upstream, before, now, strength } => tell_group(upstream, *before, *now, strength),
        Notice::Isolation { is_isolated: true } => {
            warn!("no other member is heard any more, servers stay as they are whatever gossip says of them");
        }
        Notice::Isolation { is_isolated: false } => info!("other members are heard again"),
    }
}

fn tell_group(upstream: &UpstreamName, before: Option<Group>, now: Group, strength: &Strength) {
    let Strength { serving, well, base: of, floor: wanted, ill } = strength;
    let ill = some_of(ill.iter().map(NodeName::as_str));
    match (now, before) {
        (Group::Well, Some(Group::Empty | Group::AllLeft | Group::Unrecorded)) => {
            info!(%upstream, serving, of, "servers are in")
        }
        (Group::Well, _) => info!(%upstream, serving, of, "enough servers are well again"),
        (Group::Floor, _) => {
            warn!(%upstream, well, wanted, serving, of, ill, "too few servers are well, those that are ill stay in");
        }
        (Group::Last, _) => warn!(%upstream, serving, of, ill, "no server is well, the last good ones stay"),
        (Group::AllLeft, _) => warn!(%upstream, "every server has left, NGINX keeps the last ones"),
        (Group::Unrecorded, _) => warn!(%upstream, "held, nothing is recorded of it and its file stays as it is"),
        (Group::Empty, None | Some(Group::Unrecorded)) => info!(%upstream, "waiting for the first server"),
        (Group::Empty, Some(_)) => warn!(%upstream, "no server is left"),
    }
}
