//! One key: its bounds, whether a change needs a restart, and its default.

use serde_json::Value as Json;

use crate::error::Trouble;

use super::super::tree::{Origin, inline};
use super::super::value::Written;
use super::{Section, When};

/// Says what is wrong with a value that has the right form, as `is …`, and the way out.
type Check<'s, T> = Box<dyn Fn(&T) -> Option<Trouble> + 's>;

/// One key while it is read.
pub(crate) struct Key<'s, 'a, T> {
    section: &'s Section<'a>,
    name: &'static str,
    schema: Json,
    when: When,
    /// The bounds in words, if there are any.
    accepted: Option<Trouble>,
    check: Check<'s, T>,
}

impl<'a> Section<'a> {
    /// A value of this table, to be finished by [`Key::or`] or one of its siblings.
    pub(crate) fn key<'s, T: Written + 's>(&'s self, name: &'static str) -> Key<'s, 'a, T> {
        Key { section: self, name, schema: T::schema(), when: When::Live, accepted: None, check: Box::new(|_| None) }
    }
}

impl<'s, T: Written + 's> Key<'s, '_, T> {
    /// A change needs a restart.
    pub(crate) fn restart(self) -> Self {
        Self { when: When::Restart, ..self }
    }

    /// `check` names what is wrong with a value, as `is …`, and the way out.
    pub(crate) fn check(self, check: impl Fn(&T) -> Option<Trouble> + 's) -> Self {
        Self { check: Box::new(check), ..self }
    }

    /// The value, or `default`.
    pub(crate) fn or(self, default: T) -> T {
        self.take(Some(default.write())).unwrap_or(default)
    }

    /// The value if it is written and right.
    pub(crate) fn optional(self) -> Option<T> {
        self.take(None)
    }

    fn take(mut self, default: Option<Json>) -> Option<T> {
        if let Some(default) = &default {
            self.schema["default"] = default.clone();
        }
        self.section.known.borrow_mut().insert(self.name, self.schema);
        let path = self.section.path_of(self.name);
        let Some(item) = self.section.item(self.name) else {
            if let Some(default) = default {
                self.section.record(self.name, default.clone(), Some(default), Origin::Default, self.when);
            }
            return None;
        };
        let value = self.section.read_item(&path, item, self.accepted.as_ref(), &self.check)?;
        self.section.record(self.name, value.write(), default, item.key_at.clone(), self.when);
        Some(value)
    }
}

impl<'s, T: Written + PartialOrd + 's> Key<'s, '_, T> {
    /// The smallest and largest accepted value.
    pub(crate) fn within(mut self, least: T, most: T) -> Self {
        let (lowest, highest) = (least.write(), most.write());
        let way_out = format!("{} to {} is accepted", inline(&lowest), inline(&highest));
        let accepted = Trouble::new("is out of range", way_out);
        if lowest.is_number() {
            (self.schema["minimum"], self.schema["maximum"]) = (lowest, highest);
        }
        let range = least..=most;
        let trouble = accepted.clone();
        Self { accepted: Some(accepted), ..self.check(move |value| (!range.contains(value)).then(|| trouble.clone())) }
    }
}
