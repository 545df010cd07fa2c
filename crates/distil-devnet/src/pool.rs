//! Transactions that wait for their block.

use crate::extrinsic::SignedExtrinsic;
use crate::types::account::{AccountId32, H256};

/// The most transactions that wait.
const MAX_TRANSACTIONS: usize = 8192;

/// Why the pool does not take a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PoolError {
    AlreadyImported(H256),
    /// Another one of the same account and nonce has no lower tip.
    TooLowPriority {
        old: u64,
        new: u64,
    },
    Full,
}

/// What became of a transaction that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// The one of the same account and nonce that had to go.
    pub(crate) replaced: Option<SignedExtrinsic>,
}

/// The transactions, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    transactions: Vec<SignedExtrinsic>,
}

impl Pool {
    pub(crate) fn insert(&mut self, extrinsic: SignedExtrinsic) -> Result<Inserted, PoolError> {
        if self.transactions.iter().any(|other| other.hash == extrinsic.hash) {
            return Err(PoolError::AlreadyImported(extrinsic.hash));
        }
        let same = |other: &SignedExtrinsic| other.signer == extrinsic.signer && other.nonce == extrinsic.nonce;
        if let Some(at) = self.transactions.iter().position(same) {
            let (old, new) = (self.transactions[at].tip, extrinsic.tip);
            if new <= old {
                return Err(PoolError::TooLowPriority { old, new });
            }
            let replaced = std::mem::replace(&mut self.transactions[at], extrinsic);
            return Ok(Inserted { replaced: Some(replaced) });
        }
        if self.transactions.len() >= MAX_TRANSACTIONS {
            return Err(PoolError::Full);
        }
        self.transactions.push(extrinsic);
        Ok(Inserted { replaced: None })
    }

    /// Takes out the oldest transaction that uses its account's next nonce.
    pub(crate) fn take_ready(&mut self, next_nonce: impl Fn(AccountId32) -> u32) -> Option<SignedExtrinsic> {
        let ready = self.transactions.iter().position(|extrinsic| extrinsic.nonce <= next_nonce(extrinsic.signer))?;
        Some(self.transactions.remove(ready))
    }

    /// Takes out all that fail the test.
    pub(crate) fn take_failing(&mut self, passes: impl Fn(&SignedExtrinsic) -> bool) -> Vec<SignedExtrinsic> {
        self.transactions.extract_if(.., |extrinsic| !passes(extrinsic)).collect()
    }

    pub(crate) fn all(&self) -> &[SignedExtrinsic] {
        &self.transactions
    }

    pub(crate) fn clear(&mut self) -> Vec<SignedExtrinsic> {
        std::mem::take(&mut self.transactions)
    }

    /// The nonce that follows those of the account that are in its storage or wait here without a gap.
    pub(crate) fn next_nonce(&self, who: AccountId32, stored: u32) -> u32 {
        let mut next = stored;
        while self.transactions.iter().any(|extrinsic| extrinsic.signer == who && extrinsic.nonce == next) {
            next += 1;
        }
        next
    }
}
