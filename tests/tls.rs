//! TLS as clients and operators meet it.

pub(crate) mod authority;
pub(crate) mod peer;

use crate::support::{Program, antifreeze, lines_of, until};
use crate::wire::client::{Client, End};
use authority::{Authority, Files};
use peer::{Peer, is_resumed, shown};
use rustls::NamedGroup;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

#[test]
fn each_host_gets_its_own_certificate_and_every_other_the_first() {
    let authority = Authority::new();
    let first = authority.server("first", &["first.example"]);
    let wild = authority.server("wild", &["*.example.com"]);
    let exact = authority.server("exact", &["www.example.com"]);
    let flags = [&first, &wild, &exact].map(|files| ["--tls-cert", &files.chain, "--tls-key", &files.key]);
    let program = demo(&flags.concat());
    let peer = Peer::new(&authority);
    for (host, files) in [("first.example", &first), ("api.example.com", &wild), ("www.example.com", &exact)]
    {
        let mut inside = peer.connect(&program.address, host);
        assert!(shown(&inside) == certificate(files), "{host}");
        assert!(inside.get("/").head().starts_with("HTTP/1.1 200 "));
    }
    let refused = peer.try_connect(&program.address, "unknown.example").err();
    let refused = refused.expect("the first certificate is not for that host").to_string();
    assert!(refused.contains("first.example"), "{refused}");
    until("the refusal is counted", || {
        count(&program, "antifreeze_tls_handshake_failures_total{reason=\"refused\"}")
            .filter(|count| *count > 0)
    });
}

#[test]
fn new_certificates_are_shown_to_new_connections_and_open_ones_go_on() {
    let authority = Authority::new();
    let old = authority.server("server", &["a.example"]);
    let mut program = demo(&["--tls-cert", &old.chain, "--tls-key", &old.key]);
    let peer = Peer::new(&authority);
    let before = certificate(&old);
    let mut open = peer.connect(&program.address, "a.example");
    open.get("/").answer();

    authority.server("server", &["a.example"]);
    program.wait_for_line("certificates reloaded");
    let after = certificate(&old);
    assert!(after != before && shown(&peer.connect(&program.address, "a.example")) == after);
    assert!(open.get("/").answer().0.starts_with("HTTP/1.1 200 "), "it was not dropped");
    assert!(shown(&open) == before);

    fs::write(&old.chain, "no certificate").expect("room");
    program.signal("HUP");
    let said = program.wait_for_line("certificates not reloaded");
    assert!(said.contains("server.pem is not PEM"), "{said}");
    assert!(shown(&peer.connect(&program.address, "a.example")) == after, "the last good one stays");
    assert!(open.get("/").answer().0.starts_with("HTTP/1.1 200 "));

    authority.server("server", &["a.example"]);
    program.signal("HUP");
    program.wait_for_line("certificates reloaded");
    assert!(shown(&peer.connect(&program.address, "a.example")) == certificate(&old));
    assert!(count(&program, "antifreeze_tls_reloads_total{outcome=\"failed\"}") >= Some(1));
}

#[test]
fn a_required_certificate_of_the_client_is_required_and_an_optional_one_must_be_good() {
    let authority = Authority::new();
    let server = authority.server("server", &["a.example"]);
    let (own, strange) = (authority.client("alice"), Authority::new());
    let foreign = strange.client("mallory");
    let root = authority.root();
    let flags = ["--tls-cert", &server.chain, "--tls-key", &server.key, "--tls-client-ca", &root];
    let answered = |program: &Program, own: Option<&Files>| {
        let peer = Peer::with(&authority, own);
        // In TLS 1.3 the client is done before the server has seen its certificate.
        let Ok(mut inside) = peer.try_connect(&program.address, "a.example") else { return false };
        let sent = inside.stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        sent.and_then(|()| inside.stream.read_to_end(&mut answer)).is_ok()
            && answer.starts_with(b"HTTP/1.1 200 ")
    };
    let program = demo(&flags);
    assert!(answered(&program, Some(&own)));
    assert!(!answered(&program, None) && !answered(&program, Some(&foreign)));
    must_have_failed(&program, "no_certificate", 1);
    must_have_failed(&program, "bad_certificate", 1);
    let program = demo(&[&flags[..], &["--tls-client-auth", "optional"]].concat());
    assert!(answered(&program, Some(&own)) && answered(&program, None));
    assert!(!answered(&program, Some(&foreign)));
    let program = demo(&[&flags[..], &["--tls-client-auth", "off"]].concat());
    assert!(answered(&program, Some(&foreign)), "nobody asks for it");
}

