//! Looks at repositories over a real server: what went wrong there, and what it says about the repository's owner.

use std::fs;
use std::path::Path;
use std::time::Duration;

use distil_checker::{AbsenceKind, AbsenceLog, ExpectedRepository, Integrity, IntegrityWatch};
use distil_devhub::{DevHub, Fault, FaultKind, RepoKind, RequestRecord, Server, Visibility};
use distil_hub::{Hub, HubSettings, RepoAt, Token};
use tempfile::TempDir;

const STUDENT: &str = "alice/student";
const TEACHER: &str = "teachers/teacher";
const START: u64 = 1_790_000_000;

struct World {
    server: DevHub,
    hub: Hub,
    teacher: RepoAt,
    expected: ExpectedRepository,
    log: AbsenceLog,
    folder: TempDir,
    _cache: TempDir,
}

fn write_model(folder: &Path, weight: u8) {
    fs::write(folder.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
    fs::write(folder.join("model.safetensors"), vec![weight; 5000]).unwrap();
    fs::write(folder.join("README.md"), "a model").unwrap();
}

fn client(server: &DevHub, cache: &TempDir, token: Option<&str>) -> Hub {
    let mut settings = HubSettings::new(&server.endpoint(), cache.path().to_owned()).unwrap();
    settings.token = token.map(|token| Token::new(token).unwrap());
    let patience = &mut settings.patience;
    patience.attempts = 1;
    patience.first_wait = Duration::from_millis(1);
    patience.silence = Duration::from_millis(300);
    Hub::new(settings).unwrap()
}

impl World {
    fn new() -> World {
        World::with_token(None)
    }

    fn with_token(token: Option<&str>) -> World {
        let (server, cache, folder) =
            (DevHub::start().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        if let Some(token) = token {
            server.accept_token(token);
        }
        write_model(folder.path(), 1);
        let revision = server.publish(RepoKind::Model, STUDENT, folder.path()).unwrap();
        server.publish(RepoKind::Model, TEACHER, folder.path()).unwrap();
        let hub = client(&server, &cache, token);
        let look = |name: &str| hub.snapshot(distil_hub::RepoKind::Model, &name.parse().unwrap(), None).unwrap();
        let (teacher, student) = (look(TEACHER).at, look(STUDENT));
        assert_eq!(student.at.revision.to_string(), revision);
        let expected = ExpectedRepository::of(&student);
        server.clear_requests();
        World { server, hub, teacher, expected, log: AbsenceLog::default(), folder, _cache: cache }
    }

    /// A look so many seconds after the start.
    fn look(&mut self, seconds: u64) -> Integrity {
        let mut watch = IntegrityWatch::new(&self.hub, self.teacher.clone(), START + seconds);
        watch.still_same(&mut self.expected, &mut self.log)
    }

    fn order(&self, kind: FaultKind) {
        self.server.order(Fault::new(kind).on(STUDENT));
    }
}

fn cant_tell(found: Integrity) -> u64 {
    match found {
        Integrity::CantTell { not_before_unix_s, .. } => not_before_unix_s - START,
        other => panic!("{other:?}"),
    }
}

/// The requests for listings, and those for files.
fn by_kind(requests: Vec<RequestRecord>) -> (Vec<RequestRecord>, Vec<RequestRecord>) {
    requests.into_iter().partition(|request| request.path.starts_with("/api/"))
}

#[test]
fn a5_a_commit_that_is_as_it_was_costs_a_conditional_request_and_a_byte_of_each_file() {
    let mut world = World::new();
    for seconds in 0..3 {
        assert_eq!(world.look(seconds), Integrity::Unchanged);
    }
    let (listings, files) = by_kind(world.server.requests());
    assert_eq!(listings.len(), 3);
    assert!(listings.iter().all(|request| request.if_none_match.is_some() && request.status == Some(304)));
    assert!(listings.iter().all(|request| request.body_bytes == 0));
    // The configuration, and the weights by a redirect.
    assert_eq!(files.len(), 9);
    assert!(files.iter().all(|request| request.range.as_deref() == Some("bytes=0-0")));
    let given: Vec<_> = files.iter().filter(|request| request.status == Some(206)).collect();
    assert_eq!((given.len(), given.iter().map(|request| request.body_bytes).sum::<u64>()), (6, 6));
    // What main does later says nothing about the commit.
    write_model(world.folder.path(), 2);
    world.server.publish(RepoKind::Model, STUDENT, world.folder.path()).unwrap();
    assert_eq!(world.look(10), Integrity::Unchanged);
}

#[test]
fn unchanged_commitments_cost_the_same_each_however_many_there_are() {
    const COMMITMENTS: usize = 64;
    let world = World::new();
    let mut all = Vec::new();
    for index in 0..COMMITMENTS {
        let name = format!("miner-{index}/student");
        world.server.publish(RepoKind::Model, &name, world.folder.path()).unwrap();
        let snapshot = world.hub.snapshot(distil_hub::RepoKind::Model, &name.parse().unwrap(), None).unwrap();
        all.push((ExpectedRepository::of(&snapshot), AbsenceLog::default()));
    }
    world.server.clear_requests();
    let mut watch = IntegrityWatch::new(&world.hub, world.teacher.clone(), START);
    for (expected, log) in &mut all {
        assert_eq!(watch.still_same(expected, log), Integrity::Unchanged);
    }
    let (listings, files) = by_kind(world.server.requests());
    assert_eq!((listings.len(), files.len()), (COMMITMENTS, 3 * COMMITMENTS));
    assert!(listings.iter().all(|request| request.if_none_match.is_some() && request.status == Some(304)));
}

#[test]
fn an_answer_without_an_etag_is_compared_file_by_file() {
    let mut world = World::new();
    world.expected.etag = None;
    assert_eq!(world.look(0), Integrity::Unchanged);
    assert!(world.expected.etag.is_some(), "the newest mark is kept");
    assert_eq!(world.look(1), Integrity::Unchanged);
    let statuses: Vec<_> = by_kind(world.server.requests()).0.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [Some(200), Some(304)]);
}

/// Weights exchanged at the same commit cannot be had from git; a Hub that says so shows something else than was judged.
#[test]
fn a5_other_files_at_the_same_commit_are_a_change() {
    let answer = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut world = World::new();
        let url = format!(
            "{}/api/models/{STUDENT}/revision/{}?blobs=true",
            world.server.endpoint(),
            world.expected.at.revision
        );
        let mut json: serde_json::Value = reqwest_get(&url);
        change(&mut json);
        world.server.order(Fault::new(FaultKind::AnswerWith(json.to_string())).on("/api/").on(STUDENT));
        world.look(0)
    };
    let file = |json: &mut serde_json::Value, name: &str| -> usize {
        json["siblings"].as_array().unwrap().iter().position(|file| file["rfilename"] == name).unwrap()
    };
    assert_eq!(answer(&|_| {}), Integrity::Unchanged);
    let difference = |change: &dyn Fn(&mut serde_json::Value)| match answer(change) {
        Integrity::Changed { difference } => difference,
        other => panic!("{other:?}"),
    };
    let found = difference(&|json| {
        let index = file(json, "model.safetensors");
        json["siblings"][index]["lfs"]["sha256"] = "ab".repeat(32).into();
    });
    assert!(found.contains("\"model.safetensors\" had SHA-256") && found.contains(&"ab".repeat(32)), "{found}");
    let found = difference(&|json| {
        let index = file(json, "config.json");
        json["siblings"][index]["blobId"] = "cd".repeat(20).into();
    });
    assert!(found.contains("\"config.json\" had git's id"), "{found}");
    let found = difference(&|json| {
        let index = file(json, "model.safetensors");
        json["siblings"].as_array_mut().unwrap().remove(index);
    });
    assert_eq!(found, "\"model.safetensors\" is gone");
    let found = difference(&|json| {
        let index = file(json, "model.safetensors");
        let mut more = json["siblings"][index].clone();
        more["rfilename"] = "model-00001-of-00002.safetensors".into();
        json["siblings"].as_array_mut().unwrap().push(more);
    });
    assert_eq!(found, "\"model-00001-of-00002.safetensors\" is new");
    // A file that no loader reads may say what it likes.
    let found = answer(&|json| {
        let index = file(json, "README.md");
        json["siblings"].as_array_mut().unwrap().remove(index);
    });
    assert_eq!(found, Integrity::Unchanged);
    // Another commit than was asked for is no answer.
    let found = answer(&|json| json["sha"] = "0123456789abcdef0123456789abcdef01234567".into());
    assert!(matches!(found, Integrity::CantTell { .. }), "{found:?}");
}

