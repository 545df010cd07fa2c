//! What a run makes of its students: exact zeros, copies, early stops, failures, and the same numbers however it is cut.

use std::{fs, path::Path, time::Duration};

use distil_eval::{
    EvalError, Event, ModelSource, Phase, Prompt, ScoreReport, StudentStatus, Work, score_students, teacher_pass,
};
use serde_json::json;

use crate::common::{
    altered_copy, close, counting_clock, nan_model, request, score, score_with_events, settings, short_prompts, tiny,
    tiny_prompts,
};

/// Zeroes what one layer adds, so that the model is clearly worse but sound.
fn crippled(copy: &Path) {
    altered_copy(&tiny("student-b"), copy, |name, bytes| {
        if name.ends_with("mlp.down_proj.weight") {
            bytes.fill(0);
        }
    });
}

/// Flips the lowest bit of the mantissa of some weights: another file, the same function for all purposes.
fn disturbed(source: &str, copy: &Path) {
    altered_copy(&tiny(source), copy, |name, bytes| {
        if name.ends_with("layers.0.mlp.up_proj.weight") {
            for low in bytes.iter_mut().step_by(64) {
                *low ^= 1;
            }
        }
    });
}

#[test]
fn the_teacher_itself_scores_exactly_zero() {
    let outcome = score(&request(&[&tiny("teacher")], tiny_prompts(), settings(24)));
    let report = &outcome.report.students[0];
    assert_eq!((report.status, report.kl, report.standard_error), (StudentStatus::Scored, Some(0.0), Some(0.0)));
    assert!(outcome.students[0].positions_kl_nats.iter().flatten().all(|kl| *kl == 0.0));
    assert_eq!(report.positions, 8 * 24);
}

#[test]
fn a_failing_student_does_not_stop_the_others() {
    let root = tempfile::tempdir().unwrap();
    let (nan, missing, other_size) = (root.path().join("nan"), root.path().join("missing"), root.path().join("other"));
    nan_model(&nan);
    fs::create_dir(&missing).unwrap();
    with_vocabulary_of(2_040, &other_size);
    let gone = root.path().join("gone");
    let good = tiny("student-a");
    let students: [&Path; 5] = [&nan, &missing, &gone, &other_size, &good];
    let (outcome, events) = score_with_events(&request(&students, tiny_prompts(), settings(8)));

    let reports = &outcome.report.students;
    for (report, student) in reports[..4].iter().zip(&outcome.students) {
        assert_eq!(report.status, StudentStatus::Failed, "{report:?}");
        assert_eq!((report.kl, report.standard_error, report.positions), (None, None, 0));
        assert!(report.prompts.is_empty() && student.positions_kl_nats.is_empty());
        let reason = report.reason.as_deref().unwrap();
        assert!(!reason.contains(&*root.path().to_string_lossy()), "{reason}");
    }
    let reason = |index: usize| reports[index].reason.as_deref().unwrap();
    assert!(reason(0).contains("prompt 0, position 0") && reason(0).contains("NaN"), "{}", reason(0));
    assert!(reason(1).contains("missing/config.json"), "{}", reason(1));
    assert!(reason(2).contains("gone"), "{}", reason(2));
    assert!(reason(3).contains("2040") && reason(3).contains("2048"), "{}", reason(3));
    assert_eq!(reports[4].status, StudentStatus::Scored);
    assert_eq!(reports[4].kl, score(&request(&[&good], tiny_prompts(), settings(8))).report.students[0].kl);

    let finished: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            Event::StudentFinished { student, report } => {
                assert_eq!(report, &reports[*student]);
                Some(*student)
            }
            _ => None,
        })
        .collect();
    assert_eq!(finished, [0, 1, 2, 3, 4]);
    let text = serde_json::to_string(&outcome.report).unwrap();
    assert_eq!(serde_json::from_str::<ScoreReport>(&text).unwrap(), outcome.report);
}

