//! No repository makes a check allocate more than a few times what a safetensors header may have. A test binary of its
//! own, because it counts every allocation of the process.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fmt::Write as _,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use distil_checker::{
    FolderRepository, MAX_FORMAT_HEADER_BYTES, MAX_HEADER_BYTES, MAX_TOKENIZER_BYTES, MAX_VOCABULARY, Requirements,
    TeacherFacts, check,
};
use distil_types::SubnetProfile;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes allocated at the peak while a folder was checked.
fn peak(folder: &Path, requirements: &Requirements) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let report = check(&FolderRepository::open(folder).unwrap(), requirements);
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert!(!report.pass());
    peak
}

/// A safetensors file of as many of the shortest tensors as its header may name.
fn many_tensors(prefix: &str) -> Vec<u8> {
    let mut json = String::from("{");
    let mut number = 0;
    while (json.len() as u64) < MAX_HEADER_BYTES - 100 {
        let comma = if number == 0 { "" } else { "," };
        write!(json, r#"{comma}"{prefix}{number}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#).unwrap();
        number += 1;
    }
    json.push('}');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.into_bytes());
    bytes
}

/// A tokenizer as large as it may be, of the shortest tokens and merges.
fn large_tokenizer() -> String {
    let mut json = String::from(r#"{"model":{"type":"BPE","merges":["a b""#);
    (1..MAX_VOCABULARY).for_each(|_| json.push_str(r#","a b""#));
    json.push_str(r#"],"vocab":{"":0"#);
    (1..MAX_VOCABULARY).for_each(|id| write!(json, r#","{id:x}":{id}"#).unwrap());
    json.push_str("}}}");
    let left = MAX_TOKENIZER_BYTES as usize - json.len();
    json.push_str(&" ".repeat(left));
    json
}

/// A tokenizer as large as it may be, of one added token with a field that nobody asks for.
fn padded_token() -> String {
    let start = r#"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"added_tokens":[{"id":1,"content":"b","x":["#;
    let values = (MAX_TOKENIZER_BYTES as usize - start.len() - 5) / 2;
    format!("{start}{}0]}}]}}", "0,".repeat(values))
}

/// One test, so that no other allocates meanwhile.
#[test]
#[allow(clippy::print_stdout)] // the figures
fn no_repository_makes_a_check_allocate_more_than_a_few_times_the_limit() {
    let teacher = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny/teacher");
    let teacher = TeacherFacts::read(&FolderRepository::open(&teacher).unwrap()).unwrap();
    let requirements = Requirements::from_profile(&SubnetProfile::sn97()).with_teacher(teacher);
    type Files<'a> = &'a [(&'a str, Vec<u8>)];
    let parts: [(&str, Files<'_>); 5] = [
        ("configuration", &[("config.json", format!("{{\"a\":[{}0]}}", "0,".repeat(2_000_000)).into_bytes())]),
        (
            "index",
            &[(
                "model.safetensors.index.json",
                format!(
                    "{{\"weight_map\":{{\"\":\"x.safetensors\"{}}}}}",
                    (0..199_000).map(|i| format!(",\"{i:x}\":\"x.safetensors\"")).collect::<String>()
                )
                .into_bytes(),
            )],
        ),
        ("headers", &[("model.safetensors", many_tensors("")), ("a.safetensors", many_tensors("x"))]),
        ("tokenizer", &[("tokenizer.json", large_tokenizer().into_bytes())]),
        ("added token", &[("tokenizer.json", padded_token().into_bytes())]),
    ];
    for (name, files) in parts {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            fs::write(folder.path().join(path), bytes).unwrap();
        }
        let peak = peak(folder.path(), &requirements);
        println!("{name}: {} MB", peak / 1_000_000);
        assert!(peak < 3 * MAX_FORMAT_HEADER_BYTES as usize, "{name}: {peak}");
    }
}
