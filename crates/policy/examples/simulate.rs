//! Puts simulated services through every scenario and prints what their clients got.
//!
//! `cargo run --release -p policy --example simulate -- [SCENARIO…] [--seeds N] [--spare N]`: the whole table, or some of
//! it, with so many booted workers in reserve.
//! `cargo run --release -p policy --example simulate -- --goals`: the figures that the tests hold the policy to.

#[path = "../tests/simulation/model/mod.rs"]
mod model;

use model::figures::Summary;
use model::goals::GOALS;
use model::scenario::{SCENARIOS, Scenario, Setup};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let (mut seeds, mut spare) = (3, 0);
    let mut chosen = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--goals" => return print_goals(),
            "--help" => {
                println!("{}", help());
                return ExitCode::SUCCESS;
            }
            "--seeds" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) if number > 0 => seeds = number,
                Some(_) | None => return usage("--seeds takes a number from 1"),
            },
            "--spare" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) => spare = number,
                None => return usage("--spare takes a number"),
            },
            name => match Scenario::named(name) {
                Some(scenario) => chosen.push(scenario),
                None => return usage(&format!("no scenario is called '{name}'")),
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(SCENARIOS);
    }
    print_table(&chosen, seeds, spare)
}

fn usage(error: &str) -> ExitCode {
    eprintln!("{error}\n\n{}", help());
    ExitCode::from(64)
}

fn help() -> String {
    let lines = SCENARIOS.iter().map(|scenario| format!("\n  {:<14}{}", scenario.name, scenario.about));
    format!("simulate [SCENARIO…] [--seeds N] [--spare N]\nsimulate --goals\n{}", lines.collect::<String>())
}

fn print_table(scenarios: &[&Scenario], seeds: u64, spare: u16) -> ExitCode {
    println!(
        "Each cell: fast requests answered within 1 s / their p50 / their p99 (x that of an ideal queue)"
    );
    println!("/ slow requests answered / restarts. Means (of times: medians) of {seeds} seeds.\n");
    println!("| scenario | workers | {} |", WORKERS.map(|workers| format!("N={workers}")).join(" | "));
    println!("|---|---|{}", "---|".repeat(WORKERS.len()));
    let mut violations = Vec::new();
    for scenario in scenarios {
        for server in scenario.servers {
            let cells = WORKERS.map(|workers| {
                let setup = Setup { server: *server, workers, spare };
                let summary = Summary::of_runs(scenario, setup, seeds);
                let of = |text: &String| format!("{} {} N={workers}: {text}", scenario.name, server.as_str());
                violations.extend(summary.violations.iter().map(of));
                cell(&summary)
            });
            println!("| {} | {} | {} |", scenario.name, server.as_str(), cells.join(" | "));
        }
    }
    println!("\nBroken promises: {}", violations.len());
    for violation in violations.iter().take(20) {
        println!("- {violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_goals() -> ExitCode {
    println!("| what | goal | written down | now | |\n|---|---|---|---|---|");
    for goal in GOALS {
        let summary = Summary::of_runs(goal.scenario(), goal.setup(), goal.scenario().seeds);
        let figure = goal.measure.of(&summary);
        let verdict = if goal.is_kept_by(figure) { "" } else { "worse" };
        println!("| {goal} | {} | {} | {figure:.2} | {verdict} |", goal.wanted, goal.today);
    }
    ExitCode::SUCCESS
}

fn cell(summary: &Summary) -> String {
    let slow = summary.slow.map_or("-".to_owned(), |slow| format!("{:.0} %", slow * 100.0));
    let over = Some(summary.over_optimum).filter(|over| *over < 100.0);
    let over = over.map_or(String::new(), |over| format!(" (x{over:.1})"));
    format!(
        "{:.1} % / {} / {}{over} / {slow} / {:.0}",
        summary.good * 100.0,
        short(summary.p50),
        short(summary.p99),
        summary.restarts
    )
}

fn short(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 60.0 => format!("{seconds:.1} s"),
        _ => "never".to_owned(),
    }
}

const WORKERS: [u16; 3] = [2, 4, 8];
