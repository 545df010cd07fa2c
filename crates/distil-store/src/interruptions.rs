//! What kept miners from a result, through no proven fault of their own, since their last one.

use std::collections::BTreeMap;

use distil_types::MinerKey;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::sql::{Text, miner};
use crate::store::Fault;
use crate::{Store, StoreError, StoreReader};

/// How often a miner was kept from a result in a row. Only a result ends it: a check that passes does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruptions {
    /// How often, at most once for each block.
    pub in_a_row: u32,
    /// The newest of these blocks.
    pub last_block: u64,
    /// What it was then, for the miner to read.
    pub last_reason: String,
}

impl Store {
    /// Counts what kept a miner from a result in the round, or before the round, of a block; gives how often that
    /// happened since its last result. A second one of the same block does not count, so a step that is taken again
    /// after the end of the process leaves the same.
    ///
    /// [`Store::record_result`] forgets them where there is a result.
    ///
    /// # Errors
    ///
    /// The step could not be written.
    pub fn record_interruption(
        &mut self,
        key: &MinerKey,
        block: u64,
        reason: &str,
        unix_ms: u64,
    ) -> Result<u32, StoreError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO interruptions (hotkey, commit_block, block, reason, interrupted_unix_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET reason = ?4, interrupted_unix_ms = ?5",
                )?
                .execute((Text(key.hotkey), key.commit_block, block, reason, unix_ms))?;
            Ok(transaction.query_row(
                "SELECT count(*) FROM interruptions WHERE hotkey = ?1 AND commit_block = ?2",
                (Text(key.hotkey), key.commit_block),
                |row| row.get(0),
            )?)
        })
    }
}

impl StoreReader {
    /// Of every miner that was kept from a result since its last one.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn interruptions(&self) -> Result<BTreeMap<MinerKey, Interruptions>, StoreError> {
        self.read(|connection| {
            // The other columns of a row with max() are those of the row that has it.
            let mut statement = connection.prepare_cached(
                "SELECT hotkey, commit_block, count(*) AS in_a_row, max(block) AS last_block, reason
                 FROM interruptions GROUP BY hotkey, commit_block",
            )?;
            let rows = statement.query_map([], |row| {
                let interruptions = Interruptions {
                    in_a_row: row.get("in_a_row")?,
                    last_block: row.get("last_block")?,
                    last_reason: row.get("reason")?,
                };
                Ok((miner(row)?, interruptions))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// There is a result, or all begins anew.
pub(crate) fn forget_interruptions(connection: &Connection, key: &MinerKey) -> Result<(), Fault> {
    connection
        .prepare_cached("DELETE FROM interruptions WHERE hotkey = ?1 AND commit_block = ?2")?
        .execute((Text(key.hotkey), key.commit_block))?;
    Ok(())
}
