//! Whole agents against each other, on loopback addresses and real sockets, all in one thread.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::*;
use super::{Agent, start};
use crate::config::{Overrides, Source, load};
use crate::health::State;
use crate::rpc::Call;
use crate::rpc::proto::QueryRecord;
use crate::rpc::weir::{Answer, Asked, CheckSet, Reload};
use crate::serf::{QueryParams, Status};
use crate::status::groups::groups;
use crate::status::node::{Attention, Kind};

mod drain;
mod rotate;

const KEYS: [&str; 2] = ["AAECAwQFBgcICQoLDA0ODw==", "HB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs="];

/// A directory with one agent's files, and the agents' common clock of patience.
struct Lab {
    directory: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn keyring(&self, name: &str, keys: &[&str]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, serde_json::to_string(keys).unwrap()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// An agent called `name` at a free port of `ip`, sealed with `keyring` if there is one.
    fn start(&self, name: &str, ip: &str, keyring: Option<&Path>, more: &str) -> Start {
        let encryption = match keyring {
            Some(path) => format!("encryption.keyring = \"{}\"", path.display()),
            None => "encryption.seal = \"off\"".to_owned(),
        };
        let bind = if more.contains("gossip.bind") { String::new() } else { format!("gossip.bind = \"{ip}:0\"\n") };
        let text = format!(
            "node.name = \"{name}\"\nrpc.socket = \"\"\n{bind}gossip.profile = \"local\"\n\
             gossip.probe_interval = \"100ms\"\ngossip.probe_timeout = \"50ms\"\n{encryption}\n{more}"
        );
        let file = self.path(&format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            paths: vec![Source::File(file)],
            environment: Vec::new(),
            overrides: Overrides::default(),
            serf: false,
            pipes: false,
            host_name: name.to_owned(),
        };
        let loaded = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        Start { loaded, sources, console: None }
    }

    async fn agent(&self, name: &str, ip: &str, keyring: Option<&Path>, more: &str) -> Agent {
        let mut agent = start(self.start(name, ip, keyring, more), silent()).await.unwrap();
        agent.perform();
        agent
    }

    async fn refused(&self, name: &str, ip: &str, keyring: Option<&Path>, more: &str) -> String {
        start(self.start(name, ip, keyring, more), silent()).await.unwrap_err().to_string()
    }
}

fn silent() -> Log {
    Log::silent(crate::config::Config::default().log.level)
}

fn run_test<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

/// Lets all agents work until `condition` holds.
async fn until(agents: &mut [&mut Agent], what: &str, mut condition: impl FnMut(&[&mut Agent]) -> bool) {
    let work = async {
        while !condition(agents) {
            let mut steps: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
            for agent in agents.iter_mut() {
                steps.push(Box::pin(agent.step()));
            }
            std::future::poll_fn(|context| {
                let any = steps.iter_mut().any(|step| step.as_mut().poll(context).is_ready());
                if any { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    };
    assert!(timeout(Duration::from_secs(30), work).await.is_ok(), "not within the deadline: {what}");
}

fn status(agent: &Agent, name: &str) -> Option<Status> {
    agent.endpoint.member(name).map(|member| member.status)
}

/// As `more`: join `agent`, without a snapshot.
fn join(agent: &Agent) -> String {
    format!("snapshot.path = \"\"\ngossip.join = [\"{}\"]", agent.udp.local())
}

const ALONE: &str = "snapshot.path = \"\"";

#[test]
fn three_agents_join_agree_and_see_a_leave() {
    run_test(async {
        let lab = Lab::new();
        for key in KEYS {
            let ring = lab.keyring("ring.json", &[key]);
            let mut a = lab.agent("a", "127.7.1.1", Some(&ring), &format!("{ALONE}\n[node.tags]\nrole = \"lb\"")).await;
            let mut b = lab.agent("b", "127.7.1.2", Some(&ring), &join(&a)).await;
            let mut c = lab.agent("c", "127.7.1.3", Some(&ring), &join(&a)).await;
            let alive = |agent: &Agent| ["a", "b", "c"].iter().all(|name| status(agent, name) == Some(Status::Alive));
            until(&mut [&mut a, &mut b, &mut c], "all see all", |all| all.iter().all(|agent| alive(agent))).await;
            assert_eq!(b.endpoint.member("a").unwrap().tags().get("role").map(String::as_str), Some("lb"));

            c.leave();
            until(&mut [&mut a, &mut b, &mut c], "c has left", |all| {
                let left = |agent: &Agent| status(agent, "c") == Some(Status::Left);
                all[2].exit == Some(Exit::Left) && left(all[0]) && left(all[1])
            })
            .await;
        }
    });
}

#[test]
fn lost_member_fails_and_comes_back_under_its_name() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.2.1", None, ALONE).await;
        let mut b = lab.agent("b", "127.7.2.2", None, &join(&a)).await;
        until(&mut [&mut a, &mut b], "both joined", |all| status(all[0], "b") == Some(Status::Alive)).await;
        drop(b);
        until(&mut [&mut a], "b failed", |all| status(all[0], "b") == Some(Status::Failed)).await;
        let mut b = lab.agent("b", "127.7.2.2", None, &join(&a)).await;
        until(&mut [&mut a, &mut b], "b is back", |all| status(all[0], "b") == Some(Status::Alive)).await;
    });
}

#[test]
fn join_is_tried_until_somebody_is_there() {
    run_test(async {
        let lab = Lab::new();
        let mut late = lab.agent("late", "127.7.3.1", None, ALONE).await;
        let addr = late.udp.local();
        drop(late);
        let mut early = lab.agent("early", "127.7.3.2", None, &format!("{ALONE}\ngossip.join = [\"{addr}\"]")).await;
        until(&mut [&mut early], "the first try failed", |all| !all[0].joins.failures().is_empty()).await;
        late = lab.agent("late", "127.7.3.1", None, &format!("{ALONE}\ngossip.bind = \"{addr}\"")).await;
        until(&mut [&mut early, &mut late], "joined", |all| status(all[0], "late") == Some(Status::Alive)).await;
        assert_eq!(early.joins.poll_timeout(), None);
    });
}

#[test]
fn join_retry_max_ends_the_agent() {
    run_test(async {
        let lab = Lab::new();
        let more = format!("{ALONE}\ngossip.join = [\"127.7.4.9:1\"]\ngossip.join_retry_max = 1");
        let mut agent = lab.agent("a", "127.7.4.1", None, &more).await;
        until(&mut [&mut agent], "gave up", |all| all[0].exit == Some(Exit::JoinGaveUp)).await;
    });
}

#[test]
fn an_agent_on_loopback_says_why_it_joins_nobody_elsewhere() {
    run_test(async {
        let lab = Lab::new();
        // TEST-NET-1 is nobody's.
        let more = format!("{ALONE}\ngossip.join = [\"192.0.2.1\"]");
        let mut agent = lab.agent("a", "127.7.40.1", None, &more).await;
        until(&mut [&mut agent], "the first try failed", |all| !all[0].joins.failures().is_empty()).await;
        let told = agent.joins.failures()[0].to_string();
        let wanted = "this agent is bound to 127.7.40.1, from where 192.0.2.1:7946 cannot be reached; set gossip.bind";
        assert!(told.starts_with(wanted), "{told}");
    });
}

#[test]
fn agents_of_different_keys_do_not_meet() {
    run_test(async {
        let lab = Lab::new();
        let (ours, theirs) = (lab.keyring("a.json", &KEYS[..1]), lab.keyring("b.json", &KEYS[1..]));
        let mut a = lab.agent("a", "127.7.5.1", Some(&ours), ALONE).await;
        let mut b = lab.agent("b", "127.7.5.2", Some(&theirs), &join(&a)).await;
        let tried = |agent: &Agent| !agent.joins.failures().is_empty();
        until(&mut [&mut a, &mut b], "refused", |all| {
            tried(all[1]) && all[0].endpoint.drops().iter().any(|(_, n)| n > 0)
        })
        .await;
        assert_eq!((status(&a, "b"), status(&b, "a")), (None, None));
    });
}

#[test]
fn taken_port_is_said_and_nothing_stays_bound() {
    run_test(async {
        let lab = Lab::new();
        let a = lab.agent("a", "127.7.6.1", None, ALONE).await;
        let addr = a.udp.local();
        let error = lab.refused("b", "127.7.6.1", None, &format!("{ALONE}\ngossip.bind = \"{addr}\"")).await;
        assert!(error.starts_with(&format!("cannot bind {addr}/tcp: in use by ")), "{error}");
    });
}

#[test]
fn missing_and_readable_keyrings_are_refused() {
    run_test(async {
        use std::os::unix::fs::PermissionsExt;
        let lab = Lab::new();
        let missing = lab.path("none.json");
        let error = lab.refused("a", "127.7.7.1", Some(&missing), ALONE).await;
        assert!(error.starts_with("no keyring at "), "{error}");
        let ring = lab.keyring("ring.json", &KEYS[..1]);
        std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = lab.refused("a", "127.7.7.1", Some(&ring), ALONE).await;
        assert!(error.contains("can be read by others (mode 0644)"), "{error}");
    });
}

#[test]
fn handler_hears_of_members_and_answers_queries() {
    run_test(async {
        let lab = Lab::new();
        let seen = lab.path("seen");
        let handlers = format!(
            "{ALONE}\n[handler.joins]\non = [\"member-join\"]\nshell = \"cat >> {0}\"\n\
             [handler.uptime]\non = [\"query:uptime\"]\nshell = \"echo up\"",
            seen.display()
        );
        let mut a = lab.agent("a", "127.7.8.1", None, &handlers).await;
        let mut b = lab.agent("b", "127.7.8.2", None, &join(&a)).await;
        let wrote =
            |name: &str| std::fs::read_to_string(&seen).is_ok_and(|text| text.contains(&format!("{name}\t127.7.8")));
        until(&mut [&mut a, &mut b], "the script wrote both", |_| wrote("a") && wrote("b")).await;

        let mut records = ask(&mut b, "uptime");
        let answers = received(&mut [&mut a, &mut b], &mut records, 1).await;
        assert_eq!(answers, [("a".to_owned(), "up\n".to_owned())]);
    });
}

#[test]
fn answer_that_is_too_large_is_told_to_both_sides() {
    run_test(async {
        let lab = Lab::new();
        // Of the larger one the agent has only the end.
        let handler = |name: &str, bytes| {
            format!("[handler.{name}]\non = [\"query:{name}\"]\nshell = \"yes | head -c {bytes}\"\n")
        };
        let more = format!("{ALONE}\n{}{}", handler("big", 5000), handler("huge", 1 << 20));
        let mut a = lab.agent("a", "127.7.16.1", None, &more).await;
        let mut b = lab.agent("b", "127.7.16.2", None, &join(&a)).await;
        until(&mut [&mut a, &mut b], "joined", |all| status(all[1], "a") == Some(Status::Alive)).await;
        for (query, bytes) in [("big", 5000), ("huge", 1 << 20)] {
            let mut records = ask(&mut b, query);
            let answers = received(&mut [&mut a, &mut b], &mut records, 1).await;
            let text = format!("error: the answer has {bytes} bytes, 1024 fit; send a reference and fetch the rest\n");
            assert_eq!(answers, [("a".to_owned(), text)]);
        }
    });
}

/// Asks a query as a client does.
fn ask(agent: &mut Agent, name: &str) -> mpsc::Receiver<QueryRecord> {
    let params = QueryParams { name: name.to_owned(), ..QueryParams::default() };
    let (sender, records) = mpsc::channel(16);
    agent.handle_call(Call::Query { params, records: sender, reply: tokio::sync::oneshot::channel().0 });
    records
}

/// The next `count` responses to a query.
async fn received(
    agents: &mut [&mut Agent],
    records: &mut mpsc::Receiver<QueryRecord>,
    count: usize,
) -> Vec<(String, String)> {
    let answers = std::cell::RefCell::new(Vec::new());
    let records = std::cell::RefCell::new(records);
    until(agents, "answers", |_| {
        while let Ok(record) = records.borrow_mut().try_recv() {
            if let QueryRecord::Response { from, payload } = record {
                answers.borrow_mut().push((from, String::from_utf8(payload.to_vec()).unwrap()));
            }
        }
        answers.borrow().len() >= count
    })
    .await;
    answers.into_inner()
}

#[test]
fn reload_changes_tags_and_handlers_and_keeps_a_tag_set_at_run_time() {
    run_test(async {
        let lab = Lab::new();
        let mut a =
            lab.agent("a", "127.7.9.1", None, &format!("{ALONE}\n[node.tags]\nrole = \"web\"\nport = \"80\"")).await;
        let mut tags = a.endpoint.tags();
        tags.insert("weight".to_owned(), "3".to_owned());
        a.endpoint.set_tags(clock::now(), &tags).unwrap();

        let more = format!("{ALONE}\n[node.tags]\nrole = \"lb\"\n[handler.all]\nshell = \"true\"");
        lab.start("a", "127.7.9.1", None, &more); // writes the file
        a.reload(reload::Request::default());
        until(&mut [&mut a], "reloaded", |all| all[0].document(false).handlers.len() == 1).await;
        let tags: Vec<_> = a.endpoint.tags().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(tags, ["role=lb", "weight=3", "weir_health=none"]);

        std::fs::write(lab.path("a.toml"), "node.name = 7\n").unwrap();
        let (answer, mut told) = Answer::channel();
        a.reload(reload::Request::asked(Reload::default(), answer));
        until(&mut [&mut a], "refused", |_| told.try_recv().is_some()).await;
        assert_eq!(a.endpoint.tags().get("role").map(String::as_str), Some("lb"));
        let refused = |agent: &Agent| {
            let attention = agent.document(false).attention.into_iter().find(|it| it.kind.is(&Kind::Config));
            attention.map(|it| (it.message.contains("a.toml:1:"), it.since))
        };
        let (names_the_place, since) = refused(&a).expect("it is in the list");
        assert!(names_the_place && since.is_some(), "{since:?}");

        lab.start("a", "127.7.9.1", None, &more);
        a.reload(reload::Request::default());
        until(&mut [&mut a], "taken over", |all| refused(all[0]).is_none()).await;
    });
}

#[test]
fn reload_with_an_address_that_does_not_answer_ends_no_member_of_a_cluster() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.17.1", None, ALONE).await;
        let mut b = lab.agent("b", "127.7.17.2", None, &join(&a)).await;
        until(&mut [&mut a, &mut b], "joined", |all| status(all[1], "a") == Some(Status::Alive)).await;

        let more = format!("{ALONE}\ngossip.join = [\"127.7.17.9:1\"]\ngossip.join_retry_max = 1");
        lab.start("b", "127.7.17.2", None, &more); // writes the file
        b.reload(reload::Request::default());
        until(&mut [&mut a, &mut b], "the new address was tried", |all| !all[1].joins.failures().is_empty()).await;
        assert_eq!((b.exit, b.joins.poll_timeout()), (None, None));
    });
}

