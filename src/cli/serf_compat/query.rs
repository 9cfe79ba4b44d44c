//! `serf query` and `serf reachability`: answers as they come, for as long as the agent lets them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::session::ping;
use super::client::{Outcome, Stop, connect, line, misuse, prefixed, sorted, tag_pairs};
use super::flags::Parsed;
use super::text::{self, Reach};
use super::{print, print_bytes};
use crate::config::duration;
use crate::rpc::client::{Client, Record};
use crate::rpc::proto::QueryRecord;
use crate::serf::QueryParams;

/// `serf query`.
pub(super) async fn run(parsed: &Parsed) -> Outcome {
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
        timeout: parsed.text("timeout").and_then(|text| duration::parse_go(text).ok()),
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

/// `serf reachability`.
pub(super) async fn reachability(parsed: &Parsed) -> Outcome {
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
