//! Whether it truly works: this server is a member, the balancers reach it both ways, and requests go to it, or what is in the way
//! (`ux §5`, `protocols D.5`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::{Session, SessionError};
use super::asked::asked;
use super::key;
use crate::config::GOSSIP_PORT;
use crate::drain::BALANCER;
use crate::rpc::proto::QueryRecord;
use crate::rpc::weir::NodeStatus;
use crate::serf::{QueryParams, Status};
use crate::status::node::{Document, Drain, Member};
use crate::status::probe::{Probe, Probed};
use crate::status::serving::{Place, SERVING_QUERY, Told, ToldIn};
use crate::status::shell::open_port;
use crate::upstream::Generation;
use crate::upstream::explain::Question;

/// A join takes milliseconds; its second try comes after one second, its fourth after seven.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// Three failures of a check are told after fifteen seconds.
const SERVING_PATIENCE: Duration = Duration::from_secs(30);
/// Nothing but an operator changes what a balancer says for as long.
const SETTLED: Duration = Duration::from_secs(4);
/// A first member may be no balancer, and its word about others takes a round of gossip.
const BALANCER_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
const ASK_EVERY: Duration = Duration::from_millis(500);
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// The agent answers its own clients within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// The way out of a name that another one has. What is there already has the name, so that it is written anew.
const RENAME: &str = "run it again with another --name, and --force";
/// Members that are pinged, and named.
const MAX_PINGED: usize = 32;
const MAX_NAMED: usize = 3;

/// Whether a balancer reaches this server is seen by a connection of its own, which a firewall makes take three seconds.
const BACK_PATIENCE: Duration = Duration::from_secs(5);

/// This server as a member.
#[derive(Debug)]
pub(super) struct Joined {
    /// Its name.
    pub(super) name: String,
    /// How many there are.
    members: usize,
    /// When it joined; `None` if it was a member before.
    at: Option<Instant>,
    /// Where others know it.
    addr: Option<SocketAddr>,
    /// Where others were told to find it before.
    pub(super) former: Option<IpAddr>,
    heard: Heard,
}

/// Waits until somebody else is a member. `way_in` is how another key comes; the agent was started at `started`, or long ago.
pub(super) async fn joined(
    agent: &AgentArgs,
    output: &Output,
    way_in: &str,
    started: Option<Instant>,
) -> Result<Joined, Failure> {
    let until = Instant::now() + JOIN_PATIENCE;
    // Whoever answers at once has answered as the agent started.
    let mut at = started;
    loop {
        let document = document(agent, output).await?;
        refuse_conflict(&document)?;
        if others(&document).next().is_some() {
            let members = document.cluster.alive;
            let addr = document.node.addr;
            let name = document.node.name;
            return Ok(Joined {
                name,
                members,
                at,
                addr,
                former: None,
                heard: Heard { own: addr, ..Heard::default() },
            });
        }
        if let Some(refused) = key::refused(&document, way_in) {
            return Err(refused);
        }
        if Instant::now() >= until {
            return Err(alone(&document));
        }
        output.progress(&format!("  {:<10}nobody has answered yet …", "joined"));
        sleep(PAUSE).await;
        at = Some(Instant::now());
    }
}

/// Another one has this name, by the word of whoever knows it there.
pub(super) fn namesake(name: &str, by: &str, addr: SocketAddr) -> String {
    format!("another member is called '{name}': {by} knows it at {addr}, which is not this server")
}

/// Another one has this node's name, by the agent's word.
fn refuse_conflict(document: &Document) -> Result<(), Failure> {
    let conflict = document.node.name_conflict();
    conflict.map_or(Ok(()), |trouble| Err(Failure::new(Exit::Failed, trouble.what).with_remedy(RENAME)))
}

