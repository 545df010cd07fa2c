use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;

use distil_checker::{CheckerError, LocalModel, digest_model, digest_model_and_files, hash_files};
use safetensors::Dtype;
use serde::Deserialize;

use crate::common::{Model, Tensor, digest, fixture, tiny, two};

#[test]
fn digests_are_those_that_an_independent_script_computes() {
    #[derive(Deserialize)]
    struct Vector {
        raw: String,
        bf16: String,
        tensors: usize,
    }
    let vectors: BTreeMap<String, Vector> = serde_json::from_str(include_str!("digest_vectors.json")).unwrap();
    assert_eq!(vectors.len(), 8);
    for (model, vector) in vectors {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&model);
        let digest = digest(&folder);
        assert_eq!(digest.raw.to_string(), vector.raw, "{model}");
        assert_eq!(digest.bf16.to_string(), vector.bf16, "{model}");
        assert_eq!(digest.tensors.len(), vector.tensors, "{model}");
    }
}

#[test]
fn a7b_a_resharded_reordered_renamed_copy_has_the_same_digest() {
    let original = Model::load(&tiny("teacher"));
    let expected = digest(&tiny("teacher"));
    let prefixes: [&dyn Fn(&str) -> String; 4] = [
        &|name| name.to_owned(),
        &|name| name.strip_prefix("model.").unwrap_or(name).to_owned(),
        &|name| format!("model.language_model.{}", name.strip_prefix("model.").unwrap_or(name)),
        &|name| format!("language_model.{name}"),
    ];
    for rename in prefixes {
        let copy = original.renamed(rename);
        for folder in [
            copy.save(),
            copy.save_in_shards(|index| format!("model-{:05}-of-00003.safetensors", index % 3)),
            copy.save_in_shards(|index| format!("{}.safetensors", ["z", "other name", "b"][index / 70])),
        ] {
            assert_eq!(digest(folder.path()), expected);
        }
    }
}

#[test]
fn a7b_both_layouts_of_experts_have_the_same_digest() {
    let by_expert = digest(&fixture("qwen3_5-moe"));
    let fused = digest(&fixture("qwen3_5-moe-fused"));
    assert_eq!(by_expert.raw, fused.raw);
    assert_eq!(by_expert.bf16, fused.bf16);
    assert!(by_expert.tensors.iter().any(|tensor| tensor.name == "layers.0.mlp.experts.7.up_proj.weight"));
    // Exchanged gate and up rows are another model.
    let mut swapped = Model::load(&fixture("qwen3_5-moe-fused"));
    for (name, tensor) in &mut swapped.tensors {
        if name.ends_with("gate_up_proj") {
            for expert in tensor.data.chunks_exact_mut(tensor.shape[1] * tensor.shape[2] * 2) {
                let middle = expert.len() / 2;
                expert.rotate_left(middle);
            }
        }
    }
    assert_ne!(digest(swapped.save().path()).raw, fused.raw);
}

#[test]
fn a7b_tensors_that_no_loader_uses_change_nothing() {
    let mut model = Model::load(&tiny("student-a"));
    let expected = digest(&tiny("student-a"));
    let junk = Tensor { dtype: Dtype::BF16, shape: vec![3], data: vec![1, 2, 3, 4, 5, 6] };
    for name in [
        "mtp.fc.weight",
        "model.visual.blocks.0.attn.qkv.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        // The configuration ties the head, has four layers and no biases, and knows no such part.
        "lm_head.weight",
        "model.layers.4.mlp.down_proj.weight",
        "model.layers.0.mlp.down_proj.bias",
        "model.layers.0.mlp.experts.0.down_proj.weight",
        "watermark",
    ] {
        model.tensors.insert(name.to_owned(), junk.clone());
    }
    assert_eq!(digest(model.save().path()), expected);
}

#[test]
fn a7a_one_changed_bit_is_another_digest() {
    let original = Model::load(&tiny("student-a"));
    let expected = digest(&tiny("student-a"));
    for name in original.tensors.keys().step_by(7) {
        let mut changed = original.clone();
        let tensor = changed.tensors.get_mut(name).unwrap();
        let last = tensor.data.len() - 2;
        tensor.data[last] ^= 1;
        let found = digest(changed.save().path());
        assert_ne!(found.raw, expected.raw, "{name}");
        assert_ne!(found.bf16, expected.bf16, "{name}");
        let differing = found.tensors.iter().zip(&expected.tensors).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 1, "{name}");
    }
}

/// Only the first shard was hashed once, so the others could hold anything.
#[test]
fn s0_5_one_changed_bit_in_the_last_shard_is_another_digest() {
    let original = Model::load(&tiny("student-a"));
    let shard_of = |index: usize| format!("model-{:05}-of-00003.safetensors", index / 30);
    let expected = digest(original.save_in_shards(shard_of).path());
    let mut changed = original.clone();
    let last = changed.tensors.keys().next_back().unwrap().clone();
    assert_ne!(shard_of(original.tensors.len() - 1), shard_of(0), "it is not in the first shard");
    let tensor = changed.tensors.get_mut(&last).unwrap();
    tensor.data[0] ^= 1;
    assert_ne!(digest(changed.save_in_shards(shard_of).path()).raw, expected.raw);
}

