//! Start, run, drain, stop.

use crate::config::{Configuration, Settings};
use anyhow::Context;
use console::{Admin, Console, ConsoleOptions, Snapshot, Stage};
use proxy::{Listeners, Metrics, Options};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use supervisor::{Ending, Line, PoolOptions, Source, Supervisor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Runs the built-in workers, and says what to try.
pub(crate) fn demo(mut configuration: Configuration) -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    println!(
        "Try: curl ADDRESS/   curl ADDRESS/slow?ms=3000   curl ADDRESS/freeze?ms=5000   curl ADDRESS/crash"
    );
    configuration.settings.pool.command =
        vec![own, "demo-worker".to_owned(), "--uds".to_owned(), "{socket}".to_owned()];
    run(configuration)
}

/// Runs until a signal ends it.
pub(crate) fn run(configuration: Configuration) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let (output, lines) = mpsc::sync_channel(4096);
    let sentinel = vec![std::env::current_exe()?.to_string_lossy().into_owned(), "sentinel".to_owned()];
    let options = PoolOptions { sentinel: Some(sentinel), ..configuration.settings.pool.options(output) };
    configuration.plan(&options)?;
    let Settings { listeners, admin, threads, trusted_proxies, pool, timeouts, limits } =
        configuration.settings;
    let drain = pool.policy.stop.drain_timeout;
    let proxy_options = Options { timeouts, limits, trusted_proxies, access: None };
    let listeners = Listeners::bind(&listeners, usize::from(threads.get()))?;
    std::thread::Builder::new().name("output".to_owned()).spawn(move || print(&lines))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
        let supervisor = Supervisor::new(options)?;
        let pool = supervisor.pool();
        let registry = prometheus::Registry::new();
        let metrics = Metrics::register(&registry)?;
        let draining = Arc::new(AtomicBool::new(false));
        let console = match &admin {
            Admin::Off => None,
            Admin::At(address) => {
                let (pool, draining) = (pool.clone(), Arc::clone(&draining));
                let snapshot = move || Snapshot {
                    stage: if draining.load(Ordering::Relaxed) { Stage::Draining } else { Stage::Running },
                    pools: vec![pool.status()],
                };
                Some(Console::bind(address, ConsoleOptions::default(), registry, snapshot)?)
            }
        };
        let (end_console, console_ends) = oneshot::channel::<()>();
        let console = console.map(|console| {
            tracing::info!("admin API at {}", console.address());
            tokio::spawn(console.serve(async {
                let _ = console_ends.await;
            }))
        });
        let running = proxy::start(&pool, &proxy_options, &metrics, listeners)?;
        for endpoint in running.endpoints() {
            tracing::info!("listening on {endpoint}");
        }
        let forced = std::cell::Cell::new(false);
        let ending = async {
            let mut signalled = async || {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            };
            signalled().await;
            draining.store(true, Ordering::Relaxed);
            tracing::info!("draining: a second signal ends it at once");
            running
                .drain(drain, async {
                    signalled().await;
                    forced.set(true);
                })
                .await;
            if forced.get() {
                pool.kill();
            } else {
                pool.stop();
            }
            signalled().await;
            forced.set(true);
            pool.kill();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = supervisor.run() => ended?,
            () = ending => unreachable!("it waits for the supervisor to end"),
        };
        drop(end_console);
        if let Some(console) = console {
            console.await.context("the admin API panicked")?;
        }
        Ok(match ended {
            Ending::GaveUp(words) => {
                eprintln!("antifreeze: {words}");
                ExitCode::FAILURE
            }
            Ending::Stopped | Ending::Killed if forced.get() => ExitCode::FAILURE,
            Ending::Stopped | Ending::Killed => ExitCode::SUCCESS,
        })
    })
}

/// Prints what workers print, each line with the worker's name.
fn print(lines: &Receiver<Line>) {
    for Line { worker, source, mut text } in lines {
        text.push(b'\n');
        let line = [format!("{worker} | ").as_bytes(), &text].concat();
        // A closed or full terminal must not end the workers.
        let _ = match source {
            Source::Stdout => std::io::stdout().write_all(&line),
            Source::Stderr => std::io::stderr().write_all(&line),
        };
    }
}
