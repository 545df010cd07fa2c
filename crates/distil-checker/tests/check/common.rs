//! What the tests share: a small model written tensor by tensor, so that every part of it can be spoiled.

use std::{
    fs,
    path::{Path, PathBuf},
};

use distil_checker::{CheckReport, Code, FolderRepository, Requirements, Severity, TeacherFacts, Verdict, check};
use distil_types::SubnetProfile;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Vocabulary of [`Model::llama`].
pub(crate) const VOCABULARY: u64 = 64;
const HIDDEN: u64 = 16;
const INTERMEDIATE: u64 = 24;
pub(crate) const LLAMA_PARAMETERS: u64 = 2 * VOCABULARY * HIDDEN
    + HIDDEN
    + 2 * (2 * HIDDEN + 2 * HIDDEN * HIDDEN + 2 * 8 * HIDDEN + 3 * INTERMEDIATE * HIDDEN);

/// The tiny trained models of the examples.
pub(crate) fn tiny(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data/tiny").join(name)
}

/// Models that the loader's own tests load.
pub(crate) fn loadable() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../distil-model/tests/fixtures")
}

/// What is asked of a model with so many tokens.
pub(crate) fn requirements(vocab_size: u64) -> Requirements {
    let mut profile = SubnetProfile::sn97();
    profile.vocab_size = vocab_size as usize;
    Requirements::from_profile(&profile)
}

/// The same with the tokenizer of a teacher's folder.
pub(crate) fn requirements_of(teacher: &Path) -> Requirements {
    let facts = TeacherFacts::read(&FolderRepository::open(teacher).unwrap()).unwrap();
    requirements(0).with_teacher(facts)
}

pub(crate) fn check_folder(folder: &Path, requirements: &Requirements) -> CheckReport {
    let report = check(&FolderRepository::open(folder).unwrap(), requirements);
    must_be_sound(&report);
    report
}

/// What holds for every report: it is printable JSON, and its parts agree.
#[track_caller]
pub(crate) fn must_be_sound(report: &CheckReport) {
    let json = serde_json::to_value(report).unwrap();
    let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error).count();
    assert_eq!(json["pass"], json!(errors == 0));
    assert_eq!(report.pass(), report.verdict() == Verdict::Pass);
    assert!(report.findings().is_sorted_by_key(|finding| finding.severity), "errors come first");
    for finding in report.findings() {
        assert!(finding.message.chars().all(|character| !character.is_control()), "{:?}", finding.message);
        assert!(finding.message.len() < 3000, "{}", finding.message);
        let code = finding.code.to_string();
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        assert_eq!(serde_json::to_value(finding.code).unwrap(), json!(code));
    }
}

/// The codes of a report's errors, each once, in the order of their names.
pub(crate) fn errors(report: &CheckReport) -> Vec<String> {
    codes(report, Severity::Error)
}

pub(crate) fn codes(report: &CheckReport, severity: Severity) -> Vec<String> {
    let of = report.findings().iter().filter(|finding| finding.severity == severity);
    let mut codes: Vec<String> = of.map(|finding| finding.code.to_string()).collect();
    codes.sort();
    codes.dedup();
    codes
}

/// The message of the first finding of a code.
#[track_caller]
pub(crate) fn message(report: &CheckReport, code: Code) -> String {
    finding(report, code).message.clone()
}

#[track_caller]
pub(crate) fn finding(report: &CheckReport, code: Code) -> &distil_checker::Finding {
    let found = report.findings().iter().find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {code} among {:#?}", report.findings()))
}

#[track_caller]
pub(crate) fn must_say(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "«{message}» does not say «{word}»");
    }
}

/// A tensor to be written; its values are zeros.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: &'static str,
    pub(crate) shape: Vec<u64>,
}

pub(crate) fn tensor(name: &str, dtype: &'static str, shape: &[u64]) -> Tensor {
    Tensor { name: name.to_owned(), dtype, shape: shape.to_vec() }
}

impl Tensor {
    fn bytes(&self) -> u64 {
        let width = match self.dtype {
            "U8" | "I8" | "BOOL" | "F8_E4M3" => 1,
            "BF16" | "F16" => 2,
            "F32" | "I32" => 4,
            "F64" | "I64" => 8,
            other => panic!("{other}"),
        };
        self.shape.iter().product::<u64>() * width
    }
}

