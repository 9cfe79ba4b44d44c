//! What the running agent says: what it sees, whether others answer it, and what they say.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::{Cause, NotConnected, Session, SessionError};
use crate::config::When;
use crate::rpc::proto::{MembersQuery, QueryRecord};
use crate::rpc::weir::{self, Reloaded};
use crate::serf::{QueryParams, Status};
use crate::status::Known;
use crate::status::doctor::{Agent, Agreement, Group, PeerClock, Pending, Trouble};
use crate::status::node::{Document, Member};
use crate::status::probe::{CLOCK_QUERY, Probe, Probed};

/// Members that are tried; more would say the same.
pub(super) const MAX_MEMBERS: usize = 128;
/// Members whose clock is asked for: their names must fit in a query.
const MAX_CLOCKS: usize = 24;
/// The agent answers each question within this time, or the answer is done without.
const PATIENCE: Duration = Duration::from_secs(5);
const CLOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that was heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) agent: Agent,
    /// Of an agent that is not ours; ours tells of them in its document.
    foreign: Vec<Member>,
    pub(super) pending: Option<Pending>,
    pub(super) agreement: Agreement,
    /// Who answered pings of the agent's; `None` if it was not asked.
    pub(super) probed: Option<Probed>,
    /// Packets came in while it pinged.
    pub(super) hears: bool,
    pub(super) clocks: Vec<PeerClock>,
}

impl Heard {
    fn nothing(agent: Agent) -> Self {
        Self {
            agent,
            foreign: Vec::new(),
            pending: None,
            agreement: Agreement::NotAsked,
            probed: None,
            hears: false,
            clocks: Vec::new(),
        }
    }

    /// The agent's process, where it is one of this host.
    pub(super) fn pid(&self) -> Option<u32> {
        self.document().map(|document| document.node.pid).filter(|pid| *pid != 0)
    }

    /// What the agent knows, if it is ours.
    pub(super) fn document(&self) -> Option<&Document> {
        match &self.agent {
            Agent::Running(document) => Some(document),
            Agent::Absent(_) | Agent::Silent { .. } | Agent::Denied(_) | Agent::Foreign => None,
        }
    }

    /// By whichever agent there is.
    pub(super) fn members(&self) -> &[Member] {
        self.document().map_or(&self.foreign, |document| &document.members)
    }
}

/// Asks what the wanted groups need.
pub(super) async fn hold(args: &AgentArgs, output: &Output, wants: impl Fn(Group) -> bool) -> Result<Heard, Failure> {
    let mut session = match Session::connect(args, output).await {
        Ok(session) => session,
        Err(failed) => return not_connected(failed),
    };
    let document = match timeout(PATIENCE, session.weir(&weir::NodeStatus { members: true })).await {
        Ok(Ok(document)) => document,
        // That a token is wanted shows with the first command.
        Ok(Err(SessionError::Lost(failure))) if failure.exit() == Exit::NotPermitted => {
            return not_connected(failure.into());
        }
        // Whoever does not know the question is another agent. Who says nothing may be ours.
        Ok(Err(_)) => return foreign(session).await,
        Err(_elapsed) => return Ok(silent(&session)),
    };
    // A node without a name speaks with nobody, so there is nothing to ask the others through it.
    let speaks = !document.node.silenced;
    let encrypted = !document.keys.keys.is_empty();
    let members = &document.members;
    let (pending, agreement, probed, clocks) = tokio::join!(
        when(wants(Group::Config), pending(args, output)),
        when(wants(Group::Keys) && encrypted && speaks, agreement(args, output)),
        when(wants(Group::Gossip) && speaks, probe(args, output, members)),
        when(wants(Group::Clock) && speaks, clocks(args, output, members)),
    );
    let hears = match &probed {
        Some(Some(_)) => within(session.weir(&weir::NodeStatus { members: false }))
            .await
            .is_some_and(|later| later.traffic.packets_in > document.traffic.packets_in),
        Some(None) | None => false,
    };
    Ok(Heard {
        agent: Agent::Running(Box::new(document)),
        foreign: Vec::new(),
        pending: pending.flatten(),
        agreement: agreement.unwrap_or(Agreement::NotAsked),
        probed: probed.flatten(),
        hears,
        clocks: clocks.unwrap_or_default(),
    })
}

/// What Serf's agent, or an older one of ours, can tell. One that is there and does not answer that either hangs.
async fn foreign(mut session: Session) -> Result<Heard, Failure> {
    let own = match timeout(PATIENCE, session.own_name()).await {
        Ok(Ok(own)) => own,
        Ok(Err(SessionError::Lost(failure))) if failure.exit() == Exit::NotPermitted => {
            return not_connected(failure.into());
        }
        Ok(Err(_)) => String::new(),
        Err(_elapsed) => return Ok(silent(&session)),
    };
    let members = within(session.members(&MembersQuery::default())).await.unwrap_or_default();
    let member = |member: super::super::members::Member| {
        Some(Member {
            addr: member.addr.parse().ok()?,
            status: Known::named(&member.status),
            since: None,
            tags: member.tags,
            envelope: None,
            own: member.name == own,
            name: member.name,
        })
    };
    Ok(Heard { foreign: members.into_iter().filter_map(member).collect(), ..Heard::nothing(Agent::Foreign) })
}

