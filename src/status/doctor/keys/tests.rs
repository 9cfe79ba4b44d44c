use super::super::finding::summary;
use super::*;
use crate::rotate::document::{KeyStatus, MemberStatus};
use crate::status::Known;
use crate::status::node::{self, Cluster, Key};

fn ids(keys: &[&str]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn facts(agent: Option<&Document>, agreement: Agreement) -> Keys<'_> {
    let ring = Ring::Read { ids: ids(&["aa"]), guessable: Vec::new(), read_only: false };
    Keys { ring, seal: Some("auto"), agent, agreement }
}

fn member(name: &str, envelope: &str) -> Member {
    Member {
        name: name.into(),
        addr: "10.0.0.1:7946".parse().unwrap(),
        status: Known::named("alive"),
        since: None,
        tags: Default::default(),
        envelope: Some(envelope.to_owned()).filter(|envelope| !envelope.is_empty()),
        own: name == "lb1",
    }
}

fn agent(members: Vec<Member>, strangers: Vec<Stranger>) -> Document {
    let keys = node::Keys { keys: vec![Key { id: "aa".into(), ..Key::default() }], failing: None };
    Document { keys, cluster: Cluster { strangers, ..Cluster::default() }, members, ..Document::default() }
}

fn holds(name: &str, keys: &[&str]) -> MemberStatus {
    MemberStatus {
        name: name.to_owned(),
        status: "alive".to_owned(),
        holds: Some(ids(keys)),
        seals_with: keys.first().map(ToString::to_string),
        envelope: "session".to_owned(),
        last_seen: None,
        message: None,
    }
}

fn status(members: Vec<MemberStatus>) -> Status {
    let mut keys: Vec<String> = members.iter().flat_map(|member| member.holds.clone().unwrap_or_default()).collect();
    keys.sort();
    keys.dedup();
    let key = |id: String| KeyStatus {
        primary_on: members.iter().filter(|member| member.seals_with.as_ref() == Some(&id)).count(),
        held_by: members.iter().filter(|member| member.holds.iter().flatten().any(|held| *held == id)).count(),
        members: members.len(),
        sealed_packets: 0,
        worn: 0.0,
        id,
    };
    Status { keys: keys.into_iter().map(key).collect(), members }
}

#[test]
fn who_cannot_hear_whom() {
    let none: &[&str] = &[];
    let agreement = |members| summary(&keys(&facts(None, Agreement::Told(status(members)))));
    for (members, found) in [
        (vec![holds("a", &["aa"]), holds("b", &["aa"])], none),
        (vec![holds("a", &["aa"]), holds("b", &["bb"])], &["error keys.agreement a", "error keys.agreement b"]),
        (
            vec![holds("a", &["aa", "bb"]), holds("b", &["bb", "aa"]), holds("c", &["aa", "bb"])],
            &["warn keys.agreement b"],
        ),
        (vec![holds("a", &["aa", "bb"]), holds("b", &["bb"])], &["error keys.agreement b"]),
        (vec![holds("a", &["aa", "bb"]), holds("b", &["aa"])], &["info keys.extra bb"]),
        (vec![MemberStatus { status: "failed".into(), ..holds("a", &["bb"]) }, holds("b", &["aa"])], none),
        (
            vec![holds("a", &["aa"]), MemberStatus { holds: None, seals_with: None, ..holds("b", &[]) }],
            &["warn keys.agreement b"],
        ),
    ] {
        assert_eq!(agreement(members.clone()), found, "{members:?}");
    }
    let failed = facts(None, Agreement::Failed("no answer".to_owned()));
    assert_eq!(summary(&keys(&failed)), ["skip keys.agreement keys"]);
}

#[test]
fn a_thousand_members_with_a_key_each_are_told_in_short_lines() {
    let members = (0..1000).map(|index| holds(&format!("m{index}"), &[&format!("{index:08x}")])).collect();
    let findings = keys(&facts(None, Agreement::Told(status(members))));
    assert!(findings.iter().all(|finding| finding.message.len() < 200 && finding.message.contains(" and more, which")));
    assert_eq!(findings.iter().count(), 1000);
}

