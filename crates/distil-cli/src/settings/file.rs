//! The settings file, `distil.toml`.
//!
//! A key is a flag's name without its dashes; what belongs to one command stands in that command's table.
//!
//! ```toml
//! format = "json"
//!
//! [score-local]
//! teacher = "models/teacher"
//! student = ["models/a", "models/b"]
//! max-new-tokens = 128
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use distil_types::{BlockHash, NetUid, Revision};

use super::{
    DeviceChoice, DtypeChoice, EpochChoice, Format, LogFormat, Network, Probability, ProfileChoice, PromptCount,
    SamplerChoice, Seconds, Temperature, Threads, TokenLimit,
};
use crate::exit::CommandError;
use crate::files::read_text;

/// No settings file comes near this.
const MAX_BYTES: u64 = 1 << 20;

/// What a settings file holds. A key it does not know is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct FileSettings {
    #[serde(skip)]
    path: PathBuf,
    pub(super) format: Option<Format>,
    pub(super) quiet: Option<bool>,
    pub(super) no_progress: Option<bool>,
    pub(super) score_local: ScoreLocalTable,
    pub(super) check: CheckTable,
    pub(super) prompts: PromptsTable,
    pub(super) commit: CommitTable,
    pub(super) devnet: DevnetTable,
    pub(super) demo: DemoTable,
    pub(super) validate: ValidateTable,
    pub(super) verify: VerifyTable,
}

/// The table `[score-local]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct ScoreLocalTable {
    pub(super) teacher: Option<String>,
    pub(super) student: Option<Vec<String>>,
    pub(super) prompts: Option<PathBuf>,
    source: Option<String>,
    block: Option<u64>,
    block_hash: Option<BlockHash>,
    count: Option<PromptCount>,
    sampler: Option<SamplerChoice>,
    netuid: Option<NetUid>,
    cache: Option<PathBuf>,
    pub(super) max_prompt_tokens: Option<TokenLimit>,
    pub(super) max_new_tokens: Option<TokenLimit>,
    pub(super) temperature: Option<Temperature>,
    pub(super) top_p: Option<Probability>,
    pub(super) seed: Option<u64>,
    pub(super) device: Option<DeviceChoice>,
    pub(super) dtype: Option<DtypeChoice>,
    pub(super) threads: Option<Threads>,
    pub(super) early_stop: Option<bool>,
    pub(super) out: Option<PathBuf>,
}

/// The table `[demo]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct DemoTable {
    pub(super) out: Option<PathBuf>,
    pub(super) threads: Option<Threads>,
}

/// The table `[validate]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct ValidateTable {
    pub(super) network: Option<Network>,
    pub(super) netuid: Option<NetUid>,
    pub(super) wallet: Option<String>,
    pub(super) hotkey: Option<String>,
    pub(super) wallet_path: Option<PathBuf>,
    pub(super) state: Option<PathBuf>,
    pub(super) once: Option<bool>,
    pub(super) teacher: Option<String>,
    pub(super) source: Option<String>,
    pub(super) cache: Option<PathBuf>,
    pub(super) count: Option<PromptCount>,
    pub(super) max_prompt_tokens: Option<TokenLimit>,
    pub(super) max_new_tokens: Option<TokenLimit>,
    pub(super) temperature: Option<Temperature>,
    pub(super) top_p: Option<Probability>,
    pub(super) worker: Option<String>,
    pub(super) device: Option<DeviceChoice>,
    pub(super) dtype: Option<DtypeChoice>,
    pub(super) threads: Option<Threads>,
    pub(super) max_challengers: Option<PromptCount>,
    pub(super) checks_at_once: Option<Threads>,
    pub(super) min_confidence: Option<Probability>,
    pub(super) log_format: Option<LogFormat>,
}

/// The table `[verify]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct VerifyTable {
    pub(super) record: Option<PathBuf>,
    pub(super) rescore: Option<bool>,
    pub(super) draw: Option<bool>,
    pub(super) source: Option<String>,
    pub(super) cache: Option<PathBuf>,
    pub(super) worker: Option<String>,
    pub(super) device: Option<DeviceChoice>,
    pub(super) dtype: Option<DtypeChoice>,
    pub(super) threads: Option<Threads>,
}

/// The table `[check]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct CheckTable {
    pub(super) model: Option<String>,
    pub(super) revision: Option<Revision>,
    pub(super) teacher: Option<String>,
    pub(super) against: Option<Vec<String>>,
    pub(super) profile: Option<ProfileChoice>,
    pub(super) download: Option<bool>,
    pub(super) threads: Option<Threads>,
}

