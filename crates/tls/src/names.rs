//! Which certificate a client is shown: by the host that it names (SNI, RFC 6066 section 3).

use crate::certificate::Certificate;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// The certificates of one listener by their names. An exact name goes before a wildcard, and what no certificate has,
/// or no name at all, means the first certificate. Of several for one name, such as RSA and ECDSA, the first one counts
/// whose signature the client understands.
#[derive(Debug)]
pub(crate) struct ByName {
    /// All of them, in the operator's order.
    all: Vec<Arc<CertifiedKey>>,
    /// Wildcards without their asterisk: `.example.com`.
    named: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl ByName {
    pub(crate) fn new(certificates: &[Certificate]) -> Self {
        let mut named: HashMap<String, Vec<_>> = HashMap::new();
        for certificate in certificates {
            for name in &certificate.names {
                let name = name.strip_prefix('*').unwrap_or(name).to_owned();
                named.entry(name).or_default().push(Arc::clone(&certificate.certified));
            }
        }
        Self { all: certificates.iter().map(|one| Arc::clone(&one.certified)).collect(), named }
    }

    /// Those to choose from for a host, in lower case as rustls gives it.
    fn candidates(&self, host: Option<&str>) -> &[Arc<CertifiedKey>] {
        let exact = host.and_then(|host| self.named.get(host));
        // An asterisk stands for one whole label (RFC 9525 section 6.3).
        let wild = || host.and_then(|host| self.named.get(&host[host.find('.')?..]));
        exact.or_else(wild).unwrap_or(&self.all)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let fits = |one: &&Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        candidates.iter().find(fits).or(candidates.first()).cloned()
    }
}
