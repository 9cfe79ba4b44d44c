//! What is known of one member's health: its tag, its last answer, and which of them counts.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::{Check, Options, Seen};
use crate::health::State;
use crate::time::Instant;

/// Questions at once to one that has the tag, so that an answer is to be expected. They may get lost.
const TRIES: u32 = 3;
/// To one of whom nobody knows whether it answers.
const TRIES_UNKNOWN: u32 = 1;

/// A selected member.
#[derive(Clone, Debug)]
pub struct Known {
    tag: Option<State>,
    /// Since when the tag is what it is.
    tag_since: Instant,
    /// Its last answer, and when that was asked for.
    answer: Option<(Answer, Instant)>,
    serves: BTreeSet<SocketAddr>,
    /// Since when it serves there.
    serves_since: Instant,
    /// Unanswered questions in a row.
    pub(super) silences: u32,
    /// Questions at once that are left until it is asked in turn only.
    tries: u32,
    is_alive: bool,
    selected_by: Vec<usize>,
    /// What it was judged to be last, and since when it is.
    judged: Option<Check>,
    since: Instant,
}

/// What a judgement rests on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Its tag.
    Tag,
    /// Its answer.
    Answer,
    /// That it does not answer.
    Silence,
    /// It has said nothing.
    #[default]
    Nothing,
}

impl Known {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tag: None,
            tag_since: now,
            answer: None,
            serves: BTreeSet::new(),
            serves_since: now,
            silences: 0,
            tries: 0,
            is_alive: false,
            selected_by: Vec::new(),
            judged: None,
            since: now,
        }
    }

    pub(super) fn see(&mut self, now: Instant, seen: Seen) {
        if seen.tag != self.tag {
            (self.tag, self.tag_since) = (seen.tag, now);
        }
        let serves_elsewhere = seen.serves != self.serves;
        if serves_elsewhere {
            (self.serves, self.serves_since) = (seen.serves, now);
        }
        if seen.is_alive && (!self.is_alive || serves_elsewhere) {
            // It is new, or back, perhaps as another process, or has another one to speak for.
            self.tries = if self.tag.is_some() { TRIES } else { TRIES_UNKNOWN };
        }
        (self.is_alive, self.selected_by) = (seen.is_alive, seen.selected_by);
    }

    pub(super) fn is_asked(&mut self) {
        self.tries = self.tries.saturating_sub(1);
    }

    /// `asked`: when it was asked for.
    pub(super) fn answered(&mut self, asked: Instant, answer: Answer) {
        self.answer = Some((answer, asked));
        (self.silences, self.tries) = (0, 0);
    }

    pub(super) fn was_silent(&mut self) {
        if self.is_alive {
            self.silences = self.silences.saturating_add(1);
        }
    }

    /// Whether it is to be asked at once.
    pub(super) fn is_unheard(&self) -> bool {
        self.is_alive && self.tries > 0
    }

    /// Whether its first answer may still come soon.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_unheard() && self.tag.is_some() && self.answer.is_none()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.is_alive
    }

    pub(super) fn is_selected_by(&self, selector: usize) -> bool {
        self.selected_by.contains(&selector)
    }

    /// What it is now, if that is another than before.
    pub(super) fn judge(&mut self, now: Instant, options: &Options) -> Option<Check> {
        let (check, _) = self.verdict(options);
        if self.judged == Some(check) {
            return None;
        }
        (self.judged, self.since) = (Some(check), now);
        Some(check)
    }

    /// By the rule, and on what it rests.
    pub(super) fn verdict(&self, options: &Options) -> (Check, Source) {
        if options.interval.is_none() {
            return self.tag.map_or((Check::None, Source::Nothing), |tag| (tag.into(), Source::Tag));
        }
        match (self.tag, &self.answer) {
            // Whoever says that it is critical need not answer as well.
            (Some(State::Critical), Some((_, at))) if self.tag_since > *at => (Check::Critical, Source::Tag),
            (_, Some(_)) if self.silences >= options.unresponsive_after => (Check::Silent, Source::Silence),
            (Some(_), None) => (Check::Wait, Source::Nothing),
            (_, Some((_, at))) if self.serves_since > *at => (Check::Wait, Source::Nothing),
            (None, None) => (Check::None, Source::Nothing),
            (Some(tag), Some((_, at))) if self.tag_since > *at => (tag.into(), Source::Tag),
            (_, Some((answer, _))) => (answer.state.into(), Source::Answer),
        }
    }

    /// What it says of its health.
    pub fn check(&self) -> Check {
        self.judged.unwrap_or_default()
    }

    /// Since when that is so.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// On what that rests.
    pub fn source(&self, options: &Options) -> Source {
        self.verdict(options).1
    }

    /// Its last answer, unless its tag has changed since: then that is of another state.
    pub fn words(&self, options: &Options) -> Option<&Answer> {
        self.answer().filter(|_| self.source(options) != Source::Tag)
    }

    /// Its last answer.
    pub fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref().map(|(answer, _)| answer)
    }
}
