//! A cluster in plain text: every command but `keys` and `monitor`, with every option.

use super::record::{By, Order, Record};
use super::same_for_all;
use super::stage::{Pair, Stage};

fn cluster(pair: Pair) -> Stage {
    let mut stage = Stage::new(pair, None);
    stage.start(
        "lb1",
        &[
            "-tag=role=lb",
            "-tag=my-tag.x=tab\tnl",
            "-tag=Zone=a b;c=d",
            "-event-handler=query:uptime=echo out-line-1 from $SERF_SELF_NAME; echo two",
            "-event-handler=user:deploy=cat >/dev/null",
        ],
    );
    stage.start("web1", &["-tag=role=web", "-event-handler=query:fail=echo no; exit 3"]);
    stage.start(
        "web2",
        &[
            "-tag=role=web",
            "-tag=dc=east",
            "-event-handler=query:uptime=echo up",
            "-event-handler=query:big=head -c 20000 /dev/zero",
            "-event-handler=query:binary=printf '\\377\\000<&>\"\\\\\\b\\f\\342\\200\\250'",
            "-event-handler=query:echo=cat",
        ],
    );
    stage
}

fn members(stage: &mut Stage) {
    for options in [
        &["members"][..],
        &["members", "-detailed"],
        &["members", "--detailed=true", "-detailed=false"],
        &["members", "-detailed=maybe"],
        &["members", "-format=json"],
        &["members", "-format", "json", "-detailed"],
        &["members", "-format=xml"],
        &["members", "-format="],
        &["members", "-name=web1"],
        &["members", "--name", "w.*"],
        &["members", "-name=nobody"],
        &["members", "-name=nobody", "-format=json"],
        &["members", "-name=web1", "-name=web2"],
        &["members", "-name="],
        &["members", "-status=alive"],
        &["members", "-status", "failed"],
        &["members", "-status=aliv"],
        &["members", "-tag", "role=web"],
        &["members", "-tag=role=we"],
        &["members", "-tag", "role=w.b", "-tag=dc=e.*"],
        &["members", "-tag=dc=.*"],
        &["members", "-tag=missing="],
        &["members", "-tag=missing=.+"],
        &["members", "-tag", "novalue"],
        &["members", "-role=web"],
        &["members", "-role", "web", "-format=json"],
        &["members", "-role="],
        &["members", "-bogus"],
        &["members", "-format"],
        &["members", "ignored", "-bogus"],
    ] {
        stage.run(Order::Lines, options);
    }
    // A bad expression: the agent answers instead of hanging up.
    stage.run(Order::Lines, &["members", "-name=("]);
    stage.record.differs(By::AgentToSerf, "\nError retrieving members: invalid expression for name: unclosed group", 1);
    // Alternatives are grouped, as their writer meant them.
    stage.run(Order::Lines, &["members", "-name=we|lb1"]);
    let lb = "\nlb1  @lb1-------------  alive  Zone=a b;c=d,my-tag.x=tab\tnl,role=lb";
    stage.record.differs(By::Agent, lb, 0);
}

fn events(stage: &mut Stage) {
    let (fits, long) = ("p".repeat(499), "p".repeat(600));
    for options in [
        &["event", "deploy", "v1"][..],
        &["event", "-coalesce=false", "deploy", "v2"],
        &["event", "--coalesce", "deploy", "v2"],
        &["event", "-coalesce=maybe", "deploy"],
        &["event", "deploy"],
        &["event", "", ""],
        &["event", "deploy", "-rpc-addr=@nowhere"],
        &["event", "--", "-dash"],
        &["event"],
        &["event", "one", "two", "three"],
        &["event", "e", &fits],
        &["event", "e", &long],
    ] {
        stage.run(Order::Kept, options);
    }
}

