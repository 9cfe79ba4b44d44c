//! `weir init`: configures this server, starts it and waits until it truly works (`ux §2.2`, `ux §3.1`, `ux §5`).
//!
//! [`facts`] looks at the host, [`plan`] decides without touching anything, [`carry`] does it, [`words`] says it. So a dry run,
//! a second run and the commands for what is left undone all come out of one plan.
//!
//! A run may end at any moment: files are exchanged whole, the configuration is written last of ours, and NGINX is never left with
//! a configuration that it would not load. The next run goes on from what it finds.

mod ask;
mod asked;
mod beside;
mod carry;
mod change;
mod document;
mod existing;
mod facts;
mod firewall;
mod guard;
mod joining;
mod key;
mod lock;
mod nginx;
mod peer;
mod plan;
mod port;
mod ready;
mod serving;
mod site;
mod survey;
mod tell;
mod units;
mod unstarted;
mod wanted;
mod words;

use std::cell::Cell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tokio::time::Instant;

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use crate::agent::reach::Peer;
use crate::apply::NewSite;
use crate::config::{Config, Loaded};
use crate::crypto::Key;
use crate::status::shell;
use ask::Terminal;
use facts::{Facts, Found, Ring};
use joining::Web;
use lock::Lock;
use plan::{Action, Answers, Plan, RingKey, Start, State};
use survey::Obstacle;
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
    /// The unit of the application behind this web server; this node drains before that stops (web)
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
    /// Write the configuration anew where there is another, also for another --unit; the old one is kept beside it
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

/// Whether a run has changed anything of this host yet.
#[derive(Debug, Default)]
pub(crate) struct Changed(Cell<bool>);

impl Changed {
    fn begin(&self) {
        self.0.set(true);
    }
}

