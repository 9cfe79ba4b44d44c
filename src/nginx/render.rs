//! The text of a file.

use std::fmt::Write;

use super::{Block, Form, Host, order};
use crate::upstream::desired::Target;
use crate::upstream::{Generation, Method, Server, Weight};

/// NGINX refuses a block without an ordinary server. This one answers 502.
const PLACEHOLDER: &str = "server 127.0.0.1:1 down;";

const HEADER: &str = "# Written by weir, generation ";

/// What turns the order of lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// Chooses this balancer's permutation.
    pub order: u64,
    /// Turns it, and is named in the file's first line.
    pub generation: Generation,
}

/// The whole file for one upstream. Equal input gives equal bytes.
pub fn render(block: &Block, target: &Target, turn: Turn, host: Host) -> String {
    let mut lines = Vec::new();
    let servers = match target {
        Target::Servers(servers) => order::lines(servers, &block.method, turn),
        Target::Placeholder => Vec::new(),
    };
    if servers.iter().all(|server| server.backup) {
        lines.push(PLACEHOLDER.to_owned());
    }
    lines.extend(servers.into_iter().map(|server| line(block, server)));
    let mut text = format!(
        "{HEADER}{}. Changes made here are overwritten; the source is weir's configuration.\n",
        turn.generation
    );
    match block.form {
        Form::Servers => lines.iter().for_each(|line| push(&mut text, "", line)),
        Form::Block => {
            push(&mut text, "", &format!("upstream {} {{", block.name));
            before(block, lines.len(), host)
                .iter()
                .chain(&lines)
                .chain(&after(block, host))
                .for_each(|line| push(&mut text, "    ", line));
            push(&mut text, "", "}");
        }
    }
    text
}

/// The generation that a file's first line names; `None` if weir did not write it.
pub fn generation_of(text: &[u8]) -> Option<Generation> {
    let digits: String = text
        .strip_prefix(HEADER.as_bytes())?
        .iter()
        .take(20)
        .take_while(|b| b.is_ascii_digit())
        .map(|&b| char::from(b))
        .collect();
    digits.parse().ok().map(Generation)
}

fn push(text: &mut String, indent: &str, line: &str) {
    text.push_str(indent);
    text.push_str(line);
    text.push('\n');
}

fn before(block: &Block, servers: usize, host: Host) -> Vec<String> {
    let zone = block.zone.zip(block.zone_name());
    let zone = zone.map(|(zone, name)| format!("zone {name} {}k;", zone.kib(servers, host.page)));
    let method = match &block.method {
        Method::RoundRobin => None,
        Method::LeastConn => Some("least_conn;".to_owned()),
        Method::RandomTwo => Some("random two;".to_owned()),
        Method::RandomTwoLeastConn => Some("random two least_conn;".to_owned()),
        Method::IpHash => Some("ip_hash;".to_owned()),
        Method::Hash { key, consistent } => {
            Some(format!("hash {}{};", key.as_str(), if *consistent { " consistent" } else { "" }))
        }
    };
    zone.into_iter().chain(method).collect()
}

/// `keepalive` must follow the method (`nginx §3`). Older versions keep nothing unless they are told, and refuse to be told so.
fn after(block: &Block, host: Host) -> Vec<String> {
    let is_said = if block.keeps_nothing() { host.keepalive_off } else { block.context.keeps_connections() };
    is_said.then(|| format!("keepalive {};", block.keepalive)).into_iter().collect()
}

/// Parameters at NGINX's own defaults are left out. IPv6 addresses come in brackets.
fn line(block: &Block, server: &Server) -> String {
    let mut line = format!("server {}", server.addr);
    let mut parameter = |present: bool, name: &str, value: u32| {
        if present {
            write!(line, " {name}={value}").expect("a string takes everything");
        }
    };
    parameter(server.weight != Weight::ONE, "weight", server.weight.get().into());
    parameter(server.max_conns != 0, "max_conns", server.max_conns);
    parameter(block.max_fails != 1, "max_fails", block.max_fails);
    if block.fail_timeout != 10 {
        write!(line, " fail_timeout={}s", block.fail_timeout).expect("a string takes everything");
    }
    line.push_str(if server.backup && block.method.allows_backup() { " backup" } else { "" });
    line.push_str(if server.down { " down" } else { "" });
    line.push(';');
    line
}

#[cfg(test)]
mod tests;