fn queries(stage: &mut Stage) {
    let long = "p".repeat(1000);
    for options in [
        &["query", "uptime"][..],
        &["query", "-timeout=500ms", "uptime", "payload"],
        &["query", "-timeout=500ms", "-format=json", "uptime"],
        &["query", "-timeout=500ms", "-no-ack", "uptime"],
        &["query", "-timeout=500ms", "-no-ack", "-format=json", "uptime"],
        &["query", "-timeout=500ms", "-no-ack=false", "-node=web2", "uptime"],
        &["query", "-timeout=500ms", "-node", "web2", "-node", "lb1", "uptime"],
        &["query", "-timeout=500ms", "-node=nobody", "uptime"],
        &["query", "-timeout=500ms", "-tag", "dc=east", "uptime"],
        &["query", "-timeout=500ms", "-tag=role=web", "-tag=dc=.+", "uptime"],
        &["query", "-timeout=500ms", "-tag=role=(", "uptime"],
        &["query", "-timeout=500ms", "-tag=novalue", "uptime"],
        &["query", "-timeout=500ms", "-relay-factor=2", "uptime"],
        &["query", "-relay-factor=300", "uptime"],
        &["query", "-relay-factor=-1", "uptime"],
        &["query", "-relay-factor=many", "uptime"],
        &["query", "-timeout=500ms", "fail"],
        &["query", "-timeout=500ms", "nobody-answers"],
        &["query", "-timeout=500ms", "big"],
        &["query", "-timeout=500ms", "binary"],
        &["query", "-timeout=500ms", "-format=json", "binary"],
        &["query", "-timeout=500ms", "echo", "a\tb\nc"],
        &["query", "-timeout=soon", "uptime"],
        &["query", "-format=xml", "uptime"],
        &["query", "_serf_x"],
        &["query", "-timeout=500ms", "_serf_ping"],
        &["query", "q", &long],
        &["query", "one", "two", "three"],
        &["query"],
    ] {
        stage.run_settled(Order::Lines, options);
    }
}

fn joins(stage: &mut Stage) {
    for options in [
        &["join", "@web1"][..],
        &["join", "@web1", "@web2"],
        &["join", "-replay", "@web1"],
        &["join", "-replay=maybe", "@web1"],
        &["join", "@nowhere"],
        &["join", "@web1", "@nowhere"],
        &["join", "@nowhere", "@nowhere"],
        &["join"],
    ] {
        stage.run(Order::Kept, options);
    }
}

fn tags(stage: &mut Stage) {
    let long = format!("long={}", "p".repeat(600));
    for options in [
        &["tags", "-set", "color=blue", "-delete", "my-tag.x"][..],
        &["tags", "-set=empty=", "-set=twice=a=b", "-set=color=red", "-delete=color"],
        &["tags", "-delete=unknown"],
        &["tags", "-set", "novalue"],
        &["tags", "-set", &long],
        &["tags"],
        &["members", "-name=lb1"],
        &["members", "-name=lb1", "-format=json"],
    ] {
        stage.run(Order::Lines, options);
    }
}

fn distances(stage: &mut Stage) {
    stage.run_when_ready(Order::Kept, &["rtt", "web1"]);
    stage.run_when_ready(Order::Kept, &["rtt", "web2", "web1"]);
    for options in [
        &["rtt", "nobody"][..],
        &["rtt", "web1", "nobody"],
        &["rtt", "lb1", "lb1"],
        &["rtt"],
        &["rtt", "one", "two", "three"],
        &["rtt", "web1", "-bogus"],
    ] {
        stage.run(Order::Kept, options);
    }
}

/// What counts differently in each run, or is the program's own.
const OWN: [&str; 9] = [
    "goroutines",
    "max_procs",
    "version",
    "member_time",
    "event_time",
    "query_time",
    "intent_queue",
    "event_queue",
    "query_queue",
];

fn info(stage: &mut Stage) {
    for options in [&["info"][..], &["info", "-format=json"], &["info", "--format", "text"], &["info", "-format=xml"]] {
        let run = stage.ask(stage.pair.client, stage.nodes[0].rpc, options);
        let is_own = |line: &&str| !OWN.iter().any(|key| line.trim_start().trim_start_matches('"').starts_with(key));
        let stdout = run.stdout.lines().filter(is_own).map(|line| format!("{line}\n")).collect();
        let has_all = run.code != Some(0) || OWN.iter().all(|key| run.stdout.contains(key));
        assert!(has_all, "{run:?}");
        stage.record.push(&options.join(" "), super::record::Run { stdout, ..run });
    }
}

type Environment = &'static [(&'static str, &'static str)];

