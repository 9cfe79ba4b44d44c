//! Joining: names to addresses off the loop, and tries that go on until one is answered (`ux §4` rows 9 and 10).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;
use tracing::info;

use super::rejoin;
use crate::config::JoinAddress;
use crate::endpoint::{Cause, Endpoint, JoinFailure, JoinTarget, Stranger, StreamError};
use crate::error::Explain;
use crate::serf::Status;
use crate::status::node::HEARD_S;
use crate::status::shell::{open_port, start_there};
use crate::status::{Importer, Presence, Standing, Trouble, Voter};
use crate::time::Instant;

/// The first pause between two tries; it doubles up to the configured interval.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A resolver that says nothing for this long counts as one that does not know.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever says sooner that there is no such host has not looked for it: the kernel asks its neighbours three times, a second
/// apart.
const NEIGHBOUR_SEARCH: Duration = Duration::from_secs(1);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// A name that could not be turned into an address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot resolve '{host}' to join: {reason}")]
pub(super) struct Unresolved {
    pub(super) host: String,
    pub(super) reason: String,
}

impl Explain for Unresolved {
    fn remedy(&self) -> Option<Cow<'_, str>> {
        Some("use an address in gossip.join".into())
    }
}

/// What became of a list of names.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) targets: Vec<JoinTarget>,
    pub(super) unresolved: Vec<Unresolved>,
}

/// Asks the system's resolver for each name. Addresses need none.
pub(super) async fn resolve(addresses: &[JoinAddress]) -> Resolved {
    let mut resolved = Resolved::default();
    for address in addresses {
        let label = address.to_string();
        match lookup(address).await {
            Ok(found) => {
                resolved.targets.extend(found.into_iter().map(|addr| JoinTarget { label: label.clone(), addr }));
            }
            Err(reason) => resolved.unresolved.push(Unresolved { host: address.host.clone(), reason }),
        }
    }
    resolved
}

pub(super) async fn lookup(address: &JoinAddress) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = address.host.parse() {
        return Ok(vec![SocketAddr::new(ip, address.port)]);
    }
    match timeout(RESOLVE_TIMEOUT, lookup_host((address.host.as_str(), address.port))).await {
        Ok(Ok(found)) => {
            let mut found: Vec<_> = found.collect();
            found.dedup();
            found.truncate(MAX_ADDRESSES);
            if found.is_empty() { Err("name has no address".to_owned()) } else { Ok(found) }
        }
        Ok(Err(error)) => Err(resolver_words(&error)),
        Err(_elapsed) => Err("the resolver does not answer".to_owned()),
    }
}

/// `getaddrinfo`'s text without its preamble.
fn resolver_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    match text {
        "Name or service not known" => "name not known".to_owned(),
        other => other.to_owned(),
    }
}

/// The tries to join what is configured.
#[derive(Debug)]
pub(super) struct Retry {
    interval: Duration,
    /// Tries before giving up; 0 is never.
    max: u32,
    tries: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// A try is under way. With `again` the addresses have changed since it began, so its end is not the last word.
    Trying {
        again: bool,
    },
    WaitingUntil(Instant),
    Done,
}

/// What follows a failed try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Again after this pause.
    After(Duration),
    /// `join_retry_max` tries have failed.
    GiveUp,
    /// None: somebody answered by another way meanwhile, or nobody is wanted any more.
    Nothing,
}

impl Retry {
    /// The first try is due at `now`, unless there is nothing to join.
    pub(super) fn new(has_targets: bool, interval: Duration, max: u32, now: Instant) -> Self {
        let state = if has_targets { State::WaitingUntil(now) } else { State::Done };
        Self { interval, max, tries: 0, state }
    }

    /// There are other addresses to try, from `now` on, or as soon as the try under way has ended.
    pub(super) fn again(&mut self, now: Instant) {
        match self.state {
            State::Trying { .. } => self.state = State::Trying { again: true },
            State::WaitingUntil(_) | State::Done => self.restart(now),
        }
    }

    fn restart(&mut self, now: Instant) {
        (self.tries, self.state) = (0, State::WaitingUntil(now));
    }

    /// Takes new limits; they hold from the next failure on.
    pub(super) fn set_limits(&mut self, interval: Duration, max: u32) {
        (self.interval, self.max) = (interval, max);
    }

