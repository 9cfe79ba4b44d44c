use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{Config, Loaded, ProxyVersion, Source, Sources, Tls, load};
use crate::health::answer::{Certificate, TlsTrouble, Unusable};

const LONG: Duration = Duration::from_secs(20);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok\n";

/// The service that `[upstream.web.probe]` with these keys describes.
fn service(keys: &str) -> Service {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    let text = format!("[upstream.web]\nselect = {{ role = \"web\" }}\n[upstream.web.probe]\n{keys}\n");
    std::fs::write(&file, text).unwrap();
    let sources = Sources { paths: vec![Source::File(file)], host_name: "lb1".to_owned(), ..Sources::default() };
    let Loaded { config: Config { upstreams, .. }, .. } = load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
    upstreams.into_iter().next().unwrap().probe.unwrap().service
}

fn http(keys: &str) -> Http {
    match service(keys) {
        Service::Http(http) => http,
        Service::Tcp(_) => panic!("it is asked over tcp"),
    }
}

async fn ask(service: Service, to: SocketAddr) -> Result<(), Failure> {
    let request = Request::new(service, LONG, &mut Trusts::default());
    request.ask(&Address::Socket(to)).await.result
}

/// Takes one connection, reads until `until` has come, says `answer`, and hangs up. Brings what it has read.
async fn server(until: &'static [u8], answer: &'static [u8]) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        converse(stream, until, answer).await
    });
    (addr, serving)
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, until: &[u8], answer: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.windows(until.len().max(1)).any(|bytes| bytes == until) && !until.is_empty() {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            break;
        }
    }
    // Whoever has heard enough may have hung up.
    let _closed = stream.write_all(answer).await;
    let _closed = stream.shutdown().await;
    read
}

#[tokio::test]
async fn an_http_request_is_judged_by_its_status_and_body() {
    let no_http = Err(Failure::NotHttp);
    let broken = |step| Err(Failure::Broken(step, None));
    let cases: [(&str, &[u8], Result<(), Failure>); 13] = [
        ("", OK, Ok(())),
        ("", b"HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n", Ok(())),
        ("", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Err(Failure::Status(503))),
        ("status = \"503\"", b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", Ok(())),
        ("status = \"503\"", OK, Err(Failure::Status(200))),
        ("", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(())),
        ("body = \"^all ok\"", OK, Ok(())),
        ("body = \"^ok\"", OK, Err(Failure::Body)),
        (
            "body = \"ok\"",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
            Ok(()),
        ),
        ("body = \"ok\"", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nok", broken(Step::Body)),
        ("", b"SSH-2.0-OpenSSH_9.2\r\n", no_http.clone()),
        ("", b"HTTP/1.1 2000 OK\r\n\r\n", no_http),
        ("", b"", broken(Step::Answer)),
    ];
    for (keys, answer, result) in cases {
        let (addr, serving) = server(b"\r\n\r\n", answer).await;
        assert_eq!(ask(service(&format!("http = \"/\"\n{keys}")), addr).await, result, "{keys} {answer:?}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn what_goes_over_the_wire_is_a_plain_request() {
    let (addr, serving) = server(b"\r\n\r\n", OK).await;
    let keys = "http = \"/status?full\"\nmethod = \"HEAD\"\nheaders = { X-Check = \"yes\" }";
    ask(service(keys), addr).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "HEAD /status?full HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\nuser-agent: weir/{version}\r\nx-check: yes\r\n\r\n"
    );
    assert_eq!(String::from_utf8(serving.await.unwrap()).unwrap(), expected);

    let (addr, serving) = server(b"\r\n\r\n", OK).await;
    ask(service("http = \"/\"\nhost = \"www.example.org\""), addr).await.unwrap();
    assert!(String::from_utf8(serving.await.unwrap()).unwrap().contains("\r\nhost: www.example.org\r\n"));
}

#[tokio::test]
async fn an_answer_that_never_ends_takes_bounded_memory() {
    for (keys, head, failure) in [
        ("http = \"/\"", &b"HTTP/1.1 200 OK\r\n"[..], Failure::NotHttp),
        ("http = \"/\"\nbody = \"^$\"", b"HTTP/1.1 200 OK\r\n\r\n", Failure::Body),
        ("tcp = true\nexpect = \"^$\\nx\"", b"", Failure::Banner),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !head.is_empty() {
                // Not before it is its turn.
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
            }
            let mut sent = 0;
            let mut next = head;
            while stream.write_all(next).await.is_ok() {
                sent += next.len();
                next = b"X-Line: and another one, and another one, and another one\r\n";
            }
            sent
        });
        assert_eq!(ask(service(keys), addr).await, Err(failure));
        // What the sockets hold comes on top.
        assert!(serving.await.unwrap() < 64 * 1024 * 1024, "it stopped as the connection was closed");
    }
}

#[tokio::test]
async fn a_bare_connection_is_enough_unless_a_banner_is_expected() {
    let expecting = "tcp = true\nexpect = \"^220 .* ready\"";
    let cases: [(&str, &[u8], Result<(), Failure>); 5] = [
        ("tcp = true", b"", Ok(())),
        (expecting, b"220 mail ready\r\n", Ok(())),
        (expecting, b"554 go away\r\n", Err(Failure::Banner)),
        (expecting, b"220 mail is rea", Err(Failure::Banner)),
        (expecting, b"", Err(Failure::Broken(Step::Banner, None))),
    ];
    for (keys, says, result) in cases {
        let (addr, serving) = server(b"", says).await;
        assert_eq!(ask(service(keys), addr).await, result, "{keys} {says:?}");
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_refuses() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for keys in ["tcp = true", "http = \"/\"", "https = \"/\""] {
        assert_eq!(ask(service(keys), addr).await, Err(Failure::Connect(Errno::ECONNREFUSED)), "{keys}");
    }
}

/// Time goes on by itself as nothing else does: a stopped host takes connections and says nothing.
#[tokio::test(start_paused = true)]
async fn silence_ends_in_time_and_says_what_was_waited_for() {
    for (keys, result) in [
        ("tcp = true\nexpect = \"x\"", Failure::TimedOut(Step::Banner)),
        ("http = \"/\"", Failure::TimedOut(Step::Answer)),
        ("https = \"/\"\ntls_verify = false", Failure::TimedOut(Step::Tls)),
    ] {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = Address::Socket(silent.local_addr().unwrap());
        let request = Request::new(service(keys), Duration::from_secs(3600), &mut Trusts::default());
        assert_eq!(request.ask(&to).await.result, Err(result), "{keys}");
    }
}

#[tokio::test]
async fn the_proxy_protocols_header_comes_first() {
    for (keys, version) in [("send_proxy = \"v1\"", ProxyVersion::V1), ("send_proxy = \"v2\"", ProxyVersion::V2)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, from) = listener.accept().await.unwrap();
            (from, converse(stream, b"user-agent", OK).await)
        });
        ask(service(&format!("http = \"/\"\n{keys}")), addr).await.unwrap();
        let (from, read) = serving.await.unwrap();
        let header = proxy::header(version, from, addr);
        assert_eq!(read[..header.len()], header, "{keys}");
        assert!(read[header.len()..].starts_with(b"GET / HTTP/1.1\r\n"));
    }
}

