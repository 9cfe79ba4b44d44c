//! Putting a desired document in place: the only code that changes NGINX's files and signals it.
//!
//! One call changes several targets with one test and one reload, and ends with all of them new or all as they were
//! (`protocols C`): write candidates beside the targets, exchange, `nginx -t`, sync, reload, confirm that new workers serve;
//! put the previous bytes back if the test or the confirmation fails. Everything here blocks; an async caller runs it on a
//! thread for blocking work. Several processes, or several calls in one, take turns through a lock in the state directory.
//!
//! What is rendered comes from [`crate::nginx`], what is wanted from [`Desired`], and everything else from the configuration:
//! the document is checked again against each upstream's limits, because this side may be root and the other faces the network.

#![expect(clippy::disallowed_methods, reason = "this is the shell: files, processes and the clock are its job")]

mod answer;
mod client;
mod configuration;
mod confirm;
mod directory;
mod document;
mod error;
mod exchange;
mod find;
mod handle;
mod install;
mod lock;
mod master;
mod namespace;
mod plan;
mod proc;
mod program;
mod record;
mod refusal;
mod report;
mod request;
mod serve;
mod survey;
mod system;
mod tree;
mod trust;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tracing::warn;

pub use answer::{Answer, AnswerError, Body, State};
pub use client::{Client, Unanswered};
pub use configuration::{Configuration, Found};
pub use error::{Error, Mismatch, RunBy, SystemError, SystemErrorKind};
pub use proc::Process;
pub use refusal::{Refusal, Writer};
pub use report::{Report, Step};
pub use request::{Ask, Job, Request, Rollback};
pub use serve::Server;
pub use survey::{Survey, survey};
pub use tree::read_tree;

use crate::config::{self, Config, Upstream, UpstreamFile};
use crate::nginx::{Block, Form, Ours};
use crate::upstream::desired::Desired;
use crate::upstream::{self, Generation, UpstreamName};
use install::{Install, Unplaced};
use lock::Lock;
use master::{Master, Patience};
use plan::Plan;
use record::Record;
use report::At;
use system::Nginx;

/// What of the configuration an apply depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// The upstreams; those with a file are the targets.
    pub upstreams: Vec<Upstream>,
    /// `[apply]`.
    pub apply: config::Apply,
    /// `[nginx]`.
    pub nginx: config::Nginx,
    /// The program of weir, which is run for a test in a mount namespace. Where there is none, or mount namespaces are not
    /// permitted, a test needs the new files in place.
    pub weir: PathBuf,
}

/// The program that runs, even after its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

impl From<&Config> for Options {
    fn from(config: &Config) -> Self {
        Self {
            upstreams: config.upstreams.clone(),
            apply: config.apply.clone(),
            nginx: config.nginx.clone(),
            weir: PathBuf::from(THIS_PROGRAM),
        }
    }
}

impl Options {
    /// Every upstream that has a file.
    fn targets(&self) -> impl Iterator<Item = Target<'_>> {
        self.upstreams.iter().filter_map(|upstream| {
            let UpstreamFile { block, output } = upstream.file.as_ref()?;
            Some(Target { options: &upstream.options, block, output })
        })
    }

    /// The upstreams that have a file.
    fn names(&self) -> impl Iterator<Item = &UpstreamName> {
        self.targets().map(|target| &target.options.name)
    }

    /// What a complaint of NGINX's may be about and be ours.
    fn ours(&self) -> Vec<Ours<'_>> {
        self.targets().map(Target::as_ours).collect()
    }

    fn target(&self, name: &UpstreamName) -> Option<Target<'_>> {
        self.targets().find(|target| target.options.name == *name)
    }
}

/// Becomes a test in a mount namespace of its own, if these arguments, without the program's name, are ours and ask for it.
///
/// For the first line of a program that [`Options::weir`] names: nothing else may have been started by then.
pub fn within_namespace(args: &[OsString]) -> Option<ExitCode> {
    namespace::inside::is_wanted(args).then(|| namespace::inside::run(args))
}

/// One file of one upstream.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    /// With the limits of what may be in it.
    options: &'a upstream::Options,
    /// How it is rendered.
    block: &'a Block,
    /// Where it goes. Its directory must exist.
    output: &'a Path,
}

