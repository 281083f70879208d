//! How long a request may go on once the service drains: as long as its pool lets it, whatever others do.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Where the data plane is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// Since then there are no new connections, and each open one closes after its requests.
    Draining(Instant),
    /// Whatever is left is cut.
    Cut,
}

/// Resolves when the drain has lasted for as long as the limit says. That is asked at each poll: for which pool a request
/// is may turn out while it lasts.
pub(crate) async fn spent(mut stage: watch::Receiver<Stage>, limit: impl Fn() -> Option<Duration>) {
    // Its sender lives as long as the threads do.
    let stage = stage.wait_for(|stage| *stage > Stage::Serving).await.map(|stage| *stage);
    let Ok(Stage::Draining(since)) = stage else { return };
    let mut timer = Box::pin(sleep_until(since));
    poll_fn(|cx| {
        let Some(limit) = limit() else { return Poll::Pending };
        let deadline = since + limit;
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::pin::pin;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_limit_counts_from_when_the_drain_began_whenever_it_becomes_known() {
        let (sender, stage) = watch::channel(Stage::Serving);
        let known = Cell::new(None);
        let mut spent = pin!(spent(stage, || known.get()));
        let mut is_spent = async |after| {
            tokio::time::advance(after).await;
            poll_fn(|cx| Poll::Ready(spent.as_mut().poll(cx).is_ready())).await
        };
        known.set(Some(SECOND));
        assert!(!is_spent(9 * SECOND).await, "it does not drain");
        sender.send_replace(Stage::Draining(Instant::now()));
        known.set(None);
        assert!(!is_spent(9 * SECOND).await, "nobody knows for how long");
        known.set(Some(12 * SECOND));
        assert!(!is_spent(2 * SECOND).await);
        assert!(is_spent(SECOND).await);
    }
}
