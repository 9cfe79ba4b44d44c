use std::sync::Arc;

use bytes::Bytes;

use super::super::replay::{Format, Rules};
use super::*;
use crate::serf::{LamportTime, Member, Status};
use crate::swim::Node;
use crate::wire::message::{Incarnation, Versions};
use MemberEventKind::{Failed, Join, Leave, Reap, Update};

const RULES: Rules = Rules { rejoin_after_leave: true, failed_for: Duration::from_secs(86_400), now: UnixTime(1000) };

fn ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn event(kind: MemberEventKind, member: &str, i: u8) -> MemberEvent {
    let addr = ([127, 0, 0, i], 7946).into();
    let node = Node { name: name(member), addr, meta: Bytes::from_static(b"\xff\x80"), versions: Versions::OURS };
    let member =
        Member { node: Arc::new(node), status: Status::Alive, status_ltime: LamportTime::ZERO, since: Instant::ZERO };
    MemberEvent { kind, member, before: None }
}

fn clocks(time: u64) -> SeenClocks {
    SeenClocks { member: LamportTime(time), ..SeenClocks::default() }
}

/// A file as a disk would hold it.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    synced: usize,
    replaced: usize,
}

impl Disk {
    fn drain(&mut self, log: &mut Log, now: Instant) -> Vec<&'static str> {
        let mut done = Vec::new();
        while let Some(write) = log.poll_write(now) {
            done.push(match write {
                Write::Append(bytes) => {
                    self.bytes.extend(bytes);
                    "append"
                }
                Write::Sync => {
                    self.synced = self.bytes.len();
                    "sync"
                }
                Write::Replace(bytes) => {
                    self.synced = bytes.len();
                    self.bytes = bytes;
                    self.replaced += 1;
                    "replace"
                }
            });
        }
        done
    }

    fn replay(&self) -> Replay {
        Replay::read(&self.bytes, RULES)
    }

    fn names(&self) -> Vec<String> {
        self.replay().state.peers().map(|peer| peer.name.as_str().to_owned()).collect()
    }
}

fn fresh() -> (Log, Disk) {
    let mut disk = Disk::default();
    let mut log = Log::new(name("me"), disk.replay(), 0, ms(0));
    assert_eq!(disk.drain(&mut log, ms(0)), ["replace"], "a new file begins with its header");
    assert!(disk.replay().is_sound());
    (log, disk)
}

#[test]
fn members_are_recorded_when_it_happens_and_of_ourselves_the_address() {
    let (mut log, mut disk) = fresh();
    // event, names in the file, whether something was written
    for (kind, member, names, written) in [
        (Join, "a", vec!["a"], true),
        (Join, "me", vec!["a", "me"], true),
        (Join, "me", vec!["a", "me"], false),
        (Join, "b", vec!["a", "b", "me"], true),
        (Update, "b", vec!["a", "b", "me"], false),
        (Failed, "b", vec!["a", "b", "me"], true),
        (Leave, "a", vec!["b", "me"], true),
        (Reap, "a", vec!["b", "me"], false),
        (Reap, "b", vec!["me"], true),
        (Failed, "me", vec!["me"], false),
        (Leave, "me", vec!["me"], false),
    ] {
        log.member(UnixTime(1000), &event(kind, member, 1));
        let writes = disk.drain(&mut log, ms(1));
        assert_eq!(writes, if written { vec!["append"] } else { vec![] }, "{kind:?} {member}");
        assert_eq!(disk.names(), names);
    }
    let state = disk.replay().state;
    assert_eq!(state.own_address(&name("me")), Some(([127, 0, 0, 1], 7946).into()));
    assert!(state.dial_order(&name("me")).is_empty(), "nobody dials themselves");
}

#[test]
fn a_new_address_is_recorded_and_new_tags_are_not() {
    let (mut log, mut disk) = fresh();
    log.member(UnixTime(1000), &event(Join, "a", 1));
    log.member(UnixTime(1001), &event(Update, "a", 2));
    disk.drain(&mut log, ms(1));
    assert_eq!(disk.replay().state.peers().next().unwrap().addr, ([127, 0, 0, 2], 7946).into());
}

#[test]
fn what_was_appended_is_synced_within_half_a_second_and_once() {
    let (mut log, mut disk) = fresh();
    log.member(UnixTime(1000), &event(Join, "a", 1));
    assert_eq!(disk.drain(&mut log, ms(10)), ["append"]);
    log.member(UnixTime(1000), &event(Join, "b", 1));
    assert_eq!(disk.drain(&mut log, ms(400)), ["append"]);
    assert_eq!(log.poll_timeout(), Some(ms(510)), "counted from the first");
    log.handle_timeout(ms(510));
    assert_eq!(disk.drain(&mut log, ms(510)), ["sync"]);
    assert_eq!((disk.synced, log.poll_timeout()), (disk.bytes.len(), None));
}

