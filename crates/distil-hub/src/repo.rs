use crate::{HubError, error::Result};
use distil_types::{RepoId, Revision};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref, str::FromStr};

/// What kind of repository: each has its own routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoKind {
    /// A model.
    Model,
    /// A dataset.
    Dataset,
}

impl RepoKind {
    /// The name in API routes and in the cache: `models` or `datasets`.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }

    /// What stands before `owner/repo` in the route of a file.
    pub(crate) fn file_prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }
}

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepoAt {
    /// Model or dataset.
    pub kind: RepoKind,
    /// The repository.
    pub repo: RepoId,
    /// The commit.
    pub revision: Revision,
}

/// `owner/repo@revision`.
impl fmt::Display for RepoAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.revision)
    }
}

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Digest(pub [u8; 32]);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

impl FromStr for Sha256Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> std::result::Result<Self, NotADigest> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(NotADigest);
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let value = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(NotADigest),
            };
            *byte = value(digits[0])? << 4 | value(digits[1])?;
        }
        Ok(Self(bytes))
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> std::result::Result<Self, NotADigest> {
        text.parse()
    }
}

/// A text that is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 lower-case hexadecimal digits")]
pub struct NotADigest;

/// One file, as the Hub lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoFile {
    /// Its path within the repository: relative, parts separated by `/`, none of them empty, `.` or `..`, with neither
    /// backslash nor control character.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// The SHA-256 of its LFS record; `None` for a small file that git itself holds.
    pub sha256: Option<Sha256Digest>,
    /// The SHA-1 by which git knows its blob, 40 hexadecimal digits, where the Hub tells it. Of an LFS file it is that of
    /// the pointer.
    pub git_oid: Option<String>,
}

/// What a repository holds at one commit.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The repository and the commit.
    pub at: RepoAt,
    /// Its files, sorted by path, each path once.
    pub files: Vec<RepoFile>,
    /// How many parameters the Hub itself counts in its safetensors files.
    pub safetensors_total: Option<u64>,
    /// Only its owner, and whose token may, can see it.
    pub private: bool,
    /// Only who accepted its terms can download it.
    pub gated: bool,
    /// The mark of this answer, for [`Hub::snapshot_if_changed`](crate::Hub::snapshot_if_changed).
    pub etag: Option<String>,
}

impl Snapshot {
    /// The file at a path.
    pub fn file(&self, path: &str) -> Option<&RepoFile> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok().map(|index| &self.files[index])
    }
}

impl Deref for Snapshot {
    type Target = RepoAt;

    fn deref(&self) -> &RepoAt {
        &self.at
    }
}

const MAX_PATH_BYTES: usize = 1024;
/// What file systems take as one name.
const MAX_NAME_BYTES: usize = 255;

/// Holds a path from a listing to what can stand in a URL and below a folder.
pub(crate) fn check_path(what: &str, path: &str) -> Result<()> {
    let reason = if path.is_empty() || path.len() > MAX_PATH_BYTES {
        format!("is empty or longer than {MAX_PATH_BYTES} bytes")
    } else if path.chars().any(|c| c.is_control() || c == '\\') {
        "holds a control character or a backslash".to_owned()
    } else if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        "has an empty part, `.` or `..`".to_owned()
    } else if path.split('/').any(|part| part.len() > MAX_NAME_BYTES) {
        format!("has a name longer than {MAX_NAME_BYTES} bytes, which no file system takes")
    } else {
        return Ok(());
    };
    Err(HubError::bad(what, format!("a listed path {reason}: {}", crate::text::excerpt(path))))
}
