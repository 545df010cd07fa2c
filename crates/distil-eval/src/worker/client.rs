use std::{
    ops::ControlFlow,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use distil_model::DType;

use super::{
    InvalidRequest, ModelLocation, PassSettings, Stage, StudentRequest, StudentResult, TeacherCacheId, TeacherPrompts,
    TeacherRequest, TeacherResult, WorkerCommand, WorkerError,
    protocol::{
        self, MAX_REQUEST_BYTES, Message, ModelEntry, PROTOCOL_VERSION, PassEntry, PromptsEntry, RecordedEntry,
        RequestLine, SettingsEntry, TextEntry,
    },
    request::path_text,
    session::Session,
};
use crate::{
    ModelIdentity, Prompt, ScoredPrompt, TeacherIdentity, TokenSequence, Work,
    cache::document::{Rules, is_digest},
    record::RunEnvironment,
};

/// How long is waited for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLimits {
    /// From the start of the process to its first line.
    pub start: Duration,
    /// Without a line of any kind: the host or the connection is gone.
    pub silence: Duration,
    /// Without a sign of life of the process that runs the model, though its host is there.
    pub heartbeat: Duration,
    /// Without progress of the work, though there are signs of life.
    pub progress: Duration,
    /// For bringing the model to the worker.
    pub download: Duration,
    /// For all that follows the download.
    pub pass: Duration,
}

impl Default for WorkerLimits {
    /// A minute to start, a minute of silence, two minutes without sign of life, ten without progress, two hours for
    /// a download and as much for the pass.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(60),
            silence: Duration::from_secs(60),
            heartbeat: Duration::from_secs(120),
            progress: Duration::from_secs(600),
            download: Duration::from_secs(2 * 3600),
            pass: Duration::from_secs(2 * 3600),
        }
    }
}

/// What can be heard of a pass while it runs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// The worker has begun, with this.
    Started(RunEnvironment),
    /// It goes on.
    Progress {
        /// What it is doing.
        stage: Stage,
        /// How much of that is done.
        done: Work,
        /// How much there is, as far as it is known; 0 where it is not.
        total: Work,
    },
    /// A line of its standard error, shortened and printable; it may name paths of its host.
    Log(String),
}

/// Runs passes, each in a process of its own.
#[derive(Debug, Clone)]
pub struct Worker {
    command: WorkerCommand,
    limits: WorkerLimits,
    cancelled: Arc<AtomicBool>,
}

impl Worker {
    /// A worker that is started by a command. Nothing is started yet.
    pub fn new(command: WorkerCommand, limits: WorkerLimits) -> Self {
        Self { command, limits, cancelled: Arc::default() }
    }

    /// With a flag that ends a running pass, and refuses every further one, once it is true.
    #[must_use]
    pub fn cancelled_by(self, cancelled: Arc<AtomicBool>) -> Self {
        Self { cancelled, ..self }
    }

    /// Has the teacher continue prompts, or run over recorded tokens; the worker keeps its states for the students.
    ///
    /// # Errors
    ///
    /// Any [`WorkerError`]; [`Blame::Model`](super::Blame::Model) means the teacher here.
    pub fn teacher_pass(
        &self,
        request: &TeacherRequest,
        on_event: &mut dyn FnMut(WorkerEvent),
    ) -> Result<TeacherResult, WorkerError> {
        let line = self.request_line(&request.model, &request.settings, teacher_entry(request)?)?;
        let mut session = self.begin(line, on_event)?;
        let mut environment = None;
        let mut teacher: Option<TeacherIdentity> = None;
        let mut prompts: Vec<ScoredPrompt> = Vec::new();
        let wanted = match &request.prompts {
            TeacherPrompts::Continue(texts) => texts.len(),
            TeacherPrompts::Recorded(recorded) => recorded.len(),
        };
        loop {
            match session.next(on_event)? {
                Message::Environment { device, dtype, threads, kl_kernel, versions } if environment.is_none() => {
                    environment = Some(
                        protocol::environment(device, dtype, threads, kl_kernel, versions)
                            .map_err(|problem| session.garbage(problem))?,
                    );
                }
                Message::Teacher(entry) if environment.is_some() && teacher.is_none() => {
                    let found =
                        identity_of_teacher(entry, &request.model).map_err(|problem| session.garbage(problem))?;
                    teacher = Some(found);
                }
                Message::Prompt { index, prompt, continuation } => {
                    let Some(teacher) = teacher.as_ref().filter(|_| index == prompts.len() && index < wanted) else {
                        return Err(session.garbage(format!("prompt {index} out of turn")));
                    };
                    let prompt = scored_prompt(request, teacher, index, &prompt, &continuation)
                        .map_err(|problem| session.garbage(problem))?;
                    prompts.push(prompt);
                }
                Message::Done { cache_digest: Some(digest), seconds, peak_rss_bytes }
                    if prompts.len() == wanted && is_digest(&digest) =>
                {
                    protocol::check_seconds(&seconds).map_err(|problem| session.garbage(problem))?;
                    let (Some(environment), Some(teacher)) = (environment, teacher) else {
                        return Err(session.garbage("it was done before it began".to_owned()));
                    };
                    let cache = TeacherCacheId { key: request.cache_key.clone(), digest };
                    session.finish();
                    return Ok(TeacherResult { teacher, prompts, cache, environment, seconds, peak_rss_bytes });
                }
                other => return Err(session.out_of_turn(&other)),
            }
        }
    }

