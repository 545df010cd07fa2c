//! The verdicts of a finished round, and what follows from them.

use crate::common::{
    completed, copied, decided, entry, failed, finished, interrupted, is_evaluated, miner, miner_at, prompts, round_of,
    rules, same_function, scored, stopped, verdict,
};
use distil_scoring::{
    Author, CopyMatch, CopyProof, Crown, Decision, DisqualificationCode, EvaluationResult, FailureKind, FinishedRound,
    Miner, NearCopy, NotEligible, Outcome, StudentResult, StudentRun, Verdict, decide,
};
use serde_json::json;

/// King 1 and challengers 2, 3, … with these results, the king's first.
fn held(results: Vec<StudentResult>) -> Outcome {
    let king = completed(1, 0.1);
    let miners: Vec<Miner> = (2..=results.len() as u16).map(miner).collect();
    decided(&finished(&round_of(Some(&king), &miners), results))
}

/// Challengers 1, 2, … for a vacant throne.
fn vacant(results: Vec<StudentResult>) -> Outcome {
    let miners: Vec<Miner> = (1..=results.len() as u16).map(miner).collect();
    decided(&finished(&round_of(None, &miners), results))
}

fn invented() -> StudentResult {
    let mut prompts = prompts(0.04481);
    for prompt in &mut prompts {
        (prompt.mean, prompt.std, prompt.min, prompt.max) = (0.04481, 0.04481, 0.04481, 0.04481);
    }
    StudentResult::Completed { prompts }
}

#[test]
fn the_lowest_of_those_below_the_margin_is_crowned() {
    let outcome = held(vec![scored(0.1), scored(0.0995), scored(0.095), scored(0.09), scored(0.0985)]);
    assert_eq!(outcome.crown, Crown::Given { king: miner(4).key, dethroned: Some(miner(1).key) });
    let verdicts: Vec<Verdict> = outcome.verdicts.iter().map(|entry| entry.verdict).collect();
    use Verdict::{BeatsKing, Dethroned, NotEnough};
    assert_eq!(verdicts, [Dethroned, NotEnough, BeatsKing, BeatsKing, BeatsKing]);
    assert_eq!(outcome.evaluated.len(), 5);
    assert!(outcome.evaluated.iter().all(|entry| entry.evaluation.result == EvaluationResult::Completed));
    assert!((entry(&outcome, miner(4).key).margin.unwrap() - 0.1).abs() < 1e-12);
    assert!(entry(&outcome, miner(4).key).paired.unwrap().t.unwrap() < 0.0);
    assert!(outcome.verdicts.iter().all(|entry| !entry.sentence.is_empty()));
    assert!(outcome.failures.is_empty() && outcome.disqualifications.is_empty() && outcome.void.is_none());
}

#[test]
fn d4_a_significant_difference_is_not_enough_without_the_margin() {
    // The t test alone crowned gains of 0.1 to 0.2%; a copy stored anew gained more than that by rounding.
    let outcome = held(vec![scored(0.1), scored(0.0998)]);
    let challenger = entry(&outcome, miner(2).key);
    assert!(challenger.paired.unwrap().p < 0.01, "{challenger:?}");
    assert_eq!((challenger.verdict, outcome.crown.king()), (Verdict::NotEnough, Some(miner(1).key)));
}

#[test]
fn d4_the_confidence_gates_only_where_it_is_asked_for() {
    // Better in the mean by 10%, and on the strength of a single prompt.
    let mut noisy = prompts(0.1);
    noisy[0].mean *= 0.2;
    noisy[0].min = noisy[0].mean / 10.0;
    let king = completed(1, 0.1);
    let round =
        finished(&round_of(Some(&king), &[miner(2)]), vec![scored(0.1), StudentResult::Completed { prompts: noisy }]);
    assert!(matches!(decide(&round, &rules()), Decision::Pending(_)));
    let Decision::Final(strict) = decide(&round, &rules().with_min_confidence(0.95).unwrap()) else {
        panic!("nobody is that sure");
    };
    assert_eq!(verdict(strict.outcome(), &miner(2)), Verdict::NotEnough);
    assert!(entry(strict.outcome(), miner(2).key).sentence.contains("confidence"));
    let sure = finished(&round_of(Some(&king), &[miner(2)]), vec![scored(0.1), scored(0.09)]);
    assert!(matches!(decide(&sure, &rules().with_min_confidence(0.99).unwrap()), Decision::Pending(_)));
}

