//! Members that are no servers, or not the servers that their tags say, and balancers that are servers.

use super::super::finding::Findings;
use crate::known::Known;
use crate::status::Level;
use crate::status::node::{LeftOutReason, Member, Server, ServerState, Upstream};

/// Findings of one kind in one upstream; the rest is counted.
const MAX_NAMED: usize = 5;

/// The tag of a balancer.
const BALANCER: &str = "weir_lb";

/// Judges the members of one upstream; `own` is the name of this node.
pub(super) fn servers(upstream: &Upstream, own: &str, members: &[Member]) -> Findings {
    let mut findings = Findings::default();
    left_out(upstream, &mut findings);
    tags(upstream, &mut findings);
    without_weight(upstream, &mut findings);
    balancers(upstream, own, members, &mut findings);
    findings
}

/// This node itself is meant to be out, unless the operator says otherwise.
fn left_out(upstream: &Upstream, findings: &mut Findings) {
    const ID: &str = "nginx.left_out";
    let is_itself = |reason: &Known<LeftOutReason>| reason.is(&LeftOutReason::Itself);
    let all = upstream.left_out.iter().map(|left_out| {
        let level = if is_itself(&left_out.reason) { Level::Info } else { Level::Warn };
        let what = format!("{} is no server of upstream {}: {}", left_out.member, upstream.name, left_out.why);
        (level, left_out.member.clone(), what, left_out.remedy.clone().unwrap_or_default())
    });
    report(findings, ID, &upstream.name, "members are no servers of it", all);
}

fn tags(upstream: &Upstream, findings: &mut Findings) {
    const ID: &str = "nginx.tags";
    let all = upstream.servers.iter().filter(|server| !server.notes.is_empty()).map(|server| {
        let what = format!("{} in upstream {}: {}", server.member, upstream.name, server.notes.join(", "));
        (Level::Warn, server.member.clone(), what, format!("correct it there with 'weir tags' ({})", server.member))
    });
    report(findings, ID, &upstream.name, "servers have tags that are not used as they are", all);
}

fn without_weight(upstream: &Upstream, findings: &mut Findings) {
    const ID: &str = "nginx.weight";
    // In mode last one may keep the line that it had.
    let gets_none = |server: &&Server| server.weight == 0 && !server.state.is(&ServerState::In);
    let all = upstream.servers.iter().filter(gets_none).map(|server| {
        let what = format!("{} has weight 0 and gets no requests of upstream {}", server.member, upstream.name);
        let way_out = "if it should get some, correct its tag or the configuration of the weight";
        (Level::Info, server.member.clone(), what, way_out.to_owned())
    });
    report(findings, ID, &upstream.name, "servers have weight 0", all);
}

/// Another balancer that gets requests may send them back.
fn balancers(upstream: &Upstream, own: &str, members: &[Member], findings: &mut Findings) {
    const ID: &str = "nginx.balancer";
    let is_balancer = |server: &&Server| {
        server.member != own
            && members.iter().any(|member| {
                member.name == server.member && member.tags.get(BALANCER).is_some_and(|value| value == "1")
            })
    };
    let all = upstream.servers.iter().filter(is_balancer).map(|server| {
        let (member, name) = (&server.member, &upstream.name);
        let what = format!("{member} is a balancer and a server of upstream {name}: requests may go round in circles");
        let way_out =
            format!("correct upstream.{name}.select, unless the site of {member} passes nothing on to {name}");
        (Level::Warn, member.clone(), what, way_out)
    });
    report(findings, ID, &upstream.name, "balancers are servers of it", all);
}

/// The first ones, and how many more there are.
fn report(
    findings: &mut Findings,
    id: &'static str,
    upstream: &str,
    others: &str,
    mut all: impl Iterator<Item = (Level, String, String, String)>,
) {
    let before = findings.iter().count();
    for (level, member, what, way_out) in all.by_ref().take(MAX_NAMED) {
        findings.add(level, id, member, what, &way_out);
    }
    let more = all.count();
    if more > 0 {
        let what = format!("{more} more {others} (upstream {upstream})");
        findings.info(id, upstream, what, &format!("'weir upstream show {upstream}' names them"));
    } else if findings.iter().count() == before {
        findings.pass(id, upstream);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::summary;
    use super::*;
    use crate::status::node::LeftOut;
    use crate::status::node::tests::full;

    fn judged(change: impl FnOnce(&mut Upstream, &mut Vec<Member>)) -> Vec<String> {
        let mut document = full();
        let web = &mut document.upstreams[0];
        (web.left_out, web.servers[0].notes) = (Vec::new(), Vec::new());
        change(web, &mut document.members);
        summary(&servers(web, "lb1", &document.members))
    }

    fn left_out(number: usize, reason: LeftOutReason) -> LeftOut {
        LeftOut { member: format!("web{number}"), reason: reason.into(), why: "why".to_owned(), remedy: None }
    }

    #[test]
    fn servers_that_are_what_they_seem_are_passed() {
        assert!(judged(|_, _| {}).is_empty());
    }

    #[test]
    fn what_keeps_a_member_out_is_told_and_this_node_itself_is_no_trouble() {
        let found = judged(|web, _| {
            web.left_out = vec![left_out(2, LeftOutReason::NotAPort), left_out(3, LeftOutReason::Itself)];
            web.servers[0].notes = vec!["tag weight=\"two\" is not a number, 1 is used".to_owned()];
            (web.servers[0].weight, web.servers[0].state) = (0, ServerState::Down.into());
        });
        assert_eq!(
            found,
            ["warn nginx.left_out web2", "info nginx.left_out web3", "warn nginx.tags web1", "info nginx.weight web1"]
        );
        // The last one keeps the line that it had.
        assert!(judged(|web, _| web.servers[0].weight = 0).is_empty());
    }

    #[test]
    fn of_many_the_first_are_named_and_the_others_counted() {
        let found = judged(|web, _| {
            web.left_out = (1..=MAX_NAMED + 3).map(|number| left_out(number, LeftOutReason::NotAPort)).collect();
        });
        assert_eq!(found.len(), MAX_NAMED + 1);
        assert_eq!(found[MAX_NAMED], "info nginx.left_out web");
    }

    #[test]
    fn another_balancer_among_the_servers_is_warned_about_and_this_one_is_not() {
        let with_balancer = |name: &'static str| {
            judged(move |web, members| {
                web.servers[0].member = name.to_owned();
                let tags = [(BALANCER.to_owned(), "1".to_owned())].into();
                let member = Member { name: name.to_owned(), tags, ..members[0].clone() };
                members.push(member);
            })
        };
        assert_eq!(with_balancer("lb2"), ["warn nginx.balancer lb2"]);
        assert!(with_balancer("lb1").is_empty());
    }
}
