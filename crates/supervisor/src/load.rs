//! How workers are, as the kernel sees it: how busy, and whether stopped.

use policy::Share;
use rustix::process::Pid;
use std::time::Duration;
use tokio::time::Instant;

/// What one worker had used when it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Load {
    last: Option<(Instant, Duration)>,
}

impl Load {
    /// The share of a processor that the process used since the last call; nothing at the first, or if it is gone.
    pub(crate) fn measure(&mut self, pid: Pid) -> Option<Share> {
        let (now, used) = (Instant::now(), processor_time(pid)?);
        let (then, before) = self.last.replace((now, used))?;
        let share = used.saturating_sub(before).as_secs_f64() / (now - then).as_secs_f64().max(f64::EPSILON);
        // At most the number of processors, in thousandths.
        Some(Share((share * 1000.0) as u32))
    }
}

/// Whether the process is stopped, by a signal or by a debugger (proc(5): field 3 of stat).
pub(crate) fn is_stopped(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.trim_start().chars().next());
    matches!(state, Some('T' | 't'))
}

/// What the process used, and those that it started: behind a wrapper or a master process it is they who work.
fn processor_time(pid: Pid) -> Option<Duration> {
    let own = own_time(pid)?;
    Some(own + descendants(pid).into_iter().filter_map(own_time).sum::<Duration>())
}

/// The children of the main thread, and theirs (proc(5): children). As far as the kernel tells.
fn descendants(pid: Pid) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        let number = parent.as_raw_nonzero();
        let list =
            std::fs::read_to_string(format!("/proc/{number}/task/{number}/children")).unwrap_or_default();
        let children = list.split_ascii_whitespace().filter_map(|child| Pid::from_raw(child.parse().ok()?));
        for child in children.take(MOST_DESCENDANTS.saturating_sub(found.len())) {
            found.push(child);
            parents.push(child);
        }
    }
    found
}

/// A worker with more processes than this is measured by these.
const MOST_DESCENDANTS: usize = 64;

/// User and system time of all threads (proc(5): fields 14 and 15 of stat, counted in clock ticks).
fn own_time(pid: Pid) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name in parentheses may hold anything, blanks and parentheses too.
    let fields = stat.rsplit_once(')')?.1;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis((user + system) * 1000 / per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_computes_is_busy() {
        let mut load = Load::default();
        let own = rustix::process::getpid();
        assert_eq!(load.measure(own), None, "nothing to compare with");
        // Until it has got a tick of the kernel's clock: others may want the processor too.
        let began = processor_time(own).expect("it lives");
        while processor_time(own).is_some_and(|used| used == began) {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
        assert!(load.measure(own).is_some_and(|share| share > Share(0)));
    }
}
