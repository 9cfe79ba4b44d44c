//! What a balancer asks its servers about their health, and what it makes of the answers (`protocols D.1`).
//!
//! It sends nothing. A driver tells who is there by [`Queries::handle_members`], sends what [`Queries::poll_output`] asks as the
//! query [`answer::QUERY`], and tells of each answer and of the end. [`Queries::handle_timeout`] is due at
//! [`Queries::poll_timeout`]. What a member is worth changes by [`Output::Check`].
//!
//! Each different selector is one question in each interval. Who has not answered yet is asked by name, at once, and at most
//! once a second all of them together.

pub mod answer;
mod known;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::answer::{Answer, Drain};
pub use self::known::{Known, Source};
use super::State;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::Tags;

/// Shortest pause between two questions by name, and between rounds that somebody new has brought forward.
const AT_ONCE_PAUSE: Duration = Duration::from_secs(1);
/// Names in one question, in bytes with what is around each: a query has a kilobyte.
const MAX_NAME_BYTES: usize = 600;
/// A selector with more bytes is asked by names.
const MAX_SELECTOR_BYTES: usize = 600;
/// What a filter costs beside its own bytes.
const FILTER_BYTES: usize = 8;

/// `[health]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// From one question to the next; `None`: nobody is asked, and the tag alone counts.
    pub interval: Option<Duration>,
    /// How long answers may take.
    pub timeout: Duration,
    /// Unanswered questions in a row until a member that has answered before is silent.
    pub unresponsive_after: u32,
}

/// Whom an upstream selects: tags, each with an anchored expression in Go's syntax, as a query's filters have them.
pub type Selector = BTreeMap<String, String>;

/// What a member says of its own health (`protocols D.1`).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Every check passes.
    Passing,
    /// The worst check warns.
    Warning,
    /// The worst check is critical.
    Critical,
    /// It has answered before and no longer does.
    Silent,
    /// It has checks and no first result yet.
    Wait,
    /// It has no checks, or nobody asks.
    #[default]
    None,
}

/// Its word.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Silent => "silent",
            Self::Wait => "wait",
            Self::None => "none",
        })
    }
}

/// A node's own word as a witness.
impl From<State> for Check {
    fn from(state: State) -> Self {
        match state {
            State::Passing => Self::Passing,
            State::Warning => Self::Warning,
            State::Critical => Self::Critical,
            State::Wait => Self::Wait,
            State::None => Self::None,
        }
    }
}

/// A member as it is now.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: NodeName,
    /// What its tag says; `None` of one that has none of ours.
    pub tag: Option<State>,
    /// Alive and not suspected: whoever is not is not asked, and its silence is no news.
    pub is_alive: bool,
    /// The selectors that it matches, by their place in the list.
    pub selected_by: Vec<usize>,
    /// Where it serves. What it said of itself before that changed was about something else.
    pub serves: BTreeSet<SocketAddr>,
}

impl Seen {
    /// What a member's tags say of its health. A word that is none of ours is no tag.
    pub fn tag_of(tags: &Tags) -> Option<State> {
        tags.get(super::TAG).and_then(|word| State::named(word))
    }
}

/// One question, until [`Queries::handle_end`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QuestionId(u64);

/// What follows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// To be asked now, with acks. Its end is to be told in any case.
    Ask { id: QuestionId, target: Target, timeout: Duration },
    /// What a member says of its health is something else now.
    Check { member: NodeName, check: Check },
    /// A member says by its own fresh word, asked for then, that it does not drain.
    Serving { member: NodeName, asked: Instant },
}

/// Who is asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    Selected(Selector),
    Named(Vec<NodeName>),
}

/// How a question ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Its time is up: whoever has not answered was silent.
    Over,
    /// It could not be sent, so that nobody was asked.
    NotAsked,
}

/// A question that waits for answers.
#[derive(Debug)]
struct Open {
    asked: Instant,
    /// Those who were asked and have not answered.
    awaited: BTreeSet<NodeName>,
}

/// The questions, and what is known of each selected member.
#[derive(Debug)]
pub struct Queries {
    options: Options,
    selectors: Vec<Selector>,
    known: BTreeMap<NodeName, Known>,
    open: BTreeMap<QuestionId, Open>,
    last_id: u64,
    /// When everybody is asked next.
    round_at: Instant,
    /// When somebody may be asked by name again.
    at_once_at: Instant,
    outputs: VecDeque<Output>,
}

impl Queries {
    /// `selectors` are those of the upstreams; equal ones are to be given once.
    pub fn new(now: Instant, options: Options, selectors: Vec<Selector>) -> Self {
        Self {
            round_at: now + options.interval.unwrap_or_default(),
            options,
            selectors,
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            last_id: 0,
            at_once_at: now,
            outputs: VecDeque::new(),
        }
    }

    /// Takes a new configuration; [`Self::handle_members`] has to follow, as selectors have other places now.
    pub fn reconfigure(&mut self, now: Instant, options: Options, selectors: Vec<Selector>) {
        if options.interval != self.options.interval {
            self.round_at = now + options.interval.unwrap_or_default();
        }
        (self.options, self.selectors) = (options, selectors);
    }

    /// Whether a member is there whose first answer may still come soon.
    pub fn awaits_first_answers(&self) -> bool {
        self.options.interval.is_some() && self.known.values().any(Known::is_awaited)
    }

