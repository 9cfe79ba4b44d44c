//! A server that leaves safely, by real agents and a real NGINX (`protocols A`).

use std::time::{Duration, Instant};

use weir::drain::document::{Depart, Follow, Line, Start};
use weir::rpc::client::{Address, Client};

use super::stage::{Balancer, Load};
use crate::support::{Agent, holds, until};

/// The whole story of what `agent` is asked.
fn story<R>(agent: &Agent, request: &R) -> Vec<Line>
where
    R: weir::rpc::weir::Request<Answer = weir::drain::document::Started>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(&Address::Tcp(agent.rpc.to_string()), None).await.unwrap();
        let story = client.weir(request).await.unwrap().story;
        let mut lines = Vec::new();
        loop {
            let news = client.weir(&Follow { story, after: lines.len() }).await.unwrap();
            lines.extend(news.lines);
            if news.ended {
                return lines;
            }
        }
    })
}

fn drain(agent: &Agent) -> Vec<Line> {
    story(agent, &Start::default())
}

fn undo(agent: &Agent) -> Vec<Line> {
    story(agent, &Start { undo: true, ..Start::default() })
}

fn is_drained(lines: &[Line]) -> bool {
    matches!(lines.last(), Some(Line::Drained { .. }))
}

/// What the balancer has promised, as it is on disk.
fn promises(balancer: &Balancer) -> String {
    std::fs::read_to_string(balancer.nginx.path("state").join("promises")).unwrap_or_default()
}

#[test]
#[ignore = "needs nginx"]
fn a_drained_server_gets_no_request_until_that_is_undone_whatever_restarts() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);

    let begun = Instant::now();
    let lines = drain(&two);
    assert!(is_drained(&lines), "{lines:?}\n{}", balancer.agent.log());
    let is_confirmed = |line: &Line| matches!(line, Line::Confirmed { balancer, .. } if balancer == "lb1");
    assert!(lines.iter().any(is_confirmed), "{lines:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}: {lines:?}", begun.elapsed());
    balancer.await_answers(&[("web1", 1)]);
    assert!(promises(&balancer).contains("web2"), "{}", promises(&balancer));

    two.kill();
    two.run();
    until("the tag is there again", || {
        let members = balancer.agent.members()?;
        let is_draining = members.iter().any(|member| member.name == "web2" && member.tags.contains_key("weir_drain"));
        holds(is_draining)
    });
    balancer.agent.kill();
    balancer.agent.run();
    balancer.await_answers(&[("web1", 1)]);
    assert!(promises(&balancer).contains("web2"), "{}", promises(&balancer));

    let lines = undo(&two);
    assert!(matches!(lines[..], [Line::Undone { id: Some(_), stays: false }]), "{lines:?}");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    until("the promise is forgotten", || if promises(&balancer) == "[]" { Ok(()) } else { Err(promises(&balancer)) });
}

#[test]
#[ignore = "needs nginx"]
fn servers_that_leave_one_after_the_other_cost_no_request_and_the_last_one_is_not_let_go() {
    let balancer = Balancer::start();
    let mut one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    // Until then a worker of before anybody was there may still take a connection.
    until("all is confirmed", || holds(balancer.agent.cli(&["status"]).status.code() == Some(0)));
    let load = Load::start(balancer.nginx.listen);
    load.more(100);
    let lines = story(&two, &Depart::default());
    assert!(matches!(lines.last(), Some(Line::Left { .. })), "{lines:?}");
    let is_safe = |line: &Line| matches!(line, Line::Leaving { unconfirmed, .. } if unconfirmed.is_empty());
    assert!(lines.iter().any(is_safe), "{lines:?}");
    balancer.await_answers(&[("web1", 1)]);
    assert_eq!(two.process().exit_code(), Some(0));
    load.more(100);
    let failed = load.finish();
    assert_eq!(failed.len(), 0, "{:?}\n{}\n{}", failed.first(), balancer.file(), balancer.agent.log());

    let lines = drain(&one);
    assert!(matches!(lines.last(), Some(Line::Refused { .. })), "{lines:?}");
    balancer.await_answers(&[("web1", 1)]);
    let lines = story(&one, &Depart::default());
    let is_forced = |line: &Line| matches!(line, Line::Leaving { unconfirmed, .. } if unconfirmed[..] == ["lb1"]);
    assert!(lines.iter().any(is_forced), "{lines:?}");
    assert_eq!(one.process().exit_code(), Some(0));
}
