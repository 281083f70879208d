//! PEM files (RFC 7468): certificates and keys, and precise words for what is neither.

use crate::error::Problem;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file's text; a key in it is not kept longer than this value.
pub(crate) struct Pem {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Pem {
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes))
            .map_err(|error| Problem::Unreadable { path: path.to_owned(), error })?;
        if bytes.len() as u64 > LONGEST {
            return Err(Problem::TooLong(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// The certificates, at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match all {
            Ok(all) if all.is_empty() => Err(self.lacks("certificate")),
            Ok(all) => Ok(all),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    /// The first private key.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, Problem> {
        let encrypted = |label: &String| label.starts_with("ENCRYPTED ");
        if self.labels().iter().any(encrypted) || self.has(b"Proc-Type: 4,ENCRYPTED") {
            return Err(Problem::Encrypted(self.path.clone()));
        }
        match PrivateKeyDer::from_pem_slice(&self.bytes) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(self.lacks("private key")),
            Err(error) => Err(self.damaged(&error)),
        }
    }

    fn lacks(&self, wanted: &'static str) -> Problem {
        let mut labels = self.labels();
        labels.dedup();
        match labels.is_empty() {
            true => Problem::NotPem(self.path.clone()),
            false => Problem::Other { path: self.path.clone(), wanted, found: labels.join(", ") },
        }
    }

    fn damaged(&self, error: &pem::Error) -> Problem {
        let why = match error {
            pem::Error::MissingSectionEnd { .. } => "it ends before its -----END line".to_owned(),
            pem::Error::IllegalSectionStart { .. } => "a -----BEGIN line is not whole".to_owned(),
            other => other.to_string(),
        };
        Problem::Damaged { path: self.path.clone(), why }
    }

    /// The kinds of the sections, as in `-----BEGIN KIND-----`.
    fn labels(&self) -> Vec<String> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        let labels =
            lines.filter_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"));
        labels.map(|label| String::from_utf8_lossy(label).into_owned()).collect()
    }

    fn has(&self, words: &[u8]) -> bool {
        self.bytes.windows(words.len()).any(|window| window == words)
    }
}

/// Chains are a few KiB, bundles of authorities a few hundred.
const LONGEST: u64 = 1024 * 1024;
