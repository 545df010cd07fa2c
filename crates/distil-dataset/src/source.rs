use crate::{DatasetError, text::excerpt};
use distil_types::{RepoId, Revision};
use std::{fmt, path::PathBuf, str::FromStr};

/// Folder of a dataset on the Hub that is read if none is named: FineWeb's default configuration is `data/*/*`.
const DEFAULT_FOLDER: &str = "data";

/// Where documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptSource {
    /// The parquet files of a dataset on the Hub, at one commit.
    Hub {
        /// The dataset.
        repo: RepoId,
        /// The commit.
        revision: Revision,
        /// The folder below which all `.parquet` files are the corpus; empty for the whole repository.
        folder: String,
    },
    /// A file or folder on disk.
    Path(PathBuf),
}

impl PromptSource {
    /// Reads a source as it is written on a command line.
    ///
    /// `hub:OWNER/NAME@REVISION` is the folder `data` of a dataset (FineWeb keeps its corpus there, a folder for each
    /// crawl; its folder `sample` holds parts of it again). `hub:OWNER/NAME@REVISION/sample/10BT` chooses another, and
    /// `hub:OWNER/NAME@REVISION/` takes the whole repository. Everything else is a path.
    ///
    /// ```
    /// use distil_dataset::PromptSource;
    ///
    /// let commit = "9bb295ddab0e05d785b879661af7260fed5140fc";
    /// let source = PromptSource::parse(&format!("hub:HuggingFaceFW/fineweb@{commit}"))?;
    /// assert!(matches!(&source, PromptSource::Hub { folder, .. } if folder == "data"));
    /// assert!(PromptSource::parse("hub:HuggingFaceFW/fineweb").unwrap_err().to_string().contains("names no revision"));
    /// # Ok::<(), distil_dataset::DatasetError>(())
    /// ```
    ///
    /// # Errors
    /// [`DatasetError::RevisionMissing`] without a commit, [`DatasetError::InvalidSource`] if a part is not what it has
    /// to be. Whether a path exists is seen when it is opened.
    pub fn parse(text: &str) -> Result<Self, DatasetError> {
        let invalid = |problem: String| DatasetError::InvalidSource { text: excerpt(text), problem };
        let Some(rest) = text.strip_prefix("hub:") else {
            return match text {
                "" => Err(invalid("it is empty".to_owned())),
                path => Ok(PromptSource::Path(path.into())),
            };
        };
        let (repo, pinned) = match rest.split_once('@') {
            Some((repo, pinned)) if !pinned.is_empty() => (repo, pinned),
            _ => {
                let repo = rest.trim_end_matches('@');
                return match repo.parse::<RepoId>() {
                    Ok(_) => Err(DatasetError::RevisionMissing { text: excerpt(text) }),
                    Err(error) => Err(invalid(error.to_string())),
                };
            }
        };
        let repo = repo.parse().map_err(|error: distil_types::Error| invalid(error.to_string()))?;
        let (revision, folder) = match pinned.split_once('/') {
            Some((revision, folder)) => (revision, folder.strip_suffix('/').unwrap_or(folder)),
            None => (pinned, DEFAULT_FOLDER),
        };
        let revision = revision.parse().map_err(|error: distil_types::Error| invalid(error.to_string()))?;
        let sound = |part: &str| !part.is_empty() && part != "." && part != "..";
        if !folder.is_empty()
            && (!folder.split('/').all(sound) || folder.contains(|c: char| c.is_control() || c == '\\'))
        {
            return Err(invalid(
                "the folder has an empty part, `.`, `..`, a backslash or a control character".to_owned(),
            ));
        }
        Ok(PromptSource::Hub { repo, revision, folder: folder.to_owned() })
    }
}

impl FromStr for PromptSource {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        PromptSource::parse(text)
    }
}

/// As [`PromptSource::parse`] reads it.
impl fmt::Display for PromptSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PromptSource::Hub { repo, revision, folder } if folder == DEFAULT_FOLDER => {
                write!(f, "hub:{repo}@{revision}")
            }
            PromptSource::Hub { repo, revision, folder } => write!(f, "hub:{repo}@{revision}/{folder}"),
            PromptSource::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn folders_are_told_apart() {
        for (text, expected) in [
            (format!("hub:a/b@{COMMIT}"), "data"),
            (format!("hub:a/b@{COMMIT}/"), ""),
            (format!("hub:a/b@{COMMIT}/sample/10BT"), "sample/10BT"),
            (format!("hub:a/b@{COMMIT}/sample/10BT/"), "sample/10BT"),
        ] {
            match PromptSource::parse(&text).unwrap() {
                PromptSource::Hub { folder, .. } => assert_eq!(folder, expected, "{text}"),
                PromptSource::Path(_) => panic!("{text}"),
            }
        }
        assert_eq!(PromptSource::parse("data/x.jsonl").unwrap(), PromptSource::Path("data/x.jsonl".into()));
    }

    #[test]
    fn faults_are_named() {
        let message = |text: &str| PromptSource::parse(text).unwrap_err().to_string();
        assert!(message("hub:a/b").contains("names no revision"));
        assert!(message("hub:a/b@").contains("names no revision"));
        assert!(message("hub:a/b@main").contains("40 lower-case hexadecimal digits"));
        assert!(message("hub:a@b").contains("owner/repo"));
        assert!(message("hub:").contains("owner/repo"));
        assert!(message("").contains("empty"));
        for folder in ["../x", "x//y", "x/./y", "x\\y", "x\ny"] {
            assert!(message(&format!("hub:a/b@{COMMIT}/{folder}")).contains("the folder has"), "{folder:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_read_again_from_what_it_shows(text in "(hub:)?[a-z/@.]{0,12}|\\PC{0,30}|hub:a/b@0123456789abcdef0123456789abcdef01234567[a-z/.]{0,6}") {
            if let Ok(source) = PromptSource::parse(&text) {
                prop_assert_eq!(PromptSource::parse(&source.to_string()).unwrap(), source);
            }
        }
    }
}
