use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use distil_types::{BlockHash, NetUid};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, ffi};

use crate::StoreError;
use crate::lock::WriterLock;
use crate::schema::{APPLICATION_ID, SCHEMA, migrate};
use crate::sql::text;

/// The name of the file within its folder.
pub const STORE_FILE: &str = "distil.sqlite";

/// How long to wait for another connection: checkpoints and first openings are short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that is read from a store. It may be open in any number of processes beside the one that writes, and sees
/// only whole steps.
#[derive(Debug)]
pub struct StoreReader {
    connection: Connection,
    path: PathBuf,
}

/// The one that writes to a store, and reads from it: see [`StoreReader`] for that.
///
/// Every method is one transaction, on the disk when the method returns. A `Store` is `Send` and blocks its thread.
#[derive(Debug)]
pub struct Store {
    reader: StoreReader,
    _lock: WriterLock,
}

impl Deref for Store {
    type Target = StoreReader;

    fn deref(&self) -> &StoreReader {
        &self.reader
    }
}

impl Store {
    /// Opens the store of a folder, which is created where there is none, and locks it against other writers.
    ///
    /// The tables are brought to the schema of this version, all steps in one transaction, and the file is looked
    /// through for damage.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] where another process has it, [`StoreError::NotWritable`], [`StoreError::Damaged`],
    /// [`StoreError::Newer`] and [`StoreError::NotAStore`]. An empty file is a new store.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| StoreError::NotWritable { path: folder.to_owned(), problem: error.to_string() })?;
        let lock = WriterLock::take(folder)?;
        let path = folder.join(STORE_FILE);
        require_plain_file(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let fail = |error| from_sqlite(&path, error);
        let connection = Connection::open_with_flags(&path, flags).map_err(fail)?;
        configure(&connection).map_err(fail)?;
        let found = found_schema(&connection, &path)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        if found > 0 {
            let answer: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
            if answer != "ok" {
                return Err(StoreError::Damaged { path, problem: answer });
            }
        }
        let mut store = Store { reader: StoreReader { connection, path }, _lock: lock };
        if found < SCHEMA {
            store.write(|transaction| {
                migrate(transaction, found as usize)?;
                Ok(())
            })?;
        }
        Ok(store)
    }

    /// Ties the store to one subnet of one chain, for ever.
    ///
    /// # Errors
    ///
    /// [`StoreError::OtherSubnet`] where it is tied to another one: keys and blocks of two chains must never meet.
    pub fn bind_subnet(&mut self, netuid: NetUid, genesis: BlockHash) -> Result<(), StoreError> {
        self.write(|transaction| {
            let stored = transaction
                .query_row("SELECT netuid, genesis FROM subnet", [], |row| {
                    Ok((NetUid(row.get(0)?), text::<BlockHash>(row, 1)?))
                })
                .optional()?;
            match stored {
                None => {
                    transaction.execute(
                        "INSERT INTO subnet (only_row, netuid, genesis) VALUES (1, ?1, ?2)",
                        (netuid.0, genesis.to_string()),
                    )?;
                    Ok(())
                }
                Some(stored) if stored == (netuid, genesis) => Ok(()),
                Some((stored_netuid, stored_genesis)) => {
                    let name = |netuid, genesis| format!("subnet {netuid} of the chain with genesis {genesis}");
                    Err(StoreError::OtherSubnet {
                        stored: name(stored_netuid, stored_genesis),
                        given: name(netuid, genesis),
                    }
                    .into())
                }
            }
        })
    }

