//! The settings of `distil validate`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgMatches, ValueEnum};
use distil_chain::wallet::Wallet;
use distil_types::{ModelRef, NetUid, RepoId, Revision, SubnetProfile};
use serde::{Deserialize, Serialize};

use super::{
    DeviceChoice, DtypeChoice, FileSettings, Layering, Network, Probability, PromptCount, SettingLine, Temperature,
    Threads, TokenLimit, missing,
};
use crate::args::ValidateArgs;
use crate::exit::CommandError;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the layers together say. Something needed may still be missing; see [`ValidateLayers::decide`].
#[derive(Debug)]
pub(crate) struct ValidateLayers {
    network: Network,
    netuid: NetUid,
    wallet: Option<String>,
    hotkey: Option<String>,
    wallet_path: Option<PathBuf>,
    state: Option<PathBuf>,
    once: bool,
    teacher: Option<String>,
    source: Option<String>,
    cache: Option<PathBuf>,
    count: PromptCount,
    max_prompt_tokens: TokenLimit,
    max_new_tokens: TokenLimit,
    temperature: Option<Temperature>,
    top_p: Option<Probability>,
    worker: Option<String>,
    device: DeviceChoice,
    dtype: DtypeChoice,
    threads: Threads,
    max_challengers: PromptCount,
    checks_at_once: Threads,
    min_confidence: Option<Probability>,
    log_format: LogFormat,
    lines: Vec<SettingLine>,
}

/// A hotkey in a wallet.
#[derive(Debug)]
pub(crate) struct WalletHotkey {
    /// The wallet.
    pub(crate) wallet: Wallet,
    /// The name of the hotkey.
    pub(crate) hotkey: String,
}

/// All that `distil validate` is told.
#[derive(Debug)]
pub(crate) struct Validate {
    /// The chain.
    pub(crate) network: Network,
    /// The subnet, and what a student may be.
    pub(crate) profile: SubnetProfile,
    /// Who signs, where weights are to be set.
    pub(crate) signatory: Option<WalletHotkey>,
    /// The folder of all that is known.
    pub(crate) state: PathBuf,
    /// One epoch.
    pub(crate) once: bool,
    /// The commit of the teacher's repository, where it was given.
    pub(crate) teacher_revision: Option<Revision>,
    /// Where prompts come from, as given.
    pub(crate) source: String,
    /// Where lists and footers of it are kept.
    pub(crate) cache: Option<PathBuf>,
    /// Temperature and the share of the probability, where tokens are drawn.
    pub(crate) sampling: Option<(f64, f64)>,
    /// What runs a pass, where it is not this program.
    pub(crate) worker: Option<String>,
    /// Where it computes.
    pub(crate) device: DeviceChoice,
    /// In what.
    pub(crate) dtype: DtypeChoice,
    /// With how many threads.
    pub(crate) threads: Threads,
    /// The most challengers of a round.
    pub(crate) max_challengers: usize,
    /// Checks at the same time.
    pub(crate) checks_at_once: usize,
    /// What the paired test has to reach.
    pub(crate) min_confidence: Option<f64>,
    /// How log lines are written.
    pub(crate) log_format: LogFormat,
    /// Each setting with its origin.
    pub(crate) lines: Vec<SettingLine>,
}

const SECTION: &str = "validate";

