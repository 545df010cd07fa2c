//! The inner process: runs one pass.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use distil_model::{DType, Device};
use distil_types::SubnetProfile;

use super::{
    failure::Failure,
    keep::Keep,
    models::{TOKENIZER, bring},
    tell::{Output, Teller, end_at_once},
};
use crate::{
    Event, GenerationRules, Phase, Prompt, ScoreSettings, ScoredPrompt, TokenSequence,
    cache::document::Teacher,
    driver::{StudentPass, student_pass, teacher_pass, teacher_pass_over},
    memory::peak_rss_bytes,
    progress::Progress,
    record::RunEnvironment,
    student::Next,
    worker::{
        CacheKey, ComputeDevice, Stage, TeacherCacheId,
        protocol::{
            Line, MAX_REQUEST_BYTES, Message, ModelEntry, PassEntry, PromptsEntry, RequestLine, SettingsEntry, Source,
            file_entries, parse, read_line,
        },
    },
};

const MAX_THREADS: usize = 4096;

pub(super) fn run(output: File) {
    let output = Output::new(output);
    let mut stdin = BufReader::new(io::stdin());
    let Ok(Line::Whole(line)) = read_line(&mut stdin, MAX_REQUEST_BYTES) else { end_at_once() };
    thread::spawn(move || {
        // Who asked is gone when standard input is, and then nobody wants the answer.
        while matches!(stdin.read(&mut [0; 64]), Ok(1..)) {}
        end_at_once();
    });
    let request = match parse::<RequestLine>(&line) {
        Ok(request) => request,
        Err(problem) => {
            output.say(&Failure::request(problem).message());
            return;
        }
    };
    output.give_signs_of_life(Source::Pass, Duration::from_millis(request.heartbeat_ms.clamp(10, 60_000)));
    let teller = Teller::new(output.clone());
    match serve(request, teller) {
        Ok(last) => output.say(&last),
        Err(failure) => output.say(&failure.message()),
    }
}

fn serve(request: RequestLine, teller: Teller) -> Result<Message, Failure> {
    let mut settings = settings(&request.settings)?;
    let environment = RunEnvironment::of(&settings, "distil-worker", env!("CARGO_PKG_VERSION"));
    let RunEnvironment { device, dtype, threads, kl_kernel, versions } = environment;
    teller.say(&Message::Environment { device, dtype, threads, kl_kernel, versions });
    let keep = Keep::open()?;
    match request.pass {
        PassEntry::Teacher { cache_key, generation, prompts } => {
            let key: CacheKey = cache_key.parse()?;
            let generation = generation.check().map_err(Failure::request)?;
            teacher(&request.model, &key, &generation, prompts, &mut settings, &keep, teller)
        }
        PassEntry::Student { cache_key, cache_digest } => {
            let id = TeacherCacheId { key: cache_key.parse()?, digest: cache_digest };
            student(&request.model, &id, &settings, &keep, teller)
        }
    }
}

fn settings(entry: &SettingsEntry) -> Result<ScoreSettings, Failure> {
    let device = match entry.device.parse()? {
        ComputeDevice::Cpu => Device::Cpu,
        ComputeDevice::Cuda(number) => Device::new_cuda(number)
            .map_err(|error| Failure::host(format!("it can't compute on {}: {error}", entry.device)))?,
    };
    let dtype = match entry.dtype.as_str() {
        "f32" => DType::F32,
        "bf16" => DType::BF16,
        "f16" => DType::F16,
        _ => return Err(Failure::request("the dtype is none of f32, bf16 and f16")),
    };
    let threads = NonZeroUsize::new(entry.threads)
        .filter(|threads| threads.get() <= MAX_THREADS)
        .ok_or_else(|| Failure::request(format!("threads are 1 to {MAX_THREADS}")))?;
    if entry.batch_tokens == 0 {
        return Err(Failure::request("batch_tokens is 0; it has to be at least 1"));
    }
    Ok(ScoreSettings {
        device,
        dtype,
        threads,
        batch_tokens: entry.batch_tokens,
        cache_budget_bytes: entry.cache_budget_bytes,
        digest_weights: true,
        profile: SubnetProfile::sn97(),
        ..ScoreSettings::cpu(threads)
    })
}

