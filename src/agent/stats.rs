//! What `info` shows: Serf's groups, then ours. All values are text (`rpc §4`, stats).

use std::collections::BTreeMap;

use tracing::info;

use super::clock;
use super::driver::Agent;
use super::exec::Outcome;
use super::upstreams::Upstreams;
use crate::config::{Command, Mode};
use crate::time::millis;

/// Group to key to value.
pub(super) type Groups = BTreeMap<String, BTreeMap<String, String>>;

/// Serf's own, there also when they are empty.
const SERF_GROUPS: [&str; 5] = ["agent", "event_handlers", "runtime", "serf", "tags"];

impl Agent {
    pub(super) fn stats(&self) -> Groups {
        let mut groups = Groups::new();
        let mut group = |name: &str, values: BTreeMap<String, String>| groups.insert(name.to_owned(), values);
        group("agent", BTreeMap::from([("name".to_owned(), self.endpoint.local().name.as_str().to_owned())]));
        group("runtime", runtime());
        group("serf", self.serf_stats());
        group("tags", self.endpoint.tags());
        group("event_handlers", self.handler_names());
        // Scripts compare what Serf's agent says, so in its place nothing is added.
        if self.config.mode == Mode::Weir {
            group("weir", self.weir_stats());
            group("handlers", self.handler_stats());
            group("dropped", self.dropped());
            group("rpc", self.commands.counts().values());
            group("upstreams", self.upstreams.as_ref().map(Upstreams::stats).unwrap_or_default());
        }
        groups.retain(|name, values| SERF_GROUPS.contains(&name.as_str()) || !values.is_empty());
        groups
    }

    fn serf_stats(&self) -> BTreeMap<String, String> {
        let stats = self.endpoint.serf().stats();
        let mut values = Values::default();
        values.add("members", stats.members);
        values.add("failed", stats.failed);
        values.add("left", stats.left);
        values.add("health_score", self.endpoint.swim().health_score());
        values.add("member_time", stats.member_time.0);
        values.add("event_time", stats.event_time.0);
        values.add("query_time", stats.query_time.0);
        values.add("intent_queue", stats.queues.intents);
        values.add("event_queue", stats.queues.events);
        values.add("query_queue", stats.queues.queries);
        values.add("encrypted", self.endpoint.keyring().is_some());
        if let Some(resets) = stats.coordinate_resets {
            values.add("coordinate_resets", resets);
        }
        values.0
    }

    /// `TYPE:NAME` to what is run, as Serf shows handlers.
    fn handler_names(&self) -> BTreeMap<String, String> {
        let mut names = BTreeMap::new();
        for (handler, _) in self.handlers.iter() {
            let command = match &handler.command {
                Command::Argv(argv) => argv.join(" "),
                Command::Shell(line) => line.clone(),
            };
            for filter in &handler.on {
                names.insert(crate::handlers::serf_name(filter), command.clone());
            }
        }
        names
    }

    fn weir_stats(&self) -> BTreeMap<String, String> {
        let (traffic, udp) = (self.endpoint.traffic(), self.udp.stats());
        let mut values = Values::default();
        values.add("version", env!("CARGO_PKG_VERSION"));
        values.add("uptime_s", clock::now().since(self.started).as_secs());
        values.add("advertise", self.endpoint.local().addr);
        values.add("incarnation", self.endpoint.swim().incarnation());
        values.add("packets_in", traffic.packets_in);
        values.add("packets_out", traffic.packets_out);
        values.add("bytes_in", traffic.bytes_in);
        values.add("bytes_out", traffic.bytes_out);
        values.add("exchanges", traffic.exchanges);
        values.add("streams", self.endpoint.open_streams());
        values.add("udp_send_errors", udp.send_errors);
        values.add("udp_receive_errors", udp.receive_errors);
        if let Some(ring) = self.endpoint.keyring() {
            values.add("primary_key", ring.primary().id());
            values.add("keys", ring.keys().len());
        }
        values.0
    }

    fn handler_stats(&self) -> BTreeMap<String, String> {
        let mut values = Values::default();
        for (handler, stats) in self.handlers.iter() {
            let last = stats.last.as_ref().map_or_else(String::new, |(outcome, elapsed)| {
                format!(", last {} in {} ms", outcome_word(outcome), millis(*elapsed))
            });
            let (runs, failures, dropped) = (stats.runs, stats.failures, stats.dropped);
            values.add(&handler.name, format!("{runs} runs, {failures} failed, {dropped} dropped{last}"));
        }
        values.0
    }

    /// Remote input that was refused, by reason; what the layers refused under their own names.
    fn dropped(&self) -> BTreeMap<String, String> {
        let envelopes = self.endpoint.drops().iter().map(|(reason, count)| (reason.as_str().to_owned(), count));
        let swim = self.endpoint.swim().stats().drops();
        let swim = swim.map(|(reason, count)| (format!("swim_{}", reason.as_str()), count));
        let serf = self.endpoint.serf().drops().iter().filter(|(reason, _)| !reason.is_ordinary());
        let serf = serf.map(|(reason, count)| (format!("serf_{}", reason.as_str()), count));
        let mut values = Values::default();
        for (reason, count) in envelopes.chain(swim).chain(serf).filter(|(_, count)| *count > 0) {
            values.add(&reason, count);
        }
        values.0
    }

    /// For SIGUSR1, on which Serf dumps its metrics.
    pub(super) fn log_stats(&self) {
        for (group, values) in self.stats() {
            let values = values.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
            info!(group, values, "stats");
        }
    }
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Values {
    fn add(&mut self, key: &str, value: impl ToString) {
        self.0.insert(key.to_owned(), value.to_string());
    }
}

fn outcome_word(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited(status) => format!("exit {status}"),
        Outcome::Killed(signal) => format!("signal {signal}"),
        Outcome::TimedOut => "timed out".to_owned(),
        Outcome::NotStarted(error) => format!("not started: {error}"),
    }
}

/// Serf's keys; what only a Go program has is answered with what fits best.
fn runtime() -> BTreeMap<String, String> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut values = Values::default();
    values.add("os", std::env::consts::OS);
    values.add(
        "arch",
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
    );
    values.add("version", concat!("weir", env!("CARGO_PKG_VERSION")));
    values.add("max_procs", 1);
    values.add(
        "goroutines",
        tokio::runtime::Handle::try_current().map_or(0, |handle| handle.metrics().num_alive_tasks()),
    );
    values.add("cpu_count", cpus);
    values.0
}
