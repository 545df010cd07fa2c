//! The same check through a Hub: over real sockets, with everything that goes wrong on a bad day.

use std::{path::Path, time::Duration};

use distil_checker::{
    CheckReport, Code, HubRepository, Repository, Requirements, Severity, TeacherFacts, Verdict, check, check_model,
    open,
};
use distil_devhub::{DevHub, Fault, FaultKind, RepoKind, Server, Visibility};
use distil_hub::{Hub, HubSettings, Patience, Token};
use distil_types::{ModelRef, Revision};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::common::*;

const REPO: &str = "alice/student";

/// A Hub with one repository, and a client that does not wait for long.
struct Stage {
    server: DevHub,
    cache: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { server: DevHub::start().unwrap(), cache: tempfile::tempdir().unwrap() }
    }

    fn with(folder: &Path) -> Self {
        let stage = Self::new();
        stage.publish(folder);
        stage
    }

    fn publish(&self, folder: &Path) -> Revision {
        self.server.publish(RepoKind::Model, REPO, folder).unwrap().parse().unwrap()
    }

    fn settings(&self) -> HubSettings {
        let mut settings = HubSettings::new(&self.server.endpoint(), self.cache.path().to_owned()).unwrap();
        settings.patience = Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_millis(400),
            request: Duration::from_secs(10),
            attempts: 2,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
            jitter_seed: 0,
        };
        settings
    }

    fn client(&self) -> Hub {
        Hub::new(self.settings()).unwrap()
    }

    fn check(&self) -> CheckReport {
        self.check_as(REPO)
    }

    fn check_as(&self, name: &str) -> CheckReport {
        let report = check_model(name, &self.client(), &requirements(VOCABULARY));
        must_be_sound(&report);
        report
    }
}

fn sound_model() -> Model {
    let model = Model::llama();
    model.save();
    model
}

/// A model of four shards and some megabytes.
fn four_shards() -> Model {
    let mut model =
        Model::llama().with("vocab_size", json!(40_000)).with("hidden_size", json!(64)).with("head_dim", json!(4));
    for tensor in &mut model.tensors {
        for size in &mut tensor.shape {
            *size = match *size {
                VOCABULARY => 40_000,
                16 if !tensor.name.contains("_proj") => 64,
                other => other,
            };
        }
        let is_output = tensor.name.contains("o_proj") || tensor.name.contains("down_proj");
        if tensor.name.contains("_proj") {
            tensor.shape[if is_output { 0 } else { 1 }] = 64;
        }
    }
    model.save_shards(4, |_| {});
    model
}

#[test]
fn a_check_moves_less_than_a_hundredth_of_the_model() {
    let model = four_shards();
    let stage = Stage::with(model.folder());
    let report = check_model(REPO, &stage.client(), &requirements(40_000));
    assert_eq!(errors(&report), [""; 0], "{:#?}", report.findings());
    assert!(report.bytes > 10_000_000, "{}", report.bytes);
    assert!(100 * report.bytes_read < report.bytes, "{} of {}", report.bytes_read, report.bytes);
    // What the server counts is no more than that, and no file of weights was asked for as a whole.
    let requests = stage.server.requests();
    let sent: u64 = requests.iter().map(|request| request.body_bytes).sum();
    assert!(100 * sent < report.bytes, "{sent}");
    let weights: Vec<_> = requests
        .iter()
        .filter(|request| request.path.contains(".safetensors") && !request.path.contains("index"))
        .collect();
    assert!(!weights.is_empty() && weights.iter().all(|request| request.range.is_some()), "{weights:#?}");
    // Where the Hub sends on to its content network, the client sees one answer.
    let asked = requests.iter().filter(|request| request.server == Server::Hub).count();
    assert_eq!(report.requests, asked as u64, "{requests:#?}");
    assert_eq!(report.revision.unwrap().to_string().len(), 40);
}

