//! A student's tokenizer against the teacher's, as data.

use std::{fs, path::Path};

use distil_checker::{CheckReport, CheckerError, Code, FolderRepository, Severity, TeacherFacts};
use serde_json::{Value, json};

use crate::common::*;

/// The findings about a student whose `tokenizer.json` was changed.
fn with_tokenizer(edit: impl FnOnce(&mut Value)) -> CheckReport {
    let student = copy_of(&tiny("student-a"));
    edit_json(&student.path().join("tokenizer.json"), edit);
    check_folder(student.path(), &requirements_of(&tiny("teacher")))
}

#[track_caller]
fn must_be_refused(report: &CheckReport, part: &str, words: &[&str]) {
    assert_eq!(errors(report), ["tokenizer_mismatch"]);
    let found = report.findings().iter().find(|finding| finding.evidence.get("part") == Some(&json!(part)));
    must_say(&found.unwrap_or_else(|| panic!("{part}: {:#?}", report.findings())).message, words);
}

#[test]
fn a13_cosmetic_differences_are_none() {
    // The other form of merges, defaults left out, other keys, fields in another order, line breaks.
    let report = with_tokenizer(|json| {
        let merges = json["model"]["merges"].as_array().unwrap().iter();
        json["model"]["merges"] =
            merges.map(|pair| json!(format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))).collect();
        let model = json["model"].as_object_mut().unwrap();
        model.retain(|key, value| !value.is_null() && value != &json!(false) || key == "vocab");
        model.insert("continuing_subword_prefix".into(), json!(""));
        json.as_object_mut().unwrap().remove("normalizer");
        json["truncation"] = json!({"max_length": 5});
        json["added_tokens"].as_array_mut().unwrap().reverse();
    });
    assert_eq!(report.findings(), []);
    let student = copy_of(&tiny("student-a"));
    let path = student.path().join("tokenizer.json");
    let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, serde_json::to_string_pretty(&value).unwrap()).unwrap();
    assert_eq!(check_folder(student.path(), &requirements_of(&tiny("teacher"))).findings(), []);
}

#[test]
fn a13_added_tokens_may_stand_in_the_vocabulary_or_not() {
    let report = with_tokenizer(|json| {
        let added = json["added_tokens"].as_array().unwrap().clone();
        for token in added {
            json["model"]["vocab"].as_object_mut().unwrap().remove(token["content"].as_str().unwrap()).unwrap();
        }
    });
    assert_eq!(report.findings(), []);
}

#[test]
fn a13_another_vocabulary_is_refused() {
    let report = with_tokenizer(|json| {
        let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
        vocabulary.remove("!").unwrap();
        vocabulary.insert("\u{1b}new".into(), json!(2));
        vocabulary["#"] = json!(9999);
    });
    must_be_refused(
        &report,
        "vocabulary",
        &["1 are missing", "1 have another id", "1 are not its own", "teacher's tokenizer"],
    );
    let evidence = &finding(&report, Code::TokenizerMismatch).evidence;
    assert_eq!(evidence["first_missing"], json!([{"token": "!", "teacher": 2}]));
    assert_eq!(evidence["first_changed"][0]["id"], json!(9999));
}

#[test]
fn a13_other_merges_are_refused() {
    let report = with_tokenizer(|json| json["model"]["merges"].as_array_mut().unwrap().swap(3, 4));
    must_be_refused(&report, "merges", &["2 of", "the first at 3"]);
    let report = with_tokenizer(|json| drop(json["model"]["merges"].as_array_mut().unwrap().pop()));
    must_be_refused(&report, "merges", &["1 of"]);
}

#[test]
fn a13_other_added_tokens_are_refused() {
    let report = with_tokenizer(|json| json["added_tokens"][1]["special"] = json!(false));
    must_be_refused(&report, "added_tokens", &["1 added tokens", "id 1"]);
    let report = with_tokenizer(|json| {
        json["added_tokens"].as_array_mut().unwrap().push(json!({"id": 5000, "content": "<x>", "special": true}));
    });
    must_be_refused(&report, "added_tokens", &["id 5000"]);
    must_be_refused(&report, "vocabulary", &["1 are not its own"]);
}

