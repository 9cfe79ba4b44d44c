//! A cluster of both kinds by turns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::support::{Agent, Kind, Member, Settings, same, until};

/// 32 bytes.
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The settings of agent `index`: tags that name it, and one whose value is not only letters.
pub(crate) fn settings(index: usize) -> Settings {
    let role = if index.is_multiple_of(3) { "lb" } else { "web" };
    Settings::key(KEY).tag("role", role).tag("index", &index.to_string()).tag("odd", "a \"b\"\t=ü")
}

/// Agents that have found each other.
pub(crate) struct Cluster {
    pub(crate) agents: Vec<Agent>,
    /// What each member's status has to be; who is missing is unknown.
    pub(crate) expected: BTreeMap<String, &'static str>,
}

impl Cluster {
    /// `weir-0, serf-1, weir-2, …`: each has joined the one before it, so each kind has opened an exchange with the other.
    pub(crate) fn start(size: usize) -> Self {
        Self::start_as(size, |kind, name, index| Agent::prepare(kind, name, settings(index)))
    }

    pub(crate) fn start_as(size: usize, prepare: impl Fn(Kind, &str, usize) -> Agent) -> Self {
        let mut agents: Vec<Agent> = (0..size)
            .map(|index| {
                let kind = if index % 2 == 0 { Kind::Weir } else { Kind::Serf };
                prepare(kind, &format!("{}-{index}", word(kind)), index)
            })
            .collect();
        agents.iter_mut().for_each(Agent::spawn);
        agents.iter_mut().for_each(Agent::await_rpc);
        for pair in agents.windows(2) {
            pair[1].join_to(pair[0].gossip);
        }
        let expected = agents.iter().map(|agent| (agent.name.clone(), "alive")).collect();
        let cluster = Self { agents, expected };
        cluster.agree();
        cluster
    }

    /// One agent of each kind: the first, and the first after it that is of the other.
    pub(crate) fn one_of_each(&self) -> [&Agent; 2] {
        [Kind::Weir, Kind::Serf].map(|kind| self.agents.iter().find(|agent| agent.kind == kind).unwrap())
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.agents.iter().map(|agent| agent.name.clone()).collect()
    }

    /// Waits until every agent that is expected to be alive tells the same of everybody: statuses as expected, and addresses
    /// and tags whatever they are.
    pub(crate) fn agree(&self) -> Vec<Member> {
        let alive = self.alive();
        until(&format!("all agree on {:?}", self.expected), || agreement(&alive, &self.expected))
    }

    /// As [`Self::agree`], with a time after which the difference is told.
    pub(crate) fn agree_within(&self, limit: Duration) -> Result<Vec<Member>, String> {
        let start = Instant::now();
        loop {
            match agreement(&self.alive(), &self.expected) {
                Err(_) if start.elapsed() < limit => std::thread::sleep(Duration::from_millis(20)),
                result => return result,
            }
        }
    }

    fn alive(&self) -> Vec<&Agent> {
        self.agents.iter().filter(|agent| self.expected.get(&agent.name) == Some(&"alive")).collect()
    }

    /// From now on `name` is to be seen so; waits until everybody does.
    pub(crate) fn becomes(&mut self, name: &str, status: &'static str) {
        self.expected.insert(name.to_owned(), status);
        self.agree();
    }

    pub(crate) fn agent(&mut self, name: &str) -> &mut Agent {
        self.agents.iter_mut().find(|agent| agent.name == name).unwrap()
    }

    /// The last names of each kind, so many of each.
    pub(crate) fn last_of_each(&self, count: usize) -> Vec<String> {
        let last = |kind| self.agents.iter().rev().filter(move |agent| agent.kind == kind).take(count);
        last(Kind::Weir).chain(last(Kind::Serf)).map(|agent| agent.name.clone()).collect()
    }
}

/// What all of `agents` tell, if it is the same, and `expected`.
pub(crate) fn agreement(agents: &[&Agent], expected: &BTreeMap<String, &str>) -> Result<Vec<Member>, String> {
    let mut first: Option<(&str, Vec<Member>)> = None;
    for agent in agents {
        let members = agent.members()?;
        let statuses: BTreeMap<_, _> = members.iter().map(|m| (m.name.clone(), m.status.as_str())).collect();
        same(&statuses, expected).map_err(|reason| format!("{}: {reason}", agent.name))?;
        match &first {
            None => first = Some((&agent.name, members)),
            Some((name, other)) => {
                same(&members, other).map_err(|reason| format!("{} against {name}: {reason}", agent.name))?;
            }
        }
    }
    Ok(first.ok_or("nobody is asked")?.1)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Weir => "weir",
        Kind::Serf => "serf",
    }
}
