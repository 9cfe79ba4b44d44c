//! Which members an upstream selects, and the server that each would be.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::{Candidate, Options, PortRule, Refusal, Rule, Standing, TagPattern, UpstreamName, WeightRule};
use crate::wire::NodeName;
use crate::wire::serf::Tags;

/// A selected member as a server, before anything is known of its health.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// Where it serves.
    pub addr: SocketAddr,
    /// Its share before reduction; 0 means that it says itself that it is down.
    pub weight: u32,
    /// Whether it is only a backup.
    pub backup: bool,
    /// Most connections at a time; 0 means no limit.
    pub max_conns: u32,
    /// Tags that were not taken as they are.
    pub notes: Vec<Note>,
}

/// Why a member is no server of this upstream. Texts follow a member's name: `web2: tag port="80;" is not a port, …`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LeftOut {
    /// `select` does not match: the tag and its value, `None` if it has none.
    NotSelected { tag: String, value: Option<String> },
    /// It is this balancer, and its requests would go round in circles.
    Itself,
    /// Its address may not be used.
    Address { addr: IpAddr, why: Refusal },
    /// The tag's value is no port.
    NotAPort { tag: String, value: String },
    /// Outside the configured limits.
    PortOutside { port: u16, min: u16, max: u16 },
    /// Another member has the same address and port.
    Duplicate { of: String },
    /// It is lost, and another member has its address and port now.
    Replaced { by: String },
    /// More than [`super::Servers::MAX`].
    TooMany,
}

impl LeftOut {
    /// What would make a server of `member`.
    pub fn remedy(&self, upstream: &UpstreamName, member: &NodeName) -> String {
        match self {
            Self::NotSelected { tag, .. } => {
                format!("correct upstream.{upstream}.select, or the tag {tag} of {member}")
            }
            Self::Itself => format!(
                "correct upstream.{upstream}.select or the tags of {member}, or set upstream.{upstream}.allow_self = true if its site \
                 passes nothing on to {upstream}"
            ),
            Self::Address { why, .. } => why.remedy(upstream),
            Self::NotAPort { tag, .. } => format!("'weir tags --set {tag}=80' on {member}, or what its port is"),
            Self::PortOutside { .. } => format!("correct the port of {member}, or upstream.{upstream}.server.port"),
            Self::Duplicate { of } => format!("give {member} or {of} another port"),
            Self::Replaced { .. } => format!("'weir force-leave {member}' if it will not come back under that name"),
            Self::TooMany => format!("have upstream.{upstream}.select match fewer"),
        }
    }
}

/// A tag that was not taken as it is; the member serves all the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Note {
    /// Not what the tag is for, so `used` is used.
    NotUsable { tag: String, value: String, used: String },
    /// Above the limit, which is used.
    Clamped { tag: String, value: String, max: u32 },
    /// The method does not allow backup servers, so it is an ordinary one.
    NoBackup,
}

/// The server that `member` would be, or why it is none.
pub fn select(member: &Candidate, options: &Options) -> Result<Draft, LeftOut> {
    matches(member, options)?;
    if member.standing == Standing::Itself && !options.allow_self {
        return Err(LeftOut::Itself);
    }
    options.allow.check(member.addr).map_err(|why| LeftOut::Address { addr: member.addr, why })?;
    let port = port(&options.port, &member.tags)?;
    let mut notes = Vec::new();
    let weight = weight(&options.weight, &member.tags, &mut notes);
    let max_conns = number(&options.max_conns, &member.tags, u32::MAX, &mut notes);
    let mut backup = boolean(&options.backup, &member.tags, &mut notes);
    if backup && !options.method.allows_backup() {
        notes.push(Note::NoBackup);
        backup = false;
    }
    Ok(Draft { addr: SocketAddr::new(member.addr.to_canonical(), port), weight, backup, max_conns, notes })
}

