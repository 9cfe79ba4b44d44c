//! The group rule (`protocols D.3`): from what is known about each member to the servers of one upstream.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::desired::Target;
use super::{
    Absence, Candidate, Draft, Drain, Gossip, History, Intent, LeftOut, Mode, OnEmpty, Options, Pings, Placed,
    Previous, Server, Servers, Standing, Verdict, VerdictReason, Weight, Witness, select, verdict, witness,
};
use crate::time::Instant;
use crate::wire::NodeName;

/// How long there must be enough servers before mode floor is left.
const FLOOR_LINGER: Duration = Duration::from_secs(10);

/// What holds for the whole upstream at the time of a decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// Now.
    pub now: Instant,
    /// An operator froze this upstream.
    pub held: bool,
    /// We restarted less than `rejoin_grace` ago: who is missing may only not be back yet.
    pub rejoining: bool,
    /// We hear nobody: where no probe looks either, what is known is of before, and nothing new follows from it.
    pub isolated: bool,
}

impl Circumstances {
    /// Whether nobody looks, so that servers stay as they are whatever time passes.
    pub fn is_unseen(&self, options: &Options) -> bool {
        self.isolated && !options.probed
    }
}

/// What an upstream should look like, and why.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What NGINX should have.
    pub want: Want,
    /// How the group is doing.
    pub mode: Mode,
    /// Fewest servers that must be in for mode normal.
    pub floor: usize,
    /// Selected members that have not left; those with weight 0 do not count.
    pub base: usize,
    /// Every selected member, sorted by name.
    pub members: Vec<Judged>,
    /// Selected members that cannot be servers, sorted by name.
    pub left_out: Vec<(NodeName, LeftOut)>,
    /// Decide again at this time even if nothing changes.
    pub again_at: Option<Instant>,
    /// More than half of those who serve start slowly, which would be as if none did: all get their whole weight.
    pub(super) ramps_at_once: bool,
    pub(super) positional: bool,
    pub(super) enough_since: Option<Instant>,
}

impl Decision {
    /// What goes into the document for `apply`; `None` leaves the file as it is.
    pub fn target(&self) -> Option<Target> {
        match &self.want {
            Want::Servers(servers) => Some(Target::Servers(servers.clone())),
            Want::Placeholder => Some(Target::Placeholder),
            Want::Hold(_) => None,
        }
    }

    /// Whether too few servers are well. Mode floor goes on for a while after that.
    pub fn is_panic(&self) -> bool {
        match self.mode {
            Mode::Normal => false,
            Mode::Floor => self.enough_since.is_none(),
            Mode::Last => true,
        }
    }

    /// Whether enough servers are well again, and those that were kept still stay for a while.
    pub fn lingers(&self) -> bool {
        self.mode == Mode::Floor && self.enough_since.is_some()
    }

    /// How many servers get requests.
    pub fn serving(&self) -> usize {
        self.members.iter().filter(|judged| judged.serves()).count()
    }

    /// What those who get requests are worth, before reduction.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&NodeName, Share)> {
        let share = |judged: &Judged| Share {
            weight: judged.draft.weight,
            half: judged.verdict.placed == Placed::Half,
            ramp: judged.ramp.filter(|_| !self.ramps_at_once),
        };
        self.members.iter().filter(|judged| judged.serves()).map(move |judged| (&judged.name, share(judged)))
    }

    /// The line of that member, if it has one.
    pub fn line(&self, member: &NodeName) -> Option<&Server> {
        match &self.want {
            Want::Servers(servers) => servers.as_slice().iter().find(|server| server.member == *member),
            Want::Placeholder | Want::Hold(_) => None,
        }
    }

    /// Whether that selected member cannot be a server.
    pub(super) fn leaves_out(&self, member: &NodeName) -> bool {
        self.left_out.binary_search_by(|(name, _)| name.cmp(member)).is_ok()
    }

    /// Servers that would be in whatever the others are.
    pub(super) fn well(&self) -> impl Iterator<Item = &NodeName> {
        self.members.iter().filter(|judged| judged.is_healthy(Flaps::HeldDown, false)).map(|judged| &judged.name)
    }

    /// Servers that would be out if enough others were well.
    pub fn ill(&self) -> impl Iterator<Item = &NodeName> {
        let is_ill = |judged: &&Judged| {
            judged.counts() && judged.intent != Intent::Gone && !judged.is_healthy(Flaps::HeldDown, false)
        };
        self.members.iter().filter(is_ill).map(|judged| &judged.name)
    }
}

