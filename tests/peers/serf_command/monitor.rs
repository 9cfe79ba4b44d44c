//! `monitor`: events and log lines, until an interrupt or the agent's end.

use std::process::Stdio;

use nix::sys::signal::Signal;

use super::record::{Order, Record, Run};
use super::same_for_all;
use super::stage::{Pair, Stage};
use crate::support::{Process, until};

/// Events as they are printed. Log lines have Serf's shape, and the agent's own words.
fn events(stage: &Stage, output: &str, levels: &[&str]) -> String {
    let line =
        regex::Regex::new(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(TRACE|DEBUG|INFO|WARN|ERR)\] [a-z.]+: .").unwrap();
    let ltime = regex::Regex::new(r"LTime: (0x)?[0-9a-f]+").unwrap();
    let port = regex::Regex::new("\"Port\":0x[0-9a-f]+|\"Addr\":[^}]*}").unwrap();
    let mut events: Vec<String> = Vec::new();
    let mut is_event = false;
    for text in output.lines() {
        is_event = text == "Event Info:" || is_event && text.starts_with('\t');
        if text == "Event Info:" {
            events.push(String::new());
        }
        match line.captures(text) {
            _ if is_event => {
                let text = ltime.replace(text, "LTime: #");
                let event = events.last_mut().unwrap();
                event.push_str(&port.replace_all(&stage.named(&text), ""));
                event.push('\n');
            }
            Some(found) => assert!(levels.contains(&&found[1]), "{text} in {levels:?}"),
            // A reference's line may have further ones below it.
            None => {}
        }
    }
    events.retain(|event| !event.contains("Name: \"first\""));
    let mut events: Vec<_> = events.iter().map(|event| Order::Characters.apply(event)).collect();
    events.sort();
    events.join("\n")
}

fn story(pair: Pair) -> Record {
    let mut stage = Stage::new(pair, None);
    let joined = stage.dir.path().join("joined");
    stage.start("lb1", &["-tag=role=lb", &format!("-event-handler=member-join=touch {}", joined.display())]);
    // Its own join is told before anybody looks.
    until("own join", || if joined.exists() { Ok(()) } else { Err(stage.nodes[0].process.log()) });
    stage.run(Order::Kept, &["monitor", "-log-level=bogus"]);
    stage.run(Order::Kept, &["monitor", "-bogus"]);

    let rpc = stage.nodes[0].rpc;
    let watch = |stage: &Stage, name: &str, level: &str| {
        let rpc = format!("-rpc-addr={rpc}");
        let mut command = stage.command(pair.client, &["monitor", &rpc, level]);
        command.stderr(Stdio::piped());
        Process::start(command, stage.dir.path().join(name))
    };
    let mut all = watch(&stage, "all", "-log-level=debug");
    let mut few = watch(&stage, "few", "-log-level=err");
    // Every event reaches both from here on: each has shown one.
    let see = |stage: &Stage, name: &str| {
        until(name, || {
            stage.ask(pair.client, rpc, &["event", "-coalesce=false", name]);
            let has = |process: &Process| process.log().contains(&format!("Name: \"{name}\""));
            if has(&all) && has(&few) { Ok(()) } else { Err(format!("{}\n{}", all.log(), few.log())) }
        });
    };
    see(&stage, "first");
    let (started_all, started_few) = (all.log().len(), few.log().len());
    stage.start("web1", &["-tag=role=web"]);
    stage.ask(pair.client, rpc, &["event", "-coalesce=false", "deploy", "\u{1b}[2Jv1"]);
    stage.ask(pair.client, rpc, &["event", "-coalesce=false", "empty"]);
    stage.ask(pair.client, rpc, &["query", "-timeout=200ms", "uptime", "now"]);
    stage.ask(pair.client, rpc, &["tags", "-set=color=blue"]);
    for process in [&all, &few] {
        let expected = ["\"deploy\"", "\"empty\"", "\"uptime\"", "\"member-join\"", "\"member-update\""];
        until("all events are shown", || {
            let log = process.log();
            if expected.iter().all(|part| log.contains(part)) { Ok(()) } else { Err(log) }
        });
    }
    all.signal(Signal::SIGINT);
    let code = all.exit_code();
    let stdout = events(&stage, &all.log()[started_all..], &["DEBUG", "INFO", "WARN", "ERR"]);
    stage.record.push("monitor until an interrupt", Run { stdout, stderr: String::new(), code });

    stage.nodes[0].process.signal(Signal::SIGKILL);
    let code = few.exit_code();
    let log = few.log();
    assert!(log.ends_with(
        "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed.\n"
    ));
    let stdout = events(&stage, &log[started_few..], &["ERR"]);
    stage.record.push("monitor until the agent's end", Run { stdout, stderr: String::new(), code });
    stage.record
}

#[test]
#[ignore = "needs serf"]
fn monitor_shows_the_same_events_of_either_agent() {
    same_for_all(story);
}
