//! Bounded queues from the agent to subscribers that may be slow (`rpc §5, Slow subscribers`).
//!
//! The agent never waits: what does not fit is dropped and counted, and the subscriber learns at that place of its stream how
//! much it missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::call::StreamEvent;
use crate::handlers::filter::EventFilter;

/// Items that wait for one subscriber.
pub const FEED_LEN: usize = 512;

/// The agent's end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Feed<T> {
    sender: mpsc::Sender<Item<T>>,
    missed: Arc<AtomicU64>,
    /// The same of all subscribers.
    total: Arc<AtomicU64>,
}

/// The subscriber's end.
#[derive(Debug)]
pub(super) struct Tail<T> {
    receiver: mpsc::Receiver<Item<T>>,
    missed: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Item<T> {
    /// Dropped since the item before.
    missed: u64,
    value: T,
}

/// What a subscriber finds in its queue.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Fed<T> {
    Item(T),
    /// So many items would have come here.
    Missed(u64),
}

/// A queue of [`FEED_LEN`]; what it drops is also added to `total`.
pub(super) fn feed<T>(total: Arc<AtomicU64>) -> (Feed<T>, Tail<T>) {
    let (sender, receiver) = mpsc::channel(FEED_LEN);
    let missed = Arc::new(AtomicU64::new(0));
    (Feed { sender, missed: missed.clone(), total }, Tail { receiver, missed })
}

impl<T> Feed<T> {
    /// Queues `value`, or drops and counts it. `false` once the subscriber is gone: forget this feed then.
    ///
    /// Logs nothing, so that a feed of log lines can be fed from inside the logger.
    pub fn offer(&self, value: T) -> bool {
        match self.sender.try_reserve() {
            Ok(place) => {
                place.send(Item { missed: self.missed.swap(0, Ordering::Relaxed), value });
                true
            }
            Err(mpsc::error::TrySendError::Full(())) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                self.total.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(mpsc::error::TrySendError::Closed(())) => false,
        }
    }

    /// Whether the subscriber is gone.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl<T> Tail<T> {
    /// The next item or gap; `None` when the agent has ended the subscription.
    pub(super) async fn next(&mut self, held: &mut Option<T>) -> Option<Fed<T>> {
        if let Some(value) = held.take() {
            return Some(Fed::Item(value));
        }
        if self.receiver.is_empty() {
            // Nothing behind the gap yet, and perhaps for long.
            let missed = self.missed.swap(0, Ordering::Relaxed);
            if missed > 0 {
                return Some(Fed::Missed(missed));
            }
        }
        let item = self.receiver.recv().await?;
        if item.missed == 0 {
            return Some(Fed::Item(item.value));
        }
        *held = Some(item.value);
        Some(Fed::Missed(item.missed))
    }
}

/// One event stream of one client, as the agent holds it.
#[derive(Debug)]
pub struct Subscription {
    pub(super) filters: Vec<EventFilter>,
    pub(super) feed: Feed<Arc<StreamEvent>>,
}

impl Subscription {
    /// Queues the event if this stream wants it. `false` once the client is gone: forget this subscription then.
    pub fn offer(&self, event: &Arc<StreamEvent>) -> bool {
        if EventFilter::any(&self.filters, event.kind(), event.name()) {
            self.feed.offer(event.clone())
        } else {
            !self.feed.is_closed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn drain(tail: &mut Tail<u32>, count: usize) -> Vec<Fed<u32>> {
        let mut held = None;
        let mut found = Vec::new();
        for _ in 0..count {
            found.extend(tail.next(&mut held).await);
        }
        found
    }

    #[tokio::test]
    async fn gap_is_told_where_it_is() {
        let total = Arc::new(AtomicU64::new(0));
        let (feed, mut tail) = feed(total.clone());
        for value in 0..FEED_LEN as u32 + 3 {
            assert!(feed.offer(value));
        }
        assert_eq!(drain(&mut tail, 1).await, [Fed::Item(0)]);
        assert!(feed.offer(1000));
        let rest = drain(&mut tail, FEED_LEN + 1).await;
        assert_eq!(rest[FEED_LEN - 2], Fed::Item(FEED_LEN as u32 - 1));
        assert_eq!(rest[FEED_LEN - 1], Fed::Missed(3));
        assert_eq!(rest[FEED_LEN], Fed::Item(1000));
        assert_eq!(total.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn gap_at_the_end_is_told_without_a_further_item() {
        let (feed, mut tail) = feed(Arc::default());
        for value in 0..FEED_LEN as u32 + 2 {
            feed.offer(value);
        }
        let all = drain(&mut tail, FEED_LEN + 1).await;
        assert_eq!(all[FEED_LEN], Fed::Missed(2));
    }

    #[tokio::test]
    async fn feed_notices_that_the_subscriber_is_gone() {
        let (feed, tail) = feed(Arc::default());
        drop(tail);
        assert!(!feed.offer(1));
        assert!(feed.is_closed());
    }
}