#[test]
fn a_folder_and_its_repository_get_the_same_report() {
    let good = sound_model();
    let mut bad = Model::llama().with("vocab_size", json!(0)).with("auto_map", json!({}));
    bad.remove("layers.1.mlp");
    bad.write("x.py", "");
    bad.write("pytorch_model.bin", "x");
    bad.save();
    for model in [good, bad] {
        let stage = Stage::with(model.folder());
        let (here, there) = (model.check(), stage.check());
        assert_eq!(here.findings(), there.findings());
        assert_eq!((here.parameters, here.dtypes, here.bytes), (there.parameters, there.dtypes, there.bytes));
    }
}

#[test]
fn a5_the_commit_is_what_is_checked() {
    let model = sound_model();
    let stage = Stage::with(model.folder());
    let first = stage.publish(model.folder());
    let mut swapped = Model::llama();
    swapped.remove("layers.1.");
    swapped.write("x.py", "");
    swapped.save();
    let second = stage.publish(swapped.folder());
    assert_ne!(first, second);

    let pinned = stage.check_as(&format!("{REPO}@{first}"));
    assert!(pinned.pass(), "{:#?}", pinned.findings());
    assert_eq!(pinned.revision, Some(first));
    let newest = stage.check();
    assert_eq!(newest.revision, Some(second), "the report says which commit it is about");
    assert_eq!(errors(&newest), ["missing_tensors", "remote_code"]);

    stage.server.forget_commit(RepoKind::Model, REPO, &first.to_string()).unwrap();
    let gone = stage.check_as(&format!("{REPO}@{first}"));
    assert_eq!(errors(&gone), ["not_found"]);
    assert_eq!(gone.revision, Some(first));
    assert_eq!(gone.model, REPO);
}

#[test]
fn a6_a_repository_made_private_or_deleted_is_refused() {
    let stage = Stage::with(sound_model().folder());
    assert!(stage.check().pass());
    stage.server.set_visibility(RepoKind::Model, REPO, Visibility::Private).unwrap();
    let report = stage.check();
    assert_eq!(errors(&report), ["private"]);
    assert_eq!(report.verdict(), Verdict::Refused);
    assert_eq!(finding(&report, Code::Private).evidence["status"], json!(401));
    stage.server.set_visibility(RepoKind::Model, REPO, Visibility::Public).unwrap();
    assert!(stage.check().pass());
    stage.server.remove(RepoKind::Model, REPO).unwrap();
    assert_eq!(stage.check().verdict(), Verdict::Refused);
}

/// Who has a token still sees it; nobody else can verify the miner then.
#[test]
fn a6_a_repository_that_only_a_token_opens_is_refused() {
    let stage = Stage::with(sound_model().folder());
    stage.server.accept_token("hf_secret");
    let mut settings = stage.settings();
    settings.token = Some(Token::new("hf_secret").unwrap());
    let hub = Hub::new(settings).unwrap();
    for visibility in [Visibility::Private, Visibility::Gated] {
        stage.server.set_visibility(RepoKind::Model, REPO, visibility).unwrap();
        let report = check_model(REPO, &hub, &requirements(VOCABULARY));
        assert_eq!(errors(&report), ["private"], "{visibility:?}");
        must_say(&message(&report, Code::Private), &["make it public"]);
        assert_eq!(report.parameters.total, Some(LLAMA_PARAMETERS), "the rest is checked all the same");
    }
    stage.server.set_visibility(RepoKind::Model, REPO, Visibility::Public).unwrap();
    assert!(check_model(REPO, &hub, &requirements(VOCABULARY)).pass());
}

#[test]
fn a17_a_name_that_is_none_never_reaches_the_hub() {
    let stage = Stage::new();
    for name in ["<b>/x", "a/b/c", "owner/repo?x=1", "owner/%2e%2e"] {
        assert_eq!(errors(&stage.check_as(name)), ["invalid_name"], "{name}");
    }
    assert_eq!(stage.server.requests().len(), 0);
}

#[track_caller]
fn must_be_undecided(report: &CheckReport) {
    assert_eq!(errors(report), ["transient"], "{:#?}", report.findings());
    assert_eq!(report.verdict(), Verdict::CannotTell);
    must_say(&message(report, Code::Transient), &["cannot tell"]);
}

