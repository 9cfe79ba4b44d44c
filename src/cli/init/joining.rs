//! What a server that joins a cluster does beside its plan: it proves the way to a member, finds its web server, asks for the key, and
//! waits until it truly works.

use std::path::Path;

use tokio::time::timeout;

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::ask::Terminal;
use super::change::Change;
use super::facts::{Facts, Found};
use super::firewall::{Needs, Walls};
use super::guard::Application;
use super::port::{self, Check, Choice, Listener, Ports};
use super::wanted::Wanted;
use super::words::two;
use super::{Kind, guard, key, serving};
use crate::config::{Config, GOSSIP_PORT, JoinAddress};
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
    pub(super) unit: Option<(String, String)>,
    /// It is installed and is to be started.
    pub(super) start: Option<Change>,
}

impl Web {
    /// Finds it; where that is not clear, asks whoever can be asked. `command` is what was typed.
    pub(super) fn find(wanted: &Wanted, application: Option<&Application>, command: &str) -> Result<Self, Failure> {
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
        let unit = application.and_then(|application| application.check(of_unit));
        Ok(Self { port, listener, unit, start })
    }

    /// The same once it was started.
    pub(super) fn again(self) -> Self {
        let Choice::Port(_, listener) = Ports::look(Some(self.port)).choose(Some(self.port)) else { return self };
        Self { listener, ..self }
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
    Change::new(program, "starts it, now and at boot", &[&["systemctl", "enable", "--now", unit]])
}

/// Nobody can be asked.
fn unknown(choice: &Choice, command: &str) -> Failure {
    port::unknown(choice, command).unwrap_or_else(|| Failure::usage("the port is not known").with_remedy("give --port"))
}

/// What has to be changed of other software.
pub(super) fn changes(kind: Kind, web: Option<&Web>, facts: &Facts) -> Vec<Change> {
    let config = match &facts.configuration {
        Found::Read(loaded) => Some(&loaded.config),
        Found::Missing | Found::Wrong(_) => None,
    };
    let start = web.and_then(|web| web.start.clone());
    start.into_iter().chain(Walls::look().openings(needs(kind, web, config))).collect()
}

/// What has to get in here: on a web server its site for balancers, on a balancer everybody's. `config` is the one that is there.
fn needs(kind: Kind, web: Option<&Web>, config: Option<&Config>) -> Needs {
    let gossip = config.map_or(GOSSIP_PORT, |config| config.gossip.bind.port);
    let tagged = config.and_then(|config| config.node.tags.get("port")).and_then(|port| port.parse().ok());
    let site = match kind {
        Kind::Web => Some(web.map(|web| web.port).or(tagged).unwrap_or(80)),
        // Where its site listens is an operator's own once it is set up.
        Kind::Balancer => config.is_none().then_some(80),
    };
    Needs { gossip, site, balances: kind == Kind::Balancer }
}

/// Lists them.
pub(super) fn list(changes: &[Change], output: &Output) -> Result<(), Failure> {
    let lines: Vec<String> =
        changes.iter().map(|Change { subject, why, .. }| format!("  + {subject:<12} {why}\n")).collect();
    if lines.is_empty() { Ok(()) } else { output.text(&format!("These change other software:\n{}", lines.concat())) }
}

/// Makes them where somebody agrees. What is left undone is printed as commands.
pub(super) fn change(changes: &[Change], yes: bool, output: &Output) -> Result<(), Failure> {
    if changes.is_empty() {
        return Ok(());
    }
    list(changes, output)?;
    let agrees = yes || Terminal::open().map(|mut terminal| terminal.agrees("do it")).transpose()?.unwrap_or(false);
    if agrees {
        return changes.iter().try_for_each(Change::make);
    }
    output.text("left undone; as root:\n")?;
    changes.iter().flat_map(Change::typed).try_for_each(|typed| output.text(&format!("    {typed}\n")))
}

/// The cluster's key, from where it was said.
pub(super) async fn key(key_file: Option<&Path>, output: &Output) -> Result<crate::crypto::Key, Failure> {
    key::Source::of(key_file).read(output).await
}

/// Whether the agent that runs here has joined nobody for want of the cluster's key. One that says nothing has not said that.
pub(super) async fn is_key_in_doubt(output: &Output) -> bool {
    let Ok(mut session) = Session::open(&AgentArgs::default(), &output.silent()).await else { return false };
    let document = timeout(PATIENCE, session.weir(&NodeStatus { members: false })).await;
    document.is_ok_and(|answered| answered.is_ok_and(|document| key::is_in_doubt(&document)))
}

/// The guard of an application: what it is for, and what has to be done.
pub(super) struct Guarded {
    pub(super) application: Application,
    steps: guard::Steps,
}

impl Guarded {
    pub(super) fn look(unit: &str) -> Result<Self, Failure> {
        let application = Application::named(unit)?;
        let steps = application.steps(application.look()?)?;
        Ok(Self { application, steps })
    }

    pub(super) fn put_in_place(&self, output: &Output) -> Result<(), Failure> {
        self.application.put_in_place(&self.steps)?;
        output.text(&self.line())
    }

    pub(super) fn line(&self) -> String {
        two(if self.steps.is_empty() { "kept" } else { "guard" }, &self.application.words())
    }
}

/// Waits until this server is a member whom the balancers reach, and of a web server until requests come.
pub(super) async fn wait(kind: Kind, join: &JoinAddress, output: &Output) -> Result<(), Failure> {
    let agent = AgentArgs::default();
    let again = format!("sudo weir init {} --join {}", kind.as_str(), super::wanted::shown(join));
    let mut joined = serving::joined(&agent, output, &again).await?;
    let ways = joined.ways(&agent, output).await?;
    output.text(&two("joined", &joined.words(&ways)))?;
    if let Some(silence) = ways.silence() {
        return Err(silence);
    }
    if kind == Kind::Web {
        let served = joined.served(&agent, output).await?;
        for by in &served.by {
            output.text(&two("serving", &by.words(&joined.name)))?;
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
        Some(trouble) => Err(Failure::new(Exit::Attention, trouble.message().to_owned())
            .with_remedy(trouble.remedy().unwrap_or_default().to_owned())),
    }
}