#[test]
fn reload_during_a_leave_joins_nobody() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.18.1", None, ALONE).await;
        lab.start("a", "127.7.18.1", None, &format!("{ALONE}\ngossip.join = [\"127.7.18.9:1\"]")); // writes the file
        a.leave();
        a.reload(reload::Request::default());
        until(&mut [&mut a], "reloaded", |all| !all[0].config.gossip.join.is_empty()).await;
        assert_eq!(a.joins.poll_timeout(), None);
    });
}

/// As `more`: a snapshot, and nobody to join.
fn remembering(path: &Path) -> String {
    format!("snapshot.path = \"{}\"", path.display())
}

#[test]
fn killed_agent_rejoins_from_its_snapshot_alone() {
    run_test(async {
        let lab = Lab::new();
        let path = lab.path("snapshot");
        let mut a = lab.agent("a", "127.7.10.1", None, ALONE).await;
        let more = format!("{}\ngossip.join = [\"{}\"]", remembering(&path), a.udp.local());
        let mut b = lab.agent("b", "127.7.10.2", None, &more).await;
        let knows =
            |name: &str| std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!(" alive {name} ")));
        until(&mut [&mut a, &mut b], "b has written a down", |_| knows("a")).await;
        let incarnation = b.endpoint.swim().incarnation();
        drop(b);
        let mut b = lab.agent("b", "127.7.10.2", None, &remembering(&path)).await;
        assert!(b.endpoint.swim().incarnation() > incarnation);
        until(&mut [&mut a, &mut b], "b is back", |all| status(all[1], "a") == Some(Status::Alive)).await;
    });
}