/// Why nobody was joined in time, in the agent's words.
fn alone(document: &Document) -> Failure {
    let what =
        document.cluster.join_failures.iter().map(|trouble| trouble.what.as_str()).collect::<Vec<_>>().join(", ");
    let way_out = document.cluster.join_failures.first().map(|trouble| trouble.way_out.clone()).unwrap_or_default();
    let what = if what.is_empty() { "nobody was joined".to_owned() } else { what };
    let way_out =
        if way_out.is_empty() { "'journalctl -u weir' says more; weir goes on trying".to_owned() } else { way_out };
    Failure::new(Exit::Incomplete, what).with_remedy(way_out)
}

async fn document(agent: &AgentArgs, output: &Output) -> Result<Document, Failure> {
    let slow =
        || Failure::new(Exit::Incomplete, "the agent does not answer").with_remedy("'journalctl -u weir' says more");
    let question = async |session: &mut Session| {
        Ok(timeout(PATIENCE, session.weir(&NodeStatus { members: true })).await.map_err(|_elapsed| slow())??)
    };
    asked(agent, output, question).await
}

fn others(document: &Document) -> impl Iterator<Item = &Member> {
    document.members.iter().filter(|member| !member.own && member.status.is(&Status::Alive))
}

fn balancers(document: &Document) -> impl Iterator<Item = &Member> {
    others(document).filter(|member| member.tags.get(BALANCER).is_some_and(|tag| tag == "1"))
}

/// How the balancers, or where there is none yet the members, are reached, and reach this server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ways {
    /// They answer pings.
    reached: Vec<String>,
    /// They do not, and take a connection.
    silent: Vec<String>,
    /// They do not, nor do they take a connection any more.
    gone: Vec<String>,
    /// Balancers that have tried to connect to this server, and whether they could.
    back: BTreeMap<String, bool>,
    port: u16,
}

impl Joined {
    /// Pings the balancers, and others beside: only now, for without the key nobody answers a datagram.
    pub(super) async fn ways(&mut self, agent: &AgentArgs, output: &Output) -> Result<Ways, Failure> {
        let document = document(agent, output).await?;
        let balancers: Vec<String> = balancers(&document).map(|member| member.name.clone()).collect();
        let mut members = balancers.clone();
        if members.is_empty() {
            members = others(&document).map(|member| member.name.clone()).collect();
        }
        members.truncate(MAX_PINGED);
        let probe = Probe { members };
        let question = async |session: &mut Session| {
            let probed = timeout(PATIENCE, session.weir(&probe)).await;
            Ok(probed.ok().transpose()?.unwrap_or_default())
        };
        let Probed { reached, silent } = asked(agent, output, question).await?;
        let reached: Vec<String> = reached.into_keys().collect();
        let (silent, gone) = told_apart(silent, &document).await;
        let pinged: Vec<&String> = balancers.iter().filter(|name| reached.contains(*name)).collect();
        let until = Instant::now() + BACK_PATIENCE;
        let is_open =
            |heard: &Heard| heard.namesake().is_some() || pinged.iter().any(|name| heard.back(name).is_none());
        while is_open(&self.heard) && Instant::now() < until {
            output.progress(&format!("  {:<10}asking whether this server is reached …", "joined"));
            self.ask(agent, output, pinged.len()).await?;
            // The members decide whose a name is, which takes seconds.
            if self.heard.namesake().is_some() {
                refuse_conflict(&self::document(agent, output).await?)?;
            }
            sleep(PAUSE).await;
        }
        output.progress("");
        self.refuse_namesake()?;
        let back = pinged.iter().filter_map(|name| Some(((*name).clone(), self.heard.back(name)?))).collect();
        let port = self.addr.map_or(GOSSIP_PORT, |addr| addr.port());
        Ok(Ways { reached, silent, gone, back, port })
    }

    /// What balancers say would be about another host.
    fn refuse_namesake(&self) -> Result<(), Failure> {
        let Some((balancer, addr)) = self.heard.namesake() else { return Ok(()) };
        if self.former == Some(addr.ip()) {
            let what = format!("{balancer} still knows this server at {addr}, where it was before");
            return Err(Failure::new(Exit::Incomplete, what).with_remedy("run it again in half a minute"));
        }
        Err(Failure::new(Exit::Failed, namesake(&self.name, balancer, addr)).with_remedy(RENAME))
    }