/// The header of a file with these tensors, and the bytes that follow it.
fn header_of(tensors: &[Tensor]) -> (Vec<u8>, u64) {
    let (mut header, mut at) = (Map::new(), 0);
    for tensor in tensors {
        let end = at + tensor.bytes();
        let entry = json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [at, end]});
        header.insert(tensor.name.clone(), entry);
        at = end;
    }
    (Value::Object(header).to_string().into_bytes(), at)
}

/// Writes a file of any header, however wrong, and zeros after it. The zeros take no room on most disks.
pub(crate) fn write_raw(path: &Path, header: &[u8], data_bytes: u64) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    fs::write(path, &bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(bytes.len() as u64 + data_bytes).unwrap();
}

pub(crate) fn write_safetensors(path: &Path, tensors: &[Tensor]) {
    let (header, data_bytes) = header_of(tensors);
    write_raw(path, &header, data_bytes);
}

/// A file of zeros that takes no room on most disks.
pub(crate) fn write_sparse(path: &Path, bytes: u64) {
    fs::File::create(path).unwrap().set_len(bytes).unwrap();
}

/// A model's folder, made to be spoiled.
pub(crate) struct Model {
    folder: TempDir,
    pub(crate) config: Value,
    pub(crate) tensors: Vec<Tensor>,
}

