//! Holds that what our messages tell people to run or to set is there: commands, units and configuration keys.
//!
//! Messages are found as the string literals of `src`, so that a new one cannot escape: a command stands in '…' or `…`, or it
//! is the whole advice. What stands in braces may be anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::error::ErrorKind;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use regex::Regex;

use super::args::definition;
use super::serf_compat::is_command;

/// Commands of others that we advise, word by word; `*` is any word.
const FOREIGN: [&str; 55] = [
    "apt install chrony",
    "apt install libnginx-mod-stream",
    "apt install nginx",
    "apt purge *",
    "apt remove *",
    "chgrp weir *",
    "chmod * *",
    "chmod -R *-w *",
    "chown * *",
    "chown -R * *",
    "chown -h root *",
    "chown -hR root *",
    "dmesg",
    "dnf install ./out/weir-*.rpm",
    "dnf install chrony",
    "dnf install nginx",
    "dnf install nginx-mod-stream",
    "dnf remove *",
    "firewall-cmd --permanent --add-port=*/tcp --add-port=*/udp",
    "firewall-cmd --reload",
    "ifup --force *",
    "install -d -m 0750 *",
    "install -m 0600 -o weir -g weir * *",
    "ip address",
    "ip link set * up",
    "ip link show *",
    "ip route",
    "ip route get *",
    "journalctl -p info",
    "journalctl -u weir",
    "journalctl -u weir-apply",
    "kill *",
    "kill -CONT *",
    "kill -QUIT $(cat *",
    "make demo",
    "mkdir *",
    "mkdir -p *",
    "mkdir -p -m 700 *",
    "mkdir -p -m 700 * *",
    "mount -o remount,rw \"$(findmnt -no TARGET -T *)\"",
    "mv * *",
    "nft list ruleset",
    "nginx -s reload",
    "nginx -T",
    "nginx -t",
    "nginx -V",
    "sed -i … FILE",
    "setfacl -m u:*:rwx *",
    "setsebool -P httpd_can_network_connect on",
    "ss -ltnp sport = :*",
    "ssh HOST",
    "timedatectl set-ntp true",
    "ufw allow *",
    "ufw allow out *",
    "usermod -aG * *",
];

/// Programs whose every mention in a quote is a command.
const FOREIGN_PROGRAMS: [&str; 21] = [
    "apt",
    "chgrp",
    "chmod",
    "chown",
    "dnf",
    "firewall-cmd",
    "install",
    "ip",
    "journalctl",
    "kill",
    "mkdir",
    "mount",
    "mv",
    "nft",
    "serf",
    "setfacl",
    "ss",
    "systemctl",
    "timedatectl",
    "ufw",
    "usermod",
];

/// What weir does, in sentences that begin with it.
const PROSE: [&str; 9] = ["is", "logs", "makes", "prints", "sends", "tries", "turns", "uses", "writes"];

/// What may be done to a unit.
const VERBS: [&str; 11] =
    ["cat", "disable", "edit", "enable", "list-units", "reload", "restart", "start", "status", "stop", "unmask"];

/// Units of others.
const UNITS: [&str; 7] = ["app", "chronyd", "keepalived", "nginx", "nginx.service", "serf", "serf.service"];

/// What looks like a key and is none: a finding, files, a site, a unit, a socket.
const NO_KEYS: [&str; 6] = ["gossip.udp", "nginx.conf", "nginx.org", "nginx.pid", "nginx.service", "rpc.sock"];

