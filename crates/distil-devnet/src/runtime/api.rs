//! The runtime APIs' functions, as `state_call` names them.

use super::{Runtime, metagraph};
use crate::extrinsic::{CheckError, Checked, Conditions, SignedExtrinsic, check};
use crate::metadata::VERSIONS;
use crate::pallets::system;
use crate::state::Read;
use crate::types::account::AccountId32;
use crate::types::dispatch::{InvalidTransaction, TransactionSource, TransactionValidityError, ValidTransaction};
use crate::types::system::OpaqueMetadata;
use parity_scale_codec::{Decode, Encode};

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuntimeApiError {
    /// The runtime has no such function.
    Unknown,
    /// Its parameters do not decode: the real runtime traps.
    Parameters,
}

/// Answers a call with encoded parameters.
pub(crate) fn call<R: Read>(
    conditions: &Conditions<'_, R>,
    function: &str,
    mut parameters: &[u8],
) -> Result<Vec<u8>, RuntimeApiError> {
    fn read<T: Decode>(input: &mut &[u8]) -> Result<T, RuntimeApiError> {
        T::decode(input).map_err(|_| RuntimeApiError::Parameters)
    }
    let Conditions { storage, runtime, .. } = *conditions;
    let Runtime { features, metadata, version, .. } = runtime;
    let input = &mut parameters;
    let metadata_of = |version| metadata.bytes(version).map(|bytes| OpaqueMetadata(bytes.to_vec()));
    Ok(match function {
        "Core_version" => version.encode(),
        "Metadata_metadata" => metadata_of(VERSIONS[0]).unwrap_or(OpaqueMetadata(Vec::new())).encode(),
        "Metadata_metadata_at_version" => metadata_of(read(input)?).encode(),
        "Metadata_metadata_versions" => VERSIONS.to_vec().encode(),
        "AccountNonceApi_account_nonce" => system::ACCOUNT.get(storage, (read::<AccountId32>(input)?,)).nonce.encode(),
        "SubnetInfoRuntimeApi_get_selective_metagraph" if features.selective_metagraph => {
            let (netuid, indexes): (u16, Vec<u16>) = read(input)?;
            metagraph::selective(storage, netuid, &indexes).encode()
        }
        "SubnetInfoRuntimeApi_get_next_epoch_start_block" if features.stateful_epochs => {
            metagraph::next_epoch(storage, read(input)?).encode()
        }
        "NeuronInfoRuntimeApi_get_neurons_lite" => metagraph::neurons(storage, read(input)?).encode(),
        "NeuronInfoRuntimeApi_get_neuron_lite" => {
            let (netuid, uid) = read(input)?;
            metagraph::neuron(storage, netuid, uid).encode()
        }
        "TaggedTransactionQueue_validate_transaction" => {
            let _source: TransactionSource = read(input)?;
            // The extrinsic, with its length prefix, then the block's hash.
            let Some(end) = input.len().checked_sub(32) else { return Err(RuntimeApiError::Parameters) };
            let extrinsic = SignedExtrinsic::decode(&input[..end]).map_err(|_| RuntimeApiError::Parameters)?;
            match check(&extrinsic, conditions) {
                Err(CheckError::Undecodable) => return Err(RuntimeApiError::Parameters),
                Err(CheckError::Invalid(reason)) => validity(Err(reason)).encode(),
                Ok(checked) => validity(Ok(valid_transaction(&extrinsic, &checked))).encode(),
            }
        }
        _ => return Err(RuntimeApiError::Unknown),
    })
}

fn validity(
    result: Result<ValidTransaction, InvalidTransaction>,
) -> Result<ValidTransaction, TransactionValidityError> {
    result.map_err(TransactionValidityError::Invalid)
}

/// What the pool is told of a transaction that may be included.
fn valid_transaction(extrinsic: &SignedExtrinsic, checked: &Checked) -> ValidTransaction {
    let tag = |nonce: u32| (extrinsic.signer, nonce).encode();
    let requires = match extrinsic.nonce.checked_sub(1) {
        Some(before) if extrinsic.nonce > checked.next_nonce => vec![tag(before)],
        _ => Vec::new(),
    };
    ValidTransaction {
        priority: extrinsic.tip,
        requires,
        provides: vec![tag(extrinsic.nonce)],
        longevity: match extrinsic.era {
            crate::types::extrinsic::Era::Immortal => u64::MAX,
            crate::types::extrinsic::Era::Mortal { period, .. } => period,
        },
        propagate: true,
    }
}