#[test]
fn clocks_are_written_twice_a_second_at_most_and_when_they_changed() {
    let (mut log, mut disk) = fresh();
    for time in 1..=100 {
        log.clocks(ms(time), clocks(time));
        assert!(disk.drain(&mut log, ms(time)).is_empty());
    }
    assert_eq!(log.poll_timeout(), Some(ms(501)));
    log.handle_timeout(ms(501));
    assert_eq!(disk.drain(&mut log, ms(501)), ["append"]);
    assert_eq!(disk.replay().state.clocks(), clocks(100));
    log.clocks(ms(600), clocks(100));
    log.handle_timeout(ms(2000));
    assert_eq!(disk.drain(&mut log, ms(2000)), ["sync"], "nothing new to write");
}

#[test]
fn a_stop_writes_the_clocks_and_syncs() {
    let (mut log, mut disk) = fresh();
    log.clocks(ms(1), clocks(7));
    log.stop(ms(2));
    assert_eq!(disk.drain(&mut log, ms(2)), ["append", "sync"]);
    assert_eq!(disk.replay().state.clocks(), clocks(7));
    log.stop(ms(3));
    assert!(disk.drain(&mut log, ms(3)).is_empty());
}

#[test]
fn an_incarnation_is_synced_at_once_and_only_when_it_rises() {
    let (mut log, mut disk) = fresh();
    log.incarnation(Incarnation::new(5));
    assert_eq!(disk.drain(&mut log, ms(1)), ["append", "sync"]);
    for older in [5, 4, 0] {
        log.incarnation(Incarnation::new(older));
        assert!(disk.drain(&mut log, ms(2)).is_empty());
    }
    assert_eq!(disk.replay().state.incarnation().get(), 5);
}

#[test]
fn tags_of_run_time_come_and_go() {
    let (mut log, mut disk) = fresh();
    let tags = Tags::from([("role".into(), "lb".into())]);
    // set, written
    for (set, written) in [(None, false), (Some(&tags), true), (Some(&tags), false), (None, true)] {
        log.tags(set);
        assert_eq!(!disk.drain(&mut log, ms(1)).is_empty(), written);
        assert_eq!(disk.replay().state.tags(), set);
    }
}

#[test]
fn after_a_leave_the_members_stay_as_they_were() {
    let (mut log, mut disk) = fresh();
    log.member(UnixTime(1000), &event(Join, "a", 1));
    log.leave(ms(1));
    assert_eq!(disk.drain(&mut log, ms(1)), ["append", "sync"]);
    log.member(UnixTime(1001), &event(Leave, "a", 1));
    log.member(UnixTime(1001), &event(Join, "b", 2));
    log.clocks(ms(2), clocks(9));
    log.stop(ms(3));
    disk.drain(&mut log, ms(3));
    let replay = disk.replay();
    assert_eq!((disk.names(), replay.state.left(), replay.state.clocks()), (vec!["a".to_owned()], true, clocks(9)));
}

#[test]
fn the_next_start_takes_the_leave_off_by_writing_anew() {
    let (mut log, mut disk) = fresh();
    log.member(UnixTime(1000), &event(Join, "a", 1));
    log.leave(ms(1));
    disk.drain(&mut log, ms(1));
    let bytes = disk.bytes.len();
    let mut log = Log::new(name("me"), disk.replay(), bytes, ms(2));
    assert_eq!(disk.drain(&mut log, ms(2)), ["replace"]);
    assert_eq!((disk.names(), disk.replay().state.left()), (vec!["a".to_owned()], false));
}

#[test]
fn a_sound_file_is_appended_to_and_any_other_written_anew() {
    let (mut log, mut disk) = fresh();
    log.member(UnixTime(1000), &event(Join, "a", 1));
    log.incarnation(Incarnation::new(3));
    disk.drain(&mut log, ms(1));
    let sound = disk.bytes.clone();
    let torn = sound[..sound.len() - 3].to_vec();
    let serf = b"alive: a 127.0.0.1:7946\nclock: 9\n".to_vec();
    for (bytes, anew) in [(sound, false), (torn, true), (serf, true), (b"rubbish".to_vec(), true), (vec![], true)] {
        let before = Replay::read(&bytes, RULES);
        let known = before.state.len();
        let mut disk = Disk { bytes, ..Disk::default() };
        let mut log = Log::new(name("me"), before, disk.bytes.len(), ms(2));
        assert_eq!(disk.drain(&mut log, ms(2)), if anew { vec!["replace"] } else { vec![] });
        let after = disk.replay();
        assert_eq!((after.format, after.is_sound(), after.state.len()), (Format::Weir, true, known));
        log.member(UnixTime(1000), &event(Join, "z", 9));
        disk.drain(&mut log, ms(3));
        assert_eq!(disk.names().last().map(String::as_str), Some("z"), "what is appended next can be read");
    }
}

