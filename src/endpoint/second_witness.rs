//! Second witness about a member whose service does not answer: does its agent answer a ping (`protocols D.4`)?
//!
//! Ten direct pings, 30 ms apart, beside the regular probes and with sequence numbers of their own. The first ack ends the
//! round: the member answers. Ten pings without an ack, 300 ms after the first: it is silent. That accuses nobody, so it is not
//! gossiped, raises no suspicion and says nothing about our own health.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::health::second_witness::Heard;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::SeqNo;

use super::{Endpoint, Output};

/// Pings of a round.
const PINGS: usize = 10;
/// From one ping to the next, and from the last to the verdict.
const SPACING: Duration = Duration::from_millis(30);
/// An ack that comes later answers nothing.
const MEMORY: Duration = Duration::from_secs(10);
/// Members that may be asked at once.
pub const MAX_SECOND_WITNESSES: usize = 512;

/// The members that are asked, or were of late.
#[derive(Debug, Default)]
pub(super) struct SecondWitnesses(BTreeMap<NodeName, Round>);

/// One member's round.
#[derive(Debug)]
struct Round {
    /// Of this round and the one before, the latest last.
    pings: Vec<SeqNo>,
    /// Pings of this round.
    sent: usize,
    state: State,
    /// It answered the round before: what is known of its envelope is so.
    heard: bool,
    /// When it was asked or heard last.
    touched: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The next ping or the verdict is due.
    Asking { due: Instant, patient: bool },
    /// It did not answer this round.
    Silent,
    /// It did.
    Answered,
}

/// What a round does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Nothing,
    Ping,
    Silent,
}

impl Round {
    fn new(now: Instant) -> Self {
        Self {
            pings: Vec::new(),
            sent: 0,
            state: State::Asking { due: now, patient: true },
            heard: false,
            touched: now,
        }
    }

    /// Asks again unless a round is under way.
    fn again(&mut self, now: Instant) {
        if !matches!(self.state, State::Asking { .. }) {
            self.pings.drain(..self.pings.len().saturating_sub(PINGS));
            self.heard = self.state == State::Answered;
            (self.sent, self.state, self.touched) = (0, State::Asking { due: now, patient: true }, now);
        }
    }

    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Asking { due, .. } => Some(due),
            State::Silent | State::Answered => None,
        }
    }

    /// Goes on if that is due. Pauses count from `now`, not from when a ping was due: acks to a process that stood still wait
    /// in its socket, so it is no witness of that time.
    fn advance(&mut self, now: Instant) -> Step {
        let State::Asking { due, patient } = self.state else { return Step::Nothing };
        if due > now {
            return Step::Nothing;
        }
        if self.sent < PINGS {
            self.sent += 1;
            self.state = State::Asking { due: now + SPACING, patient };
            return Step::Ping;
        }
        if patient && now.since(due) > SPACING / 2 {
            self.state = State::Asking { due: now + SPACING, patient: false };
            return Step::Nothing;
        }
        self.state = State::Silent;
        self.touched = now;
        Step::Silent
    }
}

impl SecondWitnesses {
    fn start(&mut self, now: Instant, name: &NodeName) -> bool {
        if let Some(round) = self.0.get_mut(name) {
            round.again(now);
            return true;
        }
        if self.0.len() >= MAX_SECOND_WITNESSES {
            self.0.retain(|_, round| round.due().is_some() || now.since(round.touched) < MEMORY);
        }
        let room = self.0.len() < MAX_SECOND_WITNESSES;
        if room {
            self.0.insert(name.clone(), Round::new(now));
        }
        room
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.values().filter_map(Round::due).min()
    }

    /// Takes what is due, one at a time.
    fn step(&mut self, now: Instant) -> Option<(NodeName, Step)> {
        self.0.iter_mut().find_map(|(name, round)| match round.advance(now) {
            Step::Nothing => None,
            step => Some((name.clone(), step)),
        })
    }

    fn pinged(&mut self, name: &NodeName, seq_no: SeqNo) {
        if let Some(round) = self.0.get_mut(name) {
            round.pings.push(seq_no);
        }
    }

    /// The last ping to it, if that was not answered so far.
    fn last_ping(&self, name: &NodeName) -> Option<SeqNo> {
        let round = self.0.get(name).filter(|round| round.sent > 1 || !round.heard)?;
        round.pings.last().copied()
    }

    /// Whose ping an ack answers, and what that is if it is the first to do so.
    fn acked(&mut self, now: Instant, seq_no: SeqNo) -> Option<(NodeName, Option<Heard>)> {
        let (name, round) = self.0.iter_mut().find(|(_, round)| round.pings.contains(&seq_no))?;
        let first_ping = round.pings.len().checked_sub(round.sent).and_then(|before| round.pings.get(before));
        let is_prompt = matches!(round.state, State::Asking { .. }) && first_ping == Some(&seq_no);
        let is_first = round.state != State::Answered && now.since(round.touched) < MEMORY;
        (round.state, round.touched) = (State::Answered, now);
        Some((name.clone(), is_first.then_some(if is_prompt { Heard::Prompt } else { Heard::Late })))
    }

    pub(super) fn forget(&mut self, name: &NodeName) {
        self.0.remove(name);
    }
}

impl Endpoint {
    /// Asks a member of the table itself whether it is there; [`Output::SecondWitness`] tells within 300 ms, or sooner if it
    /// answers, and once more if it answers after all. While a round is under way another call changes nothing.
    ///
    /// False if nobody is asked: there is no such member, [`MAX_SECOND_WITNESSES`] are asked already, or we are to keep silent.
    pub fn ask_second_witness(&mut self, now: Instant, name: &NodeName) -> bool {
        let is_asked = !self.is_silent()
            && *name != self.options.name
            && self.swim.member(name).is_some()
            && self.second_witnesses.start(now, name);
        self.advance_second_witnesses(now);
        self.settle(now);
        is_asked
    }

    pub(super) fn advance_second_witnesses(&mut self, now: Instant) {
        while let Some((name, step)) = self.second_witnesses.step(now) {
            match step {
                Step::Ping => self.ping_second_witness(now, &name),
                Step::Silent => self.outputs.push_back(Output::SecondWitness { member: name, heard: Heard::Nothing }),
                Step::Nothing => {}
            }
        }
    }

    fn ping_second_witness(&mut self, now: Instant, name: &NodeName) {
        let Some(addr) = self.swim.member(name).map(|member| member.node.addr).filter(|_| !self.is_silent()) else {
            return self.second_witnesses.forget(name);
        };
        let late = self.second_witnesses.last_ping(name);
        let ping = self.swim.ping_to(name);
        self.second_witnesses.pinged(name, ping.seq_no);
        self.send_ping(now, addr, name, ping, Vec::new(), false);
        if let Some(late) = late {
            // What is known of its envelope may be of an earlier process.
            self.send_fallbacks(now, addr, name, late);
        }
    }

    /// An ack that no probe waits for. Whether it answers a ping of [`Self::ask_second_witness`].
    pub(super) fn second_witness_acked(&mut self, now: Instant, seq_no: SeqNo) -> bool {
        let Some((member, heard)) = self.second_witnesses.acked(now, seq_no) else { return false };
        self.outputs.extend(heard.map(|heard| Output::SecondWitness { member, heard }));
        true
    }
}

#[cfg(test)]
mod tests;
