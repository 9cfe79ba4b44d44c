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

/// `TYPE:NAME` as Serf's `info` lists handlers: `*:`, `member-join:`, `user:deploy`.
pub fn serf_name(filter: &EventFilter) -> String {
    format!("{}:{}", filter.type_name(), filter.name())
}
