//! What an agent knows and tells, by Serf's RPC, which both kinds speak.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::runtime::Runtime;
use weir::rpc::client::{Address, Client, Record};
use weir::rpc::proto::EventRecord;

use crate::support::until;

/// Everything in which an agent that took a recording for news would differ.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    members: Vec<String>,
    clocks: BTreeMap<String, String>,
}

pub(crate) struct View {
    runtime: Runtime,
    client: Client,
}

impl View {
    /// Listens to all events from now on.
    pub(crate) fn of(rpc: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = Address::Tcp(rpc.to_string());
        let mut client = until("agent listens", || {
            runtime.block_on(Client::connect(&address, None)).map_err(|error| error.to_string())
        });
        runtime.block_on(client.stream("*")).unwrap();
        Self { runtime, client }
    }

    pub(crate) fn state(&mut self) -> State {
        let members = self.runtime.block_on(self.client.members(None)).unwrap();
        let mut stats = self.runtime.block_on(self.client.stats()).unwrap();
        let mut clocks = stats.remove("serf").unwrap();
        clocks.retain(|name, _| {
            ["member_time", "event_time", "query_time", "members", "failed", "left"].contains(&&**name)
        });
        let mut members: Vec<_> = members.iter().map(|member| format!("{member:?}")).collect();
        members.sort();
        State { members, clocks }
    }

    /// The drops of datagrams that were recorded, made for others, or made for an earlier process.
    pub(crate) fn refused(&mut self) -> u64 {
        let stats = self.runtime.block_on(self.client.stats()).unwrap();
        let drops = stats.values().flatten().filter(|(name, _)| {
            ["replayed", "too_old", "other_session", "own", "hello_limited", "hello_not_ping"].contains(&name.as_str())
        });
        drops.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    }

    /// Waits until that many were refused in all.
    pub(crate) fn await_refused(&mut self, count: u64) {
        until("what was said again is refused", || {
            let refused = self.refused();
            if refused >= count { Ok(()) } else { Err(format!("{refused} of {count}")) }
        });
    }

    pub(crate) fn fire(&mut self, name: &str) {
        self.event(name, false);
    }

    /// Fires an event that agents hold back as long as news of members: told of it, they have told all older news.
    pub(crate) fn fire_behind_news(&mut self, name: &str) {
        self.event(name, true);
    }

    fn event(&mut self, name: &str, coalesce: bool) {
        self.runtime.block_on(self.client.event(name, bytes::Bytes::new(), coalesce)).unwrap();
    }

    /// The names of what it told until the user event `last`.
    pub(crate) fn told_until(&mut self, last: &str) -> Vec<String> {
        self.told_within(Duration::from_secs(120), last).expect("it tells of the last event")
    }

    /// As `told_until`; `None` if nothing at all is told for the time of `limit` before.
    pub(crate) fn told_within(&mut self, limit: Duration, last: &str) -> Option<Vec<String>> {
        let mut told = Vec::new();
        loop {
            let next = async { tokio::time::timeout(limit, self.client.next()).await };
            let pushed = self.runtime.block_on(next).ok()?.unwrap();
            match pushed.record {
                Record::Event(EventRecord::User { name, .. }) if name == last => return Some(told),
                Record::Event(EventRecord::User { name, .. }) => told.push(name),
                other => told.push(format!("{other:?}")),
            }
        }
    }
}
