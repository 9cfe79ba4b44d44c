//! A conversation with the agent: the RPC client with errors for people.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use super::connect::{self, AgentArgs, Environment};
use super::exit::Exit;
use super::failure::Failure;
use super::keys::Change;
use super::members::Member;
use super::output::Output;
use crate::rpc::client::{Address, Client, ClientError, Record};
use crate::rpc::proto::{KeyResponse, MembersQuery, QueryRecord, Stats};
use crate::rpc::refusal::{Kind, Refusal};
use crate::rpc::weir::{NodeStatus, Request};
use crate::serf::QueryParams;
use crate::wire::serf::Coordinate;

/// A connection that has shaken hands.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    /// Where the agent was sought first, and is not.
    instead_of: Option<Address>,
}

/// Why there is no conversation.
#[derive(Debug)]
pub(crate) struct NotConnected {
    pub(crate) cause: Cause,
    pub(crate) failure: Failure,
}

/// What an address turned out to be where no conversation came about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// Nobody is there, or nobody who is an agent.
    Absent,
    /// Somebody is there and does not talk: hung, too busy, or too many talk to it.
    Silent,
    /// An agent is there and does not let this user in.
    Denied,
    /// What was typed names no place or token.
    Unusable,
}

impl Cause {
    fn of(error: &ClientError) -> Self {
        match error {
            ClientError::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Self::Denied,
                // Nobody takes connections out of its full queue.
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Silent,
                _ => Self::Absent,
            },
            ClientError::Silent { .. } | ClientError::Closed | ClientError::Refused(_) => Self::Silent,
            ClientError::TokenRequired | ClientError::TokenRefused => Self::Denied,
            ClientError::Resolve { .. } | ClientError::Protocol | ClientError::Unsupported => Self::Absent,
            ClientError::NoPort(_) => Self::Unusable,
        }
    }
}

impl From<Failure> for NotConnected {
    /// Of what precedes the connection.
    fn from(failure: Failure) -> Self {
        let cause = if failure.exit() == Exit::NotPermitted { Cause::Denied } else { Cause::Unusable };
        Self { cause, failure }
    }
}

/// Why the agent did not do as it was asked.
#[derive(Debug)]
pub(crate) enum SessionError {
    /// The agent's own words.
    Refused(Refusal),
    /// The agent does not know such a command: it is Serf's, or older than this.
    Unsupported(Failure),
    /// It could not be asked, or may not be.
    Lost(Failure),
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Refused(refusal) => refusal.into(),
            SessionError::Unsupported(failure) | SessionError::Lost(failure) => failure,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal { kind, what, remedy, details: _ }: Refusal) -> Self {
        let exit = match kind {
            Kind::Failed | Kind::Unencrypted | Kind::TooLarge { .. } => Exit::Failed,
            Kind::Usage => Exit::Usage,
            Kind::Configuration => Exit::Configuration,
            Kind::Harmful | Kind::Overruled => Exit::Refused,
        };
        let failure = Self::new(exit, what);
        match remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}

impl Session {
    /// Connects to the agent that flags and environment name, or else to one where agents usually are.
    pub(crate) async fn open(args: &AgentArgs, output: &Output) -> Result<Self, Failure> {
        let mut session = Self::connect(args, output).await.map_err(|failed| failed.failure)?;
        if let Some(sought) = session.instead_of.take() {
            let is_ours = session.weir(&NodeStatus { members: false }).await.is_ok();
            let whose = if is_ours { "the agent" } else { "Serf's agent" };
            output.notice(&format!("notice: no agent at {sought}; {whose} at {} answers instead", session.address()));
        }
        Ok(session)
    }

    /// Connects once more to the agent that it had found, and to no other.
    pub(crate) async fn reopen(&mut self, args: &AgentArgs) -> Result<(), Failure> {
        let token = connect::token(args, &Environment::read())?;
        let token = connect::shown_to(self.address(), token.as_ref().map(|token| token.as_str()));
        let address = self.address().clone();
        let client = Client::connect(&address, token).await;
        self.client = client.map_err(|error| connect::failure(&address, &error, true))?;
        Ok(())
    }

    /// As [`Self::open`], and tells why there is nobody to talk to.
    pub(crate) async fn connect(args: &AgentArgs, output: &Output) -> Result<Self, NotConnected> {
        let environment = Environment::read();
        if args.rpc_auth.is_some() {
            output.notice("notice: others can read a token on the command line; use --rpc-token-file");
        }
        let addresses = connect::candidates(args.rpc_addr.as_deref(), &environment)?;
        let token = connect::token(args, &environment)?;
        let is_named = addresses.len() == 1;
        let first = addresses.first().cloned();
        let mut failed: Option<NotConnected> = None;
        for address in addresses {
            let token = connect::shown_to(&address, token.as_ref().map(|token| token.as_str()));
            match Client::connect(&address, token).await {
                Ok(client) => return Ok(Self { client, instead_of: first.filter(|first| *first != address) }),
                Err(error) => {
                    let failure = connect::failure(&address, &error, is_named);
                    let this = NotConnected { cause: Cause::of(&error), failure };
                    if !error.is_unreachable() {
                        return Err(this);
                    }
                    // The first address is the likeliest, unless somebody is at another.
                    failed = match failed {
                        Some(first) if first.cause != Cause::Absent || this.cause == Cause::Absent => Some(first),
                        Some(_) | None => Some(this),
                    };
                }
            }
        }
        Err(failed.expect("there is at least one address to try, and it failed"))
    }

