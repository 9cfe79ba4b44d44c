use proptest::prelude::*;

use super::super::record::tests::any_record;
use super::*;
use crate::serf::{LamportTime, SeenClocks};
use crate::wire::NodeName;
use crate::wire::message::Incarnation;

const RULES: Rules =
    Rules { rejoin_after_leave: true, failed_for: Duration::from_secs(86_400), now: UnixTime(1_000_000) };

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn alive(text: &str, i: u8, at: u64) -> Record {
    Record::Alive { name: name(text), addr: ([127, 0, 0, i], 7946).into(), at: UnixTime(at) }
}

fn failed(text: &str, i: u8, at: u64) -> Record {
    let meta = bytes::Bytes::from_static(b"\xff\x80");
    Record::Failed { name: name(text), addr: ([127, 0, 0, i], 7946).into(), at: UnixTime(at), meta }
}

fn clocks(member: u64, event: u64, query: u64) -> Record {
    let [member, event, query] = [member, event, query].map(LamportTime);
    Record::Clocks(SeenClocks { member, event, query })
}

fn file(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    records.iter().for_each(|record| record.write(&mut bytes));
    bytes
}

fn state(records: &[Record]) -> State {
    let mut state = State::default();
    records.iter().cloned().for_each(|record| state.apply(record));
    state
}

/// Offsets at which the lines of a file end.
fn ends(bytes: &[u8]) -> Vec<usize> {
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i + 1).collect()
}

fn sample() -> Vec<Record> {
    vec![
        Record::Header,
        Record::Incarnation(Incarnation::new(3)),
        alive("a", 1, 10),
        clocks(5, 0, 2),
        alive("b c", 2, 20),
        failed("a", 1, 999_000),
        Record::Tags(Some([("role".into(), "web".into())].into())),
        Record::Gone { name: name("b c") },
        alive("d", 4, 30),
        clocks(4, 7, 2),
        Record::Leave,
    ]
}

#[test]
fn records_add_up_to_the_state() {
    let replay = Replay::read(&file(&sample()), RULES);
    assert!(replay.is_sound());
    let state = &replay.state;
    assert_eq!((state.incarnation().get(), state.left(), state.tags().unwrap().len()), (3, true, 1));
    assert_eq!(state.clocks(), SeenClocks { member: LamportTime(5), event: LamportTime(7), query: LamportTime(2) });
    let order: Vec<_> = state.dial_order(&name("x")).iter().map(|peer| peer.name.as_str().to_owned()).collect();
    assert_eq!(order, ["d", "a"], "the alive before the failed");
    let restored = state.failed_members(RULES.now);
    assert_eq!(restored.len(), 1);
    assert_eq!((restored[0].node.name.as_str(), restored[0].age), ("a", Duration::from_secs(1000)));
}

#[test]
fn the_latest_seen_are_dialled_first_and_never_ourselves() {
    let records =
        [Record::Header, alive("a", 1, 50), alive("b", 2, 40), alive("me", 9, 60), failed("c", 3, 1), alive("a", 1, 0)];
    let state = state(&records);
    let order: Vec<_> = state.dial_order(&name("me")).iter().map(|peer| peer.name.as_str().to_owned()).collect();
    assert_eq!(order, ["a", "b", "c"], "by the order of records, whatever the wall clock did");
}

#[test]
fn a_leave_forgets_members_only_if_they_are_not_to_be_rejoined_and_never_clocks() {
    let bytes = file(&[
        Record::Header,
        alive("a", 1, 10),
        clocks(5, 6, 7),
        Record::Incarnation(Incarnation::new(4)),
        Record::Leave,
    ]);
    for (rejoin_after_leave, members) in [(true, 1), (false, 0)] {
        let replay = Replay::read(&bytes, Rules { rejoin_after_leave, ..RULES });
        assert_eq!((replay.state.len(), replay.state.left()), (members, true));
        assert_eq!((replay.state.clocks().query.0, replay.state.incarnation().get()), (7, 4));
    }
}

#[test]
fn members_that_failed_too_long_ago_are_forgotten() {
    // failed at, kept
    for (at, kept) in [(1_000_000, true), (913_601, true), (913_600, false), (0, false), (2_000_000, true)] {
        let replay = Replay::read(&file(&[Record::Header, failed("a", 1, at)]), RULES);
        assert_eq!(!replay.state.is_empty(), kept, "{at}");
    }
    assert_eq!(Replay::read(&file(&[Record::Header, alive("a", 1, 0)]), RULES).state.len(), 1, "the alive have no age");
}

