//! Workers, repositories and the network at their worst, in the middle of a round.

use crate::rounds::{key, king, outcome, verdict, weights_on_chain};
use crate::site::TEACHER;
use crate::world::{World, repo};
use distil_devhub::{Fault, FaultKind, RepoKind};
use distil_scoring::{Crown, DisqualificationCode, Verdict};
use distil_store::CheckState;
use distil_validator::{EpochEnd, Event, Stop};
use std::fs;
use std::sync::atomic::Ordering;

pub(crate) const TESTS: &[(&str, fn())] = &[
    (
        "d13_s0_13_a_worker_that_crashes_hangs_or_babbles_costs_its_student_and_nobody_else",
        d13_s0_13_a_worker_that_crashes_hangs_or_babbles_costs_its_student_and_nobody_else,
    ),
    ("d13_three_failures_of_its_own_and_a_student_is_not_run_again", d13_three_failures_of_its_own),
    ("d5_a_king_that_fails_voids_the_round_and_falls_after_three", d5_a_king_that_fails_voids_the_round),
    ("c3_a_worker_that_runs_nothing_fails_nobody", c3_a_worker_that_runs_nothing_fails_nobody),
    ("d7_s0_11_lost_states_of_the_teacher_are_made_again_from_the_recorded_tokens", d7_lost_states),
    ("a6_c4_a_king_that_is_removed_falls_after_three_looks_and_not_before", a6_a_king_that_is_removed_falls),
    ("a5_a6_a_winner_that_is_gone_before_the_crown_is_not_crowned", a5_a_winner_that_is_gone),
    ("c1_s0_7_a_bad_day_of_the_hub_disqualifies_nobody", c1_a_bad_day_of_the_hub),
    ("b1_a_metagraph_that_cannot_be_true_changes_nothing", b1_a_metagraph_that_cannot_be_true),
    ("b2_b6_s0_3_s0_6_a_seat_that_changes_hands_passes_nothing_on", b2_a_seat_that_changes_hands),
    ("b4_s0_8_a_submission_whose_answer_is_lost_is_found_and_not_sent_again", b4_an_answer_is_lost),
    ("b7_s0_1_scores_of_old_rounds_crown_nobody", b7_scores_of_old_rounds_crown_nobody),
    ("s0_10_s0_14_what_is_run_is_the_committed_revision_of_the_committed_miner", s0_10_the_committed_revision),
    ("s0_17_a_later_copy_is_out_whoever_ran_first", s0_17_a_later_copy_is_out),
    ("d11_a_bad_score_is_an_evaluation", d11_a_bad_score_is_an_evaluation),
    ("d15_each_change_of_king_is_announced_once", d15_each_change_of_king_is_announced_once),
    ("c7_repositories_that_never_were_take_no_place", c7_repositories_that_never_were_take_no_place),
    ("s0_19_a_new_registration_is_a_new_miner", s0_19_a_new_registration_is_a_new_miner),
    ("a_raised_flag_ends_the_epoch_between_two_steps", a_raised_flag_ends_the_epoch),
];

/// A world with a king: miner 1, of quality 3,000.
pub(crate) fn with_king() -> (World, distil_validator::Validator, String) {
    let mut world = World::open();
    world.register(1..=8);
    let repo = world.enter(1, 3000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(key(&world, 1)));
    (world, validator, repo)
}

