//! How workers come and go: what they see, and that nothing of them is left.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    ops::ControlFlow,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use distil_eval::worker::{Blame, ModelLocation, Worker, WorkerError, WorkerEvent, WorkerLimits};
use rustix::process::{Pid, test_kill_process};

use crate::common::{Bench, limits, score, settings, tiny};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("life::d17_a_worker_sees_no_secrets", d17_a_worker_sees_no_secrets),
    ("life::a_pass_can_be_called_off", a_pass_can_be_called_off),
    ("life::nothing_of_a_pass_that_was_given_up_is_left", nothing_of_a_pass_that_was_given_up_is_left),
    ("life::a_worker_whose_input_is_closed_ends", a_worker_whose_input_is_closed_ends),
    ("life::requests_that_make_no_sense_are_refused", requests_that_make_no_sense_are_refused),
];

fn d17_a_worker_sees_no_secrets() {
    let bench = Bench::new();
    let secrets = [
        ("BT_PW__HOME_ME_BITTENSOR_WALLETS_ALPHA_COLDKEY", "secret"),
        ("DISTIL_WALLET_PATH", "secret"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let worker = Worker::new(bench.command_with(&["environment"], &secrets), limits());
    let error = worker.teacher_pass(&crate::common::teacher_request(), &mut |_| {}).unwrap_err();
    let told = error.to_string();
    let (_, names) = told.split_once("not a worker: ").unwrap_or_else(|| panic!("{told}"));
    assert!(names.contains("HF_HOME") && names.contains("PATH"), "{names}");
    for name in names.split_whitespace() {
        let allowed = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"];
        let prefixes =
            ["HF_", "HUGGINGFACE_", "CUDA_", "NVIDIA_", "SSL_CERT_", "RUST_BACKTRACE", "DISTIL_WORKER_CACHE"];
        let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
        assert!(
            allowed.contains(&name)
                || name == "SSH_AUTH_SOCK"
                || is_proxy
                || prefixes.iter().any(|p| name.starts_with(p)),
            "{name}"
        );
    }
}

/// Whether no process has this number any more; a zombie nobody waits for counts as gone.
fn is_gone(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat"));
    let is_zombie = state.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z')));
    is_zombie || Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid).is_err())
}

/// Waits for what is under way already.
fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not come to pass");
}

fn a_pass_can_be_called_off() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let flag = Arc::new(AtomicBool::new(false));
    let worker = Worker::new(bench.command(&["idle"]), limits()).cancelled_by(Arc::clone(&flag));
    let request = teacher.student_request(ModelLocation::folder("a", tiny("student-a")), &settings());
    let error = worker
        .score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |event| {
            if let WorkerEvent::Progress { .. } = event {
                flag.store(true, Ordering::Relaxed);
            }
        })
        .unwrap_err();
    assert_eq!((&error, error.blame()), (&WorkerError::Cancelled, Blame::Caller));
    let before_the_start = score(&worker, &teacher, &tiny("student-a")).unwrap_err();
    assert_eq!(before_the_start, WorkerError::Cancelled);
}

fn nothing_of_a_pass_that_was_given_up_is_left() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let file = bench.root.path().join("pid");
    let command = bench.command(&["grandchild", file.to_str().unwrap()]);
    let short = WorkerLimits { heartbeat: Duration::from_millis(1500), ..limits() };
    let error = score(&Worker::new(command, short), &teacher, &tiny("student-a")).unwrap_err();
    assert!(matches!(error, WorkerError::Hung { .. }), "{error:?}");
    let pid: i32 = fs::read_to_string(file).unwrap().parse().unwrap();
    soon("the end of a process that the pass had started", || is_gone(pid));
}

fn a_worker_whose_input_is_closed_ends() {
    let bench = Bench::new();
    for part in ["good", "hang"] {
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .args([crate::act::ARGUMENT, part])
            .envs(bench.variables(&[]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(worker.stdout.take().unwrap());
        let mut hello = String::new();
        stdout.read_line(&mut hello).unwrap();
        assert!(hello.starts_with(r#"{"distil_worker":1,"#), "{hello}");
        let mut stdin = worker.stdin.take().unwrap();
        if part == "hang" {
            // In the middle of a pass that would never end, its inner process included.
            let request = r#"{"distil_worker":1,"heartbeat_ms":100,"settings":{"device":"cpu","dtype":"f32","threads":1,"batch_tokens":1,"cache_budget_bytes":1},"model":{"folder":{"name":"a","path":"a"}},"pass":{"student":{"cache_key":"a","cache_digest":"b"}}}"#;
            std::io::Write::write_all(&mut stdin, format!("{request}\n").as_bytes()).unwrap();
            let mut line = String::new();
            while !line.contains("load") {
                line.clear();
                assert_ne!(stdout.read_line(&mut line).unwrap(), 0);
            }
        }
        drop(stdin);
        worker.wait().unwrap();
        // The inner process held the pipe, too.
        stdout.read_to_end(&mut Vec::new()).unwrap();
    }
}

fn requests_that_make_no_sense_are_refused() {
    let bench = Bench::new();
    let teacher = bench.teacher();
    let worker = bench.worker(&["good"]);
    let request = |threads: usize| {
        let mut request = teacher.student_request(ModelLocation::folder("a", tiny("student-a")), &settings());
        request.settings.threads = threads.try_into().unwrap();
        request
    };
    let mut ignore = |_: usize, _: &[f64]| ControlFlow::Continue(());
    let error = worker.score_student(&request(100_000), &mut ignore, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("threads"), "{error}");
    assert_eq!(error.blame(), Blame::Caller);
    let mut nothing = request(1);
    nothing.positions.clear();
    let error = worker.score_student(&nothing, &mut ignore, &mut |_| {}).unwrap_err();
    assert_eq!(error.blame(), Blame::Caller);
    for (text, is_key) in [("round-1", true), ("../x", false), ("", false), (".hidden", false), ("A", false)] {
        assert_eq!(text.parse::<distil_eval::worker::CacheKey>().is_ok(), is_key, "{text}");
    }
}