#[test]
fn a_worn_key_is_to_be_replaced_in_time() {
    for (worn, found) in [(0.249, false), (0.25, true), (3.0, true)] {
        let mut status = status(vec![holds("a", &["aa"])]);
        status.keys[0].worn = worn;
        assert_eq!(!summary(&keys(&facts(None, Agreement::Told(status)))).is_empty(), found, "{worn}");
    }
}

#[test]
fn who_needs_the_old_envelope() {
    let members =
        vec![member("lb1", "session"), member("legacy", "memberlist"), member("web1", "session"), member("new", "")];
    let agent = agent(members, Vec::new());
    let found = |seal| summary(&keys(&Keys { seal, ..facts(Some(&agent), Agreement::NotAsked) }));
    assert_eq!(found(Some("auto")), ["info keys.envelope legacy"]);
    assert_eq!(found(Some("session")), ["error keys.envelope legacy"]);
    assert!(found(Some("memberlist")).is_empty());
}

#[test]
fn strangers_are_told_by_what_the_envelope_tells() {
    let stranger = |reason: &str, key: Option<&str>, ago_s| Stranger {
        addr: "10.0.0.1:5000".parse().unwrap(),
        reason: reason.to_owned(),
        key: key.map(ToOwned::to_owned),
        ago_s,
    };
    let say = |stranger, members| {
        let findings = keys(&facts(Some(&agent(members, vec![stranger])), Agreement::NotAsked));
        let finding = findings.iter().next().unwrap();
        format!("{} {}", finding.level.as_str(), finding.message)
    };
    let web1 = || vec![member("web1", "session")];
    for (stranger, members, said) in [
        (
            stranger("key_unknown", Some("b07e4410"), 3),
            web1(),
            "warn web1 (10.0.0.1) seals with key b07e4410, this keyring has only aa (last 3 s ago)",
        ),
        (
            stranger("not_opened", None, 599),
            vec![],
            "warn 10.0.0.1 seals with a key that is not in this keyring (aa) (last 9 min ago)",
        ),
        (
            stranger("plaintext", None, 600),
            vec![member("web1", "session"), member("web2", "session")],
            "warn 10.0.0.1 speaks without encryption and this node requires it (last 10 min ago)",
        ),
        (stranger("label", None, 0), vec![], "warn 10.0.0.1 uses another gossip.label (last 0 s ago)"),
    ] {
        assert_eq!(say(stranger, members), said);
    }
    // Long ago, and in the ring by now: mended.
    for cured in [stranger("not_opened", None, 601), stranger("key_unknown", Some("aa"), 3)] {
        let findings = keys(&facts(Some(&agent(vec![], vec![cured])), Agreement::NotAsked));
        assert!(summary(&findings).is_empty(), "{findings:?}");
    }
}

#[test]
fn the_ring_on_disk() {
    let ring = |ring| summary(&keys(&Keys { ring, ..facts(None, Agreement::NotAsked) }));
    assert_eq!(ring(Ring::Off), ["warn keys.ring encryption"]);
    assert_eq!(ring(Ring::Bad(Trouble::new("x", "y"))), ["error keys.ring keyring"]);
    assert_eq!(ring(Ring::Denied { what: "x".into() }), ["skip keys.ring keyring"]);
    let read = |read_only| Ring::Read { ids: ids(&["aa"]), guessable: ids(&["aa"]), read_only };
    assert_eq!(ring(read(true)), ["info keys.credential keyring", "warn keys.guessable aa"]);
    let other = Ring::Read { ids: ids(&["bb"]), guessable: Vec::new(), read_only: false };
    let found = keys(&Keys { ring: other, ..facts(Some(&agent(Vec::new(), Vec::new())), Agreement::NotAsked) });
    assert_eq!(summary(&found), ["warn keys.disk keyring"]);
}
