//! What sites do with our upstreams: how long they wait, what they try again, whether they keep connections.

use std::time::Duration;

use super::{Findings, Nginx, Output, place};
use crate::nginx::{Context, Directive, Version, in_block, walk};

/// The ways to pass a request to an upstream; `PREFIX_connect_timeout` and the like belong to each.
const PASSES: [&str; 5] = ["proxy", "fastcgi", "uwsgi", "scgi", "grpc"];
/// What NGINX waits for where nothing is set.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection within a data centre takes milliseconds; more is what a silent server costs.
const LONG_CONNECT: Duration = Duration::from_secs(2);
/// An answer that takes longer is a server that hangs.
const LONG_READ: Duration = Duration::from_secs(30);
/// From here on connections to servers are kept by default, and HTTP/1.1 is spoken.
const KEEPS_BY_DEFAULT: Version = Version::new(1, 29, 7);

/// A place where requests go to one of our upstreams.
#[derive(Clone, Debug)]
struct Use<'a> {
    prefix: &'static str,
    pass: &'a Directive,
    /// Blocks around it, outermost first.
    within: Vec<&'a Directive>,
    output: &'a Output,
}

pub(super) fn judge(findings: &mut Findings, facts: &Nginx) {
    let uses = uses(facts);
    for output in facts.outputs.iter().filter(|_| !facts.tree.is_empty() && facts.unread.is_empty()) {
        let name = &output.upstream;
        if uses.iter().any(|used| used.output == output) {
            findings.pass("nginx.used", name);
            continue;
        }
        match output.context {
            Context::Http => {
                let message = format!("no site passes requests to upstream {name}");
                findings.info("nginx.used", name, message, &format!("proxy_pass http://{name};"));
            }
            Context::Stream => {
                let message = format!("no server in stream {{ }} passes connections to upstream {name}");
                findings.info("nginx.used", name, message, &format!("proxy_pass {name};"));
            }
        }
    }
    // A UDP socket is connected without anybody's answer, so there is neither a wait nor another try.
    for used in uses.iter().filter(|used| !used.is_udp()) {
        judge_connect(findings, facts, used);
        if used.output.context == Context::Stream {
            judge_stream_retries(findings, facts, used);
            continue;
        }
        judge_read(findings, facts, used);
        judge_retries(findings, facts, used);
        if used.prefix == "proxy"
            && used.output.keepalive
            && facts.version.is_some_and(|version| version < KEEPS_BY_DEFAULT)
        {
            judge_keepalive(findings, facts, used);
        }
    }
}

fn uses(facts: &Nginx) -> Vec<Use<'_>> {
    let mut uses = Vec::new();
    walk(&facts.tree, &mut |directive, within| {
        let prefix = PASSES.into_iter().find(|prefix| directive.name.strip_suffix("_pass") == Some(prefix));
        let target = prefix.zip(directive.arguments.first());
        let is_meant = |output: &&Output, target| output.upstream == host(target) && output.context.is_around(within);
        let output = target.and_then(|(_, target)| facts.outputs.iter().find(|output| is_meant(output, target)));
        if let (Some(prefix), Some(output)) = (prefix, output) {
            uses.push(Use { prefix, pass: directive, within: within.to_vec(), output });
        }
    });
    uses
}

/// `web` of `http://web/path`, `http://web$request_uri`, or of a bare `web`.
fn host(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split(['/', '?', '$']).next().unwrap_or(rest)
}

impl<'a> Use<'a> {
    /// What holds here: set in the innermost block, else in one around it.
    fn effective(&self, name: &str) -> Option<&'a Directive> {
        let blocks = self.within.iter().rev().filter_map(|block| block.block.as_deref());
        blocks.into_iter().find_map(|block| in_block(block, name))
    }

    fn server(&self) -> Option<&'a Directive> {
        self.within.iter().rev().find(|block| block.name == "server").copied()
    }

    /// Whether no client comes by TCP.
    fn is_udp(&self) -> bool {
        let block = self.server().and_then(|server| server.block.as_deref()).unwrap_or_default();
        let listens = all_in(block, "listen");
        self.output.context == Context::Stream
            && !listens.is_empty()
            && listens.iter().all(|listen| listen.arguments.iter().any(|argument| argument == "udp"))
    }

    /// The server's first name.
    fn site(&self) -> String {
        let server = self.server();
        let named = server.and_then(|server| in_block(server.block.as_deref()?, "server_name"));
        let name = named.and_then(|named| named.arguments.first());
        name.filter(|name| *name != "_" && !name.is_empty()).cloned().unwrap_or_else(|| {
            let file = self.pass.file.file_name().unwrap_or_default();
            file.to_string_lossy().into_owned()
        })
    }

    /// The wait that holds here, as it is written, and where.
    fn timeout(&self, what: &str, facts: &Nginx) -> (Option<Duration>, String, String) {
        let name = format!("{}_{what}_timeout", self.prefix);
        match self.effective(&name) {
            Some(set) => {
                let text = set.arguments.first().cloned().unwrap_or_default();
                (time(&text), format!("{name} {text}"), place(set, facts))
            }
            None => (Some(DEFAULT_TIMEOUT), format!("{name} 60s"), place(self.pass, facts)),
        }
    }
}

