//! When others were heard last: who hears nobody is no judge of anybody (`protocols D.3`).
//!
//! Heard is what was opened and understood. Where there is no key, or behind a translation of addresses, a sender says little of who
//! it is; nothing is believed by this that would not be without it.

use std::net::SocketAddr;

use crate::time::Instant;
use crate::wire::NodeName;

use super::Endpoint;

/// When others were heard last.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Anybody, by a datagram or on a stream.
    last: Option<Instant>,
    /// The last two who sent datagrams, the latest first: enough to know of anybody but one. Streams come from any port.
    senders: [Option<(SocketAddr, Instant)>; 2],
}

impl Heard {
    pub(super) fn by_datagram(&mut self, now: Instant, from: SocketAddr) {
        self.last = Some(now);
        let [latest, other] = self.senders;
        let before = if latest.is_some_and(|(addr, _)| addr == from) { other } else { latest };
        self.senders = [Some((from, now)), before];
    }

    pub(super) fn by_stream(&mut self, now: Instant) {
        self.last = Some(now);
    }

    fn beside(&self, addr: SocketAddr) -> Option<Instant> {
        self.senders.iter().flatten().find(|(sender, _)| *sender != addr).map(|(_, at)| *at)
    }
}

impl Endpoint {
    /// When anybody was heard last, by a datagram or on a stream.
    pub fn heard(&self) -> Option<Instant> {
        self.heard.last
    }

    /// When anybody but that member was heard last, by a datagram.
    pub fn heard_beside(&self, member: &NodeName) -> Option<Instant> {
        let addr = self.swim.member(member).map(|member| member.node.addr)?;
        self.heard.beside(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_who_take_turns_each_is_known_beside_the_other() {
        let addr = |host: u8| SocketAddr::from(([10, 0, 0, host], 7946));
        let at = Instant::from_nanos;
        let mut heard = Heard::default();
        assert_eq!((heard.last, heard.beside(addr(1))), (None, None));
        heard.by_datagram(at(1), addr(1));
        heard.by_datagram(at(2), addr(1));
        assert_eq!((heard.beside(addr(1)), heard.beside(addr(2))), (None, Some(at(2))));
        heard.by_datagram(at(3), addr(2));
        heard.by_datagram(at(4), addr(2));
        assert_eq!(
            (heard.beside(addr(1)), heard.beside(addr(2)), heard.beside(addr(3))),
            (Some(at(4)), Some(at(2)), Some(at(4)))
        );
        heard.by_datagram(at(5), addr(1));
        assert_eq!((heard.beside(addr(1)), heard.beside(addr(2))), (Some(at(4)), Some(at(5))));
        heard.by_stream(at(6));
        assert_eq!((heard.last, heard.beside(addr(3))), (Some(at(6)), Some(at(5))));
    }
}
