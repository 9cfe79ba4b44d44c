//! Who speaks to this node and is not understood: who that may be, what it means, and which side has to do something about it
//! (`ux §4` rows 3 to 5). Addresses may be forged, so it is a hint and never more.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use super::node::{Document, HEARD_S, Member, Stranger};
use super::{Presence, Standing, Trouble, Voter};
use crate::serf::Status as MemberStatus;

/// A stranger that was heard this recently is still there. What lies further back may have been put right since.
pub(crate) const RECENT_S: u64 = 600;

/// Those that were heard within so many seconds and are still not understood, one for each host as a rule.
pub(crate) fn heard(document: &Document, within_s: u64) -> impl Iterator<Item = &Stranger> {
    let heard = move || {
        let is_heard = move |stranger: &&Stranger| stranger.ago_s <= within_s && !is_cured(stranger, document);
        document.cluster.strangers.iter().filter(is_heard)
    };
    // A host is heard by packet and by stream: of what it says of itself, the key says most.
    let is_known_better = move |stranger: &Stranger| {
        let named = |other: &Stranger| other.addr.ip() == stranger.addr.ip() && other.key.is_some();
        stranger.reason == "not_opened" && heard().any(named)
    };
    heard().filter(move |stranger| !is_known_better(stranger))
}

/// Whether it is not understood for its key.
pub(crate) fn is_about_keys(stranger: &Stranger) -> bool {
    matches!(stranger.reason.as_str(), "key_unknown" | "not_opened")
}

/// Its key is here by now.
fn is_cured(stranger: &Stranger, document: &Document) -> bool {
    stranger.key.as_deref().is_some_and(|key| document.keys.ids().any(|held| held == key))
}

/// Says of each what it means, for whoever reads the document. Its members have to be there.
pub(crate) fn explain(document: &mut Document) {
    let told: Vec<(Trouble, bool)> = document.cluster.strangers.iter().map(|each| of(each, document)).collect();
    for (stranger, (trouble, member)) in document.cluster.strangers.iter_mut().zip(told) {
        (stranger.trouble, stranger.member) = (Some(trouble), member);
    }
}

/// What it means that `stranger` is not understood, and the way out.
pub(crate) fn trouble(stranger: &Stranger, document: &Document) -> Trouble {
    of(stranger, document).0
}

/// The same, and whether it is or was a member.
fn of(stranger: &Stranger, document: &Document) -> (Trouble, bool) {
    let ring: Vec<&str> = document.keys.ids().collect();
    let who = who(stranger, document);
    let removed = document.keys.removed.iter().find(|removed| stranger.key.as_ref() == Some(&removed.id));
    let removed = removed.map(|removed| removed.members);
    // Who joined nobody is not one that others should follow.
    let called = !document.cluster.join_failures.is_empty();
    let is_it = |addr: SocketAddr| addr.ip() == stranger.addr.ip();
    let standing = Standing::of(voters(document), is_it, called, removed, &alike(stranger, document));
    let standing = Standing { unheard: stranger.unheard, ..standing };
    let wanted = |way_out: &str| {
        if standing.member { way_out.to_owned() } else { format!("if it is to be a member: {way_out}") }
    };
    let trouble = match (stranger.reason.as_str(), &stranger.key) {
        ("key_unknown" | "not_opened", key) => {
            standing.importer().lacked_key(&who, key.as_ref().map(|key| key as &dyn Display), &ring)
        }
        ("plaintext", _) => Trouble::new(
            format!("{who} speaks without encryption and this node requires it"),
            wanted("give it the cluster key (serf: -keyring-file)"),
        ),
        ("encrypted", _) => {
            Trouble::new(format!("{who} speaks encrypted and this node has no key"), wanted("'weir keys import' here"))
        }
        ("label", _) => Trouble::new(format!("{who} uses another gossip.label"), wanted("set the same on both")),
        ("form", _) => Trouble::new(
            format!("{who} uses an envelope that encryption.seal refuses here"),
            wanted("set encryption.seal = \"auto\" on both, or replace it by weir"),
        ),
        (reason, _) => Trouble::new(format!("{who} is not understood ({reason})"), ""),
    };
    (trouble, standing.member)
}

/// Others that seal as `stranger` does.
fn alike(stranger: &Stranger, document: &Document) -> Vec<IpAddr> {
    let is_alike = |other: &&Stranger| {
        other.addr.ip() != stranger.addr.ip()
            && (&other.reason, &other.key) == (&stranger.reason, &stranger.key)
            && other.ago_s <= HEARD_S.max(stranger.ago_s)
    };
    document.cluster.strangers.iter().filter(is_alike).map(|other| other.addr.ip()).collect()
}

/// Everybody whom the agent knows.
fn voters(document: &Document) -> impl Iterator<Item = Voter> + '_ {
    let member = |member: &Member| {
        let presence = match member.status.word() {
            _ if member.own => Presence::Own,
            Some(MemberStatus::Alive | MemberStatus::Leaving) => Presence::Present,
            Some(MemberStatus::Failed) | None => Presence::Failed,
            Some(MemberStatus::Left) => Presence::Left,
        };
        Voter { addr: member.addr, presence }
    };
    let unfound = document.cluster.unfound.iter();
    let missing = unfound.map(|unfound| Voter { addr: unfound.addr, presence: Presence::Unfound });
    let is_known = |addr: IpAddr| {
        let members = document.members.iter().map(|member| member.addr);
        members.chain(document.cluster.unfound.iter().map(|unfound| unfound.addr)).any(|known| known.ip() == addr)
    };
    let named = document.cluster.apart().iter().filter(move |refused| !is_known(refused.addr.ip()));
    let named = named.map(|refused| Voter { addr: refused.addr, presence: Presence::Unfound });
    document.members.iter().map(member).chain(missing).chain(named)
}

/// `web1 (10.77.0.12)` where the address is a member's.
fn who(stranger: &Stranger, document: &Document) -> String {
    let ip = stranger.addr.ip();
    let members = document.members.iter().filter(|member| !member.own).map(|member| (&member.name, member.addr));
    let unfound = document.cluster.unfound.iter().map(|unfound| (&unfound.name, unfound.addr));
    let mut at = members.chain(unfound).filter(|(_, addr)| addr.ip() == ip);
    match (at.next(), at.next()) {
        (Some((name, _)), None) => format!("{name} ({ip})"),
        _ => ip.to_string(),
    }
}
