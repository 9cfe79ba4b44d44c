//! `weir drain`: no new requests to a node until that is taken back (`ux §3.3`).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connect::AgentArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::job;
use super::output::Output;
use super::parse;
use super::session::{Cause, Session, SessionError};
use super::story::{Story, command, failure, list};
use crate::drain::document::{Line, Start};
use crate::escape::escape;

/// How long the guard of an application looks for an agent that was there or is to come, and how often.
const GUARD_PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(300);
/// It asks no more after this time, for its unit does not wait much longer.
const GUARD_ASKS: Duration = Duration::from_secs(40);

/// Send no new requests to this node, also after a restart, until that is taken back.
///
/// Every balancer confirms, then requests on their way are waited for. It goes on if this command is interrupted.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A plain Serf agent drains by its tag: 'serf tags -set weir_drain=1'. 6 = a balancer would have too few \
                  servers (min_healthy), and the node goes on to serve; or it is being stopped, and cannot be undone; 7 = not \
                  every balancer confirmed in time, and it stays draining; or another node has the order, and how that ends \
                  is not known."
)]
pub(crate) struct Drain {
    /// Another node, which obeys if its leave.remote_drain is true
    member: Option<String>,
    /// Take it back: the node serves again
    #[arg(long, conflicts_with_all = ["force", "no_wait", "guard", "reason"])]
    undo: bool,
    /// Why, for whoever looks
    #[arg(long, value_name = "TEXT", value_parser = parse::reason)]
    reason: Option<String>,
    /// Do not wait for the balancers; it stays draining until it is undone
    #[arg(long)]
    no_wait: bool,
    /// Stay draining although a balancer would have too few servers: out as soon as there is another
    #[arg(long)]
    force: bool,
    /// For the guard of this application's unit: mark the drain as its own, unless that unit goes on; without an agent there is
    /// nothing to do
    #[arg(
        long,
        hide = true,
        value_name = "UNIT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        conflicts_with = "member"
    )]
    guard: Option<String>,
    /// For the guard of this application's unit: take back what it alone asked for, or without a name what guards asked for;
    /// without an agent there is nothing to do
    #[arg(
        long,
        hide = true,
        value_name = "UNIT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        requires = "undo",
        conflicts_with = "member"
    )]
    if_guard: Option<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Drain {
    pub(crate) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if let Some(unit) = self.guard.clone().filter(|unit| !unit.is_empty()) {
            let shown = escape(&unit).into_owned();
            if tokio::task::spawn_blocking(move || job::is_left_alone(&unit)).await.unwrap_or(false) {
                output.notice(&format!("notice: {shown} goes on, its guard alone is stopped"));
                return Ok(Exit::Done);
            }
        }
        let told = self.told(output).await.map_err(|failure| self.undrained(failure))?;
        let Some((own, story)) = told else { return Ok(Exit::Done) };
        let other = self.other(&own);
        let is_begun = self.no_wait && story.end().is_none();
        if let Some(failed) = failure(&story, other, self.undo).filter(|_| !is_begun) {
            return Err(self.waiting(failed));
        }
        if output.is_json() {
            output.json(story.outcome())?;
        } else {
            output.text(&(said(&story, self.undo, &self.way_back(other)) + "\n"))?;
        }
        let is_lost = matches!(story.end(), Some(Line::RemoteLost { .. }));
        Ok(if is_lost { Exit::Incomplete } else { Exit::Done })
    }

    /// The node that is meant, if it is not the agent's own.
    fn other(&self, own: &str) -> Option<&str> {
        self.member.as_deref().filter(|member| *member != own)
    }

    /// The agent's own name and what it tells to the end; `None` where there is no agent, and that is nothing to complain of.
    ///
    /// A guard's application stops as soon as this ends. So a guard waits for an agent that is on its way, and asks again where
    /// others end what it waits for.
    async fn told(&self, output: &Output) -> Result<Option<(String, Story)>, Failure> {
        let end = Instant::now() + GUARD_ASKS;
        let mut until = Instant::now() + GUARD_PATIENCE;
        loop {
            let (failure, is_to_come) = match self.attempt(output).await {
                Ok((_, story)) if self.guard.is_some() && story.is_ended_by_others() => {
                    until = Instant::now() + GUARD_PATIENCE;
                    let late = Failure::new(Exit::Incomplete, "others have ended this again and again");
                    (Some(late.with_remedy("'weir status' shows how it is")), true)
                }
                Ok(told) => return Ok(Some(told)),
                Err(NotTold::Failed(failure)) => return Err(failure),
                Err(NotTold::Absent) => {
                    let is_to_come = tokio::task::spawn_blocking(job::is_agent_to_come);
                    (None, self.guard.is_some() && is_to_come.await.unwrap_or(false))
                }
                // One that ends takes whoever calls and says nothing any more.
                Err(NotTold::Silent(failure)) => (Some(failure), true),
                Err(NotTold::Lost(failure)) => {
                    // Restarted just now, it goes on with the drain.
                    until = Instant::now() + GUARD_PATIENCE;
                    (Some(failure), self.guard.is_some())
                }
            };
            if !is_to_come || Instant::now() >= until.min(end) {
                return failure.map_or(Ok(None), Err);
            }
            sleep(RETRY).await;
        }
    }

    async fn attempt(&self, output: &Output) -> Result<(String, Story), NotTold> {
        let mut session = self.session(output).await?;
        let own = session.own_name().await?;
        let mut story = Story::new(self.other(&own).unwrap_or(&own));
        self.tell(&mut session, &mut story, output).await?;
        Ok((own, story))
    }

    async fn tell(&self, session: &mut Session, story: &mut Story, output: &Output) -> Result<(), SessionError> {
        let start = Start {
            member: self.member.clone(),
            undo: self.undo,
            // Nobody waits for a refusal.
            force: self.force || self.no_wait && self.member.is_none(),
            guard: self.is_guard(),
            unit: self.guard.clone().or_else(|| self.if_guard.clone()).filter(|unit| !unit.is_empty()),
            reason: self.reason.clone(),
        };
        let started = session.weir(&start).await?;
        // Whoever does not wait has heard enough once others are told.
        let enough: fn(&Line) -> bool =
            if self.no_wait { |line| matches!(line, Line::Draining { .. }) } else { |_| false };
        story.follow(session, started, output, enough).await
    }

    /// For the journal of a guard that has not heard how its drain ends: its application stops, and systemd waits no longer.
    fn undrained(&self, failure: Failure) -> Failure {
        let Some(unit) = &self.guard else { return failure };
        let whose = if unit.is_empty() { "its application".into() } else { escape(unit) };
        let what = format!("{}, and {whose} stops all the same, drained or not", failure.message());
        let told = Failure::new(failure.exit(), what);
        match (failure.exit(), failure.remedy()) {
            (Exit::NoAgent, _) => told.with_remedy("'systemctl restart weir' if the agent hangs"),
            (_, Some(remedy)) => told.with_remedy(remedy),
            (_, None) => told,
        }
    }

    /// A guard's drain ends with its application's return, not by an operator's word.
    fn way_back(&self, other: Option<&str>) -> String {
        match self.guard.as_deref() {
            None => {
                let undo = command(&["weir", "drain", "--undo"], other);
                format!("undo with: {}", undo.trim_matches('\''))
            }
            Some("") => "it serves again once its application is back".to_owned(),
            Some(unit) => format!("it serves again once {} is back", escape(unit)),
        }
    }

    /// What a guard's drain still waits for nobody has to ask for once more.
    fn waiting(&self, failed: Failure) -> Failure {
        if self.guard.is_none() || failed.exit() != Exit::Incomplete {
            return failed;
        }
        Failure::new(failed.exit(), failed.message()).with_remedy(self.way_back(None))
    }

    fn is_guard(&self) -> bool {
        self.guard.is_some() || self.if_guard.is_some()
    }

    async fn session(&self, output: &Output) -> Result<Session, NotTold> {
        if !self.is_guard() {
            return Session::open(&self.agent, output).await.map_err(NotTold::Failed);
        }
        Session::connect(&self.agent, output).await.map_err(|none| match none.cause {
            Cause::Absent => NotTold::Absent,
            Cause::Silent if self.guard.is_some() => NotTold::Silent(none.failure),
            _ => NotTold::Failed(none.failure),
        })
    }
}

