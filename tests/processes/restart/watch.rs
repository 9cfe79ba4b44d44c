//! A view of one agent over a connection that stays open, quick enough to be asked every few milliseconds.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::runtime::Runtime;
use weir::rpc::client::{Address, Client, ClientError};
use weir::rpc::proto::{Member, Status};

use crate::support::until;

pub(crate) struct Watch {
    runtime: Runtime,
    client: Client,
}

impl Watch {
    /// Connects as soon as the agent listens.
    pub(crate) fn connect(rpc: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = Address::Tcp(rpc.to_string());
        let client = until("agent listens", || {
            runtime.block_on(Client::connect(&address, None)).map_err(|error| error.to_string())
        });
        Self { runtime, client }
    }

    /// Runs one command; an agent that ends meanwhile is an error.
    pub(crate) fn ask<T>(
        &mut self,
        command: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, String> {
        let answer = command(&mut self.client);
        let within = async { tokio::time::timeout(Duration::from_secs(60), answer).await };
        self.runtime.block_on(within).map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
    }

    pub(crate) fn members(&mut self) -> Result<Vec<Member>, String> {
        self.ask(async |client| client.members(None).await)
    }

    /// Waits until all of `names` are alive here.
    pub(crate) fn await_alive(&mut self, names: &[&str]) {
        until(&format!("{names:?} are alive"), || {
            let members = self.members()?;
            let is_alive = |name: &&&str| members.iter().any(|m| m.name == **name && m.status == Status::Alive);
            let missing: Vec<_> = names.iter().filter(|name| !is_alive(name)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are not, of {members:#?}")) }
        });
    }

    /// Waits until `name` is alive here and has this tag.
    pub(crate) fn await_tag(&mut self, name: &str, tag: (&str, &str)) {
        until(&format!("{name} has {tag:?}"), || {
            let members = self.members()?;
            let member = members.iter().find(|m| m.name == name).ok_or("unknown")?;
            let value = member.tags.get(tag.0).map(String::as_str);
            let is_so = member.status == Status::Alive && value == Some(tag.1);
            if is_so { Ok(()) } else { Err(format!("{member:#?}")) }
        });
    }

    /// A number of the section `serf` of its figures.
    pub(crate) fn figure(&mut self, name: &str) -> u64 {
        let stats = self.ask(async |client| client.stats().await).unwrap();
        stats["serf"][name].parse().unwrap()
    }
}
