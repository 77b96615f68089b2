//! Finishes what a killed run had begun to place.

use super::EngineError;
use super::hooks::pending_hooks;
use crate::hooks::Hooks;
use crate::ledger::{Ledger, Record};
use crate::sink::{Sink, SinkError};

/// Finds out which of the images that an earlier run was about to place have their names, and records it. Nothing is
/// requested for it.
///
/// # Errors
///
/// When the ledger cannot be used, or a file cannot be read.
pub async fn recover(
    ledger: &dyn Ledger,
    sink: &dyn Sink,
    hooks: Option<&Hooks>,
) -> Result<(), EngineError> {
    let mut records = Vec::new();
    for unfinished in ledger.pending().await? {
        let key = unfinished.key;
        let record = match sink.exists(&unfinished.name, &unfinished.content).await {
            Ok(Some(name)) => Record::Saved { key, name },
            // A file that cannot be read is not the image that was to be placed.
            Ok(None) | Err(SinkError::Name { .. }) => Record::Unplaced { key },
            Err(error) => return Err(error.into()),
        };
        records.push(record);
    }
    if records.is_empty() {
        return Ok(());
    }
    // A name that we see may not be on the disk yet: the run that gave it was killed before it could flush the
    // folder. A row must never outlast a power cut that its file does not.
    sink.finish().await?;
    if let Some(hooks) = hooks {
        let saved = records.iter().filter_map(|record| match record {
            Record::Saved { key, name: _ } => Some(key),
            Record::Unplaced { .. }
            | Record::Failed { .. }
            | Record::Skipped { .. }
            | Record::Hooks { .. } => None,
        });
        records.extend(pending_hooks(hooks, saved));
    }
    Ok(ledger.record(records).await?)
}
