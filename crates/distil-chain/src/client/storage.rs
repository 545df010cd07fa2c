//! Reading one value of storage, by the metadata of its block.

use super::ChainError;
use super::connection::{ClientAt, Connection};
use super::error::shortened;
use distil_types::{BlockHash, BlockRef};
use subxt::dynamic::Value;
use subxt::error::{RuntimeApiError, StorageError};
use subxt::ext::frame_decode::storage::{IntoDecodableValues, IntoEncodableValues};
use subxt::ext::scale_decode::{DecodeAsType, IntoVisitor};
use subxt::storage::StorageValue;

pub(super) const SUBTENSOR: &str = "SubtensorModule";

/// The runtime has another form than is known.
pub(super) fn unsupported(at: &ClientAt, error: &dyn std::error::Error) -> ChainError {
    ChainError::UnsupportedMetadata { spec_version: at.spec_version(), problem: shortened(&error.to_string()) }
}

/// The request's own error where one failed; otherwise the runtime is not as it is known.
pub(super) fn failed(connection: &Connection, at: &ClientAt, entry: &'static str, error: &StorageError) -> ChainError {
    match error {
        StorageError::CannotFetchValue(_)
        | StorageError::CannotIterateValues(_)
        | StorageError::StreamFailure(_)
        | StorageError::NoValueFound => connection.explain(entry, error),
        other => unsupported(at, other),
    }
}

/// Whether the runtime has this item.
pub(super) fn exists(at: &ClientAt, pallet: &str, entry: &str) -> bool {
    let storage = at.metadata_ref().pallet_by_name(pallet).and_then(|pallet| pallet.storage());
    storage.is_some_and(|storage| storage.entry_by_name(entry).is_some())
}

/// A value, or the one that the chain has for all that were never set; `None` where it has none.
pub(super) async fn find<Keys: IntoEncodableValues + IntoDecodableValues, T: DecodeAsType + IntoVisitor>(
    connection: &Connection,
    at: &ClientAt,
    pallet: &'static str,
    entry: &'static str,
    keys: Keys,
) -> Result<Option<T>, ChainError> {
    let address = subxt::dynamic::storage::<Keys, T>(pallet, entry);
    let found = at.storage().try_fetch(address, keys).await.map_err(|error| failed(connection, at, entry, &error))?;
    found.map(|value| decoded(at, entry, &value)).transpose()
}

/// The value. Bytes that are no value of the runtime's own type are a bad answer; a type that is not as it is known is the
/// runtime's.
pub(super) fn decoded<T: DecodeAsType + IntoVisitor>(
    at: &ClientAt,
    what: &'static str,
    value: &StorageValue<'_, T>,
) -> Result<T, ChainError> {
    value.decode().map_err(|error| match value.decode_as::<Value>() {
        Ok(_) => unsupported(at, &error),
        Err(_) => ChainError::Malformed { what, problem: shortened(&error.to_string()) },
    })
}

/// Calls a function of the runtime.
pub(super) async fn call<Inputs: IntoEncodableValues + Clone, T: DecodeAsType>(
    connection: &Connection,
    at: &ClientAt,
    (api, method): (&'static str, &'static str),
    inputs: Inputs,
) -> Result<T, ChainError> {
    let call = subxt::dynamic::runtime_api_call::<_, T>(api, method, inputs.clone());
    let error = match at.runtime_apis().call(call).await {
        Ok(answer) => return Ok(answer),
        Err(error @ RuntimeApiError::CannotCallApi(_)) => return Err(connection.explain(method, &error)),
        Err(error @ RuntimeApiError::CouldNotDecodeResponse(_)) => error,
        Err(other) => return Err(unsupported(at, &other)),
    };
    // As with storage: is it the answer, or the runtime?
    let call = subxt::dynamic::runtime_api_call::<_, Value>(api, method, inputs);
    match at.runtime_apis().call(call).await {
        Ok(_) => Err(unsupported(at, &error)),
        Err(_) => Err(ChainError::Malformed { what: method, problem: shortened(&error.to_string()) }),
    }
}

/// As [`find`], for an item that always has a value.
pub(super) async fn fetch<Keys: IntoEncodableValues + IntoDecodableValues, T: DecodeAsType + IntoVisitor>(
    connection: &Connection,
    at: &ClientAt,
    pallet: &'static str,
    entry: &'static str,
    keys: Keys,
) -> Result<T, ChainError> {
    let found = find(connection, at, pallet, entry, keys).await?;
    found.ok_or_else(|| ChainError::Malformed { what: entry, problem: "the chain has no value for it".to_owned() })
}

pub(super) fn block_ref(at: &ClientAt) -> BlockRef {
    BlockRef { number: at.block_number(), hash: BlockHash::from_bytes(at.block_hash().0) }
}
