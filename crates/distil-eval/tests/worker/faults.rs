//! Whatever a student does to the process that runs it: it fails, with a cause that says whose it is, and the next
//! student passes.

use std::{fs, path::Path, time::Duration};

use distil_eval::worker::{
    Blame, Ending, HungBy, Stage, TeacherResult, Worker, WorkerCommand, WorkerError, WorkerLimits,
};

use crate::common::{Bench, bits, limits, score, tiny};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("faults::d13_a_student_that_ends_its_process_fails_alone", d13_a_student_that_ends_its_process_fails_alone),
    ("faults::d13_what_ends_before_the_model_is_touched_is_not_the_models", d13_before_the_model_is_touched),
    ("faults::d13_a_student_too_large_for_memory_fails_alone", d13_a_student_too_large_for_memory_fails_alone),
    ("faults::d13_memory_that_runs_out_ends_the_student_first", d13_memory_that_runs_out_ends_the_student_first),
    ("faults::c8_a_student_that_hangs_is_given_up", c8_a_student_that_hangs_is_given_up),
    ("faults::d14_garbage_is_no_result", d14_garbage_is_no_result),
    ("faults::s0_11_a_result_is_this_requests_or_none", s0_11_a_result_is_this_requests_or_none),
    ("faults::s0_13_one_failing_student_leaves_the_others_their_scores", s0_13_one_failing_student_leaves_the_others),
];

fn fails(worker: &Worker, teacher: &TeacherResult) -> WorkerError {
    match score(worker, teacher, &tiny("student-a")) {
        Err(error) => error,
        Ok(_) => panic!("a fault gave a result"),
    }
}

fn d13_a_student_that_ends_its_process_fails_alone() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let good = bench.worker(&["good"]);
    let expected = score(&good, &teacher, &tiny("student-b")).unwrap();
    for (fault, ending, blame) in [
        ("segfault", Ending::Signal(11), Blame::Model),
        ("abort", Ending::Signal(6), Blame::Model),
        ("kill", Ending::Signal(9), Blame::Model),
        ("panic", Ending::Code(101), Blame::Model),
        ("leave", Ending::Code(0), Blame::Model),
        ("terminate", Ending::Signal(15), Blame::Host),
    ] {
        let error = fails(&bench.worker(&[fault]), &teacher);
        assert_eq!(error, WorkerError::Crashed { ending, stage: Some(Stage::Load) }, "{fault}");
        assert_eq!(error.blame(), blame, "{fault}");
        let next = score(&good, &teacher, &tiny("student-b")).unwrap();
        assert_eq!(bits(&next.positions_kl_nats), bits(&expected.positions_kl_nats), "after {fault}");
    }
}

fn d13_before_the_model_is_touched() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    for fault in ["early-segfault", "early-kill", "early-panic", "early-babble", "early-flood"] {
        assert_eq!(fails(&bench.worker(&[fault]), &teacher).blame(), Blame::Host, "{fault}");
    }
    // What cannot be started, or is no worker at all.
    let shell = |line: &str| Worker::new(WorkerCommand::shell(line, bench.variables(&[])), limits());
    for (line, said) in [
        ("exit 255", "ssh"),
        ("echo Permission denied >&2; exit 255", "Permission denied"),
        ("distil-worker-that-is-not-there", "not found"),
        ("true", "status 0"),
        ("kill -9 $$", "signal 9"),
        ("echo Welcome to gpu-host; sleep 60", "Welcome to gpu-host"),
        ("head -c 3000000 /dev/zero; sleep 60", "no end"),
    ] {
        let error = fails(&shell(line), &teacher);
        assert!(matches!(error, WorkerError::CannotStart { .. }), "{line}: {error:?}");
        assert!(error.to_string().contains(said), "{line}: {error}");
        assert_eq!(error.blame(), Blame::Host);
    }
    let error = fails(&shell(r#"echo '{"distil_worker":2,"release":"9.0.0","more":true}'; sleep 60"#), &teacher);
    assert_eq!(error, WorkerError::Version { found: 2, expected: 1 });
    assert!(!error.is_transient());
    let missing = Worker::new(WorkerCommand::new("/nowhere/worker", [""; 0], bench.variables(&[])), limits());
    assert!(matches!(fails(&missing, &teacher), WorkerError::CannotStart { .. }));
    // A connection that breaks in the middle.
    let broken = r#"echo '{"distil_worker":1,"release":"0.1.0"}'; read request; exit 255"#;
    assert_eq!(fails(&shell(broken), &teacher), WorkerError::Connection);
    // A device that is not there.
    let mut request = teacher.student_request(
        distil_eval::worker::ModelLocation::folder("a", tiny("student-a")),
        &crate::common::settings(),
    );
    request.settings.device = "cuda:99".parse().unwrap();
    let error = bench
        .worker(&["good"])
        .score_student(&request, &mut |_, _| std::ops::ControlFlow::Continue(()), &mut |_| {})
        .unwrap_err();
    assert!(matches!(error, WorkerError::Host { .. }), "{error:?}");
}

/// A model whose file has this many values more than it needs, though it takes no room on the disk.
fn large_model(folder: &Path, values: u64) {
    fs::create_dir(folder).unwrap();
    fs::copy(tiny("student-a").join("config.json"), folder.join("config.json")).unwrap();
    let bytes = fs::read(tiny("student-a").join("model.safetensors")).unwrap();
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).unwrap();
    let tensors = header.as_object_mut().unwrap();
    let data_bytes = (bytes.len() - 8 - header_bytes) as u64;
    // One tensor more, which is mapped with the rest; the loader maps whole files.
    let end = data_bytes + values * 2;
    let shape = serde_json::json!([values]);
    let extra = serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [data_bytes, end]});
    tensors.insert("mtp.large".to_owned(), extra);
    let header = serde_json::to_vec(&header).unwrap();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(&header);
    out.extend_from_slice(&bytes[8 + header_bytes..]);
    let path = folder.join("model.safetensors");
    fs::write(&path, out).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
}

