//! A member's side of key management (`serf §7`, `protocols B.2`).
//!
//! Who holds the keyring is not our business: a request that is in order comes out as [`Output::Keyring`], and the answer
//! goes back through [`Serf::keyring_answer`]. Requests of a rotation carry a *ballot*; a member obeys none lower than the
//! highest it has seen, so two operators cannot cross.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::Serf;
use super::clock::LamportTime;
use super::drops::Drop;
use super::output::{Output, QueryKey};
use super::query::{Kind, RespondError};
use crate::time::Instant;
use crate::wire::serf::{KeyRequest, KeyResponse, Query, QueryResponse, SerfMessage};

/// How long after a ballot a request without one is refused.
pub const BALLOT_GUARD: Duration = Duration::from_secs(60);

/// Bytes of the shortest key in base64 and one byte more: the reference's guess at how many keys an answer holds.
const LISTED_KEY_BYTES: usize = 25;

/// What is to be done to a keyring. `Debug` shows no key.
#[derive(Clone, Eq, PartialEq)]
pub enum KeyOp {
    /// Add a key as the last one; a known one is a success.
    Install(Zeroizing<Vec<u8>>),
    /// Make a key the primary one.
    Use(Zeroizing<Vec<u8>>),
    /// Take a key away; an unknown one is a success.
    Remove(Zeroizing<Vec<u8>>),
    List,
}

impl KeyOp {
    /// The name of the query that carries it.
    pub const fn query_name(&self) -> &'static str {
        match self {
            Self::Install(_) => "_serf_install-key",
            Self::Use(_) => "_serf_use-key",
            Self::Remove(_) => "_serf_remove-key",
            Self::List => "_serf_list-keys",
        }
    }

    /// The key, if the operation has one.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Install(key) | Self::Use(key) | Self::Remove(key) => Some(key),
            Self::List => None,
        }
    }

    fn parse(name: &str, key: Zeroizing<Vec<u8>>) -> Option<Self> {
        match name {
            "_serf_install-key" => Some(Self::Install(key)),
            "_serf_use-key" => Some(Self::Use(key)),
            "_serf_remove-key" => Some(Self::Remove(key)),
            "_serf_list-keys" => Some(Self::List),
            _ => None,
        }
    }
}

impl fmt::Debug for KeyOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.query_name())
    }
}

/// Orders rotations: the query time of its first request, big endian, then four random bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ballot(pub [u8; 12]);

impl Ballot {
    /// The ballot of a rotation that starts at `ltime`.
    pub fn new(ltime: LamportTime, random: [u8; 4]) -> Self {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&ltime.get().to_be_bytes());
        bytes[8..].copy_from_slice(&random);
        Self(bytes)
    }

    /// The query time in it.
    pub fn ltime(self) -> LamportTime {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        LamportTime(u64::from_be_bytes(bytes))
    }
}

/// The highest ballot seen, as it is kept on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptBallot {
    pub ballot: Ballot,
    /// Who ran that rotation.
    pub from: String,
    /// Time since its last request.
    pub age: Duration,
}

/// What the keyring made of a request. `Debug` shows no key.
#[derive(Clone, Eq, PartialEq)]
pub enum KeyringAnswer {
    /// Done, and safe on disk.
    Done,
    /// Not done, or not kept; the text is for people.
    Refused(String),
    /// There is no keyring.
    Unencrypted,
    /// All keys in base64, the primary first.
    Keys(Vec<String>),
}

impl fmt::Debug for KeyringAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Refused(text) => write!(f, "Refused({text:?})"),
            Self::Unencrypted => f.write_str("Unencrypted"),
            Self::Keys(keys) => write!(f, "Keys({} keys)", keys.len()),
        }
    }
}

/// The ballot rule.
#[derive(Debug, Default)]
pub(crate) struct Ballots(Option<Seen>);

#[derive(Debug)]
struct Seen {
    ballot: Ballot,
    from: String,
    /// Until then requests without a ballot are refused.
    guarded_until: Instant,
}

/// Why the ballot rule refuses a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Superseded {
    text: String,
    ballot: Ballot,
}

impl Ballots {
    pub(crate) fn restored(kept: Option<KeptBallot>, now: Instant) -> Self {
        Self(kept.map(|KeptBallot { ballot, from, age }| {
            let guarded_until = now + BALLOT_GUARD.saturating_sub(age);
            Seen { ballot, from, guarded_until }
        }))
    }

    /// The highest one seen; zeros before the first.
    fn highest(&self) -> Ballot {
        self.0.as_ref().map_or(Ballot([0; 12]), |seen| seen.ballot)
    }

    /// Judges a request of `from`. A ballot that is not lower than the highest becomes the highest.
    fn admit(&mut self, now: Instant, ballot: Option<Ballot>, from: &str) -> Result<(), Superseded> {
        match (ballot, &self.0) {
            (Some(ballot), Some(seen)) if ballot < seen.ballot => {
                let text = format!("superseded by a rotation from {}", seen.from);
                Err(Superseded { text, ballot: seen.ballot })
            }
            (Some(ballot), _) => {
                self.0 = Some(Seen { ballot, from: from.to_owned(), guarded_until: now + BALLOT_GUARD });
                Ok(())
            }
            (None, Some(seen)) if now < seen.guarded_until => {
                let left = seen.guarded_until.since(now);
                let (ago, left) = (BALLOT_GUARD.saturating_sub(left).as_secs(), left.as_secs_f64().ceil());
                let text = format!(
                    "a rotation from {} was here {ago} s ago and may still run; try again in {left} s",
                    seen.from
                );
                Err(Superseded { text, ballot: seen.ballot })
            }
            (None, _) => Ok(()),
        }
    }
}

