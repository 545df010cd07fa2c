//! Who gets the weight.

use crate::common::{hotkey, miner};
use distil_scoring::{DisqualificationCode, Integrity, NoWeights, Seat, Weights, WeightsInput, weights};
use distil_types::{MinerKey, Uid};
use proptest::prelude::*;
use serde_json::json;

fn seats(names: std::ops::Range<u16>) -> Vec<Seat> {
    names.map(|name| Seat { uid: Uid(name + 100), hotkey: hotkey(name), registered_at_block: 1 }).collect()
}

fn input<'a>(king: Option<(MinerKey, &'a Integrity)>, seats: &'a [Seat]) -> WeightsInput<'a> {
    WeightsInput { king, seats }
}

const SAME: &Integrity = &Integrity::Same;

#[test]
fn all_goes_to_the_seat_that_the_kings_hotkey_has_now() {
    let king = miner(7).key;
    let seats = seats(0..20);
    let sent = weights(input(Some((king, SAME)), &seats));
    assert_eq!(sent, Weights::Send { uid: Uid(107), king });
    assert_eq!(sent.to_send(), Some([(Uid(107), 1.0)]));
}

#[test]
fn b2_and_s0_3_no_weight_goes_to_a_seat_that_changed_hands() {
    // The original sent weight to the UID it had kept, whoever sat there, disqualified or not, and passed silently
    // over one beyond the end of a stale list.
    let king = miner(7).key;
    let mut taken = seats(0..20);
    taken[7].hotkey = hotkey(300);
    let nothing = Weights::Nothing { reason: NoWeights::KingHasNoSeat };
    assert_eq!(weights(input(Some((king, SAME)), &taken)), nothing);
    assert_eq!(weights(input(Some((king, SAME)), &seats(0..7))), nothing);
    // The hotkey came back after its commitment: that registration has no king.
    let mut again = seats(0..20);
    again[7].registered_at_block = king.commit_block + 1;
    assert_eq!(weights(input(Some((king, SAME)), &again)), nothing);
    assert_eq!(weights(input(None, &again)), Weights::Nothing { reason: NoWeights::NoKing });
}

#[test]
fn b1_a_snapshot_that_cannot_be_right_sets_nothing() {
    // One neuron, after a bad synchronisation: the original set weights from it.
    let king = miner(5).key;
    let nothing = Weights::Nothing { reason: NoWeights::BadSnapshot };
    for count in [0, 1] {
        assert_eq!(weights(input(Some((king, SAME)), &seats(5..5 + count))), nothing);
    }
    let mut twice = seats(5..9);
    twice[3].hotkey = hotkey(5);
    assert_eq!(weights(input(Some((king, SAME)), &twice)), nothing);
    let mut one_uid = seats(5..9);
    one_uid[3].uid = one_uid[0].uid;
    assert_eq!(weights(input(Some((king, SAME)), &one_uid)), nothing);
}

#[test]
fn a6_the_kings_repository_is_looked_at_before_weights_too() {
    let king = miner(7).key;
    let seats = seats(0..20);
    let evidence = json!({ "status": 404 });
    for (integrity, code) in [
        (Integrity::Gone { proven: true, evidence: evidence.clone() }, DisqualificationCode::Removed),
        (Integrity::Changed { evidence: evidence.clone() }, DisqualificationCode::Invalid),
    ] {
        let Weights::KingFalls { disqualification } = weights(input(Some((king, &integrity)), &seats)) else {
            panic!("{integrity:?}");
        };
        assert_eq!(
            (disqualification.miner, disqualification.code, disqualification.evidence),
            (king, code, evidence.clone())
        );
    }
    for unclear in [Integrity::CantTell { reason: "HTTP 503".to_owned() }, Integrity::Gone { proven: false, evidence }]
    {
        assert_eq!(weights(input(Some((king, &unclear)), &seats)), Weights::Send { uid: Uid(107), king });
    }
}

proptest! {
    #[test]
    fn weights_sum_to_one_or_are_not_sent(
        king in prop::option::of(0..30u16),
        names in prop::collection::vec((0..30u16, 0..300u64), 0..30),
        order in any::<u64>(),
    ) {
        let seats: Vec<Seat> = names
            .iter()
            .enumerate()
            .map(|(uid, &(name, registered_at_block))| Seat { uid: Uid(uid as u16), hotkey: hotkey(name), registered_at_block })
            .collect();
        let king = king.map(|name| miner(name).key);
        let input = input(king.map(|king| (king, SAME)), &seats);
        let result = weights(input);
        if let Some(sent) = result.to_send() {
            prop_assert_eq!(sent.iter().map(|(_, weight)| weight).sum::<f64>(), 1.0);
            let owner: Vec<_> = seats.iter().filter(|seat| seat.uid == sent[0].0).collect();
            prop_assert_eq!(owner.len(), 1);
            prop_assert_eq!(Some(owner[0].hotkey), king.map(|king| king.hotkey));
        }
        // The order of seats does not matter.
        let mut turned = seats.clone();
        turned.rotate_left(order as usize % seats.len().max(1));
        prop_assert_eq!(weights(WeightsInput { seats: &turned, ..input }), result);
    }
}
