//! What a balancer tells a server beside whether requests go to it: whether it reaches the server's gossip port by TCP, which can only
//! be seen from here (`protocols D.5`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::stream;
use crate::time::Instant;
use crate::wire::NodeName;

/// Whoever is there takes a connection within milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a result counts: whoever has opened a firewall asks again at once.
const FRESH: Duration = Duration::from_secs(1);
/// A question or two, until somebody else asks.
const KEPT: Duration = Duration::from_secs(60);
/// How long the end of a try waits for whoever began it: later it may be over for somebody who has asked anew.
const AWAITED: Duration = Duration::from_secs(4);
/// Members that are tried at a time.
const MAX_TRIES: usize = 32;

/// Connections to those that asked.
#[derive(Debug, Default)]
pub(super) struct Reached {
    tries: BTreeMap<NodeName, Try>,
}

#[derive(Debug)]
struct Try {
    to: SocketAddr,
    /// When it was begun, or its end was told.
    at: Instant,
    /// The end of the one under way.
    came: Option<oneshot::Receiver<bool>>,
    /// How it ended.
    result: Option<bool>,
}

impl Reached {
    /// Whether `member` takes connections at `to`; `None` while that is not known: what an earlier run of it was told does not count.
    /// A try that is due is begun, and its end told to whoever asks next. Must be called inside the runtime.
    pub(super) fn look(
        &mut self,
        now: Instant,
        member: &NodeName,
        to: SocketAddr,
        source: Option<IpAddr>,
    ) -> Option<bool> {
        self.tries.retain(|_, known| now.since(known.at) < if known.came.is_some() { AWAITED } else { KEPT });
        if let Some(known) = self.tries.get_mut(member).filter(|known| known.to == to) {
            if let Some(Ok(result)) = known.came.as_mut().map(oneshot::Receiver::try_recv) {
                (known.result, known.came, known.at) = (Some(result), None, now);
            }
            if known.came.is_some() || now.since(known.at) < FRESH {
                return known.result;
            }
        } else if self.tries.len() >= MAX_TRIES {
            return None;
        }
        let (sender, came) = oneshot::channel();
        tokio::spawn(async move {
            let reached = timeout(PATIENCE, stream::open(to, source)).await;
            // Nobody may want to know any more.
            let _gone = sender.send(reached.is_ok_and(|opened| opened.is_ok()));
        });
        self.tries.insert(member.clone(), Try { to, at: now, came: Some(came), result: None });
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_asks_is_tried_and_the_next_answer_says_so() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = open.local_addr().unwrap();
        let name = NodeName::new("web1").unwrap();
        let start = Instant::from_nanos(5_000_000_000);
        let mut reached = Reached::default();
        assert_eq!(reached.look(start, &name, to, None), None);
        let (_stream, _) = open.accept().await.unwrap();
        let told = async |reached: &mut Reached, now, to, before| {
            loop {
                tokio::task::yield_now().await;
                match reached.look(now, &name, to, None) {
                    result if result != before => return result,
                    _ => {}
                }
            }
        };
        assert_eq!(told(&mut reached, start, to, None).await, Some(true));
        drop(open);
        assert_eq!(reached.look(start, &name, to, None), Some(true), "it is fresh");
        let later = start + FRESH;
        assert_eq!(reached.look(later, &name, to, None), None, "another try is under way");
        assert_eq!(told(&mut reached, later, to, None).await, Some(false));
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = open.local_addr().unwrap();
        assert_eq!(reached.look(later, &name, to, None), None, "it has moved");
        let (_stream, _) = open.accept().await.unwrap();
        for _ in 0..256 {
            tokio::task::yield_now().await;
        }
        assert_eq!(reached.look(later + AWAITED, &name, to, None), None, "nobody asked how that try ended");
        let elsewhere = "127.0.0.1:9".parse().unwrap();
        assert_eq!(reached.look(later, &name, elsewhere, None), None, "it has moved");
    }
}
