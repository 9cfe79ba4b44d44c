//! By which hash two processes know that they run with the same configuration.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Config;
use super::reader::Setting;
use crate::digest::Digest;

/// The tables that `apply` depends on. They come from files alone, never from the environment or flags, because the privileged
/// side reads them itself.
const TABLES: [&str; 4] = ["upstream", "template", "apply", "nginx"];

/// SHA-256 over the values of `[upstream]`, `[template]`, `[apply]` and `[nginx]`, whatever file and order they stand in
/// (`protocols C.1`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ConfigHash(Digest);

impl fmt::Display for ConfigHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether `apply` depends on this table, `upstream.web.server`.
pub(super) fn concerns_apply(table: &str) -> bool {
    table.split('.').next().is_some_and(|first| TABLES.contains(&first))
}

impl Config {
    /// The settings that `apply` depends on.
    pub(super) fn settings_of_apply(&self) -> impl Iterator<Item = &Setting> {
        self.settings().iter().filter(|setting| concerns_apply(&setting.table))
    }

    /// What a job names this configuration by.
    pub fn hash(&self) -> ConfigHash {
        let mut settings: Vec<(String, &Setting)> =
            self.settings_of_apply().map(|setting| (setting.key(), setting)).collect();
        settings.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut values = json!(settings.iter().map(|(key, setting)| json!([key, setting.value])).collect::<Vec<_>>());
        values.sort_all_objects();
        ConfigHash(Digest::of(values.to_string().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;
    use crate::config::flag::{FLAGS, Sets};
    use crate::config::serf::KEYS;

    #[test]
    fn neither_flags_nor_variables_nor_serfs_files_say_what_the_privileged_side_reads_itself() {
        let of_flags = FLAGS.iter().filter_map(|flag| match flag.sets {
            Sets::Key(key) | Sets::Not(key) => Some(key),
            Sets::Serf(_) | Sets::Secret(_) | Sets::Join(_) | Sets::Tag | Sets::Handler => None,
        });
        let of_serf = KEYS.iter().map(|(_, native, _)| *native);
        for key in of_flags.chain(of_serf) {
            assert!(!concerns_apply(key), "{key}");
        }
        for [table, key] in environment::keys() {
            assert!(!concerns_apply(table), "{table}.{key}");
        }
        assert!(concerns_apply("upstream.web.server") && concerns_apply("nginx") && !concerns_apply("upstreams"));
    }
}
