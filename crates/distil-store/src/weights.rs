//! Weights: signed and stored, then sent, then confirmed or lost. Who was killed in between looks at the chain first.

use std::fmt;

use distil_types::{MinerKey, Uid};
use rusqlite::{OptionalExtension as _, Row};
use serde::{Deserialize, Serialize};

use crate::king::current_king;
use crate::rounds::RoundNumber;
use crate::sql::{Json, Text, json, miner, to_json};
use crate::{Store, StoreError, StoreReader};

/// The number of a sending of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WeightsId(pub i64);

impl fmt::Display for WeightsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Weights that are going to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightsIntention {
    /// The round whose decision they carry; none for a refresh.
    pub round: Option<RoundNumber>,
    /// Who gets the weight; it has to be the king that is stored.
    pub king: MinerKey,
    /// The seat it has at `block`.
    pub uid: Uid,
    /// The block of the snapshot that told the seat.
    pub block: u64,
    /// Every seat that is named, with its weight.
    pub weights: Vec<(Uid, f64)>,
    /// The signed transaction, in its sender's form: by it the sender finds out later whether it was sent.
    pub signed: serde_json::Value,
}

/// How weights were sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentWeights {
    /// The hash of the transaction, or what else names it.
    pub transaction: String,
    /// In which form.
    pub kind: WeightsKind,
    /// What their sender needs to see later what became of them.
    #[serde(default)]
    pub details: serde_json::Value,
}

/// In which form weights are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WeightsKind {
    /// They hold at once.
    Plain,
    /// They are encrypted and hold when the chain reveals them.
    CommitReveal {
        /// The drand round that opens them.
        reveal_round: u64,
        /// The epoch of the subnet in which they are revealed, where it is known.
        reveal_epoch: Option<u64>,
    },
}

/// How far a sending has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WeightsState {
    /// It may or may not have been sent.
    Intended,
    /// It was sent, and its effect was not seen yet.
    Sent(SentWeights),
    /// Its effect was seen on the chain.
    Confirmed {
        /// How it was sent, where that was recorded.
        sent: Option<SentWeights>,
        /// The block that has it.
        block: u64,
        /// When that was recorded.
        unix_ms: u64,
    },
    /// It has no effect on the chain and never will.
    Lost {
        /// How it was sent, where that was recorded.
        sent: Option<SentWeights>,
        /// How that is known.
        reason: String,
        /// When that was recorded.
        unix_ms: u64,
    },
}

/// A sending of weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredWeights {
    /// Its number.
    pub id: WeightsId,
    /// What was meant.
    pub intention: WeightsIntention,
    /// When.
    pub intended_unix_ms: u64,
    /// How far it has come.
    pub state: WeightsState,
}

impl Store {
    /// Records weights before they are sent, and gives the number to record the rest under.
    ///
    /// # Errors
    ///
    /// [`StoreError::WeightsPending`] where it is not known what became of others; [`StoreError::OtherKing`] where the
    /// weight would not go to the king; [`StoreError::NotFound`] where the round is not finished;
    /// [`StoreError::InvalidValue`] where the weights are not finite and positive or zero.
    pub fn intend_weights(&mut self, intention: &WeightsIntention, unix_ms: u64) -> Result<WeightsId, StoreError> {
        if let Some((uid, weight)) =
            intention.weights.iter().find(|(_, weight)| !weight.is_finite() || weight.is_sign_negative())
        {
            return Err(StoreError::InvalidValue { what: "weights", problem: format!("uid {uid} would get {weight}") });
        }
        let weights = to_json("weights", &intention.weights)?;
        let signed = to_json("signed weights", &intention.signed)?;
        self.write(|transaction| {
            let pending = transaction
                .query_row("SELECT id FROM weights WHERE is_pending = 1", [], |row| row.get(0))
                .optional()?;
            if let Some(pending) = pending {
                return Err(StoreError::WeightsPending { pending: WeightsId(pending) }.into());
            }
            let stored = current_king(transaction)?.map(|reign| reign.king.miner);
            if stored != Some(intention.king) {
                return Err(StoreError::OtherKing { planned: Some(intention.king), stored }.into());
            }
            if let Some(round) = intention.round {
                let is_finished: bool = transaction.query_row(
                    "SELECT EXISTS (SELECT 1 FROM rounds WHERE id = ?1 AND state = 'finished')",
                    [round.0],
                    |row| row.get(0),
                )?;
                if !is_finished {
                    return Err(StoreError::NotFound { what: format!("finished round {round}") }.into());
                }
            }
            transaction.execute(
                "INSERT INTO weights (round, hotkey, commit_block, uid, block, weights, signed, intended_unix_ms, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'intended')",
                (
                    intention.round.map(|round| round.0),
                    Text(intention.king.hotkey),
                    intention.king.commit_block,
                    intention.uid.0,
                    intention.block,
                    weights,
                    signed,
                    unix_ms,
                ),
            )?;
            Ok(WeightsId(transaction.last_insert_rowid()))
        })
    }

