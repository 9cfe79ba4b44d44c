//! `weir doctor`: look for trouble and name the remedies (`ux §3.4`).
//!
//! Facts are gathered here, all at once and each within a bound; what they mean is decided by [`crate::status::doctor`]. It
//! works without an agent, without rights, without NGINX and with a broken configuration, and then says what it could not see.

mod checks;
mod conversation;
mod handlers;
mod host;
mod nginx;
mod own;
mod ping;
mod reach;
mod unit;

use std::path::{Path, PathBuf};

use super::agent::Paths;
use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::table::{Layout, Table};
use crate::agent;
use crate::config::{self, Config, ConfigErrors, GOSSIP_PORT, Loaded, Mode, Overrides, Seal, Source, Sources};
use crate::error::{Explain, Trouble};
use crate::rpc::client::Address;
use crate::status::doctor::{self, Configuration, Findings, Group, Level, Ports, Report};

use conversation::Heard;
pub(super) use unit::Unit;

/// What the packaged agent reads.
const VERSION: &str = env!("CARGO_PKG_VERSION");
const DEFAULT_CONFIG: &str = "/etc/weir/weir.toml";

/// Look for trouble on this host and around it, and name the remedies.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Levels: error (exit code 1), warn (alone: 8), info, and skip for what could not be looked at, with the \
                        way to let it. As root it sees most."
)]
pub(crate) struct Doctor {
    /// Only this group of checks; repeatable: config, agent, files, clock, ports, gossip, keys, nginx, checks, handlers
    #[arg(long, value_name = "GROUP", value_parser = group)]
    only: Vec<Group>,
    /// Warnings, and checks that were not possible, count as errors
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    paths: Paths,
    #[command(flatten)]
    agent: AgentArgs,
}

fn group(text: &str) -> Result<Group, Trouble> {
    Group::ALL.into_iter().find(|group| group.as_str() == text).ok_or_else(|| {
        let known: Vec<&str> = Group::ALL.iter().map(|group| group.as_str()).collect();
        Trouble::new("there is no such group", format!("one of {} is accepted", known.join(", ")))
    })
}

