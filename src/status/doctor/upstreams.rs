//! How the upstreams do, by the agent's own word, why one selects nobody, and what keeps members out (`ux §4` rows 21 and 22).

mod servers;

use std::collections::BTreeSet;

use super::Trouble;
use super::finding::Findings;
use crate::serf::Status;
use crate::status::node::{Attention, Document, Kind, Member, Upstream, to_start, too_many_wanted};
use crate::upstream::Options;

/// Values of a tag that one line shows.
const MAX_SEEN: usize = 5;

/// Judges what the agent tells of them; `configured` says what they select.
pub fn upstreams<'a>(document: &Document, configured: impl Iterator<Item = &'a Options> + Clone) -> Findings {
    const ID: &str = "nginx.servers";
    let mut findings = Findings::default();
    for upstream in &document.upstreams {
        let name = &upstream.name;
        findings.extend(servers::servers(upstream, &document.node.name, &document.members));
        match too_many_wanted(upstream) {
            Some(Trouble { what, way_out }) => findings.warn("nginx.min_healthy", name, what, &way_out),
            None => findings.pass("nginx.min_healthy", name),
        }
        let ails = document.attention.iter().find_map(|attention| {
            let kind = attention.kind.word().filter(|kind| matches!(kind, Kind::Empty | Kind::Panic))?;
            (attention.subject == *name).then_some((kind.level(), attention))
        });
        for (kind, id) in [(Kind::Flapping, "nginx.flapping"), (Kind::AgentLost, "nginx.agent_lost")] {
            let is_it = |each: &&Attention| each.kind.is(&kind) && each.subject == *name;
            match document.attention.iter().find(is_it) {
                Some(it) => findings.add(kind.level(), id, name, &it.message, it.remedy.as_deref().unwrap_or_default()),
                None => findings.pass(id, name),
            }
        }
        let Some((level, ails)) = ails else {
            findings.pass(ID, name);
            continue;
        };
        let options = configured.clone().find(|options| options.name.as_str() == name);
        match options.and_then(|options| nobody(options, upstream, &document.members)) {
            Some(Trouble { what, way_out }) => findings.add(level, ID, name, what, &way_out),
            None => findings.add(level, ID, name, &ails.message, ails.remedy.as_deref().unwrap_or_default()),
        }
    }
    findings
}

