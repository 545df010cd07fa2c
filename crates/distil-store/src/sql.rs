//! How our types stand in columns.

use std::fmt::Display;
use std::str::FromStr;

use distil_scoring::DisqualificationCode;
use distil_types::{Commitment, Hotkey, MinerKey};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, RowIndex};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// A column of text that a type writes and parses.
pub(crate) struct Text<T>(pub(crate) T);

impl<T: Display> ToSql for Text<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl<T> FromSql for Text<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Text).map_err(FromSqlError::other)
    }
}

/// A column of JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Json).map_err(FromSqlError::other)
    }
}

/// The JSON of a value that can be read again. A number that is not finite would be written as null and might never be
/// read again, so it is found here, before it is stored.
pub(crate) fn to_json<T: Serialize + DeserializeOwned>(what: &'static str, value: &T) -> Result<String, StoreError> {
    let invalid = |problem: String| StoreError::InvalidValue { what, problem };
    let text = serde_json::to_string(value).map_err(|error| invalid(error.to_string()))?;
    match serde_json::from_str::<T>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(invalid(format!("it could not be read again: {error}"))),
    }
}

/// The parsed text of a column.
pub(crate) fn text<T>(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    Ok(row.get::<_, Text<T>>(column)?.0)
}

/// The document of a column.
pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<T> {
    Ok(row.get::<_, Json<T>>(column)?.0)
}

/// The miner of the columns `hotkey` and `commit_block`.
pub(crate) fn miner(row: &Row<'_>) -> rusqlite::Result<MinerKey> {
    Ok(MinerKey { hotkey: text::<Hotkey>(row, "hotkey")?, commit_block: row.get("commit_block")? })
}

/// The commitment of the columns `model` and `revision`.
pub(crate) fn commitment(row: &Row<'_>) -> rusqlite::Result<Commitment> {
    Ok(Commitment { model: text(row, "model")?, revision: text(row, "revision")? })
}

/// The code of a disqualification, in the column `code`, which holds no other words.
pub(crate) fn disqualification_code(row: &Row<'_>) -> rusqlite::Result<DisqualificationCode> {
    Ok(match row.get_ref("code")?.as_str()? {
        "COPY" => DisqualificationCode::Copy,
        "REMOVED" => DisqualificationCode::Removed,
        _ => DisqualificationCode::Invalid,
    })
}
