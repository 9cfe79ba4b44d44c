//! Who puts in place what the balancer wants.

use crate::apply::{Apply, Error, Process, Report};
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

    /// The generation put in place last, and what it was made from; `None` before the first.
    pub(super) fn live(&self) -> Result<Option<(Generation, Desired)>, Error> {
        match self {
            Self::Direct(apply) => apply.live(),
        }
    }

    /// Brings everything in place, or leaves it as it was and says why.
    pub(super) fn apply(&self, desired: &Desired) -> Report {
        match self {
            Self::Direct(apply) => apply.apply(desired),
        }
    }

    /// NGINX's master, or why there is none. Quick while the one that is `known` is still there.
    pub(super) fn look(&self, known: Option<Process>) -> Result<Process, Error> {
        match self {
            Self::Direct(apply) => apply.look(known),
        }
    }

    /// Ends what a run that died left half done; `None` if there is nothing to end.
    pub(super) fn recover(&self) -> Option<Report> {
        match self {
            Self::Direct(apply) => apply.recover(),
        }
    }
}
