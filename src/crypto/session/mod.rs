//! Our own sealing of packets and streams, beside memberlist's (`session §1 to §5`).
//!
//! Owns the session drawn at start, the counter of what it sealed, the windows of what it opened, and the keys of streams. Which
//! member gets which envelope, and what an ack teaches (`session §6`), is the endpoint's. There is no clock in here, and no randomness
//! but the operating system's, handed over as a function: a buffered generator would repeat ids after a rollback to a memory
//! image.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tracing::debug;

use crate::time::Instant;
use crate::wire::NodeName;
use crate::wire::message::{Message, Ping};

use super::cipher::Cipher;
use super::{Key, KeyId, Keyring};

mod cache;
mod hash;
pub mod packet;
pub mod stream;
mod window;

pub use packet::{Form, Header, OVERHEAD, is_session};
pub use stream::{Exchange, Opening, StreamHead};

use cache::Ciphers;
use hash::ById;
use window::Window;

/// How long the previous session stays valid for receiving.
pub const GRACE: Duration = Duration::from_secs(60);

/// Shortest time between two redraws, unless the counter runs out.
const REDRAW_INTERVAL: Duration = Duration::from_secs(60);

/// Most senders heard at a time; about 300 bytes each.
pub const MAX_SENDERS: usize = 65_536;

/// Probes in a row that were answered only in their fallback before the session is drawn anew.
const UNDECIPHERABLE_PROBES: u8 = 3;

/// Hellos answered: 50 a second, 100 at once.
const HELLO_INTERVAL: Duration = Duration::from_millis(20);
const HELLO_BURST: u32 = 100;

/// First byte of the map field in which a session id travels.
const FIELD_VERSION: u8 = 1;

/// Names one running process. Never stored: a process that starts draws another one.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// The receiver of a hello.
    pub const NOBODY: Self = Self([0; 16]);

    /// The value of the map field `Weir` in pings and acks (`session §6`).
    pub fn to_field(self) -> [u8; 17] {
        let mut field = [FIELD_VERSION; 17];
        field[1..].copy_from_slice(&self.0);
        field
    }

    /// Reads the field; `None` for another version or too few bytes. More bytes are for others to use.
    pub fn from_field(field: &[u8]) -> Option<Self> {
        match field {
            [FIELD_VERSION, id @ ..] => id.first_chunk().copied().map(Self),
            _ => None,
        }
    }
}

/// The first 8 hex digits, which is what logs show.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a packet, stream or message was dropped. Nothing dropped is ever answered; each reason is a counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DropReason {
    #[error("not in the session envelope")]
    Form,
    #[error("too short")]
    Short,
    #[error("sealed with key {0}, which is not in the keyring")]
    KeyUnknown(KeyId),
    /// Reflected.
    #[error("sent by ourselves")]
    Own,
    #[error("too old")]
    TooOld,
    #[error("a replay")]
    Replayed,
    /// Altered, or made for another process.
    #[error("not sealed for us")]
    NotOpened,
    #[error("too many senders")]
    TableFull,
    #[error("nothing in it")]
    Empty,
    #[error("a hello that is no ping for us")]
    HelloNotPing,
    #[error("too many hellos")]
    HelloLimited,
    /// Ours to send: the receiver's session did not become known in time.
    #[error("session of the receiver is not known")]
    NoSession,
    /// The acceptor's primary key. It refuses the opener's if we hold this one too.
    #[error("peer seals with key {0}")]
    KeyRefused(KeyId),
    #[error("frame of a length that is not allowed")]
    FrameSize,
    #[error("stream ends before its last frame")]
    Truncated,
    #[error("something follows the last frame")]
    AfterLast,
}

impl DropReason {
    /// The name of its counter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Short => "short",
            Self::KeyUnknown(_) => "key_unknown",
            Self::Own => "own",
            Self::TooOld => "too_old",
            Self::Replayed => "replayed",
            Self::NotOpened => "not_opened",
            Self::TableFull => "table_full",
            Self::Empty => "empty",
            Self::HelloNotPing => "hello_not_ping",
            Self::HelloLimited => "hello_limited",
            Self::NoSession => "no_session",
            Self::KeyRefused(_) => "key_refused",
            Self::FrameSize => "frame_size",
            Self::Truncated => "truncated",
            Self::AfterLast => "after_last",
        }
    }
}

