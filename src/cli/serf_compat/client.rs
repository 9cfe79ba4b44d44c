//! The commands that talk to an agent, each with the reference's order of checks and its prefix of errors (`cli §2`).

use std::collections::BTreeMap;

use super::super::connect::{self, Environment};
use super::super::members::Member;
use super::flags::{self, Parsed};
use super::{commands, fail, keys, monitor, print, query, text};
use crate::rpc::client::{Client, ClientError};
use crate::rpc::proto::{self, MembersQuery};

/// An error that was not printed yet, or one that was.
pub(super) enum Stop {
    Line(String),
    Said,
}

pub(super) type Outcome = Result<(), Stop>;

/// Runs a client command and gives its exit code.
pub(super) async fn run(name: &str, args: &[String]) -> u8 {
    let parsed = match flags::parse(&commands::flags(name), args) {
        Ok(parsed) => parsed,
        Err(line) => {
            super::error(&format!("{line}\n"));
            print(&commands::usage(name));
            return 1;
        }
    };
    let outcome = match name {
        "event" => event(&parsed).await,
        "force-leave" => force_leave(&parsed).await,
        "info" => info(&parsed).await,
        "join" => join(&parsed).await,
        "keys" => keys::run(&parsed).await,
        "leave" => leave(&parsed).await,
        "members" => members(&parsed).await,
        "monitor" => monitor::run(&parsed).await,
        "query" => query::run(&parsed).await,
        "reachability" => query::reachability(&parsed).await,
        "rtt" => rtt(&parsed).await,
        _ => tags(&parsed).await,
    };
    match outcome {
        Ok(()) => 0,
        Err(Stop::Line(line)) => fail(&line),
        Err(Stop::Said) => 1,
    }
}

/// Wrong use: the message, a blank line, the usage.
pub(super) fn misuse<T>(name: &str, message: &str) -> Result<T, Stop> {
    print(&format!("{message}\n\n{}", commands::usage(name)));
    Err(Stop::Said)
}

pub(super) fn line<T>(line: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Line(line.into()))
}

/// The agent's error, or Go's words for a lost connection, after the command's prefix.
pub(super) fn prefixed(prefix: &'static str) -> impl Fn(ClientError) -> Stop {
    move |error| Stop::Line(format!("{prefix}: {}", error.serf_text()))
}

/// Connects as the flags and the environment say. Without either, the socket of a packaged agent is tried first, so that
/// scripts of a Serf host work there unchanged.
pub(super) async fn connect(parsed: &Parsed) -> Result<Client, Stop> {
    let environment = Environment::read();
    let flag = parsed.text("rpc-addr");
    if let Some(why) = flag.and_then(bad_address) {
        return line(format!("Error connecting to Serf agent: {why}"));
    }
    let addresses = connect::places(flag, &environment);
    let token = parsed.text("rpc-auth").map(str::to_owned).or(environment.serf_rpc_auth);
    let token = token.filter(|token| !token.is_empty());
    let mut why = String::new();
    for address in &addresses {
        match Client::connect(address, connect::shown_to(address, token.as_deref())).await {
            Ok(client) => return Ok(client),
            Err(error) => why = error.serf_text(),
        }
    }
    line(format!("Error connecting to Serf agent: {why}"))
}

/// Go's words for what is no address, where they depend on how.
fn bad_address(address: &str) -> Option<String> {
    if address.is_empty() {
        return Some("dial tcp: missing address".to_owned());
    }
    let (_, port) = address.rsplit_once(':')?;
    if address.starts_with("unix:") || port.parse::<u16>().is_ok() {
        return None;
    }
    let is_number = port.trim_start_matches(['+', '-']).bytes().all(|byte| byte.is_ascii_digit());
    let why = if is_number { format!("{port}: invalid port") } else { format!("tcp/{port}: unknown port") };
    Some(format!("dial tcp: address {why}"))
}

/// `k=v` pairs; the first that is none stops the command. Of two of one key the last one counts, which the reference does not
/// say.
pub(super) fn tag_pairs(values: &[String]) -> Result<BTreeMap<String, String>, Stop> {
    let mut pairs = BTreeMap::new();
    for pair in values {
        let Some((key, value)) = pair.split_once('=') else {
            return line(format!("Error: Invalid tag: '{pair}'"));
        };
        if let Some(before) = pairs.insert(key.to_owned(), value.to_owned()).filter(|before| before != value) {
            super::error(&format!(
                "warning: tag {key:?} is given twice: {value:?} counts, {before:?} does not; remove one\n"
            ));
        }
    }
    Ok(pairs)
}

