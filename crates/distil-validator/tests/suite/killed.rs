//! A validator that is killed at each step and at random times comes to the state of one that was left alone.
//!
//! The chain and the Hub are in this process and live on; the validator is another one, which is started again after
//! each end.

use crate::act::ARGUMENT;
use crate::rounds::weights_on_chain;
use crate::site::conclusion;
use crate::world::{Dice, World};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("d7_d14_killed_anywhere_it_resumes_to_the_same_state", || killed_anywhere(World::open, 12)),
    ("d7_d14_killed_anywhere_with_sealed_weights", || killed_anywhere(World::sealed, 12)),
    ("d7_d14_killed_anywhere_long_form", || killed_anywhere(World::open, 200)),
    ("d7_d14_killed_anywhere_with_sealed_weights_long_form", || killed_anywhere(World::sealed, 200)),
];

/// Every kind of event but `Failed`, which the loop around the epochs tells.
const KINDS: [&str; 19] = [
    "Snapshot",
    "Checked",
    "Disqualified",
    "ThroneVacant",
    "NoRound",
    "RoundBegun",
    "RoundResumed",
    "TeacherDone",
    "StudentBegun",
    "StudentDone",
    "Canary",
    "IntegrityChecked",
    "RoundDecided",
    "RecordWritten",
    "WeightsIntended",
    "WeightsSent",
    "WeightsConfirmed",
    "NoWeights",
    "WeightsLost",
];

/// How a validator is treated.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Treatment {
    LeftAlone,
    /// In every fifth epoch killed at its first event, started again, killed at its second, and so on; in the others
    /// at the first event of each kind.
    AtEachEvent,
    /// Killed after random times.
    AtRandomTimes,
}

/// What came of it.
struct Outcome {
    conclusion: serde_json::Value,
    weights: Vec<Vec<(distil_types::Uid, u16)>>,
    log: Vec<(String, String)>,
    models: BTreeMap<String, String>,
    kills: usize,
    killed_at: BTreeSet<String>,
    sent_per_epoch: Vec<usize>,
}

/// What happens on the subnet before an epoch, the same in each run of it.
fn news(world: &mut World, epoch: u64) {
    let block = epoch * 50 + 12;
    world.net.admin().produce_until(block).unwrap();
    let miner = 100 + epoch;
    if epoch % 4 != 3 {
        world.register([miner]);
        // Better by and by, with some that are not.
        let quality = 16_000_u64.saturating_sub(epoch * 70).max(200) + (epoch % 3) * 900;
        let repo = world.enter(miner, quality);
        match epoch % 11 {
            5 => world.fault(&repo, "crash"),
            7 => world.fault(&repo, "nan"),
            9 => world.fault(&repo, "babble"),
            _ => {}
        }
    }
    if epoch % 6 == 2 {
        // Somebody's tensors under another name.
        let copier = 5000 + epoch;
        world.register([copier]);
        let name = format!("miner{copier}/q500-s{copier}");
        let revision = world.publish(&name, 1000 + miner);
        world.commit(copier, &name, &revision);
    }
    // The king's model crashes for an epoch, or another hotkey takes the king's seat.
    let king = distil_store::StoreReader::open(&world.site.state()).ok().and_then(|store| store.king().unwrap());
    if let Some(reign) = king {
        let repo = reign.king.commitment.model.to_string();
        let is_spoiled = crate::worker::fault_file(world.root.path(), &repo).exists();
        match epoch % 9 {
            6 | 1 if !is_spoiled => world.fault(&repo, "crash"),
            8 => {
                if let Some(uid) = world.seat_of(&reign.king.miner.hotkey) {
                    world.replace(uid, 9000 + epoch);
                }
            }
            _ if is_spoiled => world.fault(&repo, ""),
            _ => {}
        }
    }
}

fn start(site: &std::path::Path, kill_at: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([ARGUMENT, "validator", site.to_str().unwrap(), kill_at])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether it came to its end; panics where it failed in another way than by being killed.
fn ended(child: &mut Child) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(9), "{status}");
    status.success()
}