#[test]
fn a13_another_kind_of_tokenizer_is_refused() {
    let report = with_tokenizer(|json| json["model"]["type"] = json!("WordPiece"));
    must_be_refused(&report, "model", &["WordPiece", "BPE"]);
    for broken in [
        "",
        "[]",
        "{}",
        "{\"model\": {\"vocab\": []}}",
        "{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0.5]]}}",
    ] {
        let student = copy_of(&tiny("student-a"));
        fs::write(student.path().join("tokenizer.json"), broken).unwrap();
        let report = check_folder(student.path(), &requirements_of(&tiny("teacher")));
        assert_eq!(errors(&report), ["tokenizer_mismatch"], "{broken}");
        must_say(&message(&report, Code::TokenizerMismatch), &["tokenizer.json is no tokenizer"]);
    }
}

#[test]
fn a13_a_token_that_is_there_twice_is_refused() {
    let student = copy_of(&tiny("student-a"));
    let path = student.path().join("tokenizer.json");
    let text = fs::read_to_string(&path).unwrap();
    let place = text.find("\"vocab\"").unwrap() + text[text.find("\"vocab\"").unwrap()..].find('{').unwrap() + 1;
    fs::write(&path, format!("{}\"!\": 2,{}", &text[..place], &text[place..])).unwrap();
    let report = check_folder(student.path(), &requirements_of(&tiny("teacher")));
    assert_eq!(errors(&report), ["tokenizer_mismatch"]);
    must_say(&message(&report, Code::TokenizerMismatch), &["\"!\"", "twice"]);
}

#[test]
fn steps_before_and_after_are_warnings() {
    for (part, value) in [
        ("normalizer", json!({"type": "NFC"})),
        ("pre_tokenizer", json!({"type": "Whitespace"})),
        ("decoder", json!(null)),
    ] {
        let report = with_tokenizer(|json| json[part] = value);
        assert!(report.pass());
        assert_eq!(codes(&report, Severity::Warning), ["tokenizer_mismatch"], "{part}");
        must_say(&message(&report, Code::TokenizerMismatch), &[part]);
    }
    let report = with_tokenizer(|json| json["model"]["ignore_merges"] = json!(true));
    must_say(&message(&report, Code::TokenizerMismatch), &["model settings"]);
}

#[test]
fn a13_without_a_tokenizer_scoring_uses_the_teachers() {
    let student = copy_of(&tiny("student-a"));
    fs::remove_file(student.path().join("tokenizer.json")).unwrap();
    let report = check_folder(student.path(), &requirements_of(&tiny("teacher")));
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Warning), ["tokenizer_mismatch"]);
    must_say(&message(&report, Code::TokenizerMismatch), &["scoring uses the teacher's"]);
}

/// The teacher's tokenizer in the older form: two files, and the added tokens in a third.
fn in_two_files(folder: &Path) {
    let json: Value = serde_json::from_slice(&fs::read(folder.join("tokenizer.json")).unwrap()).unwrap();
    let pairs = json["model"]["merges"].as_array().unwrap().iter();
    let lines: Vec<String> =
        pairs.map(|pair| format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())).collect();
    let added: serde_json::Map<String, Value> =
        json["added_tokens"].as_array().unwrap().iter().map(|token| (token["id"].to_string(), token.clone())).collect();
    fs::write(folder.join("vocab.json"), json["model"]["vocab"].to_string()).unwrap();
    fs::write(folder.join("merges.txt"), format!("#version: 0.2\n{}\n", lines.join("\n"))).unwrap();
    fs::write(folder.join("tokenizer_config.json"), json!({"added_tokens_decoder": added}).to_string()).unwrap();
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
}

