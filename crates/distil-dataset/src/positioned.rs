//! Reading bytes at a place, from a file on disk or on the Hub.

use crate::{DatasetError, meter::Meter};
use bytes::Bytes;
use distil_hub::{Hub, RepoAt, RepoFile};
use std::{fs::File, ops::Range, path::PathBuf, sync::Arc};

/// What bytes are read for, by which traffic is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Footer,
    Data,
}

/// A file of known size from which any range can be read.
pub(crate) trait PositionedRead: Send + Sync {
    /// How the file is named in messages and ids.
    fn name(&self) -> &str;

    /// Its length in bytes.
    fn size(&self) -> u64;

    /// Exactly these bytes; the range lies within the file.
    fn read(&self, range: Range<u64>, purpose: Purpose) -> Result<Bytes, DatasetError>;
}

/// A file on disk.
pub(crate) struct DiskFile {
    name: String,
    path: PathBuf,
    file: File,
    size: u64,
    meter: Arc<Meter>,
}

impl DiskFile {
    /// Opens a file that was listed with this size.
    pub(crate) fn open(name: &str, path: PathBuf, size: u64, meter: Arc<Meter>) -> Result<Self, DatasetError> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((found, file)) if found == size => Ok(DiskFile { name: name.to_owned(), path, file, size, meter }),
            Ok((found, _)) => Err(DatasetError::Changed { file: path, listed_bytes: size, found_bytes: found }),
            Err(source) => Err(DatasetError::Read { path, source }),
        }
    }
}

impl PositionedRead for DiskFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>, purpose: Purpose) -> Result<Bytes, DatasetError> {
        let mut bytes = vec![0; length(&range)];
        read_exact_at(&self.file, &mut bytes, range.start)
            .map_err(|source| DatasetError::Read { path: self.path.clone(), source })?;
        self.meter.count(purpose, bytes.len() as u64);
        Ok(bytes.into())
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                at += read as u64;
            }
        }
    }
    Ok(())
}

/// A file of a repository, read by ranges.
pub(crate) struct HubFile {
    hub: Hub,
    at: RepoAt,
    file: RepoFile,
    meter: Arc<Meter>,
}

impl HubFile {
    pub(crate) fn new(hub: Hub, at: RepoAt, file: RepoFile, meter: Arc<Meter>) -> Self {
        HubFile { hub, at, file, meter }
    }
}

impl PositionedRead for HubFile {
    fn name(&self) -> &str {
        &self.file.path
    }

    fn size(&self) -> u64 {
        self.file.size
    }

    fn read(&self, range: Range<u64>, purpose: Purpose) -> Result<Bytes, DatasetError> {
        let wanted = range.end - range.start;
        self.meter.spend(wanted, &self.file.path)?;
        let bytes = self.hub.read_range(&self.at, &self.file, range)?;
        self.meter.count(purpose, wanted);
        Ok(bytes.into())
    }
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).expect("ranges are bounded by the limits of pages and pieces")
}
