//! Funds and nonces.

use super::{BlockExecution, CallError};
use crate::pallets::{balances, system};
use crate::types::account::{AccountId32, Address};
use crate::types::dispatch::{DispatchError, TokenError};

/// What a call that is not free costs: a sum for itself and one for each byte, in rao.
pub(super) fn fee(length_bytes: usize) -> u64 {
    const BASE: u64 = 100_000;
    const PER_BYTE: u64 = 1_000;
    BASE.saturating_add(PER_BYTE.saturating_mul(length_bytes as u64))
}

impl BlockExecution<'_> {
    /// Uses up one nonce.
    pub(super) fn increment_nonce(&mut self, who: AccountId32) {
        let mut account = system::ACCOUNT.get(&self.storage, (who,));
        account.nonce = account.nonce.wrapping_add(1);
        system::ACCOUNT.put(&mut self.storage, (who,), &account);
    }

    /// Takes a fee. False, and nothing is taken, where there is too little.
    pub(super) fn withdraw(&mut self, who: AccountId32, amount: u64) -> bool {
        let mut account = system::ACCOUNT.get(&self.storage, (who,));
        let Some(free) = account.data.free.checked_sub(amount) else { return false };
        account.data.free = free;
        system::ACCOUNT.put(&mut self.storage, (who,), &account);
        self.change_issuance(|issuance| issuance.saturating_sub(amount));
        self.deposit(balances::Event::Withdraw { who, amount });
        true
    }

    /// Gives an account this much more.
    pub(super) fn endow(&mut self, who: AccountId32, amount: u64) {
        let mut account = system::ACCOUNT.get(&self.storage, (who,));
        if account.providers == 0 {
            account.providers = 1;
            self.deposit(system::Event::NewAccount { account: who });
            self.deposit(balances::Event::Endowed { account: who, free_balance: amount });
        }
        account.data.free = account.data.free.saturating_add(amount);
        system::ACCOUNT.put(&mut self.storage, (who,), &account);
        self.change_issuance(|issuance| issuance.saturating_add(amount));
    }

    fn change_issuance(&mut self, change: impl FnOnce(u64) -> u64) {
        let issuance = balances::TOTAL_ISSUANCE.get(&self.storage, ());
        balances::TOTAL_ISSUANCE.put(&mut self.storage, (), &change(issuance));
    }

    pub(super) fn transfer(
        &mut self,
        from: AccountId32,
        to: &Address,
        amount: u64,
        keep_alive: bool,
    ) -> Result<(), CallError> {
        let Address::Id(to) = *to else { return Err(CallError::Other(DispatchError::CannotLookup)) };
        let mut sender = system::ACCOUNT.get(&self.storage, (from,));
        let Some(left) = sender.data.free.checked_sub(amount) else {
            return Err(CallError::Other(DispatchError::Token(TokenError::FundsUnavailable)));
        };
        if left < balances::EXISTENTIAL_DEPOSIT {
            if keep_alive {
                return Err(balances::Error::Expendability.into());
            }
            // What is less than an account must hold is lost with it.
            sender.providers = 0;
        }
        let receiver = system::ACCOUNT.get(&self.storage, (to,));
        if receiver.data.free.saturating_add(amount) < balances::EXISTENTIAL_DEPOSIT {
            return Err(CallError::Other(DispatchError::Token(TokenError::BelowMinimum)));
        }
        if from != to {
            sender.data.free = if sender.providers == 0 { 0 } else { left };
            system::ACCOUNT.put(&mut self.storage, (from,), &sender);
            let lost = if sender.providers == 0 { left } else { 0 };
            // What is transferred is not new.
            self.change_issuance(|issuance| issuance.saturating_sub(amount).saturating_sub(lost));
            self.endow(to, amount);
        }
        self.deposit(balances::Event::Transfer { from, to, amount });
        Ok(())
    }
}
