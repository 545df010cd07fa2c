//! `distil worker`, started as a validator starts it.

use std::{num::NonZeroUsize, ops::ControlFlow, path::Path};

use distil_eval::{
    GenerationRules, Prompt,
    worker::{ModelLocation, PassSettings, TeacherPrompts, TeacherRequest, Worker, WorkerCommand, WorkerLimits},
};
use distil_model::Sampling;

#[test]
fn the_program_is_its_own_worker() {
    let tiny = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name);
        ModelLocation::folder(name, path)
    };
    let kept = tempfile::tempdir().unwrap();
    let variables = std::env::vars_os().chain([("DISTIL_WORKER_CACHE".into(), kept.path().into())]);
    // As `WorkerCommand::this_program` has it of the program that asks.
    let command = WorkerCommand::new(env!("CARGO_BIN_EXE_distil"), ["worker"], variables);
    let worker = Worker::new(command, WorkerLimits::default());
    let settings = PassSettings::cpu(NonZeroUsize::MIN);
    let request = TeacherRequest {
        model: tiny("teacher"),
        cache_key: "test".parse().unwrap(),
        prompts: TeacherPrompts::Continue(Prompt::numbered(["Call me Ishmael. Some years ago"])),
        generation: GenerationRules { max_prompt_tokens: 64, max_new_tokens: 8, sampling: Sampling::Greedy },
        settings: settings.clone(),
    };
    let teacher = worker.teacher_pass(&request, &mut |_| {}).unwrap();
    let request = teacher.student_request(tiny("teacher"), &settings);
    let student = worker.score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |_| {}).unwrap();
    let positions = teacher.prompts[0].sequence.continuation().len();
    assert_eq!(student.positions_kl_nats, [vec![0.0; positions]], "the teacher is its own best student");
}
