//! The program under the name `serf`: Serf's texts on standard output, its exit codes 0, 1 and 127, and flags that end at
//! the first positional argument (`cli §1`).
//!
//! Scripts that parse the reference's output keep working. What differs from our own mode is here and nowhere else.

mod agent;
mod client;
mod commands;
mod console;
mod files;
mod flags;
mod go;
mod keys;
mod monitor;
mod query;
mod text;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use super::{keygen, version};
#[cfg(test)]
pub(super) use commands::is_known as is_command;

/// The reference version whose behaviour this is.
const VERSION: &str = "0.8.2-dev";
/// No command, or an unknown one.
const NO_COMMAND: u8 = 127;

/// Runs `serf` with its arguments, without the program's name.
pub(super) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    ExitCode::from(dispatch(&args))
}

/// The rules of the reference's command package: where help and version are recognised, and what is the command.
fn dispatch(args: &[String]) -> u8 {
    if args.iter().any(|arg| arg == "-v" || arg == "--version") {
        return print_version();
    }
    let place = args.iter().position(|arg| !arg.is_empty() && !arg.starts_with('-'));
    let wants_help = args.iter().take_while(|arg| *arg != "--").any(|arg| is_help(arg));
    let Some((name, rest)) = place.map(|place| (&args[place], &args[place + 1..])) else {
        error(&commands::top());
        return if wants_help { 0 } else { NO_COMMAND };
    };
    if !commands::is_known(name) {
        error(&commands::top());
        return NO_COMMAND;
    }
    if wants_help {
        error(&commands::usage(name));
        return 0;
    }
    if args.iter().take_while(|arg| *arg != name).any(|arg| arg.starts_with('-')) {
        error("Invalid flags before the subcommand. If these flags are for\n");
        error("the subcommand, please put them after the subcommand.\n\n");
        error(&commands::usage(name));
        return 1;
    }
    run(name, rest)
}

fn is_help(arg: &str) -> bool {
    matches!(arg, "-h" | "-help" | "--help")
}

fn run(name: &str, args: &[String]) -> u8 {
    match name {
        "agent" => agent::run(args),
        "keygen" => match keygen::generate() {
            Ok(key) => {
                print(&format!("{}\n", key.to_base64().as_str()));
                0
            }
            Err(failure) => fail(&format!("Error reading random data: {}", failure.message())),
        },
        "version" => print_version(),
        name => ask(name, args),
    }
}

/// Runs a command that asks an agent. An interrupt ends the endless view well, all else with 1.
fn ask(name: &str, args: &[String]) -> u8 {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(failure) => return fail(&format!("Error: {}", failure.message())),
    };
    runtime.block_on(async {
        tokio::select! {
            code = client::run(name, args) => code,
            Ok(()) = tokio::signal::ctrl_c() => u8::from(name != "monitor"),
        }
    })
}

fn print_version() -> u8 {
    print(&format!("{VERSION}\n{}", version::protocol()));
    0
}

/// An error the way the reference reports it: a line on standard output, and 1.
fn fail(line: &str) -> u8 {
    print(&format!("{line}\n"));
    1
}

fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// Answers, and errors too. A reader that is gone is no reason to change the exit code: the reference does not look.
fn print_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush()); // see above
}

/// Help, and what Go's flag parser says.
fn error(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes()); // nobody is left to tell
}
