use distil_devhub::{Fault, FaultKind, RepoKind as ServedKind};
use distil_hub::{HubError, RepoKind};
use sha2::{Digest as _, Sha256};

use crate::common::{REPO, Scene, WEIGHTS, write};

#[test]
fn a_snapshot_lists_sizes_and_hashes_in_one_request() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    assert_eq!(hub.traffic().requests, 1);
    assert_eq!(snapshot.revision.as_str(), scene.commit);
    let paths: Vec<&str> = snapshot.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["config.json", "empty.txt", WEIGHTS, "sub folder/größe #1.txt"]);
    let weights = snapshot.file(WEIGHTS).unwrap();
    assert_eq!(weights.size, 3_000_000);
    let sha256: [u8; 32] = Sha256::digest(scene.served(WEIGHTS)).into();
    assert_eq!(weights.sha256.unwrap().0, sha256);
    let config = snapshot.file("config.json").unwrap();
    assert_eq!((config.sha256, config.git_oid.as_deref().map(str::len)), (None, Some(40)));
    assert!(!snapshot.private && !snapshot.gated);
}

#[test]
fn the_same_commit_is_looked_at_again_with_one_conditional_request() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = hub.snapshot(RepoKind::Model, &REPO.parse().unwrap(), Some(&scene.commit.parse().unwrap())).unwrap();
    scene.server.clear_requests();
    let again = hub.snapshot_if_changed(&snapshot, snapshot.etag.as_deref()).unwrap();
    assert!(again.is_none());
    let requests = scene.server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].status, requests[0].body_bytes), (Some(304), 0));
    assert!(hub.snapshot_if_changed(&snapshot, None).unwrap().is_some(), "without a mark it is listed anew");
}

#[test]
fn a_later_commit_leaves_the_earlier_one_as_it_was() {
    let scene = Scene::new();
    let hub = scene.hub();
    let first = scene.snapshot(&hub);
    write(scene.folder.path(), "config.json", b"{}");
    let second = scene.server.publish(ServedKind::Model, REPO, scene.folder.path()).unwrap();
    assert_eq!(scene.snapshot(&hub).revision.as_str(), second);
    let kept = hub.snapshot(RepoKind::Model, &first.repo, Some(&first.revision)).unwrap();
    assert_eq!(kept.files, first.files);
    assert_eq!(hub.main_commit(RepoKind::Model, &first.repo).unwrap().revision.as_str(), second);
}

#[test]
fn a_tree_is_read_page_by_page() {
    let scene = Scene::new();
    let corpus = tempfile::tempdir().unwrap();
    for index in 0..25 {
        write(corpus.path(), &format!("data/dump-{:02}/part-{index:03}.parquet", index % 3), b"PAR1");
    }
    write(corpus.path(), "README.md", b"a dataset");
    scene.server.publish(ServedKind::Dataset, "alice/corpus", corpus.path()).unwrap();
    scene.server.set_page_size(10);
    let hub = scene.hub();
    let at = hub.main_commit(RepoKind::Dataset, &"alice/corpus".parse().unwrap()).unwrap();
    let files = hub.tree(&at, "data").unwrap();
    assert_eq!(files.len(), 25);
    assert!(files.windows(2).all(|pair| pair[0].path < pair[1].path));
    assert!(files.iter().all(|file| file.path.starts_with("data/dump-") && file.size == 4));
    assert!(hub.traffic().requests >= 4, "the branches, then pages of ten");
    assert_eq!(hub.tree(&at, "").unwrap().len(), 26);
    assert!(matches!(hub.tree(&at, "nothing"), Err(HubError::NotFound { .. })));
}

