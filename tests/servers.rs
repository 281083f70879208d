//! Real servers with real apps, as README.md tells users to run them.

use crate::support::{Program, until};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

#[test]
fn every_recipe_of_the_readme_serves_and_ends_without_a_trace() {
    let readme = include_str!("../README.md");
    let recipes = readme.split("## Recipes").nth(1).and_then(|rest| rest.split("\n## ").next());
    let recipes: Vec<_> = recipes
        .expect("a section")
        .split('`')
        .filter_map(|words| words.strip_prefix("antifreeze "))
        .map(|words| words.split(' ').collect::<Vec<_>>())
        .collect();
    assert!(recipes.len() >= 10, "{recipes:?}");
    for recipe in recipes {
        println!("{}", recipe.join(" "));
        let mut program = serve(&recipe);
        assert_eq!(program.get("/").status, 200, "{recipe:?}");
        end_without_a_trace(&mut program);
    }
}

#[test]
fn fastapi_under_uvicorn() {
    check(&["uvicorn", "main:app"], Traits { client: Some("127.0.0.1"), keeps: true, freezes: true });
}

#[test]
fn fastapi_under_gunicorn_with_the_worker_class_of_its_own_package() {
    let command = ["gunicorn", "-k", "uvicorn_worker.UvicornWorker", "main:app"];
    check(&command, Traits { client: Some("127.0.0.1"), keeps: true, freezes: true });
}

#[test]
fn fastapi_under_gunicorn_with_uvicorns_own_worker_class() {
    let command = ["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "main:app"];
    check(&command, Traits { client: Some("127.0.0.1"), keeps: true, freezes: true });
}

#[test]
fn fastapi_under_hypercorn() {
    check(&["hypercorn", "main:app"], Traits { client: None, keeps: true, freezes: true });
}

#[test]
fn fastapi_under_granian() {
    let command = ["granian", "--interface", "asgi", "main:app"];
    check(&command, Traits { client: None, keeps: true, freezes: true });
}

#[test]
fn fastapi_under_hypercorn_and_granian_in_http_2() {
    for command in [&["hypercorn", "main:app"][..], &["granian", "--interface", "asgi", "main:app"]] {
        let mut program = serve(&[&["run", "--workers", "2", "--protocol", "h2c", "--"], command].concat());
        program.wait_for_line("OpenAPI document at /openapi.json declares");
        until("both workers serve", || {
            let status = program.status();
            let workers = status["workers"].as_array()?;
            workers.iter().all(|worker| worker["state"] == "serving").then_some(())
        });
        let mut client = program.connect();
        until_both_answer(&mut client);
        assert_eq!(ask(&mut client, "/client")["version"], "2");
        until_used_again(&program, &mut client);
        assert_eq!(program.get("/block?ms=3000").status, 200);
        program.wait_for_line("now=\"frozen\"");
        program.wait_for_line("was=\"frozen\" now=\"serving\"");
        end_without_a_trace(&mut program);
    }
}

#[test]
fn fastapi_under_daphne() {
    let command = ["daphne", "--proxy-headers", "main:app"];
    check(&command, Traits { client: Some("127.0.0.1"), keeps: true, freezes: true });
}

#[test]
fn wsgi_under_gunicorn() {
    check(&["gunicorn", "project.wsgi"], Traits { client: None, keeps: false, freezes: false });
}

#[test]
fn wsgi_under_waitress() {
    let command = ["waitress-serve", "project.wsgi:application"];
    check(&command, Traits { client: None, keeps: true, freezes: false });
}

#[test]
fn rack_under_puma() {
    check(&["puma"], Traits { client: Some("127.0.0.1"), keeps: true, freezes: false });
}

#[test]
fn puma_forks_no_worker_of_its_own() {
    let mut program = serve(&["run", "--workers", "2", "--", "puma"]);
    program.wait_for_line("now=\"serving\"");
    assert_eq!(program.marked().len(), 2);
}

#[test]
fn rack_under_unicorn() {
    check(&["unicorn"], Traits { client: Some("127.0.0.1"), keeps: false, freezes: false });
}

#[test]
fn node_on_a_unix_socket() {
    let command = ["node", "server.js", "{socket}"];
    check(&command, Traits { client: Some("127.0.0.1"), keeps: true, freezes: true });
}

#[test]
fn node_on_the_port_of_its_environment() {
    let command = ["node", "server.js"];
    check(&command, Traits { client: Some("127.0.0.1"), keeps: false, freezes: true });
}

/// What a server and its app can do.
#[derive(Clone, Copy)]
struct Traits {
    /// What the app takes for the client's address, if it tells at all.
    client: Option<&'static str>,
    /// Whether connections to it outlive a request. (Seen on unix sockets alone.)
    keeps: bool,
    /// Whether its app can block the event loop.
    freezes: bool,
}

fn check(command: &[&str], traits: Traits) {
    let mut words = vec!["run", "--workers", "2", "--"];
    words.extend(command);
    let mut program = serve(&words);
    program.wait_for_line("now=\"serving\"");
    let mut client = program.connect();
    until_both_answer(&mut client);
    if let Some(address) = traits.client {
        assert_eq!(ask(&mut client, "/client")["client"], address);
    }
    if traits.keeps {
        until_used_again(&program, &mut client);
    }
    if traits.freezes {
        // Long enough for a supervisor that is held up itself, and then begins to count anew.
        assert_eq!(program.get("/block?ms=3000").status, 200);
        program.wait_for_line("now=\"frozen\"");
        program.wait_for_line("was=\"frozen\" now=\"serving\"");
    }
    end_without_a_trace(&mut program);
}

/// One of them may be busy with the app's OpenAPI document, or be suspected for a moment.
fn until_both_answer(client: &mut TcpStream) {
    let mut pids = BTreeSet::new();
    until("requests on one connection reach both workers", || {
        pids.extend(ask(client, "/")["pid"].as_u64());
        (pids.len() == 2).then_some(())
    });
}

/// Requests open no connections to workers: there are some before that serve them. Probes have short ones of their own.
fn until_used_again(program: &Program, client: &mut TcpStream) {
    until("connections to workers are used again", || {
        let before = connections(program);
        ask(client, "/");
        ask(client, "/");
        let after = connections(program);
        (!after.is_empty() && after.is_subset(&before)).then_some(())
    });
}

fn end_without_a_trace(program: &mut Program) {
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0), "{}", program.rest_of_log());
    until("no process is left", || program.marked().is_empty().then_some(()));
}

