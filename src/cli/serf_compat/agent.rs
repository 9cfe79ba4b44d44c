//! `serf agent`: Serf's flags, and one `==> ` line for what keeps it from starting (`cli.md` §3).

use std::io;
use std::sync::Arc;

use super::super::agent::{exit_code, failure};
use super::console::Console;
use super::flags::{self, Flag, Kind, Parsed};
use super::{fail, files, print, usage};
use crate::agent::{self, AgentError, BindError, ListenError, OnReady, SecretError, Start, log};
use crate::config::{self, Loaded, Notice, Overrides, Secret, Source, Sources};
use crate::crypto::KeyringError;
use crate::handlers::filter::EventFilter;
use crate::rpc::proto::LogLevel;
use crate::rpc::server::go_base64;

const FLAGS: [Flag; 33] = [
    ("advertise", Kind::Text),
    ("bind", Kind::Text),
    ("broadcast-timeout", Kind::Text),
    ("config-dir", Kind::List),
    ("config-file", Kind::List),
    ("disable-compression", Kind::Bool),
    ("discover", Kind::Text),
    ("encrypt", Kind::Text),
    ("event-handler", Kind::List),
    ("iface", Kind::Text),
    ("join", Kind::List),
    ("keyring-file", Kind::Text),
    ("log-level", Kind::Text),
    ("mdns-disable-ipv4", Kind::Bool),
    ("mdns-disable-ipv6", Kind::Bool),
    ("mdns-iface", Kind::Text),
    ("node", Kind::Text),
    ("profile", Kind::Text),
    ("protocol", Kind::Int),
    ("rejoin", Kind::Bool),
    ("replay", Kind::Bool),
    ("retry-interval", Kind::Text),
    ("retry-join", Kind::List),
    ("retry-max", Kind::Int),
    ("role", Kind::Text),
    ("rpc-addr", Kind::Text),
    ("rpc-auth", Kind::Text),
    ("rpc-socket", Kind::Text),
    ("rpc-token-file", Kind::Text),
    ("snapshot", Kind::Text),
    ("syslog", Kind::Bool),
    ("tag", Kind::List),
    ("tags-file", Kind::Text),
];

/// Runs the agent and gives its exit code. Positional arguments are ignored.
pub(super) fn run(args: &[String]) -> u8 {
    let parsed = match flags::parse(&FLAGS, args) {
        Ok(parsed) => parsed,
        Err(line) => {
            super::error(&format!("{line}\n"));
            print(&format!("==> {}", usage::of("agent")));
            return 1;
        }
    };
    if let Some(complaint) = complaint(&parsed) {
        return fail(&format!("==> {complaint}"));
    }
    let sources = Sources::here(paths(&parsed), overrides(&parsed), true);
    match config::load(&sources) {
        Ok(loaded) => start(loaded, sources),
        Err(errors) => {
            errors.mistakes().iter().for_each(|mistake| print(&format!("==> {mistake}\n")));
            1
        }
    }
}

fn start(loaded: Loaded, sources: Sources) -> u8 {
    tell_notices(&loaded.notices);
    print("==> Starting Serf agent...\n");
    let mode = loaded.config.mode;
    let console = Arc::new(Console::new(loaded.config.clone()));
    let (lines, whole) = (console.clone(), console.clone());
    let start = Start {
        loaded,
        sources,
        on_ready: Some(OnReady::new(move |ready| console.ready(ready))),
        console: Some(log::Console::new(move |line, wants| lines.line(line, wants))),
    };
    let ended = agent::run(start);
    whole.ended();
    match ended {
        Ok(exit) => exit_code(exit, mode).code(),
        Err(error) => fail(&format!("==> {}", reason(&error))),
    }
}

/// What the reference says, in its words and its order; what it does not say is for standard error.
fn tell_notices(notices: &[Notice]) {
    let known = [
        ("'role' has been replaced", "Deprecation warning: 'Role' has been replaced with 'Tags'"),
        ("retry_interval is raised", "Warning: 'RetryInterval' is too low. Setting to 1s"),
        ("broadcast_timeout is raised", "Warning: 'BroadcastTimeout' is too low. Setting to 1s"),
    ];
    let is = |notice: &Notice, start: &str| notice.text.trim_start_matches('-').replace('-', "_").starts_with(start);
    for (start, line) in known {
        if notices.iter().any(|notice| is(notice, start)) {
            print(&format!("==> {line}\n"));
        }
    }
    for notice in notices.iter().filter(|notice| !known.iter().any(|(start, _)| is(notice, start))) {
        super::error(&format!("warning: {notice}\n"));
    }
}

