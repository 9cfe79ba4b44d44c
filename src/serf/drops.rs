//! Why something a peer sent was not taken: typed, counted, shown in `stats`.

/// A reason for dropping remote input, or part of it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Drop {
    /// A user message without a byte.
    Empty,
    /// A message type that does not travel this way, or an unknown one.
    MessageType,
    /// A message, payload or user state that does not decode.
    Undecodable,
    /// A member name that is empty or longer than a [`crate::wire::NodeName`] may be.
    Name,
    /// A Lamport time above [`crate::serf::LamportTime::MAX`].
    ImplausibleTime,
    /// An intent that is not newer than what is known; ordinary in gossip.
    SeenIntent,
    /// The oldest remembered intent, making room for a newer one.
    IntentsFull,
    /// A user event or query older than the ring of recent ones.
    TooOld,
    /// A user event or query from before the snapshot or before an "ignore old" join.
    BeforeStart,
    /// A user event or query that was seen already; ordinary in gossip.
    Duplicate,
    /// More user events or queries with one Lamport time than a slot holds.
    SlotFull,
    /// A query with a zero-length filter, which crashes real agents; not passed on.
    EmptyFilter,
    /// A key query without a payload, which crashes real agents; not passed on.
    EmptyKeyPayload,
    /// A filter of an unknown type, or a regular expression that is wrong or too large.
    BadFilter,
    /// The oldest query still open for an answer, making room for a newer one.
    QueriesFull,
    /// An ack or response to a query that is not ours, or is closed.
    UnknownQuery,
    /// A second ack or response from the same member; ordinary with relays.
    DuplicateAnswer,
    /// An ack or response beyond the number kept for one query.
    AnswersFull,
    /// A response to a key query or a vote by somebody who is no member.
    AnswerFromStranger,
    /// A relay of something else than a query response, or of too large a one.
    RelayContent,
    /// A relay towards an address that is no member's.
    RelayTarget,
    /// A relay beyond the rate we forward.
    RelayRate,
    /// An answer to a query whose origin is no member, beyond the rate for strangers.
    ReplyRate,
    /// A wrapped response too large to be relayed; the direct copy has gone.
    RelaySize,
    /// A message that no gossip packet can hold; handled, but not passed on.
    Oversize,
    /// A broadcast discarded because its queue was full.
    QueueFull,
    /// A coordinate of an unknown version or shape, not finite, or with an impossible round-trip time.
    Coordinate,
    /// A prune of a member that is, or came back, alive.
    PruneAlive,
    /// A departed member forgotten early because there were too many.
    DepartedFull,
}

impl Drop {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 29] = [
        Self::Empty,
        Self::MessageType,
        Self::Undecodable,
        Self::Name,
        Self::ImplausibleTime,
        Self::SeenIntent,
        Self::IntentsFull,
        Self::TooOld,
        Self::BeforeStart,
        Self::Duplicate,
        Self::SlotFull,
        Self::EmptyFilter,
        Self::EmptyKeyPayload,
        Self::BadFilter,
        Self::QueriesFull,
        Self::UnknownQuery,
        Self::DuplicateAnswer,
        Self::AnswersFull,
        Self::AnswerFromStranger,
        Self::RelayContent,
        Self::RelayTarget,
        Self::RelayRate,
        Self::ReplyRate,
        Self::RelaySize,
        Self::Oversize,
        Self::QueueFull,
        Self::Coordinate,
        Self::PruneAlive,
        Self::DepartedFull,
    ];

    /// The reason as a metric label: lower case with underscores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::MessageType => "message_type",
            Self::Undecodable => "undecodable",
            Self::Name => "name",
            Self::ImplausibleTime => "implausible_time",
            Self::SeenIntent => "seen_intent",
            Self::IntentsFull => "intents_full",
            Self::TooOld => "too_old",
            Self::BeforeStart => "before_start",
            Self::Duplicate => "duplicate",
            Self::SlotFull => "slot_full",
            Self::EmptyFilter => "empty_filter",
            Self::EmptyKeyPayload => "empty_key_payload",
            Self::BadFilter => "bad_filter",
            Self::QueriesFull => "queries_full",
            Self::UnknownQuery => "unknown_query",
            Self::DuplicateAnswer => "duplicate_answer",
            Self::AnswersFull => "answers_full",
            Self::AnswerFromStranger => "answer_from_stranger",
            Self::RelayContent => "relay_content",
            Self::RelayTarget => "relay_target",
            Self::RelayRate => "relay_rate",
            Self::ReplyRate => "reply_rate",
            Self::RelaySize => "relay_size",
            Self::Oversize => "oversize",
            Self::QueueFull => "queue_full",
            Self::Coordinate => "coordinate",
            Self::PruneAlive => "prune_alive",
            Self::DepartedFull => "departed_full",
        }
    }

    /// Whether gossip itself brings it about all the time: every message arrives several times.
    pub const fn is_ordinary(self) -> bool {
        matches!(self, Self::SeenIntent | Self::Duplicate | Self::DuplicateAnswer)
    }
}

/// How often each reason occurred since the start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Drops([u64; Drop::ALL.len()]);

impl Drops {
    /// How often `reason` occurred.
    pub fn get(&self, reason: Drop) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.into_iter().map(|reason| (reason, self.get(reason)))
    }

    pub(crate) fn count(&mut self, reason: Drop) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&mut self, reason: Drop, times: u64) {
        if times > 0 {
            tracing::trace!(reason = reason.as_str(), times, "dropped");
            self.0[reason as usize] += times;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_label() {
        let mut drops = Drops::default();
        for (i, reason) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
            drops.add(reason, i as u64 + 1);
        }
        assert!(drops.iter().enumerate().all(|(i, (_, count))| count == i as u64 + 1));
        let labels: std::collections::BTreeSet<_> = Drop::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(labels.len(), Drop::ALL.len());
    }
}
