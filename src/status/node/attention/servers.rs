//! Servers that ail in a way which NGINX's file does not show.

use std::net::IpAddr;

use super::super::Server;
use super::{MAX_NAMED, ServerState, Upstream};
use crate::status::Trouble;
use crate::upstream::Witness;

/// Those that change too often and are held down, and since when the first of them is.
pub(super) fn flapping(upstream: &Upstream) -> Option<(Trouble, Option<&String>)> {
    let held: Vec<&Server> = upstream.servers.iter().filter(|server| server.state.is(&ServerState::Flapping)).collect();
    let first = held.first()?;
    let (names, verb) = (names(&held), if held.len() == 1 { "changes" } else { "change" });
    let what = format!("{names} {verb} too often to be used for now in upstream {}", upstream.name);
    let since = held.iter().filter_map(|server| server.since.as_ref()).min();
    Some((Trouble::new(what, format!("'weir upstream explain {}'", first.member)), since))
}

/// That nobody can ask how a server is, for a reason of this host's own, and since when that is so of the first of them.
pub(super) fn unasked(upstream: &Upstream) -> Option<(Trouble, Option<&String>)> {
    let unasked = |server: &'_ &Server| server.probe.as_ref().is_some_and(|probe| probe.unasked.is_some());
    let waiting: Vec<&Server> = upstream.servers.iter().filter(unasked).collect();
    let probe = waiting.first()?.probe.as_ref()?;
    let Trouble { what, way_out } = probe.unasked.clone()?;
    let what = format!("servers of upstream {} are not probed ({}): {what}", upstream.name, names(&waiting));
    Some((Trouble::new(what, way_out), probe.since.as_ref()))
}

/// Those that gossip has lost and that stay because their service answers, and since when the first of them is. Where of all of them
/// something is heard that is `not_understood`, why says that.
pub(super) fn agents_lost<'a>(
    upstream: &'a Upstream,
    not_understood: impl Fn(IpAddr) -> Option<&'a Trouble>,
) -> Option<(Trouble, Option<&'a String>)> {
    let is_lost = |server: &&Server| {
        server.state.is(&ServerState::In)
            && server.witness.as_ref().is_some_and(|witness| witness.is(&Witness::FailedAnswers))
    };
    let lost: Vec<&Server> = upstream.servers.iter().filter(is_lost).collect();
    let silent: Vec<&Server> =
        lost.iter().filter(|server| not_understood(server.addr.ip()).is_none()).copied().collect();
    if let (Some(first), []) = (lost.first(), &silent[..]) {
        let what = format!(
            "what speaks at the address of {} is not understood, and the service there answers: in upstream {} nothing changes",
            names(&lost),
            upstream.name
        );
        let way_out = not_understood(first.addr.ip()).map(|trouble| trouble.way_out.clone()).unwrap_or_default();
        return Some((
            Trouble::new(what, way_out),
            lost.iter().filter_map(|server| server.gossip_since.as_ref()).min(),
        ));
    }
    let lost = silent;
    let first = lost.first()?;
    let (agent, verb, service) = match lost.len() {
        1 => ("agent", "is", "its service answers"),
        _ => ("agents", "are", "their services answer"),
    };
    let what = format!(
        "the {agent} of {} {verb} lost, but {service}: in upstream {} nothing changes",
        names(&lost),
        upstream.name
    );
    let member = &first.member;
    let way_out = format!("start the agent there, or 'weir force-leave {member}' if it will not come back");
    let since = lost.iter().filter_map(|server| server.gossip_since.as_ref()).min();
    Some((Trouble::new(what, way_out), since))
}

/// `web1, web2 and 3 more`.
fn names(servers: &[&Server]) -> String {
    let named: Vec<&str> = servers.iter().take(MAX_NAMED).map(|server| server.member.as_str()).collect();
    match servers.len().saturating_sub(MAX_NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