    /// `2 members; lb1 answers over TCP and UDP, both ways`.
    pub(super) fn words(&self, ways: &Ways) -> String {
        let is_reached = |name: &String| ways.back.get(name) == Some(&true);
        let both = if ways.reached.iter().all(is_reached) { ", both ways" } else { "" };
        match named(&ways.reached) {
            Some((names, verb)) => format!("{} members; {names} {verb} over TCP and UDP{both}", self.members),
            None => format!("{} members", self.members),
        }
    }
}

/// Those of `silent` that take a connection, and those that do not: of all that at the same time.
async fn told_apart(silent: Vec<String>, document: &Document) -> (Vec<String>, Vec<String>) {
    let mut tries = JoinSet::new();
    for name in silent {
        let addr = others(document).find(|member| member.name == name).map(|member| member.addr);
        tries.spawn(async move {
            let Some(addr) = addr else { return (name, false) };
            let opened = timeout(PATIENCE, TcpStream::connect(addr)).await;
            (name, opened.is_ok_and(|opened| opened.is_ok()))
        });
    }
    let mut tried = tries.join_all().await;
    tried.sort();
    let (silent, gone): (Vec<_>, Vec<_>) = tried.into_iter().partition(|(_, takes)| *takes);
    let names = |tried: Vec<(String, bool)>| tried.into_iter().map(|(name, _)| name).collect();
    (names(silent), names(gone))
}

impl Ways {
    /// Row 11 of `ux §4` about those that do not answer.
    pub(super) fn silence(&self) -> Option<Failure> {
        let port = self.port;
        let Some((names, verb)) = named(&self.silent) else { return self.absence() };
        let what = format!("{names} {verb} over TCP but not UDP");
        let open = open_port(port);
        let way_out = format!("open UDP {port} both ways, otherwise members are suspected again and again: {open}");
        Some(Failure::new(Exit::Incomplete, what).with_remedy(way_out))
    }

    /// About those that neither protocol reaches.
    fn absence(&self) -> Option<Failure> {
        let (names, verb) = named(&self.gone)?;
        let what = format!("{names} {verb} neither over TCP nor UDP");
        Some(Failure::new(Exit::Incomplete, what).with_remedy("'weir doctor' says what is in the way"))
    }

    /// The same about TCP, of those who cannot connect to this server.
    pub(super) fn closed(&self) -> Option<Failure> {
        let port = self.port;
        let closed: Vec<String> =
            self.back.iter().filter(|(_, reached)| !**reached).map(|(name, _)| name.clone()).collect();
        let (names, _) = named(&closed)?;
        let what = format!("{names} cannot connect to TCP {port} of this server");
        let way_out = format!("open {port} TCP and UDP here: {}", open_port(port));
        Some(Failure::new(Exit::Incomplete, what).with_remedy(way_out))
    }
}

/// `lb1, lb2` and the verb that goes with them.
fn named(names: &[String]) -> Option<(String, &'static str)> {
    match names {
        [] => None,
        [one] => Some((one.clone(), "answers")),
        some if some.len() <= MAX_NAMED => Some((some.join(", "), "answer")),
        [first, rest @ ..] => Some((format!("{first} and {} more", rest.len()), "answer")),
    }
}

/// A balancer that sends requests here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Serving {
    pub(super) balancer: String,
    pub(super) generation: Generation,
    /// Since the join; `None` if that is long ago.
    pub(super) after: Option<Duration>,
}

/// What came of waiting for requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub(super) by: Vec<Serving>,
    /// What is in the way of the others.
    pub(super) troubles: Vec<Failure>,
}

/// What balancers have said so far.
#[derive(Debug, Default)]
struct Heard {
    /// Whom it is about.
    own: Option<SocketAddr>,
    last: BTreeMap<String, Told>,
    serving: BTreeMap<String, Serving>,
    /// Since when each says the same.
    since: BTreeMap<String, Instant>,
}

