//! What can go wrong with a chain, and what to do about it.

use super::{ExistingCommitment, SnapshotRefusal};
use crate::timelock::TimelockError;
use crate::weights::WeightsError;
use distil_types::{BlockHash, BlockRef, Hotkey, NetUid};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// It may pass: do the whole operation again after a pause.
    TryAgain,
    /// The chain will not have it before this many blocks are made.
    Wait {
        /// At least this many.
        blocks: u64,
    },
    /// Doing the same again gives the same.
    Never,
}

/// Why the chain could not be read, or did not take what was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A setting that cannot work.
    #[error("{setting}: {problem}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// No connection came about, or it broke.
    #[error("{endpoint}: {problem}")]
    Transport {
        /// The node.
        endpoint: String,
        /// What happened, in the words of the network.
        problem: String,
    },
    /// The node is of another chain than the others, or than the settings say.
    #[error("{endpoint} is a node of another chain: its block 0 is {found}, and that of the right chain is {expected}")]
    OtherChain {
        /// The node.
        endpoint: String,
        /// The hash of its block 0.
        found: BlockHash,
        /// What it should be.
        expected: BlockHash,
    },
    /// A request was not answered in time.
    #[error("{endpoint} did not answer {request} within {timeout_ms} ms")]
    Timeout {
        /// The node.
        endpoint: String,
        /// The request.
        request: String,
        /// How long it was waited for.
        timeout_ms: u64,
    },
    /// The operation took longer than it may.
    #[error("{operation} was not done within {deadline_ms} ms")]
    Deadline {
        /// What was being done.
        operation: &'static str,
        /// The setting.
        deadline_ms: u64,
    },
    /// The node answered with an error.
    #[error("{endpoint} answered {request} with error {code}: {message}")]
    Node {
        /// The node.
        endpoint: String,
        /// The request.
        request: String,
        /// JSON-RPC's code.
        code: i32,
        /// What it says, shortened.
        message: String,
    },
    /// The pool of transactions did not take ours (codes 1010 to 1016).
    #[error("the chain's pool refused the transaction with error {code}: {message}")]
    Pool {
        /// The code.
        code: i32,
        /// What it says, shortened.
        message: String,
    },
    /// The transaction is in a block and failed there.
    #[error("the chain refused it in block {block}: {pallet}::{error}")]
    Dispatch {
        /// The pallet whose error it is, by the metadata of the block.
        pallet: String,
        /// The name of the error.
        error: String,
        /// The block that holds the transaction.
        block: u64,
        /// The blocks until the limit that it hit is over, where it is one.
        wait_blocks: Option<u64>,
    },
    /// The runtime has not what is needed, or has it in another form.
    #[error("the chain's runtime (spec version {spec_version}) does not fit this client: {problem}")]
    UnsupportedMetadata {
        /// The runtime's version.
        spec_version: u32,
        /// What is missing or different.
        problem: String,
    },
    /// The node has no such block.
    #[error("the node does not have block {block}: it lags behind, or does not keep it any more")]
    NoBlock {
        /// The block.
        block: u64,
    },
    /// An answer that cannot be read or is out of bounds.
    #[error("{what} cannot be used: {problem}")]
    Malformed {
        /// Which answer.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such subnet.
    #[error("there is no subnet {netuid} at block {block}")]
    NoSubnet {
        /// The subnet.
        netuid: NetUid,
        /// When.
        block: BlockRef,
    },
    /// A snapshot that cannot be true.
    #[error("the snapshot is refused: {0}")]
    Snapshot(#[from] SnapshotRefusal),
    /// The hotkey has no seat.
    #[error("{hotkey} is not registered on subnet {netuid}")]
    NotRegistered {
        /// Who.
        hotkey: Hotkey,
        /// Where.
        netuid: NetUid,
    },
    /// The hotkey has committed before.
    #[error(
        "this hotkey has committed already, in block {}: {existing}; one submission counts for each registration",
        existing.block
    )]
    AlreadyCommitted {
        /// What and when.
        existing: ExistingCommitment,
    },
    /// The hotkey has committed as much as it may in this epoch.
    #[error(
        "the commitment needs {needed_bytes} bytes of the hotkey's quota, and {used_bytes} of {max_bytes} are used in \
         this epoch"
    )]
    QuotaExceeded {
        /// What is used.
        used_bytes: u64,
        /// What the chain would charge.
        needed_bytes: u64,
        /// The quota of an epoch.
        max_bytes: u64,
        /// The blocks until the next epoch; none where the quota is too small in any.
        wait_blocks: Option<u64>,
    },
    /// The hotkey has set or committed weights too short a while ago.
    #[error("{hotkey} cannot set weights for another {wait_blocks} blocks: {limit}")]
    RateLimited {
        /// Who.
        hotkey: Hotkey,
        /// Which limit.
        limit: &'static str,
        /// At least so many blocks.
        wait_blocks: u64,
    },
    /// The hotkey may not set weights for others.
    #[error("{hotkey} has no validator permit on subnet {netuid} at block {block}")]
    NoValidatorPermit {
        /// Who.
        hotkey: Hotkey,
        /// Where.
        netuid: NetUid,
        /// When.
        block: BlockRef,
    },
    /// Weights are committed and revealed an epoch later, and the subnet has no epochs.
    #[error("subnet {netuid} has a tempo of 0, so weights that are committed would never be revealed")]
    NoEpochs {
        /// Where.
        netuid: NetUid,
    },
    /// Weights that are no row.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The node knows of a transaction of this hotkey that is not final yet, so a second one could do harm.
    #[error("{hotkey} has a transaction under way that is not final yet (nonce {nonce}); wait until it is")]
    InFlight {
        /// Who.
        hotkey: Hotkey,
        /// The nonce of the transaction.
        nonce: u64,
    },
    /// It was sent, or may have been, and neither a block nor the storage shows it.
    #[error(
        "the transaction {hash} may have been sent, but no block shows it up to block {block}, after which it is void"
    )]
    NotIncluded {
        /// The transaction.
        hash: String,
        /// The last block in which it could have been.
        block: u64,
    },
    /// It was sent, or may have been, and it is not known what became of it.
    #[error("the transaction {hash} was sent and its fate is unknown; look before sending another: {problem}")]
    FateUnknown {
        /// The transaction.
        hash: String,
        /// Why.
        problem: String,
    },
    /// It could not be encrypted.
    #[error(transparent)]
    Timelock(#[from] TimelockError),
}

