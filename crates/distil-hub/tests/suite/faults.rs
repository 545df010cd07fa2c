use std::time::{Duration, Instant};

use distil_devhub::{Fault, FaultKind};
use distil_hub::{HubError, RepoKind};

use crate::common::{REPO, Scene};

/// What a client that is asked for a listing says, with this fault on every answer.
fn with_fault(kind: FaultKind) -> HubError {
    let scene = Scene::new();
    scene.server.order(Fault::new(kind).on("/api/"));
    scene.hub().snapshot(RepoKind::Model, &REPO.parse().unwrap(), None).unwrap_err()
}

fn status(status: u16, retry_after: Option<&str>) -> FaultKind {
    FaultKind::Status { status, retry_after: retry_after.map(str::to_owned) }
}

#[test]
fn c1_what_may_be_the_networks_fault_is_told_apart_and_is_never_an_absence() {
    assert!(matches!(with_fault(status(429, None)), HubError::RateLimited { retry_after: None, .. }));
    for code in [408, 500, 502, 503, 504] {
        assert!(matches!(with_fault(status(code, None)), HubError::Server { status, .. } if status == code));
    }
    let silent = with_fault(FaultKind::NeverAnswer);
    assert!(matches!(silent, HubError::Timeout { .. }), "{silent}");
    let reset = with_fault(FaultKind::Reset);
    assert!(matches!(reset, HubError::Connection { .. }), "{reset}");
    let closed = with_fault(FaultKind::CloseBeforeAnswer);
    assert!(matches!(closed, HubError::Connection { .. }), "{closed}");
    let cut = with_fault(FaultKind::CutBodyAfter(20));
    assert!(matches!(cut, HubError::CutOff { received: 20, .. }), "{cut}");
    let stalled = with_fault(FaultKind::StallBodyAfter(20));
    assert!(matches!(stalled, HubError::Timeout { .. }), "{stalled}");
    for error in [silent, reset, closed, cut, stalled] {
        assert!(error.is_transient() && !error.is_absence(), "{error}");
    }
}

#[test]
fn c2_401_403_and_404_are_absences_and_are_asked_once() {
    for code in [401, 403, 404] {
        let scene = Scene::new();
        scene.server.order(Fault::new(status(code, None)).on("/api/"));
        let error = scene.hub().snapshot(RepoKind::Model, &REPO.parse().unwrap(), None).unwrap_err();
        assert!(error.is_absence() && !error.is_transient(), "{error}");
        assert_eq!(scene.server.requests().len(), 1);
    }
}

#[test]
fn no_server_at_all_is_a_connection_that_failed() {
    let scene = Scene::new();
    let hub = scene.hub();
    let snapshot = scene.snapshot(&hub);
    drop(scene);
    let error = hub.snapshot_if_changed(&snapshot, None).unwrap_err();
    assert!(matches!(error, HubError::Connection { .. }), "{error}");
}

#[test]
fn trouble_that_passes_is_waited_out() {
    let scene = Scene::new();
    for kind in [status(503, None), FaultKind::Reset] {
        scene.server.order(Fault::new(kind).on("/api/").times(1));
    }
    let snapshot = scene.snapshot(&scene.hub());
    assert_eq!(snapshot.revision.as_str(), scene.commit);
    assert_eq!(scene.server.requests().len(), 3);
}

// Waits a second, as the server asks.
#[test]
fn retry_after_is_honoured() {
    let scene = Scene::new();
    scene.server.order(Fault::new(status(429, Some("1"))).on("/api/").times(1));
    let began = Instant::now();
    scene.snapshot(&scene.hub());
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(scene.server.requests().len(), 2);
}

#[test]
fn a_long_retry_after_is_told_and_not_waited_for() {
    let scene = Scene::new();
    scene.server.order(Fault::new(status(429, Some("3600"))).on("/api/"));
    let error = scene.hub().snapshot(RepoKind::Model, &REPO.parse().unwrap(), None).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(scene.server.requests().len(), 1);
}

// Takes as long as the client's shortest silence, three times over: that is what is tested.
#[test]
fn c8_every_wait_has_an_end() {
    let scene = Scene::new();
    scene.server.order(Fault::new(FaultKind::SlowBody { bytes_per_second: 1 }).on("/api/"));
    let mut settings = scene.settings();
    settings.patience.request = Duration::from_millis(300);
    settings.patience.attempts = 2;
    // A listing may be 48 MB long, which at the slowest rate takes its time: the slow body is a range here.
    let hub = distil_hub::Hub::new(settings).unwrap();
    scene.server.clear_faults();
    let snapshot = scene.snapshot(&hub);
    scene.server.order(Fault::new(FaultKind::SlowBody { bytes_per_second: 4 }));
    let began = Instant::now();
    let config = snapshot.file("config.json").unwrap();
    let error = hub.read_range(&snapshot, config, 0..config.size).unwrap_err();
    assert!(matches!(error, HubError::Timeout { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}