#[test]
fn absent_private_and_gated_repositories_are_told_apart_from_trouble() {
    use distil_devhub::Visibility;
    let scene = Scene::new();
    scene.server.accept_token("hf_member");
    let repo = REPO.parse().unwrap();
    let unknown = "f".repeat(40).parse().unwrap();
    let look = |token: Option<&str>, revision| {
        let hub = token.map_or_else(|| scene.hub(), |token| scene.hub_with_token(token));
        hub.snapshot(RepoKind::Model, &repo, revision)
    };
    let error = look(None, Some(&unknown)).unwrap_err();
    assert!(matches!(&error, HubError::NotFound { code: Some(code), .. } if code == "RevisionNotFound"), "{error}");
    scene.server.set_visibility(ServedKind::Model, REPO, Visibility::Private).unwrap();
    let error = look(None, None).unwrap_err();
    assert!(matches!(error, HubError::Refused { status: 401, .. }) && error.is_absence(), "{error}");
    assert!(look(Some("hf_member"), None).unwrap().private);
    scene.server.set_visibility(ServedKind::Model, REPO, Visibility::Gated).unwrap();
    let gated = look(None, None).unwrap();
    assert!(gated.gated);
    let error = scene.hub().read_range(&gated, gated.file(WEIGHTS).unwrap(), 0..8).unwrap_err();
    assert!(matches!(error, HubError::Refused { .. }), "{error}");
    scene.server.set_visibility(ServedKind::Model, REPO, Visibility::Public).unwrap();
    scene.server.remove(ServedKind::Model, REPO).unwrap();
    assert!(look(None, None).unwrap_err().is_absence());
    assert!(matches!(look(Some("hf_member"), None), Err(HubError::NotFound { .. })));
    scene.server.restore(ServedKind::Model, REPO).unwrap();
    assert!(look(None, None).is_ok());
}

#[test]
fn a_renamed_repository_is_followed() {
    let scene = Scene::new();
    let hub = scene.hub();
    let before = scene.snapshot(&hub);
    scene.server.rename(ServedKind::Model, REPO, "alice/renamed").unwrap();
    let after = scene.snapshot(&hub);
    assert_eq!((&after.files, after.revision), (&before.files, before.revision));
    let config = after.file("config.json").unwrap();
    assert_eq!(hub.read_range(&after, config, 0..config.size).unwrap(), scene.served("config.json"));
}

#[test]
fn what_is_no_listing_is_refused_and_says_nothing_about_the_repository() {
    let scene = Scene::new();
    let hub = scene.hub();
    for kind in [
        FaultKind::NotJson,
        FaultKind::OversizedJson(60 << 20),
        FaultKind::AnswerWith("{\"sha\":\"main\",\"siblings\":[]}".to_owned()),
        FaultKind::AnswerWith(format!(
            "{{\"sha\":\"{}\",\"siblings\":[{{\"rfilename\":\"../../.bashrc\",\"size\":1}}]}}",
            scene.commit
        )),
        FaultKind::Redirect { status: 302, location: "ftp://127.0.0.1/".to_owned() },
        FaultKind::Status { status: 418, retry_after: None },
    ] {
        scene.server.order(Fault::new(kind.clone()).on("/api/").times(1));
        let error = hub.snapshot(RepoKind::Model, &REPO.parse().unwrap(), None).unwrap_err();
        assert!(error.is_transient() && !error.is_absence(), "{kind:?}: {error}");
        scene.server.clear_faults();
    }
}

#[test]
fn offline_no_request_is_made() {
    let scene = Scene::new();
    let snapshot = scene.snapshot(&scene.hub());
    scene.server.clear_requests();
    let mut settings = scene.settings();
    settings.offline = true;
    let hub = distil_hub::Hub::new(settings).unwrap();
    let refused = [
        hub.snapshot(RepoKind::Model, &REPO.parse().unwrap(), None).map(drop),
        hub.snapshot_if_changed(&snapshot, None).map(drop),
        hub.main_commit(RepoKind::Model, &snapshot.repo).map(drop),
        hub.tree(&snapshot, "").map(drop),
        hub.read_range(&snapshot, snapshot.file(WEIGHTS).unwrap(), 0..8).map(drop),
    ];
    for result in refused {
        assert!(matches!(result, Err(HubError::Offline { .. })), "{result:?}");
    }
    assert!(scene.server.requests().is_empty());
}
