//! What follows from time and from answers: the table of `protocols A.3`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{After, Counted, Departure, Flight, Goal, Kept, NotKept, Output, Run, State};
use crate::drain::document::{Done, Line, LingerEnd, Why};
use crate::drain::{DrainId, Question, Reply, Word};
use crate::time::{Instant, millis};
use crate::upstream::Rank;
use crate::wire::NodeName;

/// How often balancers are asked,
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// and once a drain that goes on was reported as not confirmed.
const PATIENT_ASK_INTERVAL: Duration = Duration::from_secs(5);
/// Requests that a balancer had already sent have so long at least.
const LINGER_MIN: Duration = Duration::from_secs(2);
/// How long this node lets others go first, doubled with each try.
pub(super) const YIELD: Duration = Duration::from_secs(2);
const YIELD_MAX: Duration = Duration::from_secs(16);
/// Servers that are remembered of what balancers say.
const MAX_SERVERS: usize = 256;

/// What a step leads to.
#[derive(Debug)]
enum Next {
    /// The same state, and balancers to ask, if it is time.
    Stay(Vec<NodeName>),
    Linger,
    /// These have started anew since they said that they are done, and do not say it again.
    Uncount(Vec<NodeName>),
    Yield(Vec<NodeName>),
    /// A balancer has not counted: back to asking.
    Ask,
    Refused(Vec<NodeName>),
    Overdue(Vec<NodeName>),
    Again,
    Lingered(LingerEnd),
}

impl Departure {
    /// The last [`Output::Keep`] is on disk, or why it is not.
    pub fn handle_kept(&mut self, now: Instant, result: Result<(), NotKept>) {
        let State::Keeping(after) = &self.state else { return };
        match (after.clone(), result) {
            (After::Publish, Ok(())) => self.publish(now),
            (After::Publish, Err(NotKept::Never(reason) | NotKept::Failed(reason))) => {
                // Before the line behind which a client may hear no more.
                self.tell(Line::NotKept { reason });
                self.publish(now);
            }
            (After::Withdraw { ended_guards }, Ok(()) | Err(NotKept::Never(_))) => self.withdraw(ended_guards),
            (After::Withdraw { ended_guards }, Err(NotKept::Failed(reason))) => {
                // An operator's word to serve counts, and what a restart makes of it is said.
                self.tell(Line::StillKept { reason });
                self.withdraw(ended_guards);
            }
            (After::Yield { to, next }, Ok(()) | Err(NotKept::Never(_))) => self.yielded(now, &to, next),
            (After::Yield { .. }, Err(NotKept::Failed(_))) => self.go_on(now),
        }
        self.handle_timeout(now);
    }

    /// A balancer's answer. Of another drain, or of one that is no member, it is no matter.
    pub fn handle_answer(&mut self, now: Instant, from: &NodeName, reply: Reply) {
        let is_asking = matches!(self.state, State::Draining | State::Linger { .. } | State::Drained);
        let Some(run) = self.run.as_mut().filter(|run| is_asking && run.id == reply.id) else { return };
        if !self.roster.is_balancer(from) {
            return;
        }
        let Reply { generation, word, .. } = reply;
        let mut named = matches!(&word, Word::Out { servers } if !servers.is_empty());
        let done = match &word {
            Word::Out { servers } => {
                // Of which some are left out nothing could be measured.
                named &= run.servers.len() + servers.len() <= MAX_SERVERS;
                run.servers.extend(servers.iter().filter(|_| named));
                Done::Out
            }
            Word::Idle => Done::Idle,
            Word::None => Done::None,
            Word::Wait { .. } | Word::Floor { .. } | Word::Apply { .. } => return self.note_refusal(now, from, word),
        };
        run.refusing.remove(from);
        run.forced.remove(from);
        let incarnation = self.roster.incarnation(from).unwrap_or_default();
        // Whose old workers have gone has none that ever knew this node, unless it was built anew.
        let was_idle = run.is_idle(from) && run.counted.get(from).is_some_and(|at| at.incarnation == incarnation);
        let counted = Counted { done, generation, incarnation, named };
        let before = (!was_idle).then(|| run.counted.insert(from.clone(), counted));
        if before.is_some_and(|before| before.is_none_or(|before| before.done != done)) {
            let line = Line::Confirmed {
                balancer: from.to_string(),
                word: done.into(),
                generation: generation.0,
                elapsed_ms: run.elapsed(now),
            };
            self.tell(line);
        }
        self.handle_timeout(now);
    }

