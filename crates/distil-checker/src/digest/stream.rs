//! Files and the tensors in them hashed from the same bytes.

use std::num::NonZeroUsize;
use std::sync::mpsc;

use distil_hub::Sha256Digest;
use sha2::{Digest, Sha256};

use super::tensor::{TensorHasher, TensorHashes};
use crate::CheckerError;
use crate::hashing::{CHUNK_BYTES, FileDigest};
use crate::local::{LocalModel, LocalTensor};
use crate::parallel::{self, Progress};

/// Pieces that wait, at most, between the thread that hashes a file and the one that hashes its tensors.
const WAITING_PIECES: usize = 4;

type Hashed<'w> = (&'w LocalTensor, TensorHashes);
/// Files by name.
type HashedFiles = Vec<(String, FileDigest)>;

/// One file is a sequence of bytes for two hashers: that of the file and those of the tensors, one after the other. Where
/// there are more threads than files, the largest files get a second thread for their tensors.
pub(super) fn hash_tensors_and_files<'w>(
    model: &'w LocalModel,
    threads: NonZeroUsize,
    progress: &Progress<'_>,
) -> Result<(Vec<Hashed<'w>>, HashedFiles), CheckerError> {
    let mut jobs: Vec<Job<'w>> =
        (0..model.files().len()).map(|file| Job { file, tensors: Vec::new(), has_second_thread: false }).collect();
    for tensor in model.tensors() {
        jobs[tensor.file].tensors.push(tensor);
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(model.files()[job.file].size_bytes));
    let spare = threads.get().saturating_sub(jobs.len());
    for (index, job) in jobs.iter_mut().enumerate() {
        // Tensors without bytes stand before the one that begins where they are.
        job.tensors.sort_by_key(|tensor| (tensor.file_range.start, tensor.file_range.end));
        job.has_second_thread = index < spare;
    }
    let done = parallel::map(threads, &jobs, |job| job.run(model, progress))?;
    let mut hashed = Vec::new();
    let mut files = Vec::with_capacity(jobs.len());
    for (job, (tensors, digest)) in jobs.iter().zip(done) {
        hashed.extend(tensors);
        let name = model.files()[job.file].path.file_name().unwrap_or_default();
        files.push((name.to_string_lossy().into_owned(), digest));
    }
    files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok((hashed, files))
}

struct Job<'w> {
    file: usize,
    /// In the order of their places.
    tensors: Vec<&'w LocalTensor>,
    has_second_thread: bool,
}

impl<'w> Job<'w> {
    fn run(&self, model: &LocalModel, progress: &Progress<'_>) -> Result<(Vec<Hashed<'w>>, FileDigest), CheckerError> {
        if self.has_second_thread { self.run_on_two(model, progress) } else { self.run_on_one(model, progress) }
    }

    fn run_on_one(
        &self,
        model: &LocalModel,
        progress: &Progress<'_>,
    ) -> Result<(Vec<Hashed<'w>>, FileDigest), CheckerError> {
        let mut tensors = TensorsOfFile::new(&self.tensors);
        let mut buffer = vec![0; CHUNK_BYTES];
        let digest = self.hash_file(model, progress, |offset, length, hasher| {
            let piece = &mut buffer[..length];
            model.read_exact_at(self.file, piece, offset)?;
            hasher.update(&*piece);
            tensors.update(piece);
            Ok(())
        })?;
        Ok((tensors.finish(), digest))
    }

    fn run_on_two(
        &self,
        model: &LocalModel,
        progress: &Progress<'_>,
    ) -> Result<(Vec<Hashed<'w>>, FileDigest), CheckerError> {
        let (full, take_full) = mpsc::sync_channel::<Vec<u8>>(WAITING_PIECES);
        let (empty, take_empty) = mpsc::channel::<Vec<u8>>();
        std::thread::scope(|scope| {
            let tensors = scope.spawn(move || {
                let mut tensors = TensorsOfFile::new(&self.tensors);
                for piece in take_full {
                    tensors.update(&piece);
                    // At the end nobody takes buffers any more.
                    let _ = empty.send(piece);
                }
                tensors.finish()
            });
            let digest = self.hash_file(model, progress, |offset, length, hasher| {
                let mut piece = take_empty.try_recv().unwrap_or_default();
                piece.resize(length, 0);
                model.read_exact_at(self.file, &mut piece, offset)?;
                hasher.update(&piece);
                // The other side ends only by a panic, which is passed on below.
                let _ = full.send(piece);
                Ok(())
            });
            drop(full);
            match tensors.join() {
                Ok(tensors) => Ok((tensors, digest?)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    fn hash_file(
        &self,
        model: &LocalModel,
        progress: &Progress<'_>,
        mut read: impl FnMut(u64, usize, &mut Sha256) -> Result<(), CheckerError>,
    ) -> Result<FileDigest, CheckerError> {
        let size_bytes = model.files()[self.file].size_bytes;
        let mut hasher = Sha256::new();
        let mut offset = 0;
        while offset < size_bytes {
            let length = (size_bytes - offset).min(CHUNK_BYTES as u64);
            read(offset, length as usize, &mut hasher)?;
            offset += length;
            progress.advance(length);
        }
        Ok(FileDigest { size_bytes, sha256: Sha256Digest(hasher.finalize().into()) })
    }
}

/// Finds the tensors in the bytes of a file as they come by.
struct TensorsOfFile<'j, 'w> {
    waiting: std::slice::Iter<'j, &'w LocalTensor>,
    current: Option<(&'w LocalTensor, TensorHasher)>,
    done: Vec<Hashed<'w>>,
    /// Where in the file the next piece begins.
    offset: u64,
}

impl<'j, 'w> TensorsOfFile<'j, 'w> {
    fn new(tensors: &'j [&'w LocalTensor]) -> Self {
        let mut this = Self { waiting: tensors.iter(), current: None, done: Vec::new(), offset: 0 };
        this.next_tensor();
        this
    }

    fn next_tensor(&mut self) {
        self.current = self.waiting.next().map(|tensor| (*tensor, TensorHasher::new(tensor.dtype)));
    }

    fn update(&mut self, piece: &[u8]) {
        let end = self.offset + piece.len() as u64;
        while let Some((tensor, hasher)) = &mut self.current {
            let range = tensor.file_range.start.max(self.offset)..tensor.file_range.end.min(end);
            if range.start < range.end {
                let within = |place: u64| (place - self.offset) as usize;
                hasher.update(&piece[within(range.start)..within(range.end)]);
            }
            if tensor.file_range.end > end {
                break;
            }
            self.end_current();
        }
        self.offset = end;
    }

    fn end_current(&mut self) {
        if let Some((tensor, hasher)) = self.current.take() {
            self.done.push((tensor, hasher.finish()));
        }
        self.next_tensor();
    }

    fn finish(mut self) -> Vec<Hashed<'w>> {
        // Tensors without bytes at the very end of a file.
        while self.current.is_some() {
            self.end_current();
        }
        self.done
    }
}
