//! The settings of `distil verify`.

use std::path::PathBuf;

use clap::ArgMatches;

use super::{DeviceChoice, DtypeChoice, FileSettings, Layering, SettingLine, Threads, missing};
use crate::args::VerifyArgs;
use crate::exit::CommandError;

/// What the layers together say.
#[derive(Debug)]
pub(crate) struct VerifyLayers {
    record: Option<PathBuf>,
    rescore: bool,
    draw: bool,
    source: Option<String>,
    cache: Option<PathBuf>,
    worker: Option<String>,
    device: DeviceChoice,
    dtype: DtypeChoice,
    threads: Threads,
    lines: Vec<SettingLine>,
}

/// All that `distil verify` is told.
#[derive(Debug)]
pub(crate) struct Verify {
    /// The folder of the record.
    pub(crate) record: PathBuf,
    /// Whether models are scored again.
    pub(crate) rescore: bool,
    /// Whether prompts are drawn again.
    pub(crate) prompts: bool,
    /// Where prompts are from, where the record does not tell.
    pub(crate) source: Option<String>,
    /// Where lists and footers of it are kept.
    pub(crate) cache: Option<PathBuf>,
    /// What runs a pass, where it is not this program.
    pub(crate) worker: Option<String>,
    /// Where it computes.
    pub(crate) device: DeviceChoice,
    /// In what.
    pub(crate) dtype: DtypeChoice,
    /// With how many threads.
    pub(crate) threads: Threads,
}

const SECTION: &str = "verify";

impl VerifyLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &VerifyArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.verify;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let record = layers.pick("record", "record", args.record.clone(), table.record.clone(), None);
        let rescore = layers.pick("rescore", "rescore", args.rescore, table.rescore, Some(false)).unwrap_or_default();
        let draw = layers.pick("draw", "draw", args.draw, table.draw, Some(true)).unwrap_or(true);
        let source = layers.pick("source", "source", args.source.clone(), table.source.clone(), None);
        let cache = layers.pick("cache", "cache", args.cache.clone(), table.cache.clone(), super::draw::usual_cache());
        let worker = layers.pick("worker", "worker", args.worker.clone(), table.worker.clone(), None);
        let device = layers
            .pick("device", "device", args.device, table.device, Some(DeviceChoice::Cpu))
            .unwrap_or(DeviceChoice::Cpu);
        let usual_dtype = match device {
            DeviceChoice::Cpu => DtypeChoice::F32,
            DeviceChoice::Cuda(_) => DtypeChoice::Bf16,
        };
        let dtype = layers.pick("dtype", "dtype", args.dtype, table.dtype, Some(usual_dtype)).unwrap_or(usual_dtype);
        let (usual, origin) = Threads::usual();
        let threads =
            layers.pick_or("threads", "threads", args.threads, table.threads, Some(usual), origin).unwrap_or(usual);
        Self { record, rescore, draw, source, cache, worker, device, dtype, threads, lines: layers.into_lines() }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks that nothing is missing.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting.
    pub(crate) fn decide(self) -> Result<Verify, CommandError> {
        let record = self.record.ok_or_else(|| missing(SECTION, "record", "no record to verify", "its folder"))?;
        Ok(Verify {
            record,
            rescore: self.rescore,
            prompts: self.draw,
            source: self.source,
            cache: self.cache,
            worker: self.worker,
            device: self.device,
            dtype: self.dtype,
            threads: self.threads,
        })
    }
}
