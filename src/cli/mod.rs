//! The command line: one file per command, text and JSON output, and exit codes (`ux §2`).
//!
//! Each command asks, then renders; rendering is a function of values. [`serf_compat`] is the same client under the name
//! `serf`, with that program's texts, codes and parsing.
//!
//! # Where our own mode differs from Serf
//!
//! * Errors go to standard error, one line (`error: WHAT; WAY OUT`) or one JSON object; exit codes tell why.
//! * A flag after a positional argument is a flag. `--` ends flags.
//! * Members, tags, keys and JSON acks are sorted; an empty list is `[]`; control characters from peers are shown escaped.
//! * `members` has the columns ROLE and HEALTH; nobody matching is said on standard error. `--role` is an ordinary filter,
//!   and a bad expression is named.
//! * `join` names each address that failed, with a way out.
//! * `force-leave` knows names, refuses to prune what is alive (6), and waits until the member is seen to have left (7).
//! * `query` and `reachability` end as soon as everybody has answered; a query that nobody answers is 7.
//! * `event --payload-file` reads a payload from a file or standard input.
//! * `keys` names keys by identifier, and reads material from a file, standard input or a hidden prompt.
//! * `monitor` shows an event as one line, and tells of gaps.
//! * The agent's socket is found by itself; over it no token is needed.

#![expect(
    clippy::disallowed_methods,
    reason = "a command line reads its environment and files, waits for answers and tells the time"
)]
mod access;
#[cfg(test)]
mod advice;
mod agent;
mod apply;
mod args;
mod check;
mod completions;
mod config;
mod connect;
mod demo;
mod doctor;
mod drain;
mod event;
mod exit;
mod failure;
mod first_process;
mod force_leave;
mod go_flags;
mod health;
mod info;
mod init;
mod job;
mod join;
mod keygen;
mod keys;
mod leave;
mod man;
mod members;
mod monitor;
mod output;
mod parse;
mod prompt;
mod query;
mod reachability;
mod reload;
mod rtt;
mod serf_compat;
mod session;
mod sim;
mod status;
mod story;
mod table;
mod tags;
mod time;
mod unit;
mod upstream;
mod usage;
mod version;
mod watch;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use args::{Client, Command};
pub use exit::Exit;
use failure::Failure;
use output::{Color, Format, Output};

/// Runs the program with its arguments, its own name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_else(|| "weir".into());
    let args: Vec<OsString> = args.collect();
    if let Some(code) = crate::apply::within_namespace(&args) {
        return code;
    }
    if first_process::is_wanted(&args) {
        return first_process::run(&program, &args).unwrap_or_else(|error| {
            let failure = Failure::new(Exit::Failed, format!("cannot run as the first process: {error}"));
            end(&Output::new(Format::Text, Color::Auto, false), Err(failure))
        });
    }
    let args = args.into_iter();
    if Path::new(&program).file_name().is_some_and(|name| name == "serf") {
        return serf_compat::main(args);
    }
    let args = go_flags::normalise(&args::definition(), args);
    let format = if asks_for_json(&args) { Format::Json } else { Format::Text };
    let typed = go_flags::command_of(&args::definition(), &args);
    match args::parse(std::iter::once(OsString::from("weir")).chain(args)) {
        Ok(cli) => {
            let output = Output::new(cli.global.format, cli.global.color, cli.global.quiet);
            end(&output, run(cli.command, &output))
        }
        Err(error) => {
            let output = Output::new(format, Color::Auto, false);
            let result = if usage::is_answer(&error) {
                output.text(&error.to_string()).map(|()| Exit::Done)
            } else {
                Err(usage::failure(&error, &typed))
            };
            end(&output, result)
        }
    }
}

fn run(command: Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Access(access) => access.run(output),
        Command::Agent(agent) => agent.run(output),
        Command::Apply(apply) => apply.run(output),
        Command::Config(config) => config.run(output),
        Command::Demo(demo) => demo.run(output),
        Command::Doctor(doctor) => converse_with(doctor.run(output), false),
        Command::Init(init) => {
            let changed = init::Changed::default();
            init::ended(converse_with(init.run(&changed, output), false), &changed)
        }
        Command::Sim(sim) => sim.run(output),
        Command::Version(version) => version.run(output),
        Command::Keygen(keygen) => keygen.run(output),
        Command::Completions(completions) => completions.run(output),
        Command::Man(man) => man.run(output),
        Command::Client(client) => ask(&client, output),
    }
}

/// Runs a command that asks an agent. An interrupt is the way to end an endless view, and cuts everything else short.
fn ask(command: &Client, output: &Output) -> Result<Exit, Failure> {
    converse_with(converse(command, output), command.is_endless())
}

/// Runs `work` until it ends or is interrupted, which is the way to end an endless one.
fn converse_with(work: impl Future<Output = Result<Exit, Failure>>, is_endless: bool) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            Ok(()) = tokio::signal::ctrl_c() => Ok(if is_endless { Exit::Done } else { Exit::Interrupted }),
        }
    });
    // A disk, resolver or program that hangs must not keep the process.
    runtime.shutdown_background();
    result
}

async fn converse(command: &Client, output: &Output) -> Result<Exit, Failure> {
    match command {
        Client::Members(members) => members.run(output).await,
        Client::Health(health) => health.run(output).await,
        Client::Join(join) => join.run(output).await,
        Client::Drain(drain) => drain.run(output).await,
        Client::Leave(leave) => leave.run(output).await,
        Client::ForceLeave(force_leave) => force_leave.run(output).await,
        Client::Event(event) => event.run(output).await,
        Client::Query(query) => query.run(output).await,
        Client::Tags(tags) => tags.run(output).await,
        Client::Keys(keys) => keys.run(output).await,
        Client::Info(info) => info.run(output).await,
        Client::Monitor(monitor) => monitor.run(output).await,
        Client::Reachability(reachability) => reachability.run(output).await,
        Client::Rtt(rtt) => rtt.run(output).await,
        Client::Reload(reload) => reload.run(output).await,
        Client::Status(status) => status.run(output).await,
        Client::Upstream(upstream) => upstream.run(output).await,
        Client::Explain(explain) => explain.run(output).await,
        Client::Check(check) => check.run(output).await,
    }
}

/// A runtime for one conversation.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {}", crate::error::system_words(&error))))
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
