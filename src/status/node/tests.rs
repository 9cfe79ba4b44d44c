use super::*;
use crate::health::State;
use crate::serf::Status;
use crate::status::{Known, Level, Trouble};
use crate::upstream::{Generation, Mode, VerdictReason, Witness};

/// A document in which every field has something to say.
pub(crate) fn full() -> Document {
    let addr = |text: &str| text.parse().unwrap();
    let at = || Some("2026-11-28T16:02:11Z".to_owned());
    let text = |text: &str| text.to_owned();
    Document {
        node: Node {
            name: text("lb1"),
            version: text("0.1.0"),
            serf_mode: false,
            pid: 812,
            started: at(),
            uptime_s: 7440,
            bind: Some(addr("0.0.0.0:7946")),
            addr: Some(addr("10.77.0.11:7946")),
            tags: [(text("role"), text("lb"))].into(),
            incarnation: 3,
            awareness: 1,
            silenced: false,
            silenced_since: None,
            address_gone: None,
            drain: None,
            namesake: None,
            runtime: Runtime { os: text("linux"), arch: text("x86_64"), cpus: 2, tasks: 9 },
        },
        cluster: Cluster {
            members: 3,
            alive: 2,
            failed: 1,
            last_change: Some(LastChange { member: text("web2"), status: Status::Failed.into(), at: at() }),
            clocks: Clocks { member: 12, event: 4, query: 7 },
            queues: Queues { intents: 1, events: 2, queries: 3 },
            coordinate_resets: Some(0),
            join_failures: vec![Trouble::new("nothing listens on 10.77.0.12:7946", "start weir there")],
            isolated_since: None,
            strangers: vec![Stranger {
                addr: addr("10.77.0.99:7946"),
                reason: text("key_unknown"),
                key: Some(text("b07e4410")),
                ago_s: 5,
                unheard: 0,
                member: false,
                trouble: Some(Trouble::new("10.77.0.99 is no member", "see to it")),
            }],
            ..Cluster::default()
        },
        config: Configuration::default(),
        health: Health { own: State::Warning.into(), warning: 1, none: 1, ..Health::default() },
        checks: vec![Check {
            name: text("disk"),
            kind: CheckKind::Exec.into(),
            target: text("/usr/lib/weir/disk /srv"),
            state: State::Warning.into(),
            since: at(),
            for_s: 40,
            result: Some(State::Warning.into()),
            at: at(),
            word_at: None,
            in_a_row: 8,
            took_ms: Some(3),
            output: text("half full"),
        }],
        keys: Keys {
            keys: vec![Key { id: text("3fa9c1d2"), sealed_packets: 412_008, worn: 0.001, worn_since: None }],
            removed: vec![RemovedKey { id: text("b07e4410"), members: 3 }],
            alone: false,
            failing: None,
        },
        snapshot: Some(Snapshot {
            path: text("/var/lib/weir/snapshot"),
            bytes: 1434,
            synced: Moment { at: at(), ago_s: 0 },
            failing: None,
        }),
        upstreams: vec![Upstream {
            mode: Some(Mode::Normal.into()),
            want: Some(Want::Servers.into()),
            live: true,
            generation: Some(Generation(7)),
            since: at(),
            live_since: at(),
            waiting: vec![Change {
                upstream: text("web"),
                member: text("web1"),
                field: Field::Weight.into(),
                before: Some(Value::Number(2)),
                after: Some(Value::Number(4)),
                addr: None,
                weight: None,
            }],
            output: Some(text("/etc/nginx/conf.d/weir-web.conf")),
            floor: 1,
            base: 2,
            servers: vec![Server {
                member: text("web1"),
                addr: addr("10.77.0.12:80"),
                state: ServerState::In.into(),
                weight: 1,
                share: 1.0,
                backup: false,
                since: at(),
                reason: VerdictReason::In.into(),
                witness: Some(Witness::Passing.into()),
                held_down_until: None,
                gossip_since: None,
                why: text("in"),
                notes: vec![text("tag weight=\"two\" is not a number, 1 is used")],
                probe: Some(Probe {
                    state: ProbeState::Up.into(),
                    question: text("GET http://10.77.0.12:80/"),
                    took_ms: Some(1.2),
                    error: None,
                    since: at(),
                    fault: None,
                    unasked: None,
                    first_failure: None,
                    successes: 812,
                    failures: 0,
                    rise: 2,
                    fall: 2,
                }),
                check: None,
            }],
            left_out: vec![LeftOut {
                member: text("web2"),
                reason: LeftOutReason::NotAPort.into(),
                why: text("tag port=\"80;\" is not a port, it is left out"),
                remedy: Some(text("'weir tags --set port=80' on web2, or what its port is")),
            }],
            ..Upstream::undecided("web")
        }],
        nginx: Some(Nginx {
            state: NginxState::Running.into(),
            version: Some(text("1.22.1")),
            pid: Some(907),
            since: at(),
            message: None,
            remedy: None,
            unseen: None,
        }),
        apply: Some(Apply {
            running: false,
            slow: None,
            unconfirmed_since: None,
            last: Some(LastApply {
                result: ApplyResult::Live.into(),
                ended: Moment { at: at(), ago_s: 3 },
                since: at(),
                elapsed_ms: 112,
                generation: Some(Generation(7)),
                step: None,
                ours: None,
                foreign_edit: false,
                nginx_error: None,
                helper_missing: false,
                message: text("generation 7 live in 112 ms"),
                remedy: None,
            }),
            reload: Some(Reload { generation: Generation(7), ended: Moment { at: at(), ago_s: 3 }, elapsed_ms: 112 }),
            foreign: vec![ForeignEdit {
                file: text("/etc/nginx/conf.d/weir-web.conf"),
                copy: text("/var/lib/weir-apply/foreign/weir-web.conf.1"),
                seen: Moment { at: at(), ago_s: 9000 },
            }],
            orphans: vec![text("/etc/nginx/conf.d/weir-old.conf")],
            templates: Vec::new(),
            waits: Vec::new(),
            held: Vec::new(),
        }),
        handlers: vec![Handler {
            name: text("deploy"),
            on: vec![text("user:deploy")],
            command: text("/usr/lib/weir/deploy"),
            runs: 3,
            failures: 1,
            dropped: 2,
            last_drop: Some(Moment { at: at(), ago_s: 9000 }),
            last: Some(LastRun { run: Run::Exited { status: 0 }, elapsed_ms: 15, at: at() }),
        }],
        traffic: Traffic { packets_in: 1, packets_out: 2, bytes_in: 3, bytes_out: 4, ..Traffic::default() },
        drops: [(text("plaintext"), 2)].into(),
        rpc: [(text("clients"), 1)].into(),
        attention: vec![Attention {
            level: Level::Warn.into(),
            kind: Kind::Handlers.into(),
            subject: text("deploy"),
            message: text("handler deploy failed: exit 1"),
            remedy: Some(text("see 'journalctl -u weir'")),
            since: at(),
        }],
        members: vec![Member {
            name: text("web\n1"),
            addr: addr("[fd00::12]:7946"),
            status: Status::Alive.into(),
            since: at(),
            tags: [(text("role"), text("web"))].into(),
            envelope: Some(text("session")),
            own: false,
        }],
    }
}

