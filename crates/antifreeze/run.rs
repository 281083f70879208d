//! Start, run, drain, stop.

use crate::allocator;
use crate::config::{Configuration, Settings};
use crate::crew::Crew;
use crate::demo;
use anyhow::Context;
use console::{Admin, Console, ConsoleOptions, Snapshot, Stage};
use logs::{Log, START};
use proxy::{App, Listener, Listeners, Metrics, Options, Role, RouteTable};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use supervisor::{Plan, Pool, PoolOptions, RouteNames, Supervisor};
use tls::{Keeper, Terminator, Watched};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, oneshot};

/// Runs the built-in workers, and says what to try.
pub(crate) fn demo(mut configuration: Configuration) -> anyhow::Result<ExitCode> {
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    for pool in &mut configuration.settings.pools {
        pool.command = vec![own.clone(), "demo-worker".to_owned(), "--uds".to_owned(), "{socket}".to_owned()];
    }
    start(configuration, demo::say_what_to_try)
}

/// Runs until a signal ends it.
pub(crate) fn run(configuration: Configuration) -> anyhow::Result<ExitCode> {
    start(configuration, |_| {})
}

/// Checks the plans, and runs them between the start and the end of the log. What ends the program is said through the
/// log: whoever does not read it must not keep the program from ending.
fn start(
    configuration: Configuration,
    when_it_listens: impl FnOnce(&[Listener<Terminator>]),
) -> anyhow::Result<ExitCode> {
    let plans = configuration.plans()?;
    let listeners = configuration.listeners()?;
    let (log, _flush) = Log::start(&configuration.settings.log)?;
    Ok(serve(configuration.settings, listeners, &plans, &log, when_it_listens).unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        ExitCode::FAILURE
    }))
}

fn serve(
    settings: Settings,
    listeners: Vec<Listener<Terminator>>,
    plans: &[Plan],
    log: &Log,
    when_it_listens: impl FnOnce(&[Listener<Terminator>]),
) -> anyhow::Result<ExitCode> {
    let sentinel = vec![std::env::current_exe()?.to_string_lossy().into_owned(), "sentinel".to_owned()];
    let Settings {
        listeners: _,
        admin,
        threads,
        trusted_proxies,
        pools,
        sites,
        timeouts,
        limits,
        log: _,
        disclosure,
    } = settings;
    let trusted_proxies = trusted_proxies.into();
    let proxy_options =
        Options { timeouts, limits, trusted_proxies, sites, disclosure, log: Some(log.clone()) };
    let listeners = Listeners::bind(listeners, usize::from(threads.get()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
        let mut reopen = signal(SignalKind::user_defined1()).context("cannot wait for signals")?;
        let mut supervisors = Vec::new();
        let mut apps = Vec::new();
        for pool in &pools {
            let routes = RouteTable::new(&pool.routing);
            let options = PoolOptions {
                sentinel: Some(sentinel.clone()),
                route_names: name_by(&routes),
                ..pool.options(log.clone())
            };
            let supervisor = Supervisor::new(options)?;
            apps.push(App { pool: supervisor.pool(), routes, rescue: pool.rescue });
            supervisors.push(supervisor);
        }
        let pools: Vec<Pool> = apps.iter().map(|app| app.pool.clone()).collect();
        let registry = prometheus::Registry::new();
        log.register(&registry)?;
        let metrics = Metrics::register(&registry)?;
        let reloading = reload_on_hangup(listeners.bound(), &registry)?;
        let draining = Arc::new(AtomicBool::new(false));
        let console = match &admin {
            Admin::Off => None,
            Admin::At(address) => {
                let (pools, draining) = (pools.clone(), Arc::clone(&draining));
                let snapshot = move || Snapshot {
                    stage: if draining.load(Ordering::Relaxed) { Stage::Draining } else { Stage::Running },
                    pools: pools.iter().map(Pool::status).collect(),
                };
                Some(Console::bind(address, ConsoleOptions::default(), registry, snapshot)?)
            }
        };
        for (pool, plan) in pools.iter().zip(plans) {
            tracing::info!(
                target: START, pool = pool.name(), workers = pool.status().workers.len(), command = plan.command.join(" "), address = plan.address,
                "antifreeze {}", env!("CARGO_PKG_VERSION")
            );
        }
        let (end_console, console_ends) = oneshot::channel::<()>();
        let console = console.map(|console| {
            tracing::info!(target: START, "admin API at {}", console.address());
            tokio::spawn(console.serve(async {
                let _ = console_ends.await;
            }))
        });
        let running = proxy::start(&apps, &proxy_options, &metrics, listeners, allocator::let_go)?;
        for listener in running.listeners() {
            tracing::info!(target: START, "listening on {listener}");
        }
        when_it_listens(running.listeners());
        let reopening = async {
            while reopen.recv().await.is_some() {
                log.reopen();
            }
        };
        let mut crew = Crew::start(supervisors);
        let gave_up = Notify::new();
        let forced = std::cell::Cell::new(false);
        let ending = async {
            let mut signalled = async || {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            };
            tokio::select! { () = signalled() => {}, () = gave_up.notified() => {} }
            draining.store(true, Ordering::Relaxed);
            tracing::info!("draining: a second signal ends it at once");
            running
                .drain(async {
                    signalled().await;
                    forced.set(true);
                })
                .await;
            pools.iter().for_each(if forced.get() { Pool::kill } else { Pool::stop });
            signalled().await;
            forced.set(true);
            pools.iter().for_each(Pool::kill);
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = crew.ended(&gave_up) => ended?,
            () = ending => unreachable!("it waits for the crew to end"),
            () = reopening => unreachable!("signals never end"),
            () = reloading => unreachable!("signals never end"),
        };
        drop(end_console);
        if let Some(console) = console {
            console.await.context("the admin API panicked")?;
        }
        Ok(match ended {
            Err(words) => anyhow::bail!(words),
            Ok(()) if forced.get() => ExitCode::FAILURE,
            Ok(()) => ExitCode::SUCCESS,
        })
    })
}

/// Keeps the certificates of the listeners fresh, as long as the future lives; SIGHUP has them read at once. Without TLS
/// there is nothing to read, and SIGHUP is the end of the terminal.
fn reload_on_hangup(
    listeners: &[Listener<Terminator>],
    registry: &prometheus::Registry,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let watched = listeners.iter().filter_map(|listener| match &listener.role {
        Role::Https(terminator) => {
            Some(Watched { listener: listener.endpoint.to_string(), terminator: terminator.clone() })
        }
        Role::Http(_) | Role::Redirect(_) => None,
    });
    let watched: Vec<Watched> = watched.collect();
    let kept = match watched.is_empty() {
        true => None,
        false => {
            let hangup = signal(SignalKind::hangup()).context("cannot wait for signals")?;
            let keeper = Keeper::start(watched, tls::Metrics::register(registry)?);
            Some((hangup, keeper.context("cannot watch the certificates")?))
        }
    };
    Ok(async {
        let Some((mut hangup, keeper)) = kept else { return std::future::pending().await };
        while hangup.recv().await.is_some() {
            keeper.reload();
        }
    })
}

fn name_by(routes: &RouteTable) -> RouteNames {
    let routes = routes.clone();
    RouteNames(Arc::new(move |route| routes.name(route)))
}