#[tokio::test]
async fn redirects_are_followed_as_often_as_is_allowed() {
    for (allowed, hops, result) in [
        (0, 0, Ok(())),
        (0, 1, Ok(())),
        (1, 1, Ok(())),
        (2, 1, Ok(())),
        (3, 3, Ok(())),
        (1, 2, Err(Failure::Status(302))),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut targets = Vec::new();
            for left in (0..=hops.min(allowed)).rev() {
                let (stream, _) = listener.accept().await.unwrap();
                let more = left > 0 || hops > allowed;
                let location = if left % 2 == 0 { "/next".to_owned() } else { format!("http://{addr}/next#x") };
                let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
                let answer = if more { redirect.into_bytes() } else { OK.to_vec() };
                let read = converse(stream, b"\r\n\r\n", &answer).await;
                targets.push(String::from_utf8(read).unwrap().split(' ').nth(1).unwrap().to_owned());
            }
            targets
        });
        let status = if allowed == 1 && hops == 2 { "200" } else { "200-399" };
        let service =
            Service::Http(Http { redirects: allowed, ..http(&format!("http = \"/\"\nstatus = \"{status}\"")) });
        assert_eq!(ask(service, addr).await, result, "{allowed} allowed, {hops} there");
        let targets = serving.await.unwrap();
        assert!(targets[0] == "/" && targets[1..].iter().all(|target| target == "/next"), "{targets:?}");
    }
}

