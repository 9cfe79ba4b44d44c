//! Whether requests are still on their way to a node that lingers, judged from its TCP connections (`ux §7`, *Drains measure*).
//!
//! Owns the rule. Who lists connections is the agent, and when a linger ends is the leaving node's machine.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::Flight;

/// A connection on which nothing was sent for this long carries no answer.
const STILL: Duration = Duration::from_secs(1);

/// One established connection of this host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Our end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Bytes written that the other end has not acknowledged.
    pub unacknowledged: u32,
    /// How long ago a byte was last sent,
    pub sent_ago: Duration,
    /// and one was last received.
    pub received_ago: Duration,
}

impl Connection {
    /// Whether a request may be under way on it. An answer is the last thing that is sent; both in one tick of the kernel's
    /// clock may as well be a request behind an answer.
    fn is_busy(&self) -> bool {
        self.unacknowledged > 0 || self.sent_ago < STILL || self.sent_ago >= self.received_ago
    }

    /// From this host to itself: a check of its own, say.
    fn is_own(&self) -> bool {
        let (local, remote) = (self.local.ip().to_canonical(), self.remote.ip().to_canonical());
        local == remote || remote.is_loopback()
    }
}

/// The connections of one drain.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// One was seen since the drain began. Behind an address translation, as of a container, none shows, and nothing can be said.
    seen: bool,
}

impl Traffic {
    /// Judges all connections of one moment; `ports` are those to which balancers sent requests.
    pub fn judge(&mut self, ports: &BTreeSet<u16>, connections: &[Connection]) -> Flight {
        let of_balancers = |connection: &&Connection| ports.contains(&connection.local.port()) && !connection.is_own();
        let mut of_balancers = connections.iter().filter(of_balancers).peekable();
        self.seen |= of_balancers.peek().is_some();
        match (self.seen, of_balancers.any(Connection::is_busy)) {
            (false, _) => Flight::Unknown,
            (true, true) => Flight::Busy,
            (true, false) => Flight::NoneLeft,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(local: &str, remote: &str, unacknowledged: u32, sent_ago: u64, received_ago: u64) -> Connection {
        Connection {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            unacknowledged,
            sent_ago: Duration::from_millis(sent_ago),
            received_ago: Duration::from_millis(received_ago),
        }
    }

    #[test]
    fn a_connection_is_idle_once_its_answer_has_been_out_for_a_second() {
        for (unacknowledged, sent_ago, received_ago, busy) in [
            (0, 1000, 1001, false), // an answer, a second ago
            (0, 999, 1001, true),   // less than a second ago
            (1, 1000, 1001, true),  // on its way to the other end
            (0, 1000, 1000, true),  // one tick: which was first is not known
            (0, 1001, 1000, true),  // a request behind the last answer
            (0, 3000, 3000, true),  // accepted, and nothing said yet
            (0, 60_000, 60_003, false),
        ] {
            let connection = connection("10.77.0.12:80", "10.77.0.11:40000", unacknowledged, sent_ago, received_ago);
            assert_eq!(connection.is_busy(), busy, "{connection:?}");
        }
    }

    #[test]
    fn only_connections_of_others_to_ports_that_balancers_named_count() {
        let ports = BTreeSet::from([80, 8080]);
        for (local, remote, said) in [
            ("10.77.0.12:80", "10.77.0.11:40000", Flight::Busy),
            ("[2001:db8::12]:8080", "[2001:db8::11]:40000", Flight::Busy),
            ("[::ffff:10.77.0.12]:80", "[::ffff:10.77.0.11]:40000", Flight::Busy),
            ("10.77.0.12:22", "10.77.0.11:40000", Flight::Unknown),
            ("10.77.0.12:40000", "10.77.0.11:80", Flight::Unknown), // ours, to a web server there
            ("127.0.0.1:80", "127.0.0.1:40000", Flight::Unknown),
            ("10.77.0.12:80", "10.77.0.12:40000", Flight::Unknown),
            ("[::ffff:10.77.0.12]:80", "[::ffff:10.77.0.12]:40000", Flight::Unknown),
        ] {
            let connection = connection(local, remote, 9, 0, 0);
            assert_eq!(Traffic::default().judge(&ports, &[connection]), said, "{local} {remote}");
        }
    }

    #[test]
    fn that_none_is_left_is_said_only_where_one_was_seen() {
        let (mut traffic, ports) = (Traffic::default(), BTreeSet::from([80]));
        let busy = connection("10.77.0.12:80", "10.77.0.11:40000", 0, 900, 2000);
        let idle = connection("10.77.0.12:80", "10.77.0.11:40001", 0, 1900, 2000);
        for (ports, connections, said) in [
            (&BTreeSet::new(), &[busy][..], Flight::Unknown), // no balancer has named a port
            (&ports, &[], Flight::Unknown),
            (&ports, &[busy, idle, busy], Flight::Busy),
            (&ports, &[idle, busy], Flight::Busy),
            (&ports, &[idle], Flight::NoneLeft),
            (&ports, &[], Flight::NoneLeft), // closed is as good as idle
            (&ports, &[busy], Flight::Busy),
        ] {
            assert_eq!(traffic.judge(ports, connections), said, "{connections:?}");
        }
    }
}
