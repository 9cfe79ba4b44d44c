//! TLS for requests: whose certificates are trusted, read when the first request needs it.
//!
//! Reading is nobody's time but this host's: it goes on in the background whichever requests give up meanwhile, is never begun
//! twice at a time, and a failure is kept for a while, so that a thousand probes a second do not read a bad file as often.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use rustls::client::Resumption;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Tls;
use crate::file;
use crate::health::answer::{Certificate, Failure, Step, TlsTrouble, Unusable};

/// Largest file of authorities that is read.
const MAX_AUTHORITIES_BYTES: usize = 4 * 1024 * 1024;
/// What could not be read is not read again before.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Every way to judge certificates that is in use, each read once.
#[derive(Debug, Default)]
pub(in crate::agent) struct Trusts(BTreeMap<Tls, Arc<Trust>>);

/// One way to judge certificates.
#[derive(Debug)]
pub(super) struct Trust {
    tls: Tls,
    reading: watch::Sender<Reading>,
}

#[derive(Debug)]
enum Reading {
    /// Nobody needed it yet.
    Unread,
    UnderWay,
    Read(Arc<ClientConfig>),
    /// Until it is read again, which is not before then.
    Failed(Failure, Instant),
}

impl Trusts {
    /// The one for `tls`, which nothing is read for yet.
    pub(super) fn get(&mut self, tls: &Tls) -> Arc<Trust> {
        let new = || Arc::new(Trust { tls: tls.clone(), reading: watch::Sender::new(Reading::Unread) });
        Arc::clone(self.0.entry(tls.clone()).or_insert_with(new))
    }
}

impl Trust {
    /// How certificates are judged. Whoever waits longer than `patience` hears that it cannot ask yet.
    pub(super) async fn client(self: &Arc<Self>, patience: Duration) -> Result<Arc<ClientConfig>, Failure> {
        self.read();
        let mut reading = self.reading.subscribe();
        let ended = reading.wait_for(|reading| matches!(reading, Reading::Read(_) | Reading::Failed(..)));
        let ended = timeout(patience, ended).await.map_err(|_elapsed| cannot_ask(&self.tls, Unusable::Slow))?;
        match &*ended.expect("whoever waits holds the sender") {
            Reading::Read(client) => Ok(Arc::clone(client)),
            Reading::Failed(failure, _) => Err(failure.clone()),
            Reading::Unread | Reading::UnderWay => unreachable!("it was waited for one of the others"),
        }
    }

    /// Begins to read, off the loop, unless that is under way or of no use.
    fn read(self: &Arc<Self>) {
        let begins = self.reading.send_if_modified(|reading| {
            let is_due = match reading {
                Reading::Unread => true,
                Reading::Failed(_, again) => *again <= Instant::now(),
                Reading::UnderWay | Reading::Read(_) => false,
            };
            if is_due {
                *reading = Reading::UnderWay;
            }
            is_due
        });
        if begins {
            let trust = Arc::clone(self);
            tokio::spawn(async move {
                let tls = trust.tls.clone();
                let read = spawn_blocking(move || client(&tls)).await.unwrap_or(Err(Failure::BrokeOff));
                trust.reading.send_replace(match read {
                    Ok(client) => Reading::Read(Arc::new(client)),
                    Err(failure) => Reading::Failed(failure, Instant::now() + READ_AGAIN),
                });
            });
        }
    }
}

#[cfg(test)]
impl Trust {
    /// As if it lay on a disk that does not answer, until [`Self::is_read`].
    pub(super) fn is_slow(&self) {
        self.reading.send_replace(Reading::UnderWay);
    }

    pub(super) fn is_read(&self) {
        self.reading.send_replace(Reading::Read(Arc::new(client(&self.tls).unwrap())));
    }
}

/// Speaks TLS over `stream` with whoever has a certificate for `name`.
pub(super) async fn handshake(
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let connecting = TlsConnector::from(client).connect(name, stream);
    connecting.await.map_err(|error| match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => failure(error),
        None => super::broken(Step::Tls, &error),
    })
}

fn cannot_ask(tls: &Tls, why: Unusable) -> Failure {
    let path = match tls {
        Tls::Authority(path) => Some(path.clone()),
        Tls::System | Tls::Unverified => None,
    };
    Failure::Authorities(path, why)
}

fn client(tls: &Tls) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for both versions");
    let builder: ConfigBuilder<ClientConfig, WantsClientCert> = match tls {
        Tls::System => builder.with_root_certificates(system()?),
        Tls::Authority(path) => builder.with_root_certificates(authorities(path)?),
        Tls::Unverified => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    let mut client = builder.with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Every probe is to see the certificate that is there now.
    client.resumption = Resumption::disabled();
    Ok(client)
}

fn system() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(cannot_ask(&Tls::System, Unusable::Empty)) } else { Ok(roots) }
}

/// What is wrong with a file of authorities, if anything. Blocks.
pub(in crate::agent) fn unusable(path: &Path) -> Option<Unusable> {
    roots(path).err()
}

fn authorities(path: &Path) -> Result<RootCertStore, Failure> {
    roots(path).map_err(|why| Failure::Authorities(Some(path.to_path_buf()), why))
}

fn roots(path: &Path) -> Result<RootCertStore, Unusable> {
    let bytes = file::read(path, MAX_AUTHORITIES_BYTES).map_err(|error| {
        error.raw_os_error().map_or(Unusable::NoFile, |code| Unusable::Unread(Errno::from_raw(code)))
    })?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok));
    if roots.is_empty() { Err(Unusable::Empty) } else { Ok(roots) }
}

/// What went wrong, without the peer's words.
fn failure(error: &Error) -> Failure {
    use CertificateError as Bad;
    match error {
        Error::InvalidCertificate(bad) => Failure::Certificate(match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => Certificate::Expired,
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => Certificate::NotYetValid,
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Certificate::OtherName,
            Bad::UnknownIssuer | Bad::BadSignature => Certificate::UnknownAuthority,
            Bad::Revoked => Certificate::Revoked,
            _ => Certificate::Invalid,
        }),
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(_) => Failure::Tls(TlsTrouble::NothingInCommon),
        Error::AlertReceived(_) => Failure::Tls(TlsTrouble::Refused),
        Error::InvalidMessage(_) => Failure::Tls(TlsTrouble::NotTls),
        _ => Failure::Tls(TlsTrouble::Invalid),
    }
}

/// Takes any certificate, as the operator asked for; whoever shows one must have its key all the same.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
