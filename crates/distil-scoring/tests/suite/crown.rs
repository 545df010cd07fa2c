//! The look at the winner's repository between a decision and a crown.

use crate::common::{
    completed, confirmed, decided, finished, is_evaluated, miner, round_of, rules, scored, stopped, verdict,
};
use distil_scoring::{Crown, Decision, DisqualificationCode, FinishedRound, Integrity, Outcome, Verdict, decide};
use distil_types::MinerKey;
use serde_json::json;

/// King 1 at 0.1; 2 is the best, 3 the next, 4 is not enough and 5 was stopped.
fn round() -> FinishedRound {
    let king = completed(1, 0.1);
    let plan = round_of(Some(&king), &[miner(2), miner(3), miner(4), miner(5)]);
    finished(&plan, vec![scored(0.1), scored(0.05), scored(0.06), scored(0.0999), stopped(0.5, 0.1)])
}

/// Decides with what is found of each winner; says who was looked at, too.
fn with(look: impl Fn(MinerKey) -> Integrity) -> (Outcome, Vec<MinerKey>) {
    let mut asked = Vec::new();
    let outcome = confirmed(decide(&round(), &rules()), &mut |winner| {
        asked.push(winner);
        look(winner)
    });
    (outcome.into_outcome(), asked)
}

fn gone(proven: bool) -> Integrity {
    Integrity::Gone { proven, evidence: json!({ "status": 404 }) }
}

fn changed() -> Integrity {
    Integrity::Changed { evidence: json!({ "file": "model.safetensors" }) }
}

#[test]
fn the_winner_alone_is_looked_at() {
    let (outcome, asked) = with(|_| Integrity::Same);
    assert_eq!(asked, [miner(2).key]);
    assert_eq!(outcome.crown, Crown::Given { king: miner(2).key, dethroned: Some(miner(1).key) });
    assert_eq!(verdict(&outcome, &miner(3)), Verdict::BeatsKing);
    assert_eq!(outcome.evaluated.len(), 5);
    let Decision::Pending(crown) = decide(&round(), &rules()) else { panic!("somebody wins") };
    assert_eq!((crown.winner(), crown.commitment()), (miner(2).key, &miner(2).commitment));
}

#[test]
fn a5_and_a6_a_winner_that_is_not_what_was_measured_is_out_and_the_next_best_follows() {
    // Weights were swapped between check and crown, and repositories deleted after it; the original looked at neither.
    for (bad, code, name) in [
        (changed(), DisqualificationCode::Invalid, Verdict::Changed),
        (gone(true), DisqualificationCode::Removed, Verdict::Removed),
    ] {
        let (outcome, asked) = with(|winner| if winner == miner(2).key { bad.clone() } else { Integrity::Same });
        assert_eq!(asked, [miner(2).key, miner(3).key]);
        assert_eq!(outcome.crown.king(), Some(miner(3).key));
        assert_eq!(verdict(&outcome, &miner(2)), name);
        assert_eq!(outcome.disqualifications.len(), 1);
        assert_eq!((outcome.disqualifications[0].miner, outcome.disqualifications[0].code), (miner(2).key, code));
        assert!(!is_evaluated(&outcome, &miner(2)) && is_evaluated(&outcome, &miner(3)));
    }
    let (outcome, asked) = with(|_| changed());
    assert_eq!((asked.len(), outcome.disqualifications.len()), (2, 2));
    assert_eq!(outcome.crown, Crown::Unchanged { king: Some(miner(1).key) });
    assert_eq!(verdict(&outcome, &miner(1)), Verdict::KeepsCrown);
}

#[test]
fn c1_when_nobody_can_tell_nobody_is_crowned_and_nobody_is_lost() {
    for unclear in [Integrity::CantTell { reason: "HTTP 503".to_owned() }, gone(false)] {
        let (outcome, asked) = with(|_| unclear.clone());
        assert_eq!(asked, [miner(2).key], "the next best does not profit from a fault of the network");
        assert_eq!(outcome.crown, Crown::Unchanged { king: Some(miner(1).key) });
        assert!(outcome.disqualifications.is_empty());
        for contender in [miner(2), miner(3)] {
            assert_eq!(verdict(&outcome, &contender), Verdict::Unconfirmed);
            assert!(!is_evaluated(&outcome, &contender), "it takes part again");
        }
        assert_eq!(verdict(&outcome, &miner(1)), Verdict::KeepsCrown);
        assert!([miner(1), miner(4), miner(5)].iter().all(|miner| is_evaluated(&outcome, miner)));
    }
    // Also when the best is out already.
    let (outcome, _) = with(|winner| if winner == miner(2).key { changed() } else { gone(false) });
    assert_eq!(outcome.crown.king(), Some(miner(1).key));
    assert_eq!((verdict(&outcome, &miner(2)), verdict(&outcome, &miner(3))), (Verdict::Changed, Verdict::Unconfirmed));
}

#[test]
fn a_vacant_throne_stays_vacant_when_nobody_can_tell() {
    let round = finished(&round_of(None, &[miner(2)]), vec![scored(0.1)]);
    let unclear = Integrity::CantTell { reason: "timeout".to_owned() };
    let outcome = confirmed(decide(&round, &rules()), &mut |_| unclear.clone()).into_outcome();
    assert_eq!(outcome.crown, Crown::Unchanged { king: None });
    assert!(!is_evaluated(&outcome, &miner(2)));
}

#[test]
fn b8_the_winner_is_the_next_rounds_incumbent() {
    // Four challengers that had won lost their seat in the original, since nothing kept it.
    let outcome = decided(&round());
    let winner = outcome.crown.king().unwrap();
    assert_eq!(winner, miner(2).key);
    let next = crate::common::planned(Some(&completed(2, 0.05)), &[completed(1, 0.1), miner(9)]);
    assert_eq!((next.throne.king(), next.round.unwrap().students()[0].miner), (Some(winner), winner));
}
