//! The ring of recent Lamport times by which user events and queries are told from their copies
//! (`serf §5.2, §6.3`).

use std::num::NonZeroUsize;

use super::clock::LamportTime;
use super::drops::Drop;

/// Items with one Lamport time. Their number and size are bounded, or many events with one time would grow one slot and with
/// it every push/pull.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    pub(crate) ltime: LamportTime,
    pub(crate) items: Vec<T>,
    bytes: usize,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RingError {
    TooOld,
    Duplicate,
    Full,
}

/// Items a slot holds.
pub const MAX_SLOT_ITEMS: usize = 512;

/// Bytes a slot holds.
pub const MAX_SLOT_BYTES: usize = 64 * 1024;

/// Recent items by Lamport time.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    /// Grows on first use: most members of most clusters see no user event at all.
    slots: Vec<Option<Slot<T>>>,
    len: NonZeroUsize,
}

impl<T: Eq> Ring<T> {
    pub(crate) fn new(len: NonZeroUsize) -> Self {
        Self { slots: Vec::new(), len }
    }

    /// Takes `item` of `bytes` bytes unless it is known or older than the ring. `now` is the clock after it has witnessed
    /// `ltime`.
    pub(crate) fn insert(
        &mut self,
        now: LamportTime,
        ltime: LamportTime,
        item: T,
        bytes: usize,
    ) -> Result<(), RingError> {
        if ltime.is_older_than_ring(now, self.len) {
            return Err(RingError::TooOld);
        }
        if bytes > MAX_SLOT_BYTES {
            return Err(RingError::Full);
        }
        if self.slots.is_empty() {
            self.slots.resize_with(self.len.get(), || None);
        }
        let slot = &mut self.slots[ltime.slot(self.len)];
        match slot {
            Some(slot) if slot.ltime == ltime => slot.push(item, bytes),
            // Only with a clock at its very end, where the clock no longer runs ahead of the ring.
            Some(slot) if slot.ltime > ltime => Err(RingError::TooOld),
            _ => {
                *slot = Some(Slot { ltime, items: vec![item], bytes });
                Ok(())
            }
        }
    }

    /// The slots in use, newest time first.
    pub(crate) fn newest_first(&self) -> Vec<&Slot<T>> {
        let mut slots: Vec<_> = self.slots.iter().flatten().collect();
        slots.sort_unstable_by_key(|slot| std::cmp::Reverse(slot.ltime));
        slots
    }
}

impl From<RingError> for Drop {
    fn from(error: RingError) -> Self {
        match error {
            RingError::TooOld => Self::TooOld,
            RingError::Duplicate => Self::Duplicate,
            RingError::Full => Self::SlotFull,
        }
    }
}

impl<T: Eq> Slot<T> {
    /// Bytes of its items.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, item: T, bytes: usize) -> Result<(), RingError> {
        if self.items.contains(&item) {
            return Err(RingError::Duplicate);
        }
        if self.items.len() >= MAX_SLOT_ITEMS || self.bytes + bytes > MAX_SLOT_BYTES {
            return Err(RingError::Full);
        }
        self.items.push(item);
        self.bytes += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring<u32> {
        Ring::new(NonZeroUsize::new(4).unwrap())
    }

    fn insert(ring: &mut Ring<u32>, now: u64, ltime: u64, item: u32) -> Result<(), RingError> {
        ring.insert(LamportTime(now), LamportTime(ltime), item, 1)
    }

    #[test]
    fn copies_are_told_by_time_and_item() {
        let mut ring = ring();
        assert_eq!(insert(&mut ring, 8, 7, 1), Ok(()));
        assert_eq!(insert(&mut ring, 8, 7, 1), Err(RingError::Duplicate));
        assert_eq!(insert(&mut ring, 8, 7, 2), Ok(()), "one time may hold several");
        assert_eq!(insert(&mut ring, 8, 6, 1), Ok(()), "the same item at another time is another");
    }

    #[test]
    fn a_reused_slot_forgets_the_time_before() {
        let mut ring = ring();
        assert_eq!(insert(&mut ring, 4, 3, 1), Ok(()));
        assert_eq!(insert(&mut ring, 8, 7, 1), Ok(()), "3 and 7 share a slot of four");
        assert_eq!(ring.newest_first().iter().map(|slot| slot.ltime.0).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn what_the_ring_has_turned_past_is_too_old() {
        let mut ring = ring();
        // clock, time, outcome
        for (now, ltime, outcome) in
            [(5, 1, Ok(())), (6, 1, Err(RingError::TooOld)), (4, 0, Ok(())), (5, 0, Err(RingError::TooOld))]
        {
            assert_eq!(insert(&mut ring, now, ltime, now as u32), outcome, "time {ltime} at {now}");
        }
    }

    #[test]
    fn at_the_end_of_the_clock_a_newer_slot_is_not_replaced_by_an_older_time() {
        let mut ring = ring();
        let end = LamportTime::MAX;
        assert_eq!(ring.insert(end, end, 1, 1), Ok(()));
        assert_eq!(ring.insert(end, LamportTime(end.0 - 4), 2, 1), Err(RingError::TooOld));
        assert_eq!(ring.insert(end, end, 1, 1), Err(RingError::Duplicate));
    }

    #[test]
    fn a_slot_is_bounded_in_items_and_bytes() {
        let mut by_items = ring();
        for item in 0..MAX_SLOT_ITEMS as u32 {
            assert_eq!(insert(&mut by_items, 2, 1, item), Ok(()));
        }
        assert_eq!(insert(&mut by_items, 2, 1, u32::MAX), Err(RingError::Full));
        let mut by_bytes = ring();
        assert_eq!(
            by_bytes.insert(LamportTime(2), LamportTime(1), 1, MAX_SLOT_BYTES + 1),
            Err(RingError::Full),
            "nor does a single item exceed it"
        );
        assert_eq!(by_bytes.insert(LamportTime(2), LamportTime(1), 1, MAX_SLOT_BYTES), Ok(()));
        assert_eq!(by_bytes.insert(LamportTime(2), LamportTime(1), 2, 1), Err(RingError::Full));
    }
}
