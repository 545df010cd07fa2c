//! Which files of a repository make up the model: what a loader reads and nothing else.

use distil_hub::RepoFile;

use crate::{
    CheckerError, Code,
    findings::Findings,
    repository::Repository,
    weights::{self, INDEX_FILE, Layout, SINGLE_FILE},
};

/// The files that a loader reads, sorted by path: `config.json`, `generation_config.json`, and `model.safetensors`, else
/// the index with the shards that it names. Tokenizers are not among them: a student's is never run.
///
/// What is not there is left out, so a repository without weights has none here. These are the files to download, and
/// those that the digest of a model's files is about.
///
/// ```
/// use distil_checker::{FolderRepository, loader_files};
///
/// let folder = tempfile::tempdir()?;
/// for name in ["config.json", "model.safetensors", "README.md"] {
///     std::fs::write(folder.path().join(name), "{}")?;
/// }
/// let repository = FolderRepository::open(folder.path())?;
/// let files: Vec<&str> = loader_files(&repository)?.iter().map(|file| file.path.as_str()).collect();
/// assert_eq!(files, ["config.json", "model.safetensors"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The index cannot be read, or is none ([`CheckerError::Index`]).
pub fn loader_files(repository: &dyn Repository) -> Result<Vec<&RepoFile>, CheckerError> {
    let mut paths = vec!["config.json".to_owned(), "generation_config.json".to_owned()];
    match Layout::of(repository) {
        Layout::Single => paths.push(SINGLE_FILE.to_owned()),
        Layout::Index => {
            let mut findings = Findings::default();
            let Some(index) = weights::read_index(repository, &mut findings)? else {
                let findings = findings.into_sorted();
                let reason = findings.iter().find(|finding| finding.code == Code::IndexMismatch).or(findings.first());
                let reason = reason.map_or_else(|| "it is not an index".to_owned(), |finding| finding.message.clone());
                return Err(CheckerError::Index { file: INDEX_FILE.to_owned(), reason });
            };
            paths.push(INDEX_FILE.to_owned());
            paths.extend(index.shards().into_iter().map(str::to_owned));
        }
        Layout::None => {}
    }
    paths.sort();
    paths.dedup();
    Ok(paths.iter().filter_map(|path| repository.file(path)).collect())
}
