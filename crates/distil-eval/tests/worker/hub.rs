//! Models that workers bring to themselves.

use std::{ops::ControlFlow, time::Duration};

use distil_devhub::{DevHub, Fault, FaultKind, RepoKind};
use distil_eval::worker::{Blame, ModelLocation, StudentResult, TeacherResult, Worker, WorkerError};

use crate::common::{Bench, bits, limits, score, settings, teacher_request, tiny};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("hub::models_travel_as_repository_and_commit", models_travel_as_repository_and_commit),
    ("hub::c1_the_networks_faults_are_never_the_models", c1_the_networks_faults_are_never_the_models),
];

fn on_the_hub(repo: &str, commit: &str) -> ModelLocation {
    ModelLocation::hub(repo.parse().unwrap(), commit.parse().unwrap())
}

fn score_repository(
    worker: &Worker,
    teacher: &TeacherResult,
    repo: &str,
    commit: &str,
) -> Result<StudentResult, WorkerError> {
    let request = teacher.student_request(on_the_hub(repo, commit), &settings());
    worker.score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |_| {})
}

fn models_travel_as_repository_and_commit() {
    let bench = Bench::new();
    let hub = DevHub::start().unwrap();
    let endpoint = hub.endpoint();
    let worker = Worker::new(bench.command_with(&["good"], &[("HF_ENDPOINT", &endpoint)]), limits());
    let teacher_commit = hub.publish(RepoKind::Model, "distil/teacher", &tiny("teacher")).unwrap();
    let commit = hub.publish(RepoKind::Model, "alice/tiny", &tiny("student-a")).unwrap();
    let mut request = teacher_request();
    let from_folder = bench.teacher();
    request.model = on_the_hub("distil/teacher", &teacher_commit);
    let teacher = worker.teacher_pass(&request, &mut |_| {}).unwrap();
    assert_eq!(teacher.teacher.name, "distil/teacher");
    assert_eq!(teacher.teacher.revision.as_deref(), Some(teacher_commit.as_str()));
    assert_eq!(teacher.prompts, from_folder.prompts);
    let student = score_repository(&worker, &teacher, "alice/tiny", &commit).unwrap();
    let here = score(&worker, &teacher, &tiny("student-a")).unwrap();
    assert_eq!(bits(&student.positions_kl_nats), bits(&here.positions_kl_nats));
    assert_eq!(student.identity.files, here.identity.files);

    // The head of the branch moves on; the commit is what is scored.
    hub.publish(RepoKind::Model, "alice/tiny", &tiny("student-b")).unwrap();
    let again = score_repository(&worker, &teacher, "alice/tiny", &commit).unwrap();
    assert_eq!(bits(&again.positions_kl_nats), bits(&here.positions_kl_nats));
    // A student's tokenizer is not even looked at.
    assert!(!hub.requests().iter().any(|request| request.path.contains("alice") && request.path.contains("tokenizer")));
}

fn c1_the_networks_faults_are_never_the_models() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let hub = DevHub::start().unwrap();
    let endpoint = hub.endpoint();
    let worker = Worker::new(bench.command_with(&["good"], &[("HF_ENDPOINT", &endpoint)]), limits());
    let commit = hub.publish(RepoKind::Model, "alice/tiny", &tiny("student-a")).unwrap();

    let limited = FaultKind::Status { status: 429, retry_after: Some("3600".to_owned()) };
    hub.order(Fault::new(limited));
    let error = score_repository(&worker, &teacher, "alice/tiny", &commit).unwrap_err();
    match &error {
        WorkerError::Download { retry_after, .. } => assert_eq!(*retry_after, Some(Duration::from_secs(3600))),
        other => panic!("{other:?}"),
    }
    assert_eq!(error.blame(), Blame::Network);
    assert!(error.is_transient());
    hub.clear_faults();

    hub.remove(RepoKind::Model, "alice/tiny").unwrap();
    let error = score_repository(&worker, &teacher, "alice/tiny", &commit).unwrap_err();
    assert!(matches!(error, WorkerError::Absent { .. }), "{error:?}");
    assert_eq!(error.blame(), Blame::Repository);
    hub.restore(RepoKind::Model, "alice/tiny").unwrap();

    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("config.json"), "{}").unwrap();
    let without_weights = hub.publish(RepoKind::Model, "bob/empty", empty.path()).unwrap();
    let error = score_repository(&worker, &teacher, "bob/empty", &without_weights).unwrap_err();
    assert_eq!(error.blame(), Blame::Model, "{error:?}");
    assert!(score_repository(&worker, &teacher, "alice/tiny", &commit).is_ok());
}
