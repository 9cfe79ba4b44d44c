//! What comes back of an apply: data that can cross from the process that applies to the one that asked.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CutOff, Error, Followed, Hindrance, Kept, Process, RunBy, Uncut};
use crate::digest::Digest;
use crate::error::Trouble;
use crate::upstream::settle::Applied;
use crate::upstream::{Generation, UpstreamName};

/// The step that an error belongs to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Asking the side that applies.
    Ask,
    /// Checking the document against the configuration's limits, before anything of the job is kept.
    Limits,
    /// Taking the lock, keeping promises and holds, reading and recovering what an earlier run left.
    Lock,
    /// Finding NGINX and its master.
    Locate,
    /// Reading the targets, and what is to change of them.
    Plan,
    /// Writing and exchanging files.
    Write,
    /// `nginx -t`.
    Validate,
    /// Reload and confirmation.
    Confirm,
}

impl Step {
    /// Turns an error into one at this step.
    pub(super) fn at(self) -> impl Fn(Error) -> At {
        move |error| At { step: self, error }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask => "ask",
            Self::Limits => "limits",
            Self::Lock => "lock",
            Self::Locate => "locate",
            Self::Plan => "plan",
            Self::Write => "write",
            Self::Validate => "validate",
            Self::Confirm => "confirm",
        })
    }
}

/// An error and the step it happened in.
#[derive(Debug)]
pub(super) struct At {
    pub(super) step: Step,
    pub(super) error: Error,
}

/// How an apply ended. In every case the files are complete, old or new, and all of one generation.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// New workers serve it.
    Live {
        /// Its number.
        generation: Generation,
        /// From the call to the confirmation.
        took: Duration,
        /// And its parts.
        timings: Timings,
        /// Those whose files changed.
        upstreams: Vec<UpstreamName>,
        /// Whose workers these are.
        master: Process,
        /// What else there is to tell.
        notes: Notes,
    },
    /// It was in place and confirmed already; NGINX was not signalled.
    Unchanged {
        /// The one that is live.
        generation: Generation,
        /// What else there is to tell.
        notes: Notes,
    },
    /// In place and tested, but NGINX is not running.
    Stored {
        /// Its number.
        generation: Generation,
        /// That nobody serves it.
        why: Error,
        /// What else there is to tell.
        notes: Notes,
    },
    /// Not accepted. The files are as they were and NGINX was not signalled.
    Refused {
        /// Its number, if it was given one: before any file is written.
        generation: Option<Generation>,
        /// Where it stopped.
        step: Step,
        /// Why.
        error: Error,
        /// Whether weir's own files are to blame.
        ours: bool,
        /// What else there is to tell.
        notes: Notes,
    },
    /// NGINX accepted it and could not load it. The previous files are back and confirmed.
    RolledBack {
        /// The one that failed.
        failed: Generation,
        /// The one that serves.
        restored: Generation,
        /// Whose workers serve it.
        master: Process,
        /// Why.
        error: Error,
        /// What else there is to tell.
        notes: Notes,
    },
    /// As above, and going back could not be confirmed either. Nothing more is touched.
    Failed {
        /// The one that failed.
        failed: Generation,
        /// Why.
        error: Error,
        /// Why going back failed.
        then: Error,
        /// What else there is to tell.
        notes: Notes,
    },
}

/// How a recovery of files alone ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settled {
    /// The generation that is in place. Whether NGINX can load it is seen by the next apply.
    pub generation: Generation,
    /// Copies of what somebody else had put in its way.
    pub foreign: Vec<Kept>,
}