#[test]
fn exactly_the_margin_is_not_below_it() {
    let king = 0.1 * (1.0 - rules().win_margin());
    let kl = |result: &StudentResult| match result {
        StudentResult::Completed { prompts } => distil_scoring::ModelScore::from_prompts(prompts).unwrap().kl,
        _ => unreachable!(),
    };
    let mut at = king;
    while kl(&scored(at)) < kl(&scored(0.1)) * 0.99 {
        at = at.next_up();
    }
    assert_eq!(verdict(&held(vec![scored(0.1), scored(at)]), &miner(2)), Verdict::NotEnough);
    assert_eq!(verdict(&held(vec![scored(0.1), scored(at * 0.999_999)]), &miner(2)), Verdict::BeatsKing);
}

#[test]
fn a_tie_goes_to_the_earlier_commitment() {
    let king = completed(9, 0.1);
    let (late, early) = (miner_at(2, 800), miner_at(8, 300));
    let round = round_of(Some(&king), &[late.clone(), early.clone()]);
    let outcome = decided(&finished(&round, vec![scored(0.1), scored(0.05), scored(0.05)]));
    assert_eq!(outcome.crown.king(), Some(early.key));
    assert!(is_evaluated(&outcome, &late));
    let vacant = round_of(None, &[late, early.clone()]);
    assert_eq!(decided(&finished(&vacant, vec![scored(0.05), scored(0.05)])).crown.king(), Some(early.key));
}

#[test]
fn a_vacant_throne_goes_to_the_lowest_complete_score() {
    let outcome = vacant(vec![scored(0.3), scored(0.2), scored(2.5), failed(FailureKind::Load, false)]);
    assert_eq!(outcome.crown, Crown::Given { king: miner(2).key, dethroned: None });
    assert_eq!(vacant(vec![scored(2.5), interrupted()]).crown, Crown::Unchanged { king: None });
}

#[test]
fn a1_d2_d11_and_s0_18_a_score_out_of_range_is_never_crowned_and_is_done_with() {
    let cases = [
        (scored(2.000_001), Verdict::AboveMaxKl),
        (scored(11.36), Verdict::AboveMaxKl),
        (scored(1e-6 * 0.999_999), Verdict::BelowFloor),
        (scored(1e-9), Verdict::BelowFloor),
        (scored(0.0), Verdict::BelowFloor),
        (scored(-1e-8), Verdict::BelowFloor),
        (invented(), Verdict::Implausible),
        (failed(FailureKind::NotFinite, false), Verdict::NotFinite),
    ];
    for (result, expected) in cases {
        for outcome in [held(vec![scored(0.5), result.clone()]), vacant(vec![scored(1.9), result.clone()])] {
            assert_eq!(verdict(&outcome, &miner(2)), expected);
            assert_eq!(outcome.crown.king(), Some(miner(1).key), "{expected}");
            // s0_18: the original counted a KL at or below zero as a failure, and three of these as the end.
            assert!(outcome.failures.is_empty() && outcome.disqualifications.is_empty(), "{expected}");
            let done = outcome.evaluated.iter().find(|entry| entry.miner == miner(2).key).unwrap();
            assert_eq!(done.evaluation.result, EvaluationResult::OutOfRange, "{expected}");
        }
    }
}