/// Names, shapes and dtypes alone were taken for an identity once: all derivatives of one base were "copies".
#[test]
fn a7c_other_weights_of_the_same_shapes_are_another_model() {
    let original = digest(&tiny("student-a"));
    let other = Model::load(&tiny("student-a")).map(|_, tensor| {
        let mut data = tensor.data.clone();
        data.rotate_left(2);
        Tensor { data, ..tensor.clone() }
    });
    let other = digest(other.save().path());
    assert!(original.tensors.iter().zip(&other.tensors).all(|(a, b)| (&a.name, &a.shape) == (&b.name, &b.shape)));
    assert_ne!(original.raw, other.raw);
    assert_ne!(original.bf16, other.bf16);
}

#[test]
fn a_head_that_is_the_embedding_is_tied_whatever_the_configuration_says() {
    let tied = Model::load(&tiny("student-a"));
    let expected = digest(&tiny("student-a"));
    let mut untied = tied.clone();
    untied.config["tie_word_embeddings"] = false.into();
    let embedding = untied.tensors["model.embed_tokens.weight"].clone();
    untied.tensors.insert("lm_head.weight".into(), embedding.clone());
    let found = digest(untied.save().path());
    assert_eq!((found.raw, found.bf16), (expected.raw, expected.bf16));
    // In f32 the head is the same after rounding only.
    untied.tensors.insert("lm_head.weight".into(), embedding.to(Dtype::F32));
    let found = digest(untied.save().path());
    assert_ne!(found.raw, expected.raw);
    assert_eq!(found.bf16, expected.bf16);
    // A head of its own is part of the model.
    let mut head = embedding.clone();
    head.data[0] ^= 1;
    untied.tensors.insert("lm_head.weight".into(), head);
    let found = digest(untied.save().path());
    assert_ne!(found.raw, expected.raw);
    assert_ne!(found.bf16, expected.bf16);
}

#[test]
fn a7d_save_cycles_are_found_by_the_second_digest() {
    let original = Model::load(&tiny("student-a"));
    let expected = digest(&tiny("student-a"));
    let in_f32 = original.map(|_, tensor| tensor.to(Dtype::F32));
    let found = digest(in_f32.save().path());
    assert_ne!(found.raw, expected.raw);
    assert_eq!(found.bf16, expected.bf16);

    // A model in f32 and its copy saved in bf16.
    let trained_in_f32 = Model::load(&fixture("qwen3_5-dense-f32"));
    let saved_in_bf16 = trained_in_f32.map(|_, tensor| tensor.to(Dtype::BF16));
    let (a, b) = (digest(&fixture("qwen3_5-dense-f32")), digest(saved_in_bf16.save().path()));
    assert_ne!(a.raw, b.raw);
    assert_eq!(a.bf16, b.bf16);
    // And back to f32, which has lost the lower bits.
    let back = digest(saved_in_bf16.map(|_, tensor| tensor.to(Dtype::F32)).save().path());
    assert_ne!(back.raw, a.raw);
    assert_eq!(back.bf16, a.bf16);
}

#[test]
fn nan_is_one_value_in_the_second_digest() {
    let with_nan = |bits: u16| {
        let mut model = Model::load(&tiny("student-a"));
        let data = &mut model.tensors.get_mut("model.norm.weight").unwrap().data;
        data[4..6].copy_from_slice(&bits.to_le_bytes());
        digest(model.save().path())
    };
    let (one, other) = (with_nan(0x7fc0), with_nan(0xff81));
    assert_ne!(one.raw, other.raw);
    assert_eq!(one.bf16, other.bf16);
    assert_ne!(one.bf16, digest(&tiny("student-a")).bf16);
}

#[test]
fn the_number_of_threads_changes_nothing_and_files_are_hashed_from_the_same_bytes() {
    let folder = Model::load(&tiny("teacher")).save_in_shards(|index| format!("{}.safetensors", index % 3));
    let model = LocalModel::open(folder.path()).unwrap();
    let expected = digest(&tiny("teacher"));
    let paths: Vec<_> = (0..3).map(|index| folder.path().join(format!("{index}.safetensors"))).collect();
    let file_digests = hash_files(&paths, two(), &mut |_| {}).unwrap();
    let bytes: u64 = file_digests.iter().map(|digest| digest.size_bytes).sum();
    for threads in [1, 2, 3, 4, 5, 16] {
        let threads = NonZeroUsize::new(threads).unwrap();
        assert_eq!(digest_model(&model, threads, &mut |_| {}).unwrap(), expected);
        let mut last = None;
        let (digest, files) = digest_model_and_files(&model, threads, &mut |read| last = Some(read)).unwrap();
        assert_eq!(digest, expected);
        let (names, digests): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        assert_eq!(names, ["0.safetensors", "1.safetensors", "2.safetensors"]);
        assert_eq!(digests, file_digests);
        let last = last.unwrap();
        assert_eq!((last.done, last.total), (bytes, bytes));
    }
}

