//! Whole agents, asked as a client asks.

use std::time::SystemTime;

use super::super::super::{key_state, keyring};
use super::*;
use crate::config::SecretSource;
use crate::crypto::{Key, KeyId};
use crate::rotate::document::{Follow, Import, Line, Start, Started};
use crate::rpc::Refusal;
use crate::rpc::weir::{Asked, Awaited, KeysStatus, Request};
use crate::serf::{LamportTime, Status as MemberState};

pub(super) fn call<R: Request>(agent: &mut Agent, request: R, asked: fn(R, Answer<R>) -> Asked) -> Awaited<R> {
    let (answer, awaited) = Answer::channel();
    agent.handle_call(Call::Weir(asked(request, answer)));
    agent.perform();
    awaited
}

/// Asks one of the agents and lets all work until it has answered.
pub(super) async fn ask<R: Request>(
    agents: &mut [&mut Agent],
    request: R,
    asked: fn(R, Answer<R>) -> Asked,
) -> Result<R::Answer, Refusal> {
    let mut answer = call(agents[0], request, asked);
    let mut told = None;
    while told.is_none() {
        until(agents, "a step", |_| true).await;
        for agent in agents.iter_mut() {
            tokio::time::timeout(Duration::from_millis(5), agent.step()).await.ok();
        }
        told = answer.try_recv();
    }
    told.unwrap()
}

async fn rotate(agents: &mut [&mut Agent], start: Start) -> Vec<Line> {
    let Started { rotation } = ask(agents, start, Asked::KeysRotate).await.unwrap();
    follow(agents, rotation).await
}

/// What a rotation tells, to its end.
async fn follow(agents: &mut [&mut Agent], rotation: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        let news = ask(agents, Follow { rotation, after: lines.len() }, Asked::KeysProgress).await.unwrap();
        lines.extend(news.lines);
        if news.ended {
            return lines;
        }
    }
}

fn import(key: &str, add: bool) -> Import {
    Import { key: key.to_owned(), add }
}

fn ring_of(agent: &Agent) -> Vec<KeyId> {
    agent.endpoint.keyring().unwrap().keys().iter().map(Key::id).collect()
}

async fn trio(lab: &Lab, net: &str) -> [Agent; 3] {
    let ring = |name: &str| lab.keyring(&format!("{name}.json"), &KEYS[1..]);
    let mut a = lab.agent("a", &format!("{net}.1"), Some(&ring("a")), ALONE).await;
    let mut b = lab.agent("b", &format!("{net}.2"), Some(&ring("b")), &join(&a)).await;
    let mut c = lab.agent("c", &format!("{net}.3"), Some(&ring("c")), &join(&a)).await;
    let alive = |agent: &Agent| ["a", "b", "c"].iter().all(|name| status(agent, name) == Some(MemberState::Alive));
    until(&mut [&mut a, &mut b, &mut c], "all see all", |all| all.iter().all(|agent| alive(agent))).await;
    [a, b, c]
}

#[test]
fn a_rotation_ends_on_one_key_that_is_on_every_disk_with_its_ballot() {
    run_test(async {
        let lab = Lab::new();
        let [mut a, mut b, mut c] = trio(&lab, "127.7.11").await;
        let lines = rotate(&mut [&mut a, &mut b, &mut c], Start::default()).await;
        let Some(Line::Rotated { old, new, members: 3, .. }) = lines.last() else { panic!("{lines:#?}") };
        let before = Key::from_base64(KEYS[1]).unwrap().id().to_string();
        assert_eq!(*old, [before]);
        for (name, agent) in [("a", &a), ("b", &b), ("c", &c)] {
            let id = ring_of(agent);
            assert_eq!(id.iter().map(KeyId::to_string).collect::<Vec<_>>(), *std::slice::from_ref(new), "{name}");
            let path = lab.path(&format!("{name}.json"));
            let (kept, _) = keyring::load(&SecretSource::File(path.clone())).unwrap();
            assert_eq!(kept.keys(), agent.endpoint.keyring().unwrap().keys());
            let state = key_state::load(&lab.path(&format!("{name}.json.state")));
            let ballot = state.kept_ballot(SystemTime::now()).unwrap();
            assert_eq!(ballot.from, "a");
            assert!(ballot.ballot.ltime() > LamportTime(0));
        }
    });
}

