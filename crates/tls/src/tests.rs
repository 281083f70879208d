//! Certificates in files, and what real handshakes make of them, without a socket.

use crate::keeper::{Lookout, Watched};
use crate::{ClientAuth, Identity, Metrics, Options, Pair, Protocols, Setting, Terminator, Version};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup, ServerConnection,
    SignatureScheme,
};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

#[test]
fn each_wrong_file_is_named_with_what_is_wrong_and_the_remedy() {
    let folder = Folder::new();
    let good = folder.pair("good", &["a.example"]);
    let other = folder.pair("other", &["a.example"]);
    let pem = |path: &Path| fs::read_to_string(path).unwrap();
    let cut = folder.file("cut.pem", &pem(&good.chain)[..200]);
    let der = folder.file("der.pem", "\u{30}\u{3}binary");
    let nothing = folder.file("nothing.pem", "");
    let sealed = pem(&good.key).replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let sealed = folder.file("sealed.key", &sealed);
    let legacy =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let legacy = folder.file("legacy.key", legacy);
    let junk = folder.file("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let junk_key = folder.file("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let long = folder.file("long.pem", &"x".repeat(1024 * 1024 + 1));
    let missing = folder.path("missing.pem");
    let (chain, key) = (Setting::Chain(0), Setting::Key(0));
    for (chain_file, key_file, setting, words) in [
        (&missing, &good.key, chain, "cannot read missing.pem: No such file"),
        (&missing, &good.key, chain, "is the path right?"),
        (&folder.path(""), &good.key, chain, "Is a directory"),
        (&good.chain, &missing, key, "cannot read missing.pem: No such file"),
        (&der, &good.key, chain, "der.pem is not PEM (-----BEGIN …); convert it by openssl x509 -inform der"),
        (&nothing, &good.key, chain, "nothing.pem is not PEM"),
        (&good.key, &good.key, chain, "good.key holds no certificate, but PRIVATE KEY"),
        (&good.chain, &good.chain, key, "good.pem holds no private key, but CERTIFICATE"),
        (&cut, &good.key, chain, "cut.pem is damaged: it ends before its -----END line"),
        (&junk, &good.key, chain, "certificate 1 in junk.pem cannot be read"),
        (&good.chain, &junk_key, key, "the key in junk.key cannot be used"),
        (&good.chain, &sealed, key, "the key in sealed.key is encrypted"),
        (&good.chain, &legacy, key, "decrypt it by openssl pkey"),
        (&good.chain, &other.key, key, "other.key is not the key of the first certificate in good.pem"),
        (&long, &good.key, chain, "long.pem is longer than 1 MiB"),
    ] {
        let pair = Pair { chain: chain_file.clone(), key: key_file.clone() };
        let error = Terminator::load(options(&[pair])).unwrap_err();
        let said = error.to_string().replace(&format!("{}/", folder.0.path().display()), "");
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(error.setting, setting, "{said}");
    }
}

#[test]
fn the_number_of_the_wrong_certificate_and_wrong_authorities_are_told() {
    let folder = Folder::new();
    let good = folder.pair("good", &["a.example"]);
    let missing = Pair { chain: good.chain.clone(), key: folder.path("missing") };
    let error = Terminator::load(options(&[good.clone(), missing])).unwrap_err();
    assert_eq!(error.setting, Setting::Key(1));
    let client_auth = ClientAuth::Required(good.key.clone());
    let error = Terminator::load(Options { client_auth, ..options(&[good]) }).unwrap_err();
    assert_eq!(error.setting, Setting::Authorities);
}

#[test]
fn a_chain_and_its_key_may_be_one_file() {
    let folder = Folder::new();
    let good = folder.pair("good", &["a.example"]);
    let both = fs::read_to_string(&good.key).unwrap() + &fs::read_to_string(&good.chain).unwrap();
    let both = folder.file("both.pem", &both);
    Terminator::load(options(&[Pair { chain: both.clone(), key: both }])).unwrap();
}

#[test]
fn the_host_that_a_client_names_decides_which_certificate_it_is_shown() {
    let folder = Folder::new();
    let first = folder.pair("first", &["first.example"]);
    let wild = folder.pair("wild", &["*.example.com", "example.com"]);
    let exact = folder.pair("exact", &["WWW.example.com"]);
    let terminator = Terminator::load(options(&[first.clone(), wild.clone(), exact.clone()])).unwrap();
    for (host, expected) in [
        ("first.example", &first),
        ("example.com", &wild),
        ("any.example.com", &wild),
        ("www.example.com", &exact),
        ("WWW.Example.Com", &exact),
        ("two.labels.example.com", &first),
        ("unknown.example", &first),
        ("com", &first),
        // Clients name no addresses (RFC 6066 section 3).
        ("127.0.0.1", &first),
    ] {
        let shown = Client::new().shake(&terminator, host).0;
        assert!(shown == certificate(expected), "{host}");
    }
}

#[test]
fn of_two_certificates_for_a_host_the_first_that_the_client_understands_is_shown() {
    let folder = Folder::new();
    let ecdsa = folder.pair_of("ecdsa", &["a.example"], &PKCS_ECDSA_P256_SHA256);
    let rsa = folder.pair_of("rsa", &["a.example"], &PKCS_RSA_SHA256);
    let terminator = Terminator::load(options(&[ecdsa.clone(), rsa.clone()])).unwrap();
    let old = Client::of(vec![SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]);
    assert!(old.shake(&terminator, "a.example").0 == certificate(&rsa));
    assert!(Client::new().shake(&terminator, "a.example").0 == certificate(&ecdsa));
}

#[test]
fn a_session_is_resumed_by_its_own_listener_for_its_own_host_until_files_change() {
    let folder = Folder::new();
    let pair = folder.pair("pair", &["a.example", "b.example"]);
    let terminator = Terminator::load(options(std::slice::from_ref(&pair))).unwrap();
    let other = Terminator::load(options(std::slice::from_ref(&pair))).unwrap();
    let client = Client::new();
    assert_eq!(client.shake(&terminator, "a.example").1, HandshakeKind::Full);
    assert_eq!(client.shake(&terminator, "a.example").1, HandshakeKind::Resumed);
    assert_eq!(client.shake(&other, "a.example").1, HandshakeKind::Full, "another listener");
    client.shake(&terminator, "a.example");
    assert_eq!(client.shake(&terminator, "b.example").1, HandshakeKind::Full, "another host");
    client.shake(&terminator, "a.example");
    terminator.reload().unwrap();
    assert_eq!(client.shake(&terminator, "a.example").1, HandshakeKind::Full, "other files");
}

#[test]
fn a_certificate_for_development_stays_the_same_as_long_as_the_program_runs() {
    let terminator = Terminator::load(Options { identity: Identity::SelfSigned, ..options(&[]) }).unwrap();
    let shown = Client::new().shake(&terminator, "localhost").0;
    terminator.reload().unwrap();
    assert!(shown == Client::new().shake(&terminator, "localhost").0);
    assert!(terminator.certificates()[0].concerns().is_empty());
    assert_eq!(terminator.certificates()[0].names, ["localhost", "*.localhost", "127.0.0.1", "::1"]);
}

#[test]
fn what_clients_would_refuse_is_a_concern_and_no_error() {
    let folder = Folder::new();
    let expired = folder.write("expired", &["a.example"], &PKCS_ECDSA_P256_SHA256, |about| {
        about.not_after = rcgen::date_time_ymd(2020, 2, 3);
    });
    let early = folder.write("early", &["a.example"], &PKCS_ECDSA_P256_SHA256, |about| {
        about.not_before = rcgen::date_time_ymd(3000, 1, 1);
    });
    let nameless = folder.pair("nameless", &[]);
    for (pair, words) in [
        (expired, "it expired on 2020-02-03T00:00:00Z; renew it"),
        (early, "it is not valid before 3000-01-01T00:00:00Z"),
        (nameless, "it names no host"),
    ] {
        let terminator = Terminator::load(options(&[pair])).unwrap();
        let concerns = terminator.certificates()[0].concerns();
        assert!(concerns.len() == 1 && concerns[0].starts_with(words), "{concerns:?}");
    }
}

#[test]
fn changed_files_are_read_once_they_have_settled_and_bad_ones_change_nothing() {
    let folder = Folder::new();
    let (pair, new) = (folder.pair("pair", &["a.example"]), folder.pair("new", &["a.example"]));
    let mut watch = Watch::new(&pair);
    assert!(!watch.looks_again(), "nothing has changed");
    let old = certificate(&pair);
    fs::rename(&new.key, &pair.key).unwrap();
    assert!(!watch.looks_again(), "the chain may follow");
    assert!(watch.looks_again(), "it did not");
    assert!(watch.shown() == old, "the key is another certificate's");
    assert!(!watch.looks_again(), "it was tried");
    fs::rename(&new.chain, &pair.chain).unwrap();
    assert!(!watch.looks_again() && watch.looks_again());
    assert!(watch.shown() == certificate(&pair) && watch.shown() != old);
    fs::remove_file(&pair.chain).unwrap();
    assert!(!watch.looks_again() && watch.looks_again());
    assert!(watch.shown() != old, "the last good one stays");
}

#[test]
fn files_that_a_link_is_moved_to_are_new_files() {
    let folder = Folder::new();
    // As Kubernetes mounts secrets: a file is a link into ..data, which is a link to a folder with a date.
    let [one, two] = ["..2026_01", "..2026_02"].map(|name| {
        let path = folder.path(name);
        fs::create_dir(&path).unwrap();
        folder.pair(&format!("{name}/tls"), &["a.example"])
    });
    symlink("..2026_01", folder.path("..data")).unwrap();
    let mounted = Pair { chain: folder.path("tls.pem"), key: folder.path("tls.key") };
    symlink("..data/tls.pem", &mounted.chain).unwrap();
    symlink("..data/tls.key", &mounted.key).unwrap();
    let mut watch = Watch::new(&mounted);
    assert!(watch.shown() == certificate(&one));
    symlink("..2026_02", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    assert!(!watch.looks_again() && watch.looks_again());
    assert!(watch.shown() == certificate(&two));
}

#[test]
fn no_hello_however_damaged_makes_a_handshake_panic() {
    let folder = Folder::new();
    let pair = folder.pair("pair", &["a.example", "*.example.com"]);
    let terminator = Terminator::load(options(&[pair])).unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(Client::new().0), name).unwrap().write_tls(&mut hello).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..10_000 {
        let mut bytes = hello.clone();
        for _ in 0..random.usize(1..8) {
            let place = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[place] = random.u8(..),
                1 => drop(bytes.remove(place)),
                _ => bytes.insert(place, random.u8(..)),
            }
        }
        let mut server = ServerConnection::new(terminator.config()).unwrap();
        let mut there = bytes.as_slice();
        while !there.is_empty() && server.read_tls(&mut there).is_ok() {
            if server.process_new_packets().is_err() {
                break;
            }
        }
    }
}

