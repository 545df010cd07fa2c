//! A repository as the checks see it: names, sizes, and parts of files. Two kinds stand behind it, a folder and the Hub.

use std::{ops::Range, path::Path};

use distil_hub::{Hub, RepoFile};
use distil_types::{ModelRef, RepoId, Revision};

use crate::{CheckerError, text};

mod folder;
mod hub;
mod remembering;

pub use folder::FolderRepository;
pub use hub::HubRepository;
pub(crate) use remembering::Remembering;

/// The most files of a repository that are looked at. A model has a few dozen; a listing of this many is some megabytes.
pub const MAX_FILES: usize = 10_000;

/// The most bytes that one [`Repository::read`] gives: somewhat more than the largest thing that is read whole, a
/// tokenizer.
pub const MAX_READ_BYTES: u64 = 96 << 20;

/// What the checks need of a model's repository, in a folder or on the Hub.
///
/// Its files are as they were when it was opened; reading them may fail later.
pub trait Repository: Send + Sync {
    /// A name to show: the path of the folder, or `owner/repo`. Printable.
    fn name(&self) -> &str;

    /// The commit, where there is one.
    fn revision(&self) -> Option<Revision>;

    /// All files, sorted by path, without duplicates.
    fn files(&self) -> &[RepoFile];

    /// Exactly these bytes of a file.
    ///
    /// # Errors
    ///
    /// The range is not within the file's size or longer than [`MAX_READ_BYTES`], or the bytes cannot be had.
    fn read(&self, file: &RepoFile, range: Range<u64>) -> Result<Vec<u8>, CheckerError>;

    /// The Hub's own count of the parameters in its safetensors files.
    fn hub_parameter_total(&self) -> Option<u64> {
        None
    }

    /// True where the Hub gives the repository to some only: it is private or gated.
    fn is_restricted(&self) -> bool {
        false
    }

    /// Where all its files are on this disk, if they are.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// Files that were left out of [`files`](Self::files), each with the reason. Printable.
    fn left_out(&self) -> &[String] {
        &[]
    }

    /// Requests made and bytes read so far, to list the files and to read them.
    fn traffic(&self) -> Traffic;

    /// The file of this path.
    fn file(&self, path: &str) -> Option<&RepoFile> {
        let files = self.files();
        files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|index| &files[index])
    }

    /// A whole file of at most `limit_bytes`.
    ///
    /// # Errors
    ///
    /// It is larger, or cannot be read.
    fn read_whole(&self, file: &RepoFile, limit_bytes: u64) -> Result<Vec<u8>, CheckerError> {
        if file.size > limit_bytes {
            let file_name = text::quoted(&file.path);
            return Err(CheckerError::TooLarge { file: file_name, size_bytes: file.size, limit_bytes });
        }
        self.read(file, 0..file.size)
    }
}

/// What looking at a repository has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests to the Hub, or reads of a file of a folder.
    pub requests: u64,
    /// Bytes received or read.
    pub bytes: u64,
}

/// Opens a model: a folder, or a repository of the Hub at a commit.
///
/// A Hub client that is set to work offline is asked for what its cache holds, and that is opened as a folder.
///
/// # Errors
///
/// There is no such folder or repository, or it cannot be listed.
pub fn open(model: &ModelRef, hub: &Hub) -> Result<Box<dyn Repository>, CheckerError> {
    match model {
        ModelRef::Folder(path) => Ok(Box::new(FolderRepository::open(path)?)),
        ModelRef::Hub { repo, revision } => open_hub(repo, revision.as_ref(), hub),
        _ => unreachable!("a model is a folder or a repository"),
    }
}

fn open_hub(repo: &RepoId, revision: Option<&Revision>, hub: &Hub) -> Result<Box<dyn Repository>, CheckerError> {
    if hub.settings().offline
        && let Some((revision, folder)) = hub.cached_folder(distil_hub::RepoKind::Model, repo, revision)?
    {
        return Ok(Box::new(FolderRepository::open(&folder)?.named(repo.as_str(), Some(revision))));
    }
    Ok(Box::new(HubRepository::open(hub, repo, revision)?))
}

/// Refuses a range that is not within the file or that is too long to be allocated.
fn check_range(file: &RepoFile, range: &Range<u64>) -> Result<(), CheckerError> {
    let is_sound = range.start <= range.end && range.end <= file.size && range.end - range.start <= MAX_READ_BYTES;
    if is_sound {
        return Ok(());
    }
    Err(CheckerError::OutOfRange { file: text::quoted(&file.path), range: range.clone(), size_bytes: file.size })
}
