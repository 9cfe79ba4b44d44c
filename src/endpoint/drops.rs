//! Why a packet or a stream was dropped before it reached `swim` or `serf`.

use crate::crypto::OpenError;

/// A reason. Counted and shown in `info`; never answered, never logged per packet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Drop {
    /// Label missing, wrong or malformed.
    Label,
    /// Sealed under a key we lack, or tampered with: the memberlist envelope does not tell which.
    NotOpened,
    /// Sealed, but too short, of an unknown version, or padded wrongly.
    Envelope,
    /// Sealed, and empty inside: kills real agents.
    EmptyPlaintext,
    /// Plain text although we have a keyring.
    Plaintext,
    /// A stream or a packet that begins as nothing in gossip does: somebody means another service.
    NotGossip,
    /// Sealed although we have no keyring.
    Encrypted,
    /// In an envelope that `seal` does not accept here.
    Form,
    /// A session packet or stream under a key identifier that no key of ours has.
    KeyUnknown,
    /// A session packet under a key of ours that does not open: made for an earlier process of ours, or tampered with.
    OtherSession,
    /// A session packet that we sent ourselves: reflected.
    Own,
    /// A session packet from before the window.
    TooOld,
    /// A session packet that was taken already.
    Replayed,
    /// A session packet of a new sender while the table is full.
    TableFull,
    /// A hello that is no bare ping for us.
    HelloNotPing,
    /// A hello beyond the rate that is answered.
    HelloLimited,
    /// Ours to send: the receiver's session did not become known in time.
    NoSession,
    /// A session stream whose acceptor does not use our key.
    KeyRefused,
    /// A session frame of a length that is not allowed.
    FrameSize,
    /// Bytes after the last frame of a session stream.
    AfterLast,
    /// Compound, compression, CRC or message that does not decode.
    Malformed,
    /// A message type that does not travel this way.
    MessageType,
    /// A ping beyond those of one packet that are answered: real packets hold one.
    PingLimit,
    /// A stream beyond the number we serve.
    StreamLimit,
    /// A stream from a source that holds too many already.
    StreamSource,
    /// A stream that is longer than any exchange, or that would make us hold too much.
    StreamLength,
    /// A stream that was not complete in time.
    StreamTimeout,
    /// A stream that ended before it was complete.
    StreamTruncated,
}

impl Drop {
    /// All reasons, in the order of the counters.
    pub const ALL: [Self; 28] = [
        Self::Label,
        Self::NotOpened,
        Self::Envelope,
        Self::EmptyPlaintext,
        Self::Plaintext,
        Self::NotGossip,
        Self::Encrypted,
        Self::Form,
        Self::KeyUnknown,
        Self::OtherSession,
        Self::Own,
        Self::TooOld,
        Self::Replayed,
        Self::TableFull,
        Self::HelloNotPing,
        Self::HelloLimited,
        Self::NoSession,
        Self::KeyRefused,
        Self::FrameSize,
        Self::AfterLast,
        Self::Malformed,
        Self::MessageType,
        Self::PingLimit,
        Self::StreamLimit,
        Self::StreamSource,
        Self::StreamLength,
        Self::StreamTimeout,
        Self::StreamTruncated,
    ];

    /// The reason as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::NotOpened => "not_opened",
            Self::Envelope => "envelope",
            Self::EmptyPlaintext => "empty_plaintext",
            Self::Plaintext => "plaintext",
            Self::NotGossip => "not_gossip",
            Self::Encrypted => "encrypted",
            Self::Form => "form",
            Self::KeyUnknown => "key_unknown",
            Self::OtherSession => "other_session",
            Self::Own => "own",
            Self::TooOld => "too_old",
            Self::Replayed => "replayed",
            Self::TableFull => "table_full",
            Self::HelloNotPing => "hello_not_ping",
            Self::HelloLimited => "hello_limited",
            Self::NoSession => "no_session",
            Self::KeyRefused => "key_refused",
            Self::FrameSize => "frame_size",
            Self::AfterLast => "after_last",
            Self::Malformed => "malformed",
            Self::MessageType => "message_type",
            Self::PingLimit => "ping_limit",
            Self::StreamLimit => "stream_limit",
            Self::StreamSource => "stream_source",
            Self::StreamLength => "stream_length",
            Self::StreamTimeout => "stream_timeout",
            Self::StreamTruncated => "stream_truncated",
        }
    }

    /// Whether a packet dropped for this reason did not get as far as having its messages read.
    pub(crate) const fn is_before_opening(self) -> bool {
        match self {
            Self::Label
            | Self::NotOpened
            | Self::Envelope
            | Self::Plaintext
            | Self::NotGossip
            | Self::Encrypted
            | Self::Form
            | Self::KeyUnknown
            | Self::OtherSession
            | Self::Own
            | Self::TooOld
            | Self::Replayed
            | Self::TableFull
            | Self::HelloNotPing
            | Self::HelloLimited => true,
            // Its messages are to be read, it is ours to send, or it is no packet.
            Self::EmptyPlaintext
            | Self::Malformed
            | Self::MessageType
            | Self::PingLimit
            | Self::NoSession
            | Self::KeyRefused
            | Self::FrameSize
            | Self::AfterLast
            | Self::StreamLimit
            | Self::StreamSource
            | Self::StreamLength
            | Self::StreamTimeout
            | Self::StreamTruncated => false,
        }
    }
}

impl From<OpenError> for Drop {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Empty => Self::EmptyPlaintext,
            OpenError::NotOpened => Self::NotOpened,
            _ => Self::Envelope,
        }
    }
}

/// How often each reason occurred.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Drops([u64; Drop::ALL.len()]);

impl Drops {
    /// How often `reason` occurred.
    pub fn get(&self, reason: Drop) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.into_iter().map(|reason| (reason, self.get(reason)))
    }

    pub(super) fn count(&mut self, reason: Drop) {
        tracing::trace!(reason = reason.as_str(), "dropped");
        self.0[reason as usize] += 1;
    }
}
