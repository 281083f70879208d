//! Whether files have changed, by what the file system says of them.
//!
//! Looking again and again, rather than being told (inotify), survives everything that replaces a file: a rename over
//! it, a symbolic link that is moved to another folder (Kubernetes' `..data`), a bind mount, a network file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What several files looked like at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamps(Vec<Option<Stamp>>);

/// Links are followed: what counts is the file at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// The last change of its content or its owner and mode, in seconds and nanoseconds; unlike that of the content
    /// alone, no program can set it back.
    changed: (i64, i64),
}

impl Stamps {
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| stamp(path)).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = fs::metadata(path).ok()?;
    let changed = (about.ctime(), about.ctime_nsec());
    Some(Stamp { device: about.dev(), inode: about.ino(), size: about.size(), changed })
}
