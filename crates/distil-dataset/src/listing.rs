//! Which files a corpus has.

use crate::{DatasetError, text::excerpt};
use std::{fs, path::Path};

/// How documents lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Rows of a column `text`.
    Parquet,
    /// One JSON value a line.
    JsonLines,
    /// A list in JSON.
    Json,
    /// Paragraphs with blank lines between them.
    Paragraphs,
    /// One document.
    WholeText,
}

impl FileKind {
    fn of_single_file(name: &str) -> Option<FileKind> {
        match Path::new(name).extension()?.to_str()? {
            "parquet" => Some(FileKind::Parquet),
            "jsonl" => Some(FileKind::JsonLines),
            "json" => Some(FileKind::Json),
            "txt" => Some(FileKind::Paragraphs),
            _ => None,
        }
    }
}

/// A file of a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedFile {
    /// Its path within the corpus, `/` between the parts.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) kind: FileKind,
}

/// Folders within folders.
const MAX_DEPTH: usize = 32;
const MAX_FILES: usize = 1_000_000;

/// The one file, or the files of a folder sorted by path.
///
/// A folder gives the files of the first kind it has of parquet, .jsonl, .txt (each of them one document) and .json:
/// folders of parquet have JSON files that describe them. What is hidden by a dot is passed over.
pub(crate) fn list_disk(root: &Path) -> Result<Vec<ListedFile>, DatasetError> {
    let read_error = |path: &Path| {
        let path = path.to_owned();
        move |source| DatasetError::Read { path, source }
    };
    let metadata = fs::metadata(root).map_err(read_error(root))?;
    if !metadata.is_dir() {
        let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = FileKind::of_single_file(name).ok_or_else(|| DatasetError::InvalidSource {
            text: excerpt(&root.to_string_lossy()),
            problem: "the file is none of .parquet, .jsonl, .json and .txt".to_owned(),
        })?;
        return Ok(vec![ListedFile { path: name.to_owned(), size: metadata.len(), kind }]);
    }

    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(read_error(&folder))? {
            let entry = entry.map_err(read_error(&folder))?;
            let refuse = |problem: &str| DatasetError::InvalidSource {
                text: excerpt(&entry.path().to_string_lossy()),
                problem: problem.to_owned(),
            };
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| refuse("its name is not UTF-8"))?;
            if name.starts_with('.') {
                continue;
            }
            let metadata = fs::metadata(entry.path()).map_err(read_error(&entry.path()))?;
            let path = format!("{prefix}{name}");
            if metadata.is_dir() {
                if depth == MAX_DEPTH {
                    return Err(refuse("its folders are nested too deeply, or in a circle"));
                }
                folders.push((entry.path(), format!("{path}/"), depth + 1));
            } else if let Some(kind) = FileKind::of_single_file(name) {
                let kind = if kind == FileKind::Paragraphs { FileKind::WholeText } else { kind };
                found.push(ListedFile { path, size: metadata.len(), kind });
                if found.len() > MAX_FILES {
                    return Err(refuse("its folder has more than a million files"));
                }
            }
        }
    }
    for kind in [FileKind::Parquet, FileKind::JsonLines, FileKind::WholeText, FileKind::Json] {
        if found.iter().any(|file| file.kind == kind) {
            found.retain(|file| file.kind == kind);
            found.sort_by(|a, b| a.path.cmp(&b.path));
            return Ok(found);
        }
    }
    Ok(Vec::new())
}
