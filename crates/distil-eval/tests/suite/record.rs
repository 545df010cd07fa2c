//! Records of runs, written and read back.

use std::fs;

use distil_eval::record::{
    self, POSITIONS_PARQUET, RECORD_JSON, RecordedSetting, RecordedSettings, RunEnvironment, read_positions,
    write_folder,
};
use serde_json::{Value, json};

use crate::common::{nan_model, request, score, settings, short_prompts, tiny};

#[test]
fn a_record_says_what_the_run_found_and_nothing_of_the_host() {
    let root = tempfile::tempdir().unwrap();
    let nan = root.path().join("nan");
    nan_model(&nan);
    let mut settings = settings(5);
    settings.digest_weights = true;
    let request = request(&[&tiny("student-a"), &nan, &tiny("student-b")], short_prompts(3), settings);
    let outcome = score(&request);
    let recorded: RecordedSettings =
        [("max_new_tokens".to_owned(), RecordedSetting { value: json!(5), origin: "flag".to_owned() })].into();
    let environment = RunEnvironment::of(&request.settings, "distil", "9.8.7");
    let files = || record::files(&outcome, &recorded, &environment).unwrap();
    let out = root.path().join("out");
    write_folder(&out, &files()).unwrap();

    let text = fs::read_to_string(out.join(RECORD_JSON)).unwrap();
    assert!(!text.contains(&*root.path().to_string_lossy()) && !text.contains(env!("CARGO_MANIFEST_DIR")));
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["protocol"], "distil/1");
    assert_eq!(value["settings"], json!({"max_new_tokens": {"value": 5, "origin": "flag"}}));
    assert_eq!(value["versions"]["distil"], "9.8.7");
    assert_eq!(value["kernels"]["kl"], distil_kl::active_path().name());
    assert_eq!((&value["device"], &value["dtype"], &value["threads"]), (&json!("cpu"), &json!("f32"), &json!(2)));
    let weights = fs::read(tiny("teacher").join("model.safetensors")).unwrap();
    let file = value["teacher"]["files"].as_array().unwrap().iter().find(|file| file["name"] == "model.safetensors");
    assert_eq!(file.unwrap()["bytes"], weights.len());
    assert_eq!(value["teacher"]["head_digest"], outcome.teacher.head_digest);
    for (index, prompt) in outcome.prompts.iter().enumerate() {
        let recorded = &value["prompts"][index];
        assert_eq!(recorded["continuation_tokens"], json!(prompt.sequence.continuation()));
        assert_eq!(recorded["prompt_tokens"], json!(prompt.sequence.prompt()));
        assert_eq!(recorded["digest"], prompt.sequence.digest());
        assert_eq!(recorded["text"], prompt.text);
    }
    let statuses: Vec<_> = value["students"].as_array().unwrap().iter().map(|student| &student["status"]).collect();
    assert_eq!(statuses, ["scored", "failed", "scored"]);
    assert_eq!(value["students"][1]["kl"], Value::Null);
    assert!(value["students"][1]["reason"].as_str().unwrap().contains("NaN"));
    assert_eq!(value["students"][2]["kl"], json!(outcome.report.students[2].kl));

    // The table has every position once, in order, with every bit of its KL.
    let table = fs::read(out.join(POSITIONS_PARQUET)).unwrap();
    let rows: Vec<_> = read_positions(table.clone(), 30).unwrap().map(Result::unwrap).collect();
    let mut expected = Vec::new();
    for (report, student) in outcome.report.students.iter().zip(&outcome.students) {
        for (prompt, kl_nats) in student.positions_kl_nats.iter().enumerate() {
            let tokens = outcome.prompts[prompt].sequence.continuation();
            for (position, (kl, token)) in kl_nats.iter().zip(tokens).enumerate() {
                expected.push(record::PositionRow {
                    student: report.model.as_str().into(),
                    prompt: prompt as u32,
                    position: position as u32,
                    token: *token,
                    kl: *kl,
                });
            }
        }
    }
    assert_eq!(rows, expected);
    assert_eq!(rows.len(), 2 * 3 * 5);
    let message = read_positions(table, 29).unwrap_err().to_string();
    assert!(message.contains("more than the 29 rows"), "{message}");

    // The same run gives the same bytes.
    let again = record::files(&score(&request), &recorded, &environment).unwrap();
    assert!(again == files());
}

#[test]
fn other_tables_are_refused() {
    for bytes in [&b""[..], b"PAR1 nothing of the kind PAR1"] {
        let message = read_positions(bytes.to_vec(), 10).unwrap_err().to_string();
        assert!(message.contains("positions.parquet"), "{message}");
    }
}

/// A table as a forger would write it: columns of our own names, whatever they hold.
fn forged(rows: usize, name: &str) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
    let schema = "message positions { required binary student (string); required int32 prompt (integer(32, false));
        required int32 position (integer(32, false)); required int32 token (integer(32, false)); required double kl; }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_dictionary_page_size_limit(1 << 30)
        .build();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(Vec::new(), schema, std::sync::Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&vec![ByteArray::from(name); rows], None, None).unwrap();
    column.close().unwrap();
    for _ in 0..3 {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&vec![0; rows], None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<DoubleType>().write_batch(&vec![0.5; rows], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// Runs and dictionaries make many rows of few bytes; a reader that takes them all has no memory left.
#[test]
fn a_table_that_unpacks_to_more_than_it_can_have_is_refused_before_it_is_read() {
    let table = forged(1_000_000, "a student");
    assert!(table.len() < 100_000, "{} bytes", table.len());
    let message = read_positions(table.clone(), 999_999).unwrap_err().to_string();
    assert!(message.contains("more than the 999999 rows"), "{message}");
    assert_eq!(read_positions(table, 1_000_000).unwrap().take(10).filter(Result::is_ok).count(), 10);

    // A name of 5 MiB, once in the dictionary and in every row.
    let table = forged(20, &"x".repeat(5 << 20));
    assert!(table.len() < 1 << 20, "{} bytes", table.len());
    let message = read_positions(table, 20).unwrap_err().to_string();
    assert!(message.contains("a page of it takes"), "{message}");
    let message = read_positions(forged(5, &"x".repeat(2000)), 5).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(message.contains("longer than 1024 bytes"), "{message}");
}

/// What a page's header says is a promise, too: room is made for as many values as it names.
#[test]
fn a_page_that_promises_more_than_its_table_can_have_is_refused() {
    let table = forged(1000, "a student");
    assert!(read_positions(table.clone(), 1000).is_ok());
    // The header of the first page: type 2, sizes, no checksum, and the dictionary's part with one value.
    let head = [0x15, 4, 0x15, 26, 0x15];
    let at = table.windows(head.len()).position(|part| part == head).expect("a dictionary of one name");
    assert_eq!(at, 4, "it is the first page");
    let mut more = table.clone();
    let values = table[at..].windows(4).position(|part| part == [0x4c, 0x15, 2, 0x15]).expect("the dictionary's part");
    more[at + values + 2] = 126;
    let message = read_positions(more, 1000).unwrap_err().to_string();
    assert!(message.contains("has 63 values; it can have 3"), "{message}");
    for cut in (0..table.len()).step_by(7) {
        let _ = std::panic::catch_unwind(|| read_positions(table[..cut].to_vec(), 1000).map(|rows| rows.count()));
    }
}
