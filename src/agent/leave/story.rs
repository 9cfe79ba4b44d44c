//! What clients are told of a drain or a leave, line by line. It goes on when its client has gone.

use std::collections::VecDeque;

use tracing::{info, warn};

use crate::drain::document::{Follow, Line, Lines};
use crate::rpc::weir::Answer;

/// Lines that are kept of one; a balancer that changes its mind all the time ends nothing.
const MAX_LINES: usize = 1024;

/// Stories of other nodes that are kept; each of them is over within seconds.
const MAX_OTHERS: usize = 16;

/// The last two of this node, and one of each question to another node.
#[derive(Debug, Default)]
pub(super) struct Stories {
    /// Number of the newest; 0 before the first.
    newest: u64,
    own: Story,
    /// The one before, whose end is still to be heard.
    previous: Story,
    /// The oldest first.
    others: VecDeque<Story>,
}

impl Stories {
    /// This node's; 0 before the first.
    pub(super) fn own(&self) -> u64 {
        self.own.id
    }

    /// Ends the one before of this node, and begins the next.
    pub(super) fn begin(&mut self) -> u64 {
        self.own.supersede();
        let next = self.next();
        self.previous = std::mem::replace(&mut self.own, next);
        self.own.id
    }

    /// Begins one of another node. This node's goes on.
    pub(super) fn begin_other(&mut self) -> u64 {
        if self.others.len() >= MAX_OTHERS
            && let Some(mut oldest) = self.others.pop_front()
        {
            oldest.supersede();
        }
        let story = self.next();
        let id = story.id;
        self.others.push_back(story);
        id
    }

    /// Whether this node's has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.own.id > 0 && !self.own.ended
    }

    /// One that is over with `line`, while this node's goes on.
    pub(super) fn tell_beside(&mut self, line: Line) -> u64 {
        log(&line);
        let id = self.begin_other();
        self.others.iter_mut().filter(|other| other.id == id).for_each(|other| other.tell(line.clone()));
        id
    }

    fn next(&mut self) -> Story {
        self.newest += 1;
        Story { id: self.newest, ..Story::default() }
    }

    /// This node's goes on, and the log is told. What comes after its end is for the log alone.
    pub(super) fn tell(&mut self, line: Line) {
        log(&line);
        self.own.tell(line);
    }

    /// The same of the one `story` of `member`; of another node the log has what it says to the order, and how that ends.
    pub(super) fn tell_other(&mut self, story: u64, member: &str, line: Line) {
        if line.is_of_another() {
            log(&line);
        } else if line.is_end() {
            log_end_of(member, &line);
        }
        if let Some(other) = self.others.iter_mut().find(|other| other.id == story) {
            other.tell(line);
        }
    }

    /// Lines of a story of this node from `after` on, and whether it has ended.
    pub(super) fn read(&self, story: u64, after: usize) -> (&[Line], bool) {
        match [&self.own, &self.previous].into_iter().find(|own| own.id == story) {
            Some(own) => (own.lines.get(after..).unwrap_or_default(), own.ended),
            None => (&[Line::Superseded], true),
        }
    }

    /// Whether a client waits for news of that story of another node.
    pub(super) fn is_followed(&self, story: u64) -> bool {
        let other = self.others.iter().find(|other| other.id == story);
        other.is_some_and(|other| other.followers.iter().any(|(_, answer)| !answer.is_closed()))
    }

    /// Answers as soon as there is news.
    pub(super) fn follow(&mut self, follow: Follow, answer: Answer<Follow>) {
        let mut all = self.others.iter_mut().chain([&mut self.own, &mut self.previous]).filter(|story| story.id > 0);
        match all.find(|story| story.id == follow.story) {
            Some(story) => story.follow(follow.after, answer),
            // Whoever asks for one that is not kept any more has missed its end.
            None => {
                let was_there = (1..=self.newest).contains(&follow.story);
                let lines = if was_there { vec![Line::Superseded] } else { Vec::new() };
                answer.send(Ok(Lines { lines, ended: true }));
            }
        }
    }
}

#[derive(Debug, Default)]
struct Story {
    id: u64,
    lines: Vec<Line>,
    ended: bool,
    followers: Vec<(usize, Answer<Follow>)>,
}

impl Story {
    fn supersede(&mut self) {
        self.tell(Line::Superseded);
    }

    fn tell(&mut self, line: Line) {
        if self.id == 0 || self.ended || self.lines.len() >= MAX_LINES && !line.is_end() {
            return;
        }
        self.ended = line.is_end();
        self.lines.push(line);
        self.answer();
    }

