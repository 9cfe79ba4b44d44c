//! What clients are told of a drain or a leave, line by line. It goes on when its client has gone.

use tracing::{info, warn};

use crate::drain::document::{Follow, Line, Lines};
use crate::rpc::weir::Answer;

/// Lines that are kept of one; a balancer that changes its mind all the time ends nothing.
const MAX_LINES: usize = 1024;

/// The last one that was asked for.
#[derive(Debug, Default)]
pub(super) struct Story {
    id: u64,
    lines: Vec<Line>,
    ended: bool,
    followers: Vec<(usize, Answer<Follow>)>,
}

impl Story {
    /// Its number; 0 before the first.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Ends the one before, and begins the next.
    pub(super) fn begin(&mut self) -> u64 {
        if self.id > 0 && !self.ended {
            self.tell(Line::Superseded);
        }
        *self = Self { id: self.id + 1, ..Self::default() };
        self.id
    }

    /// Goes on, and tells the log. What comes after the end is for the log alone.
    pub(super) fn tell(&mut self, line: Line) {
        log(&line);
        if self.id == 0 || self.ended || self.lines.len() >= MAX_LINES && !line.is_end() {
            return;
        }
        self.ended = line.is_end();
        self.lines.push(line);
        self.answer();
    }

    /// Answers as soon as there is news.
    pub(super) fn follow(&mut self, follow: Follow, answer: Answer<Follow>) {
        if self.id == 0 || follow.story != self.id {
            // Whoever asks for an earlier one has missed its end.
            let lines = if follow.story < self.id { vec![Line::Superseded] } else { Vec::new() };
            return answer.send(Ok(Lines { lines, ended: true }));
        }
        self.followers.push((follow.after, answer));
        self.answer();
    }

    fn answer(&mut self) {
        for (after, answer) in std::mem::take(&mut self.followers) {
            if after < self.lines.len() || self.ended {
                let lines = self.lines.get(after..).unwrap_or_default().to_vec();
                answer.send(Ok(Lines { lines, ended: self.ended }));
            } else if !answer.is_closed() {
                self.followers.push((after, answer));
            }
        }
    }
}

/// One line of the operator's timeline.
fn log(line: &Line) {
    match line {
        Line::Draining { id, balancers } => info!(%id, balancers = balancers.len(), "draining"),
        Line::NotKept { reason } => warn!(error = reason, "the drain ends with this process"),
        Line::Confirmed { balancer, word, generation, elapsed_ms } => {
            info!(balancer, %word, generation, elapsed_ms, "leave confirmed");
        }
        Line::Waiting { balancer, why, text, earlier, elapsed_ms } => {
            let earlier = earlier.join(",");
            info!(balancer, %why, text, earlier, elapsed_ms, "leave not confirmed yet");
        }
        Line::Unreachable { balancer, failed_for_ms } => {
            warn!(balancer, failed_for_ms, "balancer has failed, it is not waited for");
        }
        Line::Yielded { to, elapsed_ms } => info!(to = to.join(","), elapsed_ms, "another node leaves first"),
        Line::Lingering { .. } | Line::Superseded => {}
        Line::Lingered { by, took_ms, elapsed_ms } => {
            info!(%by, took_ms, elapsed_ms, "requests on their way are not waited for any longer");
        }
        Line::Drained { elapsed_ms } => info!(elapsed_ms, "drained"),
        Line::Refused { balancers } => {
            warn!(balancers = balancers.join(","), "not drained, too few servers would be left");
        }
        Line::Unconfirmed { balancers } => {
            warn!(balancers = balancers.join(","), "not every balancer confirmed the drain in time");
        }
        Line::Undone { id: Some(id), stays: false } => info!(%id, "drain undone"),
        Line::Undone { stays: true, .. } => info!("drain goes on, it was asked for twice"),
        Line::Undone { id: None, .. } => {}
        Line::Leaving { unconfirmed, unreachable, .. } if unconfirmed.is_empty() && unreachable.is_empty() => {}
        Line::Leaving { unconfirmed, unreachable, elapsed_ms } => {
            let (unconfirmed, unreachable) = (unconfirmed.join(","), unreachable.join(","));
            warn!(unconfirmed, unreachable, elapsed_ms, "leaving the cluster without every balancer's word");
        }
        // Told by whoever ends the agent.
        Line::Left { .. } => {}
        Line::Remote { member, id } => info!(member, id, "the other node obeys"),
        Line::RemoteRefused { member, text } => warn!(member, error = text, "the other node does not obey"),
        Line::RemoteSilent { member } => warn!(member, "the other node does not answer"),
        Line::Newer { .. } => {}
    }
}
