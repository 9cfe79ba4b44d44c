//! Rotating keys, looking at them, and putting one into this host's ring, as clients ask for it.
//!
//! A run goes on when its client has gone: it is safe at every point, and safer at its end. The client reads its story line by
//! line, each request waiting for the next line.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::SysRng;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::clock::Calendar;
use super::joins::Missed;
use super::status::envelope;
use crate::crypto::{Key, KeyId, Keyring};
use crate::endpoint::{Endpoint, KeyChangeId};
use crate::rotate::document::{Follow, Import, Imported, KeyStatus, Line, Lines, MemberStatus, Start, Started, Status};
use crate::rotate::{End, Options, Output, Peer, Progress, Rotation};
use crate::rpc::Refusal;
use crate::rpc::refusal::Kind;
use crate::rpc::weir::{Answer, KeysStatus};
use crate::serf::{KeyOp, KeyOutcome, KeyParams, KeyringAnswer, QueryKey};
use crate::status::shell::{operand, option};
use crate::time::{Instant, millis};
use crate::wire::NodeName;

/// Members that one message names.
const MAX_NAMED: usize = 8;

/// Everything about keys that ends later.
#[derive(Debug, Default)]
pub(super) struct KeyRequests {
    run: Option<Run>,
    runs: u64,
    statuses: HashMap<QueryKey, Answer<KeysStatus>>,
    imports: HashMap<KeyChangeId, (KeyId, Answer<Import>)>,
}

/// The rotation under way, or the last one.
#[derive(Debug)]
struct Run {
    id: u64,
    rotation: Rotation,
    started: Instant,
    asking: Option<QueryKey>,
    waits_until: Option<Instant>,
    lines: Vec<Line>,
    ended: bool,
    followers: Vec<(usize, Answer<Follow>)>,
}

impl Run {
    /// Answers whoever waits for lines that there are by now.
    fn tell(&mut self) {
        for (after, answer) in std::mem::take(&mut self.followers) {
            if after < self.lines.len() || self.ended {
                let lines = self.lines.get(after..).unwrap_or_default().to_vec();
                answer.send(Ok(Lines { lines, ended: self.ended }));
            } else if !answer.is_closed() {
                self.followers.push((after, answer));
            }
        }
    }
}