    fn follow(&mut self, after: usize, answer: Answer<Follow>) {
        self.followers.push((after, answer));
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
        Line::StillKept { reason } => warn!(error = reason, "a restart of the agent may bring the drain back"),
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
        Line::Gone { balancer } => warn!(balancer, "balancer has left without having confirmed"),
        Line::Yielded { to, elapsed_ms } => info!(to = to.join(","), elapsed_ms, "another node leaves first"),
        Line::Lingering { .. } | Line::Superseded => {}
        Line::Lingered { by, took_ms, elapsed_ms } => {
            info!(%by, took_ms, elapsed_ms, "requests on their way are not waited for any longer");
        }
        Line::Drained { unreachable, gone, unheard: false, elapsed_ms }
            if unreachable.is_empty() && gone.is_empty() =>
        {
            info!(elapsed_ms, "drained");
        }
        Line::Drained { unreachable, gone, unheard: _, elapsed_ms } => {
            let (unreachable, gone) = (unreachable.join(","), gone.join(","));
            warn!(unreachable, gone, elapsed_ms, "draining without every balancer's word");
        }
        Line::Refused { balancers } => {
            warn!(balancers = balancers.join(","), "not drained, too few servers would be left");
        }
        Line::Unconfirmed { balancers } => {
            warn!(balancers = balancers.join(","), "not every balancer confirmed the drain in time");
        }
        Line::Undone { id: Some(id), stays: false, ended_guards, .. } if ended_guards.is_empty() => {
            info!(%id, "drain undone");
        }
        Line::Undone { id: Some(id), stays: false, ended_guards, .. } => {
            let guards = ended_guards.join(",");
            warn!(%id, guards, "drain undone, also that of guards whose applications have not come back");
        }
        Line::Undone { stays: true, operator, guards, .. } => {
            info!(operator, guards = guards.join(","), "drain goes on, others asked for it too");
        }
        Line::Undone { id: None, .. } => {}
        Line::Cancelled => info!("leave cancelled by an undo"),
        Line::Leaving { unconfirmed, unreachable, gone, .. }
            if unconfirmed.is_empty() && unreachable.is_empty() && gone.is_empty() => {}
        Line::Leaving { unconfirmed, unreachable, gone, elapsed_ms } => {
            let (unconfirmed, unreachable, gone) = (unconfirmed.join(","), unreachable.join(","), gone.join(","));
            warn!(unconfirmed, unreachable, gone, elapsed_ms, "leaving the cluster without every balancer's word");
        }
        // Told by whoever ends the agent.
        Line::Left { .. } => {}
        Line::Remote { member, id } => info!(member, id, "the other node obeys"),
        Line::RemoteRefused { member, text } => warn!(member, error = text, "the other node does not obey"),
        Line::RemoteSilent { member } => warn!(member, "the other node does not answer"),
        Line::RemoteLost { member, id, text } => {
            warn!(member, id, error = text, "the other node is not followed any more")
        }
        Line::Newer { .. } => {}
    }
}

fn log_end_of(member: &str, line: &Line) {
    match line {
        Line::Drained { .. } => info!(member, "the other node has drained"),
        Line::Undone { stays: false, ended_guards, .. } if ended_guards.is_empty() => {
            info!(member, "the other node serves again");
        }
        Line::Undone { stays: false, ended_guards, .. } => {
            let guards = ended_guards.join(",");
            warn!(member, guards, "the other node serves again, also for guards whose applications have not come back");
        }
        Line::Refused { balancers } => {
            warn!(
                member,
                balancers = balancers.join(","),
                "the other node is not drained, too few servers would be left"
            );
        }
        Line::Unconfirmed { balancers } => {
            warn!(
                member,
                balancers = balancers.join(","),
                "the other node drains, and not every balancer confirmed in time"
            );
        }
        _ => info!(member, "the other node does something else"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained() -> Line {
        Line::Drained { unreachable: Vec::new(), gone: Vec::new(), unheard: false, elapsed_ms: 5 }
    }

    /// What there is of one, if it is told now.
    fn read(stories: &mut Stories, story: u64) -> Option<(Vec<Line>, bool)> {
        let (answer, mut told) = Answer::channel();
        stories.follow(Follow { story, after: 0 }, answer);
        told.try_recv().map(|lines| lines.map(|Lines { lines, ended }| (lines, ended)).unwrap())
    }

    #[test]
    fn what_another_node_is_asked_is_no_matter_of_this_nodes_own_story() {
        let mut stories = Stories::default();
        let own = stories.begin();
        let (web2, web3) = (stories.begin_other(), stories.begin_other());
        stories.tell(drained());
        assert_eq!(read(&mut stories, own), Some((vec![drained()], true)));
        assert_eq!((read(&mut stories, web2), read(&mut stories, web3)), (None, None), "they have not answered");
        stories.tell_other(web3, "web3", drained());
        assert_eq!(read(&mut stories, web3), Some((vec![drained()], true)));
        assert_eq!(read(&mut stories, web2), None);
        let next = stories.begin();
        assert_eq!(read(&mut stories, own), Some((vec![drained()], true)), "whoever asks late hears how it ended");
        assert_eq!(read(&mut stories, next), None);
        stories.begin();
        assert_eq!(read(&mut stories, own), Some((vec![Line::Superseded], true)), "it is not kept any more");
    }

    #[test]
    fn a_second_word_to_this_node_ends_the_first_ones_story() {
        let mut stories = Stories::default();
        let first = stories.begin();
        let (answer, mut told) = Answer::channel();
        stories.follow(Follow { story: first, after: 0 }, answer);
        let second = stories.begin();
        assert_eq!(told.try_recv().unwrap().unwrap(), Lines { lines: vec![Line::Superseded], ended: true });
        stories.tell(drained());
        assert_eq!(read(&mut stories, second), Some((vec![drained()], true)));
        assert_eq!(read(&mut stories, second + 1), Some((Vec::new(), true)), "there was none");
        assert_eq!(read(&mut stories, 0), Some((Vec::new(), true)));
    }

    #[test]
    fn as_many_stories_of_others_are_kept_as_there_is_room_for() {
        let mut stories = Stories::default();
        let first = stories.begin_other();
        let (answer, mut told) = Answer::channel();
        stories.follow(Follow { story: first, after: 0 }, answer);
        for _ in 0..MAX_OTHERS {
            stories.begin_other();
        }
        assert_eq!(told.try_recv().unwrap().unwrap(), Lines { lines: vec![Line::Superseded], ended: true });
        assert_eq!(stories.others.len(), MAX_OTHERS);
    }
}