/// What an apply saw or did besides.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Files that somebody else had changed, and where their copies are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign: Vec<Kept>,
    /// Files of ours that somebody else had taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<PathBuf>,
    /// NGINX was reloaded for what `apply.watch` names: it had changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renewed: bool,
    /// Templates whose files changed, or should have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Followed>,
    /// What a plan leaves as it is; `None` where none was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// Why the test needed the new files in place, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<Hindrance>,
    /// Connections that were ended to servers that are dead, those before the job included; those of more than one are in one list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<CutOff>,
    /// Why those that older workers have go on, where they should not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncut: Option<Uncut>,
    /// Upstreams that were left out because NGINX has no place for them, and that have no file yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// As [`State::fingerprint`](super::State::fingerprint), before an apply that has left something to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
}

/// Files that stay as they are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Left {
    /// Of upstreams that are not configured any more, and that something still needs.
    pub orphans: Vec<PathBuf>,
    /// Upstreams that have no server yet, and whose file was there before any record.
    pub untouched: Vec<UpstreamName>,
}

/// Who waits while others go on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// None of them is in what is live.
    pub upstreams: Vec<UpstreamName>,
    /// What they wait for.
    pub error: Error,
}

/// How long parts of an apply took.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Timings {
    /// The test.
    pub validate: Duration,
    /// From the reload to new workers.
    pub confirm: Duration,
}

impl Report {
    pub(super) fn refused(generation: Option<Generation>, step: Step, error: Error) -> Self {
        let ours = error.is_ours();
        Self::Refused { generation, step, error, ours, notes: Notes::default() }
    }

    /// With what else there is to tell.
    pub(super) fn with(mut self, more: Notes) -> Self {
        match &mut self {
            Self::Live { notes, .. }
            | Self::Stored { notes, .. }
            | Self::Refused { notes, .. }
            | Self::RolledBack { notes, .. }
            | Self::Failed { notes, .. }
            | Self::Unchanged { notes, .. } => *notes = more,
        }
        self
    }

    /// The same with the files that went live by `earlier`, in the same run.
    pub(super) fn after(mut self, earlier: Self) -> Self {
        if let (Self::Live { upstreams, .. }, Self::Live { upstreams: before, .. }) = (&mut self, earlier) {
            upstreams.splice(0..0, before);
        }
        self
    }

    /// What else there is to tell.
    pub fn notes(&self) -> &Notes {
        match self {
            Self::Live { notes, .. }
            | Self::Stored { notes, .. }
            | Self::Refused { notes, .. }
            | Self::RolledBack { notes, .. }
            | Self::Failed { notes, .. }
            | Self::Unchanged { notes, .. } => notes,
        }
    }

    pub(super) fn notes_mut(&mut self) -> &mut Notes {
        match self {
            Self::Live { notes, .. }
            | Self::Stored { notes, .. }
            | Self::Refused { notes, .. }
            | Self::RolledBack { notes, .. }
            | Self::Failed { notes, .. }
            | Self::Unchanged { notes, .. } => notes,
        }
    }

    /// The generation it is about, if it got that far.
    pub fn generation(&self) -> Option<Generation> {
        match self {
            Self::Live { generation, .. } | Self::Unchanged { generation, .. } | Self::Stored { generation, .. } => {
                Some(*generation)
            }
            Self::RolledBack { failed, .. } | Self::Failed { failed, .. } => Some(*failed),
            Self::Refused { generation, .. } => *generation,
        }
    }

    /// What happened and the way out, in words for who runs weir so.
    pub fn told(&self, by: RunBy) -> Trouble {
        Trouble::new(self.what_by(by), self.remedy_by(by).unwrap_or_default())
    }

    /// What happened, without the way out, as of an apply by root in process.
    pub fn what(&self) -> String {
        self.what_by(RunBy::Root)
    }

