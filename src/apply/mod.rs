//! Putting a desired document in place: the only code that changes NGINX's files and signals it.
//!
//! One call changes several targets with one test and one reload, and ends with all of them new or all as they were
//! (`protocols C`): write candidates beside the targets, test them, save the generation, exchange, sync, reload, confirm that new
//! workers serve; put the last confirmed generation back if that fails. Everything here blocks; an async caller runs it on a
//! thread for blocking work. Several processes, or several calls in one, take turns through a lock in the state directory.
//!
//! What is rendered comes from [`crate::nginx`], what is wanted from [`Desired`], and everything else from the configuration:
//! the document is checked again against each upstream's limits, because this side may be root and the other faces the network.

#![expect(clippy::disallowed_methods, reason = "this is the shell: files, processes and the clock are its job")]

mod answer;
mod client;
mod configuration;
mod confirm;
mod cut;
mod directory;
mod disk;
mod document;
mod error;
mod fault;
mod feature;
mod find;
mod fingerprint;
mod foreign;
mod handle;
mod import;
mod journal;
mod kept;
mod lock;
mod master;
mod namespace;
mod orphan;
mod place;
mod plan;
mod preview;
mod proc;
mod program;
mod promise;
mod recover;
mod refusal;
mod report;
mod request;
mod restore;
mod rollback;
mod run;
mod serve;
mod site;
mod store;
mod survey;
mod system;
mod targets;
mod template;
mod tree;
mod trust;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use answer::{Answer, AnswerError, Body, State};
use client::SLOWEST;
pub use client::{Client, Unanswered};
pub use configuration::{Configuration, Found};
pub use cut::{Cut, CutOff, Dead, Deaths, Looked, Uncut, kernel_cannot_cut};
pub use error::{Error, Mismatch, RunBy, SystemError, SystemErrorKind};
#[cfg(feature = "faults")]
pub use fault::Fault;
pub use foreign::Kept;
pub use journal::{Outcome, Past};
pub use namespace::Hindrance;
pub use preview::{Preview, Tried};
pub use proc::Process;
pub use refusal::{Refusal, Writer};
pub use report::{Left, Notes, Report, Settled, Step, Timings, Waits};
pub use request::{Ask, Job, Request, Rollback};
pub use serve::Server;
pub use site::{NewSite, SitePlaced, put_site};
pub use store::{Saved, SavedFile};
pub use survey::{Survey, survey};
pub use template::{End, Followed};
pub use tree::read_tree;

use crate::config::{self, Config, Upstream, UpstreamFile};
use crate::drain::Promises;
use crate::nginx::{Block, Ours};
use crate::upstream::desired::Desired;
use crate::upstream::{self, Causes, Generation, Holds, UpstreamName};
use journal::Journal;
use report::At;
use run::Run;
use store::Store;
use system::Nginx;

/// What of the configuration an apply depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// The upstreams; those with a file are the targets.
    pub upstreams: Vec<Upstream>,
    /// The templates, whose files follow.
    pub templates: Vec<config::Template>,
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
            templates: config.templates.clone(),
            apply: config.apply.clone(),
            nginx: config.nginx.clone(),
            weir: PathBuf::from(THIS_PROGRAM),
        }
    }
}

impl Options {
    /// Whether there is anything of NGINX's to change. Where there is not, templates need no NGINX.
    fn feeds_nginx(&self) -> bool {
        self.templates.is_empty() || self.targets().next().is_some()
    }

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
        Ours { path: self.output, block: self.block }
    }
}

/// The generation put in place last, and what it was made from, by the journal in `state`; `None` before the first.
pub fn live(state: &Path) -> Result<Option<(Generation, Desired)>, Error> {
    let journal = Journal::read(state)?;
    match journal.state().in_place {
        Generation(0) if journal.is_new() => import::live(state),
        Generation(0) => Ok(None),
        generation => Ok(Some((generation, Store::new(state).need(generation)?.desired().clone()))),
    }
}

/// What became of every generation that there are records of, oldest first, by the journal in `state`.
pub fn history(state: &Path) -> Result<Vec<Past>, Error> {
    Ok(Journal::read(state)?.history())
}

/// The generation before the one in place that was live, by the journal in `state`.
pub fn generation_before(state: &Path) -> Result<Option<Generation>, Error> {
    Ok(rollback::before(&Journal::read(state)?))
}

/// A generation that is kept in `state`.
pub fn generation(state: &Path, generation: Generation) -> Result<Saved, Error> {
    Store::new(state).need(generation)
}

/// What nodes that leave were promised, by what is kept in `state`.
pub fn promises(state: &Path) -> Result<Promises, Error> {
    kept::promises(state)
}

