//! Changes of the keyring that members ask for: one after the other, each on disk before it takes effect and is answered.

use std::collections::{BTreeMap, VecDeque};

use super::output::StoreKeyring;
use super::{Endpoint, Output};
use crate::crypto::{Key, KeyId, Keyring, KeyringError};
use crate::error::Trouble;
use crate::serf::{Ballot, KeyOp, KeyringAnswer, QueryKey};
use crate::time::Instant;

/// Requests that may wait for the one being written.
pub const MAX_KEY_CHANGES: usize = 64;

/// What became of an [`Output::StoreKeyring`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stored {
    /// Ring and ballot are on disk.
    Kept,
    /// The ring takes effect and is lost at the next start; whoever asked is told so.
    NotKept(String),
    /// Neither took effect.
    Failed(Trouble),
}

/// Who waits for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// A member, by a query.
    Member(QueryKey),
    /// The operator of this host.
    Operator(KeyChangeId),
}

/// A change that [`Endpoint::change_keyring`] was asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct KeyChangeId(u64);

/// A request that waits: the next ring is made from the one before, not from the same.
#[derive(Debug)]
struct Change {
    asker: Asker,
    ops: Vec<KeyOp>,
    ballot: Option<Ballot>,
    from: String,
}

/// Requests in the order they came.
#[derive(Debug, Default)]
pub(super) struct Changes {
    storing: bool,
    waiting: VecDeque<Change>,
    last: u64,
}

impl Endpoint {
    /// The driver has dealt with an [`Output::StoreKeyring`].
    pub fn handle_keyring_stored(&mut self, now: Instant, store: StoreKeyring, stored: Stored) {
        self.key_changes.storing = false;
        let answer = match (stored, store.refused) {
            (Stored::Failed(trouble), _) => KeyringAnswer::Refused(trouble.to_string()),
            (Stored::Kept | Stored::NotKept(_), Some(refusal)) => KeyringAnswer::Refused(refusal),
            (Stored::Kept, None) => {
                self.take_ring(now, store.keyring);
                KeyringAnswer::Done
            }
            (Stored::NotKept(text), None) => {
                self.take_ring(now, store.keyring);
                KeyringAnswer::Refused(text)
            }
        };
        self.end_change(now, store.asker, answer);
        while !self.key_changes.storing
            && let Some(change) = self.key_changes.waiting.pop_front()
        {
            self.begin_change(now, change);
        }
        self.settle(now);
    }

    /// Changes the ring of this host alone, all of `ops` or none; [`Output::KeyringChanged`] tells the outcome. Nobody else is
    /// told.
    pub fn change_keyring(&mut self, now: Instant, ops: Vec<KeyOp>) -> KeyChangeId {
        self.key_changes.last += 1;
        let id = KeyChangeId(self.key_changes.last);
        let from = self.options.name.as_str().to_owned();
        self.queue_change(now, Change { asker: Asker::Operator(id), ops, ballot: None, from });
        id
    }

    /// A ballot for a new rotation, higher than any heard of.
    pub fn new_ballot(&mut self) -> Ballot {
        self.serf.new_ballot()
    }

    /// Packets and streams sealed in memberlist's envelope by each key, earlier runs included: each key bears 2^32 over the
    /// whole cluster (`session §7`).
    pub fn sealed(&self) -> &BTreeMap<KeyId, u64> {
        self.envelope.sealed()
    }

    /// A member asks for something about our ring.
    pub(super) fn handle_key_request(
        &mut self,
        now: Instant,
        query: QueryKey,
        op: KeyOp,
        ballot: Option<Ballot>,
        from: String,
    ) {
        match (self.envelope.keyring(), &op) {
            (None, _) => self.answer_key_query(now, &query, KeyringAnswer::Unencrypted),
            (Some(ring), KeyOp::List) => {
                let keys = ring.keys().iter().map(|key| key.to_base64().to_string()).collect();
                self.answer_key_query(now, &query, KeyringAnswer::Keys(keys));
            }
            (Some(_), KeyOp::Install(_) | KeyOp::Use(_) | KeyOp::Remove(_)) => {
                self.queue_change(now, Change { asker: Asker::Member(query), ops: vec![op], ballot, from });
            }
        }
    }

    fn take_ring(&mut self, now: Instant, ring: Keyring) {
        self.removed.replaced(self.envelope.keyring(), &ring, self.swim.present(), now);
        if self.envelope.primary() != Some(ring.primary()) {
            self.resealed = Some(now);
        }
        self.envelope.set_keyring(ring);
        self.strangers.clear();
    }

    fn queue_change(&mut self, now: Instant, change: Change) {
        if !self.key_changes.storing {
            self.begin_change(now, change);
        } else if self.key_changes.waiting.len() < MAX_KEY_CHANGES {
            self.key_changes.waiting.push_back(change);
        } else {
            let text = "too many changes of the keyring wait to be written".to_owned();
            self.end_change(now, change.asker, KeyringAnswer::Refused(text));
        }
    }