/// What once disqualified eight miners in one epoch.
#[test]
fn c1_a_bad_day_of_the_hub_counts_against_nobody() {
    let stage = Stage::with(sound_model().folder());
    let faults = [
        FaultKind::Status { status: 429, retry_after: Some("3600".to_owned()) },
        FaultKind::Status { status: 429, retry_after: None },
        FaultKind::Status { status: 500, retry_after: None },
        FaultKind::Status { status: 502, retry_after: None },
        FaultKind::Status { status: 503, retry_after: Some("0".to_owned()) },
        FaultKind::Status { status: 504, retry_after: None },
        FaultKind::Status { status: 408, retry_after: None },
        FaultKind::Reset,
        FaultKind::CloseBeforeAnswer,
        FaultKind::NotJson,
    ];
    for part in ["/api/models/", "config.json", "model.safetensors"] {
        for fault in &faults {
            // A page of HTML in place of a small file is that file's content, as far as anyone can see.
            if *fault == FaultKind::NotJson && part != "/api/models/" {
                continue;
            }
            stage.server.clear_faults();
            stage.server.order(Fault::new(fault.clone()).on(part));
            let report = stage.check();
            assert_eq!(report.verdict(), Verdict::CannotTell, "{part} {fault:?}: {:#?}", report.findings());
            assert!(report.has(Code::Transient, Severity::Error));
        }
    }
    stage.server.clear_faults();
    assert!(stage.check().pass());
}

#[test]
fn c1_one_failure_is_tried_again() {
    let stage = Stage::with(sound_model().folder());
    for part in ["/api/models/", "config.json", "model.safetensors"] {
        stage.server.order(Fault::new(FaultKind::Status { status: 503, retry_after: None }).on(part).times(1));
    }
    assert!(stage.check().pass());
}

#[test]
fn c1_a_rate_limit_tells_how_long_to_wait() {
    let stage = Stage::with(sound_model().folder());
    stage.server.order(Fault::new(FaultKind::Status { status: 429, retry_after: Some("3600".to_owned()) }));
    let report = stage.check();
    must_be_undecided(&report);
    assert_eq!(finding(&report, Code::Transient).evidence["retry_after_seconds"], json!(3600.0));
}

#[test]
fn c2_private_gone_and_unavailable_are_told_apart() {
    let stage = Stage::with(sound_model().folder());
    for (status, code, verdict) in [
        (401, "private", Verdict::Refused),
        (403, "private", Verdict::Refused),
        (404, "not_found", Verdict::Refused),
        (503, "transient", Verdict::CannotTell),
    ] {
        stage.server.clear_faults();
        stage.server.order(Fault::new(FaultKind::Status { status, retry_after: None }));
        let report = stage.check();
        assert_eq!((errors(&report), report.verdict()), (vec![code.to_owned()], verdict), "{status}");
    }
    // The Hub says 401, not 404, of what never was, to whoever has no token.
    stage.server.clear_faults();
    let never = stage.check_as("alice/never-was");
    assert_eq!(errors(&never), ["private"]);
    must_say(&message(&never, Code::Private), &["alice/never-was", "401"]);
}

#[test]
fn c2_a_gated_repository_lists_its_files_and_gives_none() {
    let stage = Stage::with(sound_model().folder());
    stage.server.set_visibility(RepoKind::Model, REPO, Visibility::Gated).unwrap();
    let report = stage.check();
    assert_eq!(errors(&report), ["private"]);
    assert_eq!(report.verdict(), Verdict::Refused);
}

#[test]
fn c8_a_stalled_answer_ends_in_time() {
    let stage = Stage::with(sound_model().folder());
    stage.server.order(Fault::new(FaultKind::NeverAnswer).on("/api/models/"));
    must_be_undecided(&stage.check());
    stage.server.clear_faults();
    stage.server.order(Fault::new(FaultKind::StallBodyAfter(3)).on("model.safetensors"));
    must_be_undecided(&stage.check());
}

