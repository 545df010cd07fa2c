//! A validator and all that it deals with: a chain, a Hub, workers, and the end of its own process.
//!
//! This program is also the worker and the validator that its tests start (`act`), which is why it has a `main` of its
//! own.

mod act;
mod faults;
mod gone;
mod killed;
mod long;
mod records;
mod resident;
mod rounds;
mod sealed;
mod site;
mod standstill;
mod unfinished;
mod worker;
mod world;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(act::ARGUMENT) {
        act::act(&arguments.collect::<Vec<_>>());
        return ExitCode::SUCCESS;
    }
    let tests = [
        rounds::TESTS,
        records::TESTS,
        faults::TESTS,
        gone::TESTS,
        unfinished::TESTS,
        killed::TESTS,
        sealed::TESTS,
        standstill::TESTS,
        long::TESTS,
    ]
    .concat();
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            let ignored = name.ends_with("_long_form");
            Trial::test(name, move || {
                test();
                Ok(())
            })
            .with_ignored_flag(ignored)
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