fn d13_a_student_too_large_for_memory_fails_alone() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let folder = bench.root.path().join("large");
    large_model(&folder, 4 << 30);
    // A limit on the process's memory stands in for a host that has no more.
    let program = std::env::current_exe().unwrap();
    let line = format!("ulimit -v 6000000; exec '{}' {} good", program.display(), crate::act::ARGUMENT);
    let limited = Worker::new(WorkerCommand::shell(&line, bench.variables(&[])), limits());
    let error = score(&limited, &teacher, &folder).unwrap_err();
    assert_eq!(error.blame(), Blame::Model, "{error:?}");
    let next = score(&limited, &teacher, &tiny("student-b")).unwrap();
    assert!(!next.positions_kl_nats.is_empty());
}

fn d13_memory_that_runs_out_ends_the_student_first() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    // It ends as the kernel would end it once the kernel would choose it before all others, and in another way if not.
    let error = fails(&bench.worker(&["chosen-first"]), &teacher);
    assert_eq!(error, WorkerError::Crashed { ending: Ending::Signal(9), stage: Some(Stage::Load) });
}

fn c8_a_student_that_hangs_is_given_up() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let short = Duration::from_millis(1500);
    let given_up = |fault: &str, limits: WorkerLimits| {
        let error = fails(&Worker::new(bench.command(&[fault]), limits), &teacher);
        match error {
            WorkerError::Hung { what, limit, .. } => {
                assert_eq!(limit, short, "{fault}");
                (what, error.blame())
            }
            other => panic!("{fault}: {other:?}"),
        }
    };
    let model = |what| (what, Blame::Model);
    assert_eq!(given_up("hang", WorkerLimits { heartbeat: short, ..limits() }), model(HungBy::NoHeartbeat));
    assert_eq!(given_up("idle", WorkerLimits { progress: short, ..limits() }), model(HungBy::NoProgress));
    assert_eq!(given_up("busy", WorkerLimits { pass: short, ..limits() }), model(HungBy::TooLong));
    let early = given_up("early-hang", WorkerLimits { heartbeat: short, ..limits() });
    assert_eq!(early, (HungBy::NoHeartbeat, Blame::Host));
    // Nothing at all: it may as well be the network.
    let silent = r#"echo '{"distil_worker":1,"release":"0.1.0"}'; sleep 600"#;
    let silent = WorkerCommand::shell(silent, bench.variables(&[]));
    let error = fails(&Worker::new(silent, WorkerLimits { silence: short, ..limits() }), &teacher);
    assert!(matches!(error, WorkerError::Hung { what: HungBy::Silence, .. }), "{error:?}");
    assert_eq!(error.blame(), Blame::Host);
    let mute = WorkerCommand::shell("sleep 600", bench.variables(&[]));
    let error = fails(&Worker::new(mute, WorkerLimits { start: short, ..limits() }), &teacher);
    assert!(matches!(error, WorkerError::CannotStart { .. }), "{error:?}");
    assert!(score(&bench.worker(&["good"]), &teacher, &tiny("student-b")).is_ok());
}

