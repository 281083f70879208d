//! The whole service at one moment, as plain data.

use supervisor::PoolStatus;

/// What the console tells about.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whether it goes on.
    pub stage: Stage,
    /// The pools, in the order of the configuration.
    pub pools: Vec<PoolStatus>,
}

/// Where the service is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It takes connections.
    Running,
    /// It takes no more connections; open requests finish. Workers still serve them.
    Draining,
}

impl Stage {
    /// The word of the status document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}
