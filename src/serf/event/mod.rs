//! User events: firing and receiving (`serf §5`).

mod gap;

use std::borrow::Cow;

use bytes::Bytes;

use super::Serf;
use super::clock::LamportTime;
use super::drops::Drop;
use super::options::MAX_EVENT_BYTES;
use crate::error::Explain;
use crate::serf::Output;
use crate::time::Instant;
use crate::wire::serf::{SerfMessage, UserEvent};

pub(crate) use gap::Gaps;

/// Why a user event was not sent. Nothing was sent then.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventError {
    #[error("user event exceeds configured limit of {limit} bytes before encoding")]
    TooLarge { limit: usize },
    #[error("encoded user event exceeds configured limit of {limit} bytes after encoding")]
    EncodedTooLarge { limit: usize },
    /// The cluster does not keep up with our events. More would be lost without a word.
    #[error("event queue is full: {depth} broadcasts wait to be sent")]
    QueueFull { depth: usize },
}

impl Explain for EventError {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::QueueFull { .. } => Some("send more slowly".into()),
            Self::TooLarge { .. } | Self::EncodedTooLarge { .. } => None,
        }
    }
}

impl Serf {
    /// Fires a user event. It comes back to us as to everybody else.
    ///
    /// # Errors
    ///
    /// If it is too large, or the queue of events holds more than its limit.
    pub fn user_event(
        &mut self,
        now: Instant,
        name: &str,
        payload: Bytes,
        coalesce: bool,
    ) -> Result<LamportTime, EventError> {
        let limit = self.options.user_event_size_limit.min(MAX_EVENT_BYTES);
        if name.len() + payload.len() > limit {
            return Err(EventError::TooLarge { limit });
        }
        let depth = self.broadcasts.events.len();
        if depth >= self.options.queue_depth_limit(self.members.len()) {
            return Err(EventError::QueueFull { depth });
        }
        let ltime = self.event_clock.time();
        let event = UserEvent { ltime, name: name.to_owned(), payload, coalesce };
        let message = SerfMessage::UserEvent(event.clone()).encode();
        if message.len() > limit {
            return Err(EventError::EncodedTooLarge { limit });
        }
        self.event_clock.stamp();
        self.handle_user_event(now, event, &message);
        Ok(ltime)
    }

    /// A user event arrives by gossip, or is our own.
    pub(super) fn handle_user_event(&mut self, now: Instant, event: UserEvent, message: &Bytes) {
        let (expected, ltime) = (self.event_clock.time(), event.ltime);
        match self.take_event(now, event) {
            Ok(()) => {
                self.gaps.arrived(now, expected, ltime);
                self.broadcast_event(message.clone());
            }
            Err(reason) => self.drops.count(reason),
        }
    }

    /// Takes a user event from anywhere and delivers it, if it is news.
    pub(super) fn take_event(&mut self, now: Instant, event: UserEvent) -> Result<(), Drop> {
        if !self.event_clock.witness(event.ltime) {
            return Err(Drop::ImplausibleTime);
        }
        if event.ltime < self.event_min {
            return Err(Drop::BeforeStart);
        }
        let item = (event.name.clone(), event.payload.clone());
        let bytes = item.0.len() + item.1.len();
        self.events.insert(self.event_clock.time(), event.ltime, item, bytes)?;
        self.seen_event = self.seen_event.max(event.ltime);
        self.gaps.filled(event.ltime);
        self.coalesce(|coalescer, events| coalescer.user(now, event, events));
        Ok(())
    }

    /// Runs a coalescer and passes on what it lets go.
    pub(super) fn coalesce(&mut self, run: impl FnOnce(&mut super::coalesce::Coalescer, &mut Vec<super::Event>)) {
        let mut events = Vec::new();
        run(&mut self.coalescer, &mut events);
        self.outputs.extend(events.into_iter().map(Output::Event));
    }
}

#[cfg(test)]
mod tests;
