//! Ciphers of packet keys, the most recently used ones.

use std::collections::HashMap;

use super::SessionId;
use super::hash::ById;
use crate::crypto::cipher::Cipher;
use crate::crypto::{Key, KeyId};

/// Most ciphers kept; 624 bytes each.
const CAPACITY: usize = 1024;

/// Keys may share an identifier, so that the key itself is compared too.
type Name = (KeyId, SessionId);

/// Ciphers by key and sender. Finding one makes it the most recently used; a full cache replaces the least recently used.
pub(super) struct Ciphers {
    index: HashMap<Name, usize, ById>,
    slots: Vec<Slot>,
    /// Most recently used; meaningless while there are no slots.
    newest: usize,
    capacity: usize,
}

/// A cipher in a ring of all slots, from the newest over older ones to the oldest, whose older neighbour is the newest.
struct Slot {
    name: Name,
    key: Key,
    cipher: Cipher,
    newer: usize,
    older: usize,
}

/// The cipher of a sender's packets.
pub(super) fn packet_cipher(key: &Key, sender: SessionId) -> Cipher {
    Cipher::aes256(&key.subkey(&[b"packet", &sender.0]))
}

impl Ciphers {
    pub(super) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self { index: HashMap::default(), slots: Vec::new(), newest: 0, capacity }
    }

    /// The cipher, if it is there.
    pub(super) fn get(&mut self, key: &Key, sender: SessionId) -> Option<&Cipher> {
        let at = *self.index.get(&(key.id(), sender))?;
        if self.slots[at].key != *key {
            return None;
        }
        self.touch(at);
        Some(&self.slots[at].cipher)
    }

    /// The cipher, derived and kept if it was not there.
    pub(super) fn get_or_derive(&mut self, key: &Key, sender: SessionId) -> &Cipher {
        let name = (key.id(), sender);
        let at = match self.index.get(&name) {
            Some(&at) if self.slots[at].key == *key => {
                self.touch(at);
                at
            }
            _ => self.put(key, sender, packet_cipher(key, sender)),
        };
        &self.slots[at].cipher
    }

    /// Keeps a cipher that was proven right. Returns its slot.
    pub(super) fn put(&mut self, key: &Key, sender: SessionId, cipher: Cipher) -> usize {
        let name = (key.id(), sender);
        let key = key.clone();
        let at = match self.index.get(&name) {
            // A second key of the same name takes the place.
            Some(&at) => at,
            None if self.slots.len() < self.capacity => {
                let at = self.slots.len();
                let (newer, older) = if at == 0 { (0, 0) } else { (self.slots[self.newest].newer, self.newest) };
                self.slots.push(Slot { name, key, cipher, newer, older });
                self.slots[newer].older = at;
                self.slots[older].newer = at;
                self.index.insert(name, at);
                self.newest = at;
                return at;
            }
            None => {
                let oldest = self.slots[self.newest].newer;
                self.index.remove(&self.slots[oldest].name);
                self.index.insert(name, oldest);
                oldest
            }
        };
        let Slot { newer, older, .. } = self.slots[at];
        self.slots[at] = Slot { name, key, cipher, newer, older };
        self.touch(at);
        at
    }

    /// Makes a slot the newest. The ring closes behind it.
    fn touch(&mut self, at: usize) {
        if at == self.newest {
            return;
        }
        let Slot { newer, older, .. } = self.slots[at];
        self.slots[newer].older = older;
        self.slots[older].newer = newer;
        let (oldest, newest) = (self.slots[self.newest].newer, self.newest);
        self.slots[at].newer = oldest;
        self.slots[at].older = newest;
        self.slots[oldest].older = at;
        self.slots[newest].newer = at;
        self.newest = at;
    }

    /// Keeps the ciphers for which `keep` holds, at once: what goes is zeroed.
    pub(super) fn retain(&mut self, keep: impl Fn(&Key, SessionId) -> bool) {
        let mut kept = Self::with_capacity(self.capacity);
        let mut at = self.slots.get(self.newest).map_or(0, |newest| newest.newer);
        let order: Vec<usize> = (0..self.slots.len())
            .map(|_| {
                let this = at;
                at = self.slots[this].newer;
                this
            })
            .collect();
        let mut slots: Vec<Option<Slot>> = std::mem::take(&mut self.slots).into_iter().map(Some).collect();
        for at in order {
            if let Some(slot) = slots[at].take().filter(|slot| keep(&slot.key, slot.name.1)) {
                kept.put(&slot.key, slot.name.1, slot.cipher);
            }
        }
        *self = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> Key {
        Key::new(&[fill; 32]).unwrap()
    }

    fn held(ciphers: &mut Ciphers, senders: &[u8]) -> Vec<u8> {
        // From the oldest to the newest, so that looking does not change the order.
        senders.iter().copied().filter(|&sender| ciphers.get(&key(1), SessionId([sender; 16])).is_some()).collect()
    }

    #[test]
    fn the_least_recently_used_cipher_goes_first() {
        let mut ciphers = Ciphers::with_capacity(3);
        for sender in [1, 2, 3] {
            ciphers.get_or_derive(&key(1), SessionId([sender; 16]));
        }
        assert!(ciphers.get(&key(1), SessionId([1; 16])).is_some());
        ciphers.get_or_derive(&key(1), SessionId([4; 16]));
        assert_eq!(held(&mut ciphers, &[2, 3, 1, 4]), [3, 1, 4]);
        ciphers.get_or_derive(&key(1), SessionId([5; 16]));
        ciphers.get_or_derive(&key(1), SessionId([6; 16]));
        assert_eq!(held(&mut ciphers, &[3, 1, 4, 5, 6]), [4, 5, 6]);
    }

    #[test]
    fn a_removed_key_takes_its_ciphers_and_no_others() {
        let mut ciphers = Ciphers::with_capacity(4);
        for sender in [1, 2] {
            ciphers.get_or_derive(&key(1), SessionId([sender; 16]));
            ciphers.get_or_derive(&key(2), SessionId([sender; 16]));
        }
        ciphers.retain(|held, _| *held == key(1));
        assert!(ciphers.get(&key(2), SessionId([1; 16])).is_none());
        assert_eq!((ciphers.slots.len(), ciphers.index.len()), (2, 2));
        assert_eq!(held(&mut ciphers, &[1, 2]), [1, 2]);
        ciphers.retain(|_, _| false);
        assert!(held(&mut ciphers, &[1, 2]).is_empty());
        ciphers.get_or_derive(&key(1), SessionId([7; 16]));
        assert_eq!(held(&mut ciphers, &[7]), [7]);
    }
}
