//! `weir init`: configures this server, starts it and waits until it truly works (`ux §2.2`, `ux §3.1`, `ux §5`).
//!
//! [`facts`] looks at the host, [`plan`] decides without touching anything, [`carry`] does it, [`words`] says it. So a dry run,
//! a second run and the commands for what is left undone all come out of one plan.
//!
//! A run may end at any moment: files are exchanged whole, the configuration is written last of ours, and NGINX is never left with
//! a configuration that it would not load. The next run goes on from what it finds.

mod ask;
mod carry;
mod change;
mod document;
mod existing;
mod facts;
mod firewall;
mod guard;
mod joining;
mod key;
mod peer;
mod plan;
mod port;
mod serving;
mod units;
mod wanted;
mod words;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::ValueEnum;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use ask::Terminal;
use facts::{Facts, Found};
use joining::{Guarded, Web};
use plan::{Action, Answers, Plan, RingKey, State};
use wanted::Wanted;

use crate::agent::reach::Peer;
use crate::crypto::Key;

/// Configure this server as a balancer or as a web server, start it, and wait until it truly works.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run again, it changes nothing that is right and repairs what is not. What touches other software \
                        (NGINX's site, starting it, a firewall) is listed and waits for one Enter, or --yes; with neither it \
                        is left undone and printed as commands."
)]
pub(crate) struct Init {
    /// What this server is to be: lb, a balancer, or web, a web server
    #[arg(value_name = "lb|web", hide_possible_values = true)]
    kind: Kind,
    /// A member of the cluster to join: HOST or HOST:PORT; a web server needs one, the first balancer does not
    #[arg(long, value_name = "ADDRESS")]
    join: Option<String>,
    /// File that holds the cluster key, - for standard input; otherwise it is asked for, hidden
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// This node's name; the host name up to the first dot unless given
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The address that the other servers reach; asked for where there are several private ones
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The port that this server's web server listens on; found where there is one (web)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The value of the tag role; lb or web unless given
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// A tag of this node; repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// The name of the upstream that is balanced; web unless given (lb)
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// The unit of the application behind this web server: weir drains before it stops (web)
    #[arg(long, value_name = "APP.service")]
    unit: Option<String>,
    /// Whether to put a site on port 80: auto, where only the distribution's welcome page is, yes or no (lb)
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    site: Site,
    /// Also do what touches other software, without asking
    #[arg(long)]
    yes: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the configuration anew where there is another; the old one is kept beside it
    #[arg(long)]
    force: bool,
}

/// What a server is to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Kind {
    /// A balancer.
    #[value(name = "lb")]
    Balancer,
    /// A web server.
    #[value(name = "web")]
    Web,
}

impl Kind {
    /// As it is typed; also the role where none is given.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Balancer => "lb",
            Self::Web => "web",
        }
    }
}

/// Whether a balancer gets a site.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Site {
    /// Where port 80 has only the distribution's untouched welcome page, or nothing.
    #[default]
    Auto,
    /// Also in place of a welcome page that was edited.
    Yes,
    /// Not at all.
    No,
}

