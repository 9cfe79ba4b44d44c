//! Whether clocks agree (`ux §4` row 8). Gossip does not need it; logs, certificates and people do.

use super::finding::Findings;

/// A difference that can be seen in logs.
const MAX_DIFFERENCE_MS: u64 = 2_000;
/// It starts whichever of those is installed.
const KEEP_RIGHT: &str = "'timedatectl set-ntp true', which needs chrony or systemd-timesyncd";

/// Facts about clocks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Clock {
    /// Whether something keeps this clock right, and who says so; `None` if nobody could be asked.
    pub synchronised: Option<(bool, &'static str)>,
    /// Members that told theirs.
    pub peers: Vec<PeerClock>,
}

/// What a member's clock showed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerClock {
    pub name: String,
    /// Its clock minus ours.
    pub offset_ms: i64,
    /// The true difference is that much away at most: half the time the answer took.
    pub uncertainty_ms: u64,
}

/// Judges them.
pub fn clock(facts: &Clock) -> Findings {
    const SYNC: &str = "clock.sync";
    const PEERS: &str = "clock.peers";
    let mut findings = Findings::default();
    match facts.synchronised {
        Some((true, _)) => findings.pass(SYNC, ""),
        Some((false, source)) => findings.warn(
            SYNC,
            "clock",
            format!("nothing keeps this host's clock right (by {source})"),
            KEEP_RIGHT,
        ),
        None => findings.skip(
            SYNC,
            "clock",
            "whether something keeps this host's clock right is not known: neither timedatectl, systemd-timesyncd nor chronyc answers",
            "'apt install chrony', or 'dnf install chrony' and 'systemctl enable --now chronyd'",
        ),
    }
    for PeerClock { name, offset_ms, uncertainty_ms } in &facts.peers {
        if offset_ms.unsigned_abs().saturating_sub(*uncertainty_ms) > MAX_DIFFERENCE_MS {
            let message = format!(
                "clock differs from {name} by {}: gossip does not mind, logs and certificates do",
                seconds(offset_ms.unsigned_abs())
            );
            findings.warn(PEERS, name, message, &format!("{KEEP_RIGHT}, here and there"));
        } else {
            findings.pass(PEERS, name);
        }
    }
    findings
}

fn seconds(ms: u64) -> String {
    if ms < 10_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { format!("{} s", ms / 1000) }
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    #[test]
    fn a_difference_counts_beyond_what_the_answers_way_explains() {
        for (offset_ms, uncertainty_ms, found) in [
            (0, 0, false),
            (2_000, 0, false),
            (2_001, 0, true),
            (-2_001, 0, true),
            (2_500, 500, false),
            (-94_000, 500, true),
            (i64::MIN, 0, true),
            (i64::MAX, u64::MAX, false),
        ] {
            let peers = vec![PeerClock { name: "web2".into(), offset_ms, uncertainty_ms }];
            let findings = clock(&Clock { synchronised: Some((true, "timedatectl")), peers });
            assert_eq!(findings.iter().count() == 1, found, "{offset_ms} ± {uncertainty_ms}");
            assert_eq!(findings.passed(), if found { 1 } else { 2 });
        }
    }

    #[test]
    fn nobody_to_ask_is_not_the_same_as_a_free_running_clock() {
        let found = |synchronised| summary(&clock(&Clock { synchronised, peers: Vec::new() }));
        assert!(found(Some((true, "timedatectl"))).is_empty());
        assert_eq!(found(Some((false, "chronyc"))), ["warn clock.sync clock"]);
        assert_eq!(found(None), ["skip clock.sync clock"]);
    }

    #[test]
    fn the_sentence_is_that_of_the_table_of_mistakes() {
        let peers = vec![PeerClock { name: "web2".into(), offset_ms: 94_321, uncertainty_ms: 2 }];
        let findings = clock(&Clock { synchronised: None, peers });
        let message = &findings.iter().last().unwrap().message;
        assert_eq!(message, "clock differs from web2 by 94 s: gossip does not mind, logs and certificates do");
        assert_eq!(seconds(2_345), "2.3 s");
    }
}
