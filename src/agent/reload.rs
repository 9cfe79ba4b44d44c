//! A changed configuration while running: what can change live does, the rest is named, a bad file changes nothing.

use serde_json::json;
use tracing::{error, info, warn};

use super::clock;
use super::commands::answer;
use super::document::DocumentReply;
use super::driver::{Agent, Report};
use super::start::own_tags;
use super::upstreams::Upstreams;
use crate::config::reload::{Change, diff};
use crate::config::{Config, ConfigErrors, Loaded, Mode, Sources, When, load};
use crate::upstream::desired::Desired;
use crate::wire::serf::Tags;

/// A reload, and who asked for it.
#[derive(Debug, Default)]
pub(super) struct Request {
    options: Options,
    /// Nobody after a signal.
    reply: Option<DocumentReply>,
}

/// What a client may say.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Options {
    /// Only tell what would change.
    dry_run: bool,
}

impl Request {
    pub(super) fn asked(options: Options, reply: DocumentReply) -> Self {
        Self { options, reply: Some(reply) }
    }
}

/// A configuration as it was read.
#[derive(Debug)]
pub(super) struct Read {
    request: Request,
    result: Result<Loaded, ConfigErrors>,
}

impl Agent {
    /// Reads the configuration again, off the loop.
    pub(super) fn reload(&self, request: Request) {
        if !request.options.dry_run {
            self.systemd.reloading();
        }
        // A pipe that was read at start has nothing more to say, and nobody may ever write to it again.
        let (sources, report) = (Sources { pipes: false, ..self.sources.clone() }, self.report.clone());
        tokio::task::spawn_blocking(move || {
            let result = load(&sources);
            // Nobody takes it only if the agent has ended.
            drop(report.blocking_send(Report::Reload(Box::new(Read { request, result }))));
        });
    }

    pub(super) fn handle_reload(&mut self, read: Read) {
        let Read { request, result } = read;
        let dry_run = request.options.dry_run;
        let told = match result {
            Ok(loaded) => {
                let changes = diff(&self.config, &loaded.config);
                if !dry_run {
                    self.adopt(loaded.config, &changes);
                }
                Ok(document(&changes))
            }
            Err(errors) => {
                if !dry_run {
                    error!(error = errors.summary(), "configuration is wrong, the running one stays");
                }
                Err(errors.to_string())
            }
        };
        if !dry_run {
            self.systemd.ready(self.status());
        }
        if let Some(reply) = request.reply {
            answer(reply, told);
        }
    }

    fn adopt(&mut self, new: Config, changes: &[Change]) {
        for change in changes {
            let key = &change.key;
            match change.when {
                When::Live => info!(key, "configuration changes"),
                When::Restart => warn!(key, "configuration changes with the next restart of the agent"),
            }
        }
        info!(changes = changes.len(), "reloaded");
        self.log.set_level(new.log.level.clone());
        self.handlers.replace(&new.handlers);
        self.retry.set_limits(new.gossip.join_retry_interval, new.gossip.join_retry_max);
        let join = &new.gossip.join;
        let others = *join != self.config.gossip.join && !join.is_empty() && self.config.mode == Mode::Weir;
        if others && !self.is_leaving() {
            self.retry.again(clock::now());
        }
        self.store.set_sync_interval(new.snapshot.sync_interval);
        self.rejoin.set_limits(&new.gossip);
        let advertise = self.endpoint.local().addr;
        self.endpoint.reconfigure(&new.endpoint(advertise));
        self.adopt_upstreams(&new);
        self.adopt_tags(&new);
        self.config = new;
        self.snapshot_tags();
    }

    fn adopt_upstreams(&mut self, new: &Config) {
        match &mut self.upstreams {
            Some(upstreams) => upstreams.reconfigure(new),
            None => {
                let order = Desired::order_of(&new.node.name);
                self.upstreams = Upstreams::new(new, order, clock::now());
                self.recover_upstreams();
                self.first_view_complete();
            }
        }
    }

    /// Tags that were set at run time stay unless the file's own value of that tag changed.
    fn adopt_tags(&mut self, new: &Config) {
        let before = own_tags(&self.config, &Tags::new());
        let after = own_tags(new, &Tags::new());
        let mut tags = self.endpoint.tags();
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            tags.remove(name);
        }
        for (name, value) in after.iter().filter(|(name, value)| before.get(*name) != Some(*value)) {
            tags.insert(name.clone(), value.clone());
        }
        if tags != self.endpoint.tags()
            && let Err(error) = self.endpoint.set_tags(clock::now(), &tags)
        {
            error!(%error, "tags are not changed");
        }
    }
}

/// What `weir reload` shows.
fn document(changes: &[Change]) -> String {
    let change = |change: &Change| json!({ "key": change.key, "before": change.before, "after": change.after, "when": change.when.as_str() });
    json!({ "changes": changes.iter().map(change).collect::<Vec<_>>() }).to_string()
}
