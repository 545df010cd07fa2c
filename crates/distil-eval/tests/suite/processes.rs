//! What only a process of its own can show: other thread counts, peak memory, a full disk.
//!
//! These tests start this test program again, with one of the functions marked `ignore` as its only test.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use distil_eval::{EvalError, Prompt, ScoreReport, record::write_folder};

use crate::common::{close, request, score, settings, tiny, tiny_prompts};

const FOLDER: &str = "DISTIL_TEST_FOLDER";

/// Runs one ignored test of this program in a process of its own.
fn start(shell: Option<&str>, test: &str, folder: &Path, variables: &[(&str, &str)]) -> Output {
    let program = env::current_exe().unwrap();
    let test = format!("processes::{test}");
    let arguments = ["--ignored", "--exact", &test, "--nocapture"];
    let mut command = match shell {
        Some(shell) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(arguments).env(FOLDER, folder).envs(variables.iter().copied()).output().unwrap()
}

fn succeeded(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("1 passed"), "{}", text(&output.stdout));
}

fn folder() -> PathBuf {
    env::var_os(FOLDER).expect("another test sets this variable and starts this one").into()
}

#[test]
#[ignore = "another test starts it"]
fn score_tiny() {
    let mut settings = settings(40);
    settings.threads = env::var("RAYON_NUM_THREADS").unwrap().parse().unwrap();
    let outcome = score(&request(&[&tiny("student-a"), &tiny("student-b")], tiny_prompts(), settings));
    fs::write(folder().join("report.json"), serde_json::to_vec(&outcome.report).unwrap()).unwrap();
}

#[test]
fn one_thread_and_two_give_the_same_scores() {
    let [one, two] = ["1", "2"].map(|threads| {
        let root = tempfile::tempdir().unwrap();
        succeeded(&start(None, "score_tiny", root.path(), &[("RAYON_NUM_THREADS", threads)]));
        let report: ScoreReport = serde_json::from_slice(&fs::read(root.path().join("report.json")).unwrap()).unwrap();
        report
    });
    assert_eq!(one.prompts, two.prompts);
    for (one, two) in one.students.iter().zip(&two.students) {
        assert!(close(one.kl.unwrap(), two.kl.unwrap(), 1e-6), "{:?} and {:?}", one.kl, two.kl);
        for (one, two) in one.prompts.iter().zip(&two.prompts) {
            assert!(close(one.mean, two.mean, 1e-6), "{} and {}", one.mean, two.mean);
        }
    }
}

/// Models with the vocabulary of Qwen3.5 and its tokenizer, where they are at hand; they are too large for this
/// repository. `DISTIL_FIXTURES` says where, else they are looked for beside the repository.
fn large_vocabulary() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let models = env::var_os("DISTIL_FIXTURES").map_or(beside, PathBuf::from).join("models");
    models.join("v248320-teacher").is_dir().then_some(models)
}

#[test]
#[ignore = "another test starts it"]
fn score_large_vocabulary() {
    let folder = folder();
    let prompts: Vec<String> = tiny_prompts().into_iter().take(2).collect();
    let mut request = request(&[&folder.join("student")], prompts, settings(512));
    request.teacher.folder = folder.join("teacher");
    let outcome = score(&request);
    let student = &outcome.report.students[0];
    assert!(student.kl.is_some(), "{student:?}");
    let text = &distil_eval::token_texts(&request.teacher.folder, &[outcome.prompts[0].sequence.prompt()]).unwrap()[0];
    assert!(request.prompts[0].text.starts_with(&text.concat()));
    fs::write(folder.join("report.json"), serde_json::to_vec(&outcome.report).unwrap()).unwrap();
    let peak = distil_eval::peak_rss_bytes().map_or_else(String::new, |bytes| bytes.to_string());
    fs::write(folder.join("peak"), peak).unwrap();
}

/// A minute of work, since every position has 248,320 columns.
#[test]
fn a_vocabulary_of_248320_takes_under_400_megabytes() {
    let Some(models) = large_vocabulary() else {
        println!("skipped: the models with 248,320 columns are not here; set DISTIL_FIXTURES to their folder");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    for name in ["teacher", "student"] {
        let (from, to) = (models.join(format!("v248320-{name}")), root.path().join(name));
        fs::create_dir(&to).unwrap();
        for file in ["config.json", "generation_config.json", "model.safetensors"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
    let tokenizer = root.path().join("teacher/tokenizer.json");
    fs::copy(models.join("tokenizer-qwen3_5/tokenizer.json"), tokenizer).unwrap();
    succeeded(&start(None, "score_large_vocabulary", root.path(), &[]));
    let report: ScoreReport = serde_json::from_slice(&fs::read(root.path().join("report.json")).unwrap()).unwrap();
    if cfg!(target_os = "linux") {
        let peak: u64 = fs::read_to_string(root.path().join("peak")).unwrap().parse().unwrap();
        println!("peak: {peak} bytes with the texts of tokens, {:?} before", report.peak_rss_bytes);
        assert!(report.peak_rss_bytes.unwrap() <= peak && peak < 400_000_000, "{peak} bytes");
    }
}

#[test]
#[ignore = "another test starts it"]
fn write_more_than_there_is_room_for() {
    let file = |name: &str, bytes: usize| (name.to_owned(), vec![b'x'; bytes]);
    let out = folder().join("out");
    match write_folder(&out, &[file("small", 10), file("large", 1 << 20)]) {
        Err(EvalError::Write { path, .. }) => assert_eq!(path, out.join("large")),
        other => panic!("{other:?}"),
    }
    let pass = distil_eval::teacher_pass(
        &request(&[], Vec::new(), settings(64)).teacher,
        &Prompt::numbered(tiny_prompts()),
        &settings(64),
        &crate::common::counting_clock(),
        &mut |_| {},
    );
    match pass.unwrap().cache().save(&folder().join("cache")) {
        Err(EvalError::Write { path, .. }) => assert_eq!(path, folder().join("cache")),
        other => panic!("{other:?}"),
    }
}

/// A limit on the size of files stands in for a full disk: a write fails in its middle.
#[cfg(unix)]
#[test]
fn no_room_leaves_no_half_written_file() {
    let root = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 64";
    succeeded(&start(Some(limited), "write_more_than_there_is_room_for", root.path(), &[]));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

    // What was there before stays.
    let out = root.path().join("out");
    write_folder(&out, &[("small".to_owned(), b"old".to_vec())]).unwrap();
    succeeded(&start(Some(limited), "write_more_than_there_is_room_for", root.path(), &[]));
    assert_eq!(fs::read_to_string(out.join("small")).unwrap(), "old");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}
