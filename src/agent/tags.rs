//! The tags of this node: what is configured, what was set at run time, and what this program says of itself.

use std::collections::BTreeSet;

use crate::config::{Config, Mode};
use crate::drain::BALANCER;
use crate::health::{self, State};
use crate::wire::serf::Tags;

/// Configured tags but those deleted at run time, those set at run time over them, and our own without that of health.
pub(super) fn own(config: &Config, run_time: &Tags, deleted: &BTreeSet<String>) -> Tags {
    let mut tags = config.node.tags.clone();
    tags.retain(|name, _| !deleted.contains(name));
    tags.extend(run_time.iter().map(|(name, value)| (name.clone(), value.clone())));
    if config.mode == Mode::Weir && !config.upstreams.is_empty() {
        tags.insert(BALANCER.to_owned(), "1".to_owned());
    } else {
        tags.remove(BALANCER);
    }
    tags
}

/// `tags`, in which this node says how well it is (`protocols D.1`).
pub(super) fn with_health(mut tags: Tags, state: State) -> Tags {
    tags.insert(health::TAG.to_owned(), state.to_string());
    tags
}

/// `tags` without those that say what this program does.
pub(super) fn without_reserved(mut tags: Tags) -> Tags {
    tags.retain(|name, _| !is_reserved(name));
    tags
}

/// `tags` with what this program says now, whatever it said when they were made.
pub(super) fn with_reserved_of(current: Tags, tags: Tags) -> Tags {
    let mut tags = without_reserved(tags);
    tags.extend(current.into_iter().filter(|(name, _)| is_reserved(name)));
    tags
}

/// Others of this kind may come with the configuration; nobody else sets them.
fn is_reserved(name: &str) -> bool {
    name.starts_with("weir_")
}

/// `current` after a change of the configuration: a tag that was set at run time stays unless the file's own value of it
/// changed.
pub(super) fn reconfigured(current: &Tags, before: &Config, new: &Config) -> Tags {
    let configured = |config| own(config, &Tags::new(), &BTreeSet::new());
    let (before, after) = (configured(before), configured(new));
    let mut tags = current.clone();
    tags.retain(|name, _| !before.contains_key(name) || after.contains_key(name));
    for (name, value) in after {
        if before.get(&name) != Some(&value) {
            tags.insert(name, value);
        }
    }
    tags
}