impl Doctor {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let report = Report::new(self.examine(output).await?);
        if output.is_json() {
            output.json(&report)?;
        } else {
            output.text(&render(&report, output))?;
        }
        Ok(exit_code(&report, self.strict))
    }

    fn wants(&self, group: Group) -> bool {
        self.only.is_empty() || self.only.contains(&group)
    }

    async fn examine(&self, output: &Output) -> Result<Findings, Failure> {
        let sources = self.sources();
        let read = config::load(&sources);
        let loaded = read.as_ref().ok();
        let args = self.agent.or_as_configured(loaded);
        if let Some(address) = host::elsewhere(&args).await? {
            return self.examine_elsewhere(&args, &address, output).await;
        }
        let ring_before = ring(loaded);
        let heard = conversation::hold(&args, output, |group| self.wants(group)).await?;
        let by_unit = unit::runs_the_agent(&sources, heard.pid());
        let unit = if by_unit { blocking(unit::Unit::ask).await } else { None };
        let agent_user = heard
            .pid()
            .and_then(host::user_of_process)
            .or_else(|| unit.as_ref()?.user.as_deref().and_then(host::user_named));

        let mut findings = Findings::default();
        let configuration = configuration(&sources, &read, &heard);
        // That none runs where none was ever set up is said with the file.
        let is_new =
            matches!((&configuration, &heard.agent), (Configuration::Missing { .. }, doctor::Agent::Absent(_)));
        if self.wants(Group::Config) {
            findings.extend(doctor::configuration(&configuration));
            if let Some(loaded) = loaded.filter(|loaded| loaded.config.mode == Mode::Weir) {
                let patience = if by_unit { blocking(super::unit::stop_timeout).await } else { None };
                findings.extend(doctor::leave(&super::config::leave(&loaded.config, patience)));
            }
        }
        if self.wants(Group::Agent) && !(is_new && self.wants(Group::Config)) {
            let is_replaced = heard.pid().is_some_and(host::is_replaced);
            findings.extend(doctor::agent(&heard.agent, doctor::ThisProgram { version: VERSION, is_replaced }));
        }
        if let Some(loaded) = loaded {
            self.examine_host(&mut findings, loaded, &heard, agent_user, unit.as_ref()).await;
        }
        self.examine_cluster(&mut findings, loaded, ring_before, &heard).await;
        self.add_attention(&mut findings, &heard);
        if findings.is_empty() {
            self.only.iter().for_each(|group| findings.extend(doctor::nothing(*group, loaded.is_some())));
        }
        Ok(findings)
    }

    /// An agent of another host: what it says itself. This host's configuration, files and network are not its own.
    async fn examine_elsewhere(
        &self,
        args: &AgentArgs,
        address: &Address,
        output: &Output,
    ) -> Result<Findings, Failure> {
        let asked = |group| self.wants(group) && !of_one_host(group);
        let heard = conversation::hold(args, output, asked).await?;
        let mut findings = Findings::default();
        let left_out: Vec<&str> = Group::ALL
            .into_iter()
            .filter(|group| self.wants(*group) && of_one_host(*group))
            .map(Group::as_str)
            .collect();
        if !left_out.is_empty() {
            let message = format!("{address} is another host: {} were not checked", left_out.join(", "));
            findings.skip("agent.host", address, message, "run 'weir doctor' there");
        }
        if self.wants(Group::Agent) {
            findings.extend(doctor::agent(&heard.agent, doctor::ThisProgram { version: VERSION, is_replaced: false }));
        }
        self.examine_clock(&mut findings, &heard).await;
        if self.wants(Group::Keys) {
            findings.extend(doctor::keys(&keys(None, doctor::Ring::Unknown, &heard)));
        }
        self.add_attention(&mut findings, &heard);
        Ok(findings)
    }

    /// What the agent itself wants looked at and nothing before has told.
    fn add_attention(&self, findings: &mut Findings, heard: &Heard) {
        if let Some(document) = heard.document() {
            doctor::attention(findings, document, |group| self.wants(group));
        }
    }

    /// What is on this host and in its configuration.
    async fn examine_host(
        &self,
        findings: &mut Findings,
        loaded: &Loaded,
        heard: &Heard,
        agent_user: Option<doctor::User>,
        unit: Option<&unit::Unit>,
    ) {
        if self.wants(Group::Files) {
            let (loaded, unit) = (loaded.clone(), unit.cloned());
            let facts = blocking(move || Some(host::files(&loaded, agent_user, unit.as_ref()))).await;
            findings.extend(facts.map(|facts| doctor::files(&facts)).unwrap_or_default());
        }
        if self.wants(Group::Ports) {
            let serf = blocking(|| Some(unit::is_enabled("serf.service"))).await.unwrap_or(false);
            findings
                .extend(doctor::ports(&Ports { serf: serf && is_like_serf(&loaded.config), ..ports(loaded, heard) }));
        }
        if self.wants(Group::Nginx) {
            let (config, document) = (loaded.config.clone(), heard.document().cloned());
            let facts = blocking(move || Some(nginx::look(&config, document.as_ref()))).await;
            findings.extend(facts.map(|facts| doctor::nginx(&facts)).unwrap_or_default());
            let configured = loaded.config.upstreams.iter().map(|upstream| &upstream.options);
            let told = heard.document().map(|document| doctor::upstreams(document, configured));
            findings.extend(told.unwrap_or_default());
        }
        if self.wants(Group::Checks) {
            let (config, unit) = (loaded.config.clone(), unit.cloned());
            let seen = blocking(move || Some(checks::look(&config, unit.as_ref()))).await;
            let told = heard.document().map(|document| &document.checks[..]).unwrap_or_default();
            let facts = seen.map(|checks::Seen { programs, authorities, guarded }| doctor::Checks {
                programs,
                authorities,
                told,
                guarded,
            });
            findings.extend(facts.map(|facts| doctor::checks(&facts)).unwrap_or_default());
        }
        if self.wants(Group::Handlers) {
            let (config, unit) = (loaded.config.clone(), unit.cloned());
            let facts = blocking(move || Some(handlers::look(&config, unit.as_ref()))).await;
            findings.extend(facts.map(|facts| doctor::handlers(&facts)).unwrap_or_default());
        }
    }

    /// What is between this host and the others.
    async fn examine_cluster(
        &self,
        findings: &mut Findings,
        loaded: Option<&Loaded>,
        ring_before: doctor::Ring,
        heard: &Heard,
    ) {
        self.examine_clock(findings, heard).await;
        if self.wants(Group::Gossip) {
            findings.extend(doctor::gossip(&reach::gossip(loaded, heard).await));
        }
        if self.wants(Group::Keys) {
            findings.extend(doctor::keys(&keys(loaded, ring_before, heard)));
        }
    }

    async fn examine_clock(&self, findings: &mut Findings, heard: &Heard) {
        if self.wants(Group::Clock) {
            let synchronised = blocking(|| Some(host::synchronised())).await.flatten();
            findings.extend(doctor::clock(&doctor::Clock { synchronised, peers: heard.clocks.clone() }));
        }
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::here(self.paths.0.clone(), Overrides::default(), false);
        sources.pipes = false;
        if sources.paths.is_empty() {
            sources.paths.push(Source::File(DEFAULT_CONFIG.into()));
        }
        sources
    }
}

