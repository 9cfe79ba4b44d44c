//! Which events start a handler.

use crate::config::{Filter, MemberEvent};
use crate::serf::{Event, MemberEventKind};

/// Whether any of `filters` lets `event` through. However many do, the handler runs once.
pub fn passes(filters: &[Filter], event: &Event) -> bool {
    filters.iter().any(|filter| match (filter, event) {
        (Filter::Any, _) => true,
        (Filter::Member(wanted), Event::Member { kind, .. }) => kind_of(*wanted) == *kind,
        (Filter::User(name), Event::User(user)) => name.as_ref().is_none_or(|name| *name == user.name),
        (Filter::Query(name), Event::Query(query)) => name.as_ref().is_none_or(|name| *name == query.name),
        (Filter::Member(_) | Filter::User(_) | Filter::Query(_), _) => false,
    })
}

/// `TYPE:NAME` as Serf's `info` lists handlers: `*:`, `member-join:`, `user:deploy`.
pub fn serf_name(filter: &Filter) -> String {
    let (kind, name) = match filter {
        Filter::Any => ("*", None),
        Filter::Member(wanted) => (kind_of(*wanted).as_str(), None),
        Filter::User(name) => ("user", name.as_deref()),
        Filter::Query(name) => ("query", name.as_deref()),
    };
    format!("{kind}:{}", name.unwrap_or_default())
}

fn kind_of(wanted: MemberEvent) -> MemberEventKind {
    match wanted {
        MemberEvent::Join => MemberEventKind::Join,
        MemberEvent::Leave => MemberEventKind::Leave,
        MemberEvent::Failed => MemberEventKind::Failed,
        MemberEvent::Update => MemberEventKind::Update,
        MemberEvent::Reap => MemberEventKind::Reap,
    }
}
