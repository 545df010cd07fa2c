//! A long time on a full subnet, with everything that goes on there.

use crate::resident::{Memory, Resident};
use crate::world::{Dice, World, hotkey};
use distil_devhub::{Fault, FaultKind, RepoKind};
use distil_types::{Hotkey, Uid};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

// A subnet has 256 seats, two of which are validators.
pub(crate) const TESTS: &[(&str, fn())] = &[
    ("b2_b8_c1_d12_a_season_with_churn_disqualifies_nobody_wrongly", || season(20, 40)),
    ("b2_b8_c1_d12_a_season_with_churn_long_form", || season(1000, 254)),
];

#[allow(clippy::print_stderr, reason = "figures are what this test is for")]
fn tell(text: &str) {
    eprintln!("{text}");
}

/// By how much the validator's memory in the last tenth of the long form may be above that in the second, in KiB.
///
/// What is allocated at the end of an epoch is the same from the beginning on; what the allocator keeps beside it settles
/// within the first tenth and adds some 400 KiB by the end. Whoever kept 4 KiB of each epoch would be 3,200 KiB
/// above after the 800 epochs in between.
const LONG_FORM_MARGIN_KIB: u64 = 3 * 1024;
/// The short form ends before the allocator has settled: it finds only what is gross, some 200 KiB of each epoch.
const SHORT_FORM_MARGIN_KIB: u64 = 4 * 1024;

/// What a process took, by tenths of the season.
#[derive(Debug, Default)]
struct Memories {
    /// The mean of what was allocated after each epoch.
    anonymous_kib: Vec<u64>,
    /// The most that was ever resident, files that are mapped included.
    peak_kib: Vec<u64>,
    /// Of the tenth that is not over.
    samples_kib: Vec<u64>,
}

impl Memories {
    fn epoch(&mut self, memory: Memory) {
        self.samples_kib.push(memory.anonymous_kib);
    }

    fn tenth(&mut self, memory: Memory) {
        let samples = std::mem::take(&mut self.samples_kib);
        self.anonymous_kib.push(samples.iter().sum::<u64>() / samples.len() as u64);
        self.peak_kib.push(memory.peak_kib);
    }

    /// How much more there is in the last tenth than in the second.
    fn growth_kib(&self) -> u64 {
        self.anonymous_kib[self.anonymous_kib.len() - 1].saturating_sub(self.anonymous_kib[1])
    }
}

/// Who is there, and who may lose its place for good.
struct Crowd {
    dice: Dice,
    next: u64,
    seats: BTreeMap<u16, (u64, String)>,
    /// Those who copied, or whose repository is gone or no model.
    may_be_out: BTreeSet<Hotkey>,
    removed: Vec<(u64, String)>,
    spoiled: Vec<String>,
}

impl Crowd {
    /// A new miner in this seat, with a model of about this quality.
    fn arrive(&mut self, world: &mut World, uid: Uid, base: u64) {
        let miner = self.next - 1;
        let quality = base * (85 + self.dice.below(50)) / 100;
        let name = format!("miner{miner}/q{quality}-s{miner}");
        match self.dice.below(100) {
            // Somebody else's tensors.
            0..3 if self.seats.len() > 3 => {
                let (other, _) = self.seats.values().next().cloned().expect("somebody");
                let revision = world.publish(&name, 1000 + other);
                world.commit(miner, &name, &revision);
                self.may_be_out.insert(hotkey(miner));
            }
            // No model at all.
            3..5 => {
                let folder = world.root.path().join("empty");
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("README.md"), miner.to_string()).unwrap();
                let revision = world.hub.publish(RepoKind::Model, &name, &folder).unwrap();
                world.commit(miner, &name, &revision);
                self.may_be_out.insert(hotkey(miner));
            }
            // A list of reveals that is full before anybody has seen it.
            5..7 => {
                let revision = world.publish(&name, 1000 + miner);
                for _ in 0..11 {
                    world.commit(miner, &name, &revision);
                    world.net.admin().produce_blocks(2).unwrap();
                }
            }
            kind => {
                let revision = world.publish(&name, 1000 + miner);
                world.commit(miner, &name, &revision);
                if kind < 12 {
                    world.fault(&name, ["crash", "nan", "babble", "failed-download", "failed-host"][kind as usize - 7]);
                }
            }
        }
        self.seats.insert(uid.0, (miner, name));
    }
}