impl Init {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let wanted = Wanted::of(self)?;
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new(Exit::NotPermitted, "weir init writes this server's configuration")
                .with_remedy(format!("sudo weir init {}", self.kind.as_str())));
        }
        let mut facts = Facts::look();
        let guarded = self.unit.as_deref().map(Guarded::look).transpose()?;
        let is_in_doubt = wanted.join.is_some() && facts.units.agent_runs() && joining::is_key_in_doubt(output).await;
        if is_in_doubt {
            facts.ring = facts::Ring::Missing;
        }
        let is_new = !matches!(facts.configuration, Found::Read(_)) || wanted.force;
        let mut peer = None;
        if let Some(join) = wanted.join.as_ref().filter(|_| is_new || facts.ring == facts::Ring::Missing) {
            let proven = peer::prove(join, output).await?;
            output.text(&words::two("peer", &peer::words(proven)))?;
            peer = Some(proven);
        }
        let application = guarded.as_ref().map(|guarded| &guarded.application);
        let find = || Web::find(&wanted, application, &self.command());
        let mut answers = Answers {
            address: self.address(&wanted, &facts, peer)?,
            web: (is_new && self.kind == Kind::Web && wanted.join.is_some()).then(find).transpose()?,
        };
        let make = |answers: &Answers| {
            Plan::make(&wanted, &facts, answers).map_err(|refused| words::refused(&refused, &self.command(), output))
        };
        let mut plan = make(&answers)?;
        let changes = joining::changes(self.kind, answers.web.as_ref(), &facts);
        if self.dry_run {
            for step in &plan.steps {
                output.text(&words::line(step, words::Tense::Future))?;
            }
            guarded.map_or(Ok(()), |guarded| output.text(&guarded.line()))?;
            joining::list(&changes, output)?;
            return Ok(Exit::Done);
        }
        let key = match plan.steps.iter().find_map(|step| step.key()) {
            Some(RingKey::Cluster) => Some(joining::key(self.key_file.as_deref(), output).await?),
            Some(RingKey::New | RingKey::Held(_) | RingKey::None) | None => None,
        };
        joining::change(&changes, self.yes, output)?;
        // Whoever was started has a name, and answers.
        if let Some(started) = answers.web.take_if(|web| web.start.is_some()) {
            answers.web = Some(started.again());
            plan = make(&answers)?;
        }
        if let Some(key) = key.as_ref().filter(|_| is_in_doubt) {
            carry::forget(&facts.ring_path, key)?;
        }
        carry_out(&plan, &facts, key.as_ref(), output)?;
        if let Some(guarded) = guarded {
            guarded.put_in_place(output)?;
        }
        if let Some(web) = &answers.web {
            web.notices().iter().for_each(|text| output.notice(&format!("notice: {text}")));
        }
        if let Some(join) = &wanted.join {
            joining::wait(self.kind, join, output).await?;
        }
        Ok(Exit::Done)
    }

    /// Whoever joins is reached where it comes from. Otherwise asks where the choice is not ours and somebody can be asked.
    fn address(&self, wanted: &Wanted, facts: &Facts, peer: Option<Peer>) -> Result<Option<IpAddr>, Failure> {
        if let Some(peer) = peer.filter(|peer| facts.addresses.iter().any(|candidate| candidate.ip == peer.from)) {
            return Ok(Some(peer.from));
        }
        let is_open = wanted.address.is_none() && matches!(facts.configuration, Found::Missing);
        match &facts.addresses[..] {
            [] | [_] => Ok(None),
            _ if !is_open => Ok(None),
            several => match Terminal::open() {
                Some(mut terminal) => {
                    let chosen = terminal.choose(&words::address_question(several), several.len())?;
                    Ok(Some(several[chosen].ip))
                }
                None => Ok(None),
            },
        }
    }

    /// As it is typed again.
    fn command(&self) -> String {
        let join = self.join.as_ref().map(|join| format!(" --join {join}")).unwrap_or_default();
        format!("sudo weir init {}{join}", self.kind.as_str())
    }
}

/// Steps that are weir's own, each told when it is done.
fn carry_out(plan: &Plan, facts: &Facts, given: Option<&Key>, output: &Output) -> Result<(), Failure> {
    for step in &plan.steps {
        let mut told = words::line(step, words::Tense::Past);
        if step.state == State::Ours {
            match &step.action {
                Action::Ring { key } => {
                    let id = carry::ring(&facts.ring_path, key, given)?;
                    told = told.trim_end().to_owned() + &format!(" {id}\n");
                }
                Action::Configuration { text, aside, .. } => {
                    if !facts.units.agent_runs() {
                        carry::check_ports(&carry::checked(text)?)?;
                    }
                    carry::configuration(text, aside.as_deref(), output)?;
                }
                Action::Units(start) => carry::start(*start)?,
            }
        }
        output.text(&told)?;
    }
    Ok(())
}
