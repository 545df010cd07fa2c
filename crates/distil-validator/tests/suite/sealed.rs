//! Weights that are committed and revealed later, and what becomes of them where the validator ends in between.

use crate::act::ARGUMENT;
use crate::rounds::{key, kinds, king, weights_on_chain};
use crate::world::World;
use distil_devnet::{Fault, FaultKind};
use distil_store::{StoreReader, StoredWeights, WeightsState};
use distil_types::Uid;
use distil_validator::{Event, ValidatorError};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("b4_sealed_weights_are_committed_once_awaited_and_confirmed", b4_sealed_weights),
    ("d7_killed_after_the_submission_nothing_is_sent_again", d7_killed_after_the_submission),
    ("d7_killed_before_it_arrived_the_same_transaction_is_sent", d7_killed_before_it_arrived),
    ("b4_d5_weights_for_a_seat_that_changed_hands_meanwhile_are_not_sent", b4_d5_a_seat_that_changed_hands),
    ("d7_asked_to_end_while_a_transaction_is_followed_it_ends", d7_asked_to_end),
];

const SUBMIT: &str = "author_submitExtrinsic";

pub(crate) fn submissions(world: &World) -> usize {
    world.net.admin().requests().iter().filter(|request| request.method == SUBMIT).count()
}

/// All that was ever meant to be sent, the newest first.
fn history(world: &World) -> Vec<StoredWeights> {
    StoreReader::open(&world.site.state()).unwrap().weights_history(0, 100).unwrap()
}

pub(crate) fn all_weight_to(world: &World) -> Vec<Uid> {
    weights_on_chain(world).into_iter().filter(|(_, weight)| *weight > 0).map(|(uid, _)| uid).collect()
}

fn b4_sealed_weights() {
    let mut world = World::sealed();
    let uids = world.register([1, 2]);
    world.enter(1, 5000);
    let mut validator = world.validator();
    let events = world.epoch(&mut validator);
    assert!(kinds(&events).contains(&"WeightsSent".to_owned()), "{events:#?}");
    assert!(!kinds(&events).contains(&"WeightsConfirmed".to_owned()), "not before the reveal: {events:#?}");
    assert_eq!((all_weight_to(&world), submissions(&world)), (Vec::new(), 1));
    let mut confirmed = 0;
    for _ in 0..4 {
        let events = world.epoch(&mut validator);
        confirmed += kinds(&events).iter().filter(|kind| *kind == "WeightsConfirmed").count();
    }
    assert_eq!((confirmed, submissions(&world), all_weight_to(&world)), (1, 1, vec![uids[0]]));

    // Another king: sealed anew, and the chain has the old weights until the reveal.
    world.enter(2, 1000);
    world.epoch(&mut validator);
    assert_eq!((king(&validator), submissions(&world)), (Some(key(&world, 2)), 2));
    assert_eq!(all_weight_to(&world), [uids[0]]);
    for _ in 0..3 {
        world.epoch(&mut validator);
    }
    assert_eq!((submissions(&world), all_weight_to(&world)), (2, vec![uids[1]]));
    let states: Vec<_> = history(&world).into_iter().map(|weights| weights.state).collect();
    assert!(matches!(states[..], [WeightsState::Confirmed { .. }, WeightsState::Confirmed { .. }]), "{states:#?}");
}