impl Joined {
    /// Waits until balancers have confirmed that requests go here, each of them or as many as do within the time there is.
    pub(super) async fn served(&mut self, agent: &AgentArgs, output: &Output) -> Result<Served, Failure> {
        let begun = Instant::now();
        loop {
            let document = document(agent, output).await?;
            refuse_conflict(&document)?;
            let balancers: Vec<String> = balancers(&document).map(|member| member.name.clone()).collect();
            if balancers.is_empty() && begun.elapsed() >= BALANCER_PATIENCE {
                return Err(Failure::new(Exit::Incomplete, "no balancer is a member yet, so no request comes here")
                    .with_remedy("'sudo weir init lb --join ADDRESS' on the server that is to be one"));
            }
            let begins = Instant::now();
            if !balancers.is_empty() {
                self.ask(agent, output, balancers.len()).await?;
            }
            let is_over = begun.elapsed() >= SERVING_PATIENCE;
            let is_settled = !balancers.is_empty() && balancers.iter().all(|name| self.heard.is_settled(name));
            if is_settled || is_over {
                output.progress("");
                self.refuse_namesake()?;
                return Ok(self.heard.outcome(&balancers, &self.name, document.node.drain.as_ref()));
            }
            let is_open = |name: &&String| !self.heard.serving.contains_key(*name);
            let waits: Vec<&str> = balancers.iter().filter(is_open).map(String::as_str).collect();
            output.progress(&format!("  {:<10}waiting for {} …", "serving", waits.join(", ")));
            sleep(ASK_EVERY.saturating_sub(begins.elapsed())).await;
        }
    }

    /// Asks all balancers once.
    async fn ask(&mut self, agent: &AgentArgs, output: &Output, count: usize) -> Result<(), Failure> {
        let question = QueryParams {
            name: SERVING_QUERY.to_owned(),
            payload: self.name.clone().into(),
            tags: [(BALANCER.to_owned(), "^1$".to_owned())].into(),
            timeout: Some(ANSWER_WITHIN),
            ..QueryParams::default()
        };
        let query = async |session: &mut Session| {
            // Whoever has answered by then has answered; it is asked again.
            let answers = self.answers(session, question.clone(), count);
            timeout(PATIENCE, answers).await.unwrap_or(Ok(())).map_err(Failure::from)
        };
        asked(agent, output, query).await
    }

    async fn answers(
        &mut self,
        session: &mut Session,
        question: QueryParams,
        count: usize,
    ) -> Result<(), SessionError> {
        session.query(question).await?;
        let mut came = 0;
        while came < count {
            match session.answer().await? {
                // A balancer hears itself as well.
                QueryRecord::Response { from, payload } if from != self.name => {
                    if let Some(told) = Told::parse(&payload) {
                        came += 1;
                        self.heard.take(from, told, self.at);
                    }
                }
                QueryRecord::Response { .. } | QueryRecord::Ack { .. } => {}
                QueryRecord::Done => break,
            }
        }
        Ok(())
    }
}

impl Heard {
    fn take(&mut self, from: String, told: Told, joined: Option<Instant>) {
        let now = Instant::now();
        if !self.is_namesake(&told) && told.serving().next().is_some() {
            let serving = Serving {
                balancer: from.clone(),
                generation: told.generation.unwrap_or_default(),
                after: joined.map(|joined| now - joined),
            };
            self.serving.entry(from.clone()).or_insert(serving);
        }
        let is_same = self.last.get(&from).is_some_and(|last| (last.at, &last.upstreams) == (told.at, &told.upstreams));
        if !is_same {
            self.since.insert(from.clone(), now);
        }
        self.last.insert(from, told);
    }

    /// Whether an answer is about another host of this name. One that does not say where it is says where requests go.
    fn is_namesake(&self, told: &Told) -> bool {
        let Some(own) = self.own else { return false };
        match told.at {
            Some(at) => at != own,
            None => told.serving().filter_map(|told| told.addr).any(|addr| addr.ip() != own.ip()),
        }
    }

