//! Why the agent's unit does not start, as far as that can be known: by the look that the agent itself takes at its configuration, or else
//! by its own last words.

use std::path::Path;
use std::time::Duration;

use super::super::config::DEFAULT;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::facts;
use crate::agent::{authorities, hand};
use crate::command;
use crate::config::{self, SecretSource};
use crate::error::{Explain as _, Trouble, what};

/// systemd and its journal answer from memory and disk.
const PATIENCE: Duration = Duration::from_secs(5);
/// The exit code of an agent whose configuration is wrong.
const CONFIGURATION: &str = "5";
/// Before the sentence with which a command ends.
const MARK: &str = "error: ";
/// Lines that may follow it.
const LINES: &str = "--lines=20";

/// What is known of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// The configuration cannot be used, by our own look at it.
    Configuration(Trouble),
    /// The agent's last words, as they stand in the journal.
    Said(String),
    /// How systemd calls it.
    Result(String),
}

/// What systemd knows of the last run.
#[derive(Debug, Default, Eq, PartialEq)]
struct LastRun {
    status: String,
    result: String,
    invocation: String,
}

impl LastRun {
    fn ask() -> Self {
        let show = ["show", "--property=ExecMainStatus,Result,InvocationID", "--", "weir.service"];
        Self::parse(&said("systemctl", &show))
    }

    /// Lines of `KEY=VALUE`.
    fn parse(text: &str) -> Self {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let owned = |key| value(key).unwrap_or_default().to_owned();
        Self { status: owned("ExecMainStatus"), result: owned("Result"), invocation: owned("InvocationID") }
    }
}

impl Reason {
    /// Of a start that has failed just now. Blocks.
    pub(super) fn of_start() -> Self {
        let last = LastRun::ask();
        let is_configuration = last.status == CONFIGURATION;
        let mistake = is_configuration.then(|| mistake(Path::new(DEFAULT))).flatten();
        match (mistake, last_words(&last.invocation)) {
            (Some(mistake), _) => Self::Configuration(mistake),
            (None, Some(words)) => Self::Said(words),
            (None, None) => Self::Result(last.result),
        }
    }

    /// Of a reload, which the unit refuses for its configuration alone. Blocks.
    pub(super) fn of_reload() -> Self {
        mistake(Path::new(DEFAULT)).map_or_else(|| Self::Result(LastRun::ask().result), Self::Configuration)
    }

    /// `what` is the sentence about what has failed.
    pub(super) fn failure(&self, what: &str) -> Failure {
        let failed = |why: &str| Failure::new(Exit::Failed, format!("{what}{why}"));
        match self {
            Self::Configuration(Trouble { what, way_out }) if way_out.is_empty() => {
                failed(&format!(": {what}")).with_remedy("correct that, then again")
            }
            Self::Configuration(Trouble { what, way_out }) => failed(&format!(": {what}")).with_remedy(way_out.clone()),
            Self::Said(words) => failed(&format!("; its last words are: {words}"))
                .with_remedy("see to that, then again; 'journalctl -u weir' has what it said before"),
            Self::Result(result) => failed(&format!(" ({result}, says systemd)"))
                .with_remedy("'systemctl status weir' and 'journalctl -u weir' say more"),
        }
    }
}

/// The first thing for which an agent gives up on this configuration.
fn mistake(path: &Path) -> Option<Trouble> {
    let loaded = match config::load(&facts::sources(path)).and_then(authorities::examined) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let first = errors.mistakes().first()?;
            return Some(Trouble::new(format!("{}: {}", first.at, first.trouble.what), first.trouble.way_out.clone()));
        }
    };
    // What the unit brings along is not seen from here.
    let source = loaded.config.encryption.keyring.filter(|source| matches!(source, SecretSource::File(_)))?;
    let error = hand::read(&source).err()?;
    Some(Trouble::new(what(&error), error.remedy().unwrap_or_default()))
}

fn last_words(invocation: &str) -> Option<String> {
    if invocation.is_empty() {
        return None;
    }
    // What was said just now may be on its way there.
    said("journalctl", &["--sync"]);
    let of_run = format!("_SYSTEMD_INVOCATION_ID={invocation}");
    words_in(&said("journalctl", &["--quiet", "--no-pager", "--output=cat", LINES, &of_run]))
}

/// The last sentence with which a command has ended, or else the last line.
fn words_in(journal: &str) -> Option<String> {
    let lines = || journal.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    lines().find_map(|line| line.strip_prefix(MARK)).or_else(|| lines().next()).map(ToOwned::to_owned)
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = command::clean(Path::new(program));
    command.args(arguments);
    command::run(command, PATIENCE, "").map(|ran| ran.stdout).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_would_give_up_for_is_found_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ring) = (dir.path().join("weir.toml"), dir.path().join("k.json"));
        let found = |text: &str| {
            std::fs::write(&path, text).unwrap();
            mistake(&path)
        };
        let keyed = format!("encryption.keyring = {:?}\n", ring.display().to_string());
        assert_eq!(found(&keyed).map(|trouble| trouble.what), Some(format!("no keyring at {}", ring.display())));
        let Some(Trouble { what, way_out }) = found("log.levl = \"debug\"\n") else { panic!("it is unknown") };
        assert_eq!(what, format!("{}:1:5: unknown key 'log.levl'", path.display()));
        assert_eq!(way_out, "did you mean 'level'?");
        let key = crate::crypto::Key::new(&[7; 32]).unwrap();
        hand::import(&ring, &key, false).unwrap();
        assert_eq!(found(&keyed), None);
        assert_eq!(found("encryption.keyring = \"credential:ring\"\n"), None, "it is the unit's");
    }

    #[test]
    fn a_failure_is_told_with_what_is_known_of_it() {
        let journal = "starting node=web1\nerror: cannot bind 0.0.0.0:7946/tcp: in use by x; stop it\nbye\n";
        assert_eq!(words_in(journal).as_deref(), Some("cannot bind 0.0.0.0:7946/tcp: in use by x; stop it"));
        assert_eq!(words_in("one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(words_in("\n"), None);
        let last = LastRun::parse("Result=exit-code\nExecMainStatus=5\nInvocationID=0123\n");
        assert_eq!(
            (last.status.as_str(), last.result.as_str(), last.invocation.as_str()),
            (CONFIGURATION, "exit-code", "0123")
        );
        let told = |reason: Reason| reason.failure("weir.service did not start").sentence();
        assert_eq!(
            told(Reason::Configuration(Trouble::new("no keyring at /x", "run 'weir init'"))),
            "weir.service did not start: no keyring at /x; run 'weir init'"
        );
        assert_eq!(
            told(Reason::Said("cannot bind".into())),
            "weir.service did not start; its last words are: cannot bind; see to that, then again; 'journalctl -u weir' has \
             what it said before"
        );
        assert_eq!(
            told(Reason::Result("timeout".into())),
            "weir.service did not start (timeout, says systemd); 'systemctl status weir' and 'journalctl -u weir' say more"
        );
    }
}