    fn what_by(&self, by: RunBy) -> String {
        match self {
            Self::Live { generation, took, .. } => format!("generation {generation} live in {} ms", took.as_millis()),
            Self::Unchanged { generation, .. } => format!("unchanged, generation {generation} is in place"),
            Self::Stored { why, .. } => format!("{}, the file is in place and tested", why.what_by(by)),
            Self::Refused { error, .. } => error.what_by(by),
            Self::RolledBack { failed, restored: Generation(0), error, .. } => {
                format!("{}; what was there before is back and confirmed", gone_wrong(*failed, error, by))
            }
            Self::RolledBack { failed, restored, error, .. } => {
                format!("{}; generation {restored} is back and confirmed", gone_wrong(*failed, error, by))
            }
            Self::Failed { failed, error, then, .. } => {
                format!("{}; going back failed as well: {}", gone_wrong(*failed, error, by), then.what_by(by))
            }
        }
    }

    /// The way out, where one is needed, as of [`Self::what`].
    pub fn remedy(&self) -> Option<String> {
        self.remedy_by(RunBy::Root)
    }

    fn remedy_by(&self, by: RunBy) -> Option<String> {
        match self {
            Self::Live { .. } | Self::Unchanged { .. } => None,
            Self::Refused { error: error @ Error::Write { .. }, .. } => {
                error.remedy_by(by).map(|remedy| format!("what serves is untouched; {remedy}"))
            }
            Self::Stored { why: error, .. } | Self::Refused { error, .. } | Self::RolledBack { error, .. } => {
                error.remedy_by(by)
            }
            Self::Failed { error, then, .. } => {
                let known = error.remedy_by(by).or_else(|| then.remedy_by(by));
                Some(known.unwrap_or_else(|| "see nginx's error log".to_owned()))
            }
        }
    }

    /// Whether who applies has looked at it at all.
    pub fn was_tried(&self) -> bool {
        !matches!(self, Self::Refused { step: Step::Ask, .. })
    }

    /// Whether the job was begun: its promises and holds are on disk, and templates were looked at.
    pub fn was_begun(&self) -> bool {
        !matches!(self, Self::Refused { step: Step::Ask | Step::Limits | Step::Lock, .. })
    }

    /// Whether the files are as it was wanted.
    pub fn is_in_place(&self) -> bool {
        match self {
            Self::Live { .. } | Self::Unchanged { .. } | Self::Stored { .. } => true,
            Self::Refused { .. } | Self::RolledBack { .. } | Self::Failed { .. } => false,
        }
    }

    /// The word for metrics and history.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Live { .. } => "live",
            Self::Unchanged { .. } => "unchanged",
            Self::Stored { .. } => "stored",
            Self::Refused { .. } => "refused",
            Self::RolledBack { .. } => "rolled_back",
            Self::Failed { .. } => "failed",
        }
    }
}

/// That a generation was in place and is not live, and why.
fn gone_wrong(generation: Generation, error: &Error, by: RunBy) -> String {
    let what = error.what_by(by);
    match error {
        Error::NotLoaded { .. } | Error::NotConfirmed { .. } => {
            format!("nginx accepted generation {generation} and could not load it: {what}")
        }
        _ => format!("generation {generation} did not go live: {what}"),
    }
}

impl Notes {
    /// What templates have not done as they should.
    pub fn misses(&self) -> impl Iterator<Item = (&Followed, &Error)> {
        self.templates.iter().filter_map(|followed| Some((followed, followed.end.error()?)))
    }
}

impl From<&Report> for Applied {
    fn from(report: &Report) -> Self {
        let misses = report.notes().misses().next().is_some() || report.notes().waits.is_some();
        match report {
            Report::Live { .. } if misses => Self::Partly { reloaded: true },
            Report::Unchanged { .. } if misses => Self::Partly { reloaded: false },
            Report::Live { .. } => Self::Done { reloaded: true },
            Report::Unchanged { .. } => Self::Done { reloaded: false },
            Report::Stored { .. } => Self::Stored,
            Report::Refused { .. } => Self::Failed { reloaded: false },
            Report::RolledBack { .. } | Report::Failed { .. } => Self::Failed { reloaded: true },
        }
    }
}

