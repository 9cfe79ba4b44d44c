//! The command line: one file per command, text and JSON output, and exit codes (`ux.md` §2).
//!
//! Each command asks, then renders; rendering is a function of values and has golden tests.

#![expect(
    clippy::disallowed_methods,
    reason = "a command line reads its environment and files, waits for answers and tells the time"
)]
#![expect(dead_code, reason = "the commands that ask an agent will use the rest")]

mod agent;
mod args;
mod completions;
mod config;
mod demo;
mod duration;
mod escape;
mod exit;
mod failure;
mod go_flags;
mod keygen;
mod man;
mod output;
mod parse;
mod usage;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
pub use exit::Exit;
use failure::Failure;
use output::{Color, Format, Output};

/// Runs the program with its arguments, its own name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    args.next(); // the program's name
    let args = go_flags::normalise(&args::definition(), args);
    let format = if asks_for_json(&args) { Format::Json } else { Format::Text };
    match Cli::try_parse_from(std::iter::once(OsString::from("weir")).chain(args)) {
        Ok(cli) => {
            let output = Output::new(cli.global.format, cli.global.color, cli.global.quiet);
            end(&output, run(cli.command, &output))
        }
        Err(error) => {
            let output = Output::new(format, Color::Auto, false);
            let result = if usage::is_answer(&error) {
                output.text(&error.to_string()).map(|()| Exit::Done)
            } else {
                Err(usage::failure(&error))
            };
            end(&output, result)
        }
    }
}

fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Agent(agent) => agent.run(output),
        Command::Config(config) => config.run(output),
        Command::Demo(demo) => demo.run(output),
        Command::Version(version) => version.run(output),
        Command::Keygen(keygen) => keygen.run(output),
        Command::Completions(completions) => completions.run(output),
        Command::Man(man) => man.run(output),
    }
}

/// Reports a failure, and gives the shell its number.
fn end(output: &Output, result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}

/// Whether answers shall be JSON, for errors of arguments that could not be read.
fn asks_for_json(args: &[OsString]) -> bool {
    args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--format=json")
}
