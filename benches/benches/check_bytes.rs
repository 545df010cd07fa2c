//! What a check of a model on the Hub moves, against downloading it: a model of four shards behind a server on loopback.
//!
//! ```sh
//! cargo bench -p distil-benches --bench check_bytes [-- --megabytes 400]
//! ```
//!
//! Prints a table in Markdown: requests, bytes and seconds of each, and the ratio of the bytes.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use distil_checker::{HubRepository, Requirements, check};
use distil_devhub::{DevHub, RepoKind as ServedKind};
use distil_hub::{Hub, HubSettings, RepoKind};
use distil_types::SubnetProfile;

const SHARDS: usize = 4;
const HIDDEN: usize = 1024;
const VOCABULARY: usize = 32_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut megabytes = 400;
    let mut is_bench = false;
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        match name.as_str() {
            "--bench" => is_bench = true,
            "--megabytes" => megabytes = given.next().ok_or("--megabytes needs a value")?.parse()?,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    // `cargo test --benches` starts this too, and wants no measurement.
    if !is_bench {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let model = scratch.path().join("model");
    fs::create_dir(&model)?;
    write_model(&model, megabytes)?;
    let server = DevHub::start()?;
    server.publish(ServedKind::Model, "lab/student", &model)?;
    let repo = "lab/student".parse()?;
    let client = |cache: &str| -> Result<Hub, Box<dyn Error>> {
        Ok(Hub::new(HubSettings::new(&server.endpoint(), scratch.path().join(cache))?)?)
    };

    println!("| | requests | bytes | seconds |\n|---|---|---|---|");
    let hub = client("check")?;
    let began = Instant::now();
    let report = check(&HubRepository::open(&hub, &repo, None)?, &Requirements::from_profile(&SubnetProfile::sn97()));
    let checked = hub.traffic();
    println!("| check | {} | {} | {:.3} |", checked.requests, checked.bytes_received, began.elapsed().as_secs_f64());

    let hub = client("download")?;
    let began = Instant::now();
    let snapshot = hub.snapshot(RepoKind::Model, &repo, None)?;
    hub.download(&snapshot, &|_| true, &mut |_| {})?;
    let moved = hub.traffic();
    println!("| download | {} | {} | {:.3} |", moved.requests, moved.bytes_received, began.elapsed().as_secs_f64());
    println!(
        "\n{} parameters in {SHARDS} shards; the check moves 1/{:.0} of the bytes.",
        report.parameters.total.unwrap_or(0),
        moved.bytes_received as f64 / checked.bytes_received as f64
    );
    Ok(())
}

/// A Llama of about so many megabytes, with zeros for weights.
fn write_model(folder: &Path, megabytes: usize) -> Result<(), Box<dyn Error>> {
    let embedding = VOCABULARY * HIDDEN;
    let layer = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * 3 * HIDDEN + 2 * HIDDEN;
    let layers = ((megabytes * 500_000).saturating_sub(2 * embedding) / layer).max(SHARDS);
    let config = format!(
        r#"{{"model_type":"llama","vocab_size":{VOCABULARY},"hidden_size":{HIDDEN},"intermediate_size":{},"num_hidden_layers":{layers},"num_attention_heads":16,"num_key_value_heads":16,"rms_norm_eps":1e-6,"tie_word_embeddings":false}}"#,
        3 * HIDDEN
    );
    fs::write(folder.join("config.json"), config)?;
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("model.embed_tokens.weight".into(), vec![VOCABULARY, HIDDEN]),
        ("model.norm.weight".into(), vec![HIDDEN]),
        ("lm_head.weight".into(), vec![VOCABULARY, HIDDEN]),
    ];
    for layer in 0..layers {
        for (name, shape) in [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.v_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![3 * HIDDEN, HIDDEN]),
            ("mlp.up_proj", vec![3 * HIDDEN, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, 3 * HIDDEN]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    let mut index = Vec::new();
    for (shard, part) in tensors.chunks(tensors.len().div_ceil(SHARDS)).enumerate() {
        let file = format!("model-{:05}-of-{SHARDS:05}.safetensors", shard + 1);
        let (mut header, mut end) = (String::from("{"), 0);
        for (name, shape) in part {
            let begin = end;
            end += 2 * shape.iter().product::<usize>();
            let comma = if header.len() > 1 { "," } else { "" };
            write!(header, r#"{comma}"{name}":{{"dtype":"BF16","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)?;
            index.push(format!(r#""{name}":"{file}""#));
        }
        header.push('}');
        let mut out = BufWriter::new(File::create(folder.join(&file))?);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        let zeros = vec![0; 1 << 20];
        let mut left = end;
        while left > 0 {
            let piece = left.min(zeros.len());
            out.write_all(&zeros[..piece])?;
            left -= piece;
        }
        out.flush()?;
    }
    fs::write(folder.join("model.safetensors.index.json"), format!(r#"{{"weight_map":{{{}}}}}"#, index.join(",")))?;
    Ok(())
}