    /// Tries so far, the one under way included.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::WaitingUntil(at) => Some(at),
            State::Trying { .. } | State::Done => None,
        }
    }

    /// Whether nobody has answered yet, and somebody may.
    pub(super) fn is_trying(&self) -> bool {
        self.state != State::Done
    }

    /// Whether to start a try now; the caller then reports [`Self::succeeded`] or [`Self::failed`].
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.state = State::Trying { again: false };
            self.tries += 1;
        }
        due
    }

    /// Somebody answered, here or by another way: no further try, but for addresses that came meanwhile.
    pub(super) fn succeeded(&mut self, now: Instant) {
        match self.state {
            State::Trying { again: true } => self.restart(now),
            State::Trying { again: false } | State::WaitingUntil(_) | State::Done => self.stop(),
        }
    }

    /// No further try, whatever becomes of the one under way.
    pub(super) fn stop(&mut self) {
        self.state = State::Done;
    }

    pub(super) fn failed(&mut self, now: Instant) -> Next {
        match self.state {
            State::Done => return Next::Nothing,
            State::Trying { again: true } => {
                self.restart(now);
                return Next::After(Duration::ZERO);
            }
            State::Trying { again: false } | State::WaitingUntil(_) => {}
        }
        if self.max != 0 && self.tries >= self.max {
            self.stop();
            return Next::GiveUp;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << (self.tries.saturating_sub(1)).min(30));
        let pause = doubled.min(self.interval);
        self.state = State::WaitingUntil(now + pause);
        Next::After(pause)
    }
}

/// An address that was not joined.
#[derive(Clone, Debug)]
pub(super) struct Unjoined {
    pub(super) target: JoinTarget,
    failure: JoinFailure,
    /// Who has to import a key, where that is the trouble.
    importer: Importer,
}

impl Unjoined {
    /// `unfound` are members of the snapshot that were not heard of since the start, `named` those of `gossip.join` that failed as
    /// well.
    pub(super) fn new(
        endpoint: &Endpoint,
        unfound: &[JoinTarget],
        named: &[(JoinTarget, JoinFailure)],
        (target, failure): &(JoinTarget, JoinFailure),
    ) -> Self {
        let key = match failure {
            JoinFailure::KeyMissing { theirs, .. } => Some(*theirs),
            _ => None,
        };
        let removed = endpoint.removed_keys().find(|removed| Some(removed.key) == key).map(|removed| removed.members);
        // It was refused, or refused us, a moment ago.
        let is_it = |stranger: &&Stranger| stranger.addr.ip() == target.addr.ip() && stranger.key == key;
        let heard = endpoint.strangers().filter(is_it).max_by_key(|stranger| stranger.last);
        let alike = heard.map(|heard| alike(endpoint, heard)).unwrap_or_default();
        let standing =
            Standing::of(voters(endpoint, unfound, named), |addr| addr == target.addr, true, removed, &alike);
        let standing = Standing { unheard: heard.map_or(0, |heard| endpoint.unheard_since(heard)), ..standing };
        Self { target: target.clone(), failure: failure.clone(), importer: standing.importer() }
    }

    #[cfg(test)]
    pub(super) fn by(target: JoinTarget, failure: JoinFailure, importer: Importer) -> Self {
        Self { target, failure, importer }
    }

    /// Whether one of the two lacks the key that the other seals with.
    pub(super) fn is_about_keys(&self) -> bool {
        match &self.failure {
            JoinFailure::HungUp { key: Some(_) }
            | JoinFailure::KeyMissing { .. }
            | JoinFailure::LacksOurKey { .. }
            | JoinFailure::UnknownKey { .. } => true,
            JoinFailure::HungUp { key: None }
            | JoinFailure::Connect(_)
            | JoinFailure::Plaintext
            | JoinFailure::NotGossip
            | JoinFailure::Encrypted
            | JoinFailure::Label
            | JoinFailure::Remote(_)
            | JoinFailure::Malformed(_)
            | JoinFailure::Versions
            | JoinFailure::Timeout { .. } => false,
        }
    }

    /// That of one whom `gossip.join` names.
    pub(super) fn as_named(&self) -> Trouble {
        self.of(&format!("{}, which gossip.join names,", self.target.addr.ip()))
    }

    /// That of a member of the snapshot.
    pub(super) fn as_remembered(&self) -> Trouble {
        self.of(&format!("{} ({})", self.target.label, self.target.addr.ip()))
    }

    /// Whether somebody was there and we do not understand each other.
    pub(super) fn is_answered(&self) -> bool {
        !matches!(self.failure, JoinFailure::Connect(_) | JoinFailure::Timeout { .. })
    }