    /// One transaction: what `step` does is in the store, or nothing of it.
    pub(crate) fn write<T>(
        &mut self,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let path = &self.reader.path;
        let run = || {
            // Immediate: a transaction that waits until its first write to lock could find that it has read what is no
            // longer so.
            let transaction = Transaction::new_unchecked(&self.reader.connection, TransactionBehavior::Immediate)?;
            let value = step(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|fault: Fault| fault.at(path))
    }
}

impl StoreReader {
    /// Opens the store of a folder for reading, beside a writer or without one.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoState`] where there is none, [`StoreError::Older`] and [`StoreError::Newer`] for the store of
    /// another version, [`StoreError::NotAStore`], [`StoreError::Damaged`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(STORE_FILE);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() && metadata.len() > 0 => {}
            Ok(metadata) if metadata.is_file() => return Err(StoreError::NoState { path: folder.to_owned() }),
            Ok(_) => require_plain_file(&path)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NoState { path: folder.to_owned() });
            }
            Err(error) => return Err(StoreError::CannotOpen { path, problem: error.to_string() }),
        }
        let fail = |error| from_sqlite(&path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(fail)?;
        configure(&connection).map_err(fail)?;
        match found_schema(&connection, &path)? {
            0 => Err(StoreError::NoState { path: folder.to_owned() }),
            found if found < SCHEMA => Err(StoreError::Older { path, found, known: SCHEMA }),
            _ => Ok(StoreReader { connection, path }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which subnet of which chain the store is tied to: its number and the hash of the chain's first block.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn subnet(&self) -> Result<Option<(NetUid, BlockHash)>, StoreError> {
        self.read(|connection| {
            Ok(connection
                .query_row("SELECT netuid, genesis FROM subnet", [], |row| {
                    Ok((NetUid(row.get(0)?), text::<BlockHash>(row, 1)?))
                })
                .optional()?)
        })
    }

    /// Reads several things as of one moment.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let run = || {
            // Within another look, the moment is that one's.
            if !self.connection.is_autocommit() {
                return look(&self.connection);
            }
            let transaction = self.connection.unchecked_transaction()?;
            look(&transaction)
        };
        run().map_err(|fault: Fault| fault.at(&self.path))
    }

    /// Several looks as of one moment.
    pub(crate) fn at_one_moment<T>(&self, looks: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let _transaction = self.connection.unchecked_transaction().map_err(|error| from_sqlite(&self.path, error))?;
        looks()
    }
}

/// What ends a transaction before its time.
pub(crate) enum Fault {
    /// SQLite failed.
    Sql(rusqlite::Error),
    /// Our own rules forbid it.
    Refused(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Fault::Refused(error)
    }
}

impl Fault {
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Fault::Sql(error) => from_sqlite(path, error),
            Fault::Refused(error) => error,
        }
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A file of someone else's making must not run anything: views and triggers may call no functions with effects.
    connection.pragma_update(None, "trusted_schema", false)
}

fn require_plain_file(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            Err(StoreError::NotAStore { path: path.to_owned(), problem: "it is not a file".to_owned() })
        }
        _ => Ok(()),
    }
}

/// The schema of a file: 0 for one without any table, which is a new store.
fn found_schema(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let fail = |error| from_sqlite(path, error);
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(fail)?;
    let version = pragma("user_version").map_err(fail)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if application == APPLICATION_ID && version > SCHEMA {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known: SCHEMA });
    }
    match (application, version, tables) {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, 1.., 1..) => Ok(version),
        (APPLICATION_ID, ..) => Err(StoreError::Damaged {
            path: path.to_owned(),
            problem: format!("it claims schema {version} and has {tables} tables and indexes"),
        }),
        _ => Err(StoreError::NotAStore {
            path: path.to_owned(),
            problem: "it is a database of another program".to_owned(),
        }),
    }
}

/// What an error of SQLite means for whoever runs the program.
fn from_sqlite(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let problem = error.to_string();
    match &error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::NotADatabase => StoreError::NotAStore { path, problem: "it is not an SQLite file".to_owned() },
            ErrorCode::DatabaseCorrupt => StoreError::Damaged { path, problem },
            ErrorCode::DiskFull => StoreError::DiskFull { path },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy { path },
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::NotWritable { path, problem },
            ErrorCode::CannotOpen => StoreError::CannotOpen { path, problem },
            // A file that ends before a page that it should have.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHORT_READ => {
                StoreError::Damaged { path, problem }
            }
            ErrorCode::SystemIoFailure => StoreError::Io { path, problem },
            _ => StoreError::Sqlite { path, source: error },
        },
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => StoreError::Unreadable { path, problem },
        rusqlite::Error::ToSqlConversionFailure(_) => StoreError::InvalidValue { what: "a number", problem },
        _ => StoreError::Sqlite { path, source: error },
    }
}
