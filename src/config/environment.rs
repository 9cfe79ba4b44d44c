//! The few variables that containers are configured by (`ux §1.1`).

use crate::error::Trouble;

use super::mistake::nearest;
use super::notice::Notice;
use super::serf::{Extras, Layer};
use super::tree::{Item, Origin, Value, set};

/// Variables that set a key.
const KEYS: [(&str, [&str; 2]); 5] = [
    ("WEIR_NODE_NAME", ["node", "name"]),
    ("WEIR_BIND", ["gossip", "bind"]),
    ("WEIR_ADVERTISE", ["gossip", "advertise"]),
    ("WEIR_KEYRING", ["encryption", "keyring"]),
    ("WEIR_LOG_LEVEL", ["log", "level"]),
];

/// Variables that are read elsewhere: the file's path, and the clients' way to the agent.
const OTHERS: [&str; 4] = ["WEIR_CONFIG", "WEIR_RPC_ADDR", "WEIR_TAGS", "WEIR_JOIN"];

/// What the agent gives its handlers, which may start another weir.
const HANDLERS: [&str; 5] = ["WEIR_EVENT", "WEIR_SELF_", "WEIR_TAG_", "WEIR_USER_", "WEIR_QUERY_"];

/// The keys that a variable sets, each with its table.
#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = [&'static str; 2]> {
    KEYS.iter().map(|(_, key)| *key)
}

/// The layer of the environment, with a notice for each `WEIR_` variable that means nothing.
pub(crate) fn layer<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>, extras: Extras) -> Layer {
    let mut layer = Layer::new(extras);
    for (name, value) in variables.filter(|(name, value)| name.starts_with("WEIR_") && !value.is_empty()) {
        let at = Origin::Environment(name.to_owned());
        let items = || value.split(',').map(str::trim).filter(|item| !item.is_empty());
        if let Some((_, path)) = KEYS.iter().find(|(known, _)| *known == name) {
            set(&mut layer.table, path, Item::new(Value::Text(value.to_owned()), at));
        } else if name == "WEIR_JOIN" {
            set(&mut layer.table, &["gossip", "join"], Item::texts(items().map(str::to_owned), &at));
        } else if name == "WEIR_TAGS" {
            items().for_each(|tag| layer.tag(tag, &at));
        } else if !OTHERS.contains(&name) && !HANDLERS.iter().any(|known| name.starts_with(known)) {
            let known = KEYS.iter().map(|(known, _)| *known).chain(OTHERS);
            let trouble = match nearest(name, known) {
                Some(near) => Trouble::new("is no variable of weir's", format!("did you mean {near}?")),
                None => Trouble::new("is no variable of weir's and not looked at", ""),
            };
            layer.notices.push(Notice::new(at, trouble));
        }
    }
    layer
}