#[test]
fn a_ticket_resumes_on_every_thread_and_never_where_a_certificate_is_asked_for() {
    let authority = Authority::new();
    let server = authority.server("server", &["a.example", "b.example"]);
    let own = authority.client("alice");
    let text = format!(
        "threads: 2\nlisteners:\n\
         - {{address: \"127.0.0.1:0\", tls: {{certificates: [{{chain: {0}, key: {1}}}]}}}}\n\
         - {{address: \"127.0.0.1:0\", tls: {{certificates: [{{chain: {0}, key: {1}}}], client_ca: {2}}}}}\n",
        server.chain,
        server.key,
        authority.root()
    );
    let mut program = from_file(&authority, &text);
    let strict = program.next_address();
    let peer = Peer::with(&authority, Some(&own));
    // Tickets come with the first bytes that are read.
    let answer = |mut inside: peer::Inside| inside.get("/").answer();
    answer(peer.connect(&program.address, "a.example"));
    for _ in 0..16 {
        let inside = peer.connect(&program.address, "a.example");
        assert!(is_resumed(&inside));
        answer(inside);
    }
    assert_eq!(
        count(&program, "antifreeze_tls_handshakes_total{kind=\"resumed\",version=\"1.3\"}"),
        Some(16)
    );
    let inside = peer.connect(&strict, "a.example");
    assert!(!is_resumed(&inside), "another listener, which asks for a certificate");
    answer(inside);
    assert!(is_resumed(&peer.connect(&strict, "a.example")));
}

#[test]
fn old_versions_are_refused() {
    let version = |program: &Program, version: &str| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &program.address, version, "-cipher", "ALL:@SECLEVEL=0"]);
        client.output().expect("tests/run installs it").status.success()
    };
    let program = demo(&["--tls-self-signed"]);
    assert!(!version(&program, "-tls1_1") && version(&program, "-tls1_2") && version(&program, "-tls1_3"));
    must_have_failed(&program, "version", 1);
    let strict = demo(&["--tls-self-signed", "--tls-min-version", "1.3"]);
    assert!(!version(&strict, "-tls1_2") && version(&strict, "-tls1_3"));
    must_have_failed(&strict, "version", 1);
}

#[test]
fn a_certificate_for_development_takes_one_flag_or_one_word() {
    let authority = Authority::new();
    let by_flag = demo(&["--tls-self-signed"]);
    let by_file = from_file(&authority, "listeners: [{address: \"127.0.0.1:0\", tls: self_signed}]\n");
    for program in [by_flag, by_file] {
        let url = format!("https://{}/", program.address);
        assert_eq!(
            curl(&["--fail", "-o", "/dev/null", "-w", "%{http_code}", "-k", &url]),
            (0, "200".to_owned())
        );
        // 60: the certificate is not trusted.
        assert_eq!(curl(&["-o", "/dev/null", &url]).0, 60);
    }
}

#[test]
fn a_listener_that_redirects_keeps_host_path_and_query_and_serves_nothing() {
    let authority = Authority::new();
    let text = "listeners:\n\
                - {address: \"127.0.0.1:0\", redirect: https}\n\
                - {address: \"127.0.0.1:0\", redirect: \"https:8443\"}\n";
    let mut program = from_file(&authority, text);
    let other_port = program.next_address();
    for (request, status, location) in [
        ("GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com", 301, "https://example.com/a/b?c=d&e"),
        ("HEAD / HTTP/1.1\r\nHost: example.com:80", 301, "https://example.com/"),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080", 301, "https://[::1]/"),
        ("GET / HTTP/1.1\r\nHost: [::1]", 301, "https://[::1]/"),
        ("POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0", 308, "https://example.com/form"),
        ("OPTIONS * HTTP/1.1\r\nHost: example.com", 308, "https://example.com"),
        ("GET http://other.example/x HTTP/1.1\r\nHost: example.com", 301, "https://other.example/x"),
        ("GET //evil.example/ HTTP/1.1\r\nHost: example.com", 301, "https://example.com//evil.example/"),
        ("GET / HTTP/1.0\r\nHost: example.com", 301, "https://example.com/"),
        ("GET / HTTP/1.0", 400, ""),
        ("GET / HTTP/1.1\r\nHost:", 400, ""),
        ("GET / HTTP/1.1\r\nHost: :80", 400, ""),
        ("GET / HTTP/1.1\r\nHost: user@evil.example", 400, ""),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400, ""),
        ("GET / HTTP/1.1\r\nHost: example.com/evil", 400, ""),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443", 405, ""),
    ] {
        let mut client = Client::new(program.connect());
        let head = client.send(format!("{request}\r\nConnection: close\r\n\r\n")).head();
        let found = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
        assert!(head.starts_with("HTTP/1.1 ") || head.starts_with("HTTP/1.0 "), "{head}");
        assert_eq!((&head[9..12], found), (&*status.to_string(), location), "{request}");
    }
    let url = format!("http://{other_port}/x");
    let (_, told) = curl(&["-o", "/dev/null", "-w", "%{redirect_url}", &url]);
    assert_eq!(told, "https://127.0.0.1:8443/x");
}