/// What a server is worth, before all weights are reduced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Share {
    pub(super) weight: u32,
    pub(super) half: bool,
    /// Percent, while it starts slowly.
    pub(super) ramp: Option<u8>,
}

impl Share {
    /// All of a weight.
    const WHOLE: u32 = 20;

    const fn is_whole(self) -> bool {
        !self.half && self.ramp.is_none()
    }

    /// In twentieths of a weight's unit, rounded and at least 1: half of 1 and a tenth of 1 are something.
    fn parts(self) -> u32 {
        let percent = self.ramp.map_or(100, u64::from);
        let divisor = if self.half { 200 } else { 100 };
        let parts = (u64::from(self.weight) * u64::from(Self::WHOLE) * percent + divisor / 2) / divisor;
        u32::try_from(parts).unwrap_or(u32::MAX).max(1)
    }
}

/// What NGINX should have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Want {
    /// These servers.
    Servers(Servers),
    /// The placeholder that answers 502: nobody was ever in, or the operator prefers an error to the last servers.
    Placeholder,
    /// What it has.
    Hold(HoldReason),
}

/// Why the file stays as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HoldReason {
    /// Everybody who was in has left, and `on_empty` says to keep the last servers.
    AllLeft,
    /// An operator froze it, and what it has is not known: nothing is recorded of it.
    Unrecorded,
}

/// One selected member.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its name.
    pub name: NodeName,
    /// The server it is or would be.
    pub draft: Draft,
    /// What gossip says, as far as this balancer believes it.
    pub gossip: Gossip,
    /// What this balancer's own pings of it came to.
    pub pings: Pings,
    /// Which rule about evidence applied.
    pub witness: Witness,
    /// What follows from it under the policy.
    pub intent: Intent,
    /// Whether it wants to leave.
    pub drain: Drain,
    /// What the witnesses alone say of it, whatever it was: changes of this are counted for damping.
    pub words: Intent,
    /// Whether it is held down for changing too often.
    pub flapping: bool,
    /// Percent of its weight that it gets while it starts slowly.
    pub ramp: Option<u8>,
    /// What it was in the last good set, whatever its address was.
    pub previous: Previous,
    /// It is in the last good set at another address, and nobody vouched for this one yet.
    pub moved: bool,
    /// Where it ends up.
    pub verdict: Verdict,
}

/// Chooses the servers of one upstream. Deterministic: the order of `members` does not matter.
pub fn decide(members: &[Candidate], options: &Options, history: &History, at: &Circumstances) -> Decision {
    let (mut group, mut left_out) = gather(members, options, history, at);
    give_way(&mut group, &mut left_out, members, at.held);
    let base = group.iter().filter(|judged| judged.counts() && judged.intent != Intent::Gone).count();
    let floor = options.policy.min_healthy.floor(base);
    let healthy = |flaps: Flaps| group.iter().filter(|judged| judged.is_healthy(flaps, at.held)).count();
    // Who changes too often is a better server than who is ill.
    let flaps = if healthy(Flaps::HeldDown) < floor { Flaps::Lifted } else { Flaps::HeldDown };
    let healthy = healthy(flaps);
    let (mut mode, enough_since) = mode(healthy >= floor, history, at.now, at.is_unseen(options));

    let admitted = if mode == Mode::Normal { admit(&group, floor, healthy, flaps, at.held) } else { HashSet::new() };
    let placed = |group: &mut Vec<Judged>, mode: Mode| {
        for judged in group {
            let refused =
                mode == Mode::Normal && matches!(judged.drain, Drain::Asked(_)) && !admitted.contains(&judged.name);
            let lifted = flaps == Flaps::Lifted && judged.is_only_flapping();
            let mode = if mode == Mode::Normal && (refused || lifted) { Mode::Floor } else { mode };
            judged.verdict = judged.verdict_in(mode, judged.drain, at.held);
        }
    };
    placed(&mut group, mode);
    if !group.iter().any(Judged::serves) {
        mode = Mode::Last;
        placed(&mut group, mode);
    }
    let ramping = group.iter().filter(|judged| judged.serves() && judged.ramp.is_some()).count();
    let ramps_at_once = 2 * ramping > group.iter().filter(|judged| judged.serves()).count();
    let want = if at.held && !history.is_recorded() {
        Want::Hold(HoldReason::Unrecorded)
    } else {
        want(&group, mode, ramps_at_once, options, history, &mut left_out)
    };
    left_out.sort_by(|a, b| a.0.cmp(&b.0));
    let again_at = enough_since.filter(|_| mode == Mode::Floor).map(|since| since + FLOOR_LINGER);
    let positional = options.method.is_positional();
    Decision { want, mode, floor, base, members: group, left_out, again_at, ramps_at_once, positional, enough_since }
}