    /// Scores a student against what the worker keeps of the teacher.
    ///
    /// `on_prompt` sees each prompt's place and its KL in nats at each position, in order, and can stop the pass: the
    /// result then ends with that prompt, whatever else the worker has computed. So what a rule makes of the prompts
    /// depends on nothing but their values.
    ///
    /// # Errors
    ///
    /// Any [`WorkerError`]. After [`WorkerError::TeacherCacheMissing`] the teacher pass has to be run over the recorded
    /// tokens ([`TeacherRequest::over`]), and the student's request made anew from its result.
    pub fn score_student(
        &self,
        request: &StudentRequest,
        on_prompt: &mut dyn FnMut(usize, &[f64]) -> ControlFlow<()>,
        on_event: &mut dyn FnMut(WorkerEvent),
    ) -> Result<StudentResult, WorkerError> {
        if request.positions.is_empty() || request.positions.contains(&0) {
            return Err(InvalidRequest::new("positions", "there are none, or a prompt has none").into());
        }
        let TeacherCacheId { key, digest } = &request.teacher_cache;
        let entry = PassEntry::Student { cache_key: key.to_string(), cache_digest: digest.clone() };
        let line = self.request_line(&request.model, &request.settings, entry)?;
        let mut session = self.begin(line, on_event)?;
        let mut found_environment = None;
        let mut found_identity: Option<ModelIdentity> = None;
        let mut positions_kl_nats: Vec<Vec<f64>> = Vec::new();
        loop {
            match session.next(on_event)? {
                Message::Environment { device, dtype, threads, kl_kernel, versions } if found_environment.is_none() => {
                    found_environment = Some(
                        protocol::environment(device, dtype, threads, kl_kernel, versions)
                            .map_err(|problem| session.garbage(problem))?,
                    );
                }
                Message::Student { architecture, files } if found_environment.is_some() && found_identity.is_none() => {
                    found_identity =
                        Some(protocol::identity(architecture, files).map_err(|problem| session.garbage(problem))?);
                }
                Message::Kl { prompt, nats } => {
                    let (Some(identity), Some(environment)) = (&found_identity, &found_environment) else {
                        return Err(session.garbage("a prompt before the student was named".to_owned()));
                    };
                    let Some(positions) = request.positions.get(prompt).filter(|_| prompt == positions_kl_nats.len())
                    else {
                        return Err(session.garbage(format!("prompt {prompt} out of turn")));
                    };
                    protocol::check_kl(&nats, *positions).map_err(|problem| session.garbage(problem))?;
                    let flow = on_prompt(prompt, &nats);
                    positions_kl_nats.push(nats);
                    if flow.is_break() {
                        return Ok(StudentResult {
                            identity: identity.clone(),
                            positions_kl_nats,
                            stopped: true,
                            environment: environment.clone(),
                            seconds: session.seconds(),
                            peak_rss_bytes: None,
                        });
                    }
                }
                Message::Done { cache_digest: None, seconds, peak_rss_bytes }
                    if positions_kl_nats.len() == request.positions.len() =>
                {
                    protocol::check_seconds(&seconds).map_err(|problem| session.garbage(problem))?;
                    let (Some(environment), Some(identity)) = (found_environment, found_identity) else {
                        return Err(session.garbage("it was done before it began".to_owned()));
                    };
                    session.finish();
                    return Ok(StudentResult {
                        identity,
                        positions_kl_nats,
                        stopped: false,
                        environment,
                        seconds,
                        peak_rss_bytes,
                    });
                }
                other => return Err(session.out_of_turn(&other)),
            }
        }
    }

