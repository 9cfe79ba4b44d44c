//! Queries: whoever is asked acknowledges and answers, once, and nobody else does.

use std::collections::BTreeSet;
use std::time::Duration;

use weir::serf::QueryParams;

use super::cluster::{Cluster, KEY};
use super::watch::{Answers, Watcher, answer, ask};
use crate::support::{Agent, Kind, Settings, await_agreement};

/// A question, and who is to answer it.
struct Question {
    params: QueryParams,
    asked: BTreeSet<String>,
}

fn question(name: &str, asked: &BTreeSet<String>) -> Question {
    let timeout = Some(Duration::from_secs(8));
    let params = QueryParams {
        name: name.to_owned(),
        payload: vec![0, 255, b'?'].into(),
        ack: true,
        timeout,
        ..QueryParams::default()
    };
    Question { params, asked: asked.clone() }
}

fn questions(cluster: &Cluster) -> Vec<Question> {
    let everybody = cluster.names();
    let two: BTreeSet<_> = cluster.one_of_each().map(|agent| agent.name.clone()).into();
    let web: BTreeSet<_> = (cluster.agents.iter().enumerate())
        .filter(|(index, _)| !index.is_multiple_of(3))
        .map(|(_, agent)| agent.name.clone())
        .collect();
    let serfs: BTreeSet<_> =
        cluster.agents.iter().filter(|agent| agent.kind == Kind::Serf).map(|agent| agent.name.clone()).collect();

    let mut all = vec![question("everybody", &everybody)];
    let mut nodes = question("nodes", &two);
    nodes.params.nodes = two.iter().cloned().chain(["nobody".to_owned()]).collect();
    all.push(nodes);
    let mut tagged = question("tagged", &web);
    tagged.params.tags = [("role".to_owned(), "^w[a-f]b$".to_owned())].into();
    all.push(tagged);
    // Go's \d, and a tag whose value is not only letters.
    let mut both = question("both", &serfs);
    both.params.nodes = serfs.iter().cloned().collect();
    both.params.tags = [("index".to_owned(), r"^\d+$".to_owned()), ("odd".to_owned(), "=ü$".to_owned())].into();
    all.push(both);
    let mut nobody = question("nobody", &BTreeSet::new());
    nobody.params.tags = [("role".to_owned(), "^none$".to_owned())].into();
    all.push(nobody);
    let mut relayed = question("relayed", &everybody);
    relayed.params.relay_factor = 2;
    all.push(relayed);
    let mut silent = question("silent", &everybody);
    silent.params.ack = false;
    all.push(silent);
    all
}

fn expected(question: &Question) -> Answers {
    let names = || question.asked.iter().cloned();
    let acks = if question.params.ack { names().collect() } else { Vec::new() };
    let responses = names().map(|name| (name.clone(), answer(&name, &question.params.payload))).collect();
    Answers { acks, responses }
}

/// All questions, through one agent of each kind, at once.
fn every_question_is_answered(size: usize) {
    let cluster = Cluster::start(size);
    let watchers: Vec<_> =
        cluster.agents.iter().map(|agent| Watcher::start(&agent.name, &agent.rpc.to_string())).collect();
    let askers = cluster.one_of_each();
    let turn = tokio::sync::Mutex::new(());
    std::thread::scope(|scope| {
        let asking: Vec<_> = askers
            .iter()
            .flat_map(|agent| questions(&cluster).into_iter().map(move |question| (*agent, question)))
            .map(|(agent, question)| {
                let turn = &turn;
                scope.spawn(move || (agent, ask(&agent.rpc.to_string(), question.params.clone(), turn), question))
            })
            .collect();
        for thread in asking {
            let (agent, answers, question) = thread.join().unwrap();
            assert_eq!(answers, expected(&question), "'{}' asked through {}", question.params.name, agent.name);
        }
    });
    // Nobody was shown a question that was not for it, nor one twice.
    for watcher in &watchers {
        let mut shown = watcher.queries();
        shown.sort();
        let mut due: Vec<_> = (questions(&cluster).into_iter())
            .filter(|question| question.asked.contains(&watcher.name))
            .flat_map(|question| [question.params.name.clone(), question.params.name])
            .collect();
        due.sort();
        assert_eq!(shown, due, "{}", watcher.name);
    }
    for agent in askers {
        command_line_answers(agent, &cluster);
    }
}

/// The same by the agent's own command line, whose JSON has the same form in both.
fn command_line_answers(agent: &Agent, cluster: &Cluster) {
    let format = if agent.kind == Kind::Weir { "--format=json" } else { "-format=json" };
    let output = agent.cli(&["query", format, "cli", "payload"]);
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let acks: BTreeSet<_> =
        told["Acks"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(acks, cluster.names(), "{}", agent.name);
    let responses = told["Responses"].as_object().unwrap();
    for name in cluster.names() {
        let expected = answer(&name, b"payload");
        assert_eq!(responses[&name].as_str().map(str::as_bytes), Some(&expected[..]), "{}", agent.name);
    }
}

#[test]
#[ignore = "needs serf"]
fn three_acknowledge_and_answer_every_query_once() {
    every_question_is_answered(3);
}

#[test]
#[ignore = "needs serf"]
fn ten_acknowledge_and_answer_every_query_once() {
    every_question_is_answered(10);
}

/// What a handler's failure is to whoever asks: an answer in words, through either kind of agent. Serf's own handlers fail in
/// silence.
#[test]
fn a_failing_handler_of_weirs_is_told_to_either_kind_of_asker() {
    let settings = || Settings::key(KEY).log_level("info");
    let broken = "[handler.uptime]\non = [\"query:uptime\"]\nshell = \"echo half; exit 3\"\n\
         [handler.log]\nshell = \"true\"\n[handler.gone]\non = [\"query:gone\"]\nrun = [\"/nonexistent/program\"]\n";
    let ours = Agent::start(Kind::Weir, "ours", settings().toml(broken));
    let mut beside = settings().join(ours.gossip);
    beside.serf_args.push("-event-handler=query:uptime=echo half; exit 3".to_owned());
    let serfs = Agent::start(Kind::Serf, "serfs", beside);
    await_agreement(&[&ours, &serfs], &[("ours", "alive"), ("serfs", "alive")]);
    for asker in [&ours, &serfs] {
        for (query, told) in [
            ("uptime", "error: handler uptime failed: exit 3"),
            ("gone", "error: handler gone failed: cannot start /nonexistent/program: no such file or directory"),
        ] {
            let output = asker.cli(&["query", "--format=json", query]);
            let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(
                answers["Responses"],
                serde_json::json!({ "ours": format!("{told}\n") }),
                "{query} asked of {}",
                asker.name
            );
        }
    }
}
