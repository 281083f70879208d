//! The clients that people use, against FastAPI under uvicorn: keep-alive, uploads, streams, WebSockets, all of it inside
//! TLS and by HTTP/2 as well.

use crate::support::Program;
use crate::tls::authority::Authority;
use std::path::Path;
use std::process::Command;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn curl_keeps_its_connection_uploads_in_chunks_and_downloads() {
    let (plain, safe) = (Site::plain(), Site::inside_tls());
    for site in [plain, safe] {
        curl(&site);
    }
}

fn curl(site: &Site) {
    let client = |args: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "--max-time", "60"]).args(args).env("CURL_CA_BUNDLE", site.root());
        succeed(&mut command)
    };
    let url = |path: &str| format!("{}{path}", site.url);
    let page = url("/openapi.json");
    let connects = client(&["-o", "/dev/null", "-w", "%{num_connects}", &page, "-o", "/dev/null", &page]);
    assert_eq!(connects, "10", "the second request opened no connection");
    let megabytes = tempfile::NamedTempFile::new().expect("room");
    megabytes.as_file().set_len(5_000_000).expect("room");
    let file = format!("@{}", megabytes.path().display());
    let upload = ["-H", "Transfer-Encoding: chunked", "--data-binary", &file, &url("/upload")];
    assert!(client(&upload).contains("\"length\":5000000"));
    // curl sends Expect: 100-continue with a body of this size.
    assert!(
        client(&["-T", megabytes.path().to_str().expect("UTF-8"), "-X", "POST", &url("/upload")])
            .contains("5000000")
    );
    assert_eq!(client(&[&url("/download?chunks=500")]).len(), 500 * 1024 * 8);
}

#[test]
fn httpx_keeps_its_connection_uploads_in_chunks_and_downloads() {
    for site in [Site::plain(), Site::inside_tls()] {
        for version in ["HTTP/1.1", "HTTP/2"] {
            succeed(python("httpx_client.py", &site).arg(version));
        }
    }
}

#[test]
fn fetch_of_node_uploads_and_downloads_streams() {
    for site in [Site::plain(), Site::inside_tls()] {
        let mut node = Command::new("node");
        node.arg(format!("{TESTS}/clients/fetch.mjs")).arg(&site.url).env("NODE_EXTRA_CA_CERTS", site.root());
        succeed(&mut node);
    }
}

#[test]
fn http2_of_node_shares_its_connection_and_cancels() {
    for site in [Site::plain(), Site::inside_tls()] {
        let mut node = Command::new("node");
        node.arg(format!("{TESTS}/clients/http2.mjs")).arg(&site.url).env("NODE_EXTRA_CA_CERTS", site.root());
        succeed(&mut node);
    }
}

#[test]
fn curl_chooses_http_2_inside_tls_and_on_demand_without() {
    let (plain, safe) = (Site::plain(), Site::inside_tls());
    for (site, option, version) in [
        (&safe, "--tcp-nodelay", "2"),
        (&safe, "--http1.1", "1.1"),
        (&plain, "--tcp-nodelay", "1.1"),
        (&plain, "--http2-prior-knowledge", "2"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_version}", option]);
        curl.arg(format!("{}/openapi.json", site.url)).env("CURL_CA_BUNDLE", site.root());
        assert_eq!(succeed(&mut curl), version, "{option} {}", site.url);
    }
}

#[test]
fn twenty_thousand_requests_of_h2load_in_a_hundred_streams_are_all_answered() {
    for flags in [&["--http2", "on"][..], &["--tls-self-signed"]] {
        let mut program = Program::start(&[&["demo", "--workers", "2"], flags].concat());
        program.wait_for_line("now=\"serving\"");
        let scheme = if flags.len() == 1 { "https" } else { "http" };
        let mut h2load = Command::new("h2load");
        h2load.args(["-n", "20000", "-c", "2", "-m", "100", &format!("{scheme}://{}/", program.address)]);
        let printed = succeed(&mut h2load);
        assert!(printed.contains(" 20000 succeeded, 0 failed, 0 errored, 0 timeout"), "{printed}");
        assert!(printed.contains("status codes: 20000 2xx"), "{printed}");
    }
}

#[test]
fn websockets_carry_messages_subprotocols_and_close_codes_both_ways() {
    for mut site in [Site::plain(), Site::inside_tls()] {
        succeed(&mut python("websocket_client.py", &site));
        site.program.wait_for_line("client closed with 4002");
    }
}

/// The app, and what clients need to know of it.
struct Site {
    program: Program,
    url: String,
    authority: Authority,
}

impl Site {
    fn plain() -> Self {
        let program = serve(&["--http2", "on"]);
        Self { url: format!("http://{}", program.address), program, authority: Authority::new() }
    }

    fn inside_tls() -> Self {
        let authority = Authority::new();
        let files = authority.server("server", &["127.0.0.1"]);
        let program = serve(&["--tls-cert", &files.chain, "--tls-key", &files.key]);
        Self { url: format!("https://{}", program.address), program, authority }
    }

    /// The file of those whom clients trust.
    fn root(&self) -> String {
        self.authority.root()
    }
}

fn serve(flags: &[&str]) -> Program {
    let uvicorn = format!("{TESTS}/.venv/bin/uvicorn");
    assert!(Path::new(&uvicorn).exists(), "{uvicorn} is missing: tests/run installs it");
    let apps = format!("{TESTS}/apps");
    let app = ["--ws", "websockets", "--app-dir", &apps, "traffic:app"];
    let words = [&["run", "--workers", "2"], flags, &["--", &uvicorn], &app[..]].concat();
    let mut program = Program::start(&words);
    program.wait_for_line("now=\"serving\"");
    program
}

fn python(script: &str, site: &Site) -> Command {
    let mut command = Command::new(format!("{TESTS}/.venv/bin/python"));
    command.arg(format!("{TESTS}/clients/{script}")).arg(&site.url).env("SSL_CERT_FILE", site.root());
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("tests/run installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