impl KeyRequests {
    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.run.as_ref().and_then(|run| run.waits_until)
    }

    /// Starts a rotation. `missed` are those who should be there while nobody is.
    pub(super) fn rotate(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        start: &Start,
        missed: &[Missed],
        answer: Answer<Start>,
    ) {
        let (key, options) = match self.begun(endpoint, start, missed) {
            Ok(begun) => begun,
            Err(refusal) => return answer.send(Err(refusal)),
        };
        self.runs += 1;
        let id = self.runs;
        info!(key = %key.id(), dry_run = options.dry_run, "key rotation begins");
        let ballot = endpoint.new_ballot();
        let rotation = Rotation::start(options, key, ballot, peers(now, endpoint));
        self.run = Some(Run {
            id,
            rotation,
            started: now,
            asking: None,
            waits_until: None,
            lines: Vec::new(),
            ended: false,
            followers: Vec::new(),
        });
        answer.send(Ok(Started { rotation: id }));
        self.advance(now, endpoint);
    }

    fn begun(&self, endpoint: &Endpoint, start: &Start, missed: &[Missed]) -> Result<(Key, Options), Refusal> {
        if endpoint.keyring().is_none() {
            return Err(Refusal::new("gossip is not encrypted, there is no key to rotate").with_remedy(
                "remove encryption.seal = \"off\", 'weir keys import' the cluster's key, then restart the agents",
            ));
        }
        if self.run.as_ref().is_some_and(|run| !run.ended) {
            return Err(Refusal::new("a rotation of this agent is under way").with_remedy("wait for its end"));
        }
        let forced = |missed: &&Missed| start.force.contains(&missed.name);
        if let Some(refusal) = splits(missed.iter().filter(|missed| !forced(missed))) {
            return Err(refusal);
        }
        let force = start.force.iter().filter(|name| !missed.iter().any(|missed| missed.name == **name));
        let options = Options { absent: names(&start.absent)?, force: names(force)?, dry_run: start.dry_run };
        Ok((fresh_key()?, options))
    }

    /// Answers as soon as there is news of a rotation.
    pub(super) fn follow(&mut self, follow: Follow, answer: Answer<Follow>) {
        match self.run.as_mut().filter(|run| run.id == follow.rotation) {
            Some(run) => {
                run.followers.push((follow.after, answer));
                run.tell();
            }
            None => answer.send(Err(format!("no rotation {} on this agent", follow.rotation).into())),
        }
    }

    /// Asks every member for its ring.
    pub(super) fn status(&mut self, now: Instant, endpoint: &mut Endpoint, answer: Answer<KeysStatus>) {
        if endpoint.keyring().is_none() {
            return answer.send(Err("gossip is not encrypted, there are no keys".into()));
        }
        match endpoint.key_request(now, list()) {
            Ok(query) => drop(self.statuses.insert(query, answer)),
            Err(error) => answer.send(Err(Refusal::of(&error))),
        }
    }

    /// Puts a key into our own ring.
    pub(super) fn import(&mut self, now: Instant, endpoint: &mut Endpoint, import: &Import, answer: Answer<Import>) {
        let key = match Key::from_base64(&import.key) {
            Ok(key) => key,
            Err(error) => return answer.send(Err(error.to_string().into())),
        };
        let bytes = || Zeroizing::new(key.bytes().to_vec());
        let mut ops = vec![KeyOp::Install(bytes())];
        if !import.add {
            ops.push(KeyOp::Use(bytes()));
        }
        let id = endpoint.change_keyring(now, ops);
        self.imports.insert(id, (key.id(), answer));
    }

    /// A change of our own ring has ended. Returns whether it brought a key.
    pub(super) fn handle_changed(&mut self, endpoint: &Endpoint, id: KeyChangeId, outcome: &KeyringAnswer) -> bool {
        let Some((key, answer)) = self.imports.remove(&id) else { return false };
        let held = || endpoint.keyring().into_iter().flat_map(Keyring::keys).map(Key::id);
        answer.send(match outcome {
            KeyringAnswer::Done | KeyringAnswer::Keys(_) => {
                let others = held().filter(|held| *held != key).map(|held| held.to_string()).collect();
                Ok(Imported { id: key.to_string(), others })
            }
            KeyringAnswer::Refused(text) => Err(text.as_str().into()),
            KeyringAnswer::Unencrypted => Err(Refusal::new("this agent runs without encryption")
                .with_remedy("remove encryption.seal = \"off\" and restart it")
                .of_kind(Kind::Unencrypted)),
        });
        held().any(|held| held == key)
    }

    /// A key request has ended. Returns whether it was one of these.
    pub(super) fn handle_outcome(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        query: &QueryKey,
        outcome: &KeyOutcome,
    ) -> bool {
        if let Some(answer) = self.statuses.remove(query) {
            answer.send(Ok(keys_status(now, endpoint, outcome)));
            return true;
        }
        let Some(run) = self.run.as_mut().filter(|run| run.asking == Some(*query)) else { return false };
        run.asking = None;
        run.rotation.handle_outcome(peers(now, endpoint), outcome);
        self.advance(now, endpoint);
        true
    }

    /// Ends a pause of the rotation that is over.
    pub(super) fn handle_timeout(&mut self, now: Instant, endpoint: &mut Endpoint) {
        if let Some(run) = &mut self.run
            && run.waits_until.take_if(|until| *until <= now).is_some()
        {
            run.rotation.handle_waited(peers(now, endpoint));
            self.advance(now, endpoint);
        }
    }

    /// Does what the rotation asks for, until it waits for something.
    fn advance(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let Some(run) = &mut self.run else { return };
        while let Some(output) = run.rotation.poll_output() {
            let elapsed_ms = millis(now.since(run.started));
            match output {
                Output::Ask(params) => match endpoint.key_request(now, params) {
                    Ok(query) => run.asking = Some(query),
                    Err(error) => run.rotation.handle_unsent(peers(now, endpoint), &error),
                },
                Output::Wait(time) => run.waits_until = Some(now + time),
                Output::Progress(progress) => {
                    log_progress(&progress, elapsed_ms);
                    run.lines.push(Line::of_progress(&progress, elapsed_ms, &since()));
                }
                Output::End(end) => {
                    log_end(&end, elapsed_ms);
                    run.lines.extend(Line::of_end(&end, elapsed_ms, &since()));
                    run.ended = true;
                }
            }
        }
        run.tell();
    }
}

/// The members as a rotation sees them.
fn peers(now: Instant, endpoint: &Endpoint) -> Vec<Peer> {
    let present = endpoint.members().filter(|member| member.status.is_present());
    let taken: BTreeSet<SocketAddr> = present.map(|member| member.node.addr).collect();
    let peer = |member: &crate::serf::Member| {
        let name = &member.node.name;
        Peer {
            forced_out: endpoint.serf().was_forced_out(name.as_str()),
            replaced: !member.status.is_present() && taken.contains(&member.node.addr),
            obeys_ballots: endpoint.is_weir(name),
            ..Peer::new(member, now)
        }
    };
    endpoint.members().map(peer).collect()
}

