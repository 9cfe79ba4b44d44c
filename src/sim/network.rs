//! The network between simulated nodes: what it does to a packet, and who can reach whom.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

/// Properties of every link, drawn per packet.
#[derive(Clone, Debug)]
pub struct Network {
    /// Shortest delay.
    pub delay: Duration,
    /// Added at random; packets overtake each other within it.
    pub jitter: Duration,
    /// Share of datagrams that never arrive, 0 to 1. Streams retransmit: they are late instead.
    pub loss: f64,
    /// Share of datagrams that arrive twice.
    pub duplication: f64,
}

impl Default for Network {
    /// A quiet data centre.
    fn default() -> Self {
        Self { delay: Duration::from_micros(200), jitter: Duration::from_micros(300), loss: 0.0, duplication: 0.0 }
    }
}

impl Network {
    /// Delays at which a datagram arrives, and arrives again: the first is `None` if it is lost, the second unless it is
    /// duplicated.
    pub(super) fn datagram(&self, rng: &mut StdRng) -> (Option<Duration>, Option<Duration>) {
        let lost = self.loss > 0.0 && rng.random::<f64>() < self.loss;
        let twice = !lost && self.duplication > 0.0 && rng.random::<f64>() < self.duplication;
        ((!lost).then(|| self.draw(rng)), twice.then(|| self.draw(rng)))
    }

    /// Delay of a stream segment: a lost one costs a retransmission.
    pub(super) fn segment(&self, rng: &mut StdRng) -> Duration {
        const RETRANSMISSION: Duration = Duration::from_millis(200);
        let mut delay = self.draw(rng);
        for _ in 0..6 {
            if self.loss == 0.0 || rng.random::<f64>() >= self.loss {
                break;
            }
            delay += RETRANSMISSION;
        }
        delay
    }

    fn draw(&self, rng: &mut StdRng) -> Duration {
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        self.delay + Duration::from_nanos(if jitter == 0 { 0 } else { rng.random_range(0..jitter) })
    }
}
