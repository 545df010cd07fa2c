//! The worker's side: one request, one pass, one end.
//!
//! It is two processes. The outer one is the host of the pass: it says hello, starts itself again for the pass, hands
//! lines through, gives signs of life of its own, and tells how the inner one ended. So it is known, also at the other
//! end of an `ssh` that tells nothing of the kind, whether a model ended the process that ran it or the connection
//! broke.

mod failure;
mod host;
mod keep;
mod models;
mod pass;
mod tell;

use std::{env, fs::File, io};

/// What tells the inner process that it is one.
const PASS_VARIABLE: &str = "DISTIL_WORKER_PASS";

/// Serves one pass on standard input and output, and is all that a worker's program does.
///
/// It reads one request, answers it, and ends when that is done or when its standard input is closed, whatever it is
/// doing. Teachers' states are kept below `DISTIL_WORKER_CACHE`, else `distil/worker` in the user's caches. Programs call
/// it first thing: it starts its own program a second time, with the same arguments, and looks at no argument itself.
///
/// Standard output is the protocol's alone. Whatever else in the process writes there writes to standard error.
///
/// # Errors
///
/// Standard output cannot be taken. All else is told to who asked. A panic of the pass is not caught: it ends the inner
/// process, which the outer one tells.
pub fn serve() -> io::Result<()> {
    let output = take_stdout()?;
    match env::var_os(PASS_VARIABLE) {
        Some(_) => pass::run(output),
        None => host::run(output),
    }
    Ok(())
}

/// Takes standard output away from everyone else.
#[cfg(unix)]
fn take_stdout() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr().as_fd())?;
    Ok(File::from(own))
}

#[cfg(not(unix))]
fn take_stdout() -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "workers run on Unix systems"))
}
