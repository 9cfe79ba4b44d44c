//! What a command that did not do its work reports: one line, or one JSON object.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use serde_json::json;

use super::exit::Exit;
use crate::config::nearest;
use crate::error::{Explain, system_words, what};
use crate::escape::escape;

/// Why a command ended without doing its work: `WHAT; WAY OUT` and the exit code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    remedy: Option<String>,
}

impl Failure {
    /// A failure that says what happened, in lower case and without a final stop.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), remedy: None }
    }

    /// An error with its reasons and its way out.
    pub(crate) fn of_error(exit: Exit, error: &impl Explain) -> Self {
        Self { exit, message: what(error), remedy: error.remedy().map(Cow::into_owned) }
    }

    /// A file that the user named, `-` for standard input, cannot be read or written: `verb` is which.
    pub(crate) fn of_file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let shown = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
        let failure = |exit| Self::new(exit, format!("cannot {verb} {shown}: {}", system_words(error)));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failure(Exit::NotPermitted).with_remedy("use sudo"),
            io::ErrorKind::NotFound => failure(Exit::Failed).with_remedy("correct the path"),
            _ => failure(Exit::Failed),
        }
    }

    /// The way out, printed after a semicolon.
    #[must_use]
    pub(crate) fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The command cannot be understood as it was typed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Nobody reads our answers any more, as after `| head`: an end, and not worth a word.
    pub(crate) fn reader_gone() -> Self {
        Self::new(Exit::Done, "")
    }

    /// The exit code to end with.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened, without the way out.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The way out, if there is one.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// `error: WHAT; WAY OUT`, always one line.
    pub(crate) fn to_text(&self) -> String {
        format!("error: {}", self.sentence())
    }

    /// `WHAT; WAY OUT`, always one line.
    pub(crate) fn sentence(&self) -> String {
        let message = escape(self.message.trim_end()).into_owned();
        match &self.remedy {
            Some(remedy) => format!("{message}; {}", escape(remedy)),
            None => message,
        }
    }

    /// The object that scripts read from standard error.
    pub(crate) fn to_json(&self) -> String {
        json!({ "error": {
            "kind": self.exit.kind(),
            "message": self.message.trim_end(),
            "remedy": self.remedy,
            "exit_code": self.exit.code(),
        }})
        .to_string()
    }
}

/// `no member 'web-2'; did you mean 'web2'?`
pub(crate) fn no_member<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("no member '{name}'"));
    match nearest(name, known) {
        Some(near) => failure.with_remedy(format!("did you mean '{near}'?")),
        None => failure.with_remedy("'weir members' lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_its_way_out() {
        let failure = Failure::new(Exit::NoAgent, "no agent at /x\ny\n").with_remedy("'systemctl start weir'");
        assert_eq!(failure.to_text(), "error: no agent at /x\\ny; 'systemctl start weir'");
        assert_eq!(
            failure.to_json(),
            r#"{"error":{"kind":"no_agent","message":"no agent at /x\ny","remedy":"'systemctl start weir'","exit_code":3}}"#
        );
    }

    #[test]
    fn an_unknown_member_gets_the_nearest_name_or_none() {
        let known = ["lb1", "web1", "web2"];
        assert_eq!(no_member("web-2", known).to_text(), "error: no member 'web-2'; did you mean 'web2'?");
        assert_eq!(no_member("database", known).to_text(), "error: no member 'database'; 'weir members' lists them");
        assert_eq!(no_member("lb", known).to_text(), "error: no member 'lb'; did you mean 'lb1'?");
        assert_eq!(no_member("db", known).to_text(), "error: no member 'db'; 'weir members' lists them");
    }
}