fn silent(session: &Session) -> Heard {
    let what = format!("the agent at {} takes requests and does not answer them", session.address());
    Heard::nothing(Agent::Silent { what })
}

/// Nobody there, or nobody for us. What makes no sense is for whoever typed it.
fn not_connected(NotConnected { cause, failure }: NotConnected) -> Result<Heard, Failure> {
    let trouble = Trouble::new(failure.message(), failure.remedy().unwrap_or_default());
    Ok(Heard::nothing(match cause {
        Cause::Absent => Agent::Absent(trouble),
        Cause::Silent => Agent::Silent { what: trouble.what },
        Cause::Denied => Agent::Denied(trouble),
        Cause::Unusable => return Err(failure),
    }))
}

async fn when<T>(wanted: bool, work: impl Future<Output = T>) -> Option<T> {
    if wanted { Some(work.await) } else { None }
}

/// An answer in time, if it is one.
async fn within<T>(asked: impl Future<Output = Result<T, SessionError>>) -> Option<T> {
    timeout(PATIENCE, asked).await.ok()?.ok()
}

/// What a reload would change.
async fn pending(args: &AgentArgs, output: &Output) -> Option<Pending> {
    let mut session = Session::open(args, output).await.ok()?;
    match timeout(PATIENCE, session.weir(&weir::Reload { dry_run: true })).await.ok()? {
        Ok(Reloaded { changes }) => {
            let keys =
                |when| changes.iter().filter(|change| change.when.is(&when)).map(|change| change.key.clone()).collect();
            Some(Pending { live: keys(When::Live), restart: keys(When::Restart), refused: None })
        }
        Err(SessionError::Refused(refusal)) => {
            let first = refusal.details.into_iter().next().unwrap_or(refusal.what);
            Some(Pending { refused: Some(first), ..Pending::default() })
        }
        Err(SessionError::Unsupported(_) | SessionError::Lost(_)) => None,
    }
}

async fn agreement(args: &AgentArgs, output: &Output) -> Agreement {
    let mut session = match Session::open(args, output).await {
        Ok(session) => session,
        Err(failure) => return Agreement::Failed(failure.message().to_owned()),
    };
    match timeout(PATIENCE * 2, session.weir(&weir::KeysStatus {})).await {
        Ok(Ok(status)) => Agreement::Told(status),
        Ok(Err(error)) => Agreement::Failed(Failure::from(error).message().to_owned()),
        Err(_elapsed) => Agreement::Failed("the members took too long".to_owned()),
    }
}

/// Members worth trying: all but ourselves and those that left.
pub(super) fn tried(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| !member.own && !member.status.is(&Status::Left))
}

async fn probe(args: &AgentArgs, output: &Output, members: &[Member]) -> Option<Probed> {
    let members = tried(members).take(MAX_MEMBERS).map(|member| member.name.clone()).collect();
    let mut session = Session::open(args, output).await.ok()?;
    within(session.weir(&Probe { members })).await
}

/// Asks weir agents for their time. Others would hand the question to their handlers, so they are left alone.
async fn clocks(args: &AgentArgs, output: &Output, members: &[Member]) -> Vec<PeerClock> {
    let is_ours = |member: &&Member| member.envelope.as_deref() == Some("session");
    let ours = tried(members).filter(|member| member.status.is(&Status::Alive)).filter(is_ours);
    let nodes: Vec<String> = ours.take(MAX_CLOCKS).map(|member| member.name.clone()).collect();
    let expected = nodes.len();
    let mut clocks = Vec::new();
    if nodes.is_empty() {
        return clocks;
    }
    let Ok(mut session) = Session::open(args, output).await else { return clocks };
    let question =
        QueryParams { name: CLOCK_QUERY.to_owned(), nodes, timeout: Some(CLOCK_PATIENCE), ..QueryParams::default() };
    let (asked, wall) = (Instant::now(), SystemTime::now());
    let all = async {
        session.query(question).await?;
        while clocks.len() < expected {
            match session.answer().await? {
                QueryRecord::Response { from, payload } => clocks.extend(read_clock(from, &payload, asked, wall)),
                QueryRecord::Ack { .. } => {}
                QueryRecord::Done => break,
            }
        }
        Ok::<(), SessionError>(())
    };
    // Whoever has answered by then has answered.
    let _in_time = timeout(PATIENCE, all).await;
    clocks
}

/// Its clock against ours at the middle of the question's way.
fn read_clock(name: String, payload: &[u8], asked: Instant, wall: SystemTime) -> Option<PeerClock> {
    let theirs: i64 = std::str::from_utf8(payload).ok()?.trim().parse().ok()?;
    let half = asked.elapsed() / 2;
    let ours = i64::try_from((wall + half).duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()?;
    let uncertainty_ms = u64::try_from(half.as_millis()).ok()?;
    Some(PeerClock { name, offset_ms: theirs.checked_sub(ours)?, uncertainty_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_read_or_left_out() {
        let read = |payload: &[u8]| read_clock("a".into(), payload, Instant::now(), SystemTime::now());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let clock = read((now + 94_000).to_string().as_bytes()).unwrap();
        assert!((clock.offset_ms - 94_000).abs() < 5_000, "{clock:?}");
        assert!(read(b"yesterday").is_none() && read(&[0xff]).is_none() && read(b"-9223372036854775808").is_none());
    }
}
