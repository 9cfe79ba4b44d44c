//! Upstreams: every selected member, what became of it and why.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::status::Known;
use crate::upstream::{self, Decision, Generation, Judged, Mode, UpstreamName, VerdictReason};

/// One upstream.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Upstream {
    pub name: String,
    /// How the group does; `None` before the first decision.
    pub mode: Option<Known<Mode>>,
    /// What NGINX should have; `None` before the first decision.
    pub want: Option<Known<Want>>,
    /// What it should have is in place.
    pub live: bool,
    /// The generation that is in place, if it is known.
    pub generation: Option<Generation>,
    /// Since when the group does as it does.
    pub since: Option<String>,
    /// Fewest servers that must be well for mode normal.
    pub floor: usize,
    /// Selected members that have not left; those with weight 0 do not count.
    pub base: usize,
    /// Every selected member that can be a server, sorted by name.
    pub servers: Vec<Server>,
    /// Selected members that cannot, sorted by name.
    pub left_out: Vec<LeftOut>,
}

/// What NGINX should have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Servers,
    /// A line that answers 502.
    Placeholder,
    /// What it has.
    Hold,
}

/// A selected member.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Server {
    pub member: String,
    /// Where it serves.
    pub addr: SocketAddr,
    pub state: Known<ServerState>,
    /// As its tag or the configuration says; 0 is down.
    pub weight: u32,
    /// Of the requests; 0 where it is out, or waits as a backup.
    #[serde(default)]
    pub share: f64,
    #[serde(default)]
    pub backup: bool,
    pub reason: Known<VerdictReason>,
    /// The reason in words.
    #[serde(default)]
    pub why: String,
    /// Tags of it that were not taken as they are.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Where it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Requests go there.
    In,
    Down,
    /// It has not proven itself yet.
    Warming,
    Draining,
    /// Frozen outside.
    Held,
    /// It changed too often.
    Flapping,
    /// It has left, or both witnesses are against it.
    Gone,
    /// It could not get a line; the reason stands in `left_out`.
    LeftOut,
}

/// A selected member that is no server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LeftOut {
    pub member: String,
    pub reason: Known<LeftOutReason>,
    /// The reason in words.
    #[serde(default)]
    pub why: String,
    /// What would make a server of it.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// Why it is none.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    NotSelected,
    Address,
    NotAPort,
    PortOutside,
    Duplicate,
    TooMany,
}

impl Upstream {
    /// One that was not decided about yet.
    pub fn undecided(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What was decided. Whether that is in place, and since when, is for whoever applies it to add.
    pub fn decided(name: &UpstreamName, decision: &Decision) -> Self {
        let (want, lines) = match &decision.want {
            upstream::Want::Servers(servers) => (Want::Servers, servers.as_slice()),
            upstream::Want::Placeholder => (Want::Placeholder, &[][..]),
            upstream::Want::Hold(_) => (Want::Hold, &[][..]),
        };
        let lines: BTreeMap<&str, &upstream::Server> =
            lines.iter().filter(|line| !line.down).map(|line| (line.member.as_str(), line)).collect();
        let sharing = |line: &&&upstream::Server| !line.backup || lines.values().all(|line| line.backup);
        let total: u32 = lines.values().filter(sharing).map(|line| u32::from(line.weight.get())).sum();
        let server = |judged: &Judged| {
            let line = lines.get(judged.name.as_str());
            let weight = line.filter(sharing).map_or(0, |line| u32::from(line.weight.get()));
            Server::new(judged, line.is_some(), f64::from(weight) / f64::from(total.max(1)))
        };
        let left_out = decision.left_out.iter().map(|(member, reason)| LeftOut {
            member: member.as_str().to_owned(),
            reason: LeftOutReason::from(reason).into(),
            why: reason.to_string(),
            remedy: Some(reason.remedy(name, member)),
        });
        Self {
            mode: Some(decision.mode.into()),
            want: Some(want.into()),
            floor: decision.floor,
            base: decision.base,
            servers: decision.members.iter().map(server).collect(),
            left_out: left_out.collect(),
            ..Self::undecided(name.as_str())
        }
    }

    /// How many servers get requests.
    pub fn serving(&self) -> usize {
        self.servers.iter().filter(|server| server.state.is(&ServerState::In)).count()
    }
}

impl Server {
    fn new(judged: &Judged, serves: bool, share: f64) -> Self {
        let Judged { name, draft, verdict, .. } = judged;
        Self {
            member: name.as_str().to_owned(),
            addr: draft.addr,
            state: if serves { ServerState::In } else { ServerState::without_line(judged) }.into(),
            weight: draft.weight,
            share,
            backup: draft.backup,
            reason: verdict.reason.into(),
            why: if draft.weight == 0 { "weight 0".to_owned() } else { verdict.reason.to_string() },
            notes: draft.notes.iter().map(ToString::to_string).collect(),
        }
    }
}

impl ServerState {
    /// Of one that gets no requests.
    fn without_line(judged: &Judged) -> Self {
        use VerdictReason as Reason;
        if judged.draft.weight == 0 {
            return Self::Down;
        }
        match judged.verdict.reason {
            _ if judged.verdict.placed.is_in() => Self::LeftOut,
            Reason::DrainPromised | Reason::Draining => Self::Draining,
            Reason::Gone | Reason::Dead => Self::Gone,
            Reason::Held => Self::Held,
            Reason::NotProven => Self::Warming,
            Reason::Flapping => Self::Flapping,
            Reason::LastGoodSet
            | Reason::DrainRefused
            | Reason::NoNewEvidence
            | Reason::KeptByFloor
            | Reason::Ill
            | Reason::NeededThoughFlapping
            | Reason::In => Self::Down,
        }
    }
}

impl From<&upstream::LeftOut> for LeftOutReason {
    fn from(reason: &upstream::LeftOut) -> Self {
        match reason {
            upstream::LeftOut::NotSelected { .. } => Self::NotSelected,
            upstream::LeftOut::Address { .. } => Self::Address,
            upstream::LeftOut::NotAPort { .. } => Self::NotAPort,
            upstream::LeftOut::PortOutside { .. } => Self::PortOutside,
            upstream::LeftOut::Duplicate { .. } => Self::Duplicate,
            upstream::LeftOut::TooMany => Self::TooMany,
        }
    }
}

#[cfg(test)]
mod tests;
