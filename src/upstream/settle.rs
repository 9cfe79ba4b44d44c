//! When to apply: storms cost one reload, bad news none of the wait (`design §7`).

use std::time::Duration;

use crate::time::Instant;

/// Times of [`Settle`] (`ux §1.2`, `[apply]`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// Wait until nothing changed for this long,
    pub quiet: Duration,
    /// but no longer than this.
    pub max_delay: Duration,
    /// At most one reload per this time, over all targets.
    pub min_reload_interval: Duration,
    /// Added to every wait, different on each balancer, so that they never all reload in the same instant.
    pub jitter: Duration,
    /// After a failure, with nothing changed: try again after this long,
    pub retry: Duration,
    /// and twice as long after each further failure, but no longer than this: a try may cost a test and a signal.
    pub max_retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(200),
            max_delay: Duration::from_secs(2),
            min_reload_interval: Duration::from_secs(1),
            jitter: Duration::ZERO,
            retry: Duration::from_secs(60),
            max_retry: Duration::from_secs(600),
        }
    }
}

impl Options {
    /// A jitter below 50 ms, fixed per balancer by its seed of order ([`Desired::order_of`](super::desired::Desired::order_of)).
    pub fn jitter_of(order: u64) -> Duration {
        Duration::from_millis((order >> 32) % 50)
    }
}

/// How a change is to be treated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// Waits for quiet.
    Ordinary,
    /// A server turned bad: skips the quiet period.
    Bad,
}

/// How an apply ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// What was handed over is in place and served. `reloaded`: NGINX was signalled.
    Done { reloaded: bool },
    /// NGINX serves it, and something else that was to follow does not. As with a failure it is tried again.
    Partly { reloaded: bool },
    /// It is in place, and NGINX is not running. As with a failure it is tried again, until NGINX is seen to serve it.
    Stored,
    /// It is not in place. It is tried again when something changes, and after [`Options::retry`], which grows.
    Failed { reloaded: bool },
}

impl Applied {
    /// Whether the files hold what was handed over.
    pub fn is_in_place(self) -> bool {
        match self {
            Self::Done { .. } | Self::Partly { .. } | Self::Stored => true,
            Self::Failed { .. } => false,
        }
    }

    /// Whether nothing is to be tried again.
    pub fn is_done(self) -> bool {
        match self {
            Self::Done { .. } => true,
            Self::Partly { .. } | Self::Stored | Self::Failed { .. } => false,
        }
    }

    /// Whether NGINX was signalled.
    pub fn reloaded(self) -> bool {
        match self {
            Self::Done { reloaded } | Self::Partly { reloaded } | Self::Failed { reloaded } => reloaded,
            Self::Stored => false,
        }
    }
}

/// The debounce over all upstreams of a balancer, since all share one reload.
///
/// A driver calls [`Self::complete`] once the first view of the cluster is whole, [`Self::wanted`] after each decision that
/// differs from what is live and [`Self::unwanted`] when none does any more. When [`Self::handle_timeout`] returns true it
/// applies, and reports with [`Self::applied`]; meanwhile nothing is due.
#[derive(Debug)]
pub struct Settle {
    options: Options,
    complete: bool,
    applying: bool,
    pending: Option<Pending>,
    /// When NGINX was last signalled, as far as we know.
    reloaded: Option<Instant>,
    retry_at: Option<Instant>,
    /// After the last of several failures between which nothing has changed.
    pause: Option<Duration>,
    /// Once more, after the apply that runs.
    again: bool,
    /// An operator's word, which waits for nothing.
    at_once: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    newest: Instant,
    /// Skips the quiet period.
    now: bool,
}

impl Settle {
    /// Nothing is due before [`Self::complete`].
    pub fn new(options: Options) -> Self {
        Self {
            options,
            complete: false,
            applying: false,
            pending: None,
            reloaded: None,
            retry_at: None,
            pause: None,
            again: false,
            at_once: None,
        }
    }

    /// Takes new times; they hold from the next deadline on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// The first view of the cluster is whole: what is wanted now is due at once. Later calls change nothing.
    pub fn complete(&mut self) {
        if std::mem::replace(&mut self.complete, true) {
            return;
        }
        if let Some(pending) = &mut self.pending {
            pending.now = true;
        }
    }

    /// What is wanted changed and differs from what is live.
    pub fn wanted(&mut self, now: Instant, news: News) {
        let at_once = news == News::Bad || !self.complete;
        let pending = self.pending.get_or_insert(Pending { first: now, newest: now, now: false });
        pending.newest = now;
        pending.now |= at_once;
        self.pause = None;
    }

    /// What is wanted is what is live. After a failure it is tried again all the same: NGINX may have been away, and then
    /// only another apply can confirm what it serves.
    pub fn unwanted(&mut self) {
        self.pending = None;
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.applying || !self.complete {
            return None;
        }
        if self.at_once.is_some() {
            return self.at_once;
        }
        let due = match self.pending {
            Some(pending) => self.due(pending),
            None => self.retry_at?,
        };
        let free = self.reloaded.map_or(Instant::ZERO, |at| at + self.options.min_reload_interval);
        Some(due.max(free))
    }

    fn due(&self, pending: Pending) -> Instant {
        if pending.now {
            return pending.first;
        }
        let quiet = pending.newest + self.options.quiet;
        let latest = pending.first + self.options.max_delay;
        quiet.min(latest) + self.options.jitter
    }

    /// Whether to apply what is wanted now.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.applying = true;
            self.pending = None;
            self.retry_at = None;
            self.at_once = None;
        }
        due
    }

    /// To be applied at once, though nothing else is wanted: what a failed apply lacked may be there now, or what is in place
    /// may not be served.
    pub fn again(&mut self, now: Instant) {
        self.pause = None;
        if self.applying {
            self.again = true;
        } else {
            self.retry_at = Some(now);
        }
    }

    /// An operator's word: due now, also within the time between two reloads.
    pub fn at_once(&mut self, now: Instant) {
        self.at_once = Some(now);
    }

    /// The apply that [`Self::handle_timeout`] asked for has ended.
    pub fn applied(&mut self, now: Instant, applied: Applied) {
        self.applying = false;
        if applied.reloaded() {
            self.reloaded = Some(now);
        }
        let retry = self.retry_after(applied);
        self.retry_at = if std::mem::take(&mut self.again) { Some(now) } else { retry.map(|retry| now + retry) };
    }

    fn retry_after(&mut self, applied: Applied) -> Option<Duration> {
        let Options { retry, max_retry, .. } = self.options;
        self.pause = match applied {
            Applied::Failed { .. } => Some(self.pause.map_or(retry, |pause| (pause * 2).min(max_retry))),
            Applied::Done { .. } | Applied::Partly { .. } | Applied::Stored => None,
        };
        self.pause.or_else(|| (!applied.is_done()).then_some(retry))
    }

    /// The driver's own job has ended, not while an apply runs: what was to be tried again still is.
    pub fn intervened(&mut self, now: Instant, applied: Applied) {
        if applied.reloaded() {
            self.reloaded = Some(now);
        }
        if !applied.is_done() {
            let retry_at = now + self.options.retry;
            self.retry_at = Some(self.retry_at.map_or(retry_at, |at| at.min(retry_at)));
        }
    }
}

#[cfg(test)]
mod tests;
