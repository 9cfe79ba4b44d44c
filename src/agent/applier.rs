//! Who puts in place what the balancer wants.

use crate::apply::{AnswerError, Apply, Ask, Body, Error, Job, Process, Report, RunBy, Step};
use crate::config::{ApplyMode, Config};
use crate::upstream::Generation;
use crate::upstream::desired::Desired;

/// By `apply.mode`. Every call blocks.
#[derive(Debug)]
pub(super) enum Applier {
    /// This process.
    Direct(Apply),
}

impl Applier {
    pub(super) fn new(config: &Config) -> Self {
        match config.apply.mode {
            ApplyMode::Direct => Self::Direct(Apply::new(config.into())),
        }
    }

    /// Whose hands these are, for words.
    pub(super) fn run_by(&self) -> RunBy {
        match self {
            Self::Direct(_) => RunBy::this_process(),
        }
    }

    /// The generation put in place last, and what it was made from; `None` before the first.
    pub(super) fn live(&self) -> Result<Option<(Generation, Desired)>, Error> {
        match self {
            Self::Direct(apply) => apply.live(),
        }
    }

    /// Brings everything in place, or leaves it as it was and says why.
    pub(super) fn apply(&self, job: Job) -> Report {
        match self.ask(&Ask::Apply(job)) {
            Body::Applied(report) => report,
            other => unasked(not_meant(other)),
        }
    }

    /// NGINX's master, or why there is none. Quick while the one that is `known` is still there.
    pub(super) fn look(&self, known: Option<Process>) -> Result<Process, Error> {
        match self.ask(&Ask::Report { known }) {
            Body::State(state) => state?.master,
            other => Err(not_meant(other)),
        }
    }

    /// Ends what a run that died left half done; `None` if there is nothing to end.
    pub(super) fn recover(&self) -> Option<Report> {
        match self.ask(&Ask::Recover) {
            Body::Applied(report) => Some(report),
            Body::NothingToRecover => None,
            other => Some(unasked(not_meant(other))),
        }
    }

    fn ask(&self, ask: &Ask) -> Body {
        match self {
            Self::Direct(apply) => apply.handle(ask),
        }
    }
}

/// Why `body` is not what was asked for.
fn not_meant(body: Body) -> Error {
    match body {
        Body::Refused(refusal) => Error::NotDone(refusal),
        Body::Applied(_) | Body::Restored { .. } | Body::NothingToRecover | Body::State(_) | Body::Checked(_) => {
            Error::Answer(AnswerError::Other)
        }
    }
}

fn unasked(error: Error) -> Report {
    Report::Refused { generation: None, step: Step::Ask, error, ours: false }
}
