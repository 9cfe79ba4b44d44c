//! Whether there is a configuration, and whether it is right and in force.

use super::Trouble;
use super::finding::Findings;

/// What reading the configuration came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Configuration {
    /// There is no such file.
    Missing { path: String },
    /// It may not be read.
    Denied { path: String },
    /// All mistakes, each with its place.
    Wrong { mistakes: Vec<(String, Trouble)> },
    /// It is right.
    Read {
        /// Each with its place, which may be empty.
        notices: Vec<(String, Trouble)>,
        /// What the running agent has not taken over; `None` where there is none to ask.
        pending: Option<Pending>,
    },
}

/// How the files differ from what the agent runs with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pending {
    /// Keys that a reload changes.
    pub live: Vec<String>,
    /// Keys that a restart changes.
    pub restart: Vec<String>,
    /// The agent's own words if it could not read its files.
    pub refused: Option<String>,
}

/// Judges it.
pub fn configuration(facts: &Configuration) -> Findings {
    let mut findings = Findings::default();
    match facts {
        Configuration::Missing { path } => findings.error(
            "config.file",
            path,
            format!("there is no {path}: weir is not configured on this server"),
            "'sudo weir init lb' or 'sudo weir init web --join ADDRESS'; or name yours with --config-file",
        ),
        Configuration::Denied { path } => findings.skip(
            "config.file",
            path,
            format!("{path} may not be read by this user, so most checks are left out"),
            "sudo weir doctor",
        ),
        Configuration::Wrong { mistakes } => {
            for (place, Trouble { what, way_out }) in mistakes {
                findings.error("config.file", place, format!("{place}: {what}"), way_out);
            }
        }
        Configuration::Read { notices, pending } => {
            findings.pass("config.file", "");
            for (place, Trouble { what, way_out }) in notices {
                let message = if place.is_empty() { what.clone() } else { format!("{place}: {what}") };
                findings.warn("config.notice", place, message, way_out);
            }
            if let Some(pending) = pending {
                judge_pending(&mut findings, pending);
            }
        }
    }
    findings
}

fn judge_pending(findings: &mut Findings, pending: &Pending) {
    const ID: &str = "config.running";
    let Pending { live, restart, refused } = pending;
    if let Some(text) = refused {
        let message = format!("the running agent cannot read its configuration again: {text}");
        return findings.error(ID, "weir", message, "correct it, then 'systemctl reload weir'");
    }
    if live.is_empty() && restart.is_empty() {
        return findings.pass(ID, "");
    }
    let changed = |keys: &[String]| keys.join(", ");
    if !live.is_empty() {
        let message = format!("changed since the agent read its configuration: {}", changed(live));
        findings.warn(ID, "weir", message, "systemctl reload weir");
    }
    if !restart.is_empty() {
        let message = format!("changed since the agent started, and in force after a restart: {}", changed(restart));
        findings.warn(ID, "weir", message, "systemctl restart weir");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    #[test]
    fn every_mistake_is_a_finding_with_its_way_out() {
        let mistake = ("weir.toml:9:1".to_owned(), Trouble::new("unknown key 'wieght'", "did you mean 'weight'?"));
        let findings = configuration(&Configuration::Wrong { mistakes: vec![mistake] });
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.message, "weir.toml:9:1: unknown key 'wieght'");
        assert_eq!(finding.remedy.as_deref(), Some("did you mean 'weight'?"));
        assert_eq!(findings.passed(), 0);
    }

    #[test]
    fn a_file_that_may_not_be_read_is_no_mistake() {
        let denied = configuration(&Configuration::Denied { path: "w".into() });
        assert_eq!(summary(&denied), ["skip config.file w"]);
        let missing = configuration(&Configuration::Missing { path: "w".into() });
        assert_eq!(summary(&missing), ["error config.file w"]);
    }

    #[test]
    fn what_the_agent_has_not_read_is_told_by_what_brings_it() {
        let pending = |live: &[&str], restart: &[&str]| {
            let keys = |keys: &[&str]| keys.iter().map(ToString::to_string).collect();
            Some(Pending { live: keys(live), restart: keys(restart), refused: None })
        };
        let remedies = |pending| {
            let findings = configuration(&Configuration::Read { notices: Vec::new(), pending });
            findings.iter().filter_map(|finding| finding.remedy.clone()).collect::<Vec<_>>()
        };
        assert!(remedies(pending(&[], &[])).is_empty());
        assert_eq!(remedies(pending(&["log.level"], &[])), ["systemctl reload weir"]);
        assert_eq!(remedies(pending(&["a"], &["b"])), ["systemctl reload weir", "systemctl restart weir"]);
        assert!(remedies(None).is_empty());
    }
}
