//! The two questions that a worker is asked: are you ready, and are you alive?
//!
//! Both are a request on a fresh connection. An idle connection or a helper thread could answer for a process whose
//! event loop is stuck; a fresh connection has to be accepted, read and answered by the loop itself. `OPTIONS *` is
//! HTTP's own ping (RFC 9110 section 9.3.7): every server answers it, by some status.

use crate::{Address, Probe, Stream, owner};
use rustix::process::Pid;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An HTTP response began.
    Http,
    /// The worker did something with the connection: it sent other bytes, or closed it.
    Other,
    /// No connection.
    None,
}

/// Asks once and waits for as long as it takes: a worker that thaws answers late, and that is worth knowing. Tells how
/// long it took, from the request to the first byte.
pub(crate) async fn ask(address: &Address, probe: &Probe) -> (Answer, Duration) {
    match address.connect().await {
        Ok(stream) => {
            let asked = Instant::now();
            (converse(stream, probe).await, asked.elapsed())
        }
        Err(_) => (Answer::None, Duration::ZERO),
    }
}

/// Asks until there is an HTTP answer, and it is the answer of this worker, the leader of its group.
pub(crate) async fn await_ready(address: &Address, probe: &Probe, worker: &str, leader: Pid) {
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        if ask(address, probe).await.0 == Answer::Http {
            match address {
                Address::Unix(_) => return,
                Address::Tcp(tcp) if owner::is_workers(tcp.port(), leader) => return,
                Address::Tcp(_) => {
                    let warn = || tracing::warn!(worker, %address, "{STRANGER}");
                    told.get_or_insert_with(warn);
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn converse(mut stream: Stream, probe: &Probe) -> Answer {
    let request = format!(
        "{probe} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: antifreeze-probe\r\nConnection: close\r\n\r\n"
    );
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Answer::Other;
    }
    let mut start = [0; HTTP.len()];
    match stream.read_exact(&mut start).await {
        Ok(_) if start == *HTTP => Answer::Http,
        Ok(_) | Err(_) => Answer::Other,
    }
}

const HTTP: &[u8; 5] = b"HTTP/";

const STRANGER: &str = "its port is answered by a process that is not of this worker, and gets no request";

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
