//! What the Hub does not give, and how it says so.

use distil_devhub::{DevHub, DevHubError, RepoKind, Visibility};
use reqwest::blocking::Response;
use serde_json::Value;

use crate::common::{Scene, has, header, scene};

const MODEL: RepoKind = RepoKind::Model;
const CONFIG: &str = "/alice/tiny/resolve/main/config.json";
const INFO: &str = "/api/models/alice/tiny";

fn with_token(scene: &Scene, path: &str, token: &str) -> Response {
    scene.request(path).bearer_auth(token).send().unwrap()
}

/// The status and the error code, of an answer that has all a refusal has.
fn refusal(response: Response) -> (u16, String) {
    let (status, code) = (response.status().as_u16(), header(&response, "x-error-code"));
    let message = header(&response, "x-error-message");
    let body: Value = response.json().unwrap();
    assert_eq!(body["error"], message.as_str());
    (status, code)
}

fn not_found(status: u16) -> (u16, String) {
    (status, "RepoNotFound".to_owned())
}

#[test]
fn an_unknown_repository_is_refused() {
    let scene = scene();
    for path in ["/api/models/alice/none", "/alice/none/resolve/main/x", "/api/datasets/alice/tiny/tree/main"] {
        assert_eq!(refusal(scene.get(path)), not_found(401));
        assert_eq!(refusal(with_token(&scene, path, "hf_any")), not_found(404));
    }
}

#[test]
fn a_private_repository_shows_itself_to_an_accepted_token_alone() {
    let scene = scene();
    scene.hub.set_visibility(MODEL, "alice/tiny", Visibility::Private).unwrap();
    scene.hub.accept_token("hf_good");
    for path in [INFO, CONFIG] {
        assert_eq!(refusal(scene.get(path)), not_found(401));
        assert_eq!(refusal(with_token(&scene, path, "hf_bad")), not_found(404));
        assert_eq!(with_token(&scene, path, "hf_good").status(), 200);
    }
    let info: Value = with_token(&scene, INFO, "hf_good").json().unwrap();
    assert_eq!(info["private"], true);
    assert_eq!(scene.hub.requests().iter().filter(|request| request.had_authorization).count(), 5);
}

#[test]
fn a_gated_repository_lists_its_files_and_keeps_them() {
    let scene = scene();
    scene.hub.set_visibility(MODEL, "alice/tiny", Visibility::Gated).unwrap();
    scene.hub.accept_token("hf_good");
    assert_eq!(scene.json(INFO)["gated"], "auto");
    for path in [CONFIG, "/alice/tiny/resolve/main/weights.bin"] {
        assert_eq!(refusal(scene.get(path)), (401, "GatedRepo".to_owned()));
        assert_eq!(refusal(with_token(&scene, path, "hf_bad")), (403, "GatedRepo".to_owned()));
        assert!(with_token(&scene, path, "hf_good").status().as_u16() < 400);
    }
    scene.hub.set_visibility(MODEL, "alice/tiny", Visibility::Public).unwrap();
    assert_eq!(scene.get(CONFIG).status(), 200);
}

#[test]
fn unknown_revisions_and_entries_are_told_apart() {
    let scene = scene();
    let zeros = "0".repeat(40);
    for revision in ["dev", "refs%2Fpr%2F1", zeros.as_str(), &scene.commit[..7], "..%2Fmain"] {
        for path in [
            format!("/api/models/alice/tiny/revision/{revision}"),
            format!("/alice/tiny/resolve/{revision}/config.json"),
        ] {
            assert_eq!(refusal(scene.get(&path)), (404, "RevisionNotFound".to_owned()), "{path}");
        }
    }
    let response = scene.get("/alice/tiny/resolve/main/none.json");
    assert_eq!(header(&response, "x-repo-commit"), scene.commit);
    assert_eq!(refusal(response), (404, "EntryNotFound".to_owned()));
    // Names from outside come back in headers and JSON, never raw.
    let response = scene.get("/alice/tiny/resolve/main/a%0D%0Ax-evil:%20yes");
    assert!(!has(&response, "x-evil"));
    assert_eq!(response.status(), 404);
}

#[test]
fn routes_and_methods_that_are_none() {
    let scene = scene();
    for path in ["/", "/api/models", "/api/whoami-v2", "/alice/tiny/blob/main/config.json"] {
        assert_eq!(scene.get(path).status(), 404, "{path}");
    }
    for request in [scene.client.post(scene.url(INFO)), scene.client.delete(scene.url(CONFIG))] {
        let response = request.send().unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "allow")), (405, "GET, HEAD".to_owned()));
    }
}

#[test]
fn a_repository_may_be_removed_and_restored() {
    let scene = scene();
    scene.hub.remove(MODEL, "alice/tiny").unwrap();
    assert_eq!(refusal(scene.get(INFO)), not_found(401));
    scene.hub.restore(MODEL, "alice/tiny").unwrap();
    assert_eq!(scene.json(INFO)["sha"], scene.commit.as_str());
    scene.hub.remove(MODEL, "alice/tiny").unwrap();
    scene.hub.publish_changes(MODEL, "alice/tiny", scene.folder.path()).unwrap();
    assert_eq!(scene.json(INFO)["sha"], scene.commit.as_str());
    assert!(matches!(scene.hub.remove(RepoKind::Dataset, "alice/tiny"), Err(DevHubError::UnknownRepository { .. })));
}