#[test]
fn a_header_that_is_cut_on_the_way_says_nothing_about_the_model() {
    let stage = Stage::with(sound_model().folder());
    for fault in [FaultKind::CutBodyAfter(5), FaultKind::ResetBodyAfter(5), FaultKind::WrongLength(-3)] {
        stage.server.clear_faults();
        stage.server.order(Fault::new(fault.clone()).on("model.safetensors"));
        let report = stage.check();
        assert_eq!(report.verdict(), Verdict::CannotTell, "{fault:?}: {:#?}", report.findings());
    }
}

/// Headers stand at the beginning, so they can be had of such a server too, as long as the rest is not listened to.
#[test]
fn a_server_that_ignores_ranges_is_not_listened_to_for_longer() {
    let mut model = Model::llama();
    model.tensors.push(tensor("mtp.fc.weight", "BF16", &[20_000_000]));
    model.save();
    let stage = Stage::with(model.folder());
    let before = stage.check();
    stage.server.order(Fault::new(FaultKind::IgnoreRange).on("model.safetensors"));
    let report = stage.check();
    assert_eq!((report.findings(), report.parameters), (before.findings(), before.parameters));
    assert!(report.bytes > 40_000_000 && report.bytes_read < 4_000_000, "{}", report.bytes_read);
}

#[test]
fn a_header_of_nine_exabytes_is_not_fetched() {
    let model = sound_model();
    let mut bytes = (1_u64 << 63).to_le_bytes().to_vec();
    bytes.extend([b' '; 1000]);
    std::fs::write(model.path("model.safetensors"), bytes).unwrap();
    let stage = Stage::with(model.folder());
    let report = stage.check();
    assert_eq!(errors(&report), ["header_invalid"]);
    must_say(&message(&report, Code::HeaderInvalid), &["9223372036854775808"]);
    let asked: Vec<_> = stage.server.requests().into_iter().filter_map(|request| request.range).collect();
    assert!(asked.contains(&"bytes=0-7".to_owned()) && asked.len() <= 4, "{asked:?}");
}

/// A listing that lies: whatever it says, nothing is taken for good and nothing large is allocated.
#[test]
fn sizes_that_are_lies_pass_for_nothing() {
    let stage = Stage::with(sound_model().folder());
    for size in [0, 1, 9, 1 << 40, (1 << 63) - 1, u64::MAX] {
        stage.server.clear_faults();
        stage.server.order(Fault::new(FaultKind::LieAboutSize(size)));
        let report = stage.check();
        assert!(!report.pass(), "{size}: {:#?}", report.findings());
    }
}

#[test]
fn a_listing_without_end_is_cut() {
    let stage = Stage::with(sound_model().folder());
    stage.server.order(Fault::new(FaultKind::OversizedJson(1 << 30)).on("/api/models/"));
    let report = stage.check();
    assert_eq!(report.verdict(), Verdict::CannotTell, "{:#?}", report.findings());
    assert!(report.bytes_read < (64 << 20));
}

/// The Hub's own count is a hint: the headers are counted, and a difference is told of.
#[test]
fn a2_the_hubs_own_total_is_held_against_the_headers() {
    let model = sound_model();
    let stage = Stage::with(model.folder());
    let commit = stage.publish(model.folder());
    let hub = stage.client();
    let ModelRef::Hub { repo, .. } = ModelRef::parse(REPO, |_| false).unwrap() else { panic!() };
    let mut snapshot = hub.snapshot(distil_hub::RepoKind::Model, &repo, Some(&commit)).unwrap();
    assert_eq!(snapshot.safetensors_total, Some(LLAMA_PARAMETERS), "the Hub counts too");
    snapshot.safetensors_total = Some(3_000_000_000);
    let report = check(&HubRepository::from_snapshot(&hub, snapshot).unwrap(), &requirements(VOCABULARY));
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Warning), ["decoy_weights"]);
    must_say(&message(&report, Code::DecoyWeights), &["3,000,000,000", "headers are counted"]);
}

