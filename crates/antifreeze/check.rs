//! What `run` would do with the same arguments.

use crate::args;
use crate::config::{Choice, Configuration, Pool, Settings};
use crate::units::{show_duration, show_limit, show_size};
use proxy::{Listener, Role, Site};
use std::fmt::Write as _;
use std::io::Write as _;
use supervisor::Plan;
use tls::Terminator;

/// Prints the plans; starts and makes nothing.
pub(crate) fn run(configuration: &Configuration) -> anyhow::Result<()> {
    let plans = configuration.plans()?;
    let listeners = configuration.listeners()?;
    std::io::stdout().write_all(report(configuration, &plans, &listeners)?.as_bytes())?;
    Ok(())
}

fn report(
    configuration: &Configuration,
    plans: &[Plan],
    listeners: &[Listener<Terminator>],
) -> Result<String, std::fmt::Error> {
    let settings = &configuration.settings;
    let mut text = String::from("The configuration is good.\n\n");
    for listener in listeners {
        writeln!(text, "listener    {listener}")?;
        let Role::Https(terminator) = &listener.role else { continue };
        for certificate in terminator.certificates().iter() {
            writeln!(text, "  certificate       {}", certificate.summary())?;
            for concern in certificate.concerns() {
                writeln!(text, "  warning           {concern}")?;
            }
        }
    }
    writeln!(text, "admin API   {}", settings.admin)?;
    writeln!(text, "threads     {}", settings.threads)?;
    for (pool, plan) in settings.pools.iter().zip(plans) {
        report_pool(&mut text, pool, plan)?;
    }
    if settings.sites != [Site::everything(settings.timeouts, &settings.limits)] {
        for site in &settings.sites {
            let Site { host, path, app, .. } = site;
            let host = host.as_ref().map(ToString::to_string).unwrap_or_default();
            let own = limits(site, settings);
            writeln!(text, "route       {host}{path} to {}{own}", settings.pools[*app].name)?;
        }
    }
    let choices = configuration.choices();
    if choices.is_empty() {
        writeln!(text, "\nEvery setting has its default.")?;
    } else {
        writeln!(text, "\nNot the default:")?;
        text.push_str(&table(&choices));
    }
    for variable in unknown_variables() {
        writeln!(text, "\nNot used: {variable} in the environment is the variable of no flag.")?;
    }
    Ok(text)
}

fn report_pool(text: &mut String, pool: &Pool, plan: &Plan) -> std::fmt::Result {
    writeln!(text, "pool        {}: {} workers, {}", pool.name, pool.policy.workers, server(plan))?;
    for (workers, command) in commands(pool, plan) {
        writeln!(text, "  {workers:<16}  {command}")?;
    }
    match plan.address.contains("{port}") || plan.address.contains("PORT") {
        true => writeln!(text, "  address           {}, a free port of 127.0.0.1", plan.address),
        false => writeln!(
            text,
            "  address           {}, in a private folder under {}",
            plan.address,
            pool.runtime_directory.display()
        ),
    }
}

/// What is different for the requests of this site.
fn limits(site: &Site, settings: &Settings) -> String {
    let (own, all) = (&site.timeouts, &settings.timeouts);
    let times = [
        ("body_idle", own.body_idle, all.body_idle),
        ("response_start", own.response_start, all.response_start),
        ("stream_idle", own.stream_idle, all.stream_idle),
        ("tunnel_idle", own.tunnel_idle, all.tunnel_idle),
    ];
    let sizes = [("body_bytes", site.body_bytes, settings.limits.body_bytes)];
    let times = times
        .into_iter()
        .filter(|(_, own, all)| own != all)
        .map(|(key, own, _)| (key, show_limit(own, show_duration)));
    let sizes = sizes
        .into_iter()
        .filter(|(_, own, all)| own != all)
        .map(|(key, own, _)| (key, show_limit(own, show_size)));
    times.chain(sizes).map(|(key, value)| format!(", {key} {value}")).collect()
}

/// What each worker runs, or all of them if it is the same.
fn commands(pool: &Pool, plan: &Plan) -> Vec<(String, String)> {
    let command = plan.command.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
    let (name, last) = (&pool.name, pool.policy.workers.get());
    match command.contains("{slot}") {
        true => (1..=last)
            .map(|slot| (format!("{name}.{slot}"), command.replace("{slot}", &slot.to_string())))
            .collect(),
        false if last == 1 => vec![(format!("{name}.1"), command)],
        false => vec![(format!("{name}.1 to {name}.{last}"), command)],
    }
}

fn server(plan: &Plan) -> String {
    match plan.server {
        Some(server) => format!("{server} recognised"),
        None => "server not recognised".to_owned(),
    }
}

fn table(choices: &[Choice]) -> String {
    let rows: Vec<[String; 4]> = choices
        .iter()
        .map(|Choice { key, value, default, origin }| {
            let default = if default.is_empty() { "none" } else { default };
            [key.clone(), value.clone(), format!("(default {default})"), origin.clone()]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2)];
    let line = |row: &[String; 4]| {
        let [key, value, default, origin] = row;
        format!("  {key:<0$}  {value:<1$}  {default:<2$}  {origin}\n", widths[0], widths[1], widths[2])
    };
    rows.iter().map(line).collect()
}

/// Variables that look like ours. Not an error: an orchestrator may set such for a service named antifreeze.
fn unknown_variables() -> Vec<String> {
    let ids = args::ids();
    let known: Vec<String> = ids.iter().map(|id| args::variable(&args::flag(id))).collect();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    set.filter(|name| name.starts_with("ANTIFREEZE_") && name != "ANTIFREEZE_CONFIG" && !known.contains(name))
        .collect()
}

/// As a shell would have to be given it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,{}".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