#[test]
fn a_file_that_is_mostly_history_is_written_anew() {
    let (mut log, mut disk) = fresh();
    let mut largest = 0;
    for i in 0..20_000u64 {
        let kind = if i % 2 == 0 { Join } else { Failed };
        log.member(UnixTime(1000), &event(kind, &format!("n{}", i % 50), 1));
        disk.drain(&mut log, ms(i));
        largest = largest.max(disk.bytes.len());
    }
    assert!(disk.replaced > 3 && largest < COMPACT_BYTES + 200, "{} {largest}", disk.replaced);
    assert_eq!(disk.replay().state.records(), log.state().records());
}

#[test]
fn a_large_cluster_is_not_written_anew_all_the_time() {
    let (mut log, mut disk) = fresh();
    for i in 0..5000u64 {
        log.member(UnixTime(1000), &event(Join, &format!("host-{i}"), 1));
        disk.drain(&mut log, ms(i));
    }
    assert!(disk.replaced <= 2, "{}", disk.replaced);
    assert_eq!(disk.replay().state.len(), 5000);
}

#[test]
fn after_a_failed_write_nothing_is_appended_until_the_whole_is_written_anew() {
    let (mut log, mut disk) = fresh();
    log.member(UnixTime(1000), &event(Join, "a", 1));
    assert!(matches!(log.poll_write(ms(1)), Some(Write::Append(_))));
    log.write_failed(ms(1));
    log.member(UnixTime(1000), &event(Join, "b", 1));
    assert!(disk.drain(&mut log, ms(30_000)).is_empty());
    assert_eq!(log.poll_timeout(), Some(ms(30_001)));
    log.handle_timeout(ms(30_001));
    assert_eq!(disk.drain(&mut log, ms(30_001)), ["replace"]);
    assert_eq!(disk.names(), ["a", "b"]);
}

#[test]
fn a_stop_after_a_failed_write_tries_once_more() {
    let (mut log, mut disk) = fresh();
    log.write_failed(ms(1));
    log.member(UnixTime(1000), &event(Join, "a", 1));
    log.stop(ms(2));
    assert_eq!(disk.drain(&mut log, ms(2)), ["replace"]);
    assert_eq!(disk.names(), ["a"]);
}

#[test]
fn killed_at_any_byte_an_agent_knows_what_was_written_before() {
    let (mut log, mut disk) = fresh();
    let mut states = vec![(disk.bytes.len(), log.state().records())];
    for (i, kind) in [Join, Failed, Join, Leave, Join, Failed].into_iter().enumerate() {
        log.member(UnixTime(1000 - i as u64), &event(kind, ["a", "b"][i % 2], i as u8));
        disk.drain(&mut log, ms(i as u64));
        states.push((disk.bytes.len(), log.state().records()));
    }
    for cut in states[0].0..=disk.bytes.len() {
        let replay = Replay::read(&disk.bytes[..cut], RULES);
        let (_, expected) = states.iter().rfind(|(len, _)| *len <= cut).unwrap();
        assert_eq!(&replay.state.records(), expected, "killed at {cut}");
        let mut again = Disk { bytes: disk.bytes[..cut].to_vec(), ..Disk::default() };
        let mut log = Log::new(name("me"), replay, cut, ms(9));
        again.drain(&mut log, ms(9));
        assert!(again.replay().is_sound());
    }
}

#[test]
fn the_sync_interval_can_change_and_none_syncs_each_record() {
    let (mut log, mut disk) = fresh();
    log.set_sync_interval(Duration::ZERO);
    log.member(UnixTime(1000), &event(Join, "a", 1));
    assert_eq!(disk.drain(&mut log, ms(10)), ["append", "sync"]);
    log.set_sync_interval(Duration::from_secs(10));
    log.member(UnixTime(1000), &event(Join, "b", 1));
    assert_eq!(disk.drain(&mut log, ms(20)), ["append"]);
    assert_eq!(log.poll_timeout(), Some(ms(10_020)));
}