fn season(epochs: u64, miners: u64) {
    let mut world = World::open();
    let mut crowd = Crowd {
        dice: Dice(9),
        next: 1,
        seats: BTreeMap::new(),
        may_be_out: BTreeSet::new(),
        removed: Vec::new(),
        spoiled: Vec::new(),
    };
    let uids = world.register(1..=miners);
    for uid in uids {
        crowd.next += 1;
        crowd.arrive(&mut world, uid, 15_000);
    }
    let mut validator = Resident::start(&world);
    let begun = Instant::now();
    let (mut in_epochs, mut slowest) = (Duration::ZERO, Duration::ZERO);
    let (mut rounds, mut failed, mut vacancies, mut faults, mut requests) = (0, 0, 0, 0, 0_usize);
    let (mut memory, mut of_stand_ins) = (Memories::default(), Memories::default());
    for epoch in 0..epochs {
        let base = 15_000 - 13_000 * epoch / epochs;
        // A seat or two change hands.
        for _ in 0..1 + crowd.dice.below(2) {
            let uid = Uid(2 + crowd.dice.below(miners) as u16);
            world.replace(uid, crowd.next);
            crowd.next += 1;
            crowd.arrive(&mut world, uid, base);
        }
        // Somebody commits again, whose first commitment is revealed.
        let (miner, name) = crowd.seats.values().nth(crowd.dice.below(miners) as usize).cloned().unwrap();
        if epoch % 3 == 0 && miner + 4 < crowd.next {
            world.commit(miner, &name, &"cd".repeat(20));
        }
        // A repository goes and comes back within the hour; now and then one goes for good.
        for (_, repo) in std::mem::take(&mut crowd.removed) {
            world.hub.restore(RepoKind::Model, &repo).unwrap();
        }
        if epoch % 4 == 1 {
            world.hub.remove(RepoKind::Model, &name).unwrap();
            if epoch % 16 == 1 {
                crowd.may_be_out.insert(hotkey(miner));
            } else {
                crowd.removed.push((miner, name));
            }
        }
        // The king cannot be fetched, cannot be run, or loses its seat.
        for repo in std::mem::take(&mut crowd.spoiled) {
            world.fault(&repo, "");
        }
        if let Some(reign) = validator.store.king().unwrap() {
            let repo = reign.king.commitment.model.to_string();
            match epoch % 29 {
                5 | 13 => {
                    world.fault(&repo, if epoch % 2 == 0 { "failed-download" } else { "crash" });
                    crowd.spoiled.push(repo);
                }
                21 => {
                    if let Some(uid) = world.seat_of(&reign.king.miner.hotkey) {
                        world.replace(uid, crowd.next);
                        crowd.next += 1;
                        crowd.arrive(&mut world, uid, base);
                    }
                }
                _ => {}
            }
        }
        // One in twenty of the requests fails.
        world.hub.clear_faults();
        world.hub.clear_requests();
        world.net.admin().clear_requests();
        let expected = (requests / (epoch as usize).max(1)).max(60) as u64;
        for _ in 0..expected.div_ceil(20) {
            let kind = match crowd.dice.below(4) {
                0 => FaultKind::Status { status: 429, retry_after: Some("1".to_owned()) },
                1 => FaultKind::Status { status: 503, retry_after: None },
                2 => FaultKind::Reset,
                _ => FaultKind::CloseBeforeAnswer,
            };
            world.hub.order(Fault::new(kind).after(crowd.dice.below(expected)).times(1));
            faults += 1;
        }
        world.next_round_block();
        let start = Instant::now();
        let answer = validator.epoch(world.site.now_ms);
        slowest = slowest.max(start.elapsed());
        in_epochs += start.elapsed();
        requests += world.hub.requests().len();
        rounds += answer.rounds_decided;
        vacancies += answer.vacancies;
        failed += answer.tried_again;
        memory.epoch(validator.memory());
        of_stand_ins.epoch(Memory::own());
        if (epoch + 1) % (epochs / 10) == 0 {
            memory.tenth(validator.memory());
            of_stand_ins.tenth(Memory::own());
            validator.forget_peak();
            tell(&format!(
                "epoch {}: validator {:?}, stand-ins {:?}, {:.1?} in all, {:.1?} in epochs, {requests} requests to the \
                 Hub, {rounds} rounds",
                epoch + 1,
                validator.memory(),
                Memory::own(),
                begun.elapsed(),
                in_epochs
            ));
        }
    }
    let store = &validator.store;
    let out = store.disqualifications().unwrap();
    let wrong: Vec<_> =
        out.values().filter(|out| !crowd.may_be_out.contains(&out.disqualification.miner.hotkey)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let reigns = store.king_history(0, 100_000).unwrap();
    assert!(rounds >= epochs / 2 && reigns.len() >= 2, "{rounds} rounds, {} reigns", reigns.len());
    assert!((out.len() >= 2 || epochs < 100) && faults > 0, "nothing happened here");
    let margin_kib = if epochs >= 1000 { LONG_FORM_MARGIN_KIB } else { SHORT_FORM_MARGIN_KIB };
    assert!(memory.growth_kib() <= margin_kib, "the validator's memory grows: {memory:?}");
    tell(&format!(
        "{epochs} epochs, {miners} seats, {} miners: {:.1?} ({:.1?} in epochs, the slowest {slowest:.1?}), {rounds} rounds, \
         {} reigns, {vacancies} vacancies, {} disqualified and none wrongly, {faults} faults ordered of {requests} requests, \
         {failed} epochs tried again; by tenths, in KiB: the validator {:?}, its peaks {:?}, chain, Hub and test {:?}",
        crowd.next - 1,
        begun.elapsed(),
        in_epochs,
        reigns.len(),
        out.len(),
        memory.anonymous_kib,
        memory.peak_kib,
        of_stand_ins.anonymous_kib
    ));
}