/// Why it selects nobody, if it does.
fn nobody(options: &Options, upstream: &Upstream, members: &[Member]) -> Option<Trouble> {
    let present: Vec<&Member> =
        members.iter().filter(|member| matches!(member.status.word(), Some(Status::Alive | Status::Failed))).collect();
    if !upstream.servers.is_empty() || !upstream.left_out.is_empty() || present.is_empty() {
        return None;
    }
    let is_met = |tag: &str, matches: &dyn Fn(&str) -> bool| {
        present.iter().any(|member| member.tags.get(tag).is_some_and(|value| matches(value)))
    };
    let unmet = options.select.iter().find(|(tag, pattern)| !is_met(tag, &|value| pattern.matches(value)));
    let (name, count) = (&options.name, present.len());
    let members = if count == 1 { "1 member".to_owned() } else { format!("{count} members") };
    let what = match unmet {
        Some((tag, pattern)) => {
            let seen: BTreeSet<&str> =
                present.iter().filter_map(|member| Some(member.tags.get(tag)?.as_str())).collect();
            let seen = match seen.iter().take(MAX_SEEN).copied().collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => format!("no {tag} seen"),
                some => format!("{tag}s seen: {some}"),
            };
            format!("upstream {name} selects nobody: {members}, none with tag {tag} matching {pattern} ({seen})")
        }
        None => format!("upstream {name} selects nobody: {members}, none matches all that it selects by"),
    };
    let way_out = if count == 1 {
        to_start(name.as_str(), true)
    } else {
        format!("correct upstream.{name}.select, or the members' tags ('weir tags' there)")
    };
    Some(Trouble { what, way_out })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Finding;
    use super::*;
    use crate::status::node::tests::full;
    use crate::status::node::{Server, ServerState, Want, attention};
    use crate::upstream::{MinHealthy, TagPattern, UpstreamName, Witness};

    fn selecting(select: &[(&str, &str)]) -> Options {
        let select = select.iter().map(|(tag, pattern)| ((*tag).to_owned(), TagPattern::new(pattern).unwrap()));
        Options::new(UpstreamName::new("web").unwrap(), select.collect())
    }

    fn found(change: impl Fn(&mut Document), select: &[(&str, &str)]) -> Vec<Finding> {
        let mut document = full();
        change(&mut document);
        document.attention = attention(&document);
        let findings = upstreams(&document, [selecting(select)].iter());
        findings.iter().filter(|finding| finding.id == "nginx.servers").cloned().collect()
    }

    fn emptied(document: &mut Document) {
        let web = &mut document.upstreams[0];
        (web.want, web.servers, web.left_out) = (Some(Want::Placeholder.into()), Vec::new(), Vec::new());
    }

    fn tagged(document: &mut Document, roles: &[&str]) {
        let model = document.members[0].clone();
        let member = |role: &&str| {
            let tags = [("role".to_owned(), (*role).to_owned())].into();
            Member { name: format!("of {role}"), status: Status::Alive.into(), tags, ..model.clone() }
        };
        document.members = roles.iter().map(member).collect();
    }

    #[test]
    fn servers_that_flap_and_agents_that_are_lost_are_found() {
        let told = |change: fn(&mut Server)| {
            let mut document = full();
            change(&mut document.upstreams[0].servers[0]);
            document.attention = attention(&document);
            let findings = upstreams(&document, [selecting(&[("role", "web")])].iter());
            let ails = |finding: &&Finding| matches!(finding.id, "nginx.flapping" | "nginx.agent_lost");
            findings.iter().filter(ails).cloned().collect::<Vec<_>>()
        };
        assert!(told(|_| {}).is_empty(), "it is well");
        for (change, id, message, remedy) in [
            (
                (|web1| web1.state = ServerState::Flapping.into()) as fn(&mut Server),
                "nginx.flapping",
                "web1 changes too often to be used for now in upstream web",
                "'weir upstream explain web1'",
            ),
            (
                |web1| web1.witness = Some(Witness::FailedAnswers.into()),
                "nginx.agent_lost",
                "the agent of web1 is lost, but its service answers: in upstream web nothing changes",
                "start the agent there, or 'weir force-leave web1' if it will not come back",
            ),
        ] {
            let found = told(change);
            let found: Vec<_> = found
                .iter()
                .map(|each| (each.level, each.id, each.message.as_str(), each.remedy.as_deref().unwrap_or_default()))
                .collect();
            assert_eq!(found, [(crate::status::Level::Warn, id, message, remedy)]);
        }
    }

    #[test]
    fn a_count_of_more_servers_than_there_are_is_found() {
        let told = |wanted, base| {
            let mut document = full();
            (document.upstreams[0].min_healthy, document.upstreams[0].base) = (Some(wanted), base);
            let findings = upstreams(&document, [selecting(&[("role", "web")])].iter());
            let found = findings.iter().filter(|finding| finding.id == "nginx.min_healthy");
            found.map(|each| (each.message.clone(), each.remedy.clone().unwrap_or_default())).collect::<Vec<_>>()
        };
        for (wanted, base) in [(MinHealthy::Count(2), 2), (MinHealthy::Percent(100), 2), (MinHealthy::Count(50), 0)] {
            assert!(told(wanted, base).is_empty(), "{wanted:?} of {base}");
        }
        for (count, base, there, share) in [(50, 2, "there are 2 servers", 50), (3, 1, "there is one server", 50)] {
            let what = format!(
                "upstream web has min_healthy = {count}, a count, and {there}: none may drain, and one that is ill stays in"
            );
            let way_out = format!("write upstream.web.policy.min_healthy = \"{share}%\", or a smaller number");
            assert_eq!(told(MinHealthy::Count(count), base), [(what, way_out)]);
        }
    }

    #[test]
    fn an_upstream_that_does_well_is_passed() {
        assert!(found(|_| {}, &[("role", "web")]).is_empty());
    }

    #[test]
    fn nobody_selected_names_the_tag_and_what_is_there() {
        for (roles, select, message, remedy) in [
            (
                &["lb", "web", "web"][..],
                &[("role", "wbe")][..],
                "upstream web selects nobody: 3 members, none with tag role matching ^(?:wbe)$ (roles seen: lb, web)",
                "correct upstream.web.select, or the members' tags ('weir tags' there)",
            ),
            (
                &["lb"],
                &[("role", "web")],
                "upstream web selects nobody: 1 member, none with tag role matching ^(?:web)$ (roles seen: lb)",
                "'weir join' a member of the cluster, or start a member that upstream.web.select matches",
            ),
            (
                &["lb", "web"],
                &[("role", "web"), ("site", "a")],
                "upstream web selects nobody: 2 members, none with tag site matching ^(?:a)$ (no site seen)",
                "correct upstream.web.select, or the members' tags ('weir tags' there)",
            ),
        ] {
            let findings = found(
                |document| {
                    emptied(document);
                    tagged(document, roles);
                },
                select,
            );
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!((finding.message.as_str(), finding.remedy.as_deref()), (message, Some(remedy)));
        }
    }

    #[test]
    fn who_was_left_out_is_told_as_the_agent_tells_it() {
        let findings =
            found(|document| document.upstreams[0].want = Some(Want::Placeholder.into()), &[("role", "web")]);
        assert!(findings[0].message.contains("(web2: tag port="), "{findings:?}");
    }
}
