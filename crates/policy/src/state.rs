//! stub
/// Actions.
pub enum Action { /// grant
 Grant, /// reject
 Reject }
/// What a worker is doing, without the details: the word for logs, metrics and the status page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// No process; one will be spawned when the back-off is over, or none is wanted.
    Waiting,
    /// Spawned, not ready yet.
    Starting,
    /// In rotation.
    Serving,
    /// Silent while it owes answers; being probed, and out of rotation until it answers.
    Suspect,
    /// Silent, and deaf to its probe: no new requests until it sends a byte.
    Frozen,
    /// No new requests; finishing what it holds.
    Draining,
    /// Told to end (SIGTERM).
    Stopping,
    /// Made to end (SIGKILL).
    Killing,
}
impl Phase {
    /// The lower-case word of the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Suspect => "suspect",
            Self::Frozen => "frozen",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
        }
    }
}