/// Errors of the chain by name that a later block does not have, because a limit is over then.
pub(super) const LIMITS: [&str; 5] = [
    "SpaceLimitExceeded",
    "SettingWeightsTooFast",
    "CommittingWeightsTooFast",
    "TooManyUnrevealedCommits",
    "CommitQueueFull",
];

/// `true` for an error of the chain that is over after some blocks.
pub(super) fn is_limit(error: &str) -> bool {
    LIMITS.contains(&error)
}

/// A limit is over after an epoch at the latest; this is the chain's usual one, for when nobody said which.
const USUAL_EPOCH_BLOCKS: u64 = 361;
/// The chain's code for "rate limit exceeded" within the pool's 1010.
const POOL_RATE_LIMIT: u32 = 6;

impl ChainError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            ChainError::Transport { .. }
            | ChainError::Timeout { .. }
            | ChainError::Deadline { .. }
            | ChainError::Node { .. }
            | ChainError::NoBlock { .. }
            | ChainError::Malformed { .. }
            | ChainError::InFlight { .. }
            | ChainError::NotIncluded { .. }
            | ChainError::FateUnknown { .. } => ErrorClass::TryAgain,
            ChainError::Snapshot(refusal) => refusal.class(),
            ChainError::Pool { code, message } => pool_class(*code, message),
            ChainError::Dispatch { wait_blocks: Some(blocks), .. }
            | ChainError::QuotaExceeded { wait_blocks: Some(blocks), .. }
            | ChainError::RateLimited { wait_blocks: blocks, .. } => ErrorClass::Wait { blocks: *blocks },
            ChainError::Dispatch { error, .. } if is_limit(error) => ErrorClass::Wait { blocks: USUAL_EPOCH_BLOCKS },
            ChainError::Timelock(TimelockError::NoRandomness(_)) => ErrorClass::TryAgain,
            ChainError::Setting { .. }
            | ChainError::OtherChain { .. }
            | ChainError::Dispatch { .. }
            | ChainError::UnsupportedMetadata { .. }
            | ChainError::NoSubnet { .. }
            | ChainError::NotRegistered { .. }
            | ChainError::AlreadyCommitted { .. }
            | ChainError::QuotaExceeded { .. }
            | ChainError::NoValidatorPermit { .. }
            | ChainError::NoEpochs { .. }
            | ChainError::Weights(_)
            | ChainError::Timelock(_) => ErrorClass::Never,
        }
    }

    /// Whether doing the same again after a pause may succeed.
    pub fn is_transient(&self) -> bool {
        self.class() != ErrorClass::Never
    }

    /// Whether the connection is not to be used again.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(
            self,
            ChainError::Transport { .. }
                | ChainError::Timeout { .. }
                | ChainError::Deadline { .. }
                | ChainError::Node { .. }
                | ChainError::NoBlock { .. }
                | ChainError::Malformed { .. }
                | ChainError::Snapshot(_)
        )
    }

    /// Whether another endpoint may do better at reading.
    pub(super) fn is_of_endpoint(&self) -> bool {
        matches!(
            self,
            ChainError::Transport { .. }
                | ChainError::Timeout { .. }
                | ChainError::Node { .. }
                | ChainError::NoBlock { .. }
                | ChainError::OtherChain { .. }
        )
    }
}

