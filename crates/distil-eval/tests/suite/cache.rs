//! The teacher cache on its way through a file.

use std::{fs, path::Path};

use distil_eval::{
    EvalError, ModelSource, Prompt, ScoreSettings, TeacherCache, TeacherPass, score_students, teacher_pass,
};
use distil_model::{Device, LoadOptions, OutputHead};

use crate::common::{counting_clock, settings, short_prompts, tiny};

fn source(name: &str) -> ModelSource {
    ModelSource { name: name.to_owned(), revision: Some("0123abcd".to_owned()), folder: tiny(name) }
}

fn pass(settings: &ScoreSettings) -> TeacherPass {
    let prompts = Prompt::numbered(short_prompts(4));
    teacher_pass(&source("teacher"), &prompts, settings, &counting_clock(), &mut |_| {}).unwrap()
}

fn head(name: &str) -> OutputHead {
    OutputHead::load(&tiny(name), &LoadOptions::cpu_f32()).unwrap()
}

#[test]
fn students_score_the_same_bits_on_a_cache_from_a_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("teacher.safetensors");
    let mut settings = settings(8);
    settings.digest_weights = true;
    settings.sampling = distil_model::Sampling::TopP { temperature: 0.7, top_p: 0.9, seed: [7; 32] };
    let teacher = pass(&settings);
    teacher.cache().save(&path).unwrap();
    let loaded = TeacherCache::load(&path, &Device::Cpu).unwrap();
    assert_eq!(format!("{:?}", loaded.teacher()), format!("{:?}", teacher.cache().teacher()));
    assert_eq!(format!("{:?}", loaded.generation()), format!("{:?}", teacher.cache().generation()));
    assert_eq!(loaded.dtype(), teacher.cache().dtype());
    for (ours, theirs) in loaded.prompts().iter().zip(teacher.cache().prompts()) {
        assert_eq!((&ours.id, &ours.text, &ours.sequence), (&theirs.id, &theirs.text, &theirs.sequence));
    }

    let again = root.path().join("again.safetensors");
    loaded.save(&again).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap(), "the file has every bit of it");

    let students = [source("student-a")];
    let run =
        |teacher: &TeacherPass| score_students(teacher, &students, &settings, &counting_clock(), &mut |_| {}).unwrap();
    let from_file = TeacherPass::from_cache(loaded, head("teacher")).unwrap();
    let (direct, from_file) = (run(&teacher), run(&from_file));
    assert_eq!(direct.students[0].positions_kl_nats, from_file.students[0].positions_kl_nats);
    assert_eq!(direct.report.prompts, from_file.report.prompts);
}

#[test]
fn bf16_states_are_kept_as_they_are() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("teacher.safetensors");
    let teacher = pass(&ScoreSettings { dtype: distil_model::DType::BF16, ..settings(4) });
    assert_eq!(teacher.cache().dtype(), distil_model::DType::BF16);
    teacher.cache().save(&path).unwrap();
    let loaded = TeacherCache::load(&path, &Device::Cpu).unwrap();
    assert_eq!(loaded.dtype(), distil_model::DType::BF16);
    let again = root.path().join("again.safetensors");
    loaded.save(&again).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
}

#[test]
fn another_head_is_refused() {
    let cache = pass(&settings(2)).cache().clone();
    let error = TeacherPass::from_cache(cache, head("student-a")).unwrap_err();
    assert!(matches!(error, EvalError::WrongHead { .. }), "{error}");
}

#[test]
fn a_cache_that_can_not_be_written_leaves_what_was_there() {
    let root = tempfile::tempdir().unwrap();
    let cache = pass(&settings(2)).cache().clone();
    let missing = root.path().join("missing/teacher.safetensors");
    assert!(matches!(cache.save(&missing), Err(EvalError::Write { .. })));
    let in_the_way = root.path().join("folder");
    fs::create_dir_all(in_the_way.join("inside")).unwrap();
    assert!(matches!(cache.save(&in_the_way), Err(EvalError::Write { .. })));
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["folder"]);
}

