//! How the agent is stopped: by signals, and by what systemd has said before it sends one (`protocols A.6`).

use std::time::Duration;

use tracing::info;

use super::signal::{Action, Policy, Signal, Stage};
use crate::config::{Config, Mode};
use crate::rpc::weir::{OnStop, Stopping};
use crate::time::{Instant, millis};

/// systemd sends its signal as soon as the command of `ExecStop=` has ended. One that comes later is another's.
const SIGNAL_FOLLOWS: Duration = Duration::from_secs(5);

/// How far a leave has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// None is under way.
    Serving,
    /// Of a safe leave: balancers are asked, or requests on their way are waited for.
    Draining,
    /// Serf's leave.
    Leaving,
}

/// What is known of the end to come.
#[derive(Debug, Default)]
pub(super) struct Stops {
    /// A signal to stop has come during this leave.
    told: bool,
    /// Until then a signal is that of a restart.
    restarts_until: Option<Instant>,
}

impl Stops {
    /// systemd is about to stop the agent.
    pub(super) fn handle_unit(&mut self, now: Instant, config: &Config, unit: OnStop) -> Stopping {
        if unit.restart {
            info!("systemd restarts the agent, which is no leave");
            self.restarts_until = Some(now + SIGNAL_FOLLOWS);
        }
        let timeout_ms = Some(millis(config.leave.timeout));
        Stopping { leaves: !unit.restart && config.leave.on_terminate, timeout_ms }
    }

    /// No leave is under way, any more perhaps: signals of an earlier one are over.
    pub(super) fn handle_serving(&mut self) {
        self.told = false;
    }

    /// What a signal asks for.
    pub(super) fn handle_signal(
        &mut self,
        now: Instant,
        config: &Config,
        signal: Signal,
        progress: Progress,
    ) -> Action {
        let stage = match (progress, self.told) {
            (Progress::Serving, _) => Stage::Serving,
            (Progress::Draining | Progress::Leaving, false) => Stage::Leaving,
            (Progress::Draining, true) => Stage::ToldWhileDraining,
            (Progress::Leaving, true) => Stage::Told,
        };
        let restarts = self.restarts_until.is_some_and(|until| now <= until);
        let policy = Policy {
            interrupt_leaves: config.leave.on_interrupt,
            terminate_leaves: config.leave.on_terminate && !restarts,
            patient: config.mode == Mode::Weir,
        };
        let action = signal.action(policy, stage);
        self.told |= match action {
            Action::Leave | Action::Stop | Action::GoOn => true,
            Action::Reload | Action::Report => false,
        };
        action
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(0);

    fn config(on_stop: bool) -> Config {
        let mut config = Config::default();
        (config.leave.on_interrupt, config.leave.on_terminate) = (on_stop, on_stop);
        config
    }

    #[test]
    fn a_restart_of_the_unit_is_no_leave_and_a_stop_is_one() {
        for (on_stop, restart, leaves, then) in [
            (true, false, true, Action::Leave), // if the command could not have it leave
            (true, true, false, Action::Stop),
            (false, false, false, Action::Stop),
            (false, true, false, Action::Stop),
        ] {
            let (mut stops, config) = (Stops::default(), config(on_stop));
            let stopping = Stopping { leaves, timeout_ms: Some(30_000) };
            assert_eq!(stops.handle_unit(NOW, &config, OnStop { restart }), stopping, "{on_stop} {restart}");
            let action = stops.handle_signal(NOW + SIGNAL_FOLLOWS, &config, Signal::Terminate, Progress::Serving);
            assert_eq!(action, then, "{on_stop} {restart}");
        }
    }

    #[test]
    fn a_restart_that_was_called_off_is_forgotten() {
        let (mut stops, config) = (Stops::default(), config(true));
        stops.handle_unit(NOW, &config, OnStop { restart: true });
        let later = NOW + SIGNAL_FOLLOWS + Duration::from_nanos(1);
        assert_eq!(stops.handle_signal(later, &config, Signal::Terminate, Progress::Serving), Action::Leave);
    }

    #[test]
    fn a_signal_behind_a_clients_leave_changes_nothing_the_next_hurries_it_and_a_third_stops() {
        let (mut stops, config) = (Stops::default(), config(true));
        let mut signal = |signal, progress| stops.handle_signal(NOW, &config, signal, progress);
        for (sent, progress, action) in [
            (Signal::Hangup, Progress::Draining, Action::Reload),
            (Signal::Terminate, Progress::Draining, Action::GoOn),
            (Signal::User1, Progress::Draining, Action::Report),
            (Signal::Terminate, Progress::Draining, Action::Leave),
            (Signal::Terminate, Progress::Leaving, Action::Stop),
        ] {
            assert_eq!(signal(sent, progress), action, "{sent:?} {progress:?}");
        }
        let mut stops = Stops::default();
        let signals = [Signal::Terminate; 2];
        let actions = signals.map(|sent| stops.handle_signal(NOW, &config, sent, Progress::Leaving));
        assert_eq!(actions, [Action::GoOn, Action::Stop], "without a drain");
    }

    #[test]
    fn a_signal_during_a_leave_that_was_taken_back_is_forgotten() {
        let (mut stops, config) = (Stops::default(), config(true));
        let signal = |stops: &mut Stops| stops.handle_signal(NOW, &config, Signal::Terminate, Progress::Draining);
        assert_eq!(signal(&mut stops), Action::GoOn);
        stops.handle_serving();
        assert_eq!(signal(&mut stops), Action::GoOn, "the next leave's first one");
        assert_eq!(signal(&mut stops), Action::Leave);
    }

    #[test]
    fn the_signal_that_began_a_leave_counts() {
        let (mut stops, config) = (Stops::default(), config(true));
        assert_eq!(stops.handle_signal(NOW, &config, Signal::Interrupt, Progress::Serving), Action::Leave);
        assert_eq!(stops.handle_signal(NOW, &config, Signal::Interrupt, Progress::Leaving), Action::Stop);
    }
}
