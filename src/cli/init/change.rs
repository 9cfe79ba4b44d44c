//! A change to other software by commands of its own: listed, asked about once with the rest, and otherwise printed.

use std::path::Path;
use std::time::Duration;

use super::super::exit::Exit;
use super::super::failure::Failure;
use crate::command;
use crate::status::shell::argument;

/// Building SELinux's policy anew takes longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// One such change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    /// Whose it is.
    pub(super) subject: String,
    /// What it is for.
    pub(super) why: String,
    /// Programs with their arguments, in this order.
    pub(super) commands: Vec<Vec<String>>,
}

impl Change {
    pub(super) fn new(subject: impl Into<String>, why: impl Into<String>, commands: &[&[&str]]) -> Self {
        let owned = |command: &&[&str]| command.iter().map(|word| (*word).to_owned()).collect();
        Self { subject: subject.into(), why: why.into(), commands: commands.iter().map(owned).collect() }
    }

    /// The commands as an operator types them.
    pub(super) fn typed(&self) -> Vec<String> {
        // Behind a name an equals sign means nothing to a shell.
        let word = |word: &String| match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => format!("{name}={}", argument(value)),
            Some(_) | None => argument(word).into_owned(),
        };
        self.commands.iter().map(|command| command.iter().map(word).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Does it. Blocks until the programs have ended; the first that fails is the last.
    pub(super) fn make(&self) -> Result<(), Failure> {
        for (command, typed) in self.commands.iter().zip(self.typed()) {
            let [program, arguments @ ..] = &command[..] else { continue };
            let mut run = command::clean(Path::new(program));
            run.args(arguments);
            let failed = |why: &str| {
                Failure::new(Exit::Failed, format!("{typed} failed: {why}"))
                    .with_remedy("see to that, then run it again")
            };
            let ran = command::run(run, PATIENCE, "").map_err(|error| failed(&crate::error::system_words(&error)))?;
            if !ran.success {
                let said = [ran.stderr.trim(), ran.stdout.trim()].into_iter().find(|said| !said.is_empty());
                return Err(failed(said.and_then(|said| said.lines().last()).unwrap_or("it does not say why")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_command_that_fails_is_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("made").display().to_string();
        let made = |commands: &[&[&str]]| Change::new("x", "y", commands).make().map_err(|failure| failure.sentence());
        assert_eq!(made(&[&["true"], &["touch", &file]]), Ok(()));
        assert!(Path::new(&file).exists());
        let told = made(&[&["sh", "-c", "echo one; echo two >&2; exit 1"], &["rm", &file]]);
        let typed = "sh -c 'echo one; echo two >&2; exit 1'";
        assert_eq!(told, Err(format!("{typed} failed: two; see to that, then run it again")));
        assert!(Path::new(&file).exists(), "nothing follows it");
        let told = made(&[&["/nonexistent"]]).unwrap_err();
        assert_eq!(told, "/nonexistent failed: no such file or directory; see to that, then run it again");
        let spaced = Change::new("x", "y", &[&["a", "b c", "--d=e", "--f=g h"]]);
        assert_eq!(spaced.typed(), ["a 'b c' --d=e --f='g h'"]);
    }
}
