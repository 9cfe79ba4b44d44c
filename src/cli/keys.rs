//! `weir keys`: the cluster's keys, on every member at once.
//!
//! Keys are named by their identifier; key material comes from a file or a hidden prompt. Serf's flags (`-install=KEY`)
//! work, too, and say that others can read them.

mod hand;
mod lockout;
mod rotate;
mod status;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::session::{KeyReply, Session};
use super::table::{Layout, Table};
use crate::crypto::Key;

/// List or change the cluster's keys.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    serf: SerfFlags,
    #[command(flatten)]
    agent: AgentArgs,
}

/// Serf's way to say the same.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct SerfFlags {
    /// Serf's spelling of `list`
    #[arg(long)]
    list: bool,
    /// Serf's spelling of `install`; others can see the key in the process list
    #[arg(long, value_name = "KEY")]
    install: Option<String>,
    /// Serf's spelling of `use`
    #[arg(long = "use", value_name = "KEY")]
    use_key: Option<String>,
    /// Serf's spelling of `remove`
    #[arg(long, value_name = "KEY")]
    remove: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the keys and how many members hold each
    List {
        /// Name the columns also in a pipe
        #[arg(long)]
        header: bool,
        #[command(flatten)]
        agent: AgentArgs,
    },
    /// Make every member hold a key
    Install {
        /// Read the key from this file; standard input (-), the default, is a hidden prompt on a terminal
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        agent: AgentArgs,
    },
    /// Make every member seal with a key that it holds
    Use {
        /// The key's identifier, as `keys list` shows it
        key: String,
        #[command(flatten)]
        agent: AgentArgs,
    },
    /// Make every member forget a key
    Remove {
        /// The key's identifier, as `keys list` shows it
        key: String,
        /// Lock this member out, which has no other key; repeatable
        #[arg(long, value_name = "NAME")]
        force: Vec<String>,
        #[command(flatten)]
        agent: AgentArgs,
    },
    Status(status::KeysStatus),
    Rotate(rotate::Rotate),
    Export(hand::Export),
    Import(hand::Import),
}

/// One key, as JSON shows it. Material is never shown.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Held {
    pub(crate) id: String,
    /// Members that hold it.
    pub(crate) held_by: u64,
    /// Members that were asked.
    pub(crate) members: u64,
    /// Members that seal with it; `None` if the agent does not say, as Serf's.
    pub(crate) primary_on: Option<usize>,
    /// Share of its safe use in memberlist's envelope that is behind it.
    pub(crate) used: Option<f64>,
}

/// A change that is asked of every member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Install,
    Use,
    Remove,
}

impl Change {
    /// `installed on 3 members`.
    const fn done(self) -> &'static str {
        match self {
            Self::Install => "installed on",
            Self::Use => "seals on",
            Self::Remove => "removed from",
        }
    }
}

impl Keys {
    /// Whether only an interrupt ends it.
    pub(crate) const fn is_endless(&self) -> bool {
        matches!(&self.action, Some(Action::Status(status)) if status.watch.is_some())
    }

    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.action {
            Some(Action::List { header, agent }) => list(agent, *header, output).await,
            Some(Action::Install { file, agent }) => {
                let key = material(file.as_deref())?;
                change(Change::Install, &key, agent, output).await
            }
            Some(Action::Use { key, agent }) => change(Change::Use, key, agent, output).await,
            Some(Action::Remove { key, force, agent }) => remove(key, force, agent, output).await,
            Some(Action::Status(status)) => status.run(output).await,
            Some(Action::Rotate(rotate)) => rotate.run(output).await,
            Some(Action::Export(export)) => export.run(output),
            Some(Action::Import(import)) => import.run(output).await,
            None => self.run_as_serf(output).await,
        }
    }

    async fn run_as_serf(&self, output: &Output) -> Result<Exit, Failure> {
        let SerfFlags { list: _, install, use_key, remove: removed } = &self.serf;
        if let Some(key) = install {
            output.notice("notice: others can read a key on the command line; use 'weir keys install --file FILE'");
            return change(Change::Install, key, &self.agent, output).await;
        }
        if let Some(key) = use_key {
            return change(Change::Use, key, &self.agent, output).await;
        }
        if let Some(key) = removed {
            return remove(key, &[], &self.agent, output).await;
        }
        list(&self.agent, false, output).await
    }
}

async fn list(agent: &AgentArgs, header: bool, output: &Output) -> Result<Exit, Failure> {
    let mut session = Session::open(agent, output).await?;
    let report = session.list_keys().await?;
    if let Some(failure) = failure(&report) {
        return Err(failure);
    }
    let mut keys = held(&report);
    add_use(&mut keys, &mut session).await;
    if output.is_json() {
        output.json(&json!({ "keys": keys }))?;
    } else {
        output.text(&render(&keys, output.layout(header, true)))?;
    }
    Ok(Exit::Done)
}

/// Adds what only an agent of ours knows.
async fn add_use(keys: &mut [Held], session: &mut Session) {
    let Ok(status) = status::fetch(session).await else { return };
    for key in keys {
        let known = status.keys.iter().find(|known| known.id == key.id);
        (key.primary_on, key.used) = known.map(|known| (known.primary_on, known.worn)).unzip();
    }
}

async fn change(change: Change, name: &str, agent: &AgentArgs, output: &Output) -> Result<Exit, Failure> {
    let mut session = Session::open(agent, output).await?;
    let key = resolve(&mut session, change, name).await?;
    carry_out(change, &key, &mut session, output).await
}

