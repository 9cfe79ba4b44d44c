//! Who speaks to us and cannot be understood: the last few, for errors and `doctor` (`session §4`).
//!
//! Sources of datagrams can be forged, so an entry is a hint for an operator and nothing else.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::crypto::KeyId;
use crate::time::Instant;

use super::Drop;

/// Most that are remembered.
pub const MAX_STRANGERS: usize = 16;

/// Whoever was not heard for this long begins anew.
const OF_LATE: Duration = Duration::from_secs(60);

/// Somebody whose packets or streams were refused whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stranger {
    /// Where the last of it came from; of a stream, the port says nothing.
    pub addr: SocketAddr,
    /// Why it was refused.
    pub reason: Drop,
    /// The key that it seals with, where the envelope tells.
    pub key: Option<KeyId>,
    /// When it was first, of late, and last.
    pub first: Instant,
    pub last: Instant,
}

/// The last few, one entry for each host, reason and key.
#[derive(Debug, Default)]
pub(super) struct Strangers(VecDeque<Stranger>);

impl Strangers {
    /// Remembers a refusal, if its reason is that of a host that is set up differently.
    pub(super) fn note(&mut self, mut stranger: Stranger) {
        if !tells(stranger.reason) {
            return;
        }
        let entry = |stranger: &Stranger| (stranger.addr.ip(), stranger.reason, stranger.key);
        let of = entry(&stranger);
        let same = |known: &Stranger| entry(known) == of;
        if let Some(known) = self.0.iter().find(|known| same(known) && stranger.last.since(known.last) < OF_LATE) {
            stranger.first = known.first;
        }
        self.0.retain(|known| !same(known));
        if self.0.len() == MAX_STRANGERS {
            self.0.pop_front();
        }
        self.0.push_back(stranger);
    }

    /// Forgets a host: it is understood by now.
    pub(super) fn forget(&mut self, ip: IpAddr) {
        self.0.retain(|known| known.addr.ip() != ip);
    }

    /// Forgets everybody: another ring may open what they seal, and who is still not understood is heard again soon.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The one heard longest ago first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Stranger> {
        self.0.iter()
    }
}

/// Whether `reason` is about keys, envelopes or labels. Anything else is damage or an attack, and says nothing of a setting.
fn tells(reason: Drop) -> bool {
    match reason {
        Drop::Label | Drop::NotOpened | Drop::Plaintext | Drop::Encrypted | Drop::Form | Drop::KeyUnknown => true,
        Drop::Envelope
        | Drop::EmptyPlaintext
        | Drop::NotGossip
        | Drop::OtherSession
        | Drop::Own
        | Drop::TooOld
        | Drop::Replayed
        | Drop::TableFull
        | Drop::HelloNotPing
        | Drop::HelloLimited
        | Drop::NoSession
        | Drop::KeyRefused
        | Drop::FrameSize
        | Drop::AfterLast
        | Drop::Malformed
        | Drop::MessageType
        | Drop::PingLimit
        | Drop::StreamLimit
        | Drop::StreamSource
        | Drop::StreamLength
        | Drop::StreamTimeout
        | Drop::StreamTruncated => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(host: u8, port: u16, reason: Drop, key: Option<u8>, at: u64) -> Stranger {
        let addr = SocketAddr::from(([10, 0, 0, host], port));
        let at = Instant::from_nanos(at);
        Stranger { addr, reason, key: key.map(|fill| KeyId([fill; 4])), first: at, last: at }
    }

    #[test]
    fn a_host_has_one_entry_for_each_reason_and_key_and_the_last_ones_stay() {
        let mut strangers = Strangers::default();
        strangers.note(stranger(1, 5, Drop::KeyUnknown, Some(1), 1));
        strangers.note(stranger(1, 6, Drop::KeyUnknown, Some(2), 2));
        strangers.note(stranger(1, 7, Drop::KeyUnknown, Some(1), 3));
        strangers.note(stranger(1, 8, Drop::NotOpened, None, 4));
        strangers.note(stranger(1, 9, Drop::Malformed, None, 5));
        let ports = |strangers: &Strangers| strangers.iter().map(|known| known.addr.port()).collect::<Vec<_>>();
        assert_eq!(ports(&strangers), [6, 7, 8]);
        let spans =
            |strangers: &Strangers| strangers.iter().map(|known| known.last.since(known.first)).collect::<Vec<_>>();
        assert_eq!(spans(&strangers), [0, 2, 0].map(Duration::from_nanos));
        let later = u64::try_from(OF_LATE.as_nanos()).unwrap() + 3;
        strangers.note(stranger(1, 7, Drop::KeyUnknown, Some(1), later));
        strangers.note(stranger(1, 8, Drop::NotOpened, None, later));
        assert_eq!(spans(&strangers), [Duration::ZERO, Duration::ZERO, OF_LATE - Duration::from_nanos(1)]);
        for host in 2..=15 {
            strangers.note(stranger(host, 100, Drop::Plaintext, None, 6));
        }
        assert_eq!(strangers.iter().count(), MAX_STRANGERS);
        assert_eq!(ports(&strangers)[..2], [7, 8]);
        strangers.forget([10, 0, 0, 1].into());
        assert_eq!(ports(&strangers), [100; 14]);
    }
}
