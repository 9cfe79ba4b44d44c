use super::super::finding::summary;
use super::*;
use crate::rotate::document::{KeyStatus, MemberStatus};
use crate::status::Known;
use crate::status::node::{self, Cluster, Key, Stranger};

fn ids(keys: &[&str]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

fn facts(agent: Option<&Document>, agreement: Agreement) -> Keys<'_> {
    let ring = Ring::Read { ids: ids(&["aa"]), guessable: Vec::new(), read_only: false };
    Keys { ring_before: ring.clone(), ring, seal: Some("auto"), agent, agreement }
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
    let keys = node::Keys { keys: vec![Key { id: "aa".into(), ..Key::default() }], ..node::Keys::default() };
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
        (vec![holds("a", &["aa"]), holds("b", &["bb"])], &["error keys.agreement b"]),
        // Not the many who lack a key of one, and not those whom it hears either.
        (
            vec![holds("a", &["bb"]), holds("b", &["aa"]), holds("c", &["aa"]), holds("d", &["aa"])],
            &["error keys.agreement a"],
        ),
        (vec![holds("a", &["bb", "aa"]), holds("b", &["aa"]), holds("c", &["aa", "bb"])], &["error keys.agreement a"]),
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
    assert!(findings.iter().all(|finding| finding.message.len() < 200));
    assert_eq!(findings.iter().count(), 999);
    // One key of its own, held by the others' side of it.
    let others = (0..1000).map(|index| holds(&format!("m{index}"), &["aa"]));
    let members = std::iter::once(holds("odd", &["bb", "aa"])).chain(others).collect();
    let findings = keys(&facts(None, Agreement::Told(status(members))));
    let message = &findings.iter().next().unwrap().message;
    assert!(
        message.len() < 200 && message.contains("m7 and more lack: it is heard by an older key alone"),
        "{message}"
    );
}

