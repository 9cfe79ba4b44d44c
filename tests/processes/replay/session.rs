//! Agents that send nothing but sessions, and agents that may.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::crypto::session::is_session;

use super::relay::Recording;
use super::view::View;
use super::{KEY, Member, await_all_alive};
use crate::support::{Kind, Settings, until};

fn settings(seal: &'static str) -> Settings {
    Settings { seal: Some(seal), ..Settings::key(KEY).log_level("info") }
}

/// Everything there is to say, said once: events, queries, tags, a leave and a return.
fn story(members: &mut [Member]) -> Recording {
    for number in 0..10 {
        let agent = &members[number % members.len()].agent;
        for command in [
            &["event", &format!("event-{number}")][..],
            &["query", "-timeout=1s", "uptime"],
            &["tags", "-set", &format!("number={number}")],
        ] {
            let ran = agent.cli(command);
            assert!(ran.status.success(), "{ran:?}");
        }
    }
    let last = members.last_mut().unwrap();
    last.agent.leave();
    last.agent.run();
    await_all_alive(members);
    let mut recording = Recording::default();
    members.iter().for_each(|member| recording.add(member.relay.take()));
    assert!(recording.packets.len() > 100 && recording.streams.len() > 4, "there is something to say again");
    recording
}

/// Says everything again to everybody, in order and shuffled.
fn assert_replays_change_nothing(members: &[Member], recording: &mut Recording, round: &str) {
    let mut views: Vec<_> = members.iter().map(|member| View::of(member.agent.rpc)).collect();
    let mut rng = StdRng::seed_from_u64(1);
    let news = format!("before-{round}");
    views[0].fire_behind_news(&news);
    views.iter_mut().for_each(|view| drop(view.told_until(&news)));
    let before: Vec<_> = views.iter_mut().map(View::state).collect();
    let refused: Vec<_> = views.iter_mut().map(View::refused).collect();
    for _ in 0..2 {
        members.iter().for_each(|member| recording.replay(member.agent.gossip));
        recording.shuffle(&mut rng);
    }
    for ((view, before), refused) in views.iter_mut().zip(before).zip(refused) {
        view.await_refused(refused + recording.packets.len() as u64);
        assert_eq!(view.state(), before);
    }
    views[0].fire(round);
    for (view, member) in views.iter_mut().zip(members) {
        assert_eq!(view.told_until(round), [""; 0], "{}", member.agent.name);
    }
}

#[test]
fn every_recorded_packet_and_stream_again_changes_nothing_at_anybody_also_after_a_restart() {
    let mut members = Member::cluster(Kind::Weir, &["a", "b", "c"], &settings("session"));
    let mut recording = story(&mut members);
    assert!(recording.packets.iter().all(|packet| is_session(packet)));
    assert_replays_change_nothing(&members, &mut recording, "first-round");
    members[1].agent.kill();
    members[1].agent.run();
    await_all_alive(&members);
    assert_replays_change_nothing(&members, &mut recording, "after-the-restart");
}

#[test]
fn dropping_all_session_packets_brings_no_peer_back_to_the_old_envelope_for_good() {
    let members = Member::cluster(Kind::Weir, &["a", "b", "c"], &settings("auto"));
    let await_sessions = || {
        until("nothing but sessions", || {
            members.iter().for_each(|member| drop(member.relay.take()));
            // A second is a round of probes; what is in the old envelope then is no leftover.
            std::thread::sleep(Duration::from_secs(1));
            let mut sent = Recording::default();
            members.iter().for_each(|member| sent.add(member.relay.take()));
            let old = sent.packets.iter().filter(|packet| !is_session(packet)).count();
            if old == 0 && !sent.packets.is_empty() { Ok(()) } else { Err(format!("{old} of {}", sent.packets.len())) }
        });
    };
    await_sessions();
    members.iter().for_each(|member| member.relay.set_filter(|packet| !is_session(packet)));
    let mut view = View::of(members[0].agent.rpc);
    view.fire("in-the-dark");
    let mut old = 0;
    until("the old envelope carries the cluster meanwhile", || {
        old += members.iter().map(|member| member.relay.take().packets.len()).sum::<usize>();
        if old > 30 { Ok(()) } else { Err(format!("{old}")) }
    });
    members.iter().for_each(|member| member.relay.set_filter(|_| true));
    await_sessions();
    await_all_alive(&members);
}