#[test]
fn whom_the_snapshot_knows_and_who_has_another_key_is_told() {
    run_test(async {
        let lab = Lab::new();
        let path = lab.path("snapshot");
        let (old, new) = (lab.keyring("old.json", &[KEYS[0]]), lab.keyring("new.json", &[KEYS[1]]));
        let mut a = lab.agent("a", "127.7.30.1", Some(&old), ALONE).await;
        let addr = a.udp.local();
        let more = format!("{}\ngossip.join = [\"{addr}\"]", remembering(&path));
        let mut b = lab.agent("b", "127.7.30.2", Some(&old), &more).await;
        let knows = |text: String| text.contains(" alive a ");
        until(&mut [&mut a, &mut b], "b has written a down", |_| std::fs::read_to_string(&path).is_ok_and(knows)).await;
        drop((a, b));
        // As a restore leaves it: without what the cluster seals with by now.
        let mut a = lab.agent("a", "", Some(&new), &format!("{ALONE}\ngossip.bind = \"{addr}\"")).await;
        let mut b = lab.agent("b", "127.7.30.2", Some(&old), &remembering(&path)).await;
        assert!(b.config.gossip.join.is_empty());
        until(&mut [&mut a, &mut b], "b is told why", |all| all[1].joins.lacks_key()).await;
        let [told] = &b.joins.failures()[..] else { panic!("{:?}", b.joins.failures()) };
        assert!(told.what.starts_with("127.7.30.1 seals with key "), "{told}");
        let document = b.document(false);
        let Some(attention) = document.attention.iter().find(|one| one.kind.is(&Kind::Alone)) else { panic!() };
        assert_eq!(attention.message, format!("this node is alone: {}", told.what));
        assert_eq!(attention.remedy.as_deref(), Some(&*told.way_out));
        drop(b);
        let mut b = lab.agent("b", "127.7.30.2", Some(&new), &remembering(&path)).await;
        until(&mut [&mut a, &mut b], "b is back", |all| status(all[1], "a") == Some(Status::Alive)).await;
        assert!(b.joins.failures().is_empty() && !b.joins.lacks_key());
    });
}

