//! What is asked of this node's drain: by a client, by an application's guard, by another node.

use super::{AT_ONCE, SafeLeave, times};
use crate::config::Config;
use crate::drain::document::{Line, Start, Started};
use crate::drain::{DrainId, DrainRequest, Guard, RemoteAnswer, RemoteDrain, RemoteStory, Times, TooLate};
use crate::endpoint::Endpoint;
use crate::rpc::Refusal;
use crate::rpc::refusal::Kind;
use crate::rpc::weir::Answer;
use crate::serf::QueryEvent;
use crate::time::Instant;
use crate::upstream::Reason;

impl SafeLeave {
    /// Drains this node, asks another one to, or takes that back.
    pub(in crate::agent) fn start(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        config: &Config,
        start: Start,
        answer: Answer<Start>,
    ) {
        let own = endpoint.local().name.clone();
        let begun = match start.member.clone().filter(|member| *member != own.as_str()) {
            Some(member) if start.force || start.reason.is_some() => {
                Err(Refusal::new("--force and --reason concern this agent's own node")
                    .with_remedy(format!("run 'weir drain' on {}", crate::escape::escape(&member)))
                    .of_kind(Kind::Usage))
            }
            Some(member) => self.remotes.begin(now, endpoint, &mut self.stories, member, start.undo),
            None => self.start_own(now, endpoint, config, start),
        };
        answer.send(begun.map(|story| Started { story }));
    }

    fn start_own(&mut self, now: Instant, endpoint: &Endpoint, config: &Config, start: Start) -> Result<u64, Refusal> {
        let Start { undo, force, guard, unit, reason, .. } = start;
        let guard = guard.then(|| unit.map_or(Some(Guard::unnamed()), |unit| Guard::new(&unit)));
        let guard = match guard {
            Some(None) => return Err(Refusal::new("that is no unit's name").of_kind(Kind::Usage)),
            Some(guard @ Some(_)) => guard,
            None => None,
        };
        match (undo, guard) {
            (true, Some(guard)) => self.undo_guard(now, endpoint, &guard),
            (true, None) => self.undo(now, endpoint),
            // Its application stops in the end, and may as soon as nobody sends this node anything.
            (false, Some(guard)) if self.departure.is_leaving() => {
                let request = DrainRequest { guard: Some(guard), ..DrainRequest::default() };
                self.departure.drain(now, endpoint.serf().seen_clocks().member, request, AT_ONCE);
                Ok(self.stories.own())
            }
            (false, None) if self.departure.is_leaving() => Err(leaves(None)),
            (false, guard) => {
                let reason = reason.map(Reason::try_from).transpose();
                let reason =
                    reason.map_err(|error| Refusal::new(error.to_string()).of_kind(Kind::Usage))?.map(String::from);
                // Two who want the same hear one story: neither is told that the other wants something else.
                let follows = self.departure.is_draining() && self.stories.is_open();
                let story = if follows { self.stories.own() } else { self.begin(now, endpoint) };
                self.guard.asked();
                let (timeout, drain_time) = (config.leave.timeout, config.leave.drain_time);
                let times = match guard {
                    // No leave of Serf's follows, and the application stops in the end, whatever was confirmed.
                    Some(_) => Times { confirm: timeout.saturating_sub(drain_time), drain: drain_time },
                    None => times(timeout, drain_time),
                };
                let request = DrainRequest { force, guard, reason, follows };
                self.departure.drain(now, endpoint.serf().seen_clocks().member, request, times);
                Ok(story)
            }
        }
    }

    /// Serves again. A leave that still drains is over with that, if the process is not about to be stopped.
    fn undo(&mut self, now: Instant, endpoint: &Endpoint) -> Result<u64, Refusal> {
        if let Some(late) = self.departure.too_late() {
            let kept = self.departure.kept().map(|kept| kept.operator);
            return Err(match late {
                TooLate::Leaving => leaves(kept),
                TooLate::Stopping => stops(kept),
            });
        }
        if self.departure.is_leaving() {
            self.stories.tell(Line::Cancelled);
        }
        let story = self.begin(now, endpoint);
        self.departure.undo().map(|()| story).map_err(|_| leaves(None))
    }

