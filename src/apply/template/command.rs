//! What checks a new file, and what has its reader take it over: programs with arguments, never a shell's text.

use std::path::Path;
use std::process::Command;

use crate::apply::{Error, program};
use crate::command::{self, Ran};
use crate::config::{self, CANDIDATE};
use crate::error::system_words;
use crate::escape::escape;

/// Most of a program's words that are repeated, in characters.
const MAX_WORDS: usize = 300;

/// By the template's `check`; without one every file is right. What could not be reloaded for want of trust is not to be put in
/// place, either.
pub(super) fn check(template: &config::Template, candidate: &Path) -> Result<(), Error> {
    template.reload.first().map(Path::new).map_or(Ok(None), program::trusted)?;
    let refused = |program, what| Error::TemplateCheck { template: template.name.clone(), program, what };
    run(template, &template.check, Some(candidate), refused)
}

/// By the template's `reload`; without one nobody needs to be told.
pub(super) fn reload(template: &config::Template) -> Result<(), Error> {
    let failed = |program, what| Error::TemplateReload { template: template.name.clone(), program, what };
    run(template, &template.reload, None, failed)
}

fn run(
    template: &config::Template,
    argv: &[String],
    candidate: Option<&Path>,
    failed: impl Fn(String, String) -> Error,
) -> Result<(), Error> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let found = program::trusted(Path::new(program))?
        .ok_or_else(|| failed(program.clone(), "there is no such program".to_owned()))?;
    let mut command = command::clean(&found);
    add(&mut command, arguments, candidate);
    match command::run(command, template.timeout, "") {
        Ok(ran) if ran.success => Ok(()),
        Ok(ran) => Err(failed(program.clone(), words(&ran))),
        Err(error) => Err(failed(program.clone(), system_words(&error))),
    }
}

/// The candidate's path in place of what stands for it. An argument stays one argument, whatever the path holds.
fn add(command: &mut Command, arguments: &[String], candidate: Option<&Path>) {
    let path = candidate.map(Path::as_os_str).unwrap_or_default();
    for argument in arguments {
        let mut parts = argument.split(CANDIDATE);
        let mut whole = std::ffi::OsString::from(parts.next().unwrap_or_default());
        for part in parts {
            whole.push(path);
            whole.push(part);
        }
        command.arg(whole);
    }
}

/// The line that says most: the first that speaks of an error, else the first.
fn words(ran: &Ran) -> String {
    let lines = || ran.stderr.lines().chain(ran.stdout.lines()).map(str::trim).filter(|line| !line.is_empty());
    let speaks =
        |line: &&str| ["alert", "error", "emerg", "fatal"].iter().any(|word| line.to_lowercase().contains(word));
    let line = lines().find(speaks).or_else(|| lines().next()).unwrap_or("it gave no reason");
    let short: String = line.chars().take(MAX_WORDS).collect();
    escape(&short).into_owned()
}