impl Init {
    pub(crate) async fn run(&self, changed: &Changed, output: &Output) -> Result<Exit, Failure> {
        let wanted = Wanted::of(self)?;
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::new(Exit::NotPermitted, "this writes the server's configuration")
                .with_remedy(format!("use {}", self.command())));
        }
        let take = || Lock::take(Path::new(lock::PLACE));
        let _lock = if self.dry_run { None } else { Some(blocking(take).await?) };
        let mut story = Story::new(self.kind.as_str(), self.dry_run, output);
        let exit = self.tell(&wanted, changed, &mut story, output).await?;
        story.end()?;
        Ok(exit)
    }

    /// An agent that others stop, start or restart meanwhile is looked at once that is done.
    async fn look(&self, wanted: &Wanted, output: &Output) -> Result<Facts, Failure> {
        let (dry_run, telling, wanted) = (self.dry_run, *output, wanted.clone());
        let look = move || {
            let wait =
                || units::wait_for_job(|| telling.progress("waiting for weir.service, which is stopped or started"));
            if dry_run {
                return Facts::look(&wanted);
            }
            wait();
            let facts = Facts::look(&wanted)?;
            if facts.units.agent_runs() || !units::is_agent_back() {
                return Ok(facts);
            }
            wait();
            Facts::look(&wanted)
        };
        let facts = blocking(look).await?;
        output.progress("");
        Ok(facts)
    }

    async fn tell(
        &self,
        wanted: &Wanted,
        changed: &Changed,
        story: &mut Story<'_>,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let mut facts = self.look(wanted, output).await?;
        if let Some(found) = &facts.nginx {
            story.line(&words::nginx(&found.nginx, &found.upstream))?;
        }
        if let Some(address) = wanted.address.filter(|address| !facts.own.contains(address)) {
            output.notice(&words::elsewhere(address, &facts.addresses));
        }
        if let (true, Found::Read(loaded)) = (facts.units.agent_runs(), &facts.configuration) {
            let agent = AgentArgs::default().or_as_configured(Some(loaded));
            facts.pending = carry::pending(&agent, output).await;
        }
        plan::refuse_units(&facts).map_err(|refused| words::refused(&refused, &self.command(), output))?;
        // A key with which nobody was joined is asked for again.
        let has_ring = !facts.ring_path.as_os_str().is_empty();
        let is_in_doubt =
            has_ring && wanted.join.is_some() && facts.units.agent_runs() && joining::is_key_in_doubt(output).await;
        if is_in_doubt {
            facts.ring = Ring::Missing;
        }
        let forced = self.forced_key(wanted, &facts, output).await?;
        if forced.is_some() {
            facts.ring = Ring::Missing;
        }
        let answers = self.answers(wanted, &facts, story, output).await?;
        let Agreed { plan, key, makes_way } = self.agree(wanted, &mut facts, &answers, forced, output).await?;
        for notice in [facts.guarded.as_ref().and_then(words::idle), words::kept_elsewhere(&facts)] {
            notice.into_iter().for_each(|notice| output.notice(&notice));
        }
        if self.dry_run {
            return dry_run(&plan, story);
        }
        let web = answers.web.as_ref();
        let mut run = Run { init: self, facts: &facts, plan: &plan, web, started: None, changed, story, output };
        if let Some(key) = key.as_ref().filter(|_| is_in_doubt) {
            changed.begin();
            carry::forget(&facts.ring_path, key)?;
        }
        if makes_way {
            changed.begin();
            let aside = carry::ring_aside(&facts.ring_path)?;
            run.story.line(&words::two("kept", &format!("{}   the keyring so far", aside.display())))?;
        }
        run.write(key.as_ref())?;
        let consent = run.consent().await?;
        run.start(consent).await?;
        run.wait(consent).await
    }

    /// The plan, and that the cluster has nothing against it, as far as the member that was proven can tell. `forced` is a key that
    /// takes the place of the ring that is there; so does the one that is asked for where that ring is not the cluster's.
    async fn agree(
        &self,
        wanted: &Wanted,
        facts: &mut Facts,
        answers: &Answers,
        forced: Option<Key>,
        output: &Output,
    ) -> Result<Agreed, Failure> {
        let mut makes_way = forced.is_some();
        loop {
            let plan = Plan::make(wanted, facts, answers)
                .map_err(|refused| words::refused(&refused, &self.command(), output))?;
            let config = check(facts, &plan, output)?;
            if let Some(loaded) = &config {
                self.refuse_overruled(wanted, &loaded.config, &plan)?;
            }
            let key = match plan.key() {
                Some(RingKey::Cluster) if forced.is_some() => forced.clone(),
                Some(RingKey::Cluster) if self.dry_run => {
                    joining::key_of_file(self.key_file.as_deref(), output).await?
                }
                Some(RingKey::Cluster) => Some(joining::key(self.key_file.as_deref(), output).await?),
                Some(RingKey::New | RingKey::Held(_) | RingKey::Credential(_) | RingKey::None) | None => None,
            };
            let has_key = key.is_some() || plan.key() != Some(&RingKey::Cluster);
            let asked = match (answers.peer.filter(|_| plan.is_new() && has_key), &config) {
                (Some(peer), Some(loaded)) => survey::ask(peer, (&loaded.config, facts), key.as_ref(), output).await,
                (None, _) | (_, None) => Ok(()),
            };
            let is_file = !facts.ring_path.as_os_str().is_empty();
            match (asked, plan.key()) {
                (Ok(()), _) => return Ok(Agreed { plan, key, makes_way }),
                (Err(Obstacle::Key { trouble, label: None }), Some(RingKey::Held(_))) if is_file => {
                    output.notice(&format!("notice: {}; the cluster's key takes its place", trouble.what));
                    facts.ring = Ring::Missing;
                    makes_way = true;
                }
                (Err(obstacle), _) => {
                    let is_there = !matches!(facts.configuration, Found::Missing);
                    let keyring = config.as_ref().and_then(|loaded| loaded.config.encryption.keyring.as_ref());
                    return Err(obstacle.told(&key::way_in(keyring, &self.asking()), is_there));
                }
            }
        }
    }

    /// What was asked for and a file beside the configuration has otherwise would be dropped without a word.
    fn refuse_overruled(&self, wanted: &Wanted, config: &Config, plan: &Plan) -> Result<(), Failure> {
        let overruled = existing::contradictions(config, wanted);
        if !overruled.is_empty() {
            return Err(words::overruled(&overruled));
        }
        match (&self.key_file, plan.key()) {
            (Some(_), Some(key @ (RingKey::Credential(_) | RingKey::None))) => Err(words::useless_key(key)),
            _ => Ok(()),
        }
    }

    /// With `--force`, the key that was given for a cluster, where the keyring that is there lacks it.
    async fn forced_key(&self, wanted: &Wanted, facts: &Facts, output: &Output) -> Result<Option<Key>, Failure> {
        let is_another = match &facts.configuration {
            Found::Read(loaded) => wanted.join.as_ref().is_some_and(|join| !loaded.config.gossip.join.contains(join)),
            Found::Missing | Found::Wrong(_) => false,
        };
        // Whoever names another member can be asked for the key of its cluster.
        let is_given = self.key_file.is_some() || is_another && !self.dry_run && Terminal::open().is_some();
        let may = wanted.force && wanted.join.is_some() && is_given && matches!(facts.ring, Ring::Held(_));
        // A dry run leaves standard input to the run after it.
        let reads = !self.dry_run || self.key_file.as_ref().is_some_and(|file| file.as_os_str() != "-");
        if !(may && reads) {
            return Ok(None);
        }
        let key = joining::key(self.key_file.as_deref(), output).await?;
        Ok(Some(key).filter(|key| !carry::holds(&facts.ring_path, key)))
    }

    /// What the host does not say by itself.
    async fn answers(
        &self,
        wanted: &Wanted,
        facts: &Facts,
        story: &mut Story<'_>,
        output: &Output,
    ) -> Result<Answers, Failure> {
        let is_new = is_written(wanted, facts);
        let mut peer = None;
        if let Some(join) = wanted.join.as_ref().filter(|_| is_new || facts.ring == Ring::Missing) {
            let proven = peer::prove(join, facts, output).await?;
            story.line(&words::two("peer", &peer::words(proven)))?;
            peer = Some(proven);
        }
        let mut web = None;
        if is_new && self.kind == Kind::Web && wanted.join.is_some() {
            let (wanted, command) = (wanted.clone(), self.command());
            web = Some(blocking(move || Web::find(&wanted, &command)).await?);
        }
        let mut stopped = None;
        if let (false, Kind::Web, Found::Read(loaded)) = (is_new, self.kind, &facts.configuration) {
            let config = loaded.config.clone();
            stopped = blocking(move || Ok(joining::stopped(&config))).await?;
        }
        Ok(Answers { address: address(wanted, facts, peer).await?, peer, web, stopped })
    }

    /// As it is typed again.
    fn command(&self) -> String {
        self.typed(self.key_file.as_deref())
    }

    /// As it is typed to give another key: from a file it would be the same one.
    fn asking(&self) -> String {
        self.typed(self.key_file.as_deref().filter(|file| file.as_os_str() == "-"))
    }

    fn typed(&self, key_file: Option<&Path>) -> String {
        let mut command = match self.kind {
            Kind::Balancer => "sudo weir init lb",
            Kind::Web => "sudo weir init web",
        }
        .to_owned();
        let mut option = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                command.push(' ');
                command.push_str(&shell::option(name, value));
            }
        };
        option("--join", &self.join);
        option("--key-file", &key_file.map(|path| path.display().to_string()));
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

