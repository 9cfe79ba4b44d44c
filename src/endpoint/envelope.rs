//! Label and sealing of packets and streams.
//!
//! Everything a peer sends passes through here first and everything we send passes through here last, so this is where a
//! keyring means that plain text is refused. Two envelopes exist, memberlist's and ours (docs/session.md); who gets which is
//! [`super::peers`]' knowledge.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::crypto::session::{self, Content, DropReason, Entropy, SessionId, Sessions, StreamHead};
use crate::crypto::{self, Key, KeyId, Keyring, Sealed, envelope};
use crate::time::Instant;
use crate::wire::message::{Ping, kind};
use crate::wire::{NodeName, label};

use super::Drop;
use super::peers::Form;

/// Most bytes of a packet that leaves (`memberlist §1.7`).
const PACKET_BUDGET: usize = 1400;
/// Reserved for sealing whenever there is a keyring: the larger of the two envelopes.
const SEAL_OVERHEAD: usize = 45;
/// First byte of a session stream.
const SESSION_STREAM: u8 = 0xe3;

/// Which envelopes are sent and accepted while there is a keyring.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Seal {
    /// Everything is accepted; each member is sent the best that it is known to open.
    #[default]
    Auto,
    /// Ours alone.
    Session,
    /// memberlist's alone, as Serf.
    Memberlist,
}

/// Seals what leaves and opens what arrives.
#[derive(Debug)]
pub(super) struct Envelope {
    label: Bytes,
    keyring: Option<Keyring>,
    seal: Seal,
    /// Present with a keyring, unless `seal` is [`Seal::Memberlist`].
    sessions: Option<Sessions>,
    /// What was sealed in memberlist's envelope, by key.
    sealed: BTreeMap<KeyId, u64>,
}

/// A packet that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) content: Content,
    /// `None` if we have no keyring.
    pub(super) sealed: Option<Sealed>,
}

/// How far one direction of a stream in memberlist's envelope, or in none, has come.
#[derive(Debug)]
pub(super) enum StreamContent {
    /// More is needed.
    Partial,
    /// The plain text: complete if it was sealed, else what there is so far.
    Plain { plain: Vec<u8>, key: Option<KeyId> },
    /// It is a session stream.
    Session(StreamHead),
}

impl Envelope {
    /// `sealed` counts what earlier runs have sealed.
    pub(super) fn new(
        label: Bytes,
        keyring: Option<Keyring>,
        seal: Seal,
        node: NodeName,
        entropy: Entropy,
        sealed: BTreeMap<KeyId, u64>,
    ) -> Self {
        let wanted = keyring.is_some() && seal != Seal::Memberlist;
        let sessions = wanted.then(|| Sessions::new(node, &label, entropy));
        Self { label, keyring, seal, sessions, sealed }
    }

    pub(super) fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    pub(super) fn sealed(&self) -> &BTreeMap<KeyId, u64> {
        &self.sealed
    }

    /// Replaces the ring; ciphers of keys that are gone go with it.
    pub(super) fn set_keyring(&mut self, keyring: Keyring) {
        if let Some(sessions) = &mut self.sessions {
            sessions.keyring_changed(&keyring);
        }
        self.keyring = Some(keyring);
    }

    pub(super) fn seal_mode(&self) -> Seal {
        self.seal
    }

    pub(super) fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    pub(super) fn sessions_mut(&mut self) -> Option<&mut Sessions> {
        self.sessions.as_mut()
    }

    /// Bytes that the plain text of a packet may have.
    pub(super) fn packet_budget(&self) -> usize {
        let label = if self.label.is_empty() { 0 } else { 2 + self.label.len() };
        PACKET_BUDGET - label - if self.keyring.is_some() { SEAL_OVERHEAD } else { 0 }
    }

