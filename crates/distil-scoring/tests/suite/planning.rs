//! Who is eligible, and when there is a round.

use crate::common::{block, completed, evaluation, hotkey, miner, miner_at, planned, rules, settings};
use distil_scoring::{
    CheckVerdict, Disqualification, DisqualificationCode, Error, EvaluationResult, Miner, NearCopy, NotEligible, Role,
    RoundPlan, Rules, Seat, Standing, Throne, Vacancy, challengers_in_turn, interruption_wait_s, plan, standings,
};
use distil_types::{MinerKey, Uid};
use proptest::prelude::*;
use serde_json::json;

fn disqualified(name: u16, code: DisqualificationCode) -> Miner {
    let miner = miner(name);
    let disqualification =
        Disqualification { miner: miner.key, code, sentence: "seen twice".to_owned(), evidence: json!({}) };
    Miner { disqualification: Some(disqualification), ..miner }
}

fn names(plan: &RoundPlan) -> Vec<(MinerKey, Role)> {
    plan.students().iter().map(|student| (student.miner, student.role)).collect()
}

#[test]
fn each_reason_is_told_in_a_sentence() {
    let mut cases = vec![
        (miner(1), "waits for its evaluation"),
        (Miner { check: CheckVerdict::NotChecked, ..miner(2) }, "not been checked"),
        (Miner { check: CheckVerdict::Waiting { reason: "HTTP 503".to_owned() }, ..miner(3) }, "HTTP 503"),
        (Miner { check: CheckVerdict::Invalid { codes: vec!["quantized".to_owned()] }, ..miner(4) }, "quantized"),
        (Miner { seat: None, ..miner(5) }, "not registered"),
        (Miner { failures: 3, ..miner(6) }, "3 times"),
        (Miner { unproven: Some("older entries are gone".to_owned()), ..miner(7) }, "older entries are gone"),
        (disqualified(8, DisqualificationCode::Copy), "COPY: seen twice"),
        (completed(9, 0.1), "completed"),
    ];
    cases.push((Miner { commitment: miner(1).commitment, ..miner(10) }, "committed the same model"));
    let miners: Vec<Miner> = cases.iter().map(|(miner, _)| miner.clone()).collect();
    let standings = standings(&miners).unwrap();
    for (miner, part) in &cases {
        let sentence = standings[&miner.key].to_string();
        assert!(sentence.contains(part), "{part:?} is not in {sentence:?}");
    }
    let eligible: Vec<_> = standings.values().filter(|standing| standing.is_eligible()).collect();
    assert_eq!(eligible.len(), 2);
    let json = serde_json::to_string(&standings).unwrap();
    assert_eq!(serde_json::from_str::<std::collections::BTreeMap<MinerKey, Standing>>(&json).unwrap(), standings);
}

#[test]
fn the_king_comes_first_and_then_the_earlier_commitment() {
    let king = miner_at(9, 900);
    let (late, early, other) = (miner_at(1, 500), miner_at(2, 100), miner_at(3, 100));
    let plan = planned(Some(&king), &[late.clone(), king.clone(), other.clone(), early.clone()]);
    assert_eq!(plan.throne, Throne::Held { king: king.key });
    let round = plan.round.unwrap();
    let expected = [
        (king.key, Role::King),
        (early.key, Role::Challenger),
        (other.key, Role::Challenger),
        (late.key, Role::Challenger),
    ];
    assert_eq!(names(&round), expected);
    let read: RoundPlan = serde_json::from_str(&serde_json::to_string(&round).unwrap()).unwrap();
    assert_eq!(read, round);
}

#[test]
fn b9_a_king_alone_needs_no_round() {
    // The original measured its king again and again with nobody to compare it with.
    let king = completed(1, 0.1);
    let others = [king.clone(), completed(2, 0.05), Miner { seat: None, ..miner(3) }];
    let plan = planned(Some(&king), &others);
    assert_eq!((plan.throne.king(), plan.round), (Some(king.key), None));
}

#[test]
fn nobody_at_all_needs_no_round() {
    let plan =
        planned(None, &[Miner { seat: None, ..completed(1, 0.1) }, disqualified(2, DisqualificationCode::Invalid)]);
    assert_eq!((plan.throne, plan.round), (Throne::Vacant { why: Vacancy::NoKing }, None));
}