#[test]
fn vocabulary_and_merges_in_files_of_their_own_are_compared() {
    let student = copy_of(&tiny("student-a"));
    in_two_files(student.path());
    let teacher = requirements_of(&tiny("teacher"));
    assert_eq!(check_folder(student.path(), &teacher).findings(), []);
    // The other way round.
    assert_eq!(check_folder(&tiny("student-b"), &requirements_of(student.path())).findings(), []);

    fs::write(student.path().join("tokenizer_config.json"), "{}").unwrap();
    let report = check_folder(student.path(), &teacher);
    assert!(report.pass());
    must_say(&message(&report, Code::TokenizerMismatch), &["added tokens", "not compared"]);

    fs::write(student.path().join("merges.txt"), "a b\nx\n").unwrap();
    must_say(&message(&check_folder(student.path(), &teacher), Code::TokenizerMismatch), &["merges.txt", "line 2"]);
    fs::write(student.path().join("merges.txt"), "a b\n").unwrap();
    must_be_refused(&check_folder(student.path(), &teacher), "merges", &["differ"]);
}

#[test]
fn a14_a_changed_chat_template_is_told_of() {
    let teacher = copy_of(&tiny("teacher"));
    fs::write(teacher.path().join("tokenizer_config.json"), json!({"chat_template": "{{ messages }}"}).to_string())
        .unwrap();
    let requirements = requirements_of(teacher.path());
    let student = copy_of(&tiny("student-a"));
    assert_eq!(check_folder(student.path(), &requirements).findings(), [], "none is no sign of anything");
    let template = student.path().join("chat_template.jinja");
    fs::write(&template, "{{ messages }}\n").unwrap();
    assert_eq!(check_folder(student.path(), &requirements).findings(), [], "the same text in a file of its own");
    fs::write(&template, "{# stolen from another miner #}{{ messages }}").unwrap();
    let report = check_folder(student.path(), &requirements);
    assert!(report.pass());
    assert_eq!(codes(&report, Severity::Warning), ["tokenizer_mismatch"]);
    must_say(&message(&report, Code::TokenizerMismatch), &["chat template", "no part in scoring"]);
}

#[test]
fn a_teacher_has_to_say_what_it_is() {
    let read = |folder: &Path| TeacherFacts::read(&FolderRepository::open(folder).unwrap());
    let teacher = read(&tiny("teacher")).unwrap();
    assert_eq!((teacher.vocab_size(), teacher.has_tokenizer(), teacher.revision()), (2048, true, None));
    for (file, text, words) in [
        ("config.json", "{}", &["vocab_size"][..]),
        ("config.json", "[]", &["config.json"]),
        ("tokenizer.json", "{}", &["tokenizer.json"]),
    ] {
        let folder = copy_of(&tiny("teacher"));
        fs::write(folder.path().join(file), text).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(matches!(error, CheckerError::Teacher { .. }));
        must_say(&error.to_string(), words);
    }
}

#[test]
#[allow(clippy::print_stdout)] // says that nothing was checked
fn the_vocabulary_of_qwen3_5_is_read_whole() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let fixtures = std::env::var_os("DISTIL_FIXTURES").map_or(beside, Into::into).join("models");
    if !fixtures.join("tokenizer-qwen3_5").is_dir() {
        println!("skipped: the tokenizer of Qwen3.5 is not here; set DISTIL_FIXTURES to its folder");
        return;
    }
    let teacher = copy_of(&fixtures.join("v248320-teacher"));
    let tokenizer = teacher.path().join("tokenizer.json");
    fs::copy(fixtures.join("tokenizer-qwen3_5/tokenizer.json"), &tokenizer).unwrap();
    let requirements = requirements_of(teacher.path());
    assert_eq!(requirements.vocab_size(), 248_320);
    let report = check_folder(teacher.path(), &requirements);
    assert!(report.pass() && !report.has(Code::TokenizerMismatch, Severity::Warning), "{:#?}", report.findings());
    edit_json(&tokenizer, |json| json["model"]["merges"].as_array_mut().unwrap().swap(247_554, 247_555));
    must_be_refused(&check_folder(teacher.path(), &requirements), "merges", &["2 of 247,556", "247,554"]);
}
