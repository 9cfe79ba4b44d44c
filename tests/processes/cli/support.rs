//! Running the program, and comparing what it says with files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run left behind.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// The program under its own name, without the caller's environment.
pub(crate) fn weir() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_weir")))
}

/// The program under the name `serf`, through a link in `dir`.
pub(crate) fn serf(dir: &Path) -> Command {
    let link = dir.join("serf");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weir"), &link).expect("the directory is ours");
    }
    clean(Command::new(link))
}

/// `command` without the caller's environment and input.
pub(crate) fn clean(mut command: Command) -> Command {
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs `command` with `args` to its end.
pub(crate) fn run(mut command: Command, args: &[&str]) -> Run {
    let output = command.args(args).output().expect("the program was built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("answers of these tests are text");
    Run { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
}

/// As [`run`], with `input` on standard input.
pub(crate) fn piped(mut command: Command, args: &[&str], input: &str) -> Run {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // It is short: the pipe takes it whole.
    writer.write_all(input.as_bytes()).expect("somebody may read it");
    drop(writer);
    command.stdin(reader);
    run(command, args)
}

/// Compares `actual` with a file below `tests/golden/cli`; `WEIR_BLESS=1` writes the file instead.
pub(crate) fn golden(name: &str, actual: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cli").join(name);
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has a directory")).expect("the tree is writable");
        std::fs::write(&path, actual).expect("the tree is writable");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    assert_eq!(actual, expected, "{name}; WEIR_BLESS=1 rewrites it");
}

/// A run as one text, for a golden file.
pub(crate) fn transcript(args: &[&str], run: &Run) -> String {
    let code = run.code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
    format!("$ weir {}\n{}--- stderr\n{}--- exit {code}\n", args.join(" "), run.stdout, run.stderr)
}