#[test]
fn d1_what_is_written_holds_no_infinity() {
    // Infinity from one student's logits made the original's JSON unreadable for all.
    let outcome = vacant(vec![scored(1.0), failed(FailureKind::NotFinite, false), scored(1e300)]);
    let json = serde_json::to_string(&outcome).unwrap();
    let read: Outcome = serde_json::from_str(&json).unwrap();
    assert_eq!(read, outcome);
    let student = entry(&outcome, miner(2).key);
    assert!(student.kl.is_none() && !student.sentence.is_empty());
}

#[test]
fn d3_a_prompt_weighs_as_much_as_the_teacher_had_to_say() {
    // Short continuations made a worse model look better in the plain mean of prompts (0.0919 against 0.0945, where
    // all positions say 0.0759 against 0.0488).
    let mut challenger = prompts(0.1);
    for (prompt, king) in challenger.iter_mut().zip(prompts(0.1)) {
        let factor = if prompt.positions < 100 { 0.01 } else { 1.05 };
        prompt.mean = king.mean * factor;
        prompt.min = prompt.mean.min(prompt.min);
        prompt.max = if prompt.positions == 1 { prompt.mean } else { prompt.max };
    }
    let plain = |prompts: &[distil_scoring::PromptStatistics]| prompts.iter().map(|p| p.mean).sum::<f64>() / 12.0;
    assert!(plain(&challenger) < 0.99 * plain(&prompts(0.1)));
    let outcome = held(vec![scored(0.1), StudentResult::Completed { prompts: challenger }]);
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::NotEnough);
}

#[test]
fn d5_a_stopped_run_has_no_way_to_win() {
    // The original once crowned a challenger after 16 prompts. A stop is the end of the evaluation all the same.
    let outcome = held(vec![scored(0.1), stopped(0.5, 0.1)]);
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::Incomplete);
    assert_eq!(outcome.crown, Crown::Unchanged { king: Some(miner(1).key) });
    let done = outcome.evaluated.iter().find(|entry| entry.miner == miner(2).key).unwrap();
    assert_eq!(done.evaluation.result, EvaluationResult::StoppedEarly);
    // A stopped run with a score that can't be crowned anyway is called by that.
    assert_eq!(verdict(&held(vec![scored(0.1), stopped(11.0, 0.1)]), &miner(2)), Verdict::AboveMaxKl);
}

#[test]
fn d5_a_round_whose_king_was_not_measured_writes_nothing() {
    // A king that was cut off after 129 of 300 prompts spoiled the original's leaderboard.
    let earlier = vec![interrupted(), scored(0.05), copied(&[miner(2).key], 0.05), failed(FailureKind::Crash, true)];
    for king in [interrupted(), failed(FailureKind::Load, false), failed(FailureKind::Hang, false)] {
        let mut results = earlier.clone();
        results[0] = king;
        let outcome = held(results);
        assert!(outcome.void.is_some());
        assert_eq!(outcome.crown, Crown::Unchanged { king: Some(miner(1).key) });
        assert!(outcome.verdicts.iter().all(|entry| entry.verdict == Verdict::Void && !entry.sentence.is_empty()));
        assert!(outcome.evaluated.is_empty() && outcome.failures.is_empty() && outcome.disqualifications.is_empty());
    }
}