    /// A balancer that knows another host by this name, and where that is.
    fn namesake(&self) -> Option<(&str, SocketAddr)> {
        let mut others = self.last.iter().filter(|(_, told)| self.is_namesake(told));
        others.find_map(|(from, told)| {
            let addr = told.at.or_else(|| told.serving().find_map(|told| told.addr))?;
            Some((from.as_str(), addr))
        })
    }

    /// Whether that balancer could connect to this server.
    fn back(&self, balancer: &str) -> Option<bool> {
        self.last.get(balancer)?.tcp
    }

    /// Whether nothing will change by itself: requests come, or somebody has to act.
    fn is_settled(&self, balancer: &str) -> bool {
        let needs_somebody = || {
            let last = self.last.get(balancer)?;
            Some(self.is_namesake(last) || last.upstreams.first().is_some_and(needs_somebody))
        };
        let is_settled = || self.since.get(balancer).is_some_and(|since| since.elapsed() >= SETTLED);
        self.serving.contains_key(balancer) || needs_somebody() == Some(true) && is_settled()
    }

    /// `drain` is by the agent's own word.
    fn outcome(&self, balancers: &[String], member: &str, drain: Option<&Drain>) -> Served {
        let mut served = Served::default();
        for balancer in balancers {
            match self.serving.get(balancer) {
                Some(serving) => served.by.push(serving.clone()),
                None => served.troubles.push(obstacle(balancer, member, self.last.get(balancer), drain)),
            }
        }
        served
    }
}

/// Whether what is in the way stays there until an operator acts.
fn needs_somebody(told: &ToldIn) -> bool {
    match told.place.word() {
        Some(Place::NotSelected | Place::Stored) => true,
        Some(Place::Out) => match told.rule.as_ref().and_then(|rule| rule.word()) {
            Some(Question::Selected | Question::Address | Question::Drain | Question::Held) => true,
            Some(
                Question::Gossip
                | Question::Checks
                | Question::Probe
                | Question::Flapping
                | Question::SlowStart
                | Question::Panic,
            )
            | None => false,
        },
        Some(Place::Serving | Place::Waiting) | None => false,
    }
}

/// What keeps requests of `balancer` from `member`, in its own words, and the way out.
fn obstacle(balancer: &str, member: &str, told: Option<&Told>, drain: Option<&Drain>) -> Failure {
    let failure = |why: String, way_out: String| {
        Failure::new(Exit::Incomplete, format!("{balancer} sends no requests to {member}: {why}")).with_remedy(way_out)
    };
    let Some(told) = told else {
        let what = format!("{balancer} does not say whether it sends requests to {member}");
        return Failure::new(Exit::Incomplete, what)
            .with_remedy(format!("'weir explain {member}' on {balancer}, which is perhaps no weir"));
    };
    let Some(first) = told.upstreams.first() else {
        return failure("it has not heard of it yet".to_owned(), format!("'weir explain {member}' on {balancer}"));
    };
    let (why, way_out) = explained(first, balancer, member, drain);
    failure(why, first.remedy.clone().unwrap_or(way_out))
}

