//! The parts that layers are made of. Activations are packed: `[tokens, width]`, the tokens of all sequences one after
//! the other, without padding.

pub(crate) mod attention;
pub(crate) mod delta_net;
pub(crate) mod feed_forward;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod rotary;

use std::ops::Range;

use candle_core::Tensor;

use self::attention::KeyValueCache;
use self::delta_net::DeltaNetCache;
use self::rotary::RotaryTable;

/// Where a packed batch's tokens belong, and what is remembered of them.
pub(crate) enum Pass<'a> {
    /// Whole sequences from their first position on; `segments` are their rows.
    Prefill { segments: &'a [Range<usize>], rotary: &'a RotaryTable, keep: Option<&'a Keep> },
    /// One new token of each sequence in the cache, in order.
    Decode { rotary: &'a RotaryTable, slots: &'a Slots },
}

impl Pass<'_> {
    pub(crate) fn rotary(&self) -> &RotaryTable {
        match self {
            Self::Prefill { rotary, .. } | Self::Decode { rotary, .. } => rotary,
        }
    }
}

/// Where a prefill leaves its keys and values for the decoding that follows.
pub(crate) struct Keep {
    /// The row of the cache that the first segment gets.
    pub(crate) first_row: usize,
    /// Every sequence's newest token stands just before this slot of the cache.
    pub(crate) end: usize,
}

/// The slots of the key-value cache that hold tokens: those of sequence `i` from `starts[i]` to `end`. Sequences are
/// aligned at their end, so that a step writes one slot for all of them.
pub(crate) struct Slots {
    pub(crate) starts: Vec<usize>,
    pub(crate) end: usize,
}

/// What one layer remembers between the steps of a decoding.
pub(crate) enum LayerCache {
    KeyValue(KeyValueCache),
    DeltaNet(DeltaNetCache),
}

impl LayerCache {
    /// Keeps the sequences of the given rows only.
    pub(crate) fn select(&mut self, rows: &Tensor) -> candle_core::Result<()> {
        match self {
            Self::KeyValue(cache) => cache.select(rows),
            Self::DeltaNet(cache) => cache.select(rows),
        }
    }
}
