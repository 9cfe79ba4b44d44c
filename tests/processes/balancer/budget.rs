//! What many changes cost NGINX: reloads within their budget, and all as it should be at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir::rpc::client::{Address, Client};

use super::crowd::arrive;
use super::stage::{Balancer, Load};
use crate::support::{Agent, Settings, until};

/// One reload in so many seconds.
const INTERVAL: &str = "min_reload_interval = \"10s\"\n";

fn start() -> Balancer {
    Balancer::start_with_apply(Settings::default(), INTERVAL)
}

fn name(number: usize) -> &'static str {
    format!("web{number}").leak()
}

#[test]
#[ignore = "slow: more than half a minute, needs nginx"]
fn twenty_servers_that_join_one_after_the_other_cost_three_reloads_beyond_the_first() {
    const JOINS: usize = 20;
    let balancer = start();
    let mut agents = vec![balancer.web(name(0), "1")];
    balancer.await_answers(&[(name(0), 1)]);
    // Until then workers that know nobody may take a connection.
    balancer.await_log_again("apply live", 1);
    let before = balancer.nginx.reloads();
    let load = Load::start(balancer.nginx.listen);
    let begin = Instant::now();
    for number in 1..=JOINS {
        let due = Duration::from_millis(1200) * number as u32;
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        agents.push(balancer.web(name(number), "1"));
    }
    until("all serve", || {
        let (file, log) = (balancer.file(), balancer.agent.log());
        if file.matches("    server ").count() == JOINS + 1 { Ok(()) } else { Err(format!("{file}\n{log}")) }
    });
    load.more(100);
    assert_eq!(load.finish(), [""; 0], "{}", balancer.nginx.log());
    let all: Vec<_> = (0..=JOINS).map(|number| (name(number), 1)).collect();
    balancer.await_answers(&all);
    let reloads = balancer.nginx.reloads() - before;
    println!("{JOINS} joins in {:.1} s: {reloads} reloads", begin.elapsed().as_secs_f64());
    assert!(reloads <= 4, "{reloads}");
    balancer.assert_valid();
}

#[test]
#[ignore = "needs nginx"]
fn twenty_servers_that_join_at_once_cost_two_reloads() {
    const JOINS: u16 = 20;
    let balancer = start();
    let before = balancer.nginx.reloads();
    arrive(&balancer, JOINS, |_| Vec::new());
    until("all serve", || {
        let file = balancer.file();
        if file.matches("server 127.9.").count() == usize::from(JOINS) { Ok(()) } else { Err(file) }
    });
    balancer.await_answers(&[("any", 1)]);
    let reloads = balancer.nginx.reloads() - before;
    println!("{JOINS} joins at once: {reloads} reloads");
    assert!(reloads <= 2, "{reloads}");
    balancer.assert_valid();
}

/// A thousand a minute, for as many seconds as `WEIR_CLAIM_SECONDS` says.
#[test]
#[ignore = "slow: changes tags for twenty seconds, needs nginx"]
fn a_thousand_changes_of_tags_a_minute_cost_at_most_twelve_reloads() {
    const SERVERS: usize = 5;
    let seconds = std::env::var("WEIR_CLAIM_SECONDS").map_or(20, |text| text.parse().unwrap());
    let balancer = start();
    let agents: Vec<Agent> = (0..SERVERS).map(|number| balancer.web(name(number), "1")).collect();
    let all = |weight: &dyn Fn(usize) -> usize| (0..SERVERS).map(|n| (name(n), weight(n))).collect::<Vec<_>>();
    balancer.await_answers(&all(&|_| 1));
    let before = balancer.nginx.reloads();
    let begin = Instant::now();
    let changes = seconds * 1000 / 60;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut clients = Vec::new();
        for agent in &agents {
            clients.push(Client::connect(&Address::Tcp(agent.rpc.to_string()), None).await.unwrap());
        }
        for change in 0..changes {
            tokio::time::sleep_until((begin + Duration::from_millis(60) * change as u32).into()).await;
            // Never the same weights again soon; one in a hundred takes a server out.
            let weight = change * 37 % 101;
            let tags = BTreeMap::from([("weight".to_owned(), weight.to_string())]);
            clients[change % SERVERS].tags(tags.into_iter().collect(), Vec::new()).await.unwrap();
        }
    });
    let took = begin.elapsed();
    let reloads = balancer.nginx.reloads() - before;
    println!("{changes} changes in {:.1} s: {reloads} reloads", took.as_secs_f64());
    assert!(took < Duration::from_secs(seconds as u64 + 5), "{took:?}");
    // Nor is it put off as long as something changes.
    assert!((1..=12 * seconds / 60).contains(&reloads), "{reloads} in {seconds} s\n{}", balancer.agent.log());
    for (number, agent) in agents.iter().enumerate() {
        let output = agent.cli(&["tags", "--set", &format!("weight={}", number + 1)]);
        assert!(output.status.success(), "{output:?}");
    }
    balancer.await_answers(&all(&|number| number + 1));
    balancer.assert_valid();
}
