//! This process in Prometheus' words: the names that every client library uses.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// Version, start, processor time, memory and open files of this process.
pub(crate) struct ProcessMetrics {
    build: Gauge,
    start: Gauge,
    resident: Gauge,
    files: Gauge,
    descriptions: Vec<Desc>,
}

impl ProcessMetrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let build = Gauge::with_opts(
            Opts::new("antifreeze_build_info", "1; the version is in the label.")
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1.0);
        let start = Gauge::new("process_start_time_seconds", "Start of the process, in seconds since 1970.")?;
        start.set(wall_clock().as_secs_f64());
        let resident = Gauge::new("process_resident_memory_bytes", "Memory of the process in RAM.")?;
        let files = Gauge::new("process_open_fds", "Open file descriptors of the process.")?;
        let processor = processor_time()?;
        let parts: [&dyn Collector; 5] = [&build, &start, &resident, &files, &processor];
        let descriptions = parts.iter().flat_map(|part| part.desc()).cloned().collect();
        Ok(Self { build, start, resident, files, descriptions })
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = [self.build.collect(), self.start.collect()].concat();
        if let Some(bytes) = resident_memory() {
            self.resident.set(bytes);
            families.extend(self.resident.collect());
        }
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // Less the one that reads the folder.
            self.files.set(f64::from(u32::try_from(entries.count()).unwrap_or(u32::MAX)) - 1.0);
            families.extend(self.files.collect());
        }
        // Built anew, because a counter cannot be set.
        if let Ok(processor) = processor_time() {
            let used = clock_gettime(ClockId::ProcessCPUTime);
            if let Ok(used) = Duration::try_from(used) {
                processor.inc_by(used.as_secs_f64());
            }
            families.extend(processor.collect());
        }
        families
    }
}

fn processor_time() -> prometheus::Result<Counter> {
    Counter::new(
        "process_cpu_seconds_total",
        "Processor time that the process used, in user and kernel mode.",
    )
}

/// `VmRSS` of proc_pid_status(5), which is in units of 1024 bytes.
fn resident_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(f64::from(kibibytes) * 1024.0)
}

#[expect(clippy::disallowed_methods, reason = "the metric is a date, and follows the wall clock")]
fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
