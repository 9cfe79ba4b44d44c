//! What the running agent says: what it sees, whether others answer it, and what they say.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::{Door, Session, SessionError, Unopened};
use crate::config::When;
use crate::rpc::proto::{MembersQuery, QueryRecord, Stats};
use crate::rpc::weir::{self, Reloaded};
use crate::serf::QueryParams;
use crate::status::doctor::{Agent, Agreement, Group, PeerClock, Pending};
use crate::status::document::{AgentView, CLOCK_QUERY, MemberView, Probe, Probed};

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
    pub(super) view: Option<AgentView>,
    /// From whichever agent there is.
    pub(super) members: Vec<MemberView>,
    pub(super) pending: Option<Pending>,
    pub(super) agreement: Agreement,
    /// Who answered pings of the agent's; `None` if it was not asked.
    pub(super) probed: Option<Probed>,
    pub(super) clocks: Vec<PeerClock>,
}

impl Heard {
    fn nothing(agent: Agent) -> Self {
        Self {
            agent,
            view: None,
            members: Vec::new(),
            pending: None,
            agreement: Agreement::NotAsked,
            probed: None,
            clocks: Vec::new(),
        }
    }

    /// The agent's process, where it is one of this host.
    pub(super) fn pid(&self) -> Option<u32> {
        self.view.as_ref().map(|view| view.pid).filter(|pid| *pid != 0)
    }
}

/// Asks what the wanted groups need.
pub(super) async fn hold(args: &AgentArgs, output: &Output, wants: impl Fn(Group) -> bool) -> Result<Heard, Failure> {
    let mut session = match Session::knock(args, output).await {
        Ok(session) => session,
        Err(unopened) => return closed_door(unopened),
    };
    let silent = |session: &Session| {
        let what = format!("the agent at {} takes requests and does not answer them", session.address());
        Heard::nothing(Agent::Silent { what })
    };
    let stats = match timeout(PATIENCE, session.stats()).await {
        Ok(Ok(stats)) => Some(stats),
        // That a token is wanted shows with the first command.
        Ok(Err(SessionError::Lost(failure))) if failure.exit() == Exit::NotPermitted => {
            return closed_door(failure.into());
        }
        Ok(Err(_)) => None,
        Err(_elapsed) => return Ok(silent(&session)),
    };
    // Whoever answers that it does not know the question, or hangs up on it as Serf does, is another agent. Who says nothing
    // may be ours.
    let view = match timeout(PATIENCE, session.weir(&weir::Doctor {})).await {
        Ok(answer) => answer.ok(),
        Err(_elapsed) => return Ok(silent(&session)),
    };
    let Some(view) = view else {
        let members = match Session::open(args, output).await {
            Ok(mut session) => within(session.members(&MembersQuery::default())).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let own = stats.and_then(|stats| stats.get("agent")?.get("name").cloned()).unwrap_or_default();
        let members = members.into_iter().filter_map(|member| {
            let (addr, own) = (member.addr.parse().ok()?, member.name == own);
            Some(MemberView { name: member.name, addr, status: member.status, envelope: String::new(), own })
        });
        return Ok(Heard { members: members.collect(), ..Heard::nothing(Agent::Foreign) });
    };
    let encrypted = !view.keys.is_empty();
    let (pending, agreement, probed, clocks) = tokio::join!(
        when(wants(Group::Config), pending(args, output)),
        when(wants(Group::Keys) && encrypted, agreement(args, output)),
        when(wants(Group::Gossip), probe(args, output, &view)),
        when(wants(Group::Clock), clocks(args, output, &view)),
    );
    Ok(Heard {
        agent: running(&view, stats.as_ref()),
        members: view.members.clone(),
        view: Some(view),
        pending: pending.flatten(),
        agreement: agreement.unwrap_or(Agreement::NotAsked),
        probed: probed.flatten(),
        clocks: clocks.unwrap_or_default(),
    })
}

/// Nobody there, or nobody for us. What makes no sense is for whoever typed it.
fn closed_door(Unopened { door, failure }: Unopened) -> Result<Heard, Failure> {
    let what = failure.message().to_owned();
    let way_out = failure.remedy().unwrap_or_default().to_owned();
    Ok(Heard::nothing(match door {
        Door::Absent => Agent::Absent { what, way_out },
        Door::Silent => Agent::Silent { what },
        Door::Denied => Agent::Denied { what, way_out },
        Door::Nonsense => return Err(failure),
    }))
}

fn running(view: &AgentView, stats: Option<&Stats>) -> Agent {
    let value = |group: &str, key: &str| stats.and_then(|stats| stats.get(group)?.get(key).cloned());
    Agent::Running {
        version: view.version.clone(),
        silenced: view.silenced,
        name: view.name.clone(),
        health_score: value("serf", "health_score").and_then(|score| score.parse().ok()),
        apply: value("upstreams", "last_apply").and_then(|text| failed_apply(&text)),
    }
}

/// The reason of `refused, 3 s ago: REASON`; `None` if it went well.
fn failed_apply(text: &str) -> Option<String> {
    let (head, reason) = text.split_once(" ago: ")?;
    let word = head.split(',').next()?;
    matches!(word, "refused" | "rolled_back" | "failed").then(|| reason.to_owned())
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
                |when| changes.iter().filter(|change| change.when == when).map(|change| change.key.clone()).collect();
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
pub(super) fn tried(members: &[MemberView]) -> impl Iterator<Item = &MemberView> {
    members.iter().filter(|member| !member.own && member.status != "left")
}

async fn probe(args: &AgentArgs, output: &Output, view: &AgentView) -> Option<Probed> {
    let members = tried(&view.members).take(MAX_MEMBERS).map(|member| member.name.clone()).collect();
    let mut session = Session::open(args, output).await.ok()?;
    within(session.weir(&Probe { members })).await
}

/// Asks weir agents for their time. Others would hand the question to their handlers, so they are left alone.
async fn clocks(args: &AgentArgs, output: &Output, view: &AgentView) -> Vec<PeerClock> {
    let ours = tried(&view.members).filter(|member| member.status == "alive" && member.envelope == "session");
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
    fn only_an_apply_that_went_wrong_is_told() {
        for (text, told) in [
            ("live, 3 s ago: generation 4 live in 3 ms", None),
            ("stored, 3 s ago: nginx.service is not running; start it", None),
            ("refused, 3 s ago: cannot write /x; mend it", Some("cannot write /x; mend it")),
            ("rolled_back, 1 s ago: nginx accepted", Some("nginx accepted")),
            ("nonsense", None),
        ] {
            assert_eq!(failed_apply(text).as_deref(), told);
        }
    }

    #[test]
    fn a_clock_is_read_or_left_out() {
        let read = |payload: &[u8]| read_clock("a".into(), payload, Instant::now(), SystemTime::now());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let clock = read((now + 94_000).to_string().as_bytes()).unwrap();
        assert!((clock.offset_ms - 94_000).abs() < 5_000, "{clock:?}");
        assert!(read(b"yesterday").is_none() && read(&[0xff]).is_none() && read(b"-9223372036854775808").is_none());
    }
}