impl<'a> Target<'a> {
    fn as_ours(self) -> Ours<'a> {
        let zone = (self.block.form == Form::Block).then(|| self.block.name.as_str());
        Ours { path: self.output, zone }
    }
}

/// The generation put in place last, and what it was made from, by the record in `state`; `None` before the first.
pub fn live(state: &Path) -> Result<Option<(Generation, Desired)>, Error> {
    Ok(Record::load(state)?.live.map(|live| (live.generation, live.desired)))
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

    /// As [`live`], of this one's state directory. For a restarted agent.
    pub fn live(&self) -> Result<Option<(Generation, Desired)>, Error> {
        live(&self.options.apply.state)
    }

    /// Brings all targets of `desired` in place, or leaves everything as it was and says why.
    ///
    /// Blocks for up to the confirm timeout twice, and some seconds for a busy master.
    pub fn apply(&self, desired: &Desired) -> Report {
        match self.run(desired) {
            Ok(outcome) => outcome,
            Err(At { step, error }) => Report::refused(None, step, error),
        }
    }

    /// The master that serves what is in place, or why there is none. Changes nothing.
    ///
    /// As long as the one that was seen before, `known`, is there, nobody else is looked for, and nothing is run.
    pub fn look(&self, known: Option<Process>) -> Result<Process, Error> {
        if let Some(known) = known.filter(|known| known.is_there()) {
            return Ok(known);
        }
        let nginx = Nginx::find(&self.options.nginx, self.options.names())?;
        nginx.find_master()?.map(|master| master.process()).ok_or_else(|| nginx.not_running())
    }

    /// Ends what a run that died left half done, and has NGINX confirm what is in place then; `None` if there is nothing to end.
    ///
    /// Every apply begins with that; this is for a start, when there may be nothing to apply for long.
    pub fn recover(&self) -> Option<Report> {
        let unless_ended = |record: Record| record.open.map(|_| record);
        match Record::load(&self.options.apply.state).map(unless_ended).map_err(Step::Lock.at()) {
            Ok(None) => None,
            Ok(Some(_)) => {
                self.run_recovery().unwrap_or_else(|At { step, error }| Some(Report::refused(None, step, error)))
            }
            Err(At { step, error }) => Some(Report::refused(None, step, error)),
        }
    }

    fn run_recovery(&self) -> Result<Option<Report>, At> {
        let (_lock, record) = self.begin()?;
        if record.open.is_none() {
            return Ok(None); // another run was ahead
        }
        let mut desired = record.live.as_ref().map_or_else(|| Desired::new(0), |live| live.desired.clone());
        desired.upstreams.retain(|name, _| self.options.target(name).is_some());
        self.run_locked(&desired, record).map(Some)
    }

    fn run(&self, desired: &Desired) -> Result<Report, At> {
        let (_lock, record) = self.begin()?;
        self.run_locked(desired, record)
    }

    fn begin(&self) -> Result<(Lock, Record), At> {
        let lock = Lock::take(&self.options.apply.state).map_err(Step::Lock.at())?;
        let record = Record::load(&self.options.apply.state).map_err(Step::Lock.at())?;
        Ok((lock, record))
    }

    fn run_locked(&self, desired: &Desired, mut record: Record) -> Result<Report, At> {
        let started = Instant::now();
        install::recover(&self.options, &record).map_err(Step::Lock.at())?;
        record.make_room(&self.options.upstreams.iter().map(|upstream| &upstream.options.name).collect());
        let nginx = Nginx::find(&self.options.nginx, desired.upstreams.keys()).map_err(Step::Locate.at())?;

        if record.open.is_some() {
            record.unconfirm();
        }
        let plan = Plan::make(&self.options, desired, &record).map_err(Step::Plan.at())?;
        if plan.changes.is_empty() && record.is_confirmed() {
            return Ok(Report::Unchanged { generation: record.generation() });
        }
        let master = nginx.master().map_err(Step::Locate.at())?;
        let settled = record.is_confirmed();
        record.begin(&plan, &self.options.apply.state).map_err(Step::Write.at())?;
        let run = Run { options: &self.options, nginx: &nginx, plan: &plan, desired, started, settled };
        Ok(run.run(record, master))
    }
}