#[test]
fn a_file_cut_short_after_it_was_opened_is_an_error_that_names_it() {
    let folder = Model::load(&tiny("student-a")).save();
    let model = LocalModel::open(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    fs::File::options().write(true).open(&path).unwrap().set_len(500_000).unwrap();
    for threads in [1, 2] {
        let threads = NonZeroUsize::new(threads).unwrap();
        for error in [
            digest_model(&model, threads, &mut |_| {}).unwrap_err(),
            digest_model_and_files(&model, threads, &mut |_| {}).unwrap_err(),
        ] {
            assert!(matches!(&error, CheckerError::Read { path: named, .. } if *named == path), "{error}");
        }
    }
}

#[test]
fn what_a_loader_would_refuse_is_refused() {
    let reason = |change: &dyn Fn(&mut Model)| {
        let mut model = Model::load(&tiny("student-a"));
        change(&mut model);
        LocalModel::open(model.save().path()).unwrap_err().to_string()
    };
    let message = reason(&|model| {
        model.tensors.remove("model.layers.2.mlp.up_proj.weight");
    });
    assert!(message.contains("layers.2.mlp.up_proj.weight is missing"), "{message}");
    let message = reason(&|model| {
        let tensor = model.tensors["model.norm.weight"].clone();
        model.tensors.insert("norm.weight".into(), tensor);
    });
    assert!(message.contains("\"norm.weight\" is stored under two names"), "{message}");
    let message = reason(&|model| model.tensors.get_mut("model.norm.weight").unwrap().shape = vec![2, 64]);
    assert!(message.contains("has shape [2, 64], config.json calls for [128]"), "{message}");
    let message = reason(&|model| model.config["hidden_size"] = "x".into());
    assert!(message.contains("config.json") && message.contains("hidden_size"), "{message}");

    // Both layouts of experts at once.
    let mut moe = Model::load(&fixture("qwen3_5-moe-fused"));
    let down = moe.tensors["model.language_model.layers.0.mlp.experts.down_proj"].unstack();
    moe.tensors.insert("model.layers.0.mlp.experts.3.down_proj.weight".into(), down[3].clone());
    let message = LocalModel::open(moe.save().path()).unwrap_err().to_string();
    assert!(message.contains("layers.0.mlp.experts.3.down_proj.weight") && message.contains("two names"), "{message}");

    // A shard that the index names and that is not there, and an index that leads out of the folder.
    let folder = Model::load(&tiny("student-a")).save_in_shards(|index| format!("{}.safetensors", index % 2));
    fs::remove_file(folder.path().join("1.safetensors")).unwrap();
    let message = LocalModel::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("1.safetensors"), "{message}");
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, r#"{"weight_map":{"a":"../a.safetensors"}}"#).unwrap();
    let message = LocalModel::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("\"../a.safetensors\""), "{message}");
}

/// One store held weight hashes and git commits, and nothing ever matched.
#[test]
fn a8_digests_commits_and_the_two_kinds_of_digest_cannot_be_taken_for_each_other() {
    let digest = digest(&tiny("student-a"));
    assert!(digest.raw.to_string().parse::<distil_types::Revision>().is_err());
    assert!("0123456789abcdef0123456789abcdef01234567".parse::<distil_hub::Sha256Digest>().is_err());
    // All tensors are bf16, so both are over the same tensor hashes; still they differ.
    assert!(digest.tensors.iter().all(|tensor| tensor.raw == tensor.bf16 && tensor.dtype == Dtype::BF16));
    assert_ne!(digest.raw, digest.bf16);
}

#[test]
fn tensors_of_experts_that_nobody_calls_for_are_no_part_of_the_model() {
    let folder = fixture("qwen3_5-moe-fused");
    let mut model = Model::load(&folder);
    let expected = digest(&folder);
    let of =
        |shape: Vec<usize>| Tensor { dtype: Dtype::BF16, data: vec![0; 2 * shape.iter().product::<usize>()], shape };
    // Of another form than experts have, as many as a header may name, and more than the configuration says.
    model.tensors.insert("other.mlp.experts.down_proj".into(), of(vec![3, 5]));
    model.tensors.insert("other.mlp.experts.gate_up_proj".into(), of(vec![65_537, 3, 0]));
    model.tensors.insert("model.layers.999.mlp.experts.gate_up_proj".into(), of(vec![65_536, 0, 0]));
    assert_eq!(digest(model.save().path()), expected);
    let name = "model.language_model.layers.0.mlp.experts.down_proj";
    let [experts, rows, columns] = model.tensors[name].shape[..] else { panic!("three dimensions") };
    model.tensors.insert(name.into(), of(vec![experts + 1, rows, columns]));
    let error = LocalModel::open(model.save().path()).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains(&format!("should have {experts} experts")), "{error}");
}
