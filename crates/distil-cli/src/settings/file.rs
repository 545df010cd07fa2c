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

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;

use distil_types::{BlockHash, NetUid, Revision};

use super::{
    DeviceChoice, DtypeChoice, Format, Probability, ProfileChoice, PromptCount, SamplerChoice, Temperature, Threads,
    TokenLimit,
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
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
        let check = &mut settings.check;
        let sources = table.source.iter_mut().chain(&mut settings.prompts.source);
        let models = table.teacher.iter_mut().chain(table.student.iter_mut().flatten());
        let checked = check.model.iter_mut().chain(&mut check.teacher).chain(check.against.iter_mut().flatten());
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
