//! The grammar that says which events a handler or an RPC stream wants (`handlers §1`, `rpc §5`).

use std::fmt;

use crate::serf::MemberEventKind;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EventKind {
    Member(MemberEventKind),
    User,
    Query,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Member(MemberEventKind::Join),
        Self::Member(MemberEventKind::Leave),
        Self::Member(MemberEventKind::Failed),
        Self::Member(MemberEventKind::Update),
        Self::Member(MemberEventKind::Reap),
        Self::User,
        Self::Query,
    ];

    /// The name in filters, records and `SERF_EVENT`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member(kind) => kind.as_str(),
            Self::User => "user",
            Self::Query => "query",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One element of a filter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EventFilter {
    /// `*`
    All,
    /// A kind by its name.
    Kind(EventKind),
    /// `user:NAME`
    User(String),
    /// `query:NAME`
    Query(String),
}

/// An element that is none of the grammar's. It holds the element as written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "unknown event '{0}'; known are *, member-join, member-leave, member-failed, member-update, member-reap, user, user:NAME, \
     query and query:NAME"
)]
pub struct InvalidFilter(pub String);

impl EventFilter {
    /// Parses elements separated by commas; nothing is `*`. Blanks are not trimmed: they may belong to a name.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidFilter> {
        let text = if text.is_empty() { "*" } else { text };
        text.split(',').map(Self::parse).collect()
    }

    /// Parses one element.
    pub fn parse(element: &str) -> Result<Self, InvalidFilter> {
        let named = |name: &str, kind, with_name: fn(String) -> Self| {
            if name.is_empty() { Self::Kind(kind) } else { with_name(name.to_owned()) }
        };
        if element == "*" {
            Ok(Self::All)
        } else if let Some(name) = element.strip_prefix("user:") {
            Ok(named(name, EventKind::User, Self::User))
        } else if let Some(name) = element.strip_prefix("query:") {
            Ok(named(name, EventKind::Query, Self::Query))
        } else {
            EventKind::from_name(element).map(Self::Kind).ok_or_else(|| InvalidFilter(element.to_owned()))
        }
    }

    /// Whether an event is wanted; `name` is that of the user event or query, `""` of a member event.
    pub fn matches(&self, kind: EventKind, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Kind(wanted) => *wanted == kind,
            Self::User(wanted) => kind == EventKind::User && wanted == name,
            Self::Query(wanted) => kind == EventKind::Query && wanted == name,
        }
    }

    /// Whether any of `filters` wants the event.
    pub fn any(filters: &[Self], kind: EventKind, name: &str) -> bool {
        filters.iter().any(|filter| filter.matches(kind, name))
    }

    /// The part before the colon, as `stats` lists handlers: `*`, `member-join`, `user`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Kind(kind) => kind.as_str(),
            Self::User(_) => EventKind::User.as_str(),
            Self::Query(_) => EventKind::Query.as_str(),
        }
    }

    /// The part after the colon; empty if any name will do.
    pub fn name(&self) -> &str {
        match self {
            Self::All | Self::Kind(_) => "",
            Self::User(name) | Self::Query(name) => name,
        }
    }
}

/// As it is written: `*`, `member-join`, `user:deploy`.
impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())?;
        if self.name().is_empty() { Ok(()) } else { write!(f, ":{}", self.name()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_takes_what_the_reference_takes() {
        let list = |text| EventFilter::parse_list(text).map_err(|error| error.0);
        let refused = |element: &str| Err(element.to_owned());
        // written            read
        assert_eq!(list(""), Ok(vec![EventFilter::All]));
        assert_eq!(list("*"), Ok(vec![EventFilter::All]));
        assert_eq!(
            list("member-reap,user"),
            Ok(vec![EventFilter::Kind(EventKind::Member(MemberEventKind::Reap)), EventFilter::Kind(EventKind::User)])
        );
        assert_eq!(list("user:deploy"), Ok(vec![EventFilter::User("deploy".to_owned())]));
        assert_eq!(list("query: a:b"), Ok(vec![EventFilter::Query(" a:b".to_owned())]));
        assert_eq!(list("user:"), Ok(vec![EventFilter::Kind(EventKind::User)]));
        assert_eq!(list("user, query"), refused(" query"));
        assert_eq!(list("user,"), refused(""));
        assert_eq!(list("member-jion"), refused("member-jion"));
        assert_eq!(list("member-join:web1"), refused("member-join:web1"));
        assert_eq!(list("User"), refused("User"));
        assert_eq!(list("member"), refused("member"));
    }

    #[test]
    fn filter_wants_its_events_only() {
        let rows = [
            // filter          kind                   name      wanted
            ("*", EventKind::Query, "x", true),
            ("member-join", EventKind::Member(MemberEventKind::Join), "", true),
            ("member-join", EventKind::Member(MemberEventKind::Leave), "", false),
            ("user", EventKind::User, "deploy", true),
            ("user", EventKind::Query, "deploy", false),
            ("user:deploy", EventKind::User, "deploy", true),
            ("user:deploy", EventKind::User, "Deploy", false),
            ("user:deploy", EventKind::Query, "deploy", false),
            ("query:up", EventKind::Query, "up", true),
            ("query:up", EventKind::Query, "uptime", false),
        ];
        for (filter, kind, name, wanted) in rows {
            assert_eq!(EventFilter::parse(filter).unwrap().matches(kind, name), wanted, "{filter} {kind} {name}");
        }
    }

    #[test]
    fn filter_prints_as_written() {
        for text in ["*", "member-failed", "user", "user:deploy", "query:up"] {
            assert_eq!(EventFilter::parse(text).unwrap().to_string(), text);
        }
    }
}