fn pool_class(code: i32, message: &str) -> ErrorClass {
    // Banned, already imported, too low priority, dropped: another transaction of ours may be there, or the pool is full.
    if code != 1010 {
        return ErrorClass::TryAgain;
    }
    if let Some((_, number)) = message.split_once("Custom error: ") {
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        return match digits.parse() {
            Ok(POOL_RATE_LIMIT) => ErrorClass::Wait { blocks: USUAL_EPOCH_BLOCKS },
            _ => ErrorClass::Never,
        };
    }
    // A stale nonce, an old birth block, or a signature for the runtime before: signed anew it is a good one.
    let passes = ["outdated", "ancient birth block", "bad signature", "future"];
    if passes.iter().any(|words| message.contains(words)) { ErrorClass::TryAgain } else { ErrorClass::Never }
}

/// Words from outside, short and printable.
pub(super) fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let mut short: String =
        text.chars().take(MAX_CHARS).map(|character| if character.is_control() { ' ' } else { character }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_errors_are_sorted_by_code_and_words() {
        let class = |code, message: &str| ChainError::Pool { code, message: message.to_owned() }.class();
        for code in [1012, 1013, 1014, 1016] {
            assert_eq!(class(code, "whatever"), ErrorClass::TryAgain, "{code}");
        }
        assert_eq!(class(1010, "Invalid Transaction: Transaction is outdated"), ErrorClass::TryAgain);
        assert_eq!(class(1010, "Invalid Transaction: Transaction has a bad signature"), ErrorClass::TryAgain);
        assert_eq!(class(1010, "Invalid Transaction: Inability to pay some fees"), ErrorClass::Never);
        assert_eq!(class(1010, "Invalid Transaction: Custom error: 6"), ErrorClass::Wait { blocks: 361 });
        assert_eq!(class(1010, "Invalid Transaction: Custom error: 10"), ErrorClass::Never);
    }

    #[test]
    fn errors_of_a_limit_say_how_long() {
        let dispatch = |error: &str, wait_blocks| ChainError::Dispatch {
            pallet: "Commitments".to_owned(),
            error: error.to_owned(),
            block: 5,
            wait_blocks,
        };
        assert_eq!(dispatch("SpaceLimitExceeded", Some(7)).class(), ErrorClass::Wait { blocks: 7 });
        assert_eq!(dispatch("SpaceLimitExceeded", None).class(), ErrorClass::Wait { blocks: 361 });
        assert_eq!(dispatch("AccountNotAllowedCommit", None).class(), ErrorClass::Never);
        assert!(dispatch("AccountNotAllowedCommit", None).to_string().contains("Commitments::AccountNotAllowedCommit"));
    }

    #[test]
    fn words_from_outside_are_short_and_printable() {
        assert_eq!(shortened("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(shortened(&"x".repeat(1000)).chars().count(), 201);
    }
}
