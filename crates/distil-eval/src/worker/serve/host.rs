//! The outer process: starts the inner one, hands lines through, and tells how it ended.

use std::{
    env,
    fs::File,
    io::{self, BufReader, Read as _, Write as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use super::{PASS_VARIABLE, failure::Failure, tell::Output};
use crate::worker::{
    Ending,
    command::environment_of_a_pass,
    process::ending,
    protocol::{
        Death, Hello, Line, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES, Message, PROTOCOL_VERSION, RequestLine, Source,
        parse, read_line,
    },
};

type Inner = Arc<Mutex<Option<Child>>>;

pub(super) fn run(output: File) {
    let output = Output::new(output);
    output.say(&Hello { distil_worker: PROTOCOL_VERSION, release: env!("CARGO_PKG_VERSION").to_owned() });
    let inner: Inner = Arc::default();
    let request = listen(Arc::clone(&inner));
    let Ok(line) = request.recv() else { std::process::exit(0) };
    if let Err(failure) = serve(&output, &inner, line) {
        output.say(&failure.message());
    }
}

/// Reads the request, then watches for the end of standard input, which ends everything.
fn listen(inner: Inner) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut stdin = BufReader::new(io::stdin());
        let line = read_line(&mut stdin, MAX_REQUEST_BYTES).unwrap_or(Line::End);
        if line != Line::End {
            let _ = sender.send(line);
            let mut rest = [0; 4096];
            while matches!(stdin.read(&mut rest), Ok(1..)) {}
        }
        if let Some(child) = &mut *inner.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = child.kill();
        }
        std::process::exit(0);
    });
    receiver
}

fn serve(output: &Output, inner: &Inner, line: Line) -> Result<(), Failure> {
    let Line::Whole(mut line) = line else {
        return Err(Failure::request(format!("it is longer than {MAX_REQUEST_BYTES} bytes")));
    };
    let request = parse::<RequestLine>(&line).map_err(Failure::request)?;
    if request.distil_worker != PROTOCOL_VERSION {
        let reason =
            format!("version {} of the protocol; this worker speaks {PROTOCOL_VERSION}", request.distil_worker);
        return Err(Failure::request(reason));
    }
    let heartbeat = Duration::from_millis(request.heartbeat_ms.clamp(10, 60_000));
    output.give_signs_of_life(Source::Host, heartbeat);
    let cannot_start = |error: io::Error| Failure::host(format!("its program can't be started a second time: {error}"));
    let mut child = start(request.settings.threads).map_err(cannot_start)?;
    let pipes = (child.stdin.take(), child.stdout.take());
    *inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
    let (Some(mut stdin), Some(stdout)) = pipes else {
        return Err(Failure::host("its pipes are missing"));
    };
    thread::spawn(move || {
        line.push(b'\n');
        let _ = stdin.write_all(&line).and_then(|()| stdin.flush()); // it is told by its output's end
        loop {
            thread::park(); // it ends when its standard input does
        }
    });

    let mut stdout = BufReader::with_capacity(1 << 16, stdout);
    let mut answered = false;
    let mut flooded = false;
    loop {
        match read_line(&mut stdout, MAX_MESSAGE_BYTES) {
            Ok(Line::Whole(line)) => {
                answered |= matches!(parse::<Message>(&line), Ok(Message::Done { .. } | Message::Failed { .. }));
                output.hand_through(line);
                if answered {
                    break;
                }
            }
            Ok(Line::TooLong) => {
                flooded = true;
                break;
            }
            Ok(Line::End) | Err(_) => break,
        }
    }
    let status = wait(inner, answered || flooded).map_err(|error| Failure::host(format!("{error}")))?;
    if flooded {
        output.say(&Message::Died(Death::Flood));
    } else if !answered {
        output.say(&Message::Died(match ending(status) {
            Ending::Signal(signal) => Death::Signal(signal),
            Ending::Code(code) => Death::Code(code),
        }));
    }
    Ok(())
}

/// Starts this program a second time, for the pass.
fn start(threads: usize) -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env_clear()
        .envs(environment_of_a_pass(env::vars_os()))
        // Where candle and gemm take their number of threads from.
        .envs(["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"].map(|name| (name, threads.to_string())))
        .env(PASS_VARIABLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .inspect(end_first)
}

/// Where memory runs out, Linux is to end the process that runs a stranger's model, and not this one or the validator,
/// which then could not tell whose fault it was. Any process may ask that of its own; where it can't, nothing is lost.
fn end_first(child: &Child) {
    if cfg!(target_os = "linux") {
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
    }
}

/// Waits for the inner process, whose output is over; one that has no business any more is ended.
fn wait(inner: &Inner, end_it: bool) -> io::Result<ExitStatus> {
    loop {
        if let Some(child) = &mut *inner.lock().unwrap_or_else(PoisonError::into_inner) {
            if end_it {
                child.kill()?;
            }
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
        }
        // Not under the lock, which the end of standard input needs.
        thread::sleep(Duration::from_millis(5));
    }
}
