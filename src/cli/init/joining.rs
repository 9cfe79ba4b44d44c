//! What a server that joins a cluster does beside its plan: it proves the way to a member, finds its web server, asks for the key, and
//! waits until it truly works.

use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::Path;

use tokio::time::{Instant, timeout};

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::ask::Terminal;
use super::change::Change;
use super::firewall::Needs;
use super::guard::{Application, UnitCheck};
use super::port::{self, Check, Choice, Listener, Ports};
use super::tell::Story;
use super::wanted::Wanted;
use super::words::two;
use super::{Kind, key, serving};
use crate::config::{Config, GOSSIP_PORT};
use crate::rpc::weir::NodeStatus;

/// An agent that was found running answers from memory.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

/// The web server of this host, as its configuration is to have it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Web {
    pub(super) port: u16,
    /// Who is there now.
    pub(super) listener: Option<Listener>,
    /// A check of the application, with its name.
    pub(super) unit: Option<UnitCheck>,
    /// It is installed and is to be started.
    pub(super) start: Option<Change>,
}

impl Web {
    /// Finds it; where that is not clear, asks whoever can be asked. `command` is what was typed.
    pub(super) fn find(wanted: &Wanted, command: &str) -> Result<Self, Failure> {
        let choice = Ports::look(wanted.port).choose(wanted.port);
        let (port, listener, start) = match &choice {
            Choice::Port(port, listener) => (*port, listener.clone(), None),
            Choice::Stopped(program, unit) => (80, None, Some(start(program, unit))),
            Choice::Several(listeners) => {
                let Some(mut terminal) = Terminal::open() else { return Err(unknown(&choice, command)) };
                let chosen = &listeners[terminal.choose(&port::question(listeners), listeners.len())?];
                (chosen.port, Some(chosen.clone()), None)
            }
            Choice::Hidden(_) | Choice::Nothing => return Err(unknown(&choice, command)),
        };
        let of_unit = listener.as_ref().and_then(|listener| listener.unit.as_deref());
        let unit = wanted.unit.as_ref().and_then(|application| application.check(of_unit));
        Ok(Self { port, listener, unit, start })
    }

    /// What is worth knowing about it.
    pub(super) fn notices(&self) -> Vec<String> {
        port::notices(self.port, self.listener.as_ref())
    }

    pub(super) fn check(&self) -> Check {
        port::check(self.port, self.listener.as_ref())
    }
}

fn start(program: &str, unit: &str) -> Change {
    Change::new(program, "started, and enabled at boot", &[&["systemctl", "enable", "--now", unit]])
}

/// A web server that is installed and does not run, where one was found before. `config` is of this server. Blocks.
pub(super) fn stopped(config: &Config) -> Option<Change> {
    // On another port it was something else.
    if config.node.tags.get("port").is_some_and(|port| port != "80") {
        return None;
    }
    match Ports::look(None).choose(None) {
        Choice::Stopped(program, unit) => Some(start(program, unit)),
        Choice::Port(..) | Choice::Several(_) | Choice::Hidden(_) | Choice::Nothing => None,
    }
}

/// Nobody can be asked.
fn unknown(choice: &Choice, command: &str) -> Failure {
    port::unknown(choice, command).unwrap_or_else(|| Failure::usage("the port is not known").with_remedy("give --port"))
}

/// What has to get in here: on a web server its site for balancers, on a balancer everybody's. `config` is the one that is there.
pub(super) fn needs(kind: Kind, web: Option<&Web>, has_site: bool, config: Option<&Config>) -> Needs {
    let gossip = config.map_or(GOSSIP_PORT, |config| config.gossip.bind.port);
    let tagged = config.and_then(|config| config.node.tags.get("port")).and_then(|port| port.parse().ok());
    let site = match kind {
        Kind::Web => Some(web.map(|web| web.port).or(tagged).unwrap_or(80)),
        Kind::Balancer => has_site.then_some(80),
    };
    Needs { gossip, site, balances: kind == Kind::Balancer }
}

/// The cluster's key, from where it was said.
pub(super) async fn key(key_file: Option<&Path>, output: &Output) -> Result<crate::crypto::Key, Failure> {
    key::Source::of(key_file, std::io::stdin().is_terminal()).read(output).await
}

/// The one in a file, beforehand. What is typed or piped is left to the run after it.
pub(super) async fn key_of_file(
    key_file: Option<&Path>,
    output: &Output,
) -> Result<Option<crate::crypto::Key>, Failure> {
    match key::Source::of(key_file, true) {
        file @ key::Source::File(_) => file.read(output).await.map(Some),
        key::Source::Prompt | key::Source::Input => Ok(None),
    }
}

/// Whether the agent that runs here has joined nobody for want of the cluster's key. One that says nothing has not said that.
pub(super) async fn is_key_in_doubt(output: &Output) -> bool {
    let Ok(mut session) = Session::open(&AgentArgs::default(), &output.silent()).await else { return false };
    let document = timeout(PATIENCE, session.weir(&NodeStatus { members: false })).await;
    document.is_ok_and(|answered| answered.is_ok_and(|document| key::is_in_doubt(&document)))
}

/// Waits until this server is a member whom the balancers reach, and of a web server until requests come. Each line is told as soon as
/// it is true.
pub(super) async fn wait(
    kind: Kind,
    agent: &AgentArgs,
    (way_in, started): (&str, Option<Instant>),
    (former, application): (Option<IpAddr>, Option<&Application>),
    story: &mut Story<'_>,
    output: &Output,
) -> Result<(), Failure> {
    let mut joined = serving::joined(agent, output, way_in, started).await?;
    joined.former = former;
    let ways = joined.ways(agent, output).await?;
    output.progress("");
    story.line(&two("joined", &joined.words(&ways)))?;
    if let Some(silence) = ways.silence() {
        return Err(silence);
    }
    // What balancers say while its check has not failed often enough does not last.
    if let Some(application) = application.cloned()
        && let Some(idle) = super::blocking(move || application.idle()).await?
    {
        return Err(idle);
    }
    if kind == Kind::Web {
        let served = joined.served(agent, output).await?;
        for by in &served.by {
            story.line(&two("serving", &by.words(&joined.name)))?;
        }
        tell(served.troubles, served.by.is_empty(), output)?;
    }
    ways.closed().map_or(Ok(()), Err)
}

/// Where requests come from one balancer, what is in the way of another is for its operator to see.
fn tell(troubles: Vec<Failure>, is_unserved: bool, output: &Output) -> Result<(), Failure> {
    let mut troubles = troubles.into_iter();
    let first = troubles.next();
    troubles.for_each(|trouble| output.detail(&trouble.to_text()));
    match first {
        None => Ok(()),
        Some(trouble) if is_unserved => Err(trouble),
        Some(trouble) => {
            let failure = Failure::new(Exit::Attention, trouble.message().to_owned());
            Err(match trouble.remedy() {
                Some(remedy) => failure.with_remedy(remedy.to_owned()),
                None => failure,
            })
        }
    }
}
