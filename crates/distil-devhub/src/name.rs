use std::fmt;

use crate::DevHubError;

/// The two kinds of repository that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepoKind {
    /// `/api/models/...` and `/owner/name/resolve/...`.
    Model,
    /// `/api/datasets/...` and `/datasets/owner/name/resolve/...`.
    Dataset,
}

impl RepoKind {
    /// As the API's paths have it: `models` or `datasets`.
    pub fn plural(self) -> &'static str {
        match self {
            RepoKind::Model => "models",
            RepoKind::Dataset => "datasets",
        }
    }

    pub(crate) fn singular(self) -> &'static str {
        match self {
            RepoKind::Model => "model",
            RepoKind::Dataset => "dataset",
        }
    }

    pub(crate) fn from_plural(text: &str) -> Option<Self> {
        match text {
            "models" => Some(RepoKind::Model),
            "datasets" => Some(RepoKind::Dataset),
            _ => None,
        }
    }
}

/// A repository's name, `owner/name`, that keeps the Hub's rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RepoName(String);

/// First parts of paths that the Hub keeps for itself.
const RESERVED_OWNERS: [&str; 4] = ["api", "cdn", "datasets", "spaces"];

impl RepoName {
    pub(crate) fn parse(text: &str) -> Result<Self, DevHubError> {
        match problem_of(text) {
            None => Ok(RepoName(text.to_owned())),
            Some(problem) => Err(DevHubError::RepositoryName { name: text.chars().take(200).collect(), problem }),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn owner(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn problem_of(text: &str) -> Option<&'static str> {
    let Some((owner, name)) = text.split_once('/') else { return Some("one slash is needed, between owner and name") };
    if RESERVED_OWNERS.contains(&owner) {
        return Some("this owner is the beginning of another route");
    }
    for part in [owner, name] {
        if part.is_empty() || part.len() > 96 {
            return Some("owner and name have 1 to 96 characters each");
        }
        if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
            return Some("only A-Z a-z 0-9 . _ - are allowed, and one slash");
        }
        if part.starts_with(['.', '-']) || part.ends_with(['.', '-']) {
            return Some("owner and name may not begin or end with . or -");
        }
        if part.contains("..") || part.contains("--") {
            return Some(".. and -- are not allowed");
        }
    }
    name.ends_with(".git").then_some("a name may not end in .git")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_hubs_rules() {
        for good in ["alice/tiny", "A1/b.c_d-e", "a/b"] {
            assert!(RepoName::parse(good).is_ok(), "{good}");
        }
        let long = format!("{}/x", "a".repeat(97));
        for bad in [
            "",
            "alice",
            "a/b/c",
            "/x",
            "x/",
            "../x",
            "a/..",
            "a/b..c",
            "a/b--c",
            "-a/b",
            "a/b.",
            "a/b.git",
            "a b/c",
            "a/é",
            "api/models",
            "datasets/x",
            &long,
        ] {
            assert!(RepoName::parse(bad).is_err(), "{bad}");
        }
    }
}