impl Model {
    /// A sound Llama of two layers. The tensors are written out by hand, not taken from what is tested.
    pub(crate) fn llama() -> Self {
        let config = json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
            "intermediate_size": INTERMEDIATE, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "torch_dtype": "bfloat16", "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "eos_token_id": 1
        });
        let mut tensors = vec![tensor("model.embed_tokens.weight", "BF16", &[VOCABULARY, HIDDEN])];
        for layer in 0..2 {
            for (name, shape) in [
                ("input_layernorm", &[HIDDEN][..]),
                ("self_attn.q_proj", &[HIDDEN, HIDDEN]),
                ("self_attn.k_proj", &[8, HIDDEN]),
                ("self_attn.v_proj", &[8, HIDDEN]),
                ("self_attn.o_proj", &[HIDDEN, HIDDEN]),
                ("post_attention_layernorm", &[HIDDEN]),
                ("mlp.gate_proj", &[INTERMEDIATE, HIDDEN]),
                ("mlp.up_proj", &[INTERMEDIATE, HIDDEN]),
                ("mlp.down_proj", &[HIDDEN, INTERMEDIATE]),
            ] {
                tensors.push(tensor(&format!("model.layers.{layer}.{name}.weight"), "BF16", shape));
            }
        }
        tensors.push(tensor("model.norm.weight", "BF16", &[HIDDEN]));
        tensors.push(tensor("lm_head.weight", "BF16", &[VOCABULARY, HIDDEN]));
        Self { folder: tempfile::tempdir().unwrap(), config, tensors }
    }

    /// A sound Qwen3.5 mixture of two layers, one of linear and one of full attention, with experts in the official,
    /// fused layout.
    pub(crate) fn mixture() -> Self {
        let config = json!({
            "architectures": ["Qwen3_5MoeForCausalLM"], "model_type": "qwen3_5_moe_text", "vocab_size": VOCABULARY,
            "hidden_size": HIDDEN, "num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"],
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "linear_num_key_heads": 1,
            "linear_num_value_heads": 2, "linear_key_head_dim": 4, "linear_value_head_dim": 6, "num_experts": 8,
            "num_experts_per_tok": 2, "moe_intermediate_size": 12, "shared_expert_intermediate_size": 10,
            "tie_word_embeddings": true, "dtype": "bfloat16"
        });
        let mut tensors = vec![
            tensor("model.embed_tokens.weight", "BF16", &[VOCABULARY, HIDDEN]),
            tensor("model.norm.weight", "BF16", &[HIDDEN]),
        ];
        let linear = [
            ("linear_attn.in_proj_qkv.weight", "BF16", &[20, HIDDEN][..]),
            ("linear_attn.in_proj_z.weight", "BF16", &[12, HIDDEN]),
            ("linear_attn.in_proj_b.weight", "BF16", &[2, HIDDEN]),
            ("linear_attn.in_proj_a.weight", "BF16", &[2, HIDDEN]),
            ("linear_attn.conv1d.weight", "BF16", &[20, 1, 4]),
            ("linear_attn.A_log", "F32", &[2]),
            ("linear_attn.dt_bias", "BF16", &[2]),
            ("linear_attn.norm.weight", "F32", &[6]),
            ("linear_attn.out_proj.weight", "BF16", &[HIDDEN, 12]),
        ];
        let full = [
            ("self_attn.q_proj.weight", "BF16", &[32, HIDDEN][..]),
            ("self_attn.k_proj.weight", "BF16", &[8, HIDDEN]),
            ("self_attn.v_proj.weight", "BF16", &[8, HIDDEN]),
            ("self_attn.o_proj.weight", "BF16", &[HIDDEN, 16]),
            ("self_attn.q_norm.weight", "BF16", &[8]),
            ("self_attn.k_norm.weight", "BF16", &[8]),
        ];
        let rest = [
            ("input_layernorm.weight", "BF16", &[HIDDEN][..]),
            ("post_attention_layernorm.weight", "BF16", &[HIDDEN]),
            ("mlp.gate.weight", "BF16", &[8, HIDDEN]),
            ("mlp.experts.gate_up_proj", "BF16", &[8, 24, HIDDEN]),
            ("mlp.experts.down_proj", "BF16", &[8, HIDDEN, 12]),
            ("mlp.shared_expert.gate_proj.weight", "BF16", &[10, HIDDEN]),
            ("mlp.shared_expert.up_proj.weight", "BF16", &[10, HIDDEN]),
            ("mlp.shared_expert.down_proj.weight", "BF16", &[HIDDEN, 10]),
            ("mlp.shared_expert_gate.weight", "BF16", &[1, HIDDEN]),
        ];
        for (layer, mixer) in [&linear[..], &full[..]].into_iter().enumerate() {
            for (name, dtype, shape) in mixer.iter().chain(&rest) {
                tensors.push(tensor(&format!("model.layers.{layer}.{name}"), dtype, shape));
            }
        }
        Self { folder: tempfile::tempdir().unwrap(), config, tensors }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Sets a field of the configuration.
    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name.ends_with(name)).unwrap()
    }

    pub(crate) fn remove(&mut self, part: &str) {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| !tensor.name.contains(part));
        assert!(self.tensors.len() < before, "{part}");
    }

    pub(crate) fn save_config(&self) {
        self.write("config.json", &self.config.to_string());
    }

    /// Writes `config.json` and one `model.safetensors`.
    pub(crate) fn save(&self) {
        self.save_config();
        write_safetensors(&self.path("model.safetensors"), &self.tensors);
    }

    /// Writes `config.json`, shards and their index, which the closure may spoil.
    pub(crate) fn save_shards(&self, shards: usize, edit: impl FnOnce(&mut Value)) {
        self.save_config();
        let mut weight_map = Map::new();
        let mut bytes = 0;
        for shard in 0..shards {
            let name = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
            let tensors: Vec<Tensor> = self.tensors.iter().skip(shard).step_by(shards).cloned().collect();
            write_safetensors(&self.path(&name), &tensors);
            for tensor in &tensors {
                bytes += tensor.bytes();
                weight_map.insert(tensor.name.clone(), name.clone().into());
            }
        }
        let mut index = json!({"metadata": {"total_size": bytes}, "weight_map": weight_map});
        edit(&mut index);
        self.write("model.safetensors.index.json", &index.to_string());
    }

    pub(crate) fn check(&self) -> CheckReport {
        check_folder(self.folder(), &requirements(VOCABULARY))
    }

    /// Writes the model as one file and checks it.
    pub(crate) fn save_and_check(&self) -> CheckReport {
        self.save();
        self.check()
    }
}

/// A copy of a folder of the project that may be changed.
pub(crate) fn copy_of(source: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// Changes a JSON file.
pub(crate) fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}