/// The selected members, and those of the last good set that are no members (any more, or yet), sorted by name.
fn gather(
    members: &[Candidate],
    options: &Options,
    history: &History,
    at: &Circumstances,
) -> (Vec<Judged>, Vec<(NodeName, LeftOut)>) {
    let mut group = Vec::with_capacity(members.len());
    let mut left_out = Vec::new();
    for member in members.iter().filter(|member| member.standing != Standing::Missing) {
        let frozen = frozen(&member.name, options, history).filter(|_| at.held);
        match frozen.map_or_else(|| select(member, options), |server| Ok(Draft::of(server))) {
            // A held one keeps the weight of its line, whatever part of its own that is.
            Ok(draft) if at.held => group.push(Judged { ramp: None, ..Judged::new(member, draft, options, history) }),
            Ok(draft) => group.push(Judged::new(member, draft, options, history)),
            Err(LeftOut::NotSelected { .. }) => {}
            Err(reason) => left_out.push((member.name.clone(), reason)),
        }
    }
    let known: HashMap<&NodeName, &Candidate> = members.iter().map(|member| (&member.name, member)).collect();
    let unit = unit(&group, history);
    for (name, server) in history.good() {
        let missing = match known.get(name) {
            Some(listed) if listed.standing == Standing::Missing => (*listed).clone(),
            Some(_) => continue,
            None => Candidate::missing(name.clone(), server.addr.ip(), at.rejoining),
        };
        let weight = history.shares().get(name).map_or_else(|| unit.weight(server), |share| share.weight);
        let draft = Draft { weight, ..Draft::of(server) };
        group.push(Judged { ramp: None, ..Judged::new(&missing, draft, options, history) });
    }
    group.sort_by(|a, b| a.name.cmp(&b.name));
    (group, left_out)
}

/// A host that came back under another name has two members for a while, one of which has failed. Its service is then the other's:
/// what that one says of itself counts, and no request goes there in the lost one's name once the other drains or is ill.
fn give_way(group: &mut Vec<Judged>, left_out: &mut Vec<(NodeName, LeftOut)>, members: &[Candidate], held: bool) {
    if !group.iter().any(Judged::is_lost) {
        return;
    }
    let owners: HashMap<SocketAddr, NodeName> = group
        .iter()
        .filter(|judged| judged.is_there() && judged.speaks_for_its_address(held))
        .map(|judged| (judged.draft.addr, judged.name.clone()))
        .collect();
    let is_member =
        |name: &NodeName| members.iter().any(|member| member.name == *name && member.standing != Standing::Missing);
    group.retain(|judged| {
        let Some(by) = owners.get(&judged.draft.addr).filter(|_| judged.is_lost()) else { return true };
        if is_member(&judged.name) {
            left_out.push((judged.name.clone(), LeftOut::Replaced { by: by.as_str().to_owned() }));
        }
        false
    });
}

/// How much weight, as members tell it, one of the weights in the newest generation stands for: those were reduced together.
struct Unit {
    weight: u32,
    lines: u32,
}

impl Unit {
    fn weight(&self, server: &Server) -> u32 {
        let weight = u64::from(server.weight.get()) * u64::from(self.weight);
        u32::try_from((weight / u64::from(self.lines)).max(1)).unwrap_or(u32::MAX)
    }
}

/// By the members that are known and have a line: the least, because a server may have had only a part of its weight.
fn unit(group: &[Judged], history: &History) -> Unit {
    let unit = |judged: &Judged| {
        let line = history.good().get(&judged.name)?;
        judged.counts().then(|| Unit { weight: judged.draft.weight, lines: line.weight.get().into() })
    };
    let less = |a: &Unit, b: &Unit| {
        let (a, b) = (u64::from(a.weight) * u64::from(b.lines), u64::from(b.weight) * u64::from(a.lines));
        a.cmp(&b)
    };
    group.iter().filter_map(unit).min_by(less).unwrap_or(Unit { weight: 1, lines: 1 })
}

