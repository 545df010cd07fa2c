//! A worker's numbers are those of the process that asks.

use std::{fs, ops::ControlFlow, process::Command, time::Duration};

use distil_eval::{
    ModelSource, ScoreRequest, ScoreSettings,
    worker::{Blame, ModelLocation, Stage, TeacherPrompts, WorkerError, WorkerEvent},
};

use crate::common::{Bench, NEW_TOKENS, THREADS, bits, prompts, score, settings, teacher_request, tiny};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("scores::scores_are_those_of_this_process_to_the_last_bit", scores_are_those_of_this_process_to_the_last_bit),
    (
        "scores::a_lost_cache_is_made_again_from_the_recorded_tokens",
        a_lost_cache_is_made_again_from_the_recorded_tokens,
    ),
    (
        "scores::d7_states_of_another_round_are_never_scored_against",
        d7_states_of_another_round_are_never_scored_against,
    ),
    ("scores::a_stopped_student_ends_with_the_prompt_it_was_stopped_at", a_stopped_student_ends_with_the_prompt),
    ("scores::what_a_model_does_wrong_is_told", what_a_model_does_wrong_is_told),
    ("scores::a_library_that_writes_to_standard_output_disturbs_nothing", a_library_that_writes_disturbs_nothing),
];

/// The part `score`: the students in one process, their divergences as bits.
pub(crate) fn score_in_this_process(_settings: &str) {
    let models = ["teacher", "student-a", "student-b"].map(tiny);
    let mut models = ModelSource::name_folders(models).into_iter();
    let request = ScoreRequest {
        teacher: models.next().unwrap(),
        students: models.collect(),
        prompts: prompts(),
        settings: ScoreSettings { max_new_tokens: NEW_TOKENS, digest_weights: true, ..ScoreSettings::cpu(THREADS) },
    };
    let outcome = distil_eval::score(&request, &|| Duration::ZERO, &mut |_| {}).unwrap();
    let tokens: Vec<&[u32]> = outcome.prompts.iter().map(|prompt| prompt.sequence.tokens()).collect();
    let students: Vec<_> = outcome.students.iter().map(|student| bits(&student.positions_kl_nats)).collect();
    let files: Vec<Vec<&str>> = outcome
        .students
        .iter()
        .map(|student| student.identity.as_ref().unwrap().files.iter().map(|file| file.sha256.as_str()).collect())
        .collect();
    let teacher = &outcome.teacher;
    let document = serde_json::json!({"tokens": tokens, "students": students, "files": files,
        "teacher": [teacher.head_digest, teacher.tokenizer_digest, teacher.model.files[1].sha256]});
    serde_json::to_writer(std::io::stdout().lock(), &document).unwrap();
}

fn scores_are_those_of_this_process_to_the_last_bit() {
    // The same numbers of threads as the worker's, which have to be set before a process starts.
    let output = Command::new(std::env::current_exe().unwrap())
        .args([crate::act::ARGUMENT, "score", "-"])
        .envs(["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"].map(|name| (name, THREADS.to_string())))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let here: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();

    let bench = Bench::new();
    let worker = bench.worker(&["good"]);
    let mut stages = Vec::new();
    let mut started = 0;
    let teacher = worker
        .teacher_pass(&teacher_request(), &mut |event| match event {
            WorkerEvent::Progress { stage, .. } if stages.last() != Some(&stage) => stages.push(stage),
            WorkerEvent::Started(_) => started += 1,
            _ => {}
        })
        .unwrap();
    assert_eq!(started, 1);
    use Stage::{Digest, Download, Forward, Generate, KeepStates, Load, Tokenize};
    assert_eq!(stages, [Download, Tokenize, Digest, Load, Generate, Forward, KeepStates]);
    let tokens: Vec<&[u32]> = teacher.prompts.iter().map(|prompt| prompt.sequence.tokens()).collect();
    assert_eq!(serde_json::to_value(tokens).unwrap(), here["tokens"]);
    let identity = &teacher.teacher;
    let digests = [&identity.head_digest, &identity.tokenizer_digest, &identity.model.files[1].sha256];
    assert_eq!(serde_json::to_value(digests).unwrap(), here["teacher"]);
    assert_eq!((identity.name.as_str(), identity.vocab_size), ("teacher", 2048));
    assert_eq!((teacher.environment.device.as_str(), teacher.environment.threads), ("cpu", THREADS.get()));

    for (index, name) in ["student-a", "student-b"].into_iter().enumerate() {
        let mut seen = Vec::new();
        let request = teacher.student_request(ModelLocation::folder(name, tiny(name)), &settings());
        let student = worker
            .score_student(
                &request,
                &mut |prompt, nats| {
                    assert_eq!(prompt, seen.len());
                    seen.push(nats.to_vec());
                    ControlFlow::Continue(())
                },
                &mut |_| {},
            )
            .unwrap();
        assert_eq!(serde_json::to_value(bits(&student.positions_kl_nats)).unwrap(), here["students"][index], "{name}");
        assert_eq!(seen, student.positions_kl_nats);
        assert!(!student.stopped && student.seconds.contains_key("score"), "{:?}", student.seconds);
        let files: Vec<&str> = student.identity.files.iter().map(|file| file.sha256.as_str()).collect();
        assert_eq!(serde_json::to_value(files).unwrap(), here["files"][index]);
        assert_eq!(student.environment.kl_kernel, distil_kl::active_path().to_string());
    }
}

