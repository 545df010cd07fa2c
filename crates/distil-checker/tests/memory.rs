//! What a header makes its parser allocate is a few times the header's own length, and what digests and distances need
//! does not grow with the model. A test binary of its own, because it counts every allocation of the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use distil_checker::{
    HeaderError, LocalModel, MAX_DIMENSIONS, NearCopyRule, SafetensorsHeader, digest_model, digest_model_and_files,
    hash_files, weight_distance,
};

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

/// Held by the test that counts: they would count each other's allocations.
static COUNTING: Mutex<()> = Mutex::new(());

/// Bytes allocated at the peak while `work` ran.
fn peak<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    (PEAK.load(Ordering::Relaxed) - before, result)
}

fn parse(json: &str, data_bytes: u64) -> Result<SafetensorsHeader, HeaderError> {
    SafetensorsHeader::parse(json.as_bytes(), 8 + json.len() as u64 + data_bytes)
}

fn header(count: usize, tensor: impl Fn(usize) -> String) -> String {
    let tensors: Vec<String> = (0..count).map(tensor).collect();
    format!("{{{}}}", tensors.join(","))
}

#[test]
fn no_header_allocates_more_than_a_few_times_its_length() {
    let _alone = COUNTING.lock().unwrap();
    const COUNT: usize = 100_000;
    let shortest = header(COUNT, |i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#));
    let ones = ["1"; MAX_DIMENSIONS].join(",");
    let many_dimensions =
        header(COUNT, |i| format!(r#""{i}":{{"dtype":"U8","shape":[{ones}],"data_offsets":[{i},{}]}}"#, i + 1));
    let duplicates = header(COUNT, |_| r#""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#.to_owned());
    let long_shape = format!(r#"{{"a":{{"dtype":"U8","shape":[1{}]"#, ",1".repeat(4_000_000));
    let nested = format!(r#"{{"__metadata__":{{"a":{}"#, "[".repeat(4_000_000));
    let metadata = format!(r#"{{"__metadata__":{{"a":"{}"}}}}"#, "\\u0061".repeat(1_000_000));
    let many_metadata = format!(r#"{{"__metadata__":{{{}"a":""}}}}"#, r#""a":"","#.repeat(1_000_000));
    let long_dtype = format!(r#"{{"a":{{"dtype":"{}"}}}}"#, "\\n".repeat(2_000_000));
    let long_field = format!(r#"{{"a":{{"{}":1}}}}"#, "\\n".repeat(2_000_000));
    let long_name = format!(r#"{{"{}":1}}"#, "\\u0000".repeat(1_000_000));

    for (name, json, data_bytes, is_sound) in [
        ("shortest", &shortest, 0, true),
        ("many dimensions", &many_dimensions, COUNT as u64, true),
        ("duplicates", &duplicates, 0, false),
        ("long shape", &long_shape, 1, false),
        ("nested", &nested, 0, false),
        ("metadata", &metadata, 0, true),
        ("many metadata", &many_metadata, 0, true),
        ("long dtype", &long_dtype, 0, false),
        ("long field", &long_field, 0, false),
        ("long name", &long_name, 0, false),
    ] {
        let (bytes, result) = peak(|| parse(json, data_bytes));
        let multiple = bytes as f64 / json.len() as f64;
        assert_eq!(result.is_ok(), is_sound, "{name}: {result:?}");
        println!("{name}: {multiple:.2} times {} bytes", json.len());
        assert!(multiple <= 5.0, "{name}: {multiple:.2} times the header's length");
    }
}

/// A model of 48 MiB with one tensor of 32 MiB: what reads it needs some megabytes.
#[test]
fn digests_and_distances_need_little_whatever_the_model() {
    let _alone = COUNTING.lock().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"model_type": "llama", "vocab_size": 65536, "hidden_size": 256, "intermediate_size": 8192,
        "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": true}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    let shapes = [
        ("model.embed_tokens.weight".to_owned(), vec![65536, 256]),
        ("model.norm.weight".to_owned(), vec![256]),
        (layer("input_layernorm"), vec![256]),
        (layer("post_attention_layernorm"), vec![256]),
        (layer("mlp.gate_proj"), vec![8192, 256]),
        (layer("mlp.up_proj"), vec![8192, 256]),
        (layer("mlp.down_proj"), vec![256, 8192]),
        (layer("self_attn.q_proj"), vec![256, 256]),
        (layer("self_attn.k_proj"), vec![256, 256]),
        (layer("self_attn.v_proj"), vec![256, 256]),
        (layer("self_attn.o_proj"), vec![256, 256]),
    ];
    let (mut fields, mut end) = (Vec::new(), 0usize);
    for (name, shape) in &shapes {
        let start = end;
        end += 2 * shape.iter().product::<usize>();
        fields.push(format!(r#""{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", fields.join(","));
    let path = folder.path().join("model.safetensors");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let block: Vec<u8> = (0..1u32 << 19).flat_map(|index| (0x3c00 | (index * 7 % 512) as u16).to_le_bytes()).collect();
    for at in (0..end).step_by(block.len()) {
        file.write_all(&block[..block.len().min(end - at)]).unwrap();
    }
    drop(file);

    const LIMIT: usize = 16 << 20;
    let two = NonZeroUsize::new(2).unwrap();
    let (bytes, model) = peak(|| LocalModel::open(folder.path()).unwrap());
    println!("open: {bytes} bytes");
    assert!(bytes < LIMIT, "{bytes}");
    let (bytes, _) = peak(|| digest_model(&model, two, &mut |_| {}).unwrap());
    println!("digest: {bytes} bytes");
    assert!(bytes < LIMIT, "{bytes}");
    let (bytes, _) = peak(|| digest_model_and_files(&model, two, &mut |_| {}).unwrap());
    println!("digest and files: {bytes} bytes");
    assert!(bytes < LIMIT, "{bytes}");
    let (bytes, _) = peak(|| hash_files(std::slice::from_ref(&path), two, &mut |_| {}).unwrap());
    println!("hash: {bytes} bytes");
    assert!(bytes < LIMIT, "{bytes}");
    let rule = NearCopyRule::default();
    let (bytes, _) = peak(|| weight_distance(&model, &model, &rule, two, &mut |_| {}).unwrap());
    println!("distance: {bytes} bytes");
    assert!(bytes < LIMIT, "{bytes}");
}
