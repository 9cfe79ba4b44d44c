//! What an error of ours says, in two parts.

use std::borrow::Cow;
use std::error::Error;

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
        let what = what(self);
        match self.remedy() {
            Some(remedy) => format!("{what}; {remedy}"),
            None => what,
        }
    }
}

/// What happened, with its reasons.
pub fn what(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        text.push_str(&format!(": {reason}"));
        source = reason.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

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
}
