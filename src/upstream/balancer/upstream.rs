//! One upstream of a balancer, and what is known of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::net::SocketAddr;

use super::evidence::Testimonies;
use super::record::Records;
use super::{Group, Notice, Output, Strength};
use crate::time::Instant;
use crate::upstream::cause::causes;
use crate::upstream::desired::Target;
use crate::upstream::settle::News;
use crate::upstream::{
    Absence, Candidate, Cause, Circumstances, Decision, History, HoldReason, Intent, Judged, LeftOut, MinHealthy, Mode,
    Options, Previous, Probe, Servers, UpstreamName, Want, decide,
};
use crate::wire::NodeName;

/// One upstream.
#[derive(Debug)]
pub struct Upstream {
    options: Options,
    history: History,
    records: Records,
    decision: Option<Decision>,
    /// How the group does as the operator heard it last.
    told: Option<Group>,
    /// Since when the group does as well as it does.
    since: Option<Instant>,
    /// Since when each member is where it is.
    standings: BTreeMap<NodeName, (Standing, Instant)>,
    /// The configuration changed while this agent ran, and nothing made by the new one is in place yet.
    reconfigured: bool,
    /// What was put in place last by this configuration; `None` if it is not known whether its file is there and read.
    in_place: Option<Want>,
    /// What the debounce was asked for last, and is not in place. Forgotten when what is wanted is in place: an apply that is
    /// still under way may be about to replace just that.
    asked: Option<Want>,
}

/// Where a member is; `None` if it gets requests.
type Standing = Option<Absence>;

/// What a decision asks of the debounce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    /// It is in place.
    Nothing,
    /// It was asked for before and is not in place yet: under way, or to be tried again in due time.
    Again,
    New(News),
}

impl Upstream {
    /// `live` is what an earlier run left in place.
    pub(super) fn new(options: Options, live: Option<Target>) -> Self {
        let history = live.map(History::restored).unwrap_or_default();
        Self {
            options,
            history,
            records: Records::default(),
            decision: None,
            told: None,
            since: None,
            standings: BTreeMap::new(),
            reconfigured: false,
            in_place: None,
            asked: None,
        }
    }

    /// The same upstream by another configuration: its file may have to change although its servers do not.
    pub(super) fn reconfigured(self, options: Options) -> Self {
        let mut records = self.records;
        if options.probed != self.options.probed {
            records.forget_probes();
        }
        Self { options, records, decision: None, told: None, reconfigured: true, in_place: None, asked: None, ..self }
    }

    /// Takes what the probe of `member` says now of its service at `addr`. Whether that is news.
    pub(super) fn handle_probe(&mut self, member: &NodeName, addr: SocketAddr, probe: Probe) -> bool {
        self.records.handle_probe(member, addr, probe)
    }

    /// Takes whether nobody of it answers. Whether that is news.
    pub(super) fn handle_blindness(&mut self, is_blind: bool) -> bool {
        self.records.handle_blindness(is_blind)
    }

    /// Forgets what it knows of those who are neither in `members` nor among its servers.
    pub(super) fn retain(&mut self, members: &HashSet<&NodeName>) {
        self.records.retain(|name| members.contains(name) || self.history.knows(name));
    }

    /// Whether one of its servers has that name, member or not.
    pub(super) fn has_server(&self, member: &NodeName) -> bool {
        self.history.knows(member)
    }

