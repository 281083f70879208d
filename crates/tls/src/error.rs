//! What keeps TLS from being served as asked, and which setting is to blame.

use std::io;
use std::path::PathBuf;

/// A [`Problem`], and where the operator can mend it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Error {
    /// The setting to blame.
    pub setting: Setting,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// A setting of [`Options`](crate::Options).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The chain of the certificate with this number.
    Chain(usize),
    /// The key of the certificate with this number.
    Key(usize),
    /// The authorities of clients' certificates.
    Authorities,
    /// All of them together.
    Tls,
}

/// What is wrong, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be opened or read.
    #[error("cannot read {}: {error}{}", path.display(), remedy(error))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is far too long.
    #[error("{} is longer than 1 MiB, and no PEM file; is it the right one?", .0.display())]
    TooLong(PathBuf),
    /// No PEM at all.
    #[error(
        "{} is not PEM (-----BEGIN …); convert it by openssl x509 -inform der, or a key by openssl pkey -inform der, \
         or a .p12 or .pfx file by openssl pkcs12 -nodes",
        .0.display()
    )]
    NotPem(PathBuf),
    /// PEM that breaks off or holds what is no base64.
    #[error("{} is damaged: {why}; copy it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        why: String,
    },
    /// Nothing of what is needed.
    #[error("{} holds no {wanted}, but {found}; is it the right file?", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// The kinds of what is there.
        found: String,
    },
    /// A key that needs a passphrase.
    #[error(
        "the key in {} is encrypted, and nobody is asked for its passphrase; decrypt it by openssl pkey -in FILE -out \
         plain.key, and protect the file by its mode (chmod 600)",
        .0.display()
    )]
    Encrypted(PathBuf),
    /// A certificate that is none.
    #[error("certificate {number} in {} cannot be read: {why}; ask its issuer for a new one", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Which one in it, from 1.
        number: usize,
        /// What the parser says.
        why: String,
    },
    /// A key of a kind that TLS does not have, or a damaged one.
    #[error(
        "the key in {} cannot be used: {why}; RSA of 2048 to 8192 bits, ECDSA (P-256, P-384, P-521) and Ed25519 can",
        path.display()
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What the library says.
        why: String,
    },
    /// Another certificate's key.
    #[error(
        "{} is not the key of the first certificate in {}; give the key it was made with, and put the server's own \
         certificate before those of its issuers",
        key.display(), chain.display()
    )]
    Mismatch {
        /// The file of the certificate.
        chain: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The certificate for development could not be made.
    #[error("cannot make a certificate: {0}")]
    SelfSigned(rcgen::Error),
    /// Anything else that the TLS library objects to.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

impl Problem {
    pub(crate) fn at(self, setting: Setting) -> Error {
        Error { setting, problem: self }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; is the path right? A relative one starts where antifreeze was started",
        io::ErrorKind::PermissionDenied => "; let the user that antifreeze runs as read it",
        _ => "",
    }
}