/// Every upstream that an operator holds, by what is kept in `state`.
pub fn holds(state: &Path) -> Result<Holds, Error> {
    kept::holds(state)
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

    /// As [`live`], of this one's state directory, with what templates have of upstreams that NGINX has no file of. For a
    /// restarted agent.
    pub fn live(&self) -> Result<Option<(Generation, Desired)>, Error> {
        let state = &self.options.apply.state;
        let followed = if self.options.templates.is_empty() { None } else { template::live(state)? };
        let live = live(state)?;
        let Some(followed) = followed else { return Ok(live) };
        let (generation, mut desired) = live.unwrap_or((Generation(0), Desired::new(followed.order)));
        // What is not configured any more is nobody's to follow.
        let is_fileless = |name: &UpstreamName| {
            let mut upstreams = self.options.upstreams.iter();
            upstreams.any(|upstream| upstream.options.name == *name && upstream.file.is_none())
        };
        desired.upstreams.extend(followed.upstreams.into_iter().filter(|(name, _)| is_fileless(name)));
        Ok(Some((generation, desired)))
    }

    /// Brings all targets of `desired` in place, or leaves everything as it was and says why. Promises and holds stay.
    ///
    /// Blocks for up to the confirm timeout twice, and some seconds for a busy master.
    pub fn apply(&self, desired: &Desired) -> Report {
        match self.within_limits(desired).and_then(|()| Run::start(&self.options, || Ok(()))) {
            Ok(run) => run.apply(desired, &Causes::default(), &Deaths::default()),
            Err(At { step, error }) => Report::refused(None, step, error),
        }
    }

    /// As [`Self::apply`], with all that a job carries: promises and holds are on disk before anything else is written. Those of a
    /// job whose document is outside of the limits are not kept ([`Report::was_begun`]).
    pub fn carry_out(&self, job: &Job) -> Report {
        let state = &self.options.apply.state;
        let keep = || {
            kept::keep_promises(state, &job.promises)?;
            kept::keep_holds(state, &job.holds)?;
            fault::point(fault::Fault::Stored);
            Ok(())
        };
        match self.within_limits(&job.desired).and_then(|()| Run::start(&self.options, keep)) {
            Ok(run) => run.apply(&job.desired, &job.causes, &job.dead),
            Err(At { step, error }) => Report::refused(None, step, error),
        }
    }

    /// A document outside of the limits is refused before anything is written or run.
    fn within_limits(&self, desired: &Desired) -> Result<(), At> {
        targets::check(&self.options, desired).map_err(Step::Limits.at())
    }

    /// The master that serves what is in place, or why there is none. Changes nothing.
    ///
    /// As long as the one that was seen before, `known`, is there, nobody else is looked for, and nothing is run.
    pub fn look(&self, known: Option<Process>) -> Result<Process, Error> {
        if let Some(known) = known.filter(|known| known.is_there()) {
            return Ok(known);
        }
        if !self.options.feeds_nginx() {
            return Err(Error::NoFile);
        }
        let nginx = Nginx::find(&self.options.nginx, self.options.names())?;
        nginx.find_master()?.map(|master| master.process()).ok_or_else(|| nginx.not_running())
    }

    /// Ends what a run that died left half done, and has NGINX confirm what is in place then; `None` if there is nothing to end.
    ///
    /// Every apply begins with that; this is for a start, when there may be nothing to apply for long.
    pub fn recover(&self) -> Option<Report> {
        let is_open = self.is_open().and_then(|open| Ok(open || template::is_open(&self.options)?));
        match is_open.map_err(Step::Lock.at()) {
            Ok(false) => None,
            Ok(true) => match Run::start(&self.options, || Ok(())) {
                Ok(run) => Some(run.recover()),
                Err(At { step, error }) => Some(Report::refused(None, step, error)),
            },
            Err(At { step, error }) => Some(Report::refused(None, step, error)),
        }
    }

    /// As [`Self::recover`], as far as NGINX's files go: for a boot, where whoever reads them is to start on them. Nobody is told to
    /// reload, and nothing is tested, unless a generation that was put back has to do without a node that may stop.
    pub fn recover_files(&self) -> Result<Option<Settled>, Error> {
        if !self.is_open()? {
            return Ok(None);
        }
        Run::start(&self.options, || Ok(())).and_then(Run::recover_files).map(Some).map_err(|At { error, .. }| error)
    }

    /// Whether a run has died, or nobody was seen to serve what is in place.
    fn is_open(&self) -> Result<bool, Error> {
        let state = &self.options.apply.state;
        Ok(import::is_open(state)? || Journal::read(state)?.state().is_open())
    }
}
