//! How a transaction comes into the pool.

use super::Chain;
use crate::extrinsic::{CheckError, FormatError, SignedExtrinsic, check};
use crate::pallets::system;
use crate::pool::PoolError;
use crate::types::account::{AccountId32, H256};
use crate::types::dispatch::InvalidTransaction;

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubmitError {
    Format(FormatError),
    Undecodable,
    Invalid(InvalidTransaction),
    Pool(PoolError),
}

impl Chain {
    /// Takes a transaction into the pool. True where it can go into the next block, false where it waits for another
    /// nonce.
    pub(crate) fn submit(&mut self, bytes: &[u8]) -> Result<(H256, bool), SubmitError> {
        let extrinsic = SignedExtrinsic::decode(bytes).map_err(SubmitError::Format)?;
        if self.pool.all().iter().any(|other| other.hash == extrinsic.hash) {
            return Err(SubmitError::Pool(PoolError::AlreadyImported(extrinsic.hash)));
        }
        let checked = self
            .with_conditions(self.best().number(), |conditions| check(&extrinsic, conditions))
            .unwrap_or(Err(CheckError::Undecodable));
        match checked {
            Err(CheckError::Undecodable) => return Err(SubmitError::Undecodable),
            Err(CheckError::Invalid(reason)) => return Err(SubmitError::Invalid(reason)),
            Ok(_) => {}
        }
        let (hash, signer, nonce) = (extrinsic.hash, extrinsic.signer, extrinsic.nonce);
        let is_ready = nonce <= self.next_nonce(signer);
        let inserted = self.pool.insert(extrinsic).map_err(SubmitError::Pool)?;
        if let Some(replaced) = inserted.replaced {
            self.subscribers.usurped(replaced.hash, hash);
        }
        Ok((hash, is_ready))
    }

    /// The nonce that an account should use next, with those counted that wait in the pool.
    pub(crate) fn next_nonce(&self, who: AccountId32) -> u32 {
        let stored = system::ACCOUNT.get(&self.best_storage(), (who,)).nonce;
        self.pool.next_nonce(who, stored)
    }
}
