//! `[check.NAME]`: what this node looks at to know how well it is (`ux §1.2`).

use std::time::Duration;

use serde_json::json;

use super::duration;
use super::handler::argv_mistake;
use super::mistake::Mistake;
use super::reader::Section;
use super::service::{Address, HttpUrl, Keys, Service, Tcp};
use super::value::Text;
use crate::error::Trouble;
use crate::health::check::{Options, Timing};

/// Most checks in one configuration.
const MAX_CHECKS: usize = 64;
/// Longest name of a check.
const MAX_NAME_BYTES: usize = 64;
/// Longest name of a unit, as systemd has it.
const MAX_UNIT_BYTES: usize = 255;
/// The keys of which one says what is looked at.
const KINDS: [&str; 5] = ["http", "tcp", "exec", "ttl", "systemd"];
/// Most redirects that are followed.
const MAX_REDIRECTS: u8 = 10;

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// The table's name.
    pub name: String,
    /// What is looked at.
    pub subject: Subject,
    /// From one run to the next, a tenth more or less.
    pub interval: Duration,
    /// Longest run.
    pub timeout: Duration,
    /// Successes in a row until it passes again.
    pub rise: u32,
    /// Failures in a row until it is critical.
    pub fall: u32,
    /// Failures so soon after the start do not count.
    pub start_grace: Duration,
}

/// What a check looks at; exactly one of these.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A service is asked, over HTTP or by a bare connection.
    Service { service: Box<Service>, to: Address },
    /// Program and arguments, without a shell; exit 0 passes, 1 is a warning.
    Exec(Vec<String>),
    /// Somebody says how it is, at least this often.
    Ttl(Duration),
    /// A unit of systemd: active passes, activating is a warning.
    Systemd(Unit),
}

/// The name of a unit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unit(String);

impl Unit {
    /// As it is given to systemd.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Unit {
    const WANTED: &'static str = "a unit's name, \"nginx.service\"";

    fn parse(text: &str) -> Result<Self, Trouble> {
        let is_name = (1..=MAX_UNIT_BYTES).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
        if !is_name {
            return Err(Trouble::new("is not a unit's name", "write one as systemd has it, \"nginx.service\""));
        }
        Ok(Self(if text.contains('.') { text.to_owned() } else { format!("{text}.service") }))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

impl Check {
    /// `None` if its name or what it looks at is missing or wrong, which is noted.
    pub(crate) fn read(name: &str, section: &Section<'_>) -> Option<Self> {
        let subject = read_subject(section);
        let hour = Duration::from_secs(3600);
        let interval = section.key("interval").within(Duration::from_millis(200), hour).or(Duration::from_secs(5));
        let timeout =
            section.key("timeout").within(Duration::from_millis(10), hour).or(interval.min(Duration::from_secs(2)));
        let rise = section.key("rise").within(1, 100).or(2);
        let fall = section.key("fall").within(1, 100).or(3);
        let start_grace = section.key("start_grace").within(Duration::ZERO, hour).or(Duration::ZERO);
        if section.is_set("ttl") {
            refuse_with(section, "ttl", &["interval", "timeout", "rise", "fall"]);
        } else if timeout > interval {
            let written = |key: &str, value| format!("{} = \"{}\"", section.path_of(key), duration::text(value));
            let what = format!("{} is longer than {}", written("timeout", timeout), written("interval", interval));
            section.conflict("timeout", Trouble::new(what, "change one: a check is never run twice at a time"));
        }
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_name {
            let what = format!("\"{}\" is not a check's name", name.escape_debug());
            let rule = format!("1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ - are accepted");
            section.mistake(Mistake::new(section.at(), section.path(), Trouble::new(what, rule)));
        }
        let (name, subject) = (name.to_owned(), subject?);
        is_name.then_some(Self { name, subject, interval, timeout, rise, fall, start_grace })
    }

    /// As the machine wants it.
    pub fn options(&self) -> Options {
        let timing = match self.subject {
            Subject::Ttl(ttl) => Timing::Ttl(ttl),
            Subject::Service { .. } | Subject::Exec(_) | Subject::Systemd(_) => {
                let Self { interval, timeout, rise, fall, .. } = *self;
                Timing::Run { interval, timeout, rise, fall }
            }
        };
        Options { name: self.name.as_str().into(), timing, start_grace: self.start_grace }
    }
}

/// Holds that there are not too many.
pub(crate) fn count(section: &Section<'_>, checks: &[Check]) {
    if let Some(Check { name, .. }) = checks.get(MAX_CHECKS) {
        let at = section.item_at(&["check", name]).map(|item| item.key_at.clone()).unwrap_or_default();
        let what = format!("check.{name} is one too many, the limit is {MAX_CHECKS}");
        let way_out = "let one program look at several things";
        section.mistake(Mistake::across(&at, &format!("check.{name}"), Trouble::new(what, way_out)));
    }
}

/// What it looks at, exactly one of [`KINDS`].
fn read_subject(section: &Section<'_>) -> Option<Subject> {
    let http = section.key::<HttpUrl>("http").optional();
    let keys = Keys::read(section);
    let redirects = section.key("redirects").within(0, MAX_REDIRECTS).or(0);
    let tcp = section.key::<Address>("tcp").optional();
    let exec = section.key("exec").check(|argv: &Vec<String>| argv_mistake(argv)).optional();
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
    let ttl = section.key("ttl").within(least, most).optional();
    let systemd = section.key("systemd").optional();
    let alternatives: Vec<_> = KINDS.iter().map(|kind| json!({ "required": [kind] })).collect();
    section.rule("oneOf", json!(alternatives));
    let mut written = KINDS.into_iter().filter(|kind| section.is_set(kind));
    let Some(kind) = written.next() else {
        let what = format!("{} does not say what to look at", section.path());
        let way_out = format!("write one of {}", KINDS.join(", "));
        section.mistake(Mistake::across(section.at(), section.path(), Trouble::new(what, way_out)));
        return None;
    };
    refuse_with(section, kind, &written.collect::<Vec<_>>());
    if let Some(HttpUrl { secure, address: to, target, .. }) = http {
        let service = Box::new(Service::Http(keys.http(section, secure, target, redirects)));
        return Some(Subject::Service { service, to });
    }
    if kind != "http" {
        keys.refuse(section, kind);
        refuse_with(section, kind, &["redirects"]);
    }
    let service = || Box::new(Service::Tcp(Tcp { expect: None, send_proxy: None }));
    let tcp = tcp.map(|to| Subject::Service { service: service(), to });
    tcp.or(exec.map(Subject::Exec)).or(ttl.map(Subject::Ttl)).or(systemd.map(Subject::Systemd))
}

/// Notes each of `keys` that is written although `key` is.
fn refuse_with(section: &Section<'_>, key: &str, keys: &[&str]) {
    for other in keys.iter().filter(|other| section.is_set(other)) {
        let what = format!("{} cannot be used with {}", section.path_of(other), section.path_of(key));
        section.conflict(other, Trouble::new(what, "remove one"));
    }
}