/// A student whose vocabulary is smaller than the teacher's by a few entries, sound in every other way.
fn with_vocabulary_of(vocab_size: usize, copy: &Path) {
    altered_copy(&tiny("student-a"), copy, |_, _| {});
    let weights = copy.join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let cut: Vec<_> = tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let mut shape = view.shape().to_vec();
            let row_bytes = view.data().len() / shape[0];
            if name.contains("embed_tokens") || name.contains("lm_head") {
                shape[0] = vocab_size;
            }
            let data = view.data()[..shape[0] * row_bytes].to_vec();
            (name, view.dtype(), shape, data)
        })
        .collect();
    let views = cut.iter().map(|(name, dtype, shape, data)| {
        (name, safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(&weights, safetensors::serialize(views, None).unwrap()).unwrap();
    let config = copy.join("config.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    json["vocab_size"] = json!(vocab_size);
    fs::write(&config, json.to_string()).unwrap();
}

#[test]
fn copies_of_earlier_students_are_marked_and_scored_in_full() {
    let root = tempfile::tempdir().unwrap();
    let copy = root.path().join("copy");
    disturbed("student-b", &copy);
    let (a, b) = (tiny("student-a"), tiny("student-b"));
    let mut settings = settings(32);
    settings.early_stop = true;
    let outcome = score(&request(&[&a, &b, &copy, &b], tiny_prompts(), settings));
    let reports = &outcome.report.students;
    let statuses: Vec<_> = reports.iter().map(|report| report.status).collect();
    use StudentStatus::{FunctionalCopy, Scored};
    assert_eq!(statuses, [Scored, Scored, FunctionalCopy, FunctionalCopy]);
    assert_eq!(reports[2].copy_of.as_deref(), Some("student-b"));
    assert_eq!((reports[3].model.as_str(), reports[3].copy_of.as_deref()), ("student-b#2", Some("student-b")));
    assert_ne!(reports[2].kl, reports[1].kl, "it is not the same file");
    assert!(close(reports[2].kl.unwrap(), reports[1].kl.unwrap(), 0.01));
    assert!(reports.iter().all(|report| report.prompts.len() == 8));
}

#[test]
fn a_hopeless_student_stops_at_the_same_prompt_whatever_the_batches() {
    let root = tempfile::tempdir().unwrap();
    let bad = root.path().join("crippled");
    crippled(&bad);
    let a = tiny("student-a");
    let run = |batch_tokens: usize, early_stop: bool| {
        let mut settings = settings(12);
        settings.early_stop = early_stop;
        settings.batch_tokens = batch_tokens;
        score(&request(&[&a, &bad, &bad], short_prompts(24), settings))
    };
    let full = run(2048, false);
    let alone = run(1, true);
    let together = run(1 << 20, true);
    for outcome in [&alone, &together] {
        let (stopped, copy) = (&outcome.report.students[1], &outcome.report.students[2]);
        assert_eq!(stopped.status, StudentStatus::EarlyStopped);
        assert!(stopped.reason.as_deref().unwrap().contains("stopped after"), "{stopped:?}");
        let done = stopped.prompts.len();
        assert!((10..24).contains(&done), "{done}");
        assert_eq!(stopped.positions, 12 * done);
        assert_eq!(outcome.students[1].positions_kl_nats.len(), done);
        for (ours, whole) in stopped.prompts.iter().zip(&full.report.students[1].prompts) {
            assert!(close(ours.mean, whole.mean, 1e-6));
        }
        // The copy of a student that stopped is a copy, and runs to the end.
        assert_eq!((copy.status, copy.prompts.len()), (StudentStatus::FunctionalCopy, 24));
    }
    assert_eq!(alone.report.students[1].prompts.len(), together.report.students[1].prompts.len());
    assert_eq!(full.report.students[1].status, StudentStatus::Scored);
}

#[test]
fn only_a_fit_reference_stops_others() {
    // The teacher in the first place scores 0, which is at the floor: the student after it is the reference.
    let root = tempfile::tempdir().unwrap();
    let (bad, nan) = (root.path().join("crippled"), root.path().join("nan"));
    crippled(&bad);
    nan_model(&nan);
    let mut settings = settings(12);
    settings.early_stop = true;
    let (teacher, a) = (tiny("teacher"), tiny("student-a"));
    let outcome = score(&request(&[&nan, &teacher, &a, &bad], short_prompts(16), settings.clone()));
    let statuses: Vec<_> = outcome.report.students.iter().map(|report| report.status).collect();
    use StudentStatus::{EarlyStopped, Failed, Scored};
    assert_eq!(statuses, [Failed, Scored, Scored, EarlyStopped]);

    let nobody = score(&request(&[&nan, &teacher, &bad], short_prompts(16), settings));
    assert_eq!(nobody.report.students[2].status, Scored, "there was no reference");
}

#[test]
fn batches_and_kernel_threads_change_nothing() {
    let a = tiny("student-a");
    let run = |batch_tokens: usize, threads: usize| {
        let mut settings = settings(40);
        settings.batch_tokens = batch_tokens;
        settings.threads = threads.try_into().unwrap();
        score(&request(&[&a], tiny_prompts(), settings))
    };
    let reference = run(2048, 2);
    assert_eq!(run(2048, 1).students[0].positions_kl_nats, reference.students[0].positions_kl_nats, "threads");
    for batch_tokens in [1, 500, 1 << 20] {
        let other = run(batch_tokens, 2);
        assert_eq!(other.prompts, reference.prompts);
        let kl = |outcome: &distil_eval::ScoreOutcome| outcome.report.students[0].kl.unwrap();
        assert!(close(kl(&other), kl(&reference), 1e-6), "{} and {}", kl(&other), kl(&reference));
        for (ours, theirs) in other.report.students[0].prompts.iter().zip(&reference.report.students[0].prompts) {
            assert!(close(ours.mean, theirs.mean, 1e-6), "{} and {}", ours.mean, theirs.mean);
        }
    }
}

#[test]
fn the_same_run_gives_the_same_bits() {
    let request = request(&[&tiny("student-a")], tiny_prompts(), settings(16));
    let (first, second) = (score(&request), score(&request));
    assert_eq!(first.students[0].positions_kl_nats, second.students[0].positions_kl_nats);
    assert_eq!(first.prompts, second.prompts);
}

#[test]
fn s0_9_sampled_continuations_follow_their_seed() {
    let run = |seed: u8| {
        let mut settings = settings(16);
        settings.sampling = distil_model::Sampling::TopP { temperature: 0.7, top_p: 0.9, seed: [seed; 32] };
        teacher_pass(&source("teacher"), &Prompt::numbered(short_prompts(4)), &settings, &counting_clock(), &mut |_| {})
            .unwrap()
            .cache()
            .prompts()
            .iter()
            .map(|prompt| prompt.sequence.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

fn source(name: &str) -> ModelSource {
    ModelSource { name: name.to_owned(), revision: None, folder: tiny(name) }
}

#[test]
fn prompts_are_cut_and_counted() {
    let mut settings = settings(3);
    settings.max_prompt_tokens = 5;
    let outcome = score(&request(&[&tiny("student-b")], tiny_prompts()[..2].to_vec(), settings));
    for prompt in &outcome.report.prompts {
        assert_eq!((prompt.prompt_tokens, prompt.continuation_tokens), (5, 3));
        assert_eq!(prompt.digest.len(), 64);
    }
}

#[test]
fn bad_requests_are_named() {
    let good = || request(&[&tiny("student-b")], vec!["Call me".to_owned(), String::new()], settings(4));
    let run =
        |request: &distil_eval::ScoreRequest| distil_eval::score(request, &counting_clock(), &mut |_| {}).unwrap_err();
    assert!(matches!(run(&good()), EvalError::EmptyPrompt { index: 1, .. }));
    let mut none = good();
    none.prompts.clear();
    assert!(matches!(run(&none), EvalError::NoPrompts));
    let mut alone = good();
    alone.students.clear();
    assert!(matches!(run(&alone), EvalError::NoStudents));
    for change in [
        (|settings| settings.max_prompt_tokens = 0) as fn(&mut distil_eval::ScoreSettings),
        |settings| settings.max_new_tokens = 0,
        |settings| settings.batch_tokens = 0,
    ] {
        let mut zero = good();
        change(&mut zero.settings);
        assert!(matches!(run(&zero), EvalError::Setting { .. }));
    }
    let root = tempfile::tempdir().unwrap();
    let mut no_teacher = good();
    no_teacher.prompts.pop();
    no_teacher.teacher.folder = root.path().to_owned();
    let message = run(&no_teacher).to_string();
    assert!(message.contains("teacher") && message.contains("tokenizer.json"), "{message}");

    // A teacher that gives NaN is the teacher's failure, not that of each student.
    let broken = root.path().join("broken");
    altered_copy(&tiny("teacher"), &broken, |name, bytes| {
        if name.ends_with("layers.0.input_layernorm.weight") {
            bytes[..2].copy_from_slice(&[0xc0, 0x7f]);
        }
    });
    no_teacher.teacher.folder = broken;
    let error = run(&no_teacher);
    assert!(matches!(error, EvalError::Teacher { .. } | EvalError::TeacherNotFinite { .. }), "{error}");
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let teacher = root.path().join("teacher");
    altered_copy(&tiny("teacher"), &teacher, |_, _| {});
    let path = teacher.join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let id = vocabulary["C"].clone();
    vocabulary.insert("C".to_owned(), json!(5_000));
    vocabulary.insert("never".to_owned(), id);
    fs::write(&path, tokenizer.to_string()).unwrap();
    let mut request = request(&[&tiny("student-b")], vec!["C".to_owned()], settings(4));
    request.teacher.folder = teacher;
    let error = distil_eval::score(&request, &counting_clock(), &mut |_| {}).unwrap_err();
    assert!(
        matches!(error, EvalError::TokenOutsideVocabulary { index: 0, token: 5_000, vocab_size: 2_048 }),
        "{error}"
    );
}

#[test]
fn events_tell_each_phase_and_its_work() {
    let (outcome, events) = score_with_events(&request(&[&tiny("student-a")], tiny_prompts(), settings(6)));
    let mut open = None;
    let mut phases = Vec::new();
    let mut before = Work::default();
    for event in &events {
        match event {
            Event::PhaseStarted { phase, .. } => {
                assert_eq!(open.replace(*phase), None, "one phase at a time");
                before = Work::default();
            }
            Event::PhaseProgress { phase, done, total, elapsed } => {
                assert_eq!(open, Some(*phase));
                assert!(done.bytes >= before.bytes && done.bytes <= total.bytes);
                assert!(done.tokens >= before.tokens && done.prompts >= before.prompts && !elapsed.is_zero());
                before = *done;
            }
            Event::PhaseFinished { phase, done, elapsed } => {
                assert_eq!(open.take(), Some(*phase));
                assert_eq!(*done, before);
                assert!(*elapsed > Duration::ZERO);
                phases.push((*phase, *done));
            }
            _ => {}
        }
    }
    let prompt_tokens: usize = outcome.report.prompts.iter().map(|prompt| prompt.prompt_tokens).sum();
    let work = |tokens: usize, prompts: u64| Work { tokens: tokens as u64, prompts, bytes: 0 };
    let read = |model: &str| {
        let bytes = fs::read(tiny(model).join("model.safetensors")).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        Work { bytes: bytes.len() as u64 - 8 - header, ..Work::default() }
    };
    let input_tokens = prompt_tokens + 8 * 5;
    assert_eq!(
        phases,
        [
            (Phase::Tokenize, work(prompt_tokens, 8)),
            (Phase::TeacherLoad, read("teacher")),
            (Phase::TeacherGenerate, work(8 * 6, 8)),
            (Phase::TeacherForward, work(input_tokens, 8)),
            (Phase::StudentLoad { student: 0 }, read("student-a")),
            (Phase::StudentScore { student: 0 }, work(input_tokens, 8)),
        ]
    );
    let keys: Vec<_> = outcome.report.seconds.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["load.student-a", "score.student-a", "teacher_forward", "teacher_generate", "teacher_load", "tokenize"]
    );
    assert!(outcome.report.seconds.values().all(|seconds| *seconds >= 1.0), "the clock moves a second a look");
}

#[test]
fn the_report_has_the_shape_that_scripts_lean_on() {
    let mut outcome = score(&request(&[&tiny("student-a")], short_prompts(1), settings(3)));
    outcome.report.seconds = [("teacher_load".to_owned(), 1.5)].into();
    outcome.report.peak_rss_bytes = Some(4096);
    let value = serde_json::to_value(&outcome.report).unwrap();
    let student = &outcome.report.students[0];
    let prompt = &student.prompts[0];
    let expected = json!({
        "protocol": "distil/1",
        "teacher": {"model": "teacher"},
        "prompts": [{
            "prompt_tokens": outcome.prompts[0].sequence.prompt().len(),
            "continuation_tokens": 3,
            "digest": outcome.prompts[0].sequence.digest(),
        }],
        "students": [{
            "model": "student-a", "status": "scored", "kl": student.kl, "positions": 3, "standard_error": null,
            "prompts": [
                {"mean": prompt.mean, "std": prompt.std, "min": prompt.min, "max": prompt.max, "positions": 3},
            ],
            "reason": "one prompt gives no standard error",
        }],
        "seconds": {"teacher_load": 1.5},
        "peak_rss_bytes": 4096,
    });
    assert_eq!(value, expected);
}

#[test]
fn halves_of_a_run_are_the_whole() {
    let request = request(&[&tiny("student-a"), &tiny("student-b")], short_prompts(3), settings(8));
    let whole = score(&request);
    let clock = counting_clock();
    let teacher = teacher_pass(&request.teacher, &request.prompts, &request.settings, &clock, &mut |_| {}).unwrap();
    let halves = score_students(&teacher, &request.students, &request.settings, &clock, &mut |_| {}).unwrap();
    assert_eq!(halves.report.students, whole.report.students);
    assert!(matches!(
        score_students(&teacher, &[], &request.settings, &clock, &mut |_| {}),
        Err(EvalError::NoStudents)
    ));
}
