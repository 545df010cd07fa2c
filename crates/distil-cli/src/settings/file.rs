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

use super::{DeviceChoice, DtypeChoice, Format, Probability, Temperature, Threads, TokenLimit};
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
}

/// The table `[score-local]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct ScoreLocalTable {
    pub(super) teacher: Option<String>,
    pub(super) student: Option<Vec<String>>,
    pub(super) prompts: Option<PathBuf>,
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
        for path in [&mut table.prompts, &mut table.out].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        for model in table.teacher.iter_mut().chain(table.student.iter_mut().flatten()) {
            let is_path = model.starts_with("./") || model.starts_with("../");
            let beside = folder.join(&*model);
            if (is_path || beside.is_dir())
                && let Some(beside) = beside.to_str()
            {
                *model = beside.to_owned();
            }
        }
        Ok(settings)
    }

    /// The file it was read from; empty where there was none.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
