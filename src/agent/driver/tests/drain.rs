//! Drains and leaves of whole agents. The balancers are scripts, as a plain Serf agent has them.

use super::rotate::{ask, call};
use super::*;
use crate::agent::signal::Signal;
use crate::drain::DrainTag;
use crate::drain::document::{Depart, Follow, Line, Start, Started};
use crate::rpc::refusal::Kind as Refused;

/// A balancer that has nothing on its way.
const IDLE: &str = "[handler.drained]\non = [\"query:weir-drained\"]\nshell = 'read id rest; echo \"idle $id 1\"'";
const REMOTE: &str = "[leave]\nremote_drain = true";

/// An agent that leaving nodes wait for.
async fn balancer(lab: &Lab, ip: &str, more: &str) -> Agent {
    let mut agent = lab.agent("lb", ip, None, &format!("{ALONE}\n{more}")).await;
    let tags = [("weir_lb".to_owned(), "1".to_owned())].into();
    agent.endpoint.set_tags(clock::now(), &tags).unwrap();
    agent.perform();
    agent
}

async fn joined(lab: &Lab, name: &str, ip: &str, lb: &mut Agent, more: &str) -> Agent {
    let mut agent = lab.agent(name, ip, None, &format!("{}\n{more}", join(lb))).await;
    let sees = |agent: &Agent, name| status(agent, name) == Some(Status::Alive);
    until(&mut [&mut agent, lb], "joined", |all| sees(all[0], "lb") && sees(all[1], name)).await;
    agent
}

/// All that is told of what the first one is asked, to its end.
async fn story(agents: &mut [&mut Agent], start: Start) -> Vec<Line> {
    let Started { story } = ask(agents, start, Asked::Drain).await.unwrap();
    follow(agents, story).await
}

async fn follow(agents: &mut [&mut Agent], story: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    loop {
        let news = ask(agents, Follow { story, after: lines.len() }, Asked::LeaveProgress).await.unwrap();
        lines.extend(news.lines);
        if news.ended {
            return lines;
        }
    }
}

fn undo() -> Start {
    Start { undo: true, ..Start::default() }
}

fn of(member: &str, undo: bool) -> Start {
    Start { member: Some(member.to_owned()), undo, ..Start::default() }
}

fn drains(agent: &Agent) -> bool {
    agent.endpoint.tags().contains_key(DrainTag::NAME)
}

#[test]
fn an_undo_takes_a_leave_back_and_whoever_asked_for_the_leave_hears_it() {
    run_test(async {
        let lab = Lab::new();
        let mut lb = balancer(&lab, "127.7.50.1", "").await;
        let mut web = joined(&lab, "web", "127.7.50.2", &mut lb, "").await;
        let (reply, mut serfs) = tokio::sync::oneshot::channel();
        web.handle_call(Call::Leave { reply });
        let Started { story: ours } = call(&mut web, Depart::default(), Asked::Leave).try_recv().unwrap().unwrap();
        until(&mut [&mut web, &mut lb], "it drains", |all| drains(all[0])).await;
        let lines = story(&mut [&mut web, &mut lb], undo()).await;
        assert!(matches!(lines[..], [Line::Undone { stays: false, .. }]), "{lines:?}");
        let lines = follow(&mut [&mut web, &mut lb], ours).await;
        assert!(matches!(lines.last(), Some(Line::Cancelled)), "{lines:?}");
        assert_eq!(serfs.try_recv().unwrap().unwrap_err().kind, Refused::Overruled);
        assert!(!drains(&web) && !web.safe_leave.is_leaving() && web.exit.is_none());
    });
}

#[test]
fn a_leave_of_a_process_that_is_stopped_is_not_taken_back() {
    run_test(async {
        let lab = Lab::new();
        let mut lb = balancer(&lab, "127.7.51.1", "").await;
        let ways: [fn(&mut Agent); 3] = [
            |web| drop(call(web, Depart { on_stop: true, ..Depart::default() }, Asked::Leave)),
            |web| {
                // Somebody's leave, and behind it the stop.
                for on_stop in [false, true] {
                    drop(call(web, Depart { on_stop, ..Depart::default() }, Asked::Leave));
                }
            },
            |web| {
                drop(call(web, Depart::default(), Asked::Leave));
                web.handle_signal(Signal::Terminate);
            },
        ];
        for (number, begins) in (0..).zip(ways) {
            let name = format!("web{number}");
            let mut web = joined(&lab, &name, &format!("127.7.51.{}", 2 + number), &mut lb, "").await;
            begins(&mut web);
            until(&mut [&mut web, &mut lb], "it drains", |all| drains(all[0])).await;
            let refused = call(&mut web, undo(), Asked::Drain).try_recv().unwrap().unwrap_err();
            assert_eq!(refused.kind, Refused::Overruled);
            let told = refused.to_string();
            assert!(told.contains("is being stopped") && told.contains("start the agent again"), "{told}");
            assert!(web.safe_leave.is_leaving() && drains(&web), "{number}");
        }
    });
}