#[test]
fn who_is_gone_is_known_until_it_comes_back() {
    let gone = |text: &str| Record::Gone { name: name(text) };
    let records = [
        Record::Header,
        alive("a", 1, 10),
        alive("b", 2, 10),
        alive("c", 3, 10),
        alive("d", 4, 10),
        alive("e", 5, 10),
        failed("b", 2, 999_000),
        failed("c", 3, 1),
        gone("d"),
        gone("e"),
        alive("e", 5, 20),
        gone("never known"),
        Record::Leave,
    ];
    let known = |bytes: &[u8], rules| -> Vec<String> {
        Replay::read(bytes, rules).state.gone().map(|name| name.as_str().to_owned()).collect()
    };
    let bytes = file(&records);
    for rejoin_after_leave in [true, false] {
        let rules = Rules { rejoin_after_leave, ..RULES };
        assert_eq!(known(&bytes, rules), ["c", "d", "never known"], "who failed too long ago is gone, too");
    }
    let again = file(&Replay::read(&bytes, RULES).state.records());
    assert_eq!(known(&again, RULES), ["c", "d", "never known"]);
    // Serf says the same of whoever has failed.
    assert!(known(b"alive: a 127.0.0.1:7946\nnot-alive: a\n", RULES).is_empty());
    // The newest are kept.
    let many: Vec<Record> = (0..300).map(|number| gone(&format!("{number:03}"))).collect();
    let known = known(&file(&many), RULES);
    assert_eq!((known.len(), known[0].as_str()), (256, "044"));
}

#[test]
fn an_empty_file_and_a_foreign_one_say_nothing() {
    assert_eq!(Replay::read(b"", RULES).format, Format::Empty);
    for bytes in [&b"\0\0\0\0"[..], b"{\"a\": 1}\n", b"\n\n", b"weir", &[0xff; 100]] {
        let replay = Replay::read(bytes, RULES);
        assert_eq!((replay.format, &replay.state), (Format::Unknown, &State::default()));
        assert_eq!(replay.damage, Some(Damage { offset: 0, bytes: bytes.len() }));
    }
}

#[test]
fn a_file_cut_at_any_byte_keeps_every_whole_record() {
    let records = sample();
    let bytes = file(&records);
    let ends = ends(&bytes);
    for cut in 1..bytes.len() {
        let replay = Replay::read(&bytes[..cut], RULES);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        if whole > 0 {
            assert_eq!(replay.state, state(&records[..whole]), "cut at {cut}");
        }
        let kept = ends[..whole].last().copied().unwrap_or(0);
        let damage = (kept < cut).then_some(Damage { offset: kept, bytes: cut - kept });
        assert_eq!(replay.damage, damage, "cut at {cut}");
    }
}

/// The state without the lines that `touched` names, and what reading is to say of them.
fn without(records: &[Record], bytes: &[u8], touched: std::ops::RangeInclusive<usize>) -> (State, Damage) {
    let whole: Vec<_> =
        records.iter().enumerate().filter(|(line, _)| !touched.contains(line)).map(|(_, r)| r.clone()).collect();
    let ends = ends(bytes);
    let start = touched.start().checked_sub(1).map_or(0, |before| ends[before]);
    (state(&whole), Damage { offset: start, bytes: ends[*touched.end()] - start })
}

