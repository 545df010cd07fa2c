//! The Hub's JSON, parsed once into types. A repository's owner chooses much of what stands in it.

use std::collections::BTreeSet;

use distil_types::Revision;
use serde::Deserialize;
use serde_json::Value;

use crate::repo::{RepoAt, RepoFile, Sha256Digest, Snapshot, check_path};
use crate::text::excerpt;
use crate::{HubError, error::Result};

/// Room for the listing of 100,000 files.
pub(crate) const MAX_ANSWER_BYTES: u64 = 48 << 20;

/// `GET /api/models/{repo}/revision/{revision}?blobs=true`
#[derive(Deserialize)]
struct Info {
    sha: Option<String>,
    #[serde(default)]
    private: bool,
    gated: Option<Value>,
    siblings: Option<Vec<Sibling>>,
    safetensors: Option<SafetensorsTotal>,
}

#[derive(Deserialize)]
struct SafetensorsTotal {
    total: Option<u64>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

/// The two routes call the hash by different names.
#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: String,
    size: u64,
}

/// `GET /api/models/{repo}/tree/{revision}/{folder}`
#[derive(Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    size: Option<u64>,
    oid: Option<String>,
    lfs: Option<Lfs>,
}

/// `GET /api/models/{repo}/refs`
#[derive(Deserialize)]
struct Refs {
    branches: Vec<Branch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Branch {
    name: String,
    target_commit: String,
}

fn parse<T: for<'de> Deserialize<'de>>(what: &str, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| HubError::bad(what, format!("it is not the JSON expected: {error}")))
}

/// A repository's information, held against the commit that was asked for.
pub(crate) fn snapshot(
    what: &str,
    asked: impl FnOnce(Revision) -> RepoAt,
    revision: Option<&Revision>,
    body: &[u8],
    etag: Option<String>,
) -> Result<Snapshot> {
    let info: Info = parse(what, body)?;
    let Some(sha) = info.sha else { return Err(HubError::bad(what, "it names no commit")) };
    let found: Revision =
        sha.parse().map_err(|_| HubError::bad(what, format!("\"{}\" is not a commit", excerpt(&sha))))?;
    if let Some(revision) = revision
        && *revision != found
    {
        return Err(HubError::bad(what, format!("it is about commit {found}")));
    }
    let siblings = info.siblings.unwrap_or_default();
    let mut files = siblings
        .into_iter()
        .map(|sibling| file(what, sibling.rfilename, sibling.size, sibling.blob_id, sibling.lfs))
        .collect::<Result<Vec<_>>>()?;
    sort(what, &mut files)?;
    let gated = !matches!(info.gated, None | Some(Value::Null | Value::Bool(false)));
    Ok(Snapshot {
        at: asked(found),
        files,
        safetensors_total: info.safetensors.and_then(|safetensors| safetensors.total),
        private: info.private,
        gated,
        etag,
    })
}

/// The commit of the main branch.
pub(crate) fn main_branch(what: &str, body: &[u8]) -> Result<Revision> {
    let refs: Refs = parse(what, body)?;
    let Some(main) = refs.branches.iter().find(|branch| branch.name == "main") else {
        return Err(HubError::bad(what, "there is no branch main"));
    };
    main.target_commit
        .parse()
        .map_err(|_| HubError::bad(what, format!("\"{}\" is not a commit", excerpt(&main.target_commit))))
}

/// One page of a tree: its files, folders left out.
pub(crate) fn tree_page(what: &str, body: &[u8]) -> Result<Vec<RepoFile>> {
    let entries: Vec<TreeEntry> = parse(what, body)?;
    entries
        .into_iter()
        .filter(|entry| entry.kind == "file")
        .map(|entry| file(what, entry.path, entry.size, entry.oid, entry.lfs))
        .collect()
}

/// Sorts files by path and refuses a path that is there twice.
pub(crate) fn sort(what: &str, files: &mut [RepoFile]) -> Result<()> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    match files.windows(2).find(|pair| pair[0].path == pair[1].path) {
        Some(pair) => Err(HubError::bad(what, format!("it lists {} twice", excerpt(&pair[0].path)))),
        None => Ok(()),
    }
}

fn file(what: &str, path: String, size: Option<u64>, oid: Option<String>, lfs: Option<Lfs>) -> Result<RepoFile> {
    check_path(what, &path)?;
    let bad = |reason: &str| HubError::bad(what, format!("file {}: {reason}", excerpt(&path)));
    let sha256 = match &lfs {
        None => None,
        Some(lfs) => {
            let digest: Sha256Digest = lfs.sha256.parse().map_err(|_| bad("its LFS record holds no SHA-256"))?;
            Some(digest)
        }
    };
    let size = match (size, &lfs) {
        (Some(size), Some(lfs)) if size != lfs.size => return Err(bad("its size and that of its LFS record differ")),
        (Some(size), _) => size,
        (None, Some(lfs)) => lfs.size,
        (None, None) => return Err(bad("no size is listed")),
    };
    // Not every answer has one; a wrong one is as good as none.
    let git_oid =
        oid.filter(|oid| oid.len() == 40 && oid.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
    Ok(RepoFile { path, size, sha256, git_oid })
}

/// The address of the next page, from a `Link` header; it has to be of the same origin as the first.
pub(crate) fn next_page(what: &str, link: &str, first: &url::Url) -> Result<Option<url::Url>> {
    for part in link.split(',') {
        let Some((address, parameters)) = part.trim().strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
            continue;
        };
        let is_next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        if !is_next {
            continue;
        }
        let next = first.join(address).map_err(|_| HubError::bad(what, "the address of its next page is none"))?;
        if next.origin() != first.origin() {
            return Err(HubError::bad(what, "its next page is on another server"));
        }
        return Ok(Some(next));
    }
    Ok(None)
}

