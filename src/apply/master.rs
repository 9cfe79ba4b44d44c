//! NGINX's master process, verified before it is signalled: a stale pid file must not hit a stranger.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::proc::{self, Process, Stat};
use super::{Error, Mismatch};

/// Nobody waits longer for a master that reads.
const MAX_READING: Duration = Duration::from_secs(60);

/// How long a master is waited for (`protocols C.2`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// `nginx.confirm_timeout`: for workers, once it has read its configuration.
    pub(super) confirm: Duration,
    /// While it reads: host names in a neighbour's site make it wait for DNS, and the test has shown for how long.
    pub(super) reading: Duration,
}

impl Patience {
    pub(super) fn after(test: Duration, confirm: Duration) -> Self {
        Self { confirm, reading: (test.saturating_mul(3) + confirm).min(MAX_READING).max(confirm) }
    }
}

/// A process that is NGINX's master beyond reasonable doubt.
#[derive(Debug)]
pub(super) struct Master {
    process: Process,
    /// Names the process even if its number is used again. `None` before Linux 5.3.
    pidfd: Option<OwnedFd>,
}

impl Master {
    /// `None` if no such process exists or a stranger has its number by now; an error if it is an NGINX and not our master.
    pub(super) fn verify(pid: u32) -> Result<Option<Self>, Error> {
        let refused = |why| Error::NotAMaster { pid, why };
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Some(fd),
            Err(Errno::SRCH) => return Ok(None),
            // No such call here, or an older system call filter; the gap that leaves is that between two checks.
            Err(_) => None,
        };
        let (Some(stat), Some(status)) = (proc::stat(pid), proc::status(pid)) else { return Ok(None) };
        if stat.zombie || !is_nginx(pid, &stat) {
            return Ok(None);
        }
        let ours = rustix::process::geteuid().as_raw();
        if status.uid != 0 && status.uid != ours {
            return Err(refused(Mismatch::OtherUser));
        }
        if proc::stat(stat.parent).is_some_and(|parent| is_nginx(stat.parent, &parent)) {
            return Err(refused(Mismatch::Child));
        }
        Ok(Some(Self { process: Process { pid, started: stat.started }, pidfd }))
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// What it is known by once it is not held any more.
    pub(super) fn process(&self) -> Process {
        self.process
    }

    pub(super) fn is_there(&self) -> bool {
        self.process.is_there()
    }

    /// Whether somebody has stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        proc::stat(self.process.pid).is_some_and(|stat| stat.stopped)
    }

    /// Its workers: those that serve and those that are shutting down.
    pub(super) fn workers(&self) -> Workers {
        Workers::of(self.process)
    }

    /// Whether it waits for signals and has workers, so that whatever it reads next it reads because of the next one.
    pub(super) fn is_idle(&self) -> bool {
        self.waits() && !self.workers().serving.is_empty()
    }

    /// Whether it has loaded nothing since exactly the `noted` workers served, and reads nothing now.
    pub(super) fn kept(&self, noted: &[Process]) -> bool {
        let set = |workers: &[Process]| workers.iter().copied().collect::<HashSet<_>>();
        // In this order: what it loads from here on it reads from now on.
        self.is_idle() && set(&self.workers().serving) == set(noted)
    }

    /// Whether it waits for signals: it blocks them while it reads its configuration.
    pub(super) fn waits(&self) -> bool {
        proc::status(self.process.pid).is_some_and(|s| s.catches_hup && !s.blocks_hup && !s.hup_pending)
    }

    /// Waits until it is idle (`protocols C.2`): a master that is reading its configuration forks workers of the old file
    /// *after* our signal, and one that is starting would be killed by it.
    pub(super) fn wait_idle(&self, patience: Patience) -> Result<(), Unready> {
        let started = Instant::now();
        loop {
            if !self.is_there() {
                return Err(Unready::Gone);
            }
            if self.is_idle() {
                return Ok(());
            }
            if started.elapsed() >= patience.reading {
                return Err(Unready::Busy { waited: started.elapsed() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGHUP.
    pub(super) fn signal_reload(&self) -> Result<(), Error> {
        let sent = match &self.pidfd {
            Some(fd) => pidfd_send_signal(fd, Signal::HUP),
            None => Err(Errno::NOSYS),
        };
        match sent {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(Error::MasterGone),
            Err(_) => self.signal_by_number(),
        }
    }

    /// Check, signal, check again: what remains is the number being used anew in between.
    fn signal_by_number(&self) -> Result<(), Error> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).filter(|_| self.is_there());
        let pid = pid.ok_or(Error::MasterGone)?;
        match kill_process(pid, Signal::HUP) {
            Ok(()) if self.is_there() => Ok(()),
            Ok(()) | Err(Errno::SRCH) => Err(Error::MasterGone),
            Err(_) => Err(Error::NotAMaster { pid: self.pid(), why: Mismatch::NotPermitted }),
        }
    }
}

/// Why a master is not asked to reload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unready {
    Gone,
    /// It reads its configuration, or has no workers yet.
    Busy {
        waited: Duration,
    },
}

/// By its program's name, or by the title that it gives itself: `nginx-debug` and others are NGINX, too, and what is only
/// called like it is not.
fn is_nginx(pid: u32, stat: &Stat) -> bool {
    stat.comm == "nginx" || proc::title(pid).is_some_and(|title| title.starts_with("nginx: "))
}

/// A master's workers at one moment.
#[derive(Debug, Default)]
pub(super) struct Workers {
    pub(super) serving: Vec<Process>,
    pub(super) leaving: Vec<Process>,
}

impl Workers {
    /// Those of this master.
    pub(super) fn of(master: Process) -> Self {
        let mut workers = Self::default();
        for child in proc::children(master.pid) {
            match proc::title(child.pid).as_deref() {
                Some("nginx: worker process") => workers.serving.push(child),
                Some("nginx: worker process is shutting down") => workers.leaving.push(child),
                Some(_) | None => {}
            }
        }
        workers
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    /// Before Linux 5.3, or under an older system call filter.
    #[test]
    fn without_a_pidfd_the_signal_still_reaches_the_process_and_only_that_one() {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap 'exit 7' HUP; echo; read never"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        // It has set its trap by now.
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let process = Process { pid: child.id(), started: proc::stat(child.id()).unwrap().started };
        let another = Master { process: Process { started: process.started + 1, ..process }, pidfd: None };
        assert!(matches!(another.signal_reload(), Err(Error::MasterGone)), "its number is somebody else's by now");
        assert!(child.try_wait().unwrap().is_none());
        // It may be gone before the second look, since it ends on the signal.
        let sent = Master { process, pidfd: None }.signal_reload();
        assert!(matches!(sent, Ok(()) | Err(Error::MasterGone)), "{sent:?}");
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }

    #[test]
    fn what_is_not_nginx_is_no_master() {
        assert!(Master::verify(std::process::id()).unwrap().is_none());
        assert!(Master::verify(u32::MAX).unwrap().is_none());
        assert!(Master::verify(0).unwrap().is_none());
    }
}