/// Starts the program where the apps are, and waits for the first worker.
fn serve(args: &[&str]) -> Program {
    let installed = format!("{TESTS}/.venv/bin");
    assert!(Path::new(&installed).exists(), "{installed} is missing: tests/run makes it");
    let mut command = Command::new(env!("CARGO_BIN_EXE_antifreeze"));
    let path = format!("{installed}:{}", std::env::var("PATH").expect("a PATH"));
    // Hypercorn, daphne and waitress look for the app beside themselves, not in the working directory.
    command.current_dir(format!("{TESTS}/apps")).env("PATH", path);
    let mut program = Program::launch(command, args);
    program.wait_for_line("now=\"serving\"");
    program
}

/// One request on a connection that stays open.
fn ask(client: &mut TcpStream, path: &str) -> serde_json::Value {
    write!(client, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").expect("the program reads");
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).expect("a head");
        text.extend(byte);
    }
    let head = String::from_utf8_lossy(&text).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let mut body = match length {
        Some(length) => vec![0; length.parse().expect("a number")],
        None => panic!("no length: {head}"),
    };
    client.read_exact(&mut body).expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// The workers' ends of the open connections to their unix sockets, by inode (unix(7), proc(5)).
fn connections(program: &Program) -> BTreeSet<String> {
    let folder = format!("antifreeze-web-{}-", program.pid());
    let table = std::fs::read_to_string("/proc/net/unix").expect("Linux");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() == 8 && row[5] == "03" && row[7].contains(&folder))
        .map(|row| row[6].to_owned())
        .collect()
}
