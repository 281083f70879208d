//! What the workers of a running antifreeze are doing.

use console::{AdminAddress, client, render};
use std::io::Write;

/// Asks an admin API, and prints its status as a table, or as JSON.
pub(crate) fn run(admin: &AdminAddress, json: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(client::fetch(admin))?;
    let text = if json { serde_json::to_string_pretty(&status)? + "\n" } else { render(&status) };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