/// What a member of a held upstream stays, whatever its tags say now, as long as the configuration allows it there.
fn frozen<'a>(member: &NodeName, options: &Options, history: &'a History) -> Option<&'a Server> {
    let is_allowed = |server: &&Server| {
        let within = options.port.min..=options.port.max;
        options.allow.check(server.addr.ip()).is_ok() && within.contains(&server.addr.port())
    };
    history.good().get(member).or_else(|| history.line(member)).filter(is_allowed)
}

impl Draft {
    fn of(server: &Server) -> Self {
        let Server { addr, weight, backup, max_conns, .. } = *server;
        Self { addr, weight: weight.get().into(), backup, max_conns, notes: Vec::new() }
    }
}

impl Judged {
    fn new(member: &Candidate, draft: Draft, options: &Options, history: &History) -> Self {
        let Candidate { check, drain, flapping, ramp, pings, .. } = *member;
        let gossip = member.heard();
        let probe = member.probe_of(draft.addr, options);
        let previous = history.previous(&member.name);
        let moved = history.good().get(&member.name).is_some_and(|server| server.addr != draft.addr);
        let was_here = if moved { Previous::Out } else { previous };
        let witness = witness(gossip, check, probe, was_here);
        let intent = witness.intent_under(&options.policy);
        let verdict = verdict(intent, drain, flapping, was_here, Mode::Normal, false);
        let words = self::witness(member.gossip, check, probe, Previous::In).intent_under(&options.policy);
        let name = member.name.clone();
        Self { name, draft, gossip, pings, witness, intent, drain, words, flapping, ramp, previous, moved, verdict }
    }

    fn verdict_in(&self, mode: Mode, drain: Drain, held: bool) -> Verdict {
        // As it was is at the address that it had, which mode last alone brings back.
        let moved = self.moved && mode != Mode::Last;
        let previous = if moved { Previous::Out } else { self.previous };
        verdict(self.intent, drain, self.flapping, previous, mode, held)
    }

    /// Whether gossip has heard of it since it was lost or left.
    fn is_there(&self) -> bool {
        match self.gossip {
            Gossip::Alive | Gossip::Suspect | Gossip::Leaving => true,
            Gossip::Failed | Gossip::Unknown | Gossip::Left => false,
        }
    }

    fn is_promised(&self) -> bool {
        self.is_there() && self.drain == Drain::Promised
    }

    fn is_lost(&self) -> bool {
        matches!(self.gossip, Gossip::Failed | Gossip::Unknown)
    }

    /// Whether its word decides about its address: not before its first success, and under a hold not if it was not in, unless it
    /// wants no requests there.
    fn speaks_for_its_address(&self, held: bool) -> bool {
        let is_kept_out = self.intent == Intent::Warm || held && self.previous != Previous::In;
        self.drain != Drain::No || !is_kept_out
    }

    /// Weight 0 is the operator's word that this is no server now; it neither helps nor counts.
    fn counts(&self) -> bool {
        self.draft.weight > 0
    }

    /// What becomes of it where it gets no requests.
    pub fn absence(&self) -> Absence {
        if self.counts() { self.verdict.absence() } else { Absence::Down }
    }

    fn serves(&self) -> bool {
        self.counts() && self.verdict.placed.is_in()
    }

    /// Whether it would be in without help from the group and if nobody who asks were let go. To refuse one that was out brings
    /// nobody in.
    fn is_healthy(&self, flaps: Flaps, held: bool) -> bool {
        let drain = if self.drain == Drain::Promised { Drain::Promised } else { Drain::No };
        let mode = if flaps == Flaps::Lifted && self.is_only_flapping() { Mode::Floor } else { Mode::Normal };
        let is_in = |mode, drain| self.verdict_in(mode, drain, held).placed.is_in();
        self.counts() && is_in(mode, drain) && is_in(Mode::Floor, self.drain)
    }

    /// Whether nothing speaks against it but that it changes too often.
    fn is_only_flapping(&self) -> bool {
        self.flapping && self.drain == Drain::No && matches!(self.intent, Intent::In | Intent::Half | Intent::Lost)
    }

