//! Total outages: everybody ends at once, whoever they last saw, and finds the others again.

use std::fs;

use super::watch::Watch;
use super::{disk, settings};
use crate::support::{Agent, Kind, Settings, await_agreement, until};

/// `node-0, node-1, …`, which joined the first, have all written each other down, and will join nobody again.
fn cluster(size: usize, gossip: &str) -> Vec<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    for at in 0..size {
        let mut settings = Settings { gossip: gossip.to_owned(), ..settings() };
        settings.join.extend(agents.first().map(|first| first.gossip));
        agents.push(Agent::start(Kind::Weir, &format!("node-{at}"), settings));
    }
    await_all_alive(&agents);
    for agent in &agents {
        let others = agents.iter().map(|other| other.name.as_str()).filter(|name| *name != agent.name);
        disk::await_alive(agent, &others.collect::<Vec<_>>());
    }
    agents.iter_mut().for_each(|agent| agent.options_mut().join.clear());
    agents
}

fn await_all_alive(agents: &[Agent]) {
    let names: Vec<_> = agents.iter().map(|agent| (agent.name.as_str(), "alive")).collect();
    await_agreement(&agents.iter().collect::<Vec<_>>(), &names);
}

fn spawn_all(agents: &mut [Agent]) {
    agents.iter_mut().for_each(Agent::spawn);
    agents.iter_mut().for_each(Agent::await_rpc);
}

#[test]
fn a_killed_agent_sees_all_ten_again() {
    let mut agents = cluster(10, "");
    let names: Vec<_> = agents.iter().map(|agent| agent.name.clone()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for at in [9, 0, 5] {
        agents[at].kill();
        agents[at].spawn();
        Watch::connect(agents[at].rpc).await_alive(&names);
    }
    await_all_alive(&agents);
}

#[test]
fn all_members_killed_at_once_form_one_cluster_again() {
    let mut agents = cluster(5, "");
    agents.iter_mut().for_each(Agent::kill);
    spawn_all(&mut agents);
    await_all_alive(&agents);
}

/// Each in turn is the only one that runs, until it holds all the others for dead.
#[test]
fn members_that_had_all_seen_each_other_fail_form_one_cluster_again() {
    let mut agents = cluster(5, "probe_interval = \"100ms\"\nprobe_timeout = \"50ms\"\n");
    agents.iter_mut().for_each(Agent::pause);
    for agent in &mut agents {
        agent.resume();
        let mut watch = Watch::connect(agent.rpc);
        until("it is alone", || {
            let members = watch.members()?;
            let failed = members.iter().filter(|member| member.status == weir::rpc::proto::Status::Failed).count();
            let state = disk::state(agent);
            let written = state.peers().filter(|peer| peer.failed.is_some()).count();
            if (failed, written) == (4, 4) { Ok(()) } else { Err(format!("{members:#?} {state:#?}")) }
        });
        agent.pause();
    }
    agents.iter_mut().for_each(Agent::kill);
    spawn_all(&mut agents);
    await_all_alive(&agents);
}

/// As after a power cut in which the hosts are quicker than their switch. The other has nothing that leads back to us.
#[test]
fn a_member_of_the_snapshot_that_does_not_answer_at_first_is_tried_again() {
    let mut agents = cluster(2, "");
    agents.iter_mut().for_each(Agent::kill);
    agents[0].run();
    agents[0].process().await_log("join address did not answer");
    fs::remove_file(disk::path(&agents[1])).unwrap();
    agents[1].run();
    await_all_alive(&agents);
}

/// Two halves that were each other's past meet again, although each has found somebody.
#[test]
fn members_of_the_snapshot_are_missed_although_others_were_found() {
    let mut agents = cluster(3, "");
    agents.iter_mut().for_each(Agent::kill);
    let (late, early) = agents.split_last_mut().unwrap();
    spawn_all(early);
    await_all_alive(early);
    fs::remove_file(disk::path(late)).unwrap();
    late.run();
    await_all_alive(&agents);
}

#[test]
fn a_member_of_the_snapshot_that_never_answers_is_forgotten_as_a_failed_one_would_be() {
    let mut agents = cluster(2, "reconnect_timeout = \"2s\"\n");
    agents.iter_mut().for_each(Agent::kill);
    let snapshot = disk::path(&agents[0]);
    agents[0].run();
    until("node-1 is forgotten", || {
        let text = fs::read_to_string(&snapshot).map_err(|error| error.to_string())?;
        if text.contains(" gone node-1\n") { Ok(()) } else { Err(text) }
    });
    agents[0].kill();
    // Its first start, too, has written that it knew nobody.
    let before = agents[0].log().len();
    agents[0].run();
    until("it starts without node-1", || {
        let log = agents[0].log()[before..].to_owned();
        if log.contains("from_snapshot=0") { Ok(()) } else { Err(log) }
    });
}