    fn begin_change(&mut self, now: Instant, change: Change) {
        let Change { asker, ops, ballot, from } = change;
        let Some(ring) = self.envelope.keyring() else {
            return self.end_change(now, asker, KeyringAnswer::Unencrypted);
        };
        let (keyring, refused) = match changed_ring(ring, &ops) {
            Ok(keyring) => (keyring, None),
            Err(error) => (ring.clone(), Some(refusal(asker, &error))),
        };
        self.key_changes.storing = true;
        self.outputs.push_back(Output::StoreKeyring(StoreKeyring { asker, ops, from, keyring, ballot, refused }));
    }

    fn end_change(&mut self, now: Instant, asker: Asker, answer: KeyringAnswer) {
        match asker {
            Asker::Member(query) => self.answer_key_query(now, &query, answer),
            Asker::Operator(id) => self.outputs.push_back(Output::KeyringChanged { id, answer }),
        }
    }

    fn answer_key_query(&mut self, now: Instant, query: &QueryKey, answer: KeyringAnswer) {
        // The asker's time may be over by now; nobody waits for the answer then.
        let _late = self.serf.keyring_answer(now, query, answer);
    }
}

/// A refusal in the words that whoever asked knows: members of either kind show Serf's to their operators.
fn refusal(asker: Asker, error: &KeyringError) -> String {
    match (asker, error) {
        (Asker::Member(_), KeyringError::RemovePrimary(_)) => "Removing the primary key is not allowed".to_owned(),
        (Asker::Member(_), KeyringError::Missing(_)) => "Requested key is not in the keyring".to_owned(),
        (Asker::Member(_), KeyringError::Length(_)) => "key size must be 16, 24 or 32 bytes".to_owned(),
        (Asker::Member(_) | Asker::Operator(_), error) => error.to_string(),
    }
}