#[test]
fn who_has_another_key_is_told_also_by_those_who_found_each_other() {
    run_test(async {
        let lab = Lab::new();
        let (old, new) = (lab.keyring("old.json", &[KEYS[0]]), lab.keyring("new.json", &[KEYS[1]]));
        let path = lab.path("b");
        let mut a = lab.agent("a", "127.7.31.1", Some(&old), ALONE).await;
        let addr = a.udp.local();
        let more = format!("{}\ngossip.join = [\"{addr}\"]", remembering(&path));
        let mut b = lab.agent("b", "127.7.31.2", Some(&old), &more).await;
        let knows = |text: String| text.contains(" alive a ");
        until(&mut [&mut a, &mut b], "b has written a down", |_| std::fs::read_to_string(&path).is_ok_and(knows)).await;
        drop((a, b));
        // One that missed a rotation, and one that has the same old key and joins it.
        let mut a = lab.agent("a", "", Some(&new), &format!("{ALONE}\ngossip.bind = \"{addr}\"")).await;
        let mut b = lab.agent("b", "127.7.31.2", Some(&old), &more).await;
        let to_both = format!("{ALONE}\ngossip.join = [\"{addr}\", \"{}\"]", b.udp.local());
        let mut c = lab.agent("c", "127.7.31.3", Some(&old), &to_both).await;
        let apart = |agent: &Agent| agent.document(false).cluster.apart().len() == 1;
        let is_told = |all: &[&mut Agent]| apart(all[1]) && apart(all[2]);
        until(&mut [&mut a, &mut b, &mut c], "both are told", |all| is_told(all)).await;
        for agent in [&b, &c] {
            let document = agent.document(false);
            let is_told = |one: &&Attention| one.kind.is(&Kind::Keys) && one.subject == addr.ip().to_string();
            let Some(told) = document.attention.iter().find(is_told) else { panic!("{:?}", document.attention) };
            assert!(told.message.contains("seals with key ") && !told.message.contains("shut out"), "{told:?}");
        }
    });
}