    /// Who has counted once does not uncount, for its promise holds; but who has started anew since may have lost it.
    fn note_refusal(&mut self, now: Instant, from: &NodeName, word: Word) {
        let Some(run) = &mut self.run else { return };
        run.counted.retain(|name, counted| name != from || self.roster.incarnation(name) == Some(counted.incarnation));
        if run.counted.contains_key(from) {
            return;
        }
        let before = run.refusing.insert(from.clone(), word.clone());
        // How long it takes is told once.
        let is_same =
            |before: &Word| *before == word || matches!((before, &word), (Word::Wait { .. }, Word::Wait { .. }));
        if !before.as_ref().is_some_and(is_same) {
            let (why, text, earlier) = match word {
                Word::Wait { text } => (Why::Wait, text, Vec::new()),
                Word::Floor { earlier, rule } => (Why::Floor, rule, earlier),
                Word::Apply { error } => (Why::Apply, error, Vec::new()),
                Word::Out { .. } | Word::Idle | Word::None => return,
            };
            let line = Line::Waiting {
                balancer: from.to_string(),
                why: why.into(),
                text,
                earlier: earlier.iter().map(ToString::to_string).collect(),
                elapsed_ms: run.elapsed(now),
            };
            self.tell(line);
        }
        self.handle_timeout(now);
    }

    /// What measurements say.
    pub fn handle_flight(&mut self, now: Instant, flight: Flight) {
        if let Some(run) = &mut self.run {
            run.flight = flight;
        }
        self.handle_timeout(now);
    }

