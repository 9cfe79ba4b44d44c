//! Gathering events before the application sees them (`serf §12`).
//!
//! The first held event starts the period, each held event restarts the quiescence; whichever ends first lets all go.
//! What differs from the reference on purpose: what was emitted is forgotten with the member; an update is emitted once, not
//! again at every later flush; and an update or a reap does not swallow the join or the leave before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::member::{Member, is_changed};
use super::output::MemberEventKind::{Failed, Join, Leave, Reap, Update};
use super::output::{Event, MemberEvent, MemberEventKind};
use crate::swim::Node;
use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::serf::UserEvent;

/// How long events are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// At most this long after the first.
    pub period: Duration,
    /// Until nothing more has come for this long.
    pub quiescence: Duration,
}

/// Names of user events held at once. Beyond it they pass uncoalesced.
pub const MAX_HELD_NAMES: usize = 1024;

/// Events of one name and time held at once. Beyond it the oldest is let go first.
pub const MAX_HELD_EVENTS: usize = 1024;

/// When held events are let go.
#[derive(Clone, Copy, Debug)]
struct Hold {
    window: Window,
    /// End of the period, end of the quiescence; `None` while nothing is held.
    ends: Option<(Instant, Instant)>,
}

impl Hold {
    fn new(window: Window) -> Self {
        Self { window, ends: None }
    }

    fn held(&mut self, now: Instant) {
        let period = self.ends.map_or(now + self.window.period, |(period, _)| period);
        self.ends = Some((period, now + self.window.quiescence));
    }

    fn deadline(self) -> Option<Instant> {
        self.ends.map(|(period, quiescence)| period.min(quiescence))
    }

    fn is_over(self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }
}

/// Both coalescers and the way past them.
#[derive(Debug)]
pub(crate) struct Coalescer {
    members: Option<Members>,
    users: Option<Users>,
}

impl Coalescer {
    pub(crate) fn new(members: Option<Window>, users: Option<Window>) -> Self {
        let on = |window: &Window| !window.period.is_zero() && !window.quiescence.is_zero();
        Self { members: members.filter(on).map(Members::new), users: users.filter(on).map(Users::new) }
    }

    pub(crate) fn member(&mut self, now: Instant, event: MemberEvent, out: &mut impl Extend<Event>) {
        match &mut self.members {
            Some(members) => members.hold(now, event),
            None => out.extend([Event::Member { kind: event.kind, members: vec![event.member] }]),
        }
    }

    pub(crate) fn user(&mut self, now: Instant, event: UserEvent, out: &mut impl Extend<Event>) {
        match &mut self.users {
            Some(users) if event.coalesce => out.extend(users.hold(now, event).map(Event::User)),
            _ => out.extend([Event::User(event)]),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let members = self.members.as_ref().and_then(|members| members.hold.deadline());
        let users = self.users.as_ref().and_then(|users| users.hold.deadline());
        members.into_iter().chain(users).min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut impl Extend<Event>) {
        if let Some(users) = self.users.as_mut().filter(|users| users.hold.is_over(now)) {
            out.extend(users.flush());
        }
        if let Some(members) = self.members.as_mut().filter(|members| members.hold.is_over(now)) {
            out.extend(members.flush());
        }
    }

    /// Lets everything go, before a shutdown.
    pub(crate) fn flush(&mut self, out: &mut impl Extend<Event>) {
        out.extend(self.users.iter_mut().flat_map(Users::flush));
        out.extend(self.members.iter_mut().flat_map(Members::flush));
    }
}

/// Keeps what the events of each member come down to.
#[derive(Debug)]
struct Members {
    hold: Hold,
    held: BTreeMap<NodeName, Held>,
    /// What the application was told last of each member that is still known.
    told: BTreeMap<NodeName, Told>,
}

/// The events of one member within a window.
#[derive(Debug)]
struct Held {
    /// As the last of them shows it.
    member: Member,
    /// The last that says whether it is there: a join, a leave or a failure.
    presence: Option<MemberEventKind>,
    updated: bool,
    reaped: bool,
}

/// What the application knows of a member.
#[derive(Debug)]
struct Told {
    /// Whether it is there; an update says nothing of that.
    presence: MemberEventKind,
    node: Arc<Node>,
}

impl Members {
    fn new(window: Window) -> Self {
        Self { hold: Hold::new(window), held: BTreeMap::new(), told: BTreeMap::new() }
    }

