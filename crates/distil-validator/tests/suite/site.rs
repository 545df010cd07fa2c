//! Where a validator of the tests works: all that it needs to know, in a file, so that it can be another process.

use crate::act::ARGUMENT;
use distil_chain::timelock::{BeaconPublicKey, DrandNetwork};
use distil_chain::wallet::HotkeySigner;
use distil_chain::{Backoff, ChainClient, ChainSettings, TransactionWait};
use distil_dataset::PromptSource;
use distil_eval::worker::{PassSettings, Worker, WorkerCommand, WorkerLimits};
use distil_hub::{Hub, HubSettings, Patience};
use distil_scoring::Rules;
use distil_store::Store;
use distil_types::{NetUid, SubnetProfile};
use distil_validator::{Continuation, Event, Observer, Parts, Stop, Validator, ValidatorSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const NETUID: NetUid = NetUid(97);
pub(crate) const ROUND_BLOCKS: u64 = 50;
pub(crate) const TEACHER: &str = "teacher/tiny";
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Site {
    pub(crate) chain: String,
    pub(crate) hub: String,
    pub(crate) root: PathBuf,
    pub(crate) teacher_revision: String,
    pub(crate) beacon: Vec<u8>,
    pub(crate) now_ms: u64,
    pub(crate) prompts: usize,
    /// How long a worker may do nothing.
    pub(crate) progress_ms: u64,
}

/// What workers and validators of a site did, in order, a line each.
#[derive(Debug, Clone)]
pub(crate) struct Log(PathBuf);

impl Log {
    pub(crate) fn of(root: &Path) -> Self {
        Self(root.join("log"))
    }

    pub(crate) fn line(&self, what: &str, of: &str) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&self.0).expect("the log");
        file.write_all(format!("{what} {of}\n").as_bytes()).expect("the log");
    }

    /// Writes an event down, and gives the name of its kind.
    pub(crate) fn event(&self, event: &Event) -> String {
        let text = format!("{event:?}");
        let kind = text.split([' ', '{', '(']).next().unwrap_or_default();
        let of = match event {
            Event::StudentDone { round, miner, .. } => format!("{round} {miner}"),
            Event::RoundDecided { outcome } => outcome.round.to_string(),
            _ => String::new(),
        };
        self.line(&format!("event-{kind}"), &of);
        kind.to_owned()
    }

    /// The lines, each as what and of what.
    pub(crate) fn read(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let split = |line: &str| line.split_once(' ').map(|(what, of)| (what.to_owned(), of.to_owned()));
        text.lines().filter_map(split).collect()
    }
}

pub(crate) fn signer() -> HotkeySigner {
    HotkeySigner::from_seed(&[200; 32])
}

pub(crate) fn profile(prompts: usize) -> SubnetProfile {
    let mut profile = SubnetProfile::sn97();
    profile.teacher = TEACHER.parse().unwrap();
    profile.vocab_size = crate::worker::VOCABULARY as usize;
    profile.max_parameters = 1_000_000;
    profile.round_blocks = ROUND_BLOCKS;
    profile.prompts = prompts;
    profile.max_prompt_tokens = 64;
    profile.max_new_tokens = 64;
    profile
}

impl Site {
    pub(crate) fn read(path: &Path) -> Self {
        serde_json::from_str(&fs::read_to_string(path).expect("a site")).expect("a site")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn log(&self) -> Log {
        Log::of(&self.root)
    }

    pub(crate) fn drand(&self) -> DrandNetwork {
        let key = self.beacon.as_slice().try_into().expect("96 bytes");
        DrandNetwork::new(BeaconPublicKey::from_bytes(key).unwrap(), 1_692_803_367_000, 3_000).unwrap()
    }

    pub(crate) fn settings(&self) -> ValidatorSettings {
        let profile = profile(self.prompts);
        ValidatorSettings {
            rules: Rules::of(&profile),
            profile,
            teacher_revision: self.teacher_revision.parse().unwrap(),
            source: PromptSource::Path(self.root.join("texts.jsonl")),
            source_cache: None,
            continuation: Continuation::Greedy,
            pass: PassSettings::cpu(TWO),
            checks_at_once: NonZeroUsize::new(8).unwrap(),
            threads: TWO,
            records: self.root.join("records"),
            code_version: "0.1.0".to_owned(),
            weights_version: 0,
            drand: self.drand(),
            block_time_ms: 12_000,
            transaction_wait: TransactionWait {
                poll_interval: Duration::from_millis(5),
                at_most: Duration::from_secs(60),
            },
            recorded: json!({ "origin": "tests" }),
        }
    }

    pub(crate) fn chain(&self) -> ChainClient {
        ChainClient::new(ChainSettings {
            max_attempts: 4,
            backoff: Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(40), jitter_seed: 1 },
            ..ChainSettings::new(vec![self.chain.parse().unwrap()], 1)
        })
        .unwrap()
    }