/// Serf's words for a start that failed; where it has none, ours.
fn reason(error: &AgentError) -> String {
    match error {
        AgentError::Rpc(ListenError::Tcp { addr, source }) if source.kind() == io::ErrorKind::AddrInUse => {
            format!("Error starting RPC listener: listen tcp {addr}: bind: address already in use")
        }
        AgentError::Bind(BindError::InUseBy { addr, .. } | BindError::InUse { addr, .. }) => format!(
            "Failed to start the Serf agent: Error creating Serf: Failed to create memberlist: Could not set up network \
             transport: failed to obtain an address: Failed to start TCP listener on \"{}\" port {}: listen tcp {addr}: \
             bind: address already in use",
            addr.ip(),
            addr.port()
        ),
        AgentError::Secret(SecretError::Invalid { source: KeyringError::Empty, .. }) => {
            "Failed to setup the Serf agent: Keyring file contains no keys".to_owned()
        }
        AgentError::Secret(SecretError::Missing(path)) => {
            format!("Failed to setup the Serf agent: stat {}: no such file or directory", path.display())
        }
        error => format!("Failed to start the Serf agent: {}", failure(error).to_text().trim_start_matches("error: ")),
    }
}

/// What the reference says of files and flags, in the order in which it looks at them.
fn complaint(parsed: &Parsed) -> Option<String> {
    if let Some(bad) = parsed.list("tag").iter().find(|tag| !tag.contains('=')) {
        return Some(format!("Error: Invalid tag: '{bad}'"));
    }
    if let Some(bad) = parsed.list("config-file").iter().find_map(|path| files::complaint(path)) {
        return Some(bad);
    }
    if let Some(bad) = parsed.list("event-handler").iter().find_map(|handler| bad_handler(handler)) {
        return Some(bad);
    }
    if let Some(level) = parsed.text("log-level").filter(|level| LogLevel::from_name(level).is_none()) {
        let level = level.to_uppercase();
        return Some(format!("Invalid log level: {level}. Valid log levels are: [TRACE DEBUG INFO WARN ERR]"));
    }
    let key = parsed.text("encrypt").filter(|key| !key.is_empty()).map(go_base64);
    if let Some(Err(error)) = &key {
        return Some(format!("Invalid encryption key: {error}"));
    }
    if let Some(profile) = parsed.text("profile").filter(|profile| !matches!(*profile, "" | "lan" | "wan" | "local")) {
        return Some(format!("Unknown profile: {profile}"));
    }
    // From here on it has begun.
    let begun = |why: &str| Some(format!("Starting Serf agent...\n==> Failed to {why}"));
    if parsed.text("tags-file").is_some_and(|file| !file.is_empty()) && !parsed.list("tag").is_empty() {
        return begun("setup the Serf agent: Tags config not allowed while using tag files");
    }
    match key {
        Some(Ok(key)) if !matches!(key.len(), 16 | 24 | 32) => begun(
            "start the Serf agent: Error creating Serf: Failed to create memberlist: key size must be 16, 24 or 32 bytes",
        ),
        Some(_) | None => None,
    }
}

/// `FILTERS=SCRIPT`, or a script for everything.
fn bad_handler(handler: &str) -> Option<String> {
    let (filters, script) = handler.split_once('=')?;
    let bad = filters.split(',').find(|filter| EventFilter::parse(filter).is_err())?;
    Some(format!("Invalid event script: Event '{bad}' invoking '{script}'"))
}

/// Files and directories in command-line order, in which they are merged.
fn paths(parsed: &Parsed) -> Vec<Source> {
    let source = |(name, value): (&str, &str)| match name {
        "config-file" => Some(Source::File(value.into())),
        "config-dir" => Some(Source::Dir(value.into())),
        _ => None,
    };
    parsed.in_order().filter_map(source).collect()
}

fn overrides(parsed: &Parsed) -> Overrides {
    let text = |name| parsed.text(name).map(str::to_owned);
    let list = |name| parsed.list(name).to_vec();
    let number = |name| parsed.text(name).and_then(|text| text.parse().ok());
    let switch = |name| parsed.text(name).map(|_| parsed.bool(name, false));
    Overrides {
        node: text("node"),
        role: text("role"),
        tag: list("tag"),
        tags_file: text("tags-file"),
        bind: text("bind"),
        iface: text("iface"),
        advertise: text("advertise"),
        encrypt: text("encrypt").map(Secret::new),
        keyring_file: text("keyring-file"),
        log_level: text("log-level"),
        rpc_addr: text("rpc-addr"),
        protocol: number("protocol"),
        replay: switch("replay"),
        join: list("join"),
        retry_join: list("retry-join"),
        retry_max: number("retry-max"),
        retry_interval: text("retry-interval"),
        event_handler: list("event-handler"),
        profile: text("profile"),
        snapshot: text("snapshot"),
        rejoin: switch("rejoin"),
        discover: text("discover"),
        mdns_iface: text("mdns-iface"),
        mdns_disable_ipv4: switch("mdns-disable-ipv4"),
        mdns_disable_ipv6: switch("mdns-disable-ipv6"),
        syslog: switch("syslog"),
        broadcast_timeout: text("broadcast-timeout"),
        disable_compression: switch("disable-compression"),
        rpc_auth: text("rpc-auth").map(Secret::new),
        rpc_token_file: text("rpc-token-file"),
        rpc_socket: text("rpc-socket"),
        ..Overrides::default()
    }
}