/// From the listing and the small files alone; and the same as of the files on disk.
#[test]
fn the_digest_of_the_files_is_there_without_the_weights() {
    for model in [sound_model(), four_shards()] {
        model.write("README.md", "no loader reads this");
        let stage = Stage::with(model.folder());
        let there = stage.check();
        assert!(there.digest.files.is_some() && there.digest.files_reason.is_none());
        assert!(there.digest.tensors.is_none() && there.digest.tensors_reason.is_some());

        let repository = distil_checker::FolderRepository::open(model.folder()).unwrap();
        let mut here = model.check();
        assert!(here.digest.files.is_none() && here.digest.files_reason.is_some());
        let digest = here.add_digests(&repository, std::num::NonZeroUsize::MIN, &mut |_| {}).unwrap().unwrap();
        assert_eq!(here.digest.files, there.digest.files);
        assert_eq!((here.digest.tensors, here.digest.tensors_bf16), (Some(digest.raw), Some(digest.bf16)));
        assert!(here.digest.tensors_reason.is_none() && here.digest.files_reason.is_none());

        let requests = stage.server.requests().len();
        let listed = open(&ModelRef::parse(REPO, |_| false).unwrap(), &stage.client()).unwrap();
        let mut there = there;
        assert_eq!(there.add_digests(listed.as_ref(), std::num::NonZeroUsize::MIN, &mut |_| {}).unwrap(), None);
        assert!(there.digest.tensors_reason.unwrap().contains("not on this disk"));
        assert_eq!(stage.server.requests().len(), requests + 1, "the listing and nothing else");
    }
}

/// The teacher's tokenizer is known by its hash, so that a student with the same file need not send it.
#[test]
fn the_teachers_own_tokenizer_is_not_read_twice() {
    let stage = Stage::with(&tiny("student-a"));
    let teacher = TeacherFacts::read(&distil_checker::FolderRepository::open(&tiny("teacher")).unwrap()).unwrap();
    let requirements = Requirements::from_profile(&distil_types::SubnetProfile::sn97()).with_teacher(teacher);
    let report = check_model(REPO, &stage.client(), &requirements);
    assert_eq!(report.findings(), []);
    let requests = stage.server.requests();
    assert!(requests.iter().all(|request| !request.path.contains("/tokenizer.json")), "{requests:#?}");
}

#[test]
fn a_downloaded_repository_is_on_disk_and_can_be_checked_offline() {
    let model = sound_model();
    let stage = Stage::with(model.folder());
    let hub = stage.client();
    let name = ModelRef::parse(REPO, |_| false).unwrap();
    let ModelRef::Hub { repo, .. } = &name else { panic!() };
    let repository = HubRepository::open(&hub, repo, None).unwrap();
    assert_eq!(repository.folder(), None);
    hub.download(repository.snapshot(), &|_| true, &mut |_| {}).unwrap();
    let revision = repository.revision().unwrap();
    assert!(open(&name, &hub).unwrap().folder().is_some());

    drop(stage.server);
    let mut settings = HubSettings::new("http://127.0.0.1:9", stage.cache.path().to_owned()).unwrap();
    settings.offline = true;
    let offline = Hub::new(settings).unwrap();
    let report = check_model(&format!("{REPO}@{revision}"), &offline, &requirements(VOCABULARY));
    assert!(report.pass(), "{:#?}", report.findings());
    assert_eq!((report.model.as_str(), report.revision), (REPO, Some(revision)));
    must_be_undecided(&check_model("alice/other", &offline, &requirements(VOCABULARY)));
}

proptest! {
    // Each case is a server's answer over a socket.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_hub_answers_there_is_a_report(
        path in "\\PC{0,6}|config.json|model.safetensors|model.safetensors.index.json",
        size in prop_oneof![any::<u64>(), 0_u64..200],
        sha in prop_oneof![Just("0".repeat(40)), "[0-9a-f]{0,41}"],
        total in any::<i64>(),
    ) {
        let stage = Stage::with(sound_model().folder());
        let answer = json!({
            "sha": sha, "private": false, "gated": false, "safetensors": {"total": total},
            "siblings": [{"rfilename": path, "size": size}, {"rfilename": "config.json", "size": size}]
        });
        stage.server.order(Fault::new(FaultKind::AnswerWith(answer.to_string())).on("/api/models/"));
        prop_assert!(!stage.check().pass());
    }
}
