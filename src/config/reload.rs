//! What a reload changes: two configurations compared key by key.

use serde::{Deserialize, Serialize};

use super::hash::concerns_apply;
use super::reader::{Setting, When};
use super::secret::HIDDEN;
use super::tree::inline;
use super::{Config, SecretSource};
use crate::known::Known;

/// One key whose value differs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Change {
    /// The full key.
    pub key: String,
    /// The old value as TOML; `None` if the key is new.
    pub before: Option<String>,
    /// The new value as TOML; `None` if the key is gone.
    pub after: Option<String>,
    /// Whether it takes effect now.
    pub when: Known<When>,
}

/// Every key that differs, in the order of the tables; keys that are gone come last.
///
/// Origins do not count: a value that only moved to another file is the same. Of a table that is new or gone only what is not
/// at its default is told: the rest goes without saying.
pub fn diff(before: &Config, after: &Config) -> Vec<Change> {
    let text = |setting: &Setting| inline(&setting.value);
    let has_table = |config: &Config, key: &Setting| config.settings().iter().any(|each| each.table == key.table);
    let is_told = |config: &Config, key: &Setting| !key.is_default() || has_table(config, key);
    let find = |config: &Config, key: &Setting| {
        config.settings().iter().find(|each| each.table == key.table && each.name == key.name).map(text)
    };
    let mut changes: Vec<Change> = after
        .settings()
        .iter()
        .filter(|new| is_told(before, new))
        .map(|new| Change { key: new.key(), before: find(before, new), after: Some(text(new)), when: new.when.into() })
        .filter(|change| change.before != change.after)
        // An empty one is the host's.
        .filter(|change| change.key != "node.name" || before.node.name != after.node.name)
        .collect();
    let gone = before.settings().iter().filter(|old| find(after, old).is_none() && is_told(after, old));
    changes.extend(gone.map(|old| Change {
        key: old.key(),
        before: Some(text(old)),
        after: None,
        when: old.when.into(),
    }));
    changes.extend(hidden(before, after));
    changes
}

/// What `after` changes for an agent that was started with `started` and has taken over what it could of `before`. What needs a
/// restart is named each time, until there was one or it is taken back.
pub fn outstanding(started: &Config, before: &Config, after: &Config) -> Vec<Change> {
    let of = |base: &Config, when: When| diff(base, after).into_iter().filter(move |change| change.when.is(&when));
    let mut changes: Vec<Change> = of(before, When::Live).chain(of(started, When::Restart)).collect();
    let place = |change: &Change| after.settings().iter().position(|setting| setting.key() == change.key);
    changes.sort_by_cached_key(|change| place(change).unwrap_or(usize::MAX));
    changes
}

impl Config {
    /// As a process runs with it that was started with `started`: of what `apply` depends on, the keys that need a restart are
    /// still as they were then.
    pub fn since(mut self, started: &Self) -> Self {
        self.apply.mode = started.apply.mode;
        self.apply.socket.clone_from(&started.apply.socket);
        self.apply.state.clone_from(&started.apply.state);
        self.nginx.binary.clone_from(&started.nginx.binary);
        for setting in self.settings.iter_mut().filter(|setting| is_pinned(setting)) {
            let before = started.settings.iter().find(|each| each.table == setting.table && each.name == setting.name);
            setting.clone_from(before.expect("every configuration has the keys of [apply] and [nginx]"));
        }
        self
    }
}

fn is_pinned(setting: &Setting) -> bool {
    concerns_apply(&setting.table) && setting.when == When::Restart
}

/// A secret that was given in the clear before and after.
fn secret<T: PartialEq>(key: &str, old: &Option<SecretSource<T>>, new: &Option<SecretSource<T>>) -> Option<Change> {
    match (old, new) {
        (Some(SecretSource::Inline(before)), Some(SecretSource::Inline(after))) if before != after => {
            let value = || Some(HIDDEN.to_owned());
            Some(Change { key: key.to_owned(), before: value(), after: value(), when: When::Restart.into() })
        }
        _ => None,
    }
}

/// What settings do not show: secrets that came in the clear, and Serf's switch for each signal.
fn hidden(before: &Config, after: &Config) -> Vec<Change> {
    let of = |config: &Config| (config.leave.on_interrupt, config.leave.on_terminate);
    let signals = (of(before) != of(after)).then(|| {
        let text = |config: &Config| {
            let (interrupt, terminate) = of(config);
            Some(format!("on_interrupt: {interrupt}, on_terminate: {terminate}"))
        };
        let same = |setting: &&Setting| (&*setting.table, &*setting.name) == ("leave", "on_stop");
        let shown = before.settings().iter().find(same).map(|setting| &setting.value);
        let told = shown != after.settings().iter().find(same).map(|setting| &setting.value);
        (!told).then(|| Change {
            key: "leave".to_owned(),
            before: text(before),
            after: text(after),
            when: When::Live.into(),
        })
    });
    [
        secret("encryption.keyring", &before.encryption.keyring, &after.encryption.keyring),
        secret("rpc.token_file", &before.rpc.token, &after.rpc.token),
        signals.flatten(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
