//! What changes for one server of an upstream.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::escape::escape;
use crate::status::Known;
use crate::upstream::{self, Difference, UpstreamName};

/// One change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Change {
    #[serde(default)]
    pub upstream: String,
    #[serde(default)]
    pub member: String,
    /// What of it.
    pub field: Known<Field>,
    #[serde(default)]
    pub before: Option<Value>,
    #[serde(default)]
    pub after: Option<Value>,
    /// Where it serves, or served; told where its state changes.
    #[serde(default)]
    pub addr: Option<SocketAddr>,
    /// Of one that comes in, its share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
}

/// What of a server changes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// `in` or `out`.
    State,
    Addr,
    Weight,
    Backup,
    MaxConns,
}

/// What it was, or is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
}

impl Change {
    /// As the document has it.
    pub fn new(upstream: &UpstreamName, Difference { member, change }: &Difference) -> Self {
        let text = |text: &str| Value::Text(text.to_owned());
        let weight = match *change {
            upstream::Change::In { weight, .. } => Some(weight),
            upstream::Change::Out { .. }
            | upstream::Change::Moved { .. }
            | upstream::Change::Weight { .. }
            | upstream::Change::Backup { .. }
            | upstream::Change::MaxConns { .. } => None,
        };
        let (field, before, after, addr) = match *change {
            upstream::Change::In { addr, .. } => (Field::State, text("out"), text("in"), Some(addr)),
            upstream::Change::Out { addr } => (Field::State, text("in"), text("out"), Some(addr)),
            upstream::Change::Moved { from, to } => {
                (Field::Addr, Value::Text(from.to_string()), Value::Text(to.to_string()), None)
            }
            upstream::Change::Weight { from, to } => {
                (Field::Weight, Value::Number(from.into()), Value::Number(to.into()), None)
            }
            upstream::Change::Backup { from, to } => (Field::Backup, Value::Flag(from), Value::Flag(to), None),
            upstream::Change::MaxConns { from, to } => {
                (Field::MaxConns, Value::Number(from.into()), Value::Number(to.into()), None)
            }
        };
        Self {
            upstream: upstream.as_str().to_owned(),
            member: member.as_str().to_owned(),
            field: field.into(),
            before: Some(before),
            after: Some(after),
            addr,
            weight,
        }
    }
}

impl Field {
    const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Addr => "addr",
            Self::Weight => "weight",
            Self::Backup => "backup",
            Self::MaxConns => "max_conns",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&escape(text)),
        }
    }
}

/// `+ web2 10.77.0.13:80 weight 2`, `- web2 10.77.0.13:80`, `web2 weight 2 -> 4`; without the upstream.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = escape(&self.member);
        let is = |value: &Option<Value>, word: &str| matches!(value, Some(Value::Text(text)) if text == word);
        match (self.field.word(), self.addr) {
            (Some(Field::State), Some(addr)) if is(&self.after, "in") => {
                write!(f, "+ {member} {addr}")?;
                let weight = self.weight.filter(|weight| *weight != 1);
                return weight.map_or(Ok(()), |weight| write!(f, " weight {weight}"));
            }
            (Some(Field::State), Some(addr)) if is(&self.after, "out") => return write!(f, "- {member} {addr}"),
            (Some(Field::Addr), _) => write!(f, "{member} ")?,
            _ => write!(f, "{member} {} ", self.field)?,
        }
        let told = |value: &Option<Value>| value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        write!(f, "{} -> {}", told(&self.before), told(&self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::NodeName;

    #[test]
    fn a_change_is_told_in_a_few_words() {
        let (web, member) = (UpstreamName::new("web").unwrap(), NodeName::new("web2\n").unwrap());
        let (from, to) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.9:80".parse().unwrap());
        for (change, text) in [
            (upstream::Change::In { addr: to, weight: 1 }, "+ web2\\n 10.0.0.9:80"),
            (upstream::Change::In { addr: to, weight: 2 }, "+ web2\\n 10.0.0.9:80 weight 2"),
            (upstream::Change::Out { addr: to }, "- web2\\n 10.0.0.9:80"),
            (upstream::Change::Moved { from, to }, "web2\\n 10.0.0.1:80 -> 10.0.0.9:80"),
            (upstream::Change::Weight { from: 2, to: 4 }, "web2\\n weight 2 -> 4"),
            (upstream::Change::Backup { from: false, to: true }, "web2\\n backup false -> true"),
            (upstream::Change::MaxConns { from: 0, to: 9 }, "web2\\n max_conns 0 -> 9"),
        ] {
            let change = Change::new(&web, &Difference { member: member.clone(), change });
            assert_eq!(change.to_string(), text);
            let json = serde_json::to_string(&change).unwrap();
            assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
        }
        let newer: Change = serde_json::from_str(r#"{"member": "web2", "field": "colour", "after": "red"}"#).unwrap();
        assert_eq!(newer.to_string(), "web2 unknown (colour) none -> red");
    }
}