/// The operating system's generator.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// A packet that was opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Answers are sealed with this key,
    pub key: KeyId,
    /// and bound to this session.
    pub sender: SessionId,
    pub content: Content,
}

/// What a packet held.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// What memberlist puts inside its encryption; never empty.
    Packet(Vec<u8>),
    /// A ping that names us. It is answered with one bare ack and has no other effect than a hint. Boxed, as it is rare and would
    /// make what is told of every packet as large as itself.
    Hello(Box<Ping>),
}

/// The stir of a packet: keeps nonces apart when a machine that was rolled back to a memory image counts the same numbers
/// again. `random` comes from a fast generator.
pub fn stir(random: u32, now: Instant) -> u32 {
    random ^ now.as_nanos() as u32
}

/// Our session, and those of whom we hear.
///
/// Everything takes `now`, which never goes back. After a change of the keyring [`Self::keyring_changed`] has to be called. There
/// is no need to be woken: whatever time does is done by the next call, and [`Self::poll_timeout`] only tells when memory could
/// be freed.
pub struct Sessions {
    entropy: Entropy,
    node: NodeName,
    label: Vec<u8>,
    current: SessionId,
    /// Valid for receiving until then.
    previous: Option<(SessionId, Instant)>,
    /// The next counter; 2^32 if none is left.
    counter: u64,
    /// How often the session was drawn anew.
    redraws: u64,
    last_redraw: Option<Instant>,
    senders: HashMap<SessionId, Sender, ById>,
    max_senders: usize,
    ciphers: Ciphers,
    undecipherable_probes: u8,
    /// When the bucket of hellos will be full again.
    hellos_full: Instant,
}

/// A session that we heard.
struct Sender {
    window: Window,
    /// The number of redraws when a packet for the then current session was last accepted. The mark of `session §4`:
    /// set if this is the present number.
    accepted_in: Option<u64>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("current", &self.current)
            .field("previous", &self.previous)
            .field("counter", &self.counter)
            .field("senders", &self.senders.len())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Draws a session. `node` is our name, as hellos call it, and `label` the cluster's, empty if there is none.
    pub fn new(node: NodeName, label: &[u8], entropy: Entropy) -> Self {
        Self::with_limit(node, label, entropy, MAX_SENDERS)
    }

    /// As [`Self::new`], hearing at most `max_senders` at a time.
    pub fn with_limit(node: NodeName, label: &[u8], mut entropy: Entropy, max_senders: usize) -> Self {
        let current = draw(&mut entropy);
        Self {
            entropy,
            node,
            label: label.to_vec(),
            current,
            previous: None,
            counter: 0,
            redraws: 0,
            last_redraw: None,
            senders: HashMap::default(),
            max_senders,
            ciphers: Ciphers::new(),
            undecipherable_probes: 0,
            hellos_full: Instant::ZERO,
        }
    }

    /// Our session, as pings and acks tell it.
    pub fn id(&self) -> SessionId {
        self.current
    }

    /// How often the session was drawn anew.
    pub fn redraws(&self) -> u64 {
        self.redraws
    }

    /// How many sessions of others are remembered.
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Appends a packet for one running process to `out`, which holds the label header, if there is one.
    ///
    /// `random` is mixed with the clock into the [`stir`]; it comes from a fast generator.
    pub fn seal(&mut self, now: Instant, key: &Key, receiver: SessionId, random: u32, plain: &[u8], out: &mut Vec<u8>) {
        self.seal_as(Form::Packet, now, key, receiver, random, plain, out);
    }

    /// As [`Self::seal`], a bare ping for whomever it reaches.
    pub fn seal_hello(&mut self, now: Instant, key: &Key, random: u32, ping: &[u8], out: &mut Vec<u8>) {
        self.seal_as(Form::Hello, now, key, SessionId::NOBODY, random, ping, out);
    }

