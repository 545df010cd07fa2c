//! SHA-256 of files: several at once, each read once.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use distil_hub::Sha256Digest;
use sha2::{Digest, Sha256};

use crate::CheckerError;
use crate::parallel::{self, BytesRead, Progress};

/// Bytes read at a time: small enough to stay in a core's own cache until they are hashed, large enough that the system
/// call does not show.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileDigest {
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Sha256Digest,
}

/// SHA-256 of each file, in the order of `paths`. Files are spread over `threads`, the largest first; each is read once,
/// in pieces, so memory does not grow with them.
///
/// `progress` is called, from one thread at a time, after each piece.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("hello.txt");
/// std::fs::write(&path, "hello")?;
/// let digests = distil_checker::hash_files(&[path], std::num::NonZeroUsize::MIN, &mut |read| {
///     println!("{} of {} bytes", read.done, read.total);
/// })?;
/// assert_eq!(digests[0].size_bytes, 5);
/// assert!(digests[0].sha256.to_string().starts_with("2cf24dba"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// A file cannot be read.
pub fn hash_files(
    paths: &[PathBuf],
    threads: NonZeroUsize,
    progress: &mut (dyn FnMut(BytesRead) + Send),
) -> Result<Vec<FileDigest>, CheckerError> {
    let mut jobs = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let metadata = std::fs::metadata(path).map_err(|source| CheckerError::Read { path: path.clone(), source })?;
        jobs.push((index, path, metadata.len()));
    }
    let progress = Progress::new(jobs.iter().map(|(_, _, size)| size).sum(), progress);
    jobs.sort_by_key(|(_, _, size)| std::cmp::Reverse(*size));
    let hash = |(index, path, _): &(usize, &PathBuf, u64)| hash_file(path, &progress).map(|digest| (*index, digest));
    let mut in_order = parallel::map(threads, &jobs, hash)?;
    in_order.sort_unstable_by_key(|(index, _)| *index);
    Ok(in_order.into_iter().map(|(_, digest)| digest).collect())
}

fn hash_file(path: &Path, progress: &Progress<'_>) -> Result<FileDigest, CheckerError> {
    let read_error = |source| CheckerError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read_error)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size_bytes = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(read_error(source)),
        };
        hasher.update(&buffer[..read]);
        size_bytes += read as u64;
        progress.advance(read as u64);
    }
    Ok(FileDigest { size_bytes, sha256: Sha256Digest(hasher.finalize().into()) })
}

/// One digest for a set of files: SHA-256 over a line `<sha256>  <path>\n` for each, sorted by path, which is what
/// `sha256sum` prints for them. Paths are relative to the repository and separated by `/`.
///
/// ```
/// use distil_checker::files_digest;
///
/// let (a, b) = ("00".repeat(32).parse()?, "11".repeat(32).parse()?);
/// assert_eq!(files_digest(&[("b", b), ("a", a)]), files_digest(&[("a", a), ("b", b)]));
/// # Ok::<(), distil_hub::NotADigest>(())
/// ```
pub fn files_digest(files: &[(&str, Sha256Digest)]) -> Sha256Digest {
    let mut sorted = files.to_vec();
    sorted.sort_unstable();
    let mut hasher = Sha256::new();
    for (path, sha256) in sorted {
        hasher.update(format!("{sha256}  {path}\n"));
    }
    Sha256Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_hashed_in_any_number_of_threads_and_each_byte_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let sizes = [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 17, 5];
        let mut paths = Vec::new();
        let mut expected = Vec::new();
        for (index, size) in sizes.into_iter().enumerate() {
            let content: Vec<u8> = (0..size).map(|byte| (byte * 31 + index) as u8).collect();
            let path = folder.path().join(index.to_string());
            std::fs::write(&path, &content).unwrap();
            paths.push(path);
            let sha256 = Sha256Digest(Sha256::digest(&content).into());
            expected.push(FileDigest { size_bytes: size as u64, sha256 });
        }
        for threads in [1, 2, 9] {
            let mut last = None;
            let digests =
                hash_files(&paths, NonZeroUsize::new(threads).unwrap(), &mut |read| last = Some(read)).unwrap();
            assert_eq!(digests, expected);
            let total = sizes.iter().sum::<usize>() as u64;
            assert_eq!(last, Some(BytesRead { done: total, total }));
        }
        assert_eq!(hash_files(&[], NonZeroUsize::MIN, &mut |_| {}).unwrap(), []);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let path = PathBuf::from("no/such/file");
        let error = hash_files(&[path], NonZeroUsize::MIN, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("no/such/file"), "{error}");
    }

    #[test]
    fn the_digest_of_files_is_that_of_what_sha256sum_prints() {
        let empty = Sha256Digest(Sha256::digest(b"").into());
        // printf '' >a; printf '' >b; sha256sum a b | sha256sum
        assert_eq!(
            files_digest(&[("b", empty), ("a", empty)]).to_string(),
            "f87e14d51c60a125fc0bc15dbcc564d0879f9fb166d3e7107661c18b0fed579d"
        );
        assert_ne!(files_digest(&[("a", empty)]), files_digest(&[("b", empty)]));
    }
}
