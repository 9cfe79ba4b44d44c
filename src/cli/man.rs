//! `weir man`: the manual pages, written from the clap definition.

use std::path::{Path, PathBuf};

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::status::node::ServerState;

/// Print the manual page, or write all pages into a directory.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// Write weir.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let pages = pages();
        match &self.dir {
            Some(dir) => {
                for (name, text) in &pages {
                    write(&dir.join(name), text)?;
                }
            }
            None => output.text(&pages[0].1)?,
        }
        Ok(Exit::Done)
    }
}

/// File names and texts; `weir.1` first. Hidden commands have no page.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut root = without_help(super::args::definition());
    root.build();
    let mut out = Vec::new();
    collect(&root, &mut out);
    out
}

/// A page that named `weir-help(1)` would name none.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn collect(command: &clap::Command, out: &mut Vec<(String, String)>) {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).expect("writing to a vector cannot fail");
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    // What stands below the options is about exit codes alone.
    let mut text = String::from_utf8_lossy(&text).replace(".SH EXTRA", ".SH \"EXIT STATUS\"");
    for option in command.get_opts().filter(|option| option.get_long().is_none()) {
        let (Some(short), Some([value, ..])) = (option.get_short(), option.get_value_names()) else { continue };
        text = text.replace(&format!("[\\fB\\-{short} \\fR]"), &format!("[\\fB\\-{short}\\fR \\fI{value}\\fR]"));
    }
    text.push_str(&sections(name));
    out.push((format!("{name}.1"), text));
    for deeper in command.get_subcommands().filter(|deeper| !deeper.is_hide_set()) {
        collect(deeper, out);
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::of_file("write", path, &error))
}

/// What clap knows nothing of: words in the answers, files, and other pages.
fn sections(page: &str) -> String {
    let mut text = String::new();
    if ["weir-upstream", "weir-upstream-show", "weir-upstream-explain", "weir-explain", "weir-top"].contains(&page) {
        text.push_str(&list("STATES", STATES_INTRO, ServerState::ALL.map(|state| (state.as_str(), meaning(state)))));
        text.push_str(&list("REASONS", REASONS_INTRO, REASONS));
    }
    if ["weir-members", "weir-health", "weir-check", "weir-check-list"].contains(&page) {
        text.push_str(&list("HEALTH", HEALTH_INTRO, HEALTH));
    }
    if ["weir", "weir-agent", "weir-apply"].contains(&page) {
        text.push_str(&list("FILES", "", FILES));
    }
    text.push_str(&format!(".SH \"SEE ALSO\"\n{}\n", roff(&see_also(page).join(", "))));
    text
}

const STATES_INTRO: &str = "The column STATE says where a server of an upstream is:";
const REASONS_INTRO: &str = "Some words of the column WHY:";
const HEALTH_INTRO: &str = "What a member, or one of its checks, is said to be:";

/// Of a server in that state.
const fn meaning(state: ServerState) -> &'static str {
    match state {
        ServerState::In => "Requests go there. A backup gets them only when all others are unavailable.",
        ServerState::Down => "It gets no requests: it is ill, or its weight is 0.",
        ServerState::Warming => "It is new, and has not succeeded at a check or a probe yet.",
        ServerState::Draining => "It wants no new requests (weir-drain(1)), and gets none.",
        ServerState::Held => "An operator holds the upstream, and this server waits outside (weir-upstream-hold(1)).",
        ServerState::Flapping => {
            "It changed too often and is held down until its flap hold is over (upstream.NAME.policy.flap)."
        }
        ServerState::Gone => "It has left, or gossip and probe both say that it is dead.",
        ServerState::LeftOut => "It is selected and cannot be a server: the column WHY says what is wrong with it.",
    }
}

const REASONS: [(&str, &str); 7] = [
    (
        "kept in",
        "It is ill, and stays in all the same: with fewer than min_healthy in, those stay that were in (panic).",
    ),
    ("last good set", "Nobody is well: those stay in that were in when enough were well."),
    ("agent lost", "Its agent has failed, its service still answers this balancer: it stays in."),
    ("suspect", "Gossip doubts that its agent is alive; within seconds it answers, or has failed."),
    ("draining refused", "It wants no new requests, and too few others would be in: it keeps getting them."),
    ("flapping, needed all the same", "It changed too often, and too few others are in to hold it down."),
    ("no first success yet", "It is warming: it is in after its first success."),
];

const HEALTH: [(&str, &str); 7] = [
    ("passing", "Every check passes."),
    ("warning", "The worst check warns: by default half of its weight is left to it."),
    ("critical", "The worst check is critical: balancers take it out."),
    ("silent", "It has answered the query health before and does not any more."),
    ("wait", "A check of it has no result that counts yet."),
    ("none", "It has no checks."),
    (
        "-",
        "It has no checks, or nothing is known: a plain Serf agent says how it is only in its answers to the query health, \
         which a balancer asks of the members that its upstreams select.",
    ),
];