    fn begin(&self, line: Vec<u8>, on_event: &mut dyn FnMut(WorkerEvent)) -> Result<Session<'_>, WorkerError> {
        Session::begin(&self.command, &self.limits, &self.cancelled, line, on_event)
    }

    fn request_line(
        &self,
        model: &ModelLocation,
        settings: &PassSettings,
        pass: PassEntry,
    ) -> Result<Vec<u8>, InvalidRequest> {
        if !matches!(settings.dtype, DType::F32 | DType::BF16 | DType::F16) {
            return Err(InvalidRequest::new("dtype", "f32, bf16 and f16 are possible"));
        }
        // Four signs of life within the shortest time that is waited for one.
        let heartbeat = self.limits.heartbeat.min(self.limits.silence) / 4;
        let heartbeat_ms = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX).clamp(10, 5000);
        let request = RequestLine {
            distil_worker: PROTOCOL_VERSION,
            heartbeat_ms,
            settings: SettingsEntry {
                device: settings.device.to_string(),
                dtype: settings.dtype.as_str().to_owned(),
                threads: settings.threads.get(),
                batch_tokens: settings.batch_tokens,
                cache_budget_bytes: settings.cache_budget_bytes,
            },
            model: match model {
                ModelLocation::Folder { name, path } => {
                    ModelEntry::Folder { name: name.clone(), path: path_text(path)?.to_owned() }
                }
                ModelLocation::Hub { repo, revision } => {
                    ModelEntry::Hub { repo: repo.to_string(), revision: revision.to_string() }
                }
            },
            pass,
        };
        let mut line = Vec::new();
        protocol::write_line(&mut line, &request).map_err(|error| InvalidRequest::new("request", error.to_string()))?;
        if line.len() >= MAX_REQUEST_BYTES {
            let reason = format!("it has {} bytes, {MAX_REQUEST_BYTES} are the most: give fewer prompts", line.len());
            return Err(InvalidRequest::new("request", reason));
        }
        Ok(line)
    }
}

fn teacher_entry(request: &TeacherRequest) -> Result<PassEntry, InvalidRequest> {
    let prompts = match &request.prompts {
        TeacherPrompts::Continue(prompts) => PromptsEntry::Continue(
            prompts.iter().map(|Prompt { id, text }| TextEntry { id: id.clone(), text: text.clone() }).collect(),
        ),
        TeacherPrompts::Recorded(prompts) => PromptsEntry::Recorded(
            prompts
                .iter()
                .map(|prompt| RecordedEntry {
                    id: prompt.id.clone(),
                    text: prompt.text.clone(),
                    prompt: prompt.sequence.prompt().to_vec(),
                    continuation: prompt.sequence.continuation().to_vec(),
                })
                .collect(),
        ),
    };
    let none = match &prompts {
        PromptsEntry::Continue(prompts) => prompts.is_empty(),
        PromptsEntry::Recorded(prompts) => prompts.is_empty(),
    };
    if none {
        return Err(InvalidRequest::new("prompts", "there are none"));
    }
    let generation = Rules::from(&request.generation);
    Ok(PassEntry::Teacher { cache_key: request.cache_key.to_string(), generation, prompts })
}

fn identity_of_teacher(
    entry: crate::cache::document::Teacher,
    asked: &ModelLocation,
) -> Result<TeacherIdentity, String> {
    let teacher = entry.check()?;
    let revision = asked.revision().map(ToString::to_string);
    if teacher.name != asked.name() || teacher.revision != revision {
        return Err("it speaks of another teacher".to_owned());
    }
    let files = protocol::file_entries(&teacher.model);
    let model = protocol::identity(teacher.model.architecture, files)?;
    Ok(TeacherIdentity { model, ..teacher })
}

/// Holds a prompt's tokens against what was asked for.
fn scored_prompt(
    request: &TeacherRequest,
    teacher: &TeacherIdentity,
    index: usize,
    prompt: &[u32],
    continuation: &[u32],
) -> Result<ScoredPrompt, String> {
    let rules = &request.generation;
    if !(1..=rules.max_prompt_tokens).contains(&prompt.len())
        || !(1..=rules.max_new_tokens).contains(&continuation.len())
    {
        return Err(format!("prompt {index} has {} and {} tokens", prompt.len(), continuation.len()));
    }
    if prompt.iter().chain(continuation).any(|token| *token as usize >= teacher.vocab_size) {
        return Err(format!("prompt {index} has a token outside the vocabulary of {}", teacher.vocab_size));
    }
    let sequence = TokenSequence::new(index, prompt, continuation).map_err(|error| error.to_string())?;
    let (id, text) = match &request.prompts {
        TeacherPrompts::Continue(prompts) => (&prompts[index].id, &prompts[index].text),
        TeacherPrompts::Recorded(prompts) => {
            if prompts[index].sequence != sequence {
                return Err(format!("the tokens of prompt {index} are not those recorded"));
            }
            (&prompts[index].id, &prompts[index].text)
        }
    };
    Ok(ScoredPrompt { id: id.clone(), text: text.clone(), sequence })
}
