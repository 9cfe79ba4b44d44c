//! Running a program with a deadline and bounded output.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Most of stderr that is kept.
const MAX_STDERR: u64 = 64 * 1024;

/// How long output is still read after the program has ended. Its end does not come while somebody that it left behind, such as a
/// daemon that it restarted, holds the pipe.
const LINGER: Duration = Duration::from_secs(2);

/// What a program did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) success: bool,
    /// The lines of stdout that were asked for.
    pub(super) stdout: Vec<String>,
    pub(super) stderr: String,
}

/// Runs `command` to its end. Past `limit` its whole process group is killed and the error kind is `TimedOut`.
///
/// Only lines of stdout that begin with `keep` are kept: `nginx -T` prints whole configurations.
pub(super) fn run(mut command: Command, limit: Duration, keep: &'static str) -> io::Result<Ran> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().map(|pipe| in_background(move |send| kept_lines(pipe, keep, send)));
    let stderr = child.stderr.take().map(|pipe| in_background(move |send| bounded(pipe, send)));
    let status = wait(&mut child, limit)?;
    let until = Instant::now() + LINGER;
    let stdout = stdout.map(|lines| collect(&lines, until)).unwrap_or_default();
    let stderr = stderr.map(|pieces| collect(&pieces, until).concat()).unwrap_or_default();
    Ok(Ran { success: status.success(), stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

fn wait(child: &mut Child, limit: Duration) -> io::Result<std::process::ExitStatus> {
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

/// What `read` sends, from a thread that ends with its pipe.
fn in_background<T: Send + 'static>(read: impl FnOnce(&Sender<T>) + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || read(&sender));
    receiver
}

/// Everything that comes until the end of the pipe, or until `until` if somebody still holds it.
fn collect<T>(receiver: &Receiver<T>, until: Instant) -> Vec<T> {
    let next = || receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    std::iter::from_fn(next).collect()
}

fn kept_lines(pipe: impl Read, keep: &str, send: &Sender<String>) {
    let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
    for line in lines.filter(|line| line.starts_with(keep.as_bytes())) {
        if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return; // nobody waits for it any more
        }
    }
}

fn bounded(mut pipe: impl Read, send: &Sender<Vec<u8>>) {
    let mut kept = pipe.by_ref().take(MAX_STDERR);
    let mut piece = [0; 4096];
    // An error ends the text; whether the program succeeded is said by its status.
    while let Ok(len @ 1..) = kept.read(&mut piece) {
        if send.send(piece[..len].to_vec()).is_err() {
            return; // nobody waits for it any more
        }
    }
    let _ = io::copy(&mut pipe, &mut io::sink());
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
        let script = "echo keep 1; echo drop; echo keep 2; head -c 200000 /dev/zero | tr '\\0' x >&2; exit 3";
        let ran = run(sh(script), Duration::from_secs(20), "keep").unwrap();
        assert_eq!(ran.stdout, ["keep 1", "keep 2"]);
        assert_eq!(ran.stderr.len() as u64, MAX_STDERR);
        assert!(!ran.success);
    }

    #[test]
    fn a_program_that_leaves_somebody_behind_with_its_output_is_not_waited_for() {
        let sleeper = "setsid sleep 600 & echo keep $!; echo bad luck >&2";
        let ran = run(sh(sleeper), Duration::from_secs(300), "keep ").unwrap();
        assert!(ran.success);
        assert_eq!(ran.stderr, "bad luck\n");
        let pid = ran.stdout[0].strip_prefix("keep ").and_then(|pid| Pid::from_raw(pid.parse().ok()?)).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let error = run(sh("sleep 600 & wait"), Duration::from_millis(50), "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
