//! Students that come to no result, and what is not known of them: nobody is kept waiting by them, and nobody is crowned.

use crate::faults::{fault_path, with_king};
use crate::rounds::{key, king, outcome, verdict};
use crate::site::TEACHER;
use crate::world::{World, repo, write_model};
use distil_devhub::{Fault, FaultKind, RepoKind};
use distil_scoring::{DisqualificationCode, NotEligible, StudentResult, Verdict};
use distil_store::{CheckState, RoundState, Store};
use distil_types::MinerKey;
use distil_validator::{EpochEnd, Event, Stop, Validator};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("c7_models_that_never_arrive_keep_nobody_from_a_place", c7_models_that_never_arrive),
    ("c7_models_that_this_host_cannot_fetch_are_asked_for_less_and_less", c7_models_that_this_host_cannot_fetch),
    ("a3_weights_are_compared_though_the_cache_was_emptied", a3_weights_are_compared),
    ("a3_who_cannot_be_compared_is_not_crowned_and_not_to_blame", a3_who_cannot_be_compared),
    ("d7_a_worker_that_keeps_no_states_is_tried_three_times", d7_a_worker_that_keeps_no_states),
    ("d17_nothing_of_a_host_reaches_a_verdict_or_a_record", d17_nothing_of_a_host),
    ("a9_a_lifted_copy_takes_part_again", a9_a_lifted_copy_takes_part_again),
    ("a9_who_was_removed_and_lifted_is_looked_for_three_times_again", a9_who_was_removed_and_lifted),
    ("a5_a_worker_that_loads_other_files_scores_nobody", a5_a_worker_that_loads_other_files),
    ("a5_a_damaged_copy_on_this_host_is_not_the_models_fault", a5_a_damaged_copy_on_this_host),
    ("d13_a_model_that_crashes_alone_is_tried_three_times", d13_a_model_that_crashes_alone),
    ("d14_a_stop_while_the_teacher_proves_the_worker_is_no_verdict", d14_a_stop_while_the_teacher_proves),
];

/// How often a student's pass was begun.
fn passes(world: &World, repo: &str) -> usize {
    let is_one = |what: &str, of: &str| what == "begin-student" && of.ends_with(&format!(" {repo}"));
    world.site.log().read().iter().filter(|(what, of)| is_one(what, of)).count()
}

fn c7_models_that_never_arrive() {
    let (mut world, mut validator, _) = with_king();
    world.register(10..=25);
    // More than a round takes, all of them earlier than the honest one.
    let hollow: Vec<String> = (10..25).map(|miner| world.enter(miner, 1500 + miner)).collect();
    for (index, repo) in hollow.iter().enumerate() {
        world.fault(repo, ["failed-download", "failed-absent"][index % 2]);
    }
    world.enter(25, 1000);
    let events = world.epoch(&mut validator);
    assert_eq!(verdict(&events, key(&world, 10)), Verdict::Interrupted);
    assert_eq!(king(&validator), Some(key(&world, 1)), "there was no place for the last of them");
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(key(&world, 25)), "who was interrupted comes after who was not");
    // They come less and less often: 10, 20, 40, 80 minutes, of 10 an epoch.
    for _ in 0..18 {
        world.epoch(&mut validator);
    }
    for repo in &hollow {
        assert_eq!(passes(&world, repo), 5, "{repo}");
    }
    assert!(validator.store().failures().unwrap().is_empty());
    assert!(validator.store().disqualifications().unwrap().is_empty());
    let ten = key(&world, 10);
    let check = validator.store().check(&ten).unwrap().unwrap();
    assert!(matches!(check.state, CheckState::Waiting { tries: 5, .. }), "{check:?}");
    // A result ends it.
    for repo in &hollow {
        world.fault(repo, "");
    }
    for _ in 0..16 {
        world.epoch(&mut validator);
    }
    assert!(validator.store().evaluations().unwrap().contains_key(&ten));
    assert!(validator.store().interruptions().unwrap().is_empty());
}

fn c7_models_that_this_host_cannot_fetch() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    // Where its files should come, there is no room for them.
    let folder = world.root.path().join("hub").join(format!("models--{}", repo.replace('/', "--")));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("blobs"), "").unwrap();
    for _ in 0..16 {
        world.epoch(&mut validator);
    }
    let two = key(&world, 2);
    let interruptions = &validator.store().interruptions().unwrap()[&two];
    assert_eq!(interruptions.in_a_row, 5, "after 0, 10, 30, 70 and 150 minutes: {interruptions:?}");
    assert!(!interruptions.last_reason.contains("hub"), "nothing of the host: {interruptions:?}");
    assert_eq!(passes(&world, &repo), 0);
    assert!(validator.store().disqualifications().unwrap().is_empty());
    fs::remove_file(folder.join("blobs")).unwrap();
    for _ in 0..16 {
        world.epoch(&mut validator);
    }
    assert_eq!(king(&validator), Some(two));
}

