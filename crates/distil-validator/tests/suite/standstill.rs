//! Rounds that cannot go on: what is kept meanwhile, and what is not gone on with.

use crate::rounds::{key, kinds, king};
use crate::sealed::{all_weight_to, start, submissions};
use crate::site::{NETUID, signer};
use crate::world::{Heard, World};
use distil_chain::SnapshotExpectation;
use distil_devnet::{Admin, Hyperparameters};
use distil_types::Uid;
use distil_validator::{EpochEnd, Event, Observer, Stop, Validator, ValidatorError, ValidatorSettings};
use std::fs;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("d7_s0_1_an_open_round_is_not_gone_on_with_under_other_settings", d7_other_settings),
    ("d7_an_open_round_is_gone_on_with_whatever_the_number_of_threads", d7_other_threads),
    ("b4_weights_of_the_king_are_refreshed_while_no_round_can_be_begun", b4_no_round_can_be_begun),
    ("b4_weights_of_the_king_are_refreshed_in_the_middle_of_a_long_round", b4_a_long_round),
    ("b4_decided_weights_are_sent_before_another_round_begins", b4_decided_weights_come_first),
    ("c1_a_source_that_says_no_ends_no_validator_that_has_worked", c1_a_source_that_says_no),
];

/// A king, miner 1, and a round that was left open by a validator that was killed after its first student.
fn with_open_round() -> (World, Vec<Uid>) {
    let mut world = World::open();
    let uids = world.register([1, 2]);
    world.enter(1, 3000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    drop(validator);
    world.enter(2, 1000);
    world.next_round_block();
    assert!(!start(&world, "StudentDone").wait().unwrap().success());
    world.heard.take();
    (world, uids)
}

fn validator(world: &World, settings: ValidatorSettings, stop: Stop) -> Validator {
    let clock = Arc::clone(&world.clock);
    let clock = Box::new(move || clock.load(Ordering::SeqCst));
    world.site.validator_with(Box::new(world.heard.clone()), clock, settings, stop)
}

fn d7_other_settings() {
    type Change = fn(&mut ValidatorSettings);
    let changes: [(Change, &str); 4] = [
        (|settings| settings.code_version = "0.2.0".to_owned(), r#"code_version was "0.1.0" and is "0.2.0""#),
        (
            |settings| settings.rules = settings.rules.clone().with_min_confidence(0.9).unwrap(),
            "rules.min_confidence was ",
        ),
        (|settings| settings.profile.max_new_tokens += 1, "max_new_tokens was 64 and is 65"),
        (|settings| settings.pass.batch_tokens += 1, "pass.batch_tokens was "),
    ];
    for (change, expected) in changes {
        let (mut world, _) = with_open_round();
        let mut settings = world.site.settings();
        change(&mut settings);
        let mut validator = validator(&world, settings, Stop::default());
        world.next_round_block();
        assert!(matches!(validator.epoch().unwrap(), EpochEnd::Round(_)));
        let events = world.heard.take();
        let voided = events
            .iter()
            .position(|event| matches!(event, Event::RoundVoided { reason, .. } if reason.contains(expected)));
        let begun = events.iter().position(|event| matches!(event, Event::RoundBegun { .. }));
        assert!(voided.unwrap_or_else(|| panic!("{expected}: {events:#?}")) < begun.unwrap());
        assert_eq!(king(&validator), Some(key(&world, 2)), "the new round decides");
    }
}

fn d7_other_threads() {
    let (world, _) = with_open_round();
    let mut settings = world.site.settings();
    settings.pass.threads = NonZeroUsize::MIN;
    let mut validator = validator(&world, settings, Stop::default());
    validator.epoch().unwrap();
    let events = world.heard.take();
    assert!(kinds(&events).contains(&"RoundResumed".to_owned()), "{events:#?}");
    assert_eq!(king(&validator), Some(key(&world, 2)));
}

/// The block in which this validator last set weights.
fn last_update(world: &World) -> u64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let snapshot = runtime.block_on(world.site.chain().snapshot(NETUID, SnapshotExpectation::default())).unwrap();
    let own = signer().public_key();
    snapshot.neurons.iter().find(|neuron| neuron.hotkey == own).unwrap().last_update_block
}

/// Weights in the open that count for so many blocks.
fn weights_lapse_after(blocks: u16) -> World {
    World::new(Hyperparameters {
        tempo: Some(100),
        min_allowed_weights: Some(1),
        weights_rate_limit: Some(0),
        commit_reveal: Some(false),
        activity_cutoff: Some(blocks),
        ..Hyperparameters::default()
    })
}

fn b4_no_round_can_be_begun() {
    let cutoff = 1200;
    let mut world = weights_lapse_after(cutoff);
    let uids = world.register([1, 2]);
    world.enter(1, 3000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    let texts = world.root.path().join("texts.jsonl");
    let kept = fs::read(&texts).unwrap();
    fs::remove_file(&texts).unwrap();
    world.enter(2, 1000);
    world.net.admin().clear_requests();
    for _ in 0..60 {
        let block = world.next_round_block();
        validator.epoch().unwrap_err();
        assert!(block < last_update(&world) + u64::from(cutoff), "the weights lapse in block {block}");
    }
    // In 3,000 blocks twice, and not at each of the 60 failures.
    assert_eq!((submissions(&world), all_weight_to(&world)), (2, vec![uids[0]]));
    assert_eq!(king(&validator), Some(key(&world, 1)));
    fs::write(&texts, kept).unwrap();
    world.heard.take();
    world.epoch(&mut validator);
    assert_eq!((king(&validator), all_weight_to(&world)), (Some(key(&world, 2)), vec![uids[1]]));
}

/// Lets the chain go on by hours with each student that is done.
struct Slow {
    heard: Heard,
    admin: Admin,
    clock: Arc<AtomicU64>,
}

impl Observer for Slow {
    fn event(&mut self, event: &Event) {
        self.heard.event(event);
        if let Event::StudentDone { .. } = event {
            self.admin.produce_blocks(500).unwrap();
            self.clock.store(self.admin.time_ms(), Ordering::SeqCst);
        }
    }
}

fn b4_a_long_round() {
    let mut world = weights_lapse_after(1200);
    let uids = world.register(1..=5);
    world.enter(1, 3000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    drop(validator);
    (2..=5).for_each(|miner| drop(world.enter(miner, 5000 + 100 * miner)));
    world.next_round_block();
    let (clock, admin) = (Arc::clone(&world.clock), world.net.admin().clone());
    let slow = Slow { heard: world.heard.clone(), admin, clock: Arc::clone(&clock) };
    let clock = Box::new(move || clock.load(Ordering::SeqCst));
    let mut validator = world.site.validator_with(Box::new(slow), clock, world.site.settings(), Stop::default());
    world.net.admin().clear_requests();
    validator.epoch().unwrap();
    let told = kinds(&world.heard.take());
    let first = |kind: &str| told.iter().position(|told| told == kind).unwrap_or_else(|| panic!("no {kind}: {told:?}"));
    let last = told.iter().rposition(|told| told == "StudentDone").unwrap();
    assert!(first("RoundBegun") < first("WeightsConfirmed") && first("WeightsConfirmed") < last, "{told:?}");
    // Five students, 2,500 blocks: the sitting king's weights never lapsed.
    assert_eq!((submissions(&world), all_weight_to(&world)), (2, vec![uids[0]]));
}

fn b4_decided_weights_come_first() {
    let mut world = World::open();
    let uids = world.register([1, 2]);
    world.enter(1, 3000);
    world.next_round_block();
    assert!(!start(&world, "RoundDecided").wait().unwrap().success());
    assert_eq!(submissions(&world), 0);
    world.enter(2, 1000);
    world.next_round_block();
    let mut validator = world.validator();
    validator.epoch().unwrap();
    let told = kinds(&world.heard.take());
    let first = |kind: &str| told.iter().position(|told| told == kind).unwrap_or_else(|| panic!("no {kind}: {told:?}"));
    assert!(first("WeightsConfirmed") < first("RoundBegun"), "{told:?}");
    assert_eq!(all_weight_to(&world), [uids[1]]);
}

fn c1_a_source_that_says_no() {
    let mut world = World::open();
    world.register([1, 2]);
    world.enter(1, 3000);
    let texts = world.root.path().join("texts.jsonl");
    let kept = fs::read(&texts).unwrap();
    fs::remove_file(&texts).unwrap();
    world.next_round_block();
    // One that never had a round was perhaps never set up well: it ends, and says why.
    let error = world.validator().run().unwrap_err();
    assert!(matches!(error, ValidatorError::Dataset(_)), "{error}");
    fs::write(&texts, kept).unwrap();
    let stop = Stop::default();
    let mut validator = validator(&world, world.site.settings(), stop.clone());
    world.epoch(&mut validator);
    fs::remove_file(&texts).unwrap();
    world.enter(2, 1000);
    world.next_round_block();
    let heard = world.heard.clone();
    let waiting = std::thread::spawn(move || {
        let patience = Instant::now() + Duration::from_secs(60);
        let failed = |event: &Event| matches!(event, Event::Failed { problem, .. } if problem.contains("texts.jsonl"));
        let mut found = false;
        while !found && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
            found = heard.0.lock().unwrap().iter().any(failed);
        }
        stop.raise();
        found
    });
    validator.run().unwrap();
    assert!(waiting.join().unwrap(), "{:#?}", world.heard.take());
}
