//! What a worker says, from whichever of its threads.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Work,
    worker::{
        Stage,
        protocol::{Message, Source, write_line},
    },
};

/// Progress within a stage is told this often at most.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Standard output, a whole line at a time.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<File>>);

impl Output {
    pub(super) fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something. Where nobody listens any more there is nothing left to do, and the process ends.
    pub(super) fn say(&self, message: &impl serde::Serialize) {
        if write_line(&mut *self.lock(), message).is_err() {
            end_at_once();
        }
    }

    /// Hands a line through as it is.
    pub(super) fn hand_through(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        let mut file = self.lock();
        if file.write_all(&line).and_then(|()| file.flush()).is_err() {
            end_at_once();
        }
    }

    /// Gives signs of life from a thread of its own, until the process ends.
    pub(super) fn give_signs_of_life(&self, from: Source, every: Duration) {
        let output = self.clone();
        thread::spawn(move || {
            loop {
                output.say(&Message::Heartbeat { from });
                thread::sleep(every);
            }
        });
    }
}

/// Ends the process without asking anyone in it: a library that is stuck in a driver must not keep it.
pub(super) fn end_at_once() -> ! {
    #[cfg(unix)]
    {
        use rustix::process::{Signal, getpid, kill_process};
        let _ = kill_process(getpid(), Signal::KILL);
    }
    std::process::exit(1)
}

/// Tells how a pass goes on, and keeps the time that its stages take.
pub(super) struct Teller {
    output: Output,
    stage: Option<Stage>,
    stage_began: Instant,
    told: Instant,
    seconds: BTreeMap<String, f64>,
}

impl Teller {
    pub(super) fn new(output: Output) -> Self {
        let now = Instant::now();
        Self { output, stage: None, stage_began: now, told: now, seconds: BTreeMap::new() }
    }

    pub(super) fn say(&self, message: &Message) {
        self.output.say(message);
    }

    pub(super) fn enter(&mut self, stage: Stage) {
        self.progress(stage, Work::default(), Work::default());
    }

    pub(super) fn progress(&mut self, stage: Stage, done: Work, total: Work) {
        let now = Instant::now();
        if self.stage == Some(stage) && now.duration_since(self.told) < TELL_EVERY {
            return;
        }
        if self.stage != Some(stage) {
            self.leave(now);
            (self.stage, self.stage_began) = (Some(stage), now);
        }
        self.told = now;
        self.output.say(&Message::Progress { stage, done, total });
    }

    fn leave(&mut self, now: Instant) {
        if let Some(stage) = self.stage
            && let Ok(serde_json::Value::String(name)) = serde_json::to_value(stage)
        {
            self.seconds.insert(name, now.duration_since(self.stage_began).as_secs_f64());
        }
    }

    pub(super) fn into_seconds(mut self) -> BTreeMap<String, f64> {
        self.leave(Instant::now());
        self.seconds
    }
}
