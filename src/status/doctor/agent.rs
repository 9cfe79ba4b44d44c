//! Whether an agent runs here, and how it fares.

use super::Trouble;
use super::finding::Findings;
use crate::status::node::{CLAIM_S, Document, LastApply, LongName, NameClaim};
use crate::wire::NodeName;

/// Above this, the node is too slow for its own probes (Lifeguard's awareness).
const OVERLOADED: u32 = 2;
/// Lists of members are exchanged every half minute, less often in large clusters.
const LONG_NAME_S: u64 = 600;

/// What is known of the agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Agent {
    /// Nobody answers, in the words of every other command.
    Absent(Trouble),
    /// Somebody is there and does not talk, in the words of every other command.
    Silent { what: String },
    /// It is there, and does not let this user in.
    Denied(Trouble),
    /// Serf's own agent, or an older one of ours.
    Foreign,
    /// Ours, with all that it knows.
    Running(Box<Document>),
}

/// This program, beside the one that the agent runs.
#[derive(Clone, Copy, Debug)]
pub struct ThisProgram {
    pub version: &'static str,
    /// Another file has the place of the one that the agent was started from. Not every user can know.
    pub is_replaced: bool,
}

/// Judges it.
pub fn agent(facts: &Agent, program: ThisProgram) -> Findings {
    const RUNNING: &str = "agent.running";
    let mut findings = Findings::default();
    match facts {
        Agent::Absent(Trouble { what, way_out }) => {
            let message = format!("{what}: what only an agent knows was not checked");
            findings.warn(RUNNING, "weir", message, way_out);
        }
        Agent::Silent { what } => findings.error(
            RUNNING,
            "weir",
            format!("{what}: it hangs or has too much to do, and what only it knows was not checked"),
            "see 'top' and 'journalctl -u weir'; if it stays so, 'systemctl restart weir'",
        ),
        Agent::Denied(Trouble { what, way_out }) => {
            findings.skip(RUNNING, "weir", format!("{what}: what only the agent knows was not checked"), way_out);
        }
        Agent::Foreign => findings.info(
            RUNNING,
            "weir",
            "the agent here is Serf's, or an older weir: what only a weir agent knows was not checked",
            "",
        ),
        Agent::Running(document) => {
            findings.pass(RUNNING, "");
            judge_running(&mut findings, document, program);
        }
    }
    findings
}

fn judge_running(findings: &mut Findings, document: &Document, program: ThisProgram) {
    let node = &document.node;
    let ThisProgram { version, is_replaced } = program;
    let before = match (node.version == version, is_replaced) {
        (true, false) => None,
        (true, true) => Some(format!("the agent still runs another weir {version}, whose file was replaced since")),
        (false, _) => Some(format!("the agent is weir {}, this program {version}", node.version)),
    };
    match before {
        Some(message) => findings.warn("agent.version", "weir", message, "systemctl restart weir"),
        None => findings.pass("agent.version", ""),
    }
    match node.name_conflict() {
        Some(Trouble { what, way_out }) => findings.error("agent.name", &node.name, what, &way_out),
        None => match node.name_claim() {
            Some(Trouble { what, way_out }) => findings.warn("agent.name", &node.name, what, &way_out),
            None => findings.pass("agent.name", ""),
        },
    }
    judge_names(findings, document);
    if node.awareness > OVERLOADED {
        let score = node.awareness;
        let message =
            format!("this node misses its own probes (awareness {score}): it has too little CPU, or loses packets");
        findings.warn("agent.overload", &node.name, message, "see 'top', and 'weir info' for drops");
    } else {
        findings.pass("agent.overload", "");
    }
    let last = document.apply.as_ref().and_then(|apply| apply.last.as_ref());
    if let Some(LastApply { message, remedy, .. }) = last.filter(|last| last.went_wrong()) {
        let message = format!("the last apply failed: {message}");
        findings.error("agent.apply", "nginx", message, remedy.as_deref().unwrap_or_default());
    }
}

