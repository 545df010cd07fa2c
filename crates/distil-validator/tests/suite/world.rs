//! A subnet in this process: a chain whose blocks are made on demand, a Hub with tiny repositories, prompts in a file.

use crate::site::{NETUID, ROUND_BLOCKS, Site, TEACHER, signer};
use crate::worker::{VOCABULARY, fault_file};
use distil_chain::timelock::{self, Randomness};
use distil_devhub::{DevHub, RepoKind};
use distil_devnet::{BlockProduction, Command, DevNet, DevNetSettings, DrandSettings, Hyperparameters, Neuron};
use distil_types::{Hotkey, Uid};
use distil_validator::{EpochEnd, Event, Observer, Stop, Validator};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use subxt::backend::LegacyBackend;
use subxt::config::DefaultExtrinsicParamsBuilder;
use subxt::dynamic::Value as Scale;
use subxt::rpcs::RpcClient;
use subxt::{OnlineClient, PolkadotConfig};
use subxt_signer::sr25519::Keypair;
use tempfile::TempDir;

pub(crate) const PROMPTS: usize = 12;

/// The events of a validator in this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(pub(crate) Arc<Mutex<Vec<Event>>>);

impl Observer for Heard {
    fn event(&mut self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Heard {
    /// What was heard since the last time.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) struct World {
    pub(crate) net: DevNet,
    pub(crate) hub: DevHub,
    pub(crate) root: TempDir,
    pub(crate) site: Site,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) heard: Heard,
    runtime: tokio::runtime::Runtime,
    client: OnlineClient<PolkadotConfig>,
    sealed: u64,
}

fn keypair(miner: u64) -> Keypair {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&miner.to_le_bytes());
    Keypair::from_secret_key(seed).unwrap()
}

/// The hotkey of the miner with this number.
pub(crate) fn hotkey(miner: u64) -> Hotkey {
    Hotkey::from_account_id(keypair(miner).public_key().0)
}

/// Numbers that follow from a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A Llama of one layer, its weights drawn by a seed.
pub(crate) fn write_model(folder: &Path, seed: u64) {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": 8,
        "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "torch_dtype": "bfloat16", "rms_norm_eps": 1e-6, "tie_word_embeddings": true, "eos_token_id": 1
    });
    let (mut header, mut at) = (Map::new(), 0_u64);
    let mut add = |name: &str, shape: &[u64]| {
        let end = at + 2 * shape.iter().product::<u64>();
        header.insert(name.to_owned(), json!({ "dtype": "BF16", "shape": shape, "data_offsets": [at, end] }));
        at = end;
    };
    add("model.embed_tokens.weight", &[VOCABULARY, 8]);
    for (name, shape) in [
        ("input_layernorm", &[8][..]),
        ("self_attn.q_proj", &[8, 8]),
        ("self_attn.k_proj", &[4, 8]),
        ("self_attn.v_proj", &[4, 8]),
        ("self_attn.o_proj", &[8, 8]),
        ("post_attention_layernorm", &[8]),
        ("mlp.gate_proj", &[8, 8]),
        ("mlp.up_proj", &[8, 8]),
        ("mlp.down_proj", &[8, 8]),
    ] {
        add(&format!("model.layers.0.{name}.weight"), shape);
    }
    add("model.norm.weight", &[8]);
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let mut dice = Dice(seed);
    for _ in 0..at / 2 {
        // Between 1/8 and 1, of either sign.
        let value = 0x3e00 + (dice.below(0x180) as u16) + ((dice.below(2) as u16) << 15);
        bytes.extend(value.to_le_bytes());
    }
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("model.safetensors"), bytes).unwrap();
}

