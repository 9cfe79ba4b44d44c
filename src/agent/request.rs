//! Asks a service once, within bounds of time and memory, on a connection that is closed behind it.
//!
//! What is asked is a [`Service`] of the configuration; what came of it is an [`Outcome`], which holds no text of the peer's.
//! When to ask, and what the outcomes add up to, is decided elsewhere.

mod connection;
mod hop;
mod http;
mod proxy;
#[cfg(test)]
pub(super) mod tests;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use self::connection::{broken, connect};
use self::hop::Hop;
use self::http::Exchanged;
use self::tls::Trust;
use super::clock;
use crate::config::{Address, Http, Service, Tcp};
use crate::health::answer::{Failure, Outcome, Step};

pub(super) use self::tls::{Trusts, unusable};

/// How much of what a server says by itself its expression is shown.
const MAX_BANNER_BYTES: usize = 1024;

/// How a service is asked.
#[derive(Debug)]
pub(super) struct Request {
    service: Service,
    /// Where TLS may come into it, by a redirect, too.
    trust: Option<Arc<Trust>>,
    /// Longest exchange, redirects included, but for what this host needs to read whom it trusts.
    within: Duration,
}

impl Request {
    /// Of a request over TLS, `trusts` holds whose certificates are taken; they are read with the first request.
    pub(super) fn new(service: Service, within: Duration, trusts: &mut Trusts) -> Self {
        let trust = match &service {
            Service::Http(http) if http.secure || http.redirects > 0 => Some(trusts.get(&http.tls)),
            Service::Http(_) | Service::Tcp(_) => None,
        };
        Self { service, trust, within }
    }

    /// What is asked.
    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    /// Asks the service at `to`. Dropping the future closes the connection.
    pub(super) async fn ask(&self, to: &Address) -> Outcome {
        let began = clock::now();
        let limit = Limit(Instant::now() + self.within);
        let result = match &self.service {
            Service::Http(http) => self.http(http, to, limit).await,
            Service::Tcp(tcp) => self::tcp(tcp, to, limit).await,
        };
        Outcome { took: clock::now().since(began), result }
    }

    async fn http(&self, http: &Http, to: &Address, mut limit: Limit) -> Result<(), Failure> {
        let mut hop = Hop::first(http, to);
        for redirects_left in (0..=http.redirects).rev() {
            let follows = redirects_left > 0;
            // TLS takes several times the memory, which a plain request need not have.
            let exchanged = if hop.secure {
                Box::pin(self.secure(http, &hop, follows, &mut limit)).await?
            } else {
                let stream = connect(&hop.address, http.send_proxy, limit).await?;
                http::exchange(stream, http, hop.head(follows), limit).await?
            };
            match exchanged {
                Exchanged::Well => return Ok(()),
                Exchanged::Redirect(location) => hop = hop.follow(&location)?,
            }
        }
        Err(Failure::Redirect)
    }

    async fn secure(&self, http: &Http, hop: &Hop<'_>, follows: bool, limit: &mut Limit) -> Result<Exchanged, Failure> {
        let name = hop.server_name()?;
        let trust = self.trust.as_ref().expect("`new` gives one to every service that TLS may come into");
        let began = Instant::now();
        let client = trust.client(self.within).await?;
        // A disk of ours that is slow is no fault of the server's.
        limit.0 += began.elapsed();
        let stream = connect(&hop.address, http.send_proxy, *limit).await?;
        let stream = limit.on(Step::Tls, tls::handshake(client, name, stream)).await?;
        http::exchange(stream, http, hop.head(follows), *limit).await
    }
}

async fn tcp(tcp: &Tcp, to: &Address, limit: Limit) -> Result<(), Failure> {
    let mut stream = connect(to, tcp.send_proxy, limit).await?;
    let Some(expression) = &tcp.expect else { return Ok(()) };
    let mut said = Vec::new();
    loop {
        let len = said.len();
        let read = limit.on(Step::Banner, read_more(&mut stream, &mut said)).await;
        if expression.matches(&said) {
            return Ok(());
        }
        match read {
            Ok(()) if said.len() > len && said.len() < MAX_BANNER_BYTES => {}
            Ok(()) if said.is_empty() => return Err(Failure::Broken(Step::Banner, None)),
            // Whatever ends it: what was said is not what is wanted.
            Ok(()) => return Err(Failure::Banner),
            Err(_) if !said.is_empty() => return Err(Failure::Banner),
            Err(failure) => return Err(failure),
        }
    }
}

/// Appends what there is, up to [`MAX_BANNER_BYTES`] in all; nothing at the stream's end.
async fn read_more(stream: &mut TcpStream, said: &mut Vec<u8>) -> Result<(), Failure> {
    let room = (MAX_BANNER_BYTES - said.len()) as u64;
    let read = stream.take(room).read_buf(said).await;
    read.map(drop).map_err(|error| broken(Step::Banner, &error))
}

/// When a request must have ended.
#[derive(Clone, Copy, Debug)]
struct Limit(Instant);

impl Limit {
    /// What `step` brings, if it does in time.
    async fn on<T>(self, step: Step, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        timeout_at(self.0, work).await.unwrap_or(Err(Failure::TimedOut(step)))
    }
}
