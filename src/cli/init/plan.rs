//! What is to be done, decided from what was asked for and what was found, without touching anything.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::beside::both_families;
use super::change::Change;
use super::document::{Body, Document};
use super::existing::{Contradiction, contradictions};
use super::facts::{Balanced, Candidate, Facts, Found, Pending, Ring, is_replaced};
use super::guard::{Amendment, Application, Guarded, Order, Standing, Steps};
use super::joining::Web;
use super::nginx::{self, Nginx};
use super::site::{self, Fit, Own, Port80, Wish};
use super::wanted::{Wanted, shown};
use super::{Kind, document, joining, port};
use crate::agent::reach::Peer;
use crate::config::{Advertise, BindAddress, Config, ConfigErrors};
use crate::crypto::KeyId;
use crate::error::Trouble;
use crate::upstream::UpstreamName;

/// The steps, in the order in which they are done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) steps: Vec<Step>,
    /// Of the configuration.
    pub(super) upstreams: Vec<UpstreamName>,
    /// What `--unit` asks of a configuration that somebody has edited, so that it is not ours to change.
    pub(super) by_hand: Amendment,
}

/// One thing, and whether it is to be done.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) action: Action,
    pub(super) state: State,
}

/// Whether a step is to be done, and who has a say in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// It is as it should be.
    Done,
    /// It is weir's own, and done at once.
    Ours,
    /// It touches other software, and waits for a word.
    Theirs,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    /// The keyring.
    Ring { key: RingKey, path: PathBuf },
    /// The configuration. `text` is empty where it stays as it is.
    Configuration { text: String, aside: Option<PathBuf>, summary: Summary },
    /// A file of the configuration that the agent may not read, or that others may write.
    Open(PathBuf),
    /// Other software that stands between this server and the others, or that is to run here; before anything is started.
    Change(Change),
    /// The units, enabled and running.
    Units(Start),
    /// The unit that drains while an application is away.
    Guard(Application, Steps),
    /// The one of an application that was named before.
    Unguard(Application, Order),
    /// A site on port 80; `new` is `None` where it stays as it is: `own` is what is there.
    Site { path: PathBuf, upstream: UpstreamName, new: Option<SiteText>, own: Option<Own> },
    /// An NGINX that is installed, by its unit.
    StartNginx { unit: String },
}

/// A site that is to be put in place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct SiteText {
    pub(super) text: String,
    /// The link to the welcome page, which goes.
    pub(super) without: Option<PathBuf>,
    /// Somebody has edited that page.
    pub(super) edited: bool,
    /// What it takes the place of: the site of an earlier run.
    pub(super) replaces: Option<String>,
}

/// Where the ring's key comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum RingKey {
    /// A new one, that nobody else has.
    New,
    /// The cluster's, which is given.
    Cluster,
    /// It is there.
    Held(KeyId),
    /// The unit brings it along, by this name.
    Credential(String),
    /// Nothing is encrypted, by the configuration.
    None,
}

/// How the units come to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// They run, with this configuration.
    Nothing,
    /// Not all of them do.
    Stopped,
    /// The agent runs, and has not taken over all of the configuration.
    Outdated,
    /// They run with another configuration.
    Changed,
    /// The same, under another name or address: the others are to know that the one so far has gone.
    Moved,
}

/// A configuration in a few words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Summary {
    pub(super) role: Option<String>,
    pub(super) upstreams: Vec<UpstreamName>,
    /// It is the one that we write, whose upstream selects this role.
    pub(super) selects: Option<&'static str>,
    pub(super) join: Vec<String>,
    /// Of the web server that was found: who listens there, and how that is checked.
    pub(super) web: Option<(String, String)>,
    /// The unit that is checked besides.
    pub(super) unit: Option<String>,
}

/// What was asked for in the meantime.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    /// The member to join, where its key or its configuration may be written.
    pub(super) peer: Option<Peer>,
    pub(super) address: Option<IpAddr>,
    /// Of a web server that has no configuration yet.
    pub(super) web: Option<Web>,
    /// A web server that does not run, of a server that is configured.
    pub(super) stopped: Option<Change>,
}

