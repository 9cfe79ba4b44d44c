//! What operators ask.

use super::*;
use crate::upstream::explain::{Details, Question};
use crate::upstream::plan::{Assumption, Newcomer};
use crate::upstream::{Decision, Mode};

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// `web1 10.77.0.1:80 w2 down`, a line each.
fn lines(decision: &Decision) -> Vec<String> {
    let Want::Servers(servers) = &decision.want else { return Vec::new() };
    let line = |server: &crate::upstream::Server| {
        let down = if server.down { " down" } else { "" };
        format!("{} {} w{}{down}", server.member, server.addr, server.weight.get())
    };
    servers.as_slice().iter().map(line).collect()
}

fn planned(balancer: &Balancer, assumptions: &[Assumption]) -> Decision {
    let mut planned = balancer.plan(at(40_000), assumptions).unwrap();
    planned.remove(0).1
}

#[test]
fn a_plan_tells_what_would_be_and_changes_nothing() {
    let balancer = running();
    let before = format!("{balancer:?}");
    let fail = [Assumption::Fail(name("web1"))];
    assert_eq!(lines(&planned(&balancer, &fail)), ["web2 10.77.0.2:80 w1"]);
    let drain = [Assumption::Drain(name("web1"))];
    assert_eq!(lines(&planned(&balancer, &drain)), ["web1 10.77.0.1:80 w1 down", "web2 10.77.0.2:80 w1"]);
    let critical = [Assumption::Critical(name("web1")), Assumption::Critical(name("web2"))];
    assert_eq!(planned(&balancer, &critical).mode, Mode::Floor, "panic");
    let both = [Assumption::Fail(name("web1")), Assumption::Drain(name("web2"))];
    assert_eq!(lines(&planned(&balancer, &both)), ["web2 10.77.0.2:80 w1"], "one has to stay");
    assert_eq!(format!("{balancer:?}"), before);
}

#[test]
fn whoever_may_join_is_as_the_upstream_wants_it() {
    let balancer = running();
    let joined = |tags: &[(&str, &str)], addr| {
        let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let decision = planned(&balancer, &[Assumption::Join(Newcomer { name: name("web3"), addr, tags })]);
        lines(&decision).pop().unwrap()
    };
    assert_eq!(joined(&[("port", "8080")], None), "web3 10.77.0.3:8080 w1");
    assert_eq!(joined(&[("weight", "5")], Some([10, 9, 0, 1].into())), "web3 10.9.0.1:80 w5");
    assert_eq!(joined(&[("role", "db")], None), "web2 10.77.0.2:80 w1", "it is not selected");
}

#[test]
fn nobody_can_be_asked_about_whom_nobody_knows() {
    let balancer = running();
    let known = |member: &str| balancer.explain(at(40_000), &name(member), |_, _| Details::default()).is_some();
    assert!(known("web1") && !known("web3"));
    assert_eq!(balancer.plan(at(40_000), &[Assumption::Fail(name("web3"))]).unwrap_err(), name("web3"));
}

#[test]
fn a_server_that_is_no_member_any_more_can_be_asked_about() {
    let mut balancer = running();
    balancer.handle_members(at(3000), members(&[(1, Gossip::Alive)]));
    balancer.handle_timeout(at(3000));
    let explained = balancer.explain(at(3000), &name("web2"), |_, _| Details::default()).unwrap();
    let decides: Vec<_> = explained[0].asked.iter().filter(|asked| asked.decides).collect();
    assert!(decides[0].rule.is(&Question::Gossip) && decides[0].result == "left", "{decides:?}");
}

#[test]
fn the_first_server_may_be_planned_where_there_is_none() {
    let mut options = options("web");
    options.allow.networks = vec!["10.20.0.0/24".parse().unwrap()];
    let mut balancer = Balancer::new(vec![options], SETTLE, 7, None, Holds::default(), at(0));
    balancer.handle_members(at(0), Vec::new());
    balancer.handle_first_view(at(0));
    balancer.handle_timeout(at(0));
    let joined = |tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
        let newcomer = Newcomer { name: name("web1"), addr: None, tags };
        lines(&planned(&balancer, &[Assumption::Join(newcomer)]))
    };
    assert_eq!(joined(&[]), ["web1 10.20.0.1:80 w1"]);
    assert!(joined(&[("role", "db")]).is_empty());
}
