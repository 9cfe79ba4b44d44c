//! `serf agent`: Serf's flags, and one `==> ` line for what keeps it from starting (`cli §3`).

use std::io;

use super::super::agent::{PATHS, exit_code, failure};
use super::console::Console;
use super::flags::{self, Parsed};
use super::{commands, fail, files, print};
use crate::agent::{self, AgentError, BindError, ListenError, SecretError, Start, TagsFileError, log};
use crate::config::{self, Loaded, Notice, Overrides, SerfNotice, Source, Sources};
use crate::crypto::KeyringError;
use crate::error::Explain as _;
use crate::handlers::filter::EventFilter;
use crate::rpc::proto::LogLevel;
use crate::rpc::server::go_base64;

/// Runs the agent and gives its exit code. Positional arguments are ignored.
pub(super) fn run(args: &[String]) -> u8 {
    let parsed = match flags::parse(&commands::flags("agent"), args) {
        Ok(parsed) => parsed,
        Err(line) => {
            super::error(&format!("{line}\n"));
            print(&format!("==> {}", commands::usage("agent")));
            return 1;
        }
    };
    if let Some(complaint) = complaint(&parsed) {
        return fail(&format!("==> {complaint}"));
    }
    let (paths, overrides) = given(&parsed);
    let sources = Sources::here(paths, overrides, true);
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
    let mut console = Console::new(loaded.config.clone());
    let start =
        Start { loaded, sources, console: Some(log::Console::new(move |told, wants| console.tell(told, wants))) };
    match agent::run(start) {
        Ok(exit) => exit_code(exit, mode).code(),
        Err(error) => fail(&format!("==> {}", reason(&error))),
    }
}

/// What the reference says, in its words and its order; what it does not say is for standard error.
fn tell_notices(notices: &[Notice]) {
    let lines = [
        (SerfNotice::Role, "Deprecation warning: 'Role' has been replaced with 'Tags'"),
        (SerfNotice::RetryInterval, "Warning: 'RetryInterval' is too low. Setting to 1s"),
        (SerfNotice::BroadcastTimeout, "Warning: 'BroadcastTimeout' is too low. Setting to 1s"),
    ];
    for (serfs, line) in lines {
        if notices.iter().any(|notice| notice.serfs == Some(serfs)) {
            print(&format!("==> {line}\n"));
        }
    }
    for notice in notices.iter().filter(|notice| notice.serfs.is_none()) {
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
        AgentError::Tags(TagsFileError::Read { path, source }) => {
            format!("Failed to setup the Serf agent: Failed to read tags file: {}: {source}", path.display())
        }
        AgentError::Tags(error @ TagsFileError::Decode { .. }) => {
            format!("Failed to setup the Serf agent: Failed to decode tags file: {}", error.sentence())
        }
        error => format!("Failed to start the Serf agent: {}", failure(error).sentence()),
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

/// Files and directories in command-line order, in which they are merged, and what overrides them.
fn given(parsed: &Parsed) -> (Vec<Source>, Overrides) {
    let (mut sources, mut overrides) = (Vec::new(), Overrides::default());
    for (name, value) in parsed.in_order() {
        match PATHS.iter().find(|path| path.name == name) {
            Some(path) => sources.push((path.source)(value.into())),
            None => overrides.give(name, value).expect("the parser knows the flags from the same table"),
        }
    }
    (sources, overrides)
}
