//! The API: information, file lists, references.

use std::collections::BTreeMap;
use std::process::Command;

use distil_devhub::{DevHub, RepoKind};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{Scene, header, scene, write};

fn safetensors(header: &Value) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

fn paths(entries: &Value) -> Vec<&str> {
    entries.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect()
}

#[test]
fn information_names_files_and_with_blobs_their_sizes_and_hashes() {
    let scene = scene();
    let info = scene.json("/api/models/alice/tiny");
    assert_eq!((&info["id"], &info["sha"]), (&json!("alice/tiny"), &json!(scene.commit)));
    assert_eq!((&info["private"], &info["gated"], &info["disabled"]), (&json!(false), &json!(false), &json!(false)));
    assert_eq!(info["siblings"][0], json!({ "rfilename": "config.json" }));
    assert_eq!(info["siblings"].as_array().unwrap().len(), 4);
    assert_eq!(info.get("safetensors"), None);

    for path in ["/api/models/alice/tiny?blobs=true", "/api/models/alice/tiny/revision/main?blobs=True"] {
        let info = scene.json(path);
        assert_eq!(
            info["siblings"][0],
            json!({ "rfilename": "config.json", "size": 17, "blobId": "a7c2fc7fe7704bc38c8fcdaf8834e10ab7efe1c1" })
        );
        let weights = &info["siblings"][3];
        assert_eq!((&weights["rfilename"], &weights["size"]), (&json!("weights.bin"), &json!(700_000)));
        assert_eq!((&weights["lfs"]["size"], &weights["lfs"]["pointerSize"]), (&json!(700_000), &json!(131)));
        assert_eq!(weights["lfs"]["sha256"].as_str().unwrap().len(), 64);
    }
    let picked = scene.json("/api/models/alice/tiny?expand[]=sha&expand%5B%5D=gated");
    let fields: Vec<&String> = picked.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["_id", "gated", "id", "sha"]);
    assert!(header(&scene.get("/api/models/alice/tiny"), "etag").starts_with("W/\""));
}

#[test]
fn parameters_are_counted_from_headers_that_parse() {
    let tensor = |dtype: &str, shape: &[u64]| json!({ "dtype": dtype, "shape": shape, "data_offsets": [0, 0] });
    let one = json!({ "__metadata__": { "format": "pt" }, "a": tensor("BF16", &[3, 4]), "b": tensor("F32", &[5]) });
    let two = json!({ "c": tensor("BF16", &[100]) });
    let counted = |files: &[(&str, Vec<u8>)]| {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(path, content)| write(folder.path(), path, content));
        let scene = scene();
        scene.hub.publish(RepoKind::Model, "alice/weights", folder.path()).unwrap();
        scene.json("/api/models/alice/weights").get("safetensors").cloned()
    };
    let whole = counted(&[("model.safetensors", safetensors(&one)), ("other.safetensors", safetensors(&two))]);
    assert_eq!(whole, Some(json!({ "parameters": { "BF16": 12, "F32": 5 }, "total": 17 })));

    let index = json!({ "weight_map": { "a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors" } });
    let index = ("model.safetensors.index.json", index.to_string().into_bytes());
    let shards = [index.clone(), ("1.safetensors", safetensors(&one)), ("2.safetensors", safetensors(&two))];
    assert_eq!(counted(&shards), Some(json!({ "parameters": { "BF16": 112, "F32": 5 }, "total": 117 })));

    assert_eq!(counted(&[index]), None);
    assert_eq!(counted(&[("model.safetensors", b"short".to_vec())]), None);
    assert_eq!(counted(&[("model.safetensors", u64::MAX.to_le_bytes().to_vec())]), None);
    let huge = json!({ "a": tensor("F32", &[u64::MAX, 2]) });
    assert_eq!(counted(&[("model.safetensors", safetensors(&huge))]), None);
}