/// One run from the first file on.
struct Run<'a> {
    options: &'a Options,
    nginx: &'a Nginx<'a>,
    plan: &'a Plan,
    desired: &'a Desired,
    started: Instant,
    /// Whether NGINX is known to serve the files that are in place before this run.
    settled: bool,
}

impl Run<'_> {
    fn state(&self) -> &Path {
        &self.options.apply.state
    }

    fn run(&self, mut record: Record, master: Option<Master>) -> Report {
        let install = match Install::place(self.plan, self.state()) {
            Ok(install) => install,
            Err(unplaced) => {
                let Unplaced { error, undone } = *unplaced;
                return self.ended(undone, &mut record, At { step: Step::Write, error });
            }
        };
        // After the directories are synced a power loss cannot bring back files that NGINX no longer serves.
        let tested = self.nginx.test(self.plan, &self.options.ours()).map_err(Step::Validate.at());
        let synced = tested.and_then(|patience| install.sync().map(|()| patience).map_err(Step::Write.at()));
        match (synced, master) {
            (Err(at), _) => self.ended(install.undo(self.state()), &mut record, at),
            (Ok(patience), Some(master)) => self.load(&master, patience, record, install),
            (Ok(_), None) => self.stored(record, install),
        }
    }

    fn load(&self, master: &Master, patience: Patience, mut record: Record, install: Install) -> Report {
        let loaded = match self.nginx.reload(master, patience, &self.options.ours()) {
            Err(Error::MasterGone) => return self.stored(record, install),
            other => other.and_then(|()| self.plan.still_in_place()),
        };
        let kept = loaded.and_then(|()| install.keep_foreign(self.state()));
        match kept.and_then(|()| record.live(self.plan, self.desired, self.state())) {
            Ok(()) => {
                finish(install);
                let (took, upstreams) = (self.started.elapsed(), self.plan.upstreams());
                Report::Live { generation: self.plan.generation, took, upstreams, master: master.process() }
            }
            Err(error) => self.roll_back(master, patience, record, &install, error),
        }
    }

    /// No process can confirm anything; what NGINX will read at its start is in place.
    fn stored(&self, mut record: Record, install: Install) -> Report {
        let kept = install.keep_foreign(self.state());
        if let Err(error) = kept.and_then(|()| record.stored(self.plan, self.desired, self.state())) {
            return self.ended(install.undo(self.state()), &mut record, At { step: Step::Write, error });
        }
        finish(install);
        Report::Stored { generation: self.plan.generation, why: self.nginx.not_running() }
    }

    /// The previous bytes go back and are confirmed in turn. If that fails too, nothing more is touched.
    fn roll_back(
        &self,
        master: &Master,
        patience: Patience,
        mut record: Record,
        install: &Install,
        error: Error,
    ) -> Report {
        let back = if self.plan.changes.is_empty() { Err(Error::NothingToRestore) } else { install.undo(self.state()) };
        // A master that could not load has never left what it had, and its port may be taken still.
        let never_left = self.settled && matches!(error, Error::NotLoaded { .. }) && master.is_idle();
        let again = || self.nginx.reload(master, patience, &self.options.ours());
        let back = back.and_then(|()| if never_left { Ok(()) } else { again() });
        match back.and_then(|()| record.abort(self.state())) {
            Ok(()) => Report::RolledBack {
                failed: self.plan.generation,
                restored: record.generation(),
                master: master.process(),
                error,
            },
            Err(then) => self.failed(error, then),
        }
    }

    /// Before NGINX was signalled: refused if everything is as it was.
    fn ended(&self, undone: Result<(), Error>, record: &mut Record, At { step, error }: At) -> Report {
        match undone.and_then(|()| record.abort(self.state())) {
            Ok(()) => Report::refused(Some(self.plan.generation), step, error),
            Err(then) => self.failed(error, then),
        }
    }

    /// The run stays open in the record, so the next one recovers first.
    fn failed(&self, error: Error, then: Error) -> Report {
        Report::Failed { failed: self.plan.generation, error, then }
    }
}

fn finish(install: Install) {
    if let Err(error) = install.finish() {
        // The new files are live; what is left beside them is taken care of by the next run.
        warn!(%error, "cannot clear away displaced files");
    }
}
