//! The supervisors of all pools, and how they end together.

use anyhow::Context;
use supervisor::{Ending, Supervisor};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// All pools at work.
pub(crate) struct Crew {
    supervisors: JoinSet<(String, Result<Ending, supervisor::StartError>)>,
}

impl Crew {
    /// Starts the workers of all pools. On the main thread, and on a runtime that has no other: workers die with the thread
    /// that spawned them.
    pub(crate) fn start(supervisors: Vec<Supervisor>) -> Self {
        let mut crew = JoinSet::new();
        for supervisor in supervisors {
            let name = supervisor.pool().name().to_owned();
            crew.spawn(async move { (name, supervisor.run().await) });
        }
        Self { supervisors: crew }
    }

    /// Resolves when every pool has ended: as asked, or with the words of the first that gave up. That one is told to
    /// `gave_up` at once: the others do not end by themselves.
    ///
    /// # Errors
    /// When a supervisor could not start or panicked.
    pub(crate) async fn ended(&mut self, gave_up: &Notify) -> anyhow::Result<Result<(), String>> {
        let several = self.supervisors.len() > 1;
        let mut verdict = Ok(());
        while let Some(ended) = self.supervisors.join_next().await {
            let (name, ended) = ended.context("the supervisor of a pool panicked")?;
            match ended? {
                Ending::Stopped | Ending::Killed => {}
                Ending::GaveUp(words) => {
                    gave_up.notify_one();
                    let words = if several { format!("pool {name}: {words}") } else { words };
                    verdict = verdict.and(Err(words));
                }
            }
        }
        Ok(verdict)
    }
}