/// An interrupt ends it between two steps, or in one that the next run does again.
pub(super) fn ended(result: Result<Exit, Failure>, changed: &Changed) -> Result<Exit, Failure> {
    match result {
        Ok(Exit::Interrupted) if !changed.0.get() => {
            Err(Failure::new(Exit::Interrupted, "interrupted; nothing was changed"))
        }
        Ok(Exit::Interrupted) => Err(Failure::new(Exit::Interrupted, "interrupted, and what was written stays")
            .with_remedy("run it again: it goes on from there")),
        ended => ended,
    }
}

/// Whether a configuration may be written.
fn is_written(wanted: &Wanted, facts: &Facts) -> bool {
    match facts.configuration {
        Found::Missing => true,
        Found::Wrong(_) | Found::Read(_) => wanted.force,
    }
}

/// Whoever joins is reached where it comes from. Otherwise asks, where the choice is not ours and somebody can be asked.
async fn address(wanted: &Wanted, facts: &Facts, peer: Option<Peer>) -> Result<Option<IpAddr>, Failure> {
    let several = facts.addresses.clone();
    if wanted.address.is_some() || !is_written(wanted, facts) || !facts.beside.is_open() {
        return Ok(None);
    }
    let known = peer.and_then(|peer| known_by(facts, peer));
    if known.is_some() || several.len() < 2 {
        return Ok(known);
    }
    let Some(mut terminal) = Terminal::open() else { return Ok(None) };
    blocking(move || {
        let chosen = terminal.choose(&words::address_question(&several), several.len())?;
        Ok(several.get(chosen).map(|chosen| chosen.ip))
    })
    .await
}