fn d13_s0_13_a_worker_that_crashes_hangs_or_babbles_costs_its_student_and_nobody_else() {
    let (mut world, _, _) = with_king();
    // Long enough for a busy machine to begin a pass.
    world.site.progress_ms = 1500;
    let mut validator = world.validator();
    let faults = ["crash", "hang", "babble", "nan", "killed", "panic"];
    for (miner, fault) in (2..).zip(faults) {
        let repo = world.enter(miner, 1000);
        world.fault(&repo, fault);
    }
    world.enter(8, 2000);
    let events = world.epoch(&mut validator);
    let outcome = outcome(&events);
    assert!(matches!(&outcome.crown, Crown::Given { king, .. } if *king == key(&world, 8)), "{outcome:#?}");
    for (miner, fault) in (2..).zip(faults) {
        let key = key(&world, miner);
        assert_eq!(verdict(&events, key), Verdict::Failed, "{fault}");
        assert_eq!(validator.store().failures().unwrap()[&key].len(), 1, "{fault}");
    }
    assert!(validator.store().disqualifications().unwrap().is_empty());
    // What an operator's signal ends is nobody's failure: the round stays open, and is gone on with.
    world.register([9]);
    let repo = world.enter(9, 900);
    world.fault(&repo, "terminated");
    world.next_round_block();
    validator.epoch().unwrap_err();
    world.fault(&repo, "");
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)));
    assert_eq!(king(&validator), Some(key(&world, 9)));
    assert!(!validator.store().failures().unwrap().contains_key(&key(&world, 9)));
}

fn d13_three_failures_of_its_own() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.fault(&repo, "crash");
    let two = key_after(&mut world, &mut validator, 2);
    for round in 2..=3 {
        world.epoch(&mut validator);
        assert_eq!(validator.store().failures().unwrap()[&two].len(), round);
    }
    let events = world.epoch(&mut validator);
    assert!(events.iter().any(|event| matches!(event, Event::NoRound { .. })), "{events:#?}");
    assert!(validator.store().disqualifications().unwrap().is_empty(), "failures are no disqualification");
}

fn key_after(world: &mut World, validator: &mut distil_validator::Validator, miner: u64) -> distil_types::MinerKey {
    world.epoch(validator);
    key(world, miner)
}

fn d5_a_king_that_fails_voids_the_round() {
    let (mut world, mut validator, kings_repo) = with_king();
    let one = key(&world, 1);
    world.enter(2, 4000);
    world.fault(&kings_repo, "crash");
    for failures in 1..=2 {
        let events = world.epoch(&mut validator);
        let outcome = outcome(&events);
        assert!(outcome.verdicts.iter().all(|verdict| verdict.kl.is_none()), "{outcome:#?}");
        assert!(outcome.evaluated.is_empty(), "a void round evaluates nobody: {outcome:#?}");
        assert!(events.contains(&Event::Canary { passed: true }));
        assert_eq!(king(&validator), Some(one), "it keeps its crown");
        assert_eq!(validator.store().failures().unwrap()[&one].len(), failures);
        // What it failed with is on record, for anybody to check.
        let round = validator.store().rounds(0, 1).unwrap()[0].clone();
        assert_eq!(round.state, distil_store::RoundState::Void);
        let folder = world.root.path().join("records").join(format!("{}-void-{}", round.id, round.number));
        let (record, found) = distil_validator::record::verify(&folder).unwrap();
        assert!(found.is_sound(), "{:#?}", found.problems);
        let record = record.unwrap();
        assert!(record.decision.void.is_some(), "{:#?}", record.decision);
        assert_eq!((record.students[0].miner, record.students[0].kl), (one, None));
    }
    // The third one is proof.
    for _ in 0..2 {
        world.epoch(&mut validator);
    }
    assert_eq!(king(&validator), Some(key(&world, 2)), "the throne was vacant, and a fresh round filled it");

    // Where the known-good model does not run either, it is the worker's fault.
    let (mut world, mut validator, kings_repo) = with_king();
    let one = key(&world, 1);
    world.enter(2, 4000);
    world.fault(&kings_repo, "crash");
    for _ in 0..5 {
        world.next_round_block();
        world.fault(TEACHER, "failed-model");
        // The teacher's own pass is to go well.
        fs::rename(fault_path(&world, TEACHER), world.root.path().join("aside")).unwrap();
        let heard = std::sync::Arc::clone(&world.heard.0);
        let (from, to) = (world.root.path().join("aside"), fault_path(&world, TEACHER));
        let watcher = std::thread::spawn(move || {
            while !heard.lock().unwrap().iter().any(|event| matches!(event, Event::TeacherDone { .. })) {
                std::thread::yield_now();
            }
            fs::rename(from, to).unwrap();
        });
        let _ = validator.epoch();
        watcher.join().unwrap();
        world.fault(TEACHER, "");
        world.heard.take();
        assert_eq!(king(&validator), Some(one));
    }
}

