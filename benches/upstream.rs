//! From members to the text of a file.
//!
//! What runs on each change of a member: a decision about all members, and a rendered file when something is applied.

use std::net::IpAddr;

use weir::nginx::{Block, Host, Turn, render};
use weir::upstream::desired::{Desired, Target};
use weir::upstream::{
    Candidate, Circumstances, Generation, Gossip, History, Options, Servers, TagPattern, UpstreamName, Want, decide,
};
use weir::wire::NodeName;

fn main() {
    divan::main();
}

fn options() -> Options {
    let select = vec![("role".to_owned(), TagPattern::new("web").expect("valid"))];
    Options::new(UpstreamName::new("web").expect("plain"), select)
}

/// Every tenth member is of another role, every fiftieth has failed.
fn members(count: usize) -> Vec<Candidate> {
    let member = |number: usize| {
        let role = if number % 10 == 9 { "db" } else { "web" };
        let tags = [("role", role.to_owned()), ("port", "8080".to_owned()), ("weight", (number % 4 + 1).to_string())];
        let [.., high, low] = u32::try_from(number).expect("a few thousand").to_be_bytes();
        let gossip = if number.is_multiple_of(50) { Gossip::Failed } else { Gossip::Alive };
        let name = NodeName::new(&format!("web-{number:04}.example.net")).expect("short");
        let tags = tags.map(|(tag, value)| (tag.to_owned(), value)).into();
        Candidate::new(name, IpAddr::from([10, 77, high, low]), tags, gossip)
    };
    (1..=count).map(member).collect()
}

/// Exactly `count` servers.
fn wanted(count: usize) -> Target {
    let decision = decide(&members(count * 2), &options(), &History::default(), &Circumstances::default());
    let Want::Servers(servers) = decision.want else { unreachable!("most members are alive") };
    let some = servers.as_slice()[..count].to_vec();
    Target::Servers(Servers::new(some).expect("a part of a valid set"))
}

#[divan::bench(args = [100, 1000])]
fn decide_first(bencher: divan::Bencher<'_, '_>, count: usize) {
    let (members, options) = (members(count), options());
    bencher.bench(|| decide(&members, &options, &History::default(), &Circumstances::default()));
}

#[divan::bench(args = [100, 1000])]
fn decide_again_with_nothing_new(bencher: divan::Bencher<'_, '_>, count: usize) {
    let (members, options, mut history) = (members(count), options(), History::default());
    let decision = decide(&members, &options, &history, &Circumstances::default());
    history.decided(&decision);
    history.applied(&decision);
    bencher.bench(|| {
        let decision = decide(&members, &options, &history, &Circumstances::default());
        assert!(history.is_live(&decision));
    });
}

/// What a change of one of so many members costs until there is text: the goal is less than 5 ms.
#[divan::bench(args = [500])]
fn decide_and_render(bencher: divan::Bencher<'_, '_>, count: usize) {
    let (mut members, options, mut history) = (members(count), options(), History::default());
    let before = decide(&members, &options, &history, &Circumstances::default());
    history.decided(&before);
    history.applied(&before);
    members[0].gossip = Gossip::Failed;
    let block = Block::new(options.name.clone());
    bencher.bench(|| {
        let decision = decide(&members, &options, &history, &Circumstances::default());
        let target = decision.target().expect("most members are alive");
        render(&block, &target, Turn { order: 7, generation: Generation(12) }, Host::USUAL)
    });
}

#[divan::bench(args = [500])]
fn render_servers(bencher: divan::Bencher<'_, '_>, count: usize) {
    let (block, target) = (Block::new(options().name), wanted(count));
    bencher.bench(|| render(&block, &target, Turn { order: 7, generation: Generation(12) }, Host::USUAL));
}

#[divan::bench(args = [500])]
fn read_the_document(bencher: divan::Bencher<'_, '_>, count: usize) {
    let mut desired = Desired::new(7);
    desired.upstreams.insert(options().name, wanted(count));
    let json = desired.to_json();
    bencher.bench(|| Desired::from_json(&json).expect("ours"));
}
