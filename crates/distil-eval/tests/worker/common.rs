//! What the tests share.

use std::{
    env,
    ffi::OsString,
    fs,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use distil_eval::{
    GenerationRules, Prompt,
    worker::{
        ModelLocation, PassSettings, StudentResult, TeacherPrompts, TeacherRequest, TeacherResult, Worker,
        WorkerCommand, WorkerError, WorkerLimits,
    },
};
use distil_model::Sampling;

pub(crate) const THREADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();
pub(crate) const NEW_TOKENS: usize = 24;

pub(crate) fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name)
}

pub(crate) fn prompts() -> Vec<Prompt> {
    let texts: Vec<String> = serde_json::from_str(&fs::read_to_string(tiny("prompts.json")).unwrap()).unwrap();
    Prompt::numbered(texts)
}

/// A folder for what workers keep, and workers that keep it there.
pub(crate) struct Bench {
    pub(crate) root: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// The variables of this process with the folders of workers set.
    pub(crate) fn variables(&self, more: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let own = [("DISTIL_WORKER_CACHE", self.root.path().join("kept")), ("HF_HOME", self.root.path().join("hf"))];
        let own = own.map(|(name, path)| (OsString::from(name), OsString::from(path)));
        let more = more.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        // Of two that have a name, the later holds.
        env::vars_os().chain(own).chain(more).collect()
    }

    /// This program as a worker.
    pub(crate) fn command(&self, role: &[&str]) -> WorkerCommand {
        self.command_with(role, &[])
    }

    pub(crate) fn command_with(&self, role: &[&str], more: &[(&str, &str)]) -> WorkerCommand {
        let arguments = [crate::act::ARGUMENT].iter().chain(role);
        WorkerCommand::new(env::current_exe().unwrap(), arguments, self.variables(more))
    }

    pub(crate) fn worker(&self, role: &[&str]) -> Worker {
        Worker::new(self.command(role), limits())
    }

    pub(crate) fn teacher(&self) -> TeacherResult {
        self.worker(&["good"]).teacher_pass(&teacher_request(), &mut |_| {}).unwrap()
    }
}

/// Limits that no test reaches unless it sets one of them lower.
pub(crate) fn limits() -> WorkerLimits {
    let long = Duration::from_secs(300);
    WorkerLimits { start: long, silence: long, heartbeat: long, progress: long, download: long, pass: long }
}

pub(crate) fn settings() -> PassSettings {
    PassSettings::cpu(THREADS)
}

pub(crate) fn teacher_request() -> TeacherRequest {
    TeacherRequest {
        model: ModelLocation::folder("teacher", tiny("teacher")),
        cache_key: "round-1".parse().unwrap(),
        prompts: TeacherPrompts::Continue(prompts()),
        generation: GenerationRules { max_prompt_tokens: 1024, max_new_tokens: NEW_TOKENS, sampling: Sampling::Greedy },
        settings: settings(),
    }
}

/// Scores a student in a folder.
pub(crate) fn score(worker: &Worker, teacher: &TeacherResult, folder: &Path) -> Result<StudentResult, WorkerError> {
    let request = teacher.student_request(ModelLocation::folder("student", folder), &settings());
    worker.score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |_| {})
}

pub(crate) fn bits(positions: &[Vec<f64>]) -> Vec<Vec<u64>> {
    positions.iter().map(|prompt| prompt.iter().map(|kl| kl.to_bits()).collect()).collect()
}
