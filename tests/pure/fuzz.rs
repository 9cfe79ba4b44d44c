//! The fuzz targets as bounded tests: every input that the fuzzer kept, then inputs drawn near valid ones.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use weir::apply::{Answer, Request};
use weir::upstream::desired::Desired;

/// Inputs drawn for each target.
const DRAWN: usize = 1500;

const DESIRED: &str = r#"{"version":1,"order":7,"upstreams":{"web":{"servers":[{"member":"web1","addr":"10.77.0.12:80",
    "weight":2,"down":false,"backup":false,"max_conns":0}]},"api":"placeholder"}}"#;

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const CAUSE: &str = r#"{"member":{"member":"web1","event":"failed"}}"#;
const PROMISE: &str = r#"{"node":"web1","incarnation":7,"id":"5d3e01aa"}"#;
const HOLD: &str = r#""web":{"since":7,"reason":"kernel"}"#;

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Captured messages, to start from.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for part in text.split('"') {
            if part.len() >= 8
                && part.len() % 2 == 0
                && part.len() < 8000
                && part.bytes().all(|b| b.is_ascii_hexdigit())
            {
                seeds.push(unhex(part));
            }
        }
    }
    // Captured RPC: a byte that says where to cut, then the message.
    let exchanges = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/serf/rpc/cli-exchanges.txt");
    for line in std::fs::read_to_string(exchanges).unwrap().lines().filter(|line| !line.starts_with('#')) {
        seeds.push([vec![40], unhex(line.split(' ').nth(1).unwrap())].concat());
    }
    assert!(seeds.len() > 100, "the vectors are there");
    assert!(Desired::from_json(DESIRED.as_bytes()).is_ok());
    seeds.push(DESIRED.as_bytes().to_vec());
    for ask in [
        &format!(r#"{{"apply":{{"desired":{DESIRED},"causes":[{CAUSE}],"promises":[{PROMISE}],"holds":{{{HOLD}}}}}}}"#),
        r#"{"report":{"known":{"pid":812,"started":4711}}}"#,
        r#"{"rollback":{"to":7,"reason":"x","promises":[]}}"#,
        r#""check""#,
    ] {
        let request = format!(r#"{{"version":1,"configuration":"{HASH}","ask":{ask}}}"#).into_bytes();
        assert_eq!(Request::from_json(&request).err(), None, "{ask}");
        seeds.push(request);
    }
    for body in [
        r#"{"applied":{"unchanged":{"generation":9,"notes":{}}}}"#,
        r#""nothing_to_recover""#,
        r#"{"checked":{"Ok":null}}"#,
        r#"{"refused":{"not_permitted":{"uid":33}}}"#,
        r#"{"state":{"Err":"master_gone"}}"#,
    ] {
        let answer = format!(r#"{{"version":1,"body":{body}}}"#).into_bytes();
        assert_eq!(Answer::from_json(&answer).err(), None, "{body}");
        seeds.push(answer);
    }
    seeds.push(b"nginx: [emerg] host not found in upstream \"x\" in /etc/nginx/conf.d/weir-web.conf:3\n".to_vec());
    seeds.push(b"2026/11/24 10:00:00 [emerg] 812#812: bind() to 0.0.0.0:80 failed (98: Address in use)\n".to_vec());
    seeds.push(b"alive: n1 127.0.77.1:7946\nclock: 17\nnot-alive: n1\nleave\n".to_vec());
    seeds.push(b"e70a6e19 weir-snapshot 1\n".to_vec());
    seeds
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 if at < bytes.len() => bytes[at] = rng.random(),
            3 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            // The type and length bytes that decoders branch on.
            4 if at < bytes.len() => {
                bytes[at] = *[0x00, 0x7f, 0x80, 0xc0, 0xda, 0xdb, 0xdc, 0xdf, 0xff].get(at % 9).unwrap()
            }
            5 => {
                let copied: Vec<u8> = bytes[at..].iter().copied().take(16).collect();
                bytes.splice(at..at, copied);
            }
            _ => {}
        }
    }
}

fn run(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    for file in std::fs::read_dir(&corpus).into_iter().flatten() {
        target(&std::fs::read(file.unwrap().path()).unwrap());
    }
    let seeds = seeds();
    let mut rng = StdRng::seed_from_u64(20_261_124);
    for seed in &seeds {
        target(seed);
    }
    for _ in 0..DRAWN {
        let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
        mutate(&mut bytes, &mut rng);
        target(&bytes);
        let mut noise = vec![0; rng.random_range(0..64)];
        rng.fill_bytes(&mut noise);
        target(&noise);
    }
}

#[test]
fn any_packet_is_survived() {
    run("packet", targets::packet);
}

#[test]
fn any_stream_is_survived() {
    run("stream", targets::stream);
}

#[test]
fn any_session_is_survived() {
    run("session", targets::session);
}

#[test]
fn any_push_pull_is_survived() {
    run("push_pull", targets::push_pull);
}

#[test]
fn any_metadata_is_survived() {
    run("tags", targets::tags);
}

#[test]
fn any_serf_message_is_survived() {
    run("serf_message", targets::serf_message);
}

#[test]
fn any_snapshot_is_survived() {
    run("snapshot", targets::snapshot);
}

#[test]
fn any_rpc_client_is_survived() {
    run("rpc", targets::rpc);
}

#[test]
fn any_desired_document_is_survived() {
    run("desired", targets::desired);
}

#[test]
fn any_request_is_survived() {
    run("apply_request", targets::apply_request);
}

#[test]
fn any_answer_is_survived() {
    run("apply_answer", targets::apply_answer);
}

#[test]
fn anything_that_nginx_says_is_survived() {
    run("nginx_output", targets::nginx_output);
}

/// Captured messages and time, in drawn order.
#[test]
fn any_story_is_survived() {
    run("story", targets::story);
    let (seeds, mut rng) = (seeds(), StdRng::seed_from_u64(7));
    for _ in 0..DRAWN {
        let mut story = vec![rng.random()];
        for _ in 0..rng.random_range(1..30) {
            let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
            if rng.random_bool(0.5) {
                mutate(&mut bytes, &mut rng);
            }
            bytes.truncate(255);
            story.extend([rng.random(), bytes.len() as u8]);
            story.extend(bytes);
        }
        targets::story(&story);
    }
}
