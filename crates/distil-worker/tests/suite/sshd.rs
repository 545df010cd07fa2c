//! A key host and a GPU host on one machine: `ssh` to a real `sshd` that listens on loopback with keys of its own.

use std::{
    fs,
    net::TcpListener,
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use distil_devhub::{DevHub, RepoKind};
use distil_eval::{
    GenerationRules, Prompt,
    worker::{
        Blame, Ending, ModelLocation, PassSettings, Stage, TeacherPrompts, TeacherRequest, Worker, WorkerCommand,
        WorkerError, WorkerEvent, WorkerLimits,
    },
};
use distil_model::Sampling;
use rustix::process::{Pid, Signal, kill_process};

fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name)
}

/// A server, and the `ssh` command line that reaches it.
struct Sshd {
    server: Child,
    ssh: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Sshd {
    /// None where no server is installed.
    fn start(root: &Path) -> Option<Self> {
        let program =
            ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|p| Path::new(p).is_file())?;
        let path = |name: &str| root.join(name).display().to_string();
        for key in ["host_key", "user_key"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).status();
            if !made.is_ok_and(|status| status.success()) {
                return None;
            }
        }
        fs::copy(root.join("user_key.pub"), root.join("authorized_keys")).unwrap();
        // Free a moment ago; the server says so if it no longer is.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nPermitRootLogin yes\nPubkeyAuthentication yes\n",
            path("host_key"),
            path("authorized_keys"),
        );
        fs::write(root.join("sshd_config"), config).unwrap();
        // It wants its folder when root starts it.
        let _ = fs::create_dir_all("/run/sshd");
        let server = Command::new(program)
            .args(["-D", "-e", "-f", &path("sshd_config")])
            .stderr(Stdio::from(fs::File::create(root.join("sshd.log")).unwrap()))
            .spawn()
            .unwrap();
        let ssh = format!(
            "ssh -F none -p {port} -i '{}' -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR 127.0.0.1",
            path("user_key")
        );
        let mut server = Self { server, ssh };
        for _ in 0..500 {
            let reached = Command::new("sh").args(["-c", &format!("{} true", server.ssh)]).output().unwrap();
            if reached.status.success() {
                return Some(server);
            }
            if let Ok(Some(status)) = server.server.try_wait() {
                let log = fs::read_to_string(root.join("sshd.log")).unwrap_or_default();
                panic!("sshd ended with {status}: {log}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let reached = Command::new("sh").args(["-c", &format!("{} true", server.ssh)]).output().unwrap();
        let log = fs::read_to_string(root.join("sshd.log")).unwrap_or_default();
        panic!("sshd cannot be reached: {} {log}", String::from_utf8_lossy(&reached.stderr));
    }

    /// A worker whose host has these variables.
    fn worker(&self, program: &str, variables: &str) -> Worker {
        let line = format!("{} \"env {variables} '{program}'\"", self.ssh);
        Worker::new(WorkerCommand::shell(&line, std::env::vars_os()), WorkerLimits::default())
    }
}

/// Kills the process that runs the model, as a system without memory would: the one of those that keep their states in
/// this folder which runs a pass.
fn kill_the_pass(kept: &Path) {
    let kept = format!("DISTIL_WORKER_CACHE={}", kept.display());
    let mut killed = 0;
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let variables: Vec<_> = environment.split(|byte| *byte == 0).collect();
        if variables.contains(&kept.as_bytes()) && variables.contains(&b"DISTIL_WORKER_PASS=1".as_slice()) {
            kill_process(pid, Signal::KILL).unwrap();
            killed += 1;
        }
    }
    assert_eq!(killed, 1);
}

