//! What `weir config check`, `show` and `example` print.

use serde_json::{Value as Json, json};

use super::mistake::count;
use super::reader::Setting;
use super::tree::inline;
use super::{Config, ConfigErrors, Loaded, MAX_TAG_BYTES, Mistake, Mode, Notice, Origin, RESERVED_TAG_BYTES};

/// The annotated file, every key at its default.
pub fn example() -> &'static str {
    include_str!("../../etc/weir.toml")
}

/// One line for a configuration without mistakes.
pub fn check(loaded: &Loaded) -> String {
    let node = &loaded.config.node;
    let kept = match loaded.config.mode {
        Mode::Weir => format!(", {RESERVED_TAG_BYTES} more are kept for weir's own"),
        Mode::Serf => String::new(),
    };
    let files = count(loaded.files.len(), "file", "files");
    format!(
        "{files} without mistakes; node '{}', tags use {} of {MAX_TAG_BYTES} bytes{kept}\n",
        node.name,
        node.tag_bytes()
    )
}

/// `{files, mistakes, notices}`, whether there are mistakes or not.
pub fn check_json(result: &Result<Loaded, ConfigErrors>) -> Json {
    let mistake = |mistake: &Mistake| json!({ "at": place(&mistake.at), "key": mistake.key, "message": mistake.trouble.to_string() });
    let notice = |notice: &Notice| json!({ "at": place(&notice.at), "message": notice.trouble.to_string() });
    match result {
        Ok(loaded) => json!({
            "files": loaded.files,
            "mistakes": [],
            "notices": loaded.notices.iter().map(notice).collect::<Vec<_>>(),
            "tag_bytes": loaded.config.node.tag_bytes(),
        }),
        Err(errors) => json!({ "mistakes": errors.mistakes().iter().map(mistake).collect::<Vec<_>>() }),
    }
}

/// Which settings to show, and how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Show {
    /// Add where each value comes from.
    pub origin: bool,
    /// Leave out what is at its default.
    pub changed: bool,
}

impl Show {
    fn settings(self, config: &Config) -> impl Iterator<Item = &Setting> {
        config.settings().iter().filter(move |setting| !self.changed || !setting.is_default())
    }

    /// The effective values as TOML. Under our defaults it reads back to the same configuration.
    pub fn text(self, config: &Config) -> String {
        self.text_of(self.settings(config))
    }

    fn text_of<'a>(self, settings: impl Iterator<Item = &'a Setting>) -> String {
        let mut text = String::new();
        let mut table = "";
        for setting in settings {
            if setting.table != table {
                let blank = if text.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{blank}[{}]\n", setting.table));
                table = &setting.table;
            }
            let line = format!("{} = {}", setting.name, inline(&setting.value));
            let origin = if self.origin { format!("  # {}", origin(&setting.origin)) } else { String::new() };
            text.push_str(&format!("{line}{origin}\n"));
        }
        text
    }

    /// The effective values as one object with a list.
    pub fn json(self, config: &Config) -> Json {
        let setting = |setting: &Setting| {
            let mut object = json!({ "key": setting.key(), "value": setting.value, "when": setting.when.as_str() });
            if let Some(default) = &setting.default {
                object["default"] = default.clone();
            }
            if self.origin {
                object["origin"] = place(&setting.origin);
            }
            object
        };
        json!({ "settings": self.settings(config).map(setting).collect::<Vec<_>>() })
    }
}

/// What `apply` depends on as TOML, which reads back to a configuration of the same [hash](Config::hash).
pub(crate) fn of_apply(config: &Config) -> String {
    Show::default().text_of(config.settings_of_apply())
}

/// File and line, or what else it was.
fn origin(at: &Origin) -> String {
    match at {
        Origin::File { path, line, .. } => format!("{path}:{line}"),
        Origin::Default | Origin::Environment(_) | Origin::Flag(_) => at.to_string(),
    }
}

fn place(at: &Origin) -> Json {
    match at {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { path, line, column, .. } => {
            json!({ "kind": "file", "file": path.as_ref(), "line": line, "column": column })
        }
        Origin::Environment(name) => json!({ "kind": "environment", "name": name }),
        Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
    }
}