/// Refused while it would lock somebody out; a Serf agent cannot tell.
async fn remove(name: &str, force: &[String], agent: &AgentArgs, output: &Output) -> Result<Exit, Failure> {
    let mut session = Session::open(agent, output).await?;
    let key = resolve(&mut session, Change::Remove, name).await?;
    if let Ok(status) = status::fetch(&mut session).await {
        let locked_out = lockout::check(&status, &key.id().to_string(), force)?;
        if !locked_out.is_empty() {
            output
                .notice(&format!("notice: this locks out {}; 'weir keys import' lets in again", locked_out.join(", ")));
        }
    }
    carry_out(Change::Remove, &key, &mut session, output).await
}

async fn carry_out(change: Change, key: &Key, session: &mut Session, output: &Output) -> Result<Exit, Failure> {
    let report = session.change_key(change, &key.to_base64()).await?;
    if let Some(failure) = failure(&report) {
        return Err(failure);
    }
    if output.is_json() {
        output.json(&json!({ "id": key.id().to_string(), "members": report.response.nodes }))?;
    } else {
        output.text(&format!("{} {} {} members\n", key.id(), change.done(), report.response.nodes))?;
    }
    Ok(Exit::Done)
}

/// A key from its material or, where members hold it already, from its identifier.
async fn resolve(session: &mut Session, change: Change, name: &str) -> Result<Key, Failure> {
    let parsed = Key::from_base64(name);
    let is_identifier = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match parsed {
        Ok(key) => return Ok(key),
        Err(error) if change == Change::Install => {
            return Err(Failure::usage(error.to_string()).with_remedy("'weir keygen' makes one"));
        }
        Err(_) if !is_identifier => {
            return Err(Failure::usage(format!("'{name}' is neither the identifier of a key nor a key"))
                .with_remedy("'weir keys list' shows identifiers"));
        }
        Err(_) => {}
    }
    let report = session.list_keys().await?;
    let keys: Vec<Key> =
        report.response.keys.iter().flatten().filter_map(|(text, _)| Key::from_base64(text).ok()).collect();
    let wanted = name.to_ascii_lowercase();
    let mut ids: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
    ids.sort();
    keys.into_iter().find(|key| key.id().to_string() == wanted).ok_or_else(|| {
        Failure::new(Exit::Failed, format!("no member holds a key {name}"))
            .with_remedy(format!("they hold {}", ids.join(", ")))
    })
}

/// More than any key and the blanks around it.
const MAX_KEY: usize = 4096;

/// Reads a key from a file, or from standard input: with a prompt if that is a terminal.
fn material(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    let text = match file {
        None if std::io::stdin().is_terminal() => super::prompt::secret("cluster key", "give it with --file FILE")?,
        None => read(Path::new("-"))?,
        Some(path) => read(path)?,
    };
    let key = text.trim();
    if key.is_empty() {
        return Err(Failure::usage("there is no key in what was given")
            .with_remedy("give it with --file FILE, or on standard input"));
    }
    Ok(Zeroizing::new(key.to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = crate::file::read_argument(path, MAX_KEY).map(Zeroizing::new);
    let text = bytes.and_then(|bytes| Ok(Zeroizing::new(crate::file::utf8(&bytes)?.to_owned())));
    text.map_err(|error| Failure::of_file("read", path, &error))
}

/// The keys by identifier. What is no key by our rules is shown as it came, since members hold it.
fn held(report: &KeyReply) -> Vec<Held> {
    let mut keys: Vec<Held> = report
        .response
        .keys
        .iter()
        .flatten()
        .map(|(text, count)| Held {
            id: Key::from_base64(text).map_or_else(|_| "invalid".to_owned(), |key| key.id().to_string()),
            held_by: *count,
            members: report.response.nodes.into(),
            primary_on: None,
            used: None,
        })
        .collect();
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    keys
}

/// The table of `weir keys list`.
pub(crate) fn render(keys: &[Held], layout: Layout) -> String {
    let mut table = Table::new(&["KEY", "PRIMARY", "MEMBERS", "USED"]);
    for key in keys {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        table.row([
            key.id.clone(),
            or_dash(key.primary_on.map(|count| format!("{count} of {}", key.members))),
            format!("{} of {}", key.held_by, key.members),
            or_dash(key.used.map(|share| format!("{:.2} %", share * 100.0))),
        ]);
    }
    table.render(layout, |_, text| text.to_owned())
}

/// Why not every member did as it was told, if so.
fn failure(report: &KeyReply) -> Option<Failure> {
    let error = report.error.as_ref()?;
    let reasons = reasons(&report.response.messages);
    if report.response.messages.is_empty() && report.response.responses < report.response.nodes {
        let silent = report.response.nodes - report.response.responses;
        return Some(
            Failure::new(
                Exit::Incomplete,
                format!("{silent} of {} members did not answer in time", report.response.nodes),
            )
            .with_remedy("run it again; see 'weir members' for who is away"),
        );
    }
    let what = if reasons.is_empty() { error.what.clone() } else { format!("{}: {reasons}", error.what) };
    Some(Failure::new(Exit::Failed, what))
}

/// What members said, those of the same words together.
fn reasons(messages: &BTreeMap<String, String>) -> String {
    let mut by_text: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (member, text) in messages {
        by_text.entry(text).or_default().push(member);
    }
    let parts: Vec<String> = by_text.iter().map(|(text, members)| format!("{}: {text}", members.join(", "))).collect();
    parts.join("; ")
}
