//! Keeps certificates as fresh as their files.

use crate::metrics::Metrics;
use crate::stamp::Stamps;
use crate::terminator::{Terminator, files};
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// One listener's TLS, and what people call the listener.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The listener, as in `0.0.0.0:443`.
    pub listener: String,
    /// Its TLS.
    pub terminator: Terminator,
}

/// Watches the files of all listeners until it is dropped, on a thread of its own: a file system that does not answer
/// must hold up nobody else, which is also why nobody waits for its end.
#[derive(Debug)]
pub struct Keeper {
    orders: Sender<()>,
}

impl Keeper {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(watched: Vec<Watched>, metrics: Metrics) -> io::Result<Self> {
        let (orders, arriving) = mpsc::channel();
        let lookouts: Vec<_> = watched.into_iter().map(Lookout::new).collect();
        for lookout in &lookouts {
            lookout.tell(&metrics);
        }
        std::thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || watch(lookouts, &metrics, &arriving))?;
        Ok(Self { orders })
    }

    /// Reads all files again, changed or not.
    pub fn reload(&self) {
        // The thread ends after its sender, or by a panic that was logged.
        let _ = self.orders.send(());
    }
}

fn watch(mut lookouts: Vec<Lookout>, metrics: &Metrics, orders: &Receiver<()>) {
    loop {
        let ordered = match orders.recv_timeout(EVERY) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        for lookout in &mut lookouts {
            if ordered || lookout.is_due() {
                lookout.reload(metrics);
            }
        }
    }
}

/// What is known of one listener's files.
#[derive(Debug)]
pub(crate) struct Lookout {
    watched: Watched,
    /// What they were when they were last read, well or not.
    read: Stamps,
    /// What they were at the last look.
    seen: Stamps,
}

impl Lookout {
    pub(crate) fn new(watched: Watched) -> Self {
        let stamps = watched.terminator.stamps();
        Self { watched, read: stamps.clone(), seen: stamps }
    }

    /// Whether the files have changed since they were read, and not since the last look: a chain and its key are two
    /// files, and may be written one after the other.
    pub(crate) fn is_due(&mut self) -> bool {
        let now = self.look();
        let settled = now == self.seen;
        self.seen = now;
        settled && self.seen != self.read
    }

    pub(crate) fn reload(&mut self, metrics: &Metrics) {
        self.read = self.look();
        let listener = &self.watched.listener;
        match self.watched.terminator.reload() {
            Ok(()) => {
                metrics.count_reload("loaded");
                tracing::info!(listener, "certificates reloaded");
                self.tell(metrics);
            }
            Err(error) => {
                metrics.count_reload("failed");
                tracing::error!(listener, "certificates not reloaded, the ones before stay: {error}");
            }
        }
    }

    /// Says of the present certificates until when they are valid, and what clients will not like.
    fn tell(&self, metrics: &Metrics) {
        let Watched { listener, terminator } = &self.watched;
        metrics.note(listener, terminator);
        for certificate in terminator.certificates().iter() {
            for concern in certificate.concerns() {
                tracing::warn!(listener, certificate = certificate.names.join(","), "certificate: {concern}");
            }
        }
    }

    fn look(&self) -> Stamps {
        Stamps::of(&files(self.watched.terminator.options()))
    }
}

/// A look costs a system call a file.
const EVERY: Duration = Duration::from_secs(1);