#[test]
fn another_nodes_drain_is_followed_to_its_end_and_so_is_the_undo() {
    run_test(async {
        let lab = Lab::new();
        let mut lb = balancer(&lab, "127.7.52.1", IDLE).await;
        let mut web = joined(&lab, "web", "127.7.52.2", &mut lb, REMOTE).await;
        let mut ops = joined(&lab, "ops", "127.7.52.3", &mut lb, "").await;
        until(&mut [&mut ops, &mut web, &mut lb], "known", |all| status(all[0], "web") == Some(Status::Alive)).await;
        let lines = story(&mut [&mut ops, &mut web, &mut lb], of("web", false)).await;
        let id = web.endpoint.tags()[DrainTag::NAME].split(' ').next().map(str::to_owned);
        assert!(matches!(&lines[0], Line::Remote { member, id: told } if member == "web" && Some(told) == id.as_ref()));
        let is_asked = |line: &Line| matches!(line, Line::Draining { balancers, .. } if balancers[..] == ["lb"]);
        let is_confirmed = |line: &Line| matches!(line, Line::Confirmed { balancer, .. } if balancer == "lb");
        assert!(lines.iter().any(is_asked) && lines.iter().any(is_confirmed), "{lines:?}");
        assert!(matches!(lines.last(), Some(Line::Drained { unheard: false, .. })), "{lines:?}");
        let lines = story(&mut [&mut ops, &mut web, &mut lb], of("web", true)).await;
        assert!(matches!(&lines[..], [Line::Remote { .. }, Line::Undone { stays: false, .. }]), "{lines:?}");
        assert!(!drains(&web));
    });
}

#[test]
fn how_a_drain_ends_of_a_node_that_goes_away_or_tells_no_story_is_not_claimed() {
    run_test(async {
        let lab = Lab::new();
        let mut lb = balancer(&lab, "127.7.53.1", "").await;
        let mut web = joined(&lab, "web", "127.7.53.2", &mut lb, REMOTE).await;
        let older = "[handler.drain]\non = [\"query:weir-drain\"]\nshell = 'read word; echo \"ok 5d3e01aa\"'";
        // In Serf's mode nothing of ours is between.
        let mut start = lab.start("older", "127.7.53.3", None, &format!("{}\n{older}", join(&lb)));
        start.loaded.config.mode = crate::config::Mode::Serf;
        let mut older = super::start(start, silent()).await.unwrap();
        older.perform();
        let mut ops = joined(&lab, "ops", "127.7.53.4", &mut lb, "").await;
        let known = |agent: &Agent| ["web", "older"].iter().all(|name| status(agent, name) == Some(Status::Alive));
        until(&mut [&mut ops, &mut web, &mut older, &mut lb], "known", |all| known(all[0])).await;

        let lines = story(&mut [&mut ops, &mut older, &mut web, &mut lb], of("older", false)).await;
        assert!(
            matches!(&lines[..], [Line::Remote { .. }, Line::RemoteLost { text, .. }] if text.contains("not understood")),
            "{lines:?}"
        );
        let Started { story } = call(&mut ops, of("web", false), Asked::Drain).try_recv().unwrap().unwrap();
        until(&mut [&mut ops, &mut web, &mut older, &mut lb], "it drains", |all| drains(all[1])).await;
        drop(web);
        let lines = follow(&mut [&mut ops, &mut older, &mut lb], story).await;
        assert!(matches!(lines.last(), Some(Line::RemoteLost { .. } | Line::RemoteSilent { .. })), "{lines:?}");
    });
}