fn options(pairs: &[Pair]) -> Options {
    Options {
        identity: Identity::Files(pairs.to_vec()),
        min_version: Version::Tls12,
        client_auth: ClientAuth::Off,
        protocols: Protocols::default(),
    }
}

fn certificate(pair: &Pair) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(&pair.chain).unwrap().to_vec()
}

/// Where a test keeps its files.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn pair(&self, name: &str, hosts: &[&str]) -> Pair {
        self.pair_of(name, hosts, &PKCS_ECDSA_P256_SHA256)
    }

    fn pair_of(&self, name: &str, hosts: &[&str], algorithm: &'static SignatureAlgorithm) -> Pair {
        self.write(name, hosts, algorithm, |_| {})
    }

    fn write(
        &self,
        name: &str,
        hosts: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut about =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut about);
        let certificate = about.self_signed(&key).unwrap();
        Pair {
            chain: self.file(&format!("{name}.pem"), &certificate.pem()),
            key: self.file(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

/// What the keeper does, one look at a time.
struct Watch {
    lookout: Lookout,
    terminator: Terminator,
    metrics: Metrics,
}

impl Watch {
    fn new(pair: &Pair) -> Self {
        let terminator = Terminator::load(options(std::slice::from_ref(pair))).unwrap();
        let lookout = Lookout::new(Watched { listener: "test".to_owned(), terminator: terminator.clone() });
        Self { lookout, terminator, metrics: Metrics::register(&prometheus::Registry::new()).unwrap() }
    }

    /// Whether the files were read at this look.
    fn looks_again(&mut self) -> bool {
        let due = self.lookout.is_due();
        if due {
            self.lookout.reload(&self.metrics);
        }
        due
    }

    fn shown(&self) -> Vec<u8> {
        Client::new().shake(&self.terminator, "a.example").0
    }
}

/// A client that trusts everybody, and shows its tickets to everybody.
struct Client(ClientConfig);

impl Client {
    fn new() -> Self {
        let provider = aws_lc_rs::default_provider();
        Self::of(provider.signature_verification_algorithms.supported_schemes())
    }

    fn of(schemes: Vec<SignatureScheme>) -> Self {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting(schemes)))
            .with_no_client_auth();
        config.resumption = Resumption::store(Arc::new(Tickets::default()));
        Self(config)
    }

    /// Shakes hands; gives the certificate that was shown, and whether a session was resumed.
    fn shake(&self, terminator: &Terminator, host: &str) -> (Vec<u8>, HandshakeKind) {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(self.0.clone()), name).unwrap();
        let mut server = ServerConnection::new(terminator.config()).unwrap();
        // The tickets come after the handshake.
        for _ in 0..8 {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            let mut there = bytes.as_slice();
            while !there.is_empty() {
                server.read_tls(&mut there).unwrap();
                server.process_new_packets().unwrap();
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            let mut back = bytes.as_slice();
            while !back.is_empty() {
                client.read_tls(&mut back).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        let shown = client.peer_certificates().unwrap()[0].to_vec();
        (shown, server.handshake_kind().unwrap())
    }
}

/// Tickets of TLS 1.3, whoever they are from.
#[derive(Debug, Default)]
struct Tickets(Mutex<Vec<Tls13ClientSessionValue>>);

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.lock().unwrap().push(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().pop()
    }
}

#[derive(Debug)]
struct Trusting(Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