/// Why a story is not heard to its end.
enum NotTold {
    /// There is no agent, for a guard.
    Absent,
    /// Somebody is there who does not talk, to a guard whose application is about to stop.
    Silent(Failure),
    /// The agent has gone away.
    Lost(Failure),
    Failed(Failure),
}

impl From<SessionError> for NotTold {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Lost(failure) if failure.exit() == Exit::NoAgent => Self::Lost(failure),
            error => Self::Failed(error.into()),
        }
    }
}

/// The answer.
fn said(story: &Story, undoes: bool, way_back: &str) -> String {
    let node = escape(story.member());
    match story.end() {
        Some(Line::Drained { unreachable, gone, .. }) if !unreachable.is_empty() || !gone.is_empty() => {
            let failed = (!unreachable.is_empty()).then(|| format!("{} failed", have(unreachable)));
            let left = (!gone.is_empty()).then(|| format!("{} left without having confirmed that", have(gone)));
            let them = failed.into_iter().chain(left).collect::<Vec<_>>().join(", and ");
            format!("{node} is draining; {them}, and may still send it requests; {way_back}")
        }
        Some(Line::Drained { unheard: true, .. }) => {
            format!("{node} is draining; no balancer is there to confirm that; {way_back}")
        }
        Some(Line::Drained { .. }) if story.is_kept() => {
            format!("{node} gets no new requests, also after a restart; {way_back}")
        }
        Some(Line::Drained { .. }) => format!("{node} gets no new requests until its agent stops; {way_back}"),
        Some(Line::Undone { id: None, stays: false, .. }) => format!("{node} was not draining"),
        Some(Line::Undone { stays: true, operator, guards, .. }) => stays(&node, *operator, guards),
        Some(Line::Undone { ended_guards, .. }) => format!("{node} serves again{}", ended(ended_guards)),
        Some(Line::RemoteLost { text, .. }) => {
            let order = if undoes { "serve again" } else { "drain" };
            let why = if text.is_empty() { "it does not answer any more".into() } else { escape(text) };
            let then = if undoes { String::new() } else { format!("; {way_back}") };
            format!("{node} is asked to {order}; how that ends is not known: {why}{then}")
        }
        Some(_) | None => format!("{node} is draining; {way_back}"),
    }
}