/// Why there is no plan. Nothing was changed.
#[derive(Debug)]
pub(super) enum Refused {
    /// The configuration that is there cannot be read.
    Wrong(ConfigErrors),
    /// The agent may not read it, and that is not init's to change.
    Closed(Trouble),
    /// It says something else.
    Contradicted(Vec<Contradiction>),
    /// The keyring cannot be used.
    Ring(Trouble),
    /// Nobody said which.
    SeveralAddresses(Vec<Candidate>),
    NoSystemd,
    /// A unit of the package is not there.
    NoUnit(&'static str),
    /// An administrator does not want it to run.
    Masked(&'static str),
    /// A check of this application would keep the server out.
    Application(Application, Standing),
    /// A web server has to be told where its cluster is.
    NoJoin,
    /// `--site yes`, and these have port 80.
    OtherSite {
        upstream: UpstreamName,
        places: Vec<String>,
    },
    /// What a web server would have for its site passes requests on to other servers.
    BalancersSite {
        path: PathBuf,
        upstream: UpstreamName,
    },
}

impl Plan {
    pub(super) fn make(wanted: &Wanted, facts: &Facts, answers: &Answers) -> Result<Self, Refused> {
        refuse_units(facts)?;
        let Configured { step: configuration, by_hand, is_amended } = configuration(wanted, facts, answers)?;
        let ring = ring(wanted, facts)?;
        let is_new = !is_amended && configuration.state != State::Done || ring.state != State::Done;
        if let Some(trouble) = &facts.access.trouble {
            return Err(Refused::Closed(trouble.clone()));
        }
        let upstreams = match &configuration.action {
            Action::Configuration { summary, .. } => summary.upstreams.clone(),
            _ => Vec::new(),
        };
        if let Some((path, upstream)) = &facts.balancers_site
            && upstreams.is_empty()
            && is_on_port_80(facts, answers)
        {
            return Err(Refused::BalancersSite { path: path.clone(), upstream: upstream.clone() });
        }
        let site =
            facts.nginx.as_ref().map(|found| site(wanted, found, &upstreams, facts.ipv6_alone)).transpose()?.flatten();
        let mut steps = vec![ring, configuration];
        let open = |path: &PathBuf| Step { action: Action::Open(path.clone()), state: State::Ours };
        steps.extend(facts.access.closed.iter().map(open));
        steps.extend(changes(wanted, facts, answers, site.is_some()));
        steps.push(units(facts, (is_new, is_moved(wanted, facts)), is_amended));
        steps.extend(facts.guarded.iter().flat_map(|guarded| guards(guarded, &by_hand)));
        steps.extend(site);
        steps.extend(facts.nginx.as_ref().and_then(|found| start_nginx(&found.nginx)));
        Ok(Self { kind: wanted.kind, steps, upstreams, by_hand })
    }

    /// Where the ring's key comes from.
    pub(super) fn key(&self) -> Option<&RingKey> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::Ring { key, .. } => Some(key),
            _ => None,
        })
    }

    /// Whether what this server is to the cluster is written anew.
    pub(super) fn is_new(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Ring { .. } | Action::Configuration { .. } => step.state != State::Done,
            Action::Open(_)
            | Action::Change(_)
            | Action::Units(_)
            | Action::Guard(..)
            | Action::Unguard(..)
            | Action::Site { .. }
            | Action::StartNginx { .. } => false,
        })
    }

    /// The site that was edited and passes requests to upstreams that are not kept, and the one that is.
    pub(super) fn astray(&self) -> Option<(&Path, &Own, &UpstreamName)> {
        self.steps.iter().find_map(|step| match &step.action {
            Action::Site { path, upstream, new: None, own: Some(own) } if !own.fits(&self.upstreams) => {
                Some((path.as_path(), own, upstream))
            }
            _ => None,
        })
    }

    /// What waits for a word.
    pub(super) fn theirs(&self) -> impl Iterator<Item = &Step> + Clone {
        self.steps.iter().filter(|step| step.state == State::Theirs)
    }
}