/// The validator as a program of its own, killed at the events with this name.
pub(crate) fn start(world: &World, kill_at: &str) -> Child {
    let site = world.root.path().join("site.json");
    std::fs::write(&site, serde_json::to_vec(&world.site).unwrap()).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args([ARGUMENT, "validator", site.to_str().unwrap(), kill_at])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Starts a validator whose first submission is struck by a fault, and kills it once it has submitted.
fn killed_while_it_submits(sealed: bool, fault: FaultKind) -> (World, Vec<Uid>) {
    let mut world = if sealed { World::sealed() } else { World::open() };
    let uids = world.register([1]);
    world.enter(1, 5000);
    world.next_round_block();
    world.net.admin().clear_requests();
    world.net.admin().order(Fault::new(fault).on(SUBMIT).times(1));
    let mut child = start(&world, "never");
    let patience = Instant::now() + Duration::from_secs(60);
    while submissions(&world) == 0 {
        assert!(Instant::now() < patience, "it never submits");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let history = history(&world);
    assert!(matches!(history[..], [StoredWeights { state: WeightsState::Intended, .. }]), "{history:#?}");
    (world, uids)
}

/// Goes on undisturbed, until sealed weights are revealed.
fn goes_on(mut world: World, sealed: bool, uids: &[Uid], expected_submissions: usize) {
    for _ in 0..if sealed { 4 } else { 1 } {
        assert!(start(&world, "never").wait().unwrap().success());
        assert_eq!(submissions(&world), expected_submissions);
        world.next_round_block();
    }
    assert!(start(&world, "never").wait().unwrap().success());
    assert_eq!(all_weight_to(&world), uids);
    let history = history(&world);
    assert!(matches!(history[..], [StoredWeights { state: WeightsState::Confirmed { .. }, .. }]), "{history:#?}");
}

fn d7_killed_after_the_submission() {
    for sealed in [false, true] {
        let (world, uids) = killed_while_it_submits(sealed, FaultKind::SwallowAnswer);
        goes_on(world, sealed, &uids, 1);
    }
}

fn d7_killed_before_it_arrived() {
    for sealed in [false, true] {
        let (world, uids) = killed_while_it_submits(sealed, FaultKind::NeverAnswer);
        // Twice the same: `goes_on` sees that one sending was ever meant.
        goes_on(world, sealed, &uids, 2);
    }
}

fn b4_d5_a_seat_that_changed_hands() {
    for sealed in [false, true] {
        let mut world = if sealed { World::sealed() } else { World::open() };
        let uids = world.register([1, 2]);
        world.enter(1, 1000);
        world.enter(2, 5000);
        world.next_round_block();
        assert!(!start(&world, "WeightsIntended").wait().unwrap().success());
        assert_eq!(submissions(&world), 0);
        // Somebody else takes the winner's seat while nobody looks, and would be given what was signed for it.
        world.replace(uids[0], 3);
        let mut validator = world.validator();
        for _ in 0..4 {
            world.epoch(&mut validator);
            assert!(!all_weight_to(&world).contains(&uids[0]));
        }
        let history = history(&world);
        let fallen = history.last().unwrap();
        assert_eq!(fallen.intention.uid, uids[0]);
        assert!(matches!(fallen.state, WeightsState::Lost { .. }), "{history:#?}");
        assert_eq!(all_weight_to(&world), [uids[1]]);
    }
}

fn d7_asked_to_end() {
    let mut world = World::sealed();
    world.register([1]);
    world.enter(1, 5000);
    world.next_round_block();
    // Lost on the way: it is looked for in block after block, for a minute.
    world.net.admin().order(Fault::new(FaultKind::Drop).on(SUBMIT).times(1));
    let stop = distil_validator::Stop::default();
    let site = world.site.clone();
    let clock = site.now_ms;
    let mut validator =
        site.validator_with(Box::new(world.heard.clone()), Box::new(move || clock), site.settings(), stop.clone());
    let raising = std::thread::spawn({
        let heard = world.heard.clone();
        move || {
            let patience = Instant::now() + Duration::from_secs(60);
            let intended = |event: &Event| matches!(event, Event::WeightsIntended { .. });
            while !heard.0.lock().unwrap().iter().any(intended) && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(300));
            stop.raise();
            Instant::now()
        }
    });
    let end = validator.epoch();
    let raised = raising.join().unwrap();
    assert!(matches!(end, Err(ValidatorError::Stopped)), "{end:?}");
    assert!(raised.elapsed() < Duration::from_secs(10), "{:?}", raised.elapsed());
    drop(validator);
    // The next start sends what was signed.
    let mut validator = world.validator();
    validator.epoch().unwrap();
    let states: Vec<_> = history(&world).into_iter().map(|weights| weights.state).collect();
    assert!(matches!(states[..], [WeightsState::Sent(_)]), "{states:#?}");
    assert_eq!(submissions(&world), 2);
}
