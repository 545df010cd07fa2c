//! The parts that this program plays when a test starts it.

use std::{
    io::{self, BufRead as _, Write as _},
    process::Command,
    thread,
    time::Duration,
};

use distil_eval::worker::serve;
use rustix::process::{Signal, getpid, kill_process};

/// The first argument that makes this program play a part.
pub(crate) const ARGUMENT: &str = "act";

/// What the inner process says before it goes wrong: it has begun, and it loads the model.
const LOADING: &[&str] = &[
    r#"{"environment":{"device":"cpu","dtype":"f32","threads":1,"kl_kernel":"none","versions":{}}}"#,
    r#"{"progress":{"stage":"load","done":{"tokens":0,"prompts":0,"bytes":0},"total":{"tokens":0,"prompts":0,"bytes":0}}}"#,
];
const STUDENT: &str = r#"{"student":{"architecture":"llama","files":[]}}"#;

pub(crate) fn act(role: &str, argument: Option<String>) {
    match role {
        "good" => serve().expect("standard output"),
        "noisy" => {
            thread::spawn(|| {
                // Not before the worker has begun and taken standard output for itself.
                let is = |descriptor: u8| std::fs::read_link(format!("/proc/self/fd/{descriptor}")).expect("a pipe");
                while is(1) != is(2) {
                    thread::sleep(Duration::from_millis(1));
                }
                loop {
                    let _ = writeln!(io::stdout(), "a library that talks");
                    thread::sleep(Duration::from_millis(1));
                }
            });
            serve().expect("standard output");
        }
        "score" => crate::scores::score_in_this_process(&argument.expect("settings")),
        "environment" => {
            let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
            say(&format!("not a worker: {}", names.join(" ")));
        }
        // Everything else is a worker whose inner process goes wrong.
        fault => match std::env::var_os("DISTIL_WORKER_PASS") {
            Some(_) => go_wrong(fault, argument),
            None => serve().expect("standard output"),
        },
    }
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).expect("a reader");
}

/// More than once: the first wrong address is looked at by Rust's own handler, which then steps aside.
fn kill_self(signal: Signal) -> ! {
    loop {
        kill_process(getpid(), signal).expect("a process can end itself");
        thread::sleep(Duration::from_millis(10));
    }
}

fn sleep() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

fn go_wrong(fault: &str, argument: Option<String>) {
    let mut request = String::new();
    io::stdin().lock().read_line(&mut request).expect("a request");
    if let Some(fault) = fault.strip_prefix("early-") {
        return misbehave(fault, argument);
    }
    LOADING.iter().for_each(|line| say(line));
    misbehave(fault, argument);
}

fn misbehave(fault: &str, argument: Option<String>) {
    match fault {
        "segfault" => kill_self(Signal::SEGV),
        "abort" => std::process::abort(),
        "kill" => kill_self(Signal::KILL),
        "terminate" => kill_self(Signal::TERM),
        "panic" => panic!("made for this test"),
        "leave" => {}
        "chosen-first" => {
            // The outer process may not have come to it yet.
            for _ in 0..1000 {
                let score = std::fs::read_to_string("/proc/self/oom_score_adj").expect("a score");
                if score.trim() == "1000" {
                    kill_self(Signal::KILL);
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        "hang" => sleep(),
        "idle" => loop {
            say(r#"{"heartbeat":{"from":"pass"}}"#);
            thread::sleep(Duration::from_millis(50));
        },
        "busy" => {
            // It goes on and on, and never comes to an end.
            for tokens in 1_u64.. {
                say(&format!(
                    r#"{{"progress":{{"stage":"score","done":{{"tokens":{tokens},"prompts":0,"bytes":0}},"total":{{"tokens":0,"prompts":0,"bytes":0}}}}}}"#
                ));
                thread::sleep(Duration::from_millis(20));
            }
        }
        "babble" => {
            say("Traceback (most recent call last):");
            sleep();
        }
        "flood" => {
            let mut out = io::stdout().lock();
            let bytes = [b'x'; 1 << 16];
            while out.write_all(&bytes).is_ok() {}
            sleep();
        }
        "grandchild" => {
            let mut child = Command::new("sleep").arg("3600").spawn().expect("sleep");
            std::fs::write(argument.expect("a file"), child.id().to_string()).expect("a folder");
            let _ = child.wait();
        }
        "lines" => {
            // The rest is what the test wants to be said.
            say(STUDENT);
            argument.expect("lines").lines().for_each(say);
            sleep();
        }
        other => panic!("there is no part {other}"),
    }
}
