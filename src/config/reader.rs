//! Reads the merged tree key by key, notes every mistake, and records each setting for `config show` and for reloads.
//!
//! A table's reader names a key, its bounds, whether a change needs a restart, and its default. That one line is the only
//! definition of the key: what is known, what is shown, the schema, and what a reload compares all come from it.

mod key;

use std::cell::RefCell;
use std::fmt;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::error::Trouble;

use super::mistake::{Mistake, nearest};
use super::tree::{Item, Origin, Table, Value, join, segment};
use super::value::{Written, Wrong};

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// On reload.
    Live,
    /// After a restart of the agent.
    Restart,
}

impl When {
    /// `live` or `restart`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One key with its effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The table it is in, `gossip`.
    pub table: String,
    /// The last part of its key, as a file writes it.
    pub name: String,
    /// The effective value as a file would write it; a secret's is its presence alone.
    pub value: Json,
    /// The default, for keys that have one.
    pub default: Option<Json>,
    /// Where the value comes from.
    pub origin: Origin,
    /// When a change takes effect.
    pub when: When,
}

impl Setting {
    /// The full key, `gossip.bind`.
    pub fn key(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// Whether it says what would be so without it.
    pub fn is_default(&self) -> bool {
        self.default.as_ref() == Some(&self.value)
    }
}

/// A key that no table knows, kept until all known keys have been seen.
#[derive(Debug)]
struct Unknown {
    at: Origin,
    path: String,
    name: String,
    siblings: Vec<String>,
}

/// What reading the tree brought to light.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    serf: bool,
    mistakes: RefCell<Vec<Mistake>>,
    settings: RefCell<Vec<Setting>>,
    unknown: RefCell<Vec<Unknown>>,
    /// Every table that was looked at, each before those below it.
    tables: RefCell<IndexSet<String>>,
}

impl Reader {
    /// `serf` if Serf's defaults apply.
    pub(crate) fn new(serf: bool) -> Self {
        Self { serf, ..Self::default() }
    }

    /// Reads the tree's root. The second value is the JSON Schema of what was asked for.
    pub(crate) fn root<'a, R>(&'a self, table: &'a Table, read: impl FnOnce(&Section<'a>) -> R) -> (R, Json) {
        Section::new(self, String::new(), Origin::Default, Some(table)).read(read)
    }

    /// Notes a mistake.
    pub(crate) fn mistake(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// All settings, table by table, and all mistakes.
    pub(crate) fn finish(self) -> (Vec<Setting>, Vec<Mistake>) {
        let tables = self.tables.into_inner();
        let mut settings = self.settings.into_inner();
        settings.sort_by_key(|setting| tables.get_index_of(&setting.table));
        let mut mistakes = self.mistakes.into_inner();
        mistakes.extend(self.unknown.into_inner().iter().map(|unknown| unknown.mistake(&settings)));
        (settings, mistakes)
    }
}

impl Unknown {
    /// With the nearest known key: a sibling, else the key's name in Serf, else the same name in another table.
    fn mistake(&self, settings: &[Setting]) -> Mistake {
        let elsewhere = || {
            let mut same = settings.iter().filter(|setting| setting.name == self.name);
            same.next().map(Setting::key).filter(|_| same.next().is_none())
        };
        let near = nearest(&self.name, self.siblings.iter().map(String::as_str))
            .or_else(|| super::serf::native_key(&self.name))
            .map(str::to_owned)
            .or_else(elsewhere);
        let way_out = match near {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known here: {}", self.siblings.join(", ")),
        };
        Mistake::new(&self.at, &self.path, Trouble::new(format!("unknown key '{}'", self.path), way_out))
    }
}

/// One table while it is read.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    reader: &'a Reader,
    path: String,
    at: Origin,
    table: Option<&'a Table>,
    /// What was asked for, each key with its JSON Schema.
    known: RefCell<IndexMap<&'static str, Json>>,
    /// In a table whose keys are the user's own names, the schema of each.
    free: RefCell<Option<Json>>,
    /// Further keywords of the table's schema.
    rules: RefCell<IndexMap<&'static str, Json>>,
}

impl<'a> Section<'a> {
    fn new(reader: &'a Reader, path: String, at: Origin, table: Option<&'a Table>) -> Self {
        reader.tables.borrow_mut().insert(path.clone());
        let (known, free, rules) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { reader, path, at, table, known, free, rules }
    }

