//! `Debug` of every type that holds a key, of the machine that holds them all, too.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use weir::config::{Overrides, Secret as ConfigSecret, SecretSource};
use weir::crypto::session::stream::StreamKey;
use weir::crypto::session::{SessionId, Sessions};
use weir::crypto::{Key, Keyring};
use weir::endpoint::{Endpoint, Options, Restored};
use weir::rotate::document::Import;
use weir::rpc::proto;
use weir::serf::{KeyNode, KeyOp, KeyParams, KeyringAnswer};
use weir::time::Instant;
use weir::wire::NodeName;
use weir::wire::serf::{KeyRequest, KeyResponse, LamportTime, Query, QueryResponse, Relay};

use super::forms::Secret;

/// Text, so that not even `Bytes`, which escapes what is none, could hide it.
const KEY: [u8; 32] = *b"correct-horse-battery-staple-0!?";
const NOW: Instant = Instant::from_nanos(1_000_000_000);

fn key() -> Key {
    Key::new(&KEY).unwrap()
}

fn assert_hidden(what: &str, value: &dyn Debug) {
    let secret = Secret::new("the key", &KEY);
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        // Lists are broken into lines by the second.
        let found = [secret.found_in(text.as_bytes()), secret.found_in(text.replace(",\n", ", ").as_bytes())].concat();
        assert!(found.is_empty(), "{what}: {found:?} in {text}");
    }
}

#[test]
fn debug_of_whatever_holds_a_key_shows_none() {
    let base64 = key().to_base64().to_string();
    let op = |make: fn(zeroize::Zeroizing<Vec<u8>>) -> KeyOp| make(KEY.to_vec().into());
    let request = KeyRequest { key: KEY.to_vec().into(), rot: None };
    let listed = KeyResponse { keys: vec![base64.clone()], primary_key: base64.clone(), ..KeyResponse::default() };
    let text = || base64.clone().into();
    let (ltime, addr) = (LamportTime::default(), ([127, 0, 0, 1], 7946).into());
    let query = Query {
        ltime,
        id: 1,
        addr,
        source_node: "a".into(),
        filters: Vec::new(),
        ack: false,
        no_broadcast: false,
        relay_factor: 0,
        timeout: std::time::Duration::ZERO,
        name: "_serf_install-key".into(),
        payload: request.encode(),
    };
    let answer = QueryResponse { ltime, id: 1, from: "a".into(), ack: false, payload: listed.encode() };
    let relay = Relay { dest: addr, dest_name: "b".into(), inner: listed.encode() };
    let node = KeyNode { keys: vec![base64.clone()], primary: Some(base64.clone()), ..KeyNode::default() };
    let counted = proto::KeyResponse { keys: Some(BTreeMap::from([(base64.clone(), 1)])), ..Default::default() };
    let import = Import { key: base64.clone(), add: true };
    let document = serde_json::to_string(&import).unwrap().into();
    let secret = || ConfigSecret::new(base64.clone());
    let mut overrides = Overrides::default();
    for name in ["encrypt", "rpc-auth"] {
        overrides.give(name, &base64).unwrap();
    }
    let mut sessions = Sessions::new(NodeName::new("a").unwrap(), b"", Box::new(|out| out.fill(1)));
    sessions.seal(NOW, &key(), SessionId([2; 16]), 3, b"x", &mut Vec::new());
    let opening = sessions.open_stream(&key());
    let values: [(&str, &dyn Debug); 24] = [
        ("key", &key()),
        ("ring", &Keyring::new(key(), [])),
        ("sessions", &sessions),
        ("opening", &opening),
        ("stream key", &StreamKey::new(&KEY)),
        ("install", &op(KeyOp::Install)),
        ("use", &op(KeyOp::Use)),
        ("remove", &op(KeyOp::Remove)),
        ("params", &KeyParams { op: op(KeyOp::Install), only: Vec::new(), ballot: None }),
        ("key request", &request),
        ("key response", &listed),
        ("query", &query),
        ("query response", &answer),
        ("relay", &relay),
        ("node", &node),
        ("keyring", &KeyringAnswer::Keys(vec![base64.clone()])),
        ("counted", &counted),
        ("body", &proto::Body::Keys(counted.clone())),
        ("auth", &proto::Request::Auth { key: KEY.to_vec().into() }),
        ("rpc install", &proto::Request::InstallKey { key: text() }),
        ("rpc use", &proto::Request::UseKey { key: text() }),
        ("rpc import", &proto::Request::Weir { command: "weir-keys-import".into(), document }),
        ("import", &import),
        ("source", &(SecretSource::Inline(secret()), SecretSource::Inline(key()), overrides)),
    ];
    for (what, value) in values {
        assert_hidden(what, value);
    }
}

#[test]
fn debug_of_an_endpoint_in_the_middle_of_a_key_change_shows_no_key() {
    let rng = StdRng::seed_from_u64(1);
    let options = Options::new(NodeName::new("a").unwrap(), ([127, 0, 0, 1], 7946).into());
    let ring = Some(Keyring::new(key(), []));
    let mut endpoint = Endpoint::new(options, ring, Restored::default(), rng, Box::new(|out| out.fill(1)), NOW);
    let op = KeyOp::Install(KEY.to_vec().into());
    endpoint.key_request(NOW, KeyParams { op, only: Vec::new(), ballot: None }).unwrap();
    assert_hidden("endpoint", &endpoint);
    while let Some(output) = endpoint.poll_output() {
        assert_hidden("output", &output);
    }
    endpoint.user_event(NOW, "e", Bytes::new(), false).unwrap();
    assert_hidden("endpoint", &endpoint);
}
