//! Workers as real processes: good ones, and all the bad ones.
//!
//! This program is also the worker that its tests start (`act`), which is why it has a `main` of its own.

mod act;
mod common;
mod faults;
mod hub;
mod life;
mod scores;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(act::ARGUMENT) {
        act::act(&arguments.next().expect("a role"), arguments.next());
        return ExitCode::SUCCESS;
    }
    let tests = [scores::TESTS, faults::TESTS, life::TESTS, hub::TESTS].concat();
    let trials = tests
        .into_iter()
        .map(|(name, test)| {
            Trial::test(name, move || {
                test();
                Ok(())
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
