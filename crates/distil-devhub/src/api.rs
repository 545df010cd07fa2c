//! The JSON of the API.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::git::hex;
use crate::name::{RepoKind, RepoName};
use crate::repository::{Commit, CommitStamp, FileEntry, FolderEntry, Repository, Visibility};

/// `/api/models/...`: everything, or with `expand` only these fields and the id.
pub(crate) fn info(
    kind: RepoKind,
    name: &RepoName,
    repository: &Repository,
    commit: &Commit,
    with_blobs: bool,
    expand: &[String],
) -> Value {
    let first = CommitStamp { id: "".into(), depth: 0 };
    let siblings: Vec<Value> = commit.files.iter().map(|(path, entry)| sibling(path, entry, with_blobs)).collect();
    let bytes: u64 = commit.files.values().map(|entry| entry.blob.size_bytes).sum();
    let has_safetensors = commit.files.keys().any(|path| path.ends_with(".safetensors"));
    let tags: Vec<&str> = if has_safetensors { vec!["safetensors", "region:us"] } else { vec!["region:us"] };
    let mut fields = Map::from_iter(
        [
            ("_id", json!(&hex(&Sha256::digest(format!("{}/{name}", kind.plural())))[..24])),
            ("id", json!(name.as_str())),
            ("author", json!(name.owner())),
            ("sha", json!(&*commit.stamp.id)),
            ("lastModified", json!(commit.stamp.date())),
            ("createdAt", json!(first.date())),
            ("private", json!(repository.visibility == Visibility::Private)),
            ("gated", if repository.visibility == Visibility::Gated { json!("auto") } else { json!(false) }),
            ("disabled", json!(false)),
            ("downloads", json!(0)),
            ("likes", json!(0)),
            ("tags", json!(tags)),
            ("usedStorage", json!(bytes)),
            ("siblings", Value::Array(siblings)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if kind == RepoKind::Model {
        fields.insert("modelId".to_owned(), json!(name.as_str()));
        if let Some(parameters) = &commit.parameters {
            // Counts are of a header that anyone may write: a sum too large for its type stops at the largest.
            let total = parameters.values().fold(0u64, |sum, count| sum.saturating_add(*count));
            fields.insert("safetensors".to_owned(), json!({ "parameters": parameters, "total": total }));
        }
    }
    if !expand.is_empty() {
        fields.retain(|field, _| matches!(field.as_str(), "_id" | "id") || expand.contains(field));
    }
    Value::Object(fields)
}

fn sibling(path: &str, entry: &FileEntry, with_blobs: bool) -> Value {
    let mut value = json!({ "rfilename": path });
    if with_blobs {
        value["size"] = json!(entry.blob.size_bytes);
        value["blobId"] = json!(entry.git_id.hex());
        if let Some(pointer_bytes) = entry.lfs_pointer_bytes {
            value["lfs"] =
                json!({ "sha256": entry.blob.sha256, "size": entry.blob.size_bytes, "pointerSize": pointer_bytes });
        }
    }
    value
}

/// `/tree/...`: entries of a folder ("" is the root), sorted by path; with `recursive` of all folders below. `None`
/// where there is no such folder.
pub(crate) fn tree(commit: &Commit, folder: &str, recursive: bool, expand: bool) -> Option<Vec<Value>> {
    if !folder.is_empty() && !commit.folders.contains_key(folder) {
        return None;
    }
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let wanted = |path: &str| path.strip_prefix(&prefix).is_some_and(|below| recursive || !below.contains('/'));
    let mut entries: Vec<(&str, Value)> = Vec::new();
    entries.extend(
        commit
            .folders
            .iter()
            .filter(|(path, _)| wanted(path))
            .map(|(path, entry)| (path.as_str(), folder_entry(path, entry, expand))),
    );
    entries.extend(
        commit
            .files
            .iter()
            .filter(|(path, _)| wanted(path))
            .map(|(path, entry)| (path.as_str(), file_entry(path, entry, expand))),
    );
    entries.sort_by_key(|(path, _)| *path);
    Some(entries.into_iter().map(|(_, value)| value).collect())
}

/// `/paths-info/...`: an entry for each of these paths that is there.
pub(crate) fn paths_info(commit: &Commit, paths: &[String], expand: bool) -> Vec<Value> {
    let entry = |path: &String| {
        let file = commit.files.get(path).map(|entry| file_entry(path, entry, expand));
        file.or_else(|| commit.folders.get(path).map(|entry| folder_entry(path, entry, expand)))
    };
    paths.iter().filter_map(entry).collect()
}

/// `/refs`: the one branch there is.
pub(crate) fn refs(repository: &Repository) -> Value {
    let main = |head: &Commit| json!({ "name": "main", "ref": "refs/heads/main", "targetCommit": &*head.stamp.id });
    let branches: Vec<Value> = repository.head().map(|head| main(head)).into_iter().collect();
    json!({ "branches": branches, "converts": [], "tags": [] })
}

fn folder_entry(path: &str, entry: &FolderEntry, expand: bool) -> Value {
    let mut value = json!({ "type": "directory", "oid": entry.git_id.hex(), "size": 0, "path": path });
    if expand {
        value["lastCommit"] = last_commit(&entry.changed_in);
    }
    value
}

fn file_entry(path: &str, entry: &FileEntry, expand: bool) -> Value {
    let size_bytes = entry.blob.size_bytes;
    let mut value = json!({ "type": "file", "oid": entry.git_id.hex(), "size": size_bytes, "path": path });
    if let Some(pointer_bytes) = entry.lfs_pointer_bytes {
        value["lfs"] = json!({ "oid": entry.blob.sha256, "size": size_bytes, "pointerSize": pointer_bytes });
    }
    if expand {
        value["lastCommit"] = last_commit(&entry.changed_in);
    }
    value
}

fn last_commit(stamp: &CommitStamp) -> Value {
    json!({ "id": &*stamp.id, "title": stamp.title(), "date": stamp.date() })
}
