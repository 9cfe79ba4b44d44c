//! `weir apply`: the privileged side of an agent that runs without any right.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Log;
use crate::apply::{Configuration, Server};
use crate::config;
use crate::error::system_words;

use super::exit::Exit;
use super::failure::Failure;
use super::output::Output;

/// Put NGINX's files in place for an agent that may not: tests them, swaps them, reloads and confirms. Run by
/// weir-apply.socket; ends when nobody asks.
#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// The configuration, which only root may write, and NAME.d/*.toml beside it
    #[arg(long, value_name = "PATH", default_value = super::config::DEFAULT)]
    config_file: PathBuf,
    /// Where the copy of the configuration applied last is kept
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/weir-apply")]
    state: PathBuf,
    /// Listen here, where systemd does not hand over a socket
    #[arg(long, value_name = "PATH", conflicts_with = "recover")]
    socket: Option<PathBuf>,
    /// Who may ask besides root
    #[arg(long, value_name = "NAME", default_value = "weir")]
    user: String,
    /// Settle the files of an apply that was cut short, and exit: before NGINX starts
    #[arg(long)]
    recover: bool,
}

/// What changes in this time after another change costs no start.
const IDLE: Duration = Duration::from_secs(10);

impl Apply {
    pub(crate) fn run(self, _output: &Output) -> Result<Exit, Failure> {
        // First of all: it takes the variables of the socket from the environment of this process.
        let mut handed = ListenFd::from_env();
        let settings = config::Config::default().log;
        let log = Log::open(&settings).map_err(|error| super::agent::failure(&error))?;
        log.install();
        let configuration = Configuration::new(self.config_file.clone(), &self.state);
        let result = if self.recover { recover(&configuration) } else { self.serve(&mut handed, configuration) };
        log.end();
        result
    }

    fn serve(&self, handed: &mut ListenFd, configuration: Configuration) -> Result<Exit, Failure> {
        let (listener, is_handed) = self.listener(handed)?;
        // Whoever handed the socket starts another one for whoever asks next.
        let idle = is_handed.then_some(IDLE);
        let runtime = super::runtime()?;
        let ended = runtime.block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            let mut terminate = signal(SignalKind::terminate())?;
            let server = Server::new(listener, configuration, &self.user, idle);
            tell_systemd(NotifyState::Ready);
            let result = server
                .run(async move {
                    terminate.recv().await;
                })
                .await;
            tell_systemd(NotifyState::Stopping);
            result
        });
        ended.map(|()| Exit::Done).map_err(|error| Failure::new(Exit::Failed, cannot_listen(&error)))
    }

    /// And whether it was handed over.
    fn listener(&self, handed: &mut ListenFd) -> Result<(UnixListener, bool), Failure> {
        let failed = |error: &std::io::Error| Failure::new(Exit::Failed, cannot_listen(error));
        let (listener, is_handed) = match handed.take_unix_listener(0).map_err(|error| failed(&error))? {
            Some(listener) => (listener, true),
            None => match &self.socket {
                Some(path) => (UnixListener::bind(path).map_err(|error| failed(&error))?, false),
                None => {
                    return Err(Failure::new(Exit::Usage, "there is no socket to serve")
                        .with_remedy("'systemctl start weir-apply.socket', or name one with --socket"));
                }
            },
        };
        listener.set_nonblocking(true).map_err(|error| failed(&error))?;
        Ok((listener, is_handed))
    }
}

fn cannot_listen(error: &std::io::Error) -> String {
    format!("cannot listen: {}", system_words(error))
}

/// The files of what is left half done are settled; NGINX, which is not running yet, then starts on tested ones.
fn recover(configuration: &Configuration) -> Result<Exit, Failure> {
    match configuration.recover_files() {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Ok(Exit::Failed),
        Err(refusal) => {
            let failure = Failure::new(Exit::Configuration, refusal.what());
            Err(match refusal.remedy() {
                Some(remedy) => failure.with_remedy(remedy),
                None => failure,
            })
        }
    }
}

fn tell_systemd(state: NotifyState<'_>) {
    // Where systemd does not listen there is nobody to tell.
    let _ = sd_notify::notify(&[state]);
}
