//! The settings of a draw of prompts, and those of `distil prompts`.

use std::path::PathBuf;

use clap::ArgMatches;
use distil_types::{BlockHash, BlockRef, NetUid, SubnetProfile};

use super::file::DrawTable;
use super::{FileSettings, Layering, PromptCount, SamplerChoice, SettingLine, Threads, missing};
use crate::args::{DrawArgs, PromptsArgs};
use crate::exit::CommandError;

/// What the layers together say of a draw.
#[derive(Debug)]
pub(crate) struct DrawLayers {
    source: Option<String>,
    block: Option<u64>,
    block_hash: Option<BlockHash>,
    count: PromptCount,
    sampler: SamplerChoice,
    netuid: NetUid,
    cache: Option<PathBuf>,
}

/// A draw, complete.
#[derive(Debug)]
pub(crate) struct Draw {
    /// Where from, as given.
    pub(crate) source: String,
    /// By which block.
    pub(crate) block: BlockRef,
    /// How many.
    pub(crate) count: usize,
    /// How.
    pub(crate) sampler: SamplerChoice,
    /// For which subnet.
    pub(crate) netuid: NetUid,
    /// Where lists and footers are kept, if anywhere.
    pub(crate) cache: Option<PathBuf>,
}

impl DrawLayers {
    pub(super) fn resolve(layers: &mut Layering<'_>, args: &DrawArgs, table: DrawTable) -> Self {
        let profile = SubnetProfile::sn97();
        let usual_count = PromptCount::literal(40);
        Self {
            source: layers.pick("source", "source", args.source.clone(), table.source, None),
            block: layers.pick("block", "block", args.block, table.block, None),
            block_hash: layers.pick("block_hash", "block-hash", args.block_hash, table.block_hash, None),
            count: layers.pick("count", "count", args.count, table.count, Some(usual_count)).unwrap_or(usual_count),
            sampler: layers
                .pick("sampler", "sampler", args.sampler, table.sampler, Some(SamplerChoice::Distil))
                .unwrap_or_default(),
            netuid: layers
                .pick("netuid", "netuid", args.netuid, table.netuid, Some(profile.netuid))
                .unwrap_or(profile.netuid),
            cache: layers.pick("cache", "cache", args.cache.clone(), table.cache, usual_cache()),
        }
    }

    /// The flag, if any, by which somebody asks for a draw.
    pub(super) fn is_asked_for(&self) -> Option<&'static str> {
        if self.source.is_some() {
            Some("--source")
        } else if self.block.is_some() {
            Some("--block")
        } else if self.block_hash.is_some() {
            Some("--block-hash")
        } else {
            None
        }
    }

    /// Checks that nothing is missing.
    pub(super) fn decide(self, section: &str) -> Result<Draw, CommandError> {
        let number = self
            .block
            .ok_or_else(|| missing(section, "block", "no block to draw prompts by", "the number of a block"))?;
        let hash = self.block_hash.ok_or_else(|| {
            missing(
                section,
                "block-hash",
                "no block hash: the prompts follow from it",
                "the block's 64 hexadecimal digits",
            )
        })?;
        Ok(Draw {
            source: self.source.unwrap_or_else(|| SubnetProfile::SN97_SOURCE.to_owned()),
            block: BlockRef { number, hash },
            count: self.count.get(),
            sampler: self.sampler,
            netuid: self.netuid,
            cache: self.cache,
        })
    }
}

/// The folder that the system keeps for such things, or none where it names none.
pub(super) fn usual_cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    caches.map(|caches| caches.join("distil"))
}

/// What the layers together say of `distil prompts`.
#[derive(Debug)]
pub(crate) struct PromptsLayers {
    draw: DrawLayers,
    threads: Threads,
    lines: Vec<SettingLine>,
}

/// All that `distil prompts` is told.
#[derive(Debug)]
pub(crate) struct PromptsSettings {
    /// What is drawn.
    pub(crate) draw: Draw,
    /// Documents read at the same time.
    pub(crate) threads: usize,
}

const SECTION: &str = "prompts";

impl PromptsLayers {
    /// Lays flags and environment over the file over the defaults.
    pub(crate) fn resolve(args: &PromptsArgs, matches: &ArgMatches, file: &FileSettings) -> Self {
        let table = &file.prompts;
        let mut layers = Layering::new(matches, file, Some(SECTION));
        let draw = DrawLayers::resolve(&mut layers, &args.draw, table.draw());
        // Waiting for the network, not computing.
        let usual = Threads::literal(8);
        let threads = layers.pick("threads", "threads", args.threads, table.threads, Some(usual)).unwrap_or(usual);
        Self { draw, threads, lines: layers.into_lines() }
    }

    /// Each setting with its origin.
    pub(crate) fn lines(&self) -> &[SettingLine] {
        &self.lines
    }

    /// Checks that nothing is missing.
    ///
    /// # Errors
    ///
    /// A usage error that names the setting and the ways to give it.
    pub(crate) fn decide(self) -> Result<PromptsSettings, CommandError> {
        Ok(PromptsSettings { draw: self.draw.decide(SECTION)?, threads: self.threads.get() })
    }
}