async fn event(parsed: &Parsed) -> Outcome {
    let [name, payload @ ..] = parsed.rest.as_slice() else {
        return misuse("event", "An event name must be specified.");
    };
    if payload.len() > 1 {
        return misuse("event", "Too many command line arguments. Only a name and payload must be specified.");
    }
    let coalesce = parsed.bool("coalesce", true);
    let payload = payload.first().cloned().unwrap_or_default();
    let mut client = connect(parsed).await?;
    client.event(name, payload.into(), coalesce).await.map_err(prefixed("Error sending event"))?;
    print(&format!("Event '{name}' dispatched! Coalescing enabled: {coalesce}\n"));
    Ok(())
}

async fn force_leave(parsed: &Parsed) -> Outcome {
    let [name] = parsed.rest.as_slice() else {
        return misuse("force-leave", "A node name must be specified to force leave.");
    };
    let mut client = connect(parsed).await?;
    client.force_leave(name, parsed.bool("prune", false)).await.map_err(prefixed("Error force leaving"))
}

async fn info(parsed: &Parsed) -> Outcome {
    let mut client = connect(parsed).await?;
    let stats = client.stats().await.map_err(prefixed("Error querying agent"))?;
    match parsed.text("format").unwrap_or("text") {
        "text" => print(&text::info(&stats)),
        "json" => print(&text::json(&stats)),
        other => return line(format!("Encoding error: Invalid output format \"{other}\"")),
    }
    Ok(())
}

async fn join(parsed: &Parsed) -> Outcome {
    if parsed.rest.is_empty() {
        return misuse("join", "At least one address to join must be specified.");
    }
    let mut client = connect(parsed).await?;
    let replay = parsed.bool("replay", false);
    let contacted = client.join(parsed.rest.clone(), replay).await.map_err(prefixed("Error joining the cluster"))?;
    print(&format!("Successfully joined cluster by contacting {contacted} nodes.\n"));
    Ok(())
}

async fn leave(parsed: &Parsed) -> Outcome {
    let mut client = connect(parsed).await?;
    client.leave().await.map_err(prefixed("Error leaving"))?;
    print("Graceful leave complete\n");
    Ok(())
}

async fn members(parsed: &Parsed) -> Outcome {
    let mut tags = tag_pairs(parsed.list("tag"))?;
    if let Some(role) = parsed.text("role").filter(|role| !role.is_empty()) {
        print("Deprecation warning: 'Role' has been replaced with 'Tags'\n");
        tags.insert("role".to_owned(), role.to_owned());
    }
    let mut client = connect(parsed).await?;
    let text_of = |name| parsed.text(name).unwrap_or_default().to_owned();
    let query = MembersQuery { tags, status: text_of("status"), name: text_of("name") };
    let members = client.members(Some(query)).await.map_err(|error| match error {
        // The reference hangs up on a bad expression, and its client says so.
        ClientError::Refused(_) => Stop::Line("Error retrieving members: client closed".to_owned()),
        error => prefixed("Error retrieving members")(error),
    })?;
    let members = sorted(members);
    match parsed.text("format").unwrap_or("text") {
        "text" => print(&text::members(&members, parsed.bool("detailed", false))),
        "json" => print(&text::members_json(&members)),
        other => return line(format!("Encoding error: Invalid output format \"{other}\"")),
    }
    Ok(())
}

async fn tags(parsed: &Parsed) -> Outcome {
    let (set, delete) = (parsed.list("set"), parsed.list("delete"));
    if set.is_empty() && delete.is_empty() {
        print(&commands::usage("tags"));
        return Err(Stop::Said);
    }
    let mut client = connect(parsed).await?;
    let set = tag_pairs(set)?;
    client.tags(set, delete.to_vec()).await.map_err(prefixed("Error setting tags"))?;
    print("Successfully updated agent tags\n");
    Ok(())
}

async fn rtt(parsed: &Parsed) -> Outcome {
    let mut client = connect(parsed).await?;
    let (one, other) = match parsed.rest.as_slice() {
        [one] => (one.clone(), own_name(&mut client).await?),
        [one, other] => (one.clone(), other.clone()),
        _ => return misuse("rtt", "One or two node names must be specified"),
    };
    let mut coordinates = Vec::new();
    for name in [&one, &other] {
        match client.coordinate(name).await.map_err(prefixed("Error getting coordinates"))? {
            Some(coordinate) => coordinates.push(coordinate),
            None => return line(format!("Could not find a coordinate for node {}", super::go::quote(name))),
        }
    }
    let distance = crate::serf::coordinate::estimate(&coordinates[0], &coordinates[1]).unwrap_or_default();
    print(&text::rtt(&one, &other, distance));
    Ok(())
}

async fn own_name(client: &mut Client) -> Result<String, Stop> {
    let stats = client.stats().await.map_err(prefixed("Error querying agent"))?;
    Ok(stats.get("agent").and_then(|agent| agent.get("name")).cloned().unwrap_or_default())
}

/// In the order of their names, as people see them.
pub(super) fn sorted(members: Vec<proto::Member>) -> Vec<Member> {
    let mut members: Vec<Member> = members.into_iter().map(Member::from).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}