#[test]
fn a_king_falls_by_its_own_failures_only_when_they_are_proven() {
    let challengers = [miner(2), miner(3)];
    for earlier in 0..3 {
        let king = Miner { failures: earlier, ..completed(1, 0.1) };
        let plan = round_of(Some(&king), &challengers);
        let unproven = vec![failed(FailureKind::Crash, false), scored(0.05), scored(0.3)];
        let outcome = decided(&finished(&plan, unproven));
        assert_eq!((outcome.crown.king(), outcome.failures.len()), (Some(king.key), 0), "after {earlier}");

        let proven = vec![failed(FailureKind::Crash, true), scored(0.05), scored(0.3)];
        let outcome = decided(&finished(&plan, proven));
        assert_eq!(outcome.failures.len(), 1);
        assert_eq!(outcome.failures[0].failures, earlier + 1);
        if earlier < 2 {
            assert_eq!((outcome.crown.king(), outcome.void.is_some()), (Some(king.key), true));
        } else {
            // The next round, of a vacant throne, decides between all that this one would have compared with it.
            let reason = NotEligible::Failed { failures: 3 };
            assert_eq!(outcome.crown, Crown::Lost { king: king.key, reason });
            assert_eq!(verdict(&outcome, &king), Verdict::LosesCrown);
            assert_eq!(verdict(&outcome, &miner(2)), Verdict::Postponed);
            assert!(outcome.evaluated.is_empty() && outcome.disqualifications.is_empty());
        }
    }
}

#[test]
fn a_king_that_nobody_could_honestly_be_is_not_compared_with() {
    for result in [scored(1e-9), scored(0.0), invented()] {
        let outcome = held(vec![result, scored(0.05)]);
        assert_eq!((outcome.crown.king(), outcome.void.is_some()), (Some(miner(1).key), true));
    }
    // One on hard prompts is: it keeps the crown unless it is beaten.
    let outcome = held(vec![scored(2.1), scored(2.05)]);
    assert_eq!((outcome.crown.king(), verdict(&outcome, &miner(2))), (Some(miner(1).key), Verdict::AboveMaxKl));
    assert_eq!(held(vec![scored(2.1), scored(1.9)]).crown.king(), Some(miner(2).key));
}

#[test]
fn s0_13_and_d13_one_students_failure_is_its_own() {
    // In the original one model that could not be loaded ended the run of all, and one assertion on the GPU failed
    // everybody after it.
    let outcome = held(vec![scored(0.1), failed(FailureKind::Crash, false), scored(0.05), interrupted()]);
    assert_eq!(outcome.crown.king(), Some(miner(3).key));
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::Failed);
    assert_eq!((outcome.failures.len(), outcome.failures[0].miner, outcome.failures[0].failures), (1, miner(2).key, 1));
    assert!(!is_evaluated(&outcome, &miner(2)));
    assert_eq!(verdict(&outcome, &miner(4)), Verdict::Interrupted);
    assert!(!is_evaluated(&outcome, &miner(4)));
}

#[test]
fn c3_a_worker_that_fails_everybody_fails_nobody() {
    let kinds = [FailureKind::Load, FailureKind::Crash, FailureKind::Hang, FailureKind::NotFinite];
    let outcome = vacant(kinds.iter().map(|&kind| failed(kind, false)).collect());
    assert!(outcome.failures.is_empty() && outcome.evaluated.is_empty() && outcome.disqualifications.is_empty());
    assert!(outcome.verdicts.iter().all(|entry| entry.verdict == Verdict::Interrupted));
    // With a model known to be good, they are the models' own.
    assert_eq!(vacant(vec![failed(FailureKind::Load, true)]).failures.len(), 1);
}

#[test]
fn s0_17_and_a7_the_later_commitment_is_the_copy_whichever_ran_first() {
    // The original disqualified whoever ran later: a challenger that committed before the king it was copied by.
    let king = Miner { evaluation: completed(1, 0.1).evaluation, ..miner_at(1, 900) };
    let (original, other) = (miner(2), miner(3));
    let plan = round_of(Some(&king), &[original.clone(), other.clone()]);
    assert_eq!(plan.students()[0].miner, king.key);
    let outcome = decided(&finished(&plan, vec![scored(0.1), copied(&[king.key], 0.1), scored(0.05)]));
    assert_eq!(outcome.disqualifications.len(), 1);
    let out = &outcome.disqualifications[0];
    assert_eq!((out.miner, out.code), (king.key, DisqualificationCode::Copy));
    assert_eq!(out.evidence["original"], json!(original.key));
    assert!(matches!(&outcome.crown, Crown::Lost { king: lost, .. } if *lost == king.key));
    // Nobody is judged by a fallen king: they all come to the next round.
    for challenger in [&original, &other] {
        assert_eq!(verdict(&outcome, challenger), Verdict::Postponed);
        assert!(!is_evaluated(&outcome, challenger));
    }
}

