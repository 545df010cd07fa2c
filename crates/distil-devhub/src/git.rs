//! Git's ids of blobs, trees and commits, and the text of an LFS pointer.

use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

/// SHA-1 of a git object, 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectId(pub(crate) [u8; 20]);

impl ObjectId {
    pub(crate) fn hex(self) -> String {
        hex(&self.0)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a blob of known length piece by piece.
pub(crate) struct BlobHasher(Sha1);

impl BlobHasher {
    pub(crate) fn new(size_bytes: u64) -> Self {
        BlobHasher(Sha1::new().chain_update(format!("blob {size_bytes}\0")))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> ObjectId {
        ObjectId(self.0.finalize().into())
    }
}

pub(crate) fn blob_id(content: &[u8]) -> ObjectId {
    let mut hasher = BlobHasher::new(content.len() as u64);
    hasher.update(content);
    hasher.finish()
}

/// What git holds in place of a file that LFS holds.
pub(crate) fn lfs_pointer(sha256: &str, size_bytes: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n")
}

pub(crate) fn empty_tree_id() -> ObjectId {
    object_id("tree", b"")
}

/// The ids of the root (under the empty path) and of every folder of a set of files.
pub(crate) fn tree_ids<'a>(files: impl Iterator<Item = (&'a str, ObjectId)>) -> BTreeMap<String, ObjectId> {
    let mut root = Folder::default();
    for (path, id) in files {
        let mut folder = &mut root;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                folder.files.insert(part.to_owned(), id);
            } else {
                folder = folder.folders.entry(part.to_owned()).or_default();
            }
        }
    }
    let mut ids = BTreeMap::new();
    root.record_ids("", &mut ids);
    ids
}

#[derive(Default)]
struct Folder {
    files: BTreeMap<String, ObjectId>,
    folders: BTreeMap<String, Folder>,
}

impl Folder {
    fn record_ids(&self, path: &str, ids: &mut BTreeMap<String, ObjectId>) -> ObjectId {
        // Git sorts a folder as if its name ended in a slash.
        let mut entries: BTreeMap<String, (&str, &str, ObjectId)> = BTreeMap::new();
        for (name, id) in &self.files {
            entries.insert(name.clone(), ("100644", name, *id));
        }
        for (name, folder) in &self.folders {
            let below = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let id = folder.record_ids(&below, ids);
            entries.insert(format!("{name}/"), ("40000", name, id));
        }
        let mut body = Vec::new();
        for (mode, name, id) in entries.values() {
            body.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            body.extend_from_slice(&id.0);
        }
        let id = object_id("tree", &body);
        ids.insert(path.to_owned(), id);
        id
    }
}

/// The id of a commit: a function of its tree, its parent and its time alone.
pub(crate) fn commit_id(tree: ObjectId, parent: Option<&str>, unix_seconds: u64, title: &str) -> ObjectId {
    let parent = parent.map(|id| format!("parent {id}\n")).unwrap_or_default();
    let person = format!("distil-devhub <devhub@localhost> {unix_seconds} +0000");
    let body = format!("tree {}\n{parent}author {person}\ncommitter {person}\n\n{title}\n", tree.hex());
    object_id("commit", body.as_bytes())
}

fn object_id(kind: &str, body: &[u8]) -> ObjectId {
    let hasher = Sha1::new().chain_update(format!("{kind} {}\0", body.len())).chain_update(body);
    ObjectId(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_ones_git_gives() {
        // printf 'hello\n' | git hash-object --stdin
        assert_eq!(blob_id(b"hello\n").hex(), "ce013625030ba8dba906f756967f9e9ca394464a");
        // git mktree </dev/null
        assert_eq!(tree_ids(std::iter::empty())[""].hex(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }
}
