//! Membership: numbers at their end, records that wedge a cluster, and ceilings.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use weir::endpoint::Drop;
use weir::swim;
use weir::wire::message::{Alive, Dead, Incarnation, Message, NodeState, PushNode, PushPull, StreamMessage, Suspect};
use weir::wire::msgpack::Writer;

use super::victim::{Victim, alive, attacker, friend, name};

const ALIVE: u8 = 4;

/// An alive message or push/pull entry as a map, with these version bytes and address; `None` leaves the field out.
fn record(kind: u8, who: &str, addr: &[u8], versions: Option<&[u8]>) -> Vec<u8> {
    let entry = kind != ALIVE;
    let mut w = Writer::message(kind);
    w.map_header(4 + usize::from(versions.is_some()) + usize::from(entry));
    w.str("Addr").bin(addr).str("Incarnation").uint(1_u8).str(if entry { "Name" } else { "Node" }).str(who);
    w.str("Port").uint(7946_u16);
    if entry {
        w.str("State").uint(0_u8);
    }
    if let Some(versions) = versions {
        w.str("Vsn").bin(versions);
    }
    w.into_vec()
}

/// A push/pull of these entries.
fn exchange(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut w = Writer::message(6);
    w.map_header(3).str("Join").bool(true).str("Nodes").uint(entries.len() as u64).str("UserStateLen").uint(0_u8);
    for entry in entries {
        w.verbatim(&entry[1..]);
    }
    w.into_vec()
}

fn push_pull(nodes: Vec<PushNode>) -> PushPull {
    PushPull { join: true, nodes, skipped: 0, long_name: None, user_state: Bytes::new() }
}

const FORMS: [Option<&[u8]>; 4] = [None, Some(&[]), Some(&[1]), Some(&[1, 5, 2, 2, 5])];

#[test]
fn an_alive_without_all_its_versions_is_not_taken_and_not_passed_on() {
    for versions in FORMS {
        for mut victim in Victim::both() {
            victim.packet(&record(ALIVE, "mute", &[127, 0, 0, 9], versions));
            assert_eq!(victim.drops(Drop::Malformed), 1, "{versions:?}");
            assert!(!victim.knows("mute"));
            assert!(!victim.passes_on("mute"));
            victim.assert_unharmed();
        }
    }
}

#[test]
fn an_entry_without_all_its_versions_spoils_no_push_pull_and_is_not_passed_on() {
    for versions in FORMS {
        for mut victim in Victim::both() {
            let good = Some(&[1, 5, 2, 2, 5, 4][..]);
            let entries = [
                record(0, "mute", &[127, 0, 0, 9], versions),
                record(0, "good", &[127, 0, 0, 8], good),
                record(0, "longer", &[127, 0, 0, 7], Some(&[1, 5, 2, 2, 5, 4, 9, 9])),
            ];
            let answer = victim.stream(&exchange(&entries));
            assert!(matches!(answer, Some(StreamMessage::PushPull(_))), "{versions:?}");
            assert!(victim.knows("good") && victim.knows("longer") && !victim.knows("mute"), "{versions:?}");
            assert!(!victim.passes_on("mute"));
            victim.assert_unharmed();

            let mut joining = Victim::plain();
            assert_eq!(joining.join_answered(&exchange(&entries)), None, "a join succeeds in spite of it");
            assert!(joining.knows("good"));
        }
    }
}

#[test]
fn versions_that_are_zero_or_upside_down_are_not_taken() {
    for versions in [[0, 5, 2, 2, 5, 4], [1, 0, 2, 2, 5, 4], [5, 1, 2, 2, 5, 4]] {
        let mut victim = Victim::plain();
        victim.packet(&record(ALIVE, "odd", &[127, 0, 0, 9], Some(&versions)));
        victim.stream(&exchange(&[record(0, "odd", &[127, 0, 0, 9], Some(&versions))]));
        assert_eq!(victim.swim_drops(swim::Drop::Versions), 2, "{versions:?}");
        assert!(!victim.knows("odd") && !victim.passes_on("odd"));
        victim.assert_unharmed();
    }
}