    fn hold(&mut self, now: Instant, MemberEvent { kind, member, .. }: MemberEvent) {
        self.hold.held(now);
        let new = || Held { member: member.clone(), presence: None, updated: false, reaped: false };
        let held = self.held.entry(member.node.name.clone()).or_insert_with(new);
        match kind {
            Join | Leave | Failed => (held.presence, held.updated, held.reaped) = (Some(kind), false, false),
            Update => held.updated = true,
            Reap => held.reaped = true,
        }
        held.member = member;
    }

    fn flush(&mut self) -> Vec<Event> {
        self.hold.ends = None;
        let mut groups: BTreeMap<MemberEventKind, Vec<Member>> = BTreeMap::new();
        for (name, held) in std::mem::take(&mut self.held) {
            for kind in held.news(self.told.get(&name)) {
                groups.entry(kind).or_default().push(held.member.clone());
            }
            self.tell(name, held);
        }
        groups.into_iter().map(|(kind, members)| Event::Member { kind, members }).collect()
    }

    fn tell(&mut self, name: NodeName, Held { member, presence, reaped, .. }: Held) {
        let before = self.told.remove(&name).map(|told| told.presence);
        if !reaped {
            let presence = presence.or(before).unwrap_or(Join);
            self.told.insert(name, Told { presence, node: member.node });
        }
    }
}

impl Held {
    /// What is to be told, in this order: whether the member is there, then what else is new of it.
    ///
    /// Who failed and came back within the window is no news, unless it came back with other tags or at another address. That is
    /// a join and an update, never the update alone: a script may look at the tags of those that join, and at nothing else.
    fn news(&self, told: Option<&Told>) -> impl Iterator<Item = MemberEventKind> + use<> {
        let changed = told.is_some_and(|told| is_changed(&told.node, &self.member.node));
        let known = told.map(|told| told.presence);
        let returned = self.presence == Some(Join) && changed;
        let presence = self.presence.filter(|presence| known != Some(*presence) || returned);
        let is_there = self.presence.or(known).is_none_or(|presence| presence == Join);
        let second =
            if self.reaped { Some(Reap) } else { Some(Update).filter(|_| is_there && (self.updated || changed)) };
        presence.into_iter().chain(second)
    }
}

/// Keeps, of each event name, those with the highest Lamport time.
#[derive(Debug)]
struct Users {
    hold: Hold,
    latest: BTreeMap<String, Vec<UserEvent>>,
}

impl Users {
    fn new(window: Window) -> Self {
        Self { hold: Hold::new(window), latest: BTreeMap::new() }
    }

    /// Holds the event; returns one that has to go at once to keep within the bounds.
    fn hold(&mut self, now: Instant, event: UserEvent) -> Option<UserEvent> {
        if !self.latest.contains_key(&event.name) && self.latest.len() >= MAX_HELD_NAMES {
            return Some(event);
        }
        self.hold.held(now);
        let held = self.latest.entry(event.name.clone()).or_default();
        match held.first().map(|first| first.ltime.cmp(&event.ltime)) {
            Some(std::cmp::Ordering::Greater) => return None,
            Some(std::cmp::Ordering::Less) => held.clear(),
            Some(std::cmp::Ordering::Equal) | None => {}
        }
        held.push(event);
        (held.len() > MAX_HELD_EVENTS).then(|| held.remove(0))
    }

    fn flush(&mut self) -> Vec<Event> {
        self.hold.ends = None;
        std::mem::take(&mut self.latest).into_values().flatten().map(Event::User).collect()
    }
}

#[cfg(test)]
mod tests;