    /// Whether an out member still has a line: it is there, and down. The dead, the left and the not yet proven have none.
    fn keeps_line(&self) -> bool {
        !matches!(self.intent, Intent::Dead | Intent::Warm)
            && !matches!(self.gossip, Gossip::Left | Gossip::Unknown | Gossip::Failed)
    }
}

/// What becomes of members that change too often.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaps {
    /// They are out.
    HeldDown,
    /// They are in, for without them there are too few.
    Lifted,
}

/// Mode floor starts at once and is left after [`FLOOR_LINGER`] of enough, in which somebody looked.
fn mode(enough: bool, history: &History, now: Instant, is_unseen: bool) -> (Mode, Option<Instant>) {
    if !enough || is_unseen && history.mode() == Mode::Floor {
        return (Mode::Floor, None);
    }
    let since = history.enough_since().unwrap_or(now);
    let linger = history.mode() == Mode::Floor && now.since(since) < FLOOR_LINGER;
    (if linger { Mode::Floor } else { Mode::Normal }, Some(since))
}

/// Which of those who ask may go: by rank, while at least `floor` stay in.
fn admit(group: &[Judged], floor: usize, healthy: usize, flaps: Flaps, held: bool) -> HashSet<NodeName> {
    let mut asked: Vec<_> = group
        .iter()
        .filter_map(|judged| match judged.drain {
            Drain::Asked(rank) => Some((rank, judged)),
            Drain::No | Drain::Promised => None,
        })
        .collect();
    asked.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    let mut left = healthy;
    let mut admitted = HashSet::new();
    for (_, judged) in asked {
        if judged.is_healthy(flaps, held) {
            if left <= floor {
                continue;
            }
            left -= 1;
        }
        admitted.insert(judged.name.clone());
    }
    admitted
}

fn want(
    group: &[Judged],
    mode: Mode,
    ramps_at_once: bool,
    options: &Options,
    history: &History,
    left_out: &mut Vec<(NodeName, LeftOut)>,
) -> Want {
    if mode == Mode::Last && options.policy.on_empty == OnEmpty::Error {
        return Want::Placeholder;
    }
    let mut drafts = Vec::with_capacity(group.len());
    for judged in group {
        let previous = history.good().get(&judged.name).filter(|_| mode == Mode::Last);
        let draft = previous.map_or_else(|| judged.draft.clone(), Draft::of);
        let down = !judged.verdict.placed.is_in() || draft.weight == 0;
        let keeps_line = match judged.verdict.reason {
            VerdictReason::Held => history.line(&judged.name).is_some(),
            _ => judged.keeps_line() || judged.drain == Drain::Promised,
        };
        if down && !keeps_line {
            continue;
        }
        let ramp = judged.ramp.filter(|_| !ramps_at_once && previous.is_none());
        let share = Share { weight: draft.weight, half: judged.verdict.placed == Placed::Half, ramp };
        drafts.push(Line { name: judged.name.clone(), draft, share, down, is_promised: judged.is_promised() });
    }
    if !drafts.iter().any(|line| !line.down) {
        return nobody(drafts, group, history);
    }
    if options.method.is_positional() {
        keep_slots(&mut drafts, &unit(group, history), history);
    }
    Want::Servers(servers(drafts, options.method.is_positional(), left_out))
}

/// Nobody is in, not even of the last good set. A promised server must be down in the file; else the file may stay.
fn nobody(drafts: Vec<Line>, group: &[Judged], history: &History) -> Want {
    if history.good().is_empty() {
        return Want::Placeholder;
    }
    let promised: HashSet<&NodeName> =
        group.iter().filter(|judged| judged.drain == Drain::Promised).map(|judged| &judged.name).collect();
    let lines: Vec<Line> = drafts.into_iter().filter(|line| promised.contains(&line.name)).collect();
    if lines.is_empty() {
        return Want::Hold(HoldReason::AllLeft);
    }
    Want::Servers(servers(lines, false, &mut Vec::new()))
}

struct Line {
    name: NodeName,
    draft: Draft,
    share: Share,
    down: bool,
    /// Whoever has its address now was promised that no request goes there.
    is_promised: bool,
}

