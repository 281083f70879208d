//! The certificates of a test: made for it, and gone with it.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Somebody who signs certificates, and the folder with all of their files.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The paths of a certificate and its key.
pub(crate) struct Files {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("room");
        let mut about = CertificateParams::default();
        // Who has the name of its issuer is taken for self-signed.
        about.distinguished_name.push(DnType::CommonName, "the authority of a test");
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        about.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("randomness");
        let issuer = CertifiedIssuer::self_signed(about, key).expect("it is whole");
        fs::write(folder.path().join("root.pem"), issuer.pem()).expect("room");
        Self { folder, issuer }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file that clients trust.
    pub(crate) fn root(&self) -> String {
        self.path("root.pem").to_string_lossy().into_owned()
    }

    /// Makes, or makes anew, the files `NAME.pem` and `NAME.key` for these hosts.
    pub(crate) fn server(&self, name: &str, hosts: &[&str]) -> Files {
        self.sign(name, hosts, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// As [`server`](Self::server), for a client.
    pub(crate) fn client(&self, name: &str) -> Files {
        self.sign(name, &[name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, hosts: &[&str], purpose: ExtendedKeyUsagePurpose) -> Files {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut about = CertificateParams::new(hosts).expect("they are hosts");
        about.distinguished_name.push(DnType::CommonName, name);
        about.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("randomness");
        let certificate = about.signed_by(&key, &self.issuer).expect("it is whole");
        let write = |name: String, text: String| {
            // As careful programs do: beside it, and then over it.
            let (path, beside) = (self.path(&name), self.path("beside"));
            fs::write(&beside, text).expect("room");
            fs::rename(beside, &path).expect("one folder");
            path.to_string_lossy().into_owned()
        };
        Files {
            chain: write(format!("{name}.pem"), certificate.pem()),
            key: write(format!("{name}.key"), key.serialize_pem()),
        }
    }
}
