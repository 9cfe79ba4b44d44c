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
    asked(agent, request).unwrap()
}

/// The same, or why it is refused.
fn asked<R>(agent: &Agent, request: &R) -> Result<Vec<Line>, String>
where
    R: weir::rpc::weir::Request<Answer = weir::drain::document::Started>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect(&Address::Tcp(agent.rpc.to_string()), None).await.unwrap();
        let story = client.weir(request).await.map_err(|error| error.to_string())?.story;
        let mut lines = Vec::new();
        loop {
            let news = client.weir(&Follow { story, after: lines.len() }).await.unwrap();
            lines.extend(news.lines);
            if news.ended {
                return Ok(lines);
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
    assert!(matches!(lines[..], [Line::Undone { id: Some(_), stays: false, .. }]), "{lines:?}");
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

#[test]
#[ignore = "needs nginx"]
fn another_node_drains_where_it_obeys_and_says_why_where_it_does_not() {
    let balancer = Balancer::start();
    let _one = balancer.web_with("web1", "1", "remote_drain = true\n");
    let two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    let of = |member: &str| Start { member: Some(member.to_owned()), ..Start::default() };
    let lines = story(&balancer.agent, &of("web2"));
    assert!(
        matches!(&lines[..], [Line::RemoteRefused { text, .. }] if text.contains("leave.remote_drain is false")),
        "{lines:?}"
    );
    for start in [Start { force: true, ..of("web1") }, Start { reason: Some("kernel".to_owned()), ..of("web1") }] {
        let refused = asked(&balancer.agent, &start).unwrap_err();
        assert!(refused.contains("own node"), "{refused}");
    }
    let told = balancer.agent.cli(&["drain", "web1", "--reason", "kernel"]);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    // Its own drain goes on meanwhile: a balancer that is nobody's server has that at once.
    let own = drain(&balancer.agent);
    assert!(is_drained(&own), "{own:?}");
    let lines = story(&balancer.agent, &of("web1"));
    assert!(matches!(&lines[0], Line::Remote { member, .. } if member == "web1"), "{lines:?}");
    let is_confirmed = |line: &Line| matches!(line, Line::Confirmed { balancer, .. } if balancer == "lb1");
    assert!(is_drained(&lines) && lines.iter().any(is_confirmed), "{lines:?}");
    assert!(promises(&balancer).contains("web1"), "it is known how that ended: {}", promises(&balancer));
    balancer.await_answers(&[("web2", 1)]);
    let lines = story(&balancer.agent, &Start { undo: true, ..of("web1") });
    assert!(matches!(&lines[..], [Line::Remote { .. }, Line::Undone { stays: false, .. }]), "{lines:?}");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    // By the command, from the balancer's host.
    let told = balancer.agent.cli(&["drain", "web1", "--format", "json"]);
    let outcome: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((told.status.code(), &outcome["state"]), (Some(0), &"drained".into()), "{outcome}");
    let told = balancer.agent.cli(&["drain", "web1", "--undo", "--format", "json"]);
    let outcome: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((told.status.code(), &outcome["state"]), (Some(0), &"serving".into()), "{outcome}");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    // Without the other there is no room.
    assert!(is_drained(&drain(&two)));
    let lines = story(&balancer.agent, &of("web1"));
    assert!(matches!(lines.last(), Some(Line::Refused { balancers }) if balancers[..] == ["lb1"]), "{lines:?}");
    let told = balancer.agent.cli(&["drain", "web1"]);
    let said = String::from_utf8_lossy(&told.stderr);
    let rule = "too few servers at lb1 without web1 (min_healthy = \"50%\" of upstream web), which goes on to serve";
    assert!(told.status.code() == Some(6) && said.contains(rule), "{said}");
    assert!(asked(&balancer.agent, &of("web3")).unwrap_err().contains("no member 'web3'"));
}

#[test]
#[ignore = "needs nginx"]
fn of_two_servers_that_drain_at_once_one_goes_and_the_other_serves() {
    let balancer = Balancer::start();
    let one = balancer.web("web1", "1");
    let two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    until("all is confirmed", || holds(balancer.agent.cli(&["status"]).status.code() == Some(0)));
    let load = Load::start(balancer.nginx.listen);
    let both = std::thread::scope(|scope| {
        let both = [&one, &two].map(|agent| scope.spawn(move || drain(agent)));
        both.map(|lines| lines.join().unwrap())
    });
    let count = |is: fn(&Line) -> bool| both.iter().filter(|lines| lines.iter().any(is)).count();
    let drained = count(|line| matches!(line, Line::Drained { .. }));
    let refused = count(|line| matches!(line, Line::Refused { .. }));
    assert_eq!((drained, refused), (1, 1), "{both:?}");
    load.more(100);
    let failed = load.finish();
    assert_eq!(failed.len(), 0, "{:?}\n{}", failed.first(), balancer.file());
    // The other way round, one after the other.
    let (out, stays) =
        if both[0].iter().any(|line| matches!(line, Line::Drained { .. })) { (&one, &two) } else { (&two, &one) };
    undo(out);
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    assert!(is_drained(&drain(stays)));
    undo(stays);
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn nothing_is_put_in_place_before_it_is_known_what_was_promised() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    let two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    assert!(is_drained(&drain(&two)));
    let path = balancer.nginx.path("state").join("promises");
    let kept = promises(&balancer);
    balancer.agent.kill();
    std::fs::write(&path, &kept[..kept.len() / 2]).unwrap();
    balancer.agent.run();
    balancer.await_log("what is held and was promised is not known, nothing is put in place until it is");
    let _three = balancer.web("web3", "1");
    until("web3 is a member", || {
        let members = balancer.agent.members()?;
        holds(members.iter().any(|member| member.name == "web3"))
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(promises(&balancer), kept[..kept.len() / 2], "what cannot be read is not written over");
    balancer.await_answers(&[("web1", 1)]);
    std::fs::write(&path, &kept).unwrap();
    balancer.await_answers(&[("web1", 1), ("web3", 1)]);
    assert!(promises(&balancer).contains("web2"), "{}", promises(&balancer));
}