/// A model that differs from that of a seed in one small tensor, and has a name of its own.
fn near_copy_of(world: &mut World, seed: u64, miner: u64, quality: u64) {
    let folder = world.root.path().join("near");
    fs::create_dir_all(&folder).unwrap();
    write_model(&folder, seed);
    let weights = folder.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    // The last tensor is the final norm.
    let last = bytes.len() - 2;
    bytes[last] ^= 0x01;
    fs::write(&weights, bytes).unwrap();
    let repo = repo(miner, quality);
    let revision = world.hub.publish(RepoKind::Model, &repo, &folder).unwrap();
    world.commit(miner, &repo, &revision);
}

fn a3_weights_are_compared() {
    let (mut world, mut validator, _) = with_king();
    near_copy_of(&mut world, 1001, 2, 1000);
    // The king was fetched when it was a challenger; its model has gone from this host since.
    fs::remove_dir_all(world.root.path().join("hub")).unwrap();
    let events = world.epoch(&mut validator);
    assert_eq!(verdict(&events, key(&world, 2)), Verdict::NearCopy, "{:#?}", outcome(&events));
    assert_eq!(king(&validator), Some(key(&world, 1)));
}

fn a3_who_cannot_be_compared() {
    let (mut world, mut validator, kings_repo) = with_king();
    near_copy_of(&mut world, 1001, 2, 1000);
    world.enter(3, 900);
    fs::remove_dir_all(world.root.path().join("hub")).unwrap();
    let gone = FaultKind::Status { status: 404, retry_after: None };
    world.hub.order(Fault::new(gone).on(&format!("{kings_repo}/resolve")));
    for _ in 0..2 {
        let events = world.epoch(&mut validator);
        for miner in [2, 3] {
            let key = key(&world, miner);
            assert_eq!(verdict(&events, key), Verdict::Interrupted, "{miner}: {:#?}", outcome(&events));
            let said = outcome(&events).verdicts.into_iter().find(|verdict| verdict.miner == key).unwrap();
            assert!(said.sentence.contains("could not be compared"), "{}", said.sentence);
        }
        assert_eq!(king(&validator), Some(key(&world, 1)));
    }
    assert_eq!(passes(&world, &repo(3, 900)), 0, "no pass for nothing");
    assert!(validator.store().interruptions().unwrap().is_empty(), "it is not their fault, so they wait no longer");
    world.hub.clear_faults();
    let events = world.epoch(&mut validator);
    assert_eq!(verdict(&events, key(&world, 2)), Verdict::NearCopy);
    assert_eq!(king(&validator), Some(key(&world, 3)));
}

fn d7_a_worker_that_keeps_no_states() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.fault(&repo, "failed-teacher_cache_missing");
    world.next_round_block();
    for _ in 0..2 {
        let error = validator.epoch().unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    let open = validator.store().open_round().unwrap().unwrap();
    let two = key(&world, 2);
    assert_eq!(open.failed_tries[&two].len(), 2);
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)));
    let events = world.heard.take();
    assert_eq!(verdict(&events, two), Verdict::Interrupted);
    let round = open.start.plan.id();
    let teacher = format!("{round} {TEACHER}");
    let begun = world.site.log().read().iter().filter(|line| line.0 == "begin-teacher" && line.1 == teacher).count();
    assert_eq!(begun, 1 + 3, "one pass, and one restored in each try");
}

