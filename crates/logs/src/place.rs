//! Where lines go.

use rustix::event::{PollFd, PollFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An open place.
#[derive(Debug)]
pub(crate) struct Place {
    file: File,
    name: Name,
    /// The last byte that was written is not a newline: a full disk took a part of a line.
    torn: bool,
}

#[derive(Debug)]
enum Name {
    Stdout,
    Stderr,
    File(PathBuf),
}

impl Place {
    /// Standard output, on a descriptor of our own.
    pub(crate) fn stdout() -> io::Result<Self> {
        Ok(Self::new(io::stdout().as_fd().try_clone_to_owned()?.into(), Name::Stdout))
    }

    /// Standard error, on a descriptor of our own.
    pub(crate) fn stderr() -> io::Result<Self> {
        Ok(Self::new(io::stderr().as_fd().try_clone_to_owned()?.into(), Name::Stderr))
    }

    /// A file, created if it is not there; lines are added at its end.
    pub(crate) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(append(path)?, Name::File(path.to_owned())))
    }

    fn new(file: File, name: Name) -> Self {
        Self { file, name, torn: false }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    /// Whether the program's own lines go here.
    pub(crate) fn is_main(&self) -> bool {
        matches!(self.name, Name::Stderr)
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        match &self.name {
            Name::Stdout => "standard output".to_owned(),
            Name::Stderr => "standard error".to_owned(),
            Name::File(path) => path.display().to_string(),
        }
    }

    /// Opens the file again by its name. The old one stays if that fails.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        if let Name::File(path) = &self.name {
            self.file = append(path)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Writes all, however long that takes. An error comes with how many bytes were written before it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        if self.torn {
            self.write_from(b"\n").map_err(|(_, error)| (0, error))?;
        }
        self.write_from(bytes)
    }

    fn write_from(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.write(&bytes[done..]) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(more) => {
                    done += more;
                    self.torn = bytes[done - 1] != b'\n';
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Whoever shares the descriptor with us made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let waited = rustix::event::poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], None);
                    if let Err(error) = waited
                        && error != rustix::io::Errno::INTR
                    {
                        return Err((done, error.into()));
                    }
                }
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Whether two streams are one and the same pipe, file or terminal.
pub(crate) fn is_same(one: impl AsFd, other: impl AsFd) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}
