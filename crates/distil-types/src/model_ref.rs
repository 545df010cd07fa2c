use crate::{Error, RepoId, Revision, text::excerpt};
use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

/// Where a model is: in a folder, or in a repository of the Hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelRef {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A repository of the Hub.
    Hub {
        /// The repository.
        repo: RepoId,
        /// The commit, or `None` for the newest of the main branch.
        revision: Option<Revision>,
    },
}

impl ModelRef {
    /// Reads a folder or `owner/repo[@revision]`.
    ///
    /// A text that names an existing folder is that folder, and so is one that can only be a path: absolute, or
    /// beginning with `./` or `../`. Anything else has to be a repository, with a revision of 40 hexadecimal digits if
    /// there is one. `is_folder` says whether a path is an existing folder; programs pass [`Path::is_dir`].
    ///
    /// ```
    /// use distil_types::ModelRef;
    /// use std::path::Path;
    ///
    /// let teacher = ModelRef::parse("Qwen/Qwen3.5-35B-A3B", Path::is_dir)?;
    /// assert!(matches!(teacher, ModelRef::Hub { revision: None, .. }));
    /// let student = ModelRef::parse("./student", Path::is_dir)?;
    /// assert!(matches!(student, ModelRef::Folder(_)));
    /// # Ok::<(), distil_types::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidModelRef`] when it is neither.
    pub fn parse(text: &str, is_folder: impl FnOnce(&Path) -> bool) -> Result<Self, Error> {
        let path = Path::new(text);
        let can_only_be_a_path = match path.components().next() {
            Some(Component::Normal(_)) | None => path.is_absolute(),
            Some(_) => true,
        };
        if can_only_be_a_path || (!text.is_empty() && is_folder(path)) {
            return Ok(ModelRef::Folder(path.to_owned()));
        }
        let hub = || {
            let (repo, revision) = match text.split_once('@') {
                Some((repo, revision)) => (repo, Some(revision.parse()?)),
                None => (text, None),
            };
            Ok(ModelRef::Hub { repo: repo.parse()?, revision })
        };
        hub().map_err(|source: Error| Error::InvalidModelRef { text: excerpt(text), source: Box::new(source) })
    }
}

/// The text that [`ModelRef::parse`] reads.
impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelRef::Folder(path) => path.display().fmt(f),
            ModelRef::Hub { repo, revision: None } => repo.fmt(f),
            ModelRef::Hub { repo, revision: Some(revision) } => write!(f, "{repo}@{revision}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn without_folders(text: &str) -> Result<ModelRef, Error> {
        ModelRef::parse(text, |_| false)
    }

    #[test]
    fn paths_are_folders_whether_they_exist_or_not() {
        for text in ["/models/teacher", "./teacher", "../teacher", ".", "..", "./owner/repo", "/"] {
            assert_eq!(without_folders(text).unwrap(), ModelRef::Folder(text.into()), "{text}");
        }
    }

    #[test]
    fn an_existing_folder_goes_before_a_repository() {
        assert!(matches!(without_folders("owner/repo").unwrap(), ModelRef::Hub { .. }));
        assert_eq!(ModelRef::parse("owner/repo", |_| true).unwrap(), ModelRef::Folder("owner/repo".into()));
        assert_eq!(ModelRef::parse("teacher", |_| true).unwrap(), ModelRef::Folder("teacher".into()));
    }

    #[test]
    fn a_repository_may_be_pinned() {
        let repo: RepoId = "owner/repo".parse().unwrap();
        assert_eq!(without_folders("owner/repo").unwrap(), ModelRef::Hub { repo: repo.clone(), revision: None });
        assert_eq!(
            without_folders(&format!("owner/repo@{SHA}")).unwrap(),
            ModelRef::Hub { repo, revision: Some(SHA.parse().unwrap()) }
        );
    }

    #[test]
    fn what_is_neither_is_refused_with_the_reason() {
        for (bad, reason) in [
            ("", "neither an existing folder"),
            ("teacher", "one slash is needed"),
            ("models/tiny/teacher", "one slash is needed"),
            ("owner/repo@main", "40 lower-case"),
            ("owner/repo@", "40 lower-case"),
            ("owner/re po", "only the characters"),
            ("~/models", "only the characters"),
        ] {
            let error = without_folders(bad).unwrap_err().to_string();
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_shown_as_it_was_given(text in "\\PC{0,30}|[./a-z]{0,12}|[a-z]{1,5}/[a-z]{1,5}(@[0-9a-f]{40})?", folder in any::<bool>()) {
            if let Ok(model) = ModelRef::parse(&text, |_| folder) {
                prop_assert_eq!(model.to_string(), text.clone());
                prop_assert_eq!(ModelRef::parse(&model.to_string(), |_| folder).unwrap(), model);
            }
        }
    }
}