#[test]
fn a_redirected_upload_is_answered_though_nobody_reads_it() {
    let program = from_file(&Authority::new(), "listeners: [{address: \"127.0.0.1:0\", redirect: https}]\n");
    let mut client = Client::new(program.connect());
    client.send("POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    assert!(client.head().starts_with("HTTP/1.1 308 "));
}

#[test]
fn a_handshake_that_does_not_end_is_cut() {
    let program = demo(&["--tls-self-signed", "--handshake-timeout", "500ms"]);
    // A record that announces more than comes.
    for start in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let began = Instant::now();
        let mut client = Client::new(program.connect());
        client.send(start);
        let end = client.end();
        assert!(matches!(end, End::Closed(_) | End::Reset), "{end:?}");
        let took = began.elapsed();
        assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
    must_have_failed(&program, "timeout", 3);
    until("nobody is left", || (count(&program, "antifreeze_client_connections") == Some(0)).then_some(()));
}

#[test]
fn a_silent_client_does_not_hold_up_the_end() {
    let mut program = demo(&["--tls-self-signed", "--handshake-timeout", "off"]);
    let _silent = program.connect();
    until("it is accepted", || count(&program, "antifreeze_client_connections").filter(|count| *count == 1));
    let asked = Instant::now();
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[test]
fn what_is_no_tls_ends_in_an_alert_or_for_http_in_a_400() {
    let log = tempfile::NamedTempFile::new().expect("room");
    let program = demo(&["--tls-self-signed", "--access-log", &log.path().to_string_lossy()]);
    let (code, said) = curl(&["-w", " %{http_code}", &format!("http://{}/", program.address)]);
    assert_eq!((code, &*said), (0, "HTTPS is spoken here: write https:// instead of http\n 400"));
    let mut client = Client::new(program.connect());
    client.send(b"\x00\x01\x02garbage that is longer than a record's head");
    // An alert: version 1.2, two bytes, fatal.
    assert!(matches!(client.end(), End::Closed(alert) if alert.starts_with("\u{15}\u{3}\u{3}\0\u{2}\u{2}")));
    must_have_failed(&program, "plain_http", 1);
    must_have_failed(&program, "malformed", 1);
    let line = lines_of(log.path(), 1).remove(0);
    assert!(line.contains("\"- - -\" 400") && line.contains("reason=plain_http"), "{line}");
}

#[test]
fn keys_are_exchanged_by_what_no_quantum_computer_breaks_where_the_client_can() {
    let authority = Authority::new();
    let server = authority.server("server", &["a.example"]);
    let program = demo(&["--tls-cert", &server.chain, "--tls-key", &server.key]);
    let inside = Peer::new(&authority).connect(&program.address, "a.example");
    let group = inside.stream.conn.negotiated_key_exchange_group().expect("TLS 1.3 has one").name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
}

#[test]
fn the_order_of_cipher_suites_is_ours() {
    let program = demo(&["--tls-self-signed"]);
    let chosen = |version: &str, flag: &str, offered: &str| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &program.address, version, flag, offered]);
        let printed = client.output().expect("tests/run installs it").stdout;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        printed.lines().find_map(|line| Some(line.split_once("Cipher is ")?.1.to_owned()))
    };
    for suites in
        ["CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384", "AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"]
    {
        let chosen = chosen("-tls1_3", "-ciphersuites", &format!("TLS_{suites}"));
        assert_eq!(chosen.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    }
    for suites in
        ["CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384", "AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"]
    {
        let chosen = chosen("-tls1_2", "-cipher", &format!("ECDHE-ECDSA-{suites}"));
        assert_eq!(chosen.as_deref(), Some("ECDHE-ECDSA-AES256-GCM-SHA384"));
    }
}

#[test]
fn only_the_protocols_that_we_speak_are_chosen() {
    let program = demo(&["--tls-self-signed"]);
    let alpn = |offered: &str| {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", &program.address, "-alpn", offered]);
        let Output { stdout, stderr, .. } = client.output().expect("tests/run installs it");
        String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
    };
    for (offered, chosen) in [("foo,http/1.1", "http/1.1"), ("http/1.1,h2", "h2")] {
        let printed = alpn(offered);
        assert!(printed.contains(&format!("ALPN protocol: {chosen}")), "{printed}");
    }
    let printed = alpn("foo");
    assert!(printed.contains("no application protocol"), "{printed}");
}

