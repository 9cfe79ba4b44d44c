//! Putting a desired document in place: the only code that changes NGINX's files and signals it.
//!
//! One call changes several targets with one test and one reload, and ends with all of them new or all as they were
//! (`protocols C`): write candidates beside the targets, exchange, `nginx -t`, sync, reload, confirm that new workers serve;
//! put the previous bytes back if the test or the confirmation fails. Everything here blocks; an async caller runs it on a
//! thread for blocking work. Several processes, or several calls in one, take turns through a lock in the state directory.
//!
//! What is rendered comes from [`crate::nginx`], what is wanted from [`Desired`]; the document is checked again against each
//! target's limits, because this side may be root and the other faces the network.

#![expect(clippy::disallowed_methods, reason = "this is the shell: files, processes and the clock are its job")]

mod command;
mod confirm;
mod error;
mod exchange;
mod install;
mod lock;
mod master;
mod outcome;
mod plan;
mod proc;
mod record;
mod survey;
mod system;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::warn;

pub use error::Error;
pub use outcome::{Outcome, Step};
pub use survey::{Survey, survey};

use crate::nginx::Block;
use crate::upstream::desired::Desired;
use crate::upstream::{Allow, Generation};
use install::{Install, Unplaced};
use lock::Lock;
use master::Master;
use outcome::At;
use plan::Plan;
use record::Record;
use system::Nginx;

/// One file of one upstream.
#[derive(Clone, Debug)]
pub struct Target {
    /// How it is rendered.
    pub block: Block,
    /// Where it goes. Its directory must exist.
    pub output: PathBuf,
    /// Addresses that may be in it.
    pub allow: Allow,
    /// Lowest and highest port that may be in it.
    pub ports: (u16, u16),
}

/// `[nginx]`.
#[derive(Clone, Debug)]
pub struct NginxOptions {
    /// The program; `nginx` is sought in PATH and in the usual places beside it.
    pub binary: PathBuf,
    /// The main configuration file.
    pub config: PathBuf,
    /// Ask systemd for the master of this unit, if systemd runs here.
    pub unit: Option<String>,
    /// The master's pid file; `None` means the one that the configuration or the build names.
    pub pid_file: Option<PathBuf>,
    /// How to reload.
    pub reload: Reload,
    /// New workers must serve by then.
    pub confirm_timeout: Duration,
}

impl Default for NginxOptions {
    fn default() -> Self {
        Self {
            binary: "nginx".into(),
            config: "/etc/nginx/nginx.conf".into(),
            unit: Some("nginx.service".to_owned()),
            pid_file: None,
            reload: Reload::Signal,
            confirm_timeout: Duration::from_secs(5),
        }
    }
}

/// How NGINX is told to reload.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Reload {
    /// SIGHUP to the verified master.
    #[default]
    Signal,
    /// This program with these arguments; what it did is confirmed all the same.
    Command(Vec<String>),
}

/// What to do about a target that somebody else changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ForeignEdit {
    /// Keep a copy of it and write ours.
    #[default]
    Restore,
    /// Leave it and report.
    Hold,
}

/// Everything that [`Apply`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files, one per upstream that has one.
    pub targets: Vec<Target>,
    /// The NGINX that reads them.
    pub nginx: NginxOptions,
    /// Lock, record and copies of foreign files live here. Created if its parent exists.
    pub state: PathBuf,
    /// About foreign edits.
    pub foreign_edit: ForeignEdit,
}

/// Applies desired documents. Holds no state of its own; all of it is on disk.
#[derive(Clone, Debug)]
pub struct Apply {
    options: Options,
}

impl Apply {
    /// Nothing is touched yet.
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// The generation put in place last, and what it was made from; `None` before the first. For a restarted agent.
    pub fn live(&self) -> Result<Option<(Generation, Desired)>, Error> {
        let record = Record::load(&self.options.state)?;
        Ok(record.live.map(|live| (live.generation, live.desired)))
    }

    /// Brings all targets of `desired` in place, or leaves everything as it was and says why.
    ///
    /// Blocks for up to the confirm timeout twice, and some seconds for a busy master.
    pub fn apply(&self, desired: &Desired) -> Outcome {
        match self.run(desired) {
            Ok(outcome) => outcome,
            Err(At { step, error }) => Outcome::refused(step, error),
        }
    }

    /// Ends what a run that died left half done, and has NGINX confirm what is in place then; `None` if there is nothing to end.
    ///
    /// Every apply begins with that; this is for a start, when there may be nothing to apply for long.
    pub fn recover(&self) -> Option<Outcome> {
        let unless_ended = |record: Record| record.open.map(|_| record);
        match Record::load(&self.options.state).map(unless_ended).map_err(Step::Lock.at()) {
            Ok(None) => None,
            Ok(Some(_)) => self.run_recovery().unwrap_or_else(|At { step, error }| Some(Outcome::refused(step, error))),
            Err(At { step, error }) => Some(Outcome::refused(step, error)),
        }
    }

    fn run_recovery(&self) -> Result<Option<Outcome>, At> {
        let (_lock, record) = self.begin()?;
        if record.open.is_none() {
            return Ok(None); // another run was ahead
        }
        let mut desired = record.live.as_ref().map_or_else(|| Desired::new(0), |live| live.desired.clone());
        desired.upstreams.retain(|name, _| self.options.targets.iter().any(|target| target.block.name == *name));
        self.run_locked(&desired, record).map(Some)
    }

