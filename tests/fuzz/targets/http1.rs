//! A client's connection of HTTP/1 with any bytes, the real proxy, and a worker that takes nothing but clean requests.
//!
//! What reaches the worker is framed in one way alone, and is, in order, what a reader of RFC 9112 finds in the client's bytes:
//! the same methods, targets and bodies, and no request more.

#![no_main]

use http::Uri;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;
use std::{fs, process};
use supervisor::{Address, Pool, PoolOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fuzz_target!(|bytes: &[u8]| {
    RIG.with(|rig| {
        let arrived = rig.run(bytes);
        let mut sent = requests(bytes).into_iter();
        for one in &arrived {
            let found = sent.any(|other| other == *one);
            assert!(found, "the client never sent {one:?}, or not then; the worker got {arrived:?}");
        }
    });
});

thread_local! {
    static RIG: Rig = Rig::new();
}

/// A request as a server acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Acted {
    method: String,
    target: String,
    body: Vec<u8>,
}

struct Rig {
    runtime: tokio::runtime::Runtime,
    listener: UnixListener,
    address: Address,
}

impl Rig {
    fn new() -> Self {
        let path = format!("/tmp/antifreeze-fuzz-{}.sock", process::id());
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a path of our own");
        listener.set_nonblocking(true).expect("a socket can");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, listener, address: Address::Unix(path.into()) }
    }

    /// What the worker acts on when a client sends this.
    fn run(&self, bytes: &[u8]) -> Vec<Acted> {
        let arrived = Rc::<RefCell<Vec<Acted>>>::default();
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&self.runtime, async {
            let listener = self.listener.try_clone().expect("a file descriptor");
            let listener = tokio::net::UnixListener::from_std(listener).expect("it is not blocking");
            let seen = Rc::clone(&arrived);
            tokio::task::spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::task::spawn_local(work(stream, Rc::clone(&seen)));
                }
            });
            let (mut client, proxys) = UnixStream::pair().expect("file descriptors");
            client.set_nonblocking(true).expect("a socket can");
            proxys.set_nonblocking(true).expect("a socket can");
            let proxys = tokio::net::UnixStream::from_std(proxys).expect("it is not blocking");
            let pool = Pool::around(&options(), self.address.clone());
            let served = proxy::fuzzing::serve_http1(pool, proxys, [192, 0, 2, 7].into());
            let served = tokio::task::spawn_local(served);
            client.write_all(bytes).expect("a socket holds as much");
            // Whoever ends his side before he has his answers is taken for gone.
            let mut answers = Vec::new();
            let mut idle = 0;
            while idle < QUIET && !served.is_finished() {
                tokio::task::yield_now().await;
                let before = (answers.len(), arrived.borrow().len());
                let _ = client.read_to_end(&mut answers);
                idle = if before == (answers.len(), arrived.borrow().len()) { idle + 1 } else { 0 };
            }
            let _ = client.shutdown(std::net::Shutdown::Write);
            let ended = async {
                while !served.is_finished() {
                    tokio::task::yield_now().await;
                    let _ = client.read_to_end(&mut answers);
                }
            };
            tokio::time::timeout(PATIENCE, ended).await.expect("a connection that its client ended ends");
            assert!(
                answers.is_empty() || answers.starts_with(b"HTTP/1."),
                "{:?}",
                String::from_utf8_lossy(&answers)
            );
        });
        drop(tasks);
        Rc::into_inner(arrived).expect("nobody else is left").into_inner()
    }
}

/// Turns of the runtime in which nothing happens.
const QUIET: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(5);

fn options() -> PoolOptions {
    PoolOptions {
        name: "fuzz".to_owned(),
        command: Vec::new(),
        directory: None,
        environment: supervisor::Environment::new(),
        policy: policy::PoolConfig::new(std::num::NonZeroU16::MIN),
        protocol: supervisor::Protocol::Http1,
        probe: supervisor::Probe::default(),
        route_names: supervisor::RouteNames::default(),
        runtime_directory: "/tmp".into(),
        keep_alive: Some(Duration::from_secs(60)),
        sentinel: None,
        log: logs::Log::nowhere(),
    }
}