/// Loads a file and gives what is wrong with it.
fn problem(path: &Path, bytes: &[u8]) -> String {
    fs::write(path, bytes).unwrap();
    match TeacherCache::load(path, &Device::Cpu) {
        Err(error @ EvalError::Cache { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_files_are_told_apart_from_sound_ones() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("teacher.safetensors");
    pass(&settings(3)).cache().save(&path).unwrap();
    let sound = fs::read(&path).unwrap();
    let header_bytes = u64::from_le_bytes(sound[..8].try_into().unwrap()) as usize;
    let (header, data) = (&sound[8..8 + header_bytes], &sound[8 + header_bytes..]);
    let damaged = root.path().join("damaged.safetensors");
    let said = |bytes: &[u8]| problem(&damaged, bytes);

    // Cut at every place that matters, and at many that don't.
    for length in (0..8).chain([8, 20, header_bytes, 8 + header_bytes, sound.len() - 1]) {
        said(&sound[..length]);
    }
    assert!(said(&[&sound[..], b"more"].concat()).contains("cut or added to"));
    assert!(said(&[&(1_u64 << 60).to_le_bytes()[..], header].concat()).contains("header"));

    // A bit anywhere in the data.
    for index in (0..data.len()).step_by(data.len() / 23) {
        let mut bytes = sound.clone();
        bytes[8 + header_bytes + index] ^= 1;
        let message = said(&bytes);
        assert!(message.contains("digest") || message.contains("beyond the vocabulary"), "byte {index}: {message}");
    }

    // Lies in the header; lengths stay, so that offsets do.
    let text = std::str::from_utf8(header).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} is not in {text}");
        let changed = text.replacen(from, to, 1);
        [&(changed.len() as u64).to_le_bytes()[..], changed.as_bytes(), data].concat()
    };
    for (from, to, says) in [
        ("distil_teacher_cache", "another_documents_key", "no teacher cache"),
        (r#"\"format\":1"#, r#"\"format\":2"#, "format 2"),
        (r#"\"protocol\":\"distil/1\""#, r#"\"protocol\":\"distil/9\""#, "distil/9"),
        (r#"\"dtype\":\"f32\""#, r#"\"dtype\":\"bf16\""#, "must be BF16"),
        (r#"\"dtype\":\"f32\""#, r#"\"dtype\":\"u8\""#, "u8"),
        (r#"\"hidden_size\":"#, r#"\"hidden_size\":1"#, "must be"),
        (r#"\"vocab_size\":2048"#, r#"\"vocab_size\":2"#, "beyond the vocabulary of 2"),
        (r#"\"max_new_tokens\":3"#, r#"\"max_new_tokens\":2"#, "limits"),
        (r#"\"max_prompt_tokens\":1024"#, r#"\"max_prompt_tokens\":1"#, "limits"),
        (r#"\"prompt_tokens\":"#, r#"\"prompt_tokens\":9"#, "limits"),
        (r#"\"head_digest\":\""#, r#"\"head_digest\":\"x"#, "hex"),
        (r#"\"generation\":{"#, r#"\"generation\":{\"more\":1,"#, "more"),
        (r#""tokens.2""#, r#""tokens.9""#, "tokens.2 is missing"),
        (r#""hidden.0""#, r#""hidden.9""#, "hidden.0 is missing"),
        (r#"{\"id\":\"3\""#, r#"{\"id\":3"#, "not understood"),
    ] {
        let message = said(&with(from, to));
        assert!(message.contains(says), "{from} -> {to}: {message}");
    }
    // A prompt dropped from the document leaves tensors that belong to none.
    let start = text.find(r#",{\"id\":\"3\""#).unwrap();
    let end = start + text[start..].find(r#"]}""#).unwrap();
    let changed = [&text[..start], &text[end..]].concat();
    let bytes = [&(changed.len() as u64).to_le_bytes()[..], changed.as_bytes(), data].concat();
    assert!(said(&bytes).contains("belongs to no prompt"));
    // And the sound one is sound.
    TeacherCache::load(&path, &Device::Cpu).unwrap();
}

mod hostile {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a file holds, loading it answers; headers that parse are reached by wrapping random JSON.
        #[test]
        fn any_bytes_are_answered(header in ".{0,200}", data in prop::collection::vec(any::<u8>(), 0..64), length: Option<u64>) {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("cache");
            let length = length.unwrap_or(header.len() as u64);
            fs::write(&path, [&length.to_le_bytes()[..], header.as_bytes(), &data].concat()).unwrap();
            prop_assert!(TeacherCache::load(&path, &Device::Cpu).is_err());
        }
    }
}