#[test]
fn what_messages_tell_people_to_run_is_there() {
    let mut commands = 0;
    let mut wrong = Vec::new();
    for (path, text) in texts() {
        for command in commands_in(&text) {
            commands += 1;
            wrong.extend(problem(&command).map(|why| format!("{}: {command}: {why}", path.display())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(commands > 150, "only {commands} commands were found");
}

#[test]
fn keys_that_messages_name_are_there() {
    let schema = crate::config::schema();
    let tables = schema["properties"].as_object().expect("a schema").keys().map(String::as_str).collect::<Vec<_>>();
    let name = r"(?:[a-zA-Z_]+|\{[^}]*\})";
    let key = Regex::new(&format!(r"(?:^|[^\w./-])((?:{})(?:\.{name})+)", tables.join("|"))).expect("an expression");
    let mut keys = 0;
    let mut wrong = Vec::new();
    // What has no blank may be the name of a finding or of a file.
    for (path, text) in texts().into_iter().filter(|(_, text)| text.contains(' ')) {
        for found in key.captures_iter(&text).map(|found| found[1].to_owned()).filter(|key| !NO_KEYS.contains(&&**key))
        {
            keys += 1;
            if !is_key(&schema, &found) {
                wrong.push(format!("{}: {found}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(keys > 80, "only {keys} keys were found");
}

#[test]
fn a_phantom_is_told_from_what_is_there() {
    for right in [
        "see 'weir keys list' there",
        "'weir keys export | ssh HOST sudo weir keys import --file -'",
        "run weir keys rotate; it helps",
        "'systemctl restart {unit}'",
        "systemctl reload weir",
        "'systemctl edit weir-apply'",
        "sudo weir keys export > cluster.key    # for the others",
        "it isn't, and 'web1' is",
    ] {
        assert!(commands_in(right).iter().all(|command| problem(command).is_none()), "{right}");
    }
    for wrong in [
        "run 'weir frob'",
        "'sudo weir keys frobnicate'",
        "weir keys rotate --bogus",
        "'systemctl edit weir-guard'",
        "'systemctl frob weir'",
        "(firewall-cmd --add-service=weir)",
        "'frob -x y'",
        "`weir top`",
    ] {
        assert!(commands_in(wrong).iter().any(|command| problem(command).is_some()), "{wrong}");
    }
}

/// Every text that people read, with its place.
fn texts() -> Vec<(PathBuf, String)> {
    let mut texts = Vec::new();
    let is_test = |path: &PathBuf| path.ends_with(file!()) || path.components().any(|part| part.as_os_str() == "tests");
    for path in files(Path::new("src"), "rs").into_iter().filter(|path| !path.ends_with("tests.rs") && !is_test(path)) {
        let tokens = read(&path).parse().expect("it compiles");
        literals(tokens, &mut |text| texts.push((path.clone(), text)));
    }
    for path in
        ["README.md", "docs/operate.md", "etc/weir.toml", "systemd/weir.service", "packaging/sysusers.d/weir.conf"]
    {
        // Line by line: an unpaired mark must not swallow what follows.
        texts.extend(read(Path::new(path)).lines().map(|line| (path.into(), line.to_owned())));
    }
    texts
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (dirs, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.retain(|path| path.extension().is_some_and(|end| end == extension));
    files.extend(dirs.iter().flat_map(|dir| self::files(dir, extension)));
    files
}

/// The string literals of `tokens`, documentation included (clap prints it), but for those of `mod tests`.
fn literals(tokens: TokenStream, found: &mut impl FnMut(String)) {
    let mut in_tests = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => in_tests = ident == "tests",
            TokenTree::Group(group) if in_tests && group.delimiter() == Delimiter::Brace => in_tests = false,
            TokenTree::Group(group) => literals(group.stream(), found),
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse2::<syn::LitStr>(TokenTree::from(literal).into()) {
                    found(text.value());
                }
            }
            TokenTree::Punct(_) => {}
        }
    }
}

/// The commands that `text` names: what is quoted, and what stands by itself or where advice begins.
fn commands_in(text: &str) -> Vec<String> {
    static QUOTED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?:^|[\s(,;:])'([^'\n]+)'|`([^`\n]+)`").expect("an expression"));
    static BARE: LazyLock<Regex> = LazyLock::new(|| {
        let foreign = "chmod|chown|firewall-cmd|ip link|journalctl|mkdir|setfacl|setsebool|systemctl|ufw|usermod";
        let end = r"(?:[;,()]|\. | and | or | && |$)";
        Regex::new(&format!(r"(?:(?:^|\(|: |run |sudo |&& )(weir [a-z].*?)|(?:^|[ (])((?:{foreign}) .*?)){end}"))
            .expect("an expression")
    });
    let mut commands = Vec::new();
    for found in QUOTED.captures_iter(text) {
        let (message, code) = (found.get(1), found.get(2));
        let command = message.or(code).expect("one of the two").as_str();
        let program = command.trim_start_matches("sudo ").split(' ').next().unwrap_or_default();
        // `serf §4` is a page of docs/.
        let is_known = command.contains(' ')
            && !command.contains('§')
            && (program == "weir" || FOREIGN_PROGRAMS.contains(&program));
        if is_known || message.is_some() && command.contains(" -") {
            commands.push(command.to_owned());
        }
    }
    let rest = QUOTED.replace_all(text, " ");
    for found in BARE.captures_iter(&rest) {
        let command = found.get(1).or(found.get(2)).expect("one of the two").as_str().trim_end();
        if !command
            .strip_prefix("weir ")
            .is_some_and(|rest| PROSE.contains(&rest.split(' ').next().unwrap_or_default()))
        {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// Why `command` cannot be run as it stands.
fn problem(command: &str) -> Option<String> {
    static HOLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{[^}]*\}").expect("an expression"));
    // A shell's comments, and where output goes.
    static REST: LazyLock<Regex> = LazyLock::new(|| Regex::new(r" +(?:# .*|> *\S+)").expect("an expression"));
    let command = HOLE.replace_all(command, "1");
    let command = REST.replace_all(&command, "");
    command.split(" | ").flat_map(|part| part.split(" && ")).find_map(|part| {
        let part = part.strip_prefix("ssh HOST ").unwrap_or(part);
        let words: Vec<&str> = part.strip_prefix("sudo ").unwrap_or(part).split_whitespace().collect();
        match words.as_slice() {
            ["weir", ..] => weir(&words),
            ["1", "--help"] => None, // whatever was called, it can explain itself
            ["serf", name, ..] => (!is_command(name)).then(|| "serf has no such command".to_owned()),
            ["systemctl", verb] => systemctl(verb, "nginx"),
            ["systemctl", verb, unit] | ["systemctl", verb, "--now", unit] => systemctl(verb, unit),
            _ => {
                (!FOREIGN.iter().any(|known| matches(known, &words))).then(|| "not among the known commands".to_owned())
            }
        }
    })
}

/// Where a command is only named, it may go without what it needs.
fn weir(words: &[&str]) -> Option<String> {
    let error = definition().try_get_matches_from(words).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::MissingRequiredArgument => None,
        _ => Some(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

fn systemctl(verb: &str, unit: &str) -> Option<String> {
    let ours = || {
        let name = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
        // An instance of a template.
        let name = name.split_once('@').map_or(name.clone(), |(template, _)| format!("{template}@.service"));
        Path::new("systemd").join(name).exists()
    };
    if !VERBS.contains(&verb) {
        return Some(format!("systemctl has no {verb}"));
    }
    (unit != "1" && !UNITS.contains(&unit) && !ours()).then(|| format!("there is no unit {unit}"))
}

/// Whether `words` are those of `pattern`, in which `*` is anything.
fn matches(pattern: &str, words: &[&str]) -> bool {
    let pattern: Vec<&str> = pattern.split(' ').collect();
    let word = |(pattern, word): (&&str, &&str)| match pattern.split_once('*') {
        Some((before, after)) => word.starts_with(before) && word.ends_with(after),
        None => pattern == word,
    };
    pattern.len() == words.len() && pattern.iter().zip(words).all(word)
}

/// Whether `key` is a key or table of `schema`; a name of the user's own may be anything.
fn is_key(schema: &serde_json::Value, key: &str) -> bool {
    let Some((name, rest)) = key.split_once('.').map(|(name, rest)| (name, Some(rest))).or(Some((key, None))) else {
        return false;
    };
    let tables = std::iter::once(schema).chain(schema["anyOf"].as_array().into_iter().flatten());
    let mut inner = tables.filter_map(|table| table["properties"].get(name).or(table.get("additionalProperties")));
    inner.any(|inner| inner != false && rest.is_none_or(|rest| is_key(inner, rest)))
}