#[test]
fn agent_that_left_comes_back_when_it_is_started_again() {
    run_test(async {
        let lab = Lab::new();
        let path = lab.path("snapshot");
        let mut a = lab.agent("a", "127.7.11.1", None, ALONE).await;
        let more = format!("{}\ngossip.join = [\"{}\"]", remembering(&path), a.udp.local());
        let mut b = lab.agent("b", "127.7.11.2", None, &more).await;
        until(&mut [&mut a, &mut b], "joined", |all| status(all[1], "a") == Some(Status::Alive)).await;
        b.leave();
        until(&mut [&mut a, &mut b], "left", |all| all[1].exit == Some(Exit::Left)).await;
        b.store.finish().await;
        drop(b);
        assert!(std::fs::read_to_string(&path).unwrap().lines().any(|line| line.ends_with(" leave")));
        let mut b = lab.agent("b", "127.7.11.2", None, &remembering(&path)).await;
        until(&mut [&mut a, &mut b], "back", |all| status(all[0], "b") == Some(Status::Alive)).await;
    });
}

#[test]
fn tag_set_at_run_time_outlives_a_restart_and_the_file_rules_its_own() {
    run_test(async {
        let lab = Lab::new();
        let with = |role: &str| format!("{}\n[node.tags]\nrole = \"{role}\"", remembering(&lab.path("snapshot")));
        let mut a = lab.agent("a", "127.7.12.1", None, &with("web")).await;
        let mut tags = a.endpoint.tags();
        tags.insert("weight".to_owned(), "3".to_owned());
        a.endpoint.set_tags(clock::now(), &tags).unwrap();
        a.store.tags(&a.config.node.tags, a.endpoint.tags());
        a.store.finish().await;
        drop(a);
        let a = lab.agent("a", "127.7.12.1", None, &with("lb")).await;
        let tags: Vec<_> = a.endpoint.tags().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(tags, ["role=lb", "weight=3", "weir_health=none"]);
    });
}

