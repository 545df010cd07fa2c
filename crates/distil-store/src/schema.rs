//! The tables, as numbered steps from one schema to the next. A step that was released is never edited: a change is a
//! further step.

use rusqlite::Connection;

/// `PRAGMA application_id` of our files: "DSTL".
pub(crate) const APPLICATION_ID: i64 = 0x4453_544C;

/// Step `n` of the list leads from schema `n` to schema `n + 1`.
const MIGRATIONS: &[&str] = &[include_str!("schema/001.sql")];

/// The schema that this version reads and writes.
pub(crate) const SCHEMA: i64 = MIGRATIONS.len() as i64;

/// Brings a file of schema `from` to [`SCHEMA`]. The caller holds the transaction: all steps are taken, or none.
pub(crate) fn migrate(connection: &Connection, from: usize) -> rusqlite::Result<()> {
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(from) {
        connection.execute_batch(sql)?;
        connection.pragma_update(None, "user_version", step as i64 + 1)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}
