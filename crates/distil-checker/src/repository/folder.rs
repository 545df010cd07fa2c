use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use distil_hub::RepoFile;
use distil_types::Revision;

use super::{MAX_FILES, Repository, Traffic, check_range};
use crate::{CheckerError, text};

/// The most folders within folders.
const MAX_DEPTH: usize = 16;
/// The most reasons kept for files that were left out.
const MAX_LEFT_OUT: usize = 32;

/// A model's folder on this machine.
///
/// Hidden files and folders (`.git`, `.cache`, `.gitattributes`) are no part of it. A symbolic link to a file counts as
/// that file where it stays inside the folder, or leads from a snapshot of the Hub's cache to the cache's `blobs`; any
/// other link is left out, and [`left_out`](Repository::left_out) says so.
#[derive(Debug)]
pub struct FolderRepository {
    folder: PathBuf,
    name: String,
    revision: Option<Revision>,
    files: Vec<RepoFile>,
    left_out: Vec<String>,
    reads: AtomicU64,
    bytes: AtomicU64,
}

impl FolderRepository {
    /// Lists a folder.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be read, or holds more than [`MAX_FILES`](crate::MAX_FILES) files.
    pub fn open(folder: &Path) -> Result<Self, CheckerError> {
        let is_folder = match fs::metadata(folder) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => false,
            Err(source) => return Err(CheckerError::Read { path: folder.to_owned(), source }),
        };
        if !is_folder {
            return Err(CheckerError::NotAFolder { path: folder.to_owned() });
        }
        let root = fs::canonicalize(folder).map_err(|source| CheckerError::Read { path: folder.to_owned(), source })?;
        let mut walk = Walk { blobs: blobs_of_cache(&root), root, entries: 0, files: Vec::new(), left_out: Vec::new() };
        let start = walk.root.clone();
        walk.visit(&start, "", 0)?;
        let Walk { mut files, left_out, .. } = walk;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            folder: folder.to_owned(),
            name: text::printable(&folder.to_string_lossy()),
            revision: None,
            files,
            left_out,
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// The same folder under the name of the repository and the commit that it was downloaded from.
    pub fn named(self, name: &str, revision: Option<Revision>) -> Self {
        Self { name: text::printable(name), revision, ..self }
    }
}

impl Repository for FolderRepository {
    fn name(&self) -> &str {
        &self.name
    }

    fn revision(&self) -> Option<Revision> {
        self.revision
    }

    fn files(&self) -> &[RepoFile] {
        &self.files
    }

    fn read(&self, file: &RepoFile, range: Range<u64>) -> Result<Vec<u8>, CheckerError> {
        check_range(file, &range)?;
        let path = self.folder.join(&file.path);
        let length = range.end - range.start;
        let read = || -> io::Result<Vec<u8>> {
            let mut opened = File::open(&path)?;
            opened.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::with_capacity(length as usize);
            opened.take(length).read_to_end(&mut bytes)?;
            match bytes.len() as u64 == length {
                true => Ok(bytes),
                false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than when the folder was listed")),
            }
        };
        let bytes = read().map_err(|source| CheckerError::Read { path: path.clone(), source })?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(length, Ordering::Relaxed);
        Ok(bytes)
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn left_out(&self) -> &[String] {
        &self.left_out
    }

    fn traffic(&self) -> Traffic {
        Traffic { requests: self.reads.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// `models--owner--repo/blobs` of `models--owner--repo/snapshots/<commit>`: where the files of the Hub's cache are.
fn blobs_of_cache(root: &Path) -> Option<PathBuf> {
    let snapshots = root.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "snapshots"))?;
    fs::canonicalize(snapshots.parent()?.join("blobs")).ok()
}

struct Walk {
    /// Without links in it.
    root: PathBuf,
    blobs: Option<PathBuf>,
    /// Whatever was met, folders and hidden files too.
    entries: usize,
    files: Vec<RepoFile>,
    left_out: Vec<String>,
}

impl Walk {
    fn visit(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), CheckerError> {
        let read_error = |path: &Path, source| CheckerError::Read { path: path.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(|source| read_error(folder, source))? {
            let entry = entry.map_err(|source| read_error(folder, source))?;
            self.entries += 1;
            if self.entries > MAX_FILES {
                let repository = text::quoted_path(&self.root);
                return Err(CheckerError::TooManyFiles { repository, limit: MAX_FILES });
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.leave_out(&format!("{prefix}{}", name.to_string_lossy()), "its name is not text");
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            let relative = format!("{prefix}{name}");
            let metadata = fs::symlink_metadata(&path).map_err(|source| read_error(&path, source))?;
            if metadata.is_dir() {
                match depth < MAX_DEPTH {
                    true => self.visit(&path, &format!("{relative}/"), depth + 1)?,
                    false => self.leave_out(&relative, "it lies too deep"),
                }
            } else if metadata.is_symlink() {
                match self.follow(&path) {
                    Ok(metadata) => self.take(relative, &metadata),
                    Err(reason) => self.leave_out(&relative, reason),
                }
            } else {
                self.take(relative, &metadata);
            }
        }
        Ok(())
    }

    /// The file behind a link, if it is one of ours.
    fn follow(&self, link: &Path) -> Result<Metadata, &'static str> {
        let target = fs::canonicalize(link).map_err(|_| "it is a symbolic link to nothing")?;
        let is_ours =
            target.starts_with(&self.root) || self.blobs.as_ref().is_some_and(|blobs| target.starts_with(blobs));
        if !is_ours {
            return Err("it is a symbolic link out of the folder");
        }
        fs::metadata(&target).map_err(|_| "what it links to cannot be read")
    }

    fn take(&mut self, path: String, metadata: &Metadata) {
        if metadata.is_file() {
            self.files.push(RepoFile { path, size: metadata.len(), sha256: None, git_oid: None });
        } else {
            self.leave_out(&path, "it is not a regular file");
        }
    }

    fn leave_out(&mut self, path: &str, reason: &str) {
        if self.left_out.len() < MAX_LEFT_OUT {
            self.left_out.push(format!("{}: {reason}", text::quoted(path)));
        }
    }
}
