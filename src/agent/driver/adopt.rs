//! A changed configuration: what can change live does, the rest is named, a bad file changes nothing.

use tracing::error;

use super::super::notice::Notice;
use super::super::reload::{self, Read, Request};
use super::super::upstreams::{InPlace, Upstreams};
use super::super::{clock, tags};
use super::Agent;
use crate::config::Config;
use crate::config::reload::Change;
use crate::time::Instant;

impl Agent {
    /// Reads the configuration again, off the loop.
    pub(super) fn reload(&mut self, request: Request) {
        if !request.is_dry_run() {
            self.systemd.reloading();
        }
        self.reloads.start(request, self.upstreams.is_some());
    }

    pub(super) fn handle_reload(&mut self, read: Read) {
        let Read { request, result, in_place } = read;
        let dry_run = request.is_dry_run();
        let told = result.map(|loaded| {
            let changes = self.reloads.changes(&self.config, &loaded.config);
            if !dry_run {
                self.adopt(self.reloads.since_start(loaded.config), in_place, &changes);
            }
            changes
        });
        if !dry_run {
            if let Err(errors) = &told {
                let mistakes = errors.mistakes().iter().map(ToString::to_string).collect();
                self.log.tell(Notice::ReloadFailed { mistakes, summary: errors.summary() });
            }
            self.reloads.ended(clock::now(), told.as_ref().err().cloned());
            self.systemd.ready(self.status());
        }
        request.answer(told);
    }

    fn adopt(&mut self, new: Config, in_place: Option<InPlace>, changes: &[Change]) {
        let now = clock::now();
        reload::log(changes);
        self.log.set_level(new.log.level.clone());
        self.handlers.replace(&new.handlers);
        self.checks.replace(now, &new.checks);
        self.joins.reconfigure(now, &self.config, &new);
        if self.is_leaving() {
            self.joins.stop();
        }
        self.store.set_sync_interval(new.snapshot.sync_interval);
        let advertise = self.endpoint.local().addr;
        self.endpoint.reconfigure(&new.endpoint(advertise));
        self.adopt_upstreams(now, &new, in_place);
        let tags = self.endpoint.tags();
        let wanted = tags::reconfigured(&tags, &self.config, &new);
        if wanted != tags
            && let Err(error) = self.endpoint.set_tags(now, &wanted)
        {
            error!(%error, "tags are not changed");
        }
        self.config = new;
        self.store.tags(&self.config.node.tags, self.endpoint.tags());
    }

    fn adopt_upstreams(&mut self, now: Instant, new: &Config, in_place: Option<InPlace>) {
        let leaving = self.is_leaving();
        match (&mut self.upstreams, in_place) {
            (Some(upstreams), _) => upstreams.reconfigure(now, new),
            (None, Some(in_place)) if !leaving => {
                let upstreams = self.upstreams.insert(Upstreams::new(new, in_place, now));
                upstreams.first_view_complete(now);
            }
            (None, _) => {}
        }
    }
}
