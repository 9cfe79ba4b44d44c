//! The report as a whole: order, last line, and whether it is well.

use std::collections::HashSet;

use serde::Serialize;

use super::finding::{Finding, Findings};
use super::{Level, consequence};

/// What `weir doctor` says, the worst first; the document of `--format json`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// Checks that found nothing.
    pub passed: usize,
}

impl Report {
    /// Sorts by level; within one, the order of the checks stays. What several places have in common, such as a wait that
    /// many locations inherit, is told once, and what follows from something else not at all.
    pub fn new(findings: Findings) -> Self {
        let passed = findings.passed();
        let mut findings = findings.list;
        let mut told = HashSet::new();
        findings.retain(|finding| told.insert(finding.clone()));
        consequence::settle(&mut findings);
        findings.sort_by_key(|finding| finding.level);
        Self { findings, passed }
    }

    /// How many findings there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// The worst level there is.
    pub fn worst(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).min()
    }

    /// `19 checks passed, 1 error, 1 warning`.
    pub fn summary(&self) -> String {
        let mut text = counted(self.passed, "check") + " passed";
        for (level, word) in [(Level::Error, "error"), (Level::Warn, "warning")] {
            let count = self.count(level);
            if count > 0 {
                text.push_str(", ");
                text.push_str(&counted(count, word));
            }
        }
        let skipped = self.count(Level::Skip);
        if skipped > 0 {
            text.push_str(&format!(", {skipped} not checked"));
        }
        text
    }
}

fn counted(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_the_last_line_counts() {
        let mut findings = Findings::default();
        findings.skip("nginx.test", "nginx", "not tested", "sudo");
        findings.info("keys.envelope", "old", "old speaks the old envelope", "");
        findings.warn("nginx.timeouts", "shop", "long", "set it");
        findings.warn("nginx.timeouts", "shop", "longer", "set it");
        findings.warn("nginx.timeouts", "shop", "long", "set it");
        findings.error("gossip.udp", "web2", "silent", "open it");
        findings.pass("gossip.tcp", "web2");
        findings.pass("gossip.tcp", "web2");
        let report = Report::new(findings);
        let ids: Vec<_> = report.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(ids, ["gossip.udp", "nginx.timeouts", "nginx.timeouts", "keys.envelope", "nginx.test"]);
        assert_eq!(report.summary(), "1 check passed, 1 error, 2 warnings, 1 not checked");
        assert_eq!(report.worst(), Some(Level::Error));
        assert_eq!(Report::new(Findings::default()).summary(), "0 checks passed");
    }
}
