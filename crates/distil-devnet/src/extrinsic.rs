//! Signed extrinsics: read from bytes, and checked against a runtime.

use crate::hashing::blake2_256;
use crate::pallets::{RuntimeCall, system};
use crate::runtime::{Runtime, pool_check};
use crate::state::Read;
use crate::types::account::{AccountId32, Address, H256, MultiSignature};
use crate::types::dispatch::{InvalidTransaction, Pays};
use crate::types::extrinsic::extensions::Mode;
use crate::types::extrinsic::{Era, Extra};
use parity_scale_codec::{Compact, Decode, Encode};
use schnorrkel::{PublicKey, Signature};

const SIGNED_V4: u8 = 0x84;
const SIGNING_CONTEXT: &[u8] = b"substrate";
/// What is signed is hashed first where it is longer.
const MAX_SIGNED_BYTES: usize = 256;

/// Why bytes are no signed extrinsic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FormatError {
    /// The length prefix is wrong.
    Length,
    /// Another version, or without a signature, which nobody may submit here.
    Version,
    /// A part of it cannot be read.
    Part(&'static str),
}

impl FormatError {
    pub(crate) fn message(&self) -> String {
        match self {
            FormatError::Length => "its length prefix does not fit".to_owned(),
            FormatError::Version => "it is not a signed extrinsic of version 4".to_owned(),
            FormatError::Part(part) => format!("its {part} cannot be read"),
        }
    }
}

/// A signed extrinsic whose parts are known; whether it may be included is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedExtrinsic {
    /// As it was submitted, with its length prefix: what blocks hold.
    pub(crate) bytes: Vec<u8>,
    pub(crate) hash: H256,
    pub(crate) signer: AccountId32,
    pub(crate) nonce: u32,
    pub(crate) tip: u64,
    pub(crate) era: Era,
    signature: MultiSignature,
    mode: Mode,
    extra: Vec<u8>,
    /// With the indices of the runtime it was made for.
    call: Vec<u8>,
}

impl SignedExtrinsic {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = bytes;
        let length = Compact::<u32>::decode(&mut input).map_err(|_| FormatError::Length)?;
        if length.0 as usize != input.len() {
            return Err(FormatError::Length);
        }
        let version = u8::decode(&mut input).map_err(|_| FormatError::Version)?;
        if version != SIGNED_V4 {
            return Err(FormatError::Version);
        }
        let address = Address::decode(&mut input).map_err(|_| FormatError::Part("address"))?;
        let Address::Id(signer) = address else { return Err(FormatError::Part("address")) };
        let signature = MultiSignature::decode(&mut input).map_err(|_| FormatError::Part("signature"))?;
        let before = input;
        let extra = Extra::decode(&mut input).map_err(|_| FormatError::Part("transaction extensions"))?;
        Ok(SignedExtrinsic {
            hash: H256(blake2_256(bytes)),
            bytes: bytes.to_vec(),
            signer,
            nonce: extra.5.0,
            tip: extra.7.0,
            era: extra.4.0,
            signature,
            mode: extra.11.mode,
            extra: before[..before.len() - input.len()].to_vec(),
            call: input.to_vec(),
        })
    }

    /// What it calls, in a runtime.
    pub(crate) fn call(&self, runtime: &Runtime) -> Option<RuntimeCall> {
        let canonical = runtime.layout.call_to_canonical(&self.call)?;
        let mut input = &canonical[..];
        let call = RuntimeCall::decode(&mut input).ok()?;
        input.is_empty().then_some(call)
    }
}

/// What a transaction is checked against: the state of a block, for inclusion in the next one.
pub(crate) struct Conditions<'a, R> {
    pub(crate) storage: &'a R,
    pub(crate) runtime: &'a Runtime,
    /// The number of the block that it should go into.
    pub(crate) number: u32,
    pub(crate) genesis_hash: H256,
    /// The hash of an earlier block that is not too old.
    pub(crate) hash_of: &'a dyn Fn(u32) -> Option<H256>,
    pub(crate) pool_checks_weights: bool,
}

/// A transaction that may be included, now or once those with a lower nonce are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) call: RuntimeCall,
    /// The nonce that the account would have to use next.
    pub(crate) next_nonce: u32,
}