#[test]
fn tag_deleted_at_run_time_stays_away_over_a_restart_until_the_file_has_another() {
    run_test(async {
        let lab = Lab::new();
        let with = |weight: u8| format!("{}\n[node.tags]\nweight = \"{weight}\"", remembering(&lab.path("snapshot")));
        let shown = |agent: &Agent| agent.endpoint.tags().get("weight").cloned();
        let mut a = lab.agent("a", "127.7.58.1", None, &with(2)).await;
        let (reply, _answer) = tokio::sync::oneshot::channel();
        a.handle_call(Call::Tags { set: std::collections::BTreeMap::new(), delete: vec!["weight".to_owned()], reply });
        a.store.finish().await;
        drop(a);
        let mut a = lab.agent("a", "127.7.58.1", None, &with(2)).await;
        assert_eq!(shown(&a), None, "it was deleted");
        lab.start("a", "127.7.58.1", None, &with(3)); // writes the file
        a.reload(reload::Request::default());
        until(&mut [&mut a], "the file has another", |all| shown(all[0]).as_deref() == Some("3")).await;
        a.store.finish().await;
        drop(a);
        let a = lab.agent("a", "127.7.58.1", None, &with(3)).await;
        assert_eq!(shown(&a).as_deref(), Some("3"), "it is deleted no more");
    });
}

#[test]
fn health_is_a_tag_that_follows_the_checks_and_nobody_else_sets() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.41.1", None, &format!("{ALONE}\n[check.job]\nttl = \"1h\"")).await;
        let mut b = lab.agent("b", "127.7.41.2", None, &join(&a)).await;
        let told = |agent: &Agent, name: &str| {
            agent.endpoint.member(name).and_then(|member| member.tags().get("weir_health").cloned()).unwrap_or_default()
        };
        until(&mut [&mut a, &mut b], "both are told", |all| told(all[1], "a") == "wait" && told(all[0], "b") == "none")
            .await;
        for (state, word) in [(State::Passing, "passing"), (State::Critical, "critical")] {
            let (answer, mut said) = Answer::channel();
            let word_of = CheckSet { name: None, state: state.into(), output: "three left".to_owned() };
            a.handle_call(Call::Weir(Asked::CheckSet(word_of, answer)));
            assert!(said.try_recv().unwrap().unwrap().state.is(&state));
            until(&mut [&mut a, &mut b], word, |all| told(all[1], "a") == word).await;
        }
        let document = a.document(false);
        assert!(document.health.own.is(&State::Critical));
        assert_eq!((document.health.critical, document.health.none), (1, 1));
        assert_eq!(document.checks[0].output, "three left");

        lab.start("a", "127.7.41.1", None, ALONE); // writes the file
        a.reload(reload::Request::default());
        until(&mut [&mut a, &mut b], "no checks any more", |all| told(all[1], "a") == "none").await;

        let (reply, mut refused) = tokio::sync::oneshot::channel();
        let set = [("weir_health".to_owned(), "passing".to_owned())].into();
        a.handle_call(Call::Tags { set, delete: Vec::new(), reply });
        assert!(refused.try_recv().unwrap().is_err());
    });
}

