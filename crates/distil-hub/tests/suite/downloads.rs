use std::fs;

use distil_devhub::{Fault, FaultKind, RepoKind as ServedKind};
use distil_hub::{DownloadProgress, Hub, HubError, RepoKind, Snapshot};

use crate::common::{REPO, Scene, WEIGHTS, write};

fn download(hub: &Hub, snapshot: &Snapshot) -> Result<std::path::PathBuf, HubError> {
    hub.download(snapshot, &|_| true, &mut |_| {})
}

/// Files of the cache that are neither whole nor a lock.
fn leftovers(scene: &Scene) -> Vec<String> {
    let mut folders = vec![scene.cache.path().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "incomplete" || extension == "link") {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[test]
fn files_come_whole_and_verified_into_the_cache_that_others_read() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    let mut seen: Vec<DownloadProgress> = Vec::new();
    let folder = hub.download(&snapshot, &|_| true, &mut |progress| seen.push(progress)).unwrap();
    for file in &snapshot.files {
        assert_eq!(fs::read(folder.join(&file.path)).unwrap(), scene.served(&file.path), "{}", file.path);
    }
    let total: u64 = snapshot.files.iter().map(|file| file.size).sum();
    assert_eq!(seen.last(), Some(&DownloadProgress { bytes_done: total, bytes_total: total }));
    assert!(leftovers(&scene).is_empty());
    // hf-hub finds it there by commit, and by name once main is noted.
    let found = hub.cached_folder(RepoKind::Model, &snapshot.repo, Some(&snapshot.revision)).unwrap();
    assert_eq!(found, Some((snapshot.revision, folder.clone())));
    assert_eq!(hub.cached_folder(RepoKind::Model, &snapshot.repo, None).unwrap(), None);
    hub.note_main(&snapshot).unwrap();
    assert_eq!(
        hub.cached_folder(RepoKind::Model, &snapshot.repo, None).unwrap(),
        Some((snapshot.revision, folder.clone()))
    );
    // A second time nothing is moved.
    scene.server.clear_requests();
    assert_eq!(download(&hub, &snapshot).unwrap(), folder);
    assert!(scene.server.requests().is_empty());
}

#[test]
fn small_files_may_come_by_way_of_a_redirect_as_the_hubs_do() {
    let scene = Scene::new();
    scene.server.set_small_files_redirect(true);
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    let config = snapshot.file("config.json").unwrap();
    assert_eq!(hub.read_range(&snapshot, config, 2..12).unwrap(), &scene.served("config.json")[2..12]);
    let folder = download(&hub, &snapshot).unwrap();
    for file in &snapshot.files {
        assert_eq!(fs::read(folder.join(&file.path)).unwrap(), scene.served(&file.path), "{}", file.path);
    }
}

#[test]
fn only_what_is_wanted_is_moved() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    let folder = hub.download(&snapshot, &|file| file.path.ends_with(".json"), &mut |_| {}).unwrap();
    assert!(folder.join("config.json").exists() && !folder.join(WEIGHTS).exists());
    assert!(hub.traffic().bytes_received < 10_000);
}

#[test]
fn c8_a_download_that_is_cut_goes_on_where_it_was() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    // More cuts than tries in a row: each one brings bytes, so none of them counts as the last.
    for after in 0..6 {
        scene.server.order(Fault::new(FaultKind::CutBodyAfter(400_000)).on("/cdn/").after(after).times(1));
    }
    let before = hub.traffic().bytes_received;
    let folder = download(&hub, &snapshot).unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), scene.served(WEIGHTS));
    let moved = hub.traffic().bytes_received - before;
    assert!(moved < 3_010_000, "{moved} bytes were moved for 3,000,056");
}

#[test]
fn c8_an_interrupted_download_is_gone_on_with_by_the_next_run() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::CutBodyAfter(2_000_000)).on("/cdn/").times(1));
    scene
        .server
        .order(Fault::new(FaultKind::Status { status: 503, retry_after: None }).on("resolve").on(WEIGHTS).after(1));
    let error = download(&hub, &snapshot).unwrap_err();
    assert!(matches!(error, HubError::Server { status: 503, .. }), "{error}");
    assert_eq!(leftovers(&scene).len(), 1);
    scene.server.clear_faults();
    let next = scene.hub();
    let folder = download(&next, &snapshot).unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), scene.served(WEIGHTS));
    assert!(next.traffic().bytes_received < 1_010_000);
    assert!(leftovers(&scene).is_empty());
}

