//! One run of a program of the agent: a process group with a time limit, its input, and what it prints.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::config::Command as Program;
use crate::error::{Trouble, system_words};
use crate::file;
use crate::handlers::{Head, Tail};
use crate::status::node;

/// Between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// Whoever wants to hear of a program that takes long hears of it then.
pub(super) const SLOW: Duration = Duration::from_secs(1);
/// What runs command lines.
const SHELL: &str = "/bin/sh";
/// What `ProtectHome=` hides.
const HIDDEN_BY_UNITS: [&str; 3] = ["/home", "/root", "/run/user"];
/// How long output of a background child is still read after the script itself has ended.
const LINGER: Duration = Duration::from_millis(250);
/// What systemd tells the agent is not meant for its children.
const NOT_FOR_CHILDREN: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::agent) enum Outcome {
    Exited(i32),
    Killed(i32),
    /// Took longer than its limit; its process group is gone.
    TimedOut,
    NotStarted(Trouble),
}

impl From<&Outcome> for node::Run {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exited(status) => Self::Exited { status: *status },
            Outcome::Killed(signal) => Self::Killed { signal: *signal },
            Outcome::TimedOut => Self::TimedOut,
            Outcome::NotStarted(Trouble { what, way_out }) => {
                let remedy = Some(way_out.clone()).filter(|way_out| !way_out.is_empty());
                Self::NotStarted { error: what.clone(), remedy }
            }
        }
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) program: Program,
    /// What it finds in its environment beside ours.
    pub(super) environment: Arc<Vec<(String, String)>>,
    pub(super) input: Arc<Vec<u8>>,
    /// Then SIGTERM, two seconds later SIGKILL, to its process group.
    pub(super) timeout: Duration,
    /// Whether it may go on when nobody waits for it any more, as the agent ends, and what it leaves behind may; else its process
    /// group is killed.
    pub(super) may_outlive_us: bool,
}

/// A program that was started.
struct Running {
    child: Child,
    /// Its number, also once it has ended: what it left behind may be of its group.
    id: Option<Pid>,
    may_outlive_us: bool,
}

impl Running {
    /// `None` if it has ended and that is known.
    fn group(&self) -> Option<Pid> {
        self.id.filter(|_| self.child.id().is_some())
    }

