//! Serf's flags are Go's: `-tag role=web`, `-coalesce=false`. They become GNU flags before clap sees them.
//!
//! Only names that the command (or one above it) knows as a long option are touched, so `-h` and a lone `-` stay what
//! they are, and what is unknown gets clap's own message. `--` ends flags.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::{Arg, ArgAction, Command};

use crate::config::boolean;

/// The arguments (without the program's name) with Go-style flags written the GNU way.
///
/// * `-name`, `-name=value` become `--name`, `--name=value`.
/// * `--name value` becomes `--name=value` where a value is due, so that it may start with a dash.
/// * `--flag=true` becomes `--flag`, and `--flag=false` takes an earlier `--flag` back, where the flag has no value.
pub(crate) fn normalise(root: &Command, args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut path = vec![root];
    let mut out: Vec<OsString> = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            out.push(arg);
            break;
        }
        let Some((name, value)) = split(&arg) else {
            let current = path[path.len() - 1];
            if let Some(deeper) = arg.to_str().and_then(|name| current.find_subcommand(name)) {
                path.push(deeper);
            }
            out.push(arg);
            continue;
        };
        let Some(option) = find(&path, &name) else {
            out.push(arg);
            continue;
        };
        match (kind(option), value) {
            (Kind::Flag, None) | (Kind::Optional, None) => out.push(long(&name, None)),
            (Kind::Flag, Some(value)) => match value.to_str().and_then(|text| boolean(text).ok()) {
                Some(true) => out.push(long(&name, None)),
                Some(false) => out.retain(|earlier| *earlier != long(&name, None)),
                None => out.push(long(&name, Some(&value))), // clap says that it takes no value
            },
            (Kind::Optional | Kind::Value, Some(value)) => out.push(long(&name, Some(&value))),
            (Kind::Value, None) => out.push(long(&name, args.next().as_deref())),
        }
    }
    out.extend(args);
    out
}

/// The command that `args` name, as it would be typed: `weir keys list`.
pub(crate) fn command_of(root: &Command, args: &[OsString]) -> String {
    let mut words = vec![root.get_name()];
    let mut current = root;
    for arg in args.iter().take_while(|arg| *arg != "--") {
        if let Some(deeper) = arg.to_str().and_then(|name| current.find_subcommand(name)) {
            words.push(deeper.get_name());
            current = deeper;
        }
    }
    words.join(" ")
}

enum Kind {
    /// No value.
    Flag,
    /// A value only after `=` or where clap decides, as in `--watch 2s`.
    Optional,
    /// A value.
    Value,
}

fn kind(option: &Arg) -> Kind {
    if !matches!(option.get_action(), ArgAction::Set | ArgAction::Append) {
        return Kind::Flag;
    }
    let optional = option.get_num_args().is_some_and(|range| range.min_values() == 0);
    if optional { Kind::Optional } else { Kind::Value }
}

/// `-name=value` as name and value; `None` for what is not a flag.
fn split(arg: &OsStr) -> Option<(String, Option<OsString>)> {
    let bytes = arg.as_bytes();
    let body = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-"))?;
    let end = body.iter().position(|byte| *byte == b'=').unwrap_or(body.len());
    let name = std::str::from_utf8(&body[..end]).ok().filter(|name| !name.is_empty())?;
    let value = body.get(end + 1..).map(|value| OsString::from_vec(value.to_vec()));
    Some((name.to_owned(), value))
}

fn find<'a>(path: &[&'a Command], name: &str) -> Option<&'a Arg> {
    path.iter().enumerate().rev().find_map(|(depth, command)| {
        command
            .get_arguments()
            .filter(|arg| depth + 1 == path.len() || arg.is_global_set())
            .find(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().unwrap_or_default().contains(&name))
    })
}

fn long(name: &str, value: Option<&OsStr>) -> OsString {
    let mut out = OsString::from("--");
    out.push(name);
    if let Some(value) = value {
        out.push("=");
        out.push(value);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Command {
        Command::new("weir").arg(Arg::new("format").long("format").global(true)).subcommand(
            Command::new("event")
                .arg(Arg::new("tag").long("tag").action(ArgAction::Append))
                .arg(Arg::new("force").long("force").action(ArgAction::SetTrue))
                .arg(Arg::new("coalesce").long("coalesce").num_args(0..=1).require_equals(true))
                .arg(Arg::new("name").num_args(0..)),
        )
    }

    #[test]
    fn go_flags_become_gnu_flags() {
        for (typed, meant) in [
            ("event -tag role=web", "event --tag=role=web"),
            ("event -tag=role=web", "event --tag=role=web"),
            ("event --tag -dash", "event --tag=-dash"),
            ("event deploy -tag a=b", "event deploy --tag=a=b"), // a flag after a positional is a flag
            ("event -force", "event --force"),
            ("event -force=true", "event --force"),
            ("event --force -force=false", "event"),
            ("event --force=maybe", "event --force=maybe"),
            ("event -coalesce=false x", "event --coalesce=false x"),
            ("event -coalesce x", "event --coalesce x"),
            ("event -format json", "event --format=json"),
            ("-format json event", "--format=json event"),
            ("event -bogus -h -", "event -bogus -h -"),
            ("event -- -tag a=b", "event -- -tag a=b"), // `--` ends flags
            ("-tag a=b", "-tag a=b"),                   // not an option of the root
            ("event -tag", "event --tag"),
        ] {
            let split = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
            assert_eq!(normalise(&root(), split(typed)), split(meant), "{typed}");
        }
    }
}
