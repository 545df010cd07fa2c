//! One writer to a folder, also across processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::StoreError;

/// The name of the lock within the folder. The file stays when its process ends; the lock does not.
const LOCK_FILE: &str = "validator.lock";

/// A process that is being started by the holder has the lock as well, until it becomes the other program: that may
/// outlive a holder that was killed, for a moment.
const RETRIES: u32 = 20;
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// Held as long as it lives, and no longer than its process.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_FILE);
        let not_writable =
            |error: std::io::Error| StoreError::NotWritable { path: path.clone(), problem: error.to_string() };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(not_writable)?;
        let mut answer = file.try_lock();
        for _ in 0..RETRIES {
            if !matches!(answer, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(RETRY_PAUSE);
            answer = file.try_lock();
        }
        match answer {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Longer than any process id, and no more: the file may be anything.
                let _ = std::io::Read::by_ref(&mut file).take(32).read_to_string(&mut text);
                return Err(StoreError::InUse { path, holder: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(not_writable(error)),
        }
        // Who holds it is told to others as a help; on a full disk the lock holds without it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(WriterLock { _file: file })
    }
}
