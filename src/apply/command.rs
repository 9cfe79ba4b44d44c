//! Running a program with a deadline and bounded output.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Most of stderr that is kept.
const MAX_STDERR: u64 = 64 * 1024;

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
    let stdout = child.stdout.take().map(|pipe| std::thread::spawn(move || kept_lines(pipe, keep)));
    let stderr = child.stderr.take().map(|pipe| std::thread::spawn(move || bounded(pipe)));
    let status = wait(&mut child, limit)?;
    let text = |thread: Option<JoinHandle<String>>| thread.and_then(|thread| thread.join().ok()).unwrap_or_default();
    let stdout = stdout.and_then(|thread| thread.join().ok()).unwrap_or_default();
    Ok(Ran { success: status.success(), stdout, stderr: text(stderr) })
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

fn kept_lines(pipe: impl Read, keep: &str) -> Vec<String> {
    let lines = BufReader::new(pipe).split(b'\n').map_while(Result::ok);
    lines
        .filter(|line| line.starts_with(keep.as_bytes()))
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

fn bounded(mut pipe: impl Read) -> String {
    let mut kept = Vec::new();
    // An error ends the text; whether the program succeeded is said by its status.
    let _ = pipe.by_ref().take(MAX_STDERR).read_to_end(&mut kept);
    let _ = io::copy(&mut pipe, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
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
    fn a_program_that_does_not_end_is_killed_with_its_children() {
        let error = run(sh("sleep 600 & wait"), Duration::from_millis(50), "").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
