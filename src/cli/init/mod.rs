//! `weir init`: configures this server, starts it and waits until it truly works (`ux §2.2`, `ux §3.1`, `ux §5`).
//!
//! [`facts`] looks at the host, [`plan`] decides without touching anything, [`carry`] does it, [`words`] says it. So a dry run,
//! a second run and the commands for what is left undone all come out of one plan.
//!
//! A run may end at any moment: files are exchanged whole, the configuration is written last of ours, and NGINX is never left with
//! a configuration that it would not load. The next run goes on from what it finds.

mod ask;
mod carry;
mod document;
mod existing;
mod facts;
mod nginx;
mod plan;
mod ready;
mod site;
mod tell;
mod units;
mod wanted;
mod words;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::ValueEnum;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::apply::NewSite;
use crate::config::Loaded;
use crate::status::shell;
use ask::Terminal;
use facts::{Facts, Found};
use plan::{Action, Answers, Plan, State};
use tell::Story;
use wanted::Wanted;
use words::Tense;

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
                .with_remedy(format!("use {}", self.command())));
        }
        let mut story = Story::new(self.kind.as_str(), self.dry_run, output);
        let exit = self.tell(&wanted, &mut story, output).await?;
        story.end()?;
        Ok(exit)
    }

    async fn tell(&self, wanted: &Wanted, story: &mut Story<'_>, output: &Output) -> Result<Exit, Failure> {
        let looking = wanted.clone();
        let facts = blocking(move || Ok(Facts::look(&looking))).await?;
        if let Some(found) = &facts.nginx {
            story.line(&words::nginx(&found.nginx, &found.upstream))?;
        }
        let answers = Answers { address: address(wanted, &facts).await? };
        let plan = Plan::make(wanted, &facts, &answers)
            .map_err(|refused| words::refused(&refused, &self.command(), output))?;
        if self.dry_run {
            for step in plan.steps.iter().filter(|step| step.state != State::Theirs) {
                story.line(&words::line(step, Tense::Future))?;
            }
            if plan.theirs().next().is_some() {
                story.text(&words::changes(plan.theirs()))?;
                story.left(&commands(&plan));
            }
            story.text("nothing was changed: this was a dry run\n")?;
            return Ok(Exit::Done);
        }
        let mut run = Run { init: self, facts: &facts, plan: &plan, story, output };
        run.write().await?;
        let consent = run.consent().await?;
        run.start().await?;
        match self.kind {
            Kind::Balancer => run.balance(consent).await,
            Kind::Web => Ok(Exit::Done),
        }
    }

    /// As it is typed again.
    fn command(&self) -> String {
        let mut command = format!("sudo weir init {}", self.kind.as_str());
        let mut option = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                command.push(' ');
                command.push_str(&shell::option(name, value));
            }
        };
        option("--join", &self.join);
        option("--key-file", &self.key_file.as_ref().map(|path| path.display().to_string()));
        option("--name", &self.name);
        option("--address", &self.address.map(|address| address.to_string()));
        option("--port", &self.port.map(|port| port.to_string()));
        option("--role", &self.role);
        option("--upstream", &self.upstream);
        option("--unit", &self.unit);
        self.tags.iter().for_each(|tag| option("--tag", &Some(tag.clone())));
        match self.site {
            Site::Auto => {}
            Site::Yes => command.push_str(" --site yes"),
            Site::No => command.push_str(" --site no"),
        }
        command
    }
}

/// Asks for an address where the choice is not ours and somebody can be asked.
async fn address(wanted: &Wanted, facts: &Facts) -> Result<Option<IpAddr>, Failure> {
    let is_written = match facts.configuration {
        Found::Missing => true,
        Found::Wrong(_) | Found::Read(_) => wanted.force,
    };
    let several = facts.addresses.clone();
    if wanted.address.is_some() || !is_written || several.len() < 2 {
        return Ok(None);
    }
    let Some(mut terminal) = Terminal::open() else { return Ok(None) };
    blocking(move || {
        let chosen = terminal.choose(&words::address_question(&several), several.len())?;
        Ok(several.get(chosen).map(|chosen| chosen.ip))
    })
    .await
}

/// A plan that is being carried out.
struct Run<'a, 's> {
    init: &'a Init,
    facts: &'a Facts,
    plan: &'a Plan,
    story: &'a mut Story<'s>,
    output: &'a Output,
}

impl Run<'_, '_> {
    /// weir's own files.
    async fn write(&mut self) -> Result<(), Failure> {
        self.check_ports()?;
        for step in &self.plan.steps {
            let mut line = words::line(step, Tense::Past);
            match &step.action {
                Action::Ring { key } if step.state == State::Ours => {
                    let id = carry::ring(&self.facts.ring_path, key, None)?;
                    line = format!("{} {id}\n", line.trim_end());
                }
                Action::Configuration { text, aside, .. } if step.state == State::Ours => {
                    carry::configuration(text, aside.as_deref(), self.output)?;
                }
                Action::Ring { .. } | Action::Configuration { .. } | Action::Site { new: None, .. } => {}
                Action::Units(_) | Action::Site { .. } | Action::StartNginx { .. } => continue,
            }
            self.story.line(&line)?;
        }
        Ok(())
    }