    /// What goes on is told on: that is not the guard's word.
    fn undo_guard(&mut self, now: Instant, endpoint: &Endpoint, guard: &Guard) -> Result<u64, Refusal> {
        if self.departure.has_left() {
            return Err(leaves(None));
        }
        match self.departure.undo_guard(guard) {
            Some(stays) => Ok(self.stories.tell_beside(stays)),
            None => Ok(self.begin(now, endpoint)),
        }
    }

    /// Another node wants this one to drain, to serve again, or to tell how that goes on. Only where the configuration lets it.
    pub(in crate::agent) fn handle_remote(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        config: &Config,
        query: &QueryEvent,
    ) {
        let undo = match RemoteDrain::parse(&query.payload) {
            _ if !config.leave.remote_drain => {
                Err(RemoteAnswer::No(format!("leave.remote_drain is false on {}", endpoint.local().name)))
            }
            None => Err(RemoteAnswer::No("the payload is none of on, off and follow".to_owned())),
            Some(RemoteDrain::Follow { id, after }) => Err(self.told(&id, after)),
            Some(_) if self.departure.is_leaving() => Err(RemoteAnswer::No("it leaves the cluster".to_owned())),
            Some(RemoteDrain::On) => Ok(false),
            Some(RemoteDrain::Off) => Ok(true),
        };
        let answer = match undo {
            Ok(undo) => self.obey(now, endpoint, config, undo, &query.source),
            Err(answer) => answer,
        };
        // Whoever asked may have gone.
        let _too_late = endpoint.respond(now, &query.key, answer.to_string().into());
    }

    fn obey(&mut self, now: Instant, endpoint: &Endpoint, config: &Config, undo: bool, source: &str) -> RemoteAnswer {
        let before = self.departure.kept().map(|kept| kept.id.clone());
        let reason = (!undo).then(|| format!("asked for by {}", crate::escape::escape(source)));
        let started = self.start_own(now, endpoint, config, Start { undo, reason, ..Start::default() });
        match (started, self.departure.kept().map(|kept| kept.id.clone()).or(before)) {
            (Err(refusal), _) => RemoteAnswer::No(refusal.what),
            (Ok(story), Some(id)) => {
                self.ordered = Some((id.clone(), story));
                RemoteAnswer::Ok(id)
            }
            (Ok(_), None) => RemoteAnswer::No("it does not drain".to_owned()),
        }
    }

    /// What this node's own clients hear of a drain that was asked for elsewhere.
    fn told(&self, id: &DrainId, after: usize) -> RemoteAnswer {
        match &self.ordered {
            Some((known, story)) if known == id => {
                let (lines, ended) = self.stories.read(*story, after);
                RemoteAnswer::Story(RemoteStory::fitting(*story, lines, ended))
            }
            Some(_) | None => RemoteAnswer::No("it was started anew since, or does something else".to_owned()),
        }
    }
}

/// Serf's leave is under way; `kept` is of a drain that is kept for the next start: whether an operator asked for it.
fn leaves(kept: Option<bool>) -> Refusal {
    Refusal::new("this node leaves the cluster").with_remedy(start_again(kept)).of_kind(Kind::Overruled)
}

/// The service is stopped, and whoever stops it does not ask.
fn stops(kept: Option<bool>) -> Refusal {
    let what = "this node leaves because its agent is being stopped, and that cannot be taken back";
    Refusal::new(what).with_remedy(start_again(kept)).of_kind(Kind::Overruled)
}

const fn start_again(kept: Option<bool>) -> &'static str {
    match kept {
        Some(true) => "start the agent again once it has ended, and then 'weir drain --undo'",
        Some(false) => "start the agent again once it has ended, and it serves once the guarded application is back",
        None => "start the agent again once it has ended, and it serves",
    }
}