#[test]
fn tags_set_at_run_time_leave_room_for_those_of_weir() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.42.1", None, ALONE).await;
        let mut set = |bytes: usize| {
            let (reply, mut answer) = tokio::sync::oneshot::channel();
            let set = [("note".to_owned(), "x".repeat(bytes))].into();
            a.handle_call(Call::Tags { set, delete: Vec::new(), reply });
            answer.try_recv().unwrap().map_err(|refusal| refusal.to_string())
        };
        let fits = 512 - 81 - 10;
        let refused =
            "tags need 513 bytes with the 81 that weir keeps for its own, 512 fit in gossip; shorten or delete some";
        assert_eq!((set(fits + 1), set(fits)), (Err(refused.to_owned()), Ok(())));
        // As a drain has them, of the longest kind.
        let mut tags = tags::with_health(a.endpoint.tags(), State::Critical);
        tags.insert("weir_drain".to_owned(), format!("{} {}", "0".repeat(16), u64::MAX / 2));
        tags.insert("weir_lb".to_owned(), "1".to_owned());
        a.endpoint.set_tags(clock::now(), &tags).unwrap();
    });
}

#[test]
fn agent_goes_on_without_a_writable_snapshot() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.13.1", None, &remembering(&lab.path("none").join("snapshot"))).await;
        until(&mut [&mut a], "the failure was noticed", |all| {
            all[0].document(false).snapshot.unwrap().failing.is_some()
        })
        .await;
        std::fs::create_dir(lab.path("none")).unwrap();
        let mut b = lab.agent("b", "127.7.13.2", None, &join(&a)).await;
        until(&mut [&mut a, &mut b], "joined", |all| status(all[0], "b") == Some(Status::Alive)).await;
    });
}

#[test]
fn a_directory_in_place_of_the_snapshot_stays_and_keeps_no_agent_from_starting() {
    run_test(async {
        let lab = Lab::new();
        // The one that holds the configuration.
        let mut a = lab.agent("a", "127.7.14.1", None, &remembering(lab.directory.path())).await;
        until(&mut [&mut a], "the failure was noticed", |all| {
            all[0].document(false).snapshot.unwrap().failing.is_some()
        })
        .await;
        assert!(lab.path("a.toml").exists());
    });
}

/// As `more`: an upstream of everybody with the role web, whose NGINX is not there.
fn balancing(lab: &Lab) -> String {
    format!(
        "{ALONE}\napply.mode = \"direct\"\napply.state = \"{0}/state\"\nnginx.binary = \"{0}/nginx\"\n\
         [upstream.web]\nselect = {{ role = \"web\" }}\nallow_loopback = true\n\
         [upstream.web.nginx]\noutput = \"{0}/web.conf\"",
        lab.directory.path().display()
    )
}

fn web_line(agent: &Agent) -> Option<String> {
    groups(&agent.document(false)).remove("upstreams")?.remove("web")
}

#[test]
fn server_that_failed_is_in_again_when_it_is_back() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.15.1", None, &balancing(&lab)).await;
        assert_eq!(a.endpoint.tags().get("weir_lb").map(String::as_str), Some("1"));
        let web = format!("{}\n[node.tags]\nrole = \"web\"", join(&a));
        let one_in = |all: &[&mut Agent]| web_line(all[0]).as_deref() == Some("1 of 1 in");
        for _ in 0..2 {
            let mut b = lab.agent("b", "127.7.15.2", None, &web).await;
            until(&mut [&mut a, &mut b], "b is in", one_in).await;
            drop(b);
            until(&mut [&mut a], "b failed", |all| status(all[0], "b") == Some(Status::Failed)).await;
            until(&mut [&mut a], "b is out", |all| !one_in(all)).await;
        }
        until(&mut [&mut a], "the missing program is told", |all| {
            let attention = all[0].document(false).attention;
            attention.iter().any(|attention| attention.kind.is(&Kind::NginxDown))
        })
        .await;
    });
}

