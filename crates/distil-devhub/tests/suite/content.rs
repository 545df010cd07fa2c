//! `resolve` and the content server: files, ranges, ETags.

use std::fs;
use std::path::Path;

use distil_devhub::{RepoKind, Server, Visibility};
use reqwest::header::{AUTHORIZATION, IF_NONE_MATCH, IF_RANGE, RANGE};
use sha2::{Digest, Sha256};

use crate::common::{WEIGHTS_BYTES, has, header, scene, weights, write};

fn weights_sha256() -> String {
    Sha256::digest(weights()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_small_file_is_answered_directly() {
    let scene = scene();
    for revision in ["main", &scene.commit] {
        let path = format!("/alice/tiny/resolve/{revision}/config.json");
        let response = scene.get(&path);
        assert_eq!(response.status(), 200);
        // printf '{"vocab_size": 8}' | git hash-object --stdin
        assert_eq!(header(&response, "etag"), "\"a7c2fc7fe7704bc38c8fcdaf8834e10ab7efe1c1\"");
        assert_eq!(header(&response, "x-repo-commit"), scene.commit);
        assert_eq!(header(&response, "content-length"), "17");
        assert_eq!(header(&response, "accept-ranges"), "bytes");
        assert!(!has(&response, "x-linked-size"));
        assert_eq!(response.text().unwrap(), r#"{"vocab_size": 8}"#);

        let response = scene.head(&path);
        assert_eq!((response.status().as_u16(), header(&response, "content-length")), (200, "17".to_owned()));
        assert_eq!(response.bytes().unwrap().len(), 0);
    }
}

#[test]
fn a_small_file_is_redirected_within_the_host_where_that_is_set() {
    let scene = scene();
    scene.hub.set_small_files_redirect(true);
    scene.hub.accept_token("hf_good");
    let path = "/alice/tiny/resolve/main/notes/two%20words.txt";
    let response = scene.get(path);
    let location = header(&response, "location");
    assert_eq!((response.status().as_u16(), header(&response, "x-repo-commit")), (307, scene.commit.clone()));
    let cached = format!("/api/resolve-cache/models/alice/tiny/{}/notes/two%20words.txt?", scene.commit);
    assert!(location.starts_with(&cached), "{location}");
    let response = scene.get(&location);
    assert_eq!((response.status().as_u16(), header(&response, "x-repo-commit")), (200, scene.commit.clone()));
    assert_eq!(response.text().unwrap(), "spaces");
    // LFS files go their own way, and what is not there is not there.
    assert_eq!(scene.get("/alice/tiny/resolve/main/weights.bin").status(), 302);
    assert_eq!(scene.get("/alice/tiny/resolve/main/none").status(), 404);
    let weights = format!("/api/resolve-cache/models/alice/tiny/{}/weights.bin", scene.commit);
    assert_eq!(scene.get(&weights).status(), 404);
    // Nor does the detour lead round the gate.
    scene.hub.set_visibility(RepoKind::Model, "alice/tiny", Visibility::Gated).unwrap();
    assert_eq!((scene.get(&location).status().as_u16(), scene.get(path).status().as_u16()), (401, 401));
    assert_eq!(scene.request(path).bearer_auth("hf_good").send().unwrap().status(), 200);
}

#[test]
fn an_lfs_file_leads_to_the_content_server() {
    let scene = scene();
    for response in
        [scene.get("/alice/tiny/resolve/main/weights.bin"), scene.head("/alice/tiny/resolve/main/weights.bin")]
    {
        assert_eq!(response.status(), 302);
        assert_eq!(header(&response, "x-linked-etag"), format!("\"{}\"", weights_sha256()));
        assert_eq!(header(&response, "x-linked-size"), WEIGHTS_BYTES.to_string());
        assert_eq!(header(&response, "x-repo-commit"), scene.commit);
        assert!(header(&response, "location").starts_with(&scene.hub.cdn_endpoint()));
    }
    assert_ne!(scene.hub.cdn_endpoint(), scene.hub.endpoint());

    let response = scene.content(None).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-length"), WEIGHTS_BYTES.to_string());
    assert_ne!(header(&response, "etag"), format!("\"{}\"", weights_sha256()));
    assert!(response.bytes().unwrap() == weights());

    let last = scene.hub.requests().pop().unwrap();
    assert_eq!((last.server, last.status, last.body_bytes), (Server::Cdn, Some(200), WEIGHTS_BYTES as u64));
}

#[test]
fn ranges_of_both_servers_follow_the_standard() {
    let scene = scene();
    let content = weights();
    for (range, expected) in [
        ("bytes=0-7", 0..8),
        ("bytes=8-8", 8..9),
        ("bytes=699990-", 699_990..700_000),
        ("bytes=699990-9999999", 699_990..700_000),
        ("bytes=-5", 699_995..700_000),
        ("bytes=-9999999", 0..700_000),
    ] {
        let response = scene.content(Some(range)).unwrap();
        assert_eq!(response.status(), 206, "{range}");
        let stated = format!("bytes {}-{}/{WEIGHTS_BYTES}", expected.start, expected.end - 1);
        assert_eq!(header(&response, "content-range"), stated);
        assert_eq!(header(&response, "content-length"), expected.len().to_string());
        assert!(response.bytes().unwrap() == content[expected], "{range}");
    }
    for range in ["bytes=700000-", "bytes=-0"] {
        let response = scene.content(Some(range)).unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-range")),
            (416, "bytes */700000".to_owned())
        );
    }
    for range in ["bytes=5-3", "bytes=0-1,4-5", "lines=1-2", "bytes=x"] {
        let response = scene.content(Some(range)).unwrap();
        assert_eq!((response.status().as_u16(), response.bytes().unwrap().len()), (200, WEIGHTS_BYTES), "{range}");
    }
    let small = scene.request("/alice/tiny/resolve/main/config.json").header(RANGE, "bytes=2-6").send().unwrap();
    assert_eq!((small.status().as_u16(), small.text().unwrap()), (206, "vocab".to_owned()));
}

#[test]
fn a_range_with_a_condition_is_whole_where_the_condition_fails() {
    let scene = scene();
    let url = scene.content_url();
    let etag = header(&scene.client.head(&url).send().unwrap(), "etag");
    let ask = |condition: &str| {
        scene.client.get(&url).header(RANGE, "bytes=0-9").header(IF_RANGE, condition).send().unwrap().status().as_u16()
    };
    assert_eq!((ask(&etag), ask("\"another\""), ask("Wed, 21 Oct 2026 07:28:00 GMT")), (206, 200, 200));
}

#[test]
fn what_the_client_has_is_answered_304() {
    let scene = scene();
    for path in [
        "/alice/tiny/resolve/main/config.json",
        "/alice/tiny/resolve/main/weights.bin",
        "/api/models/alice/tiny?blobs=true",
        "/api/models/alice/tiny/tree/main?recursive=true",
    ] {
        let etag = header(&scene.get(path), "etag");
        for condition in [etag.clone(), format!("\"x\", {etag}"), "*".to_owned()] {
            let response = scene.request(path).header(IF_NONE_MATCH, condition).send().unwrap();
            assert_eq!((response.status().as_u16(), header(&response, "etag")), (304, etag.clone()), "{path}");
        }
        let other = scene.request(path).header(IF_NONE_MATCH, "\"x\"").send().unwrap();
        assert_ne!(other.status(), 304);
    }
    let conditions = scene.hub.requests().into_iter().filter(|request| request.if_none_match.is_some()).count();
    assert_eq!(conditions, 16);
}

#[test]
fn the_content_server_wants_a_signature_and_no_token() {
    let scene = scene();
    let url = scene.content_url();
    let unsigned = url.split('?').next().unwrap();
    let signature = url.split('?').nth(1).unwrap();
    assert_eq!(scene.client.get(unsigned).send().unwrap().status(), 403);
    assert_eq!(scene.client.get(format!("{unsigned}?Signature=0000")).send().unwrap().status(), 403);
    // A signature is good for its own path alone.
    let moved = unsigned.replace("weights.bin", "..%2f..%2fetc%2fpasswd");
    assert_eq!(scene.client.get(format!("{moved}?{signature}")).send().unwrap().status(), 403);

    let leaked = scene.client.get(&url).header(AUTHORIZATION, "Bearer hf_x").send().unwrap();
    assert_eq!(leaked.status(), 400);
    let leaks = scene.hub.requests().into_iter().filter(|request| request.had_authorization).count();
    assert_eq!(leaks, 1);
    // The Hub's server has no content route, and the content server no API.
    assert_eq!(scene.get(url.strip_prefix(&scene.hub.cdn_endpoint()).unwrap()).status(), 404);
    assert_eq!(
        scene.client.get(format!("{}/api/models/alice/tiny", scene.hub.cdn_endpoint())).send().unwrap().status(),
        403
    );
}

#[test]
fn names_with_escapes_are_found_and_paths_out_of_the_store_are_not() {
    let scene = scene();
    for (path, content) in [("notes/two%20words.txt", "spaces"), ("notes/deep/caf%C3%A9%20100%25.txt", "unicode")] {
        assert_eq!(scene.get(&format!("/alice/tiny/resolve/main/{path}")).text().unwrap(), content);
    }
    for path in ["..%2F..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "notes", "config.json%00", "notes//two%20words.txt"]
    {
        assert_eq!(scene.get(&format!("/alice/tiny/resolve/main/{path}")).status(), 404, "{path}");
    }
}

#[test]
fn a_dataset_has_its_own_routes() {
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "data/part 0.parquet", b"PAR1....PAR1");
    write(folder.path(), "README.md", b"# rows");
    scene.hub.publish(RepoKind::Dataset, "alice/tiny", folder.path()).unwrap();

    let readme = scene.get("/datasets/alice/tiny/resolve/main/README.md");
    assert_eq!(readme.text().unwrap(), "# rows");
    let rows = scene.get("/datasets/alice/tiny/resolve/main/data/part%200.parquet");
    assert_eq!(rows.status(), 302);
    assert_eq!(scene.client.get(header(&rows, "location")).send().unwrap().text().unwrap(), "PAR1....PAR1");
    // The model of the same name is another repository.
    assert_eq!(scene.get("/alice/tiny/resolve/main/README.md").status(), 404);
}

#[test]
fn content_is_taken_when_it_is_published() {
    let scene = scene();
    let model = |path: &str| scene.get(&format!("/alice/tiny/resolve/{path}")).text().unwrap();
    write(scene.folder.path(), "config.json", b"changed in place");
    fs::remove_file(scene.folder.path().join("weights.bin")).unwrap();
    assert_eq!(model("main/config.json"), r#"{"vocab_size": 8}"#);
    assert!(scene.content(None).unwrap().bytes().unwrap() == weights());

    let second = scene.hub.publish(RepoKind::Model, "alice/tiny", scene.folder.path()).unwrap();
    assert_ne!(second, scene.commit);
    assert_eq!(model("main/config.json"), "changed in place");
    assert_eq!(model(&format!("{}/config.json", scene.commit)), r#"{"vocab_size": 8}"#);
    assert_eq!(scene.get("/alice/tiny/resolve/main/weights.bin").status(), 404);
}

#[test]
fn a_folder_that_cannot_be_published_changes_nothing() {
    let scene = scene();
    let absent = Path::new("no such folder");
    assert!(scene.hub.publish(RepoKind::Model, "alice/tiny", absent).is_err());
    assert!(scene.hub.publish(RepoKind::Model, "alice/other", absent).is_err());
    for name in ["alice", "a/b/c", "../x", "api/models", "a/b.git"] {
        assert!(scene.hub.publish(RepoKind::Model, name, scene.folder.path()).is_err(), "{name}");
    }
    assert_eq!(scene.json("/api/models/alice/tiny")["sha"], scene.commit.as_str());
    assert_eq!(scene.get("/api/models/alice/other").status(), 401);

    #[cfg(unix)]
    {
        // A link to a file is taken as the file, as an upload does; a link to a folder might lead round in a circle.
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(scene.folder.path().join("config.json"), folder.path().join("linked.json")).unwrap();
        scene.hub.publish(RepoKind::Model, "alice/linked", folder.path()).unwrap();
        assert_eq!(scene.get("/alice/linked/resolve/main/linked.json").status(), 200);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
        let error = scene.hub.publish(RepoKind::Model, "alice/linked", folder.path()).unwrap_err();
        assert!(error.to_string().contains("circle"), "{error}");
    }
}

#[test]
fn files_above_the_threshold_are_lfs_whatever_their_name() {
    let scene = scene();
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("large.txt")).unwrap();
    file.set_len(10_000_001).unwrap();
    scene.hub.publish(RepoKind::Model, "alice/large", folder.path()).unwrap();
    let response = scene.get("/alice/large/resolve/main/large.txt");
    assert_eq!((response.status().as_u16(), header(&response, "x-linked-size")), (302, "10000001".to_owned()));
    let mut body = scene.client.get(header(&response, "location")).send().unwrap();
    assert_eq!(std::io::copy(&mut body, &mut std::io::sink()).unwrap(), 10_000_001);
}