#[test]
fn a_document_survives_its_journey() {
    let text = serde_json::to_string(&full()).unwrap();
    assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), full());
    assert!(!text.contains('\n'), "what peers chose is escaped by JSON");
}

/// Every object gets a field that nobody knows.
pub(crate) fn with_unknown_fields(value: &mut serde_json::Value, path: &str) {
    match value {
        serde_json::Value::Object(object) => {
            object.iter_mut().for_each(|(key, value)| with_unknown_fields(value, key));
            // Maps of the document hold values of one type.
            if !matches!(path, "tags" | "drops" | "rpc" | "reached") {
                object.insert("from_the_future".to_owned(), serde_json::json!({ "a": [1] }));
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(|value| with_unknown_fields(value, "")),
        _ => {}
    }
}

#[test]
fn what_a_newer_agent_adds_is_ignored() {
    let mut value = serde_json::to_value(full()).unwrap();
    with_unknown_fields(&mut value, "");
    assert_eq!(serde_json::from_value::<Document>(value).unwrap(), full());
}

#[test]
fn what_an_older_agent_lacks_has_its_default() {
    assert_eq!(serde_json::from_str::<Document>("{}").unwrap(), Document::default());
    let part = r#"{"node": {"name": "lb1"}, "upstreams": [{"name": "web"}], "handlers": [{}], "keys": {"keys": [{}]},
        "members": [{"name": "a", "addr": "10.0.0.1:1", "status": "alive"}], "apply": {}}"#;
    let document: Document = serde_json::from_str(part).unwrap();
    assert_eq!((document.node.name.as_str(), document.upstreams.len(), document.members.len()), ("lb1", 1, 1));
    assert_eq!(document.apply, Some(Apply::default()));
}

#[test]
fn a_word_that_is_not_known_is_kept() {
    let text = r#"{"member": "web1", "addr": "10.0.0.1:80", "state": "sleeping", "weight": 1, "reason": "tired"}"#;
    let server: Server = serde_json::from_str(text).unwrap();
    assert_eq!(server.state, Known::Newer("sleeping".to_owned()));
    assert_eq!(serde_json::to_value(&server).unwrap()["reason"], "tired");
    let run: LastRun = serde_json::from_str(r#"{"result": "frozen", "elapsed_ms": 3}"#).unwrap();
    assert_eq!(run.run, Run::Newer { result: "frozen".to_owned() });
}

#[test]
fn words_and_units_are_those_of_the_contract() {
    let value = serde_json::to_value(full()).unwrap();
    for (pointer, wanted) in [
        ("/upstreams/0/mode", "normal"),
        ("/upstreams/0/servers/0/state", "in"),
        ("/upstreams/0/left_out/0/reason", "not_a_port"),
        ("/apply/last/result", "live"),
        ("/apply/last/at", "2026-11-28T16:02:11Z"),
        ("/nginx/state", "running"),
        ("/handlers/0/last/result", "exited"),
        ("/members/0/status", "alive"),
        ("/attention/0/kind", "handlers"),
        ("/attention/0/level", "warn"),
        ("/cluster/join_failures/0/remedy", "start weir there"),
    ] {
        assert_eq!(value.pointer(pointer).and_then(|value| value.as_str()), Some(wanted), "{pointer}");
    }
    assert_eq!(value.pointer("/apply/last/elapsed_ms"), Some(&serde_json::json!(112)));
}