    /// Seals a packet as `form` says, under `key` if the ring still holds it, else under the primary one.
    pub(super) fn seal_packet(
        &mut self,
        plain: Vec<u8>,
        form: Form,
        key: Option<KeyId>,
        now: Instant,
        rng: &mut StdRng,
    ) -> Vec<u8> {
        let Some(ring) = &self.keyring else { return self.labelled(plain) };
        let key = key.and_then(|id| ring.key(id)).unwrap_or(ring.primary());
        let mut out = Vec::with_capacity(2 + self.label.len() + plain.len() + SEAL_OVERHEAD);
        if !self.label.is_empty() {
            label::prepend(&self.label, &mut out);
        }
        match (form, &mut self.sessions) {
            (Form::Session(receiver), Some(sessions)) => {
                sessions.seal(now, key, receiver, rng.next_u32(), &plain, &mut out);
            }
            (Form::Hello, Some(sessions)) => sessions.seal_hello(now, key, rng.next_u32(), &plain, &mut out),
            (Form::Old { .. } | Form::Session(_) | Form::Hello, _) => {
                *self.sealed.entry(key.id()).or_default() += 1;
                let nonce = crypto::nonce(rng.random(), now);
                envelope::seal(key, envelope::Version::V1, nonce, &[&self.label], &plain, &mut out);
            }
        }
        out
    }

    pub(super) fn open_packet(&mut self, datagram: &[u8], now: Instant) -> Result<Opened, Drop> {
        let packet = label::strip(datagram, &self.label).map_err(|_| mislabelled(datagram))?;
        let Some(ring) = &self.keyring else {
            return Ok(Opened { content: Content::Packet(packet.to_vec()), sealed: None });
        };
        if session::is_session(packet) {
            let sessions = self.sessions.as_mut().ok_or(Drop::Form)?;
            let received = sessions.open(now, ring, packet).map_err(Drop::from)?;
            let sealed = Sealed { key: received.key, session: Some(received.sender) };
            return Ok(Opened { content: received.content, sealed: Some(sealed) });
        }
        if self.seal == Seal::Session {
            return Err(Drop::Form);
        }
        let opened = ring.open_packet(&self.label, packet).map_err(Drop::from)?;
        let sealed = Sealed { key: opened.key, session: None };
        Ok(Opened { content: Content::Packet(opened.plain), sealed: Some(sealed) })
    }

    /// Seals one direction of a stream in memberlist's envelope. Only its opener writes the label header; an answer goes
    /// under the key that the request came in.
    pub(super) fn seal_stream(
        &mut self,
        plain: Vec<u8>,
        answer_to: Option<KeyId>,
        opener: bool,
        now: Instant,
        rng: &mut StdRng,
    ) -> Vec<u8> {
        let sealed = match &self.keyring {
            Some(ring) => {
                let key = ring.key_or_primary(answer_to.unwrap_or_else(|| ring.primary().id())).id();
                *self.sealed.entry(key).or_default() += 1;
                ring.seal_frame(key, crypto::nonce(rng.random(), now), &self.label, &plain)
            }
            None => plain,
        };
        if opener { self.labelled(sealed) } else { sealed }
    }

    /// Looks at what has arrived of one direction of a stream that is not known to be a session's.
    ///
    /// Without a keyring the plain bytes have no outer length: the caller decodes what there is.
    pub(super) fn open_stream(&self, bytes: &[u8], opener_sent: bool) -> Result<StreamContent, Drop> {
        let bytes = match self.without_label(bytes, opener_sent)? {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => return Ok(StreamContent::Partial),
        };
        let Some(ring) = &self.keyring else {
            let encrypted = matches!(bytes[0], kind::ENCRYPT | SESSION_STREAM);
            return if encrypted {
                Err(Drop::Encrypted)
            } else if !is_gossip(bytes[0]) {
                Err(Drop::NotGossip)
            } else {
                Ok(StreamContent::Plain { plain: bytes.to_vec(), key: None })
            };
        };
        match bytes[0] {
            SESSION_STREAM if self.sessions.is_some() => {
                let head = StreamHead::parse(bytes).map_err(Drop::from)?;
                Ok(head.map_or(StreamContent::Partial, |(head, _)| StreamContent::Session(head)))
            }
            kind::ENCRYPT if self.seal != Seal::Session => match crypto::frame_len(bytes).map_err(Drop::from)? {
                Some(len) if bytes.len() >= len => {
                    let opened = ring.open_frame(&self.label, &bytes[..len]).map_err(Drop::from)?;
                    Ok(StreamContent::Plain { plain: opened.plain, key: Some(opened.key) })
                }
                _ => Ok(StreamContent::Partial),
            },
            SESSION_STREAM | kind::ENCRYPT => Err(Drop::Form),
            first if is_gossip(first) => Err(Drop::Plaintext),
            _ => Err(Drop::NotGossip),
        }
    }