    /// Applies `read`, then notes the keys that it did not ask for. Those that it asked for make the table's schema.
    fn read<R>(self, read: impl FnOnce(&Self) -> R) -> (R, Json) {
        let result = read(&self);
        let (known, free) = (self.known.into_inner(), self.free.into_inner());
        let unknown = |name: &str| free.is_none() && !known.contains_key(name);
        for (name, item) in self.table.into_iter().flatten().filter(|(name, _)| unknown(name)) {
            self.reader.unknown.borrow_mut().push(Unknown {
                at: item.key_at.clone(),
                path: join(&self.path, name),
                name: name.clone(),
                siblings: known.keys().map(|name| (*name).to_owned()).collect(),
            });
        }
        let mut schema = json!({ "type": "object", "additionalProperties": free.unwrap_or(Json::Bool(false)) });
        if !known.is_empty() {
            schema["properties"] = known.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        }
        self.rules.into_inner().into_iter().for_each(|(keyword, rule)| schema[keyword] = rule);
        (result, schema)
    }

    /// Says a rule between the keys of this table in its schema; whoever reads them holds them to it.
    pub(crate) fn rule(&self, keyword: &'static str, rule: Json) {
        self.rules.borrow_mut().insert(keyword, rule);
    }

    /// Says that the table `name`, which was read, may also be written as a `T`.
    pub(crate) fn may_also_be<T: Written>(&self, name: &'static str) {
        if let Some(schema) = self.known.borrow_mut().get_mut(name) {
            *schema = json!({ "anyOf": [T::schema(), schema.take()] });
        }
    }

    /// Whether Serf's defaults apply.
    pub(crate) fn serf(&self) -> bool {
        self.reader.serf
    }

    /// `ours`, or `serfs` where Serf's defaults apply.
    pub(crate) fn by_mode<T>(&self, ours: T, serfs: T) -> T {
        if self.serf() { serfs } else { ours }
    }

    /// The full path of a key of this table.
    pub(crate) fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// The full path of this table.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where this table's name stands.
    pub(crate) fn at(&self) -> &Origin {
        &self.at
    }