    fn run(&self, desired: &Desired) -> Result<Outcome, At> {
        let (_lock, record) = self.begin()?;
        self.run_locked(desired, record)
    }

    fn begin(&self) -> Result<(Lock, Record), At> {
        let lock = Lock::take(&self.options.state).map_err(Step::Lock.at())?;
        let record = Record::load(&self.options.state).map_err(Step::Lock.at())?;
        Ok((lock, record))
    }

    fn run_locked(&self, desired: &Desired, mut record: Record) -> Result<Outcome, At> {
        let started = Instant::now();
        install::recover(&self.options.targets, &record, &self.options.state).map_err(Step::Lock.at())?;
        let nginx = Nginx::find(&self.options.nginx, desired).map_err(Step::Locate.at())?;

        if record.open.is_some() {
            record.unconfirm();
        }
        let plan = Plan::make(&self.options, desired, &record).map_err(Step::Plan.at())?;
        if plan.changes.is_empty() && record.is_confirmed() {
            return Ok(Outcome::Unchanged { generation: record.generation() });
        }
        let master = nginx.master().map_err(Step::Locate.at())?;
        let settled = record.is_confirmed();
        record.begin(&plan, &self.options.state).map_err(Step::Write.at())?;
        let job = Job { options: &self.options, nginx: &nginx, plan: &plan, desired, started, settled };
        Ok(job.run(record, master))
    }
}

/// One run from the first file on.
struct Job<'a> {
    options: &'a Options,
    nginx: &'a Nginx<'a>,
    plan: &'a Plan,
    desired: &'a Desired,
    started: Instant,
    /// Whether NGINX is known to serve the files that are in place before this run.
    settled: bool,
}

impl Job<'_> {
    fn state(&self) -> &Path {
        &self.options.state
    }

    fn run(&self, mut record: Record, master: Option<Master>) -> Outcome {
        let install = match Install::place(self.plan, self.state()) {
            Ok(install) => install,
            Err(unplaced) => {
                let Unplaced { error, undone } = *unplaced;
                return self.ended(undone, &mut record, At { step: Step::Write, error });
            }
        };
        // After the directories are synced a power loss cannot bring back files that NGINX no longer serves.
        let tested = self.nginx.test(self.plan).map_err(Step::Validate.at());
        if let Err(at) = tested.and_then(|()| install.sync().map_err(Step::Write.at())) {
            return self.ended(install.undo(self.state()), &mut record, at);
        }
        match master {
            Some(master) => self.load(&master, record, install),
            None => self.stored(record, install),
        }
    }

    fn load(&self, master: &Master, mut record: Record, install: Install) -> Outcome {
        let loaded = match self.nginx.reload(master, &self.plan.paths()) {
            Err(Error::MasterGone) => return self.stored(record, install),
            other => other.and_then(|()| self.plan.still_in_place()),
        };
        let kept = loaded.and_then(|()| install.keep_foreign(self.state()));
        match kept.and_then(|()| record.live(self.plan, self.desired, self.state())) {
            Ok(()) => {
                finish(install);
                let (took, upstreams) = (self.started.elapsed(), self.plan.upstreams());
                Outcome::Live { generation: self.plan.generation, took, upstreams }
            }
            Err(error) => self.roll_back(master, record, &install, error),
        }
    }

    /// No process can confirm anything; what NGINX will read at its start is in place.
    fn stored(&self, mut record: Record, install: Install) -> Outcome {
        let kept = install.keep_foreign(self.state());
        if let Err(error) = kept.and_then(|()| record.stored(self.plan, self.desired, self.state())) {
            return self.ended(install.undo(self.state()), &mut record, At { step: Step::Write, error });
        }
        finish(install);
        Outcome::Stored { generation: self.plan.generation, unit: self.options.nginx.unit.clone() }
    }

    /// The previous bytes go back and are confirmed in turn. If that fails too, nothing more is touched.
    fn roll_back(&self, master: &Master, mut record: Record, install: &Install, error: Error) -> Outcome {
        let back = if self.plan.changes.is_empty() { Err(Error::NothingToRestore) } else { install.undo(self.state()) };
        // A master that could not load has never left what it had, and its port may be taken still.
        let never_left = self.settled && matches!(error, Error::NotLoaded { .. }) && master.is_idle();
        let back = back.and_then(|()| if never_left { Ok(()) } else { self.nginx.reload(master, &self.plan.paths()) });
        match back.and_then(|()| record.abort(self.state())) {
            Ok(()) => Outcome::RolledBack { failed: self.plan.generation, restored: record.generation(), error },
            Err(then) => self.failed(error, then),
        }
    }

    /// Before NGINX was signalled: refused if everything is as it was.
    fn ended(&self, undone: Result<(), Error>, record: &mut Record, At { step, error }: At) -> Outcome {
        match undone.and_then(|()| record.abort(self.state())) {
            Ok(()) => Outcome::refused(step, error),
            Err(then) => self.failed(error, then),
        }
    }

    /// The run stays open in the record, so the next one recovers first.
    fn failed(&self, error: Error, then: Error) -> Outcome {
        Outcome::Failed { failed: self.plan.generation, error, then }
    }
}

fn finish(install: Install) {
    if let Err(error) = install.finish() {
        // The new files are live; what is left beside them is taken care of by the next run.
        warn!(%error, "cannot clear away displaced files");
    }
}
