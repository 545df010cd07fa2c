use crate::{Disqualification, Integrity, Seat};
use distil_types::{MinerKey, Uid};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What has to be known to set weights, all of one fresh snapshot of the chain.
#[derive(Debug, Clone, Copy)]
pub struct WeightsInput<'a> {
    /// The king by the last decision, and what a look at its repository just found; `None` when there is no king.
    pub king: Option<(MinerKey, &'a Integrity)>,
    /// Every seat of the subnet.
    pub seats: &'a [Seat],
}

/// Whether weights are due, and to whom. Whether the chain holds them already is for its client to see, which reads them
/// and sends in one go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "weights", rename_all = "snake_case")]
pub enum Weights {
    /// 1.0 to this seat, 0 to all others.
    Send {
        /// The seat that the king has now.
        uid: Uid,
        /// The king.
        king: MinerKey,
    },
    /// Nothing is sent.
    Nothing {
        /// Why not.
        reason: NoWeights,
    },
    /// The king's repository is not what was crowned: nothing is sent, and the throne is vacant from now on.
    KingFalls {
        /// What is to be recorded.
        disqualification: Disqualification,
    },
}

/// Why no weights are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoWeights {
    /// There is no king.
    NoKing,
    /// The king's hotkey has no seat, or took it after its commitment.
    KingHasNoSeat,
    /// The snapshot can't be right: fewer than two neurons, or two seats of the king's hotkey.
    BadSnapshot,
}

impl fmt::Display for NoWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoWeights::NoKing => "there is no king",
            NoWeights::KingHasNoSeat => "the king is not registered on the subnet",
            NoWeights::BadSnapshot => "the snapshot of the chain can't be right",
        })
    }
}

impl Weights {
    /// The weights to send: the seat, with the whole weight of 1. The chain's client adds zeros where it has to.
    pub fn to_send(&self) -> Option<[(Uid, f64); 1]> {
        match self {
            Weights::Send { uid, .. } => Some([(*uid, 1.0)]),
            _ => None,
        }
    }
}

/// Says whether weights are to be sent, and to whom: all to the king, at the seat that its hotkey has in this snapshot.
///
/// A look at the king's repository that could not be finished takes nothing from it.
pub fn weights(input: WeightsInput<'_>) -> Weights {
    let nothing = |reason| Weights::Nothing { reason };
    let Some((king, integrity)) = input.king else { return nothing(NoWeights::NoKing) };
    if let Some(disqualification) = integrity.disqualifies(king) {
        return Weights::KingFalls { disqualification };
    }
    if input.seats.len() < 2 {
        return nothing(NoWeights::BadSnapshot);
    }
    let mut own = input.seats.iter().filter(|seat| seat.hotkey == king.hotkey);
    let uid = match (own.next(), own.next()) {
        (Some(seat), None) if seat.registered_at_block <= king.commit_block => seat.uid,
        (Some(_), Some(_)) => return nothing(NoWeights::BadSnapshot),
        _ => return nothing(NoWeights::KingHasNoSeat),
    };
    if input.seats.iter().filter(|seat| seat.uid == uid).count() != 1 {
        return nothing(NoWeights::BadSnapshot);
    }
    Weights::Send { uid, king }
}
