//! The folder of `--out`: checked before the models run, so that nobody waits hours to hear that it cannot be written.

use std::io;
use std::path::Path;

use anyhow::anyhow;
use distil_eval::{EvalError, record};

use crate::exit::CommandError;

/// The page beside the record.
pub(super) const REPORT: &str = "report.html";

/// What a record's folder may hold.
const OURS: [&str; 3] = [record::RECORD_JSON, record::POSITIONS_PARQUET, REPORT];

/// Refuses a folder that holds something else than an earlier record, or that cannot be written.
pub(super) fn check(folder: &Path) -> Result<(), CommandError> {
    refuse_foreign(folder)?;
    record::check_writable(folder).map_err(|error| {
        let is_full = matches!(
            &error,
            EvalError::Write { source, .. } if matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            )
        );
        let error = anyhow!(error).context(format!("--out {}: no record can be written there", folder.display()));
        if is_full {
            CommandError::try_again(error).with_hint("make room, or give another folder")
        } else {
            CommandError::usage(error)
        }
    })
}

fn refuse_foreign(folder: &Path) -> Result<(), CommandError> {
    let cannot_read = |error: io::Error| {
        CommandError::usage(anyhow!(error).context(format!("--out {}: cannot be looked into", folder.display())))
    };
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(CommandError::usage(anyhow!("--out {}: is a file, not a folder", folder.display())));
        }
        Err(error) => return Err(cannot_read(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(cannot_read)?.file_name());
    }
    let foreign = names.iter().find(|name| !OURS.iter().any(|ours| name.as_os_str() == *ours));
    let is_record = names.iter().any(|name| name.as_os_str() == record::RECORD_JSON);
    match foreign {
        Some(name) => Err(CommandError::usage(anyhow!(
            "--out {}: holds {}, which is no part of a record",
            folder.display(),
            name.to_string_lossy()
        ))
        .with_hint("give a new or empty folder, or that of an earlier record to replace it")),
        None if names.is_empty() || is_record => Ok(()),
        None => Err(CommandError::usage(anyhow!("--out {}: is not empty and holds no record.json", folder.display()))
            .with_hint("give a new or empty folder, or that of an earlier record to replace it")),
    }
}
