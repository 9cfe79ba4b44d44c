//! Drains of other nodes that clients ask for here: the order, and after it the other node's own story, asked for line by line
//! (`protocols A.3`).

use std::time::Duration;

use super::no_member;
use super::story::Stories;
use crate::drain::document::Line;
use crate::drain::{DrainId, RemoteAnswer, RemoteDrain, RemoteStory};
use crate::endpoint::Endpoint;
use crate::rpc::Refusal;
use crate::serf::{Answer, QueryKey, QueryOutput, QueryParams, Status};
use crate::time::Instant;

/// How long a node has to answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The same of a question about its story, which is asked again.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(1);
/// Between an answer and the next such question.
const PAUSE: Duration = Duration::from_millis(500);
/// A node that has said nothing for so long is not followed any more.
const SILENCE: Duration = Duration::from_secs(6);
/// Questions for a story that no client waits for.
const UNHEARD: u32 = 20;

/// All that are asked for.
#[derive(Debug, Default)]
pub(super) struct Remotes(Vec<Remote>);

/// One of them.
#[derive(Debug)]
struct Remote {
    /// Ours, which clients follow.
    story: u64,
    member: String,
    /// The drain, once it has said that it obeys.
    id: Option<DrainId>,
    /// Its story of it.
    theirs: Option<u64>,
    after: usize,
    /// The question that is open,
    query: Option<QueryKey>,
    /// or when the next one is due.
    due: Instant,
    /// When it last said anything.
    heard: Instant,
    /// Questions so far that nobody waited for.
    unheard: u32,
}

/// What becomes of one after an answer.
enum Next {
    GoOn,
    End(Line),
}

impl Remotes {
    /// Has `member` drain, or serve again.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        stories: &mut Stories,
        member: String,
        undo: bool,
    ) -> Result<u64, Refusal> {
        match endpoint.member(&member).map(|known| known.status) {
            Some(Status::Alive) => {}
            Some(Status::Leaving | Status::Left) => {
                return Err(Refusal::new(format!("{member} has left")).with_remedy("there is nothing to drain"));
            }
            Some(Status::Failed) => {
                return Err(Refusal::new(format!("{member} has failed and cannot answer"))
                    .with_remedy("'weir upstream show' tells whether it gets requests"));
            }
            None => return Err(no_member(endpoint, &member)),
        }
        let drain = if undo { RemoteDrain::Off } else { RemoteDrain::On };
        let key = ask(now, endpoint, &member, &drain, TIMEOUT)?;
        let story = stories.begin_other();
        let (id, theirs, query) = (None, None, Some(key));
        self.0.push(Remote { story, member, id, theirs, after: 0, query, due: now, heard: now, unheard: 0 });
        Ok(story)
    }

    /// When [`Self::advance`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().filter(|remote| remote.query.is_none()).map(|remote| remote.due).min()
    }

    /// An answer to a question of this part, or its end. Gives back what is another's.
    pub(super) fn handle_query(
        &mut self,
        now: Instant,
        stories: &mut Stories,
        output: QueryOutput,
    ) -> Option<QueryOutput> {
        let Some(at) = self.0.iter().position(|remote| remote.query == Some(output.key)) else { return Some(output) };
        let next = match output.answer {
            Answer::Response { from, payload } if from == self.0[at].member => {
                self.0[at].hear(now, stories, RemoteAnswer::parse(&payload))
            }
            Answer::Ack { .. } | Answer::Response { .. } => Next::GoOn,
            Answer::Done { .. } => self.0[at].hear_nothing(now),
        };
        self.settle(stories, at, next);
        None
    }

    /// Asks on where it is time.
    pub(super) fn advance(&mut self, now: Instant, endpoint: &mut Endpoint, stories: &mut Stories) {
        for at in (0..self.0.len()).rev() {
            if self.0[at].query.is_none() && self.0[at].due <= now {
                let next = self.0[at].follow(now, endpoint, stories);
                self.settle(stories, at, next);
            }
        }
    }

    fn settle(&mut self, stories: &mut Stories, at: usize, next: Next) {
        if let Next::End(line) = next {
            let Remote { story, member, .. } = self.0.swap_remove(at);
            stories.tell_other(story, &member, line);
        }
    }
}

