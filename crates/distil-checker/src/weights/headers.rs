//! Reading the headers of several files: 8 bytes of each, then the JSON that those announce.

use std::sync::atomic::{AtomicUsize, Ordering};

use distil_hub::RepoFile;

use super::MAX_ALL_HEADER_BYTES;
use crate::{CheckerError, HeaderError, SafetensorsHeader, repository::Repository, text};

/// Headers that are read at a time.
const THREADS: usize = 4;

pub(crate) type HeaderOutcome = Result<SafetensorsHeader, CheckerError>;

/// The header of each file, in the order of the files.
///
/// Which headers are refused because all of them together are too long is settled by that order, not by the threads.
pub(crate) fn read_headers(repository: &dyn Repository, files: &[&RepoFile]) -> Vec<HeaderOutcome> {
    let lengths = in_threads(files, |_, file| read_length(repository, file));
    let mut left = MAX_ALL_HEADER_BYTES;
    let planned: Vec<Result<u64, CheckerError>> = lengths
        .into_iter()
        .zip(files)
        .map(|(length, file)| {
            let header_bytes = length?;
            left =
                left.checked_sub(header_bytes).ok_or_else(|| in_file(file, HeaderError::TooLong { header_bytes }))?;
            Ok(header_bytes)
        })
        .collect();
    let headers = in_threads(files, |index, file| {
        let length = planned[index].as_ref().ok()?;
        Some(read_header(repository, file, *length))
    });
    // A header was read wherever its length is known, and nowhere else.
    planned
        .into_iter()
        .zip(headers)
        .filter_map(|(length, header)| length.map_or_else(|e| Some(Err(e)), |_| header))
        .collect()
}

fn read_length(repository: &dyn Repository, file: &RepoFile) -> Result<u64, CheckerError> {
    if file.size < 8 {
        return Err(in_file(file, HeaderError::FileTooShort { file_bytes: file.size }));
    }
    let bytes = repository.read(file, 0..8)?;
    let Ok(first_bytes) = <[u8; 8]>::try_from(bytes.as_slice()) else {
        return Err(CheckerError::OutOfRange { file: text::quoted(&file.path), range: 0..8, size_bytes: file.size });
    };
    SafetensorsHeader::length(first_bytes, file.size).map_err(|source| in_file(file, source))
}

fn read_header(repository: &dyn Repository, file: &RepoFile, length: u64) -> HeaderOutcome {
    let json = repository.read(file, 8..8 + length)?;
    SafetensorsHeader::parse(&json, file.size).map_err(|source| in_file(file, source))
}

fn in_file(file: &RepoFile, source: HeaderError) -> CheckerError {
    CheckerError::Header { file: text::quoted(&file.path), source }
}

/// Applies a function to each file, a few at a time, and gives the results in the order of the files.
fn in_threads<T: Send>(files: &[&RepoFile], apply: impl Fn(usize, &RepoFile) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = files.get(index) else { return done };
            done.push((index, apply(index, file)));
        }
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..THREADS.min(files.len())).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, value)| value).collect()
}