fn teacher(
    model: &ModelEntry,
    key: &CacheKey,
    generation: &GenerationRules,
    prompts: PromptsEntry,
    settings: &mut ScoreSettings,
    keep: &Keep,
    mut teller: Teller,
) -> Result<Message, Failure> {
    settings.max_prompt_tokens = generation.max_prompt_tokens;
    settings.max_new_tokens = generation.max_new_tokens;
    settings.sampling = generation.sampling.clone();
    let source = bring(model, TOKENIZER, &mut teller)?;
    let began = Instant::now();
    let clock = || began.elapsed();
    let mut events = |event| tell(&mut teller, &event);
    let pass = match prompts {
        PromptsEntry::Continue(texts) => {
            let prompts: Vec<Prompt> =
                texts.into_iter().map(|prompt| Prompt { id: prompt.id, text: prompt.text }).collect();
            teacher_pass(&source, &prompts, settings, &clock, &mut events)
        }
        PromptsEntry::Recorded(entries) => {
            let mut prompts = Vec::with_capacity(entries.len());
            for (index, entry) in entries.into_iter().enumerate() {
                let sequence = TokenSequence::new(index, &entry.prompt, &entry.continuation)
                    .map_err(|error| Failure::request(error.to_string()))?;
                prompts.push(ScoredPrompt { id: entry.id, text: entry.text, sequence });
            }
            teacher_pass_over(&source, &prompts, settings, &clock, &mut events)
        }
    }
    .map_err(|error| Failure::of_pass(&error, &source))?;
    teller.enter(Stage::KeepStates);
    let digest = keep.save(key, &pass, &source.folder).map_err(|error| Failure::host(error.to_string()))?;
    teller.say(&Message::Teacher(Teacher::from(pass.cache().teacher())));
    for (index, prompt) in pass.cache().prompts().iter().enumerate() {
        let sequence = &prompt.sequence;
        teller.say(&Message::Prompt {
            index,
            prompt: sequence.prompt().to_vec(),
            continuation: sequence.continuation().to_vec(),
        });
    }
    Ok(Message::Done { cache_digest: Some(digest), seconds: teller.into_seconds(), peak_rss_bytes: peak_rss_bytes() })
}

fn student(
    model: &ModelEntry,
    id: &TeacherCacheId,
    settings: &ScoreSettings,
    keep: &Keep,
    mut teller: Teller,
) -> Result<Message, Failure> {
    let source = bring(model, &[], &mut teller)?;
    teller.enter(Stage::TeacherStates);
    let teacher = keep.load(id, &settings.device)?;
    teller.enter(Stage::Digest);
    let began = Instant::now();
    let clock = || began.elapsed();
    // Both the events and the results are told, in turn.
    let teller = std::cell::RefCell::new(teller);
    let mut events = |event| tell(&mut teller.borrow_mut(), &event);
    let mut progress = Progress::new(&clock, &mut events);
    let pass = StudentPass { teacher: &teacher, student: 0, source: &source, name: &source.name, settings };
    student_pass(
        &pass,
        &mut progress,
        &mut |identity| {
            let files = file_entries(&identity);
            teller.borrow().say(&Message::Student { architecture: identity.architecture, files });
        },
        |done| {
            if let Some(nats) = done.last() {
                teller.borrow().say(&Message::Kl { prompt: done.len() - 1, nats: nats.clone() });
            }
            Ok(Next::Continue)
        },
    )
    .map_err(|error| Failure::of_pass(&error, &source))?;
    drop(progress);
    let seconds = teller.into_inner().into_seconds();
    Ok(Message::Done { cache_digest: None, seconds, peak_rss_bytes: peak_rss_bytes() })
}

fn tell(teller: &mut Teller, event: &Event) {
    let (phase, done, total) = match event {
        Event::PhaseStarted { phase, total } => (phase, crate::Work::default(), *total),
        Event::PhaseProgress { phase, done, total, .. } => (phase, *done, *total),
        Event::PhaseFinished { .. } | Event::StudentFinished { .. } => return,
    };
    let stage = match phase {
        Phase::Tokenize => Stage::Tokenize,
        Phase::TeacherDigest | Phase::StudentDigest { .. } => Stage::Digest,
        Phase::TeacherLoad | Phase::StudentLoad { .. } => Stage::Load,
        Phase::TeacherGenerate => Stage::Generate,
        Phase::TeacherForward => Stage::Forward,
        Phase::StudentScore { .. } => Stage::Score,
    };
    teller.progress(stage, done, total);
}
