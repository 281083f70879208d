//! What is said of a request when it is over: to the metrics always, to the access log if there is one.

use crate::shard::Shard;
use crate::watch::{Phase, Watch};
use http::{HeaderValue, Method, StatusCode, Uri};
use policy::WorkerId;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::time::Instant;

/// Takes one line a request; never waited for. Lines that find it full are dropped.
pub type AccessSink = SyncSender<AccessLine>;

/// One request, over.
#[derive(Clone, Debug)]
pub struct AccessLine {
    /// The client; nothing for a unix socket.
    pub peer: Option<IpAddr>,
    /// The method.
    pub method: Method,
    /// The target as it was sent to the worker.
    pub target: Uri,
    /// The status; 499 if the client left before the answer was whole.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the request's head to the end of the answer.
    pub took: Duration,
    /// Who answered, if anybody.
    pub worker: Option<WorkerId>,
    /// The request's id.
    pub id: Option<HeaderValue>,
}

/// The status of a request whose client left (nginx's number; not in any RFC, and never sent).
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// A request under way; speaks when dropped.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) shard: Arc<Shard>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) began: Instant,
    pub(crate) status: Option<StatusCode>,
    pub(crate) bytes: u64,
    /// Whether the whole answer was handed to the client's connection.
    pub(crate) whole: bool,
    pub(crate) line: Option<Box<AccessLine>>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let status = match self.status {
            Some(status) if self.whole => status.as_u16(),
            Some(_) | None => CLIENT_CLOSED,
        };
        let took = self.began.elapsed();
        self.watch.enter(Phase::Idle);
        self.shard.count_request(status, took);
        if let (Some(mut line), Some(sink)) = (self.line.take(), &self.shard.options.access) {
            line.status = status;
            line.bytes = self.bytes;
            line.took = took;
            if sink.try_send(*line).is_err() {
                self.shard.count_lost_line();
            }
        }
    }
}