/// An authority, and servers with certificates of it.
pub(in crate::agent) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub(in crate::agent) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, directory: tempfile::tempdir().unwrap() };
        std::fs::write(authority.path(), authority.issuer.pem()).unwrap();
        authority
    }

    pub(in crate::agent) fn path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Answers over TLS, with a certificate for `name`.
    pub(in crate::agent) async fn serve(&self, name: &str, expired: bool) -> SocketAddr {
        self.serve_late(name, expired, Duration::ZERO).await
    }

    /// Each answer so long after the connection.
    async fn serve_late(&self, name: &str, expired: bool, late: Duration) -> SocketAddr {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::time::sleep(late).await;
                if let Ok(stream) = acceptor.accept(stream).await {
                    converse(stream, b"\r\n\r\n", OK).await;
                }
            }
        });
        addr
    }
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority_and_for_the_host() {
    let (ours, other) = (Authority::new(), Authority::new());
    let trusting = |path: &Path| format!("tls_ca = \"{}\"", path.display());
    let bad = |certificate| Err(Failure::Certificate(certificate));
    let named = "host = \"www.example.org\"\n".to_owned();
    // name in the certificate, expired, keys, result
    for (name, expired, keys, result) in [
        ("127.0.0.1", false, trusting(&ours.path()), Ok(())),
        ("www.example.org", false, named.clone() + &trusting(&ours.path()), Ok(())),
        ("www.example.org", false, "host = \"www.example.org:8443\"\n".to_owned() + &trusting(&ours.path()), Ok(())),
        ("www.example.org", false, trusting(&ours.path()), bad(Certificate::OtherName)),
        ("127.0.0.1", false, named + &trusting(&ours.path()), bad(Certificate::OtherName)),
        ("127.0.0.1", false, trusting(&other.path()), bad(Certificate::UnknownAuthority)),
        ("127.0.0.1", true, trusting(&ours.path()), bad(Certificate::Expired)),
        ("elsewhere", true, "tls_verify = false".to_owned(), Ok(())),
    ] {
        let addr = ours.serve(name, expired).await;
        let keys = format!("https = \"/\"\nbody = \"all ok\"\n{keys}");
        assert_eq!(ask(service(&keys), addr).await, result, "{name} {keys}");
    }
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_no_fault_of_the_server() {
    let ours = Authority::new();
    let empty = ours.directory.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let directory = ours.directory.path().to_path_buf();
    for (path, why) in [
        (directory.join("absent.pem"), Unusable::Unread(Errno::ENOENT)),
        (empty, Unusable::Empty),
        (directory, Unusable::NoFile),
    ] {
        let addr = ours.serve("127.0.0.1", false).await;
        let result = ask(service(&format!("https = \"/\"\ntls_ca = \"{}\"", path.display())), addr).await;
        assert_eq!(result, Err(Failure::Authorities(Some(path), why)));
        assert!(result.unwrap_err().is_ours());
    }
}

#[tokio::test(start_paused = true)]
async fn authorities_that_cannot_be_read_are_read_again_a_second_later() {
    let ours = Authority::new();
    let (path, later) = (ours.path(), ours.path().with_extension("later"));
    std::fs::rename(&path, &later).unwrap();
    let to = Address::Socket(ours.serve("127.0.0.1", false).await);
    let service = service(&format!("https = \"/\"\ntls_ca = \"{}\"", path.display()));
    let request = Request::new(service, LONG, &mut Trusts::default());
    let absent = Err(Failure::Authorities(Some(path.clone()), Unusable::Unread(Errno::ENOENT)));
    assert_eq!(request.ask(&to).await.result, absent);
    std::fs::rename(&later, &path).unwrap();
    tokio::time::advance(Duration::from_millis(900)).await;
    assert_eq!(request.ask(&to).await.result, absent, "each probe that fails would read it");
    tokio::time::advance(Duration::from_millis(101)).await;
    assert_eq!(request.ask(&to).await.result, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_of_ours_is_no_fault_of_the_server() {
    let ours = Authority::new();
    let to = Address::Socket(ours.serve_late("127.0.0.1", false, Duration::from_millis(300)).await);
    let service = service(&format!("https = \"/\"\ntls_ca = \"{}\"", ours.path().display()));
    let request = Request::new(service, Duration::from_secs(1), &mut Trusts::default());
    let trust = request.trust.clone().unwrap();
    trust.is_slow();
    let still = Failure::Authorities(Some(ours.path()), Unusable::Slow);
    assert_eq!(request.ask(&to).await.result, Err(still.clone()));
    assert!(still.is_ours());
    // What others wait for is there when it has come, and then the server has all of its time.
    let reading = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        trust.is_read();
    };
    let (outcome, ()) = tokio::join!(request.ask(&to), reading);
    assert_eq!(outcome.result, Ok(()));
}

#[tokio::test]
async fn a_redirect_to_tls_is_judged_by_the_authorities_that_are_named() {
    let (ours, other) = (Authority::new(), Authority::new());
    let unknown = Err(Failure::Certificate(Certificate::UnknownAuthority));
    for (tls, result) in
        [(Tls::Authority(ours.path()), Ok(())), (Tls::Authority(other.path()), unknown), (Tls::Unverified, Ok(()))]
    {
        let secure = ours.serve("127.0.0.1", false).await;
        let answer = format!("HTTP/1.1 301 Moved\r\nLocation: https://{secure}/\r\n\r\n").leak();
        let (addr, _serving) = server(b"\r\n\r\n", answer.as_bytes()).await;
        let service = Service::Http(Http { redirects: 1, tls: tls.clone(), ..http("http = \"/\"") });
        assert_eq!(ask(service, addr).await, result, "{tls:?}");
    }
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_told_from_whoever_does_badly() {
    let (addr, _serving) = server(b"\x16", b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let result = ask(service("https = \"/\"\ntls_verify = false"), addr).await;
    assert_eq!(result, Err(Failure::Tls(TlsTrouble::NotTls)));
}
