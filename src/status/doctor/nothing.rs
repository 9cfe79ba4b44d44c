//! What was asked for by name and has nothing to look at: silence would read as health.

use super::finding::{Findings, Group};

/// Why, and the way out; `configured`: the configuration could be read.
pub fn nothing(group: Group, configured: bool) -> Findings {
    let unread = ("the configuration cannot be read, so there is nothing to look at", "weir config check");
    let (id, (what, way_out)) = match group {
        Group::Config => ("config.nothing", ("there is no configuration", "name it with --config-file")),
        Group::Agent => ("agent.nothing", ("weir is not configured on this server", "weir doctor")),
        Group::Files => ("files.nothing", unread),
        Group::Clock => {
            ("clock.nothing", ("there is nobody whose clock could be asked for", "weir doctor --only agent"))
        }
        Group::Ports if configured => (
            "ports.nothing",
            ("the agent that runs here has its ports, and does not tell which", "weir doctor --only agent"),
        ),
        Group::Ports => ("ports.nothing", unread),
        Group::Gossip => {
            ("gossip.nothing", ("no other member is known, and gossip.join names nobody", "weir join ADDRESS"))
        }
        Group::Keys => ("keys.nothing", unread),
        Group::Nginx if configured => {
            ("nginx.nothing", ("this node has no [upstream.NAME]: its NGINX is not weir's", "run it on a balancer"))
        }
        Group::Nginx => ("nginx.nothing", unread),
        Group::Checks if configured => {
            ("checks.nothing", ("there is no [check.NAME], and no probe with a tls_ca", "run it where there is one"))
        }
        Group::Checks => ("checks.nothing", unread),
        Group::Handlers if configured => {
            ("handlers.nothing", ("there is no [handler.NAME]", "run it where there is one"))
        }
        Group::Handlers => ("handlers.nothing", unread),
    };
    let mut findings = Findings::default();
    findings.skip(id, group.as_str(), what, way_out);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_is_silent() {
        for (group, configured) in Group::ALL.into_iter().flat_map(|group| [(group, false), (group, true)]) {
            let findings = nothing(group, configured);
            let ids: Vec<_> = findings.iter().map(|finding| finding.id.split_once('.').unwrap()).collect();
            assert_eq!(ids, [(group.as_str(), "nothing")]);
        }
    }
}
