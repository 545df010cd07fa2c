//! Who takes part in the demo.

use distil_chain::wallet::HotkeySigner;
use distil_types::Hotkey;

use super::models::{self, ModelFiles};

/// The teacher's repository.
pub(super) const TEACHER: &str = "pequod/teacher";

/// A miner, its model, and what it is up to.
pub(super) struct Miner {
    /// Its name in the story.
    pub(super) name: &'static str,
    /// The repository that it commits.
    pub(super) repo: &'static str,
    /// What is in there, in words.
    pub(super) what: &'static str,
    /// What is in there.
    pub(super) model: fn() -> anyhow::Result<ModelFiles>,
    /// It commits before the second round.
    pub(super) comes_later: bool,
}

/// In the order of their commitments.
pub(super) const MINERS: [Miner; 6] = [
    Miner {
        name: "Starbuck",
        repo: "starbuck/harpoon",
        what: "a trained student of 0.8 million parameters",
        model: || Ok(models::fair_student()),
        comes_later: false,
    },
    Miner {
        name: "Flask",
        repo: "flask/cabin",
        what: "a trained student with a layer taken out",
        model: || models::fair_student().without_layer(1),
        comes_later: false,
    },
    Miner {
        name: "Stubb",
        repo: "stubb/pipe",
        what: "Starbuck's weights, put into two files",
        model: || models::fair_student().in_two_files(),
        comes_later: false,
    },
    Miner {
        name: "Fedallah",
        repo: "fedallah/shadow",
        what: "Starbuck's weights, with noise on each of them",
        model: || models::fair_student().with_noise(0.002),
        comes_later: false,
    },
    Miner {
        name: "Bildad",
        repo: "bildad/ledger",
        what: "the teacher itself, under another name",
        model: || Ok(models::teacher()),
        comes_later: false,
    },
    Miner {
        name: "Queequeg",
        repo: "queequeg/coffin",
        what: "a trained student of 0.9 million parameters",
        model: || Ok(models::good_student()),
        comes_later: true,
    },
];

impl Miner {
    /// The miner's hotkey.
    pub(super) fn signer(&self) -> HotkeySigner {
        signer(self.name)
    }
}

/// A hotkey that is the same in every run: it is worth nothing anywhere.
pub(super) fn signer(name: &str) -> HotkeySigner {
    let mut seed = [0; 32];
    for (place, byte) in seed.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    HotkeySigner::from_seed(&seed)
}

/// Who a hotkey belongs to.
pub(super) fn name_of(hotkey: &Hotkey) -> String {
    let found = MINERS.iter().find(|miner| miner.signer().public_key() == *hotkey);
    found.map_or_else(|| hotkey.to_string(), |miner| miner.name.to_owned())
}
