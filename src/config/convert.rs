//! `weir config convert`: one of Serf's JSON files as TOML.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::Trouble;

use super::apply::absolute;
use super::document::LineIndex;
use super::mistake::{ConfigErrors, Mistake};
use super::serf::{Extras, Layer, bind_to_interface, role_to_tag};
use super::tree::{Item, Origin, Table, Value, inline, join, segment, set};
use super::{Config, Mode, Notice, json};

/// A converted file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Converted {
    /// The TOML.
    pub toml: String,
    /// What could not be taken over as it was, for stderr.
    pub notices: Vec<Notice>,
}

/// Converts the JSON `text` of the file `path`. What Serf does by itself and weir does not is written out: plain text where
/// there is no key, and the RPC port.
pub fn convert(path: &str, text: &str) -> Result<Converted, ConfigErrors> {
    let mut layer = Layer::new(Extras::default());
    match json::parse(&LineIndex::new(path, 0, text), text) {
        Ok(root) => layer.file(root),
        Err(mistake) => layer.mistakes.push(mistake),
    }
    let mut layer = layer.end();
    layer.notices.extend(role_to_tag(&mut layer.table, &layer.extras));
    layer.notices.extend(bind_to_interface(&mut layer.table, &layer.extras));
    let (_, mistakes) = Config::read(&layer.table, &Extras::default(), Mode::Weir, "localhost");
    layer.mistakes.extend(mistakes.into_iter().filter(|mistake: &Mistake| !mistake.across));
    if let Some(errors) = ConfigErrors::new(std::mem::take(&mut layer.mistakes)) {
        return Err(errors);
    }
    complete(&mut layer);
    join_once(&mut layer.table);
    let mut toml = String::new();
    write(&layer.table, "", &mut toml);
    Ok(Converted { toml, notices: layer.notices })
}

/// Adds what Serf has by default and what its file could say that TOML cannot.
fn complete(layer: &mut Layer) {
    let has = |table: &Table, name: &str, key: &str| {
        table.get(name).and_then(Item::as_table).is_some_and(|inner| inner.contains_key(key))
    };
    let add = |table: &mut Table, path: [&str; 2], value: Value| set(table, &path, Item::new(value, Origin::Default));
    let extras = layer.extras.clone();
    if let Some((_, at)) = &extras.encrypt {
        let way_out = "write it to a keyring file, 'weir keys import'";
        layer.notice(at, Trouble::new("encrypt_key is not taken over", way_out));
    } else if !has(&layer.table, "encryption", "keyring") {
        add(&mut layer.table, ["encryption", "seal"], Value::Text("off".to_owned()));
    }
    if let Some((_, at)) = &extras.rpc_auth {
        let way_out = "write the token to a file and name it in rpc.token_file";
        layer.notice(at, Trouble::new("rpc_auth is not taken over", way_out));
    }
    if !has(&layer.table, "rpc", "listen") {
        add(&mut layer.table, ["rpc", "listen"], Value::Text("127.0.0.1:7373".to_owned()));
    }
    for path in [["encryption", "keyring"], ["snapshot", "path"]] {
        if let Some((text, at)) = relative(&layer.table, path) {
            let what = format!("{} = \"{text}\" depends on where the agent is started", path.join("."));
            layer.notice(&at, Trouble::new(what, "write a path that starts with /, others are refused in TOML"));
        }
    }
    match (extras.leave_on_terminate, extras.skip_leave_on_interrupt) {
        (true, false) => add(&mut layer.table, ["leave", "on_stop"], Value::Bool(true)),
        (false, true) => add(&mut layer.table, ["leave", "on_stop"], Value::Bool(false)),
        (true, true) => {
            let what = "leave.on_stop is for SIGTERM and SIGINT alike, and stays at its default";
            layer.notice(&Origin::Default, Trouble::new(what, ""));
        }
        (false, false) => {}
    }
    if let Some((path, at)) = &extras.tags_file {
        let what = format!("the tags of {} are not taken over", path.display());
        layer.notice(at, Trouble::new(what, "add them to [node.tags]"));
    }
}

/// An address with which Serf starts and that it tries again later (`start_join`, `retry_join`) is one to join here.
fn join_once(table: &mut Table) {
    let Some(Value::Table(gossip)) = table.get_mut("gossip").map(|item| &mut item.value) else { return };
    let Some(Value::List(addresses)) = gossip.get_mut("join").map(|item| &mut item.value) else { return };
    let mut seen = BTreeSet::new();
    addresses.retain(|address| match &address.value {
        Value::Text(text) => seen.insert(text.clone()),
        _ => true,
    });
}

/// A path that only Serf takes, and where it stands.
fn relative(table: &Table, [section, key]: [&str; 2]) -> Option<(String, Origin)> {
    let item = table.get(section)?.as_table()?.get(key)?;
    match &item.value {
        Value::Text(text) if !text.is_empty() && absolute(Path::new(text)).is_some() => {
            Some((text.clone(), item.key_at.clone()))
        }
        _ => None,
    }
}

/// `table` as TOML with headers: its own values first, then the tables below it.
fn write(table: &Table, path: &str, toml: &mut String) {
    let own: Vec<_> = table.iter().filter(|(_, item)| item.as_table().is_none()).collect();
    if !own.is_empty() && !path.is_empty() {
        toml.push_str(&format!("{}[{path}]\n", if toml.is_empty() { "" } else { "\n" }));
    }
    for (key, item) in own {
        toml.push_str(&format!("{} = {}\n", segment(key), inline(&item.value.plain())));
    }
    for (key, item) in table {
        if let Some(inner) = item.as_table() {
            write(inner, &join(path, key), toml);
        }
    }
}
