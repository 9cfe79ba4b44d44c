//! Which events start a handler.

use super::filter::{EventFilter, EventKind};
use crate::serf::Event;

/// Whether any of `filters` lets `event` through. However many do, the handler runs once.
pub fn passes(filters: &[EventFilter], event: &Event) -> bool {
    match event {
        Event::Member { kind, .. } => EventFilter::any(filters, EventKind::Member(*kind), ""),
        Event::User(user) => EventFilter::any(filters, EventKind::User, &user.name),
        Event::Query(query) => EventFilter::any(filters, EventKind::Query, &query.name),
    }
}

/// What an operator calls the event: `member-join`, `user:deploy`, `query:uptime`.
pub fn name(event: &Event) -> String {
    match event {
        Event::Member { kind, .. } => kind.as_str().to_owned(),
        Event::User(user) => format!("user:{}", user.name),
        Event::Query(query) => format!("query:{}", query.name),
    }
}

/// `TYPE:NAME` as Serf's `info` lists handlers: `*:`, `member-join:`, `user:deploy`.
pub fn serf_name(filter: &EventFilter) -> String {
    format!("{}:{}", filter.type_name(), filter.name())
}
