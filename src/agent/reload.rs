//! A changed configuration while running: what can change live does, the rest is named, a bad file changes nothing.

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::driver::{Agent, Report};
use super::start::own_tags;
use super::upstreams::Upstreams;
use super::{clock, start};
use crate::config::reload::{Change, diff};
use crate::config::{Config, ConfigErrors, Loaded, When, load};

/// What a reload did: the keys that differ, or the mistakes.
pub(super) type Reloaded = Result<Vec<Change>, ConfigErrors>;

/// A configuration as it was read, and who waits for the result.
#[derive(Debug)]
pub(super) struct Read {
    result: Result<Loaded, ConfigErrors>,
    reply: Option<oneshot::Sender<Reloaded>>,
}

impl Agent {
    /// Reads the configuration again, off the loop.
    pub(super) fn reload(&self, reply: Option<oneshot::Sender<Reloaded>>) {
        self.systemd.reloading();
        let (sources, report) = (self.sources.clone(), self.report.clone());
        tokio::task::spawn_blocking(move || {
            let read = Read { result: load(&sources), reply };
            // Nobody takes it only if the agent has ended.
            drop(report.blocking_send(Report::Reload(Box::new(read))));
        });
    }

    pub(super) fn handle_reload(&mut self, read: Read) {
        let Read { result, reply } = read;
        let reloaded = match result {
            Ok(loaded) => Ok(self.adopt(loaded.config)),
            Err(errors) => {
                error!(error = %errors, "configuration is wrong, the running one stays");
                Err(errors)
            }
        };
        self.systemd.ready(self.status());
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            drop(reply.send(reloaded));
        }
    }

    fn adopt(&mut self, new: Config) -> Vec<Change> {
        let changes = diff(&self.config, &new);
        for change in &changes {
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
        self.adopt_upstreams(&new);
        self.adopt_tags(&new);
        self.config = new;
        changes
    }

    fn adopt_upstreams(&mut self, new: &Config) {
        match &mut self.upstreams {
            Some(upstreams) => upstreams.reconfigure(new),
            None => {
                let order = start::order_of(new.node.name.as_str());
                self.upstreams = Upstreams::new(new, order, clock::now());
                self.first_view_complete();
            }
        }
    }

    /// Tags that were set at run time stay unless the file's own value of that tag changed.
    fn adopt_tags(&mut self, new: &Config) {
        let before = own_tags(&self.config, None);
        let after = own_tags(new, None);
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
