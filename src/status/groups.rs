//! The document as Serf shows it: groups of text by name (`rpc §4`, stats). For its clients, for `info` and for the log.

use std::collections::BTreeMap;

use super::node::{Document, Handler, Nginx, Runtime, Upstream, Want};
use crate::upstream::Mode;

/// Group to key to value.
pub type Groups = BTreeMap<String, BTreeMap<String, String>>;

/// Serf's groups, which are there also when they are empty; then ours, unless the agent stands in for Serf's: scripts compare
/// what that one says.
pub fn groups(document: &Document) -> Groups {
    let node = &document.node;
    let mut groups = vec![
        ("agent", BTreeMap::from([("name".to_owned(), node.name.clone())])),
        ("runtime", runtime(&node.runtime, &node.version)),
        ("serf", serf(document)),
        ("tags", node.tags.clone()),
        ("event_handlers", event_handlers(&document.handlers)),
    ];
    if !node.serf_mode {
        let ours = [
            ("weir", weir(document)),
            ("handlers", handlers(&document.handlers)),
            ("dropped", counts(&document.drops)),
            ("rpc", counts(&document.rpc)),
            ("upstreams", upstreams(document)),
            ("nginx", document.nginx.as_ref().map(nginx).unwrap_or_default()),
        ];
        groups.extend(ours.into_iter().filter(|(_, values)| !values.is_empty()));
    }
    groups.into_iter().map(|(name, values)| (name.to_owned(), values)).collect()
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Values {
    fn add(&mut self, key: &str, value: impl ToString) {
        self.0.insert(key.to_owned(), value.to_string());
    }
}

/// Serf's keys; what only a Go program has is answered with what fits best.
fn runtime(runtime: &Runtime, version: &str) -> BTreeMap<String, String> {
    let mut values = Values::default();
    values.add("os", &runtime.os);
    values.add(
        "arch",
        match runtime.arch.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        },
    );
    values.add("version", format!("weir{version}"));
    values.add("max_procs", 1);
    values.add("goroutines", runtime.tasks);
    values.add("cpu_count", runtime.cpus);
    values.0
}

fn serf(document: &Document) -> BTreeMap<String, String> {
    let cluster = &document.cluster;
    let mut values = Values::default();
    values.add("members", cluster.members);
    values.add("failed", cluster.failed);
    values.add("left", cluster.left);
    values.add("health_score", document.node.awareness);
    values.add("member_time", cluster.clocks.member);
    values.add("event_time", cluster.clocks.event);
    values.add("query_time", cluster.clocks.query);
    values.add("intent_queue", cluster.queues.intents);
    values.add("event_queue", cluster.queues.events);
    values.add("query_queue", cluster.queues.queries);
    values.add("encrypted", !document.keys.keys.is_empty());
    if let Some(resets) = cluster.coordinate_resets {
        values.add("coordinate_resets", resets);
    }
    values.0
}

/// `TYPE:NAME` to what is run.
fn event_handlers(handlers: &[Handler]) -> BTreeMap<String, String> {
    let each = |handler: &Handler| {
        let command = handler.command.clone();
        handler.on.clone().into_iter().map(move |filter| (filter, command.clone()))
    };
    handlers.iter().flat_map(each).collect()
}

fn weir(document: &Document) -> BTreeMap<String, String> {
    let Document { node, traffic, keys, .. } = document;
    let mut values = Values::default();
    values.add("version", &node.version);
    values.add("uptime_s", node.uptime_s);
    if let Some(addr) = node.addr {
        values.add("advertise", addr);
    }
    values.add("incarnation", node.incarnation);
    values.add("packets_in", traffic.packets_in);
    values.add("packets_out", traffic.packets_out);
    values.add("bytes_in", traffic.bytes_in);
    values.add("bytes_out", traffic.bytes_out);
    values.add("exchanges", traffic.exchanges);
    values.add("streams", traffic.streams);
    values.add("udp_send_errors", traffic.udp_send_errors);
    values.add("udp_receive_errors", traffic.udp_receive_errors);
    if let Some(primary) = keys.ids().next() {
        values.add("primary_key", primary);
        values.add("keys", keys.keys.len());
    }
    values.0
}

fn handlers(handlers: &[Handler]) -> BTreeMap<String, String> {
    let mut values = Values::default();
    for Handler { name, runs, failures, dropped, last, .. } in handlers {
        let last =
            last.as_ref().map_or_else(String::new, |last| format!(", last {} in {} ms", last.run, last.elapsed_ms));
        values.add(name, format!("{runs} runs, {failures} failed, {dropped} dropped{last}"));
    }
    values.0
}

fn counts(counts: &BTreeMap<String, u64>) -> BTreeMap<String, String> {
    counts.iter().map(|(name, count)| (name.clone(), count.to_string())).collect()
}

/// Each upstream in a line, and how the last apply ended.
fn upstreams(document: &Document) -> BTreeMap<String, String> {
    let mut values = Values::default();
    for upstream in &document.upstreams {
        values.add(&upstream.name, line(upstream));
    }
    if let Some(last) = document.apply.as_ref().and_then(|apply| apply.last.as_ref()) {
        let trouble = last.trouble();
        values.add("last_apply", format!("{}, {} s ago: {trouble}", last.result, last.ended.ago_s));
    }
    for miss in document.apply.iter().flat_map(|apply| &apply.waits) {
        values.add(&format!("waits.{}", miss.name), &miss.trouble);
    }
    for miss in document.apply.iter().flat_map(|apply| &apply.templates) {
        values.add(&format!("template.{}", miss.name), &miss.trouble);
    }
    values.0
}

/// Its state, and why it does not run if it does not.
fn nginx(nginx: &Nginx) -> BTreeMap<String, String> {
    let mut values = Values::default();
    let since = nginx.since.as_ref().map_or_else(String::new, |since| format!(" since {since}"));
    let trouble = nginx.trouble().map_or_else(String::new, |trouble| format!(": {trouble}"));
    values.add("state", format!("{}{since}{trouble}", nginx.state));
    if let Some(pid) = nginx.pid {
        values.add("pid", pid);
    }
    values.0
}

/// `2 of 3 in`, and how the group is doing if not well.
fn line(upstream: &Upstream) -> String {
    let Some(mode) = &upstream.mode else { return "undecided".to_owned() };
    let placeholder = upstream.want.as_ref().is_some_and(|want| want.is(&Want::Placeholder));
    let mode = match mode.word().filter(|_| !placeholder) {
        None if placeholder => upstream.unserved().map(|unserved| format!(", {unserved}")).unwrap_or_default(),
        Some(Mode::Normal) | None => String::new(),
        Some(Mode::Floor) => ", too few are well: those that are ill stay".to_owned(),
        Some(Mode::Last) => ", nobody is well: the last good ones stay".to_owned(),
    };
    format!("{} of {} in{mode}", upstream.serving(), upstream.servers.len())
}

#[cfg(test)]
mod tests;
