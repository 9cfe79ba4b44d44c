//! Upstreams: every selected member, what became of it and why.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Change, Probe};
use crate::status::Known;
use crate::status::health::CheckHealth;
use crate::upstream::{
    self, Absence, Decision, Generation, HoldReason, Intent, Judged, MinHealthy, Mode, Servers, UpstreamName,
    VerdictReason, Witness,
};
use crate::wire::NodeName;

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
    /// Since when that is in place.
    pub live_since: Option<String>,
    /// What NGINX should have and has not.
    pub waiting: Vec<Change>,
    /// An operator froze it.
    pub held: Option<Held>,
    /// Too few servers are well, so that those that were in and are merely ill stay in. `mode` is left a while later.
    pub panic: bool,
    /// Why NGINX keeps what it has, where that is what it should have.
    pub kept: Option<Known<Kept>>,
    /// Its file; `None` without one.
    pub output: Option<String>,
    /// NGINX passes on connections of its `stream` block, and no requests.
    pub stream: bool,
    /// Since when the group does as it does.
    pub since: Option<String>,
    /// Fewest servers that must be well for mode normal.
    pub floor: usize,
    /// Selected members that have not left; those with weight 0 do not count.
    pub base: usize,
    /// What the floor rests on; an older agent does not say.
    pub min_healthy: Option<MinHealthy>,
    /// Every selected member that can be a server, sorted by name.
    pub servers: Vec<Server>,
    /// Selected members that cannot, sorted by name.
    pub left_out: Vec<LeftOut>,
}

/// Since when an operator holds it, and why.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Held {
    pub since: Option<String>,
    pub reason: Option<String>,
}

/// What NGINX should have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Servers,
    /// A line without a server: [`Upstream::unserved`].
    Placeholder,
    /// What it has.
    Hold,
}

/// Why NGINX keeps what it has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Everybody who was in has left.
    AllLeft,
    /// An operator holds it, and nothing is recorded of it.
    Unrecorded,
    /// There is no server yet, and a file was there before weir's first.
    Before,
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
    /// Of the requests, by what is live; 0 where it is out of that, or waits as a backup.
    #[serde(default)]
    pub share: f64,
    #[serde(default)]
    pub backup: bool,
    /// Since when it has this state, whatever the reasons were.
    #[serde(default)]
    pub since: Option<String>,
    /// Since when gossip says of it what it does; `None` of one that is no member.
    #[serde(default)]
    pub gossip_since: Option<String>,
    pub reason: Known<VerdictReason>,
    /// What the evidence about it comes to; an older agent does not say.
    #[serde(default)]
    pub witness: Option<Known<Witness>>,
    /// Until when it is held down for changing too often, if it is.
    #[serde(default)]
    pub held_down_until: Option<String>,
    /// The reason in words.
    #[serde(default)]
    pub why: String,
    /// Tags of it that were not taken as they are.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What this balancer's probes say of it; `None` where it is not probed.
    #[serde(default)]
    pub probe: Option<Probe>,
    /// The check of its own that speaks against it, in the words of its last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckHealth>,
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
    Itself,
    Address,
    NotAPort,
    PortOutside,
    Duplicate,
    Replaced,
    TooMany,
}

impl Upstream {
    /// One that was not decided about yet.
    pub fn undecided(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// What becomes of a visitor where there is no server. `None` where that is not in place: what NGINX has instead is not known.
    pub fn unserved(&self) -> Option<&'static str> {
        let unserved = if self.stream { "connections are closed" } else { "requests are answered 502" };
        self.live.then_some(unserved)
    }

    /// What was decided, beside what is `live`. Since when that is in place is for whoever applies it to add.
    pub fn decided(name: &UpstreamName, decision: &Decision, live: Option<&Servers>) -> Self {
        let (want, lines) = match &decision.want {
            upstream::Want::Servers(servers) => (Want::Servers, servers.as_slice()),
            upstream::Want::Placeholder => (Want::Placeholder, &[][..]),
            upstream::Want::Hold(_) => (Want::Hold, &[][..]),
        };
        let serving: BTreeMap<&NodeName, &upstream::Server> =
            lines.iter().filter(|line| !line.down).map(|line| (&line.member, line)).collect();
        let shares = live.map(shares).unwrap_or_default();
        let server = |judged: &Judged| {
            let share = shares.get(&judged.name).copied().unwrap_or_default();
            Server::new(judged, serving.get(&judged.name).copied(), share, decision.lingers())
        };
        let left_out = decision.left_out.iter().map(|(member, reason)| LeftOut {
            member: member.as_str().to_owned(),
            reason: LeftOutReason::from(reason).into(),
            why: reason.to_string(),
            remedy: Some(reason.remedy(name, member)),
        });
        let kept = match &decision.want {
            upstream::Want::Hold(HoldReason::AllLeft) => Some(Kept::AllLeft.into()),
            upstream::Want::Hold(HoldReason::Unrecorded) => Some(Kept::Unrecorded.into()),
            upstream::Want::Servers(_) | upstream::Want::Placeholder => None,
        };
        Self {
            mode: Some(decision.mode.into()),
            want: Some(want.into()),
            panic: want == Want::Servers && decision.is_panic(),
            kept,
            floor: decision.floor,
            base: decision.base,
            servers: decision.members.iter().map(server).collect(),
            left_out: left_out.collect(),
            ..Self::undecided(name.as_str())
        }
    }

    /// The same where whoever applies left the file that was there before, for want of a server.
    pub fn untouched(self) -> Self {
        match self.want.as_ref().and_then(Known::word) {
            Some(Want::Placeholder) => {
                let kept = if self.held.is_some() { Kept::Unrecorded } else { Kept::Before };
                Self { want: Some(Want::Hold.into()), kept: Some(kept.into()), ..self }
            }
            Some(Want::Servers | Want::Hold) | None => self,
        }
    }