#[test]
fn d13_a_round_through_ssh_with_models_by_repository_and_commit() {
    let root = tempfile::tempdir().unwrap();
    let Some(sshd) = Sshd::start(root.path()) else {
        println!("skipped: sshd is not installed here (openssh-server)");
        return;
    };
    let hub = DevHub::start().unwrap();
    let variables = format!(
        "HF_ENDPOINT={} HF_HOME='{root}/hf' DISTIL_WORKER_CACHE='{root}/kept'",
        hub.endpoint(),
        root = root.path().display()
    );
    let program = env!("CARGO_BIN_EXE_distil-worker");
    let worker = sshd.worker(program, &variables);
    let publish = |repo: &str, folder: &str| {
        let commit = hub.publish(RepoKind::Model, repo, &tiny(folder)).unwrap();
        ModelLocation::hub(repo.parse().unwrap(), commit.parse().unwrap())
    };
    let settings = PassSettings::cpu(NonZeroUsize::new(2).unwrap());
    let texts: Vec<String> = serde_json::from_str(&fs::read_to_string(tiny("prompts.json")).unwrap()).unwrap();
    let request = TeacherRequest {
        model: publish("distil/teacher", "teacher"),
        cache_key: "round-1".parse().unwrap(),
        prompts: TeacherPrompts::Continue(Prompt::numbered(texts)),
        generation: GenerationRules { max_prompt_tokens: 1024, max_new_tokens: 16, sampling: Sampling::Greedy },
        settings: settings.clone(),
    };
    let teacher = worker.teacher_pass(&request, &mut |_| {}).unwrap();
    let score = |worker: &Worker, model: ModelLocation| {
        let request = teacher.student_request(model, &settings);
        worker.score_student(&request, &mut |_, _| ControlFlow::Continue(()), &mut |_| {})
    };
    let mean = |model| {
        let kl: Vec<f64> = score(&worker, model).unwrap().positions_kl_nats.into_iter().flatten().collect();
        kl.iter().sum::<f64>() / kl.len() as f64
    };
    let better = mean(publish("alice/tiny", "student-a"));
    let worse = mean(publish("bob/tiny", "student-b"));
    assert!(0.0 < better && better < worse, "{better} and {worse}");

    // The same program here, on the same states, gives the same bits.
    let here = WorkerCommand::new(
        program,
        [""; 0],
        std::env::vars_os().chain(
            [("HF_ENDPOINT", hub.endpoint()), ("DISTIL_WORKER_CACHE", format!("{}/kept", root.path().display()))]
                .map(|(name, value)| (name.into(), value.into())),
        ),
    );
    let student = ModelLocation::folder("a", tiny("student-a"));
    let there = score(&worker, student.clone()).unwrap();
    let here = score(&Worker::new(here, WorkerLimits::default()), student).unwrap();
    let bits = |nats: &[Vec<f64>]| nats.iter().flatten().map(|kl| kl.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&there.positions_kl_nats), bits(&here.positions_kl_nats));

    // A stop in the middle goes through, too.
    let student = teacher.student_request(publish("alice/tiny", "student-a"), &settings);
    let stopped = worker.score_student(&student, &mut |_, _| ControlFlow::Break(()), &mut |_| {}).unwrap();
    assert_eq!((stopped.positions_kl_nats.len(), stopped.stopped), (1, true));

    // What ends the model's process there is told here: `ssh` itself would end with 255, as for a broken connection.
    let long = TeacherRequest {
        generation: GenerationRules { max_new_tokens: 512, ..request.generation.clone() },
        cache_key: "round-2".parse().unwrap(),
        ..request
    };
    let mut killed = false;
    let error = worker
        .teacher_pass(&long, &mut |event| {
            if matches!(event, WorkerEvent::Progress { stage: Stage::Generate, .. }) && !killed {
                killed = true;
                kill_the_pass(&root.path().join("kept"));
            }
        })
        .unwrap_err();
    assert_eq!(error, WorkerError::Crashed { ending: Ending::Signal(9), stage: Some(Stage::Generate) });
    assert_eq!(error.blame(), Blame::Model);

    // Neither a program that is not there nor a server that is not there says anything about a student.
    let missing = score(&sshd.worker("/nowhere/distil-worker", ""), publish("alice/tiny", "student-a")).unwrap_err();
    assert!(matches!(missing, WorkerError::CannotStart { .. }), "{missing:?}");
    drop(sshd);
    let gone = score(&worker, publish("alice/tiny", "student-a")).unwrap_err();
    assert!(gone.to_string().contains("255"), "{gone}");
    assert_eq!(gone.blame(), Blame::Host);
}