#[test]
fn keys_status_tells_who_holds_what() {
    run_test(async {
        let lab = Lab::new();
        let [mut a, mut b, mut c] = trio(&lab, "127.7.12").await;
        let told = ask(&mut [&mut a, &mut b, &mut c], KeysStatus {}, Asked::KeysStatus).await.unwrap();
        let id = Key::from_base64(KEYS[1]).unwrap().id().to_string();
        let [key] = &told.keys[..] else { panic!("{told:#?}") };
        assert_eq!((&key.id, key.primary_on, key.held_by, key.members), (&id, 3, 3, 3));
        let members: Vec<_> =
            told.members.iter().map(|member| (member.name.as_str(), member.status.as_str())).collect();
        assert_eq!(members, [("a", "alive"), ("b", "alive"), ("c", "alive")]);
        assert!(told.members.iter().all(|member| member.holds.as_deref() == Some(std::slice::from_ref(&id))));
        assert!(!serde_json::to_string(&told).unwrap().contains(&KEYS[1][..8]), "no material");
    });
}

#[test]
fn an_imported_key_seals_and_is_kept_and_an_added_one_waits() {
    run_test(async {
        let lab = Lab::new();
        let ring = lab.keyring("a.json", &KEYS[..1]);
        let mut a = lab.agent("a", "127.7.13.1", Some(&ring), ALONE).await;
        let id = |key: &str| Key::from_base64(key).unwrap().id();
        for (add, expected) in [(true, [id(KEYS[0]), id(KEYS[1])]), (false, [id(KEYS[1]), id(KEYS[0])])] {
            let told = ask(&mut [&mut a], import(KEYS[1], add), Asked::KeysImport).await.unwrap();
            assert_eq!(told.id, id(KEYS[1]).to_string());
            assert_eq!(ring_of(&a), expected);
            let (kept, _) = keyring::load(&SecretSource::File(ring.clone())).unwrap();
            assert_eq!(kept.keys(), a.endpoint.keyring().unwrap().keys());
        }
        let refused = ask(&mut [&mut a], import("AAAA", false), Asked::KeysImport).await.unwrap_err();
        assert_eq!(refused.what, "key must be 16, 24 or 32 bytes long, this one has 3");
    });
}

#[test]
fn one_rotation_of_an_agent_at_a_time() {
    run_test(async {
        let lab = Lab::new();
        let ring = lab.keyring("a.json", &KEYS[..1]);
        let mut a = lab.agent("a", "127.7.14.1", Some(&ring), ALONE).await;
        let Started { rotation } = call(&mut a, Start::default(), Asked::KeysRotate).try_recv().unwrap().unwrap();
        let refused = call(&mut a, Start::default(), Asked::KeysRotate).try_recv().unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "a rotation of this agent is under way; wait for its end");
        follow(&mut [&mut a], rotation).await;
        let look = Start { dry_run: true, ..Start::default() };
        call(&mut a, look, Asked::KeysRotate).try_recv().unwrap().unwrap();
        let unknown = call(&mut a, Follow { rotation: 1, after: 0 }, Asked::KeysProgress).try_recv().unwrap();
        assert_eq!(unknown, Err("no rotation 1 on this agent".into()));
    });
}

#[test]
fn without_encryption_there_is_nothing_to_rotate() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.15.1", None, ALONE).await;
        let rotate = call(&mut a, Start::default(), Asked::KeysRotate).try_recv().unwrap().unwrap_err();
        let status = call(&mut a, KeysStatus {}, Asked::KeysStatus).try_recv().unwrap().unwrap_err();
        for refused in [rotate, status] {
            assert!(refused.what.starts_with("gossip is not encrypted"), "{refused}");
        }
        let refused = ask(&mut [&mut a], import(KEYS[0], false), Asked::KeysImport).await.unwrap_err();
        assert_eq!(refused.kind, crate::rpc::refusal::Kind::Unencrypted);
        assert_eq!(refused.remedy.as_deref(), Some("remove encryption.seal = \"off\" and restart it"));
    });
}