    #[expect(clippy::too_many_arguments, reason = "what goes into a packet")]
    fn seal_as(
        &mut self,
        form: Form,
        now: Instant,
        key: &Key,
        receiver: SessionId,
        random: u32,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) {
        let counter = u32::try_from(self.counter).unwrap_or_else(|_| {
            self.redraw(now);
            0
        });
        self.counter = u64::from(counter) + 1;
        let header = Header { form, key: key.id(), sender: self.current, stir: stir(random, now), counter };
        let cipher = self.ciphers.get_or_derive(key, self.current);
        packet::seal_with(cipher, &header, receiver, &self.label, plain, out);
    }

    /// Opens a packet, from which the label header has been removed.
    ///
    /// The order of the checks is that of `session §4`; nothing is remembered of a packet before its tag was verified.
    pub fn open(&mut self, now: Instant, ring: &Keyring, packet: &[u8]) -> Result<Received, DropReason> {
        self.handle_timeout(now);
        let (header, sealed) = Header::parse(packet)?;
        if ring.key(header.key).is_none() {
            return Err(DropReason::KeyUnknown(header.key));
        }
        let previous = self.previous.map(|(id, _)| id);
        if header.sender == self.current || Some(header.sender) == previous {
            return Err(DropReason::Own);
        }
        let plain = match header.form {
            Form::Packet => self.open_packet(now, ring, &header, [Some(self.current), previous], sealed)?,
            Form::Hello => {
                let nobody = [Some(SessionId::NOBODY), None];
                let (plain, _) = decrypt(&mut self.ciphers, ring, &header, nobody, &self.label, sealed)?;
                let content = Content::Hello(Box::new(self.hello(now, &plain)?));
                return Ok(Received { key: header.key, sender: header.sender, content });
            }
        };
        if plain.is_empty() {
            return Err(DropReason::Empty);
        }
        Ok(Received { key: header.key, sender: header.sender, content: Content::Packet(plain) })
    }

    /// Opens what no earlier packet of its sender was, and remembers its counter.
    fn open_packet(
        &mut self,
        now: Instant,
        ring: &Keyring,
        header: &Header,
        receivers: [Option<SessionId>; 2],
        sealed: &[u8],
    ) -> Result<Vec<u8>, DropReason> {
        let Some(sender) = self.senders.get_mut(&header.sender) else {
            let (plain, receiver) = decrypt(&mut self.ciphers, ring, header, receivers, &self.label, sealed)?;
            self.welcome(now, header, receiver)?;
            return Ok(plain);
        };
        sender.window.check(header.counter)?;
        let (plain, receiver) = decrypt(&mut self.ciphers, ring, header, receivers, &self.label, sealed)?;
        sender.window.accept(header.counter);
        // Never taken back: a late packet for the previous session must not cost the window of the current one.
        sender.accepted_in = sender.accepted_in.max((receiver == self.current).then_some(self.redraws));
        Ok(plain)
    }

    /// Remembers a sender by its first packet, which was opened for `receiver`.
    fn welcome(&mut self, now: Instant, header: &Header, receiver: SessionId) -> Result<(), DropReason> {
        let mark = (receiver == self.current).then_some(self.redraws);
        if self.senders.len() >= self.max_senders {
            // Nobody is forgotten whose packets could still be replayed, so room comes only with another session.
            self.redraw_within_limit(now);
            return Err(DropReason::TableFull);
        }
        let sender = Sender { window: Window::new(header.counter), accepted_in: mark };
        self.senders.insert(header.sender, sender);
        Ok(())
    }

    fn hello(&mut self, now: Instant, plain: &[u8]) -> Result<Ping, DropReason> {
        match Message::decode(plain) {
            Ok(Message::Ping(ping)) if ping.node.as_ref() == Some(&self.node) => {
                let full = self.hellos_full.max(now) + HELLO_INTERVAL;
                if full.since(now) > HELLO_INTERVAL * HELLO_BURST {
                    return Err(DropReason::HelloLimited);
                }
                self.hellos_full = full;
                Ok(ping)
            }
            _ => Err(DropReason::HelloNotPing),
        }
    }

    /// A session-sealed ping of ours was answered as such: our packets can be opened.
    pub fn handle_probe_opened(&mut self) {
        self.undecipherable_probes = 0;
    }

