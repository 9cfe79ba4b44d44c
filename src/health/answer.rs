//! What became of a request to a service, as a value.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::system_words;

/// How a request ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// From its beginning to its end.
    pub took: Duration,
    pub result: Result<(), Failure>,
}

/// Why a request did not end as it should have. It holds no text of the peer's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// Its name has no address.
    Name,
    /// No connection came about.
    Connect(Errno),
    /// It took longer than it may; what was waited for.
    TimedOut(Step),
    /// The connection ended before its time; with what the system says of it, if it says anything.
    Broken(Step, Option<Errno>),
    Certificate(Certificate),
    /// TLS came about for another reason than the certificate.
    Tls(TlsTrouble),
    /// What came is no HTTP, or has more headers than anybody reads.
    NotHttp,
    /// Another status of HTTP than is wanted.
    Status(u16),
    /// The body has another beginning than is wanted.
    Body,
    /// The server said something else than is wanted.
    Banner,
    /// There were more redirects than are followed, or one that leads nowhere.
    Redirect,
    /// This host could not ask: no more sockets, no memory.
    Own(Errno),
    /// The authorities' certificates cannot be read; those of the system where there is no path.
    Authorities(Option<PathBuf>, Unusable),
    /// The request broke off by a mistake of ours.
    BrokeOff,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    Name,
    Connection,
    Tls,
    Answer,
    Body,
    Banner,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certificate {
    Expired,
    NotYetValid,
    UnknownAuthority,
    OtherName,
    Revoked,
    Invalid,
}

/// Why no TLS came about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsTrouble {
    /// What the peer says is no TLS.
    NotTls,
    /// The peer refused.
    Refused,
    /// No version or cipher that both know.
    NothingInCommon,
    /// The peer breaks the rules.
    Invalid,
}

/// Why a file of certificates is of no use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unusable {
    Unread(Errno),
    /// It is no file, or larger than such files are.
    NoFile,
    /// It holds no certificate.
    Empty,
    /// Reading it takes longer than the request may.
    Slow,
}

impl Failure {
    /// Whether it says nothing of the server: nobody could ask it.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Own(_) | Self::Authorities(..) | Self::BrokeOff => true,
            Self::Name
            | Self::Connect(_)
            | Self::TimedOut(_)
            | Self::Broken(..)
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::NotHttp
            | Self::Status(_)
            | Self::Body
            | Self::Banner
            | Self::Redirect => false,
        }
    }

    /// What it says of a service that should answer: `its service refuses connections`.
    pub fn fault(&self) -> String {
        match self {
            Self::Connect(Errno::ECONNREFUSED) => "its service refuses connections".to_owned(),
            Self::TimedOut(Step::Connection) => "its service accepts no connection in time".to_owned(),
            Self::TimedOut(_) => "its service does not answer in time".to_owned(),
            Self::Status(status) => format!("its service answers with status {status}"),
            Self::Name
            | Self::Connect(_)
            | Self::Broken(..)
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::NotHttp
            | Self::Body
            | Self::Banner
            | Self::Redirect
            | Self::Own(_)
            | Self::Authorities(..)
            | Self::BrokeOff => format!("its service does not answer as it should: {self}"),
        }
    }
}

/// A system's error in its own words.
fn words(errno: Errno) -> String {
    system_words(&io::Error::from_raw_os_error(errno as i32))
}

/// The reason as the end of a sentence: `connection refused`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("its name has no address"),
            Self::Connect(errno) => f.write_str(&words(*errno)),
            Self::TimedOut(step) => write!(f, "timed out waiting for {step}"),
            Self::Broken(step, None) => write!(f, "connection closed before {step}"),
            Self::Broken(step, Some(errno)) => write!(f, "{} before {step}", words(*errno)),
            Self::Certificate(certificate) => write!(f, "its certificate {certificate}"),
            Self::Tls(trouble) => trouble.fmt(f),
            Self::NotHttp => f.write_str("the answer is not HTTP"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("the body does not match"),
            Self::Banner => f.write_str("what it says does not match"),
            Self::Redirect => f.write_str("it redirects too often, or to nowhere"),
            Self::Own(errno) => write!(f, "this host cannot ask: {}", words(*errno)),
            Self::Authorities(Some(path), why) => write!(f, "this host cannot ask: {} {why}", path.display()),
            Self::Authorities(None, why) => write!(f, "this host cannot ask: the system's store of authorities {why}"),
            Self::BrokeOff => f.write_str("this host cannot ask: the request broke off"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "its name",
            Self::Connection => "a connection",
            Self::Tls => "TLS",
            Self::Answer => "an answer",
            Self::Body => "the body",
            Self::Banner => "what it should say",
        })
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::UnknownAuthority => "is of an authority that is not trusted",
            Self::OtherName => "is for another name",
            Self::Revoked => "is revoked",
            Self::Invalid => "is not valid",
        })
    }
}

impl fmt::Display for TlsTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => "it does not speak TLS",
            Self::Refused => "it refuses TLS",
            Self::NothingInCommon => "it knows no TLS that weir knows",
            Self::Invalid => "its TLS is broken",
        })
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(errno) => write!(f, "cannot be read: {}", words(*errno)),
            Self::NoFile => f.write_str("is not a file of certificates"),
            Self::Empty => f.write_str("holds no certificate"),
            Self::Slow => f.write_str("is still being read"),
        }
    }
}