    /// Whether it takes connections, and nothing came in time.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self.failure, JoinFailure::Timeout { connected: true, .. })
    }

    /// For the reference's clients.
    pub(super) fn for_serf(&self) -> String {
        let why = match &self.failure {
            JoinFailure::Connect(error) => error.to_string(),
            _ => self.of("it").to_string(),
        };
        format!("Failed to join {}: {why}", self.target.addr.ip())
    }

    /// What is so of `who`, with the way out.
    fn of(&self, who: &str) -> Trouble {
        let Self { failure, importer, .. } = self;
        let what = || format!("{who} {failure}");
        match failure {
            JoinFailure::KeyMissing { theirs, ring } => importer.lacked_key(who, Some(theirs), ring),
            JoinFailure::UnknownKey { ring } => importer.lacked_key(who, None, ring),
            JoinFailure::HungUp { key: Some(_) } => Trouble::new(what(), importer.after_hanging_up()),
            JoinFailure::LacksOurKey { theirs, .. } => Trouble::new(what(), importer.for_our_key(theirs)),
            JoinFailure::Connect(_)
            | JoinFailure::HungUp { key: None }
            | JoinFailure::Plaintext
            | JoinFailure::NotGossip
            | JoinFailure::Encrypted
            | JoinFailure::Label
            | JoinFailure::Remote(_)
            | JoinFailure::Malformed(_)
            | JoinFailure::Versions
            | JoinFailure::Timeout { .. } => Trouble::new(what(), failure.remedy().unwrap_or_default()),
        }
    }
}

/// Others that seal as `stranger` does.
fn alike(endpoint: &Endpoint, stranger: &Stranger) -> Vec<IpAddr> {
    let is_alike = |other: &&Stranger| {
        other.addr.ip() != stranger.addr.ip()
            && (other.reason, other.key) == (stranger.reason, stranger.key)
            && stranger.last.since(other.last).as_secs() <= HEARD_S
    };
    endpoint.strangers().filter(is_alike).map(|other| other.addr.ip()).collect()
}

/// Everybody who is known here, as a question of keys counts them.
fn voters(endpoint: &Endpoint, unfound: &[JoinTarget], named: &[(JoinTarget, JoinFailure)]) -> Vec<Voter> {
    let own = &endpoint.local().name;
    let member = |member: &crate::serf::Member| {
        let presence = match member.status {
            _ if member.node.name == *own => Presence::Own,
            Status::Alive | Status::Leaving => Presence::Present,
            Status::Failed => Presence::Failed,
            Status::Left => Presence::Left,
        };
        Voter { addr: member.node.addr, presence }
    };
    let unheard = unfound.iter().filter(|target| endpoint.member(&target.label).is_none());
    let missing = unheard.map(|target| Voter { addr: target.addr, presence: Presence::Unfound });
    let mut voters: Vec<Voter> = endpoint.members().map(member).chain(missing).collect();
    // Whoever is alone has yet to be let in.
    for (JoinTarget { addr, .. }, _) in named.iter().filter(|_| !rejoin::is_alone(endpoint)) {
        if voters.iter().all(|voter| voter.addr != *addr) {
            voters.push(Voter { addr: *addr, presence: Presence::Unfound });
        }
    }
    voters
}

/// Why an address was not joined, in words for the operator, with the way out.
pub(super) fn explain(unjoined: &Unjoined) -> Trouble {
    let addr = unjoined.target.addr;
    match &unjoined.failure {
        JoinFailure::Connect(StreamError { cause, text }) => unreached(addr, *cause, text),
        JoinFailure::Timeout { connected: false, after } => unreached(addr, Cause::Silent { after: *after }, ""),
        JoinFailure::Timeout { connected: true, after } => Trouble::new(
            format!("{addr} takes connections and says nothing ({})", seconds(*after)),
            "see whether its agent hangs, or correct the port",
        ),
        JoinFailure::NotGossip => unjoined.of(&addr.to_string()),
        JoinFailure::HungUp { .. }
        | JoinFailure::Plaintext
        | JoinFailure::Encrypted
        | JoinFailure::UnknownKey { .. }
        | JoinFailure::KeyMissing { .. }
        | JoinFailure::LacksOurKey { .. }
        | JoinFailure::Label
        | JoinFailure::Remote(_)
        | JoinFailure::Malformed(_)
        | JoinFailure::Versions => unjoined.of(&addr.ip().to_string()),
    }
}

/// For addresses that are not needed.
pub(super) fn tell_unanswered(troubles: &[Trouble]) {
    for trouble in troubles {
        info!(error = trouble.to_string(), "join address did not answer");
    }
}

