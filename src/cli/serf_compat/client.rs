//! The commands that talk to an agent, each with the reference's order of checks and its prefix of errors (`cli.md` §2).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::connect::{self, Environment};
use super::super::duration;
use super::super::keys::Change;
use super::super::members::Member;
use super::super::session::ping;
use super::flags::{self, Flag, Kind, Parsed};
use super::text::{self, Reach};
use super::{fail, monitor, print, print_bytes, usage};
use crate::rpc::client::{Client, ClientError, Record};
use crate::rpc::proto::{KeyResponse, MembersQuery, QueryRecord};
use crate::serf::QueryParams;

/// An error that was not printed yet, or one that was.
pub(super) enum Stop {
    Line(String),
    Said,
}

type Outcome = Result<(), Stop>;

/// The flags of a command, besides those of every client.
fn flags_of(name: &str) -> &'static [Flag] {
    match name {
        "event" => &[("coalesce", Kind::Bool)],
        "force-leave" => &[("prune", Kind::Bool)],
        "info" => &[("format", Kind::Text)],
        "join" => &[("replay", Kind::Bool)],
        "keys" => &[("install", Kind::Text), ("use", Kind::Text), ("remove", Kind::Text), ("list", Kind::Bool)],
        "members" => &[
            ("detailed", Kind::Bool),
            ("format", Kind::Text),
            ("name", Kind::Text),
            ("role", Kind::Text),
            ("status", Kind::Text),
            ("tag", Kind::List),
        ],
        "monitor" => &[("log-level", Kind::Text)],
        "query" => &[
            ("format", Kind::Text),
            ("node", Kind::List),
            ("tag", Kind::List),
            ("timeout", Kind::Duration),
            ("no-ack", Kind::Bool),
            ("relay-factor", Kind::Int),
        ],
        "reachability" => &[("verbose", Kind::Bool)],
        "tags" => &[("set", Kind::List), ("delete", Kind::List)],
        _ => &[],
    }
}

