//! What the tests of the program share: the program itself, in a folder of its own, and the tiny models.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use distil_devhub::{DevHub, RepoKind};
use tempfile::TempDir;

/// The tiny models that come with the code.
pub(crate) fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name)
}

/// A fresh folder to run the program in.
pub(crate) struct Place(TempDir);

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file in the temporary folder");
        path
    }

    /// The program, run here, with nothing of the surrounding environment that it heeds.
    pub(crate) fn distil(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("distil"));
        command.current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DISTIL_") {
                command.env_remove(name);
            }
        }
        // No test asks the real Hub, nor reads or fills a cache of the user's.
        for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        command.env("HF_ENDPOINT", "http://127.0.0.1:9").env("HF_HOME", self.path("huggingface"));
        command.env("XDG_CACHE_HOME", self.path("caches"));
        command.env_remove("COLUMNS").env_remove("RAYON_NUM_THREADS").env_remove("CANDLE_NUM_THREADS");
        command
    }

    /// The same, with the Hub's place taken by this server.
    pub(crate) fn distil_with(&self, hub: &DevHub) -> Command {
        let mut command = self.distil();
        command.env("HF_ENDPOINT", hub.endpoint());
        command
    }

    /// Runs `distil` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.distil().args(arguments))
    }

    /// `distil score-local` on two short prompts with a short continuation, and these arguments besides.
    pub(crate) fn score(&self, teacher: &Path, students: &[&Path], arguments: &[&str]) -> Ended {
        ended(self.score_command(teacher, students).args(arguments))
    }

    pub(crate) fn score_command(&self, teacher: &Path, students: &[&Path]) -> Command {
        let prompts =
            self.write("prompts.json", r#"["Call me Ishmael. Some years ago", "It was the whiteness of the whale"]"#);
        let mut command = self.distil();
        command.arg("score-local").arg("--teacher").arg(teacher);
        for student in students {
            command.arg("--student").arg(student);
        }
        command.arg("--prompts").arg(prompts).args(["--max-new-tokens", "12"]);
        command
    }

    /// A copy of a tiny model, to be broken.
    pub(crate) fn copy_model(&self, model: &str, name: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).expect("a folder in the temporary folder");
        for entry in fs::read_dir(tiny(model)).expect("the tiny models are there") {
            let entry = entry.expect("an entry of the model's folder");
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy of a model's file");
        }
        folder
    }
}

/// The same program, arguments and environment, for tests that talk to it while it runs.
pub(crate) fn plain(prepared: &Command) -> std::process::Command {
    let mut command = std::process::Command::new(prepared.get_program());
    command.args(prepared.get_args()).current_dir(prepared.get_current_dir().expect("a folder"));
    for (variable, value) in prepared.get_envs() {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command
}

/// A server with the tiny models as `lab/teacher`, `lab/student-a` and `lab/student-b`.
pub(crate) fn hub() -> DevHub {
    let hub = DevHub::start().expect("a server on loopback");
    for name in ["teacher", "student-a", "student-b"] {
        hub.publish(RepoKind::Model, &format!("lab/{name}"), &tiny(name)).expect("a model to serve");
    }
    hub
}

pub(crate) fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program starts");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is text"),
        stderr: String::from_utf8(output.stderr).expect("standard error is text"),
    }
}

impl Ended {
    /// Asserts the exit code; the message shows what the program said.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that standard error holds each of these.
    #[track_caller]
    pub(crate) fn expect_error(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("fault of its own"), "{}", self.stderr);
        self
    }

    /// The one JSON document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", self.stdout))
    }
}
