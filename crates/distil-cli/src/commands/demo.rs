//! `distil demo`: a whole subnet on one machine, told as it goes: a chain, a hub, miners, a validator, two rounds.

mod cast;
mod models;
mod page;
mod story;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use distil_chain::timelock::Randomness;
use distil_chain::wallet::HotkeySigner;
use distil_chain::{ChainClient, ChainSettings, CommitPlan, RevealState, TransactionWait};
use distil_dataset::PromptSource;
use distil_devhub::{DevHub, RepoKind};
use distil_devnet::{Admin, BlockProduction, DevNet, DevNetSettings, Hyperparameters, Neuron};
use distil_eval::worker::{PassSettings, Worker, WorkerCommand, WorkerLimits};
use distil_hub::{Hub, HubSettings};
use distil_scoring::Rules;
use distil_store::Store;
use distil_types::{Commitment, Hotkey, MinerKey, NetUid, Revision, SubnetProfile, Uid};
use distil_validator::{Continuation, EpochEnd, Parts, Stop, Validator, ValidatorSettings};

use self::cast::{Miner, TEACHER};
use self::page::Page;
use self::story::{Story, StoryObserver};
use crate::chain::runtime;
use crate::commands::validate::{store_error, validator_error, wiring};
use crate::exit::{CommandError, ExitStatus};
use crate::output::{OutputError, write_json};
use crate::settings::{Common, Demo, Format};

/// A block of the demo's chain takes this long, and counts for twelve seconds there.
const BLOCK: Duration = Duration::from_millis(40);
/// Blocks that the final one is behind the newest.
const FINALITY_LAG: u32 = 2;
/// A commitment stays sealed for about two blocks.
const SEALED_MS: u64 = 24_000;
/// Nothing in the demo takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
const NETUID: NetUid = NetUid(97);
/// The teacher has 2.2 million parameters; a student may have half.
const MAX_PARAMETERS: u64 = 1_100_000;
const PROMPTS: usize = 6;
const NEW_TOKENS: usize = 64;

