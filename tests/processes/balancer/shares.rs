//! Who gets how much of the traffic, in thousands of requests through real NGINX.

use std::collections::BTreeMap;
use std::thread;

use super::stage::Balancer;
use crate::support::{Agent, Settings, until};

/// Clients at once.
const CLIENTS: usize = 4;

/// Whoever answers, of `requests` through each of `balancers`.
fn answers(balancers: &[&Balancer], requests: usize) -> BTreeMap<String, usize> {
    let share = requests / CLIENTS;
    thread::scope(|scope| {
        let clients: Vec<_> = balancers
            .iter()
            .flat_map(|balancer| (0..CLIENTS).map(move |_| &balancer.nginx))
            .map(|nginx| scope.spawn(move || (0..share).map(|_| nginx.get()).collect::<Vec<_>>()))
            .collect();
        let mut answers = BTreeMap::new();
        for answer in clients.into_iter().flat_map(|client| client.join().unwrap()) {
            *answers.entry(answer).or_default() += 1;
        }
        answers
    })
}

fn set(agent: &Agent, tag: &str) {
    let output = agent.cli(&["tags", "--set", tag]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "needs nginx"]
fn weights_are_the_shares_of_ten_thousand_requests() {
    const REQUESTS: usize = 10_000;
    let weights = [("web1", 1), ("web2", 2), ("web3", 5)];
    let balancer = Balancer::start();
    let _agents = weights.map(|(name, weight)| balancer.web(name, &weight.to_string()));
    balancer.await_answers(&weights);
    let answers = answers(&[&balancer], REQUESTS);
    println!("{answers:?} of {REQUESTS}");
    assert_eq!(answers.values().sum::<usize>(), REQUESTS);
    for (name, weight) in weights {
        let (count, share) = (answers[name] as f64, (REQUESTS * weight) as f64 / 8.0);
        assert!((count - share).abs() <= 0.02 * share, "{name}: {count} of {share}");
    }
}

/// NGINX begins anew with each reload, at the first server of its file.
#[test]
#[ignore = "needs nginx"]
fn two_balancers_that_reload_again_and_again_give_nobody_more_than_its_share() {
    const ROUNDS: usize = 5;
    const REQUESTS: usize = 1000;
    let first = Balancer::start();
    let second = Balancer::start_as_named("lb2", Settings::default().join(first.agent.gossip));
    let names = ["web1", "web2", "web3", "web4"];
    let agents = names.map(|name| first.web(name, "1"));
    let balancers = [&first, &second];
    for balancer in balancers {
        balancer.await_answers(&names.map(|name| (name, 1)));
    }
    let mut most = 0;
    let mut all = BTreeMap::new();
    for round in 1..=ROUNDS {
        // Another generation of the same servers with the same weights.
        let limit = format!("max_conns={}", 1000 + round);
        let reloads = balancers.map(|balancer| balancer.nginx.reloads());
        agents.iter().for_each(|agent| set(agent, &limit));
        for (balancer, before) in balancers.into_iter().zip(reloads) {
            until("it is reloaded", || {
                let (file, log) = (balancer.file(), balancer.agent.log());
                let is_live =
                    log.lines().rev().find(|line| line.contains("apply ")).is_some_and(|line| line.contains("live"));
                let is_there = file.matches(&limit).count() == names.len() && balancer.nginx.reloads() > before;
                if is_there && is_live { Ok(()) } else { Err(format!("{file}\n{log}")) }
            });
        }
        for (name, count) in answers(&balancers, REQUESTS) {
            most = most.max(count);
            *all.entry(name).or_insert(0) += count;
        }
    }
    let share = balancers.len() * REQUESTS / names.len();
    println!("{all:?} in {ROUNDS} rounds, at most {most} of {share} in one");
    assert_eq!(all.values().sum::<usize>(), balancers.len() * REQUESTS * ROUNDS);
    assert!(most as f64 <= 1.05 * share as f64, "{most} of {share}");
}
