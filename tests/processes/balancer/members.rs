//! Who is in the cluster is who serves.

use super::stage::{Balancer, Load};
use crate::support::until;

#[test]
#[ignore = "needs nginx"]
fn members_serve_by_their_tags_and_a_change_of_weight_reaches_nginx() {
    let balancer = Balancer::start();
    let one = balancer.web("web1", "1");
    let two = balancer.web("web2", "3");
    balancer.await_answers(&[("web1", 1), ("web2", 3)]);
    let port = &two.members().unwrap().into_iter().find(|member| member.name == "web2").unwrap().tags["port"];
    let line = format!("server {}:{port} weight=3", two.gossip.ip());
    assert!(balancer.file().contains(&line), "{}", balancer.file());

    for (weight, expected) in
        [("2", &[("web1", 1), ("web2", 2)][..]), ("0", &[("web1", 1)]), ("1", &[("web1", 1), ("web2", 1)])]
    {
        let output = two.cli(&["tags", "--set", &format!("weight={weight}")]);
        assert!(output.status.success(), "{output:?}");
        balancer.await_answers(expected);
    }
    let output = two.cli(&["tags", "--set", "role=db"]);
    assert!(output.status.success(), "{output:?}");
    balancer.await_answers(&[("web1", 1)]);
    drop(one);
}

#[test]
#[ignore = "needs nginx"]
fn a_killed_member_is_out_until_it_is_back() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    for _ in 0..2 {
        two.kill();
        balancer.await_answers(&[("web1", 1)]);
        balancer.assert_valid();
        two.run();
        balancer.await_answers(&[("web1", 1), ("web2", 1)]);
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_member_that_dies_suspected_is_out_and_back_like_any_other() {
    let mut balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "1");
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);

    // Back before the suspicion ended: it never leaves.
    two.pause();
    balancer.await_log("suspect");
    two.kill();
    two.run();
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);

    let suspicions = balancer.agent.log().matches("suspect").count();
    two.pause();
    balancer.await_log_again("suspect", suspicions + 1);
    two.kill();
    balancer.await_answers(&[("web1", 1)]);
    two.run();
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);

    // Only silent for a while, which nobody can tell from dead.
    two.pause();
    balancer.await_answers(&[("web1", 1)]);
    two.resume();
    balancer.await_answers(&[("web1", 1), ("web2", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn a_graceful_leave_and_a_return_cost_no_request() {
    let balancer = Balancer::start();
    let _one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "2");
    balancer.await_answers(&[("web1", 1), ("web2", 2)]);
    let load = Load::start(balancer.nginx.listen);
    load.more(200);
    two.leave();
    balancer.await_answers(&[("web1", 1)]);
    load.more(200);
    two.run();
    balancer.await_answers(&[("web1", 1), ("web2", 2)]);
    load.more(200);
    assert_eq!(load.finish(), [""; 0], "failed requests");
}

#[test]
#[ignore = "needs nginx"]
fn nobody_is_a_placeholder_at_first_and_the_last_servers_later() {
    let mut balancer = Balancer::start();
    balancer.assert_valid();
    assert_eq!(balancer.nginx.get(), "502");
    balancer.await_log("waiting for the first server upstream=web");
    let mut one = balancer.web("web1", "1");
    balancer.await_answers(&[("web1", 1)]);

    one.leave();
    balancer.await_log("every server has left, NGINX keeps the last ones upstream=web");
    balancer.assert_valid();
    balancer.await_answers(&[("web1", 1)]);
    // Also for an agent and an NGINX that start with nobody there.
    let file = balancer.file();
    balancer.agent.kill();
    balancer.nginx.kill();
    balancer.agent.run();
    balancer.nginx.run();
    balancer.await_answers(&[("web1", 1)]);
    assert_eq!(balancer.file(), file);

    let _two = balancer.web("web2", "1");
    balancer.await_answers(&[("web2", 1)]);
}

#[test]
#[ignore = "needs nginx"]
fn lines_alone_serve_inside_a_block_of_the_sites_own() {
    let balancer = Balancer::start_with_servers_alone();
    balancer.assert_valid();
    assert_eq!(balancer.nginx.get(), "502");
    let mut one = balancer.web("web1", "1");
    let mut two = balancer.web("web2", "3");
    balancer.await_answers(&[("web1", 1), ("web2", 3)]);
    let lines = std::fs::read_to_string(balancer.nginx.path("web.servers")).unwrap();
    assert!(!lines.contains("upstream web {"), "{lines}");
    two.kill();
    balancer.await_answers(&[("web1", 1)]);
    one.leave();
    // Which, is up to whether the dead one was found dead before the other left.
    let stays = ["no server is well, the last good ones stay", "every server has left, NGINX keeps the last ones"];
    until("the last ones stay", || {
        let log = balancer.agent.log();
        if stays.iter().any(|line| log.contains(line)) { Ok(()) } else { Err(log) }
    });
    balancer.assert_valid();
    balancer.await_answers(&[("web1", 1)]);
}
