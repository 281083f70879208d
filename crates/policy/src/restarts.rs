//! How often a slot was restarted, and why.

/// Why a process had to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestartReason {
    /// It ended though it was wanted.
    Crashed,
    /// It ended before its first answer, or could not be spawned.
    FailedToStart,
    /// It gave no answer within its start timeout.
    StartTimeout,
    /// It was frozen for `restart_after`.
    Frozen,
}

impl RestartReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Crashed, Self::FailedToStart, Self::StartTimeout, Self::Frozen];

    /// The value of the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::FailedToStart => "failed_to_start",
            Self::StartTimeout => "start_timeout",
            Self::Frozen => "frozen",
        }
    }
}

/// A counter a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts([u64; RestartReason::ALL.len()]);

impl Restarts {
    pub(crate) fn count(&mut self, reason: RestartReason) {
        self.0[reason as usize] += 1;
    }

    /// How often for this reason.
    pub fn of(&self, reason: RestartReason) -> u64 {
        self.0[reason as usize]
    }
}
