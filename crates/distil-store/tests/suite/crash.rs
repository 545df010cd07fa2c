//! Killed at any moment, the store holds whole steps, and a run that goes on reaches what an undisturbed one does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use distil_scoring::Crown;
use distil_store::{RoundState, Store, StoreReader};

use crate::common::advance;

const FOLDER: &str = "DISTIL_STORE_TEST_FOLDER";
const KILLS: u64 = 60;

/// More rounds than any run here comes to.
const ENDLESS: u64 = 5000;

/// The other process of the test below. Tells each step after it was taken.
#[test]
#[ignore = "it runs until it is killed; the test below starts it"]
fn writes_until_it_is_killed() {
    let folder = std::env::var_os(FOLDER).expect("the test below names a folder");
    let mut store = Store::open(folder.as_ref()).expect("a store");
    let mut out = std::io::stdout();
    while advance(&mut store, ENDLESS) {
        let finished = store.last_finished_round().expect("readable").map_or(0, |round| round.number.0);
        writeln!(out, "finished {finished}").and_then(|()| out.flush()).expect("the test reads");
    }
}

#[test]
fn killed_at_any_moment_only_whole_steps_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    // Times to live in milliseconds, spread without a clock: the same in every run of the test.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut acknowledged = 0;
    for _ in 0..KILLS {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lifetime = Duration::from_micros((state >> 33) % 60_000);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "--nocapture", "crash::writes_until_it_is_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // The first step is waited for, so that every kill meets a writer at work.
        let reader = std::thread::spawn(move || {
            let (mut last, mut first) = (0, true);
            let (tell, told) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                for line in lines.by_ref().map_while(Result::ok) {
                    if let Some((_, number)) = line.rsplit_once("finished ")
                        && let Ok(number) = number.parse::<i64>()
                    {
                        last = number;
                        if std::mem::take(&mut first) {
                            let _ = tell.send(());
                        }
                    }
                }
                last
            });
            let began = told.recv().is_ok();
            (began, thread)
        });
        let (began, thread) = reader.join().expect("a reader");
        assert!(began, "the child ended before its first step");
        std::thread::sleep(lifetime);
        child.kill().expect("killed");
        child.wait().expect("ended");
        acknowledged = acknowledged.max(thread.join().expect("a reader"));
        // What was told is there; the rest is whole.
        let store = Store::open(folder.path()).expect("the store opens after every kill");
        assert!(store.last_finished_round().unwrap().map_or(0, |round| round.number.0) >= acknowledged);
        invariants(&store);
    }
    assert!(acknowledged > 0, "rounds were finished in between");

    // Whoever goes on reaches what an undisturbed run reaches.
    let mut disturbed = Store::open(folder.path()).unwrap();
    let rounds = disturbed.newest_snapshot().unwrap().expect("a snapshot").number / 50 + 2;
    while advance(&mut disturbed, rounds) {}
    let other = tempfile::tempdir().expect("a folder");
    let mut undisturbed = Store::open(other.path()).unwrap();
    while advance(&mut undisturbed, rounds) {}
    assert_eq!(disturbed.status().unwrap(), undisturbed.status().unwrap());
    assert_eq!(disturbed.rounds(0, 10_000).unwrap(), undisturbed.rounds(0, 10_000).unwrap());
    assert_eq!(disturbed.king_history(0, 10_000).unwrap(), undisturbed.king_history(0, 10_000).unwrap());
    assert_eq!(disturbed.weights_history(0, 10_000).unwrap(), undisturbed.weights_history(0, 10_000).unwrap());
    assert_eq!(disturbed.evaluations().unwrap(), undisturbed.evaluations().unwrap());
    assert_eq!(disturbed.seen_miners().unwrap(), undisturbed.seen_miners().unwrap());
    for seen in undisturbed.seen_miners().unwrap() {
        let first = |store: &StoreReader| store.first_seen_entry(&seen.hotkey, seen.registration_block).unwrap();
        assert_eq!(first(&disturbed), first(&undisturbed));
    }
    println!("{KILLS} kills, {acknowledged} rounds finished meanwhile");
}

fn invariants(store: &StoreReader) {
    let rounds = store.rounds(0, 10_000).unwrap();
    assert!(rounds.iter().filter(|round| matches!(round.state, RoundState::Open | RoundState::Decided)).count() <= 1);
    // b8: the king is whom the last finished round left on the throne.
    let last = rounds.iter().find(|round| round.state == RoundState::Finished);
    let king = store.king().unwrap().map(|reign| reign.king.miner);
    let crown = last.and_then(|round| round.outcome.as_ref()).map(|outcome| outcome.crown.clone());
    assert_eq!(king, crown.as_ref().and_then(Crown::king));
    for (miner, evaluation) in store.evaluations().unwrap() {
        let verdicts = store.verdicts_of(&miner).unwrap();
        let rounds: Vec<_> = verdicts.iter().map(|(round, _)| store.round(*round).unwrap().unwrap().id()).collect();
        assert!(rounds.contains(&evaluation.round), "an evaluation has its round");
    }
    if let Some(pending) = store.pending_weights().unwrap() {
        let round = store.round(pending.intention.round.expect("a round")).unwrap().expect("the round");
        assert_eq!(round.state, RoundState::Finished, "weights are never meant for an unfinished round");
    }
    for round in rounds.iter().take(3) {
        let round = store.round(round.number).unwrap().expect("the round");
        if round.state == RoundState::Finished {
            assert_eq!(round.students_without_result().count(), 0);
            assert!(round.outcome.is_some() && round.teacher.is_some());
        }
    }
}