fn alone(stage: &mut Stage) {
    let rows: [(Environment, &[&str]); 27] = [
        (&[], &[]),
        (&[], &["help"]),
        (&[], &["-h"]),
        (&[], &["--help"]),
        (&[], &["bogus"]),
        (&[], &["version"]),
        (&[], &["-v"]),
        (&[], &["members", "--version"]),
        (&[], &["members", "-h"]),
        (&[], &["event", "-help", "x"]),
        (&[], &["agent", "--help"]),
        (&[], &["-rpc-addr=@nowhere", "members"]),
        (&[], &["members", "-rpc-addr=nonsense"]),
        (&[], &["members", "-rpc-addr="]),
        (&[], &["members", "-rpc-addr=127.0.0.1:x"]),
        (&[], &["members", "-rpc-addr=127.0.0.1:99999"]),
        (&[], &["members", "-rpc-addr"]),
        (&[("SERF_RPC_ADDR", "@lb1.rpc")], &["members", "-name=web1"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["members", "-rpc-addr=@lb1.rpc", "-name=web1"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["event", "x"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["force-leave", "x"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["query", "x"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["members", "-format=json"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["keys", "-list"]),
        (&[("SERF_RPC_ADDR", "@nowhere")], &["monitor"]),
        (&[("SERF_RPC_ADDR", "@lb1.rpc"), ("SERF_RPC_AUTH", "needless")], &["members"]),
        (&[], &["members", "-rpc-addr=@lb1.rpc", "-rpc-auth=needless"]),
    ];
    for (environment, arguments) in rows {
        stage.run_alone(Order::Kept, environment, arguments);
    }
    for name in ["info", "join", "leave", "reachability", "rtt", "tags"] {
        stage.run_alone(Order::Kept, &[("SERF_RPC_ADDR", "@nowhere")], &[name, "x"]);
    }
}

fn key_commands_without_encryption(stage: &mut Stage) {
    let key = "GB/QDWoxXDcBz38oiyZhI8iCBrxyFHLDnNQCPqBMBvE=";
    let (install, uses, remove) = (format!("-install={key}"), format!("-use={key}"), format!("-remove={key}"));
    for options in [
        &["keys", "-list"][..],
        &["keys", &install],
        &["keys", &uses],
        &["keys", &remove],
        &["keys", "-install=zzz!"],
        &["keys", "-install=zzz!", "-list"],
        &["keys", "-list=false"],
        &["keys"],
    ] {
        stage.run_settled(Order::Lines, options);
    }
}

/// Members that fail, are forced out and forgotten, and the agent that leaves.
fn departures(stage: &mut Stage) {
    stage.run(Order::Kept, &["force-leave"]);
    stage.run(Order::Kept, &["force-leave", "one", "two"]);
    stage.run(Order::Kept, &["force-leave", "nobody"]);
    stage.run(Order::Kept, &["force-leave", "-prune", "nobody"]);
    stage.run(Order::Kept, &["force-leave", "web1"]);
    stage.await_status(&[0, 1, 2], "web1", "alive");

    stage.run_settled(Order::Lines, &["reachability"]);
    stage.run_settled(Order::Lines, &["reachability", "-verbose"]);
    // It is silent, and not failed yet. The reference's gossip may pass web1 by as well; then web2 is woken, and asked again.
    stage.run_beside_silence(2, "web1", Order::Lines, &["reachability"]);
    stage.await_status(&[0, 1], "web2", "failed");
    stage.run(Order::Lines, &["members"]);
    stage.run(Order::Lines, &["members", "-status=failed", "-format=json"]);
    stage.run_settled(Order::Lines, &["reachability"]);
    stage.run(Order::Kept, &["force-leave", "web2"]);
    stage.await_status(&[0, 1], "web2", "left");
    stage.run(Order::Lines, &["members", "-status=left"]);
    stage.run(Order::Kept, &["force-leave", "-prune", "web2"]);
    stage.await_members(0, |members| if members.contains("web2") { Err(members.to_owned()) } else { Ok(()) });
    stage.run(Order::Lines, &["members"]);

    // Who is alive is not forgotten.
    stage.run(Order::Kept, &["force-leave", "-prune", "web1"]);
    let refusal = "Error force leaving: member web1 is alive; prune forgets members that left or failed, so stop the member first\n";
    stage.record.differs(By::Agent, refusal, 1);
}

fn leave(stage: &mut Stage) {
    stage.run(Order::Kept, &["leave"]);
    let code = stage.nodes[0].process.exit_code();
    stage.record.push("agent", super::record::Run { stdout: String::new(), stderr: String::new(), code });
    stage.run(Order::Kept, &["members"]);
}

fn story(pair: Pair) -> Record {
    let mut stage = cluster(pair);
    info(&mut stage);
    members(&mut stage);
    events(&mut stage);
    joins(&mut stage);
    alone(&mut stage);
    queries(&mut stage);
    tags(&mut stage);
    distances(&mut stage);
    key_commands_without_encryption(&mut stage);
    info(&mut stage);
    departures(&mut stage);
    leave(&mut stage);
    stage.record
}

#[test]
#[ignore = "needs serf"]
fn every_command_says_the_same_at_either_agent() {
    same_for_all(story);
}