/// Runs a client command and gives its exit code.
pub(super) async fn run(name: &str, args: &[String]) -> u8 {
    let known: Vec<Flag> = flags::RPC.iter().chain(flags_of(name)).copied().collect();
    let parsed = match flags::parse(&known, args) {
        Ok(parsed) => parsed,
        Err(line) => {
            super::error(&format!("{line}\n"));
            print(&usage::of(name));
            return 1;
        }
    };
    let outcome = match name {
        "event" => event(&parsed).await,
        "force-leave" => force_leave(&parsed).await,
        "info" => info(&parsed).await,
        "join" => join(&parsed).await,
        "keys" => keys(&parsed).await,
        "leave" => leave(&parsed).await,
        "members" => members(&parsed).await,
        "monitor" => monitor::run(&parsed).await,
        "query" => query(&parsed).await,
        "reachability" => reachability(&parsed).await,
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
fn misuse<T>(name: &str, message: &str) -> Result<T, Stop> {
    print(&format!("{message}\n\n{}", usage::of(name)));
    Err(Stop::Said)
}

fn line<T>(line: impl Into<String>) -> Result<T, Stop> {
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
    let is_wrong = !address.starts_with("unix:") && port.parse::<u16>().is_err();
    is_wrong.then(|| format!("dial tcp: address {port}: invalid port"))
}

/// `k=v` pairs; the first that is none stops the command.
fn tag_pairs(values: &[String]) -> Result<BTreeMap<String, String>, Stop> {
    let pair = |value: &String| match value.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => line(format!("Error: Invalid tag: '{value}'")),
    };
    values.iter().map(pair).collect()
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
        print(&usage::of("tags"));
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

async fn query(parsed: &Parsed) -> Outcome {
    let tags = tag_pairs(parsed.list("tag"))?;
    let [name, payload @ ..] = parsed.rest.as_slice() else {
        return misuse("query", "A query name must be specified.");
    };
    if payload.len() > 1 {
        return misuse("query", "Too many command line arguments. Only a name and payload must be specified.");
    }
    let relay = parsed.text("relay-factor").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let Ok(relay_factor) = u8::try_from(relay) else {
        return line("Relay factor must be between 0 and 255");
    };
    let is_json = match parsed.text("format").unwrap_or("text") {
        "text" => false,
        "json" => true,
        other => return line(format!("Invalid format: {other}")),
    };
    let question = QueryParams {
        name: name.clone(),
        payload: payload.first().cloned().unwrap_or_default().into(),
        nodes: parsed.list("node").to_vec(),
        tags,
        timeout: parsed.text("timeout").and_then(|text| duration::parse(text).ok()),
        ack: !parsed.bool("no-ack", false),
        relay_factor,
    };
    let mut client = connect(parsed).await?;
    client.query(question.clone()).await.map_err(prefixed("Error sending query"))?;
    answers(&mut client, &question, is_json).await
}

async fn answers(client: &mut Client, question: &QueryParams, is_json: bool) -> Outcome {
    let mut acks = Vec::new();
    let mut count = 0;
    let mut responses = BTreeMap::new();
    if !is_json {
        print(&format!("Query '{}' dispatched\n", question.name));
    }
    while let Some(answer) = answer(client).await {
        match answer {
            QueryRecord::Ack { from } => {
                if !is_json {
                    print(&format!("Ack from '{from}'\n"));
                }
                acks.push(from);
            }
            QueryRecord::Response { from, payload } => {
                if !is_json {
                    print_bytes(&text::query_response(&from, &payload));
                }
                count += 1;
                responses.insert(from, payload);
            }
            QueryRecord::Done => break,
        }
    }
    if is_json {
        print(&text::query_json(&acks, &responses));
        return Ok(());
    }
    if question.ack {
        print(&format!("Total Acks: {}\n", acks.len()));
    }
    print(&format!("Total Responses: {count}\n"));
    Ok(())
}

/// The next answer to the query; `None` if the agent is gone.
async fn answer(client: &mut Client) -> Option<QueryRecord> {
    loop {
        if let Record::Answer(answer) = client.next().await.ok()?.record {
            return Some(answer);
        }
    }
}

async fn reachability(parsed: &Parsed) -> Outcome {
    let mut client = connect(parsed).await?;
    let members = client.members(None).await.map_err(prefixed("Error getting members"))?;
    let members = sorted(members);
    let live = members.iter().filter(|member| member.status == "alive").map(|member| member.name.clone());
    let mut reach = Reach { live: live.collect(), ..Reach::default() };
    print(&format!("Total members: {}, live members: {}\n", members.len(), reach.live.len()));
    client.query(ping()).await.map_err(prefixed("Error sending query"))?;
    print("Starting reachability test...\n");
    let verbose = parsed.bool("verbose", false);
    let start = Instant::now();
    let mut last = Duration::ZERO;
    while let Some(QueryRecord::Ack { from } | QueryRecord::Response { from, .. }) = answer(&mut client).await {
        if verbose {
            print(&format!("\tAck from '{from}'\n"));
        }
        last = start.elapsed();
        reach.count += 1;
        if !reach.acked.insert(from.clone()) {
            print(&format!("Duplicate response from '{from}'\n"));
        }
    }
    if verbose {
        print(&text::query_time(start.elapsed(), last));
    }
    let (report, is_good) = text::reachability(&reach);
    print(&report);
    if is_good { Ok(()) } else { Err(Stop::Said) }
}

async fn keys(parsed: &Parsed) -> Outcome {
    let given = |name| parsed.text(name).filter(|key| !key.is_empty());
    let changes = [("install", Change::Install), ("use", Change::Use), ("remove", Change::Remove)];
    let changes: Vec<(Change, &str)> =
        changes.into_iter().filter_map(|(name, change)| Some((change, given(name)?))).collect();
    let is_list = parsed.bool("list", false);
    match (is_list, changes.as_slice()) {
        (false, []) => {
            print(&usage::of("keys"));
            Err(Stop::Said)
        }
        (true, []) => list_keys(&mut connect(parsed).await?).await,
        (false, [(change, key)]) => change_key(&mut connect(parsed).await?, *change, key).await,
        _ => line("Only one of -install, -use, -remove, or -list allowed"),
    }
}

async fn list_keys(client: &mut Client) -> Outcome {
    let prefix = "Failed to gather member keys";
    print("==> Asking all members for installed keys...\n");
    let keys = key_outcome(client.list_keys().await, prefix)?;
    print("==> Keys gathered, listing cluster keys...\n\n");
    print(&text::key_list(&keys.keys.unwrap_or_default(), keys.nodes));
    Ok(())
}

async fn change_key(client: &mut Client, change: Change, key: &str) -> Outcome {
    let (doing, prefix, done) = match change {
        Change::Install => ("Installing key", "Error installing key", "Successfully installed key!"),
        Change::Use => ("Changing primary key", "Error changing primary key", "Successfully changed primary key!"),
        Change::Remove => ("Removing key", "Error removing key", "Successfully removed key!"),
    };
    print(&format!("==> {doing} on all members...\n"));
    let result = match change {
        Change::Install => client.install_key(key).await,
        Change::Use => client.use_key(key).await,
        Change::Remove => client.remove_key(key).await,
    };
    key_outcome(result, prefix)?;
    print(&format!("==> {done}\n"));
    Ok(())
}

/// What the members said, and the error if there was one.
fn key_outcome(
    result: Result<(KeyResponse, Option<ClientError>), ClientError>,
    prefix: &'static str,
) -> Result<KeyResponse, Stop> {
    let (keys, error) = result.map_err(prefixed(prefix))?;
    match error {
        None => Ok(keys),
        Some(error) => {
            print(&text::key_failures(&keys.messages));
            Err(prefixed(prefix)(error))
        }
    }
}

/// In the order of their names, as people see them.
fn sorted(members: Vec<crate::rpc::proto::Member>) -> Vec<Member> {
    let mut members: Vec<Member> = members.into_iter().map(Member::from).collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    members
}
