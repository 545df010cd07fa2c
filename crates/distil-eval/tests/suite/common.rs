//! What the tests share: the tiny models, altered copies of them, and short ways to run.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use distil_eval::{Event, ModelSource, Prompt, ScoreOutcome, ScoreRequest, ScoreSettings};

/// The tiny trained models.
pub(crate) fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name)
}

pub(crate) fn tiny_prompts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(tiny("prompts.json")).unwrap()).unwrap()
}

/// Many short prompts: consecutive pieces of the tiny prompts.
pub(crate) fn short_prompts(count: usize) -> Vec<String> {
    let text: Vec<char> = tiny_prompts().concat().chars().collect();
    text.chunks_exact(80).take(count).map(|piece| piece.iter().collect()).collect()
}

pub(crate) fn settings(max_new_tokens: usize) -> ScoreSettings {
    ScoreSettings { max_new_tokens, ..ScoreSettings::cpu(NonZeroUsize::new(2).unwrap()) }
}

pub(crate) fn request(students: &[&Path], prompts: Vec<String>, settings: ScoreSettings) -> ScoreRequest {
    let teacher = tiny("teacher");
    let mut models = ModelSource::name_folders([teacher.as_path()].iter().chain(students).copied()).into_iter();
    ScoreRequest {
        teacher: models.next().unwrap(),
        students: models.collect(),
        prompts: Prompt::numbered(prompts),
        settings,
    }
}

/// A clock that moves a second each time it is asked.
pub(crate) fn counting_clock() -> impl Fn() -> Duration {
    let seconds = std::cell::Cell::new(0);
    move || {
        seconds.set(seconds.get() + 1);
        Duration::from_secs(seconds.get())
    }
}

pub(crate) fn score(request: &ScoreRequest) -> ScoreOutcome {
    distil_eval::score(request, &counting_clock(), &mut |_| {}).unwrap()
}

pub(crate) fn score_with_events(request: &ScoreRequest) -> (ScoreOutcome, Vec<Event>) {
    let mut events = Vec::new();
    let outcome = distil_eval::score(request, &counting_clock(), &mut |event| events.push(event)).unwrap();
    (outcome, events)
}

/// Whether two numbers agree to a part of the larger.
pub(crate) fn close(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs())
}

/// A copy of a model with its weights changed: `alter` sees each tensor's name and its bytes.
pub(crate) fn altered_copy(source: &Path, copy: &Path, mut alter: impl FnMut(&str, &mut [u8])) {
    fs::create_dir_all(copy).unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let weights = copy.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_bytes]).unwrap();
    for (name, tensor) in header.as_object().unwrap() {
        if name == "__metadata__" {
            continue;
        }
        let offset = |index: usize| 8 + header_bytes + tensor["data_offsets"][index].as_u64().unwrap() as usize;
        alter(name, &mut bytes[offset(0)..offset(1)]);
    }
    fs::write(&weights, bytes).unwrap();
}

/// A model whose weights hold NaN.
pub(crate) fn nan_model(copy: &Path) {
    altered_copy(&tiny("student-b"), copy, |name, bytes| {
        if name.ends_with("layers.1.mlp.down_proj.weight") {
            bytes[..2].copy_from_slice(&[0xc0, 0x7f]); // NaN in bf16
        }
    });
}