const TIMEOUTS: &str = "nginx.timeouts";

fn judge_connect(findings: &mut Findings, facts: &Nginx, used: &Use<'_>) {
    let site = used.site();
    let (connect, text, at) = used.timeout("connect", facts);
    match connect.filter(|connect| *connect > LONG_CONNECT).map(|connect| connect.as_secs()) {
        Some(seconds) => {
            let message = format!("site '{site}' uses {text}: a silent server costs its clients up to {seconds} s");
            findings.warn(TIMEOUTS, &site, message, &format!("set 500ms ({at})"));
        }
        None => findings.pass(TIMEOUTS, format!("{site} connect")),
    }
}

fn judge_read(findings: &mut Findings, facts: &Nginx, used: &Use<'_>) {
    let site = used.site();
    let (read, text, at) = used.timeout("read", facts);
    match read.filter(|read| *read > LONG_READ).map(|read| read.as_secs()) {
        Some(seconds) => {
            let message = format!("site '{site}' uses {text}: a server that hangs costs its clients up to {seconds} s");
            findings.info(TIMEOUTS, &site, message, &format!("set what your slowest page needs, 10s ({at})"));
        }
        None => findings.pass(TIMEOUTS, format!("{site} read")),
    }
}

/// In `stream { }` it is on or off, and only a connection that was not opened yet is tried elsewhere.
fn judge_stream_retries(findings: &mut Findings, facts: &Nginx, used: &Use<'_>) {
    const NAME: &str = "proxy_next_upstream";
    let site = used.site();
    let off = used.effective(NAME).filter(|set| set.arguments.first().is_some_and(|word| word == "off"));
    let Some(off) = off else { return findings.pass(RETRIES, &site) };
    let message =
        format!("site '{site}' uses {NAME} off: a connection to a server that just died is not tried elsewhere");
    findings.warn(RETRIES, &site, message, &format!("write '{NAME} on;' ({})", place(off, facts)));
}

const RETRIES: &str = "nginx.retries";

fn judge_retries(findings: &mut Findings, facts: &Nginx, used: &Use<'_>) {
    let site = used.site();
    let name = format!("{}_next_upstream", used.prefix);
    let Some(set) = used.effective(&name) else { return findings.pass(RETRIES, &site) };
    let (has, at) = (|word: &str| set.arguments.iter().any(|argument| argument == word), place(set, facts));
    let set_to = set.arguments.join(" ");
    if has("off") || !has("error") || !has("timeout") {
        let message =
            format!("site '{site}' uses {name} {set_to}: a request to a server that just died is not tried elsewhere");
        findings.warn(RETRIES, &site, message, &format!("write '{name} error timeout;' ({at})"));
    } else if has("non_idempotent") {
        let message = format!("site '{site}' uses {name} non_idempotent: a POST may reach two servers");
        findings.info(RETRIES, &site, message, &format!("leave it out unless yours may be repeated ({at})"));
    } else {
        findings.pass(RETRIES, &site);
    }
}

/// `keepalive` in the upstream's block is worth nothing while requests go out as HTTP/1.0 or with `Connection: close`.
fn judge_keepalive(findings: &mut Findings, facts: &Nginx, used: &Use<'_>) {
    const ID: &str = "nginx.upstream_keepalive";
    let site = used.site();
    let speaks =
        used.effective("proxy_http_version").is_some_and(|set| set.arguments.first().is_some_and(|v| v == "1.1"));
    // Headers are inherited only where the inner block sets none, so the innermost block with any decides.
    let blocks = used.within.iter().rev().filter_map(|block| block.block.as_deref());
    let headers =
        blocks.map(|block| all_in(block, "proxy_set_header")).find(|headers| !headers.is_empty()).unwrap_or_default();
    let clears = headers.iter().any(|set| {
        set.arguments.first().is_some_and(|name| name.eq_ignore_ascii_case("connection"))
            && set.arguments.get(1).is_some_and(|value| !value.eq_ignore_ascii_case("close"))
    });
    if speaks && clears {
        return findings.pass(ID, &site);
    }
    let message = format!("site '{site}' opens a new connection to upstream {} for each request", used.output.upstream);
    let way_out =
        format!("add 'proxy_http_version 1.1;' and 'proxy_set_header Connection \"\";' ({})", place(used.pass, facts));
    findings.info(ID, &site, message, &way_out);
}

/// All of that name, those of files that it includes among them.
fn all_in<'a>(block: &'a [Directive], name: &str) -> Vec<&'a Directive> {
    block
        .iter()
        .flat_map(|directive| match (&directive.block, directive.is_include()) {
            (Some(included), true) => all_in(included, name),
            _ if directive.name == name => vec![directive],
            _ => Vec::new(),
        })
        .collect()
}

/// NGINX's times: `500ms`, `60`, `1m30s`. `None` for what is none, a variable for one.
pub(super) fn time(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = match &rest[..letters] {
            "ms" => {
                total = total.checked_add(Duration::from_millis(number))?;
                0
            }
            "" | "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = &rest[letters..];
    }
    (!text.is_empty()).then_some(total)
}
