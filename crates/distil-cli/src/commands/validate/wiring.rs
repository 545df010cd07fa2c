//! From settings to the parts of a validator.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use distil_chain::TransactionWait;
use distil_dataset::PromptSource;
use distil_eval::worker::{ComputeDevice, PassSettings, Worker, WorkerCommand, WorkerLimits};
use distil_scoring::Rules;
use distil_types::Revision;
use distil_validator::{Continuation, Stop, ValidatorSettings};
use serde_json::{Map, Value, json};

use crate::chain::Conventions;
use crate::compute::dtype;
use crate::exit::CommandError;
use crate::settings::{DeviceChoice, DtypeChoice, SettingLine, Threads, Validate};

/// Settings that name places or people's wallets: they are not for records.
const PRIVATE: [&str; 7] = ["wallet", "hotkey", "wallet-path", "state", "cache", "worker", "network"];

/// The time by this machine's clock, in milliseconds since 1970.
pub(crate) fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Has SIGINT and SIGTERM end the validator after the step that it is at; a pass on the worker is called off.
pub(crate) fn stop_on_signals(stop: &Stop) -> Result<(), CommandError> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .context("cannot listen for signals")
        .map_err(CommandError::ours)?;
    let stop = stop.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            // A second one finds somebody who does not want to wait.
            if stop.is_raised() {
                std::process::exit(130);
            }
            stop.raise();
        }
    });
    Ok(())
}

/// What runs passes: the command given, or this program.
pub(crate) fn worker(command: Option<&str>) -> Result<Worker, CommandError> {
    let command = match command {
        Some(line) => WorkerCommand::shell(line, std::env::vars_os()),
        None => WorkerCommand::this_program(std::env::vars_os())
            .context("the system does not tell where this program lies; name a worker with --worker")
            .map_err(CommandError::ours)?,
    };
    Ok(Worker::new(command, WorkerLimits::default()))
}

/// How a worker computes.
pub(crate) fn pass(device: DeviceChoice, choice: DtypeChoice, threads: Threads) -> PassSettings {
    let mut pass = PassSettings::cpu(nonzero(threads.get()));
    pass.device = match device {
        DeviceChoice::Cpu => ComputeDevice::Cpu,
        DeviceChoice::Cuda(number) => ComputeDevice::Cuda(number),
    };
    pass.dtype = dtype(choice);
    pass
}

fn nonzero(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// The settings with their origins, as records have them: what decides about numbers, and nothing of this host.
pub(crate) fn recorded(lines: &[SettingLine]) -> Value {
    let entry = |line: &SettingLine| {
        let name = line.key.split_once('.').map_or(line.key.as_str(), |(_, name)| name).to_owned();
        // A path of this host says nothing to others; the round's own settings name the source.
        let is_private = PRIVATE.contains(&name.as_str()) || name == "source";
        (!is_private).then(|| (name, json!({ "value": line.value, "origin": line.origin.layer() })))
    };
    Value::Object(lines.iter().filter_map(entry).collect::<Map<_, _>>())
}

/// All that the validator is told.
pub(crate) fn settings(
    settings: &Validate,
    teacher_revision: Revision,
    source: PromptSource,
    conventions: Conventions,
) -> Result<ValidatorSettings, CommandError> {
    let mut rules = Rules::of(&settings.profile)
        .with_challengers_per_round(settings.max_challengers)
        .map_err(CommandError::usage)?;
    if let Some(confidence) = settings.min_confidence {
        rules = rules.with_min_confidence(confidence).map_err(CommandError::usage)?;
    }
    let Conventions { beacon: drand, block_time_ms, poll_interval, .. } = conventions;
    Ok(ValidatorSettings {
        profile: settings.profile.clone(),
        teacher_revision,
        source,
        source_cache: settings.cache.clone(),
        rules,
        continuation: match settings.sampling {
            None => Continuation::Greedy,
            Some((temperature, top_p)) => Continuation::Sampled { temperature, top_p },
        },
        pass: pass(settings.device, settings.dtype, settings.threads),
        checks_at_once: nonzero(settings.checks_at_once),
        threads: nonzero(settings.threads.get()),
        records: settings.state.join("records"),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        weights_version: 0,
        drand,
        block_time_ms,
        transaction_wait: TransactionWait { poll_interval, at_most: Duration::from_secs(15 * 60) },
        recorded: recorded(&settings.lines),
    })
}
