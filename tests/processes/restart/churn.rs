//! What goes on in a cluster while its members are killed: events, queries, changes of tags, and members that come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir::serf::QueryParams;
use weir::wire::serf::Tags;

use super::watch::Watch;
use crate::support::Agent;

/// Speaks through `agent` until told to stop: an event every 20 ms, among them queries and changes of its tags.
pub(crate) fn talk(agent: &Agent, stop: &AtomicBool) {
    let mut watch = Watch::connect(agent.rpc);
    for number in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        say(&mut watch, number).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One more thing that is told to the cluster.
pub(crate) fn say(watch: &mut Watch, number: u64) -> Result<(), String> {
    let text = number.to_string();
    match number % 10 {
        3 => watch.ask(async |client| client.tags(Tags::from([("said".to_owned(), text)]), Vec::new()).await),
        7 => {
            let params =
                QueryParams { name: text, timeout: Some(Duration::from_millis(200)), ..QueryParams::default() };
            watch.ask(async |client| client.query(params).await.map(drop))
        }
        _ => watch.ask(async |client| client.event(&text, bytes::Bytes::new(), false).await),
    }
}

/// Comes, and leaves or is killed, again and again until told to stop. Returns how often it came.
pub(crate) fn come_and_go(guest: &mut Agent, seed: u64, stop: &AtomicBool) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        guest.spawn();
        Watch::connect(guest.rpc).await_alive(&[&guest.name]);
        std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
        if rng.random_bool(0.5) {
            guest.kill();
        } else {
            guest.leave();
        }
        times += 1;
        std::thread::sleep(Duration::from_millis(rng.random_range(0..300)));
    }
    times
}