#[test]
fn a_tree_lists_a_folder_or_everything_below() {
    let scene = scene();
    let tree = scene.json("/api/models/alice/tiny/tree/main");
    assert_eq!(paths(&tree), ["config.json", "notes", "weights.bin"]);
    assert_eq!((&tree[0]["type"], &tree[1]["type"]), (&json!("file"), &json!("directory")));
    assert_eq!((&tree[2]["lfs"]["size"], &tree[2]["size"]), (&json!(700_000), &json!(700_000)));
    assert_eq!(tree[0].get("lfs"), None);

    let deep = ["config.json", "notes", "notes/deep", "notes/deep/café 100%.txt", "notes/two words.txt", "weights.bin"];
    assert_eq!(paths(&scene.json("/api/models/alice/tiny/tree/main?recursive=true")), deep);
    assert_eq!(paths(&scene.json("/api/models/alice/tiny/tree/main/notes?recursive=True")), deep[2..5]);
    assert_eq!(paths(&scene.json("/api/models/alice/tiny/tree/main/notes/deep")), deep[3..4]);
    let missing = scene.get("/api/models/alice/tiny/tree/main/nothing");
    assert_eq!((missing.status().as_u16(), header(&missing, "x-error-code")), (404, "EntryNotFound".to_owned()));
}

#[test]
fn with_expand_an_entry_names_the_commit_that_changed_it() {
    let scene = scene();
    write(scene.folder.path(), "config.json", b"{}");
    let second = scene.hub.publish(RepoKind::Model, "alice/tiny", scene.folder.path()).unwrap();
    let tree = scene.json("/api/models/alice/tiny/tree/main?expand=true");
    assert_eq!(
        tree[0]["lastCommit"],
        json!({ "id": second, "title": "Upload folder", "date": "2026-01-01T00:01:00.000Z" })
    );
    assert_eq!(
        (&tree[1]["lastCommit"]["id"], &tree[2]["lastCommit"]["id"]),
        (&json!(scene.commit), &json!(scene.commit))
    );
}

/// All entries of a list, page by page, and the number of pages.
fn all_pages(scene: &Scene, path: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut next) = (Vec::new(), 0, Some(scene.url(path)));
    while let Some(url) = next {
        let response = scene.client.get(url).send().unwrap();
        next = response.headers().get("link").map(|link| {
            let (url, relation) = link.to_str().unwrap().strip_prefix('<').unwrap().split_once(">; ").unwrap();
            assert_eq!(relation, "rel=\"next\"");
            url.to_owned()
        });
        found.extend(paths(&response.json().unwrap()).into_iter().map(str::to_owned));
        pages += 1;
    }
    (found, pages)
}

#[test]
fn a_long_list_comes_in_pages() {
    let scene = scene();
    let (whole, pages) = all_pages(&scene, "/api/models/alice/tiny/tree/main?recursive=true");
    assert_eq!((whole.len(), pages), (6, 1));
    assert_eq!(all_pages(&scene, "/api/models/alice/tiny/tree/main?recursive=true&limit=4"), (whole.clone(), 2));
    scene.hub.set_page_size(2);
    assert_eq!(all_pages(&scene, "/api/models/alice/tiny/tree/main?recursive=true"), (whole.clone(), 3));
    assert_eq!(all_pages(&scene, "/api/models/alice/tiny/tree/main?recursive=true&limit=4"), (whole, 3));
    for bad in ["limit=0", "limit=x", "cursor=1", "cursor=zz", "cursor=\u{e9}"] {
        assert_eq!(scene.get(&format!("/api/models/alice/tiny/tree/main?{bad}")).status(), 400, "{bad}");
    }
}

#[test]
fn paths_are_looked_up_by_form_and_by_json() {
    let scene = scene();
    let url = scene.url("/api/models/alice/tiny/paths-info/main");
    let json = json!({ "paths": ["weights.bin", "nothing", "notes"], "expand": true });
    let found: Value = scene.client.post(&url).json(&json).send().unwrap().json().unwrap();
    assert_eq!(paths(&found), ["weights.bin", "notes"]);
    assert_eq!(found[1]["lastCommit"]["id"], scene.commit.as_str());

    let form = scene.client.post(&url).header("content-type", "application/x-www-form-urlencoded");
    let found: Value =
        form.body("paths=notes%2Ftwo+words.txt&paths=config.json&expand=false").send().unwrap().json().unwrap();
    assert_eq!(paths(&found), ["notes/two words.txt", "config.json"]);
    assert_eq!(found[0].get("lastCommit"), None);

    let broken =
        scene.client.post(&url).header("content-type", "application/json").body("{\"paths\": 3}").send().unwrap();
    assert_eq!(broken.status(), 400);
    let too_long = scene.client.post(&url).body(vec![b'a'; (1 << 20) + 1]).send();
    // Whether the client meets the answer or the closed connection first is up to the sockets.
    assert!(too_long.is_err() || too_long.is_ok_and(|response| response.status() == 400));
    assert_eq!(scene.get("/api/models/alice/tiny/paths-info/main").status(), 405);
}

