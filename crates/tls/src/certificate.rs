//! One certificate of the server with its key, and what it says of itself.

use crate::error::{Error, Problem, Setting};
use crate::options::Pair;
use crate::pem::Pem;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{DateTime, Decode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate that clients may be shown.
#[derive(Debug)]
pub struct Certificate {
    pub(crate) certified: Arc<CertifiedKey>,
    /// The hosts it is for, in lower case: names, `*.example.com`, and addresses.
    pub names: Vec<String>,
    not_before: DateTime,
    not_after: DateTime,
}

impl Certificate {
    /// Reads the pair of files with this number.
    pub(crate) fn read(pair: &Pair, number: usize, provider: &CryptoProvider) -> Result<Self, Error> {
        let (chain_at, key_at) = (Setting::Chain(number), Setting::Key(number));
        let chain = Pem::read(&pair.chain).and_then(|pem| pem.certificates());
        let chain = chain.map_err(|problem| problem.at(chain_at))?;
        let key = Pem::read(&pair.key).and_then(|pem| pem.key()).map_err(|problem| problem.at(key_at))?;
        // The others are for clients to make sense of.
        let said = Said::read(&chain[0], &pair.chain).map_err(|problem| problem.at(chain_at))?;
        Self::new(chain, key, said, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                let Pair { chain, key } = pair.clone();
                Problem::Mismatch { chain, key }.at(key_at)
            }
            rustls::Error::InvalidCertificate(why) => {
                let path = pair.chain.clone();
                Problem::BadCertificate { path, number: 1, why: why.to_string() }.at(chain_at)
            }
            rustls::Error::General(why) => Problem::BadKey { path: pair.key.clone(), why }.at(key_at),
            other => Problem::BadKey { path: pair.key.clone(), why: other.to_string() }.at(key_at),
        })
    }

    /// One that was made here.
    pub(crate) fn made(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, Problem> {
        let said = Said::read(&certificate, Path::new("memory"))?;
        Self::new(vec![certificate], key, said, provider).map_err(|error| Problem::Library(error.to_string()))
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        said: Said,
        provider: &CryptoProvider,
    ) -> Result<Self, rustls::Error> {
        let certified = Arc::new(CertifiedKey::from_der(chain, key, provider)?);
        Ok(Self { certified, names: said.names, not_before: said.not_before, not_after: said.not_after })
    }

    /// Until when it is valid, since 1970.
    pub fn expiry(&self) -> Duration {
        self.not_after.unix_duration()
    }

    /// Its hosts and its last day, for people.
    pub fn summary(&self) -> String {
        let names = match self.names.is_empty() {
            true => "no name".to_owned(),
            false => self.names.join(", "),
        };
        format!("{names}; valid until {}", self.not_after)
    }

    /// What makes clients refuse it although it can be served.
    pub fn concerns(&self) -> Vec<String> {
        let now = UnixTime::now().as_secs();
        let mut concerns = Vec::new();
        if self.not_after.unix_duration().as_secs() < now {
            concerns.push(format!("it expired on {}; renew it", self.not_after));
        }
        if self.not_before.unix_duration().as_secs() > now {
            concerns.push(format!("it is not valid before {}; is the clock right?", self.not_before));
        }
        if self.names.is_empty() {
            concerns.push("it names no host (subjectAltName), and clients look nowhere else".to_owned());
        }
        concerns
    }
}

/// What a certificate says that matters here.
struct Said {
    names: Vec<String>,
    not_before: DateTime,
    not_after: DateTime,
}

impl Said {
    fn read(certificate: &CertificateDer<'_>, path: &Path) -> Result<Self, Problem> {
        let unread = |why: String| Problem::BadCertificate { path: path.to_owned(), number: 1, why };
        // Raw: a serial number that breaks the rules is no reason to refuse.
        let certificate =
            CertificateInner::<Raw>::from_der(certificate).map_err(|error| unread(error.to_string()))?;
        let about = certificate.tbs_certificate();
        let names = about.get_extension::<SubjectAltName>().map_err(|error| unread(error.to_string()))?;
        let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
        Ok(Self {
            names: names.iter().filter_map(host).collect(),
            not_before: about.validity().not_before.to_date_time(),
            not_after: about.validity().not_after.to_date_time(),
        })
    }
}

fn host(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let four = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            let sixteen = <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string());
            four.or(sixteen).ok()
        }
        _ => None,
    }
}
