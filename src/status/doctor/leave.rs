//! Whether a leave has the time that it may take (`protocols A.5`).

use std::time::Duration;

use super::Trouble;
use super::finding::Findings;

/// The unit waits for so much longer than the leave may take.
const MARGIN: Duration = Duration::from_secs(10);
/// Below this, a balancer's join may not be known here yet when the node goes.
const GOSSIP: Duration = Duration::from_secs(2);

/// How a leave is configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Leave {
    /// Whether stopping the unit leaves at all.
    pub on_stop: bool,
    pub drain_time: Duration,
    pub timeout: Duration,
    /// How long the unit's stop may take; `None` where there is none, or it takes as long as it takes.
    pub unit: Option<Duration>,
}

impl Leave {
    /// Why systemd would kill the agent before it has left.
    pub fn cut_short(&self) -> Option<Trouble> {
        let needed = self.timeout + MARGIN;
        let unit = self.unit.filter(|unit| self.on_stop && *unit < needed)?;
        let (timeout, unit, needed) = (self.timeout.as_secs(), unit.as_secs(), needed.as_secs());
        let what = format!(
            "a leave may take {timeout} s (leave.timeout), and systemd waits {unit} s for weir.service to stop"
        );
        let way_out =
            format!("'systemctl edit weir' and add TimeoutStopSec={needed} below [Service], or shorten leave.timeout");
        Some(Trouble::new(what, way_out))
    }
}

/// Judges it.
pub fn leave(facts: &Leave) -> Findings {
    let mut findings = Findings::default();
    match facts.cut_short() {
        Some(Trouble { what, way_out }) => findings.error("config.stop", "weir.service", what, &way_out),
        None => findings.pass("config.stop", ""),
    }
    let drain_time = facts.drain_time;
    if drain_time.is_zero() {
        let message = "leave.drain_time is 0: balancers hear of a leave only when the node is gone";
        findings.info("config.drain_time", "leave.drain_time", message, "");
    } else if drain_time < GOSSIP {
        let message = format!(
            "leave.drain_time is {} ms: a balancer that has just joined may still send requests",
            drain_time.as_millis()
        );
        findings.warn("config.drain_time", "leave.drain_time", message, "set leave.drain_time to 2s or more");
    } else {
        findings.pass("config.drain_time", "");
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    #[test]
    fn a_leave_has_the_time_of_gossip_and_systemd_the_time_of_a_leave() {
        let secs = Duration::from_secs;
        for (on_stop, drain_ms, timeout, unit, found) in [
            (true, 5000, 30, Some(secs(45)), &[][..]),
            (true, 5000, 35, Some(secs(45)), &[]),
            (true, 5000, 36, Some(secs(45)), &["error config.stop weir.service"]),
            (false, 5000, 36, Some(secs(45)), &[]),
            (true, 5000, 36, None, &[]),
            (true, 2000, 30, None, &[]),
            (true, 1999, 30, None, &["warn config.drain_time leave.drain_time"]),
            (true, 0, 30, None, &["info config.drain_time leave.drain_time"]),
        ] {
            let facts = Leave { on_stop, drain_time: Duration::from_millis(drain_ms), timeout: secs(timeout), unit };
            assert_eq!(summary(&leave(&facts)), found, "{facts:?}");
        }
    }

    #[test]
    fn the_way_out_names_the_time_that_is_needed() {
        let secs = Duration::from_secs;
        let facts = Leave { on_stop: true, drain_time: secs(5), timeout: secs(60), unit: Some(secs(45)) };
        let trouble = facts.cut_short().unwrap();
        assert_eq!(
            trouble.to_string(),
            "a leave may take 60 s (leave.timeout), and systemd waits 45 s for weir.service to stop; 'systemctl edit weir' and \
             add TimeoutStopSec=70 below [Service], or shorten leave.timeout"
        );
    }
}