/// By which address the member that is joined knows this server, where the agent would not take that by itself: it takes the only one,
/// and of both families one of IPv4.
fn known_by(facts: &Facts, peer: Peer) -> Option<IpAddr> {
    let is_candidate = |candidate: &facts::Candidate| candidate.ip == peer.from;
    let is_chosen = match peer.from {
        IpAddr::V6(from) if !facts.ipv6_alone => !from.is_loopback(),
        _ => facts.addresses.len() > 1 && facts.addresses.iter().any(is_candidate),
    };
    is_chosen.then_some(peer.from)
}

/// What would be done, and nothing else.
fn dry_run(plan: &Plan, story: &mut Story<'_>) -> Result<Exit, Failure> {
    for step in plan.steps.iter().filter(|step| step.state != State::Theirs) {
        story.line(&words::line(step, plan.kind, Tense::Future))?;
    }
    if plan.theirs().next().is_some() {
        story.text(&words::changes(plan.theirs()))?;
        story.left(&commands(plan, |_| true));
    }
    if !plan.by_hand.is_empty() {
        story.text(&words::amended_by_hand(&plan.by_hand))?;
        story.left(&words::amending(&plan.by_hand));
    }
    story.text("nothing was changed: this was a dry run\n")?;
    Ok(Exit::Done)
}

/// Before anything is written: an agent that could not start says so in its journal alone. Returns the configuration as it will be.
fn check(facts: &Facts, plan: &Plan, output: &Output) -> Result<Option<Loaded>, Failure> {
    let text = plan.steps.iter().find_map(|step| match &step.action {
        Action::Configuration { text, .. } if step.state == State::Ours => Some(text),
        _ => None,
    });
    let checked = text.map(|text| carry::checked(text, &facts.drop_ins, output)).transpose()?;
    let loaded = match &facts.configuration {
        Found::Read(loaded) => checked.or_else(|| Some((**loaded).clone())),
        Found::Missing | Found::Wrong(_) => checked,
    };
    if let Some(loaded) = loaded.as_ref().filter(|_| !facts.units.agent_runs()) {
        carry::check_ports(loaded)?;
    }
    Ok(loaded)
}

/// What is to be done, with what it takes.
struct Agreed {
    plan: Plan,
    /// The cluster's, where that is to be written.
    key: Option<Key>,
    /// The ring that is there is kept beside it.
    makes_way: bool,
}

/// A plan that is being carried out.
struct Run<'a, 's> {
    init: &'a Init,
    facts: &'a Facts,
    plan: &'a Plan,
    web: Option<&'a Web>,
    /// When the agent was, if it was.
    started: Option<Instant>,
    changed: &'a Changed,
    story: &'a mut Story<'s>,
    output: &'a Output,
}