/// `; also ended the drain of guard app.service, which has not come back`, of what an operator's undo ended beside its own.
fn ended(guards: &[String]) -> String {
    let named: Vec<&str> = guards.iter().map(String::as_str).filter(|unit| !unit.is_empty()).collect();
    match (guards, &named[..]) {
        ([], _) => String::new(),
        (_, []) => "; also ended the drain of a guard, whose application has not come back".to_owned(),
        (_, [unit]) => {
            let unit = escape(unit);
            format!(
                "; also ended the drain of guard {unit}, which has not come back, and asks again if it is stopping only now"
            )
        }
        (_, units) => {
            let units = list(units);
            format!(
                "; also ended the drains of guards {units}, which have not come back, and ask again if they are stopping only now"
            )
        }
    }
}

/// Why a guard's undo is not the end of a drain. An older agent has an operator alone for a reason.
fn stays(node: &str, operator: bool, guards: &[String]) -> String {
    let named: Vec<&str> = guards.iter().map(String::as_str).filter(|unit| !unit.is_empty()).collect();
    let down = match named[..] {
        [] if guards.is_empty() => None,
        [] => Some("another application is down".to_owned()),
        [unit] => Some(format!("{} is down", escape(unit))),
        _ => Some(format!("{} are down", list(&named))),
    };
    match down {
        Some(down) if !operator => format!("{node} stays drained, for {down}"),
        Some(down) => format!("{node} stays drained, for an operator asked for that, and {down}"),
        None => format!("{node} stays drained, for an operator asked for that"),
    }
}

/// `lb1 has`, `lb1, lb2 have`.
fn have(names: &[String]) -> String {
    let verb = if names.len() == 1 { "has" } else { "have" };
    format!("{} {verb}", list(names))
}
