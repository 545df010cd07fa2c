//! Long lists of numbers as compact columns: little endian, without loss.

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Row, RowIndex};

use crate::StoreError;

/// Token ids, four bytes each.
pub(crate) fn tokens_to_blob(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|token| token.to_le_bytes()).collect()
}

pub(crate) fn tokens_from_blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<u32>> {
    let blob = row.get_ref(column)?.as_blob().map_err(|error| malformed(column, error))?;
    let (tokens, rest) = blob.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(malformed(
            column,
            FromSqlError::InvalidBlobSize { expected_size: blob.len() / 4 * 4, blob_size: blob.len() },
        ));
    }
    Ok(tokens.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

/// The number of prompts, then the number of positions of each (four bytes each), then all values (eight bytes each).
pub(crate) fn positions_to_blob(prompts: &[Vec<f64>]) -> Result<Vec<u8>, StoreError> {
    let count = |length: usize| {
        u32::try_from(length).map(u32::to_le_bytes).map_err(|_| StoreError::InvalidValue {
            what: "the KL of positions",
            problem: format!("{length} are too many"),
        })
    };
    let mut blob = count(prompts.len())?.to_vec();
    for prompt in prompts {
        blob.extend(count(prompt.len())?);
    }
    blob.extend(prompts.iter().flatten().flat_map(|kl| kl.to_le_bytes()));
    Ok(blob)
}

/// Nothing where there is no blob.
pub(crate) fn positions_from_blob(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<Vec<Vec<f64>>> {
    let column = column.idx(row.as_ref())?;
    match row.get_ref(column)?.as_blob_or_null().map_err(|error| malformed(column, error))? {
        None => Ok(Vec::new()),
        Some(blob) => parse_positions(blob).ok_or_else(|| {
            malformed(column, FromSqlError::InvalidBlobSize { expected_size: 0, blob_size: blob.len() })
        }),
    }
}

/// Nothing is allocated beyond what the blob itself has.
fn parse_positions(blob: &[u8]) -> Option<Vec<Vec<f64>>> {
    let (count, rest) = blob.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    let (lengths, values) = rest.split_at_checked(count.checked_mul(4)?)?;
    let (values, remainder) = values.as_chunks::<8>();
    let mut values = values.iter().map(|bytes| f64::from_le_bytes(*bytes));
    let mut prompts = Vec::with_capacity(count);
    for length in lengths.as_chunks::<4>().0 {
        let length = u32::from_le_bytes(*length) as usize;
        if length > values.len() {
            return None;
        }
        prompts.push(values.by_ref().take(length).collect());
    }
    (remainder.is_empty() && values.len() == 0).then_some(prompts)
}

fn malformed(column: usize, error: FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn positions_go_there_and_back_to_the_last_bit(
            prompts in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..20), 0..10),
        ) {
            let prompts: Vec<Vec<f64>> =
                prompts.iter().map(|prompt| prompt.iter().map(|bits| f64::from_bits(*bits)).collect()).collect();
            let bits = |prompts: &[Vec<f64>]| -> Vec<Vec<u64>> {
                prompts.iter().map(|prompt| prompt.iter().map(|kl| kl.to_bits()).collect()).collect()
            };
            let read = parse_positions(&positions_to_blob(&prompts).unwrap()).unwrap();
            prop_assert_eq!(bits(&read), bits(&prompts));
        }

        #[test]
        fn no_bytes_panic_and_what_is_taken_is_canonical(blob in prop::collection::vec(prop_oneof![0_u8..3, any::<u8>()], 0..60)) {
            if let Some(prompts) = parse_positions(&blob) {
                prop_assert_eq!(positions_to_blob(&prompts).unwrap(), blob);
            }
        }
    }
}