    /// Before anything is written: an agent that could not start says so in its journal alone.
    fn check_ports(&self) -> Result<(), Failure> {
        if self.facts.units.agent_runs() {
            return Ok(());
        }
        let text = self.plan.steps.iter().find_map(|step| match &step.action {
            Action::Configuration { text, .. } if step.state == State::Ours => Some(text),
            _ => None,
        });
        match (text, &self.facts.configuration) {
            (Some(text), _) => carry::check_ports(&carry::checked(text)?),
            (None, Found::Read(loaded)) => carry::check_ports(loaded),
            (None, Found::Missing | Found::Wrong(_)) => Ok(()),
        }
    }

    /// Lists what touches other software, and asks about all of it at once.
    async fn consent(&mut self) -> Result<bool, Failure> {
        if self.plan.theirs().next().is_none() {
            return Ok(false);
        }
        self.story.text(&words::changes(self.plan.theirs()))?;
        if self.init.yes {
            return Ok(true);
        }
        match Terminal::open() {
            Some(mut terminal) => blocking(move || terminal.agrees("do it")).await,
            None => Ok(false),
        }
    }

    async fn start(&mut self) -> Result<(), Failure> {
        for step in &self.plan.steps {
            let Action::Units(start) = step.action else { continue };
            if step.state != State::Done {
                self.output.progress("starting weir.service");
                let started = blocking(move || carry::start(start)).await;
                self.output.progress("");
                started?;
            }
            self.story.line(&words::line(step, Tense::Past))?;
        }
        Ok(())
    }

    /// Waits for NGINX, puts the site there, and tells how the others come.
    async fn balance(&mut self, consent: bool) -> Result<Exit, Failure> {
        let loaded = carry::loaded(self.output)?;
        let agent = AgentArgs::default().or_as_configured(Some(&loaded));
        let mut ready = ready::balancer(&agent, self.output).await?;
        let mut failed = None;
        if consent && ready.trouble.is_none() {
            failed = self.touch(&loaded).await.err();
            ready = ready::balancer(&agent, self.output).await?;
        }
        self.story.line(&words::ready(&ready.document, ready.trouble.as_ref()))?;
        let has_site = self.plan.steps.iter().any(|step| matches!(step.action, Action::Site { .. }));
        if let (false, Some(found)) = (has_site, &self.facts.nginx) {
            self.story.text(&words::own_site(&found.upstream))?;
        }
        if let Some(addr) = ready.document.node.addr {
            self.story.text(&words::next(&ready.document.node.name, addr))?;
            self.story.next(words::next_command(addr));
        }
        let is_left = self.plan.theirs().next().is_some() && !(consent && ready.trouble.is_none());
        if is_left {
            let commands = commands(self.plan);
            self.story.text(&words::left(&self.init.command(), &commands))?;
            self.story.left(&commands);
        }
        match (failed, ready.trouble) {
            (Some(failure), _) => Err(failure),
            (None, Some(trouble)) if !ready::is_missing(&ready.document) => {
                Err(Failure::new(Exit::Incomplete, trouble.what).with_remedy(trouble.way_out))
            }
            (None, Some(_)) => Ok(Exit::Attention),
            (None, None) if is_left => Ok(Exit::Attention),
            (None, None) => Ok(Exit::Done),
        }
    }

    /// What was agreed to.
    async fn touch(&mut self, loaded: &Loaded) -> Result<(), Failure> {
        for step in self.plan.theirs() {
            let (loaded, output) = (loaded.clone(), self.output);
            match &step.action {
                Action::Site { path, new: Some(new), .. } => {
                    let site = NewSite { path: path.clone(), text: new.text.clone(), without: new.without.clone() };
                    output.progress("testing the site, and reloading NGINX");
                    let placed = blocking(move || carry::site(&loaded.config, &site)).await;
                    output.progress("");
                    placed?;
                }
                Action::StartNginx { unit } => {
                    let unit = unit.clone();
                    output.progress("starting NGINX");
                    let started = blocking(move || carry::start_nginx(&unit)).await;
                    output.progress("");
                    started?;
                }
                Action::Site { new: None, .. }
                | Action::Ring { .. }
                | Action::Configuration { .. }
                | Action::Units(_) => {}
            }
        }
        Ok(())
    }
}

/// Commands for everything that waits for a word.
fn commands(plan: &Plan) -> Vec<String> {
    plan.theirs().flat_map(|step| words::by_hand(&step.action)).collect()
}

/// Off the thread that hears an interrupt: whatever waits for programs, disks or people.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Failure::new(Exit::Failed, format!("this was not done: {error}"))))
}