impl Serf {
    /// A key query that passed its filters.
    pub(super) fn handle_key_query(&mut self, now: Instant, query: &Query) {
        let key = QueryKey { ltime: query.ltime, id: query.id };
        let request = match (query.name.as_str(), KeyRequest::decode(&query.payload)) {
            ("_serf_list-keys", request) => request.unwrap_or_default(),
            (_, Ok(request)) => request,
            // As the reference: the result is false, and there is no text.
            (_, Err(_)) => {
                self.drops.count(Drop::Undecodable);
                return self.answer_key_query(now, key, &KeyResponse::default());
            }
        };
        let ballot = request.rot.map(Ballot);
        let Some(op) = KeyOp::parse(&query.name, request.key) else { return };
        if op != KeyOp::List
            && let Err(superseded) = self.ballots.admit(now, ballot, &query.source_node)
        {
            let rot = Some(superseded.ballot.0);
            return self.answer_key_query(
                now,
                key,
                &KeyResponse { message: superseded.text, rot, ..KeyResponse::default() },
            );
        }
        let ballot = ballot.filter(|_| op != KeyOp::List);
        self.outputs.push_back(Output::Keyring { query: key, op, ballot, from: query.source_node.clone() });
    }

    /// The keyring's answer to [`Output::Keyring`]. Call it after the ring and its file, and the ballot, are synced to disk.
    ///
    /// # Errors
    ///
    /// If the query is unknown, answered or past its deadline; nothing was sent then.
    pub fn keyring_answer(
        &mut self,
        now: Instant,
        query: &QueryKey,
        answer: KeyringAnswer,
    ) -> Result<(), RespondError> {
        let listing = self.open.is_list(query).ok_or(RespondError::Unknown)?;
        let response = match answer {
            KeyringAnswer::Done => KeyResponse { result: true, ..KeyResponse::default() },
            KeyringAnswer::Refused(message) => KeyResponse { message, ..KeyResponse::default() },
            KeyringAnswer::Unencrypted => {
                KeyResponse { message: unencrypted(listing).to_owned(), ..KeyResponse::default() }
            }
            KeyringAnswer::Keys(keys) => {
                let limit = self.options.query_response_size_limit;
                let rot = Some(self.ballots.highest());
                let Some(payload) = fit_list(query, self.local.name.as_str(), keys, rot, limit) else {
                    return Err(RespondError::TooLarge { limit });
                };
                return self.respond_internal(now, query, payload);
            }
        };
        self.respond_internal(now, query, response.encode())
    }

    fn answer_key_query(&mut self, now: Instant, query: QueryKey, response: &KeyResponse) {
        // A refusal is small and the query was opened just now.
        if self.respond_internal(now, &query, response.encode()).is_err() {
            self.drops.count(Drop::QueriesFull);
        }
    }
}

/// Whether a query would crash a real agent for want of a payload.
pub(super) fn lacks_payload(query: &Query) -> bool {
    query.payload.is_empty() && kind(&query.name) == Some(Kind::Key { list: false })
}

/// The kind of a key query.
pub(super) fn kind(name: &str) -> Option<Kind> {
    KeyOp::parse(name, Zeroizing::default()).map(|op| Kind::Key { list: op == KeyOp::List })
}

const fn unencrypted(listing: bool) -> &'static str {
    if listing { "Keyring is empty (encryption not enabled)" } else { "No keyring to modify (encryption not enabled)" }
}

/// The payload of an answer that lists as many keys as fit the whole response into `limit` bytes; `None` if not even none do.
fn fit_list(query: &QueryKey, from: &str, keys: Vec<String>, rot: Option<Ballot>, limit: usize) -> Option<Bytes> {
    let total = keys.len();
    let primary_key = keys.first().cloned().unwrap_or_default();
    // That it is there tells an operator that ballots are obeyed here.
    let rot = rot.map(|ballot| ballot.0);
    let mut response = KeyResponse { result: true, keys, primary_key, rot, ..KeyResponse::default() };
    let fitting = |response: &KeyResponse| {
        let payload = response.encode();
        let whole =
            QueryResponse { ltime: query.ltime, id: query.id, from: from.into(), ack: false, payload: payload.clone() };
        (SerfMessage::QueryResponse(whole).encode().len() <= limit).then_some(payload)
    };
    let whole = fitting(&response).or_else(|| fitting(&KeyResponse { rot: None, ..response.clone() }));
    whole.or_else(|| {
        (0..=total.min(limit / LISTED_KEY_BYTES)).rev().find_map(|shown| {
            response.keys.truncate(shown);
            response.message = format!("truncated key list response, showing first {shown} of {total} keys");
            fitting(&response)
        })
    })
}

#[cfg(test)]
mod tests;
