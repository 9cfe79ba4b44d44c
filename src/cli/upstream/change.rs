//! `weir upstream hold`, `release` and `rollback`: the operator's word.

use std::time::Duration;

use tokio::time::timeout;

use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::parse;
use super::super::session::{Session, SessionError};
use super::{AgentArgs, are};
use crate::error::Trouble;
use crate::rpc::weir::{HoldChanged, Request, RolledBack, UpstreamHold, UpstreamRelease, UpstreamRollback};
use crate::status::node::ApplyResult;
use crate::upstream::Generation;

/// Whoever waits longer is told for what.
const PATIENCE: Duration = Duration::from_secs(2);

/// Freeze an upstream, or all: its servers stay as they are, but for those that leave or drain, until it is released.
///
/// Those come back with the release as well, and not with 'weir drain --undo' before it.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    /// Only this one
    #[arg(value_name = "NAME")]
    upstream: Option<String>,
    /// Why, for whoever finds it held
    #[arg(long, value_name = "TEXT", value_parser = parse::reason)]
    reason: Option<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

/// Thaw an upstream, or all: what had to wait is put in place.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// Only this one
    #[arg(value_name = "NAME")]
    upstream: Option<String>,
    #[command(flatten)]
    agent: AgentArgs,
}

/// Go back to an older generation now, and hold every upstream whose file is another one then.
///
/// Files come back byte for byte: the first line goes on to name the generation that the file was made for. So the file is another
/// one, and the upstream is held, also where its servers were the same.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// That generation; without it, the one before the one in place
    #[arg(value_name = "N")]
    generation: Option<u64>,
    /// Why, for whoever finds it held
    #[arg(long, value_name = "TEXT", value_parser = parse::reason)]
    reason: Option<String>,
    /// Even to one that has no server for an upstream
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    agent: AgentArgs,
}

impl Hold {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let request = UpstreamHold { upstream: self.upstream.clone(), reason: self.reason.clone() };
        let held = ask(&mut session, &request, output).await?;
        ended(&held, &now_held(&held), output)
    }
}

impl Release {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let released = ask(&mut session, &UpstreamRelease { upstream: self.upstream.clone() }, output).await?;
        let told = match (&released.upstreams[..], &released.unchanged[..]) {
            ([], []) => "nothing is held".to_owned(),
            ([], already) => format!("{} not held", are(already)),
            (released, _) => format!("{} released", are(released)),
        };
        ended(&released, &told, output)
    }
}

impl Rollback {
    pub(super) async fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut session = Session::open(&self.agent, output).await?;
        let (to, reason) = (self.generation.map(Generation), self.reason.clone());
        let request = UpstreamRollback { to, reason, force: self.force };
        let went_back = ask(&mut session, &request, output).await?;
        let exit = match went_back.result.as_ref().and_then(|result| result.word()) {
            Some(ApplyResult::Live | ApplyResult::Unchanged) => Exit::Done,
            // It is in place, and nobody has seen it served.
            Some(ApplyResult::Stored) | None => Exit::Attention,
            Some(ApplyResult::Refused | ApplyResult::RolledBack | ApplyResult::Failed) => {
                let failure = Failure::new(Exit::Failed, went_back.message);
                return Err(match went_back.remedy {
                    Some(remedy) => failure.with_remedy(remedy),
                    None => failure,
                });
            }
        };
        if output.is_json() {
            output.json(&went_back)?;
        } else {
            output.text(&format!("{}\n", told(&went_back)))?;
        }
        Ok(exit)
    }
}

/// Its answer comes once whoever applies has put it in place or written it down, and that may be busy or hang.
async fn ask<R: Request>(session: &mut Session, request: &R, output: &Output) -> Result<R::Answer, SessionError> {
    awaited(session.weir(request), || {
        output.notice("  waits for an apply that is under way; 'weir status' shows how it is")
    })
    .await
}

/// Calls `say` once where `answer` takes longer than [`PATIENCE`].
async fn awaited<T>(answer: impl Future<Output = T>, say: impl FnOnce()) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = timeout(PATIENCE, &mut answer).await {
        return answer;
    }
    say();
    answer.await
}

/// `web is held: changes wait until 'weir upstream release web'`, or that it was held already, if for another reason.
fn now_held(HoldChanged { upstreams, explained, unchanged, .. }: &HoldChanged) -> String {
    let newly = (!upstreams.is_empty()).then(|| format!("{} held: {}", are(upstreams), until_released(upstreams)));
    let otherwise = (!explained.is_empty()).then(|| format!("{} held already, now for this reason", are(explained)));
    match newly.into_iter().chain(otherwise).collect::<Vec<_>>() {
        told if !told.is_empty() => told.join("; "),
        _ if unchanged.is_empty() => "there is nothing to hold".to_owned(),
        _ => format!("{} held already", are(unchanged)),
    }
}

/// `changes wait until 'weir upstream release web'`.
fn until_released(held: &[String]) -> String {
    match held {
        [one] => format!("changes wait until 'weir upstream release {one}'"),
        _ => "changes wait until 'weir upstream release'".to_owned(),
    }
}

/// What was told, or that it may not outlive a restart.
fn ended(changed: &HoldChanged, told: &str, output: &Output) -> Result<Exit, Failure> {
    if let Some(Trouble { what, way_out }) = &changed.unsaved {
        let what = format!("{told}; it may not outlive a restart of the agent: {what}");
        let failure = Failure::new(Exit::Incomplete, what);
        return Err(if way_out.is_empty() { failure } else { failure.with_remedy(way_out.clone()) });
    }
    if output.is_json() {
        output.json(changed)?;
    } else {
        output.text(&format!("{told}\n"))?;
    }
    Ok(Exit::Done)
}

/// `generation 9 = generation 7, confirmed in 128 ms; web is held: changes wait until 'weir upstream release web'`
fn told(went_back: &RolledBack) -> String {
    let held = match &went_back.held[..] {
        [] => String::new(),
        held => format!("; {} held: {}", are(held), until_released(held)),
    };
    let is_live = went_back.result.as_ref().is_some_and(|result| result.is(&ApplyResult::Live));
    match (went_back.generation, went_back.to) {
        (Some(generation), Some(to)) if is_live => {
            format!("generation {generation} = generation {to}, confirmed in {} ms{held}", went_back.elapsed_ms)
        }
        _ => format!("{}{held}", went_back.message),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_long_is_told_so_once() {
        for (seconds, is_told) in [(0, false), (1, false), (3, true), (29, true)] {
            let mut told = 0;
            let answer = awaited(
                async {
                    sleep(Duration::from_secs(seconds)).await;
                    seconds
                },
                || told += 1,
            );
            assert_eq!((answer.await, told), (seconds, u32::from(is_told)));
        }
    }
}
