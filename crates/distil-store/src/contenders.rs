//! Those of all miners ever seen on whom the next round may turn, with what stands for and against each.
//!
//! A subnet has some hundred seats and, over the years, a hundred thousand miners that once had one. What an epoch needs
//! is read for those alone who can make a difference, and without the reports of their checks, which are long.

use std::collections::BTreeMap;

use distil_scoring::{Disqualification, Evaluation};
use distil_types::{Commitment, MinerKey};
use rusqlite::{OptionalExtension as _, Row};

use crate::checks::{CheckState, check_state};
use crate::sql::{Json, commitment, disqualification_code, json, miner};
use crate::{StoreError, StoreReader};

/// What stands for and against a miner.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// Who.
    pub miner: MinerKey,
    /// Its model.
    pub commitment: Commitment,
    /// What came of the newest check of its repository, if there was one.
    pub check: Option<CheckState>,
    /// The disqualification that stands.
    pub disqualification: Option<Disqualification>,
    /// How many isolated failures it has.
    pub isolated_failures: u32,
    /// Its newest evaluation that is done.
    pub evaluation: Option<Evaluation>,
    /// How often in a row it was kept from a result through no fault of its own.
    pub interruptions: u32,
}

/// What is known of those in `who`.
const KNOWN: &str = "
    SELECT who.hotkey, who.commit_block, who.model, who.revision,
        checks.state, checks.codes, checks.sentence, checks.tries, checks.not_before_unix_s,
        out.code, out.sentence AS out_sentence, out.evidence,
        (SELECT count(*) FROM failures
         WHERE failures.hotkey = who.hotkey AND failures.commit_block = who.commit_block) AS failures,
        (SELECT count(*) FROM interruptions
         WHERE interruptions.hotkey = who.hotkey AND interruptions.commit_block = who.commit_block) AS interruptions,
        evaluated.evaluation
    FROM who
    LEFT JOIN checks ON checks.hotkey = who.hotkey AND checks.commit_block = who.commit_block
    LEFT JOIN disqualifications AS out
        ON out.hotkey = who.hotkey AND out.commit_block = who.commit_block AND out.lifted_unix_ms IS NULL
    LEFT JOIN evaluated ON evaluated.hotkey = who.hotkey AND evaluated.commit_block = who.commit_block";

impl StoreReader {
    /// Every miner of the newest snapshot that has a commitment which counts, and everybody who ever committed the same
    /// model at the same revision as one of them: a commitment stays the earlier one when its miner leaves.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn contenders(&self) -> Result<BTreeMap<MinerKey, Contender>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "WITH
                    seated AS MATERIALIZED (
                        SELECT hotkey, registration_block, commit_block, model, revision FROM seen_miners
                        WHERE commit_block IS NOT NULL AND last_seen_block = (SELECT max(block) FROM snapshots)
                    ),
                    -- The same commitment may be of two registrations of a hotkey. The table is gone through in its own
                    -- order: by an index, each of its rows would be looked up to find the few that are wanted.
                    who AS MATERIALIZED (
                        SELECT hotkey, commit_block, model, revision, min(registration_block)
                        FROM seen_miners NOT INDEXED
                        WHERE commit_block IS NOT NULL AND (model, revision) IN (SELECT model, revision FROM seated)
                        GROUP BY hotkey, commit_block
                    )
                 {KNOWN}"
            ))?;
            let rows = statement.query_map([], |row| Ok((miner(row)?, contender(row)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The king as a contender, whether it has a seat or not.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn contending_king(&self) -> Result<Option<Contender>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "WITH who AS (SELECT hotkey, commit_block, model, revision FROM reigns WHERE reigns = 1) {KNOWN}"
            ))?;
            Ok(statement.query_row([], contender).optional()?)
        })
    }
}

fn contender(row: &Row<'_>) -> rusqlite::Result<Contender> {
    let key = miner(row)?;
    let check = match row.get_ref("state")?.as_str_or_null()? {
        Some(_) => Some(check_state(row)?),
        None => None,
    };
    let disqualification = match row.get_ref("code")?.as_str_or_null()? {
        Some(_) => Some(Disqualification {
            miner: key,
            code: disqualification_code(row)?,
            sentence: row.get("out_sentence")?,
            evidence: json(row, "evidence")?,
        }),
        None => None,
    };
    Ok(Contender {
        miner: key,
        commitment: commitment(row)?,
        check,
        disqualification,
        isolated_failures: row.get("failures")?,
        evaluation: row.get::<_, Option<Json<Evaluation>>>("evaluation")?.map(|json| json.0),
        interruptions: row.get("interruptions")?,
    })
}
