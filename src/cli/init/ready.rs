//! Waits until a balancer's upstreams are what NGINX serves, by the agent's word.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::super::connect::AgentArgs;
use super::super::exit::Exit;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::session::Session;
use super::asked::asked;
use crate::error::Trouble;
use crate::rpc::weir::NodeStatus;
use crate::status::node::{Document, NginxState, Upstream, Want};

/// A first apply takes a second; a reload of a configuration that looks up names may take ten.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is in the way for so long stays there.
const SURE: Duration = Duration::from_secs(3);
/// How often the agent is asked.
const LOOK: Duration = Duration::from_millis(100);
/// The agent looks at NGINX from time to time.
const SEEN: Duration = Duration::from_secs(15);
/// An agent answers at once.
const ANSWER: Duration = Duration::from_secs(5);

/// What it came to.
#[derive(Debug)]
pub(super) struct Ready {
    /// The agent's last word.
    pub(super) document: Document,
    /// What is in the way of its upstreams.
    pub(super) trouble: Option<Trouble>,
}

/// Waits until every upstream is live, or for as long as it takes to see that it will not be by itself.
pub(super) async fn balancer(agent: &AgentArgs, output: &Output) -> Result<Ready, Failure> {
    let started = Instant::now();
    let mut in_the_way: Option<(Trouble, Instant)> = None;
    loop {
        let document = document(agent, output).await?;
        if document.upstreams.iter().all(is_live) {
            output.progress("");
            return Ok(Ready { document, trouble: None });
        }
        output.progress("waiting for NGINX to serve the upstream");
        let now = Instant::now();
        in_the_way = match (obstacle(&document), in_the_way) {
            (None, _) => None,
            (Some(trouble), Some((known, since))) if known == trouble => Some((trouble, since)),
            (Some(trouble), _) => Some((trouble, now)),
        };
        let is_late = now.duration_since(started) >= PATIENCE;
        match &in_the_way {
            Some((trouble, since)) if is_late || now.duration_since(*since) >= SURE || is_missing(&document) => {
                output.progress("");
                return Ok(Ready { trouble: Some(trouble.clone()), document });
            }
            None if is_late => {
                output.progress("");
                let trouble = Trouble::new("NGINX does not serve it yet", "'weir status' shows how it goes on");
                return Ok(Ready { trouble: Some(trouble), document });
            }
            Some(_) | None => sleep(LOOK).await,
        }
    }
}

async fn document(agent: &AgentArgs, output: &Output) -> Result<Document, Failure> {
    let slow =
        || Failure::new(Exit::Incomplete, "the agent does not answer").with_remedy("'journalctl -u weir' says why");
    let question = async |session: &mut Session| {
        Ok(timeout(ANSWER, session.weir(&NodeStatus { members: false })).await.map_err(|_elapsed| slow())??)
    };
    asked(agent, output, question).await
}

/// What has no file of NGINX's waits for nobody, and what NGINX is to keep as it is waits for the first server.
fn is_live(upstream: &Upstream) -> bool {
    let is_kept = upstream.want.as_ref().is_some_and(|want| want.is(&Want::Hold));
    upstream.output.is_none() || is_kept || upstream.live && upstream.generation.is_some()
}

/// NGINX is, and nobody installs it meanwhile.
pub(super) fn is_missing(document: &Document) -> bool {
    document.nginx.as_ref().is_some_and(|nginx| nginx.state.is(&NginxState::NotInstalled))
}

/// Why the last try did not put it in place.
fn obstacle(document: &Document) -> Option<Trouble> {
    let last = document.apply.as_ref()?.last.as_ref()?;
    let is_in_place = last.result.word().is_none_or(|result| result.is_in_place());
    (!is_in_place).then(|| last.trouble())
}

/// Waits until the agent has seen the NGINX that was started.
pub(super) async fn running(agent: &AgentArgs, output: &Output) -> Result<Ready, Failure> {
    let started = Instant::now();
    loop {
        let ready = balancer(agent, output).await?;
        if !is_stopped(&ready.document) || started.elapsed() >= SEEN {
            output.progress("");
            return Ok(ready);
        }
        output.progress("waiting for NGINX to be seen");
        sleep(LOOK).await;
    }
}

/// By the agent's word, which may be seconds old.
pub(super) fn is_stopped(document: &Document) -> bool {
    document.nginx.as_ref().is_some_and(|nginx| nginx.state.is(&NginxState::Stopped))
}
