//! One pass as its client sees it: the conversation, and the clocks that run beside it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::{
    Ending, HungBy, Stage, WorkerCommand, WorkerError, WorkerEvent, WorkerLimits,
    process::{Incoming, Process},
    protocol::{self, Death, FailureKind, Hello, Message, PROTOCOL_VERSION, Source, excerpt},
};
use crate::Work;

/// How long a wait lasts at most before the flag that calls a pass off is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a worker that is through may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Session<'a> {
    process: Process,
    limits: &'a WorkerLimits,
    cancelled: &'a AtomicBool,
    began: Instant,
    stage: Option<Stage>,
    stage_began: Instant,
    stage_done: Work,
    /// When the download was over, or the pass began without one.
    work_began: Option<Instant>,
    last_line: Instant,
    last_of_pass: Instant,
    last_progress: Instant,
    seconds: BTreeMap<String, f64>,
}

impl<'a> Session<'a> {
    /// Starts a worker, waits for it to say what it is, and hands it the request.
    pub(super) fn begin(
        command: &WorkerCommand,
        limits: &'a WorkerLimits,
        cancelled: &'a AtomicBool,
        request: Vec<u8>,
        on_event: &mut dyn FnMut(WorkerEvent),
    ) -> Result<Self, WorkerError> {
        if cancelled.load(Ordering::Relaxed) {
            return Err(WorkerError::Cancelled);
        }
        let cannot_start = |reason: String| WorkerError::CannotStart { reason };
        let mut process = Process::start(command)
            .map_err(|error| cannot_start(excerpt(&format!("{}: {error}", command.describe()))))?;
        let began = Instant::now();
        let hello = loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(WorkerError::Cancelled);
            }
            let left = limits.start.saturating_sub(began.elapsed());
            if left.is_zero() {
                let reason =
                    format!("it said nothing within {:.1} s{}", limits.start.as_secs_f64(), said(&mut process));
                return Err(cannot_start(reason));
            }
            match process.receive(left.min(TICK)) {
                Some(Incoming::Line(line)) => break line,
                Some(Incoming::Log(line)) => on_event(WorkerEvent::Log(line)),
                Some(Incoming::TooLong) => {
                    return Err(cannot_start("its first line has no end, so it is no worker".to_owned()));
                }
                Some(Incoming::End) => {
                    let ending = process.end(GRACE);
                    return Err(match ending {
                        Some(Ending::Code(255)) => cannot_start(format!(
                            "status 255, as ssh ends when it cannot connect{}",
                            said(&mut process)
                        )),
                        Some(ending) => cannot_start(format!("it ended with {ending}{}", said(&mut process))),
                        None => cannot_start(format!("it ended{}", said(&mut process))),
                    });
                }
                None => {}
            }
        };
        match version_of(&hello) {
            Some(PROTOCOL_VERSION) if protocol::parse::<Hello>(&hello).is_ok() => {}
            Some(found) if found != PROTOCOL_VERSION => {
                return Err(WorkerError::Version { found, expected: PROTOCOL_VERSION });
            }
            _ => {
                let line = excerpt(&String::from_utf8_lossy(&hello[..hello.len().min(200)]));
                let reason = format!("its first line is not a worker's (does its shell print one?): {line}");
                return Err(cannot_start(reason));
            }
        }
        process.send(request);
        let now = Instant::now();
        Ok(Self {
            process,
            limits,
            cancelled,
            began: now,
            stage: None,
            stage_began: now,
            stage_done: Work::default(),
            work_began: None,
            last_line: now,
            last_of_pass: now,
            last_progress: now,
            seconds: BTreeMap::new(),
        })
    }

    /// The next message that the pass itself has to deal with; events are told on the way.
    pub(super) fn next(&mut self, on_event: &mut dyn FnMut(WorkerEvent)) -> Result<Message, WorkerError> {
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(WorkerError::Cancelled);
            }
            let wait = self.time_left()?;
            let line = match self.process.receive(wait.min(TICK)) {
                Some(Incoming::Line(line)) => line,
                Some(Incoming::Log(line)) => {
                    on_event(WorkerEvent::Log(line));
                    continue;
                }
                Some(Incoming::TooLong) => {
                    let problem = format!("a line of more than {} bytes", protocol::MAX_MESSAGE_BYTES);
                    return Err(self.garbage(problem));
                }
                Some(Incoming::End) => return Err(self.ended()),
                None if self.process.has_ended() => {
                    // What it left in the pipe comes first; something else may hold the pipe open.
                    match self.process.receive(TICK) {
                        Some(Incoming::Line(line)) => line,
                        Some(Incoming::Log(line)) => {
                            on_event(WorkerEvent::Log(line));
                            continue;
                        }
                        _ => return Err(self.ended()),
                    }
                }
                None => continue,
            };
            self.last_line = Instant::now();
            let message = protocol::parse::<Message>(&line).map_err(|problem| self.garbage(problem))?;
            if let Some(message) = self.take(message, on_event)? {
                return Ok(message);
            }
        }
    }

    /// Keeps the clocks, tells events, and turns failures into errors.
    fn take(
        &mut self,
        message: Message,
        on_event: &mut dyn FnMut(WorkerEvent),
    ) -> Result<Option<Message>, WorkerError> {
        let now = Instant::now();
        match message {
            Message::Heartbeat { from: Source::Host } => return Ok(None),
            Message::Heartbeat { from: Source::Pass } => {
                self.last_of_pass = now;
                return Ok(None);
            }
            Message::Died(death) => return Err(self.died(death)),
            Message::Failed { kind, reason, retry_after_ms } => return Err(failed(kind, &reason, retry_after_ms)),
            _ => {}
        }
        self.last_of_pass = now;
        match &message {
            Message::Progress { stage, done, total } => {
                let (stage, done, total) = (*stage, *done, *total);
                if self.stage.is_some_and(|before| stage < before) {
                    return Err(self.garbage(format!("it went back to {}", stage.in_words())));
                }
                if self.stage != Some(stage) {
                    self.keep_seconds(now);
                    (self.stage, self.stage_began, self.stage_done) = (Some(stage), now, Work::default());
                    self.last_progress = now;
                    if stage != Stage::Download && self.work_began.is_none() {
                        self.work_began = Some(now);
                    }
                }
                let before = self.stage_done;
                if done.tokens > before.tokens || done.prompts > before.prompts || done.bytes > before.bytes {
                    self.last_progress = now;
                    self.stage_done = done;
                }
                on_event(WorkerEvent::Progress { stage, done, total });
                Ok(None)
            }
            Message::Environment { device, dtype, threads, kl_kernel, versions } => {
                self.last_progress = now;
                if let Ok(environment) =
                    protocol::environment(device.clone(), dtype.clone(), *threads, kl_kernel.clone(), versions.clone())
                {
                    on_event(WorkerEvent::Started(environment));
                }
                Ok(Some(message))
            }
            _ => {
                self.last_progress = now;
                Ok(Some(message))
            }
        }
    }

    /// How long may still be waited, by every limit.
    fn time_left(&self) -> Result<Duration, WorkerError> {
        let limits = self.limits;
        let hung = |what, limit| WorkerError::Hung { what, limit, stage: self.stage };
        let downloading = matches!(self.stage, None | Some(Stage::Download));
        let (total_since, total) = match self.work_began {
            Some(began) if !downloading => (began, limits.pass),
            _ => (self.began, limits.download),
        };
        // In the order of their meaning: who says nothing at all gives no sign of life either.
        let clocks = [
            (HungBy::Silence, self.last_line, limits.silence),
            (HungBy::NoHeartbeat, self.last_of_pass, limits.heartbeat),
            (HungBy::NoProgress, self.last_progress, limits.progress),
            (HungBy::TooLong, total_since, total),
        ];
        let mut least = Duration::MAX;
        for (what, since, limit) in clocks {
            match limit.checked_sub(since.elapsed()) {
                Some(left) if !left.is_zero() => least = least.min(left),
                _ => return Err(hung(what, limit)),
            }
        }
        Ok(least)
    }

    /// What its end means, when it came before the result.
    fn ended(&mut self) -> WorkerError {
        match self.process.end(GRACE) {
            Some(Ending::Code(255)) => WorkerError::Connection,
            Some(ending) => WorkerError::Crashed { ending, stage: self.stage },
            None => WorkerError::Host { reason: "its process can't be waited for".to_owned() },
        }
    }

    fn died(&self, death: Death) -> WorkerError {
        match death {
            Death::Signal(signal) => WorkerError::Crashed { ending: Ending::Signal(signal), stage: self.stage },
            Death::Code(code) => WorkerError::Crashed { ending: Ending::Code(code), stage: self.stage },
            Death::Flood => self.garbage("its process wrote a line without end".to_owned()),
        }
    }

    pub(super) fn garbage(&self, problem: String) -> WorkerError {
        WorkerError::Garbage { problem: excerpt(&problem), stage: self.stage }
    }

    pub(super) fn out_of_turn(&self, message: &Message) -> WorkerError {
        let name = match message {
            Message::Environment { .. } => "environment",
            Message::Teacher(_) => "teacher",
            Message::Prompt { .. } => "prompt",
            Message::Student { .. } => "student",
            Message::Kl { .. } => "kl",
            Message::Done { .. } => "done",
            Message::Heartbeat { .. } | Message::Progress { .. } | Message::Failed { .. } | Message::Died(_) => {
                "message"
            }
        };
        self.garbage(format!("`{name}` out of turn, or not as it has to be"))
    }

    fn keep_seconds(&mut self, now: Instant) {
        if let Some(stage) = self.stage
            && let Ok(serde_json::Value::String(name)) = serde_json::to_value(stage)
        {
            self.seconds.insert(name, now.duration_since(self.stage_began).as_secs_f64());
        }
    }

    /// Seconds by stage, as this side saw them.
    pub(super) fn seconds(&mut self) -> BTreeMap<String, f64> {
        self.keep_seconds(Instant::now());
        std::mem::take(&mut self.seconds)
    }

    /// Lets a worker that is through end by itself.
    pub(super) fn finish(mut self) {
        self.process.end(GRACE);
    }
}

/// The version in a first line, whatever else is in it.
fn version_of(hello: &[u8]) -> Option<u64> {
    protocol::parse::<serde_json::Value>(hello).ok()?.get("distil_worker")?.as_u64()
}

fn failed(kind: FailureKind, reason: &str, retry_after_ms: Option<u64>) -> WorkerError {
    let reason = excerpt(reason);
    match kind {
        FailureKind::Model => WorkerError::Model { reason },
        FailureKind::Absent => WorkerError::Absent { reason },
        FailureKind::Download => {
            // A day is the longest that anyone is waited for.
            let retry_after = retry_after_ms.map(|ms| Duration::from_millis(ms.min(86_400_000)));
            WorkerError::Download { reason, retry_after }
        }
        FailureKind::Host => WorkerError::Host { reason },
        FailureKind::TeacherCacheMissing => WorkerError::TeacherCacheMissing { reason },
        FailureKind::Request => {
            WorkerError::Request(super::InvalidRequest::new("the worker refused the request", reason))
        }
    }
}

/// What standard error said last, for a message about a worker that never began.
fn said(process: &mut Process) -> String {
    match process.last_log() {
        log if log.is_empty() => String::new(),
        log => format!("; it said: {log}"),
    }
}
