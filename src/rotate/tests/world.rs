//! Members with their rings, and what is on its way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;

use super::super::*;
use crate::crypto::Keyring;
use crate::serf::{KeyOp, LamportTime, Status};

pub(super) fn key(fill: u8) -> Key {
    let mut bytes = [fill; 32];
    bytes[0] = !fill;
    Key::new(&bytes).unwrap()
}

pub(super) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// Rings by the numbers of their keys.
pub(super) fn ring(keys: &[u8]) -> Keyring {
    Keyring::new(key(keys[0]), keys[1..].iter().map(|&fill| key(fill)))
}

/// What of a ring outlives a restart.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    File(Keyring),
    /// A read-only credential: the member obeys in memory and says "not kept".
    Credential(Keyring),
    /// Serf without `keyring_file`: obeys in memory and says nothing.
    CommandLine(Keyring),
}

#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) weir: bool,
    pub(super) ring: Keyring,
    pub(super) kept: Kept,
    pub(super) status: Status,
    pub(super) age: Duration,
    pub(super) forced_out: bool,
    pub(super) replaced: bool,
    /// Whether it runs and can be reached, whatever the others believe.
    pub(super) up: bool,
    pub(super) ballot: Option<Ballot>,
    pub(super) kept_ballot: Option<Ballot>,
    /// The failed idea: ballots are not written down.
    pub(super) forgets_ballots: bool,
    /// Most keys that its lists show.
    pub(super) shows: usize,
}

impl Host {
    pub(super) fn weir(keys: &[u8]) -> Self {
        let ring = ring(keys);
        Self {
            weir: true,
            kept: Kept::File(ring.clone()),
            ring,
            status: Status::Alive,
            age: Duration::from_secs(60),
            forced_out: false,
            replaced: false,
            up: true,
            ballot: None,
            kept_ballot: None,
            forgets_ballots: false,
            shows: usize::MAX,
        }
    }

    pub(super) fn serf(keys: &[u8]) -> Self {
        Self { weir: false, ..Self::weir(keys) }
    }

    pub(super) fn credential(keys: &[u8]) -> Self {
        Self { kept: Kept::Credential(ring(keys)), ..Self::weir(keys) }
    }

    pub(super) fn failed(self) -> Self {
        Self { status: Status::Failed, up: false, ..self }
    }

    pub(super) fn restart(&mut self) {
        let (Kept::File(ring) | Kept::Credential(ring) | Kept::CommandLine(ring)) = &self.kept;
        self.ring = ring.clone();
        self.ballot = self.kept_ballot;
    }

    /// A member's side of `protocols B.2`.
    fn obey(&mut self, params: &KeyParams) -> KeyNode {
        let refused = |message: &str| KeyNode { message: message.into(), ..KeyNode::default() };
        let Some(bytes) = params.op.key() else { return self.list() };
        if self.weir
            && let Some(ballot) = params.ballot
        {
            if let Some(held) = self.ballot.filter(|held| ballot < *held) {
                return KeyNode { superseded_by: Some(held), ..refused("superseded by a rotation from op") };
            }
            self.ballot = Some(ballot);
            if !self.forgets_ballots {
                self.kept_ballot = Some(ballot);
            }
        }
        let key = Key::new(bytes).unwrap();
        let changed = match params.op {
            KeyOp::Install(_) => Ok(self.ring.install(key.clone())),
            KeyOp::Use(_) => self.ring.use_key(&key),
            KeyOp::Remove(_) => self.ring.remove(&key),
            KeyOp::List => Ok(false),
        };
        if let Err(error) = changed {
            return refused(&error.to_string());
        }
        match &mut self.kept {
            Kept::File(file) => *file = self.ring.clone(),
            Kept::Credential(kept) if *kept != self.ring => return refused("not kept"),
            Kept::Credential(_) | Kept::CommandLine(_) => {}
        }
        KeyNode { ok: true, ..KeyNode::default() }
    }

    fn list(&self) -> KeyNode {
        let text = |key: &Key| base64::engine::general_purpose::STANDARD.encode(key.bytes());
        let keys: Vec<String> = self.ring.keys().iter().map(text).collect();
        let cut = keys.len() > self.shows;
        KeyNode {
            ok: true,
            message: if cut { "truncated key list response".into() } else { String::new() },
            primary: keys.first().cloned(),
            keys: keys.into_iter().take(self.shows).collect(),
            superseded_by: None,
            keeps_ballots: self.weir,
        }
    }

    fn reads(&self, other: &Self) -> bool {
        self.ring.keys().contains(other.ring.primary())
    }
}

/// All members by name. Every change is followed by a look at what has to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) hosts: BTreeMap<NodeName, Host>,
    /// Requests that somebody did not get, and may still get.
    pub(super) late: Vec<(NodeName, KeyParams)>,
    /// Some member was named absent: weir members answer in the key they were asked in.
    pub(super) absent_allowed: bool,
    /// A test of what goes wrong looks for itself.
    pub(super) unguarded: bool,
}

/// One operator's run and what it said.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) rotation: Rotation,
    pub(super) progress: Vec<Progress>,
    pub(super) waits: Vec<Duration>,
    pub(super) asked: Vec<KeyParams>,
    pub(super) end: Option<End>,
}