fn d17_nothing_of_a_host() {
    let (mut world, mut validator, _) = with_king();
    for (miner, fault) in (2..).zip(["failed-host", "failed-download", "failed-model"]) {
        let repo = world.enter(miner, 1000);
        world.fault(&repo, fault);
    }
    world.next_round_block();
    let ended = (0..5).any(|_| validator.epoch().is_ok());
    assert!(ended, "two tries, and then it waits");
    world.heard.take();
    let round = validator.store().rounds(0, 1).unwrap().remove(0);
    let number = round.number;
    let round = validator.store().round(number).unwrap().unwrap();
    let details: Vec<&str> =
        round.failed_tries.values().flatten().map(|failed_try| failed_try.reason.as_str()).collect();
    assert!(details.iter().any(|reason| reason.contains(".cache")), "for the operator all of it is kept: {details:?}");
    let folder = world.root.path().join("records").join(round.id().to_string());
    let mut told = fs::read_to_string(folder.join("record.json")).unwrap();
    for miner in 2..=4 {
        let key = key(&world, miner);
        told += &format!("{:?}", validator.store().check(&key).unwrap());
        told += &format!("{:?} {:?}", round.results[&key].run, validator.store().verdicts_of(&key).unwrap());
    }
    told += &format!("{:?}", validator.store().failures().unwrap());
    for part in ["/home", ".cache", "/hub"] {
        assert!(!told.contains(part), "{part}: {told}");
    }
    // What a model's process says is of the model; what the host and the way to it say is not.
    for miner in [2, 3] {
        let run = format!("{:?}", round.results[&key(&world, miner)].run);
        assert!(!run.contains("ssh") && !run.contains("gpu-7"), "{run}");
    }
}

/// A validator whose store was changed by hand while it was down.
fn lifted(world: &World, validator: Validator, miner: MinerKey) -> Validator {
    drop(validator);
    let mut store = Store::open(&world.site.state()).unwrap();
    store.lift_disqualification(&miner, "an operator knows better", world.clock.load(Ordering::SeqCst)).unwrap();
    drop(store);
    world.validator()
}

fn a9_a_lifted_copy_takes_part_again() {
    let (mut world, mut validator, _) = with_king();
    let exact = repo(2, 1000);
    let revision = world.publish(&exact, 1001);
    world.commit(2, &exact, &revision);
    world.epoch(&mut validator);
    let two = key(&world, 2);
    let out = validator.store().disqualification(&two).unwrap().unwrap();
    assert_eq!(out.disqualification.code, DisqualificationCode::Copy);
    let mut validator = lifted(&world, validator, two);
    let events = world.epoch(&mut validator);
    assert!(validator.store().disqualification(&two).unwrap().is_none(), "it stands lifted");
    assert_eq!(verdict(&events, two), Verdict::NearCopy, "it is measured, and its weights are still the king's");
    assert_eq!(king(&validator), Some(key(&world, 1)));
}

fn a9_who_was_removed_and_lifted() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.hub.remove(RepoKind::Model, &repo).unwrap();
    let two = key_of_entered(&mut world, &mut validator);
    let is_out = |validator: &Validator| validator.store().disqualification(&two).unwrap().is_some();
    let epochs_until_out = |world: &mut World, validator: &mut Validator| {
        (1..20).find(|_| {
            world.epoch(validator);
            is_out(validator)
        })
    };
    assert!(epochs_until_out(&mut world, &mut validator).is_some_and(|epochs| epochs >= 5));
    let mut validator = lifted(&world, validator, two);
    let again = epochs_until_out(&mut world, &mut validator);
    assert!(again.is_some_and(|epochs| epochs >= 6), "an hour, and not one look: {again:?}");
}

fn key_of_entered(world: &mut World, validator: &mut Validator) -> MinerKey {
    world.epoch(validator);
    key(world, 2)
}

fn a5_a_worker_that_loads_other_files() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    world.fault(&repo, "damaged");
    world.next_round_block();
    for _ in 0..2 {
        let error = validator.epoch().unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("SHA-256"), "{error}");
    }
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)));
    let two = key(&world, 2);
    assert_eq!(verdict(&world.heard.take(), two), Verdict::Interrupted, "whatever it scored");
    assert_eq!(king(&validator), Some(key(&world, 1)));
    assert!(validator.store().failures().unwrap().is_empty());
    world.fault(&repo, "");
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(two));
    // Nor does another teacher score anybody.
    world.enter(3, 500);
    let aside = world.root.path().join("loaded").join(format!("teacher.tiny.{}", world.site.teacher_revision));
    let honest = fs::read_to_string(&aside).unwrap();
    let mut other: serde_json::Value = serde_json::from_str(&honest).unwrap();
    other[1]["sha256"] = "00".repeat(32).into();
    fs::write(&aside, other.to_string()).unwrap();
    world.next_round_block();
    validator.epoch().unwrap_err();
    assert!(validator.store().open_round().unwrap().unwrap().teacher.is_none());
    fs::write(&aside, honest).unwrap();
    validator.epoch().unwrap();
    assert_eq!(king(&validator), Some(key(&world, 3)));
}

