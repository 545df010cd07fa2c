//! A run: the teacher pass, then one pass a student.

mod one_student;

use std::{collections::BTreeMap, time::Duration};

use candle_core::Tensor;
use distil_model::{CausalLm, LoadOptions, ModelError, OutputHead, Tokenizer, weights_digest};

use self::one_student::{Finished, one_student};
pub(crate) use self::one_student::{StudentPass, student_pass, without_host_path};
use crate::{
    EvalError, Event, ModelIdentity, ModelSource, PROTOCOL, Phase, Prompt, PromptReport, ScoreOutcome, ScoreReport,
    ScoreRequest, ScoreSettings, ScoredPrompt, TeacherIdentity, TeacherReport, TokenSequence, Work,
    cache::{CachedPrompt, GenerationRules, TeacherCache},
    memory::peak_rss_bytes,
    progress::{PhaseProgress, Progress},
    teacher,
};

/// What stands for the teacher while students are scored: its cache and its output head.
#[derive(Debug, Clone)]
pub struct TeacherPass {
    cache: TeacherCache,
    head: OutputHead,
    seconds: BTreeMap<String, f64>,
}

impl TeacherPass {
    /// Puts a cache from a file together with the teacher's output head.
    ///
    /// # Errors
    /// [`EvalError::WrongHead`] if the cache was made with another head.
    pub fn from_cache(cache: TeacherCache, head: OutputHead) -> Result<Self, EvalError> {
        cache.check_head(&head)?;
        Ok(Self { cache, head, seconds: BTreeMap::new() })
    }

    /// The cache, to be saved or looked at.
    pub fn cache(&self) -> &TeacherCache {
        &self.cache
    }

    /// The teacher's output head.
    pub(crate) fn head(&self) -> &OutputHead {
        &self.head
    }
}

/// Scores the students of a request against its teacher.
///
/// The teacher is loaded, continues the prompts, runs over prompts and continuations once, and is dropped but for its
/// output head; then each student is loaded, scored and dropped in turn. `clock` gives the time since any fixed moment
/// and is used for nothing but durations. A student that can't be scored has status `failed` in the report, and the
/// others go on.
///
/// # Errors
/// Any of [`EvalError`] that concerns the request or the teacher.
pub fn score(
    request: &ScoreRequest,
    clock: &dyn Fn() -> Duration,
    events: &mut dyn FnMut(Event),
) -> Result<ScoreOutcome, EvalError> {
    if request.students.is_empty() {
        return Err(EvalError::NoStudents);
    }
    let teacher = teacher_pass(&request.teacher, &request.prompts, &request.settings, clock, events)?;
    score_students(&teacher, &request.students, &request.settings, clock, events)
}

/// The first half of [`score`]: everything that needs the whole teacher.
///
/// # Errors
/// As for [`score`].
pub fn teacher_pass(
    source: &ModelSource,
    prompts: &[Prompt],
    settings: &ScoreSettings,
    clock: &dyn Fn() -> Duration,
    events: &mut dyn FnMut(Event),
) -> Result<TeacherPass, EvalError> {
    check_settings(settings)?;
    teacher::check_prompts(prompts)?;
    run_teacher(source, Input::Texts(prompts), settings, clock, events)
}

/// The first half of [`score`] over the tokens of an earlier pass, as they stand in a record: nothing is tokenized and
/// nothing is generated, for the recorded tokens are the truth.
///
/// # Errors
/// As for [`score`], and [`EvalError::Setting`] if a prompt or a continuation is longer than the settings allow.
pub fn teacher_pass_over(
    source: &ModelSource,
    prompts: &[ScoredPrompt],
    settings: &ScoreSettings,
    clock: &dyn Fn() -> Duration,
    events: &mut dyn FnMut(Event),
) -> Result<TeacherPass, EvalError> {
    check_settings(settings)?;
    if prompts.is_empty() {
        return Err(EvalError::NoPrompts);
    }
    let longest = |length: fn(&TokenSequence) -> usize| {
        prompts.iter().map(|prompt| length(&prompt.sequence)).max().unwrap_or_default()
    };
    for (setting, value, needed) in [
        ("max_prompt_tokens", settings.max_prompt_tokens, longest(|sequence| sequence.prompt().len())),
        ("max_new_tokens", settings.max_new_tokens, longest(|sequence| sequence.continuation().len())),
    ] {
        if needed > value {
            let requirement = "the recorded tokens are more than that";
            return Err(EvalError::Setting { setting, value: value.to_string(), requirement });
        }
    }
    run_teacher(source, Input::Recorded(prompts), settings, clock, events)
}