impl Run<'_, '_> {
    /// weir's own files.
    fn write(&mut self, given: Option<&Key>) -> Result<(), Failure> {
        for step in &self.plan.steps {
            let mut line = words::line(step, self.init.kind, Tense::Past);
            match &step.action {
                Action::Ring { key, path } if step.state == State::Ours => {
                    self.changed.begin();
                    let id = carry::ring(path, key, given)?;
                    line = words::ring(path, key, id);
                }
                Action::Configuration { text, aside, .. } if step.state == State::Ours => {
                    self.changed.begin();
                    carry::configuration(text, aside.as_deref(), self.output)?;
                }
                Action::Open(path) => {
                    self.changed.begin();
                    carry::open(path)?;
                }
                Action::Ring { .. } | Action::Configuration { .. } | Action::Site { new: None, .. } => {}
                Action::Change(_)
                | Action::Units(_)
                | Action::Unguard(..)
                | Action::Guard(..)
                | Action::Site { .. }
                | Action::StartNginx { .. } => continue,
            }
            self.story.line(&line)?;
        }
        Ok(())
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

    /// What stands in the way goes first.
    async fn start(&mut self, consent: bool) -> Result<(), Failure> {
        if consent || self.plan.steps.iter().any(|step| step.state == State::Ours) {
            self.changed.begin();
        }
        for step in &self.plan.steps {
            match &step.action {
                Action::Change(change) if consent => {
                    let change = change.clone();
                    self.output.progress(&format!("changing {}", change.subject));
                    let made = blocking(move || change.make()).await;
                    self.output.progress("");
                    made?;
                }
                Action::Units(start) => {
                    let start = *start;
                    if step.state != State::Done {
                        self.output.progress("starting weir.service");
                        let started = blocking(move || carry::start(start)).await;
                        self.output.progress("");
                        started?;
                        self.started = Some(Instant::now()).filter(|_| start != Start::Nothing);
                    }
                    self.story.line(&words::line(step, self.init.kind, Tense::Past))?;
                }
                Action::Unguard(former, order) => {
                    let (former, order) = (former.clone(), *order);
                    blocking(move || former.take_back(order)).await?;
                    self.story.line(&words::line(step, self.init.kind, Tense::Past))?;
                }
                Action::Guard(application, steps) => {
                    let (application, steps) = (application.clone(), steps.clone());
                    blocking(move || application.put_in_place(&steps)).await?;
                    self.story.line(&words::line(step, self.init.kind, Tense::Past))?;
                }
                Action::Change(_)
                | Action::Ring { .. }
                | Action::Configuration { .. }
                | Action::Open(_)
                | Action::Site { .. }
                | Action::StartNginx { .. } => {}
            }
        }
        let notices = self.web.map(Web::notices).unwrap_or_default();
        notices.iter().for_each(|text| self.output.notice(&format!("notice: {text}")));
        Ok(())
    }

    /// Waits until this server is what it was to be, and says what was left.
    async fn wait(&mut self, consent: bool) -> Result<Exit, Failure> {
        let loaded = carry::loaded(self.output)?;
        let agent = AgentArgs::default().or_as_configured(Some(&loaded));
        let mut joined = Ok(());
        // What joins by its configuration is waited for all the same.
        if self.init.join.is_some() || !loaded.config.gossip.join.is_empty() {
            let way_in = key::way_in(loaded.config.encryption.keyring.as_ref(), &self.init.asking());
            let run = (way_in.as_str(), self.started);
            let application = self.facts.guarded.as_ref().map(|guarded| &guarded.application);
            let about = (self.facts.former(), application);
            joined = joining::wait(self.init.kind, &agent, run, about, self.story, self.output).await;
        }
        // The likeliest reason stands beside the failure.
        if let (Err(_), Some(address)) = (&joined, self.init.address.filter(|ip| !self.facts.own.contains(ip))) {
            self.output.notice(&words::elsewhere(address, &self.facts.addresses));
        }
        let ended = match (self.init.kind, joined) {
            (Kind::Balancer, Ok(())) => self.balance(&loaded, &agent, consent).await,
            (Kind::Web, Ok(())) => Ok((Exit::Done, consent)),
            (_, Err(failure)) => Err(failure),
        };
        let touched = matches!(ended, Ok((_, true)));
        let left = commands(self.plan, |action| !(touched || consent && matches!(action, Action::Change(_))));
        if !left.is_empty() {
            self.story.text(&words::left(&self.init.command(), &left))?;
            self.story.left(&left);
        }
        let by_hand = &self.plan.by_hand;
        if !by_hand.is_empty() {
            self.story.text(&words::amended_by_hand(by_hand))?;
            self.story.left(&words::amending(by_hand));
        }
        match ended? {
            (Exit::Done, _) if !left.is_empty() || !by_hand.is_empty() => Ok(Exit::Attention),
            (exit, _) => Ok(exit),
        }
    }

    /// Waits for NGINX, puts the site there, and tells how the others come. Also whether NGINX was touched as it was to be.
    async fn balance(&mut self, loaded: &Loaded, agent: &AgentArgs, consent: bool) -> Result<(Exit, bool), Failure> {
        let mut ready = ready::balancer(agent, self.output).await?;
        if ready.trouble.is_some() && self.facts.units.agent_runs() {
            // What was in its way may be gone, and it looks only now and then.
            carry::try_again(agent, self.output).await?;
            ready = ready::balancer(agent, self.output).await?;
        }
        let may_touch = consent && ready.trouble.is_none();
        let mut touched = Ok(());
        if may_touch {
            touched = self.touch(loaded).await;
            let starts = self.plan.theirs().any(|step| matches!(step.action, Action::StartNginx { .. }));
            let seen = starts && touched.is_ok();
            ready = if seen {
                ready::running(agent, self.output).await?
            } else {
                ready::balancer(agent, self.output).await?
            };
        }
        self.story.line(&words::ready(&ready.document, ready.trouble.as_ref()))?;
        touched?;
        let is_missing = ready::is_missing(&ready.document);
        if let Some(trouble) = ready.trouble.filter(|_| !is_missing) {
            return Err(Failure::new(Exit::Incomplete, trouble.what).with_remedy(trouble.way_out));
        }
        let has_site = self.plan.steps.iter().any(|step| matches!(step.action, Action::Site { .. }));
        if let (false, false, Some(found)) = (has_site, is_missing, &self.facts.nginx) {
            self.story.text(&words::own_site(&found.upstream, &found.nginx.port80, &self.init.command()))?;
        }
        // Whoever joins was told so by the first.
        if let (None, Some(addr)) = (&self.init.join, ready.document.node.addr) {
            self.story.text(&words::next(&ready.document.node.name, addr))?;
            self.story.next(words::next_command(addr));
        }
        let astray = self.plan.astray();
        if let Some((path, own, upstream)) = astray {
            self.story.text(&words::astray(path, own, upstream))?;
        }
        let works = !is_missing && !ready::is_stopped(&ready.document) && astray.is_none();
        Ok((if works { Exit::Done } else { Exit::Attention }, may_touch))
    }

    /// What was agreed to.
    async fn touch(&mut self, loaded: &Loaded) -> Result<(), Failure> {
        for step in self.plan.theirs() {
            let (loaded, output) = (loaded.clone(), self.output);
            match &step.action {
                Action::Site { path, new: Some(new), .. } => {
                    let site = NewSite {
                        path: path.clone(),
                        text: new.text.clone(),
                        replaces: new.replaces.clone(),
                        without: new.without.clone(),
                    };
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
                | Action::Open(_)
                | Action::Change(_)
                | Action::Units(_)
                | Action::Unguard(..)
                | Action::Guard(..) => {}
            }
        }
        Ok(())
    }
}

/// Commands for what waits for a word and is `wanted`.
fn commands(plan: &Plan, wanted: impl Fn(&Action) -> bool) -> Vec<String> {
    plan.theirs().filter(|step| wanted(&step.action)).flat_map(|step| words::by_hand(&step.action)).collect()
}

/// Off the thread that hears an interrupt: whatever waits for programs, disks or people.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Failure::new(Exit::Failed, format!("this was not done: {error}"))))
}

#[cfg(test)]
mod tests;