    /// Records that weights were sent.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where no such weights are on their way.
    pub fn weights_sent(&mut self, id: WeightsId, sent: &SentWeights, unix_ms: u64) -> Result<(), StoreError> {
        let sent = to_json("sent weights", sent)?;
        self.settle(id, |transaction| {
            transaction.execute(
                "UPDATE weights SET state = 'sent', sent = ?2, sent_unix_ms = ?3 WHERE id = ?1 AND is_pending = 1",
                (id.0, sent, unix_ms),
            )
        })
    }

    /// Records that the effect of weights was seen on the chain, in this block.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where no such weights are on their way.
    pub fn weights_confirmed(&mut self, id: WeightsId, block: u64, unix_ms: u64) -> Result<(), StoreError> {
        self.settle(id, |transaction| {
            transaction.execute(
                "UPDATE weights SET state = 'confirmed', settled_block = ?2, settled_unix_ms = ?3
                 WHERE id = ?1 AND is_pending = 1",
                (id.0, block, unix_ms),
            )
        })
    }

    /// Records that weights have no effect and never will.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where no such weights are on their way.
    pub fn weights_lost(&mut self, id: WeightsId, reason: &str, unix_ms: u64) -> Result<(), StoreError> {
        self.settle(id, |transaction| {
            transaction.execute(
                "UPDATE weights SET state = 'lost', lost_reason = ?2, settled_unix_ms = ?3
                 WHERE id = ?1 AND is_pending = 1",
                (id.0, reason, unix_ms),
            )
        })
    }

    fn settle(
        &mut self,
        id: WeightsId,
        update: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<usize>,
    ) -> Result<(), StoreError> {
        self.write(|transaction| match update(transaction)? {
            0 => Err(StoreError::NotFound { what: format!("weights {id} on their way") }.into()),
            _ => Ok(()),
        })
    }
}

impl StoreReader {
    /// The weights whose outcome is not known yet.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn pending_weights(&self) -> Result<Option<StoredWeights>, StoreError> {
        self.one_sending("SELECT * FROM weights WHERE is_pending = 1")
    }

    /// The weights last seen on the chain.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn last_confirmed_weights(&self) -> Result<Option<StoredWeights>, StoreError> {
        self.one_sending("SELECT * FROM weights WHERE state = 'confirmed' ORDER BY id DESC LIMIT 1")
    }

    /// All sendings, the newest first: `limit` of them after the first `offset`.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn weights_history(&self, offset: u64, limit: u64) -> Result<Vec<StoredWeights>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT * FROM weights ORDER BY id DESC LIMIT ?2 OFFSET ?1")?;
            Ok(statement.query_map((offset, limit), stored_weights)?.collect::<Result<_, _>>()?)
        })
    }

    fn one_sending(&self, sql: &str) -> Result<Option<StoredWeights>, StoreError> {
        self.read(|connection| Ok(connection.query_row(sql, [], stored_weights).optional()?))
    }
}

fn stored_weights(row: &Row<'_>) -> rusqlite::Result<StoredWeights> {
    let sent = row.get::<_, Option<Json<SentWeights>>>("sent")?.map(|json| json.0);
    let state = match (row.get_ref("state")?.as_str()?, sent) {
        ("sent", Some(sent)) => WeightsState::Sent(sent),
        ("confirmed", sent) => {
            WeightsState::Confirmed { sent, block: row.get("settled_block")?, unix_ms: row.get("settled_unix_ms")? }
        }
        ("lost", sent) => {
            WeightsState::Lost { sent, reason: row.get("lost_reason")?, unix_ms: row.get("settled_unix_ms")? }
        }
        _ => WeightsState::Intended,
    };
    Ok(StoredWeights {
        id: WeightsId(row.get("id")?),
        intention: WeightsIntention {
            round: row.get::<_, Option<i64>>("round")?.map(RoundNumber),
            king: miner(row)?,
            uid: Uid(row.get("uid")?),
            block: row.get("block")?,
            weights: json(row, "weights")?,
            signed: json(row, "signed")?,
        },
        intended_unix_ms: row.get("intended_unix_ms")?,
        state,
    })
}
