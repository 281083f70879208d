//! Starting and ending processes. The only file that kills.
//!
//! A worker gets a process group of its own, no file but its standard streams and the socket it is to listen on, every
//! signal at its default, and SIGKILL when the thread that spawned it ends (`PR_SET_PDEATHSIG`, prctl(2)): so that
//! thread must be the main one.
//!
//! However many pools there are, this process has one list of children, and the kernel tells of an end once. So those that a
//! pool waits for are written down for all of them: they are reaped by their owner alone, and only what is not on that list
//! is an orphan.

use policy::Signal;
use rustix::process::{Pid, RawPid, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Spawns a worker: leader of its own group, output on pipes.
///
/// # Errors
/// What fork(2), execve(2) or chdir(2) report.
pub(crate) fn spawn(
    command: &[String],
    environment: Vec<(OsString, OsString)>,
    directory: Option<&Path>,
    inherited: Option<&OwnedFd>,
) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program);
    child.args(arguments).env_clear().envs(environment);
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(directory) = directory {
        child.current_dir(directory);
    }
    let parent = rustix::process::getpid();
    let inherited = inherited.map(OwnedFd::as_raw_fd);
    #[expect(unsafe_code, reason = "close_range and prctl must happen between fork and exec")]
    // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
    unsafe {
        child.pre_exec(move || prepare(parent, inherited));
    }
    child.spawn().inspect(expect)
}

/// Spawns the sentinel: a group of its own, deaf to the signals that are meant for us, told by its standard input.
///
/// # Errors
/// As for [`spawn`].
pub(crate) fn spawn_sentinel(command: &[String]) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program);
    child.args(arguments).env_clear();
    child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    #[expect(unsafe_code, reason = "an ignored signal must be ignored before exec")]
    // SAFETY: the closure makes system calls only; it neither allocates nor takes locks.
    unsafe {
        child.pre_exec(|| {
            for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_IGN);
            }
            close_on_exec()
        });
    }
    child.spawn().inspect(expect)
}

/// The children that somebody waits for, of all pools.
static EXPECTED: Mutex<BTreeSet<RawPid>> = Mutex::new(BTreeSet::new());

fn expected() -> MutexGuard<'static, BTreeSet<RawPid>> {
    EXPECTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody waits for this child. It cannot have been taken for an orphan in between: all pools run on the thread that
/// spawned it.
fn expect(child: &Child) {
    expected().insert(Pid::from_child(child).as_raw_nonzero().get());
}

/// Nobody waits for this child any more: it was reaped.
fn forget(child: Pid) {
    expected().remove(&child.as_raw_nonzero().get());
}

/// Runs in the child, before exec.
fn prepare(parent: Pid, inherited: Option<RawFd>) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The parent may have died before the line above: then nobody will kill us.
    if rustix::process::getppid() != Some(parent) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    default_signals();
    close_on_exec()?;
    if let Some(fd) = inherited {
        #[expect(unsafe_code, reason = "the descriptor is known by number here")]
        // SAFETY: fcntl on a descriptor that the parent holds open across the spawn.
        let done = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A signal that whoever started us ignores (nohup, a shell's background job, a careless parent) would stay ignored in
/// the worker, and it could be deaf to SIGTERM. Only ignored ones survive exec; std has emptied the mask.
fn default_signals() {
    for signal in 1..=LAST_SIGNAL {
        #[expect(unsafe_code, reason = "no safe wrapper exists")]
        // SAFETY: the call changes dispositions of this process alone; for SIGKILL and the like it fails, and changes
        // nothing.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// `_NSIG` of Linux (signal(7)).
const LAST_SIGNAL: i32 = 64;

/// Marks everything but the standard streams to be closed by exec, also what this process itself inherited.
fn close_on_exec() -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe wrapper exists")]
    // SAFETY: the call changes descriptor flags of this process alone.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    match done {
        0 => Ok(()),
        // Before Linux 5.11. What this program opens is marked already.
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to the group of a child that was not reaped yet, so that its number cannot be a stranger's.
pub(crate) fn signal_group(leader: Pid, signal: Signal) {
    let signal = match signal {
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Kill => rustix::process::Signal::KILL,
    };
    // No such process: the whole group is gone already, which is what was wanted.
    let _ = rustix::process::kill_process_group(leader, signal);
}

/// Whether this child ended. What is left of its group is killed before the child is reaped, while the group's number
/// is still taken.
pub(crate) fn reap(leader: Pid) -> Option<policy::Exit> {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = rustix::process::waitid(WaitId::Pid(leader), peek).ok()??;
    signal_group(leader, Signal::Kill);
    let _ = rustix::process::waitpid(Some(leader), WaitOptions::NOHANG);
    forget(leader);
    Some(exit_of(&status))
}

/// Ends the sentinel, whose work is done or nobody's.
pub(crate) fn end_sentinel(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
    forget(Pid::from_child(child));
}

fn exit_of(status: &WaitIdStatus) -> policy::Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => policy::Exit::Code(code),
        (None, Some(signal)) => policy::Exit::Signal(signal),
        (None, None) => policy::Exit::Code(-1),
    }
}

/// Whether orphans become our children: as PID 1 of a container, or as a subreaper (prctl(2)).
pub(crate) fn adopts_orphans() -> bool {
    rustix::process::getpid().is_init() || matches!(rustix::process::child_subreaper(), Ok(Some(_)))
}

/// Reaps ended children that nobody waits for: orphans of the workers' making.
pub(crate) fn reap_orphans() {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let is_orphan = |child: &Pid| !expected().contains(&child.as_raw_nonzero().get());
    for orphan in children().into_iter().filter(is_orphan) {
        if matches!(rustix::process::waitid(WaitId::Pid(orphan), peek), Ok(Some(_))) {
            let _ = rustix::process::waitpid(Some(orphan), WaitOptions::NOHANG);
        }
    }
}

/// All children of this process, as the kernel lists them for each of its threads (proc(5)).
fn children() -> Vec<Pid> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>()
        })
        .collect()
}
