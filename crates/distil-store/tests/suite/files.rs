//! Whatever lies where the store should be.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use distil_store::{STORE_FILE, Store, StoreError, StoreReader};
use distil_types::NetUid;
use rusqlite::Connection;

use crate::common::{advance, block, play};

fn filled_store(folder: &Path) {
    let mut store = Store::open(folder).expect("a store");
    for _ in 0..40 {
        advance(&mut store, 20);
    }
}

#[test]
fn d16_corrupt_and_empty_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(STORE_FILE);
    assert!(matches!(StoreReader::open(folder.path()), Err(StoreError::NoState { .. })));
    // An empty file is a new store; there is nothing to read in it yet.
    fs::write(&path, b"").unwrap();
    assert!(matches!(StoreReader::open(folder.path()), Err(StoreError::NoState { .. })));
    filled_store(folder.path());
    StoreReader::open(folder.path()).unwrap();
    let whole = fs::read(&path).unwrap();

    fs::write(&path, b"{\"scores\": {}}").unwrap();
    for error in [Store::open(folder.path()).err(), StoreReader::open(folder.path()).err()] {
        let error = error.expect("it is no store");
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        assert!(error.to_string().contains(STORE_FILE) && !error.is_transient());
    }

    // Cut anywhere, or overwritten anywhere: an error or a store, never a panic, and mostly an error.
    let mut refused = 0;
    let cuts = (1..40).map(|step| whole[..whole.len() * step / 40].to_vec());
    let holes = (0..40).map(|step| {
        let (mut bytes, at) = (whole.clone(), whole.len() * step / 40);
        let end = (at + 4096).min(bytes.len());
        bytes[at..end].fill(0xA5);
        bytes
    });
    for bytes in cuts.chain(holes) {
        fs::write(&path, &bytes).unwrap();
        for file in ["-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("{STORE_FILE}{file}")));
        }
        match Store::open(folder.path()) {
            Ok(_) => {}
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(STORE_FILE), "{error}");
                assert!(matches!(error, StoreError::Damaged { .. } | StoreError::NotAStore { .. }), "{error:?}");
            }
        }
        if let Ok(reader) = StoreReader::open(folder.path()) {
            let _ = reader.status();
        }
    }
    assert!(refused > 60, "only {refused} of 79 damaged files were refused");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::NotAStore { .. })));
    assert!(matches!(StoreReader::open(folder.path()), Err(StoreError::NotAStore { .. })));
}

#[test]
fn newer_older_and_other_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    filled_store(folder.path());
    let path = folder.path().join(STORE_FILE);
    let set = |pragma: &str, value: i64| {
        Connection::open(&path).unwrap().pragma_update(None, pragma, value).unwrap();
    };
    set("user_version", 2);
    for error in [Store::open(folder.path()).err(), StoreReader::open(folder.path()).err()] {
        let error = error.expect("a newer store is not touched");
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains("use a newer distil"));
    }
    set("user_version", 0);
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Damaged { .. })));
    set("user_version", 1);
    set("application_id", 7);
    assert!(matches!(Store::open(folder.path()), Err(StoreError::NotAStore { .. })));
}

/// Schema 1 is the first: it is made from nothing, and made again from an empty file that SQLite has touched.
#[test]
fn migrations_from_each_earlier_schema() {
    let fresh = tempfile::tempdir().unwrap();
    drop(Store::open(fresh.path()).unwrap());
    let schema = |folder: &Path| -> Vec<String> {
        let connection = Connection::open(folder.join(STORE_FILE)).unwrap();
        let mut statement =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let touched = tempfile::tempdir().unwrap();
    let connection = Connection::open(touched.path().join(STORE_FILE)).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(connection);
    drop(Store::open(touched.path()).unwrap());
    assert_eq!(schema(touched.path()), schema(fresh.path()));
    assert!(schema(fresh.path()).len() > 20);
    // Opened again, nothing changes.
    drop(Store::open(fresh.path()).unwrap());
    assert_eq!(schema(touched.path()), schema(fresh.path()));
}

#[test]
fn a_second_writer_is_told_who_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    let StoreError::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())) && error.is_transient());
    drop(store);
    Store::open(folder.path()).unwrap();
    // Whatever stands in the lock's file, it is no reason to fail.
    fs::write(folder.path().join("validator.lock"), [0xFF; 100]).unwrap();
    let _store = Store::open(folder.path()).unwrap();
}

