//! What the handshakes of one listener are given, now.

use crate::certificate::Certificate;
use crate::error::{Error, Problem, Setting};
use crate::names::ByName;
use crate::options::{ClientAuth, Identity, Options, Version};
use crate::pem::Pem;
use crate::self_signed;
use crate::stamp::Stamps;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// TLS for one listener, shared by all threads.
#[derive(Clone, Debug)]
pub struct Terminator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    /// Read once a handshake, for as long as it takes to copy a pointer.
    present: RwLock<Arc<Present>>,
}

/// What was made of the files at one moment.
#[derive(Debug)]
struct Present {
    config: Arc<ServerConfig>,
    certificates: Arc<Vec<Certificate>>,
    /// Of the files before they were read.
    stamps: Stamps,
}

impl Terminator {
    /// Reads the files, or makes the certificate for development.
    ///
    /// # Errors
    /// The first thing that is wrong with the files.
    pub fn load(options: Options) -> Result<Self, Error> {
        let present = Present::load(&options, None)?;
        Ok(Self(Arc::new(Shared { options, present: RwLock::new(Arc::new(present)) })))
    }

    /// What a new handshake is given. Tickets of one configuration are worth nothing to another: neither to that of
    /// another listener, which may ask for certificates where this one does not, nor to that which follows when files
    /// have changed, which may trust other authorities.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.present().config)
    }

    /// The certificates that clients are shown, in the operator's order.
    pub fn certificates(&self) -> Arc<Vec<Certificate>> {
        Arc::clone(&self.present().certificates)
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Reads the files again. What is wrong with them leaves everything as it was.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let present = Present::load(self.options(), Some(&self.present()))?;
        *self.0.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(present);
        Ok(())
    }

    /// What the files were when they were last used.
    pub(crate) fn stamps(&self) -> Stamps {
        self.present().stamps.clone()
    }

    fn present(&self) -> Arc<Present> {
        Arc::clone(&self.0.present.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Present {
    fn load(options: &Options, before: Option<&Self>) -> Result<Self, Error> {
        let stamps = Stamps::of(&files(options));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificates = match (&options.identity, before) {
            (Identity::Files(pairs), _) => {
                let numbered = pairs.iter().enumerate();
                let read = numbered.map(|(number, pair)| Certificate::read(pair, number, &provider));
                Arc::new(read.collect::<Result<_, _>>()?)
            }
            // Clients may have been told to trust it.
            (Identity::SelfSigned, Some(before)) => Arc::clone(&before.certificates),
            (Identity::SelfSigned, None) => {
                let made = self_signed::make(&provider).map_err(|problem| problem.at(Setting::Tls))?;
                Arc::new(vec![made])
            }
        };
        let library = |error: rustls::Error| Problem::Library(error.to_string()).at(Setting::Tls);
        let versions: &[_] = match options.min_version {
            Version::Tls12 => &[&TLS13, &TLS12],
            Version::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(library)?;
        let verifier = |path: &Path| {
            let roots = authorities(path).map_err(|problem| problem.at(Setting::Authorities))?;
            Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)))
        };
        let refused = |error: rustls::server::VerifierBuilderError| {
            Problem::Library(error.to_string()).at(Setting::Authorities)
        };
        let builder = match &options.client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::Optional(path) => builder
                .with_client_cert_verifier(verifier(path)?.allow_unauthenticated().build().map_err(refused)?),
            ClientAuth::Required(path) => {
                builder.with_client_cert_verifier(verifier(path)?.build().map_err(refused)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName::new(&certificates)));
        config.alpn_protocols = options.protocols.alpn().iter().map(|name| name.to_vec()).collect();
        // The key changes every six hours, and the one before it opens tickets for as long again.
        // Of suites that are all good the order hardly matters; scanners want it to be the server's.
        config.ignore_client_order = true;
        config.ticketer = Ticketer::new().map_err(library)?;
        Ok(Self { config: Arc::new(config), certificates, stamps })
    }
}

/// The files whose change matters.
pub(crate) fn files(options: &Options) -> Vec<PathBuf> {
    let pairs = match &options.identity {
        Identity::SelfSigned => &[],
        Identity::Files(pairs) => pairs.as_slice(),
    };
    let pairs = pairs.iter().flat_map(|pair| [pair.chain.clone(), pair.key.clone()]);
    pairs.chain(options.client_auth.authorities().cloned()).collect()
}

fn authorities(path: &Path) -> Result<RootCertStore, Problem> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in Pem::read(path)?.certificates()?.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let number = number + 1;
            Problem::BadCertificate { path: path.to_owned(), number, why: error.to_string() }
        })?;
    }
    Ok(roots)
}
