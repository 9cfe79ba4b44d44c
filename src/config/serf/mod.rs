//! Serf's configuration files and flags: its keys, its types and its merge rules, as a layer over our own keys.
//!
//! Serf lets the later non-empty value win: `false`, `0` and `""` never override, maps merge by key, lists are appended
//! (`cli §3`). `enable_compression` alone is taken from the last file that names it.

mod keys;

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Trouble;

use super::duration;
use super::mistake::{Mistake, nearest};
use super::notice::{Notice, SerfNotice};
use super::secret::Secret;
use super::tree::{Item, Origin, Table, Value, set, take_repeated};

pub(crate) use keys::{KEYS, Kind, native_key};

/// Keys whose values nobody is shown.
const SECRETS: [&str; 2] = ["encrypt_key", "rpc_auth"];

/// What Serf's files and flags can say that no key of TOML can.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) encrypt: Option<(Secret, Origin)>,
    pub(crate) rpc_auth: Option<(Secret, Origin)>,
    pub(crate) leave_on_terminate: bool,
    pub(crate) skip_leave_on_interrupt: bool,
    pub(crate) tags_file: Option<(PathBuf, Origin)>,
    pub(crate) role: Option<Item>,
    pub(crate) protocol: Option<u8>,
    pub(crate) interface: Option<(String, Origin)>,
    /// Where a JSON file gives our name, of which Serf takes more than TOML does.
    pub(crate) node_name: Option<Origin>,
    pub(crate) bad_tags: Vec<(String, Origin)>,
    /// `start_join` or `-join` was given: Serf stops when the first try fails.
    pub(crate) start_join: bool,
    /// `retry_join` or `-retry-join` was given: Serf goes on trying.
    pub(crate) retry_join: bool,
    /// Handlers so far; their tables are numbered.
    pub(crate) handlers: usize,
}