/// The body of an answer of the loopback server, by hand: this crate has no other HTTP client.
fn reqwest_get(url: &str) -> serde_json::Value {
    use std::io::{Read, Write};
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    serde_json::from_str(body).unwrap()
}

#[test]
fn a6_a_repository_made_private_or_removed_is_final_after_three_looks_over_an_hour() {
    for remove in [false, true] {
        let mut world = World::with_token(Some("hf_validator"));
        match remove {
            true => world.server.remove(RepoKind::Model, STUDENT).unwrap(),
            false => world.server.set_visibility(RepoKind::Model, STUDENT, Visibility::Private).unwrap(),
        }
        let kind = if remove { AbsenceKind::Removed } else { AbsenceKind::Private };
        for (seconds, is_final) in [(0, false), (10, false), (1800, false), (3599, false), (3700, false), (4300, true)]
        {
            let found = world.look(seconds);
            match (&found, kind) {
                (Integrity::Removed(absence), AbsenceKind::Removed) => {
                    assert_eq!(absence.is_final, is_final, "{seconds}")
                }
                (Integrity::Private(absence), AbsenceKind::Private) => {
                    assert_eq!(absence.is_final, is_final, "{seconds}")
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(found.is_final_absence(), is_final);
            assert_eq!(world.log.kind(), Some(kind));
        }
    }
}

#[test]
fn c2_what_the_hub_answers_is_told_apart() {
    let mut world = World::new();
    let look = |world: &mut World, status| {
        world.server.clear_faults();
        world.order(FaultKind::Status { status, retry_after: None });
        world.log = AbsenceLog::default();
        world.look(0)
    };
    for status in [401, 403] {
        assert!(matches!(look(&mut world, status), Integrity::Private(_)), "{status}");
    }
    assert!(matches!(look(&mut world, 404), Integrity::Removed(_)));
    for status in [408, 429, 500, 502, 503, 504, 400, 418] {
        let found = look(&mut world, status);
        assert!(matches!(found, Integrity::CantTell { .. }), "{status}: {found:?}");
    }
}

#[test]
fn a6_a_gated_repository_is_closed_to_others_even_if_our_token_opens_it() {
    let mut world = World::with_token(Some("hf_validator"));
    world.server.set_visibility(RepoKind::Model, STUDENT, Visibility::Gated).unwrap();
    match world.look(0) {
        Integrity::Private(absence) => assert!(absence.evidence.contains("gated"), "{}", absence.evidence),
        other => panic!("{other:?}"),
    }
    // One that was gated when it was judged is as it was.
    world.expected.gated = true;
    world.log = AbsenceLog::default();
    assert_eq!(world.look(0), Integrity::Unchanged);
}

#[test]
fn c1_what_may_be_the_networks_fault_is_never_final() {
    for kind in [
        FaultKind::Status { status: 429, retry_after: None },
        FaultKind::Status { status: 503, retry_after: None },
        FaultKind::NotJson,
        FaultKind::NeverAnswer,
        FaultKind::Reset,
        FaultKind::CloseBeforeAnswer,
        FaultKind::CutBodyAfter(20),
        FaultKind::ResetBodyAfter(20),
        FaultKind::StallBodyAfter(20),
        FaultKind::AnswerWith("{}".into()),
    ] {
        let mut world = World::new();
        world.expected.etag = None;
        world.order(kind.clone());
        let mut seconds = 0;
        for look in 0..4 {
            let next = cant_tell(world.look(seconds));
            assert_eq!(next - seconds, 60 << look, "{kind:?}");
            // Too early: no request.
            world.server.clear_requests();
            assert_eq!(cant_tell(world.look(seconds + 1)), next);
            assert!(world.server.requests().is_empty());
            seconds = next;
        }
        world.server.clear_faults();
        assert_eq!(world.look(seconds), Integrity::Unchanged, "{kind:?}");
        assert_eq!(world.log, AbsenceLog::default());
    }
}

#[test]
fn c1_retry_after_is_honoured_up_to_a_day() {
    for (asked, waited) in [(1000u64, 1000), (1_000_000, 86_400), (1, 60)] {
        let mut world = World::new();
        world.order(FaultKind::Status { status: 429, retry_after: Some(asked.to_string()) });
        assert_eq!(cant_tell(world.look(0)), waited, "{asked}");
    }
}

#[test]
fn c3_what_fails_on_our_side_never_counts() {
    let mut world = World::new();
    let mut settings = world.hub.settings().clone();
    settings.offline = true;
    let offline = Hub::new(settings).unwrap();
    for seconds in [0, 100_000, 200_000, 300_000] {
        let mut watch = IntegrityWatch::new(&offline, world.teacher.clone(), START + seconds);
        let found = watch.still_same(&mut world.expected, &mut world.log);
        assert!(matches!(found, Integrity::CantTell { .. }), "{found:?}");
    }
    assert_eq!(world.log.kind(), None);
}

/// All repositories gone at once is our token or the Hub, not all miners on one day.
#[test]
fn c2_an_absence_counts_only_while_the_teacher_is_there() {
    let mut world = World::new();
    world.server.remove(RepoKind::Model, STUDENT).unwrap();
    world.server.remove(RepoKind::Model, TEACHER).unwrap();
    for seconds in [0, 10_000, 20_000, 30_000] {
        cant_tell(world.look(seconds));
    }
    assert_eq!(world.log.kind(), None);
    world.server.restore(RepoKind::Model, TEACHER).unwrap();
    let found = world.look(60_000);
    assert!(!found.is_final_absence() && !matches!(found, Integrity::CantTell { .. }), "{found:?}");
}

#[test]
fn the_teacher_is_asked_once_for_any_number_of_absences() {
    let world = World::new();
    world.server.remove(RepoKind::Model, STUDENT).unwrap();
    let mut watch = IntegrityWatch::new(&world.hub, world.teacher.clone(), START);
    for _ in 0..5 {
        watch.still_same(&mut world.expected.clone(), &mut AbsenceLog::default());
    }
    // Its listing, and a byte of its weights by a redirect.
    let of_teacher = world.server.requests().iter().filter(|request| request.path.contains(TEACHER)).count();
    assert_eq!((of_teacher, world.server.requests().len()), (3, 8));
}

/// Git keeps the pointers of deleted LFS objects: the listing is the same to the last byte.
#[test]
fn a6_weights_that_are_listed_but_not_given_are_absent() {
    let mut world = World::new();
    world.server.lose_content(RepoKind::Model, STUDENT).unwrap();
    for (seconds, is_final) in [(0, false), (1800, false), (3599, false), (4300, true)] {
        match world.look(seconds) {
            Integrity::Removed(absence) => {
                assert_eq!(absence.is_final, is_final, "{seconds}");
                assert!(absence.evidence.contains("model.safetensors"), "{}", absence.evidence);
            }
            other => panic!("{other:?}"),
        }
    }
    let (listings, _) = by_kind(world.server.requests());
    let of_student = listings.iter().filter(|request| request.path.contains(STUDENT));
    assert!(of_student.clone().count() == 4 && of_student.into_iter().all(|request| request.status == Some(304)));
    // Brought back, all is well.
    world.server.restore(RepoKind::Model, STUDENT).unwrap();
    assert_eq!(world.look(5000), Integrity::Unchanged);
    assert_eq!(world.log, AbsenceLog::default());
}

#[test]
fn c2_files_refused_are_told_apart_as_repositories_are() {
    for (status, path) in [(401, "config.json"), (403, "model.safetensors"), (404, "config.json")] {
        let mut world = World::new();
        let fault = Fault::new(FaultKind::Status { status, retry_after: None });
        world.server.order(fault.on(STUDENT).on("/resolve/").on(path));
        let found = world.look(0);
        match status {
            404 => assert!(matches!(found, Integrity::Removed(_)), "{found:?}"),
            _ => assert!(matches!(found, Integrity::Private(_)), "{found:?}"),
        }
    }
    for status in [408, 429, 500, 503, 416] {
        let mut world = World::new();
        world.server.order(Fault::new(FaultKind::Status { status, retry_after: None }).on(STUDENT).on("/resolve/"));
        assert_eq!(cant_tell(world.look(0)), 60, "{status}");
        assert_eq!(world.log.kind(), None);
    }
}

/// Whatever the content servers refuse to everybody says nothing about one repository.
#[test]
fn c1_an_outage_of_the_content_servers_counts_against_nobody() {
    for status in [401, 403, 404, 429, 503] {
        let mut world = World::new();
        world.server.order(Fault::new(FaultKind::Status { status, retry_after: None }).at(Server::Cdn));
        for seconds in [0, 10_000, 20_000, 30_000] {
            cant_tell(world.look(seconds));
        }
        assert_eq!(world.log.kind(), None, "{status}");
        world.server.clear_faults();
        assert_eq!(world.look(100_000), Integrity::Unchanged);
    }
}

#[test]
fn c4_a_restored_repository_starts_anew() {
    let mut world = World::new();
    world.server.remove(RepoKind::Model, STUDENT).unwrap();
    world.look(0);
    world.look(2000);
    world.server.restore(RepoKind::Model, STUDENT).unwrap();
    assert_eq!(world.look(3000), Integrity::Unchanged);
    assert_eq!(world.log, AbsenceLog::default());
    world.server.remove(RepoKind::Model, STUDENT).unwrap();
    assert!(!world.look(4000).is_final_absence());
}

/// Ghosts must not be looked at for ever: after three looks their case is closed.
#[test]
fn c7_a_commit_lost_from_the_history_is_removed() {
    let mut world = World::new();
    write_model(world.folder.path(), 2);
    world.server.publish(RepoKind::Model, STUDENT, world.folder.path()).unwrap();
    let commit = world.expected.at.revision.to_string();
    world.server.forget_commit(RepoKind::Model, STUDENT, &commit).unwrap();
    for (seconds, is_final) in [(0, false), (2000, false), (4000, true)] {
        match world.look(seconds) {
            Integrity::Removed(absence) => {
                assert_eq!(absence.is_final, is_final);
                assert!(absence.evidence.contains("RevisionNotFound"), "{}", absence.evidence);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_renamed_repository_is_still_there() {
    let mut world = World::new();
    world.server.rename(RepoKind::Model, STUDENT, "alice/renamed").unwrap();
    assert_eq!(world.look(0), Integrity::Unchanged);
    world.expected.etag = None;
    assert_eq!(world.look(1), Integrity::Unchanged);
}

#[test]
fn what_is_expected_and_what_was_seen_can_be_stored() {
    let mut world = World::new();
    world.server.remove(RepoKind::Model, STUDENT).unwrap();
    world.look(0);
    world.look(2000);
    let json = serde_json::to_string(&(&world.expected, &world.log)).unwrap();
    (world.expected, world.log) = serde_json::from_str(&json).unwrap();
    assert!(world.look(4000).is_final_absence());
}
