//! Whether an agent runs here, and how it fares.

use super::finding::{Findings, split};

/// Above this, the node is too slow for its own probes (Lifeguard's awareness).
const OVERLOADED: u32 = 2;

/// What is known of the agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Agent {
    /// Nobody answers, in the words of every other command.
    Absent { what: String, way_out: String },
    /// Somebody is there and does not talk, in the words of every other command.
    Silent { what: String },
    /// It is there, and does not let this user in.
    Denied { what: String, way_out: String },
    /// Serf's own agent, or an older one of ours.
    Foreign,
    /// Ours.
    Running {
        version: String,
        /// Another member has its name.
        silenced: bool,
        name: String,
        /// Its score of awareness, if it told.
        health_score: Option<u32>,
        /// How its last apply ended, if that was not well.
        apply: Option<String>,
    },
}

/// Judges it; `version` is this program's.
pub fn agent(facts: &Agent, version: &str) -> Findings {
    const RUNNING: &str = "agent.running";
    let mut findings = Findings::default();
    match facts {
        Agent::Absent { what, way_out } => {
            let message = format!("{what}: what only an agent knows was not checked");
            findings.warn(RUNNING, "weir", message, way_out);
        }
        Agent::Silent { what } => findings.error(
            RUNNING,
            "weir",
            format!("{what}: it hangs or has too much to do, and what only it knows was not checked"),
            "see 'top' and 'journalctl -u weir'; if it stays so, 'systemctl restart weir'",
        ),
        Agent::Denied { what, way_out } => {
            findings.skip(RUNNING, "weir", format!("{what}: what only the agent knows was not checked"), way_out);
        }
        Agent::Foreign => findings.info(
            RUNNING,
            "weir",
            "the agent here is Serf's, or an older weir: what only a weir agent knows was not checked",
            "",
        ),
        Agent::Running { version: running, silenced, name, health_score, apply } => {
            findings.pass(RUNNING, "");
            if running == version {
                findings.pass("agent.version", "");
            } else {
                let message = format!("the agent is weir {running}, this program {version}");
                findings.warn("agent.version", "weir", message, "systemctl restart weir");
            }
            if *silenced {
                let message = format!(
                    "another member is called '{name}' and the majority sides with it, so this node keeps silent until the \
                     name is free"
                );
                findings.error("agent.name", name, message, "set a different node.name");
            } else {
                findings.pass("agent.name", "");
            }
            match health_score {
                Some(score) if *score > OVERLOADED => findings.warn(
                    "agent.overload",
                    name,
                    format!(
                        "this node misses its own probes (awareness {score}): it has too little CPU, or loses packets"
                    ),
                    "see 'top', and 'weir info' for drops",
                ),
                Some(_) => findings.pass("agent.overload", ""),
                None => {}
            }
            if let Some(text) = apply {
                let (message, remedy) = split(text);
                findings.error("agent.apply", "nginx", format!("the last apply failed: {message}"), remedy);
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;

    fn running(version: &str, silenced: bool, score: u32, apply: Option<&str>) -> Agent {
        let (version, apply) = (version.to_owned(), apply.map(ToOwned::to_owned));
        Agent::Running { version, silenced, name: "lb1".into(), health_score: Some(score), apply }
    }

    #[test]
    fn what_ails_a_running_agent() {
        let none: &[&str] = &[];
        for (facts, found) in [
            (running("1", false, 2, None), none),
            (running("0", false, 0, None), &["warn agent.version weir"]),
            (running("1", true, 0, None), &["error agent.name lb1"]),
            (running("1", false, 3, None), &["warn agent.overload lb1"]),
            (running("1", false, 0, Some("refused; mend it")), &["error agent.apply nginx"]),
        ] {
            assert_eq!(summary(&agent(&facts, "1")), found, "{facts:?}");
        }
    }

    #[test]
    fn an_agent_that_is_down_is_no_error_and_one_that_is_closed_is_not_judged() {
        let (what, way_out) = ("no agent at /x".to_owned(), "'systemctl start weir'".to_owned());
        let absent = agent(&Agent::Absent { what: what.clone(), way_out: way_out.clone() }, "1");
        assert_eq!(summary(&absent), ["warn agent.running weir"]);
        assert_eq!(summary(&agent(&Agent::Silent { what: what.clone() }, "1")), ["error agent.running weir"]);
        assert_eq!(summary(&agent(&Agent::Denied { what, way_out }, "1")), ["skip agent.running weir"]);
        assert_eq!(summary(&agent(&Agent::Foreign, "1")), ["info agent.running weir"]);
    }
}
