//! One deadline, one timer: a `timerfd` the loop waits on.
//!
//! tokio's timer wheel wakes up to three times per tick of this loop; a `timerfd` wakes once. The driver has exactly one
//! deadline, so one is enough.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use tokio::io::unix::AsyncFd;

use crate::time::Instant;

/// Wakes the loop at a deadline on [`clock`](super::clock)'s clock.
#[derive(Debug)]
pub(super) struct Timer {
    fd: AsyncFd<Fd>,
    /// What the kernel holds; `None` once it has fired.
    armed: Option<Instant>,
}

impl Timer {
    /// Must be called inside the runtime.
    pub(super) fn new() -> io::Result<Self> {
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types that lie about their descriptor; ours owns it"
        )]
        let fd = AsyncFd::new(Fd(fd))?;
        Ok(Self { fd, armed: None })
    }

    /// Returns once `deadline` has passed; never for `None`. May return early: the caller asks what is due anyway.
    ///
    /// Cancel-safe. A deadline that moves away leaves the timer as it is, at the price of one idle wake; most rounds of the
    /// loop then need no system call.
    pub(super) async fn until(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            self.arm(deadline);
        }
        loop {
            let Ok(mut guard) = self.fd.readable().await else { return std::future::pending().await };
            match guard.get_inner().0.wait() {
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Ok(()) | Err(_) => {
                    guard.clear_ready();
                    self.armed = None;
                    return;
                }
            }
        }
    }

    fn arm(&mut self, deadline: Instant) {
        // Zero would disarm the timer.
        let nanos = deadline.as_nanos().max(1);
        let at = TimeSpec::from_duration(std::time::Duration::from_nanos(nanos));
        self.fd
            .get_ref()
            .0
            .set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            .expect("an absolute time below 585 years is valid");
        self.armed = Some(deadline);
    }
}

/// `AsyncFd` wants the older of the two file descriptor traits.
#[derive(Debug)]
struct Fd(TimerFd);

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clock;
    use super::*;

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn fires_at_the_deadline_and_again_at_the_next() {
        run(async {
            let mut timer = Timer::new().unwrap();
            for _ in 0..3 {
                let deadline = clock::now() + Duration::from_millis(3);
                timer.until(Some(deadline)).await;
                assert!(clock::now() >= deadline);
            }
        });
    }

    #[test]
    fn past_deadline_fires_at_once() {
        run(async {
            let mut timer = Timer::new().unwrap();
            timer.until(Some(Instant::ZERO)).await;
        });
    }

    #[test]
    fn earlier_deadline_replaces_a_later_one() {
        run(async {
            let mut timer = Timer::new().unwrap();
            let far = clock::now() + Duration::from_secs(3600);
            tokio::select! {
                biased;
                () = timer.until(Some(far)) => panic!("an hour has not passed"),
                () = std::future::ready(()) => {}
            }
            timer.until(Some(clock::now() + Duration::from_millis(1))).await;
        });
    }
}