/// As [`balancing`], with a program for NGINX's that finds everything right, once the file `slow` is gone.
fn balancing_slowly(lab: &Lab, keepalive: u32) -> String {
    use std::os::unix::fs::PermissionsExt;
    let (program, directory) = (lab.path("nginx"), lab.directory.path().display());
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = -V ] && exit\necho '# configuration file {directory}/web.conf:'\n\
         touch {directory}/testing\nwhile [ -e {directory}/slow ]; do sleep 0.01; done\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(lab.path("slow"), "").unwrap();
    format!("nginx.pid_file = \"{directory}/nginx.pid\"\n{}\nkeepalive = {keepalive}", balancing(lab))
}

#[test]
fn configuration_that_changes_while_an_apply_runs_is_applied_after_it() {
    run_test(async {
        let lab = Lab::new();
        let web = || std::fs::read_to_string(lab.path("web.conf")).unwrap_or_default();
        let mut a = lab.agent("a", "127.7.19.1", None, &balancing_slowly(&lab, 5)).await;
        until(&mut [&mut a], "an apply runs", |_| lab.path("testing").exists()).await;
        assert!(web().contains("keepalive 5;"), "{}", web());

        lab.start("a", "127.7.19.1", None, &balancing_slowly(&lab, 7)); // writes the file
        let (answer, mut told) = Answer::channel();
        a.reload(reload::Request::asked(Reload::default(), answer));
        until(&mut [&mut a], "reloaded", |_| told.try_recv().is_some()).await;
        std::fs::remove_file(lab.path("slow")).unwrap();
        until(&mut [&mut a], "the new file is there", |_| web().contains("keepalive 7;")).await;
    });
}

#[test]
fn agent_that_ends_lets_its_apply_come_to_an_end() {
    run_test(async {
        let lab = Lab::new();
        let mut a = lab.agent("a", "127.7.20.1", None, &balancing_slowly(&lab, 5)).await;
        until(&mut [&mut a], "an apply runs", |_| lab.path("testing").exists()).await;
        let records = || std::fs::read_to_string(lab.path("state/journal")).unwrap_or_default();
        assert!(!records().contains("live"), "{}", records());
        a.exit = Some(Exit::Stopped);
        let release = async { std::fs::remove_file(lab.path("slow")).unwrap() };
        let (exit, ()) = tokio::join!(a.run(), release);
        assert_eq!(exit, Exit::Stopped);
        let last = records().lines().last().unwrap().to_owned();
        assert!(["live", "stored", "abort"].iter().any(|word| last.contains(word)), "{last}");
    });
}

#[test]
fn what_an_apply_left_half_done_is_put_back_before_the_cluster_is_known() {
    run_test(async {
        use sha2::{Digest as _, Sha256};
        let lab = Lab::new();
        let web = lab.path("web.conf");
        let hash: String = Sha256::digest("untested").iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(&web, "untested").unwrap();
        std::fs::create_dir(lab.path("state")).unwrap();
        let record = serde_json::json!({ "newest": 1, "open": 1, "live": null,
            "candidates": { web.display().to_string(): { "hash": hash, "created": true } } });
        std::fs::write(lab.path("state/record.json"), record.to_string()).unwrap();
        // Nothing is applied as long as the first join goes on.
        let joining = format!("gossip.join = [\"127.7.21.9:1\"]\n{}", balancing_slowly(&lab, 5));
        let mut a = lab.agent("a", "127.7.21.1", None, &joining).await;
        until(&mut [&mut a], "the untested file is gone", |_| !web.exists()).await;
        std::fs::remove_file(lab.path("slow")).unwrap();
    });
}

#[test]
fn reload_waits_for_no_pipe() {
    run_test(async {
        let lab = Lab::new();
        // A pipe may be given at start; nobody writes to it a second time.
        let mut with_pipes = lab.start("a", "127.7.22.1", None, ALONE);
        with_pipes.sources.pipes = true;
        let mut a = start(with_pipes, silent()).await.unwrap();
        std::fs::remove_file(lab.path("a.toml")).unwrap();
        nix::unistd::mkfifo(&lab.path("a.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (answer, mut told) = Answer::channel();
        a.reload(reload::Request::asked(Reload::default(), answer));
        let mut refused = None;
        until(&mut [&mut a], "told", |_| {
            refused = told.try_recv();
            refused.is_some()
        })
        .await;
        let told = refused.unwrap().unwrap_err().details.concat();
        assert!(told.contains("not a regular file"), "{told}");
    });
}