pub(crate) fn fault_path(world: &World, repo: &str) -> std::path::PathBuf {
    crate::worker::fault_file(world.root.path(), repo)
}

fn c3_a_worker_that_runs_nothing_fails_nobody() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.fault(&repo, "failed-host");
    world.fault(TEACHER, "crash");
    world.next_round_block();
    validator.epoch().unwrap_err();
    assert!(validator.store().open_round().unwrap().is_some(), "the round stays open");
    world.fault(TEACHER, "");
    // Twice the host cannot do it, then the student waits for another round.
    validator.epoch().unwrap_err();
    validator.epoch().unwrap_err();
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)));
    let two = key(&world, 2);
    assert!(validator.store().failures().unwrap().is_empty());
    assert!(validator.store().disqualifications().unwrap().is_empty());
    let check = validator.store().check(&two).unwrap().unwrap();
    assert!(matches!(check.state, CheckState::Waiting { .. }), "{check:?}");
    world.fault(&repo, "");
    world.heard.take();
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(two));
}

fn d7_lost_states() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    // It ends in the middle of a round, and the worker's cache is lost until it goes on.
    world.fault(&repo, "failed-host");
    world.next_round_block();
    validator.epoch().unwrap_err();
    let open = validator.store().open_round().unwrap().unwrap();
    fs::remove_dir_all(world.root.path().join("kept")).unwrap();
    world.fault(&repo, "");
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)));
    let after = validator.store().round(open.number).unwrap().unwrap();
    assert_eq!(open.teacher.unwrap().sequences, after.teacher.unwrap().sequences, "the tokens are the truth");
    assert_eq!(king(&validator), Some(key(&world, 2)));
    let round = open.start.plan.id();
    let runs = |what: &str, repo: &str| {
        let of = format!("{round} {repo}");
        world.site.log().read().iter().filter(|line| line.0 == what && line.1 == of).count()
    };
    assert_eq!(runs("begin-teacher", TEACHER), 2);
    assert_eq!(runs("begin-student", &self::repo(1, 3000)), 1, "the king's result was there");
}

fn a6_a_king_that_is_removed_falls() {
    let (mut world, mut validator, repo) = with_king();
    let one = key(&world, 1);
    // Close enough to have run to the end.
    world.enter(2, 3050);
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(one));
    world.hub.remove(RepoKind::Model, &repo).unwrap();
    let mut epochs = 0;
    while king(&validator) == Some(one) {
        world.epoch(&mut validator);
        epochs += 1;
        assert!(epochs < 20);
    }
    // Ten minutes an epoch.
    assert!(epochs >= 6, "{epochs} epochs are less than an hour");
    let out = validator.store().disqualifications().unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[&one].disqualification.code, DisqualificationCode::Removed);
    // It falls before a round or before weights, whichever looks first; the throne is filled in the same epoch or the next.
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(key(&world, 2)), "who lost once comes back for a vacant throne");

    // Restored within the hour, nothing happens; and while the teacher is gone too, nobody is.
    let (mut world, mut validator, repo) = with_king();
    let one = key(&world, 1);
    for _ in 0..3 {
        world.hub.remove(RepoKind::Model, &repo).unwrap();
        for _ in 0..3 {
            world.epoch(&mut validator);
        }
        world.hub.restore(RepoKind::Model, &repo).unwrap();
        world.epoch(&mut validator);
    }
    world.hub.remove(RepoKind::Model, &repo).unwrap();
    world.hub.remove(RepoKind::Model, TEACHER).unwrap();
    for _ in 0..12 {
        world.epoch(&mut validator);
    }
    assert_eq!(king(&validator), Some(one));
    assert!(validator.store().disqualifications().unwrap().is_empty());
}

