//! The clients that people use, against FastAPI under uvicorn: keep-alive, uploads, streams, WebSockets.

use crate::support::Program;
use std::path::Path;
use std::process::Command;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn curl_keeps_its_connection_uploads_in_chunks_and_downloads() {
    let program = serve();
    let client = |args: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--fail", "--max-time", "20"]).args(args);
        succeed(&mut command)
    };
    let url = |path: &str| format!("http://{}{path}", program.address);
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
    let program = serve();
    succeed(&mut python("httpx_client.py", &program));
}

#[test]
fn fetch_of_node_uploads_and_downloads_streams() {
    let program = serve();
    let mut node = Command::new("node");
    node.arg(format!("{TESTS}/clients/fetch.mjs")).arg(format!("http://{}", program.address));
    succeed(&mut node);
}

#[test]
fn websockets_carry_messages_subprotocols_and_close_codes_both_ways() {
    let mut program = serve();
    succeed(&mut python("websocket_client.py", &program));
    program.wait_for_line("client closed with 4002");
}

fn serve() -> Program {
    let uvicorn = format!("{TESTS}/.venv/bin/uvicorn");
    assert!(Path::new(&uvicorn).exists(), "{uvicorn} is missing: tests/run installs it");
    let apps = format!("{TESTS}/apps");
    let app = ["--ws", "websockets", "--app-dir", &apps, "traffic:app"];
    let mut program = Program::start(&[&["run", "--workers", "2", "--", &uvicorn], &app[..]].concat());
    program.wait_for_line("now=\"serving\"");
    program
}

fn python(script: &str, program: &Program) -> Command {
    let mut command = Command::new(format!("{TESTS}/.venv/bin/python"));
    command.arg(format!("{TESTS}/clients/{script}")).arg(format!("http://{}", program.address));
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("tests/run installs it");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
