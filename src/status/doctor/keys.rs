//! Whether everybody can open what everybody seals (`ux §4` rows 3 to 7).

use std::borrow::Borrow;

use super::Trouble;
use super::finding::Findings;
use crate::rotate::document::{self, KeyStatus, Status};
use crate::serf::Status as MemberStatus;
use crate::status::node::{Document, Member, RemovedKey, WORN};
use crate::status::strangers;

/// Members that one finding names.
const MAX_SHOWN: usize = 8;
/// Whoever seals with what others lack takes the key that most seal with.
const IMPORT_THERE: &str = "'weir keys export' on one of the others, 'weir keys import' there";

/// The ring on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ring {
    /// Encryption is off.
    Off,
    /// It was read: identifiers, primary first, and those of keys that look like words.
    Read { ids: Vec<String>, guessable: Vec<String>, read_only: bool },
    /// It cannot be used: what and the way out.
    Bad(Trouble),
    /// This user may not read it.
    Denied { what: String },
    /// There is no configuration that names one.
    Unknown,
}

/// What the members' rings hold, by their own word.
#[derive(Clone, Debug, PartialEq)]
pub enum Agreement {
    /// They were asked.
    Told(Status),
    /// They could not be: why.
    Failed(String),
    /// There is nobody to ask, or nothing to ask for.
    NotAsked,
}

/// Facts about keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys<'a> {
    pub ring: Ring,
    /// As it was before the agent was asked: a rotation may be under way.
    pub ring_before: Ring,
    /// `encryption.seal`, if the configuration is known.
    pub seal: Option<&'static str>,
    /// What the agent knows, if ours runs.
    pub agent: Option<&'a Document>,
    pub agreement: Agreement,
}

/// Judges them.
pub fn keys(facts: &Keys<'_>) -> Findings {
    let mut findings = Findings::default();
    judge_ring(&mut findings, &facts.ring);
    if let Some(document) = facts.agent {
        if facts.ring == facts.ring_before {
            judge_disk(&mut findings, &facts.ring, document);
        }
        judge_envelopes(&mut findings, facts.seal, document);
        judge_strangers(&mut findings, document);
    }
    match &facts.agreement {
        Agreement::Told(status) => {
            let removed = facts.agent.map_or(&[][..], |document| &document.keys.removed);
            judge_agreement(&mut findings, status, removed);
        }
        Agreement::Failed(why) => findings.skip(
            "keys.agreement",
            "keys",
            format!("which keys the members hold could not be asked: {why}"),
            "run it again",
        ),
        Agreement::NotAsked => {}
    }
    findings
}

fn judge_ring(findings: &mut Findings, ring: &Ring) {
    const ID: &str = "keys.ring";
    match ring {
        Ring::Off => findings.warn(
            ID,
            "encryption",
            "gossip is not encrypted: whoever reaches the port is a member",
            "remove encryption.seal = \"off\", 'weir keys import' the cluster's key ('weir keygen' makes one), then 'systemctl \
             restart weir'",
        ),
        Ring::Bad(Trouble { what, way_out }) => findings.error(ID, "keyring", what, way_out),
        Ring::Denied { what } => findings.skip(ID, "keyring", what, "sudo weir doctor"),
        Ring::Unknown => {}
        Ring::Read { guessable, read_only, .. } => {
            findings.pass(ID, "");
            if *read_only {
                let message =
                    "the keyring is a credential, which is read-only: a rotation lasts until the agent restarts";
                findings.info(
                    "keys.credential",
                    "keyring",
                    message,
                    "bring the new ring into the credential's source as well",
                );
            }
            for id in guessable {
                let message = format!("key {id} looks like a word: anyone may try words against recorded packets");
                findings.warn("keys.guessable", id, message, "weir keys rotate");
            }
        }
    }
}

/// The agent read the ring when it started, and writes every change of its own.
fn judge_disk(findings: &mut Findings, ring: &Ring, document: &Document) {
    let Ring::Read { ids, read_only, .. } = ring else { return };
    let in_use: Vec<&str> = document.keys.ids().collect();
    if *ids == in_use {
        return findings.pass("keys.disk", "");
    }
    let message =
        format!("the agent runs with {}, its keyring on disk has {}", list(&in_use, "no key"), list(ids, "no key"));
    let way_out = if *read_only {
        "put the ring that is in force where the credential comes from, before the agent restarts"
    } else {
        "'systemctl restart weir' takes what is on disk; or put it back"
    };
    findings.warn("keys.disk", "keyring", message, way_out);
}

fn list<T: Borrow<str>>(ids: &[T], none: &str) -> String {
    if ids.is_empty() { none.to_owned() } else { ids.join(", ") }
}

