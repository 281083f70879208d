//! The pool's private folder for sockets, and the search for its program.

use crate::PoolOptions;
use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder that only this user can enter (mode 0700), removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes a new one under `parent`.
    ///
    /// # Errors
    /// What mkdir(2) reports, or that a socket's path in it would be too long for the kernel (unix(7)).
    pub(crate) fn create(parent: &Path, name: &str) -> io::Result<Self> {
        for attempt in 0..ATTEMPTS {
            let path = parent.join(format!("antifreeze-{name}-{}-{attempt}", std::process::id()));
            if path.as_os_str().len() + LONGEST_SOCKET_NAME > LONGEST_PATH {
                let words = format!("its path is too long for a unix socket (over {LONGEST_PATH} bytes)");
                return Err(io::Error::new(io::ErrorKind::InvalidFilename, words));
            }
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by a process with our number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether workers can run in this folder.
///
/// # Errors
/// What stat(2) reports, or `NotADirectory`.
pub(crate) fn find_directory(path: &Path) -> io::Result<()> {
    match path.metadata()?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// Why a command's program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramProblem {
    /// No such file.
    #[error("no such program; is it installed, and on the PATH?")]
    NotFound,
    /// There is a file, but without the permission to execute it.
    #[error("not an executable file; set its x bit, or put its interpreter before it")]
    NotExecutable,
    /// A script whose interpreter does not exist.
    #[error("its first line asks for {0:?}, which is not there; install that, or correct the line")]
    NoInterpreter(PathBuf),
}

/// Whether the command's program can be found as execvp(3) would find it, and run.
///
/// # Errors
/// [`ProgramProblem`].
pub(crate) fn find_program(options: &PoolOptions) -> Result<(), ProgramProblem> {
    let program = Path::new(options.command.first().ok_or(ProgramProblem::NotFound)?);
    let from = options.directory.as_deref().unwrap_or(Path::new(""));
    if program.components().count() > 1 {
        return runnable(&from.join(program));
    }
    let path = match options.environment.get("PATH") {
        Some(chosen) => chosen.clone().map(Into::into),
        None => env::var_os("PATH"),
    };
    let folders = path.unwrap_or_default();
    let mut verdicts = env::split_paths(&folders).map(|folder| runnable(&folder.join(program)));
    verdicts
        .find(|verdict| *verdict != Err(ProgramProblem::NotFound))
        .unwrap_or(Err(ProgramProblem::NotFound))
}

fn runnable(path: &Path) -> Result<(), ProgramProblem> {
    let about = path.metadata().map_err(|_| ProgramProblem::NotFound)?;
    if !about.is_file() || about.permissions().mode() & 0o111 == 0 {
        return Err(ProgramProblem::NotExecutable);
    }
    match interpreter(path) {
        Some(interpreter) if !interpreter.exists() => Err(ProgramProblem::NoInterpreter(interpreter)),
        Some(_) | None => Ok(()),
    }
}

/// What a script's first line asks for (execve(2)). A program that may be executed but not read is no script.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    fs::File::open(path).ok()?.take(LONGEST_FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    Some(PathBuf::from(line.split_whitespace().next()?))
}

/// `BINPRM_BUF_SIZE` of Linux: how much of a script the kernel looks at.
const LONGEST_FIRST_LINE: u64 = 256;

/// `sun_path` without its closing zero (unix(7)).
const LONGEST_PATH: usize = 107;

/// `/512.4294967295.sock`.
const LONGEST_SOCKET_NAME: usize = 20;

const ATTEMPTS: u32 = 100;