impl World {
    /// A subnet with this validator in its first seat and nobody else.
    pub(crate) fn new(parameters: Hyperparameters) -> Self {
        let root = tempfile::tempdir().unwrap();
        let settings = DevNetSettings {
            production: BlockProduction::OnTransaction,
            kept_blocks: 300,
            // Of some more blocks than are kept.
            drand: DrandSettings { kept_rounds: 2_000, ..Default::default() },
            ..Default::default()
        };
        let net = DevNet::start(settings).unwrap();
        net.admin().register_subnet(NETUID, parameters).unwrap();
        let own = [Neuron::validator(signer().public_key()), Neuron::validator(hotkey(1_000_000))];
        net.admin().register_neurons(NETUID, own).unwrap();
        net.admin().apply(vec![space()]).unwrap();
        let hub = DevHub::start().unwrap();
        let folder = root.path().join("publish");
        fs::create_dir_all(&folder).unwrap();
        write_model(&folder, 0);
        let teacher_revision = hub.publish(RepoKind::Model, TEACHER, &folder).unwrap();
        // The worker has it already.
        fs::create_dir_all(root.path().join("teacher")).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(folder.join(file), root.path().join("teacher").join(file)).unwrap();
        }
        let texts: String = (0..120)
            .map(|text| format!("{}\n", json!({ "text": format!("Text {text} says what it says. ").repeat(20) })))
            .collect();
        fs::write(root.path().join("texts.jsonl"), texts).unwrap();
        fs::write(root.path().join("prompts"), PROMPTS.to_string()).unwrap();
        fs::create_dir_all(root.path().join("faults")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = net.endpoint();
        let client = runtime.block_on(async {
            let rpc = RpcClient::from_insecure_url(endpoint).await.unwrap();
            OnlineClient::from_backend(LegacyBackend::builder().build(rpc).into()).await.unwrap()
        });
        let site = Site {
            chain: net.endpoint(),
            hub: hub.endpoint(),
            root: root.path().to_owned(),
            teacher_revision,
            beacon: net.admin().drand_public_key().to_bytes().to_vec(),
            now_ms: net.admin().time_ms(),
            prompts: PROMPTS,
            progress_ms: 60_000,
        };
        let clock = Arc::new(AtomicU64::new(site.now_ms));
        Self { net, hub, root, site, clock, heard: Heard::default(), runtime, client, sealed: 0 }
    }

    /// Weights in the open, no limits.
    pub(crate) fn open() -> Self {
        Self::new(Hyperparameters {
            tempo: Some(100),
            min_allowed_weights: Some(1),
            weights_rate_limit: Some(0),
            commit_reveal: Some(false),
            activity_cutoff: Some(400),
            ..Hyperparameters::default()
        })
    }

    /// Weights are sealed and revealed in the next epoch: a round or two later.
    pub(crate) fn sealed() -> Self {
        Self::new(Hyperparameters {
            tempo: Some(60),
            min_allowed_weights: Some(1),
            weights_rate_limit: Some(0),
            commit_reveal: Some(true),
            reveal_period_epochs: Some(1),
            activity_cutoff: Some(400),
            ..Hyperparameters::default()
        })
    }

    /// Gives a miner a new seat.
    pub(crate) fn register(&self, miners: impl IntoIterator<Item = u64>) -> Vec<Uid> {
        let neurons = miners.into_iter().map(|miner| Neuron::miner(hotkey(miner)));
        self.net.admin().register_neurons(NETUID, neurons).unwrap()
    }

    /// Gives a miner the seat of another one.
    pub(crate) fn replace(&self, uid: Uid, miner: u64) {
        self.net.admin().replace_neuron(NETUID, uid, Neuron::miner(hotkey(miner))).unwrap();
    }

    /// The seat of a hotkey.
    pub(crate) fn seat_of(&self, hotkey: &Hotkey) -> Option<Uid> {
        let snapshot = self.runtime.block_on(self.site.chain().snapshot(NETUID, Default::default())).unwrap();
        snapshot.neurons.iter().find(|neuron| neuron.hotkey == *hotkey).map(|neuron| neuron.uid)
    }

    /// Publishes a model whose weights follow from a seed.
    pub(crate) fn publish(&self, repo: &str, seed: u64) -> String {
        let folder = self.root.path().join("publish");
        write_model(&folder, seed);
        self.hub.publish(RepoKind::Model, repo, &folder).unwrap()
    }

