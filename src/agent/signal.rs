//! Signals, and what each of them asks for.

use std::io;

use nix::sys::signal::SigSet;
use tokio::signal::unix::{SignalKind, signal};

/// A signal the agent answers to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    Interrupt,
    Terminate,
    Hangup,
    /// Serf dumps its metrics on it; left alone it would kill the process.
    User1,
}

/// What a signal asks the loop to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Leave the cluster, then end.
    Leave,
    /// End at once; peers see a failure.
    Stop,
    Reload,
    Report,
    /// The leave under way goes on.
    GoOn,
}

/// Which signals leave the cluster; the others stop like a crash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Policy {
    pub(super) interrupt_leaves: bool,
    pub(super) terminate_leaves: bool,
    /// A leave that a client began is not cut short by the first signal (`protocols A.6`); of Serf it is.
    pub(super) patient: bool,
}

/// What signals find under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// No leave.
    Serving,
    /// A leave, and no signal to stop has come.
    Leaving,
    /// A safe leave, whose drain goes on, and one has been let pass.
    ToldWhileDraining,
    /// Serf's leave, and one has: it began it or was let pass.
    Told,
}

impl Signal {
    /// The signal that systemd sends behind a leave of its own changes nothing about it. A second one goes straight to Serf's
    /// leave, and one more stops at once.
    pub(super) fn action(self, policy: Policy, stage: Stage) -> Action {
        let leaves = match self {
            Self::Hangup => return Action::Reload,
            Self::User1 => return Action::Report,
            Self::Interrupt => policy.interrupt_leaves,
            Self::Terminate => policy.terminate_leaves,
        };
        match stage {
            Stage::Serving if leaves => Action::Leave,
            Stage::Leaving if policy.patient => Action::GoOn,
            Stage::ToldWhileDraining => Action::Leave,
            Stage::Serving | Stage::Leaving | Stage::Told => Action::Stop,
        }
    }

    /// As it is named in the log.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupt",
            Self::Terminate => "terminated",
            Self::Hangup => "hangup",
            Self::User1 => "user1",
        }
    }
}

/// Lets every signal through, whatever our parent had blocked. To be called before there are threads, which inherit it.
pub(super) fn unblock() -> io::Result<()> {
    Ok(SigSet::all().thread_unblock()?)
}

/// The process's signals as a stream.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
}

impl Signals {
    /// Installs the handlers; from here on these signals no longer end the process by themselves.
    pub(super) fn new() -> io::Result<Self> {
        // Whoever was started by somebody that ignores it ignores it, too, and then no child's end can be told.
        drop(signal(SignalKind::child())?);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next signal. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.hangup.recv() => Signal::Hangup,
            Some(()) = self.user1.recv() => Signal::User1,
            else => std::future::pending().await,
        }
    }

    /// The next signal that ends the process.
    pub(super) async fn end(&mut self) {
        while !matches!(self.recv().await, Signal::Interrupt | Signal::Terminate) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_decides_who_leaves_and_a_second_signal_stops() {
        use Stage::{Leaving, Serving, Told, ToldWhileDraining};
        let ours = Policy { interrupt_leaves: true, terminate_leaves: true, patient: true };
        let serf = Policy { interrupt_leaves: true, terminate_leaves: false, patient: false };
        let crash = Policy { interrupt_leaves: false, terminate_leaves: false, patient: true };
        for (signal, policy, stage, wanted) in [
            (Signal::Interrupt, ours, Serving, Action::Leave),
            (Signal::Terminate, ours, Serving, Action::Leave),
            (Signal::Interrupt, ours, Leaving, Action::GoOn),
            (Signal::Terminate, ours, Leaving, Action::GoOn),
            (Signal::Terminate, ours, ToldWhileDraining, Action::Leave),
            (Signal::Terminate, crash, ToldWhileDraining, Action::Leave),
            (Signal::Interrupt, ours, Told, Action::Stop),
            (Signal::Terminate, ours, Told, Action::Stop),
            (Signal::Interrupt, serf, Serving, Action::Leave),
            (Signal::Terminate, serf, Serving, Action::Stop),
            (Signal::Interrupt, serf, Leaving, Action::Stop),
            (Signal::Interrupt, serf, Told, Action::Stop),
            (Signal::Interrupt, crash, Serving, Action::Stop),
            (Signal::Terminate, crash, Serving, Action::Stop),
            (Signal::Terminate, crash, Leaving, Action::GoOn), // a client's leave
            (Signal::Hangup, crash, Serving, Action::Reload),
            (Signal::Hangup, ours, Told, Action::Reload),
            (Signal::User1, ours, Leaving, Action::Report),
        ] {
            assert_eq!(signal.action(policy, stage), wanted, "{signal:?} {policy:?} {stage:?}");
        }
    }
}
