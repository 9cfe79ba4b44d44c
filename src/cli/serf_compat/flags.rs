//! Go's flag package, as far as Serf uses it: `-flag=v`, `-flag v`, one dash or two, booleans by `=` only, and the first
//! positional argument ends the flags (`cli §1`).

use std::collections::BTreeMap;

use crate::config::boolean;

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Nothing, or a boolean after `=`.
    Bool,
    /// Text; the last one wins.
    Text,
    /// Text, kept each time.
    List,
    /// A whole number.
    Int,
    /// A duration.
    Duration,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Its name without dashes.
    pub(super) name: &'static str,
    kind: Kind,
    /// What help calls its value; empty if it needs none.
    value: &'static str,
    /// One line; empty if help leaves it out.
    pub(super) help: &'static str,
}

impl Flag {
    pub(super) const fn new(name: &'static str, kind: Kind, value: &'static str, help: &'static str) -> Self {
        Self { name, kind, value, help }
    }

    /// As help shows it: `-node=NAME`, `-tag KEY=VALUE`.
    pub(super) fn shown(&self) -> String {
        let between = match self.value {
            "" => "",
            value if value.contains('=') => " ",
            _ => "=",
        };
        format!("-{}{between}{}", self.name, self.value)
    }
}

/// Flags and positional arguments after parsing.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    /// Names and values in the order given.
    order: Vec<(&'static str, String)>,
    /// What follows the flags.
    pub(super) rest: Vec<String>,
}

impl Parsed {
    /// The last value of a flag.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// All values of a flag, in the order given.
    pub(super) fn list(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every flag with its value, as given.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.order.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// A boolean flag, or its default.
    pub(super) fn bool(&self, name: &str, default: bool) -> bool {
        self.text(name).and_then(|text| boolean(text).ok()).unwrap_or(default)
    }
}

/// Reads `args`; the error is Go's one line.
pub(super) fn parse(flags: &[Flag], args: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            break;
        }
        let body = match arg.strip_prefix('-') {
            Some(body) if !body.is_empty() => body.strip_prefix('-').unwrap_or(body),
            _ => {
                parsed.rest.push(arg.clone());
                break;
            }
        };
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {arg}"));
        }
        let (name, mut value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let Some(Flag { name, kind, .. }) = flags.iter().find(|flag| flag.name == name).copied() else {
            return Err(format!("flag provided but not defined: -{name}"));
        };
        if kind == Kind::Bool {
            value = value.or_else(|| Some("true".to_owned()));
        }
        let value = value.or_else(|| args.next().cloned()).ok_or_else(|| format!("flag needs an argument: -{name}"))?;
        check(name, kind, &value)?;
        parsed.values.entry(name).or_default().push(value.clone());
        parsed.order.push((name, value));
    }
    parsed.rest.extend(args.cloned());
    Ok(parsed)
}

fn check(name: &str, kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Bool if boolean(value).is_err() => {
            Err(format!("invalid boolean value {} for -{name}: parse error", super::go::quote(value)))
        }
        Kind::Int if value.parse::<i64>().is_err() => wrong(name, value),
        Kind::Duration if super::go::duration_error(value).is_some() => wrong(name, value),
        Kind::Bool | Kind::Int | Kind::Duration | Kind::Text | Kind::List => Ok(()),
    }
}

fn wrong(name: &str, value: &str) -> Result<(), String> {
    Err(format!("invalid value {} for flag -{name}: parse error", super::go::quote(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Parsed, String> {
        let flag = |(name, kind)| Flag::new(name, kind, "", "");
        let flags = [
            ("tag", Kind::List),
            ("coalesce", Kind::Bool),
            ("name", Kind::Text),
            ("timeout", Kind::Duration),
            ("relay-factor", Kind::Int),
        ];
        parse(&flags.map(flag), &text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_end_at_the_first_positional_argument() {
        let parsed =
            read("-tag a=b --tag=c=d -coalesce=false -name x -name y deploy -tag e=f").expect("these are flags");
        assert_eq!(parsed.list("tag"), ["a=b", "c=d"]);
        assert!(!parsed.bool("coalesce", true));
        assert_eq!(parsed.text("name"), Some("y"));
        assert_eq!(parsed.rest, ["deploy", "-tag", "e=f"]);
        assert_eq!(read("-coalesce false").expect("a flag and an argument").rest, ["false"]);
        assert_eq!(read("-- -name x").expect("only arguments").rest, ["-name", "x"]);
        assert_eq!(read("- -name x").expect("only arguments").rest, ["-", "-name", "x"]);
    }

    #[test]
    fn mistakes_get_go_words() {
        for (typed, said) in [
            ("-bogus", "flag provided but not defined: -bogus"),
            ("-bogus=1", "flag provided but not defined: -bogus"),
            ("-tag", "flag needs an argument: -tag"),
            ("-=x", "bad flag syntax: -=x"),
            ("---x", "bad flag syntax: ---x"),
            ("-coalesce=xx", "invalid boolean value \"xx\" for -coalesce: parse error"),
            ("-timeout=abc", "invalid value \"abc\" for flag -timeout: parse error"),
            ("-timeout 5", "invalid value \"5\" for flag -timeout: parse error"),
            ("-relay-factor abc", "invalid value \"abc\" for flag -relay-factor: parse error"),
        ] {
            assert_eq!(read(typed), Err(said.to_owned()), "{typed}");
        }
    }
}