    /// A key in a table below this one, as written.
    pub(crate) fn item_at(&self, path: &[&str]) -> Option<&'a Item> {
        let (last, parents) = path.split_last()?;
        let inner = parents.iter().try_fold(self.table?, |table, name| table.get(*name)?.as_table())?;
        inner.get(*last)
    }

    /// Reads a table as if it were not written, without recording it: what stands there is wrong already.
    pub(crate) fn absent<R>(&self, read: impl FnOnce(&Section<'_>) -> R) -> R {
        let reader = Reader::new(self.serf());
        Section::new(&reader, self.path.clone(), self.at.clone(), None).read(read).0
    }

    /// The key as written, if it is.
    pub(crate) fn item(&self, name: &str) -> Option<&'a Item> {
        self.table.and_then(|table| table.get(name))
    }

    /// Whether the key is written anywhere.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.item(name).is_some()
    }

    /// A table below this one, read also where it is not written.
    pub(crate) fn section<R>(&self, name: &'static str, read: impl FnOnce(&Section<'a>) -> R) -> R {
        let path = self.path_of(name);
        let (at, table) = match self.item(name) {
            Some(item) => (item.key_at.clone(), self.table_in(item, &path)),
            None => (self.at.clone(), None),
        };
        let (result, schema) = Section::new(self.reader, path, at, table).read(read);
        self.known.borrow_mut().insert(name, schema);
        result
    }

    /// A table below this one that means nothing where it is not written.
    pub(crate) fn optional<R>(&self, name: &'static str, read: impl Fn(&Section<'_>) -> Option<R>) -> Option<R> {
        let path = self.path_of(name);
        let written = self.item(name).and_then(|item| Some((item, self.table_in(item, &path)?)));
        let (result, schema) = match written {
            Some((item, table)) => {
                Section::new(self.reader, path, item.key_at.clone(), Some(table)).read(|inner| read(inner))
            }
            None => {
                let reader = Reader::new(self.serf());
                let (_, schema) = Section::new(&reader, path, self.at.clone(), None).read(|absent| read(absent));
                (None, schema)
            }
        };
        self.known.borrow_mut().insert(name, schema);
        result
    }

    /// A table of tables with names of the user's own, in order of appearance.
    pub(crate) fn named<R>(&self, name: &'static str, read: impl Fn(&str, &Section<'_>) -> Option<R>) -> Vec<R> {
        self.section(name, |section| {
            let reader = Reader::new(section.serf());
            let absent = Section::new(&reader, section.path.clone(), section.at.clone(), None);
            let (_, schema) = absent.read(|absent| read("", absent));
            let nameless = section.nameless(&schema);
            *section.free.borrow_mut() = Some(schema);
            let mut results = Vec::new();
            for (name, item) in section.table.into_iter().flatten() {
                if nameless.contains(&name) {
                    continue;
                }
                let path = section.path_of(name);
                let table = section.table_in(item, &path);
                let inner = Section::new(section.reader, path, item.key_at.clone(), table);
                results.extend(inner.read(|inner| read(name, inner)).0);
            }
            results
        })
    }

    /// Keys of this table of tables that are meant for one of its tables, whose name was left out: each is a mistake.
    fn nameless(&self, schema: &Json) -> Vec<&'a String> {
        let Some(known) = schema["properties"].as_object() else { return Vec::new() };
        // A table may be called like a key: then it has keys itself.
        let is_named = |item: &Item| {
            item.as_table().is_some_and(|inner| inner.is_empty() || inner.keys().any(|key| known.contains_key(key)))
        };
        let written = self.table.into_iter().flatten();
        let nameless = written.filter(|(name, item)| known.contains_key(name.as_str()) && !is_named(item));
        let path = &self.path;
        nameless
            .map(|(name, item)| {
                let what = format!("{path}.{name} stands in [{path}], which has no name");
                let trouble =
                    Trouble::new(what, format!("write [{path}.NAME], with a name of your own, in place of [{path}]"));
                self.reader.mistake(Mistake::new(&item.key_at, &self.path_of(name), trouble));
                name
            })
            .collect()
    }

    /// Every key of a table whose keys are the user's own, each read as a `T`.
    pub(crate) fn entries<T: Written>(&self) -> Vec<(String, T)> {
        *self.free.borrow_mut() = Some(T::schema());
        let mut entries = Vec::new();
        for (name, item) in self.table.into_iter().flatten() {
            let path = self.path_of(name);
            if let Some(value) = self.read_item::<T>(&path, item, None, |_| None) {
                self.record(name, value.write(), None, item.key_at.clone(), When::Live);
                entries.push((name.clone(), value));
            }
        }
        entries
    }

    /// Notes that `name` is wrong in this table; `trouble` goes without the place. It may depend on other keys.
    pub(crate) fn conflict(&self, name: &str, trouble: Trouble) {
        let at = self.item(name).map_or(&self.at, |item| &item.key_at);
        self.reader.mistake(Mistake::across(at, &self.path_of(name), trouble));
    }

    /// Notes a mistake whose place is not a key of this table.
    pub(crate) fn mistake(&self, mistake: Mistake) {
        self.reader.mistake(mistake);
    }

    fn record(&self, name: &str, value: Json, default: Option<Json>, origin: Origin, when: When) {
        let (table, name) = (self.path.clone(), segment(name));
        self.reader.settings.borrow_mut().push(Setting { table, name, value, default, origin, when });
    }

    /// Corrects the record of a key whose value came by another way.
    pub(crate) fn amend(&self, name: &str, value: Json, origin: Origin) {
        let mut settings = self.reader.settings.borrow_mut();
        let recorded = settings.iter_mut().find(|setting| setting.table == self.path && setting.name == name);
        if let Some(setting) = recorded {
            (setting.value, setting.origin) = (value, origin);
        }
    }

    fn table_in(&self, item: &'a Item, path: &str) -> Option<&'a Table> {
        if let Value::Table(table) = &item.value {
            return Some(table);
        }
        let tables = matches!(&item.value, Value::List(list) if list.iter().any(|each| each.as_table().is_some()));
        let trouble = if tables {
            Trouble::new(format!("{path} is written as [[{path}]]"), format!("give each one a name, [{path}.NAME]"))
        } else {
            Trouble::new(
                format!("{path} = {} is {}", item.value, item.value.kind()),
                format!("write a table, [{path}]"),
            )
        };
        self.reader.mistake(Mistake::new(&item.key_at, path, trouble));
        None
    }

    /// Reads a value and all that it replaced, so that no mistake hides behind a drop-in.
    fn read_item<T: Written>(
        &self,
        path: &str,
        item: &Item,
        accepted: Option<&Trouble>,
        check: impl Fn(&T) -> Option<Trouble>,
    ) -> Option<T> {
        let mut newest = None;
        for (age, item) in item.history().enumerate() {
            let result = T::read(item).and_then(|value| match check(&value) {
                Some(trouble) => Err(item.wrong(trouble)),
                None => Ok(value),
            });
            match result {
                Ok(value) if age == 0 => newest = Some(value),
                Ok(_) => {}
                Err(wrongs) => {
                    wrongs.into_iter().for_each(|wrong| self.reader.mistake(described(path, wrong, accepted)))
                }
            }
        }
        newest
    }
}

/// `KEY = VALUE is …; WAY OUT`.
fn described(path: &str, wrong: Wrong, accepted: Option<&Trouble>) -> Mistake {
    let Wrong { at, value, trouble, out_of_range } = wrong;
    let Trouble { what, way_out } = accepted.filter(|_| out_of_range).cloned().unwrap_or(trouble);
    Mistake::new(&at, path, Trouble::new(format!("{path} = {value} {what}"), way_out))
}