/// One line with the way out (`ux §4`).
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::{Mismatch, Refusal, SystemError, Unanswered, Writer};
    use crate::nginx::{Context, Problem};
    use crate::status::USE_THE_HELPER;
    use crate::upstream;
    use crate::wire::NodeName;

    const MASTER: Process = Process { pid: 812, started: 4711 };

    fn cut_off() -> CutOff {
        let (upstream, member) = (UpstreamName::new("web").unwrap(), NodeName::new("web2").unwrap());
        CutOff { upstream, member, connections: 41 }
    }

    fn not_running() -> Error {
        Error::NotRunning { unit: Some("nginx.service".to_owned()) }
    }

    fn errors() -> Vec<Error> {
        let path = || PathBuf::from("/etc/nginx/conf.d/weir-web.conf");
        let system = |code| SystemError::from(std::io::Error::from_raw_os_error(code));
        let waited = Duration::from_secs(30);
        let upstream = || UpstreamName::new("web").unwrap();
        let addr = "10.0.0.1:80".parse().unwrap();
        let message = "bind() to 0.0.0.0:80 failed (98: Address in use)".to_owned();
        let names = |count: usize| (0..count).map(|n| (format!("{n}.example"), format!("/x:{n}"))).collect();
        let problem =
            || Problem { message: message.clone(), file: Some(path()), line: Some(3), ours: true, upstream: None };
        let denied =
            Problem { message: "open() \"/run/nginx.pid\" failed (13: Permission denied)".into(), ..problem() };
        vec![
            Error::Busy { lock: path(), holder: Some(812), waited },
            Error::Busy { lock: path(), holder: None, waited },
            Error::Write { path: path(), source: system(28) },
            Error::Write { path: path(), source: system(30) },
            Error::Write { path: path(), source: system(13) },
            Error::Write { path: path(), source: system(2) },
            Error::NoState { state: path(), source: system(30) },
            Error::Read { path: path(), source: system(5) },
            Error::Record { path: path(), what: "expected value at line 1 column 1".to_owned() },
            Error::Newer { path: path() },
            Error::NotKept { generation: Generation(7) },
            Error::Lost {
                generation: Generation(7),
                state: path(),
                why: Box::new(Error::NotKept { generation: Generation(7) }),
            },
            Error::StillNeeded { generation: Generation(7), path: path(), upstream: UpstreamName::new("web").unwrap() },
            Error::NothingOf { generation: Generation(7) },
            Error::NotInstalled { upstreams: vec![upstream()], binary: None },
            Error::NotInstalled { upstreams: vec![upstream()], binary: Some(path()) },
            not_running(),
            Error::NotRunning { unit: None },
            Error::Command { program: path(), source: system(110) },
            Error::TestTooSlow { waited, names: names(1) },
            Error::WhichMaster { pid: 7, config: path() },
            Error::TooLarge { bytes: 5_000_000 },
            Error::NotConfigured { upstream: upstream() },
            Error::Address { upstream: upstream(), addr, why: upstream::Refusal::LinkLocal },
            Error::Port { upstream: upstream(), addr, min: 1, max: 79 },
            Error::NotAFile { upstream: upstream(), path: path(), link: true },
            Error::Writable { path: path(), by: Writer::Group("ops".to_owned()) },
            Error::StateWritable { state: "/etc/nginx".into(), path: path(), by: Writer::User("weir".to_owned()) },
            Error::LinkedDirectory { path: path() },
            Error::ForeignEdit { path: path() },
            Error::Test { problem: problem() },
            Error::Test { problem: denied },
            Error::DefinedTwice { upstream: "web".to_owned(), ours: path(), other: path(), line: Some(3) },
            Error::NotIncluded { config: path(), target: path(), lines: false, context: Context::Http },
            Error::NotIncluded { config: path(), target: path(), lines: false, context: Context::Stream },
            Error::NotIncluded { config: path(), target: path(), lines: true, context: Context::Http },
            Error::NoStreamModule { upstreams: vec![upstream()], config: path(), there: Some(path()) },
            Error::NoStreamModule { upstreams: vec![upstream()], config: path(), there: None },
            Error::NotAMaster { pid: 7, why: Mismatch::Child },
            Error::Upgrading { pid_file: path() },
            Error::MasterGone,
            Error::MasterBusy { pid: 7, waited, names: names(4) },
            Error::MasterStopped { pid: 7 },
            Error::ReloadCommand { program: "systemctl reload nginx".to_owned(), what: "it gave no reason".to_owned() },
            Error::NotLoaded { problem: Some(problem()), log: path() },
            Error::NotConfirmed { waited, problem: None, log: path() },
            Error::Overwritten { path: path() },
            Error::Interrupted,
            Error::NothingToRestore,
            Error::NotDone(Refusal::NotPermitted { uid: 33 }),
            Error::Unanswered { upstreams: vec![upstream()], socket: path(), why: Unanswered::Missing },
            Error::Unanswered { upstreams: Vec::new(), socket: path(), why: Unanswered::Silent { seconds: 300 } },
        ]
    }

    #[test]
    fn every_report_says_on_the_far_side_of_a_process_what_it_says_here() {
        let (generation, restored) = (Generation(4), Generation(3));
        let took = Duration::from_millis(120);
        let mut reports = vec![
            Report::Live {
                generation,
                took,
                timings: Timings::default(),
                upstreams: vec![UpstreamName::new("web").unwrap()],
                master: MASTER,
                notes: Notes {
                    templates: Vec::new(),
                    waits: Some(Waits { upstreams: vec![UpstreamName::new("db").unwrap()], error: Error::MasterGone }),
                    foreign: vec![Kept { file: "/a".into(), copy: "/b".into(), line: Some(3), first: true }],
                    removed: vec!["/d".into()],
                    renewed: true,
                    left: Some(Left { orphans: vec!["/c".into()], untouched: vec![UpstreamName::new("api").unwrap()] }),
                    hindrance: None,
                    cut: vec![cut_off()],
                    uncut: Some(Uncut::Unsupported),
                    fingerprint: Some(Digest::of(b"")),
                },
            },
            Report::Unchanged { generation, notes: Notes::default() },
            Report::Stored { generation, why: not_running(), notes: Notes::default() },
        ];
        for error in errors() {
            reports.push(Report::refused(Some(generation), Step::Validate, error.clone()));
            reports.push(Report::RolledBack {
                failed: generation,
                restored,
                master: MASTER,
                error: error.clone(),
                notes: Notes::default(),
            });
            reports.push(Report::Failed {
                failed: generation,
                error: Error::MasterGone,
                then: error,
                notes: Notes::default(),
            });
        }
        for report in reports {
            let there: Report = serde_json::from_slice(&serde_json::to_vec(&report).unwrap()).unwrap();
            assert_eq!(there, report);
            assert_eq!((there.what(), there.remedy()), (report.what(), report.remedy()));
        }
    }

    #[test]
    fn what_waits_for_nginx_names_what_starts_it() {
        let stored = |why| Report::Stored { generation: Generation(4), why, notes: Notes::default() }.to_string();
        let in_place = "is not running, the file is in place and tested";
        assert_eq!(stored(not_running()), format!("nginx.service {in_place}; 'systemctl start nginx'"));
        assert_eq!(stored(Error::NotRunning { unit: None }), format!("nginx {in_place}; start nginx"));
    }

    fn test(words: &str) -> Error {
        Error::Test {
            problem: Problem { message: words.to_owned(), file: None, line: None, ours: false, upstream: None },
        }
    }

    #[test]
    fn what_only_root_may_do_is_not_for_the_site_to_mend() {
        let denied = test("open() \"/run/nginx.pid\" failed (13: Permission denied)");
        let signal = Error::NotAMaster { pid: 7, why: Mismatch::NotPermitted };
        let file = Error::write("/etc/nginx/x".as_ref())(std::io::Error::from_raw_os_error(13));
        for (error, way_out) in [
            (denied, "see 'nginx -t'"),
            (signal, "see with 'dmesg' what keeps root from process 7"),
            (file, "see with 'dmesg' what keeps root from /etc/nginx"),
        ] {
            assert_eq!(error.told(RunBy::User).way_out, USE_THE_HELPER);
            assert_eq!(error.told(RunBy::Root).way_out, way_out);
            assert_eq!(error.told(RunBy::Helper).way_out, way_out);
        }
    }

    #[test]
    fn what_is_read_only_is_so_for_the_unit_or_for_everybody() {
        let log = |path: &str| test(&format!("open() \"{path}\" failed (30: Read-only file system)"));
        let output = |path: &str| Error::write(path.as_ref())(std::io::Error::from_raw_os_error(30));
        let state = |path: &str, code| Error::NoState {
            state: path.into(),
            source: std::io::Error::from_raw_os_error(code).into(),
        };
        for (error, by, text) in [
            (
                log("/srv/logs/shop.log"),
                RunBy::Helper,
                "nginx -t cannot open /srv/logs/shop.log: read-only for weir-apply; 'systemctl edit weir-apply' and add \
                 ReadWritePaths=/srv/logs",
            ),
            (
                output("/srv/web/upstream.conf"),
                RunBy::Helper,
                "cannot write /srv/web/upstream.conf: read-only for weir-apply; 'systemctl edit weir-apply' and add \
                 ReadWritePaths=/srv/web",
            ),
            (
                output("/etc/nginx/conf.d/web.conf"),
                RunBy::Helper,
                "cannot write /etc/nginx/conf.d/web.conf: read-only file system; make /etc/nginx/conf.d writable, it is \
                 mounted read-only",
            ),
            (
                state("/var/lib/weir-apply", 30),
                RunBy::Helper,
                "/var/lib/weir-apply is not there and cannot be made: read-only file system; 'systemctl restart weir-apply' \
                 makes it",
            ),
            (
                state("/srv/weir", 30),
                RunBy::Helper,
                "/srv/weir is not there and cannot be made: read-only file system; 'install -d -m 0750 /srv/weir'",
            ),
            (
                state("/srv/weir", 30),
                RunBy::Root,
                "/srv/weir is not there and cannot be made: read-only file system; make /srv writable, it is mounted read-only",
            ),
            (
                state("/srv/weir/apply", 2),
                RunBy::Root,
                "/srv/weir/apply is not there and cannot be made: no such file or directory; 'install -d -m 0750 \
                 /srv/weir/apply'",
            ),
            (
                output("/srv/web/upstream.conf"),
                RunBy::Root,
                "cannot write /srv/web/upstream.conf: read-only file system; make /srv/web writable, it is mounted read-only",
            ),
            (
                log("/srv/logs/shop.log"),
                RunBy::Root,
                "nginx refuses its configuration: open() \"/srv/logs/shop.log\" failed (30: Read-only file system); make \
                 /srv/logs writable, it is mounted read-only",
            ),
        ] {
            assert_eq!(error.told(by).to_string(), text);
        }
        let refused = Report::refused(None, Step::Write, output("/srv/x.conf")).told(RunBy::Helper);
        assert_eq!(
            refused.way_out,
            "what serves is untouched; 'systemctl edit weir-apply' and add ReadWritePaths=/srv"
        );
    }

    #[test]
    fn an_upstream_that_is_defined_twice_is_named_with_both_places() {
        let twice = Error::DefinedTwice {
            upstream: "web".to_owned(),
            ours: "conf.d/weir-web.conf".into(),
            other: "sites-enabled/shop".into(),
            line: Some(3),
        };
        assert_eq!(
            twice.to_string(),
            "upstream \"web\" is defined twice: conf.d/weir-web.conf and sites-enabled/shop:3; remove yours, or use form = \
             \"servers\" inside it"
        );
    }

    #[test]
    fn what_went_wrong_after_the_test_is_not_always_that_nginx_could_not_load_it() {
        let (failed, restored) = (Generation(4), Generation(3));
        let bind = "bind() to 0.0.0.0:80 failed (98: Address already in use)";
        let problem = Problem { message: bind.to_owned(), file: None, line: None, ours: false, upstream: None };
        let not_loaded = || Error::NotLoaded { problem: Some(problem.clone()), log: "/e.log".into() };
        let full = || Error::Write { path: "/s/journal".into(), source: std::io::Error::from_raw_os_error(28).into() };
        let record = "cannot write /s/journal: no space left on device";
        for (report, text) in [
            (
                Report::RolledBack { failed, restored, master: MASTER, error: not_loaded(), notes: Notes::default() },
                format!(
                    "nginx accepted generation 4 and could not load it: {bind}; generation 3 is back and confirmed; \
                     see 'ss -ltnp sport = :80'"
                ),
            ),
            (
                Report::RolledBack { failed, restored: Generation(0), master: MASTER, error: full(), notes: Notes::default() },
                format!(
                    "generation 4 did not go live: {record}; what was there before is back and confirmed; free space in /s"
                ),
            ),
            (
                Report::Failed { failed, error: Error::MasterGone, then: full(), notes: Notes::default() },
                format!("generation 4 did not go live: nginx ended; going back failed as well: {record}; free space in /s"),
            ),
            (
                Report::Failed { failed, error: Error::MasterGone, then: Error::MasterGone, notes: Notes::default() },
                "generation 4 did not go live: nginx ended; going back failed as well: nginx ended; see nginx's error log"
                    .to_owned(),
            ),
        ] {
            assert_eq!(report.to_string(), text);
        }
    }

    #[test]
    fn what_makes_nginx_slow_is_named() {
        let names = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "/n.conf:3".to_owned())).collect();
        let waited = Duration::from_secs(30);
        for (error, text) in [
            (
                Error::TestTooSlow { waited, names: names(&["api.example"]) },
                "'nginx -t' did not end within 30 s; write an address for the name that it looks up: api.example (/n.conf:3)",
            ),
            (
                Error::TestTooSlow { waited, names: names(&[]) },
                "'nginx -t' did not end within 30 s; run 'nginx -t': something that it reads does not answer, such as a dead mount",
            ),
            (
                Error::MasterBusy { pid: 7, waited, names: names(&["a", "b", "c", "d"]) },
                "nginx's master 7 was still reading its configuration after 30 s; write addresses for the names that it \
                 looks up: a (/n.conf:3), b (/n.conf:3), c (/n.conf:3) and 1 more, or set nginx.confirm_timeout higher",
            ),
            (
                Error::MasterBusy { pid: 7, waited, names: names(&[]) },
                "nginx's master 7 was still reading its configuration after 30 s; set nginx.confirm_timeout higher",
            ),
            (
                Error::MasterStopped { pid: 7 },
                "nginx's master 7 is stopped, as SIGSTOP does, and reads nothing; 'kill -CONT 7'; weir tries again",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn what_the_system_says_has_no_number_and_a_kind_with_its_way_out() {
        let report = |code| {
            let error = std::io::Error::from_raw_os_error(code);
            Report::refused(None, Step::Write, Error::write("/etc/nginx/x".as_ref())(error)).to_string()
        };
        let written = "cannot write /etc/nginx/x: ";
        assert_eq!(
            report(28),
            format!("{written}no space left on device; what serves is untouched; free space in /etc/nginx")
        );
        assert_eq!(
            report(2),
            format!("{written}no such file or directory; what serves is untouched; create /etc/nginx")
        );
    }
}