/// The table `[prompts]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct PromptsTable {
    source: Option<String>,
    block: Option<u64>,
    block_hash: Option<BlockHash>,
    count: Option<PromptCount>,
    sampler: Option<SamplerChoice>,
    netuid: Option<NetUid>,
    cache: Option<PathBuf>,
    pub(super) threads: Option<Threads>,
}

/// The table `[commit]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct CommitTable {
    pub(super) model: Option<String>,
    pub(super) revision: Option<Revision>,
    pub(super) wallet: Option<String>,
    pub(super) hotkey: Option<String>,
    pub(super) wallet_path: Option<PathBuf>,
    pub(super) network: Option<Network>,
    pub(super) netuid: Option<NetUid>,
    pub(super) teacher: Option<String>,
    pub(super) profile: Option<ProfileChoice>,
    pub(super) reveal_after: Option<Seconds>,
    pub(super) wait_reveal: Option<bool>,
    pub(super) dry_run: Option<bool>,
    pub(super) yes: Option<bool>,
}

/// The table `[devnet]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct DevnetTable {
    pub(super) listen: Option<SocketAddr>,
    pub(super) state: Option<PathBuf>,
    pub(super) block_time: Option<Seconds>,
    pub(super) finality_lag: Option<u32>,
    pub(super) epoch_model: Option<EpochChoice>,
    pub(super) netuid: Option<NetUid>,
    pub(super) tempo: Option<u16>,
    pub(super) commit_reveal: Option<bool>,
    pub(super) register: Option<Vec<String>>,
    pub(super) register_validator: Option<Vec<String>>,
}

/// What both tables say of a draw.
#[derive(Debug, Clone)]
pub(super) struct DrawTable {
    pub(super) source: Option<String>,
    pub(super) block: Option<u64>,
    pub(super) block_hash: Option<BlockHash>,
    pub(super) count: Option<PromptCount>,
    pub(super) sampler: Option<SamplerChoice>,
    pub(super) netuid: Option<NetUid>,
    pub(super) cache: Option<PathBuf>,
}

impl ScoreLocalTable {
    pub(super) fn draw(&self) -> DrawTable {
        DrawTable {
            source: self.source.clone(),
            block: self.block,
            block_hash: self.block_hash,
            count: self.count,
            sampler: self.sampler,
            netuid: self.netuid,
            cache: self.cache.clone(),
        }
    }
}

impl PromptsTable {
    pub(super) fn draw(&self) -> DrawTable {
        DrawTable {
            source: self.source.clone(),
            block: self.block,
            block_hash: self.block_hash,
            count: self.count,
            sampler: self.sampler,
            netuid: self.netuid,
            cache: self.cache.clone(),
        }
    }
}

impl FileSettings {
    /// Reads a settings file. Paths in it are relative to the folder it stands in.
    pub(crate) fn read(path: &Path) -> Result<Self, CommandError> {
        let text = read_text(path, MAX_BYTES)
            .with_context(|| format!("cannot use settings file {}", path.display()))
            .map_err(CommandError::usage)?;
        let mut settings: Self = toml::from_str(&text)
            .map_err(|error| anyhow!("settings file {}: {error}", path.display()))
            .map_err(CommandError::usage)?;
        settings.path = path.to_owned();
        let folder = path.parent().unwrap_or(Path::new(""));
        let table = &mut settings.score_local;
        let paths = [&mut table.prompts, &mut table.out, &mut table.cache, &mut settings.prompts.cache];
        let validate = &mut settings.validate;
        let verify = &mut settings.verify;
        let of_chain = [
            &mut settings.commit.wallet_path,
            &mut settings.devnet.state,
            &mut settings.demo.out,
            &mut validate.wallet_path,
            &mut validate.state,
            &mut validate.cache,
            &mut verify.record,
            &mut verify.cache,
        ];
        for path in paths.into_iter().chain(of_chain).flatten() {
            // A home is a home, wherever the file stands.
            if !path.starts_with("~") {
                *path = folder.join(&*path);
            }
        }
        let check = &mut settings.check;
        let sources = table.source.iter_mut().chain(&mut settings.prompts.source);
        let sources = sources.chain(&mut validate.source).chain(&mut verify.source);
        let models = table.teacher.iter_mut().chain(table.student.iter_mut().flatten());
        let checked = check.model.iter_mut().chain(&mut check.teacher).chain(check.against.iter_mut().flatten());
        let checked = checked.chain(&mut settings.commit.teacher);
        for name in models.chain(checked).chain(sources) {
            let is_path = name.starts_with("./") || name.starts_with("../");
            let beside = folder.join(&*name);
            if (is_path || beside.exists())
                && let Some(beside) = beside.to_str()
            {
                *name = beside.to_owned();
            }
        }
        Ok(settings)
    }

    /// The file it was read from; empty where there was none.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
