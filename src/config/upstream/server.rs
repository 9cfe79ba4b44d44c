//! `[upstream.NAME.server]`: where each server's values come from.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::config::reader::Section;
use crate::config::tree::Item;
use crate::config::value::{Written, Wrong};
use crate::error::Trouble;
use crate::upstream::{PortRule, Rule, WeightRule};

use super::Probe;

/// `[upstream.NAME.server]`.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) port: PortRule,
    pub(super) weight: WeightRule,
    pub(super) backup: Rule<bool>,
    pub(super) max_conns: Rule<u32>,
    pub(super) max_fails: u32,
    /// In seconds.
    pub(super) fail_timeout: u32,
}

impl Server {
    /// `probe` is how this balancer asks the servers itself.
    pub(super) fn read(section: &Section<'_>, probe: Option<&Probe>) -> Self {
        Self {
            port: read_port(section),
            weight: read_weight(section),
            backup: fixed_or(section, "backup", |tag| rule(tag, "backup", false), Rule::Fixed),
            max_conns: fixed_or(section, "max_conns", |tag| rule(tag, "max_conns", 0), Rule::Fixed),
            max_fails: section.key("max_fails").within(0, 1000).or(1),
            fail_timeout: {
                let Seconds(seconds) = section.key("fail_timeout").or(usual_fail_timeout(probe));
                seconds
            },
        }
    }
}

/// What NGINX holds against a server must not outlive what its probe knows by much: where servers restart one after the other, all
/// would be avoided at once although each is well again (`nginx §5`). Beside a probe that takes longer to find out, or none, it is
/// NGINX's own.
fn usual_fail_timeout(probe: Option<&Probe>) -> Seconds {
    const SOON: Seconds = Seconds(2);
    let is_soon = |probe: &Probe| probe.finds_down_within() <= Duration::from_secs(SOON.0.into());
    if probe.is_some_and(is_soon) { SOON } else { Seconds(10) }
}

/// A value that is fixed, `port = 8080`, or a table that names a tag.
fn fixed_or<T: Written, R>(
    section: &Section<'_>,
    name: &'static str,
    by_tag: impl FnOnce(&Section<'_>) -> R,
    fixed: impl FnOnce(T) -> R,
) -> R {
    match section.item(name) {
        Some(item) if item.as_table().is_none() => match section.key(name).optional() {
            Some(value) => fixed(value),
            None => section.absent(by_tag),
        },
        Some(_) | None => {
            let by_tag = section.section(name, by_tag);
            section.may_also_be::<T>(name);
            by_tag
        }
    }
}

fn rule<T: Written>(section: &Section<'_>, tag: &str, default: T) -> Rule<T> {
    Rule::Tag { tag: read_tag(section, tag), default: section.key("default").or(default) }
}

fn read_tag(section: &Section<'_>, default: &str) -> String {
    let named = |tag: &String| tag.is_empty().then(|| Trouble::new("is empty", "write a tag's name"));
    section.key("tag").check(named).or(default.to_owned())
}

fn read_port(section: &Section<'_>) -> PortRule {
    let by_tag = |section: &Section<'_>| {
        let tag = read_tag(section, "port");
        let port = |name, default| section.key::<u16>(name).within(1, u16::MAX).or(default);
        let (default, min, max) = (port("default", 80), port("min", 1), port("max", u16::MAX));
        if !(min..=max).contains(&default) {
            let name = ["default", "min", "max"].into_iter().find(|name| section.is_set(name)).unwrap_or("default");
            let path = section.path_of("default");
            let what = format!("{path} = {default} is outside min = {min} and max = {max}");
            section.conflict(name, Trouble::new(what, "change one"));
        }
        PortRule { rule: Rule::Tag { tag, default }, min, max }
    };
    let fixed = |Port(port)| PortRule { rule: Rule::Fixed(port), min: port, max: port };
    fixed_or(section, "port", by_tag, fixed)
}

fn read_weight(section: &Section<'_>) -> WeightRule {
    let by_tag = |section: &Section<'_>| WeightRule {
        rule: Rule::Tag {
            tag: read_tag(section, "weight"),
            default: section.key("default").within(0, MAX_WEIGHT).or(1),
        },
        max: section.key("max").within(1, MAX_WEIGHT).or(256),
    };
    let fixed = |Weight(weight)| WeightRule { rule: Rule::Fixed(weight), max: MAX_WEIGHT };
    fixed_or(section, "weight", by_tag, fixed)
}

/// More would only be reduced again: NGINX gets 256 at most (`design §7`).
const MAX_WEIGHT: u32 = 65_535;

/// Whole seconds, up to an hour: NGINX takes no less.
struct Seconds(u32);

impl Written for Seconds {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        let value = Duration::read(item)?;
        let whole = u32::try_from(value.as_secs())
            .ok()
            .filter(|seconds| value.subsec_nanos() == 0 && (1..=3600).contains(seconds));
        let wrong = || item.wrong(Trouble::new("is not accepted", "write whole seconds, \"1s\" to \"1h\""));
        whole.map(Self).ok_or_else(wrong)
    }

    fn schema() -> Json {
        Duration::schema()
    }

    fn write(&self) -> Json {
        Duration::from_secs(self.0.into()).write()
    }
}

/// A whole number that is never zero.
struct Port(u16);

/// A whole number up to [`MAX_WEIGHT`].
struct Weight(u32);

impl Written for Port {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        match u16::read(item)? {
            0 => Err(item.wrong(Trouble::new("is not a port", "1 to 65535 is accepted"))),
            port => Ok(Self(port)),
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX })
    }

    fn write(&self) -> Json {
        self.0.into()
    }
}

impl Written for Weight {
    fn read(item: &Item) -> Result<Self, Vec<Wrong>> {
        match u32::read(item)? {
            weight @ ..=MAX_WEIGHT => Ok(Self(weight)),
            _ => Err(item.wrong(Trouble::new("is out of range", format!("0 to {MAX_WEIGHT} is accepted")))),
        }
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 0, "maximum": MAX_WEIGHT })
    }

    fn write(&self) -> Json {
        self.0.into()
    }
}