#[test]
fn wrong_files_exit_64_with_the_place_the_file_and_the_remedy() {
    let authority = Authority::new();
    let (good, other) = (authority.server("good", &["a"]), authority.server("other", &["b"]));
    let said = |args: &[&str]| {
        let output = antifreeze(&[&["check"], args, &["--", "true"]].concat());
        let said = String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .replace(authority.path("").to_str().expect("UTF-8"), "");
        assert_eq!((output.status.code(), said.lines().count()), (Some(64), 1), "{said}");
        said
    };
    let missing = authority.path("missing.pem").to_string_lossy().into_owned();
    let by_flags = |chain: &str, key: &str| said(&["--tls-cert", chain, "--tls-key", key]);
    let words = by_flags(&missing, &good.key);
    assert!(words.starts_with("antifreeze: --tls-cert: cannot read missing.pem: No such file"), "{words}");
    let words = by_flags(&good.chain, &other.key);
    assert!(words.starts_with("antifreeze: --tls-key: other.key is not the key of"), "{words}");
    let words = said(&["--tls-cert", &good.chain]);
    assert!(words.contains("--tls-cert: certificates: 1, keys: 0; give one --tls-key for each"), "{words}");
    let words = said(&["--tls-client-ca", &authority.root()]);
    assert!(words.starts_with("antifreeze: --tls-client-ca: no certificate; write"), "{words}");
    let words = said(&["--tls-self-signed", "--tls-cert", &good.chain, "--tls-key", &good.key]);
    assert!(words.contains("--tls-self-signed: a certificate was given"), "{words}");

    let config = authority.path("antifreeze.yaml");
    let path = config.to_str().expect("UTF-8");
    fs::write(
        &config,
        format!(
            "listeners:\n- address: \"127.0.0.1:1\"\n- address: \"127.0.0.1:2\"\n  tls:\n    certificates:\n    \
             - {{chain: {0}, key: {1}}}\n    - {{chain: {0}, key: {2}}}\n",
            good.chain, good.key, other.key
        ),
    )
    .expect("room");
    let words = said(&["--config", path]);
    let place = "antifreeze.yaml:7:";
    assert!(
        words.contains(place) && words.contains("listeners[1].tls.certificates[1].key: other.key"),
        "{words}"
    );
    fs::write(&config, format!("listeners: [{{address: \"127.0.0.1:2\", tls: {{certificates: [{{chain: {}, key: {}}}], client_ca: {}}}}}]\n", good.chain, good.key, good.key)).expect("room");
    let words = said(&["--config", path]);
    assert!(
        words.contains("listeners[0].tls.client_ca: good.key holds no certificate, but PRIVATE KEY"),
        "{words}"
    );
}

#[test]
fn check_tells_of_each_certificate_whom_it_is_for_and_how_long() {
    let authority = Authority::new();
    let good = authority.server("good", &["a.example", "*.b.example"]);
    let args = [
        "check",
        "--listen",
        "127.0.0.1:443",
        "--tls-cert",
        &good.chain,
        "--tls-key",
        &good.key,
        "--",
        "true",
    ];
    let output = antifreeze(&args);
    let report = String::from_utf8(output.stdout).expect("it prints UTF-8");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let words = "listener    127.0.0.1:443 with TLS\n  certificate       a.example, *.b.example; valid until 4096-01-01";
    assert!(report.contains(words), "{report}");
}

#[test]
fn without_tls_a_hangup_is_the_end() {
    let mut program = demo(&[]);
    program.signal("HUP");
    assert_eq!(program.wait().code(), None);
    until("no worker is left", || program.marked().is_empty().then_some(()));
}

fn demo(flags: &[&str]) -> Program {
    let mut program = Program::start(&[&["demo", "--workers", "1"], flags].concat());
    program.wait_for_line("now=\"serving\"");
    program
}

/// The demo on the listeners of a file.
fn from_file(authority: &Authority, text: &str) -> Program {
    let path = authority.path("listeners.yaml");
    fs::write(&path, text).expect("room");
    Program::start(&["demo", "--workers", "1", "--config", path.to_str().expect("UTF-8")])
}

fn certificate(files: &Files) -> Vec<u8> {
    CertificateDer::from_pem_file(&files.chain).expect("it was written").to_vec()
}

/// Waits until so many handshakes have failed for this reason, and no more.
fn must_have_failed(program: &Program, reason: &str, times: u64) {
    let failures = format!("antifreeze_tls_handshake_failures_total{{reason=\"{reason}\"}}");
    let counted = until(reason, || count(program, &failures).filter(|count| *count >= times));
    assert_eq!(counted, times, "{reason}");
}

fn count(program: &Program, metric: &str) -> Option<u64> {
    let metrics = program.ask("/metrics").body;
    metrics.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
}

/// Runs curl: its exit code, and what it printed.
fn curl(args: &[&str]) -> (i32, String) {
    let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(args).output();
    let output = output.expect("tests/run installs it");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}