#[test]
fn of_two_the_one_with_the_removed_key_is_to_import() {
    for (removed, subject) in [("aa", "a"), ("bb", "b")] {
        let mut agent = agent(Vec::new(), Vec::new());
        agent.keys.removed = vec![node::RemovedKey { id: removed.into(), members: 2 }];
        let told = Agreement::Told(status(vec![holds("a", &["aa"]), holds("b", &["bb"])]));
        let found = summary(&keys(&Keys { ring: Ring::Unknown, ..facts(Some(&agent), told) }));
        assert_eq!(found, [format!("error keys.agreement {subject}")]);
    }
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

fn stranger(reason: &str, key: Option<&str>, ago_s: u64) -> Stranger {
    let addr = "10.0.0.1:5000".parse().unwrap();
    let (reason, key) = (reason.to_owned(), key.map(ToOwned::to_owned));
    Stranger { addr, reason, key, ago_s, unheard: 0, member: false, trouble: None }
}

/// lb1 with members at 10.0.0.1 and so on, of this status.
fn cluster(members: &[(&str, &str)], strangers: Vec<Stranger>) -> Document {
    let own = Member { addr: "10.0.0.9:7946".parse().unwrap(), ..member("lb1", "session") };
    let others = members.iter().enumerate().map(|(index, (name, status))| Member {
        addr: format!("10.0.0.{}:7946", index + 1).parse().unwrap(),
        status: Known::named(status),
        ..member(name, "session")
    });
    agent(std::iter::once(own).chain(others).collect(), strangers)
}

fn first(document: &Document) -> String {
    let findings = keys(&facts(Some(document), Agreement::NotAsked));
    let finding = findings.iter().next().unwrap();
    format!("{} {}; {}", finding.level.as_str(), finding.message, finding.remedy.as_deref().unwrap_or_default())
}

#[test]
fn a_document_says_of_each_stranger_what_it_means_and_whether_it_is_missed() {
    for (members, missed, said) in [
        (&[("web1", "failed")][..], true, "web1 (10.0.0.1) seals with key b07e4410, this keyring has only aa"),
        (&[], false, "10.0.0.1 is no member and seals with key b07e4410, this keyring has only aa"),
    ] {
        let mut document = cluster(members, vec![stranger("key_unknown", Some("b07e4410"), 3)]);
        strangers::explain(&mut document);
        let told = &document.cluster.strangers[0];
        assert_eq!((told.member, told.trouble.as_ref().unwrap().what.as_str()), (missed, said));
    }
}

#[test]
fn strangers_are_told_by_what_the_envelope_tells() {
    let away: &[(&str, &str)] = &[("web1", "failed"), ("web2", "failed")];
    let most: &[(&str, &str)] = &[("web1", "failed"), ("web2", "alive")];
    for (stranger, members, said) in [
        (
            stranger("key_unknown", Some("b07e4410"), 3),
            away,
            "warn web1 (10.0.0.1) seals with key b07e4410, this keyring has only aa (last 3 s ago); 'weir keys export' \
             there, 'weir keys import' here",
        ),
        (
            stranger("key_unknown", Some("b07e4410"), 3),
            most,
            "warn web1 (10.0.0.1) was shut out: it seals with b07e4410, which nobody else has (last 3 s ago); 'weir keys \
             export' here, 'weir keys import' there",
        ),
        (
            stranger("key_unknown", Some("b07e4410"), 3),
            &[],
            "warn 10.0.0.1 is no member and seals with key b07e4410, this keyring has only aa (last 3 s ago); if it is to \
             be one: 'weir keys export' here, 'weir keys import' there",
        ),
        (
            stranger("not_opened", None, 599),
            away,
            "warn web1 (10.0.0.1) seals with a key that this keyring lacks (it has aa) (last 9 min ago); 'weir keys export' \
             (serf keys -list) there, 'weir keys import' here",
        ),
        (
            stranger("plaintext", None, 600),
            most,
            "warn web1 (10.0.0.1) speaks without encryption and this node requires it (last 10 min ago); give it the \
             cluster key (serf: -keyring-file)",
        ),
        (
            stranger("plaintext", None, 600),
            &[],
            "warn 10.0.0.1 speaks without encryption and this node requires it (last 10 min ago); if it is to be a \
             member: give it the cluster key (serf: -keyring-file)",
        ),
        (
            stranger("label", None, 0),
            &[],
            "warn 10.0.0.1 uses another gossip.label (last 0 s ago); if it is to be a member: set the same on both",
        ),
    ] {
        assert_eq!(first(&cluster(members, vec![stranger])), said);
    }
    // Who is shut out, joins nobody and hears a member that it never knew.
    let mut alone = cluster(&[], vec![stranger("key_unknown", Some("b07e4410"), 3)]);
    alone.cluster.join_failures.push(Trouble::new("10.0.0.2 seals with key b07e4410", "'weir keys export' there"));
    assert_eq!(
        first(&alone),
        "warn 10.0.0.1 seals with key b07e4410, this keyring has only aa (last 3 s ago); 'weir keys export' there, 'weir \
         keys import' here"
    );
    // More than one has it, and hears us by an older one meanwhile: a rotation went on without us. The other three are heard soon.
    let others = [1, 2].map(|host| {
        let addr = format!("10.0.0.{host}:7946").parse().unwrap();
        Stranger { addr, ..stranger("key_unknown", Some("b07e4410"), 3) }
    });
    let members = ["web1", "web2", "web3", "web4", "web5"].map(|name| (name, "alive"));
    let absent = cluster(&members, others.to_vec());
    let findings = keys(&facts(Some(&absent), Agreement::NotAsked));
    for (finding, who) in findings.iter().zip(["web1 (10.0.0.1)", "web2 (10.0.0.2)"]) {
        let said = format!("{who} seals with key b07e4410, this keyring has only aa (last 3 s ago)");
        assert_eq!(finding.message, said);
        assert_eq!(finding.remedy.as_deref(), Some("'weir keys export' there, 'weir keys import' here"));
    }
    assert_eq!(summary(&findings).len(), 2);
    // Long ago, and in the ring by now: mended.
    for cured in [stranger("not_opened", None, 601), stranger("key_unknown", Some("aa"), 3)] {
        let findings = keys(&facts(Some(&agent(vec![], vec![cured])), Agreement::NotAsked));
        assert!(summary(&findings).is_empty(), "{findings:?}");
    }
    // Heard both ways, told once.
    let twice = vec![stranger("not_opened", None, 4), stranger("key_unknown", Some("b07e4410"), 3)];
    let findings = keys(&facts(Some(&cluster(most, twice)), Agreement::NotAsked));
    assert_eq!(summary(&findings), ["warn keys.unknown 10.0.0.1"]);
}

#[test]
fn a_key_that_was_removed_here_is_not_brought_back() {
    let mut lone = cluster(&[("web1", "failed")], vec![stranger("key_unknown", Some("b07e4410"), 3)]);
    assert!(first(&lone).ends_with("'weir keys export' there, 'weir keys import' here"), "{}", first(&lone));
    lone.keys.removed = vec![node::RemovedKey { id: "b07e4410".into(), members: 1 }];
    assert!(first(&lone).ends_with("'weir keys export' here, 'weir keys import' there"), "{}", first(&lone));
}

#[test]
fn who_is_known_from_an_earlier_run_alone_is_a_member() {
    let mut lone = cluster(&[], vec![stranger("key_unknown", Some("b07e4410"), 3)]);
    lone.cluster.unfound = vec![node::Unfound { name: "web1".into(), addr: "10.0.0.1:7946".parse().unwrap() }];
    assert!(first(&lone).starts_with("warn web1 (10.0.0.1) seals with key b07e4410"), "{}", first(&lone));
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
    let agent = agent(Vec::new(), Vec::new());
    let meanwhile = Keys { ring: other.clone(), ..facts(Some(&agent), Agreement::NotAsked) };
    assert_eq!(summary(&keys(&meanwhile)), Vec::<String>::new(), "a rotation is under way");
    let found = keys(&Keys { ring_before: other, ..meanwhile });
    assert_eq!(summary(&found), ["warn keys.disk keyring"]);
}