#[test]
fn any_single_byte_flipped_costs_the_records_that_it_touches() {
    let records = sample();
    let bytes = file(&records);
    let ends = ends(&bytes);
    for position in 0..bytes.len() {
        for flip in [1, 0x20, 0x80, 0xff, b'\n' ^ bytes[position], bytes[position]] {
            if flip == 0 {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[position] ^= flip;
            let line = ends.iter().filter(|end| **end <= position).count();
            // Without its end a line takes the next one with it, unless a zero shows where that begins.
            let joined = position + 1 == ends[line] && damaged[position] != 0 && line + 1 < ends.len();
            let (state, damage) = without(&records, &bytes, line..=line + usize::from(joined));
            let replay = Replay::read(&damaged, RULES);
            assert_eq!((replay.state, replay.damage), (state, Some(damage)), "flip {flip:02x} at {position}");
        }
    }
}

#[test]
fn a_snapshot_that_lost_its_first_lines_is_still_ours() {
    let bytes = file(&sample());
    let garbage = b"x\n".repeat(100);
    let replay = Replay::read(&[&garbage[..], &bytes[..]].concat(), RULES);
    assert_eq!(replay.state, state(&sample()));
    assert_eq!((replay.format, replay.damage), (Format::Weir, Some(Damage { offset: 0, bytes: garbage.len() })));
}

/// `tests/vectors/serf-snapshot.json`, captured from the reference.
fn vectors() -> Vec<serde_json::Value> {
    let text = include_str!("../../../tests/vectors/serf-snapshot.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    vectors["vectors"].as_array().unwrap().clone()
}

#[test]
fn snapshots_of_the_reference_are_taken_over() {
    for vector in vectors() {
        let text = vector["text"].as_str().unwrap();
        for (rejoin_after_leave, expected) in
            [(false, &vector["expected_replay_without_rejoin"]), (true, &vector["expected_replay_with_rejoin"])]
        {
            // A file without a leave reads the same both ways.
            let expected = if expected.is_null() { &vector["expected_replay_without_rejoin"] } else { expected };
            let replay = Replay::read(text.as_bytes(), Rules { rejoin_after_leave, ..RULES });
            assert_eq!((replay.format, replay.damage, replay.skipped_lines), (Format::Serf, None, 0));
            let alive: serde_json::Map<_, _> = replay
                .state
                .peers()
                .map(|peer| (peer.name.as_str().to_owned(), peer.addr.to_string().into()))
                .collect();
            assert_eq!(&serde_json::Value::from(alive), &expected["alive"], "{}", vector["name"]);
            let clocks = replay.state.clocks();
            assert_eq!(expected["clock"], clocks.member.0);
            assert_eq!(expected["event_clock"], clocks.event.0);
            assert_eq!(expected["query_clock"], clocks.query.0);
        }
    }
}

#[test]
fn damaged_snapshots_of_the_reference_are_read_as_far_as_they_make_sense() {
    // text, members, member clock, lines skipped
    for (text, members, clock, skipped) in [
        ("alive: a 127.0.0.1:1\nrubbish\nclock: 5\n", 1, 5, 1),
        ("clock: 12alive: a 127.0.0.1:1\nclock: 3\n", 0, 3, 1),
        ("clock: 9\nclock: 4\n", 0, 9, 0),
        ("clock: 9\nclock: 12", 0, 9, 0),
        ("alive: with blanks in it [::1]:7946\nalive: b nowhere\n", 1, 0, 1),
        ("# a comment\ncoordinate: x\nalive: a 127.0.0.1:1\nnot-alive: a\n", 0, 0, 0),
        ("alive: a 127.0.0.1:1\n\u{fffd}\n", 1, 0, 1),
    ] {
        let replay = Replay::read(text.as_bytes(), RULES);
        assert_eq!((replay.format, replay.state.len()), (Format::Serf, members), "{text}");
        assert_eq!((replay.state.clocks().member.0, replay.skipped_lines), (clock, skipped), "{text}");
    }
}

#[test]
fn snapshots_of_the_reference_cut_at_any_byte_are_read() {
    for vector in vectors() {
        let text = vector["text"].as_str().unwrap().as_bytes();
        for cut in 0..text.len() {
            let replay = Replay::read(&text[..cut], RULES);
            assert_ne!(replay.format, Format::Weir);
        }
    }
}

proptest! {
    #[test]
    fn any_records_survive_any_cut_and_flip(
        records in prop::collection::vec(any_record(), 1..12),
        cut in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut all = vec![Record::Header];
        all.extend(records);
        let bytes = file(&all);
        let ends = ends(&bytes);
        let position = ends[0] + cut.index(bytes.len() - ends[0]);
        let before = ends.iter().filter(|end| **end <= position).count();
        let rules = Rules { failed_for: Duration::MAX, ..RULES };
        let expected = state(&all[..before]);
        prop_assert_eq!(&Replay::read(&bytes[..position], rules).state, &expected);
        let mut damaged = bytes;
        damaged[position] ^= flip;
        let replay = Replay::read(&damaged, rules);
        prop_assert_eq!(replay.damage.map(|damage| damage.offset), Some(ends[before - 1]));
    }

    /// As a file system leaves them whose disk lost power: blocks that were never written.
    #[test]
    fn a_run_of_zeros_costs_the_records_that_it_touches(
        records in prop::collection::vec(any_record(), 1..12),
        from in any::<prop::sample::Index>(),
        length in 1usize..2000,
    ) {
        let bytes = file(&records);
        let ends = ends(&bytes);
        let from = from.index(bytes.len());
        let to = bytes.len().min(from + length);
        let line = |position: usize| ends.iter().filter(|end| **end <= position).count();
        let (state, damage) = without(&records, &bytes, line(from)..=line(to - 1));
        let mut damaged = bytes.clone();
        damaged[from..to].fill(0);
        let replay = Replay::read(&damaged, Rules { failed_for: Duration::MAX, ..RULES });
        prop_assert_eq!((replay.state, replay.damage), (state, Some(damage)));
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Replay::read(&bytes, RULES);
    }

    #[test]
    fn what_is_compacted_reads_back_as_the_same(records in prop::collection::vec(any_record(), 0..20)) {
        let before = state(&records);
        let replay = Replay::read(&file(&before.records()), Rules { failed_for: Duration::MAX, ..RULES });
        prop_assert!(replay.is_sound());
        prop_assert_eq!(replay.state.records(), before.records());
    }
}
