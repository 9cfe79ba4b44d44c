//! `weir demo`: the main job on this machine, with real parts.
//!
//! One balancer and two web servers as three encrypted agents on loopback addresses of their own, real NGINX in front and
//! behind, real requests through it, and a scripted tour: servers join, change weight, die, come back and leave. Everything
//! lives in one temporary directory and ends with the demo, whichever way it ends.

mod screen;
mod stage;
mod summary;
mod traffic;

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;
use super::parse;
use screen::Screen;
use stage::{Role, Stage};
use summary::{Change, Summary};
use traffic::Traffic;

/// Length of a tour without `--for`.
const DEFAULT_LENGTH: Duration = Duration::from_secs(60);
/// How long one change may take to become live before its step counts as failed. Failure detection takes some seconds.
const CHANGE_LIMIT: Duration = Duration::from_secs(45);
/// How often the screen is drawn and the live generation looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Show a cluster of one balancer and two web servers on this machine, with real NGINX and real requests.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Length of the tour; each step waits until NGINX has the one before, so below 20s it takes longer than said
    #[arg(long = "for", value_name = "TIME", value_parser = parse::duration)]
    length: Option<Duration>,
}

/// One step of the tour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    FirstJoin,
    SecondJoin,
    Weight,
    Kill,
    Return,
    Leave,
}

impl Step {
    const ALL: [Self; 6] = [Self::FirstJoin, Self::SecondJoin, Self::Weight, Self::Kill, Self::Return, Self::Leave];

    const fn name(self) -> &'static str {
        match self {
            Self::FirstJoin => "join_web1",
            Self::SecondJoin => "join_web2",
            Self::Weight => "weight",
            Self::Kill => "kill",
            Self::Return => "return",
            Self::Leave => "leave",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::FirstJoin => "web1 joins",
            Self::SecondJoin => "web2 joins",
            Self::Weight => "web2's tag weight becomes 3",
            Self::Kill => "web2 is killed (SIGKILL of agent and web server)",
            Self::Return => "web2 comes back",
            Self::Leave => "web2 leaves gracefully",
        }
    }

    /// Servers and weights that the balancer must serve after it.
    const fn expected(self) -> &'static [(&'static str, u16)] {
        match self {
            Self::FirstJoin | Self::Kill | Self::Leave => &[("web1", 1)],
            Self::SecondJoin => &[("web1", 1), ("web2", 1)],
            Self::Weight | Self::Return => &[("web1", 1), ("web2", 3)],
        }
    }

    /// Whether a failed request would break a promise. After a SIGKILL requests on their way to the dead server may fail.
    const fn promises_no_failure(self) -> bool {
        !matches!(self, Self::Kill)
    }
}

impl Demo {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
        runtime.block_on(self.tour(output))
    }

    async fn tour(self, output: &Output) -> Result<Exit, Failure> {
        let signals =
            |kind| signal(kind).map_err(|error| Failure::new(Exit::Failed, format!("cannot catch signals: {error}")));
        let (mut interrupt, mut terminate) = (signals(SignalKind::interrupt())?, signals(SignalKind::terminate())?);
        // The stage is dropped, and with it everything it started, on every way out of here.
        let mut stage = Stage::build()?;
        tokio::select! {
            result = self.play(&mut stage, output) => result,
            _ = interrupt.recv() => Ok(Exit::Interrupted),
            _ = terminate.recv() => Ok(Exit::Interrupted),
        }
    }

    async fn play(&self, stage: &mut Stage, output: &Output) -> Result<Exit, Failure> {
        let length = self.length.unwrap_or(DEFAULT_LENGTH);
        let share = length / u32::try_from(Step::ALL.len()).expect("six steps");
        let mut screen = Screen::new(output, stage.describe());
        stage.open().await?;

        let mut traffic = Traffic::new(stage.front());
        let mut summary = Summary::new(stage.front());
        for (number, step) in Step::ALL.into_iter().enumerate() {
            let started = Instant::now();
            screen.step(number + 1, Step::ALL.len(), step.title());
            traffic.begin(step.name());
            self.change(stage, step).await?;
            let acted = Instant::now();
            let mut live_after = None;
            // A join is only over when traffic may start; from the second step on requests flow all the time.
            while live_after.is_none() && acted.elapsed() < CHANGE_LIMIT || started.elapsed() < share {
                let live = stage.live()?;
                if live_after.is_none() && live.serves(step.expected()) {
                    live_after = Some(started.elapsed());
                    screen.live(step.title(), started.elapsed(), live.generation);
                    traffic.start();
                }
                traffic.collect();
                screen.draw(&live, &traffic)?;
                tokio::time::sleep(LOOK).await;
            }
            summary.add(Change {
                name: step.name(),
                title: step.title(),
                live_after,
                generation: stage.live()?.generation,
                promises_no_failure: step.promises_no_failure(),
            });
        }
        traffic.stop().await;
        let report = summary.finish(&traffic, stage.live()?.generation);
        if output.is_json() {
            output.json(&report)?;
        } else {
            output.text(&report.to_text())?;
        }
        Ok(if report.ok { Exit::Done } else { Exit::Failed })
    }

    async fn change(&self, stage: &mut Stage, step: Step) -> Result<(), Failure> {
        match step {
            Step::FirstJoin => stage.start(Role::Web1, 1).await,
            Step::SecondJoin => stage.start(Role::Web2, 1).await,
            Step::Weight => stage.set_weight(Role::Web2, 3).await,
            Step::Kill => {
                stage.kill(Role::Web2);
                Ok(())
            }
            Step::Return => stage.start(Role::Web2, 3).await,
            Step::Leave => stage.leave(Role::Web2).await,
        }
    }
}
