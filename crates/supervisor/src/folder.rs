//! The pool's private folder for sockets, and the search for its program.

use crate::PoolOptions;
use std::env;
use std::fs::DirBuilder;
use std::io;
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
        let _ = std::fs::remove_dir_all(&self.0);
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

/// Whether the command's program can be found as execvp(3) would find it.
///
/// # Errors
/// `NotFound`, or `PermissionDenied` for a file that may not be executed.
pub(crate) fn find_program(options: &PoolOptions) -> io::Result<()> {
    let program = Path::new(options.command.first().ok_or(io::ErrorKind::InvalidInput)?);
    let from = options.directory.as_deref().unwrap_or(Path::new(""));
    if program.components().count() > 1 {
        return executable(&from.join(program));
    }
    let path = match options.environment.get("PATH") {
        Some(chosen) => chosen.clone().map(Into::into),
        None => env::var_os("PATH"),
    };
    let folders = path.unwrap_or_default();
    let mut verdicts = env::split_paths(&folders).map(|folder| executable(&folder.join(program)));
    verdicts.find(Result::is_ok).unwrap_or(Err(io::ErrorKind::NotFound.into()))
}

fn executable(path: &Path) -> io::Result<()> {
    let about = path.metadata()?;
    match about.is_file() && about.permissions().mode() & 0o111 != 0 {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// `sun_path` without its closing zero (unix(7)).
const LONGEST_PATH: usize = 107;

/// `/512.4294967295.sock`.
const LONGEST_SOCKET_NAME: usize = 20;

const ATTEMPTS: u32 = 100;