impl ValidateLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &ValidateArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.validate;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let profile = SubnetProfile::sn97();
        let network = Some(Network::default());
        let network =
            layers.pick("network", "network", args.network.clone(), table.network.clone(), network).unwrap_or_default();
        let netuid =
            layers.pick("netuid", "netuid", args.netuid, table.netuid, Some(profile.netuid)).unwrap_or(profile.netuid);
        let wallet = layers.pick("wallet", "wallet", args.wallet.clone(), table.wallet.clone(), None);
        let hotkey = layers.pick("hotkey", "hotkey", args.hotkey.clone(), table.hotkey.clone(), None);
        let usual_folder = Wallet::default_folder(|name| std::env::var(name).ok()).ok();
        let wallet_path = layers.pick(
            "wallet_path",
            "wallet-path",
            args.wallet_path.clone(),
            table.wallet_path.clone(),
            usual_folder,
        );
        let state = layers.pick("state", "state", args.state.clone(), table.state.clone(), None);
        let once = layers.pick("once", "once", args.once, table.once, Some(false)).unwrap_or_default();
        let usual_teacher = Some(SubnetProfile::SN97_TEACHER.to_owned());
        let teacher = layers.pick("teacher", "teacher", args.teacher.clone(), table.teacher.clone(), usual_teacher);
        let usual_source = Some(SubnetProfile::SN97_SOURCE.to_owned());
        let source = layers.pick("source", "source", args.source.clone(), table.source.clone(), usual_source);
        let cache = layers.pick("cache", "cache", args.cache.clone(), table.cache.clone(), super::draw::usual_cache());
        let usual_count = PromptCount::literal(40);
        let count = layers.pick("count", "count", args.count, table.count, Some(usual_count)).unwrap_or(usual_count);
        let limit = TokenLimit::literal(1024);
        let max_prompt_tokens = layers
            .pick(
                "max_prompt_tokens",
                "max-prompt-tokens",
                args.max_prompt_tokens,
                table.max_prompt_tokens,
                Some(limit),
            )
            .unwrap_or(limit);
        let limit = TokenLimit::literal(512);
        let max_new_tokens = layers
            .pick("max_new_tokens", "max-new-tokens", args.max_new_tokens, table.max_new_tokens, Some(limit))
            .unwrap_or(limit);
        let temperature = layers.pick("temperature", "temperature", args.temperature, table.temperature, None);
        let usual_top_p = temperature.is_some().then_some(Probability::ONE);
        let top_p = layers.pick("top_p", "top-p", args.top_p, table.top_p, usual_top_p);
        let worker = layers.pick("worker", "worker", args.worker.clone(), table.worker.clone(), None);
        let device = layers
            .pick("device", "device", args.device, table.device, Some(DeviceChoice::Cpu))
            .unwrap_or(DeviceChoice::Cpu);
        let usual_dtype = match device {
            DeviceChoice::Cpu => DtypeChoice::F32,
            DeviceChoice::Cuda(_) => DtypeChoice::Bf16,
        };
        let dtype = layers.pick("dtype", "dtype", args.dtype, table.dtype, Some(usual_dtype)).unwrap_or(usual_dtype);
        let (usual_threads, origin) = Threads::usual();
        let threads = layers
            .pick_or("threads", "threads", args.threads, table.threads, Some(usual_threads), origin)
            .unwrap_or(usual_threads);
        let usual = PromptCount::literal(15);
        let max_challengers = layers
            .pick("max_challengers", "max-challengers", args.max_challengers, table.max_challengers, Some(usual))
            .unwrap_or(usual);
        let usual = Threads::literal(8);
        let checks_at_once = layers
            .pick("checks_at_once", "checks-at-once", args.checks_at_once, table.checks_at_once, Some(usual))
            .unwrap_or(usual);
        let min_confidence =
            layers.pick("min_confidence", "min-confidence", args.min_confidence, table.min_confidence, None);
        let usual = Some(LogFormat::Text);
        let log_format =
            layers.pick("log_format", "log-format", args.log_format, table.log_format, usual).unwrap_or_default();
        Self {
            network,
            netuid,
            wallet,
            hotkey,
            wallet_path,
            state,
            once,
            teacher,
            source,
            cache,
            count,
            max_prompt_tokens,
            max_new_tokens,
            temperature,
            top_p,
            worker,
            device,
            dtype,
            threads,
            max_challengers,
            checks_at_once,
            min_confidence,
            log_format,
            lines: layers.into_lines(),
        }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks that nothing is missing and that the parts fit.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting.
    pub(crate) fn decide(self) -> Result<Validate, CommandError> {
        let state = self.state.ok_or_else(|| missing(SECTION, "state", "no folder for the state", "a folder"))?;
        let signatory = match (self.wallet, self.hotkey) {
            (None, None) => None,
            (Some(_), None) => {
                let what = "a wallet is given, and no hotkey of it";
                return Err(missing(SECTION, "hotkey", what, "the hotkey's name"));
            }
            (None, Some(_)) => {
                let what = "a hotkey is given, and no wallet that it is in";
                return Err(missing(SECTION, "wallet", what, "the wallet's name"));
            }
            (Some(wallet), Some(hotkey)) => {
                let folder = self.wallet_path.ok_or_else(|| {
                    missing(SECTION, "wallet-path", "HOME is not set, so the wallets are not found", "their folder")
                })?;
                let wallet = Wallet::new(folder, &wallet).map_err(CommandError::usage)?;
                wallet.hotkey_file(&hotkey).map_err(CommandError::usage)?;
                Some(WalletHotkey { wallet, hotkey })
            }
        };
        let mut profile = SubnetProfile::sn97();
        let (teacher, teacher_revision) = teacher(self.teacher.as_deref().unwrap_or_default())?;
        profile.netuid = self.netuid;
        profile.teacher = teacher;
        profile.prompts = self.count.get();
        profile.max_prompt_tokens = self.max_prompt_tokens.get();
        profile.max_new_tokens = self.max_new_tokens.get();
        let sampling = match (self.temperature, self.top_p) {
            (Some(temperature), top_p) => Some((temperature.into(), top_p.unwrap_or(Probability::ONE).into())),
            (None, Some(_)) => {
                return Err(CommandError::usage(anyhow!("top-p has no effect on greedy continuations"))
                    .with_hint("give a temperature, too (--temperature 0.7), or leave it out"));
            }
            (None, None) => None,
        };
        Ok(Validate {
            network: self.network,
            profile,
            signatory,
            state,
            once: self.once,
            teacher_revision,
            source: self.source.unwrap_or_else(|| SubnetProfile::SN97_SOURCE.to_owned()),
            cache: self.cache,
            sampling,
            worker: self.worker,
            device: self.device,
            dtype: self.dtype,
            threads: self.threads,
            max_challengers: self.max_challengers.get(),
            checks_at_once: self.checks_at_once.get(),
            min_confidence: self.min_confidence.map(Into::into),
            log_format: self.log_format,
            lines: self.lines,
        })
    }
}

fn teacher(name: &str) -> Result<(RepoId, Option<Revision>), CommandError> {
    // Whether its repository answers tells a removed student's from a network's bad day, so it has to be one.
    let hint = "a validator's teacher is a repository of the Hugging Face Hub: give owner/repo[@revision]";
    match ModelRef::parse(name, |_| false) {
        Ok(ModelRef::Hub { repo, revision }) => Ok((repo, revision)),
        Ok(_) => Err(CommandError::usage(anyhow!("teacher {name} is a folder")).with_hint(hint)),
        Err(error) => Err(CommandError::usage(anyhow!(error)).with_hint(hint)),
    }
}
