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
mod system;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use error::Error;
pub use outcome::{Outcome, Step};

use crate::nginx::Block;
use crate::upstream::desired::Desired;
use crate::upstream::{Allow, Generation};
use install::Install;
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

    fn run(&self, desired: &Desired) -> Result<Outcome, At> {
        let started = Instant::now();
        let _lock = Lock::take(&self.options.state).map_err(Step::Lock.at())?;
        let mut record = Record::load(&self.options.state).map_err(Step::Lock.at())?;
        let nginx = Nginx::find(&self.options.nginx, desired).map_err(Step::Locate.at())?;
        install::recover(&self.options.targets, &mut record, &self.options.state).map_err(Step::Lock.at())?;

        let plan = Plan::make(&self.options, desired, &record).map_err(Step::Plan.at())?;
        if plan.changes.is_empty() && record.is_confirmed() {
            return Ok(Outcome::Unchanged { generation: record.generation() });
        }
        let master = nginx.master().map_err(Step::Locate.at())?;
        record.begin(plan.generation, &self.options.state).map_err(Step::Write.at())?;
        let placed = self.place(&nginx, &plan);
        let install = match placed {
            Ok(install) => install,
            Err(at) => {
                record.abort(&self.options.state).map_err(Step::Write.at())?;
                return Err(at);
            }
        };
        let job = Job { apply: self, plan: &plan, desired, started };
        match master {
            None => job.stored(record, install),
            Some(master) => job.load(&nginx, &master, record, install),
        }
    }

    /// Candidates written, exchanged, tested and synced; or everything as before.
    fn place(&self, nginx: &Nginx, plan: &Plan) -> Result<Install, At> {
        let install = Install::place(&plan.changes).map_err(Step::Write.at())?;
        if let Err(error) = nginx.test(plan) {
            install.undo().map_err(Step::Write.at())?;
            return Err(At { step: Step::Validate, error });
        }
        // From here a power loss cannot bring the old files back after the new ones were confirmed.
        if let Err(error) = install.sync() {
            install.undo().map_err(Step::Write.at())?;
            return Err(At { step: Step::Write, error });
        }
        Ok(install)
    }
}

/// The second half: the new files are in place and tested.
struct Job<'a> {
    apply: &'a Apply,
    plan: &'a Plan,
    desired: &'a Desired,
    started: Instant,
}

impl Job<'_> {
    fn state(&self) -> &std::path::Path {
        &self.apply.options.state
    }

    /// No process can confirm anything; what it will read at its start is in place.
    fn stored(&self, mut record: Record, install: Install) -> Result<Outcome, At> {
        record.stored(self.plan, self.desired, self.state()).map_err(Step::Write.at())?;
        install.finish(self.state()).map_err(Step::Write.at())?;
        Ok(Outcome::Stored { generation: self.plan.generation, unit: self.apply.options.nginx.unit.clone() })
    }

    fn load(&self, nginx: &Nginx, master: &Master, mut record: Record, install: Install) -> Result<Outcome, At> {
        let confirmed = match nginx.reload(master, self.plan.paths()) {
            Err(Error::MasterGone) => return self.stored(record, install),
            other => other.and_then(|()| self.plan.still_in_place()),
        };
        let Err(error) = confirmed else {
            record.live(self.plan, self.desired, self.state()).map_err(Step::Confirm.at())?;
            install.finish(self.state()).map_err(Step::Write.at())?;
            let (took, upstreams) = (self.started.elapsed(), self.plan.upstreams());
            return Ok(Outcome::Live { generation: self.plan.generation, took, upstreams });
        };
        Ok(self.roll_back(nginx, master, record, &install, error))
    }

    /// The previous bytes go back and are confirmed in turn. If that fails too, nothing more is touched.
    fn roll_back(
        &self,
        nginx: &Nginx,
        master: &Master,
        mut record: Record,
        install: &Install,
        error: Error,
    ) -> Outcome {
        let failed = self.plan.generation;
        let restored = record.generation();
        let back = if self.plan.changes.is_empty() {
            Err(Error::NothingToRestore)
        } else {
            install
                .undo()
                .and_then(|()| nginx.reload(master, self.plan.paths()))
                .and_then(|()| record.abort(self.state()))
        };
        match back {
            Ok(()) => Outcome::RolledBack { failed, restored, error },
            Err(then) => Outcome::Failed { failed, error, then },
        }
    }
}