/// What reading the configuration came to.
fn configuration(sources: &Sources, read: &Result<Loaded, ConfigErrors>, heard: &Heard) -> Configuration {
    match read {
        Ok(loaded) => Configuration::Read {
            notices: loaded.notices.iter().map(|notice| (notice.at.to_string(), notice.trouble.clone())).collect(),
            pending: heard.pending.clone(),
        },
        Err(errors) => match sources.paths.iter().find_map(unusable) {
            Some(unusable) => unusable,
            None => {
                let mistake = |mistake: &config::Mistake| (mistake.at.to_string(), mistake.trouble.clone());
                Configuration::Wrong { mistakes: errors.mistakes().iter().map(mistake).collect() }
            }
        },
    }
}

/// A source that is not there, or closed to this user.
fn unusable(source: &Source) -> Option<Configuration> {
    let (Source::File(path) | Source::Dir(path)) = source;
    let error = if path.is_dir() { std::fs::read_dir(path).err() } else { crate::file::open(path).err() }?;
    let path = path.display().to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => Some(Configuration::Missing { path }),
        std::io::ErrorKind::PermissionDenied => Some(Configuration::Denied { path }),
        _ => None,
    }
}

/// Its ports, or whether they could be had where no agent has them already.
fn ports(loaded: &Loaded, heard: &Heard) -> Ports {
    let config = &loaded.config;
    match &heard.agent {
        doctor::Agent::Running(document) => {
            let bound = document.node.bind.map(|bind| (doctor::Port::Gossip, bind.to_string(), Ok(())));
            let choice = document.node.addr.and_then(|addr| agent::check::choice(config, addr.ip()));
            Ports { checked: bound.into_iter().collect(), choice, ..Ports::default() }
        }
        // It has them, and is not to be stopped for that.
        doctor::Agent::Silent { .. } | doctor::Agent::Denied(_) | doctor::Agent::Foreign => Ports::default(),
        doctor::Agent::Absent(_) => {
            let checked = agent::check::ports(config, host::advertised(config)).into_iter();
            let checked = checked.map(|port| (port.port, port.what, port.result.map_err(|error| trouble(&error))));
            Ports { checked: checked.collect(), ..Ports::default() }
        }
    }
}

/// Whether it wants a port that Serf uses by default.
fn is_like_serf(config: &Config) -> bool {
    config.gossip.bind.port == GOSSIP_PORT || config.rpc.listen.is_some_and(|listen| listen.port() == 7373)
}

/// Whether a group is about the host where doctor runs, or what can be reached from it.
const fn of_one_host(group: Group) -> bool {
    match group {
        Group::Config | Group::Files | Group::Ports | Group::Gossip | Group::Nginx => true,
        Group::Checks | Group::Handlers => true,
        Group::Agent | Group::Clock | Group::Keys => false,
    }
}

fn ring(loaded: Option<&Loaded>) -> doctor::Ring {
    loaded.map_or(doctor::Ring::Unknown, |loaded| host::ring(&loaded.config))
}