#[test]
fn a_vacant_throne_brings_back_the_five_best_that_are_still_eligible() {
    let mut miners: Vec<Miner> = (1..=8).map(|name| completed(name, 0.01 * f64::from(10 - name))).collect();
    // The best of all is gone, the second can no longer be loaded, the third stopped early: none of them returns.
    miners[7].seat = None;
    miners[6].failures = 3;
    miners.push(Miner { evaluation: Some(evaluation(EvaluationResult::StoppedEarly, Some(0.001))), ..miner(11) });
    miners.push(Miner { evaluation: Some(evaluation(EvaluationResult::OutOfRange, Some(1e-9))), ..miner(12) });
    let without = planned(None, &miners).round.unwrap();
    let expected: Vec<_> = (2..=6).map(|name| (miner(name).key, Role::Returning)).collect();
    assert_eq!(names(&without), expected);
    miners.push(miner(20));
    let with = planned(None, &miners).round.unwrap();
    assert_eq!(with.students().len(), 6);
    assert_eq!(names(&with)[5], (miner(20).key, Role::Challenger));
}

#[test]
fn the_throne_is_vacant_only_for_a_reason_of_the_kings_own() {
    let king = completed(1, 0.1);
    let challenger = miner(2);
    type Is = fn(&NotEligible) -> bool;
    let lost: [(Miner, Is); 6] = [
        (Miner { seat: None, ..king.clone() }, |why| *why == NotEligible::NotRegistered),
        (
            Miner { seat: Some(Seat { uid: Uid(1), hotkey: hotkey(7), registered_at_block: 1 }), ..king.clone() },
            |why| *why == NotEligible::NotRegistered,
        ),
        (
            Miner { seat: Some(Seat { uid: Uid(5), hotkey: hotkey(1), registered_at_block: 11 }), ..king.clone() },
            |why| *why == NotEligible::EarlierRegistration { registered_at_block: 11 },
        ),
        (disqualified(1, DisqualificationCode::Removed), |why| matches!(why, NotEligible::Disqualified { .. })),
        (Miner { check: CheckVerdict::Invalid { codes: Vec::new() }, ..king.clone() }, |why| {
            matches!(why, NotEligible::Invalid { .. })
        }),
        (Miner { failures: 3, ..king.clone() }, |why| *why == NotEligible::Failed { failures: 3 }),
    ];
    for (king, expected) in lost {
        match planned(Some(&king), &[king.clone(), challenger.clone()]).throne {
            Throne::Vacant { why: Vacancy::KingLost { king: lost, reason } } => {
                assert!(lost == king.key && expected(&reason), "{reason:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // What may be the network's fault, or the chain's short memory, takes no crown.
    for king in [
        Miner { check: CheckVerdict::Waiting { reason: "HTTP 429".to_owned() }, ..king.clone() },
        Miner { check: CheckVerdict::NotChecked, ..king.clone() },
        Miner { unproven: Some("trimmed".to_owned()), ..king.clone() },
        Miner { failures: 2, ..king.clone() },
        Miner { near_copy: Some(NearCopy { of: challenger.key, evidence: json!({}) }), ..king.clone() },
    ] {
        assert_eq!(planned(Some(&king), &[king.clone(), challenger.clone()]).throne, Throne::Held { king: king.key });
    }
}

#[test]
fn d12_a_round_has_a_cap_and_the_rest_wait_their_turn() {
    // A fault in the original's choice once put 82 models into one round.
    let miners: Vec<Miner> = (1..=82).map(miner).collect();
    let rules = rules().with_challengers_per_round(8).unwrap();
    let king = miner_at(100, 5);
    let first = plan(block(1000), &settings(), Some(&king), &miners, &rules).unwrap();
    let round = first.round.unwrap();
    assert_eq!(round.students().len(), 9);
    assert!(round.students()[1..].iter().map(|student| student.miner).eq(miners[..8].iter().map(|miner| miner.key)));
    assert!(first.postponed.iter().copied().eq(miners[8..].iter().map(|miner| miner.key)));
    assert_eq!(Rules::CHALLENGERS_PER_ROUND, 15);
}

#[test]
fn c7_who_is_interrupted_again_and_again_keeps_nobody_from_a_place() {
    // Fifteen early commitments whose passes never end would otherwise fill each round, for ever.
    let interrupted = |name, interruptions| Miner { interruptions, ..miner(name) };
    let mut miners: Vec<Miner> = (1..=15).map(|name| interrupted(name, u32::from(name))).collect();
    miners.extend([miner(40), miner(30), interrupted(50, 1)]);
    let king = miner_at(100, 5);
    let plan = planned(Some(&king), &miners);
    let taken: Vec<MinerKey> = plan.round.unwrap().students()[1..].iter().map(|student| student.miner).collect();
    for name in [30, 40, 50] {
        assert!(taken.contains(&miner(name).key), "{name}");
    }
    assert_eq!(plan.postponed, [13, 14, 15].map(|name| miner(name).key), "those interrupted most often wait");
    assert!(taken.is_sorted(), "a round's students run in the order of their commitments all the same");
    let turns = challengers_in_turn(&miners, &plan.standings);
    let first: Vec<MinerKey> = turns[..4].iter().map(|miner| miner.key).collect();
    assert_eq!(first, [30, 40, 1, 50].map(|name| miner(name).key));
}

proptest! {
    #[test]
    fn waits_after_interruptions_grow_to_a_day_and_no_further(interruptions: u32) {
        let (wait_s, next_s) = (interruption_wait_s(interruptions), interruption_wait_s(interruptions.saturating_add(1)));
        prop_assert!((600..=86_400).contains(&wait_s) && wait_s <= next_s && next_s <= 2 * wait_s);
        prop_assert!(interruptions < 9 || wait_s == 86_400);
    }
}

#[test]
fn d11_a_bad_score_is_a_score() {
    // The original measured a miner with a KL of 11.36 again in every round, in the place of others.
    let bad = Miner { evaluation: Some(evaluation(EvaluationResult::OutOfRange, Some(11.36))), ..miner(18) };
    let king = completed(1, 0.1);
    assert_eq!(planned(Some(&king), std::slice::from_ref(&bad)).round, None);
    // Nor does it come back for a vacant throne.
    assert_eq!(planned(None, &[bad]).round, None);
}

#[test]
fn a10_one_model_of_two_hotkeys_is_the_earlier_ones() {
    // The original went from the model's name to one of its miners, and the crown to the wrong one.
    let first = miner(100);
    let second = Miner { commitment: first.commitment.clone(), ..miner_at(101, 2000) };
    let same_block = Miner { commitment: first.commitment.clone(), ..miner_at(102, first.key.commit_block) };
    for miners in
        [[first.clone(), second.clone(), same_block.clone()], [same_block.clone(), second.clone(), first.clone()]]
    {
        let plan = planned(None, &miners);
        assert_eq!(names(&plan.round.unwrap()), [(first.key, Role::Challenger)]);
        for later in [&second, &same_block] {
            let standing = &plan.standings[&later.key];
            assert_eq!(*standing, Standing::NotEligible { reason: NotEligible::SameCommitment { earlier: first.key } });
        }
    }
    // Another revision of the same repository is another model, for the checks and copy tests to look at.
    let mut revised = second.clone();
    revised.commitment.revision = "ff".repeat(20).parse().unwrap();
    assert_eq!(planned(None, &[first.clone(), revised]).round.unwrap().students().len(), 2);
    // The earlier commitment stays the earlier one when its miner has left.
    let left = Miner { seat: None, ..first.clone() };
    assert_eq!(planned(None, &[left, second]).round, None);
}

#[test]
fn s0_14_two_miners_of_one_repository_do_not_collapse_into_one() {
    // The original's map from model to UID kept the last of them: the first was never evaluated.
    let first = miner(3);
    let mut second = miner(4);
    second.commitment.model = first.commitment.model.clone();
    let round = planned(None, &[first.clone(), second.clone()]).round.unwrap();
    assert_eq!(names(&round), [(first.key, Role::Challenger), (second.key, Role::Challenger)]);
}

#[test]
fn a_hotkey_that_registers_again_copies_nobody_by_its_own_model() {
    let before = Miner { seat: None, ..miner(5) };
    let mut after = Miner { commitment: before.commitment.clone(), ..miner_at(5, 700) };
    after.seat = Some(Seat { uid: Uid(77), hotkey: hotkey(5), registered_at_block: 600 });
    assert_eq!(names(&planned(None, &[before, after.clone()]).round.unwrap()), [(after.key, Role::Challenger)]);
}

#[test]
fn b2_a_uid_that_changes_hands_passes_nothing_on() {
    // The original kept bans, scores and hashes by UID: an innocent miner inherited them, or was crowned by them.
    let seat = |name| Some(Seat { uid: Uid(219), hotkey: hotkey(name), registered_at_block: 1 });
    for before in [
        disqualified(1, DisqualificationCode::Copy),
        completed(1, 0.01),
        Miner { failures: 3, ..miner(1) },
        Miner { check: CheckVerdict::Invalid { codes: vec!["quantized".to_owned()] }, ..miner(1) },
    ] {
        // The seat is the newcomer's now; the record of the old miner still names it.
        let before = Miner { seat: seat(2), ..before };
        let newcomer = Miner { seat: seat(2), ..miner(2) };
        let plan = planned(Some(&before), &[before.clone(), newcomer.clone()]);
        assert_eq!(plan.throne.king(), None);
        assert_eq!(plan.standings[&newcomer.key], Standing::Challenger);
        assert!(!plan.standings[&before.key].is_eligible());
        assert_eq!(names(&plan.round.unwrap()), [(newcomer.key, Role::Challenger)]);
    }
}

#[test]
fn s0_6_and_s0_19_bans_failures_and_scores_are_of_one_commitment() {
    // The original kept them by UID and for ever: neither a new hotkey nor a new commitment got rid of them.
    for old in [disqualified(1, DisqualificationCode::Removed), Miner { failures: 3, ..miner(1) }, completed(1, 0.2)] {
        let mut again = miner_at(1, 900);
        again.commitment.revision = "bb".repeat(20).parse().unwrap();
        again.seat = Some(Seat { uid: Uid(1), hotkey: hotkey(1), registered_at_block: 850 });
        let old = Miner { seat: again.seat, ..old };
        let plan = planned(None, &[old.clone(), again.clone()]);
        assert_eq!(plan.standings[&again.key], Standing::Challenger);
        assert!(!plan.standings[&old.key].is_eligible());
    }
}

#[test]
fn a11_a_ban_is_of_a_miner_and_of_nothing_else() {
    // Bans of coldkeys and of Hub users came and went within a day: nothing ties them to the hotkey.
    let banned = disqualified(1, DisqualificationCode::Copy);
    let mut neighbour = miner(2);
    neighbour.commitment.model = "miner-1/another".parse().unwrap();
    assert_eq!(planned(None, &[banned, neighbour.clone()]).standings[&neighbour.key], Standing::Challenger);
}

#[test]
fn b6_a_miner_that_left_is_not_king_by_its_old_score() {
    // The original crowned a UID without a commitment, whose best score was in its file.
    let left = Miner { seat: None, ..completed(119, 0.001) };
    let plan = planned(Some(&left), &[left.clone(), completed(2, 0.2)]);
    assert!(matches!(plan.throne, Throne::Vacant { .. }));
    assert!(plan.round.unwrap().students().iter().all(|student| student.miner != left.key));
}

#[test]
fn s0_7_and_c1_a_check_that_could_not_be_finished_is_not_an_answer() {
    // The original disqualified on it, for good.
    let waiting = Miner { check: CheckVerdict::Waiting { reason: "HTTP 429".to_owned() }, ..miner(1) };
    assert!(matches!(planned(None, std::slice::from_ref(&waiting)).standings[&waiting.key], Standing::Waiting { .. }));
    assert_eq!(planned(None, &[waiting]).round, None);
}

#[test]
fn entries_that_contradict_each_other_are_refused() {
    assert_eq!(standings(&[miner(1), completed(1, 0.1)]), Err(Error::MinerTwice { miner: miner(1).key }));
    let mut none = settings();
    none.prompts = 0;
    let refused = plan(block(50), &none, None, &[miner(1)], &rules());
    assert!(matches!(refused, Err(Error::InvalidPlan { .. })), "{refused:?}");
}

#[test]
fn a_plan_that_was_tampered_with_is_not_read() {
    let king = completed(1, 0.1);
    let round = planned(Some(&king), &[king.clone(), miner(2), miner(3)]).round.unwrap();
    let good = serde_json::to_value(&round).unwrap();
    let changes: [fn(&mut serde_json::Value); 8] = [
        |plan| plan["block"]["number"] = 1050.into(),
        |plan| plan["settings"]["prompts"] = 13.into(),
        |plan| plan["students"].as_array_mut().unwrap().swap(1, 2),
        |plan| plan["students"].as_array_mut().unwrap().swap(0, 1),
        |plan| plan["students"].as_array_mut().unwrap().truncate(1),
        |plan| plan["students"][1] = plan["students"][2].clone(),
        |plan| plan["students"][2]["role"] = "king".into(),
        |plan| plan["throne"] = json!({ "throne": "vacant", "why": { "why": "no_king" } }),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(serde_json::from_value::<RoundPlan>(bad).is_err(), "change {index}");
    }
    assert_eq!(serde_json::from_value::<RoundPlan>(good).unwrap(), round);
}

/// A miner in any state, of one of a few hotkeys and models.
fn any_miner() -> impl Strategy<Value = Miner> {
    let check = prop_oneof![
        4 => Just(CheckVerdict::Passed),
        1 => Just(CheckVerdict::NotChecked),
        1 => Just(CheckVerdict::Waiting { reason: "HTTP 503".to_owned() }),
        1 => Just(CheckVerdict::Invalid { codes: vec!["quantized".to_owned()] }),
    ];
    let evaluated = prop::option::of((0..3u8, 0.01..1.0_f64));
    let (of, registered) = (0..12u16, prop_oneof![1 => Just(None), 5 => Just(Some(1)), 1 => Just(Some(500))]);
    (0..12u16, of, 0..40u64, registered, check, 0..4u8, evaluated, prop::bool::weighted(0.1)).prop_map(
        |(name, model, tens, registered, check, failures, evaluated, banned)| {
            let result = [EvaluationResult::Completed, EvaluationResult::StoppedEarly, EvaluationResult::OutOfRange];
            let mut it = miner_at(name, 10 * tens);
            it.commitment = miner(model).commitment;
            it.seat = registered.map(|registered_at_block| Seat {
                uid: Uid(name),
                hotkey: hotkey(name),
                registered_at_block,
            });
            it.evaluation = evaluated.map(|(kind, kl)| evaluation(result[usize::from(kind)], Some(kl)));
            it.disqualification =
                banned.then(|| disqualified(1, DisqualificationCode::Copy).disqualification).flatten();
            Miner { check, failures, ..it }
        },
    )
}

proptest! {
    #[test]
    fn order_and_uids_change_nothing(
        (miners, shuffled) in prop::collection::btree_map(0..1000u64, any_miner(), 0..12).prop_flat_map(|miners| {
            let mut seen = std::collections::BTreeSet::new();
            let miners: Vec<_> = miners.into_values().filter(|miner| seen.insert(miner.key)).collect();
            (Just(miners.clone()), Just(miners).prop_shuffle())
        }),
        king in prop::option::of(0..12usize),
        offset in any::<u16>(),
    ) {
        let king = king.and_then(|index| miners.get(index)).cloned();
        let moved = |miner: &Miner| {
            let mut miner = miner.clone();
            if let Some(seat) = &mut miner.seat {
                seat.uid = Uid(seat.uid.0.wrapping_add(offset) ^ 0x5a5a);
            }
            miner
        };
        let before = planned(king.as_ref(), &miners);
        let moved_miners: Vec<Miner> = shuffled.iter().map(moved).collect();
        prop_assert_eq!(&planned(king.as_ref().map(moved).as_ref(), &moved_miners), &before);

        // Whoever is in the round is eligible, and a challenger was never evaluated.
        for student in before.round.iter().flat_map(RoundPlan::students) {
            let miner = miners.iter().find(|miner| miner.key == student.miner).unwrap();
            prop_assert!(miner.disqualification.is_none() && miner.failures < 3 && miner.seat.is_some());
            match student.role {
                Role::King => prop_assert_eq!(before.throne.king(), Some(student.miner)),
                Role::Challenger => prop_assert_eq!(&before.standings[&student.miner], &Standing::Challenger),
                Role::Returning => prop_assert!(before.throne.king().is_none() && miner.evaluation.is_some()),
            }
        }
        if let Some(round) = &before.round {
            let read: RoundPlan = serde_json::from_str(&serde_json::to_string(round).unwrap()).unwrap();
            prop_assert_eq!(&read, round);
        }
        let challengers = before.standings.iter().any(|(key, standing)| *standing == Standing::Challenger && before.throne.king() != Some(*key));
        prop_assert!(!challengers || before.round.is_some());
    }
}