fn a5_a_damaged_copy_on_this_host() {
    let (mut world, mut validator, _) = with_king();
    let repo = world.enter(2, 1000);
    // As long as it should be, and full of zeros.
    let cache = world.root.path().join("hub").join(format!("models--{}", repo.replace('/', "--")));
    let listed = world.site.hub();
    let at = listed.snapshot(distil_hub::RepoKind::Model, &repo.parse().unwrap(), None).unwrap();
    let file = at.files.iter().find(|file| file.path == "model.safetensors").unwrap();
    let blob = cache.join("blobs").join(file.sha256.unwrap().to_string());
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(&blob, vec![0; file.size as usize]).unwrap();
    world.epoch(&mut validator);
    let two = key(&world, 2);
    assert!(validator.store().disqualifications().unwrap().is_empty());
    let check = validator.store().check(&two).unwrap().unwrap();
    assert!(matches!(&check.state, CheckState::Waiting { reason, .. } if reason.contains("damaged")), "{check:?}");
    fs::remove_file(&blob).unwrap();
    world.epoch(&mut validator);
    assert_eq!(king(&validator), Some(two));
}

fn d13_a_model_that_crashes_alone() {
    let mut world = World::open();
    world.register([1, 2]);
    let crashing = world.enter(1, 1000);
    world.fault(&crashing, "crash");
    let mut validator = world.validator();
    for failures in 1..=3 {
        let events = world.epoch(&mut validator);
        let one = key(&world, 1);
        assert!(events.contains(&Event::Canary { passed: true }), "{events:#?}");
        assert_eq!(verdict(&events, one), Verdict::Failed);
        assert_eq!(validator.store().failures().unwrap()[&one].len(), failures);
    }
    let events = world.epoch(&mut validator);
    assert!(events.iter().any(|event| matches!(event, Event::NoRound { .. })), "{events:#?}");
    assert!(validator.store().disqualifications().unwrap().is_empty());
    assert!(NotEligible::Failed { failures: 3 }.to_string().contains("not tried again"));
    // Two that crash need one proof.
    let mut world = World::open();
    world.register([1, 2]);
    for miner in [1, 2] {
        let repo = world.enter(miner, 1000);
        world.fault(&repo, "crash");
    }
    let mut validator = world.validator();
    let events = world.epoch(&mut validator);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Canary { .. })).count(), 1);
    assert_eq!(validator.store().failures().unwrap().len(), 2);
    assert_eq!(passes(&world, TEACHER), 1);
}

fn d14_a_stop_while_the_teacher_proves() {
    let (mut world, validator, kings_repo) = with_king();
    drop(validator);
    world.enter(2, 4000);
    world.fault(&kings_repo, "crash");
    let stop = Stop::default();
    let clock = Arc::clone(&world.clock);
    let clock = Box::new(move || clock.load(Ordering::SeqCst));
    let settings = world.site.settings();
    let mut validator = world.site.validator_with(Box::new(world.heard.clone()), clock, settings, stop.clone());
    world.next_round_block();
    let (heard, log, fault) = (Arc::clone(&world.heard.0), world.site.log(), fault_path(&world, TEACHER));
    let watcher = std::thread::spawn(move || {
        while !heard.lock().unwrap().iter().any(|event| matches!(event, Event::TeacherDone { .. })) {
            std::thread::yield_now();
        }
        fs::write(fault, "hang").unwrap();
        while !log.read().iter().any(|(what, of)| what == "begin-student" && of.ends_with(TEACHER)) {
            std::thread::yield_now();
        }
        stop.raise();
    });
    let error = validator.epoch().unwrap_err();
    watcher.join().unwrap();
    assert_eq!(error.to_string(), "stopped");
    let open = validator.store().open_round().unwrap().expect("it is gone on with");
    assert!(open.results.is_empty(), "{:#?}", open.results);
    drop(validator);
    // Nor is a host that fails the teacher any proof against the king.
    let mut validator = world.validator();
    world.fault(TEACHER, "failed-host");
    validator.epoch().unwrap_err();
    assert_eq!(validator.store().open_round().unwrap().unwrap().state, RoundState::Open);
    world.fault(TEACHER, "");
    world.heard.take();
    validator.epoch().unwrap();
    assert!(world.heard.take().contains(&Event::Canary { passed: true }));
    let one = key(&world, 1);
    let round = validator.store().rounds(0, 1).unwrap().remove(0);
    let results = validator.store().round(round.number).unwrap().unwrap().results;
    assert!(matches!(&results[&one].run.result, StudentResult::Failed(failure) if failure.known_good_passed));
    assert_eq!(validator.store().failures().unwrap()[&one].len(), 1);
}