fn accusations(who: &str, incarnation: u32) -> [Message; 3] {
    let (incarnation, node, from) = (Incarnation::new(incarnation), name(who), name("accuser"));
    [
        Message::Suspect(Suspect { incarnation, node: node.clone(), from: from.clone() }),
        Message::Dead(Dead { incarnation, node: node.clone(), from }),
        // As if it said itself that it leaves.
        Message::Dead(Dead { incarnation, node: node.clone(), from: node }),
    ]
}

#[test]
fn an_accusation_near_the_end_of_the_incarnations_is_not_believed_and_not_passed_on() {
    for incarnation in [u32::MAX, u32::MAX - 1, 1 << 31, 1 << 25] {
        for who in ["us", "friend"] {
            for mut victim in Victim::both() {
                let before = victim.endpoint.swim().incarnation();
                for accusation in accusations(who, incarnation) {
                    victim.message(&accusation);
                }
                for state in [NodeState::Suspect, NodeState::Dead, NodeState::Left] {
                    let addr = if who == "us" { SocketAddr::from(([127, 0, 0, 1], 7946)) } else { friend() };
                    victim.push_pull(push_pull(vec![PushNode { alive: alive(who, addr, incarnation), state }]));
                }
                assert_eq!(victim.swim_drops(swim::Drop::Incarnation), 6, "{who} {incarnation}");
                assert_eq!(victim.endpoint.swim().incarnation(), before);
                assert!(!victim.passes_on("accuser"), "{who} {incarnation}");
                victim.assert_unharmed();
            }
        }
    }
}

#[test]
fn an_alive_near_the_end_of_the_incarnations_is_not_believed_and_not_passed_on() {
    for mut victim in Victim::both() {
        let us = victim.endpoint.local().addr;
        let before = victim.endpoint.swim().incarnation();
        for (who, addr) in [("us", us), ("friend", friend()), ("nobody", attacker())] {
            let mut forged = alive(who, addr, u32::MAX);
            forged.meta = Bytes::from_static(b"forgery");
            victim.message(&Message::Alive(forged.clone()));
            victim.push_pull(push_pull(vec![PushNode { alive: forged, state: NodeState::Alive }]));
        }
        assert_eq!(victim.swim_drops(swim::Drop::Incarnation), 6);
        assert_eq!(victim.endpoint.swim().incarnation(), before);
        assert!(!victim.knows("nobody"));
        assert!(!victim.passes_on("forgery"));
        victim.assert_unharmed();
    }
}

#[test]
fn driven_to_the_end_of_the_incarnations_step_by_step_nothing_wraps() {
    let mut victim = Victim::sealed();
    let mut accused = victim.endpoint.swim().incarnation().get();
    for _ in 0..300 {
        accused = accused.saturating_add(1 << 24);
        let before = victim.endpoint.swim().incarnation();
        for accusation in accusations("us", accused) {
            victim.message(&accusation);
        }
        assert!(victim.endpoint.swim().incarnation() >= before, "it never goes back");
    }
    assert_eq!(victim.endpoint.swim().incarnation().get(), u32::MAX);
    victim.pass(Duration::from_secs(1));
    victim.assert_unharmed();
}

#[test]
fn a_stale_message_does_not_stop_a_suspicion() {
    for mut victim in Victim::both() {
        victim.friend_answers = false;
        victim.message(&Message::Alive(alive("friend", friend(), 7)));
        victim.message(&accusations("friend", 7)[0]);
        for incarnation in [0, 1, 6, 7] {
            victim.message(&Message::Alive(alive("friend", friend(), incarnation)));
            victim.message(&accusations("friend", incarnation.min(6))[1]);
        }
        assert!(victim.endpoint.swim().member(&name("friend")).unwrap().state.is_suspect());
        victim.pass(Duration::from_secs(60));
        assert!(victim.endpoint.swim().member(&name("friend")).is_none_or(|member| member.state.is_gone()));
    }
}