#[test]
fn references_lead_to_the_newest_commit() {
    let scene = scene();
    let refs = scene.json("/api/models/alice/tiny/refs");
    let main = json!({ "name": "main", "ref": "refs/heads/main", "targetCommit": scene.commit });
    assert_eq!(refs, json!({ "branches": [main], "converts": [], "tags": [] }));
}

#[test]
fn the_same_calls_give_the_same_commits() {
    let (one, two) = (scene(), scene());
    assert_eq!(one.commit, two.commit);
    assert_eq!(one.commit.len(), 40);
    let again = |scene: &Scene| scene.hub.publish(RepoKind::Model, "alice/tiny", scene.folder.path()).unwrap();
    let (first, second) = (again(&one), again(&two));
    assert_eq!(first, second);
    assert_ne!(first, one.commit);
    let unchanged = one.hub.publish_changes(RepoKind::Model, "alice/tiny", one.folder.path()).unwrap();
    assert_eq!(unchanged, None);
    write(one.folder.path(), "config.json", b"{}");
    let changed = one.hub.publish_changes(RepoKind::Model, "alice/tiny", one.folder.path()).unwrap();
    assert_eq!(Some(one.json("/api/models/alice/tiny")["sha"].as_str().unwrap().to_owned()), changed);
}

/// Ids of trees and blobs are the ones that git gives the same files; skipped where there is no git.
#[test]
fn ids_are_the_ones_git_gives() {
    let git = |folder: &std::path::Path, arguments: &[&str]| -> Option<String> {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in
        [("a.txt", "one"), ("a/b.txt", "two"), ("a/c/d.txt", "three"), ("a-b.txt", ""), ("z é/x", "y")]
    {
        write(folder.path(), path, content.as_bytes());
    }
    let hub = DevHub::start().unwrap();
    hub.publish(RepoKind::Model, "alice/ids", folder.path()).unwrap();
    if git(folder.path(), &["init", "--quiet"]).is_none() {
        eprintln!("skipped: there is no git");
        return;
    }
    git(folder.path(), &["add", "--all"]);
    let tree = git(folder.path(), &["write-tree"]).unwrap();
    let listed = git(folder.path(), &["-c", "core.quotePath=off", "ls-tree", "-r", "-t", &tree]).unwrap();
    let expected: BTreeMap<&str, &str> = listed
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(meta, path)| (path, meta.rsplit(' ').next().unwrap()))
        .collect();
    let url = format!("{}/api/models/alice/ids/tree/main?recursive=true", hub.endpoint());
    let entries: Value = crate::common::client().get(url).send().unwrap().json().unwrap();
    let found: BTreeMap<&str, &str> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["path"].as_str().unwrap(), entry["oid"].as_str().unwrap()))
        .collect();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever the files are called, the lists and `resolve` agree on them.
    #[test]
    fn every_listed_file_is_found(names in proptest::collection::btree_set("[^/\\x00\\.]{1,20}", 1..5)) {
        let scene = scene();
        let folder = tempfile::tempdir().unwrap();
        for name in &names {
            write(folder.path(), &format!("{name}/{name}"), name.as_bytes());
        }
        scene.hub.publish(RepoKind::Model, "alice/names", folder.path()).unwrap();
        let info = scene.json("/api/models/alice/names");
        let listed: Vec<&str> =
            info["siblings"].as_array().unwrap().iter().map(|file| file["rfilename"].as_str().unwrap()).collect();
        prop_assert_eq!(listed.len(), names.len());
        for path in listed {
            let name = path.rsplit('/').next().unwrap_or_default();
            prop_assert!(names.contains(name));
            let escaped = utf8_percent_encode(path, NON_ALPHANUMERIC).to_string().replace("%2F", "/");
            let response = scene.get(&format!("/alice/names/resolve/main/{escaped}"));
            prop_assert_eq!(response.status().as_u16(), 200);
            // As bytes: text would lose a byte-order mark at its beginning.
            prop_assert_eq!(&response.bytes().unwrap()[..], name.as_bytes());
        }
    }
}