/// Why no connection came about, as each cause needs something else.
pub(super) fn unreached(addr: SocketAddr, cause: Cause, text: &str) -> Trouble {
    let (ip, port) = (addr.ip(), addr.port());
    let open = || format!("open {port} TCP and UDP there: {}", open_port(port));
    match cause {
        Cause::Refused => Trouble::new(format!("nothing listens on {addr}"), start_there(addr)),
        Cause::Silent { after } => Trouble::new(format!("{addr}/tcp does not answer ({})", seconds(after)), open()),
        Cause::NoHost { after } if after >= NEIGHBOUR_SEARCH => Trouble::new(
            format!("no host is at {ip} (no route to host, {})", seconds(after)),
            "correct the address, or start that host",
        ),
        Cause::NoHost { .. } => Trouble::new(
            format!("{addr}/tcp is turned away, by a firewall or a router (no route to host, at once)"),
            format!("see 'ip route get {ip}', or {}", open()),
        ),
        Cause::NoRoute => Trouble::new(
            format!("this host has no route to {ip} (network is unreachable)"),
            format!("correct the address, or see 'ip route get {ip}'"),
        ),
        Cause::Bound(own) => Trouble::new(
            format!("this agent is bound to {own}, from where {addr} cannot be reached"),
            "set gossip.bind to an address that the others reach, or to \"0.0.0.0:7946\", then restart it",
        ),
        Cause::Other => Trouble::new(format!("cannot reach {addr}: {text}"), ""),
    }
}