#[test]
fn readers_see_whole_steps_while_another_thread_writes() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    play(&mut store, 50, None, &[(1, 10, 0.5)]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when the writer fails: the readers would look for ever.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _done = Done(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                let reader = StoreReader::open(folder.path()).unwrap();
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    let status = reader.status().unwrap();
                    let last = status.last_round.expect("one is finished");
                    let crowned = last.outcome.expect("it has an outcome").crown.king();
                    assert_eq!(status.king.map(|reign| reign.king.miner), crowned, "king and round are of one moment");
                    looks += 1;
                }
            });
        }
        for round in 2..30_u64 {
            let king = (round - 1, (round - 1) * 10);
            let better = 0.5 * 0.9_f64.powi(round as i32);
            let worse = better / 0.9;
            play(&mut store, round * 50, Some(king), &[(king.0, king.1, worse), (round, round * 10, better)]);
        }
    });
}

#[test]
fn a_store_is_of_one_subnet() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(store.subnet().unwrap(), None);
    store.bind_subnet(NetUid(97), block(0).hash).unwrap();
    store.bind_subnet(NetUid(97), block(0).hash).unwrap();
    for (netuid, genesis) in [(NetUid(98), block(0).hash), (NetUid(97), block(1).hash)] {
        let error = store.bind_subnet(netuid, genesis).unwrap_err();
        assert!(matches!(error, StoreError::OtherSubnet { .. }), "{error}");
    }
    assert_eq!(store.subnet().unwrap(), Some((NetUid(97), block(0).hash)));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // A file where the folder should be: nobody can write below it, not even a superuser.
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state");
    fs::write(&place, b"a file").unwrap();
    let error = Store::open(&place).unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    assert!(error.to_string().contains("state") && !error.is_transient());
}

/// The other process of the test below: it may write files of a limited size only.
#[test]
#[ignore = "the test below starts it, with a limit on the size of files"]
fn writes_until_no_space_is_left() {
    let folder = std::env::var_os("DISTIL_STORE_TEST_FULL").expect("the test below names a folder");
    let folder: &Path = folder.as_ref();
    let mut store = Store::open(folder).unwrap();
    let text = "x".repeat(100_000);
    for tries in 1..10_000 {
        match store.record_check(&crate::common::key(tries, 1), &crate::verdicts::waiting(&text)) {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull { .. } | StoreError::Io { .. }), "{error:?}");
                assert!(error.is_transient() && error.to_string().contains("step was not taken"));
                // All earlier steps are there, this one is not, and reading goes on.
                assert_eq!(store.checks().unwrap().len() as u64, tries - 1);
                return;
            }
        }
    }
    panic!("the limit on files was not heeded");
}

#[test]
fn c5_a_full_disk_is_an_error_and_no_half_step() {
    let folder = tempfile::tempdir().unwrap();
    let run = |limit: &str| {
        Command::new("sh")
            .args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "files::writes_until_no_space_is_left"])
            .env("DISTIL_STORE_TEST_FULL", folder.path())
            .output()
            .unwrap()
    };
    let ended = run("4000");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    // With space again, it goes on where it was.
    let mut store = Store::open(folder.path()).unwrap();
    let before = store.checks().unwrap().len();
    assert!(before > 0);
    store.record_check(&crate::common::key(100_000, 1), &crate::verdicts::waiting("")).unwrap();
    assert_eq!(store.checks().unwrap().len(), before + 1);
}
