//! The journal, through `tracing-journald`: each line's event once more, its message completed by its fields, so that plain
//! `journalctl` shows them, and each field again as `WEIR_NAME=`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use tracing::field::Value;
use tracing::{Event, Subscriber as _};
use tracing_journald::{Layer, Priority, PriorityMappings};
use tracing_subscriber::layer::{Layered, SubscriberExt};

use super::line::Line;
use super::no_spans::NoSpans;

const SOCKET: &str = "/run/systemd/journal/socket";
/// What an array of values may hold; no event of ours comes near.
const MAX_FIELDS: usize = 32;

/// A connection to the journal for each part of the program, as `WEIR_PART` goes with the connection. Writing waits for a
/// journal that is behind.
#[derive(Default)]
pub(super) struct Journald(BTreeMap<&'static str, Layered<Layer, NoSpans>>);

/// Whether somebody listens, without a wait.
pub(super) fn probe() -> io::Result<()> {
    UnixDatagram::unbound()?.connect(SOCKET)
}

/// Whether systemd connected standard error to the journal: it says so by device and inode in `JOURNAL_STREAM`.
pub(super) fn is_our_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

impl Journald {
    pub(super) fn write(&mut self, line: &Line) {
        let connection = match self.0.entry(line.part()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => match connect(line.part()) {
                Ok(layer) => entry.insert(layer),
                // A line that the journal does not take is lost; there is no better place to say so.
                Err(_) => return,
            },
        };
        let (message, values) = (line.message(), line.values());
        let fields = line.meta().fields();
        let Some(name) = fields.field("message") else { return };
        let all = std::iter::once((&name, &message)).chain(values.iter().map(|(field, value)| (field, value)));
        let mut set = [(&name, None); MAX_FIELDS];
        for (slot, (field, value)) in set.iter_mut().zip(all) {
            *slot = (field, Some(value as &dyn Value));
        }
        connection.event(&Event::new(line.meta(), &fields.value_set(&set)));
    }
}

fn connect(part: &str) -> io::Result<Layered<Layer, NoSpans>> {
    // syslog's numbers, so that `journalctl -p info` hides what is debugging.
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
        ..PriorityMappings::new()
    };
    let layer = Layer::new()?
        .with_syslog_identifier("weir".to_owned())
        .with_field_prefix(Some("WEIR".to_owned()))
        .with_priority_mappings(priorities)
        .with_custom_fields([("WEIR_PART", part)]);
    Ok(NoSpans.with(layer))
}
