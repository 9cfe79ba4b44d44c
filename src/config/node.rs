//! `[node]`: our name and tags.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::error::Trouble;
use crate::wire::NodeName;
use crate::wire::serf::{Tags, encode_tags};

use super::mistake::Mistake;
use super::reader::Section;
use super::serf::Extras;
use super::tree::{Item, Origin, Value};
use super::value::{Text, Written, Wrong};

/// Room for tags in a gossip message, the leading type byte included.
pub const MAX_TAG_BYTES: usize = 512;

/// What `weir_drain`, `weir_lb` and `weir_health` may need of it (`protocols A.1`).
pub const RESERVED_TAG_BYTES: usize = 81;

/// Who this node is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Name in the cluster, unique there; empty: the host name up to the first dot. 1 to 128 of A-Z a-z 0-9 . _ -
    pub name: NodeName,
    /// Tags that others see and select by. Integers and booleans become text; names that start with weir_ are weir's own.
    pub tags: Tags,
    /// Serf's tags file, which the snapshot replaces; imported once.
    pub tags_file: Option<PathBuf>,
}

impl Node {
    pub(crate) fn read(section: &Section<'_>, extras: &Extras, host_name: &str) -> Self {
        let host = section.by_mode(host_name.split('.').next().unwrap_or_default(), host_name);
        let in_json = section.item("name").is_some_and(|item| extras.node_name.as_ref() == Some(&item.key_at));
        let (accepted, rule) = if section.serf() || in_json {
            (is_serf_name as fn(&str) -> bool, format!("{} are accepted", NodeName::RULE))
        } else {
            (is_name as _, NAME_RULE.to_owned())
        };
        let written = section
            .key::<String>("name")
            .restart()
            .check(|name| (!name.is_empty() && !accepted(name)).then(|| Trouble::new("is not a name", rule.as_str())))
            .or(host.to_owned());
        let name = if written.is_empty() { host } else { &written };
        let name = NodeName::new(name).filter(|name| accepted(name.as_str())).unwrap_or_else(|| {
            let what = format!("the host name \"{}\" cannot be this node's name", name.escape_debug());
            section.conflict("name", Trouble::new(what, format!("set node.name, {rule}")));
            NodeName::new("unnamed").expect("it is short and not empty")
        });
        let tags = section.section("tags", |section| read_tags(section, extras));
        let tags_file = extras.tags_file.as_ref().map(|(path, at)| {
            if !tags.is_empty() {
                let trouble = Trouble::new("tags_file cannot be used with tags", "remove one");
                section.mistake(Mistake::across(at, "tags_file", trouble));
            }
            path.clone()
        });
        Self { name, tags, tags_file }
    }

    /// What to say of a name that Serf takes and TOML does not.
    pub(crate) fn notice(&self) -> Option<Trouble> {
        (!is_name(self.name.as_str())).then(|| {
            let what = format!("the node name \"{}\" is taken as Serf takes it, TOML would not", self.name);
            Trouble::new(what, format!("rename it before you write TOML, where {NAME_RULE}"))
        })
    }

    /// Bytes that the tags take in gossip.
    pub fn tag_bytes(&self) -> usize {
        encode_tags(&self.tags).len()
    }
}

const NAME_RULE: &str = "1 to 128 of A-Z a-z 0-9 . _ - are accepted";

/// Serf takes whatever is not empty.
fn is_serf_name(name: &str) -> bool {
    NodeName::new(name).is_some()
}

fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A tag's value; numbers and booleans become text.
#[derive(Debug)]
struct TagValue(String);

impl Written for TagValue {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        match &item.value {
            Value::Text(text) => Ok(Self(text.clone())),
            Value::Int(number) => Ok(Self(number.to_string())),
            Value::Bool(truth) => Ok(Self(truth.to_string())),
            Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                Err(item.not("text, a whole number, true or false"))
            }
        }
    }

    fn schema() -> Json {
        json!({ "type": ["string", "integer", "boolean"] })
    }

    fn write(&self) -> Json {
        self.0.text().into()
    }
}

fn read_tags(section: &Section<'_>, extras: &Extras) -> Tags {
    let tags: Tags = section.entries::<TagValue>().into_iter().map(|(name, value)| (name, value.0)).collect();
    for (name, trouble) in tags.keys().filter_map(|name| Some((name, reserved_tag(name, &section.path_of(name))?))) {
        section.conflict(name, trouble);
    }
    for (tag, at) in &extras.bad_tags {
        let trouble = Trouble::new(format!("'{tag}' is not a tag"), "write NAME=VALUE");
        section.mistake(Mistake::new(at, "node.tags", trouble));
    }
    let reserved = section.by_mode(RESERVED_TAG_BYTES, 0);
    let need = encode_tags(&tags).len() + reserved;
    if need > MAX_TAG_BYTES {
        let (longest, bytes, at) = longest(section, &tags);
        let with =
            if reserved > 0 { format!(" with the {reserved} that weir keeps for its own") } else { String::new() };
        let what = format!("tags need {need} bytes{with}, {MAX_TAG_BYTES} fit in gossip");
        let trouble = Trouble::new(what, format!("shorten '{longest}' ({bytes} bytes)"));
        section.mistake(Mistake::across(&at, "node.tags", trouble));
    }
    tags
}

/// Why nobody may set the tag `name`, which `shown` names: only weir itself does.
pub(crate) fn reserved_tag(name: &str, shown: &str) -> Option<Trouble> {
    let what = || format!("{shown} is one of weir's own tags");
    name.starts_with("weir_").then(|| Trouble::new(what(), "choose a name that does not start with weir_"))
}

fn longest(section: &Section<'_>, tags: &Tags) -> (String, usize, Origin) {
    let longest = tags.iter().max_by_key(|(name, value)| name.len() + value.len());
    let (name, value) = longest.map_or(("", ""), |(name, value)| (name, value));
    let at = section.item(name).map_or(Origin::Default, |item| item.key_at.clone());
    (name.to_owned(), value.len(), at)
}
