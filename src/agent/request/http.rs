//! One exchange over HTTP/1.1, on a connection of its own.

use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Limit, broken};
use crate::config::Http;
use crate::health::answer::{Failure, Step};

/// Bytes of the answer's head, and what is read of the connection at a time.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;
/// How much of a body its expression is shown.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest redirect that is followed.
const MAX_LOCATION_BYTES: usize = 2048;

/// How an exchange ended that did not fail.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Exchanged {
    /// As it should.
    Well,
    /// To be asked there.
    Redirect(String),
}

/// What goes into the head of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// The header `Host`.
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    /// Whether a redirect is to be followed.
    pub(super) follows: bool,
    /// Whether the headers of the operator's own go to this host.
    pub(super) own_headers: bool,
}

/// Asks over `stream`.
pub(super) async fn exchange<S>(stream: S, http: &Http, head: Head<'_>, limit: Limit) -> Result<Exchanged, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADERS);
    let request = request(http, head)?;
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| failure(Step::Answer, &error))?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(async {
        let sent = async { sender.send_request(request).await.map_err(|error| failure(Step::Answer, &error)) };
        let response = limit.on(Step::Answer, sent).await?;
        judge(http, head, response, limit).await
    });
    tokio::select! {
        result = &mut exchange => result,
        // It has ended; what it brought before that still counts.
        end = &mut connection => match (exchange.await, end) {
            (Err(Failure::Broken(step, None)), Err(error)) => Err(failure(step, &error)),
            (result, _) => result,
        },
    }
}

fn request(http: &Http, head: Head<'_>) -> Result<Request<Empty<Bytes>>, Failure> {
    let mut request = Request::builder().method(&http.method).uri(head.target);
    if let Some(headers) = request.headers_mut() {
        headers.insert(HOST, HeaderValue::from_str(head.host).map_err(|_| Failure::Redirect)?);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
        for header in http.headers.iter().filter(|_| head.own_headers) {
            headers.insert(header.name.clone(), header.value.clone());
        }
    }
    // Only the target of a redirect can be wrong, the rest was checked as it was read.
    request.body(Empty::new()).map_err(|_| Failure::Redirect)
}

async fn judge(http: &Http, head: Head<'_>, response: Response<Incoming>, limit: Limit) -> Result<Exchanged, Failure> {
    let status = response.status();
    if head.follows
        && status.is_redirection()
        && let Some(location) = response.headers().get(LOCATION)
    {
        let text = location.to_str().ok().filter(|text| text.len() <= MAX_LOCATION_BYTES);
        return text.map(|text| Exchanged::Redirect(text.to_owned())).ok_or(Failure::Redirect);
    }
    if !http.status.contains(status.as_u16()) {
        return Err(Failure::Status(status.as_u16()));
    }
    let Some(expression) = &http.body else { return Ok(Exchanged::Well) };
    let body = limit.on(Step::Body, beginning(response.into_body())).await?;
    if expression.matches(&body) { Ok(Exchanged::Well) } else { Err(Failure::Body) }
}

/// The first bytes of a body; the rest is not read.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_BODY_BYTES && !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| failure(Step::Body, &error))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(&data[..data.len().min(MAX_BODY_BYTES - bytes.len())]);
        }
    }
    Ok(bytes)
}

fn failure(step: Step, error: &hyper::Error) -> Failure {
    let mut reason: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = reason {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return broken(step, error);
        }
        if let Some(http) = error.downcast_ref::<hyper::Error>() {
            let is_end = http.is_incomplete_message() || http.is_closed() || http.is_canceled();
            // Without a reason beneath it, anything else is something said where it was not the peer's turn.
            if http.is_parse() || !is_end && error.source().is_none() {
                return Failure::NotHttp;
            }
        }
        reason = error.source();
    }
    Failure::Broken(step, None)
}
