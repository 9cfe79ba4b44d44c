//! What a configuration says of the network: the ports it listens on, and the hosts that it has to look up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use super::Context;
use super::tree::{Directive, walk};

/// Directives whose argument is passed on to: an address, a host or an upstream.
const PASSES: [&str; 6] = ["proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"];

/// The TCP ports of all `listen` directives; `listen 53 udp` in `stream { }` is none.
pub fn ports(tree: &[Directive]) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    walk(tree, &mut |directive, _| {
        let is_tcp = directive.name == "listen" && !directive.arguments.iter().any(|argument| argument == "udp");
        let address = directive.arguments.first().filter(|_| is_tcp);
        ports.extend(address.and_then(|address| port(address)));
    });
    ports
}

/// `80`, `10.0.0.1:80`, `[::]:80`, or an address alone.
pub(super) fn port(address: &str) -> Option<u16> {
    if address.starts_with("unix:") {
        return None;
    }
    let (host, port) = split_port(address);
    match port {
        Some(port) => port.parse().ok(),
        None => host.parse().ok().or(Some(80)),
    }
}

/// The host names that are looked up whenever it is read, each with the first place that has it, `FILE:LINE`.
pub fn host_names(tree: &[Directive]) -> BTreeMap<String, String> {
    let mut upstreams = BTreeSet::new();
    walk(tree, &mut |directive, _| {
        upstreams.extend(directive.arguments.first().filter(|_| directive.name == "upstream"));
    });
    let mut names = BTreeMap::new();
    walk(tree, &mut |directive, within| {
        let in_upstream = within.last().is_some_and(|block| block.name == "upstream");
        let passes = PASSES.contains(&directive.name.as_str()) || directive.name == "server" && in_upstream;
        let Some(host) = directive.arguments.first().filter(|_| passes).and_then(|target| host(target)) else { return };
        // With `resolve` it is looked up later.
        let later = in_upstream && directive.arguments.iter().any(|argument| argument == "resolve");
        if !later && !upstreams.contains(&host.to_owned()) {
            let place = || format!("{}:{}", directive.file.display(), directive.line);
            names.entry(host.to_owned()).or_insert_with(place);
        }
    });
    names
}

/// The host of a URL or address, unless it is an address itself, a socket, or not known before a request comes.
fn host(target: &str) -> Option<&str> {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if target.contains('$') || authority.starts_with("unix:") || authority.is_empty() {
        return None;
    }
    let (host, _) = split_port(authority);
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse::<IpAddr>().is_err().then_some(host)
}

fn split_port(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        Some(_) | None => (address, None),
    }
}

/// Every place in that context where an upstream of this name is defined.
pub fn upstream_places<'a>(tree: &'a [Directive], context: Context, name: &str) -> Vec<(&'a Path, u32)> {
    let mut places = Vec::new();
    walk(tree, &mut |directive, within| {
        let is_named = directive.name == "upstream" && directive.arguments.first().is_some_and(|first| first == name);
        if is_named && context.is_around(within) {
            places.push((&*directive.file, directive.line));
        }
    });
    places
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::nginx::parse;

    #[test]
    fn ports_are_those_of_every_form_of_listen() {
        let text = "http { server { listen 8080; listen 10.0.0.1:81 default_server; listen [::]:82; listen 10.0.0.2;\
            listen [::1]; listen unix:/run/x; listen localhost:83; listen 99999; } } stream { server { listen 84; listen 85 udp; } }";
        let tree = parse(Path::new("/n.conf"), text).unwrap();
        assert_eq!(ports(&tree).into_iter().collect::<Vec<_>>(), [80, 81, 82, 83, 84, 8080]);
    }

    #[test]
    fn only_names_that_are_looked_up_while_reading_are_named() {
        let text = "http { upstream web { server 10.0.0.1:80; server app.example:80;\n server late.example resolve; }\n\
            server { location / { proxy_pass http://web; } location /a { proxy_pass https://api.example:8443/x; }\n\
            location /b { proxy_pass http://$host; } location /c { fastcgi_pass unix:/run/php; }\n\
            location /d { proxy_pass http://[2001:db8::1]:80; } location /e { grpc_pass grpc://g.example; } } }";
        let tree = parse(Path::new("/n.conf"), text).unwrap();
        let names: Vec<_> = host_names(&tree).into_iter().collect();
        let named = |name: &str, line: u32| (name.to_owned(), format!("/n.conf:{line}"));
        assert_eq!(names, [named("api.example", 3), named("app.example", 1), named("g.example", 5)]);
    }

    proptest::proptest! {
        #[test]
        fn any_configuration_is_read_without_panic(text: String) {
            let tree = parse(Path::new("/n.conf"), &format!("listen {text}; proxy_pass {text};")).unwrap_or_default();
            let _ = (ports(&tree), host_names(&tree));
        }
    }
}
