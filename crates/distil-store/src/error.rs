use std::path::PathBuf;

use distil_types::MinerKey;

use crate::{RoundNumber, WeightsId};

/// Why something is not in the store, or cannot be had from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store at this place.
    #[error("{} holds no state of a validator: start one there first, or name another folder", path.display())]
    NoState {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a store of Distil: {problem}; move it away, or name another folder", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        problem: String,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged: {problem}; stop the validator, keep the file for inspection, and put a backup in its place",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// A newer version of this program has written the file.
    #[error("{} has schema {found}, and this version knows schemas up to {known}: use a newer distil", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema this version knows.
        known: i64,
    },
    /// An older version has written the file, and it is open to read only.
    #[error(
        "{} has schema {found}, older than schema {known}: a validator of this version brings it up to date when it starts",
        path.display()
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema that is needed.
        known: i64,
    },
    /// Another process writes to this store.
    #[error(
        "another validator uses {}{}: stop it first, or give this one a folder of its own",
        path.display(),
        holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    InUse {
        /// The lock.
        path: PathBuf,
        /// The process that holds it, where that could be read.
        holder: Option<u32>,
    },
    /// The folder or the file cannot be written.
    #[error("{} cannot be written: {problem}; give this user the right to, or name another folder", path.display())]
    NotWritable {
        /// What cannot be written.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// The file cannot be opened.
    #[error("{} cannot be opened: {problem}", path.display())]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// No space is left. Nothing of the step was written.
    #[error("no space is left to write {}: free some, the step was not taken and can be tried again", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Another process held the file for too long.
    #[error("{} was busy for too long: try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed. Nothing of the step was written.
    #[error("{} cannot be read or written: {problem}; look at the disk, the step was not taken", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// Something in the store is not what this version expects there.
    #[error("{} holds something that this version cannot read: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it is.
        problem: String,
    },
    /// Any other answer of SQLite.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The store belongs to another subnet or chain.
    #[error("the state is of {stored}, and this is {given}: give each subnet a folder of its own")]
    OtherSubnet {
        /// What the store is of.
        stored: String,
        /// What was asked for.
        given: String,
    },
    /// A number or text that cannot be stored.
    #[error("{what} cannot be stored: {problem}")]
    InvalidValue {
        /// What was given.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A round is open already.
    #[error("round {round} is still open: finish it or declare it void before another one begins")]
    RoundOpen {
        /// The open round.
        round: RoundNumber,
    },
    /// The round of this block was finished.
    #[error("round {round} of block {block} is finished: it is never evaluated again")]
    RoundFinished {
        /// The finished round.
        round: RoundNumber,
        /// Its block.
        block: u64,
    },
    /// The round is not open: it does not exist, is finished, or is void.
    #[error("round {round} is not open: it is {state}")]
    NotOpen {
        /// The round.
        round: RoundNumber,
        /// What it is instead.
        state: String,
    },
    /// The plan was made for another king than the one stored.
    #[error("the round was planned with {} as king, but the king is {}", shown(planned), shown(stored))]
    OtherKing {
        /// Who was given.
        planned: Option<MinerKey>,
        /// Who is king.
        stored: Option<MinerKey>,
    },
    /// The miner does not take part in the round.
    #[error("{miner} takes no part in round {round}")]
    NotInRound {
        /// The round.
        round: RoundNumber,
        /// The miner.
        miner: MinerKey,
    },
    /// There is a result already.
    #[error("{miner} has a result in round {round} already: results are never replaced")]
    ResultExists {
        /// The round.
        round: RoundNumber,
        /// The miner.
        miner: MinerKey,
    },
    /// Something was recorded before, and differently.
    #[error("{what} was recorded before, and differently: {problem}")]
    Conflict {
        /// What was recorded.
        what: &'static str,
        /// How the two differ.
        problem: String,
    },
    /// There is nothing of the kind.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Weights are on their way, and what became of them is not recorded yet.
    #[error("weights {pending} are on their way: look at the chain and record what became of them first")]
    WeightsPending {
        /// Which ones.
        pending: WeightsId,
    },
}

fn shown(miner: &Option<MinerKey>) -> String {
    miner.map_or_else(|| "nobody".to_owned(), |miner| miner.to_string())
}

impl StoreError {
    /// Whether the same step may succeed later, with nothing changed but the state of the machine.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            StoreError::DiskFull { .. } | StoreError::Busy { .. } | StoreError::Io { .. } | StoreError::InUse { .. }
        )
    }
}