fn judge_envelopes(findings: &mut Findings, seal: Option<&str>, document: &Document) {
    const ID: &str = "keys.envelope";
    let is_other = |member: &&Member| !member.own && member.status.is(&MemberStatus::Alive);
    let encrypted = !document.keys.keys.is_empty();
    for member in document.members.iter().filter(|_| encrypted).filter(is_other) {
        let name = &member.name;
        match (member.envelope.as_deref(), seal) {
            (Some("memberlist"), Some("session")) => {
                let message =
                    format!("{name} understands only the memberlist envelope, which seal = \"session\" refuses");
                findings.error(
                    ID,
                    name,
                    message,
                    "set encryption.seal = \"auto\", then 'systemctl restart weir'; or replace it by weir",
                );
            }
            // In that mode nobody is asked what it understands.
            (Some("memberlist"), Some("memberlist")) => {}
            (Some("memberlist"), _) => {
                let message = format!("{name} understands only the memberlist envelope");
                findings.info(ID, name, message, "seal = \"session\" must wait for it");
            }
            (Some("session"), _) => findings.pass(ID, name),
            _ => {}
        }
    }
}

/// Who seals in a way that is not understood here. Its address may be forged, so it is never more than a warning.
fn judge_strangers(findings: &mut Findings, document: &Document) {
    const ID: &str = "keys.unknown";
    let mut told = strangers::heard(document, strangers::RECENT_S).peekable();
    if told.peek().is_none() {
        findings.pass(ID, "");
    }
    for stranger in told {
        let Trouble { what, way_out } = strangers::trouble(stranger, document);
        let message = format!("{what} (last {})", ago(stranger.ago_s));
        findings.warn(ID, stranger.addr.ip(), message, &way_out);
    }
}

fn ago(seconds: u64) -> String {
    if seconds < 120 { format!("{seconds} s ago") } else { format!("{} min ago", seconds / 60) }
}

fn judge_agreement(findings: &mut Findings, status: &Status, removed: &[RemovedKey]) {
    const ID: &str = "keys.agreement";
    // Where as many seal with one as with the other: the one that was not removed here, then the first.
    let was_removed = |key: &KeyStatus| removed.iter().any(|removed| removed.id == key.id);
    let main = status.keys.iter().rev().max_by_key(|key| (key.primary_on, !was_removed(key)));
    let Some(main) = main else { return };
    for member in alive(status) {
        let name = &member.name;
        let (Some(holds), Some(own)) = (&member.holds, &member.seals_with) else {
            let why = member.message.as_deref().map_or_else(String::new, |message| format!(": {message}"));
            let message = format!("{name} did not say which keys it holds{why}");
            findings.warn(ID, name, message, "run it again; 'weir reachability' shows who answers");
            continue;
        };
        let deaf = deaf_to(status, own);
        if !holds.contains(&main.id) {
            let message =
                format!("{name} lacks key {}, which others seal with: it hears them by an older key alone", main.id);
            findings.error(ID, name, message, IMPORT_THERE);
        } else if *own == main.id {
            findings.pass(ID, name);
        } else if deaf.is_empty() {
            let message = format!("{name} seals with key {own}, most members with {}", main.id);
            findings.warn(ID, name, message, "weir keys rotate");
        } else {
            let shown = deaf[..deaf.len().min(MAX_SHOWN)].join(", ");
            let more = if deaf.len() > MAX_SHOWN { " and more" } else { "" };
            let lack = if deaf.len() == 1 { "lacks" } else { "lack" };
            // It has answered: answers go under the key of the question (`session §3` rule 1).
            let message = format!(
                "{name} seals with key {own}, which {shown}{more} {lack}: it is heard by an older key alone, until it restarts"
            );
            findings.error(ID, name, message, IMPORT_THERE);
        }
    }
    judge_keys(findings, status);
}

fn alive(status: &Status) -> impl Iterator<Item = &document::MemberStatus> {
    status.members.iter().filter(|member| member.status == "alive")
}

/// Who is known to lack a key.
fn deaf_to<'a>(status: &'a Status, key: &str) -> Vec<&'a str> {
    let lacks = |member: &&document::MemberStatus| {
        member.holds.as_ref().is_some_and(|holds| !holds.iter().any(|held| held == key))
    };
    alive(status).filter(lacks).map(|member| member.name.as_str()).collect()
}

/// Keys that are to go.
fn judge_keys(findings: &mut Findings, status: &Status) {
    let extra: Vec<&str> =
        status.keys.iter().filter(|key| key.primary_on == 0 && key.held_by > 0).map(|key| key.id.as_str()).collect();
    if !extra.is_empty() {
        let seal = if extra.len() == 1 { "seals nowhere and is" } else { "seal nowhere and are" };
        let message = format!("{} {seal} still held: a rotation was not finished", extra.join(", "));
        findings.info("keys.extra", extra.join(" "), message, "weir keys rotate");
    }
    for key in &status.keys {
        if key.worn >= WORN {
            let message = format!(
                "key {} has sealed {:.0} % of what is safe in memberlist's envelope",
                key.id,
                (key.worn * 100.0).min(999.0)
            );
            findings.warn("keys.worn", &key.id, message, "weir keys rotate");
        } else {
            findings.pass("keys.worn", &key.id);
        }
    }
}

#[cfg(test)]
mod tests;
