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
    let passive = passive(block, &servers);
    lines.extend(servers.into_iter().map(|server| line(block, server, passive)));
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

/// What NGINX is told of its own check: failures after which it avoids a server.
///
/// It never avoids the only line of a group (`nginx §3`), but with one that is `down` beside it, it does: one lost packet would then
/// turn every request away for `fail_timeout`. Whoever serves alone gets what a line alone has.
fn passive(block: &Block, servers: &[&Server]) -> u32 {
    let is_alone = servers.iter().filter(|server| !server.down).count() == 1;
    let has_lines_beside = servers.len() > 1 || servers.iter().all(|server| server.backup);
    if is_alone && has_lines_beside { 0 } else { block.max_fails }
}

/// Parameters at NGINX's own defaults are left out. IPv6 addresses come in brackets.
fn line(block: &Block, server: &Server, max_fails: u32) -> String {
    let mut line = format!("server {}", server.addr);
    let mut parameter = |present: bool, name: &str, value: u32| {
        if present {
            write!(line, " {name}={value}").expect("a string takes everything");
        }
    };
    parameter(server.weight != Weight::ONE, "weight", server.weight.get().into());
    parameter(server.max_conns != 0, "max_conns", server.max_conns);
    // One that is down has no failures.
    let max_fails = if server.down { block.max_fails } else { max_fails };
    parameter(max_fails != 1, "max_fails", max_fails);
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
