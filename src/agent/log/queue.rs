//! The way from the threads that log to the one that writes, so that nobody waits for a journal or a terminal that is behind.
//!
//! Bounded by entries and bytes: what does not fit is dropped, and a count takes its place.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries that wait at most,
const MAX_ENTRIES: usize = 1024;
/// and their bytes. One entry may be larger.
const MAX_BYTES: usize = 512 * 1024;

/// What comes out, in the order in which it went in.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Entry<T> {
    Kept(T),
    /// So many did not fit at this place.
    Dropped(u64),
}

/// A queue with one reader.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    entries: VecDeque<(Entry<T>, usize)>,
    bytes: usize,
    /// The reader is at work on the entry that it took last.
    busy: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { entries: VecDeque::new(), bytes: 0, busy: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes an entry of about so many bytes. Never waits.
    pub(super) fn push(&self, entry: T, bytes: usize) {
        let mut state = self.lock();
        let is_full = state.entries.len() >= MAX_ENTRIES || state.bytes + bytes > MAX_BYTES;
        if !is_full || state.entries.is_empty() {
            state.bytes += bytes;
            state.entries.push_back((Entry::Kept(entry), bytes));
        } else if let Some((Entry::Dropped(count), _)) = state.entries.back_mut() {
            *count += 1;
        } else {
            state.entries.push_back((Entry::Dropped(1), 0));
        }
        self.changed.notify_all();
    }

    /// Waits for the next entry; the one before is done with.
    pub(super) fn pop(&self) -> Entry<T> {
        let mut state = self.lock();
        state.busy = false;
        self.changed.notify_all();
        loop {
            if let Some((entry, bytes)) = state.entries.pop_front() {
                state.bytes -= bytes;
                state.busy = true;
                if state.entries.is_empty() {
                    // The room that a burst took goes back.
                    state.entries.shrink_to(MAX_ENTRIES / 16);
                }
                return entry;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all is done with, at most this long.
    pub(super) fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut state = self.lock();
        while state.busy || !state.entries.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn drain<T>(queue: &Queue<T>) -> Vec<Entry<T>> {
        let left = queue.lock().entries.len();
        (0..left).map(|_| queue.pop()).collect()
    }

    #[test]
    fn what_does_not_fit_is_counted_where_it_is_missing() {
        let queue = Queue::new();
        (0..MAX_ENTRIES + 3).for_each(|number| queue.push(number, 1));
        assert_eq!(queue.pop(), Entry::Kept(0));
        assert_eq!(queue.pop(), Entry::Kept(1));
        queue.push(7, 1);
        queue.push(8, 1);
        let rest = drain(&queue);
        assert_eq!(rest[MAX_ENTRIES - 2..], [Entry::Dropped(3), Entry::Kept(7), Entry::Dropped(1)]);
    }

    #[test]
    fn bytes_are_bounded_but_a_single_entry_always_fits() {
        let queue = Queue::new();
        queue.push('a', 2 * MAX_BYTES);
        queue.push('b', 1);
        assert_eq!(drain(&queue), [Entry::Kept('a'), Entry::Dropped(1)]);
        queue.push('c', MAX_BYTES - 1);
        queue.push('d', 1);
        queue.push('e', 1);
        assert_eq!(drain(&queue), [Entry::Kept('c'), Entry::Kept('d'), Entry::Dropped(1)]);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn flush_waits_for_what_is_being_written_and_not_for_ever() {
        let queue = Arc::new(Queue::new());
        queue.push('a', 1);
        assert_eq!(queue.pop(), Entry::Kept('a'));
        let start = Instant::now();
        queue.flush(Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20), "it is not written yet");
        let reader = Arc::clone(&queue);
        let reader = std::thread::spawn(move || reader.pop());
        queue.flush(Duration::from_secs(60));
        assert!(!queue.lock().busy);
        queue.push('b', 1);
        assert_eq!(reader.join().unwrap(), Entry::Kept('b'));
    }
}
