//! Whose request is next, without I/O.
//!
//! Root comes first: nobody can ask in its name. All others are one user to the system, so processes take turns, whatever each of
//! them has waiting.

use std::collections::VecDeque;

use super::Peer;
use super::connections::Id;
use crate::apply::Ask;

/// What a request has to wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Course {
    /// Whatever takes the lock, and the pace: NGINX may be reloaded.
    Changes,
    /// Whatever takes the lock.
    Looks,
    /// The same, and every change that was asked for before: one that is done later would break the promise.
    Promises,
    /// Nothing but others of its kind, of which one is done at a time: it takes no lock.
    Beside,
    /// As [`Self::Beside`], and soon over: nobody who has NGINX tested keeps it.
    Cuts,
}

impl Course {
    pub(super) fn of(ask: &Ask) -> Self {
        match ask {
            Ask::Apply(_) | Ask::Rollback(_) | Ask::Recover => Self::Changes,
            Ask::Report { .. } => Self::Looks,
            Ask::Promise { .. } => Self::Promises,
            Ask::Check => Self::Beside,
            Ask::Cut(_) => Self::Cuts,
        }
    }
}

/// Requests that are whole.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    id: Id,
    peer: Peer,
    course: Course,
    request: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    pub(super) fn push(&mut self, id: Id, peer: Peer, course: Course, request: T) {
        self.waiting.push_back(Waiting { id, peer, course, request });
    }

    /// The next of those whose course is free. What else its process has waiting goes behind all others.
    pub(super) fn next(&mut self, is_free: impl Fn(Course) -> bool) -> Option<(Id, T)> {
        let change = self.waiting.iter().position(|waiting| waiting.course == Course::Changes);
        let is_behind = |place: usize| change.is_some_and(|change| change < place);
        let may = |(place, waiting): &(usize, &Waiting<T>)| {
            is_free(waiting.course) && !(waiting.course == Course::Promises && is_behind(*place))
        };
        let free = || self.waiting.iter().enumerate().filter(may);
        let (place, _) = free().find(|(_, waiting)| waiting.peer.is_root()).or_else(|| free().next())?;
        let next = self.waiting.remove(place)?;
        let (same, others) = self.waiting.drain(..).partition(|waiting| waiting.peer.pid == next.peer.pid);
        self.waiting = others;
        self.waiting.extend::<VecDeque<_>>(same);
        Some((next.id, next.request))
    }

    /// One that is not to be done any more.
    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let place = self.waiting.iter().position(|waiting| waiting.id == id)?;
        self.waiting.remove(place).map(|waiting| waiting.request)
    }

    /// Those that nobody waits for any more, and which are not done.
    pub(super) fn give_up(&mut self, is_given_up: impl Fn(&T) -> bool) -> Vec<Id> {
        let (given_up, others) = self.waiting.drain(..).partition(|waiting| is_given_up(&waiting.request));
        self.waiting = others;
        Vec::from_iter::<VecDeque<Waiting<T>>>(given_up).into_iter().map(|waiting| waiting.id).collect()
    }

    /// Whether one of this course waits.
    pub(super) fn has(&self, course: Course) -> bool {
        self.waiting.iter().any(|waiting| waiting.course == course)
    }

    /// All, in the order in which they wait.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.waiting.drain(..).map(|waiting| waiting.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, pid: i32) -> Peer {
        Peer { uid, pid }
    }

    /// The order in which these are done, one after the other.
    fn order(requests: &[(Peer, Course)], is_free: impl Fn(Course) -> bool) -> Vec<usize> {
        let mut queue = Queue::new();
        for (number, (peer, course)) in requests.iter().enumerate() {
            queue.push(number as Id, *peer, *course, number);
        }
        std::iter::from_fn(|| queue.next(&is_free)).map(|(_, number)| number).collect()
    }

    #[test]
    fn root_comes_first_and_processes_take_turns() {
        use Course::{Beside, Changes, Looks};
        let (agent, hostile, other, root) = (peer(7, 1), peer(7, 2), peer(7, 3), peer(0, 4));
        let all = |_| true;
        for (requests, wanted) in [
            (vec![(agent, Changes), (agent, Looks), (agent, Changes)], vec![0, 1, 2]),
            (vec![(hostile, Looks), (hostile, Looks), (hostile, Looks), (agent, Changes)], vec![0, 3, 1, 2]),
            (
                vec![(hostile, Looks), (hostile, Looks), (other, Looks), (other, Looks), (agent, Changes)],
                vec![0, 2, 4, 1, 3],
            ),
            (vec![(hostile, Looks), (agent, Changes), (root, Changes), (root, Beside)], vec![2, 3, 0, 1]),
        ] {
            assert_eq!(order(&requests, all), wanted, "{requests:?}");
        }
    }

    #[test]
    fn whoever_need_not_wait_passes_those_who_must() {
        use Course::{Beside, Changes, Cuts, Looks};
        let agent = peer(7, 1);
        let requests = [(agent, Changes), (agent, Looks), (agent, Beside), (agent, Looks), (agent, Cuts)];
        for (free, wanted) in [
            (&[Beside][..], vec![2]),
            (&[Looks], vec![1, 3]),
            (&[Changes, Looks], vec![0, 1, 3]),
            (&[Changes, Looks, Beside], vec![0, 1, 2, 3]),
            (&[Cuts], vec![4]),
        ] {
            assert_eq!(order(&requests, |course| free.contains(&course)), wanted, "{free:?}");
        }
    }

    #[test]
    fn a_promise_passes_no_change_that_was_asked_for_before() {
        use Course::{Changes, Looks, Promises};
        let (agent, died) = (peer(7, 1), peer(7, 2));
        for (requests, free, wanted) in [
            (vec![(died, Changes), (agent, Promises), (agent, Looks)], &[Looks, Promises][..], vec![2]),
            (vec![(died, Changes), (agent, Promises)], &[Changes, Looks, Promises], vec![0, 1]),
            (vec![(agent, Promises), (died, Changes)], &[Looks, Promises], vec![0]),
        ] {
            assert_eq!(order(&requests, |course| free.contains(&course)), wanted, "{requests:?}");
        }
    }

    #[test]
    fn what_nobody_waits_for_is_given_up() {
        let (mut queue, agent) = (Queue::new(), peer(7, 1));
        for id in 4..8 {
            queue.push(id, agent, Course::Changes, id);
        }
        assert_eq!(queue.give_up(|id| id % 2 == 0), [4, 6]);
        assert_eq!(queue.drain().collect::<Vec<_>>(), [5, 7]);
    }

    #[test]
    fn who_is_sent_away_is_not_done() {
        let mut queue = Queue::new();
        let agent = peer(7, 1);
        queue.push(4, agent, Course::Looks, "four");
        queue.push(5, agent, Course::Changes, "five");
        assert!(queue.has(Course::Looks) && !queue.has(Course::Beside));
        assert_eq!((queue.remove(4), queue.remove(4)), (Some("four"), None));
        assert!(!queue.has(Course::Looks));
        assert_eq!(queue.drain().collect::<Vec<_>>(), ["five"]);
        assert_eq!(queue.next(|_| true), None);
    }
}
