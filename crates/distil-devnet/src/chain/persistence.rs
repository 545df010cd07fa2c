//! The chain in a file.

use super::{Block, Chain};
use crate::DevNetError;
use crate::settings::DevNetSettings;
use crate::state::Store;
use crate::types::account::H256;
use crate::types::system::Header;
use parity_scale_codec::{Compact, Decode, Encode};
use std::io::Write;
use std::path::Path;

const MAGIC: [u8; 16] = *b"distil-devnet v1";
/// A file of this size holds no devnet.
const MAX_FILE_BYTES: u64 = 4 << 30;
/// How many blocks are written, beside the best one.
const SAVED_BLOCKS: usize = 300;

#[derive(Encode, Decode)]
struct Saved {
    magic: [u8; 16],
    shape: Vec<u8>,
    genesis_hash: H256,
    upgraded_at: Vec<u32>,
    finalized: u32,
    time_moved_ms: u64,
    time_jump_ms: u64,
    skipped_rounds: Vec<u64>,
    forks: u32,
    blocks: Vec<SavedBlock>,
    values: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Encode, Decode)]
struct SavedBlock {
    header: Header,
    extrinsics: Vec<Vec<u8>>,
}

/// The settings that shape a chain: going on with others would make another one of it.
fn shape(settings: &DevNetSettings) -> Vec<u8> {
    (
        &settings.chain_name,
        Compact(settings.genesis_unix_ms),
        Compact(settings.block_time_ms),
        format!("{:?}", settings.epoch_model),
        settings.spec_version,
        settings.selective_metagraph,
        (&settings.drand.seed, settings.drand.genesis_unix_s, settings.drand.period_s),
    )
        .encode()
}

impl Chain {
    /// Writes the chain to its file, if it has one: to another name first, so that the file is never half a chain.
    pub(crate) fn save(&self) -> Result<(), DevNetError> {
        let Some(path) = &self.settings.state_file else { return Ok(()) };
        let skip = self.blocks.len().saturating_sub(SAVED_BLOCKS + 1);
        let blocks = self.blocks.iter().skip(skip);
        let saved = Saved {
            magic: MAGIC,
            shape: shape(&self.settings),
            genesis_hash: self.genesis_hash,
            upgraded_at: self.runtimes[1..].iter().map(|(from, _)| *from).collect(),
            finalized: self.finalized,
            time_moved_ms: self.time_moved_ms,
            time_jump_ms: self.time_jump_ms,
            skipped_rounds: self.skipped_rounds.iter().copied().collect(),
            forks: self.forks,
            blocks: blocks
                .map(|block| SavedBlock { header: block.header.clone(), extrinsics: block.extrinsics.clone() })
                .collect(),
            values: self.best_storage().all(),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&saved.encode())?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| DevNetError::File { path: path.clone(), source })
    }
}

/// Reads the chain that a file holds.
pub(super) fn load(settings: DevNetSettings, path: &Path) -> Result<Chain, DevNetError> {
    let file_error = |source| DevNetError::File { path: path.to_owned(), source };
    let wrong = |problem: &str| DevNetError::StateFile { path: path.to_owned(), problem: problem.to_owned() };
    if std::fs::metadata(path).map_err(file_error)?.len() > MAX_FILE_BYTES {
        return Err(wrong("it is larger than any devnet"));
    }
    let bytes = std::fs::read(path).map_err(file_error)?;
    if !bytes.starts_with(&MAGIC) {
        return Err(wrong("it holds no devnet of this version; name another file, or remove it to begin anew"));
    }
    let saved = Saved::decode(&mut &bytes[..]).map_err(|_| wrong("it is damaged; remove it to begin anew"))?;
    if saved.shape != shape(&settings) {
        return Err(wrong(
            "it holds a chain begun with other settings (name, times, epochs, spec version or beacon); start with \
             those, or remove it to begin anew",
        ));
    }
    let Some(best) = saved.blocks.last().map(|block| block.header.number) else {
        return Err(wrong("it holds no block; remove it to begin anew"));
    };
    let follows = |pair: &[SavedBlock]| pair[0].header.number.checked_add(1) == Some(pair[1].header.number);
    let upgrades_in_order = saved.upgraded_at.is_sorted();
    if !saved.blocks.windows(2).all(follows)
        || saved.finalized > best
        || !upgrades_in_order
        || saved.upgraded_at.len() > 100
    {
        return Err(wrong("its blocks do not follow each other; remove it to begin anew"));
    }

    let mut chain = Chain::empty(settings);
    for (upgrades, from) in (1..).zip(&saved.upgraded_at) {
        chain.runtimes.push((*from, Chain::runtime_after(&chain.settings, upgrades)));
    }
    for saved in saved.blocks {
        let block = Block::new(saved.header, saved.extrinsics, Vec::new());
        chain.numbers.insert(block.hash, block.number());
        chain.blocks.push_back(block);
    }
    chain.genesis_hash = saved.genesis_hash;
    // Storage is kept of the best block alone, so it is where clients have to start: it is final.
    chain.finalized = best;
    chain.time_moved_ms = saved.time_moved_ms;
    chain.time_jump_ms = saved.time_jump_ms;
    chain.skipped_rounds = saved.skipped_rounds.into_iter().collect();
    chain.forks = saved.forks;
    chain.store = Store::from_block(best, saved.values);
    Ok(chain)
}