impl Remote {
    fn hear(&mut self, now: Instant, stories: &mut Stories, answer: Option<RemoteAnswer>) -> Next {
        (self.query, self.heard, self.due) = (None, now, now);
        let member = self.member.clone();
        match (answer, self.id.is_some()) {
            (Some(RemoteAnswer::Ok(id)), false) => {
                stories.tell_other(self.story, &member, Line::Remote { member: member.clone(), id: id.to_string() });
                self.id = Some(id);
                Next::GoOn
            }
            (Some(RemoteAnswer::No(text)), false) => Next::End(Line::RemoteRefused { member, text }),
            (None | Some(RemoteAnswer::Story(_)), false) => {
                Next::End(Line::RemoteRefused { member, text: "its answer is not understood".to_owned() })
            }
            (Some(RemoteAnswer::Story(told)), true) => self.hear_story(now, stories, told),
            (Some(RemoteAnswer::No(text)), true) => self.lose(text),
            (None | Some(RemoteAnswer::Ok(_)), true) => self.lose("its answer is not understood".to_owned()),
        }
    }

    fn hear_story(&mut self, now: Instant, stories: &mut Stories, told: RemoteStory) -> Next {
        let RemoteStory { story, lines, ended } = told;
        if *self.theirs.get_or_insert(story) != story {
            return Next::End(Line::Superseded);
        }
        self.after += lines.len();
        self.due = now + PAUSE;
        // What it asked of others in turn is not its own story.
        for line in lines.into_iter().filter(|line| !line.is_of_another()) {
            if line.is_end() {
                return Next::End(line);
            }
            stories.tell_other(self.story, &self.member, line);
        }
        if ended { self.lose(String::new()) } else { Next::GoOn }
    }

    fn hear_nothing(&mut self, now: Instant) -> Next {
        (self.query, self.due) = (None, now);
        if self.id.is_none() {
            return Next::End(Line::RemoteSilent { member: self.member.clone() });
        }
        if now.since(self.heard) >= SILENCE { self.lose(String::new()) } else { Next::GoOn }
    }

    fn follow(&mut self, now: Instant, endpoint: &mut Endpoint, stories: &Stories) -> Next {
        let Some(id) = self.id.clone() else { return Next::GoOn };
        self.unheard = if stories.is_followed(self.story) { 0 } else { self.unheard + 1 };
        if self.unheard > UNHEARD {
            return self.lose("nobody waits for it".to_owned());
        }
        if endpoint.member(&self.member).is_none_or(|member| member.status != Status::Alive) {
            return self.lose(String::new());
        }
        match ask(now, endpoint, &self.member, &RemoteDrain::Follow { id, after: self.after }, FOLLOW_TIMEOUT) {
            Ok(key) => {
                self.query = Some(key);
                Next::GoOn
            }
            Err(refusal) => self.lose(refusal.what),
        }
    }

    /// How it ends will not be known, for this reason.
    fn lose(&self, text: String) -> Next {
        let id = self.id.as_ref().map(ToString::to_string).unwrap_or_default();
        Next::End(Line::RemoteLost { member: self.member.clone(), id, text })
    }
}

fn ask(
    now: Instant,
    endpoint: &mut Endpoint,
    member: &str,
    drain: &RemoteDrain,
    timeout: Duration,
) -> Result<QueryKey, Refusal> {
    let params = QueryParams {
        name: RemoteDrain::NAME.to_owned(),
        payload: drain.to_string().into(),
        nodes: vec![member.to_owned()],
        ack: true,
        timeout: Some(timeout),
        ..QueryParams::default()
    };
    endpoint.query(now, params).map_err(|error| Refusal::of(&error))
}