/// What a layer of Serf's becomes: our keys, what has no key, notices and mistakes.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) table: Table,
    pub(crate) extras: Extras,
    pub(crate) notices: Vec<Notice>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Layer {
    /// A layer that goes on numbering handlers where an earlier one stopped.
    pub(crate) fn new(extras: Extras) -> Self {
        Self { extras, ..Self::default() }
    }

    /// Takes over a whole file. Key names are matched in any case, as Serf does it.
    pub(crate) fn file(&mut self, mut root: Table) {
        self.tell_repeated(&mut root);
        for (name, item) in root {
            let lower = name.to_ascii_lowercase();
            match KEYS.iter().find(|(known, ..)| *known == lower) {
                Some((_, native, kind)) => self.take(&lower, native, *kind, &item),
                None => self.unknown(&name, &item),
            }
        }
    }

    /// Of two values of one key in this layer one is lost, as in Serf: says which.
    pub(crate) fn end(mut self) -> Self {
        let mut table = std::mem::take(&mut self.table);
        self.tell_repeated(&mut table);
        Self { table, ..self }
    }

    fn tell_repeated(&mut self, table: &mut Table) {
        take_repeated(table, "", &mut |key, kept, lost| {
            twice(key, kept, lost).into_iter().for_each(|new| self.add(new))
        });
    }

    fn unknown(&mut self, name: &str, item: &Item) {
        let way_out = match nearest(name, KEYS.map(|(known, ..)| known)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => "it is none of Serf's keys".to_owned(),
        };
        let trouble = Trouble::new(format!("unknown key '{name}'"), way_out);
        self.mistakes.push(Mistake::new(&item.key_at, name, trouble));
    }

    /// Takes over one value. `name` is what messages call it.
    pub(crate) fn take(&mut self, name: &str, native: &str, kind: Kind, item: &Item) {
        let path: Vec<&str> = native.split('.').collect();
        let at = item.key_at.clone();
        match kind {
            Kind::Text => self.with_text(name, item, |layer, text| {
                if native == "node.name" && matches!(at, Origin::File { .. }) {
                    layer.extras.node_name = Some(at);
                }
                layer.set(&path, item, Value::Text(text));
            }),
            Kind::Level => self.with_text(name, item, |layer, text| {
                let level = text.to_ascii_lowercase();
                layer.set(&path, item, Value::Text(if level == "err" { "error".to_owned() } else { level }));
            }),
            Kind::Duration { raised } => {
                self.with_text(name, item, |layer, text| layer.duration(name, &path, item, &text, raised))
            }
            Kind::Count => {
                if let Some(number) = self.count(name, item).filter(|number| *number != 0) {
                    self.set(&path, item, Value::Int(number));
                }
            }
            Kind::Retries => {
                if let Some(number) = self.count(name, item).filter(|number| *number != 0) {
                    self.set(&path, item, Value::Int(number.saturating_add(1)));
                }
            }
            Kind::Protocol => match self.count(name, item).map(|version| (version, u8::try_from(version))) {
                Some((_, Ok(version @ 2..=5))) => self.extras.protocol = Some(version),
                Some((0, _)) | None => {}
                Some((version, _)) => {
                    let what = format!("{name} = {version} is not a protocol version");
                    self.wrong(name, item, Trouble::new(what, "2 to 5 is accepted"));
                }
            },
            Kind::Switch(on) => {
                if self.truth(name, item) == Some(true) {
                    self.set(&path, item, Value::Bool(on));
                }
            }
            Kind::Bool => {
                if let Some(truth) = self.truth(name, item) {
                    self.set(&path, item, Value::Bool(truth));
                }
            }
            Kind::Texts => self.texts(name, &path, item),
            Kind::Tags => self.tags(name, item),
            Kind::Role => self.with_text(name, item, |layer, text| {
                let trouble = Trouble::new("'role' has been replaced by tags", "the tag role is set");
                layer.add(Notice { at, trouble, serfs: Some(SerfNotice::Role) });
                layer.extras.role = Some(Item { value: Value::Text(text), ..item.clone() });
            }),
            Kind::Handlers => self.handlers(name, item),
            Kind::Encrypt => {
                self.with_text(name, item, |layer, text| layer.extras.encrypt = Some((Secret::new(text), at)))
            }
            Kind::RpcAuth => {
                self.with_text(name, item, |layer, text| layer.extras.rpc_auth = Some((Secret::new(text), at)))
            }
            Kind::LeaveOnTerminate => self.extras.leave_on_terminate |= self.truth(name, item) == Some(true),
            Kind::SkipLeaveOnInterrupt => self.extras.skip_leave_on_interrupt |= self.truth(name, item) == Some(true),
            Kind::TagsFile => {
                self.with_text(name, item, |layer, text| layer.extras.tags_file = Some((text.into(), at)))
            }
            Kind::Interface => self.with_text(name, item, |layer, text| layer.extras.interface = Some((text, at))),
            Kind::Mdns => {
                self.notice(&at, Trouble::new("mdns is not needed", "weir uses the interface of gossip.bind"))
            }
            Kind::Ignored("", _) => {}
            Kind::Ignored(what, way_out) => self.notice(&at, Trouble::new(what, way_out)),
        }
    }

    /// Sets a key of ours, `gossip.bind`.
    pub(crate) fn put(&mut self, key: &str, item: Item) {
        set(&mut self.table, &key.split('.').collect::<Vec<_>>(), item);
    }

    fn set(&mut self, path: &[&str], item: &Item, value: Value) {
        set(&mut self.table, path, Item { value, ..item.clone() });
    }

    /// Says something once, however often it applies.
    pub(crate) fn notice(&mut self, at: &Origin, trouble: Trouble) {
        self.add(Notice::new(at.clone(), trouble));
    }

    fn add(&mut self, new: Notice) {
        if !self.notices.iter().any(|notice| notice.trouble == new.trouble) {
            self.notices.push(new);
        }
    }

    fn wrong(&mut self, name: &str, item: &Item, trouble: Trouble) {
        self.mistakes.push(Mistake::new(&item.at, name, trouble));
    }

    fn wanted(&mut self, name: &str, item: &Item, wanted: &str) {
        // A secret of the wrong type is not repeated.
        let secret = SECRETS.contains(&name);
        let value = if secret { String::new() } else { format!(" = {}", item.value) };
        let what = format!("{name}{value} is {}", item.value.kind());
        self.wrong(name, item, Trouble::new(what, format!("write {wanted}")));
    }

    /// Calls `then` with the text, unless it is empty, which Serf takes as not given.
    fn with_text(&mut self, name: &str, item: &Item, then: impl FnOnce(&mut Self, String)) {
        match &item.value {
            Value::Text(text) if text.is_empty() => {}
            Value::Text(text) => then(self, text.clone()),
            Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                self.wanted(name, item, "text in quotes");
            }
        }
    }

    fn truth(&mut self, name: &str, item: &Item) -> Option<bool> {
        match &item.value {
            Value::Bool(truth) => Some(*truth),
            Value::Text(text) if text.is_empty() => None, // null
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                self.wanted(name, item, "true or false");
                None
            }
        }
    }

    fn count(&mut self, name: &str, item: &Item) -> Option<i64> {
        match &item.value {
            Value::Int(number) => Some(*number),
            Value::Text(text) if text.is_empty() => None, // null
            Value::Text(_) | Value::Bool(_) | Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Table(_) => {
                self.wanted(name, item, "a whole number");
                None
            }
        }
    }

    /// Go's durations in files; flags take ours as well.
    fn duration(&mut self, name: &str, path: &[&str], item: &Item, text: &str, raised: Option<SerfNotice>) {
        const LEAST: Duration = Duration::from_secs(1);
        let read = match item.at {
            Origin::Flag(_) => duration::parse(text),
            Origin::Default | Origin::File { .. } | Origin::Environment(_) => duration::parse_go(text).ok(),
        };
        match read {
            None => {
                let what = format!("{name} = {} is not a duration", item.value);
                self.wrong(name, item, Trouble::new(what, "write \"200ms\", \"30s\" or \"1m30s\""));
            }
            Some(Duration::ZERO) => {}
            Some(value) => {
                if raised.is_some() && value < LEAST {
                    let what = format!("{name} is raised to 1s, the least that is accepted");
                    self.add(Notice { at: item.at.clone(), trouble: Trouble::new(what, ""), serfs: raised });
                }
                let value = if raised.is_some() { value.max(LEAST) } else { value };
                self.set(path, item, Value::Text(duration::text(value)));
            }
        }
    }

    /// The texts of a list; anything else is noted.
    fn list(&mut self, name: &str, item: &Item) -> Vec<(String, Origin)> {
        let Value::List(list) = &item.value else {
            if !matches!(&item.value, Value::Text(text) if text.is_empty()) {
                self.wanted(name, item, "a list, [\"…\"]");
            }
            return Vec::new();
        };
        let mut texts = Vec::new();
        for each in list {
            match &each.value {
                Value::Text(text) => texts.push((text.clone(), each.at.clone())),
                Value::Int(_)
                | Value::Float(_)
                | Value::Bool(_)
                | Value::Date(_)
                | Value::List(_)
                | Value::Table(_) => {
                    self.wanted(name, each, "text in quotes");
                }
            }
        }
        texts
    }

    fn texts(&mut self, name: &str, path: &[&str], item: &Item) {
        let list: Vec<Item> =
            self.list(name, item).into_iter().map(|(text, at)| Item::new(Value::Text(text), at)).collect();
        if !list.is_empty() {
            self.extras.start_join |= name == "start_join";
            self.extras.retry_join |= name == "retry_join";
            let item = Item { value: Value::List(list), append: true, ..item.clone() };
            set(&mut self.table, path, item);
        }
    }

    fn tags(&mut self, name: &str, item: &Item) {
        let Value::Table(table) = &item.value else {
            return self.wanted(name, item, "an object, { \"role\": \"web\" }");
        };
        for (tag, value) in table {
            match &value.value {
                Value::Text(_) => set(&mut self.table, &["node", "tags", tag], value.clone()),
                Value::Int(_)
                | Value::Float(_)
                | Value::Bool(_)
                | Value::Date(_)
                | Value::List(_)
                | Value::Table(_) => {
                    self.wanted(&format!("{name}.{tag}"), value, "text in quotes");
                }
            }
        }
    }

    /// `[FILTER=]COMMAND`, split at the first `=` (`handlers §1`).
    fn handlers(&mut self, name: &str, item: &Item) {
        for (spec, at) in self.list(name, item) {
            self.handler(&spec, &at);
        }
    }

    /// One handler; its table is named after its place.
    pub(crate) fn handler(&mut self, spec: &str, at: &Origin) {
        let (filter, command) = spec.split_once('=').unwrap_or(("*", spec));
        let filter = if filter.is_empty() { "*" } else { filter };
        self.extras.handlers += 1;
        let table = format!("serf-{}", self.extras.handlers);
        let on = Item::texts(filter.split(',').map(str::to_owned), at);
        set(&mut self.table, &["handler", &table, "on"], on);
        set(&mut self.table, &["handler", &table, "shell"], Item::new(Value::Text(command.to_owned()), at.clone()));
    }

    /// `NAME=VALUE`, from a flag.
    pub(crate) fn tag(&mut self, tag: &str, at: &Origin) {
        match tag.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                set(&mut self.table, &["node", "tags", name], Item::new(Value::Text(value.to_owned()), at.clone()));
            }
            Some(_) | None => self.extras.bad_tags.push((tag.to_owned(), at.clone())),
        }
    }
}

