//! A certificate for development: for this machine alone, never written to a file.

use crate::certificate::Certificate;
use crate::error::Problem;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use std::time::Duration;

pub(crate) fn make(provider: &CryptoProvider) -> Result<Certificate, Problem> {
    let (certificate, key) = generate().map_err(Problem::SelfSigned)?;
    Certificate::made(certificate, key.into(), provider)
}

fn generate() -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let mut about = CertificateParams::new(NAMES.map(str::to_owned))?;
    about.distinguished_name.push(DnType::CommonName, "antifreeze, for development");
    about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(UnixTime::now().as_secs());
    // Clocks of virtual machines and phones lag behind.
    about.not_before = now - DAY;
    about.not_after = now + 365 * DAY;
    let key = KeyPair::generate()?;
    let certificate = about.self_signed(&key)?;
    Ok((certificate.der().clone(), key.serialize_der().into()))
}

const NAMES: [&str; 4] = ["localhost", "*.localhost", "127.0.0.1", "::1"];
const DAY: Duration = Duration::from_secs(24 * 3600);