fn a5_a_winner_that_is_gone() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.next_round_block();
    // Removed as soon as it was scored.
    let heard = std::sync::Arc::clone(&world.heard.0);
    std::thread::scope(|scope| {
        let (hub, repo) = (&world.hub, &repo);
        scope.spawn(move || {
            let scored =
                |event: &Event| matches!(event, Event::StudentBegun { role: distil_scoring::Role::Challenger, .. });
            while !heard.lock().unwrap().iter().any(scored) {
                std::thread::yield_now();
            }
            hub.remove(RepoKind::Model, repo).unwrap();
        });
        validator.epoch().unwrap();
    });
    let events = world.heard.take();
    let two = key(&world, 2);
    assert_eq!(verdict(&events, two), Verdict::Unconfirmed);
    assert_eq!(king(&validator), Some(key(&world, 1)));
    assert!(validator.store().disqualifications().unwrap().is_empty(), "one look is no proof");
}

fn c1_a_bad_day_of_the_hub() {
    let (mut world, mut validator, _) = with_king();
    let one = key(&world, 1);
    for (miner, kind) in (2..).zip([
        FaultKind::Status { status: 429, retry_after: Some("1".to_owned()) },
        FaultKind::Status { status: 503, retry_after: None },
        FaultKind::Reset,
        FaultKind::NotJson,
        FaultKind::CutBodyAfter(10),
    ]) {
        let repo = world.enter(miner, 1500 + 100 * miner);
        world.hub.order(Fault::new(kind).on(&repo));
    }
    for _ in 0..8 {
        world.epoch(&mut validator);
    }
    assert!(validator.store().disqualifications().unwrap().is_empty());
    assert!(validator.store().failures().unwrap().is_empty());
    assert_eq!(king(&validator), Some(one));
    let two = key(&world, 2);
    let waits = validator.store().check(&two).unwrap().unwrap();
    assert!(matches!(&waits.state, CheckState::Waiting { reason, .. } if !reason.is_empty()), "{waits:?}");
    world.hub.clear_faults();
    // It backs off, up to a day.
    for _ in 0..3 {
        world.net.admin().produce_until(world.net.admin().best_block().number + 7200).unwrap();
        world.epoch(&mut validator);
    }
    assert_eq!(validator.store().evaluations().unwrap().len(), 6, "all of them had their turn");
    assert_eq!(king(&validator), Some(two), "1,700 is the lowest");
}

fn b1_a_metagraph_that_cannot_be_true() {
    let (mut world, mut validator, _) = with_king();
    let before = weights_on_chain(&world);
    world.enter(2, 1000);
    world.next_round_block();
    for neurons in [0, 1, 2] {
        world.net.admin().order(distil_devnet::Fault::new(distil_devnet::FaultKind::Neurons(neurons)));
        let error = validator.epoch().unwrap_err();
        assert!(error.is_transient(), "{error}");
        world.net.admin().clear_faults();
    }
    assert_eq!(king(&validator), Some(key(&world, 1)));
    assert_eq!(weights_on_chain(&world), before);
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)), "nothing of it is left");
    assert_eq!(king(&validator), Some(key(&world, 2)));
}

fn b2_a_seat_that_changes_hands() {
    let (mut world, mut validator, _) = with_king();
    let uid = world.seat_of(&key(&world, 1).hotkey).unwrap();
    let before = validator.store().weights_history(0, 10).unwrap().len();
    world.replace(uid, 50);
    let events = world.epoch(&mut validator);
    assert!(events.iter().any(|event| matches!(event, Event::NoWeights { .. })), "{events:#?}");
    assert_eq!(validator.store().weights_history(0, 10).unwrap().len(), before, "no weight to the new one");
    // Nor does it become king without a model: the throne waits.
    assert_eq!(king(&validator), None);
    assert!(!validator.store().evaluations().unwrap().keys().any(|key| key.hotkey == crate::world::hotkey(50)));
    world.enter(2, 9000);
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(key(&world, 2)));
    assert!(!weights_on_chain(&world).iter().any(|(to, weight)| *to == uid && *weight > 0));
}