    /// Everybody there is, but those who left. Who is missing, or not selected by anybody, is forgotten.
    pub fn handle_members(&mut self, now: Instant, members: impl IntoIterator<Item = Seen>) {
        let mut before = std::mem::take(&mut self.known);
        for seen in members.into_iter().filter(|seen| !seen.selected_by.is_empty()) {
            let name = seen.name.clone();
            let mut known = before.remove(&name).unwrap_or_else(|| Known::new(now));
            known.see(now, seen);
            self.known.insert(name, known);
        }
        let names: Vec<_> = self.known.keys().cloned().collect();
        for name in &names {
            self.judge(now, name);
        }
    }

    /// A member answered. What comes after the end of the question, or from one who is not selected, is nobody's.
    pub fn handle_answer(&mut self, now: Instant, id: QuestionId, from: &str, payload: &[u8]) {
        let Some(open) = self.open.get_mut(&id) else { return };
        let Some((name, known)) = NodeName::new(from).and_then(|name| {
            let known = self.known.get_mut(&name)?;
            Some((name, known))
        }) else {
            return;
        };
        // A script that says nothing useful is as silent as one that says nothing.
        let Some(answer) = Answer::parse(payload) else { return };
        open.awaited.remove(&name);
        if answer.drain == Some(Drain::No) {
            self.outputs.push_back(Output::Serving { member: name.clone(), asked: open.asked });
        }
        // It may be older than what came meanwhile, but not than the question.
        known.answered(open.asked, answer);
        self.judge(now, &name);
    }

    /// A question has ended.
    pub fn handle_end(&mut self, now: Instant, id: QuestionId, end: End) {
        let Some(Open { awaited, .. }) = self.open.remove(&id) else { return };
        for name in &awaited {
            if let (Some(known), End::Over) = (self.known.get_mut(name), end) {
                known.was_silent();
                self.judge(now, name);
            }
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` if nobody is to be asked.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.options.interval?;
        if !self.known.values().any(Known::is_alive) {
            return None;
        }
        let at_once = self.unheard().next().map(|_| self.at_once_at);
        Some(at_once.map_or(self.round_at, |at| at.min(self.round_at)))
    }

    /// Asks who is to be asked.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(interval) = self.options.interval else { return };
        if self.round_at <= now {
            return self.ask_all(now, interval);
        }
        if self.at_once_at > now {
            return;
        }
        let unheard: Vec<_> = self.unheard().cloned().collect();
        if unheard.is_empty() {
            return;
        }
        self.at_once_at = now + AT_ONCE_PAUSE;
        match &chunks(unheard)[..] {
            [one] => self.ask(now, Target::Named(one.clone()), one.iter().cloned().collect()),
            _ => self.ask_all(now, interval),
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is known of a selected member.
    pub fn of(&self, member: &NodeName) -> Option<&Known> {
        self.known.get(member)
    }

    /// The options in force.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Those who are to be asked at once: not heard yet, and not being asked.
    fn unheard(&self) -> impl Iterator<Item = &NodeName> {
        let is_asked = |name: &NodeName| self.open.values().any(|open| open.awaited.contains(name));
        self.known.iter().filter(move |(name, known)| known.is_unheard() && !is_asked(name)).map(|(name, _)| name)
    }

    fn ask_all(&mut self, now: Instant, interval: Duration) {
        self.round_at = now + interval;
        self.at_once_at = self.at_once_at.max(now + AT_ONCE_PAUSE);
        for index in 0..self.selectors.len() {
            let alive = self.known.iter().filter(|(_, known)| known.is_alive() && known.is_selected_by(index));
            let names: Vec<_> = alive.map(|(name, _)| name.clone()).collect();
            let selector = &self.selectors[index];
            let bytes: usize = selector.iter().map(|(tag, expr)| tag.len() + expr.len() + FILTER_BYTES).sum();
            if names.is_empty() {
                continue;
            }
            if bytes <= MAX_SELECTOR_BYTES {
                self.ask(now, Target::Selected(selector.clone()), names.into_iter().collect());
                continue;
            }
            for chunk in chunks(names) {
                self.ask(now, Target::Named(chunk.clone()), chunk.into_iter().collect());
            }
        }
    }

    fn ask(&mut self, now: Instant, target: Target, awaited: BTreeSet<NodeName>) {
        self.last_id += 1;
        let id = QuestionId(self.last_id);
        for name in &awaited {
            if let Some(known) = self.known.get_mut(name) {
                known.is_asked();
            }
        }
        self.open.insert(id, Open { asked: now, awaited });
        self.outputs.push_back(Output::Ask { id, target, timeout: self.options.timeout });
    }

    /// Tells what a member's health is now, if that is news.
    fn judge(&mut self, now: Instant, name: &NodeName) {
        let Some(known) = self.known.get_mut(name) else { return };
        if let Some(check) = known.judge(now, &self.options) {
            self.outputs.push_back(Output::Check { member: name.clone(), check });
        }
    }
}

/// The names in as many lists as a query each can hold.
fn chunks(names: Vec<NodeName>) -> Vec<Vec<NodeName>> {
    let mut chunks: Vec<Vec<NodeName>> = Vec::new();
    let mut room = 0;
    for name in names {
        let bytes = name.as_str().len() + FILTER_BYTES;
        if bytes > room || chunks.is_empty() {
            chunks.push(Vec::new());
            room = MAX_NAME_BYTES;
        }
        room = room.saturating_sub(bytes);
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(name);
        }
    }
    chunks
}