    /// How many servers get requests.
    pub fn serving(&self) -> usize {
        self.servers.iter().filter(|server| server.state.is(&ServerState::In)).count()
    }

    /// How many of them are in because the upstream is held, though all evidence is against them.
    pub fn held_in(&self) -> usize {
        self.servers.iter().filter(|server| server.is_held_in()).count()
    }
}

/// Of the requests.
fn shares(servers: &Servers) -> BTreeMap<&NodeName, f64> {
    let all_wait = servers.serving().all(|server| server.backup);
    let sharing = || servers.serving().filter(|server| !server.backup || all_wait);
    let total: u32 = sharing().map(|server| u32::from(server.weight.get())).sum();
    sharing().map(|server| (&server.member, f64::from(server.weight.get()) / f64::from(total))).collect()
}

impl Server {
    /// Whether it is in because the upstream is held, though all evidence is against it.
    pub fn is_held_in(&self) -> bool {
        let is_against = |witness: &Witness| matches!(witness.intent(), Intent::Sick | Intent::Dead | Intent::Gone);
        self.state.is(&ServerState::In)
            && self.reason.is(&VerdictReason::Held)
            && self.witness.as_ref().and_then(Known::word).is_some_and(is_against)
    }

    /// `line` is where it gets requests; `lingers`: enough are well again, and those that were kept stay a while.
    fn new(judged: &Judged, line: Option<&upstream::Server>, share: f64, lingers: bool) -> Self {
        let Judged { name, draft, verdict, .. } = judged;
        Self {
            member: name.as_str().to_owned(),
            addr: line.map_or(draft.addr, |line| line.addr),
            state: if line.is_some() { ServerState::In } else { ServerState::without_line(judged) }.into(),
            weight: draft.weight,
            share,
            backup: draft.backup,
            since: None,
            gossip_since: None,
            reason: verdict.reason.into(),
            witness: Some(judged.witness.into()),
            held_down_until: None,
            why: why(judged, line.is_some(), lingers),
            notes: draft.notes.iter().map(ToString::to_string).collect(),
            probe: None,
            check: None,
        }
    }
}

/// The group's or an operator's word where it outweighs the evidence, else the evidence.
fn why(judged: &Judged, serves: bool, lingers: bool) -> String {
    use VerdictReason as Reason;
    match judged.verdict.reason {
        reason @ (Reason::KeptByFloor | Reason::DrainRefused) if serves && lingers && judged.draft.weight > 0 => {
            let kept = if reason == Reason::DrainRefused { "draining refused" } else { "kept in" };
            format!("{kept} for a moment yet: too few were well just before ({})", judged.witness)
        }
        // In mode last it keeps the line that it had.
        reason if judged.draft.weight == 0 && serves => format!("{reason} (weight 0)"),
        _ if judged.draft.weight == 0 => "weight 0".to_owned(),
        Reason::In | Reason::Gone | Reason::Dead | Reason::Ill | Reason::NotProven | Reason::NoNewEvidence => {
            judged.witness.to_string()
        }
        // Kept are those alone that were in.
        Reason::KeptByFloor if !serves => judged.witness.to_string(),
        Reason::LastGoodSet if !serves => format!("not in the last good set, which is kept ({})", judged.witness),
        Reason::DrainRefused if !serves => format!("wants no requests, and was out before ({})", judged.witness),
        reason @ (Reason::KeptByFloor | Reason::LastGoodSet | Reason::NeededThoughFlapping | Reason::Held) => {
            format!("{reason} ({})", judged.witness)
        }
        reason @ (Reason::DrainPromised | Reason::Draining | Reason::DrainRefused | Reason::Flapping) => {
            reason.to_string()
        }
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AllLeft => "every server has left, the last ones stay",
            Self::Unrecorded => "nothing is recorded of it yet, its file stays as it is",
            Self::Before => "no server yet, the file that was there before stays",
        })
    }
}

impl ServerState {
    /// Each of them.
    pub const ALL: [Self; 8] =
        [Self::In, Self::Down, Self::Warming, Self::Draining, Self::Held, Self::Flapping, Self::Gone, Self::LeftOut];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Down => "down",
            Self::Warming => "warming",
            Self::Draining => "draining",
            Self::Held => "held",
            Self::Flapping => "flapping",
            Self::Gone => "gone",
            Self::LeftOut => "left_out",
        }
    }

    /// Of one that gets no requests.
    fn without_line(judged: &Judged) -> Self {
        match judged.absence() {
            Absence::Down => Self::Down,
            Absence::Warming => Self::Warming,
            Absence::Draining => Self::Draining,
            Absence::Held => Self::Held,
            Absence::Flapping => Self::Flapping,
            Absence::Gone => Self::Gone,
            Absence::LeftOut => Self::LeftOut,
        }
    }
}

impl std::fmt::Display for ServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&upstream::LeftOut> for LeftOutReason {
    fn from(reason: &upstream::LeftOut) -> Self {
        match reason {
            upstream::LeftOut::NotSelected { .. } => Self::NotSelected,
            upstream::LeftOut::Itself => Self::Itself,
            upstream::LeftOut::Address { .. } => Self::Address,
            upstream::LeftOut::NotAPort { .. } => Self::NotAPort,
            upstream::LeftOut::PortOutside { .. } => Self::PortOutside,
            upstream::LeftOut::Duplicate { .. } => Self::Duplicate,
            upstream::LeftOut::Replaced { .. } => Self::Replaced,
            upstream::LeftOut::TooMany => Self::TooMany,
        }
    }
}

#[cfg(test)]
mod tests;