#[test]
fn a_later_copy_is_out_and_the_original_is_not() {
    let outcome = held(vec![scored(0.1), scored(0.05), copied(&[miner(2).key], 0.04), scored(0.09)]);
    assert_eq!(verdict(&outcome, &miner(3)), Verdict::Copy);
    assert_eq!(outcome.disqualifications.len(), 1);
    assert_eq!(outcome.disqualifications[0].miner, miner(3).key);
    assert_eq!(outcome.crown.king(), Some(miner(2).key));
    // Of several, the earliest is named; the king copied by a challenger stays.
    let outcome = held(vec![scored(0.1), scored(0.05), copied(&[miner(2).key, miner(1).key], 0.04)]);
    assert_eq!(outcome.disqualifications[0].evidence["original"], json!(miner(1).key));
    assert_eq!(outcome.crown.king(), Some(miner(2).key));
}

#[test]
fn a_copy_of_a_miner_outside_the_round_is_one_too() {
    let tensors = |of: Author| CopyMatch { of, proof: CopyProof::SameTensors { digest: "ab".repeat(32) } };
    let with = |of: Author| {
        let result = StudentResult::Copied { matches: vec![tensors(of)], prompts: Vec::new() };
        held(vec![scored(0.1), result])
    };
    let outcome = with(miner_at(50, 3).key.into());
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::Copy);
    // The other way round it is the other that is out, and this one, whose run ended there, takes part again.
    let outcome = with(miner_at(50, 3000).key.into());
    assert_eq!(outcome.disqualifications[0].miner, miner_at(50, 3000).key);
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::Postponed);
    assert!(!is_evaluated(&outcome, &miner(2)));
}

#[test]
fn a9_an_unknown_commit_block_disqualifies_nobody() {
    // Without a commit block the original took infinity, so the king was "later" than the challenger that copied it.
    let unknown = Author { hotkey: miner(1).key.hotkey, commit_block: None };
    let result = StudentResult::Copied { matches: vec![same_function(unknown)], prompts: prompts(0.05) };
    let outcome = held(vec![scored(0.1), result.clone()]);
    assert!(outcome.disqualifications.is_empty());
    assert_eq!(outcome.crown.king(), Some(miner(1).key));
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::NearCopy);
    assert!(held(vec![result, scored(0.2)]).disqualifications.is_empty());
    // And one's own earlier model is no original to be copied.
    let own = Author { hotkey: miner(2).key.hotkey, commit_block: Some(1) };
    let again = StudentResult::Copied { matches: vec![same_function(own)], prompts: prompts(0.05) };
    let outcome = held(vec![scored(0.1), again]);
    assert!(outcome.disqualifications.is_empty());
    assert_eq!(outcome.crown.king(), Some(miner(2).key));
}

#[test]
fn a_near_copy_is_measured_and_not_crowned() {
    let near = NearCopy { of: miner(1).key, evidence: json!({ "relative_distance": 1e-4 }) };
    let king = completed(1, 0.1);
    let flagged = Miner { near_copy: Some(near.clone()), ..miner(2) };
    let plan = round_of(Some(&king), &[flagged, miner(3), miner(4)]);
    let mut round = finished(&plan, vec![scored(0.1), scored(0.05), scored(0.06), scored(0.07)]).runs().to_vec();
    // Found before the round for one, and in it for another.
    round[2].near_copy = Some(near);
    let outcome = decided(&FinishedRound::new(plan, crate::common::POSITIONS.to_vec(), round).unwrap());
    assert_eq!(outcome.crown.king(), Some(miner(4).key));
    for denied in [miner(2), miner(3)] {
        assert_eq!(verdict(&outcome, &denied), Verdict::NearCopy);
        assert!(is_evaluated(&outcome, &denied));
    }
    assert!(outcome.disqualifications.is_empty());
}