    pub(crate) fn hub(&self) -> Hub {
        let mut settings = HubSettings::new(&self.hub, self.root.join("hub")).unwrap();
        settings.patience = Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(5),
            request: Duration::from_secs(10),
            attempts: 1,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
            jitter_seed: 0,
        };
        Hub::new(settings).unwrap()
    }

    pub(crate) fn worker(&self) -> Worker {
        let long = Duration::from_secs(60);
        let limits = WorkerLimits {
            start: long,
            silence: long,
            heartbeat: long,
            progress: Duration::from_millis(self.progress_ms),
            download: long,
            pass: long,
        };
        let arguments = [ARGUMENT.into(), "worker".into(), self.root.clone().into_os_string()];
        Worker::new(WorkerCommand::new(std::env::current_exe().unwrap(), arguments, std::env::vars_os()), limits)
    }

    pub(crate) fn validator(&self, observer: Box<dyn Observer>) -> Validator {
        let now_ms = self.now_ms;
        self.validator_with(observer, Box::new(move || now_ms), self.settings(), Stop::default())
    }

    pub(crate) fn validator_with(
        &self,
        observer: Box<dyn Observer>,
        clock: Box<dyn Fn() -> u64 + Send>,
        settings: ValidatorSettings,
        stop: Stop,
    ) -> Validator {
        let parts = Parts {
            chain: self.chain(),
            hub: self.hub(),
            store: Store::open(&self.state()).unwrap(),
            worker: self.worker(),
            signer: Some(signer()),
            clock,
            observer,
            stop,
        };
        Validator::new(settings, parts).unwrap()
    }
}

/// What a store says in the end, without times and blocks' hashes, for comparisons.
pub(crate) fn conclusion(state: &Path) -> Value {
    let store = distil_store::StoreReader::open(state).unwrap();
    let reigns: Vec<Value> = store
        .king_history(0, 100_000)
        .unwrap()
        .into_iter()
        .map(|reign| {
            let ended = reign.ended.map(|end| json!([end.block, end.reason]));
            json!([reign.king, reign.crowned_block, ended])
        })
        .collect();
    let rounds: Vec<Value> = store
        .rounds(0, 100_000)
        .unwrap()
        .into_iter()
        .map(|round| json!([round.block.number, round.state, round.king, round.students]))
        .collect();
    let verdicts: Vec<Value> = store
        .seen_miners()
        .unwrap()
        .into_iter()
        .filter_map(|seen| {
            let miner = seen.miner()?;
            let (round, verdict) = store.newest_verdict(&miner).unwrap()?;
            Some(json!([miner, round, verdict.verdict, verdict.kl, verdict.sentence]))
        })
        .collect();
    let evaluations: Vec<Value> = store
        .evaluations()
        .unwrap()
        .into_iter()
        .map(|(miner, evaluation)| json!([miner, evaluation.round.block(), evaluation.result, evaluation.kl]))
        .collect();
    let out: Vec<Value> = store
        .disqualifications()
        .unwrap()
        .into_iter()
        .map(|(miner, out)| json!([miner, out.disqualification.code, out.disqualification.sentence, out.block]))
        .collect();
    let weights: Vec<Value> = store
        .weights_history(0, 100_000)
        .unwrap()
        .into_iter()
        .filter(|weights| matches!(weights.state, distil_store::WeightsState::Confirmed { .. }))
        .map(|weights| json!([weights.intention.king, weights.intention.uid, weights.intention.round]))
        .collect();
    json!({ "reigns": reigns, "rounds": rounds, "verdicts": verdicts, "evaluations": evaluations,
        "disqualifications": out, "weights": weights })
}