    /// What it has left behind has nobody who waits for it. Its number cannot have been given away this soon.
    fn end_rest(&self) {
        if let Some(group) = self.id.filter(|_| !self.may_outlive_us) {
            // Mostly there is nothing left.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group().filter(|_| !self.may_outlive_us) {
            // A group that is already gone is what we want.
            let _gone = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs it to its end. `slow` is called while it runs if that takes longer than [`SLOW`].
pub(super) async fn run(task: Task, tail: &mut Tail, slow: impl FnOnce()) -> io::Result<Outcome> {
    let (input, limit) = (Arc::clone(&task.input), task.timeout);
    let (mut running, output) = match started(task).await? {
        Ok(started) => started,
        Err(why) => return Ok(Outcome::NotStarted(why)),
    };
    let limit = tokio::time::sleep(limit);
    tokio::pin!(limit);
    let finished = tokio::select! {
        status = attend(&mut running.child, output, &input, tail, slow) => Some(status?),
        () = &mut limit => None,
    };
    // It may have ended in time, and only what it left behind still holds its output.
    let finished = match finished {
        Some(status) => Some(status),
        None => running.child.try_wait()?,
    };
    match finished {
        Some(status) => {
            running.end_rest();
            Ok(outcome(status))
        }
        None => {
            end_group(&mut running).await?;
            Ok(Outcome::TimedOut)
        }
    }
}

/// Starts it on a thread of the pool: a program on a disk that does not answer holds up whoever starts it.
async fn started(task: Task) -> io::Result<Result<(Running, pipe::Receiver), Trouble>> {
    let started = tokio::task::spawn_blocking(move || start(&task).map_err(|error| why_not(&task.program, &error)));
    started.await.map_err(io::Error::other)
}

/// Why it did not start. The kernel says of a script that it is not there where its interpreter is not.
fn why_not(program: &Program, error: &io::Error) -> Trouble {
    let name = match program {
        Program::Argv(argv) => argv.first().map(String::as_str).unwrap_or_default(),
        Program::Shell(_) => SHELL,
    };
    let head = file::head(Path::new(name), Head::BYTES).ok();
    let trouble = head.and_then(|head| Head::read(&head).trouble(|interpreter| Path::new(interpreter).exists()));
    if let Some(trouble) = trouble {
        return Trouble::new(format!("{name}: {trouble}"), trouble.way_out(name));
    }
    let way_out = match error.kind() {
        io::ErrorKind::PermissionDenied => way_to_run(name),
        io::ErrorKind::NotFound => "install it, or correct its path".to_owned(),
        _ => String::new(),
    };
    Trouble::new(format!("{name}: {}", system_words(error)), way_out)
}

/// How a program that is there gets to be one that this process may run.
fn way_to_run(name: &str) -> String {
    let is_closed = |directory: &Path| {
        fs::metadata(directory.join(".")).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let mut directories: Vec<&Path> = Path::new(name).ancestors().skip(1).collect();
    directories.reverse();
    let Some(closed) = directories.into_iter().find(|directory| is_closed(directory)) else {
        return format!("chmod 755 {name}");
    };
    // What the unit hides stands there as a directory that nobody may enter.
    let hides = |directory: &Path| {
        let is_empty_mode = fs::metadata(directory).is_ok_and(|found| found.mode() & 0o777 == 0);
        HIDDEN_BY_UNITS.iter().any(|home| Path::new(home) == directory) && is_empty_mode
    };
    way_into(closed, hides(closed))
}

/// By whether the unit hides that directory.
fn way_into(closed: &Path, is_hidden: bool) -> String {
    let closed = closed.display();
    if is_hidden {
        return format!(
            "weir.service hides {closed} (ProtectHome=true): move it to /usr/local/bin, or 'systemctl edit weir' and add \
             ProtectHome=false under [Service], then 'systemctl restart weir'"
        );
    }
    format!("{closed} is closed to the agent's user: move it to /usr/local/bin, or chmod a+x {closed}")
}

/// Starts the program in a process group of its own; both its outputs are one pipe.
fn start(task: &Task) -> io::Result<(Running, pipe::Receiver)> {
    let (read, write) = io::pipe()?;
    let mut command = match &task.program {
        Program::Argv(argv) => {
            let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        Program::Shell(line) => {
            let mut command = Command::new(SHELL);
            command.arg("-c").arg(line);
            command
        }
    };
    command.stdin(Stdio::piped()).stdout(write.try_clone()?).stderr(write).process_group(0);
    for name in NOT_FOR_CHILDREN {
        command.env_remove(name);
    }
    command.envs(task.environment.iter().map(|(name, value)| (name, value)));
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let running = Running { child, id, may_outlive_us: task.may_outlive_us };
    // The command holds our copies of the pipe's writing end; with it they are closed.
    drop(command);
    Ok((running, pipe::Receiver::from_owned_fd(OwnedFd::from(read))?))
}

/// Feeds, reads and waits. Ends when the script has, whatever it left in the background.
async fn attend(
    child: &mut Child,
    mut output: pipe::Receiver,
    bytes: &[u8],
    tail: &mut Tail,
    slow: impl FnOnce(),
) -> io::Result<ExitStatus> {
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A script that does not read its input is fine.
            drop(stdin.write_all(bytes).await);
        }
    };
    let read = async {
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = output.read(&mut chunk).await {
            tail.push(&chunk[..len]);
        }
    };
    let talk = async { tokio::join!(feed, read) };
    tokio::pin!(talk);
    let mut warned = std::pin::pin!(tokio::time::sleep(SLOW));
    let mut slow = Some(slow);
    let mut talking = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = &mut talk, if talking => talking = false,
            () = &mut warned, if slow.is_some() => {
                if let Some(slow) = slow.take() {
                    slow();
                }
            }
        }
    };
    if talking {
        // What the script itself wrote is in the pipe by now; the end comes when nobody holds the pipe any more.
        drop(timeout(LINGER, talk).await);
    }
    Ok(status)
}

/// SIGTERM, and what is left of the group gets SIGKILL.
async fn end_group(running: &mut Running) -> io::Result<()> {
    let Some(group) = running.group() else {
        return Ok(()); // it has just ended by itself
    };
    // A group that is already gone is what we want.
    let _gone = killpg(group, Signal::SIGTERM);
    let ended = timeout(KILL_AFTER, running.child.wait()).await;
    // Members of the group may have outlived the script. Its number cannot have been given away this soon.
    let _gone = killpg(group, Signal::SIGKILL);
    match ended {
        Ok(status) => status.map(drop),
        Err(_elapsed) => running.child.wait().await.map(drop),
    }
}

fn outcome(status: ExitStatus) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited(code),
        (None, signal) => Outcome::Killed(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_program_from_being_run_is_named() {
        assert_eq!(
            way_into(Path::new("/home"), true),
            "weir.service hides /home (ProtectHome=true): move it to /usr/local/bin, or 'systemctl edit weir' and add \
             ProtectHome=false under [Service], then 'systemctl restart weir'"
        );
        assert_eq!(
            way_into(Path::new("/opt/x"), false),
            "/opt/x is closed to the agent's user: move it to /usr/local/bin, or chmod a+x /opt/x"
        );
        assert_eq!(way_to_run("/usr/bin/env"), "chmod 755 /usr/bin/env");
    }
}