/// Names that occur on more than one page.
#[derive(Default)]
pub(crate) struct Pages {
    seen: BTreeSet<String>,
}

impl Pages {
    /// Refuses a listing that turns in a circle.
    pub(crate) fn is_new(&mut self, address: &url::Url) -> bool {
        self.seen.insert(address.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RepoKind;
    use proptest::prelude::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn read(body: &str) -> Result<Snapshot> {
        let at = |revision| RepoAt { kind: RepoKind::Model, repo: "owner/repo".parse().unwrap(), revision };
        snapshot("owner/repo", at, None, body.as_bytes(), None)
    }

    #[test]
    fn a_listing_is_sorted_and_its_lfs_records_are_read() {
        let hash = "ab".repeat(32);
        let body = format!(
            r#"{{"sha":"{SHA}","private":false,"gated":"auto","safetensors":{{"parameters":{{"BF16":5}},"total":5}},"siblings":[
            {{"rfilename":"model.safetensors","size":12,"blobId":"{SHA}","lfs":{{"sha256":"{hash}","size":12,"pointerSize":3}}}},
            {{"rfilename":"config.json","size":2,"blobId":"{SHA}"}}]}}"#
        );
        let snapshot = read(&body).unwrap();
        let paths: Vec<&str> = snapshot.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["config.json", "model.safetensors"]);
        assert_eq!(snapshot.file("model.safetensors").unwrap().sha256.unwrap().to_string(), hash);
        assert_eq!(snapshot.file("config.json").unwrap().git_oid.as_deref(), Some(SHA));
        assert!(snapshot.file("nothing").is_none());
        assert_eq!((snapshot.safetensors_total, snapshot.gated), (Some(5), true));
    }

    #[test]
    fn listings_that_cannot_be_are_refused() {
        let sibling = |text: &str| format!(r#"{{"sha":"{SHA}","siblings":[{text}]}}"#);
        for (body, reason) in [
            ("[]".to_owned(), "JSON"),
            ("{}".to_owned(), "no commit"),
            (r#"{"sha":"main"}"#.to_owned(), "not a commit"),
            (sibling(r#"{"rfilename":"../../etc/passwd","size":1}"#), "`..`"),
            (sibling(r#"{"rfilename":"/etc/passwd","size":1}"#), "empty part"),
            (sibling(r#"{"rfilename":"a\\b","size":1}"#), "backslash"),
            (sibling(r#"{"rfilename":"a\u0000b","size":1}"#), "control"),
            (sibling(r#"{"rfilename":"a"}"#), "no size"),
            (sibling(r#"{"rfilename":"a","size":-1}"#), "JSON"),
            (sibling(r#"{"rfilename":"a","size":1},{"rfilename":"a","size":2}"#), "twice"),
            (sibling(r#"{"rfilename":"a","size":1,"lfs":{"sha256":"xyz","size":1}}"#), "no SHA-256"),
            (
                sibling(&format!(r#"{{"rfilename":"a","size":1,"lfs":{{"oid":"{}","size":2}}}}"#, "0".repeat(64))),
                "differ",
            ),
        ] {
            let error = read(&body).unwrap_err();
            assert!(error.to_string().contains(reason), "{error} should speak of {reason}");
            assert!(!error.is_absence());
        }
    }

    #[test]
    fn another_commit_than_asked_for_is_refused() {
        let other: Revision = "f".repeat(40).parse().unwrap();
        let at = |revision| RepoAt { kind: RepoKind::Model, repo: "owner/repo".parse().unwrap(), revision };
        let body = format!(r#"{{"sha":"{SHA}","siblings":[]}}"#);
        assert!(snapshot("owner/repo", at, Some(&other), body.as_bytes(), None).is_err());
    }

    #[test]
    fn pages_are_followed_on_the_same_server_only() {
        let first = url::Url::parse("https://huggingface.co/api/datasets/a/b/tree/main").unwrap();
        let next = |link: &str| next_page("a/b", link, &first);
        assert_eq!(
            next(r#"<https://huggingface.co/api/datasets/a/b/tree/main?cursor=x>; rel="next""#)
                .unwrap()
                .unwrap()
                .query(),
            Some("cursor=x")
        );
        assert_eq!(next(r#"</first>; rel="prev""#).unwrap(), None);
        assert!(next(r#"<https://example.com/next>; rel="next""#).is_err());
        assert!(next(r#"<http://huggingface.co/next>; rel="next""#).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..400), link in ".{0,80}") {
            let at = |revision| RepoAt { kind: RepoKind::Model, repo: "owner/repo".parse().unwrap(), revision };
            let _ = snapshot("owner/repo", at, None, &body, None);
            let _ = tree_page("owner/repo", &body);
            let _ = main_branch("owner/repo", &body);
            let _ = next_page("owner/repo", &link, &url::Url::parse("https://huggingface.co/").unwrap());
        }

        #[test]
        fn no_listed_path_leaves_its_folder(path in "[a./\\\\ -]{0,12}") {
            let body = serde_json::json!({"sha": SHA, "siblings": [{"rfilename": path, "size": 1}]}).to_string();
            if let Ok(snapshot) = read(&body) {
                let joined = std::path::Path::new("/root").join(&snapshot.files[0].path);
                prop_assert!(joined.components().all(|part| !matches!(part, std::path::Component::ParentDir)));
                prop_assert!(joined.starts_with("/root"));
            }
        }
    }
}
