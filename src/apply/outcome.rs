//! How an apply ended.

use std::fmt;
use std::time::Duration;

use super::Error;
use crate::upstream::settle::Applied;
use crate::upstream::{Generation, UpstreamName};

/// The step that an error belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// Taking the lock, reading and recovering what an earlier run left.
    Lock,
    /// Finding NGINX and its master.
    Locate,
    /// Checking the document, reading the targets.
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
#[derive(Debug)]
pub enum Outcome {
    /// New workers serve it.
    Live {
        /// Its number.
        generation: Generation,
        /// From the call to the confirmation.
        took: Duration,
        /// Those whose files changed.
        upstreams: Vec<UpstreamName>,
    },
    /// It was in place and confirmed already; NGINX was not signalled.
    Unchanged {
        /// The one that is live.
        generation: Generation,
    },
    /// In place and tested, but NGINX is not running.
    Stored {
        /// Its number.
        generation: Generation,
        /// What to start.
        unit: Option<String>,
    },
    /// Not accepted. The files are as they were and NGINX was not signalled.
    Refused {
        /// Where it stopped.
        step: Step,
        /// Why.
        error: Error,
        /// Whether weir's own files are to blame.
        ours: bool,
    },
    /// NGINX accepted it and could not load it. The previous files are back and confirmed.
    RolledBack {
        /// The one that failed.
        failed: Generation,
        /// The one that serves.
        restored: Generation,
        /// Why.
        error: Error,
    },
    /// As above, and going back could not be confirmed either. Nothing more is touched.
    Failed {
        /// The one that failed.
        failed: Generation,
        /// Why.
        error: Error,
        /// Why going back failed.
        then: Error,
    },
}

impl Outcome {
    pub(super) fn refused(step: Step, error: Error) -> Self {
        let ours = error.is_ours();
        Self::Refused { step, error, ours }
    }

    /// Whether what was wanted is in place and nothing is to be tried again. A stored generation still waits for NGINX.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Live { .. } | Self::Unchanged { .. } => true,
            Self::Stored { .. } | Self::Refused { .. } | Self::RolledBack { .. } | Self::Failed { .. } => false,
        }
    }

    /// Whether the files hold what was wanted.
    pub fn is_in_place(&self) -> bool {
        self.is_done() || matches!(self, Self::Stored { .. })
    }

    /// Whether NGINX was signalled.
    pub fn reloaded(&self) -> bool {
        match self {
            Self::Live { .. } | Self::RolledBack { .. } | Self::Failed { .. } => true,
            Self::Unchanged { .. } | Self::Stored { .. } | Self::Refused { .. } => false,
        }
    }

    /// For [`Settle::applied`](crate::upstream::settle::Settle::applied).
    pub fn applied(&self) -> Applied {
        let reloaded = self.reloaded();
        if self.is_done() { Applied::Done { reloaded } } else { Applied::Failed { reloaded } }
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

/// One line with the way out (`ux §4`).
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live { generation, took, .. } => write!(f, "generation {generation} live in {} ms", took.as_millis()),
            Self::Unchanged { generation } => write!(f, "unchanged, generation {generation} is live"),
            Self::Stored { unit: Some(unit), .. } => {
                write!(f, "{unit} is not running, the file is in place and tested; 'systemctl start {unit}'")
            }
            Self::Stored { unit: None, .. } => {
                write!(f, "nginx is not running, the file is in place and tested; start nginx")
            }
            Self::Refused { error, .. } => write!(f, "{error}"),
            Self::RolledBack { failed, restored, error } => {
                write!(f, "nginx accepted generation {failed} and could not load it: {}", error.what())?;
                write!(f, "; generation {restored} is back and confirmed")?;
                error.remedy().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
            }
            Self::Failed { failed, error, then } => {
                write!(f, "nginx could not load generation {failed}: {}", error.what())?;
                write!(
                    f,
                    "; going back failed as well: {then}; look at nginx's error log, nothing more is touched until then"
                )
            }
        }
    }
}
