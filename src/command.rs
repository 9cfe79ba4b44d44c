//! Runs a program with a limit in time and bounds on what is kept of its output. Blocks.
#![expect(clippy::disallowed_methods, reason = "this is where the modules that may start programs have them run")]

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Most of each output that is kept, in bytes.
const MAX_OUTPUT: usize = 1024 * 1024;

/// Most that is read at once of a line; what follows in it is treated as its beginning was.
const MAX_PIECE: u64 = 4096;

/// How long output is still read after the program has ended. Its end does not come while somebody that it left behind, such as a
/// daemon that it restarted, holds the pipe.
const LINGER: Duration = Duration::from_secs(2);

/// Where programs are looked for, and where those that we run look: what started us has no say in that. Units and containers
/// often have no `sbin` in theirs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    /// What ended it before its time, such as the kernel's want of memory.
    pub(crate) signal: Option<i32>,
    /// The lines that were asked for.
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program to be run with nothing of our own environment, in no directory of ours.
pub(crate) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/");
    command
}

/// Runs `command` to its end, without input. Past `limit` its whole process group is killed and the error kind is `TimedOut`.
///
/// Only lines of stdout that begin with `keep` are kept: `nginx -T` prints whole configurations.
pub(crate) fn run(command: Command, limit: Duration, keep: &'static str) -> io::Result<Ran> {
    run_with(command, Stdio::null(), limit, keep)
}

/// As [`run`], with this for its standard input.
pub(crate) fn run_with(mut command: Command, input: Stdio, limit: Duration, keep: &'static str) -> io::Result<Ran> {
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    drop(command); // with our side of its input
    let stdout = child.stdout.take().map(|pipe| in_background(pipe, keep));
    let stderr = child.stderr.take().map(|pipe| in_background(pipe, ""));
    let status = wait(&mut child, limit)?;
    let until = Instant::now() + LINGER;
    let text = |pieces: Option<Receiver<Vec<u8>>>| {
        let bytes = pieces.map(|pieces| collect(&pieces, until)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Ran { success: status.success(), signal: status.signal(), stdout: text(stdout), stderr: text(stderr) })
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // It may have ended just now; then there is nothing to kill.
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it did not end within {} s", limit.as_secs()),
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is kept of `pipe`, from a thread that ends with it.
fn in_background(pipe: impl Read + Send + 'static, keep: &'static str) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || send_kept(pipe, keep, &sender));
    receiver
}

/// Everything that comes until the end of the pipe, or until `until` if somebody still holds it.
fn collect(receiver: &Receiver<Vec<u8>>, until: Instant) -> Vec<u8> {
    let next = || receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    std::iter::from_fn(next).flatten().collect()
}

/// Reads to the end, also what is not kept: a program whose pipe is full would wait for ever.
fn send_kept(pipe: impl Read, keep: &str, kept: &Sender<Vec<u8>>) {
    let mut pipe = BufReader::new(pipe);
    let (mut left, mut begins, mut keeps) = (MAX_OUTPUT, true, false);
    loop {
        let mut piece = Vec::new();
        // An error ends the text; whether the program succeeded is said by its status.
        let Ok(1..) = pipe.by_ref().take(MAX_PIECE).read_until(b'\n', &mut piece) else { return };
        if begins {
            keeps = piece.starts_with(keep.as_bytes());
        }
        begins = piece.ends_with(b"\n");
        if keeps && left > 0 {
            piece.truncate(left);
            left -= piece.len();
            if kept.send(piece).is_err() {
                return; // nobody waits for it any more
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn output_is_filtered_and_bounded_and_the_status_kept() {
        let script = "echo keep 1; echo drop; echo keep 2; head -c 2000000 /dev/zero | tr '\\0' x >&2; exit 3";
        let ran = run(sh(script), Duration::from_secs(20), "keep").unwrap();
        assert_eq!(ran.stdout, "keep 1\nkeep 2\n");
        assert_eq!(ran.stderr.len(), MAX_OUTPUT);
        assert!(!ran.success);
    }

    #[test]
    fn a_line_without_end_is_kept_or_dropped_as_it_begins() {
        let long = "head -c 10000 /dev/zero | tr '\\0' k; echo; echo; echo keep";
        let ran = run(sh(&format!("printf keep; {long}; {long}")), Duration::from_secs(20), "keep").unwrap();
        assert_eq!(ran.stdout, format!("keep{}\nkeep\nkeep\n", "k".repeat(10_000)));
    }

    #[test]
    fn a_program_that_leaves_somebody_behind_with_its_output_is_not_waited_for() {
        let sleeper = "setsid sleep 600 & echo keep $!; echo bad luck >&2";
        let ran = run(sh(sleeper), Duration::from_secs(300), "keep ").unwrap();
        assert!(ran.success);
        assert_eq!(ran.stderr, "bad luck\n");
        let pid = ran.stdout.trim_end().strip_prefix("keep ").and_then(|pid| Pid::from_raw(pid.parse().ok()?)).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let error = run(sh("sleep 600 & wait"), Duration::from_millis(50), "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