fn keys<'a>(loaded: Option<&Loaded>, ring_before: doctor::Ring, heard: &'a Heard) -> doctor::Keys<'a> {
    doctor::Keys {
        ring: ring(loaded),
        ring_before,
        seal: loaded.map(|loaded| seal_name(loaded.config.encryption.seal)),
        agent: heard.document(),
        agreement: heard.agreement.clone(),
    }
}

/// An error with its causes before its way out.
fn trouble(error: &impl Explain) -> doctor::Trouble {
    let failure = Failure::of_error(Exit::Failed, error);
    let way_out = failure.remedy().unwrap_or_default().to_owned();
    doctor::Trouble { what: failure.message().to_owned(), way_out }
}

const fn seal_name(seal: Seal) -> &'static str {
    match seal {
        Seal::Auto => "auto",
        Seal::Session => "session",
        Seal::Memberlist => "memberlist",
        Seal::Off => "off",
    }
}

/// Runs what waits for disks or programs off the conversation's thread. `None` if it failed altogether.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok().flatten()
}

/// 1 with errors, 8 with warnings alone; the other two levels are no trouble, unless somebody wants to be strict.
fn exit_code(report: &Report, strict: bool) -> Exit {
    match report.worst() {
        Some(Level::Error) => Exit::Failed,
        Some(Level::Warn) => {
            if strict {
                Exit::Failed
            } else {
                Exit::Attention
            }
        }
        Some(Level::Info | Level::Skip) | None if strict && report.count(Level::Skip) > 0 => Exit::Failed,
        Some(Level::Info | Level::Skip) | None => Exit::Done,
    }
}

/// A line for each finding, never cut: the way out stands at its end.
fn render(report: &Report, output: &Output) -> String {
    let mut table = Table::new(&["LEVEL", "CHECK", "FINDING"]);
    for finding in &report.findings {
        let text = match &finding.remedy {
            Some(remedy) => format!("{}; {remedy}", finding.message),
            None => finding.message.clone(),
        };
        table.row([finding.level.as_str(), finding.id, &text]);
    }
    let paint = |column, text: &str| if column == 0 { output.paint_state(text) } else { text.to_owned() };
    table.render(Layout::default(), paint) + &report.summary() + "\n"
}

/// The directory of a path; a bare name is in the working directory.
fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(levels: &[Level]) -> Report {
        let mut findings = Findings::default();
        levels.iter().for_each(|level| findings.add(*level, "x.y", "s", "m", "r"));
        Report::new(findings)
    }

    #[test]
    fn exit_codes_follow_the_worst_finding() {
        use Level::{Error, Info, Skip, Warn};
        for (levels, usual, strict) in [
            (&[][..], Exit::Done, Exit::Done),
            (&[Info], Exit::Done, Exit::Done),
            (&[Info, Skip], Exit::Done, Exit::Failed),
            (&[Warn, Skip], Exit::Attention, Exit::Failed),
            (&[Info, Warn, Error], Exit::Failed, Exit::Failed),
        ] {
            assert_eq!(
                (exit_code(&report(levels), false), exit_code(&report(levels), true)),
                (usual, strict),
                "{levels:?}"
            );
        }
    }

    #[test]
    fn groups_are_accepted_by_name_and_others_refused_with_the_list() {
        for known in Group::ALL {
            assert_eq!(group(known.as_str()), Ok(known));
        }
        assert!(group("nginz").unwrap_err().way_out.ends_with("gossip, keys, nginx, checks, handlers is accepted"));
    }

    #[test]
    fn a_line_has_level_check_message_and_way_out() {
        let output = Output::new(super::super::output::Format::Text, super::super::output::Color::Never, false);
        let mut findings = Findings::default();
        findings.info("keys.envelope", "a", "a\tb understands only the memberlist envelope", "");
        findings.error("gossip.udp", "web2", "web2: TCP 7946 takes connections, UDP 7946 does not answer", "open UDP");
        findings.pass("gossip.tcp", "web2");
        assert_eq!(
            render(&Report::new(findings), &output),
            "error  gossip.udp     web2: TCP 7946 takes connections, UDP 7946 does not answer; open UDP\n\
             info   keys.envelope  a\\tb understands only the memberlist envelope\n\
             1 check passed, 1 error\n"
        );
    }
}