/// One connection at the worker. Whatever two servers might read in two ways is an error of the proxy.
async fn work(mut stream: tokio::net::UnixStream, arrived: Rc<RefCell<Vec<Acted>>>) {
    let mut ahead = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = find(&ahead, b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head: Vec<u8> = ahead.drain(..end + 4).collect();
        let head = clean_head(&head[..end]);
        if head.expects && stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
            return;
        }
        let mut body = Vec::new();
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => {
                while ahead.len() < length {
                    if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                body.extend(ahead.drain(..length));
            }
            Framing::Chunked => loop {
                let line = loop {
                    if let Some(end) = find(&ahead, b"\r\n") {
                        break ahead.drain(..end + 2).collect::<Vec<u8>>();
                    }
                    if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 {
                        return;
                    }
                };
                let size = std::str::from_utf8(&line[..line.len() - 2]).expect("a size is text");
                assert!(!size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit()), "{size:?}");
                let size = usize::from_str_radix(size, 16).expect("it is short");
                while ahead.len() < size + 2 {
                    if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                // Trailers come only if they were announced, which a worker of this kind would be told of: skipped.
                if size == 0 {
                    while !ahead.starts_with(b"\r\n") {
                        match find(&ahead, b"\r\n") {
                            Some(end) => drop(ahead.drain(..end + 2)),
                            None if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 => return,
                            None => {}
                        }
                    }
                    ahead.drain(..2);
                    break;
                }
                body.extend(ahead.drain(..size));
                assert_eq!(ahead.drain(..2).collect::<Vec<_>>(), b"\r\n");
            },
        }
        arrived.borrow_mut().push(Acted { method: head.method, target: head.target, body });
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

struct Head {
    method: String,
    target: String,
    framing: Framing,
    /// Its client waits for a 100.
    expects: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(usize),
    Chunked,
}

fn clean_head(head: &[u8]) -> Head {
    let shown = String::from_utf8_lossy(head).into_owned();
    assert!(!head.contains(&0), "{shown}");
    let lines = shown.split("\r\n").collect::<Vec<_>>();
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "{shown:?}");
    let words: Vec<&str> = lines[0].split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { panic!("{shown:?}") };
    let (mut framing, mut hosts, mut expects) = (Framing::None, 0, false);
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ").or_else(|| line.split_once(':')).expect("a field");
        assert!(!name.is_empty() && name.bytes().all(is_token), "{shown:?}");
        match &*name.to_ascii_lowercase() {
            "content-length" => {
                assert_eq!(framing, Framing::None, "{shown:?}");
                assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()), "{shown:?}");
                framing = Framing::Length(value.parse().unwrap_or(usize::MAX));
            }
            "transfer-encoding" => {
                assert_eq!((&framing, value), (&Framing::None, "chunked"), "{shown:?}");
                framing = Framing::Chunked;
            }
            "host" => hosts += 1,
            "expect" => expects = value.eq_ignore_ascii_case("100-continue"),
            "connection" => assert!(["te", "upgrade"].contains(&value), "{shown:?}"),
            _ => {}
        }
    }
    assert!(hosts <= 1, "{shown:?}");
    Head { method: method.to_owned(), target: target.to_owned(), framing, expects }
}

/// What a reader of RFC 9112 finds in a client's bytes: as lenient as the RFC allows (a line may end with a bare LF, an empty
/// line may go before a request), and no more.
fn requests(mut bytes: &[u8]) -> Vec<Acted> {
    let mut found = Vec::new();
    while let Some(request) = next_request(&mut bytes) {
        found.push(request);
    }
    found
}

fn next_request(bytes: &mut &[u8]) -> Option<Acted> {
    let mut line = next_line(bytes)?;
    while line.is_empty() {
        line = next_line(bytes)?;
    }
    let line = std::str::from_utf8(line).ok()?;
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.0" | "HTTP/1.1"] = words[..] else { return None };
    let (mut codings, mut lengths) = (Vec::new(), Vec::new());
    loop {
        let line = next_line(bytes)?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty()
            || !name.iter().copied().all(is_token)
            || value.contains(&0)
            || value.contains(&b'\r')
        {
            return None;
        }
        match &*name.to_ascii_lowercase() {
            b"transfer-encoding" => codings.push(value.to_ascii_lowercase()),
            b"content-length" => lengths.push(value),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match (&codings[..], &lengths[..]) {
        ([], []) => {}
        ([coding], _) if coding == b"chunked" => loop {
            let line = next_line(bytes)?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
            let size = usize::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
            if size == 0 {
                while !next_line(bytes)?.is_empty() {}
                break;
            }
            body.extend(take(bytes, size)?);
            if take(bytes, 2)? != b"\r\n" {
                return None;
            }
        },
        ([], [first, others @ ..]) => {
            let length = decimal(first)?;
            // Identical decimal values, says RFC 9110 section 8.6: not identical text.
            if !others.iter().all(|other| decimal(other) == Some(length)) {
                return None;
            }
            body.extend(take(bytes, length)?);
        }
        _ => return None,
    }
    let target: Uri = target.parse().ok()?;
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let target = if path.starts_with('/') || path == "*" { path.to_owned() } else { format!("/{path}") };
    Some(Acted { method: method.to_owned(), target, body })
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let is_decimal = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_decimal)?.parse().ok()
}

fn next_line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = take(bytes, end + 1)?;
    let line = &line[..end];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
