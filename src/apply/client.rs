//! Asks the privileged side over its socket: one connection, one request, one answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{Answer, AnswerError, Ask, Body, Refusal, Request, SystemError};
use crate::config::{Config, ConfigHash};

/// To connect, and to get a request across.
const PATIENCE: Duration = Duration::from_secs(5);
/// To be let in where many ask at once.
const BUSY_FOR: Duration = Duration::from_secs(10);
const BUSY_AGAIN: Duration = Duration::from_millis(50);
/// The slowest apply there is: others ahead, a test and a reload that wait for names, and the same again on the way back.
pub(super) const SLOWEST: Duration = Duration::from_secs(300);

/// A way to the privileged side, for one configuration. Every call blocks.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    configuration: ConfigHash,
}

/// Why the privileged side has not answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unanswered {
    /// Nothing listens there.
    Missing,
    /// This user may not connect.
    NotPermitted,
    /// Something else kept the request from it.
    Unreachable(SystemError),
    /// It ended before it answered, and so did another one that was asked then. What it did is recovered.
    HungUp,
    /// It does not answer.
    Silent { seconds: u64 },
    /// What it said is no answer.
    Answer(AnswerError),
}

impl Client {
    /// Nothing is connected yet.
    pub fn new(config: &Config) -> Self {
        Self { socket: config.apply.socket.clone(), configuration: config.hash() }
    }

    /// Where it asks.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks, and waits for the answer. One that is killed meanwhile is asked once more: whatever it was doing is recovered
    /// first, and what is in place already is not done twice.
    pub fn ask(&self, ask: Ask) -> Result<Body, Unanswered> {
        let request = Request::new(self.configuration, ask).to_json();
        if request.len() > Request::MAX_BYTES {
            return Ok(Body::Refused(Refusal::TooLarge { limit: Request::MAX_BYTES }));
        }
        match self.let_in(&request) {
            Err(Unanswered::HungUp) => self.let_in(&request),
            other => other,
        }
    }

    /// As [`Self::ask`], of what is worth nothing later: nobody waits to be let in, and little for the answer.
    pub fn ask_at_once(&self, ask: Ask) -> Result<Body, Unanswered> {
        self.once(&Request::new(self.configuration, ask).to_json(), PATIENCE)
    }

    /// Until it is not busy, for a while: where many ask, a request also arrives slowly.
    fn let_in(&self, request: &[u8]) -> Result<Body, Unanswered> {
        let until = Instant::now() + BUSY_FOR;
        loop {
            match self.once(request, SLOWEST)? {
                Body::Refused(Refusal::Busy | Refusal::TooSlow { .. }) if Instant::now() < until => {
                    std::thread::sleep(BUSY_AGAIN);
                }
                body => return Ok(body),
            }
        }
    }

    fn once(&self, request: &[u8], patience: Duration) -> Result<Body, Unanswered> {
        let mut stream = self.connect(patience).map_err(|error| Unanswered::connecting(&error))?;
        // Who refuses early does not read to the end, and what it says counts.
        let sent = write_frame(&mut stream, request);
        match (read_frame(&mut stream, Answer::MAX_BYTES), sent) {
            (Ok(answer), _) => Ok(Answer::from_json(&answer).map_err(Unanswered::Answer)?.body),
            (Err(Unread::TooLarge), _) => Err(Unanswered::Answer(AnswerError::TooLarge)),
            (Err(Unread::Io(error)), Err(_)) if is_hang_up(&error) => Err(Unanswered::HungUp),
            (Err(Unread::Io(_)), Err(error)) => Err(Unanswered::Unreachable(error.into())),
            (Err(Unread::Io(error)), Ok(())) if is_hang_up(&error) => Err(Unanswered::HungUp),
            (Err(Unread::Io(error)), Ok(())) if is_timeout(&error) => {
                Err(Unanswered::Silent { seconds: patience.as_secs() })
            }
            (Err(Unread::Io(error)), Ok(())) => Err(Unanswered::Unreachable(error.into())),
        }
    }

    /// Waits also for a place in the queue of connections, but not for ever.
    fn connect(&self, patience: Duration) -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.set_read_timeout(Some(patience))?;
        socket.connect(&SockAddr::unix(&self.socket)?)?;
        Ok(std::os::fd::OwnedFd::from(socket).into())
    }
}

impl Unanswered {
    fn connecting(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Unreachable(SystemError {
                kind: super::SystemErrorKind::Other,
                text: crate::error::system_words(error),
            }),
        }
    }

    /// The way out, where there is one.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Missing => {
                Some("'systemctl restart weir-apply.socket', or without systemd set apply.mode = \"direct\"".to_owned())
            }
            Self::NotPermitted => Some("run the agent as weir or as root".to_owned()),
            Self::Unreachable(_) | Self::HungUp | Self::Silent { .. } => {
                Some("see 'journalctl -u weir-apply'".to_owned())
            }
            Self::Answer(AnswerError::Version(_)) => {
                Some("run the same weir on both sides: 'systemctl restart weir'".to_owned())
            }
            Self::Answer(_) => Some("see 'journalctl -u weir-apply'".to_owned()),
        }
    }

    /// What happened at `socket`, without the way out.
    pub fn what(&self, socket: &Path) -> String {
        let socket = socket.display();
        match self {
            Self::Missing => format!("nothing listens on {socket}"),
            Self::NotPermitted => format!("not permitted to use {socket}"),
            Self::Unreachable(source) => format!("cannot ask {socket}: {}", source.text),
            Self::HungUp => "'weir apply' ended before it answered".to_owned(),
            Self::Silent { seconds } => format!("'weir apply' did not answer within {seconds} s"),
            Self::Answer(error) => format!("the answer of 'weir apply' was not understood: {error}"),
        }
    }
}

/// Why a frame could not be read.
#[derive(Debug)]
enum Unread {
    TooLarge,
    Io(io::Error),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("too large"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// The length in four bytes, the highest first, then the document.
fn write_frame(to: &mut impl Write, document: &[u8]) -> io::Result<()> {
    to.write_all(&super::serve::head(document))?;
    to.write_all(document)
}

fn read_frame(from: &mut impl Read, max: usize) -> Result<Vec<u8>, Unread> {
    let mut head = [0; 4];
    from.read_exact(&mut head).map_err(Unread::Io)?;
    let length = u32::from_be_bytes(head);
    if usize::try_from(length).map_or(true, |length| length > max) {
        return Err(Unread::TooLarge);
    }
    let mut document = Vec::new();
    let read = from.take(length.into()).read_to_end(&mut document).map_err(Unread::Io)?;
    if u32::try_from(read) == Ok(length) { Ok(document) } else { Err(Unread::Io(io::ErrorKind::UnexpectedEof.into())) }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
