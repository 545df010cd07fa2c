//! Which of the Hub's routes a path is.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::name::{RepoKind, RepoName};

/// What is asked, with all names decoded. Nothing of it becomes a path on disk: names are looked up in tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Repository(RepoKind, RepoName, Ask),
    /// Content of an LFS file: its SHA-256, the repository, and its path there.
    Content {
        sha256: String,
        kind: RepoKind,
        name: RepoName,
        path: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Info {
        revision: String,
    },
    Tree {
        revision: String,
        path: String,
    },
    PathsInfo {
        revision: String,
    },
    Refs,
    Resolve {
        revision: String,
        path: String,
    },
    /// Where `resolve` may send a client for a small file.
    ResolveCache {
        commit: String,
        path: String,
    },
}

/// Reads a path of the Hub's server, without its query. `None` where there is no such route.
pub(crate) fn read_hub(path: &str) -> Option<Route> {
    let parts = decode(path)?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (kind, owner, name, ask) = match parts.as_slice() {
        ["api", "resolve-cache", plural, owner, name, commit, path @ ..] if !path.is_empty() => {
            let ask = Ask::ResolveCache { commit: (*commit).to_owned(), path: path.join("/") };
            (RepoKind::from_plural(plural)?, owner, name, ask)
        }
        ["api", plural, owner, name, rest @ ..] => {
            let revision = |text: &str| text.to_owned();
            let ask = match rest {
                [] => Ask::Info { revision: "main".to_owned() },
                ["revision", rev] => Ask::Info { revision: revision(rev) },
                ["tree", rev, path @ ..] => Ask::Tree { revision: revision(rev), path: path.join("/") },
                ["paths-info", rev] => Ask::PathsInfo { revision: revision(rev) },
                ["refs"] => Ask::Refs,
                _ => return None,
            };
            (RepoKind::from_plural(plural)?, owner, name, ask)
        }
        ["datasets", owner, name, "resolve", revision, path @ ..] if !path.is_empty() => {
            (RepoKind::Dataset, owner, name, Ask::Resolve { revision: (*revision).to_owned(), path: path.join("/") })
        }
        [owner, name, "resolve", revision, path @ ..] if !path.is_empty() => {
            (RepoKind::Model, owner, name, Ask::Resolve { revision: (*revision).to_owned(), path: path.join("/") })
        }
        _ => return None,
    };
    Some(Route::Repository(kind, RepoName::parse(&format!("{owner}/{name}")).ok()?, ask))
}

/// Reads a path of the content server: `/cdn/<sha256>/<models or datasets>/<owner>/<name>/<path>`.
pub(crate) fn read_cdn(path: &str) -> Option<Route> {
    let parts = decode(path)?;
    match parts.as_slice() {
        [cdn, sha256, kind, owner, name, path @ ..] if cdn == "cdn" && !path.is_empty() => Some(Route::Content {
            sha256: sha256.clone(),
            kind: RepoKind::from_plural(kind)?,
            name: RepoName::parse(&format!("{owner}/{name}")).ok()?,
            path: path.join("/"),
        }),
        _ => None,
    }
}

/// The path's parts. `None` where an escape does not give UTF-8 or the path does not begin with a slash.
fn decode(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    path.split('/').map(|part| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned())).collect()
}

/// All that can't stand in a part of a path as it is.
const ESCAPED: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path for a URL; its slashes stay.
pub(crate) fn encode(path: &str) -> String {
    utf8_percent_encode(path, &ESCAPED).to_string()
}

impl Ask {
    /// True where a file's content is asked for, not what there is.
    pub(crate) fn is_for_content(&self) -> bool {
        matches!(self, Ask::Resolve { .. } | Ask::ResolveCache { .. })
    }

    /// The path that asks this of a repository.
    pub(crate) fn path(&self, kind: RepoKind, repo: &RepoName) -> String {
        let api = format!("/api/{}/{repo}", kind.plural());
        let part = |text: &str| encode(text).replace('/', "%2F");
        match self {
            Ask::Info { revision } => format!("{api}/revision/{}", part(revision)),
            Ask::Tree { revision, path } if path.is_empty() => format!("{api}/tree/{}", part(revision)),
            Ask::Tree { revision, path } => format!("{api}/tree/{}/{}", part(revision), encode(path)),
            Ask::PathsInfo { revision } => format!("{api}/paths-info/{}", part(revision)),
            Ask::Refs => format!("{api}/refs"),
            Ask::Resolve { revision, path } => {
                let root = if kind == RepoKind::Dataset { "/datasets" } else { "" };
                format!("{root}/{repo}/resolve/{}/{}", part(revision), encode(path))
            }
            Ask::ResolveCache { commit, path } => {
                format!("/api/resolve-cache/{}/{repo}/{}/{}", kind.plural(), part(commit), encode(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn routes_are_told_apart() {
        let repo = |name: &str| RepoName::parse(name).unwrap();
        let asks = |path: &str| match read_hub(path) {
            Some(Route::Repository(kind, name, ask)) => (kind, name, ask),
            other => panic!("{path} gives {other:?}"),
        };
        let main = || "main".to_owned();
        let (model, dataset) = (RepoKind::Model, RepoKind::Dataset);
        assert_eq!(asks("/api/models/a/b"), (model, repo("a/b"), Ask::Info { revision: main() }));
        assert_eq!(
            asks("/api/datasets/a/b/revision/refs%2Fpr%2F1"),
            (dataset, repo("a/b"), Ask::Info { revision: "refs/pr/1".to_owned() })
        );
        assert_eq!(
            asks("/api/models/a/b/tree/main/sub/folder"),
            (model, repo("a/b"), Ask::Tree { revision: main(), path: "sub/folder".to_owned() })
        );
        assert_eq!(
            asks("/datasets/a/b/resolve/main/a%20b/%C3%A9.txt"),
            (dataset, repo("a/b"), Ask::Resolve { revision: main(), path: "a b/é.txt".to_owned() })
        );
        for nothing in [
            "",
            "/",
            "/api",
            "/api/models",
            "/api/models/a",
            "/api/models/a/b/c",
            "/api/spaces/a/b",
            "/a/b/resolve/main",
            "/a/b/blob/main/x",
            "/api/models/..%2F..%2Fetc/passwd",
            "/api/models/a/..",
            "/a/b/resolve/main/%FF",
        ] {
            assert_eq!(read_hub(nothing), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read(path in "\\PC{0,80}|(/(api|models|a|b|tree|resolve|main|%[0-9a-f]{2}|\\.\\.)){0,9}") {
            let _ = read_hub(&path);
            let _ = read_cdn(&path);
        }

        #[test]
        fn a_written_path_is_read_back(file in "[^/\\x00]{1,12}(/[^/\\x00]{1,12}){0,3}", revision in "[a-z0-9/ %é]{1,12}") {
            let repo = RepoName::parse("alice/tiny").unwrap();
            for kind in [RepoKind::Model, RepoKind::Dataset] {
                for ask in [
                    Ask::Resolve { revision: revision.clone(), path: file.clone() },
                    Ask::Tree { revision: revision.clone(), path: file.clone() },
                    Ask::ResolveCache { commit: revision.clone(), path: file.clone() },
                ] {
                    let read = read_hub(&ask.path(kind, &repo));
                    prop_assert_eq!(read, Some(Route::Repository(kind, repo.clone(), ask)));
                }
            }
        }
    }
}
