use std::{collections::BTreeMap, time::Duration};

use distil_model::ByteProgress;

use crate::{Event, Phase, Work};

/// Tells phases as events and keeps the time each took.
pub(crate) struct Progress<'a> {
    clock: &'a dyn Fn() -> Duration,
    events: &'a mut dyn FnMut(Event),
    seconds: BTreeMap<String, f64>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(clock: &'a dyn Fn() -> Duration, events: &'a mut dyn FnMut(Event)) -> Self {
        Self { clock, events, seconds: BTreeMap::new() }
    }

    /// Runs one phase; its time goes to `key` of the seconds, also when it fails.
    pub(crate) fn phase<T, E>(
        &mut self,
        phase: Phase,
        key: String,
        total: Work,
        run: impl FnOnce(&mut PhaseProgress<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let started = (self.clock)();
        (self.events)(Event::PhaseStarted { phase, total });
        let mut progress =
            PhaseProgress { clock: self.clock, events: self.events, phase, total, done: Work::default(), started };
        let result = run(&mut progress);
        let done = progress.done;
        let elapsed = (self.clock)().saturating_sub(started);
        *self.seconds.entry(key).or_default() += elapsed.as_secs_f64();
        (self.events)(Event::PhaseFinished { phase, done, elapsed });
        result
    }

    pub(crate) fn tell(&mut self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn into_seconds(self) -> BTreeMap<String, f64> {
        self.seconds
    }
}

/// A phase that is going on.
pub(crate) struct PhaseProgress<'a> {
    clock: &'a dyn Fn() -> Duration,
    events: &'a mut dyn FnMut(Event),
    phase: Phase,
    total: Work,
    done: Work,
    started: Duration,
}

impl PhaseProgress<'_> {
    pub(crate) fn done(&mut self, done: Work) {
        self.done = done;
        (self.events)(Event::PhaseProgress {
            phase: self.phase,
            done,
            total: self.total,
            elapsed: (self.clock)().saturating_sub(self.started),
        });
    }

    pub(crate) fn add(&mut self, tokens: usize, prompts: usize) {
        self.done(Work {
            tokens: self.done.tokens + tokens as u64,
            prompts: self.done.prompts + prompts as u64,
            ..self.done
        });
    }

    /// How far reading a model's files is.
    pub(crate) fn read(&mut self, bytes: ByteProgress) {
        self.total.bytes = bytes.total;
        self.done(Work { bytes: bytes.done, ..self.done });
    }
}