/// Why, and what to do where the balancer does not say.
fn explained(told: &ToldIn, balancer: &str, member: &str, drain: Option<&Drain>) -> (String, String) {
    let ToldIn { name, addr, result, why, .. } = told;
    let place = addr.map(|addr| addr.to_string()).unwrap_or_else(|| member.to_owned());
    let ask_there = format!("'weir status' on {balancer} says more");
    let with = |reason: String| if why.is_empty() { reason } else { format!("{reason}: {why}") };
    match told.place.word() {
        Some(Place::NotSelected) => (
            format!("its upstream {name} does not select it: {why}"),
            format!("correct the tags here ('weir tags --set role=web'), or upstream.{name}.select on {balancer}"),
        ),
        Some(Place::Stored) => (with(format!("its upstream {name} has it, and NGINX there does not run")), ask_there),
        Some(Place::Serving | Place::Waiting) | None => {
            (with(format!("its upstream {name} is to have it, and NGINX there does not serve that yet")), ask_there)
        }
        Some(Place::Out) => match told.rule.as_ref().and_then(|rule| rule.word()) {
            Some(Question::Checks) => (
                with(format!("its own check is {result}")),
                "see to what the check looks at; 'weir check list' here shows it".to_owned(),
            ),
            Some(Question::Probe) => (
                with(format!("its probe is {result}")),
                format!("see to what listens on {place}, and open its port for {balancer} in this server's firewall"),
            ),
            Some(Question::Drain) => match drain {
                Some(drain) => (drain.order(), drain.way_out().to_owned()),
                None => ("this server drains".to_owned(), "'weir drain --undo' here".to_owned()),
            },
            Some(Question::Held) => (
                with(format!("its upstream {name} is held by an operator")),
                format!("'weir upstream release {name}' on {balancer}"),
            ),
            Some(Question::Flapping) => (with("it has changed too often".to_owned()), "wait until then".to_owned()),
            Some(Question::Gossip) => (
                with(format!("it is {result} to it")),
                format!("open {GOSSIP_PORT} TCP and UDP here and there: {}", open_port(GOSSIP_PORT)),
            ),
            Some(Question::Address | Question::Selected | Question::SlowStart | Question::Panic) | None => {
                (with(format!("its upstream {name} leaves it out")), format!("'weir explain {member}' on {balancer}"))
            }
        },
    }
}

