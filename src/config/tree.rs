//! Values as they were written, with their places, and how one layer is laid over another.
//!
//! Every source (TOML, Serf's JSON, environment, flags) becomes a [`Table`]; merging them gives the one tree that the typed
//! tables read. Tables merge key by key, a scalar or list is replaced whole (`ux §1.1`). What was replaced stays
//! reachable, so that a mistake in it is still reported.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

/// Where a value was written.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// Nowhere: the program's default.
    #[default]
    Default,
    /// In a file; line and column count from 1, columns in characters. Line 0 is the file as a whole.
    File {
        /// Place in reading order.
        order: usize,
        /// Its path as it was given.
        path: Arc<str>,
        /// Line.
        line: u32,
        /// Column.
        column: u32,
    },
    /// In this environment variable.
    Environment(String),
    /// On the command line, by this flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => f.write_str(path),
            Self::File { path, line, column, .. } => write!(f, "{path}:{line}:{column}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A table with its keys in order of appearance.
pub(crate) type Table = IndexMap<String, Item>;

/// A value as written.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A TOML date or time, which no key accepts.
    Date(String),
    List(Vec<Item>),
    Table(Table),
}

/// A value, its place, and what it replaced.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: Value,
    /// Where the value stands.
    pub(crate) at: Origin,
    /// Where its key stands.
    pub(crate) key_at: Origin,
    /// What an earlier layer said.
    pub(crate) replaced: Option<Box<Item>>,
    /// A list of Serf's, which is appended to what is there.
    pub(crate) append: bool,
}

impl Item {
    /// A value whose key stands at the same place.
    pub(crate) fn new(value: Value, at: Origin) -> Self {
        Self { value, key_at: at.clone(), at, replaced: None, append: false }
    }

    /// A list of texts that is appended to an earlier layer's (Serf's merge rule).
    pub(crate) fn appended(texts: impl IntoIterator<Item = String>, at: &Origin) -> Self {
        Self { append: true, ..Self::texts(texts, at) }
    }

    /// A list of texts.
    pub(crate) fn texts(texts: impl IntoIterator<Item = String>, at: &Origin) -> Self {
        let list = texts.into_iter().map(|text| Self::new(Value::Text(text), at.clone())).collect();
        Self::new(Value::List(list), at.clone())
    }

    /// The table, if it is one.
    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) => None,
        }
    }

    /// The table, if it is one, to be changed.
    pub(crate) fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) => None,
        }
    }

    /// This value, then what it replaced, newest first.
    pub(crate) fn history(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |item| item.replaced.as_deref())
    }
}

impl Value {
    /// What it is, for "… is a number".
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Bool(_) => "a truth value",
            Self::Date(_) => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// As TOML would write it in one line, cut where it gets long.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        let text = inline(&self.plain());
        match text.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl Value {
    /// Without the places.
    pub(crate) fn plain(&self) -> serde_json::Value {
        match self {
            Self::Text(text) | Self::Date(text) => text.as_str().into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Bool(truth) => (*truth).into(),
            Self::List(list) => list.iter().map(|item| item.value.plain()).collect(),
            Self::Table(table) => table.iter().map(|(key, item)| (key.clone(), item.value.plain())).collect(),
        }
    }
}

/// A value as TOML in one line.
pub(crate) fn inline(value: &serde_json::Value) -> String {
    use serde_json::Value as Json;
    match value {
        Json::Array(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{} = {}", segment(key), inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        // TOML's basic strings escape as JSON does, but for DEL.
        Json::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
    }
}

/// A key as it is written in a dotted path: quoted only where it must be.
pub(crate) fn segment(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { inline(&key.into()) }
}

/// `path.key`; the root's path is empty.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { segment(key) } else { format!("{path}.{}", segment(key)) }
}

/// Lays `layer` over `base`.
pub(crate) fn merge(base: &mut Table, layer: Table) {
    for (key, item) in layer {
        let Some(held) = base.get_mut(&key) else {
            base.insert(key, item);
            continue;
        };
        match (&mut held.value, item.value) {
            (Value::Table(old), Value::Table(new)) => merge(old, new),
            (Value::List(old), Value::List(new)) if item.append => old.extend(new),
            (_, value) => {
                let old = std::mem::replace(held, Item { value, replaced: None, ..item });
                held.replaced = Some(Box::new(old));
            }
        }
    }
}

/// Calls `found` with each key that `table` itself gives more than once, the value that counts and one that does not, which
/// is forgotten: nobody wants to hear what else is wrong with it.
pub(crate) fn take_repeated(table: &mut Table, path: &str, found: &mut impl FnMut(&str, &Item, &Item)) {
    for (name, item) in table {
        let path = join(path, name);
        let mut repeated = item.replaced.take();
        while let Some(mut lost) = repeated {
            found(&path, item, &lost);
            repeated = lost.replaced.take();
        }
        if let Some(inner) = item.table_mut() {
            take_repeated(inner, &path, found);
        }
    }
}

/// Sets `path` in `table`, making the tables on the way.
pub(crate) fn set(table: &mut Table, path: &[&str], item: Item) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut layer = Table::from([((*last).to_owned(), item)]);
    for parent in parents.iter().rev() {
        let at = layer.first().map(|(_, item)| item.key_at.clone()).unwrap_or_default();
        layer = Table::from([((*parent).to_owned(), Item::new(Value::Table(layer), at))]);
    }
    merge(table, layer);
}
