//! The parts that this program plays when a test starts it.

use crate::resident;
use crate::site::{Log, Site};
use crate::worker;
use distil_store::StoreReader;
use distil_validator::{EpochEnd, Event, Observer};
use rustix::process::{Signal, getpid, kill_process};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The first argument that makes this program play a part.
pub(crate) const ARGUMENT: &str = "act";

pub(crate) fn act(arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["worker", folder] => worker::work(Path::new(folder)),
        [resident::PART, site] => resident::live(Path::new(site)),
        ["validator", site, kill_at] => validate(Path::new(site), kill_at),
        _ => panic!("there is no part {arguments:?}"),
    }
}

/// A process cannot outlive this.
fn die() -> ! {
    loop {
        kill_process(getpid(), Signal::KILL).expect("a process can end itself");
    }
}

/// Writes each event down, and ends the process at one of them.
struct Killer {
    log: Log,
    state: PathBuf,
    /// So many events are let through.
    left: Option<usize>,
    /// Or those of other kinds.
    kinds: BTreeSet<String>,
}

impl Observer for Killer {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::WeightsIntended { .. } | Event::WeightsSent { .. }) {
            let open = StoreReader::open(&self.state).and_then(|store| store.open_round()).expect("the store");
            assert!(open.is_none(), "weights in the middle of a round");
        }
        let kind = self.log.event(event);
        if self.kinds.contains(&kind) {
            self.log.line("killed", &kind);
            die();
        }
        if let Some(left) = &mut self.left {
            if *left == 0 {
                self.log.line("killed", &kind);
                die();
            }
            *left -= 1;
        }
    }
}

/// Works until the chain has nothing new.
fn validate(site: &Path, kill_at: &str) {
    let site = Site::read(site);
    let observer = Killer {
        log: site.log(),
        state: site.state(),
        left: kill_at.parse().ok(),
        kinds: kill_at.split(',').map(str::to_owned).collect(),
    };
    let mut validator = site.validator(Box::new(observer));
    for _ in 0..50 {
        if let EpochEnd::NotYet { .. } = validator.epoch().expect("an epoch") {
            return;
        }
    }
    panic!("the epochs of one block do not come to an end");
}
