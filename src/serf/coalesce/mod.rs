//! Gathering events before the application sees them (`serf §12`).
//!
//! The first held event starts the period, each held event restarts the quiescence; whichever ends first lets all go.
//! Two things differ from the reference on purpose: what was emitted is forgotten with the member, and an update is emitted
//! once, not again at every later flush.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
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

/// Keeps the latest event of each member.
#[derive(Debug)]
struct Members {
    hold: Hold,
    latest: BTreeMap<NodeName, MemberEvent>,
    /// What the application was told last of each member that is still known.
    told: BTreeMap<NodeName, (MemberEventKind, Arc<Node>)>,
}

impl Members {
    fn new(window: Window) -> Self {
        Self { hold: Hold::new(window), latest: BTreeMap::new(), told: BTreeMap::new() }
    }

    fn hold(&mut self, now: Instant, event: MemberEvent) {
        self.hold.held(now);
        self.latest.insert(event.member.node.name.clone(), event);
    }

    fn flush(&mut self) -> Vec<Event> {
        self.hold.ends = None;
        let mut groups: BTreeMap<MemberEventKind, Vec<Member>> = BTreeMap::new();
        for (name, MemberEvent { kind, member }) in std::mem::take(&mut self.latest) {
            if let Some(kind) = self.tell(name, kind, &member) {
                groups.entry(kind).or_default().push(member);
            }
        }
        groups.into_iter().map(|(kind, members)| Event::Member { kind, members }).collect()
    }

    /// What is to be emitted. A member that failed and came back within the window is no news, unless it came back with
    /// other tags or at another address: that is an update.
    fn tell(&mut self, name: NodeName, kind: MemberEventKind, member: &Member) -> Option<MemberEventKind> {
        if kind == MemberEventKind::Reap {
            self.told.remove(&name);
            return Some(kind);
        }
        let kind = match self.told.get(&name) {
            Some((told, node)) if *told == kind && kind != MemberEventKind::Update => {
                let changed = kind == MemberEventKind::Join && **node != *member.node;
                changed.then_some(MemberEventKind::Update)?
            }
            _ => kind,
        };
        // An update says nothing of presence, so what was told of that stays.
        let presence = match (kind, self.told.get(&name)) {
            (MemberEventKind::Update, Some((told, _))) => *told,
            _ => kind,
        };
        self.told.insert(name, (presence, member.node.clone()));
        Some(kind)
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
