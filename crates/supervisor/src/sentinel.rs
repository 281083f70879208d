//! The sentinel: kills the workers of a supervisor that was killed.
//!
//! `PR_SET_PDEATHSIG` reaches our own children; it does not reach what they started (a shell's uvicorn, gunicorn's
//! forked workers). So a small process of our own holds the list of live process groups and waits at the other end
//! of a pipe: however we die, the kernel closes our end, and the sentinel kills what is left.

use crate::process;
use policy::Signal;
use rustix::process::Pid;
use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};

/// Our end of the pipe.
#[derive(Debug)]
pub(crate) struct Sentinel {
    child: Child,
    pipe: ChildStdin,
}

impl Sentinel {
    /// Starts the process, and tells it which folder to remove.
    ///
    /// # Errors
    /// What spawning reports.
    pub(crate) fn start(command: &[String], folder: &Path) -> io::Result<Self> {
        let mut child = process::spawn_sentinel(command)?;
        let pipe = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        // A sentinel that was stopped must not stop us: beyond the pipe's 64 KiB, notices are lost.
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let mut sentinel = Self { child, pipe };
        sentinel.tell(&format!("folder {}\n", folder.display()));
        Ok(sentinel)
    }

    /// This process group lives.
    pub(crate) fn watch(&mut self, group: Pid) {
        self.tell(&format!("watch {}\n", group.as_raw_nonzero()));
    }

    /// This process group is gone.
    pub(crate) fn forget(&mut self, group: Pid) {
        self.tell(&format!("forget {}\n", group.as_raw_nonzero()));
    }

    fn tell(&mut self, notice: &str) {
        if let Err(error) = self.pipe.write_all(notice.as_bytes()) {
            tracing::warn!(%error, "the sentinel does not listen: if this program is killed, workers may outlive it");
        }
    }
}

impl Drop for Sentinel {
    /// The groups are gone by now; killing saves waiting.
    fn drop(&mut self) {
        process::end_sentinel(&mut self.child);
    }
}

/// The body of the sentinel process: reads which process groups live from its standard input, and when that ends
/// kills the ones that are left. Returns when its work is done.
///
/// # Errors
/// When its standard input cannot be read.
pub fn sentinel() -> io::Result<()> {
    let mut groups = BTreeSet::new();
    let mut folder: Option<PathBuf> = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("folder", path)) => folder = Some(PathBuf::from(path)),
            Some(("watch", group)) => groups.extend(group.parse::<i32>()),
            Some(("forget", group)) => drop(group.parse().map(|group: i32| groups.remove(&group))),
            Some(_) | None => {}
        }
    }
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        process::signal_group(group, Signal::Kill);
    }
    if let Some(folder) = folder {
        let _ = std::fs::remove_dir_all(folder);
    }
    Ok(())
}
