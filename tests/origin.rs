//! Who asks, as the apps behind real servers are told.

use crate::support::Program;
use serde_json::Value;
use std::process::Command;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");

/// What a stranger would have the app believe, under every name that ends up in the same variable.
const CLAIMS: [(&str, &str); 12] = [
    ("X-Forwarded-For", "HTTP_X_FORWARDED_FOR"),
    ("X-Forwarded-Proto", "HTTP_X_FORWARDED_PROTO"),
    ("X-Forwarded-Host", "HTTP_X_FORWARDED_HOST"),
    ("X-Forwarded-Port", "HTTP_X_FORWARDED_PORT"),
    ("X-Forwarded-Prefix", "HTTP_X_FORWARDED_PREFIX"),
    ("X-Forwarded-Ssl", "HTTP_X_FORWARDED_SSL"),
    ("X-Real-Ip", "HTTP_X_REAL_IP"),
    ("X-Request-Id", "HTTP_X_REQUEST_ID"),
    ("Forwarded", "HTTP_FORWARDED"),
    ("Proxy", "HTTP_PROXY"),
    ("Remote_User", "HTTP_REMOTE_USER"),
    ("X_Remote_User", "HTTP_X_REMOTE_USER"),
];

#[test]
fn no_variable_of_a_cgi_style_app_holds_what_a_stranger_claims() {
    let program = serve(&[], &["python3", &format!("{TESTS}/apps/environ.py"), "{port}"]);
    for spell in [
        |name: &str| name.to_owned(),
        |name: &str| name.replace('-', "_"),
        |name: &str| name.replace('-', "."),
        |name: &str| name.replacen('-', "_", 1),
        |name: &str| name.to_uppercase().replace('-', "_"),
    ] {
        let mut request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close".to_owned();
        for (name, _) in CLAIMS {
            request += &format!("\r\n{}: evil", spell(name));
            request += &format!("\r\nConnection: {name}");
        }
        let body = program.request(&(request + "\r\n\r\n")).body;
        let variables: Value = serde_json::from_str(&body).expect("it is JSON");
        for (_, variable) in CLAIMS {
            let value = variables[variable].as_str().unwrap_or_default();
            assert!(!value.contains("evil"), "{variable}={value}");
        }
        assert_eq!(variables["HTTP_X_FORWARDED_FOR"], "127.0.0.1");
        assert_eq!(variables["HTTP_X_FORWARDED_PROTO"], "http");
        assert_eq!(variables["HTTP_X_FORWARDED_HOST"], "test");
        assert!(variables["HTTP_X_REQUEST_ID"].as_str().is_some_and(|id| id.len() == 32), "{variables}");
        assert!(variables["HTTP_PROXY"].is_null(), "{variables}");
    }
}

#[test]
fn uvicorn_takes_for_the_client_whom_trusted_proxies_vouch_for() {
    let uvicorn = format!("{TESTS}/.venv/bin/uvicorn");
    let app = format!("{TESTS}/apps");
    let command = [uvicorn.as_str(), "--app-dir", &app, "fastapi_app:app"];
    for (flags, expected) in
        [(&[][..], "127.0.0.1"), (&["--trusted-proxy", "127.0.0.1,10.0.0.0/8"], "198.51.100.7")]
    {
        let program = serve(flags, &command);
        let fields =
            "X-Forwarded-For: 10.9.9.9, 203.0.113.1, 198.51.100.7, 10.0.0.1\r\nForwarded: for=203.0.113.1";
        let request = format!("GET /client HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n\r\n");
        let body = program.request(&request).body;
        let told: Value = serde_json::from_str(&body).expect("it is JSON");
        assert_eq!(told["client"], expected, "it takes the first entry of what it is told");
    }
}

fn serve(flags: &[&str], command: &[&str]) -> Program {
    let mut words = vec!["run", "--workers", "1", "--openapi", "off"];
    words.extend(flags);
    words.push("--");
    words.extend(command);
    let mut binary = Command::new(env!("CARGO_BIN_EXE_antifreeze"));
    binary.current_dir(format!("{TESTS}/apps"));
    let mut program = Program::launch(binary, &words);
    program.wait_for_line("now=\"serving\"");
    program
}