    /// What follows the label header of a stream; `None` while that is not complete.
    pub(super) fn without_label<'a>(&self, bytes: &'a [u8], opener_sent: bool) -> Result<Option<&'a [u8]>, Drop> {
        match (opener_sent, bytes) {
            (true, [kind::LABEL]) => Ok(None),
            (true, [kind::LABEL, len, rest @ ..]) if rest.len() < usize::from(*len) => Ok(None),
            (true, _) => label::strip(bytes, &self.label).map(Some).map_err(|_| mislabelled(bytes)),
            (false, _) => Ok(Some(bytes)),
        }
    }

    /// The key identifier in the header of a session packet.
    pub(super) fn key_id_of(&self, datagram: &[u8]) -> Option<KeyId> {
        let packet = label::strip(datagram, &self.label).ok()?;
        packet.get(1..5).and_then(|id| id.try_into().ok()).map(KeyId)
    }

    pub(super) fn labelled(&self, sealed: Vec<u8>) -> Vec<u8> {
        if self.label.is_empty() {
            return sealed;
        }
        let mut out = Vec::with_capacity(2 + self.label.len() + sealed.len());
        label::prepend(&self.label, &mut out);
        out.extend_from_slice(&sealed);
        out
    }

    /// The map field that tells our session, where it may be told.
    pub(super) fn session_field(&self) -> Option<Bytes> {
        let told = self.seal == Seal::Auto;
        self.sessions.as_ref().filter(|_| told).map(|sessions| Bytes::copy_from_slice(&sessions.id().to_field()))
    }

    pub(super) fn primary(&self) -> Option<&Key> {
        self.keyring.as_ref().map(Keyring::primary)
    }
}

/// Whether a plain stream may begin so: with a message, or with memberlist's envelope.
pub(super) const fn is_gossip(first: u8) -> bool {
    first <= kind::ERROR
}

/// Why something does not carry our label: another cluster's, or no gossip at all.
fn mislabelled(bytes: &[u8]) -> Drop {
    match bytes.first() {
        Some(&first) if is_gossip(first) || first == kind::LABEL || session::is_session(bytes) => Drop::Label,
        Some(&SESSION_STREAM) => Drop::Label,
        Some(_) | None => Drop::NotGossip,
    }
}

/// The session that a ping tells in its map field.
pub(super) fn told_session(ping: &Ping) -> Option<SessionId> {
    ping.weir.as_deref().and_then(SessionId::from_field)
}

impl From<DropReason> for Drop {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Form => Self::Form,
            DropReason::Short => Self::Envelope,
            DropReason::KeyUnknown(_) => Self::KeyUnknown,
            DropReason::Own => Self::Own,
            DropReason::TooOld => Self::TooOld,
            DropReason::Replayed => Self::Replayed,
            DropReason::NotOpened => Self::OtherSession,
            DropReason::TableFull => Self::TableFull,
            DropReason::Empty => Self::EmptyPlaintext,
            DropReason::HelloNotPing => Self::HelloNotPing,
            DropReason::HelloLimited => Self::HelloLimited,
            DropReason::NoSession => Self::NoSession,
            DropReason::KeyRefused(_) => Self::KeyRefused,
            DropReason::FrameSize => Self::FrameSize,
            DropReason::Truncated => Self::StreamTruncated,
            DropReason::AfterLast => Self::AfterLast,
        }
    }
}