    /// Commits a text, timelocked to the next block but one. Each commitment makes a block.
    pub(crate) fn commit_text(&mut self, miner: u64, text: &str) {
        self.sealed += 1;
        let mut randomness = [9; Randomness::BYTES];
        randomness[..8].copy_from_slice(&self.sealed.to_le_bytes());
        let drand = self.site.drand();
        let round = drand.round_at(self.net.admin().time_ms() + 12_000).unwrap();
        let payload = timelock::commitment_payload(text).unwrap();
        let randomness = Randomness::from_bytes(&randomness);
        let sealed = timelock::encrypt(&payload, round, drand.public_key(), randomness).unwrap();
        let fields = [("encrypted", Scale::from_bytes(&sealed)), ("reveal_round", Scale::u128(round.into()))];
        let field = Scale::named_variant("TimelockEncrypted", fields);
        let info = Scale::named_composite([("fields", Scale::unnamed_composite([field]))]);
        let arguments = vec![Scale::u128(NETUID.0.into()), info];
        let payload = subxt::dynamic::tx("Commitments", "set_commitment", arguments);
        let signer = keypair(miner);
        let client = &self.client;
        self.runtime.block_on(async {
            let at = client.at_current_block().await.unwrap();
            let parameters = DefaultExtrinsicParamsBuilder::new().mortal(64).build();
            at.transactions().sign_and_submit(&payload, &signer, parameters).await.unwrap();
        });
    }

    /// Commits a repository at a commit.
    pub(crate) fn commit(&mut self, miner: u64, repo: &str, revision: &str) {
        self.commit_text(miner, &json!({ "model": repo, "revision": revision }).to_string());
    }

    /// Publishes a model of this quality (a KL of so many ten thousandths) and has a miner commit it.
    pub(crate) fn enter(&mut self, miner: u64, quality: u64) -> String {
        let repo = repo(miner, quality);
        let revision = self.publish(&repo, 1000 + miner);
        self.commit(miner, &repo, &revision);
        repo
    }

    /// Goes on to the next round block, and sets the clock to its time.
    pub(crate) fn next_round_block(&mut self) -> u64 {
        let next = (self.net.admin().best_block().number / ROUND_BLOCKS + 1) * ROUND_BLOCKS;
        self.net.admin().produce_until(next).unwrap();
        self.site.now_ms = self.net.admin().time_ms();
        self.clock.store(self.site.now_ms, Ordering::SeqCst);
        next
    }

    /// What is to go wrong when a repository is scored; nothing: all is well again.
    pub(crate) fn fault(&self, repo: &str, fault: &str) {
        let file = fault_file(self.root.path(), repo);
        match fault {
            "" => fs::remove_file(file).unwrap(),
            fault => fs::write(file, fault).unwrap(),
        }
    }

    /// A validator in this process, which tells `heard`.
    pub(crate) fn validator(&self) -> Validator {
        let clock = Arc::clone(&self.clock);
        let clock = Box::new(move || clock.load(Ordering::SeqCst));
        self.site.validator_with(Box::new(self.heard.clone()), clock, self.site.settings(), Stop::default())
    }

    /// Goes to the next round block and has the validator do what is due; gives what it told.
    pub(crate) fn epoch(&mut self, validator: &mut Validator) -> Vec<Event> {
        self.next_round_block();
        let end = validator.epoch().unwrap();
        assert!(!matches!(end, EpochEnd::NotYet { .. }), "{end:?}");
        self.heard.take()
    }
}

/// As much room for commitments as a test may want.
fn space() -> Command {
    Command::SetGlobals { stake_threshold_rao: None, commit_reveal_version: None, max_commitment_space: Some(1 << 20) }
}

/// The repository of a miner with a model of this quality.
pub(crate) fn repo(miner: u64, quality: u64) -> String {
    format!("miner{miner}/q{quality}-s{miner}")
}