    /// When [`Self::handle_timeout`] is due, if nothing comes before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let run = self.run.as_ref()?;
        // Who is blind asks twice a second, and sees it then.
        let deadline = (!run.overdue && !self.is_blind(run)).then(|| run.deadline());
        match self.state {
            State::Serving | State::Keeping(_) | State::Drained | State::Leaving => None,
            State::Draining => [Some(run.ask_at), deadline, self.blind_until].into_iter().flatten().min(),
            State::Yielded { until, .. } => [Some(until), deadline].into_iter().flatten().min(),
            State::Linger { since } => Some(run.ask_at.min(since + run.times.drain)),
        }
    }

    /// Goes on as far as it can.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.blind_until = self.blind_until.filter(|until| now < *until);
        // Each round leads to another state; the last one asks, at most.
        for _ in 0..8 {
            self.tell_unreachable(now);
            self.tell_gone();
            self.see_earlier();
            let Some(next) = self.next(now) else { return };
            match next {
                Next::Stay(of) => return self.ask(now, of),
                Next::Linger => self.linger(now),
                Next::Uncount(names) => self.uncount(&names),
                Next::Yield(to) => self.yield_to(now, &to),
                Next::Ask => self.state = State::Draining,
                Next::Refused(by) => self.refused(&by),
                Next::Overdue(names) => self.overdue(now, names),
                Next::Again => self.again(now),
                Next::Lingered(by) => self.lingered(now, by),
            }
        }
    }

    fn next(&self, now: Instant) -> Option<Next> {
        let run = self.run.as_ref()?;
        let missing = || self.missing(now, run);
        let is_overdue = !run.overdue && run.deadline() <= now;
        match self.state {
            State::Serving | State::Keeping(_) | State::Leaving => None,
            State::Drained => None,
            State::Draining => {
                let missing = missing();
                let word = |name: &NodeName| run.refusing.get(name);
                let earlier = missing.iter().filter_map(word).find_map(|word| match word {
                    Word::Floor { earlier, .. } if !earlier.is_empty() => Some(earlier.clone()),
                    _ => None,
                });
                let has_earlier = earlier.is_some();
                let earlier = earlier.filter(|_| run.yield_at <= now);
                let is_refused = |name: &NodeName| word(name).is_some_and(is_floor);
                // Of which was said that it goes on is not taken back by itself.
                let may_refuse =
                    !run.overdue && run.goal == Goal::Drain { force: false } && missing.iter().all(is_refused);
                if missing.is_empty() && self.has_settled(now, run) {
                    Some(Next::Lingered(LingerEnd::NoneLeft))
                } else if missing.is_empty() && self.is_blind(run) {
                    Some(Next::Stay(missing))
                } else if missing.is_empty() {
                    Some(Next::Linger)
                } else if is_overdue && may_refuse {
                    Some(Next::Refused(missing))
                } else if is_overdue {
                    Some(Next::Overdue(missing))
                } else if let Some(earlier) = earlier {
                    Some(Next::Yield(earlier))
                } else if may_refuse && !has_earlier {
                    Some(Next::Refused(missing))
                } else {
                    Some(Next::Stay(if run.ask_at <= now { missing } else { Vec::new() }))
                }
            }
            State::Yielded { until, seen } => {
                let has_earlier = self.roster.has_earlier(&self.own, Rank::Since(run.since));
                if is_overdue && run.goal == (Goal::Drain { force: false }) {
                    // Letting others go first has not helped: there is no room beside those who stay out.
                    Some(Next::Refused(run.floors.iter().cloned().collect()))
                } else if is_overdue {
                    Some(Next::Overdue(missing()))
                } else if until <= now || seen && !has_earlier {
                    Some(Next::Again)
                } else {
                    None
                }
            }
            State::Linger { since } => {
                let is_late = run.goal.leaves() && run.deadline() <= now;
                let missing = missing();
                let awaited = || self.roster.awaited(now, run.begun);
                let busy = || awaited().filter(|name| !run.is_idle(name) && !run.forced.contains(*name));
                let spent = now.since(since);
                if !missing.is_empty() {
                    return Some(if is_late { Next::Overdue(missing) } else { Next::Ask });
                }
                let anew: Vec<NodeName> = awaited().filter(|name| self.is_anew(run, name)).cloned().collect();
                if !anew.is_empty() && spent >= run.times.drain {
                    Some(Next::Uncount(anew))
                } else if !anew.is_empty() {
                    let of = busy().chain(&anew).cloned().collect::<BTreeSet<_>>();
                    Some(Next::Stay(if run.ask_at <= now { of.into_iter().collect() } else { Vec::new() }))
                } else if spent >= run.times.drain {
                    Some(Next::Lingered(LingerEnd::DrainTime))
                } else if spent >= LINGER_MIN && run.flight == Flight::NoneLeft {
                    Some(Next::Lingered(LingerEnd::NoneLeft))
                } else if spent >= LINGER_MIN && self.is_whole(now, run) && busy().next().is_none() {
                    Some(Next::Lingered(LingerEnd::Idle))
                } else {
                    Some(Next::Stay(if run.ask_at <= now { busy().cloned().collect() } else { Vec::new() }))
                }
            }
        }
    }

    /// Whether every balancer that there is has said that it is done, and there is one: of others nobody knows what they send.
    fn is_whole(&self, now: Instant, run: &Run) -> bool {
        run.forced.is_empty()
            && self.unheard(now, run).next().is_none()
            && self.gone(run).next().is_none()
            && self.roster.awaited(now, run.begun).next().is_some()
    }

    /// Balancers that have failed before they could say that they are done.
    pub(super) fn unheard<'a>(&'a self, now: Instant, run: &'a Run) -> impl Iterator<Item = &'a NodeName> {
        let failed = self.roster.unreachable(now, run.begun).map(|(name, _)| name);
        failed.filter(|name| !run.counted.contains_key(*name))
    }

    /// Balancers that are no members any more, and whose last word was that they are not done.
    pub(super) fn gone<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = &'a NodeName> {
        run.refusing.keys().filter(|name| !self.roster.is_there(name))
    }

    /// Whether there may be balancers that are not known yet. Who leaves does not wait for them.
    fn is_blind(&self, run: &Run) -> bool {
        !run.goal.leaves() && self.blind_until.is_some()
    }

    /// Balancers that have to confirm and have not.
    fn missing(&self, now: Instant, run: &Run) -> Vec<NodeName> {
        let awaited = self.roster.awaited(now, run.begun);
        awaited.filter(|name| !run.counted.contains_key(*name) && !run.forced.contains(*name)).cloned().collect()
    }

    /// Whether that balancer has started anew since it said that it is done.
    fn is_anew(&self, run: &Run, name: &NodeName) -> bool {
        run.counted.get(name).is_some_and(|counted| self.roster.incarnation(name) != Some(counted.incarnation))
    }

    /// Whether nobody but those is a balancer who were done when this node had drained, and are still the same.
    fn has_settled(&self, now: Instant, run: &Run) -> bool {
        let mut awaited = self.roster.awaited(now, run.begun).peekable();
        awaited.peek().is_some()
            && awaited.all(|name| {
                let counted = run.counted.get(name).map(|counted| counted.incarnation);
                counted.is_some() && counted == run.settled.get(name).copied()
            })
    }

    fn uncount(&mut self, names: &[NodeName]) {
        if let Some(run) = &mut self.run {
            run.counted.retain(|name, _| !names.contains(name));
        }
    }

    fn ask(&mut self, now: Instant, of: Vec<NodeName>) {
        let Some(run) = self.run.as_mut().filter(|run| run.ask_at <= now) else { return };
        let is_patient = run.overdue && !matches!(self.state, State::Linger { .. });
        run.ask_at = now + if is_patient { PATIENT_ASK_INTERVAL } else { ASK_INTERVAL };
        if !of.is_empty() {
            let question = Question { id: run.id.clone(), incarnation: self.incarnation, node: self.own.clone() };
            self.outputs.push_back(Output::Ask { question, of });
        }
    }

    /// Whoever made us yield is seen; once it drains no more, it is our turn.
    fn see_earlier(&mut self) {
        let Some(since) = self.run.as_ref().map(|run| Rank::Since(run.since)) else { return };
        let has_earlier = self.roster.has_earlier(&self.own, since);
        if let State::Yielded { seen, .. } = &mut self.state {
            *seen |= has_earlier;
        }
    }

    fn linger(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        (run.flight, run.ask_at) = (Flight::Unknown, now + ASK_INTERVAL);
        let line = Line::Lingering { drain_time_ms: millis(run.times.drain), elapsed_ms: run.elapsed(now) };
        self.state = State::Linger { since: now };
        self.tell(line);
    }

    fn lingered(&mut self, now: Instant, by: LingerEnd) {
        let Some(run) = &self.run else { return };
        let (goal, elapsed_ms) = (run.goal, run.elapsed(now));
        if let State::Linger { since } = self.state {
            self.tell(Line::Lingered { by: by.into(), took_ms: millis(now.since(since)), elapsed_ms });
        }
        match goal {
            Goal::Drain { .. } => {
                self.state = State::Drained;
                self.tell_drained(now);
            }
            Goal::Leave(_) => self.leave_serf(now, Duration::ZERO),
        }
    }

    /// The tag goes, and with it every promise. The next try has another id, which is on disk before: this one would come back
    /// after a crash, though others have heard that it is over.
    fn yield_to(&mut self, now: Instant, to: &[NodeName]) {
        let next = self.draw();
        match self.kept.clone() {
            Some(kept) => {
                self.state = State::Keeping(After::Yield { to: to.to_vec(), next: next.clone() });
                self.keep(Some(Kept { id: next, ..kept }));
            }
            None => self.yielded(now, to, next),
        }
    }

    fn yielded(&mut self, now: Instant, to: &[NodeName], next: DrainId) {
        let Some(run) = &mut self.run else { return };
        run.id = next;
        run.counted.clear();
        let floors = std::mem::take(&mut run.refusing).into_iter().filter(|(_, word)| is_floor(word));
        run.floors = floors.map(|(name, _)| name).collect();
        let until = now + run.pause;
        run.pause = (run.pause * 2).min(YIELD_MAX);
        let to = to.iter().map(ToString::to_string).collect();
        let line = Line::Yielded { to, elapsed_ms: run.elapsed(now) };
        self.state = State::Yielded { until, seen: false };
        self.show(None);
        self.tell(line);
    }

    /// Nobody is let go first as long as that cannot be kept; the drain that others know of goes on.
    fn go_on(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        run.yield_at = now + YIELD;
        let id = run.id.clone();
        self.state = State::Draining;
        if let Some(kept) = self.kept.clone() {
            self.keep(Some(Kept { id, ..kept }));
        }
    }

    fn again(&mut self, now: Instant) {
        self.state = if self.kept.is_some() { State::Keeping(After::Publish) } else { State::Serving };
        match self.kept.clone() {
            Some(kept) => self.keep(Some(kept)),
            None => self.publish(now),
        }
    }

    fn refused(&mut self, by: &[NodeName]) {
        let balancers = by.iter().map(ToString::to_string).collect();
        self.tell(Line::Refused { balancers });
        self.take_back(Vec::new());
    }

    fn overdue(&mut self, now: Instant, names: Vec<NodeName>) {
        let Some(run) = &mut self.run else { return };
        run.overdue = true;
        match run.goal {
            Goal::Drain { .. } => {
                let balancers = names.iter().map(ToString::to_string).collect();
                self.tell(Line::Unconfirmed { balancers });
            }
            Goal::Leave(_) => {
                run.forced.extend(names);
                match self.state {
                    State::Linger { .. } => {}
                    State::Yielded { .. } => {
                        let forced: Vec<_> = run.forced.iter().cloned().collect();
                        self.publish(now);
                        if let Some(run) = &mut self.run {
                            run.forced.extend(forced);
                        }
                        self.linger(now);
                    }
                    State::Serving | State::Keeping(_) | State::Draining | State::Drained | State::Leaving => {
                        self.linger(now);
                    }
                }
            }
        }
    }

    fn tell_unreachable(&mut self, now: Instant) {
        let Some(run) = &mut self.run else { return };
        if self.published.is_none() {
            return;
        }
        let unreachable = self.roster.unreachable(now, run.begun);
        let news: Vec<_> = unreachable
            .filter(|(name, _)| !run.counted.contains_key(*name) && run.told_unreachable.insert((*name).clone()))
            .map(|(name, since)| (name.to_string(), millis(now.since(since))))
            .collect();
        for (balancer, failed_for_ms) in news {
            self.tell(Line::Unreachable { balancer, failed_for_ms });
        }
    }

    fn tell_gone(&mut self) {
        let Some(run) = self.run.as_ref().filter(|_| !self.has_left()) else { return };
        let news: Vec<NodeName> = self.gone(run).filter(|name| !run.told_gone.contains(*name)).cloned().collect();
        news.iter().for_each(|name| self.tell(Line::Gone { balancer: name.to_string() }));
        if let Some(run) = &mut self.run {
            run.told_gone.extend(news);
        }
    }

    /// A second request is told what the first one was.
    pub(super) fn tell_again(&mut self, now: Instant) {
        let Some(run) = &self.run else { return };
        let elapsed_ms = run.elapsed(now);
        let balancers = self.missing(now, run).iter().map(ToString::to_string).collect();
        let mut lines = vec![Line::Draining { id: run.id.to_string(), balancers }];
        lines.extend(run.counted.iter().map(|(name, counted)| Line::Confirmed {
            balancer: name.to_string(),
            word: counted.done.into(),
            generation: counted.generation.0,
            elapsed_ms,
        }));
        lines.into_iter().for_each(|line| self.tell(line));
    }

    fn tell_drained(&mut self, now: Instant) {
        let Some(run) = &self.run else { return };
        let unreachable = self.unheard(now, run).map(ToString::to_string).collect();
        let gone = self.gone(run).map(ToString::to_string).collect();
        let unheard = run.counted.is_empty();
        self.tell(Line::Drained { unreachable, gone, unheard, elapsed_ms: run.elapsed(now) });
    }
}

fn is_floor(word: &Word) -> bool {
    matches!(word, Word::Floor { .. })
}
