//! A subnet's ordinary days.

use crate::site::{NETUID, signer};
use crate::world::{World, hotkey, repo};
use distil_chain::SnapshotExpectation;
use distil_scoring::{Crown, Verdict};
use distil_store::WeightsState;
use distil_types::{MinerKey, Uid};
use distil_validator::{EpochEnd, Event, Validator};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("b8_a_first_king_then_one_that_dethrones_it", b8_a_first_king_then_one_that_dethrones_it),
    ("b9_without_a_challenger_nothing_is_evaluated", b9_without_a_challenger_nothing_is_evaluated),
];

/// Who has weight on the chain, by its row of this validator.
pub(crate) fn weights_on_chain(world: &World) -> Vec<(Uid, u16)> {
    let chain = world.site.chain();
    let drand = world.site.drand();
    let options = distil_chain::WeightsOptions::new(&drand);
    let plan = distil_chain::WeightPlan::winner(signer().public_key());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let check = runtime.block_on(chain.check_weights(NETUID, &plan, signer().public_key(), &options)).unwrap();
    check.on_chain.entries().to_vec()
}

/// The outcome of the round among these events.
pub(crate) fn outcome(events: &[Event]) -> distil_scoring::Outcome {
    let found = events.iter().find_map(|event| match event {
        Event::RoundDecided { outcome } => Some((**outcome).clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no round was decided: {events:#?}"))
}

/// What a miner's verdict was.
pub(crate) fn verdict(events: &[Event], key: MinerKey) -> Verdict {
    let outcome = outcome(events);
    let found = outcome.verdicts.iter().find(|verdict| verdict.miner == key);
    found.unwrap_or_else(|| panic!("{key} has no verdict: {outcome:#?}")).verdict
}

/// The key of a miner whose submission counts.
pub(crate) fn key(world: &World, miner: u64) -> MinerKey {
    let chain = world.site.chain();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let snapshot = runtime.block_on(chain.snapshot(NETUID, SnapshotExpectation::default())).unwrap();
    let hotkey = hotkey(miner);
    let neuron = snapshot.neurons.iter().find(|neuron| neuron.hotkey == hotkey).expect("a seat");
    let entries = snapshot.revealed.get(&hotkey).map_or(&[][..], |entries| entries);
    let entry = entries.iter().find(|entry| entry.reveal_block >= neuron.registration_block).expect("an entry");
    MinerKey::new(hotkey, entry.reveal_block)
}

pub(crate) fn king(validator: &Validator) -> Option<MinerKey> {
    validator.store().king().unwrap().map(|reign| reign.king.miner)
}

pub(crate) fn kinds(events: &[Event]) -> Vec<String> {
    let name = |event: &Event| format!("{event:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
    events.iter().map(name).collect()
}

fn b8_a_first_king_then_one_that_dethrones_it() {
    let mut world = World::open();
    let uids = world.register([1, 2, 3]);
    world.enter(1, 5000);
    world.enter(2, 3000);
    let mut validator = world.validator();
    let events = world.epoch(&mut validator);
    let (one, two) = (key(&world, 1), key(&world, 2));
    let first = outcome(&events);
    assert!(matches!(&first.crown, Crown::Given { king, .. } if *king == two), "{first:#?}");
    assert_eq!(king(&validator), Some(two));
    assert_eq!(weights_on_chain(&world).iter().filter(|(_, weight)| *weight > 0).count(), 1);
    assert!(weights_on_chain(&world).contains(&(uids[1], u16::MAX)), "{:?}", weights_on_chain(&world));

    // A third one that is clearly better, on a model of its own.
    world.enter(3, 1000);
    let events = world.epoch(&mut validator);
    let three = key(&world, 3);
    let second = outcome(&events);
    assert!(matches!(&second.crown, Crown::Given { king, .. } if *king == three), "{second:#?}");
    let begun = events.iter().find_map(|event| match event {
        Event::RoundBegun { students, .. } => Some(students.clone()),
        _ => None,
    });
    let begun = begun.unwrap();
    assert_eq!(begun[0].0, two, "the winner of the first round is the incumbent of the second");
    assert_eq!(begun.len(), 2, "who was evaluated is not evaluated again: {begun:?}");
    assert!(weights_on_chain(&world).contains(&(uids[2], u16::MAX)), "{:?}", weights_on_chain(&world));
    let history = validator.store().king_history(0, 10).unwrap();
    let kings: Vec<MinerKey> = history.iter().map(|reign| reign.king.miner).collect();
    assert_eq!(kings, [three, two]);
    let sent = validator.store().weights_history(0, 10).unwrap();
    assert!(sent.iter().all(|weights| matches!(weights.state, WeightsState::Confirmed { .. })), "{sent:#?}");
    assert_eq!(sent.len(), 2);

    // The better of the first round's losers was never king.
    assert_eq!(verdict(&events, three), Verdict::BeatsKing);
    assert!(!kings.contains(&one));
    for round in validator.store().rounds(0, 10).unwrap() {
        let folder = world.root.path().join("records").join(round.id.to_string());
        let (record, found) = distil_validator::record::verify(&folder).unwrap();
        assert!(found.is_sound(), "{:#?}", found.problems);
        assert_eq!(record.unwrap().students.len(), 2);
    }
    let announced = world.heard.take();
    assert!(announced.is_empty());
}

fn b9_without_a_challenger_nothing_is_evaluated() {
    let mut world = World::open();
    world.register([1]);
    world.enter(1, 5000);
    let mut validator = world.validator();
    world.epoch(&mut validator);
    assert!(matches!(validator.epoch().unwrap(), EpochEnd::NotYet { .. }), "one round block, one epoch");
    world.heard.take();
    let log = world.site.log();
    let passes = || log.read().iter().filter(|(what, _)| what.starts_with("begin")).count();
    let before = passes();
    let repo = repo(1, 5000);
    let mut sent = 0;
    for _ in 0..10 {
        world.hub.clear_requests();
        let events = world.epoch(&mut validator);
        assert!(!kinds(&events).contains(&"RoundBegun".to_owned()), "{events:#?}");
        sent += events.iter().filter(|event| matches!(event, Event::WeightsSent { .. })).count();
        let about_models = world.hub.requests().into_iter().filter(|request| request.path.contains(&repo));
        // Before a round and before weights: its listing, a byte of its configuration and one of its weights, which
        // come by a redirect.
        assert!(about_models.count() <= 8, "the king is looked at, and nothing else: {:#?}", world.hub.requests());
        let mut files = world.hub.requests();
        files.retain(|request| request.path.contains("resolve") || request.server == distil_devhub::Server::Cdn);
        assert!(files.iter().all(|request| request.range.as_deref() == Some("bytes=0-0")), "{files:#?}");
    }
    assert_eq!(passes(), before, "a king alone needs no round");
    // 500 blocks, and weights are refreshed when half of the 400 have passed.
    assert_eq!(sent, 2);
}
