//! The requester's side of key management: who answered what (`serf §7`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use super::Serf;
use super::keys::{Ballot, KeyOp};
use super::output::QueryKey;
use super::query::{Purpose, QueryError, QueryParams};
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::{KeyRequest, KeyResponse, NOT_KEPT};

/// A key request of ours.
#[derive(Clone, Debug)]
pub struct KeyParams {
    pub op: KeyOp,
    /// Ask these only; everybody if empty. Many long names do not fit into a query.
    pub only: Vec<NodeName>,
    /// The rotation this request belongs to.
    pub ballot: Option<Ballot>,
}

/// What one member answered. `Debug` shows no key.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KeyNode {
    pub ok: bool,
    /// Why not, or that the list is truncated. For people; texts differ between implementations.
    pub message: String,
    /// Base64, from a list only.
    pub keys: Vec<String>,
    /// Base64, from a list only; the first key if the member does not tell.
    pub primary: Option<String>,
    /// The ballot that the member holds to instead of ours.
    pub superseded_by: Option<Ballot>,
    /// It has said that it keeps ballots, as weir does and Serf does not.
    pub keeps_ballots: bool,
}

impl KeyNode {
    /// Whether it obeys in memory alone.
    pub fn is_not_kept(&self) -> bool {
        !self.ok && self.message.starts_with(NOT_KEPT)
    }
}

impl fmt::Debug for KeyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, message, keys, superseded_by, .. } = self;
        write!(f, "KeyNode({ok}, {message:?}, {} keys, {superseded_by:?})", keys.len())
    }
}

/// The end of a key request: everybody asked has answered, or the time is over.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KeyOutcome {
    pub nodes: BTreeMap<NodeName, KeyNode>,
    /// Members that were asked and did not answer.
    pub missing: BTreeSet<NodeName>,
}

impl KeyOutcome {
    /// Members that were there when asked, or answered.
    pub fn asked(&self) -> usize {
        self.nodes.len() + self.missing.len()
    }

    /// Members that answered with a failure.
    pub fn errors(&self) -> usize {
        self.nodes.values().filter(|node| !node.ok).count()
    }

    /// How many members listed each key.
    pub fn keys(&self) -> BTreeMap<&str, usize> {
        count(self.nodes.values().flat_map(|node| node.keys.iter().map(String::as_str)))
    }

    pub(crate) fn expecting(missing: BTreeSet<NodeName>) -> Self {
        Self { nodes: BTreeMap::new(), missing }
    }

    /// Takes a member's answer. Returns whether nobody is missing any more.
    pub(crate) fn answered(&mut self, from: NodeName, payload: &[u8]) -> bool {
        self.missing.remove(&from);
        self.nodes.insert(from, KeyNode::parse(payload));
        self.missing.is_empty()
    }
}

impl KeyNode {
    fn parse(payload: &[u8]) -> Self {
        match KeyResponse::decode(payload) {
            Ok(response) => {
                let told = Some(response.primary_key).filter(|key| !key.is_empty());
                Self {
                    ok: response.result,
                    message: response.message,
                    primary: told.or_else(|| response.keys.first().cloned()),
                    keys: response.keys,
                    superseded_by: response.rot.map(Ballot).filter(|_| !response.result),
                    keeps_ballots: response.rot.is_some(),
                }
            }
            Err(_) => Self { message: "answer does not decode".to_owned(), ..Self::default() },
        }
    }
}

fn count<'a>(keys: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

impl Serf {
    /// Asks members to change or list their keys, with the default query timeout. The end comes as
    /// [`Output::Keys`](super::Output::Keys), as soon as every member asked that is present has answered.
    ///
    /// # Errors
    ///
    /// If the request is too large, or too many of our queries are open; nothing was sent then.
    pub fn key_request(&mut self, now: Instant, params: KeyParams) -> Result<QueryKey, QueryError> {
        let expected: BTreeSet<NodeName> = if params.only.is_empty() {
            self.members
                .iter()
                .filter(|member| member.status.is_present())
                .map(|member| member.node.name.clone())
                .collect()
        } else {
            params.only.iter().cloned().collect()
        };
        let key = params.op.key().unwrap_or_default().to_vec().into();
        let payload: Bytes = KeyRequest { key, rot: params.ballot.map(|ballot| ballot.0) }.encode();
        let query = QueryParams {
            name: params.op.query_name().to_owned(),
            payload,
            nodes: params.only.iter().map(|name| name.as_str().to_owned()).collect(),
            ..QueryParams::default()
        };
        self.ask(now, query, Purpose::Keys(KeyOutcome::expecting(expected))).map(|sent| sent.key)
    }

    /// A ballot for a new rotation, higher than any this node has heard of.
    pub fn new_ballot(&mut self) -> Ballot {
        Ballot::new(self.query_clock.time(), rand::RngExt::random(&mut self.rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn listing(keys: &[&str], primary: &str) -> Bytes {
        let keys = keys.iter().map(ToString::to_string).collect();
        KeyResponse { result: true, keys, primary_key: primary.into(), ..KeyResponse::default() }.encode()
    }

    #[test]
    fn the_tally_ends_when_everybody_expected_has_answered() {
        let mut outcome = KeyOutcome::expecting([name("a"), name("b")].into());
        assert!(!outcome.answered(name("a"), &listing(&["K1", "K2"], "K1")));
        assert!(!outcome.answered(name("new"), &listing(&["K2"], "")), "a newcomer counts but is not waited for");
        assert!(outcome.answered(name("b"), b"\x05\x80"));
        assert_eq!((outcome.asked(), outcome.errors()), (3, 1));
        assert_eq!(outcome.keys(), [("K1", 1), ("K2", 2)].into());
        assert_eq!(
            outcome.nodes[&name("new")].primary.as_deref(),
            Some("K2"),
            "the first key stands in for the primary"
        );
    }

    #[test]
    fn a_refusal_for_a_higher_ballot_is_told_apart() {
        let mut outcome = KeyOutcome::expecting([name("a")].into());
        let payload =
            KeyResponse { message: "superseded".into(), rot: Some([7; 12]), ..KeyResponse::default() }.encode();
        assert!(outcome.answered(name("a"), &payload));
        let node = &outcome.nodes[&name("a")];
        assert_eq!((node.ok, node.superseded_by), (false, Some(Ballot([7; 12]))));
    }
}