fn season(world: fn() -> World, epochs: u64, treatment: Treatment) -> Outcome {
    let mut world = world();
    let mut dice = Dice(77);
    let (mut kills, mut weights, mut sent_per_epoch) = (0, Vec::new(), Vec::new());
    let mut killed_at = BTreeSet::new();
    let mut longest = Duration::from_millis(100);
    for epoch in 1..=epochs {
        news(&mut world, epoch);
        world.next_round_block();
        let site = world.root.path().join("site.json");
        fs::write(&site, serde_json::to_vec(&world.site).unwrap()).unwrap();
        world.net.admin().clear_requests();
        let mut tries = 0;
        let mut kinds: BTreeSet<&str> = KINDS.into_iter().collect();
        loop {
            tries += 1;
            assert!(tries < 200, "epoch {epoch} does not come to an end");
            match treatment {
                Treatment::LeftAlone => assert!(ended(&mut start(&site, "never"))),
                Treatment::AtEachEvent => {
                    let at = match epoch % 5 {
                        0 => (tries - 1).to_string(),
                        _ => kinds.iter().copied().collect::<Vec<_>>().join(","),
                    };
                    if !ended(&mut start(&site, &at)) {
                        kills += 1;
                        let log = world.site.log().read();
                        let (what, kind) = log.last().expect("it was killed");
                        assert_eq!(what, "killed");
                        killed_at.insert(kind.clone());
                        kinds.remove(kind.as_str());
                        continue;
                    }
                }
                // Some four times an epoch, then it is let through.
                Treatment::AtRandomTimes if tries <= 4 => {
                    let begun = Instant::now();
                    let mut child = start(&site, "never");
                    std::thread::sleep(longest.mul_f64(dice.below(1000) as f64 / 1000.0));
                    child.kill().unwrap();
                    if !ended(&mut child) {
                        kills += 1;
                        continue;
                    }
                    longest = begun.elapsed().max(Duration::from_millis(20));
                }
                Treatment::AtRandomTimes => {
                    let begun = Instant::now();
                    assert!(ended(&mut start(&site, "never")));
                    longest = begun.elapsed().max(Duration::from_millis(20)).min(Duration::from_secs(2));
                }
            }
            break;
        }
        let submitted = world.net.admin().requests();
        sent_per_epoch.push(submitted.iter().filter(|request| request.method.starts_with("author_submit")).count());
        weights.push(weights_on_chain(&world));
    }
    let store = distil_store::StoreReader::open(&world.site.state()).unwrap();
    for round in store.rounds(0, 10_000).unwrap() {
        let name = match round.state {
            distil_store::RoundState::Void => format!("{}-void-{}", round.id, round.number),
            _ => round.id.to_string(),
        };
        let (_, found) = distil_validator::record::verify(&world.root.path().join("records").join(name)).unwrap();
        assert!(found.is_sound(), "{:#?}", found.problems);
    }
    let log = world.site.log().read();
    Outcome {
        conclusion: conclusion(&world.site.state()),
        weights,
        log,
        models: models(&world),
        kills,
        killed_at,
        sent_per_epoch,
    }
}

/// No student is run again once its result is stored, and nobody is run in a round that is decided.
fn nothing_twice(log: &[(String, String)], models: &BTreeMap<String, String>) -> (usize, usize) {
    let (mut stored, mut decided, mut again, mut passes) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    let mut begun: BTreeMap<String, usize> = BTreeMap::new();
    for (what, of) in log {
        match what.as_str() {
            "event-StudentDone" => {
                let (round, miner) = of.split_once(' ').unwrap();
                if let Some(repo) = models.get(miner) {
                    stored.insert(format!("{round} {repo}"));
                }
            }
            "event-RoundDecided" => {
                decided.insert(of.clone());
            }
            "begin-student" => {
                passes += 1;
                let (round, repo) = of.split_once(' ').unwrap();
                // The teacher runs again and again where a king has failed.
                assert!(repo == "teacher/tiny" || !stored.contains(of), "{of} is evaluated again");
                assert!(!decided.contains(round), "{of} is evaluated after the decision");
                let count = begun.entry(of.clone()).or_default();
                *count += 1;
                again += usize::from(*count > 1);
            }
            _ => {}
        }
    }
    (passes, again)
}

/// The repository of each miner.
fn models(world: &World) -> BTreeMap<String, String> {
    let store = distil_store::StoreReader::open(&world.site.state()).unwrap();
    let checks = store.checks().unwrap();
    checks.into_iter().map(|(key, check)| (key.to_string(), check.commitment.model.to_string())).collect()
}

/// A progress line of a test whose figures are of interest.
#[allow(clippy::print_stderr, reason = "figures are what this test is for")]
fn tell(text: &str) {
    eprintln!("{text}");
}

fn killed_anywhere(world: fn() -> World, epochs: u64) {
    let begun = Instant::now();
    let alone = season(world, epochs, Treatment::LeftAlone);
    let loses_weights = alone.log.iter().any(|(what, _)| what == "event-WeightsLost");
    let rounds = alone.conclusion["rounds"].as_array().unwrap().len();
    let reigns = alone.conclusion["reigns"].as_array().unwrap().len();
    assert!(rounds as u64 >= epochs / 2 && reigns >= 3, "{rounds} rounds and {reigns} reigns are too few");
    tell(&format!("left alone: {epochs} epochs, {rounds} rounds, {reigns} reigns, {:.1?}", begun.elapsed()));
    for treatment in [Treatment::AtEachEvent, Treatment::AtRandomTimes] {
        let begun = Instant::now();
        let killed = season(world, epochs, treatment);
        let (passes, again) = nothing_twice(&killed.log, &killed.models);
        let sent: usize = killed.sent_per_epoch.iter().sum();
        assert_eq!(killed.sent_per_epoch, alone.sent_per_epoch, "{treatment:?}: what was sent is sent once");
        for (part, expected) in alone.conclusion.as_object().unwrap() {
            assert_eq!(killed.conclusion[part], *expected, "{treatment:?}: {part}");
        }
        assert_eq!(killed.weights, alone.weights, "{treatment:?}");
        if treatment == Treatment::AtEachEvent {
            // Sealed weights are lost where others take their place; open ones only where the chain refuses them.
            for kind in KINDS.into_iter().filter(|kind| loses_weights || *kind != "WeightsLost") {
                assert!(killed.killed_at.contains(kind), "never killed at {kind}: {:?}", killed.killed_at);
            }
        }
        tell(&format!(
            "{treatment:?}: {epochs} epochs, {} kills, {passes} passes of students ({again} after a kill in the middle), \
             {sent} transactions, {:.1?}",
            killed.kills,
            begun.elapsed()
        ));
    }
}
