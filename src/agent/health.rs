//! The query `health`, as it is asked of this node, and what this node knows of others.

use tracing::debug;

use super::clock::Calendar;
use super::upstreams::Upstreams;
use crate::config::{Handler, Mode};
use crate::endpoint::Endpoint;
use crate::handlers::filter::EventFilter;
use crate::health::State;
use crate::health::query::answer::{Answer, Drain, QUERY};
use crate::health::query::{Check, Seen, Source};
use crate::serf::{Event, Member, QueryEvent, RespondError, Status};
use crate::status::health::{MemberHealth, MembersHealth};
use crate::time::Instant;
use crate::wire::serf::Tags;

/// The tag of a node that drains, `ID RANKTIME` (`protocols A.1`).
const DRAIN: &str = "weir_drain";

/// Answers the query from this node's checks, each with its state and output; false if it is for handlers and clients: another
/// query, or Serf's mode, or a node without checks whose operator has a handler for just this query.
pub(super) fn answers_query<'a>(
    now: Instant,
    endpoint: &mut Endpoint,
    mode: Mode,
    handlers: &[Handler],
    checks: impl Iterator<Item = (&'a str, State, &'a str)>,
    event: &Event,
) -> bool {
    let Event::Query(QueryEvent { key, name, .. }) = event else { return false };
    if *name != QUERY || mode == Mode::Serf {
        return false;
    }
    let answer = Answer::of(checks, drain(&endpoint.tags()));
    if answer.state == State::None && handlers.iter().any(is_for_health) {
        return false;
    }
    let said = endpoint.respond(now, key, format!("{answer}\n").into());
    if let Err(RespondError::TooLarge { .. }) = said {
        // The limit is configurable, and silence would speak against this node.
        debug!("the words of an answer about health are more than query_response_size_limit allows");
        let _no_room_at_all = endpoint.respond(now, key, format!("{}\n", answer.in_short()).into());
    }
    // An asker who has gone needs no answer.
    true
}

fn is_for_health(handler: &Handler) -> bool {
    handler.on.iter().any(|filter| matches!(filter, EventFilter::Query(name) if name == QUERY))
}

/// By the node's own tag.
fn drain(tags: &Tags) -> Drain {
    match tags.get(DRAIN).and_then(|tag| tag.split_whitespace().next()) {
        Some(id) => Drain::Asked(id.to_owned()),
        None => Drain::No,
    }
}

/// What is known of everybody who has not left: by questions and tags of those whom an upstream selects, of others by tags.
pub(super) fn members(endpoint: &Endpoint, upstreams: Option<&Upstreams>) -> MembersHealth {
    let calendar = Calendar::read();
    let present = endpoint.members().filter(|member| member.status != Status::Left);
    let health = |member: &Member| {
        let asked = upstreams.and_then(|upstreams| upstreams.health_of(&member.node.name, &calendar));
        let known = asked.unwrap_or_else(|| by_tag(member));
        MemberHealth { name: member.node.name.to_string(), status: Some(member.status.into()), ..known }
    };
    MembersHealth { members: present.map(health).collect() }
}

fn by_tag(member: &Member) -> MemberHealth {
    let (health, source) = match Seen::tag_of(&member.tags()) {
        Some(tag) => (Check::from(tag), Source::Tag),
        None => (Check::None, Source::Nothing),
    };
    MemberHealth { health: health.into(), source: source.into(), ..MemberHealth::default() }
}
