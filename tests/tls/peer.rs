//! A client that speaks TLS and says exactly what a test wants.

use crate::support::PATIENCE;
use crate::tls::authority::{Authority, Files};
use crate::wire::client::Client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

/// A connection inside TLS.
pub(crate) type Inside = Client<StreamOwned<ClientConnection, TcpStream>>;

/// A client of TLS 1.3 that trusts an authority and keeps its tickets.
pub(crate) struct Peer(Arc<ClientConfig>);

impl Peer {
    pub(crate) fn new(authority: &Authority) -> Self {
        Self::with(authority, None)
    }

    /// One that shows a certificate of its own if it is asked.
    pub(crate) fn with(authority: &Authority, own: Option<&Files>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority.root()).expect("it was written")).expect("a root");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let chain = CertificateDer::from_pem_file(&files.chain).expect("it was written");
                let key = PrivateKeyDer::from_pem_file(&files.key).expect("it was written");
                builder.with_client_auth_cert(vec![chain], key).expect("a pair")
            }
        };
        Self(Arc::new(config))
    }

    /// Connects and shakes hands.
    pub(crate) fn connect(&self, address: &str, host: &str) -> Inside {
        self.try_connect(address, host).expect("the handshake succeeds")
    }

    pub(crate) fn try_connect(&self, address: &str, host: &str) -> io::Result<Inside> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let host = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(&self.0), host).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Client::new(stream))
    }
}

/// Whether a connection resumed an earlier session.
pub(crate) fn is_resumed(inside: &Inside) -> bool {
    inside.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// The certificate that the server showed.
pub(crate) fn shown(inside: &Inside) -> Vec<u8> {
    inside.stream.conn.peer_certificates().expect("each server shows one")[0].to_vec()
}