/// `10 s`, `3.1 s`.
fn seconds(time: Duration) -> String {
    let tenths = (time.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::KeyId;

    const START: Instant = Instant::from_nanos(5_000_000_000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_up_to_the_interval() {
        let mut retry = Retry::new(true, secs(30), 0, START);
        let mut now = START;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(retry.is_due(now));
            assert!(!retry.is_due(now), "one try at a time");
            let Next::After(pause) = retry.failed(now) else { panic!("never gives up") };
            pauses.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert!(retry.is_due(now));
        retry.succeeded(now);
        assert_eq!(retry.poll_timeout(), None);
    }

    #[test]
    fn retry_max_gives_up() {
        let mut retry = Retry::new(true, secs(1), 2, START);
        assert!(retry.is_due(START));
        assert_eq!(retry.failed(START), Next::After(secs(1)));
        assert!(!retry.is_due(START));
        assert!(retry.is_due(START + secs(1)));
        assert_eq!(retry.failed(START + secs(1)), Next::GiveUp);
    }

    #[test]
    fn nothing_to_join_is_never_due_until_there_is_something() {
        let mut retry = Retry::new(false, secs(30), 1, START);
        assert_eq!(retry.poll_timeout(), None);
        retry.again(START + secs(5));
        assert!(!retry.is_due(START) && retry.is_due(START + secs(5)));
        assert_eq!(retry.failed(START + secs(5)), Next::GiveUp);
    }

    #[test]
    fn addresses_that_come_during_a_try_get_their_own() {
        let ends: [fn(&mut Retry); 2] =
            [|retry| retry.succeeded(START), |retry| assert_eq!(retry.failed(START), Next::After(Duration::ZERO))];
        for end in ends {
            let mut retry = Retry::new(true, secs(30), 1, START);
            assert!(retry.is_due(START));
            retry.again(START);
            assert!(!retry.is_due(START), "one try at a time");
            end(&mut retry);
            assert!(retry.is_due(START));
            assert_eq!((retry.tries(), retry.failed(START)), (1, Next::GiveUp), "the tries count anew");
        }
    }

    #[test]
    fn failure_after_an_answer_by_another_way_is_not_followed_by_anything() {
        let ends: [fn(&mut Retry); 2] = [|retry| retry.succeeded(START), Retry::stop];
        for end in ends {
            let mut retry = Retry::new(true, secs(30), 1, START);
            assert!(retry.is_due(START));
            end(&mut retry);
            assert_eq!((retry.failed(START), retry.poll_timeout()), (Next::Nothing, None));
        }
    }

    #[test]
    fn each_cause_has_its_own_words_time_and_way_out() {
        let target = JoinTarget { label: "lb1".to_owned(), addr: SocketAddr::from(([10, 77, 0, 11], 7946)) };
        let connect = |cause| JoinFailure::Connect(StreamError { cause, text: "dial tcp: x".to_owned() });
        let open = "open 7946 TCP and UDP there: 'firewall-cmd --permanent --add-port=7946/tcp --add-port=7946/udp' and \
                    'firewall-cmd --reload', or 'ufw allow 7946'";
        let after = Duration::from_millis;
        for (failure, told) in [
            (connect(Cause::Refused), "nothing listens on 10.77.0.11:7946; start weir there, or correct the port".into()),
            (
                connect(Cause::Silent { after: secs(10) }),
                format!("10.77.0.11:7946/tcp does not answer (10 s); {open}"),
            ),
            (
                JoinFailure::Timeout { connected: false, after: secs(1) },
                format!("10.77.0.11:7946/tcp does not answer (1 s); {open}"),
            ),
            (
                JoinFailure::Timeout { connected: true, after: secs(1) },
                "10.77.0.11:7946 takes connections and says nothing (1 s); see whether its agent hangs, or correct the \
                 port"
                    .into(),
            ),
            (
                connect(Cause::NoHost { after: after(3_060) }),
                "no host is at 10.77.0.11 (no route to host, 3.1 s); correct the address, or start that host".into(),
            ),
            (
                connect(Cause::NoHost { after: after(2) }),
                format!(
                    "10.77.0.11:7946/tcp is turned away, by a firewall or a router (no route to host, at once); see \
                     'ip route get 10.77.0.11', or {open}"
                ),
            ),
            (
                connect(Cause::NoRoute),
                "this host has no route to 10.77.0.11 (network is unreachable); correct the address, or see 'ip route \
                 get 10.77.0.11'"
                    .into(),
            ),
            (
                connect(Cause::Bound([127, 0, 0, 1].into())),
                "this agent is bound to 127.0.0.1, from where 10.77.0.11:7946 cannot be reached; set gossip.bind to an \
                 address that the others reach, or to \"0.0.0.0:7946\", then restart it"
                    .into(),
            ),
            (connect(Cause::Other), "cannot reach 10.77.0.11:7946: dial tcp: x".into()),
        ] {
            assert_eq!(explain(&Unjoined::by(target.clone(), failure, Importer::We)).to_string(), told);
        }
    }

    #[test]
    fn what_keys_are_lacking_or_no_gossip_names_the_way_out() {
        let target = |port| JoinTarget { label: "lb1".to_owned(), addr: SocketAddr::from(([10, 77, 0, 11], port)) };
        let explain = |target: JoinTarget, failure: JoinFailure, importer| {
            explain(&Unjoined { target, failure, importer }).to_string()
        };
        let (ours, theirs) = (KeyId([0x3f, 0xa9, 0xc1, 0xd2]), KeyId([0xb0, 0x7e, 0x44, 0x10]));
        for (port, failure, importer, said) in [
            (
                7946,
                JoinFailure::Plaintext,
                Importer::We,
                "10.77.0.11 speaks without encryption and this node requires it; give it the cluster key (serf: \
                 -keyring-file)",
            ),
            (80, JoinFailure::NotGossip, Importer::We, "10.77.0.11:80 does not speak gossip; wrong port?"),
            (
                7946,
                JoinFailure::HungUp { key: Some(ours) },
                Importer::We,
                "10.77.0.11 hung up without an answer: it probably lacks our key 3fa9c1d2; compare 'weir keys list' (serf \
                 keys -list) there, then 'weir keys import' here",
            ),
            (
                7946,
                JoinFailure::LacksOurKey { theirs, ours },
                Importer::We,
                "10.77.0.11 seals with key b07e4410 and lacks our primary key 3fa9c1d2; 'weir keys use b07e4410' here",
            ),
            (
                7946,
                JoinFailure::LacksOurKey { theirs, ours },
                Importer::They,
                "10.77.0.11 seals with key b07e4410 and lacks our primary key 3fa9c1d2; 'weir keys export' here, 'weir keys \
                 import' there",
            ),
        ] {
            assert_eq!(explain(target(port), failure, importer), said);
        }
    }

    #[tokio::test]
    async fn addresses_need_no_resolver_and_bad_names_are_told() {
        let address = |host: &str| JoinAddress { host: host.to_owned(), port: 7946 };
        let resolved = resolve(&[address("127.0.0.9"), address("::1"), address("name.invalid")]).await;
        let addrs: Vec<_> = resolved.targets.iter().map(|target| target.addr.to_string()).collect();
        assert_eq!(addrs, ["127.0.0.9:7946", "[::1]:7946"]);
        assert_eq!(resolved.unresolved.len(), 1);
        assert_eq!(resolved.unresolved[0].host, "name.invalid");
    }
}