/// What of systemd's units is in the way, whatever else is asked for.
pub(super) fn refuse_units(facts: &Facts) -> Result<(), Refused> {
    if !facts.units.systemd {
        return Err(Refused::NoSystemd);
    }
    if let Some(unit) = facts.units.masked() {
        return Err(Refused::Masked(unit));
    }
    if let Some(unit) = facts.units.missing() {
        return Err(Refused::NoUnit(unit));
    }
    let refused = facts.guarded.as_ref().and_then(|guarded| Some((&guarded.application, guarded.refusal()?)));
    refused.map_or(Ok(()), |(application, standing)| Err(Refused::Application(application.clone(), standing)))
}

/// What is in the way, and a web server that does not run.
fn changes(wanted: &Wanted, facts: &Facts, answers: &Answers, has_site: bool) -> Vec<Step> {
    let needs = joining::needs(wanted.kind, answers.web.as_ref(), has_site, Some(&facts.coming));
    let start = answers.web.as_ref().and_then(|web| web.start.clone()).or_else(|| answers.stopped.clone());
    let all = start.into_iter().chain(facts.walls.openings(needs));
    all.map(|change| Step { action: Action::Change(change), state: State::Theirs }).collect()
}

/// Whether a web server's site is where a balancer has its own.
fn is_on_port_80(facts: &Facts, answers: &Answers) -> bool {
    match (&answers.web, &facts.configuration) {
        (Some(web), _) => web.port == 80,
        (None, Found::Read(loaded)) => loaded.config.node.tags.get("port").is_none_or(|port| port == "80"),
        (None, Found::Missing | Found::Wrong(_)) => true,
    }
}

/// Those of former applications go before another comes. Whose check is left to be taken out by hand is a former one still.
fn guards(guarded: &Guarded, by_hand: &Amendment) -> Vec<Step> {
    let steps = Application::steps(guarded.known);
    let state = if steps.is_empty() { State::Done } else { State::Ours };
    let former = guarded.former.iter().filter_map(|former| {
        let is_checked = by_hand.remove.iter().any(|(_, unit)| *unit == former.application.unit());
        let order = if is_checked { Order::Stays } else { Order::Goes };
        let action = Action::Unguard(former.application.clone(), order);
        (former.is_guarded || !is_checked).then_some(Step { action, state: State::Ours })
    });
    former.chain([Step { action: Action::Guard(guarded.application.clone(), steps), state }]).collect()
}

/// Only where NGINX would read it.
fn site(
    wanted: &Wanted,
    found: &Balanced,
    upstreams: &[UpstreamName],
    ipv6_alone: bool,
) -> Result<Option<Step>, Refused> {
    let Balanced { nginx, upstream, output } = found;
    let path = site::path(output);
    let is_there = |state| matches!(state, nginx::State::Running | nginx::State::Stopped);
    let step = |new: Option<SiteText>| {
        let state = if new.is_some() { State::Theirs } else { State::Done };
        let own = match &nginx.port80 {
            Port80::Ours(own) => Some(own.clone()),
            _ => None,
        };
        Some(Step { action: Action::Site { path: path.clone(), upstream: upstream.clone(), new, own }, state })
    };
    Ok(match site::wish(wanted.site, &nginx.port80, upstreams) {
        Wish::Refused(places) => return Err(Refused::OtherSite { upstream: upstream.clone(), places }),
        Wish::Kept => step(None),
        Wish::Renew(written) => {
            let fit = Fit { upstream, addresses: &written.addresses, ipv6: nginx.ipv6, min_timeout: nginx.min_timeout };
            step(Some(SiteText { text: fit.text(), without: None, edited: false, replaces: Some(written.text) }))
        }
        Wish::Put(welcome) if is_there(nginx.state.clone()) && nginx.reads.is_some() => {
            let addresses = welcome.reached(ipv6_alone);
            let fit = Fit { upstream, addresses: &addresses, ipv6: nginx.ipv6, min_timeout: nginx.min_timeout };
            let edited = matches!(nginx.port80, Port80::Edited(_));
            step(Some(SiteText { text: fit.text(), without: welcome.link.clone(), edited, replaces: None }))
        }
        Wish::Put(_) | Wish::Nothing => None,
    })
}