#[test]
fn lost_content_leaves_listings_and_redirects_as_they_are() {
    let scene = scene();
    // Another repository with the same files keeps them.
    scene.hub.publish(MODEL, "alice/other", scene.folder.path()).unwrap();
    let listing = "/api/models/alice/tiny?blobs=true";
    let before = scene.json(listing);
    scene.hub.lose_content(MODEL, "alice/tiny").unwrap();
    assert_eq!(scene.json(listing), before);
    assert_eq!(scene.get(CONFIG).status(), 200, "git holds it");
    assert_eq!(scene.content(None).unwrap().status(), 404);
    assert_eq!(scene.content(Some("bytes=0-0")).unwrap().status(), 404);
    let others = header(&scene.get("/alice/other/resolve/main/weights.bin"), "location");
    assert_eq!(scene.client.get(others).send().unwrap().status(), 200);
    scene.hub.restore(MODEL, "alice/tiny").unwrap();
    assert_eq!(scene.content(None).unwrap().status(), 200);
    assert!(matches!(scene.hub.lose_content(MODEL, "alice/none"), Err(DevHubError::UnknownRepository { .. })));
}

#[test]
fn a_forgotten_commit_is_no_revision() {
    let scene = scene();
    let second = scene.hub.publish(MODEL, "alice/tiny", scene.folder.path()).unwrap();
    let at = |commit: &str| scene.get(&format!("/api/models/alice/tiny/revision/{commit}"));
    scene.hub.forget_commit(MODEL, "alice/tiny", &scene.commit).unwrap();
    assert_eq!(refusal(at(&scene.commit)), (404, "RevisionNotFound".to_owned()));
    assert_eq!(at(&second).status(), 200);
    assert!(matches!(
        scene.hub.forget_commit(MODEL, "alice/tiny", &scene.commit),
        Err(DevHubError::UnknownCommit { .. })
    ));
    // A commit that is made after a rewritten history is none that was there before.
    scene.hub.forget_commit(MODEL, "alice/tiny", &second).unwrap();
    assert_eq!(refusal(scene.get(INFO)), (404, "RevisionNotFound".to_owned()));
    let third = scene.hub.publish(MODEL, "alice/tiny", scene.folder.path()).unwrap();
    assert!(third != second && third != scene.commit);
    assert_eq!(scene.json(INFO)["sha"], third.as_str());
}

#[test]
fn a_renamed_repository_leads_to_its_new_name() {
    let scene = scene();
    scene.hub.rename(MODEL, "alice/tiny", "bob/small").unwrap();
    for (old, new) in [
        ("/api/models/alice/tiny/revision/main?blobs=true", "/api/models/bob/small/revision/main?blobs=true"),
        ("/api/models/alice/tiny/tree/main/notes", "/api/models/bob/small/tree/main/notes"),
        ("/alice/tiny/resolve/main/notes/two%20words.txt", "/bob/small/resolve/main/notes/two%20words.txt"),
    ] {
        let response = scene.get(old);
        assert_eq!((response.status().as_u16(), header(&response, "location")), (307, new.to_owned()));
        assert_eq!(scene.get(new).status(), 200);
    }
    // A second renaming: both old names lead to the newest.
    scene.hub.rename(MODEL, "bob/small", "carol/mini").unwrap();
    for old in ["/api/models/alice/tiny/refs", "/api/models/bob/small/refs"] {
        assert_eq!(header(&scene.get(old), "location"), "/api/models/carol/mini/refs");
    }
    // A repository under an old name takes it back.
    let commit = scene.hub.publish(MODEL, "alice/tiny", scene.folder.path()).unwrap();
    assert_eq!(scene.json(INFO)["sha"], commit.as_str());
    assert!(matches!(scene.hub.rename(MODEL, "alice/tiny", "carol/mini"), Err(DevHubError::RepositoryExists { .. })));
    assert!(matches!(scene.hub.rename(MODEL, "no/body", "x/y"), Err(DevHubError::UnknownRepository { .. })));
}

#[test]
fn only_loopback_addresses_are_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.168.1.1:0"] {
        let error = DevHub::start_at(address.parse().unwrap()).unwrap_err();
        assert!(matches!(error, DevHubError::NotLoopback { .. }), "{error}");
    }
    let first = DevHub::start().unwrap();
    let taken = first.endpoint().strip_prefix("http://").unwrap().parse().unwrap();
    assert!(matches!(DevHub::start_at(taken), Err(DevHubError::Start { .. })));
    // A server that is dropped gives its address back.
    drop(first);
    assert_eq!(DevHub::start_at(taken).unwrap().endpoint(), format!("http://{taken}"));
}