    /// A session-sealed ping of ours was not answered, but its fallback was, under the same key and with the session that we
    /// hold of the member. Three of these in a row mean that everybody drops our counters: the machine was rolled back.
    pub fn handle_probe_undecipherable(&mut self, now: Instant) {
        self.handle_timeout(now);
        self.undecipherable_probes = self.undecipherable_probes.saturating_add(1);
        if self.undecipherable_probes >= UNDECIPHERABLE_PROBES {
            self.redraw_within_limit(now);
        }
    }

    /// Forgets what belongs to keys that are no longer in the ring, at once.
    pub fn keyring_changed(&mut self, ring: &Keyring) {
        self.ciphers.retain(|key, _| ring.keys().contains(key));
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.previous.map(|(_, until)| until)
    }

    /// Ends the grace of the previous session, if it is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.previous.is_some_and(|(_, until)| until <= now) {
            self.end_grace();
        }
    }

    /// The only removal of senders: those that have sent nothing for the current session. No packet of theirs is valid now.
    fn end_grace(&mut self) {
        self.previous = None;
        let mark = Some(self.redraws);
        self.senders.retain(|_, sender| sender.accepted_in == mark);
    }

    fn redraw_within_limit(&mut self, now: Instant) {
        if self.last_redraw.is_none_or(|last| now.since(last) >= REDRAW_INTERVAL) {
            self.redraw(now);
        }
    }

    fn redraw(&mut self, now: Instant) {
        if self.previous.is_some() {
            self.end_grace();
        }
        self.previous = Some((self.current, now + GRACE));
        let old = std::mem::replace(&mut self.current, draw(&mut self.entropy));
        debug!(before = %old, now = %self.current, "our session is drawn anew");
        self.ciphers.retain(|_, sender| sender != old);
        self.counter = 0;
        self.redraws += 1;
        self.last_redraw = Some(now);
        self.undecipherable_probes = 0;
    }

    /// Begins a stream that we open, sealed with `key`, the primary one.
    pub fn open_stream(&mut self, key: &Key) -> Opening {
        let random = self.random();
        Opening::new(key, &self.label, random)
    }

    /// Answers the head of a stream that was opened to us. The head returned is to be sent in any case; on error the stream is
    /// closed after it.
    pub fn accept_stream(&mut self, ring: &Keyring, opener: &StreamHead) -> (StreamHead, Result<Exchange, DropReason>) {
        let random = self.random();
        Exchange::accept(ring, &self.label, opener, random)
    }

    fn random(&mut self) -> [u8; 16] {
        draw(&mut self.entropy).0
    }
}

/// Tries the keys of that name in ring order, each for all receivers.
fn decrypt(
    ciphers: &mut Ciphers,
    ring: &Keyring,
    header: &Header,
    receivers: [Option<SessionId>; 2],
    label: &[u8],
    sealed: &[u8],
) -> Result<(Vec<u8>, SessionId), DropReason> {
    let (text, tag) = sealed.split_last_chunk().ok_or(DropReason::Short)?;
    let mut plain = text.to_vec();
    let opens = |cipher: &Cipher, plain: &mut [u8]| {
        let mut receivers = receivers.into_iter().flatten();
        receivers.find(|&receiver| packet::open_with(cipher, header, receiver, label, plain, tag))
    };
    for key in ring.keys().iter().filter(|key| key.id() == header.key) {
        let receiver = if let Some(cipher) = ciphers.get(key, header.sender) {
            opens(cipher, &mut plain)
        } else {
            let cipher = cache::packet_cipher(key, header.sender);
            let receiver = opens(&cipher, &mut plain);
            if receiver.is_some() {
                // Only now: whoever has no key cannot push out what others need.
                ciphers.put(key, header.sender, cipher);
            }
            receiver
        };
        if let Some(receiver) = receiver {
            return Ok((plain, receiver));
        }
    }
    Err(DropReason::NotOpened)
}

fn draw(entropy: &mut Entropy) -> SessionId {
    let mut id = [0; 16];
    entropy(&mut id);
    SessionId(id)
}

#[cfg(test)]
mod tests;
