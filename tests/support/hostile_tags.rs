//! Members whose tags try to reach NGINX's configuration (`nginx §4`).

use std::net::IpAddr;

use weir::nginx::{Block, Host, Turn, render};
use weir::upstream::{
    Candidate, Circumstances, Decision, Generation, Gossip, History, Options, TagPattern, UpstreamName, decide,
};
use weir::wire::NodeName;
use weir::wire::serf::Tags;

/// What stands in a tag where a number or a word belongs.
pub(crate) const VALUES: [&str; 24] = [
    "1; server 6.6.6.6:80; #",
    "80} server { listen 6666; location / { root /; autoindex on; } }",
    "80\nserver 6.6.6.6:80;",
    "80\r\nserver 6.6.6.6:80;",
    "unix:/run/docker.sock",
    "127.0.0.1:80",
    "0.0.0.0",
    "10.1",
    "167772161",
    "010.0.0.1",
    "web$x",
    "80 resolve",
    "80 backup",
    "'80'",
    "\"80\"",
    "80\\",
    "80#",
    "include /etc/shadow;",
    "80%eth0",
    "65536",
    "-1",
    "1e9",
    "80\0",
    "\u{0668}\u{0660}",
];

/// The tags that make a server what it is.
pub(crate) const TAGS: [&str; 4] = ["port", "weight", "backup", "max_conns"];

/// Two members that are well, and as many hostile ones as there are tags and values.
pub(crate) fn members() -> Vec<Candidate> {
    let mut members = well();
    for (number, (tag, value)) in (10..).zip(TAGS.iter().flat_map(|tag| VALUES.iter().map(move |value| (tag, value)))) {
        members.push(member(&format!("web{number}{value}"), number, &[("role", "web"), (tag, value)]));
    }
    for (number, value) in (200..).zip(VALUES) {
        members.push(member(&format!("other{number}"), number, &[("role", &format!("web{value}"))]));
    }
    members
}

/// The two that are well.
pub(crate) fn well() -> Vec<Candidate> {
    vec![member("web1", 1, &[("role", "web")]), member("web2", 2, &[("role", "web"), ("weight", "3")])]
}

fn member(name: &str, number: u8, tags: &[(&str, &str)]) -> Candidate {
    let tags: Tags = tags.iter().map(|(tag, value)| ((*tag).to_owned(), (*value).to_owned())).collect();
    let addr = IpAddr::from([10, 77, 0, number]);
    Candidate::new(NodeName::new(name).expect("short"), addr, tags, Gossip::Alive)
}

/// What is decided about `members`, and the file.
pub(crate) fn file(members: &[Candidate]) -> (Decision, String) {
    let name = UpstreamName::new("web").expect("plain");
    let select = vec![("role".to_owned(), TagPattern::new("web").expect("an expression"))];
    let options = Options::new(name.clone(), select);
    let decision = decide(members, &options, &History::default(), &Circumstances::default());
    let target = decision.target().expect("servers");
    let text = render(&Block::new(name), &target, Turn { order: 7, generation: Generation(1) }, Host::USUAL);
    (decision, text)
}
