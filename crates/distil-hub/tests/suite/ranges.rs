use distil_devhub::{Fault, FaultKind, Server};
use distil_hub::HubError;

use crate::common::{Scene, WEIGHTS};

#[test]
fn exactly_the_bytes_asked_for_come_and_no_more_are_moved() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    let weights = snapshot.file(WEIGHTS).unwrap();
    let served = scene.served(WEIGHTS);
    let before = hub.traffic().bytes_received;
    for range in [0..8, 8..1000, 1_234_567..1_334_567, 2_999_999..3_000_000, 5..5] {
        let bytes = hub.read_range(&snapshot, weights, range.clone()).unwrap();
        assert_eq!(bytes, served[range.start as usize..range.end as usize], "{range:?}");
    }
    assert_eq!(hub.traffic().bytes_received - before, 8 + 992 + 100_000 + 1);
    let config = snapshot.file("config.json").unwrap();
    assert_eq!(hub.read_range(&snapshot, config, 2..12).unwrap(), &scene.served("config.json")[2..12]);
    let strange = snapshot.file("sub folder/größe #1.txt").unwrap();
    assert_eq!(hub.read_range(&snapshot, strange, 0..strange.size).unwrap(), b"a small file with a strange name");
}

#[test]
fn a_range_beyond_the_listed_size_is_refused_before_it_is_asked_for() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.clear_requests();
    let weights = snapshot.file(WEIGHTS).unwrap();
    assert!(hub.read_range(&snapshot, weights, 2_999_999..3_000_001).is_err());
    assert!(scene.server.requests().is_empty());
}

#[test]
fn a_token_goes_to_the_hub_and_never_to_its_content_network() {
    let scene = Scene::new();
    scene.server.accept_token("hf_member");
    let hub = scene.hub_with_token("hf_member");
    let snapshot = scene.snapshot(&hub);
    hub.read_range(&snapshot, snapshot.file(WEIGHTS).unwrap(), 0..8).unwrap();
    hub.download(&snapshot, &|_| true, &mut |_| {}).unwrap();
    let requests = scene.server.requests();
    assert!(requests.iter().any(|request| request.server == Server::Hub && request.had_authorization));
    assert!(requests.iter().any(|request| request.server == Server::Cdn));
    assert!(requests.iter().all(|request| request.server == Server::Hub || !request.had_authorization));
}

#[test]
fn a_server_that_ignores_ranges_is_read_near_the_beginning_and_refused_far_within() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    let weights = snapshot.file(WEIGHTS).unwrap();
    let served = scene.served(WEIGHTS);
    scene.server.order(Fault::new(FaultKind::IgnoreRange));
    assert_eq!(hub.read_range(&snapshot, weights, 0..8).unwrap(), served[..8]);
    assert_eq!(hub.read_range(&snapshot, weights, 8..5008).unwrap(), served[8..5008]);
    let error = hub.read_range(&snapshot, weights, 2_000_000..2_000_008).unwrap_err();
    assert!(matches!(&error, HubError::BadAnswer { reason, .. } if reason.contains("whole file")), "{error}");
}

#[test]
fn a_server_that_speaks_of_another_size_is_refused() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::LieAboutSize(u64::MAX)).on("/cdn/"));
    let error = hub.read_range(&snapshot, snapshot.file(WEIGHTS).unwrap(), 0..8).unwrap_err();
    assert!(matches!(error, HubError::BadAnswer { .. }), "{error}");
}

#[test]
fn a_cut_range_is_asked_for_again() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::CutBodyAfter(100)).on("/cdn/").times(1));
    scene.server.order(Fault::new(FaultKind::ResetBodyAfter(50)).on("/cdn/").times(1));
    let bytes = hub.read_range(&snapshot, snapshot.file(WEIGHTS).unwrap(), 0..1000).unwrap();
    assert_eq!(bytes, scene.served(WEIGHTS)[..1000]);
}
