//! The agent as the first process of a container: what its handlers leave behind becomes the first process's child, and stays a
//! zombie until that waits for it.
//!
//! The agent waits for children of its own and for no others, whose end it would take from those who wait for it. So it runs
//! as the one child of this process, which waits for all, hands signals on and ends as the agent does.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::exit::Exit;

/// What is handed on to the agent.
const HANDED_ON: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGQUIT];

/// Where the agent's own code is not to be had.
const FAILED: u8 = Exit::Failed as u8;

/// Whether this process is the first one, and an agent.
pub(super) fn is_wanted(args: &[OsString]) -> bool {
    let command = args.iter().find(|arg| !arg.as_encoded_bytes().starts_with(b"-"));
    std::process::id() == 1 && command.is_some_and(|command| command == "agent")
}

/// Runs this program once more and gives its exit code.
pub(super) fn run(program: &OsStr, args: &[OsString]) -> io::Result<ExitCode> {
    let signals = SigSet::from_iter(HANDED_ON);
    // Blocked, they wait for us; the kernel drops what the first process does not handle.
    signals.thread_block()?;
    // A group of its own, or a terminal's Ctrl-C would reach it twice, and a second signal cuts a leave short.
    let agent = Command::new(env::current_exe()?).arg0(program).args(args).process_group(0).spawn()?;
    let agent = Pid::from_raw(i32::try_from(agent.id()).map_err(io::Error::other)?);
    thread::Builder::new().spawn(move || {
        while let Ok(signal) = signals.wait() {
            // It may have ended just now, and then we do, too.
            let _ended = kill(agent, signal);
        }
    })?;
    Ok(ExitCode::from(reap_until(agent)))
}

/// Waits for everybody who ends, up to the agent. Returns its exit code.
fn reap_until(agent: Pid) -> u8 {
    loop {
        let code = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, status)) if pid == agent => status,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => 128 + signal as i32,
            // `EINVAL`: ended by a signal without a name.
            Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => continue,
            // Nobody is left, and nobody knows how the agent ended: whoever started us ignores `SIGCHLD`.
            Err(_) => return FAILED,
        };
        return u8::try_from(code).unwrap_or(FAILED);
    }
}