#[test]
fn a_host_with_two_guards_serves_when_both_applications_are_back_also_behind_a_restart() {
    run_test(async {
        let lab = Lab::new();
        let snapshot = remembering(&lab.path("snapshot"));
        let mut web = lab.agent("web", "127.7.54.1", None, &snapshot).await;
        let by = |unit: &str, undo| Start { undo, guard: true, unit: Some(unit.to_owned()), ..Start::default() };
        for unit in ["a.service", "b.service"] {
            drop(call(&mut web, by(unit, false), Asked::Drain));
            until(&mut [&mut web], "it drains", |all| drains(all[0])).await;
        }
        let lines = story(&mut [&mut web], by("a.service", true)).await;
        assert!(
            matches!(&lines[..], [Line::Undone { stays: true, operator: false, guards, .. }] if guards[..] == ["b.service"]),
            "{lines:?}"
        );
        web.store.finish().await;
        drop(web);
        let mut web = lab.agent("web", "127.7.54.1", None, &snapshot).await;
        assert!(drains(&web));
        let drain = web.document(false).node.drain.unwrap();
        assert_eq!((drain.guard, drain.operator, &drain.guards[..]), (true, false, &["b.service".to_owned()][..]));
        let lines = story(&mut [&mut web], by("b.service", true)).await;
        assert!(
            matches!(&lines[..], [Line::Undone { stays: false, ended_guards, .. }] if ended_guards.is_empty()),
            "{lines:?}"
        );
        assert!(!drains(&web));
        // An operator's word ends both, and says so.
        drop(call(&mut web, by("a.service", false), Asked::Drain));
        until(&mut [&mut web], "it drains", |all| drains(all[0])).await;
        let lines = story(&mut [&mut web], Start { undo: true, ..Start::default() }).await;
        assert!(
            matches!(&lines[..], [Line::Undone { stays: false, ended_guards, .. }] if ended_guards[..] == ["a.service"]),
            "{lines:?}"
        );
        assert!(!drains(&web));
    });
}

/// The application of a guard that is told something else stops undrained.
#[test]
fn whoever_wants_what_is_under_way_hears_how_that_ends() {
    run_test(async {
        let lab = Lab::new();
        let mut lb = balancer(&lab, "127.7.55.1", IDLE).await;
        let mut web = joined(&lab, "web", "127.7.55.2", &mut lb, "").await;
        let by = |unit: &str, undo| Start { undo, guard: true, unit: Some(unit.to_owned()), ..Start::default() };
        // The balancer stands still: nothing is confirmed.
        let mut asked = Vec::new();
        for start in [by("a.service", false), by("b.service", false), Start::default()] {
            asked.push(call(&mut web, start, Asked::Drain).try_recv().unwrap().unwrap().story);
        }
        assert_eq!(asked[1..], [asked[0]; 2]);
        until(&mut [&mut web], "it drains", |all| drains(all[0])).await;
        // One of the applications is back before the other one has stopped.
        let undone = story(&mut [&mut web], by("b.service", true)).await;
        assert!(matches!(&undone[..], [Line::Undone { stays: true, operator: true, .. }]), "{undone:?}");
        let lines = follow(&mut [&mut web, &mut lb], asked[0]).await;
        assert!(matches!(lines.last(), Some(Line::Drained { unheard: false, .. })), "{lines:?}");
        let told = lines.iter().filter(|line| matches!(line, Line::Draining { .. })).count();
        assert_eq!(told, 1, "nothing is told twice: {lines:?}");
        // A guard of an application that stops while the node leaves waits for the same.
        let Started { story: leave } = call(&mut web, Depart::default(), Asked::Leave).try_recv().unwrap().unwrap();
        let joins = call(&mut web, by("a.service", false), Asked::Drain).try_recv().unwrap().unwrap().story;
        assert_eq!(joins, leave);
    });
}

/// It would look for half a minute if it were not told.
#[test]
fn a_node_that_comes_back_drained_with_nobody_to_find_knows_its_cluster_at_once() {
    run_test(async {
        let lab = Lab::new();
        let snapshot = remembering(&lab.path("snapshot"));
        let mut web = lab.agent("web", "127.7.55.1", None, &snapshot).await;
        drop(call(&mut web, Start::default(), Asked::Drain));
        until(&mut [&mut web], "it drains", |all| drains(all[0])).await;
        web.store.finish().await;
        drop(web);
        let mut web = lab.agent("web", "127.7.55.1", None, &snapshot).await;
        assert!(drains(&web));
        let lines = story(&mut [&mut web], Start::default()).await;
        assert!(matches!(lines.last(), Some(Line::Drained { unheard: true, .. })), "{lines:?}");
    });
}