fn a_lost_cache_is_made_again_from_the_recorded_tokens() {
    let bench = Bench::new();
    let worker = bench.worker(&["good"]);
    let request = teacher_request();
    let first = bench.teacher();
    let before = score(&worker, &first, &tiny("student-a")).unwrap();

    fs::remove_dir_all(bench.root.path().join("kept")).unwrap();
    let missing = score(&worker, &first, &tiny("student-a")).unwrap_err();
    assert!(matches!(missing, WorkerError::TeacherCacheMissing { .. }), "{missing}");
    assert_eq!(missing.blame(), Blame::Host);
    let mut stages = Vec::new();
    let second = worker
        .teacher_pass(&request.over(first.prompts.clone()), &mut |event| {
            if let WorkerEvent::Progress { stage, .. } = event {
                stages.push(stage);
            }
        })
        .unwrap();
    assert!(!stages.contains(&Stage::Generate), "recorded tokens are the truth");
    assert_eq!((&second.prompts, &second.cache), (&first.prompts, &first.cache));
    let after = score(&worker, &second, &tiny("student-a")).unwrap();
    assert_eq!(bits(&after.positions_kl_nats), bits(&before.positions_kl_nats));

    // Neither a damaged file of states nor a damaged head is used.
    for entry in fs::read_dir(bench.root.path().join("kept")).unwrap() {
        let path = entry.unwrap().path();
        let file = if path.is_dir() { path.join("model.safetensors") } else { path };
        let mut bytes = fs::read(&file).unwrap();
        let good = bytes.clone();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&file, &bytes).unwrap();
        let error = score(&worker, &second, &tiny("student-a")).unwrap_err();
        assert!(matches!(error, WorkerError::TeacherCacheMissing { .. }), "{}: {error}", file.display());
        let again = worker.teacher_pass(&request.over(first.prompts.clone()), &mut |_| {}).unwrap();
        assert_eq!(again.cache, first.cache);
        assert_eq!(fs::read(&file).unwrap(), good, "{}", file.display());
    }
}

fn d7_states_of_another_round_are_never_scored_against() {
    let bench = Bench::new();
    let worker = bench.worker(&["good"]);
    let first = bench.teacher();
    // The same key, other prompts.
    let mut request = teacher_request();
    request.prompts = TeacherPrompts::Continue(prompts().into_iter().take(2).collect());
    let second = worker.teacher_pass(&request, &mut |_| {}).unwrap();
    assert_ne!(first.cache.digest, second.cache.digest);
    let error = score(&worker, &first, &tiny("student-a")).unwrap_err();
    assert!(matches!(error, WorkerError::TeacherCacheMissing { .. }), "{error}");
    // Counts that are not those of the states are no result either.
    let mut request = second.student_request(ModelLocation::folder("student", tiny("student-a")), &settings());
    request.positions.push(NEW_TOKENS);
    let result = worker.score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |_| {});
    assert!(matches!(result, Err(WorkerError::Garbage { .. })), "{result:?}");
}

fn a_stopped_student_ends_with_the_prompt() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let worker = bench.worker(&["good"]);
    let whole = score(&worker, &teacher, &tiny("student-b")).unwrap();
    let request = teacher.student_request(ModelLocation::folder("b", tiny("student-b")), &settings());
    let stop_at = |prompt, _: &[f64]| if prompt == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let student = worker.score_student(&request, &mut { stop_at }, &mut |_| {}).unwrap();
    assert!(student.stopped);
    assert_eq!(bits(&student.positions_kl_nats), bits(&whole.positions_kl_nats[..3]));
}

fn what_a_model_does_wrong_is_told() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let worker = bench.worker(&["good"]);
    let folder = bench.root.path().join("student");
    let fails = |what: &str| {
        let error = score(&worker, &teacher, &folder).unwrap_err();
        assert!(matches!(error, WorkerError::Model { .. }), "{what}: {error:?}");
        assert_eq!(error.blame(), Blame::Model);
        let message = error.to_string();
        assert!(!message.contains(&*bench.root.path().to_string_lossy()), "a path of the host: {message}");
        message
    };
    assert!(fails("nothing there").contains("config.json"));
    fs::create_dir(&folder).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(tiny("student-b").join(file), folder.join(file)).unwrap();
    }
    assert!(score(&worker, &teacher, &folder).is_ok());

    let weights = folder.join("model.safetensors");
    let good = fs::read(&weights).unwrap();
    let mut bytes = good.clone();
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).unwrap();
    let (_, tensor) =
        header.as_object().unwrap().iter().find(|(name, _)| name.ends_with("layers.1.mlp.down_proj.weight")).unwrap();
    let start = 8 + header_bytes + tensor["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[start..start + 2].copy_from_slice(&[0xc0, 0x7f]); // NaN in bf16
    fs::write(&weights, &bytes).unwrap();
    assert!(fails("NaN").contains("NaN"));

    fs::write(&weights, &good[..good.len() - 100]).unwrap();
    fails("cut weights");
    fs::write(&weights, &good).unwrap();
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["vocab_size"] = 2040.into();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    assert!(fails("another vocabulary").contains("2040"));
}

fn a_library_that_writes_disturbs_nothing() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let mut log = Vec::new();
    let request = teacher.student_request(ModelLocation::folder("a", tiny("student-a")), &settings());
    let student = bench
        .worker(&["noisy"])
        .score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |event| {
            if let WorkerEvent::Log(line) = event {
                log.push(line);
            }
        })
        .unwrap();
    assert_eq!(student.positions_kl_nats.len(), prompts().len());
    assert!(log.iter().any(|line| line == "a library that talks"), "{log:?}");
}