#[test]
fn bytes_that_do_not_match_their_hash_are_never_given_a_name() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::FlipByte(1_500_000)).on("/cdn/"));
    let error = download(&hub, &snapshot).unwrap_err();
    assert!(matches!(&error, HubError::HashMismatch { algorithm: "SHA-256", .. }), "{error}");
    assert!(error.is_transient() && !error.is_absence());
    if let Some((_, folder)) = hub.cached_folder(RepoKind::Model, &snapshot.repo, Some(&snapshot.revision)).unwrap() {
        assert!(!folder.join(WEIGHTS).exists());
    }
    scene.server.clear_faults();
    let folder = download(&hub, &snapshot).unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), scene.served(WEIGHTS));
}

#[test]
fn a_small_file_is_held_against_its_git_object_id() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::FlipByte(3)).on("config.json").method("GET"));
    let error = download(&hub, &snapshot).unwrap_err();
    assert!(matches!(&error, HubError::HashMismatch { algorithm: "git object id", .. }), "{error}");
}

#[test]
fn what_an_earlier_run_left_wrong_is_brought_anew() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    let digest = snapshot.file(WEIGHTS).unwrap().sha256.unwrap();
    let blobs = scene.cache.path().join("hub/models--alice--student/blobs");
    write(&blobs, &format!("{digest}.incomplete"), &[0xff; 1_000_000]);
    let folder = download(&hub, &snapshot).unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), scene.served(WEIGHTS));
}

#[test]
fn a_page_of_an_error_is_never_kept_as_a_file() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::NotJson).on("/cdn/"));
    let error = download(&hub, &snapshot).unwrap_err();
    assert!(error.is_transient(), "{error}");
    scene.server.clear_faults();
    scene.server.order(Fault::new(FaultKind::Status { status: 404, retry_after: None }).on("/cdn/"));
    assert!(matches!(download(&hub, &snapshot), Err(HubError::NotFound { .. })));
}

#[test]
fn several_programs_may_want_the_same_file() {
    let scene = Scene::new();
    scene.server.order(Fault::new(FaultKind::SlowBody { bytes_per_second: 6_000_000 }).on("/cdn/"));
    let snapshot = scene.snapshot(&scene.hub());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| {
                let (hub, snapshot) = (scene.hub(), &snapshot);
                scope.spawn(move || download(&hub, snapshot))
            })
            .collect();
        for run in runs {
            let folder = run.join().unwrap().unwrap();
            assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), scene.served(WEIGHTS));
        }
    });
    let weights = scene.server.requests().into_iter().filter(|request| request.path.contains("/cdn/")).count();
    assert_eq!(weights, 1, "one of them brings it, the others wait");
}

#[test]
fn offline_the_cache_serves_what_it_holds() {
    let scene = Scene::new();
    let snapshot = scene.snapshot(&scene.hub());
    scene.hub().download(&snapshot, &|file| file.path == "config.json", &mut |_| {}).unwrap();
    let mut settings = scene.settings();
    settings.offline = true;
    let offline = Hub::new(settings).unwrap();
    let folder = offline.download(&snapshot, &|file| file.path == "config.json", &mut |_| {}).unwrap();
    assert_eq!(fs::read(folder.join("config.json")).unwrap(), scene.served("config.json"));
    assert!(matches!(download(&offline, &snapshot), Err(HubError::Offline { .. })));
}

#[test]
fn commits_share_the_files_that_are_the_same() {
    let scene = Scene::new();
    let hub = scene.hub();
    download(&hub, &scene.snapshot(&hub)).unwrap();
    write(scene.folder.path(), "config.json", b"{}");
    scene.server.publish(ServedKind::Model, REPO, scene.folder.path()).unwrap();
    let before = hub.traffic().bytes_received;
    let second = scene.snapshot(&hub);
    let folder = download(&hub, &second).unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), scene.served(WEIGHTS));
    assert!(hub.traffic().bytes_received - before < 10_000);
}
