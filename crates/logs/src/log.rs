//! The handle that everybody who has something to say holds.

use crate::access::AccessLog;
use crate::entry::{Entry, Output, Source};
use crate::event::ToQueue;
use crate::format::{AccessStyle, Style};
use crate::options::{AccessTarget, Format, LogOptions};
use crate::panics;
use crate::place::{self, Place};
use crate::queue::{Drops, Queue};
use crate::terminal::{Paint, Terminal};
use crate::writer::{Health, Writer};
use prometheus::{IntCounter, Registry};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A handle on the running writers; clones are cheap and mean the same. Nothing it does waits.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stdout: Queue,
    stderr: Queue,
    access: Option<(Queue, AccessStyle)>,
    drops: Drops,
    panics: IntCounter,
}

/// Ends the writers when dropped: what was accepted is written before that, if it can be written in a second.
#[derive(Debug)]
#[must_use]
pub struct Flush {
    queues: Vec<Queue>,
    done: Receiver<()>,
}

/// A log that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The access log's file.
    #[error("cannot open the access log {path:?}: {source}; choose another file, or - for standard output")]
    Open {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The standard streams, or the threads.
    #[error("cannot start the log: {0}")]
    Other(#[from] io::Error),
    /// The counters.
    #[error("cannot start the log: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There is one already.
    #[error("cannot start the log: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

impl Log {
    /// Starts the writers; from here on events of `tracing` and panics go through them.
    ///
    /// # Errors
    /// [`StartError`], one line each.
    pub fn start(options: &LogOptions) -> Result<(Self, Flush), StartError> {
        let (drops, panics) = counters()?;
        let (tell, done) = mpsc::sync_channel(3);
        let mut queues = Vec::new();
        let mut open = |place: Place| -> io::Result<Queue> {
            let (queue, entries) = Queue::new(drops.clone());
            let writer = Writer {
                entries,
                rooms: Arc::clone(&queue.rooms),
                style: style(options.format, &place),
                place,
                done: tell.clone(),
                health: Health::Works,
            };
            std::thread::Builder::new().name("log".to_owned()).spawn(|| writer.run())?;
            queues.push(queue.clone());
            Ok(queue)
        };
        let stderr = open(Place::stderr()?)?;
        // One pipe for both: two threads would tear each other's lines.
        let one = place::is_same(io::stdout(), io::stderr());
        let stdout = if one { stderr.clone() } else { open(Place::stdout()?)? };
        let access = match &options.access {
            AccessTarget::Off => None,
            AccessTarget::Stdout => Some(stdout.clone()),
            AccessTarget::Stderr => Some(stderr.clone()),
            AccessTarget::File(path) => {
                let place =
                    Place::file(path).map_err(|source| StartError::Open { path: path.clone(), source })?;
                Some(open(place)?)
            }
        };
        let access = access.map(|queue| (queue, access_style(options)));
        let flush = Flush { queues, done };
        tracing_subscriber::registry()
            .with(options.filter.targets.clone())
            .with(ToQueue(stderr.clone()))
            .try_init()?;
        panics::install(panics.clone());
        Ok((Self { shared: Arc::new(Shared { stdout, stderr, access, drops, panics }) }, flush))
    }

    /// A log that nobody writes: for what is only looked at, and never runs.
    pub fn nowhere() -> Self {
        let (drops, panics) = counters().expect("names and help are good");
        let (nowhere, _) = Queue::new(drops.clone());
        let (stdout, stderr) = (nowhere.clone(), nowhere);
        Self { shared: Arc::new(Shared { stdout, stderr, access: None, drops, panics }) }
    }

    /// Adds what is counted here to a registry.
    ///
    /// # Errors
    /// When the registry holds families of these names already.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let Drops { own, access } = &self.shared.drops;
        for counter in [own, access, &self.shared.panics] {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(())
    }

    /// What a worker printed goes to our stream of the same name.
    pub fn output(&self, output: Output) {
        let queue = match output.source {
            Source::Stdout => &self.shared.stdout,
            Source::Stderr => &self.shared.stderr,
        };
        queue.push(Entry::Output(output));
    }

    /// A thread's way to the access log, if there is one.
    pub fn access(&self) -> Option<AccessLog> {
        let (queue, style) = self.shared.access.as_ref()?;
        Some(AccessLog::new(queue.clone(), *style))
    }

    /// Opens files again by their names, after everything that was said so far is in the old ones.
    pub fn reopen(&self) {
        if let Some((queue, _)) = &self.shared.access {
            queue.push(Entry::Reopen);
        }
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        for queue in &self.queues {
            queue.push(Entry::Close);
        }
        let deadline = Instant::now() + LAST_WRITE;
        for _ in &self.queues {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.done.recv_timeout(left).is_err() {
                return;
            }
        }
    }
}

/// The date and time, for people.
#[expect(clippy::disallowed_methods, reason = "log lines bear the wall clock's time; nothing waits by it")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

pub(crate) fn counters() -> prometheus::Result<(Drops, IntCounter)> {
    let own = IntCounter::new(
        "antifreeze_log_lines_dropped_total",
        "Lines of our own that could not be written, or not in time.",
    )?;
    let access = IntCounter::new(
        "antifreeze_access_lines_dropped_total",
        "Access log lines that could not be written, or not in time.",
    )?;
    let panics = IntCounter::new("antifreeze_panics_total", "Bugs of ours, each of which ended one task.")?;
    Ok((Drops { own, access }, panics))
}

fn style(format: Format, place: &Place) -> Style {
    match format {
        Format::Auto if place.is_terminal() => Style::Terminal(Terminal::new(Paint::wanted())),
        Format::Auto | Format::Text => Style::Text,
        Format::Json => Style::Json,
    }
}

fn access_style(options: &LogOptions) -> AccessStyle {
    match (options.access_format, options.format) {
        (Format::Json, _) | (Format::Auto, Format::Json) => AccessStyle::Json,
        (Format::Text, _) | (Format::Auto, Format::Auto | Format::Text) => AccessStyle::Text,
    }
}

/// How long the program's end may wait for whoever reads its log.
const LAST_WRITE: Duration = Duration::from_secs(1);