/// Where nobody else has its port.
fn start_nginx(nginx: &Nginx) -> Option<Step> {
    let may = nginx.state == nginx::State::Stopped && !matches!(nginx.port80, Port80::Program(_));
    let action = || Action::StartNginx { unit: nginx.unit.clone() };
    (may && !nginx.unit.is_empty()).then(|| Step { action: action(), state: State::Theirs })
}

fn ring(wanted: &Wanted, facts: &Facts) -> Result<Step, Refused> {
    let (key, state) = match &facts.ring {
        Ring::Held(id) => (RingKey::Held(*id), State::Done),
        Ring::Credential(name) => (RingKey::Credential(name.clone()), State::Done),
        Ring::None => (RingKey::None, State::Done),
        Ring::Missing if facts.ring_place.is_some() => {
            return Err(Refused::Closed(facts.ring_place.clone().unwrap_or_default()));
        }
        Ring::Missing if wanted.join.is_some() => (RingKey::Cluster, State::Ours),
        Ring::Missing => (RingKey::New, State::Ours),
        Ring::Bad(trouble) => return Err(Refused::Ring(trouble.clone())),
    };
    Ok(Step { action: Action::Ring { key, path: facts.ring_path.clone() }, state })
}

/// What becomes of the configuration.
struct Configured {
    step: Step,
    by_hand: Amendment,
    /// Of what there was another unit is checked, and nothing else has changed.
    is_amended: bool,
}

fn configuration(wanted: &Wanted, facts: &Facts, answers: &Answers) -> Result<Configured, Refused> {
    let aside = match &facts.configuration {
        Found::Missing => None,
        Found::Wrong(errors) if !wanted.force => return Err(Refused::Wrong(errors.clone())),
        Found::Read(loaded) if !is_replaced(&loaded.config, wanted, facts.guarded.as_ref()) => {
            let contradictions = contradictions(&loaded.config, wanted);
            return match contradictions.is_empty() {
                true => Ok(kept(&loaded.config, facts)),
                false => Err(Refused::Contradicted(contradictions)),
            };
        }
        Found::Read(_) | Found::Wrong(_) => Some(facts.aside.clone()),
    };
    let document = document(wanted, facts, answers)?;
    let web = answers.web.as_ref().filter(|_| wanted.kind == Kind::Web);
    let upstreams = match &document.body {
        Body::Balancer { upstream } => vec![upstream.clone()],
        Body::Web { .. } => Vec::new(),
    };
    let summary = Summary {
        role: Some(document.role.clone()),
        selects: (!upstreams.is_empty()).then_some(document::SELECTED),
        upstreams,
        join: document.join.clone().into_iter().collect(),
        web: web.map(|web| (port::words(web.port, web.listener.as_ref()), web.check().words())),
        unit: document.unit().map(ToOwned::to_owned),
    };
    let step = Step { action: Action::Configuration { text: document.text(), aside, summary }, state: State::Ours };
    Ok(Configured { step, by_hand: Amendment::default(), is_amended: false })
}

/// It says what was asked for, but perhaps for the application. A file that nobody has edited gets the check of that.
fn kept(config: &Config, facts: &Facts) -> Configured {
    let summary = Summary {
        role: config.node.tags.get("role").cloned(),
        upstreams: config.upstreams.iter().map(|upstream| upstream.options.name.clone()).collect(),
        selects: None,
        join: config.gossip.join.iter().map(shown).collect(),
        web: None,
        unit: None,
    };
    let asked = facts.guarded.as_ref().map(|guarded| guarded.amendment(config)).unwrap_or_default();
    let (amended, by_hand) = match &facts.written {
        Some(written) => {
            let (amended, left) = written.amended(asked);
            (Some(amended).filter(|amended| amended != written), left)
        }
        None => (None, asked),
    };
    let summary = Summary { unit: amended.as_ref().and_then(Document::unit).map(ToOwned::to_owned), ..summary };
    let is_amended = amended.is_some();
    let text = amended.map(|amended| amended.text()).unwrap_or_default();
    let state = if is_amended { State::Ours } else { State::Done };
    Configured {
        step: Step { action: Action::Configuration { text, aside: None, summary }, state },
        by_hand,
        is_amended,
    }
}

