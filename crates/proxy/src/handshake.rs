//! From an accepted connection to one inside TLS.

use crate::closing;
use crate::metrics::Metrics;
use rustls::{Error, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConfig};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use supervisor::Stream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Shakes hands until it is late. Whoever fails is told why, as far as there is a way to, and counted.
///
/// # Errors
/// Why there is no connection; its socket is closed.
pub(crate) async fn accept(
    stream: Stream,
    config: Arc<ServerConfig>,
    late: impl Future<Output = ()>,
    peer: Option<IpAddr>,
    metrics: &Metrics,
) -> Result<Box<TlsStream<Stream>>, Reason> {
    let shaken = tokio::select! {
        shaken = shake(stream, config) => shaken,
        () = late => Err(Failure::timed_out()),
    };
    match shaken {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            let version = match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            };
            let kind = match session.handshake_kind() {
                Some(HandshakeKind::Resumed) => "resumed",
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest) | None => "full",
            };
            metrics.count_handshake(version, kind);
            tracing::debug!(peer = ?peer, version, kind, host = session.server_name(), "TLS handshake");
            Ok(Box::new(stream))
        }
        Err(Failure { reason, words, stream }) => {
            metrics.count_failed_handshake(reason.as_str());
            tracing::debug!(peer = ?peer, reason = reason.as_str(), "TLS handshake failed: {words}");
            if let Some(stream) = stream {
                // Nothing can be done for a client that is gone already.
                let _ = match reason {
                    Reason::PlainHttp => closing::refuse_plain_http(stream).await,
                    _ => closing::linger(stream).await,
                };
            }
            Err(reason)
        }
    }
}

/// Why a handshake failed: the label of metrics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It took too long.
    Timeout,
    /// The client left.
    Closed,
    /// The client speaks HTTP without TLS.
    PlainHttp,
    /// The client's versions of TLS are too old.
    Version,
    /// Nothing else in common: ciphers, key exchanges, signatures.
    Parameters,
    /// The client offers other protocols (ALPN) than we speak.
    Protocol,
    /// The client must show a certificate and has none.
    NoCertificate,
    /// The client's certificate is not good.
    BadCertificate,
    /// The client broke it off; most often it does not trust our certificate.
    Refused,
    /// What came is no TLS, or breaks its rules.
    Malformed,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::PlainHttp => "plain_http",
            Self::Version => "version",
            Self::Parameters => "parameters",
            Self::Protocol => "protocol",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            None => Self::Closed,
            Some(Error::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                // What rustls misses first in the hello of a client of TLS 1.1.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
            )) => Self::Version,
            Some(Error::PeerIncompatible(_)) => Self::Parameters,
            Some(Error::NoApplicationProtocol) => Self::Protocol,
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(_)) => Self::BadCertificate,
            Some(Error::AlertReceived(_)) => Self::Refused,
            Some(_) => Self::Malformed,
        }
    }
}

/// A handshake that failed, and the socket if its client may still read.
struct Failure {
    reason: Reason,
    words: String,
    stream: Option<Stream>,
}

impl Failure {
    fn timed_out() -> Self {
        Self { reason: Reason::Timeout, words: "it took too long".to_owned(), stream: None }
    }

    fn new(error: &io::Error, stream: Stream) -> Self {
        let reason = Reason::of(error);
        let words = error.to_string();
        Self { reason, words, stream: (reason != Reason::Closed).then_some(stream) }
    }
}

async fn shake(stream: Stream, config: Arc<ServerConfig>) -> Result<TlsStream<Stream>, Failure> {
    match begins_as_http(&stream).await {
        Ok(false) => {}
        Ok(true) => {
            let words = "the client speaks HTTP without TLS".to_owned();
            return Err(Failure { reason: Reason::PlainHttp, words, stream: Some(stream) });
        }
        Err(error) => return Err(Failure::new(&error, stream)),
    }
    let accepting = TlsAcceptor::from(config).accept(stream).into_fallible();
    accepting.await.map_err(|(error, stream)| Failure::new(&error, stream))
}

/// Whether the first byte, which stays unread, is that of a method: a TLS record begins with a control character. On unix
/// sockets nobody types the wrong scheme.
async fn begins_as_http(stream: &Stream) -> io::Result<bool> {
    let Some(stream) = stream.tcp() else { return Ok(false) };
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}