    pub(crate) async fn members(&mut self, query: &MembersQuery) -> Result<Vec<Member>, SessionError> {
        let query = (*query != MembersQuery::default()).then(|| query.clone());
        let members = self.client.members(query).await;
        let mut members: Vec<Member> = self.check(members)?.into_iter().map(Member::from).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(members)
    }

    /// Joins through one address.
    pub(crate) async fn join(&mut self, address: &str, replay: bool) -> Result<u32, SessionError> {
        let joined = self.client.join(vec![address.to_owned()], replay).await;
        self.check(joined)
    }

    pub(crate) async fn leave(&mut self) -> Result<(), SessionError> {
        let left = self.client.leave().await;
        self.check(left)
    }

    pub(crate) async fn force_leave(&mut self, member: &str, prune: bool) -> Result<(), SessionError> {
        let left = self.client.force_leave(member, prune).await;
        self.check(left)
    }

    pub(crate) async fn set_tags(
        &mut self,
        set: &BTreeMap<String, String>,
        delete: &[String],
    ) -> Result<(), SessionError> {
        let changed = self.client.tags(set.clone(), delete.to_vec()).await;
        self.check(changed)
    }

    pub(crate) async fn event(&mut self, name: &str, payload: Bytes, coalesce: bool) -> Result<(), SessionError> {
        let sent = self.client.event(name, payload, coalesce).await;
        self.check(sent)
    }

    pub(crate) async fn stats(&mut self) -> Result<Stats, SessionError> {
        let stats = self.client.stats().await;
        self.check(stats)
    }

    /// The name of the agent's own node.
    pub(crate) async fn own_name(&mut self) -> Result<String, SessionError> {
        let stats = self.stats().await?;
        Ok(stats.get("agent").and_then(|agent| agent.get("name")).cloned().unwrap_or_default())
    }

    pub(crate) async fn coordinate(&mut self, member: &str) -> Result<Option<Coordinate>, SessionError> {
        let coordinate = self.client.coordinate(member).await;
        self.check(coordinate)
    }

    /// What the members said, and the error if not all did as they were told.
    pub(crate) async fn list_keys(&mut self) -> Result<KeyReply, SessionError> {
        let listed = self.client.list_keys().await;
        self.key_reply(listed)
    }

    /// As [`Self::list_keys`]; `key` is material in base64.
    pub(crate) async fn change_key(&mut self, change: Change, key: &str) -> Result<KeyReply, SessionError> {
        let changed = match change {
            Change::Install => self.client.install_key(key).await,
            Change::Use => self.client.use_key(key).await,
            Change::Remove => self.client.remove_key(key).await,
        };
        self.key_reply(changed)
    }

    fn key_reply(
        &self,
        result: Result<(KeyResponse, Option<ClientError>), ClientError>,
    ) -> Result<KeyReply, SessionError> {
        let (response, error) = self.check(result)?;
        match error.map(|error| self.explain(error)) {
            None => Ok(KeyReply { response, error: None }),
            Some(SessionError::Refused(refusal)) => Ok(KeyReply { response, error: Some(refusal) }),
            Some(lost) => Err(lost),
        }
    }

    /// Asks the cluster; answers come from [`Self::answer`].
    pub(crate) async fn query(&mut self, question: QueryParams) -> Result<(), SessionError> {
        let asked = self.client.query(question).await.map(drop);
        self.check(asked)
    }

    /// The next answer to the query.
    pub(crate) async fn answer(&mut self) -> Result<QueryRecord, SessionError> {
        loop {
            if let Record::Answer(answer) = self.record().await? {
                return Ok(answer);
            }
        }
    }

    /// Streams every event and the log from `level` on; both come from [`Self::record`].
    pub(crate) async fn monitor(&mut self, level: &str) -> Result<(), SessionError> {
        let streaming = self.client.stream_with_gaps("*").await;
        self.check(streaming)?;
        let monitoring = self.client.monitor(level).await.map(drop);
        self.check(monitoring)
    }

    /// The next thing the agent sends unasked.
    pub(crate) async fn record(&mut self) -> Result<Record, SessionError> {
        let pushed = self.client.next().await;
        Ok(self.check(pushed)?.record)
    }

    /// One of weir's own commands; Serf's agents are not asked.
    pub(crate) async fn weir<R: Request>(&mut self, request: &R) -> Result<R::Answer, SessionError> {
        let answer = self.client.weir(request).await;
        self.check(answer)
    }

    fn check<T>(&self, result: Result<T, ClientError>) -> Result<T, SessionError> {
        result.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: ClientError) -> SessionError {
        match error {
            ClientError::Refused(refusal) => SessionError::Refused(refusal),
            ClientError::Unsupported => SessionError::Unsupported(connect::failure(self.address(), &error, true)),
            error => SessionError::Lost(connect::failure(self.address(), &error, true)),
        }
    }

    pub(crate) fn address(&self) -> &Address {
        self.client.address()
    }
}

/// How a key command went.
#[derive(Debug, Default)]
pub(crate) struct KeyReply {
    pub(crate) response: KeyResponse,
    /// The agent's summary, if not every member did it.
    pub(crate) error: Option<Refusal>,
}

/// The query that every agent acknowledges by itself.
pub(crate) fn ping() -> QueryParams {
    QueryParams { name: "_serf_ping".to_owned(), ack: true, ..QueryParams::default() }
}
