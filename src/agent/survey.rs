//! Whom a member knows, asked by somebody who is none: one exchange of state that tells nothing and joins nothing. For `weir init`,
//! before it writes anything (`protocols D.6`).
//!
//! It is an endpoint's own join, so limits, envelopes and the words for what fails are the agent's. Its datagrams are not sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::time::{Instant, sleep};

use super::join::{self, Unjoined};
use super::reach::Peer;
use super::stream::Streams;
use super::{clock, random};
use crate::config::Config;
use crate::crypto::Keyring;
use crate::endpoint::{Endpoint, JoinKind, JoinTarget, Joined, Output, Restored};
use crate::error::{Trouble, system_words};
use crate::wire::message::PushNode;

/// Why a member did not say whom it knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Unanswered {
    /// One of the two lacks the key that the other seals with.
    Key(Trouble),
    /// Nothing came in time.
    Silent(Trouble),
    /// It was not reached any more, or speaks otherwise.
    Refused(Trouble),
}

/// What `peer` answers to an agent with this configuration and this ring: every entry of its list, itself and those that have gone
/// included. It may take the stream timeout twice.
pub(crate) async fn survey(config: &Config, ring: Option<Keyring>, peer: Peer) -> Result<Vec<PushNode>, Unanswered> {
    let rng = random::seeded().map_err(|error| {
        Unanswered::Refused(Trouble::new(format!("there is no randomness to seal with: {}", system_words(&error)), ""))
    })?;
    let (start, begun) = (clock::now(), Instant::now());
    let now = || start + begun.elapsed();
    let options = config.endpoint(SocketAddr::new(peer.from, config.gossip.bind.port));
    let mut endpoint = Endpoint::new(options, ring, Restored::default(), rng, Box::new(random::system), now());
    let target = JoinTarget { label: peer.addr.to_string(), addr: peer.addr };
    endpoint.join(now(), JoinKind::Survey, vec![target]);
    let mut streams = Streams::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    loop {
        while let Some(output) = endpoint.poll_output() {
            match output {
                Output::Connect { stream, to } => streams.connect(stream, to),
                Output::Write { stream, data, close } => {
                    if !streams.write(stream, data, close) {
                        endpoint.handle_stream_end(now(), stream, Some("write: the peer does not read".into()));
                    }
                }
                Output::Close { stream } => streams.close(stream),
                Output::Joined(joined) => return ended(&endpoint, joined),
                // What a member would say or do on its own is left.
                Output::Datagram { .. }
                | Output::Member(_)
                | Output::Suspicion { .. }
                | Output::Leaving { .. }
                | Output::Event(_)
                | Output::Query(_)
                | Output::Keys { .. }
                | Output::StoreKeyring(_)
                | Output::KeyringChanged { .. }
                | Output::Left { .. }
                | Output::ForceLeft { .. }
                | Output::Reached { .. }
                | Output::SecondWitness { .. }
                | Output::Conflict(_)
                | Output::NameTrouble(_) => {}
            }
        }
        tokio::select! {
            (id, input) = streams.recv() => input.hand_to(&mut endpoint, now(), id),
            () = sleep(endpoint.poll_timeout().since(now())) => endpoint.handle_timeout(now()),
        }
    }
}

fn ended(endpoint: &Endpoint, joined: Joined) -> Result<Vec<PushNode>, Unanswered> {
    let Some(failed) = joined.failures.first() else { return Ok(joined.listed) };
    let unjoined = Unjoined::new(endpoint, &[], &[], failed);
    let trouble = join::explain(&unjoined);
    Err(if unjoined.is_about_keys() {
        Unanswered::Key(trouble)
    } else if unjoined.is_silence() {
        Unanswered::Silent(trouble)
    } else {
        Unanswered::Refused(trouble)
    })
}

#[cfg(test)]
mod tests;