/// Names of others, as far as they keep a host from being a member.
fn judge_names(findings: &mut Findings, document: &Document) {
    const ID: &str = "agent.names";
    let claims = document.cluster.name_claims.iter().filter(|claim| claim.ago_s <= CLAIM_S);
    let long = document.cluster.long_names.iter().filter(|long| long.ago_s <= LONG_NAME_S);
    for NameClaim { name, holder, other, .. } in claims {
        let message =
            format!("two hosts are called '{name}': the member at {holder}, which keeps the name, and {other}");
        findings.warn(ID, name, message, "set a different node.name on one of the two");
    }
    for LongName { addr, bytes, .. } in long {
        let limit = NodeName::MAX_BYTES;
        let message = format!("the name of {addr} has {bytes} bytes, {limit} are taken: it is no member for this node");
        findings.warn(ID, addr, message, "give it a shorter name (node.name, of Serf -node)");
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::summary;
    use super::*;
    use crate::status::node::ApplyResult;
    use crate::status::node::tests::full;

    fn running(change: fn(&mut Document)) -> Agent {
        let mut document = full();
        (document.node.version, document.node.awareness) = ("1".to_owned(), OVERLOADED);
        change(&mut document);
        Agent::Running(Box::new(document))
    }

    const ONE: ThisProgram = ThisProgram { version: "1", is_replaced: false };

    fn ended(document: &mut Document, result: ApplyResult) {
        let last = document.apply.as_mut().unwrap().last.as_mut().unwrap();
        (last.result, last.message, last.remedy) = (result.into(), "refused".into(), Some("mend it".into()));
    }

    #[test]
    fn what_ails_a_running_agent() {
        type Row = (fn(&mut Document), &'static [&'static str]);
        let rows: [Row; 8] = [
            (|_| {}, &[]),
            (|document| document.node.version = "0".into(), &["warn agent.version weir"]),
            (|document| document.node.silenced = true, &["error agent.name lb1"]),
            (|document| document.node.awareness = OVERLOADED + 1, &["warn agent.overload lb1"]),
            (|document| ended(document, ApplyResult::Stored), &[]),
            (|document| ended(document, ApplyResult::Refused), &["error agent.apply nginx"]),
            (|document| ended(document, ApplyResult::RolledBack), &["error agent.apply nginx"]),
            (|document| ended(document, ApplyResult::Failed), &["error agent.apply nginx"]),
        ];
        for (change, found) in rows {
            let facts = running(change);
            assert_eq!(summary(&agent(&facts, ONE)), found, "{facts:?}");
        }
        let replaced = ThisProgram { is_replaced: true, ..ONE };
        assert_eq!(summary(&agent(&running(|_| {}), replaced)), ["warn agent.version weir"]);
    }

    #[test]
    fn names_that_keep_others_out_are_told_while_they_do() {
        let addr = |host: u8| std::net::SocketAddr::from(([10, 77, 0, host], 7946));
        let found = |claim_s, long_s| {
            let mut document = full();
            document.node.version = "1".to_owned();
            let claim = NameClaim { name: "web1".to_owned(), holder: addr(12), other: addr(14), ago_s: claim_s };
            document.cluster.name_claims.push(claim);
            document.cluster.long_names.push(LongName { addr: addr(15), bytes: 600, ago_s: long_s });
            let findings = agent(&Agent::Running(Box::new(document)), ONE);
            let line = |found: &super::super::finding::Finding| {
                format!("{} {}; {}", found.id, found.message, found.remedy.clone().unwrap_or_default())
            };
            findings.iter().map(line).collect::<Vec<_>>()
        };
        let claimed = "agent.names two hosts are called 'web1': the member at 10.77.0.12:7946, which keeps the name, and \
                       10.77.0.14:7946; set a different node.name on one of the two";
        let long = "agent.names the name of 10.77.0.15:7946 has 600 bytes, 512 are taken: it is no member for this node; give \
                    it a shorter name (node.name, of Serf -node)";
        assert_eq!(found(CLAIM_S, LONG_NAME_S), [claimed, long]);
        assert_eq!(found(CLAIM_S + 1, LONG_NAME_S + 1), Vec::<String>::new());
    }

    #[test]
    fn an_apply_that_went_wrong_keeps_its_way_out() {
        let findings = agent(&running(|document| ended(document, ApplyResult::Refused)), ONE);
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.message, "the last apply failed: refused");
        assert_eq!(finding.remedy.as_deref(), Some("mend it"));
    }

    #[test]
    fn an_agent_that_is_down_is_no_error_and_one_that_is_closed_is_not_judged() {
        let trouble = Trouble::new("no agent at /x", "'systemctl start weir'");
        let absent = agent(&Agent::Absent(trouble.clone()), ONE);
        assert_eq!(summary(&absent), ["warn agent.running weir"]);
        assert_eq!(summary(&agent(&Agent::Silent { what: trouble.what.clone() }, ONE)), ["error agent.running weir"]);
        assert_eq!(summary(&agent(&Agent::Denied(trouble), ONE)), ["skip agent.running weir"]);
        assert_eq!(summary(&agent(&Agent::Foreign, ONE)), ["info agent.running weir"]);
    }
}