/// Removed servers keep their place, down, because positional methods count lines. Once they outnumber those that remain,
/// the mapping is beyond saving and they go.
fn keep_slots(lines: &mut Vec<Line>, unit: &Unit, history: &History) {
    let there: HashSet<SocketAddr> = lines.iter().map(|line| line.draft.addr).collect();
    let removed: Vec<&Server> =
        history.live().into_iter().flat_map(Servers::as_slice).filter(|server| !there.contains(&server.addr)).collect();
    if removed.len() > lines.len() {
        return;
    }
    for server in removed {
        let draft = Draft::of(server);
        let share = Share { weight: unit.weight(server), half: false, ramp: None };
        lines.push(Line { name: server.member.clone(), draft, share, down: true, is_promised: false });
    }
    lines.sort_by(|a, b| a.name.cmp(&b.name));
}

/// One line per address, weights reduced, no more than fit. `lines` is sorted by name and has one that is not down.
fn servers(lines: Vec<Line>, positional: bool, left_out: &mut Vec<(NodeName, LeftOut)>) -> Servers {
    let mut lines = without_duplicates(lines, left_out);
    if lines.len() > Servers::MAX {
        lines.sort_by_key(|line| line.down);
        left_out.extend(lines.drain(Servers::MAX..).map(|line| (line.name, LeftOut::TooMany)));
    }
    let weights = weights(&lines, positional);
    let servers = lines.into_iter().zip(weights).map(|(line, weight)| Server {
        member: line.name,
        addr: line.draft.addr,
        weight,
        down: line.down,
        backup: line.draft.backup,
        max_conns: line.draft.max_conns,
    });
    Servers::new(servers.collect()).expect("not empty, not too many or heavy, no address twice, ports were checked")
}

/// Reduced by their common divisor, and in proportion where one or all together weigh too much. The same on every balancer.
///
/// While somebody gets a part of its weight, all are counted in parts. Where places do not count, those that are down have no say
/// in the divisor: else their coming and going would change the others' numbers, and nothing for anybody.
fn weights(lines: &[Line], positional: bool) -> Vec<Weight> {
    let counts = |line: &&Line| positional || !line.down;
    let in_parts = lines.iter().filter(counts).any(|line| !line.share.is_whole());
    let part = |line: &Line| if in_parts { line.share.parts() } else { line.share.weight.max(1) };
    let divisor = lines.iter().filter(counts).fold(0, |divisor, line| gcd(part(line), divisor)).max(1);
    let greatest = lines.iter().filter(counts).map(part).max().unwrap_or(1) / divisor;
    let shrunk = |weight: u32| match u32::from(Weight::MAX) {
        most if greatest > most => u64::from(weight) * u64::from(most) / u64::from(greatest),
        _ => weight.into(),
    };
    let weight = |line: &Line| Weight::clamped(u32::try_from(shrunk(part(line) / divisor)).unwrap_or(u32::MAX));
    let mut weights: Vec<Weight> = lines.iter().map(weight).collect();
    let total: u32 = weights.iter().map(|weight| u32::from(weight.get())).sum();
    if total > Servers::MAX_WEIGHT {
        // Of what is rounded down to nothing, one stays for each.
        let room = Servers::MAX_WEIGHT - u32::try_from(lines.len()).expect("lines were cut to what fits");
        weights.iter_mut().for_each(|weight| *weight = Weight::clamped(u32::from(weight.get()) * room / total));
    }
    weights
}

/// Of two members with one address the one that has a promise has the line, then the one that is in, then the first by name.
fn without_duplicates(lines: Vec<Line>, left_out: &mut Vec<(NodeName, LeftOut)>) -> Vec<Line> {
    let mut holders: HashMap<SocketAddr, ((bool, bool), NodeName)> = HashMap::with_capacity(lines.len());
    for line in &lines {
        let rank = (!line.is_promised, line.down);
        let holder = holders.entry(line.draft.addr).or_insert_with(|| (rank, line.name.clone()));
        if rank < holder.0 {
            *holder = (rank, line.name.clone());
        }
    }
    let (kept, duplicates): (Vec<Line>, Vec<Line>) =
        lines.into_iter().partition(|line| holders.get(&line.draft.addr).is_some_and(|holder| holder.1 == line.name));
    left_out.extend(duplicates.into_iter().map(|line| {
        let of = holders.get(&line.draft.addr).map_or_else(String::new, |holder| holder.1.as_str().to_owned());
        (line.name, LeftOut::Duplicate { of })
    }));
    kept
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