/// Says of a key that one source gives twice what became of it.
pub(crate) fn repeated(key: &str, at: &Origin, what: &str) -> Notice {
    Notice::new(at.clone(), Trouble::new(format!("{key} is given twice: {what}"), "remove one"))
}

/// Which of two values of a key counts; nothing if they are the same.
fn twice(key: &str, kept: &Item, lost: &Item) -> Option<Notice> {
    let at = if kept.key_at == lost.key_at { String::new() } else { format!(" at {}", lost.key_at) };
    let what = match SECRETS.iter().any(|secret| key.eq_ignore_ascii_case(secret)) {
        true => "the last one counts".to_owned(),
        false => format!("{} counts, {}{at} does not", kept.value, lost.value),
    };
    (kept.value.plain() != lost.value.plain()).then(|| repeated(key, &kept.key_at, &what))
}

/// Makes Serf's role the tag of that name, whatever else sets that, as Serf does.
pub(crate) fn role_to_tag(table: &mut Table, extras: &Extras) -> Option<Notice> {
    let role = extras.role.as_ref()?;
    let tags = table.get("node").and_then(Item::as_table).and_then(|node| node.get("tags")).and_then(Item::as_table);
    let notice = tags.and_then(|tags| tags.get("role")).and_then(|lost| twice("node.tags.role", role, lost));
    set(table, &["node", "tags", "role"], role.clone());
    notice
}

/// Makes an interface the host of `gossip.bind`, unless that names an address already.
pub(crate) fn bind_to_interface(table: &mut Table, extras: &Extras) -> Option<Notice> {
    let (name, at) = extras.interface.as_ref()?;
    let bind = table.get("gossip").and_then(Item::as_table).and_then(|gossip| gossip.get("bind"));
    let bound = match bind.map(|item| &item.value) {
        Some(Value::Text(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    use super::address::{BindAddress, BindHost, GOSSIP_PORT};
    use super::value::Text as _;
    let port = match bound.as_deref().map(BindAddress::parse) {
        None => GOSSIP_PORT,
        Some(Ok(BindAddress { host: BindHost::Address(address), port })) if address.is_unspecified() => port,
        Some(Ok(_) | Err(_)) => {
            let what = "interface is not needed beside a bind address and not looked at";
            return Some(Notice::new(at.clone(), Trouble::new(what, "")));
        }
    };
    set(table, &["gossip", "bind"], Item::new(Value::Text(format!("{name}:{port}")), at.clone()));
    None
}
