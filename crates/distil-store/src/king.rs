//! The king: a stored fact, with its history.

use distil_scoring::{Crown, Outcome, RoundPlan};
use distil_types::{Commitment, MinerKey};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use crate::rounds::RoundNumber;
use crate::sql::{Text, commitment, json, miner, to_json};
use crate::store::Fault;
use crate::{Store, StoreError, StoreReader};

/// The miner that has the crown, and its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct King {
    /// Who.
    pub miner: MinerKey,
    /// The model that won.
    pub commitment: Commitment,
    /// Its score, in nats, in the round that crowned it.
    pub kl_nats: Option<f64>,
}

/// A time on the throne.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reign {
    /// Who reigned.
    pub king: King,
    /// The round that gave the crown, where it was one of this store.
    pub round: Option<RoundNumber>,
    /// The block at which it began.
    pub crowned_block: u64,
    /// When it began.
    pub crowned_unix_ms: u64,
    /// How it ended, if it did.
    pub ended: Option<ReignEnd>,
}

/// How a reign ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReignEnd {
    /// At which block.
    pub block: u64,
    /// When.
    pub unix_ms: u64,
    /// Why.
    pub reason: String,
}

/// A new king to tell the world of, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// The new king.
    pub new_king: King,
    /// Who had the crown before.
    pub old_king: Option<King>,
    /// The block of the change.
    pub block: u64,
    /// The round that decided it.
    pub round: Option<RoundNumber>,
}

impl Store {
    /// Takes the crown from the king, outside of a round: because it deregistered, or was removed or disqualified. Gives
    /// `false` where nobody has it.
    ///
    /// # Errors
    ///
    /// [`StoreError::RoundOpen`]: a round that was planned with this king has to end first.
    pub fn vacate(&mut self, reason: &str, block: u64, unix_ms: u64) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let open: Option<i64> =
                transaction.query_row("SELECT id FROM rounds WHERE is_open = 1", [], |row| row.get(0)).optional()?;
            if let Some(round) = open {
                return Err(StoreError::RoundOpen { round: RoundNumber(round) }.into());
            }
            let had_king = current_king(transaction)?.is_some();
            end_reign(transaction, reason, block, unix_ms)?;
            Ok(had_king)
        })
    }

    /// Takes the oldest announcement that nobody took yet. Each is given once, even if the program is killed right after:
    /// it is better not told than told again and again.
    ///
    /// # Errors
    ///
    /// The step could not be written.
    pub fn take_announcement(&mut self, unix_ms: u64) -> Result<Option<Announcement>, StoreError> {
        self.write(|transaction| {
            let found = transaction
                .query_row(
                    "SELECT id, document FROM announcements WHERE taken_unix_ms IS NULL ORDER BY id LIMIT 1",
                    [],
                    |row| Ok((row.get::<_, i64>(0)?, json(row, 1)?)),
                )
                .optional()?;
            let Some((id, announcement)) = found else { return Ok(None) };
            transaction.execute("UPDATE announcements SET taken_unix_ms = ?2 WHERE id = ?1", (id, unix_ms))?;
            Ok(Some(announcement))
        })
    }
}

impl StoreReader {
    /// Who has the crown, and since when.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn king(&self) -> Result<Option<Reign>, StoreError> {
        self.read(|connection| Ok(current_king(connection)?))
    }

    /// All reigns, the newest first: `limit` of them after the first `offset`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn king_history(&self, offset: u64, limit: u64) -> Result<Vec<Reign>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM reigns ORDER BY id DESC LIMIT ?2 OFFSET ?1")?;
            Ok(statement.query_map((offset, limit), reign)?.collect::<Result<_, _>>()?)
        })
    }
}

pub(crate) fn current_king(connection: &Connection) -> rusqlite::Result<Option<Reign>> {
    connection.query_row("SELECT * FROM reigns WHERE reigns = 1", [], reign).optional()
}

/// Ends a reign, begins the next, or leaves it as it is, as the outcome says.
pub(crate) fn change_crown(
    connection: &Connection,
    plan: &RoundPlan,
    outcome: &Outcome,
    round: RoundNumber,
    unix_ms: u64,
) -> Result<(), Fault> {
    let old = current_king(connection)?.map(|reign| reign.king);
    let stored = old.as_ref().map(|old| old.miner);
    let planned = match &outcome.crown {
        Crown::Unchanged { king } => *king,
        Crown::Given { dethroned, .. } => *dethroned,
        Crown::Lost { king, .. } => Some(*king),
    };
    if planned != stored {
        return Err(StoreError::OtherKing { planned, stored }.into());
    }
    let block = outcome.block.number;
    match &outcome.crown {
        Crown::Unchanged { .. } => {}
        Crown::Lost { reason, .. } => end_reign(connection, &reason.to_string(), block, unix_ms)?,
        Crown::Given { king, .. } => {
            let student = plan.students().iter().find(|student| student.miner == *king);
            let Some(student) = student else { return Err(StoreError::NotInRound { round, miner: *king }.into()) };
            let kl_nats = outcome.verdicts.iter().find(|verdict| verdict.miner == *king).and_then(|verdict| verdict.kl);
            let new_king = King { miner: *king, commitment: student.commitment.clone(), kl_nats };
            end_reign(connection, &format!("dethroned by {king}"), block, unix_ms)?;
            begin_reign(connection, &new_king, Some(round), block, unix_ms)?;
            let announcement = Announcement { new_king, old_king: old, block, round: Some(round) };
            connection.execute(
                "INSERT INTO announcements (new_king, old_king, block, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
                (
                    Text(*king),
                    stored.map_or_else(String::new, |old| old.to_string()),
                    block,
                    to_json("an announcement", &announcement)?,
                ),
            )?;
        }
    }
    Ok(())
}

pub(crate) fn begin_reign(
    connection: &Connection,
    king: &King,
    round: Option<RoundNumber>,
    block: u64,
    unix_ms: u64,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO reigns (hotkey, commit_block, model, revision, kl_nats, round, crowned_block, crowned_unix_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            Text(king.miner.hotkey),
            king.miner.commit_block,
            king.commitment.model.as_str(),
            king.commitment.revision.as_str(),
            king.kl_nats.filter(|kl| kl.is_finite()),
            round.map(|round| round.0),
            block,
            unix_ms,
        ),
    )?;
    Ok(())
}

fn end_reign(connection: &Connection, reason: &str, block: u64, unix_ms: u64) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE reigns SET ended_block = ?1, ended_unix_ms = ?2, ended_reason = ?3 WHERE reigns = 1",
        (block, unix_ms, reason),
    )?;
    Ok(())
}

fn reign(row: &Row<'_>) -> rusqlite::Result<Reign> {
    let ended = match row.get("ended_block")? {
        Some(block) => Some(ReignEnd { block, unix_ms: row.get("ended_unix_ms")?, reason: row.get("ended_reason")? }),
        None => None,
    };
    Ok(Reign {
        king: King { miner: miner(row)?, commitment: commitment(row)?, kl_nats: row.get("kl_nats")? },
        round: row.get::<_, Option<i64>>("round")?.map(RoundNumber),
        crowned_block: row.get("crowned_block")?,
        crowned_unix_ms: row.get("crowned_unix_ms")?,
        ended,
    })
}
