//! What is wrong and what to do about it, as two values.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// An error whose `Display` says what happened, and which knows the way out apart from that. Only the outermost caller makes a
/// sentence of both.
pub trait Explain: Error {
    /// The way out, where there is one.
    fn remedy(&self) -> Option<Cow<'_, str>>;

    /// `WHAT: SOURCE; WAY OUT`, for a log and for clients that know sentences only.
    fn sentence(&self) -> String
    where
        Self: Sized,
    {
        Trouble::of(self).to_string()
    }
}

/// What happened, with its reasons.
pub fn what(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        match reason.downcast_ref::<io::Error>() {
            Some(error) => text.push_str(&format!(": {}", system_words(error))),
            None => text.push_str(&format!(": {reason}")),
        }
        source = reason.source();
    }
    text
}

/// What the system says of an error: `no space left on device`, in lower case and without its number.
pub fn system_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// What to do where the file system that holds `path` is full, or this user's part of it; `None` of another error.
pub fn where_to_free_space(path: &Path, kind: io::ErrorKind) -> Option<String> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some(format!("free space in {}", directory.display()))
        }
        _ => None,
    }
}

/// A sentence in its two parts. They become one only where somebody reads them.
#[derive(Clone, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Trouble {
    /// Lower case, without a final stop.
    #[serde(rename = "message")]
    pub what: String,
    /// Empty if there is none.
    #[serde(rename = "remedy", default, skip_serializing_if = "String::is_empty")]
    pub way_out: String,
}

impl Trouble {
    pub fn new(what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { what: what.into(), way_out: way_out.into() }
    }

    /// What an error says.
    pub fn of(error: &impl Explain) -> Self {
        Self::new(what(error), error.remedy().unwrap_or_default())
    }
}

impl Error for Trouble {}

/// `WHAT; WAY OUT`.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, "; {}", self.way_out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {0}")]
    struct Unread(&'static str, #[source] io::Error);

    impl Explain for Unread {
        fn remedy(&self) -> Option<Cow<'_, str>> {
            (self.0 == "a").then(|| "chmod it".into())
        }
    }

    #[test]
    fn the_way_out_follows_the_reasons() {
        let unread = |path| Unread(path, io::Error::other("no")).sentence();
        assert_eq!((unread("a"), unread("b")), ("cannot read a: no; chmod it".into(), "cannot read b: no".into()));
    }

    #[test]
    fn of_a_full_file_system_the_directory_is_named() {
        let of = |path: &str, kind| where_to_free_space(Path::new(path), kind).unwrap_or_default();
        let wanted = "free space in /var/lib/weir";
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(of("/var/lib/weir/snapshot", kind), wanted);
        }
        assert_eq!(of("snapshot", io::ErrorKind::StorageFull), "free space in .");
        assert_eq!(of("/var/lib/weir/snapshot", io::ErrorKind::PermissionDenied), "");
    }

    #[test]
    fn the_systems_words_go_without_their_number() {
        let of = |code: Errno| system_words(&io::Error::from_raw_os_error(code as i32));
        assert_eq!(of(Errno::ENOSPC), "no space left on device");
        assert_eq!(of(Errno::ECONNREFUSED), "connection refused");
        assert_eq!(of(Errno::EIO), "i/o error");
        assert_eq!(system_words(&io::ErrorKind::PermissionDenied.into()), "permission denied");
        assert_eq!(system_words(&io::Error::other("Our own (os error 2)")), "Our own (os error 2)");
        let denied = io::Error::from_raw_os_error(Errno::EACCES as i32);
        assert_eq!(what(&Unread("a", denied)), "cannot read a: permission denied");
    }
}
