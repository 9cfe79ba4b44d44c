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

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What is handed on to the agent.
const HANDED_ON: [Signal; 5] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGQUIT];

/// Whether this process is the first one, and an agent.
pub(super) fn is_wanted(args: &[OsString]) -> bool {
    let command = args.iter().find(|arg| !arg.as_encoded_bytes().starts_with(b"-"));
    std::process::id() == 1 && command.is_some_and(|command| command == "agent")
}

/// Runs this program once more and gives its exit code.
pub(super) fn run(program: &OsStr, args: &[OsString]) -> io::Result<ExitCode> {
    let signals = SigSet::from_iter(HANDED_ON.into_iter().chain([Signal::SIGCHLD]));
    // Blocked, they wait for us; the kernel drops what the first process does not handle.
    signals.thread_block()?;
    // A group of its own, or a terminal's Ctrl-C would reach it twice, and a second signal cuts a leave short.
    let agent = Command::new(env::current_exe()?).arg0(program).args(args).process_group(0).spawn()?;
    let agent = Pid::from_raw(i32::try_from(agent.id()).map_err(io::Error::other)?);
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = reap(agent) {
                    return Ok(code);
                }
            }
            signal => {
                // It may have ended just now, which the next signal tells.
                let _ended = kill(agent, signal);
            }
        }
    }
}

/// Waits for everybody who has ended. Returns the agent's exit code if it is among them.
fn reap(agent: Pid) -> Option<ExitCode> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == agent => code = u8::try_from(status).ok(),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == agent => code = u8::try_from(128 + signal as i32).ok(),
            // `EINVAL`: ended by a signal without a name.
            Ok(WaitStatus::StillAlive) => return code.map(ExitCode::from),
            Ok(_) | Err(Errno::EINTR | Errno::EINVAL) => {}
            Err(_) => return code.map(ExitCode::from),
        }
    }
}
