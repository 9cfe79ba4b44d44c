//! journald's native protocol: the message with its fields in it, and each field again as `WEIR_NAME=`.
//!
//! Written by hand because the message must hold phrase *and* fields (plain `journalctl` shows nothing else), which a
//! ready-made layer does not do.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use tracing::Level;

use super::line::Line;

const SOCKET: &str = "/run/systemd/journal/socket";

/// A socket to journald.
#[derive(Debug)]
pub(super) struct Journald {
    socket: UnixDatagram,
}

impl Journald {
    /// Fails where nobody listens.
    pub(super) fn connect() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        // A journal that is behind must not hold up gossip.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    pub(super) fn write(&self, line: &Line) {
        // A line that the journal does not take is lost; there is no better place to say so.
        drop(self.socket.send(&entry(line)));
    }
}

/// Whether systemd connected standard error to the journal: it says so by device and inode in `JOURNAL_STREAM`.
pub(super) fn is_our_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}

fn entry(line: &Line) -> Vec<u8> {
    let mut entry = Vec::with_capacity(256);
    put(&mut entry, "PRIORITY", priority(line.level));
    put(&mut entry, "SYSLOG_IDENTIFIER", "weir");
    put(&mut entry, "MESSAGE", &line.message());
    put(&mut entry, "WEIR_PART", &line.part);
    for (key, value) in &line.fields {
        put(&mut entry, &format!("WEIR_{}", key.to_ascii_uppercase().replace('.', "_")), value);
    }
    entry
}

/// syslog's numbers, so that `journalctl -p info` hides what is debugging.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// `KEY=value`, or key, length and value where the value has line ends.
fn put(entry: &mut Vec<u8>, key: &str, value: &str) {
    entry.extend_from_slice(key.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::line::example;
    use super::*;

    #[test]
    fn message_holds_the_fields_and_fields_stand_alone() {
        let line = example(Level::INFO, "joined", &[("contacted", "1")]);
        let text = String::from_utf8(entry(&line)).unwrap();
        assert_eq!(
            text,
            "PRIORITY=6\nSYSLOG_IDENTIFIER=weir\nMESSAGE=joined contacted=1\nWEIR_PART=agent\nWEIR_CONTACTED=1\n"
        );
    }

    #[test]
    fn value_with_line_ends_carries_its_length() {
        let mut bytes = Vec::new();
        put(&mut bytes, "WEIR_ERROR", "a\nb");
        assert_eq!(bytes, b"WEIR_ERROR\n\x03\0\0\0\0\0\0\0a\nb\n");
    }
}