fn document(wanted: &Wanted, facts: &Facts, answers: &Answers) -> Result<Document, Refused> {
    if wanted.kind == Kind::Web && wanted.join.is_none() {
        return Err(Refused::NoJoin);
    }
    let mut tags = wanted.tags.clone();
    let body = match wanted.kind {
        Kind::Balancer => Body::Balancer { upstream: wanted.upstream() },
        Kind::Web => {
            let unasked = || Web { port: wanted.port.unwrap_or(80), ..Web::default() };
            let web = answers.web.clone().unwrap_or_else(unasked);
            // What balancers take without a word needs no tag.
            if web.port != 80 {
                tags.entry("port".to_owned()).or_insert_with(|| web.port.to_string());
            }
            Body::Web { check: web.check(), unit: web.unit }
        }
    };
    Ok(Document {
        role: wanted.role().to_owned(),
        name: wanted.name.clone(),
        tags,
        bind: bind(wanted, facts, answers),
        advertise: advertise(wanted, facts, answers)?,
        join: wanted.join.as_ref().map(shown),
        body,
    })
}

/// What was named is written down, for whoever names it again finds it; and one of several. The only one is found again by itself, also
/// when it has become another.
fn advertise(wanted: &Wanted, facts: &Facts, answers: &Answers) -> Result<Option<IpAddr>, Refused> {
    if wanted.address.is_some() {
        return Ok(wanted.address);
    }
    match (&facts.addresses[..], answers.address) {
        ([only], Some(chosen)) if only.ip == chosen => Ok(None),
        (_, Some(chosen)) => Ok(Some(chosen)),
        ([] | [_], None) => Ok(None),
        (_, None) if !facts.beside.is_open() => Ok(None),
        (several, None) => Err(Refused::SeveralAddresses(several.to_vec())),
    }
}

/// Whether others are to know this server by another name or address than the one that the agent has. Who joins nobody is not sent away
/// from those who know it.
fn is_moved(wanted: &Wanted, facts: &Facts) -> bool {
    let Found::Read(loaded) = &facts.configuration else { return false };
    let is_named = wanted.name.as_ref().is_some_and(|name| name != loaded.config.node.name.as_str());
    let is_placed = wanted.address.is_some_and(|address| facts.former() != Some(address));
    wanted.join.is_some() && (is_named || is_placed)
}

/// Only where this server is reached, or reaches the member that it joins, by IPv6, and no file beside it says what is bound.
fn bind(wanted: &Wanted, facts: &Facts, answers: &Answers) -> Option<BindAddress> {
    let advertised = match facts.beside.advertise {
        Some(Advertise::Address(ip, _)) => Some(ip),
        Some(Advertise::Auto | Advertise::FirstPrivate) => None,
        None => wanted.address.or(answers.address),
    };
    let joins_by_ipv6 = answers.peer.is_some_and(|peer| peer.addr.is_ipv6());
    let is_ipv6 = joins_by_ipv6 || advertised.map_or(facts.ipv6_alone, |ip| ip.is_ipv6());
    (is_ipv6 && facts.beside.bind.is_none()).then(both_families)
}

fn units(facts: &Facts, (is_new, is_moved): (bool, bool), is_amended: bool) -> Step {
    let units = &facts.units;
    let start = match (units.agent_runs(), facts.pending) {
        (true, _) if is_new && is_moved => Start::Moved,
        (true, Pending::Restart) => Start::Changed,
        (true, _) if is_new => Start::Changed,
        (true, Pending::Live) => Start::Outdated,
        (true, Pending::Nothing) if is_amended => Start::Outdated,
        (true, Pending::Nothing) if units.all_run() => Start::Nothing,
        (true | false, _) => Start::Stopped,
    };
    let is_done = start == Start::Nothing && units.all_enabled();
    Step { action: Action::Units(start), state: if is_done { State::Done } else { State::Ours } }
}
