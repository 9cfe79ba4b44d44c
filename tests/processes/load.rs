//! Two hundred RPC clients at one agent while a thousand events a second pass: readers lose nothing, those that do not read
//! cost nothing, and gossip does not notice.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::{Agent, Kind, Settings, alone, await_agreement};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir::rpc::client::{Address, Client, Record};
use weir::rpc::proto::EventRecord;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SILENT: usize = 100;
const READERS: usize = 20;
const ASKERS: usize = 80;
const RATE: u32 = 1000;
const SECONDS: u32 = 10;

async fn connect(rpc: SocketAddr) -> Client {
    Client::connect(&Address::Tcp(rpc.to_string()), None).await.unwrap()
}

/// How many different events arrived, all of them expected.
async fn read(rpc: SocketAddr, count: usize, ready: mpsc::Sender<()>) -> usize {
    let mut client = connect(rpc).await;
    client.stream("user:load").await.unwrap();
    ready.send(()).await.unwrap();
    let mut seen = HashSet::new();
    while seen.len() < count {
        match tokio::time::timeout(Duration::from_secs(20), client.next()).await {
            Ok(Ok(pushed)) => {
                if let Record::Event(EventRecord::User { payload, .. }) = pushed.record {
                    seen.insert(payload);
                }
            }
            Ok(Err(error)) => panic!("a reader was cut off: {error}"),
            Err(_) => break,
        }
    }
    seen.len()
}

/// Asks for the members again and again until `end`; how often it was answered.
async fn ask(rpc: SocketAddr, end: Instant) -> usize {
    let mut client = connect(rpc).await;
    let mut answers = 0;
    while Instant::now() < end {
        assert_eq!(client.members(None).await.unwrap().len(), 3);
        answers += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    answers
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
#[ignore = "slow: loads an agent for ten seconds"]
fn readers_lose_nothing_and_those_that_do_not_read_disturb_nobody() {
    let _alone = alone();
    let mut one = Agent::start(Kind::Weir, "one", Settings::key(KEY).log_level("info"));
    let two = Agent::start(Kind::Weir, "two", Settings::key(KEY).log_level("info").join(one.gossip));
    let three = Agent::start(Kind::Weir, "three", Settings::key(KEY).log_level("info").join(one.gossip));
    await_agreement(&[&one, &two, &three], &[("one", "alive"), ("two", "alive"), ("three", "alive")]);

    let count = (RATE * SECONDS) as usize;
    let (rpc, pid) = (one.rpc, one.process().pid());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (read_by, answers, peak) = runtime.block_on(async {
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            let mut client = connect(rpc).await;
            client.stream("*").await.unwrap();
            silent.push(client);
        }
        let (ready, mut is_ready) = mpsc::channel(READERS);
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            readers.spawn(read(rpc, count, ready.clone()));
        }
        for _ in 0..READERS {
            is_ready.recv().await.unwrap();
        }
        let start = Instant::now();
        let end = start + Duration::from_secs(SECONDS.into());
        let mut askers = JoinSet::new();
        for _ in 0..ASKERS {
            askers.spawn(ask(rpc, end));
        }
        let mut sender = connect(rpc).await;
        let mut peak = 0;
        for number in 0..count {
            tokio::time::sleep_until((start + Duration::from_secs(1) / RATE * number as u32).into()).await;
            let payload = format!("number {number}").into_bytes();
            sender.event("load", payload.into(), false).await.unwrap();
            if number % 1000 == 0 {
                peak = peak.max(resident_kib(pid));
            }
        }
        (readers.join_all().await, askers.join_all().await, peak.max(resident_kib(pid)))
    });
    assert_eq!(read_by, vec![count; READERS]);
    assert!(answers.iter().all(|answers| *answers >= 5), "{answers:?}");
    assert!(peak < 128 * 1024, "{peak} KiB: a hundred clients that do not read must not fill the agent");
    await_agreement(&[&one, &two, &three], &[("one", "alive"), ("two", "alive"), ("three", "alive")]);
    for agent in [&one, &two, &three] {
        assert!(!agent.log().contains("suspected"), "{}", agent.log());
    }
}
