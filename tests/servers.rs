//! Real servers with real apps.

use crate::support::Program;
use std::path::Path;

fn serve(command: &[&str]) -> Program {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let program = format!("{tests}/.venv/bin/{}", command[0]);
    assert!(Path::new(&program).exists(), "{program} is missing: tests/run installs it");
    let mut words = vec!["run", "--workers", "2", "--", &program];
    words.extend(&command[1..]);
    let mut program = Program::start(&words);
    program.wait_for_line("now=\"serving\"");
    program
}

const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/apps");

#[test]
fn fastapi_runs_under_uvicorn() {
    let program = serve(&["uvicorn", "--app-dir", APPS, "fastapi_app:app"]);
    let answer = program.request(
        "GET /client HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 6.6.6.6\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, "{\"client\":\"127.0.0.1\",\"host\":\"shop\",\"scheme\":\"http\"}");
}

#[test]
fn fastapi_runs_under_hypercorn_behind_a_wrapper() {
    let hypercorn = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.venv/bin/hypercorn");
    let path = format!("PYTHONPATH={APPS}");
    let words = ["run", "--workers", "2", "--", "env", &path, hypercorn, "fastapi_app:app"];
    let mut program = Program::start(&words);
    program.wait_for_line("now=\"serving\"");
    assert!(program.get("/").pid() > 0);
}

#[test]
fn fastapi_runs_under_granian() {
    let program = serve(&["granian", "--interface", "asgi", "--working-dir", APPS, "fastapi_app:app"]);
    assert!(program.get("/").pid() > 0);
}

#[test]
fn wsgi_runs_under_gunicorn() {
    let program = serve(&["gunicorn", "--chdir", APPS, "wsgi_app:app"]);
    assert!(program.get("/").pid() > 0);
}

#[test]
fn an_event_loop_blocked_in_fastapi_thaws() {
    let mut program = serve(&["uvicorn", "--app-dir", APPS, "fastapi_app:app"]);
    let blocked = program.get("/block?ms=1500");
    assert_eq!(blocked.status, 200);
    program.wait_for_line("now=\"frozen\"");
    program.wait_for_line("was=\"frozen\" now=\"serving\"");
}
