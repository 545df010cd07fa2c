//! Rows and rounds as Bittensor's own libraries have them; `checks/weights.sh --write FILE` wrote the numbers.

use distil_chain::{EpochSchedule, WeightPlan};
use distil_types::{NetUid, Uid};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    rows: Vec<Row>,
    /// Netuid, tempo, period, block, and the blocks from that one on until the round is to be out.
    arithmetic: Vec<(u16, u16, u64, u64, u64)>,
    /// The start of the next epoch, tempo, period, block, and the blocks.
    stateful: Vec<(u64, u16, u64, u64, u64)>,
}

#[derive(Deserialize)]
struct Row {
    neurons: u16,
    weights: Vec<(u16, f64)>,
    row: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../fixtures/weight_vectors.json")).unwrap()
}

#[test]
fn weights_become_the_values_of_bittensors_sdk() {
    let rows = vectors().rows;
    assert!(rows.len() >= 40);
    for Row { neurons, weights, row } in rows {
        let plan = WeightPlan::new(weights.iter().map(|(uid, weight)| (Uid(*uid), *weight))).unwrap();
        assert_eq!(plan.row(neurons, 0, |_| None).unwrap().to_string(), row, "{weights:?}");
    }
}

#[test]
fn rounds_are_those_of_bittensors_libraries_in_both_models_of_epochs() {
    let until_open = |schedule: EpochSchedule, commit_block, period| {
        schedule.open_block(schedule.reveal_block(commit_block, period))
    };
    let Vectors { arithmetic, stateful, .. } = vectors();
    assert!(arithmetic.len() >= 40 && stateful.len() >= 40);
    for (netuid, tempo, period, block, expected) in arithmetic {
        let schedule = EpochSchedule::BlockArithmetic { netuid: NetUid(netuid), tempo };
        // The SDK takes the epoch of the newest block; see the check.
        let found = until_open(schedule, block - 1, period) - block;
        assert_eq!(found, expected, "{netuid} {tempo} {period} {block}");
    }
    for (next_start, tempo, period, block, expected) in stateful {
        let schedule = EpochSchedule::Stateful { epoch: 5, next_start, tempo };
        let found = until_open(schedule, block + 1, period) - block;
        assert_eq!(found, expected, "{next_start} {tempo} {period} {block}");
    }
}