/// `ring` after `ops`.
fn changed_ring(ring: &Keyring, ops: &[KeyOp]) -> Result<Keyring, KeyringError> {
    let mut ring = ring.clone();
    for op in ops {
        match op {
            KeyOp::Install(key) => drop(ring.install(Key::new(key)?)),
            KeyOp::Use(key) => drop(ring.use_key(&Key::new(key)?)?),
            KeyOp::Remove(key) => drop(ring.remove(&Key::new(key)?)?),
            KeyOp::List => {}
        }
    }
    Ok(ring)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use zeroize::Zeroizing;

    use super::super::*;
    use super::*;
    use crate::serf::{KeyOutcome, KeyParams, LamportTime};

    const NOW: Instant = Instant::from_nanos(3_600_000_000_000);

    fn key(fill: u8) -> Key {
        Key::new(&[fill; 32]).unwrap()
    }

    fn op(make: fn(Zeroizing<Vec<u8>>) -> KeyOp, fill: u8) -> KeyOp {
        make(key(fill).bytes().to_vec().into())
    }

    fn endpoint() -> Endpoint {
        let options = Options::new(NodeName::new("us").unwrap(), SocketAddr::from(([127, 0, 0, 1], 7946)));
        let (ring, rng) = (Keyring::new(key(1), []), StdRng::seed_from_u64(1));
        Endpoint::new(options, Some(ring), Restored::default(), rng, Box::new(|bytes| bytes.fill(9)), NOW)
    }

    /// Asks the cluster, which is us alone.
    fn ask(us: &mut Endpoint, op: KeyOp, ballot: Option<Ballot>) {
        us.key_request(NOW, KeyParams { op, only: Vec::new(), ballot }).unwrap();
    }

    fn to_store(us: &mut Endpoint) -> Option<StoreKeyring> {
        std::iter::from_fn(|| us.poll_output()).find_map(|output| match output {
            Output::StoreKeyring(store) => Some(store),
            _ => None,
        })
    }

    fn outcomes(us: &mut Endpoint) -> Vec<KeyOutcome> {
        let outputs = std::iter::from_fn(|| us.poll_output());
        outputs
            .filter_map(|output| if let Output::Keys { outcome, .. } = output { Some(outcome) } else { None })
            .collect()
    }

    fn answer(us: &mut Endpoint) -> (bool, String) {
        let outcomes = outcomes(us);
        let node = &outcomes[0].nodes["us"];
        (node.ok, node.message.clone())
    }

    #[test]
    fn a_change_counts_once_it_is_stored() {
        // what became of it, the answer, in force
        for (stored, answer_is, in_force) in [
            (Stored::Kept, (true, String::new()), true),
            (Stored::NotKept("not kept".into()), (false, "not kept".into()), true),
            (Stored::Failed(Trouble::new("disk full", "")), (false, "disk full".into()), false),
        ] {
            let mut us = endpoint();
            ask(&mut us, op(KeyOp::Install, 2), None);
            let store = to_store(&mut us).unwrap();
            assert_eq!(us.keyring().unwrap().keys(), [key(1)], "not yet");
            us.handle_keyring_stored(NOW, store, stored);
            assert_eq!(us.keyring().unwrap().keys().contains(&key(2)), in_force);
            assert_eq!(answer(&mut us), answer_is);
        }
    }

    #[test]
    fn another_ring_makes_strangers_forgotten() {
        let mut us = endpoint();
        let peer = SocketAddr::from(([127, 0, 0, 2], 7946));
        us.handle_datagram(NOW, peer, &Keyring::new(key(2), []).seal_packet([0; 12], b"", b"x"));
        assert_eq!(us.strangers().count(), 1);
        let mut import = |stored| {
            us.change_keyring(NOW, vec![op(KeyOp::Install, 2)]);
            let store = to_store(&mut us).unwrap();
            us.handle_keyring_stored(NOW, store, stored);
            us.strangers().count()
        };
        assert_eq!(import(Stored::Failed(Trouble::new("disk full", ""))), 1);
        assert_eq!(import(Stored::Kept), 0);
    }

    #[test]
    fn changes_of_two_operators_at_once_are_both_kept() {
        let mut us = endpoint();
        ask(&mut us, op(KeyOp::Install, 2), None);
        ask(&mut us, op(KeyOp::Install, 3), None);
        ask(&mut us, op(KeyOp::Use, 2), None);
        let first = to_store(&mut us).unwrap();
        assert!(to_store(&mut us).is_none(), "one at a time");
        us.handle_keyring_stored(NOW, first, Stored::Kept);
        let second = to_store(&mut us).unwrap();
        us.handle_keyring_stored(NOW, second, Stored::Kept);
        let third = to_store(&mut us).unwrap();
        us.handle_keyring_stored(NOW, third, Stored::Kept);
        assert_eq!(us.keyring().unwrap().keys(), [key(2), key(1), key(3)]);
    }

    #[test]
    fn changes_beyond_the_bound_are_refused() {
        let mut us = endpoint();
        for fill in 2..=255 {
            if us.key_changes.waiting.len() == MAX_KEY_CHANGES {
                break;
            }
            ask(&mut us, op(KeyOp::Install, fill), None);
        }
        while us.poll_output().is_some() {}
        ask(&mut us, op(KeyOp::Install, 99), None);
        assert_eq!(answer(&mut us), (false, "too many changes of the keyring wait to be written".into()));
    }

    #[test]
    fn the_ballot_of_a_refused_request_is_kept_all_the_same() {
        let mut us = endpoint();
        let ballot = Ballot::new(LamportTime(7), [1; 4]);
        ask(&mut us, op(KeyOp::Use, 2), Some(ballot));
        let store = to_store(&mut us).unwrap();
        assert_eq!((store.ballot, store.keyring.keys()), (Some(ballot), &[key(1)][..]));
        assert!(store.refused.is_some());
        us.handle_keyring_stored(NOW, store, Stored::Kept);
        let (ok, message) = answer(&mut us);
        assert_eq!((ok, message.as_str()), (false, "Requested key is not in the keyring"));
    }

    #[test]
    fn members_are_refused_in_serfs_words() {
        for (op, words) in [
            (op(KeyOp::Remove, 1), "Removing the primary key is not allowed"),
            (op(KeyOp::Remove, 2), ""),
            (op(KeyOp::Use, 2), "Requested key is not in the keyring"),
            (KeyOp::Install(vec![1; 5].into()), "key size must be 16, 24 or 32 bytes"),
        ] {
            let mut us = endpoint();
            ask(&mut us, op.clone(), None);
            let store = to_store(&mut us).unwrap();
            us.handle_keyring_stored(NOW, store, Stored::Kept);
            assert_eq!(answer(&mut us), (words.is_empty(), words.to_owned()), "{op:?}");
        }
    }

    #[test]
    fn the_operator_of_a_host_changes_its_ring_alone() {
        let mut us = endpoint();
        let id = us.change_keyring(NOW, vec![op(KeyOp::Install, 2), op(KeyOp::Use, 2)]);
        let store = to_store(&mut us).unwrap();
        us.handle_keyring_stored(NOW, store, Stored::Kept);
        assert_eq!(us.keyring().unwrap().keys(), [key(2), key(1)]);
        let told = us.poll_output();
        assert!(
            matches!(told, Some(Output::KeyringChanged { id: of, answer: KeyringAnswer::Done }) if of == id),
            "{told:?}"
        );
    }

    #[test]
    fn what_memberlists_envelope_seals_is_counted_by_key() {
        let mut us = endpoint();
        let rng = &mut StdRng::seed_from_u64(1);
        let form = || super::super::peers::Form::Old { told: false };
        us.envelope.seal_packet(vec![1], form(), None, NOW, rng);
        us.envelope.seal_packet(vec![1], form(), Some(KeyId([0; 4])), NOW, rng);
        us.envelope.seal_stream(vec![1], None, true, NOW, rng);
        us.envelope.seal_packet(vec![1], super::super::peers::Form::Hello, None, NOW, rng);
        assert_eq!(*us.sealed(), [(key(1).id(), 3)].into());
    }
}