impl Serving {
    /// `lb1 sends requests to web1: generation 2, confirmed 1.4 s after the join`.
    pub(super) fn words(&self, member: &str) -> String {
        let Self { balancer, generation, after } = self;
        let after = after.map(|after| format!(", confirmed {:.1} s after the join", after.as_secs_f64()));
        format!("{balancer} sends requests to {member}: generation {generation}{}", after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::node::Node;

    fn told(place: Place, rule: Option<(Question, &str)>, why: &str) -> ToldIn {
        ToldIn {
            name: "web".into(),
            place: place.into(),
            addr: Some("10.77.0.12:80".parse().unwrap()),
            rule: rule.map(|(rule, _)| rule.into()),
            result: rule.map(|(_, result)| result.to_owned()).unwrap_or_default(),
            why: why.into(),
            remedy: None,
        }
    }

    fn sentence(told: ToldIn) -> String {
        let all = Told { upstreams: vec![told], ..Told::default() };
        obstacle("lb1", "web1", Some(&all), None).sentence()
    }

    #[test]
    fn what_is_in_the_way_is_said_in_the_balancers_words_with_the_way_out() {
        let out = |rule, result, why| sentence(told(Place::Out, Some((rule, result)), why));
        for (said, wanted) in [
            (
                sentence(told(Place::NotSelected, None, "role=app does not match ^(?:web)$")),
                "its upstream web does not select it: role=app does not match ^(?:web)$; correct the tags here ('weir tags \
                 --set role=web'), or upstream.web.select on lb1",
            ),
            (
                out(Question::Checks, "critical", "site: connection refused"),
                "its own check is critical: site: connection refused; see to what the check looks at; 'weir check list' here \
                 shows it",
            ),
            (
                out(Question::Probe, "down", "GET http://10.77.0.12:80/: timeout, 2 of fall 2"),
                "its probe is down: GET http://10.77.0.12:80/: timeout, 2 of fall 2; see to what listens on 10.77.0.12:80, and \
                 open its port for lb1 in this server's firewall",
            ),
            (out(Question::Drain, "asked", "it wants no new requests"), "this server drains; 'weir drain --undo' here"),
            (
                out(Question::Held, "yes", "since 2026-11-28T15:10:14Z, migration"),
                "its upstream web is held by an operator: since 2026-11-28T15:10:14Z, migration; 'weir upstream release web' \
                 on lb1",
            ),
            (
                out(Question::Flapping, "yes", "3 changes in 60 s are too many"),
                "it has changed too often: 3 changes in 60 s are too many; wait until then",
            ),
            (
                sentence(ToldIn {
                    remedy: Some("add its network to upstream.web.allow".into()),
                    ..told(Place::Out, Some((Question::Address, "no")), "10.77.0.12 is outside the networks of 'allow'")
                }),
                "its upstream web leaves it out: 10.77.0.12 is outside the networks of 'allow'; add its network to \
                 upstream.web.allow",
            ),
            (
                sentence(told(Place::Stored, None, "nginx.service is not running")),
                "its upstream web has it, and NGINX there does not run: nginx.service is not running; 'weir status' on lb1 \
                 says more",
            ),
            (
                sentence(told(Place::Waiting, None, "")),
                "its upstream web is to have it, and NGINX there does not serve that yet; 'weir status' on lb1 says more",
            ),
        ] {
            assert_eq!(said, format!("lb1 sends no requests to web1: {wanted}"));
        }
        let unknown = obstacle("lb1", "web1", Some(&Told::default()), None).sentence();
        assert_eq!(unknown, "lb1 sends no requests to web1: it has not heard of it yet; 'weir explain web1' on lb1");
        assert_eq!(obstacle("lb1", "web1", None, None).exit(), Exit::Incomplete);
    }

    #[test]
    fn whose_drain_it_is_decides_the_way_out() {
        let all = Told { upstreams: vec![told(Place::Out, Some((Question::Drain, "asked")), "")], ..Told::default() };
        for (drain, said) in [
            (
                Drain { operator: true, reason: Some("kernel".into()), ..Drain::default() },
                "it is drained (kernel); undo with 'weir drain --undo'",
            ),
            (
                Drain { guard: true, guards: vec!["app.service".into()], ..Drain::default() },
                "app.service was stopped; start the application again, or 'weir drain --undo' where it runs and has no guard \
                 any more",
            ),
        ] {
            let told = obstacle("lb1", "web1", Some(&all), Some(&drain)).sentence();
            assert_eq!(told, format!("lb1 sends no requests to web1: {said}"));
        }
    }

    #[test]
    fn only_what_heals_by_itself_is_waited_for() {
        let rules = [
            (Question::Selected, true),
            (Question::Address, true),
            (Question::Drain, true),
            (Question::Held, true),
            (Question::Gossip, false),
            (Question::Checks, false),
            (Question::Probe, false),
            (Question::Flapping, false),
        ];
        for (rule, waits) in rules {
            assert_eq!(needs_somebody(&told(Place::Out, Some((rule, "x")), "")), waits, "{rule}");
        }
        assert!(needs_somebody(&told(Place::NotSelected, None, "")));
        assert!(!needs_somebody(&told(Place::Waiting, None, "")));
    }

    #[tokio::test(start_paused = true)]
    async fn each_balancer_is_waited_for_and_told_of() {
        let start = Some(Instant::now());
        let names = ["lb1".to_owned(), "lb2".to_owned()];
        let mut heard = Heard::default();
        let serving = Told {
            generation: Some(Generation(2)),
            upstreams: vec![told(Place::Serving, None, "")],
            ..Told::default()
        };
        tokio::time::advance(Duration::from_millis(1400)).await;
        heard.take("lb1".into(), serving.clone(), start);
        assert!(heard.is_settled("lb1") && !heard.is_settled("lb2"));
        assert_eq!(heard.back("lb1"), None);
        tokio::time::advance(Duration::from_millis(500)).await;
        heard.take("lb1".into(), Told { tcp: Some(true), ..serving }, start);
        assert_eq!(heard.back("lb1"), Some(true));
        let out = Told { tcp: Some(false), upstreams: vec![told(Place::NotSelected, None, "x")], ..Told::default() };
        heard.take("lb2".into(), out.clone(), start);
        assert!(!heard.is_settled("lb2"), "its tags may be on their way");
        tokio::time::advance(SETTLED).await;
        heard.take("lb2".into(), out, start);
        assert!(heard.is_settled("lb2"));
        let served = heard.outcome(&names, "web1", None);
        let lines: Vec<String> = served.by.iter().map(|by| by.words("web1")).collect();
        assert_eq!(lines, ["lb1 sends requests to web1: generation 2, confirmed 1.4 s after the join"]);
        let before = Serving { after: None, ..served.by[0].clone() };
        assert_eq!(before.words("web1"), "lb1 sends requests to web1: generation 2");
        assert_eq!(served.troubles.len(), 1);
        assert!(served.troubles[0].sentence().starts_with("lb2 sends no requests to web1: "));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_of_another_host_of_this_name_is_not_about_this_one() {
        let own: Option<SocketAddr> = "10.77.0.15:7946".parse().ok();
        let serving = |at: Option<&str>| Told {
            at: at.map(|at| at.parse().unwrap()),
            upstreams: vec![told(Place::Serving, None, "")],
            ..Told::default()
        };
        for (at, refused) in [
            (Some("10.77.0.15:7946"), None),
            (Some("10.77.0.12:7946"), Some("10.77.0.12:7946")),
            (Some("10.77.0.15:7947"), Some("10.77.0.15:7947")),
            (None, Some("10.77.0.12:80")),
        ] {
            let heard = Heard { own, ..Heard::default() };
            let mut joined = Joined { name: "web1".into(), members: 3, at: None, addr: own, former: None, heard };
            joined.heard.take("lb1".into(), serving(at), None);
            assert_eq!(joined.heard.serving.is_empty(), refused.is_some(), "{at:?}");
            let wanted = refused.map(|addr| {
                format!(
                    "another member is called 'web1': lb1 knows it at {addr}, which is not this server; run it again with \
                     another --name, and --force"
                )
            });
            assert_eq!(joined.refuse_namesake().err().map(|failure| failure.sentence()), wanted);
            tokio::time::advance(SETTLED).await;
            assert!(joined.heard.is_settled("lb1"));
            // It had to do without the name.
            joined.heard.take("lb1".into(), serving(Some("10.77.0.15:7946")), None);
            assert!(joined.refuse_namesake().is_ok() && !joined.heard.serving.is_empty());
        }
        let elsewhere =
            Document { node: Node { silenced: true, name: "web1".into(), ..Node::default() }, ..Document::default() };
        let told = refuse_conflict(&elsewhere).unwrap_err();
        assert!(told.sentence().ends_with("; run it again with another --name, and --force"), "{told:?}");
        assert_eq!(told.exit(), Exit::Failed);
    }

    #[test]
    fn whoever_is_reached_is_named() {
        let joined =
            Joined { name: "web1".into(), members: 2, at: None, addr: None, former: None, heard: Heard::default() };
        let ways = |names: &[&str], back: &[(&str, bool)]| Ways {
            reached: names.iter().map(|name| (*name).to_owned()).collect(),
            silent: Vec::new(),
            gone: Vec::new(),
            back: back.iter().map(|(name, reached)| ((*name).to_owned(), *reached)).collect(),
            port: 7946,
        };
        for (ways, said) in [
            (ways(&["lb1"], &[("lb1", true)]), "2 members; lb1 answers over TCP and UDP, both ways"),
            (ways(&["a", "b"], &[("a", true)]), "2 members; a, b answer over TCP and UDP"),
            (ways(&["a", "b", "c", "d"], &[]), "2 members; a and 3 more answer over TCP and UDP"),
            (ways(&[], &[]), "2 members"),
        ] {
            assert_eq!(joined.words(&ways), said);
            assert_eq!((ways.silence(), ways.closed()), (None, None));
        }
        let closed = ways(&["lb1"], &[("lb1", false)]).closed().unwrap().sentence();
        assert!(closed.starts_with("lb1 cannot connect to TCP 7946 of this server; open 7946 TCP and UDP here: "));
        let silent = Ways { silent: vec!["lb1".into()], ..ways(&[], &[]) };
        let gone = Ways { gone: vec!["lb1".into()], ..ways(&[], &[]) };
        let told = gone.silence().unwrap().sentence();
        assert_eq!(told, "lb1 answers neither over TCP nor UDP; 'weir doctor' says what is in the way");
        let failure = silent.silence().unwrap();
        assert!(failure.sentence().starts_with(
            "lb1 answers over TCP but not UDP; open UDP 7946 both ways, otherwise members are suspected again and again: "
        ));
        assert_eq!(failure.exit(), Exit::Incomplete);
    }
}