#[test]
fn a_v4_mapped_address_is_the_same_address() {
    for mut victim in Victim::both() {
        let mapped = |[a, b, c, d]: [u8; 4]| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
        for who in ["friend", "us"] {
            let addr = mapped([127, 0, 0, if who == "us" { 1 } else { 2 }]);
            victim.packet(&record(ALIVE, who, &addr, Some(&[1, 5, 2, 2, 5, 4])));
            victim.stream(&exchange(&[record(0, who, &addr, Some(&[1, 5, 2, 2, 5, 4]))]));
        }
        let conflict = victim.endpoint.serf().stats().queues.queries;
        assert_eq!(conflict, 0, "nobody is asked about a conflict");
        victim.packet(&record(ALIVE, "new", &mapped([127, 0, 0, 9]), Some(&[1, 5, 2, 2, 5, 4])));
        let new = victim.endpoint.swim().member(&name("new")).unwrap();
        assert_eq!(new.node.addr, SocketAddr::from(([127, 0, 0, 9], 7946)));
        victim.assert_unharmed();
    }
}

#[test]
fn our_name_at_another_address_takes_nothing_from_us() {
    for mut victim in Victim::both() {
        let before = victim.endpoint.swim().incarnation();
        victim.message(&Message::Alive(alive("us", attacker(), 1 << 20)));
        victim.message(&Message::Alive(alive("friend", attacker(), 1 << 20)));
        assert_eq!(victim.endpoint.swim().incarnation(), before);
        assert_eq!(victim.endpoint.swim().member(&name("friend")).unwrap().node.addr, friend());
        victim.assert_unharmed();
    }
}

#[test]
fn ever_new_members_fill_the_table_to_its_ceiling_and_their_broadcasts_with_it() {
    let mut victim = Victim::new(None, |options| options.swim.max_members = 500);
    for at in 0..3000_u32 {
        let addr = SocketAddr::from(([127, 8, (at >> 8) as u8, at as u8], 7946));
        victim.message(&Message::Alive(alive(&format!("m{at}"), addr, 1)));
        victim.message(&accusations(&format!("m{at}"), 1)[0]);
    }
    assert_eq!(victim.endpoint.swim().len(), 500);
    assert!(victim.endpoint.swim().queue().len() <= 500);
    assert_eq!(victim.swim_drops(swim::Drop::NotAdmitted), 3000 - 498);
    victim.assert_unharmed();
}

#[test]
fn an_alive_of_incarnation_zero_leaves_no_record_that_never_lives() {
    for mut victim in Victim::both() {
        victim.message(&Message::Alive(alive("zero", attacker(), 0)));
        victim.push_pull(push_pull(vec![PushNode { alive: alive("zero", attacker(), 0), state: NodeState::Alive }]));
        assert_eq!(victim.swim_drops(swim::Drop::NotAdmitted), 2);
        assert!(!victim.knows("zero") && !victim.passes_on("zero"));
    }
}

#[test]
fn news_about_strangers_has_no_effect() {
    for mut victim in Victim::both() {
        for accusation in accusations("stranger", 1) {
            victim.message(&accusation);
        }
        for state in [NodeState::Suspect, NodeState::Dead, NodeState::Left] {
            victim.push_pull(push_pull(vec![PushNode { alive: alive("stranger", attacker(), 1), state }]));
        }
        assert!(!victim.knows("stranger"));
        assert!(!victim.passes_on("stranger"));
        victim.assert_unharmed();
    }
}

/// Receivers check no metadata (`memberlist §2.2`). Its news would stay queued, and gossip at its fastest, for as long as the member lives.
#[test]
fn a_member_whose_metadata_no_packet_holds_is_known_and_not_gossiped() {
    for mut victim in Victim::both() {
        let meta = Bytes::from(vec![b'x'; 2000]);
        victim.message(&Message::Alive(Alive { meta, ..alive("large", SocketAddr::from(([127, 0, 0, 9], 7946)), 1) }));
        assert!(victim.knows("large"));
        assert_eq!(victim.swim_drops(swim::Drop::Oversize), 1);
        assert!(victim.endpoint.swim().queue().is_empty());
    }
}