fn b4_an_answer_is_lost() {
    let (mut world, mut validator, _) = with_king();
    world.enter(2, 1000);
    world.next_round_block();
    let lost = distil_devnet::Fault::new(distil_devnet::FaultKind::LoseAnswer).on("author_submitExtrinsic").times(1);
    world.net.admin().order(lost);
    world.net.admin().clear_requests();
    validator.epoch().unwrap();
    let sent = world.net.admin().requests();
    assert_eq!(sent.iter().filter(|request| request.method.starts_with("author_submit")).count(), 1);
    let uid = world.seat_of(&key(&world, 2).hotkey).unwrap();
    assert!(weights_on_chain(&world).contains(&(uid, u16::MAX)));
    // A refusal is no success.
    world.enter(3, 500);
    world.next_round_block();
    world.net.admin().order(distil_devnet::Fault::new(distil_devnet::FaultKind::PoolError(1010)).times(1));
    let _ = validator.epoch();
    let three = world.seat_of(&key(&world, 3).hotkey).unwrap();
    assert!(!weights_on_chain(&world).contains(&(three, u16::MAX)));
    world.epoch(&mut validator);
    assert!(weights_on_chain(&world).contains(&(three, u16::MAX)), "the next epoch makes up for it");
}

fn b7_scores_of_old_rounds_crown_nobody() {
    let (mut world, mut validator, _) = with_king();
    // Close behind, whatever the round; then many rounds go by, with scores that go up and down with the prompts.
    world.enter(2, 3010);
    world.epoch(&mut validator);
    for miner in 3..=8 {
        world.enter(miner, 6000 + miner);
        let events = world.epoch(&mut validator);
        assert!(matches!(outcome(&events).crown, Crown::Unchanged { .. }), "{:#?}", outcome(&events).crown);
    }
    assert_eq!(king(&validator), Some(key(&world, 1)));
    assert_eq!(validator.store().king_history(0, 10).unwrap().len(), 1);
}

fn s0_10_the_committed_revision() {
    let (mut world, mut validator, _) = with_king();
    let repo = repo(2, 1000);
    let committed = world.publish(&repo, 42);
    world.commit(2, &repo, &committed);
    // Another commit on top, and a second miner that commits that one of the same repository.
    let newer = world.publish(&repo, 43);
    world.commit(3, &repo, &newer);
    world.next_round_block();
    validator.epoch().unwrap();
    let begun = world.heard.take().into_iter().find_map(|event| match event {
        Event::RoundBegun { students, .. } => Some(students),
        _ => None,
    });
    let students = begun.unwrap();
    let revisions: Vec<String> =
        students[1..].iter().map(|(_, _, commitment)| commitment.revision.to_string()).collect();
    assert_eq!(revisions, [committed, newer]);
    assert_eq!(students[1].0, key(&world, 2));
    assert_eq!(students[2].0, key(&world, 3), "two miners of one repository are two");
}

fn s0_17_a_later_copy_is_out() {
    let (mut world, mut validator, kings_repo) = with_king();
    // The same tensors, other tensors of the same function, and a repository committed once more.
    let (exact, same) = ("copier/q100-s77".to_owned(), "imitator/q3000-s1".to_owned());
    let revision = world.publish(&exact, 1001);
    world.commit(2, &exact, &revision);
    let revision = world.publish(&same, 4711);
    world.commit(3, &same, &revision);
    let revision = validator.store().king().unwrap().unwrap().king.commitment.revision.to_string();
    world.commit(4, &kings_repo, &revision);
    world.epoch(&mut validator);
    world.epoch(&mut validator);
    let out = validator.store().disqualifications().unwrap();
    for miner in [2, 3] {
        let found = out.get(&key(&world, miner)).unwrap_or_else(|| panic!("{miner}: {out:#?}"));
        assert_eq!(found.disqualification.code, DisqualificationCode::Copy, "{miner}");
    }
    assert_eq!(king(&validator), Some(key(&world, 1)));
    assert!(!out.contains_key(&key(&world, 1)), "the earlier commitment is nobody's copy");
    assert!(!validator.store().evaluations().unwrap().contains_key(&key(&world, 4)));
}