fn matches(Candidate { tags, standing, .. }: &Candidate, options: &Options) -> Result<(), LeftOut> {
    let is_matched = |(tag, pattern): &&(String, TagPattern)| match tags.get(tag) {
        Some(value) => pattern.matches(value),
        None => *standing == Standing::Supposed,
    };
    match options.select.iter().find(|each| !is_matched(each)) {
        Some((tag, _)) => Err(LeftOut::NotSelected { tag: tag.clone(), value: tags.get(tag).cloned() }),
        None if options.select.is_empty() => Err(LeftOut::NotSelected { tag: String::new(), value: None }),
        None => Ok(()),
    }
}

fn port(rule: &PortRule, tags: &Tags) -> Result<u16, LeftOut> {
    let port = match rule.rule.read(tags) {
        Ok(port) => port,
        Err((tag, text, _)) => digits(text)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(|| LeftOut::NotAPort { tag: tag.to_owned(), value: text.to_owned() })?,
    };
    let min = rule.min.max(1);
    if (min..=rule.max).contains(&port) { Ok(port) } else { Err(LeftOut::PortOutside { port, min, max: rule.max }) }
}

fn weight(rule: &WeightRule, tags: &Tags, notes: &mut Vec<Note>) -> u32 {
    number(&rule.rule, tags, rule.max, notes)
}

fn number(rule: &Rule<u32>, tags: &Tags, max: u32, notes: &mut Vec<Note>) -> u32 {
    let (tag, text, default) = match rule.read(tags) {
        Ok(number) => return number.min(max),
        Err(given) => given,
    };
    let (tag, value) = (tag.to_owned(), text.to_owned());
    match digits(text) {
        Some(number) if number > u64::from(max) => {
            notes.push(Note::Clamped { tag, value, max });
            max
        }
        Some(number) => u32::try_from(number).unwrap_or(max),
        None => {
            notes.push(Note::NotUsable { tag, value, used: default.to_string() });
            default.min(max)
        }
    }
}

fn boolean(rule: &Rule<bool>, tags: &Tags, notes: &mut Vec<Note>) -> bool {
    match rule.read(tags) {
        Ok(value) => value,
        Err((_, "true" | "yes" | "1", _)) => true,
        Err((_, "false" | "no" | "0" | "", _)) => false,
        Err((tag, text, default)) => {
            notes.push(Note::NotUsable { tag: tag.to_owned(), value: text.to_owned(), used: default.to_string() });
            default
        }
    }
}

/// A number of decimal digits alone: no sign, no blank. More than 64 bits hold is the greatest number.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSelected { tag, value: Some(value) } => {
                write!(f, "not selected: tag {tag}={value:?} does not match")
            }
            Self::NotSelected { tag, value: None } => write!(f, "not selected: it has no tag {tag:?}"),
            Self::Itself => f.write_str("is this balancer itself, it is left out"),
            Self::Address { addr, why } => write!(f, "{addr} {why}, it is left out"),
            Self::NotAPort { tag, value } => write!(f, "tag {tag}={value:?} is not a port, it is left out"),
            Self::PortOutside { port, min, max } => write!(f, "port {port} is outside {min}..{max}, it is left out"),
            Self::Duplicate { of } => write!(f, "has the same address and port as {of:?}, it is left out"),
            Self::Replaced { by } => write!(f, "is lost, and {by:?} has its address and port now, it is left out"),
            Self::TooMany => write!(f, "one upstream has at most {} servers, it is left out", super::Servers::MAX),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUsable { tag, value, used } if matches!(used.as_str(), "true" | "false") => {
                write!(f, "tag {tag}={value:?} is neither true nor false, {used} is used")
            }
            Self::NotUsable { tag, value, used } => write!(f, "tag {tag}={value:?} is not a number, {used} is used"),
            Self::Clamped { tag, value, max } => write!(f, "tag {tag}={value:?} is above the limit, {max} is used"),
            Self::NoBackup => write!(f, "the method does not allow backup servers, it is an ordinary one"),
        }
    }
}
