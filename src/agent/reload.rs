//! Reading the configuration again while running, for a signal or a client.

use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::authorities;
use super::clock::Calendar;
use super::upstreams::InPlace;
use crate::config::reload::{Change, outstanding};
use crate::config::{Config, ConfigErrors, Loaded, Sources, When, load};
use crate::rpc::refusal::{Kind, Refusal};
use crate::rpc::weir;
use crate::status::node::Refused;
use crate::time::Instant;

/// A reload, and who asked for it.
#[derive(Debug, Default)]
pub(super) struct Request {
    options: weir::Reload,
    /// Nobody after a signal.
    answer: Option<weir::Answer<weir::Reload>>,
}

impl Request {
    pub(super) fn asked(options: weir::Reload, answer: weir::Answer<weir::Reload>) -> Self {
        Self { options, answer: Some(answer) }
    }

    /// Whether to tell only what would change.
    pub(super) fn is_dry_run(&self) -> bool {
        self.options.dry_run
    }

    /// Tells the client, if there is one, what changes.
    pub(super) fn answer(self, told: Result<Vec<Change>, ConfigErrors>) {
        if let Some(answer) = self.answer {
            answer.send(told.map(|changes| weir::Reloaded { changes }).map_err(|errors| refused(&errors)));
        }
    }
}

/// A configuration as it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) request: Request,
    pub(super) result: Result<Loaded, ConfigErrors>,
    /// For upstreams, if there were none before.
    pub(super) in_place: Option<InPlace>,
}

/// Reads the sources of the configuration, off the loop.
#[derive(Debug)]
pub(super) struct Reloads {
    sources: Sources,
    /// What needs a restart to change is still as it is here.
    started: Config,
    reading: JoinSet<Read>,
    /// What was wrong the last time, and since when.
    refused: Option<(Instant, ConfigErrors)>,
}

impl Reloads {
    /// What the agent was started with.
    pub(super) fn new(sources: Sources, started: Config) -> Self {
        // A pipe that was read at start has nothing more to say, and nobody may ever write to it again.
        Self { sources: Sources { pipes: false, ..sources }, started, reading: JoinSet::new(), refused: None }
    }

    /// What `new` changes now, and what with the next restart.
    pub(super) fn changes(&self, running: &Config, new: &Config) -> Vec<Change> {
        outstanding(&self.started, running, new)
    }

    /// Begins to read; [`Self::recv`] tells the end. `balances`: there are upstreams already, which know what is in place.
    pub(super) fn start(&mut self, request: Request, balances: bool) {
        let (sources, started) = (self.sources.clone(), self.started.clone());
        let looks = !balances && !request.is_dry_run();
        self.reading.spawn_blocking(move || {
            let result = load(&sources).and_then(authorities::examined);
            let in_place = result.as_ref().ok().filter(|_| looks);
            let in_place = in_place.and_then(|loaded| InPlace::look(&loaded.config.clone().since(&started)));
            Read { request, result, in_place }
        });
    }

    /// As this process runs with `new`.
    pub(super) fn since_start(&self, new: Config) -> Config {
        new.since(&self.started)
    }

    /// What was read was taken over, or not.
    pub(super) fn ended(&mut self, now: Instant, refused: Option<ConfigErrors>) {
        let since = self.refused.take().map_or(now, |(since, _)| since);
        self.refused = refused.map(|errors| (since, errors));
    }

    /// What the configuration in use lacks, if the last reload was refused.
    pub(super) fn refused(&self, calendar: &Calendar) -> Option<Refused> {
        let (since, errors) = self.refused.as_ref()?;
        let mistakes = errors.mistakes().iter().map(ToString::to_string).collect();
        Some(Refused { mistakes, since: Some(calendar.date(*since)) })
    }

    /// The next configuration that was read. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Read {
        loop {
            match self.reading.join_next().await {
                Some(Ok(read)) => return read,
                Some(Err(error)) => error!(%error, "reading the configuration failed"),
                None => return std::future::pending().await,
            }
        }
    }
}

/// A line for each change that takes effect, now or later.
pub(super) fn log(changes: &[Change]) {
    for change in changes {
        let Change { key, before, after, when } = change;
        if when.is(&When::Live) {
            info!(key, before, after, "configuration changes");
        } else {
            warn!(key, before, after, "configuration changes with the next restart of the agent");
        }
    }
    info!(changes = changes.len(), "reloaded");
}

fn refused(errors: &ConfigErrors) -> Refusal {
    Refusal {
        kind: Kind::Configuration,
        what: errors.summary(),
        remedy: Some("the running agent keeps its configuration".to_owned()),
        details: errors.mistakes().iter().map(ToString::to_string).collect(),
    }
}