/// Runs the demo: the story goes to `notes`, what came of it to `out`.
pub(crate) fn run(
    settings: &Demo,
    common: Common,
    out: &mut dyn Write,
    notes: &mut (dyn Write + Send),
) -> Result<ExitStatus, OutputError> {
    let stop = Stop::default();
    wiring::stop_on_signals(&stop)?;
    let folder = folder(settings)?;
    let story = Story::new(!common.quiet);
    let mut stage = Stage::build(&folder, &story, stop, settings)?;
    story.flush(notes);
    let page = stage.play(&story, notes)?;
    match common.format {
        Format::Json => write_json(out, &page)?,
        Format::Text => {
            out.write_all(page.text().as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

/// The folder of the demo: the one given, which has to be new or empty, or a fresh one among the temporary files.
fn folder(settings: &Demo) -> Result<PathBuf, CommandError> {
    match &settings.out {
        Some(folder) => {
            let is_used = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
            if is_used || folder.is_file() {
                return Err(CommandError::usage(anyhow!("{}: it is not an empty folder", folder.display()))
                    .with_hint("give a new folder with --out, or leave it out"));
            }
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))
                .map_err(CommandError::usage)?;
            folder.canonicalize().map_err(CommandError::usage)
        }
        None => {
            let made = tempfile::Builder::new().prefix("distil-demo-").tempdir();
            Ok(made.context("cannot make a folder among the temporary files").map_err(CommandError::try_again)?.keep())
        }
    }
}

/// Everything that the demo runs on.
struct Stage {
    folder: PathBuf,
    hub: DevHub,
    net: DevNet,
    validator: Validator,
    validator_hotkey: Hotkey,
    profile_blocks: u64,
}

impl Stage {
    fn build(folder: &Path, story: &Story, stop: Stop, settings: &Demo) -> Result<Self, CommandError> {
        let ours = CommandError::ours;
        let hub = DevHub::start().map_err(|error| CommandError::try_again(anyhow!(error)))?;
        let teacher = publish(&hub, folder, TEACHER, &models::teacher())?;
        story.say(format!(
            "A hub listens on {}. The teacher, {TEACHER}, is a mixture of experts with 2.2 million parameters, trained on Moby-Dick.",
            hub.endpoint()
        ));
        let net = DevNet::start(DevNetSettings {
            production: BlockProduction::Every(BLOCK),
            finality_lag: FINALITY_LAG,
            ..DevNetSettings::default()
        })
        .map_err(|error| CommandError::try_again(anyhow!(error)))?;
        let parameters = Hyperparameters {
            tempo: Some(30),
            commit_reveal: Some(false),
            weights_rate_limit: Some(5),
            min_allowed_weights: Some(1),
            ..Hyperparameters::default()
        };
        net.admin().register_subnet(NETUID, parameters).map_err(|error| ours(anyhow!(error)))?;
        let signer = cast::signer("validator");
        let validator_hotkey = signer.public_key();
        let seats = [Neuron::validator(validator_hotkey)]
            .into_iter()
            .chain(cast::MINERS.iter().map(|miner| Neuron::miner(miner.signer().public_key())));
        net.admin().register_neurons(NETUID, seats).map_err(|error| ours(anyhow!(error)))?;
        // Until the registrations are final.
        net.admin().produce_blocks(FINALITY_LAG + 1).map_err(|error| ours(anyhow!(error)))?;
        story.say(format!(
            "A chain listens on {}: subnet {NETUID} has a validator and {} miners. Its blocks come every {} ms and count for 12 s.",
            net.endpoint(),
            cast::MINERS.len(),
            BLOCK.as_millis()
        ));
        let source = folder.join("prompts.json");
        std::fs::write(&source, models::PROMPTS)
            .with_context(|| format!("cannot write {}", source.display()))
            .map_err(CommandError::try_again)?;
        let validator = validator(folder, &hub, &net, signer, teacher, source, story, stop, settings)?;
        let profile_blocks = SubnetProfile::sn97().round_blocks;
        Ok(Self { folder: folder.to_owned(), hub, net, validator, validator_hotkey, profile_blocks })
    }

    /// Two rounds.
    fn play(&mut self, story: &Story, notes: &mut (dyn Write + Send)) -> Result<Page, CommandError> {
        let runtime = runtime()?;
        let chain = chain(&self.net)?;
        story.say("\nThe first round: nobody is king yet.".to_owned());
        for miner in cast::MINERS.iter().filter(|miner| !miner.comes_later) {
            self.commit(miner, &runtime, &chain, story)?;
            story.flush(notes);
        }
        self.round(story, notes)?;
        story.say("\nThe second round: a challenger comes.".to_owned());
        for miner in cast::MINERS.iter().filter(|miner| miner.comes_later) {
            self.commit(miner, &runtime, &chain, story)?;
        }
        story.flush(notes);
        self.round(story, notes)?;
        self.page(story)
    }

    /// Publishes a miner's model, commits it, and waits until the chain reveals it.
    fn commit(
        &self,
        miner: &Miner,
        runtime: &tokio::runtime::Runtime,
        chain: &ChainClient,
        story: &Story,
    ) -> Result<MinerKey, CommandError> {
        let files = (miner.model)().map_err(CommandError::ours)?;
        let revision = publish(&self.hub, &self.folder, miner.repo, &files)?;
        let commitment = Commitment { model: miner.repo.parse().map_err(CommandError::ours)?, revision };
        let signer = miner.signer();
        let of_chain = |error: distil_chain::ChainError| CommandError::try_again(anyhow!(error));
        let revealed = runtime.block_on(async {
            let drand = chain.drand_network().await?;
            let reveal_at = self.net.admin().time_ms() + SEALED_MS;
            let plan = CommitPlan::seal(commitment.clone(), &drand, reveal_at, Randomness::from_system()?)?;
            let wait = TransactionWait { poll_interval: BLOCK, at_most: PATIENCE };
            let committed = chain.commit(NETUID, &plan, &signer, wait, &mut |_| {}).await?;
            chain.wait_for_reveal(NETUID, signer.public_key(), &plan, committed.block.number, wait).await
        });
        match revealed.map_err(of_chain)? {
            RevealState::Revealed { block } => {
                story.say(format!(
                    "  {} commits {} ({}); revealed in block {block}.",
                    miner.name, miner.repo, miner.what
                ));
                story.name(signer.public_key(), miner.name);
                Ok(MinerKey::new(signer.public_key(), block))
            }
            other => Err(CommandError::ours(anyhow!("the commitment of {} was not revealed: {other:?}", miner.name))),
        }
    }

    /// Lets the validator work until a round is over and its weights are on the chain.
    fn round(&mut self, story: &Story, notes: &mut (dyn Write + Send)) -> Result<(), CommandError> {
        // To the next round block, without the wait.
        let every = self.profile_blocks;
        let next = (self.net.admin().best_block().number / every + 1) * every;
        let to = next + u64::from(FINALITY_LAG);
        self.net.admin().produce_until(to).map_err(|error| CommandError::ours(anyhow!(error)))?;
        let begun = std::time::Instant::now();
        loop {
            if begun.elapsed() > PATIENCE {
                return Err(CommandError::ours(anyhow!("no round came to its end in {} s", PATIENCE.as_secs())));
            }
            let end = self.validator.epoch();
            story.flush(notes);
            match end {
                Ok(EpochEnd::Round(_)) => return Ok(()),
                Ok(_) => std::thread::sleep(BLOCK),
                Err(error) if error.is_transient() && !matches!(error, distil_validator::ValidatorError::Stopped) => {
                    story.say(format!("  (not yet: {error})"));
                    std::thread::sleep(5 * BLOCK);
                }
                Err(error) => return Err(validator_error(error)),
            }
        }
    }

    fn page(&self, story: &Story) -> Result<Page, CommandError> {
        let store = self.validator.store();
        let name = |hotkey: &Hotkey| cast::name_of(hotkey);
        let king = store.king().map_err(store_error)?;
        let round = store.last_finished_round().map_err(store_error)?;
        let out = store.disqualifications().map_err(store_error)?;
        let mut rounds = Vec::new();
        for summary in store.rounds(0, 10).map_err(store_error)?.into_iter().rev() {
            let Some(round) = store.round(summary.number).map_err(store_error)? else { continue };
            rounds.push(page::round(&round, &self.folder, name));
        }
        let weights = store.last_confirmed_weights().map_err(store_error)?;
        let on_chain = self.weights_on_chain()?;
        Ok(Page {
            king: king.map(|reign| page::king(&reign.king, name)),
            rounds,
            disqualified: out.values().map(|stored| page::disqualified(stored, story)).collect(),
            weights_uid: weights.map(|weights| weights.intention.uid),
            weights_on_chain: on_chain,
            validator: self.validator_hotkey,
            state: self.folder.join("state"),
            record: round
                .and_then(|round| round.record)
                .map(|record| self.folder.join("state/records").join(record.path)),
        })
    }

    fn weights_on_chain(&self) -> Result<Vec<(Uid, u16)>, CommandError> {
        let chain = chain(&self.net)?;
        let runtime = runtime()?;
        let Some(king) = self.validator.store().king().map_err(store_error)? else { return Ok(Vec::new()) };
        let drand = runtime.block_on(chain.drand_network()).map_err(|error| CommandError::try_again(anyhow!(error)))?;
        let options = distil_chain::WeightsOptions::new(&drand);
        let plan = distil_chain::WeightPlan::winner(king.king.miner.hotkey);
        let check = runtime
            .block_on(chain.check_weights(NETUID, &plan, self.validator_hotkey, &options))
            .map_err(|error| CommandError::try_again(anyhow!(error)))?;
        Ok(check.on_chain.entries().to_vec())
    }
}

fn chain(net: &DevNet) -> Result<ChainClient, CommandError> {
    let endpoint = net.endpoint().parse().map_err(CommandError::ours)?;
    ChainClient::new(ChainSettings::new(vec![endpoint], 1)).map_err(|error| CommandError::ours(anyhow!(error)))
}

fn publish(hub: &DevHub, folder: &Path, repo: &str, files: &models::ModelFiles) -> Result<Revision, CommandError> {
    let place = folder.join("models").join(repo);
    files.write(&place).map_err(CommandError::try_again)?;
    let commit = hub.publish(RepoKind::Model, repo, &place).map_err(|error| CommandError::ours(anyhow!(error)))?;
    commit.parse().map_err(CommandError::ours)
}

#[expect(clippy::too_many_arguments, reason = "one call, one place")]
fn validator(
    folder: &Path,
    hub: &DevHub,
    net: &DevNet,
    signer: HotkeySigner,
    teacher: Revision,
    source: PathBuf,
    story: &Story,
    stop: Stop,
    settings: &Demo,
) -> Result<Validator, CommandError> {
    let cache = folder.join("huggingface");
    let variables = [
        ("HF_ENDPOINT".to_owned(), hub.endpoint()),
        ("HF_HOME".to_owned(), cache.display().to_string()),
        ("DISTIL_WORKER_CACHE".to_owned(), folder.join("worker").display().to_string()),
    ];
    let lookup = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let client = Hub::new(HubSettings::from_environment(lookup).map_err(|error| CommandError::ours(anyhow!(error)))?)
        .map_err(|error| CommandError::ours(anyhow!(error)))?;
    // What the surroundings say of the real Hub does not concern this one.
    let surroundings = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("HF_"));
    let surroundings =
        surroundings.chain(variables.iter().map(|(name, value)| (name.clone().into(), value.clone().into())));
    let command = WorkerCommand::this_program(surroundings)
        .context("the system does not tell where this program lies")
        .map_err(CommandError::ours)?;
    let mut profile = SubnetProfile::sn97();
    profile.netuid = NETUID;
    profile.teacher = TEACHER.parse().map_err(CommandError::ours)?;
    profile.max_parameters = MAX_PARAMETERS;
    profile.prompts = PROMPTS;
    profile.max_new_tokens = NEW_TOKENS;
    let threads = std::num::NonZeroUsize::new(settings.threads.get()).unwrap_or(std::num::NonZeroUsize::MIN);
    let chain = chain(net)?;
    let drand = runtime()?.block_on(chain.drand_network()).map_err(|error| CommandError::ours(anyhow!(error)))?;
    let clock: Admin = net.admin().clone();
    let parts = Parts {
        chain,
        hub: client,
        store: Store::open(&folder.join("state")).map_err(store_error)?,
        worker: Worker::new(command, WorkerLimits::default()),
        signer: Some(signer),
        clock: Box::new(move || clock.time_ms()),
        observer: Box::new(StoryObserver::new(story.clone())),
        stop,
    };
    let settings = ValidatorSettings {
        rules: Rules::of(&profile),
        profile,
        teacher_revision: teacher,
        source: PromptSource::Path(source),
        source_cache: None,
        continuation: Continuation::Greedy,
        pass: PassSettings::cpu(threads),
        checks_at_once: std::num::NonZeroUsize::MIN,
        threads,
        records: folder.join("state/records"),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        weights_version: 0,
        drand,
        block_time_ms: 12_000,
        transaction_wait: TransactionWait { poll_interval: BLOCK, at_most: PATIENCE },
        recorded: serde_json::json!({}),
    };
    Validator::new(settings, parts).map_err(validator_error)
}
