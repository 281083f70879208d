//! One request, over.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// What the access log says of a request. Text is copied out of the request, so that a line that waits holds no
/// buffer of a connection.
#[derive(Clone, Debug)]
pub struct AccessLine {
    /// When it was over.
    pub at: SystemTime,
    /// The client; nothing for one on a unix socket that nobody vouched for.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: Box<str>,
    /// The target, as the client sent it.
    pub target: Box<str>,
    /// The version, as in `HTTP/1.1`.
    pub version: &'static str,
    /// The status; 499 if the client left before the answer was whole.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the request's head to the end of the answer.
    pub duration: Duration,
    /// How long it waited for workers.
    pub queue: Duration,
    /// From the assignment of a worker to the head of its answer.
    pub response: Option<Duration>,
    /// Which pool it was for; nothing if that was never known.
    pub pool: Option<Box<str>>,
    /// The worker it went to last, as people see it: `web.3`.
    pub worker: Option<String>,
    /// How often it was sent again.
    pub retries: u32,
    /// The request's id.
    pub id: Option<Box<[u8]>>,
    /// Why the answer is our own, or broke off: the token of `x-antifreeze`.
    pub reason: Option<&'static str>,
    /// The `Referer`.
    pub referer: Option<Box<[u8]>>,
    /// The `User-Agent`.
    pub user_agent: Option<Box<[u8]>>,
}

impl AccessLine {
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.id, &self.referer, &self.user_agent].into_iter().flatten();
        size_of::<Self>()
            + self.method.len()
            + self.target.len()
            + texts.map(|text| text.len()).sum::<usize>()
    }
}