const FILES: [(&str, &str); 13] = [
    ("/etc/weir/weir.toml", "The configuration; /etc/weir/weir.d/*.toml follow it in the order of their names."),
    ("/usr/share/weir/weir.toml", "Every key at its default, with what it means."),
    ("/var/lib/weir/keyring.json", "The cluster's keys, the one that seals first. Only its owner may read it."),
    ("/var/lib/weir/keyring.json.state", "How far a rotation is, and how worn each key is."),
    (
        "/var/lib/weir/snapshot",
        "Members, clocks, tags that were set or deleted at run time, and a drain: what a restart goes on from.",
    ),
    (
        "/var/lib/weir-apply/",
        "Generations, the journal, promises, holds, and copies of files that weir took the place of.",
    ),
    ("/run/weir/rpc.sock", "Where commands reach the agent, for root and the group weir."),
    ("/run/weir-apply.sock", "Where the agent reaches the helper that alone changes NGINX's files."),
    (
        "/etc/nginx/conf.d/weir-NAME.conf",
        "The servers of upstream NAME; of TCP and UDP, /etc/nginx/stream.d/weir-NAME.conf.",
    ),
    ("/usr/share/weir/site.conf", "A site of NGINX's to begin with."),
    ("/usr/share/weir/haproxy.j2", "A template for HAProxy."),
    ("/usr/share/weir/health.sh", "Answers the query health where Serf's agent runs."),
    ("/usr/share/weir/drained.sh", "Answers the query weir-drained on a balancer where Serf's agent runs."),
];

/// Pages that belong together.
const RELATED: [&[&str]; 10] = [
    &["status", "doctor", "info"],
    &["members", "health", "reachability", "rtt"],
    &["check", "health"],
    &["upstream", "explain"],
    &["drain", "leave", "join", "force-leave"],
    &["keys", "keygen"],
    &["config", "reload", "agent"],
    &["agent", "apply"],
    &["event", "query", "monitor", "tags"],
    &["demo", "sim"],
];

/// The pages above it, those beside it, and of the first one other programs.
fn see_also(page: &str) -> Vec<String> {
    let of = |name: &str| format!("{name}(1)");
    let Some(path) = page.strip_prefix("weir-") else {
        let first = ["status", "doctor", "members", "upstream"].map(|name| of(&format!("weir-{name}")));
        let others = ["nginx(8)", "systemctl(1)", "journalctl(1)"].map(str::to_owned);
        return first.into_iter().chain(others).collect();
    };
    let related = RELATED.iter().filter(|group| group.contains(&path)).copied().flatten();
    let mut pages: Vec<String> = related.filter(|name| **name != path).map(|name| format!("weir-{name}")).collect();
    let above = page.rsplit_once('-').map(|(above, _)| above.to_owned());
    // `force-leave` is one word.
    pages.extend(above.filter(|above| above != "weir" && above != "weir-force"));
    pages.push("weir".to_owned());
    pages.sort();
    pages.dedup();
    pages.iter().map(|name| of(name)).collect()
}

/// A section with a paragraph for each word.
fn list(title: &str, intro: &str, words: impl IntoIterator<Item = (&'static str, &'static str)>) -> String {
    let mut text = format!(".SH \"{title}\"\n");
    if !intro.is_empty() {
        text.push_str(&format!("{}\n", roff(intro)));
    }
    for (word, meaning) in words {
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(word), roff(meaning)));
    }
    text
}

/// Text as roff takes it: no line of these begins with a dot or an apostrophe.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\*(Aq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_answers_and_the_files_are_explained_and_every_page_names_others_that_exist() {
        let pages = pages();
        let page = |name: &str| &pages.iter().find(|(page, _)| page == name).unwrap().1;
        for state in ServerState::ALL {
            assert!(page("weir-upstream-show.1").contains(&format!(".TP\n\\fB{}\\fR\n", state.as_str())), "{state}");
        }
        assert!(
            page("weir-explain.1").contains("\\fBkept in\\fR") && page("weir-upstream.1").contains(".SH \"STATES\"")
        );
        assert!(page("weir-members.1").contains("\\fB\\-\\fR\nIt has no checks"));
        assert!(!page("weir-members.1").contains("\\fBdraining\\fR"), "no answer has that health");
        assert!(page("weir-upstream-history.1").contains("[\\fB\\-n\\fR \\fICOUNT\\fR]"));
        assert!(page("weir.1").contains(".SH \"FILES\"\n.TP\n\\fB/etc/weir/weir.toml\\fR"));
        for (name, text) in &pages {
            let (_, see) = text.split_once(".SH \"SEE ALSO\"\n").unwrap_or_else(|| panic!("{name}"));
            let own = name.trim_end_matches(".1");
            for named in see.trim().split(", ").map(|named| named.replace("\\-", "-")) {
                let Some(other) = named.strip_suffix("(1)").filter(|other| other.starts_with("weir")) else { continue };
                assert!(other != own && pages.iter().any(|(page, _)| *page == format!("{other}.1")), "{name}: {named}");
            }
        }
    }

    #[test]
    fn every_visible_command_has_a_page_and_the_first_lists_the_exit_codes() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "weir.1");
        assert!(names.contains(&"weir-version.1") && !names.contains(&"weir-man.1"), "{names:?}");
        assert!(pages[0].1.contains(".SH \"EXIT STATUS\"") && pages.iter().all(|(_, text)| !text.contains("help(1)")));
        assert!(pages[0].1.contains("interrupted by you before the end"), "{}", pages[0].1);
    }
}