/// A student's answer in lines of the test's making.
fn answer(bench: &Bench, teacher: &TeacherResult, lines: &[String]) -> WorkerError {
    let lines = lines.join("\n");
    fails(&bench.worker(&["lines", &lines]), teacher)
}

fn kl(prompt: usize, nats: &str, positions: usize) -> String {
    format!(r#"{{"kl":{{"prompt":{prompt},"nats":[{}]}}}}"#, vec![nats; positions].join(","))
}

const DONE: &str = r#"{"done":{"seconds":{},"peak_rss_bytes":null}}"#;

fn d14_garbage_is_no_result() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    for fault in ["babble", "flood"] {
        let error = fails(&bench.worker(&[fault]), &teacher);
        assert!(matches!(error, WorkerError::Garbage { .. }), "{fault}: {error:?}");
        assert_eq!(error.blame(), Blame::Model);
    }
    let positions = teacher.prompts[0].sequence.continuation().len();
    for (what, lines) in [
        ("below zero", vec![kl(0, "-0.5", positions)]),
        ("null", vec![kl(0, "null", positions)]),
        ("not finite", vec![kl(0, "1e999", positions)]),
        ("one too few", vec![kl(0, "0.5", positions - 1)]),
        ("one too many", vec![kl(0, "0.5", positions + 1)]),
        ("out of turn", vec![kl(1, "0.5", positions)]),
        ("twice", vec![kl(0, "0.5", positions), kl(0, "0.5", positions)]),
        ("back to the download", vec![
            r#"{"progress":{"stage":"download","done":{"tokens":0,"prompts":0,"bytes":0},"total":{"tokens":0,"prompts":0,"bytes":0}}}"#.to_owned(),
        ]),
        ("another hello", vec![r#"{"distil_worker":1,"release":"0.1.0"}"#.to_owned()]),
        ("a teacher's answer", vec![r#"{"prompt":{"index":0,"prompt":[1],"continuation":[1]}}"#.to_owned()]),
    ] {
        let error = answer(&bench, &teacher, &lines);
        assert!(matches!(error, WorkerError::Garbage { .. }), "{what}: {error:?}");
        assert_eq!(error.blame(), Blame::Model, "{what}");
    }
    // What it says is not shown as it is.
    let hostile = r#"{"failed":{"kind":"model","reason":"\u001b[31m<script>\n"}}"#.to_owned();
    let error = answer(&bench, &teacher, &[hostile]).to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");
}

fn s0_11_a_result_is_this_requests_or_none() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let of = |prompt: usize| kl(prompt, "0.5", teacher.prompts[prompt].sequence.continuation().len());
    // Done with nothing, or with some of the prompts, is not done.
    for prompts in [0, 1, teacher.prompts.len() - 1] {
        let lines: Vec<String> = (0..prompts).map(of).chain([DONE.to_owned()]).collect();
        let error = answer(&bench, &teacher, &lines);
        assert!(matches!(error, WorkerError::Garbage { .. }), "{prompts}: {error:?}");
    }
    // The same lines with all prompts are.
    let lines: Vec<String> = (0..teacher.prompts.len()).map(of).chain([DONE.to_owned()]).collect();
    let result = score(&bench.worker(&["lines", &lines.join("\n")]), &teacher, &tiny("student-a")).unwrap();
    assert!(result.positions_kl_nats.iter().flatten().all(|kl| *kl == 0.5));
}

fn s0_13_one_failing_student_leaves_the_others() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let students = [("good", "student-a"), ("abort", "student-a"), ("good", "student-b"), ("babble", "student-b")];
    let results: Vec<_> = students
        .iter()
        .map(|(part, student)| {
            score(&bench.worker(&[part]), &teacher, &tiny(student)).map(|done| done.positions_kl_nats)
        })
        .collect();
    let mean = |result: &Result<Vec<Vec<f64>>, WorkerError>| {
        let kl: Vec<f64> = result.as_ref().unwrap().iter().flatten().copied().collect();
        kl.iter().sum::<f64>() / kl.len() as f64
    };
    assert!(results[1].is_err() && results[3].is_err());
    assert!(mean(&results[0]) < mean(&results[2]));
}
