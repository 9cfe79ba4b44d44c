//! Handlers, and what else runs programs, as far as they can be seen without running them: their programs, by ourselves and as the unit's process finds them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::unit::Unit;
use crate::config::{Command, Config};
use crate::file;
use crate::handlers::Head;
use crate::status::doctor::{Access, Handler, Handlers, Program};

/// Of a script's text, as much as is looked at.
const MAX_SCRIPT: usize = 64 * 1024;
/// Where systemd has its services look for programs.
const UNIT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program of a handler or a check.
struct Found {
    name: String,
    /// As it is written.
    program: String,
    /// Its command line.
    line: String,
    /// Where it is; `None` if it is a word of the shell's, or nowhere.
    path: Option<PathBuf>,
    state: Program,
    head: Head,
    script: String,
}

/// Everything about handlers. Blocks.
pub(super) fn look(config: &Config, unit: Option<&Unit>) -> Handlers {
    judged(config.handlers.iter().map(|handler| (handler.name.clone(), handler.command.clone())), unit)
}

/// Everything about these programs, each with the name of what runs it. Blocks.
pub(super) fn judged(programs: impl Iterator<Item = (String, Command)>, unit: Option<&Unit>) -> Handlers {
    let path = if unit.is_some() { UNIT_PATH.into() } else { std::env::var_os("PATH").unwrap_or_default() };
    let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let found: Vec<Found> = programs.map(|(name, command)| find(name, &command, &directories)).collect();
    let access = found.iter().flat_map(Found::files).collect::<Vec<_>>();
    let access: BTreeMap<PathBuf, Access> = match unit.and_then(|unit| unit.access(&access)) {
        Some(said) => access.into_iter().zip(said).collect(),
        None => BTreeMap::new(),
    };
    let handlers = found.into_iter().map(|found| found.judged(&access)).collect();
    Handlers { handlers, sandbox: unit.map(|unit| unit.sandbox.clone()) }
}

fn find(name: String, command: &Command, directories: &[PathBuf]) -> Found {
    let (program, line, is_shell) = match command {
        Command::Argv(argv) => (argv.first().cloned().unwrap_or_default(), argv.join(" "), false),
        Command::Shell(line) => {
            (line.split_ascii_whitespace().next().unwrap_or_default().to_owned(), line.clone(), true)
        }
    };
    let path = if program.contains('/') {
        Some(PathBuf::from(&program))
    } else {
        directories.iter().map(|directory| directory.join(&program)).find(|path| path.is_file())
    };
    // A shell line may begin with anything; only what names a file can be looked for.
    let path = path.filter(|path| !is_shell || path.is_absolute());
    let (state, head, script) = match &path {
        Some(path) => state_of(path, is_shell),
        None => (if is_shell { Program::Unknown } else { Program::Missing }, Head::Binary, String::new()),
    };
    Found { name, program, line, path, state, head, script }
}

/// Whether a program can be run, what it begins with, and its text if it is a script.
fn state_of(path: &Path, in_shell: bool) -> (Program, Head, String) {
    let state = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => Program::Runnable,
        Ok(_) => Program::NotExecutable,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Program::Missing,
        Err(_) => Program::Unknown,
    };
    // What cannot be read is not looked at; whether it can be run was said above.
    let Ok(bytes) = file::head(path, MAX_SCRIPT) else { return (state, Head::Binary, String::new()) };
    let head = Head::read(&bytes[..bytes.len().min(Head::BYTES)]);
    let script = match head {
        Head::Script { .. } => String::from_utf8_lossy(&bytes).into_owned(),
        Head::Binary | Head::Text => String::new(),
    };
    // A shell runs a text without a first line itself.
    let trouble = head.trouble(|name| Path::new(name).exists()).filter(|_| !(in_shell && head == Head::Text));
    let state = match trouble {
        Some(why) if state == Program::Runnable => Program::Unrunnable(why),
        Some(_) | None => state,
    };
    (state, head, script)
}

impl Found {
    /// What the unit's process needs of it.
    fn files(&self) -> Vec<PathBuf> {
        let interpreter = match &self.head {
            Head::Script { interpreter, .. } => Some(PathBuf::from(interpreter)),
            Head::Binary | Head::Text => None,
        };
        let is_fine = self.state == Program::Runnable;
        self.path.clone().into_iter().chain(interpreter).filter(|_| is_fine).collect()
    }

    fn judged(self, access: &BTreeMap<PathBuf, Access>) -> Handler {
        let is_script = !matches!(self.head, Head::Binary);
        let files = self.files();
        let of = |(index, file): (usize, &PathBuf)| Some(Program::for_unit(access.get(file)?, is_script && index == 0));
        let trouble = files.iter().enumerate().filter_map(of).find(|state| *state != Program::Runnable);
        let Self { name, program, line, script, state, .. } = self;
        Handler { name, program, state: trouble.unwrap_or(state), text: format!("{line}\n{script}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(program: &str) -> Program {
        let command = Command::Argv(vec![program.to_owned()]);
        find("h".to_owned(), &command, &["/usr/bin".into(), "/bin".into()]).state
    }

    #[test]
    fn programs_are_looked_for_as_the_agent_would() {
        assert_eq!(state("/bin/sh"), Program::Runnable);
        assert_eq!(state("sh"), Program::Runnable);
        assert_eq!(state("/etc/passwd"), Program::NotExecutable);
        assert_eq!(state("/nonexistent/x"), Program::Missing);
        assert_eq!(state("no-such-program-of-weirs"), Program::Missing);
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        for (text, wanted) in [("#!/bin/sh\n", true), ("#!/bin/hs\n", false), ("#!/bin/sh\r\n", false), ("ls\n", false)]
        {
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            let state = state(&script.display().to_string());
            assert_eq!(state == Program::Runnable, wanted, "{text}: {state:?}");
        }
    }
}