fn d11_a_bad_score_is_an_evaluation() {
    let (mut world, mut validator, _) = with_king();
    world.enter(2, 1_100_000);
    let events = world.epoch(&mut validator);
    let two = key(&world, 2);
    assert_ne!(verdict(&events, two), Verdict::BeatsKing);
    for _ in 0..3 {
        let events = world.epoch(&mut validator);
        assert!(events.iter().any(|event| matches!(event, Event::NoRound { .. })), "it is done with: {events:#?}");
    }
    assert!(validator.store().evaluations().unwrap().contains_key(&two));
}

fn d15_each_change_of_king_is_announced_once() {
    let (mut world, mut validator, _) = with_king();
    world.enter(2, 1000);
    world.epoch(&mut validator);
    for _ in 0..3 {
        world.epoch(&mut validator);
    }
    drop(validator);
    let mut store = distil_store::Store::open(&world.site.state()).unwrap();
    let mut announced = Vec::new();
    while let Some(announcement) = store.take_announcement(world.clock.load(Ordering::SeqCst)).unwrap() {
        announced.push(announcement.new_king.miner);
    }
    assert_eq!(announced, [key(&world, 1), key(&world, 2)]);
}

fn c7_repositories_that_never_were_take_no_place() {
    let (mut world, mut validator, _) = with_king();
    for miner in 20..40 {
        world.register([miner]);
        world.commit(miner, &format!("ghost{miner}/q100-s1"), &"ab".repeat(20));
    }
    world.enter(2, 1000);
    let events = world.epoch(&mut validator);
    let begun = events.iter().find_map(|event| match event {
        Event::RoundBegun { students, .. } => Some(students.len()),
        _ => None,
    });
    assert_eq!(begun, Some(2));
    assert_eq!(king(&validator), Some(key(&world, 2)));
    assert!(validator.store().disqualifications().unwrap().is_empty());
    // After an hour they are out, and not asked for again.
    for _ in 0..10 {
        world.epoch(&mut validator);
    }
    assert_eq!(validator.store().disqualifications().unwrap().len(), 20);
    world.hub.clear_requests();
    world.epoch(&mut validator);
    assert!(!world.hub.requests().iter().any(|request| request.path.contains("ghost")));
}

fn s0_19_a_new_registration_is_a_new_miner() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.fault(&repo, "crash");
    for _ in 0..4 {
        world.epoch(&mut validator);
    }
    let two = key(&world, 2);
    assert_eq!(validator.store().failures().unwrap()[&two].len(), 3);
    let uid = world.seat_of(&two.hotkey).unwrap();
    world.replace(uid, 60);
    world.epoch(&mut validator);
    let other = world.seat_of(&crate::world::hotkey(60)).unwrap();
    world.replace(other, 2);
    world.fault(&repo, "");
    let again = "miner2/q900-s2".to_owned();
    let revision = world.publish(&again, 31);
    world.commit(2, &again, &revision);
    world.epoch(&mut validator);
    let anew = key(&world, 2);
    assert_ne!(anew, two);
    assert_eq!(king(&validator), Some(anew), "what its hotkey did before is of another miner");
}

fn a_raised_flag_ends_the_epoch() {
    let (mut world, validator, _) = with_king();
    drop(validator);
    world.enter(2, 1000);
    world.next_round_block();
    let stop = Stop::default();
    let clock = std::sync::Arc::clone(&world.clock);
    let clock = Box::new(move || clock.load(Ordering::SeqCst));
    let settings = world.site.settings();
    let mut validator = world.site.validator_with(Box::new(world.heard.clone()), clock, settings, stop.clone());
    let heard = std::sync::Arc::clone(&world.heard.0);
    let watcher = std::thread::spawn(move || {
        while !heard.lock().unwrap().iter().any(|event| matches!(event, Event::RoundBegun { .. })) {
            std::thread::yield_now();
        }
        stop.raise();
    });
    let _ = validator.run();
    watcher.join().unwrap();
    drop(validator);
    let mut validator = world.validator();
    validator.epoch().unwrap();
    let finished = validator.store().rounds(0, 10).unwrap();
    assert!(finished.iter().all(|round| round.state == distil_store::RoundState::Finished), "{finished:#?}");
    assert_eq!(king(&validator), Some(key(&world, 2)));
}