#[test]
fn s0_1_king_is_not_the_argmin_of_old_scores() {
    // In block 7855174 the original crowned a miner that was not in the round, by its score of an earlier one
    // (0.070405), above a king that had just been measured again (0.074643).
    let king = completed(115, 0.066);
    let absent = completed(191, 0.070405);
    let plan = round_of(Some(&king), &[king.clone(), absent.clone(), miner(231)]);
    let outcome = decided(&finished(&plan, vec![scored(0.074643), scored(0.078234)]));
    assert_eq!(outcome.crown, Crown::Unchanged { king: Some(king.key) });
    assert!(outcome.verdicts.iter().all(|entry| entry.miner != absent.key));
}

#[test]
fn d6_the_kings_own_old_score_is_no_bar() {
    // One and the same model scored 0.049, 0.071, 0.059, 0.060 and 0.126 on five sets of prompts.
    let king = completed(1, 0.049);
    let plan = round_of(Some(&king), &[miner(2)]);
    assert_eq!(decided(&finished(&plan, vec![scored(0.126), scored(0.07)])).crown.king(), Some(miner(2).key));
    let proud = completed(1, 0.126);
    let plan = round_of(Some(&proud), &[miner(2)]);
    assert_eq!(decided(&finished(&plan, vec![scored(0.049), scored(0.07)])).crown.king(), Some(proud.key));
}

#[test]
fn s0_2_a_score_is_kept_as_it_was_measured() {
    // The original stored a challenger within 1% of the king as "king + 1e-8", and crowned it by that when the king
    // was measured higher in a later round.
    let kls = [0.048_792_652_370_159_11, 0.048_434_786_371_721_7];
    let outcome = held(vec![scored(kls[0]), scored(kls[1])]);
    assert_eq!(verdict(&outcome, &miner(2)), Verdict::NotEnough);
    for (name, kl) in [(1, kls[0]), (2, kls[1])] {
        let done = outcome.evaluated.iter().find(|entry| entry.miner == miner(name).key).unwrap();
        assert!((done.evaluation.kl.unwrap() - kl).abs() < 1e-15 && done.evaluation.round == outcome.round);
    }
    // And it does not come back when the king does worse later: it was evaluated.
    let again = completed(2, kls[1]);
    assert_eq!(crate::common::planned(Some(&completed(1, 0.054)), &[again]).round, None);
}

#[test]
fn b7_a_crown_needs_a_result_of_this_round() {
    // The original's king lost by a challenger's score of an earlier round (blocks 8214203 and 8214362).
    let king = completed(1, 0.1);
    let stale = completed(2, 0.01);
    let plan = round_of(Some(&king), &[stale, miner(3)]);
    assert_eq!(plan.students().len(), 2);
    assert_eq!(decided(&finished(&plan, vec![scored(0.1), scored(0.2)])).crown.king(), Some(king.key));
}

#[test]
fn the_order_of_results_changes_nothing() {
    let king = completed(1, 0.1);
    let plan = round_of(Some(&king), &[miner(2), miner(3), miner(4)]);
    let mut runs: Vec<StudentRun> = finished(
        &plan,
        vec![scored(0.1), scored(0.05), copied(&[miner(2).key], 0.05), failed(FailureKind::Load, true)],
    )
    .runs()
    .to_vec();
    let expected =
        decide(&FinishedRound::new(plan.clone(), crate::common::POSITIONS.to_vec(), runs.clone()).unwrap(), &rules());
    for _ in 0..4 {
        runs.rotate_left(1);
        let turned = FinishedRound::new(plan.clone(), crate::common::POSITIONS.to_vec(), runs.clone()).unwrap();
        assert_eq!(decide(&turned, &rules()), expected);
    }
}