/// What a teacher runs over.
enum Input<'a> {
    Texts(&'a [Prompt]),
    Recorded(&'a [ScoredPrompt]),
}

/// What the tokenizer made of it.
enum Tokens {
    Prompts(Vec<Vec<u32>>),
    Whole(Vec<TokenSequence>),
}

fn run_teacher(
    source: &ModelSource,
    input: Input<'_>,
    settings: &ScoreSettings,
    clock: &dyn Fn() -> Duration,
    events: &mut dyn FnMut(Event),
) -> Result<TeacherPass, EvalError> {
    let of_teacher = |error: EvalError| match error {
        EvalError::Model(source_error) => {
            EvalError::Teacher { model: source.name.clone(), source: Box::new(source_error) }
        }
        other => other,
    };
    let count = match &input {
        Input::Texts(prompts) => prompts.len(),
        Input::Recorded(prompts) => prompts.len(),
    };
    let mut progress = Progress::new(clock, events);
    let all = |tokens: usize| Work { tokens: tokens as u64, prompts: count as u64, bytes: 0 };

    // The tokenizer of a large vocabulary takes more memory than a small model: it is gone before the teacher comes.
    let (tokens, tokenizer_digest) = progress
        .phase(Phase::Tokenize, "tokenize".to_owned(), all(0), |phase| {
            let tokenizer = Tokenizer::load(&source.folder)?;
            let tokens = match &input {
                Input::Texts(prompts) => {
                    Tokens::Prompts(teacher::encode(&tokenizer, prompts, settings.max_prompt_tokens, phase)?)
                }
                Input::Recorded(prompts) => {
                    Tokens::Whole(prompts.iter().map(|prompt| prompt.sequence.clone()).collect())
                }
            };
            Ok((tokens, tokenizer.digest().to_owned()))
        })
        .map_err(of_teacher)?;
    let files = if settings.digest_weights {
        progress
            .phase(Phase::TeacherDigest, "teacher_digest".to_owned(), Work::default(), |phase| {
                weights_digest(&source.folder, &mut |bytes| phase.read(bytes))
            })
            .map_err(|error| of_teacher(error.into()))?
    } else {
        Vec::new()
    };
    let (model, head_digest) = progress
        .phase(Phase::TeacherLoad, "teacher_load".to_owned(), Work::default(), |phase| {
            let model = load(source, settings, phase)?;
            let head_digest = model.head().digest()?;
            Ok((model, head_digest))
        })
        .map_err(|error: ModelError| of_teacher(error.into()))?;
    let sequences = match tokens {
        Tokens::Prompts(tokens) => {
            let most_new = settings.max_new_tokens.saturating_mul(count);
            progress
                .phase(Phase::TeacherGenerate, "teacher_generate".to_owned(), all(most_new), |phase| {
                    teacher::continue_prompts(&model, &tokens, settings, phase)
                })
                .map_err(of_teacher)?
        }
        Tokens::Whole(sequences) => {
            let vocab_size = model.head().vocab_size();
            for (index, sequence) in sequences.iter().enumerate() {
                if let Some(token) = sequence.tokens().iter().find(|token| **token as usize >= vocab_size) {
                    return Err(EvalError::TokenOutsideVocabulary { index, token: *token, vocab_size });
                }
            }
            sequences
        }
    };
    let borrowed: Vec<_> = sequences.iter().collect();
    let input_tokens = sequences.iter().map(|sequence| sequence.model_input().len()).sum();
    let hidden = progress
        .phase(Phase::TeacherForward, "teacher_forward".to_owned(), all(input_tokens), |phase| {
            teacher::hidden_states(&model, &borrowed, settings.batch_tokens, phase)
        })
        .map_err(of_teacher)?;

    let architecture = model.config().architecture.to_string();
    let head = model.into_head();
    let named: Vec<(&String, &String)> = match &input {
        Input::Texts(prompts) => prompts.iter().map(|prompt| (&prompt.id, &prompt.text)).collect(),
        Input::Recorded(prompts) => prompts.iter().map(|prompt| (&prompt.id, &prompt.text)).collect(),
    };
    let cached = |(((id, text), sequence), hidden): (((&String, &String), TokenSequence), Tensor)| CachedPrompt {
        id: id.clone(),
        text: text.clone(),
        sequence,
        hidden,
    };
    let cache = TeacherCache {
        teacher: TeacherIdentity {
            name: source.name.clone(),
            revision: source.revision.clone(),
            model: ModelIdentity { architecture, files },
            head_digest,
            tokenizer_digest,
            vocab_size: head.vocab_size(),
        },
        generation: GenerationRules {
            max_prompt_tokens: settings.max_prompt_tokens,
            max_new_tokens: settings.max_new_tokens,
            sampling: settings.sampling.clone(),
        },
        dtype: hidden.first().map_or(settings.dtype, Tensor::dtype),
        hidden_size: head.hidden_size(),
        prompts: named.into_iter().zip(sequences).zip(hidden).map(cached).collect(),
    };
    Ok(TeacherPass { cache, head, seconds: progress.into_seconds() })
}

/// The second half of [`score`]: scores students with what is left of the teacher.
///
/// # Errors
/// [`EvalError::NoStudents`], or [`EvalError::Setting`]; what a student does wrong is in the report.
pub fn score_students(
    teacher: &TeacherPass,
    students: &[ModelSource],
    settings: &ScoreSettings,
    clock: &dyn Fn() -> Duration,
    events: &mut dyn FnMut(Event),
) -> Result<ScoreOutcome, EvalError> {
    check_settings(settings)?;
    if students.is_empty() {
        return Err(EvalError::NoStudents);
    }
    let mut progress = Progress::new(clock, events);
    let mut done: Vec<Finished> = Vec::with_capacity(students.len());
    for (student, (source, name)) in students.iter().zip(unique_names(students)).enumerate() {
        let finished = one_student(teacher, student, source, name, settings, &done, &mut progress);
        progress.tell(Event::StudentFinished { student, report: finished.report.clone() });
        done.push(finished);
    }

    let mut seconds = teacher.seconds.clone();
    seconds.extend(progress.into_seconds());
    let cache = &teacher.cache;
    let report = ScoreReport {
        protocol: PROTOCOL.to_owned(),
        teacher: TeacherReport { model: cache.teacher.name.clone(), revision: cache.teacher.revision.clone() },
        prompts: cache
            .prompts
            .iter()
            .map(|prompt| PromptReport {
                prompt_tokens: prompt.sequence.prompt().len(),
                continuation_tokens: prompt.sequence.continuation().len(),
                digest: prompt.sequence.digest(),
            })
            .collect(),
        students: done.iter().map(|finished| finished.report.clone()).collect(),
        seconds,
        peak_rss_bytes: peak_rss_bytes(),
    };
    Ok(ScoreOutcome {
        report,
        teacher: cache.teacher.clone(),
        prompts: cache
            .prompts
            .iter()
            .map(|prompt| ScoredPrompt {
                id: prompt.id.clone(),
                text: prompt.text.clone(),
                sequence: prompt.sequence.clone(),
            })
            .collect(),
        students: done.into_iter().map(|finished| finished.outcome).collect(),
    })
}

fn load(source: &ModelSource, settings: &ScoreSettings, phase: &mut PhaseProgress<'_>) -> Result<CausalLm, ModelError> {
    let options = LoadOptions { device: settings.device.clone(), dtype: settings.dtype };
    CausalLm::load_with_progress(&source.folder, &options, &mut |bytes| phase.read(bytes))
}

fn check_settings(settings: &ScoreSettings) -> Result<(), EvalError> {
    let at_least_one = "it must be at least 1";
    for (setting, value) in [
        ("max_prompt_tokens", settings.max_prompt_tokens),
        ("max_new_tokens", settings.max_new_tokens),
        ("batch_tokens", settings.batch_tokens),
    ] {
        if value == 0 {
            return Err(EvalError::Setting { setting, value: value.to_string(), requirement: at_least_one });
        }
    }
    Ok(())
}

/// Names that tell students apart: one given twice has `#2` at its second place.
fn unique_names(students: &[ModelSource]) -> Vec<String> {
    let mut taken: Vec<String> = Vec::with_capacity(students.len());
    for source in students {
        let mut name = source.name.clone();
        let mut count = 1_usize;
        while taken.contains(&name) {
            count += 1;
            name = format!("{}#{count}", source.name);
        }
        taken.push(name);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, folder: &str) -> ModelSource {
        ModelSource { name: name.to_owned(), revision: None, folder: folder.into() }
    }

    #[test]
    fn names_are_made_unique() {
        let students = [source("a", "x"), source("a#2", "y"), source("a", "x"), source("a", "z")];
        assert_eq!(unique_names(&students), ["a", "a#2", "a#3", "a#4"]);
    }
}