/// Why a transaction is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckError {
    Invalid(InvalidTransaction),
    /// The runtime cannot decode the call: on the real chain it traps.
    Undecodable,
}

impl From<InvalidTransaction> for CheckError {
    fn from(reason: InvalidTransaction) -> Self {
        CheckError::Invalid(reason)
    }
}

/// Everything that is checked before a transaction enters the pool, and again before it enters a block. A nonce that is
/// too high is no error here: the pool waits.
pub(crate) fn check<R: Read>(
    extrinsic: &SignedExtrinsic,
    conditions: &Conditions<'_, R>,
) -> Result<Checked, CheckError> {
    let Conditions { storage, runtime, .. } = *conditions;
    let call = extrinsic.call(runtime).ok_or(CheckError::Undecodable)?;
    if extrinsic.signer == AccountId32::default() {
        return Err(InvalidTransaction::BadSigner.into());
    }

    let birth = extrinsic.era.birth(conditions.number.into());
    let birth_hash = match extrinsic.era {
        Era::Immortal => conditions.genesis_hash,
        Era::Mortal { .. } => {
            let hash = u32::try_from(birth).ok().and_then(conditions.hash_of);
            hash.ok_or(InvalidTransaction::AncientBirthBlock)?
        }
    };
    verify(extrinsic, runtime, conditions.genesis_hash, birth_hash)?;

    let account = system::ACCOUNT.get(storage, (extrinsic.signer,));
    if extrinsic.nonce < account.nonce {
        return Err(InvalidTransaction::Stale.into());
    }
    // An account without funds may send what is free: so the chain's own check of nonces has it.
    let (_, pays) = crate::runtime::Dispatched::info(&call);
    if pays == Pays::Yes {
        let fee = crate::runtime::Dispatched::fee(extrinsic.bytes.len(), extrinsic.tip);
        if account.data.free < fee {
            return Err(InvalidTransaction::Payment.into());
        }
    }
    if conditions.pool_checks_weights
        && let Some(code) = pool_check(storage, runtime, conditions.number, extrinsic.signer, &call)
    {
        return Err(InvalidTransaction::Custom(code).into());
    }
    Ok(Checked { call, next_nonce: account.nonce })
}

/// Verifies the signature over the call, the extensions' data, and what the chain knows: versions, genesis, birth block.
fn verify(
    extrinsic: &SignedExtrinsic,
    runtime: &Runtime,
    genesis_hash: H256,
    birth_hash: H256,
) -> Result<(), InvalidTransaction> {
    // The hash of metadata is optional to sign, and the devnet has none to compare with.
    if extrinsic.mode == Mode::Enabled {
        return Err(InvalidTransaction::BadProof);
    }
    let MultiSignature::Sr25519(signature) = &extrinsic.signature else { return Err(InvalidTransaction::BadProof) };
    let mut payload = [&extrinsic.call[..], &extrinsic.extra[..]].concat();
    let version = &runtime.version;
    (version.spec_version, version.transaction_version, genesis_hash, birth_hash, None::<[u8; 32]>)
        .encode_to(&mut payload);
    if payload.len() > MAX_SIGNED_BYTES {
        payload = blake2_256(&payload).to_vec();
    }
    let verified = PublicKey::from_bytes(&extrinsic.signer.0).is_ok_and(|key| {
        Signature::from_bytes(signature)
            .is_ok_and(|signature| key.verify_simple(SIGNING_CONTEXT, &payload, &signature).is_ok())
    });
    if verified { Ok(()) } else { Err(InvalidTransaction::BadProof) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_extrinsic_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = SignedExtrinsic::decode(&bytes);
            // With a good beginning, the rest is reached too.
            let mut body = vec![SIGNED_V4, 0];
            body.extend([7; 32]);
            body.push(1);
            body.extend(&bytes);
            if let Ok(extrinsic) = SignedExtrinsic::decode(&body.encode()) {
                prop_assert_eq!(extrinsic.bytes, body.encode());
                prop_assert_eq!(extrinsic.signer, AccountId32([7; 32]));
            }
        }
    }
}
