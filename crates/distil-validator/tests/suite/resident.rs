//! A validator in a process of its own that lives through many epochs, so that its memory can be told from that of the
//! chain and the Hub which the test runs.
//!
//! The test gives it the time of each epoch in a line and gets an [`Answer`] in a line.

use crate::act::ARGUMENT;
use crate::site::Site;
use crate::world::{Heard, World};
use distil_store::StoreReader;
use distil_validator::{EpochEnd, Event, Stop};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of the part.
pub(crate) const PART: &str = "resident";

/// So many times an epoch is tried before it counts as one that does not come to an end.
const TRIES: u64 = 20;

/// What all that was due at one time came to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Why it did not come to its end, if so.
    pub(crate) problem: Option<String>,
    /// Epochs that failed in passing and were tried again.
    pub(crate) tried_again: u64,
    pub(crate) rounds_decided: u64,
    pub(crate) vacancies: u64,
}

/// The validator's side: works until the test hangs up.
pub(crate) fn live(site: &Path) {
    let site = Site::read(site);
    let heard = Heard::default();
    let clock = Arc::new(AtomicU64::new(site.now_ms));
    let now = Arc::clone(&clock);
    let now = Box::new(move || now.load(Ordering::SeqCst));
    let mut validator = site.validator_with(Box::new(heard.clone()), now, site.settings(), Stop::default());
    say(&Answer::default());
    for line in std::io::stdin().lines() {
        clock.store(line.expect("a line").parse().expect("a time"), Ordering::SeqCst);
        let mut answer = Answer::default();
        let mut tries = 0;
        loop {
            tries += 1;
            match validator.epoch() {
                Ok(EpochEnd::NotYet { .. }) => break,
                Ok(_) => {}
                Err(error) if error.is_transient() => answer.tried_again += 1,
                Err(error) => {
                    answer.problem = Some(error.to_string());
                    break;
                }
            }
            if tries == TRIES {
                answer.problem = Some(format!("it is not done after {TRIES} epochs"));
                break;
            }
        }
        for event in heard.take() {
            match event {
                Event::RoundDecided { .. } => answer.rounds_decided += 1,
                Event::ThroneVacant { .. } => answer.vacancies += 1,
                _ => {}
            }
        }
        say(&answer);
    }
}

fn say(answer: &Answer) {
    let mut line = serde_json::to_vec(answer).expect("JSON");
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).expect("the test listens");
}

/// The test's side.
pub(crate) struct Resident {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What the validator has stored.
    pub(crate) store: StoreReader,
}

impl Resident {
    /// Starts a validator, which has read the teacher and opened its store when this returns.
    pub(crate) fn start(world: &World) -> Self {
        let site = world.root.path().join("site.json");
        fs::write(&site, serde_json::to_vec(&world.site).unwrap()).unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([ARGUMENT, PART, site.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        hear(&mut answers);
        let store = StoreReader::open(&world.site.state()).unwrap();
        Self { process, orders, answers, store }
    }

    /// Has it do all that is due at this time.
    pub(crate) fn epoch(&mut self, now_ms: u64) -> Answer {
        writeln!(self.orders, "{now_ms}").unwrap();
        let answer = hear(&mut self.answers);
        assert_eq!(answer.problem, None);
        answer
    }

    /// What it takes now.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.process.id())
    }

    /// From now on its peak is that of what follows.
    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5").unwrap();
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // It may be in the middle of something where an assertion of the test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hear(answers: &mut BufReader<ChildStdout>) -> Answer {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("the validator says {line:?}: {error}"))
}

/// What the system says of a process's memory, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All that is resident, files that are mapped included.
    pub(crate) resident_kib: u64,
    /// What it has allocated: heaps and stacks.
    pub(crate) anonymous_kib: u64,
    /// The most that was ever resident.
    pub(crate) peak_kib: u64,
}

impl Memory {
    fn of(process: u32) -> Self {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/status")).unwrap())
    }

    /// Of this process.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id())
    }

    fn parse(status: &str) -> Self {
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().expect(name)
        };
        Self { resident_kib: field("VmRSS"), anonymous_kib: field("RssAnon"), peak_kib: field("VmHWM") }
    }
}