/// Who holds what, by what members have said.
fn keys_status(now: Instant, endpoint: &Endpoint, outcome: &KeyOutcome) -> Status {
    let since = since();
    let peers: Vec<Peer> = peers(now, endpoint).into_iter().filter(Peer::counts).collect();
    let members: Vec<MemberStatus> = peers
        .iter()
        .map(|peer| {
            let said = outcome.nodes.get(&peer.name).filter(|node| node.ok);
            let id =
                |text: &String| Key::from_base64(text).map_or_else(|_| "invalid".into(), |key| key.id().to_string());
            MemberStatus {
                name: peer.name.as_str().to_owned(),
                status: peer.status.to_string(),
                holds: said.map(|node| node.keys.iter().map(id).collect()),
                seals_with: said.and_then(|node| node.primary.as_ref().map(id)),
                envelope: envelope(endpoint, &peer.name).unwrap_or_default().to_owned(),
                last_seen: (!peer.status.is_present()).then(|| since(peer.age)),
                message: outcome.nodes.get(&peer.name).map(|node| node.message.clone()).filter(|text| !text.is_empty()),
            }
        })
        .collect();
    Status { keys: key_statuses(endpoint, &members), members }
}

fn key_statuses(endpoint: &Endpoint, members: &[MemberStatus]) -> Vec<KeyStatus> {
    let mut ids: Vec<String> = Vec::new();
    let own = endpoint.keyring().into_iter().flat_map(|ring| ring.keys()).map(|key| key.id().to_string());
    for id in own.chain(members.iter().flat_map(|member| member.holds.iter().flatten().cloned())) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let status = |id: String| {
        let mut counts = endpoint.sealed().iter();
        let sealed_packets = counts.find(|(key, _)| key.to_string() == id).map_or(0, |(_, count)| *count);
        KeyStatus {
            primary_on: members.iter().filter(|member| member.seals_with.as_ref() == Some(&id)).count(),
            held_by: members.iter().filter(|member| member.holds.iter().flatten().any(|held| *held == id)).count(),
            members: members.len(),
            sealed_packets,
            worn: sealed_packets as f64 * members.len() as f64 / 2f64.powi(32),
            id,
        }
    };
    ids.into_iter().map(status).collect()
}

fn list() -> KeyParams {
    KeyParams { op: KeyOp::List, only: Vec::new(), ballot: None }
}

/// Straight from the operating system.
fn fresh_key() -> Result<Key, Refusal> {
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *bytes).map_err(|error| format!("no randomness for a key: {error}"))?;
    Key::new(&*bytes).map_err(|error| error.to_string().into())
}

fn names<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<BTreeSet<NodeName>, Refusal> {
    let name =
        |text: &String| NodeName::new(text).ok_or_else(|| format!("a member's name has {}", NodeName::RULE).into());
    texts.into_iter().map(name).collect()
}

/// A host alone would take a key of its own, and shut out those whom it only does not hear.
fn splits<'a>(missed: impl Iterator<Item = &'a Missed>) -> Option<Refusal> {
    let missed: Vec<_> = missed.take(MAX_NAMED).collect();
    let first = missed.first()?;
    let names = missed.iter().map(|missed| missed.to_string()).collect::<Vec<_>>().join(", ");
    let what = format!("nobody else is here, and a key of this host's own would shut out {names}");
    let force = missed.iter().map(|missed| option("--force", &missed.name)).collect::<Vec<_>>().join(" ");
    let remedy = format!("'weir join {}' first, or {force}", operand(&first.addr));
    Some(Refusal::new(what).with_remedy(remedy).of_kind(Kind::Harmful))
}

/// Turns an age into the time of day it began, RFC 3339.
fn since() -> impl Fn(Duration) -> String {
    let calendar = Calendar::read();
    move |age| calendar.before(age)
}

fn log_progress(progress: &Progress, elapsed_ms: u64) {
    match progress {
        Progress::Planned(plan) => {
            let wait_s = plan.wait.map_or(0, |wait| wait.as_secs());
            info!(key = %plan.new, members = plan.members.len(), wait_s, "key rotation is checked");
        }
        Progress::Confirmed { step, action, key: Some(key), confirmed, of, complete } => {
            info!(%key, ?step, ?action, confirmed, of, complete, elapsed_ms, "key rotation goes on");
        }
        Progress::Confirmed { .. } => {}
    }
}

fn log_end(end: &End, elapsed_ms: u64) {
    match end {
        End::Planned => {}
        End::Rotated { new, members, absent, .. } if absent.is_empty() => {
            info!(key = %new, members, elapsed_ms, "key rotation is complete");
        }
        End::Rotated { new, members, absent, .. } => {
            let absent = absent.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(",");
            info!(key = %new, members, absent, elapsed_ms, "key rotation is done but for who is absent");
        }
        End::Stopped(stopped) => {
            let member = stopped.who.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(",");
            warn!(key = %stopped.new, step = ?stopped.step, member, elapsed_ms, "key rotation stopped, the next run finishes it");
        }
    }
}
