//! The status document as a table for people.

use crate::{PoolEntry, Status, WorkerEntry};
use std::fmt::Write;
use std::time::Duration;

/// The text that `antifreeze status` prints. Control characters of the document do not reach the terminal.
pub fn render(status: &Status) -> String {
    let mut text = format!(
        "antifreeze {}, pid {}, {}, up {}\n",
        status.version,
        status.pid,
        status.stage,
        span(status.uptime_ms)
    );
    for pool in &status.pools {
        render_pool(&mut text, pool);
    }
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}

fn render_pool(text: &mut String, pool: &PoolEntry) {
    let serving = pool.workers.iter().filter(|worker| worker.state == "serving").count();
    let _ = write!(text, "\n{}: {serving} of {} serving, ", pool.name, pool.workers.len());
    let _ = match pool.queue.length {
        0 => writeln!(text, "queue empty"),
        length => writeln!(text, "{length} in the queue (the oldest for {})", span(pool.queue.oldest_ms)),
    };
    let shed: Vec<String> = pool
        .shed
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(why, count)| format!("{count} {why}"))
        .collect();
    if !shed.is_empty() {
        let _ = writeln!(text, "turned away: {}", shed.join(", "));
    }
    let rows: Vec<[String; COLUMNS]> = std::iter::once(TITLES.map(str::to_owned))
        .chain(pool.workers.iter().map(|worker| row(&pool.name, worker)))
        .collect();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    for row in &rows {
        let cells = row.iter().zip(widths).zip(NUMERIC).map(|((cell, width), numeric)| {
            if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn row(pool: &str, worker: &WorkerEntry) -> [String; COLUMNS] {
    [
        format!("{pool}.{}", worker.slot),
        worker.state.clone(),
        span(worker.since_ms),
        worker.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        worker.in_flight.to_string(),
        worker.parked.to_string(),
        worker.restarts.to_string(),
        worker.frozen_total.to_string(),
        worker.address.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// A duration in its two largest units: `340ms`, `12s`, `3m 12s`, `4h 2m`, `12d 5h`.
fn span(milliseconds: u64) -> String {
    let seconds = Duration::from_millis(milliseconds).as_secs();
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

const COLUMNS: usize = 9;
const TITLES: [&str; COLUMNS] =
    ["WORKER", "STATE", "FOR", "PID", "IN FLIGHT", "PARKED", "RESTARTS", "FREEZES", "ADDRESS"];
const NUMERIC: [bool; COLUMNS] = [false, false, true, true, true, true, true, true, false];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{pool, running};
    use policy::Phase;

    #[test]
    fn workers_are_a_table_under_their_pool() {
        let mut pool = pool("web", &[Phase::Serving, Phase::Waiting]);
        pool.shed[0].1 = 7;
        let mut status = Status::new(Duration::from_secs(7_380), &running(vec![pool]));
        status.pid = 99;
        let table = "\
antifreeze 0.1.0, pid 99, running, up 2h 3m

web: 1 of 2 serving, 2 in the queue (the oldest for 1s)
turned away: 7 queue_full
WORKER  STATE       FOR   PID  IN FLIGHT  PARKED  RESTARTS  FREEZES  ADDRESS
web.1   serving  1m 30s  4001          3       1         4        2  unix:/run/web/1.sock
web.2   waiting  1m 30s     -          3       1         8        2  -
";
        assert_eq!(render(&status), table.replace("0.1.0", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let rows = [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (59_999, "59s"),
            (60_000, "1m 0s"),
            (3_600_000, "1h 0m"),
            (86_399_999, "23h 59m"),
            (86_400_000, "1d 0h"),
        ];
        for (milliseconds, text) in rows {
            assert_eq!(span(milliseconds), text);
        }
    }

    #[test]
    fn an_escape_sequence_in_the_document_does_not_reach_the_terminal() {
        let status = Status::new(Duration::ZERO, &running(vec![pool("web\u{1b}[2J", &[Phase::Serving])]));
        assert!(!render(&status).contains('\u{1b}'));
    }
}