    /// Every selected member that is not gone, and where it serves; those of an earlier generation that are no members, too.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&NodeName, SocketAddr)> {
        let judged = self.decision.iter().flat_map(|decision| &decision.members);
        judged.filter(|judged| judged.intent != Intent::Gone).map(|judged| (&judged.name, judged.draft.addr))
    }

    /// Goes on from another generation than the one it made last, if that is what it is.
    pub(super) fn restored(&mut self, live: Target) {
        if self.history.has_live(&live) {
            return;
        }
        self.history = History::restored(live);
        (self.in_place, self.asked) = (None, None);
    }

    /// What it leaves in place when it is taken out of the configuration.
    pub(super) fn into_live(self) -> Option<(UpstreamName, Target)> {
        Some((self.options.name, self.history.into_live()?))
    }

    /// Its name.
    pub fn name(&self) -> &UpstreamName {
        &self.options.name
    }

    /// By which it is decided.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What it should look like and why; `None` before the first decision.
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// Whether nobody of it answers, so that it may be our own network.
    pub fn is_blind(&self) -> bool {
        self.records.is_blind()
    }

    /// Since when the group does as well as it does; `None` before the first decision.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The servers of the newest generation, if it has any.
    pub fn live(&self) -> Option<&Servers> {
        self.history.live()
    }

    /// Whether a generation has it.
    pub fn is_recorded(&self) -> bool {
        self.history.is_recorded()
    }

    /// Since when that member is in, or out for the reason that it is.
    pub fn standing_since(&self, member: &NodeName) -> Option<Instant> {
        self.standings.get(member).map(|(_, since)| *since)
    }

    /// Until when that member is held down for changing too often, if it is.
    pub fn held_down_until(&self, now: Instant, member: &NodeName) -> Option<Instant> {
        self.records.held_down_until(now, member)
    }

    /// Why what is decided differs from what is in place.
    pub(super) fn causes(&self) -> BTreeSet<Cause> {
        let mut causes = self.decision.as_ref().map(|decision| causes(&self.history, decision)).unwrap_or_default();
        if self.reconfigured || causes.is_empty() && self.in_place.is_none() {
            causes.insert(Cause::Configuration);
        }
        causes
    }

    /// Whether what is decided is known to be in place.
    pub fn is_in_place(&self) -> bool {
        self.decision.as_ref().is_some_and(|decision| match &self.in_place {
            Some(want) => *want == decision.want || self.history.is_live(decision),
            // `apply` finds out, and says `unchanged` if it is.
            None => matches!(decision.want, Want::Hold(_)),
        })
    }

    /// `under_way` is what an apply that runs brings in place.
    pub(super) fn decide(
        &mut self,
        members: &[Candidate],
        testimonies: &Testimonies,
        at: &Circumstances,
        under_way: Option<&Want>,
        outputs: &mut VecDeque<Output>,
    ) -> &Decision {
        let mut decision = self.decide_once(members, testimonies, at);
        if self.records.observe(at.now, &decision, &self.options) {
            decision = self.decide_once(members, testimonies, at);
            self.records.observe(at.now, &decision, &self.options);
        }
        let due = self.records.due(at.now, &decision, &self.options);
        decision.again_at = decision.again_at.into_iter().chain(due).min();
        if self.history.mode() != decision.mode {
            self.since = None;
        }
        self.since.get_or_insert(at.now);
        self.note_standings(&decision, at.now);
        self.history.decided(&decision);
        let group = self.group_notice(&decision, under_way);
        let notices = group.into_iter().chain(self.left_out_notices(&decision));
        outputs.extend(notices.map(Output::Tell));
        self.decision.insert(decision)
    }

    fn decide_once(&self, members: &[Candidate], testimonies: &Testimonies, at: &Circumstances) -> Decision {
        self.decision_about(&self.seen(members, testimonies, at), at)
    }

    /// What would be decided about these, who are everybody with everything that is known.
    pub(super) fn decision_about(&self, seen: &[Candidate], at: &Circumstances) -> Decision {
        decide(seen, &self.options, &self.memory(at), at)
    }

    /// Everybody with everything that is known: the members, and servers of the last good set that are none.
    pub(super) fn seen(&self, members: &[Candidate], testimonies: &Testimonies, at: &Circumstances) -> Vec<Candidate> {
        let known: HashSet<&NodeName> = members.iter().map(|member| &member.name).collect();
        let memory = self.memory(at);
        let missing = memory.good().iter().filter(|(name, _)| !known.contains(name));
        let missing = missing.map(|(name, server)| Candidate::missing(name.clone(), server.addr.ip(), at.rejoining));
        // Who is held down for what was seen before is not taken out for it by the time alone.
        let is_unseen = at.is_unseen(&self.options);
        let is_spared = |member: &Candidate| is_unseen && memory.previous(&member.name) == Previous::In;
        let about = |member| {
            let known = self.records.about(at.now, testimonies.about(member), &self.options);
            Candidate { flapping: known.flapping && !is_spared(&known), ..known }
        };
        members.iter().cloned().chain(missing).map(about).collect()
    }

    fn memory(&self, at: &Circumstances) -> Cow<'_, History> {
        if at.held { Cow::Owned(self.history.frozen()) } else { Cow::Borrowed(&self.history) }
    }

    /// The share of its servers that have to be well.
    pub fn min_healthy(&self) -> MinHealthy {
        self.options.policy.min_healthy
    }

    /// Whether NGINX already routes as `decision` wants.
    pub fn is_live(&self, decision: &Decision) -> bool {
        self.history.is_live(decision)
    }

    fn note_standings(&mut self, decision: &Decision, now: Instant) {
        let mut before = std::mem::take(&mut self.standings);
        let lines = match &decision.want {
            Want::Servers(servers) => servers.as_slice(),
            Want::Placeholder | Want::Hold(_) => &[],
        };
        let serving: HashSet<&NodeName> = lines.iter().filter(|line| !line.down).map(|line| &line.member).collect();
        let note = |judged: &Judged| {
            let standing = (!serving.contains(&judged.name)).then(|| judged.absence());
            let known = before.remove(&judged.name).filter(|(known, _)| *known == standing);
            (judged.name.clone(), known.unwrap_or((standing, now)))
        };
        self.standings = decision.members.iter().map(note).collect();
    }

    /// To be called once after each decision; `held` as it was for that.
    pub(super) fn ask(&mut self, held: bool) -> Ask {
        let Some(decision) = &self.decision else { return Ask::Nothing };
        if self.is_in_place() {
            self.asked = None;
            if !held {
                self.history.stays(decision);
            }
            return Ask::Nothing;
        }
        if self.asked.as_ref() == Some(&decision.want) {
            return Ask::Again;
        }
        self.asked = Some(decision.want.clone());
        Ask::New(self.history.news(decision))
    }

    /// What an apply with `decision` has put there; `outdated` if it was one of an earlier configuration.
    pub(super) fn put_in_place(&mut self, decision: Decision, outdated: bool) {
        self.history.applied(&decision);
        self.in_place = (!outdated).then_some(decision.want);
        self.reconfigured &= outdated;
    }

    /// One notice for each selected member that from now on cannot be a server.
    fn left_out_notices(&self, decision: &Decision) -> Vec<Notice> {
        let before = self.decision.as_ref().map(|before| &before.left_out[..]).unwrap_or_default();
        let notice = |(member, reason): &(NodeName, LeftOut)| Notice::LeftOut {
            upstream: self.name().clone(),
            member: member.clone(),
            reason: reason.clone(),
        };
        newly_left_out(before, &decision.left_out).map(notice).collect()
    }

    /// When the group begins to do better or worse.
    fn group_notice(&mut self, decision: &Decision, under_way: Option<&Want>) -> Option<Notice> {
        // Enough are well again, and that too few were was not told.
        let is_well = decision.lingers() && self.told != Some(Group::Floor);
        let now = Some(Group::of(decision)).filter(|now| *now != Group::Floor || !is_well).unwrap_or(Group::Well);
        if now == Group::Empty && matches!(under_way, Some(Want::Servers(_))) {
            return None; // whether there is anybody to keep shows when the apply ends
        }
        let before = self.told.replace(now);
        let is_news = before != Some(now) && (before.is_some() || now != Group::Well);
        let strength = Strength {
            serving: decision.serving(),
            well: decision.well().count(),
            base: decision.base,
            floor: decision.floor,
            ill: decision.ill().cloned().collect(),
        };
        is_news.then(|| Notice::Group { upstream: self.name().clone(), before, now, strength })
    }
}

impl Group {
    fn of(decision: &Decision) -> Self {
        match (&decision.want, decision.mode) {
            (Want::Placeholder, _) => Self::Empty,
            (Want::Hold(HoldReason::AllLeft), _) => Self::AllLeft,
            (Want::Hold(HoldReason::Unrecorded), _) => Self::Unrecorded,
            (Want::Servers(_), Mode::Normal) => Self::Well,
            (Want::Servers(_), Mode::Floor) => Self::Floor,
            (Want::Servers(_), Mode::Last) => Self::Last,
        }
    }
}

/// What `after` holds beyond `before`; both are sorted by name.
fn newly_left_out<'a>(
    before: &'a [(NodeName, LeftOut)],
    after: &'a [(NodeName, LeftOut)],
) -> impl Iterator<Item = &'a (NodeName, LeftOut)> {
    let known = |(name, reason): &(NodeName, LeftOut)| {
        before.binary_search_by(|(other, _)| other.cmp(name)).is_ok_and(|index| before[index].1 == *reason)
    };
    after.iter().filter(move |entry| !known(entry))
}