impl World {
    pub(super) fn new(hosts: impl IntoIterator<Item = (&'static str, Host)>) -> Self {
        let hosts = hosts.into_iter().map(|(text, host)| (name(text), host)).collect();
        Self { hosts, ..Self::default() }
    }

    pub(super) fn host(&mut self, text: &str) -> &mut Host {
        self.hosts.get_mut(text).unwrap()
    }

    pub(super) fn peers(&self) -> Vec<Peer> {
        let peer = |(name, host): (&NodeName, &Host)| Peer {
            name: name.clone(),
            status: host.status,
            age: host.age,
            forced_out: host.forced_out,
            replaced: host.replaced,
            // As right after a restart: who answers has to say it.
            obeys_ballots: host.weir && !host.status.is_present(),
        };
        self.hosts.iter().map(peer).collect()
    }

    /// A run that brings key `number` under a ballot of that time.
    pub(super) fn operator(&self, number: u8, options: Options) -> Operator {
        let ballot = Ballot::new(LamportTime(number.into()), [0; 4]);
        let rotation = Rotation::start(options, key(number), ballot, self.peers());
        Operator { rotation, progress: Vec::new(), waits: Vec::new(), asked: Vec::new(), end: None }
    }

    /// The operator's next request; `None` once it has ended. Waits pass at once.
    pub(super) fn next_request(&self, operator: &mut Operator) -> Option<KeyParams> {
        while let Some(output) = operator.rotation.poll_output() {
            match output {
                Output::Ask(params) => {
                    operator.asked.push(params.clone());
                    return Some(params);
                }
                Output::Wait(time) => {
                    operator.waits.push(time);
                    operator.rotation.handle_waited(self.peers());
                }
                Output::Progress(progress) => operator.progress.push(progress),
                Output::End(end) => operator.end = Some(end),
            }
        }
        assert!(operator.end.is_some(), "a run that asks nothing has ended");
        None
    }

    pub(super) fn addressees(&self, params: &KeyParams) -> Vec<NodeName> {
        self.hosts.keys().filter(|name| params.only.is_empty() || params.only.contains(name)).cloned().collect()
    }

    /// Delivers a request to a member, which may be late or a repetition.
    pub(super) fn deliver(&mut self, to: &NodeName, params: &KeyParams) -> Option<KeyNode> {
        let host = self.hosts.get_mut(to).filter(|host| host.up)?;
        let answer = host.obey(params);
        self.check();
        Some(answer)
    }

    /// Delivers a request to those of its addressees that `reaches` says and brings their answers back; the others may get
    /// it later.
    pub(super) fn carry(
        &mut self,
        operator: &mut Operator,
        params: &KeyParams,
        mut reaches: impl FnMut(&NodeName) -> bool,
    ) {
        let mut outcome = KeyOutcome::default();
        for to in self.addressees(params) {
            match if reaches(&to) { self.deliver(&to, params) } else { None } {
                Some(answer) => {
                    outcome.nodes.insert(to, answer);
                }
                None => {
                    self.late.push((to.clone(), params.clone()));
                    outcome.missing.insert(to);
                }
            }
        }
        operator.rotation.handle_outcome(self.peers(), &outcome);
    }

    /// Runs an operator to its end, whoever is up gets everything.
    pub(super) fn finish(&mut self, operator: &mut Operator) -> End {
        while let Some(params) = self.next_request(operator) {
            self.carry(operator, &params, |_| true);
        }
        operator.end.clone().unwrap()
    }

    /// Runs an operator until its next request is one of `step`, which is returned and not sent.
    pub(super) fn run_to(&mut self, operator: &mut Operator, is_it: impl Fn(&KeyOp) -> bool) -> KeyParams {
        while let Some(params) = self.next_request(operator) {
            if is_it(&params.op) {
                return params;
            }
            self.carry(operator, &params, |_| true);
        }
        panic!("ended before: {:?}", operator.end);
    }

    pub(super) fn rotate(&mut self, number: u8, options: Options) -> End {
        let mut operator = self.operator(number, options);
        self.finish(&mut operator)
    }

    /// Safety of `protocols B.4`: any two members that run can talk.
    fn check(&self) {
        if let Some(text) = self.broken().filter(|_| !self.unguarded) {
            panic!("{text}\n{self:#?}");
        }
    }

    /// Two members that cannot talk, if there are any.
    pub(super) fn broken(&self) -> Option<String> {
        let up: Vec<_> = self.hosts.iter().filter(|(_, host)| host.up).collect();
        for (index, (a_name, a)) in up.iter().enumerate() {
            for (b_name, b) in &up[index + 1..] {
                let directly = a.reads(b) && b.reads(a);
                let in_its_key = a.weir && a.reads(b) || b.weir && b.reads(a);
                let can_talk = directly || self.absent_allowed && in_its_key;
                if !can_talk {
                    return Some(format!("{a_name} and {b_name} cannot talk"));
                }
            }
        }
        None
    }

    /// Everybody up has just this key.
    pub(super) fn assert_only(&self, number: u8) {
        for (name, host) in self.hosts.iter().filter(|(_, host)| host.up) {
            assert_eq!(host.ring, ring(&[number]), "{name}");
        }
    }
}

pub(super) fn absent(names: &[&str]) -> Options {
    Options { absent: set(names), ..Options::default() }
}

pub(super) fn force(names: &[&str]) -> Options {
    Options { force: set(names), ..Options::default() }
}

fn set(names: &[&str]) -> BTreeSet<NodeName> {
    names.iter().map(|text| name(text)).collect()
}

/// Where a run stopped and because of whom.
pub(super) fn stopped(end: &End) -> (Step, Vec<&str>) {
    match end {
        End::Stopped(stopped) => (stopped.step, stopped.who.iter().map(|(name, _)| name.as_str()).collect()),
        other => panic!("{other:?}"),
    }
}

/// Who has not followed a run that has otherwise ended well.
pub(super) fn without(end: &End) -> Vec<&str> {
    match end {
        End::Rotated { absent, .. } => absent.iter().map(|(name, _)| name.as_str()).collect(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn is_rotated(end: &End) -> bool {
    matches!(end, End::Rotated { absent, .. } if absent.is_empty())
}
