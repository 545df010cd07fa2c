//! Copies that were changed a little, and models that were really trained further.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use distil_checker::{Comparison, DifferenceClass, LocalModel, NearCopyRule, WeightDistance, weight_distance};
use safetensors::{Dtype, SafeTensors};

use crate::common::{Model, Tensor, digest, fixture, tiny, two};

fn compare(one: &Path, other: &Path) -> Comparison {
    let (one, other) = (LocalModel::open(one).unwrap(), LocalModel::open(other).unwrap());
    weight_distance(&one, &other, &NearCopyRule::default(), two(), &mut |_| {}).unwrap()
}

fn distance(variant: &Model, original: &Path) -> WeightDistance {
    match compare(variant.save().path(), original) {
        Comparison::Compared(distance) => *distance,
        Comparison::NotComparable { reason } => panic!("{reason}"),
    }
}

fn student() -> Model {
    Model::load(&tiny("student-a"))
}

/// SplitMix64, and from it a value that is nearly normally distributed with deviation 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn normal(&mut self) -> f32 {
        let sum: f64 = (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum();
        (sum - 6.0) as f32
    }
}

/// Noise of this size, relative to each tensor's root mean square.
fn with_noise(model: &Model, size: f32, dtype: Dtype, chosen: impl Fn(&str) -> bool) -> Model {
    let noise = std::cell::RefCell::new(Noise(1));
    model.map(|name, tensor| {
        if !chosen(name) {
            return tensor.clone();
        }
        let mut values = tensor.values();
        let deviation = (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt() * size;
        values.iter_mut().for_each(|value| *value += deviation * noise.borrow_mut().normal());
        tensor.with_values(dtype, &values)
    })
}

#[test]
fn a7d_a_copy_saved_again_is_found() {
    let original = tiny("student-a");
    let in_f16 = student().map(|_, tensor| tensor.to(Dtype::F16));
    let back = in_f16.map(|_, tensor| tensor.to(Dtype::BF16));
    for copy in [student(), student().map(|_, tensor| tensor.to(Dtype::F32)), in_f16, back.clone()] {
        let found = distance(&copy, &original);
        assert!(found.verdict.is_near_copy, "{found:?}");
        assert!(found.relative_l2 < 1e-7 && found.max_difference < 1e-6, "{found:?}");
    }
    // f16 has no place for the smallest bf16 values, so no digest is the same.
    assert_ne!(digest(back.save().path()).bf16, digest(&original).bf16);
    assert!(distance(&back, &original).changed_parameters > 0);

    // An f32 model, saved in bf16: every value is rounded.
    let in_f32 = fixture("qwen3_5-dense-f32");
    let rounded = Model::load(&in_f32).map(|_, tensor| tensor.to(Dtype::BF16));
    let found = distance(&rounded, &in_f32);
    assert!(found.verdict.is_near_copy, "{found:?}");
    assert_eq!(found.within_bf16_step, found.parameters);
    assert!(found.changed_parameters as f64 > 0.9 * found.parameters as f64, "{found:?}");
    assert!(found.relative_l2 > 1e-3, "{found:?}");
}

#[test]
fn a7f_noise_is_found_whatever_its_size() {
    for dtype in [Dtype::BF16, Dtype::F32] {
        for size in [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1] {
            let found = distance(&with_noise(&student(), size, dtype, |_| true), &tiny("student-a"));
            assert!(found.verdict.is_near_copy, "{size} in {dtype}: {found:?}");
        }
    }
    let found =
        distance(&with_noise(&student(), 1e-2, Dtype::BF16, |name| name.contains("layers.1.mlp")), &tiny("student-a"));
    assert!(found.verdict.is_near_copy, "{found:?}");
    assert_eq!(found.classes, BTreeMap::from([(DifferenceClass::Identical, 52), (DifferenceClass::Noise, 3)]));
    assert_eq!(found.most_different.len(), 3);
    // In proportion to each value.
    for size in [1e-3, 1e-2] {
        let noise = std::cell::RefCell::new(Noise(2));
        let copy = student().map(|_, tensor| {
            let values = tensor.values();
            let values: Vec<f32> =
                values.iter().map(|value| value * (1.0 + size * noise.borrow_mut().normal())).collect();
            tensor.with_values(Dtype::BF16, &values)
        });
        let found = distance(&copy, &tiny("student-a"));
        assert!(found.verdict.is_near_copy, "{size}: {found:?}");
    }
    // As large as the weights, it is another model.
    let found = distance(&with_noise(&student(), 1.0, Dtype::BF16, |_| true), &tiny("student-a"));
    assert!(!found.verdict.is_near_copy, "{found:?}");
}

#[test]
fn a7f_quantising_and_back_is_found() {
    for levels in [127.0, 31.0, 7.0] {
        let quantised = student().map(|_, tensor| {
            if tensor.shape.len() != 2 {
                return tensor.clone();
            }
            let mut values = tensor.values();
            for group in values.chunks_mut(32) {
                let scale = group.iter().fold(1e-9f32, |largest, value| largest.max(value.abs())) / levels;
                group.iter_mut().for_each(|value| *value = (*value / scale).round() * scale);
            }
            tensor.with_values(Dtype::BF16, &values)
        });
        let found = distance(&quantised, &tiny("student-a"));
        assert!(found.verdict.is_near_copy, "{levels}: {found:?}");
    }
}

/// Updates that `calibration/updates.py` recorded: real steps of training from the same student.
fn recorded_update(name: &str) -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights/updates").join(name);
    let content = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&content).unwrap();
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, Tensor { dtype: view.dtype(), shape: view.shape().to_vec(), data: view.data().to_vec() })
    };
    tensors.tensors().into_iter().map(tensor).collect()
}

#[test]
fn a7_a_genuinely_trained_model_is_not_called_a_copy() {
    let update = recorded_update("adamw-1e-5.safetensors");
    let trained = |dtype| {
        student().map(|name, tensor| {
            let (steps, scale) = (&update[name], update[&format!("{name}.scale")].values()[0]);
            let mut values = tensor.values();
            for (value, step) in values.iter_mut().zip(&steps.data) {
                *value += f32::from(*step as i8) * scale;
            }
            tensor.with_values(dtype, &values)
        })
    };
    for dtype in [Dtype::F32, Dtype::BF16] {
        let found = distance(&trained(dtype), &tiny("student-a"));
        assert!(!found.verdict.is_near_copy, "{dtype}: {found:?}");
        assert!(found.classes[&DifferenceClass::Structured] >= 25, "{found:?}");
        // Smaller than noise that is taken for a copy: size alone could not tell.
        assert!(found.relative_l2 < 1e-2, "{found:?}");
        assert!(found.median_coherence.unwrap() > 3.0, "{found:?}");
    }
    // It is a model of its own, and a copy of it is found as one.
    let trained_in_f32 = trained(Dtype::F32).save();
    let found = distance(&trained(Dtype::BF16), trained_in_f32.path());
    assert!(found.verdict.is_near_copy, "{found:?}");
    let found = distance(&with_noise(&trained(Dtype::F32), 1e-3, Dtype::BF16, |_| true), trained_in_f32.path());
    assert!(found.verdict.is_near_copy, "{found:?}");
}

/// Merges of adapters that touch attention alone were called copies, since the tensors that were hashed were others.
#[test]
fn a7c_an_adapter_of_attention_alone_is_not_called_a_copy() {
    let update = recorded_update("lora-attention.safetensors");
    let merged = |chosen: &dyn Fn(&str) -> bool| {
        student().map(|name, tensor| {
            let (Some(left), Some(right)) = (update.get(&format!("{name}.left")), update.get(&format!("{name}.right")))
            else {
                return tensor.clone();
            };
            if !chosen(name) {
                return tensor.clone();
            }
            let (rank, columns) = (right.shape[0], right.shape[1]);
            let (left, right, mut values) = (left.values(), right.values(), tensor.values());
            for (index, value) in values.iter_mut().enumerate() {
                let (row, column) = (index / columns, index % columns);
                *value += (0..rank).map(|k| left[row * rank + k] * right[k * columns + column]).sum::<f32>();
            }
            tensor.with_values(Dtype::BF16, &values)
        })
    };
    let found = distance(&merged(&|_| true), &tiny("student-a"));
    assert!(!found.verdict.is_near_copy, "{found:?}");
    assert_eq!(found.classes[&DifferenceClass::Structured], 10, "{found:?}");
    // Two matrices of one layer.
    let found = distance(&merged(&|name| name.contains("q_proj") || name.contains("v_proj")), &tiny("student-a"));
    assert!(!found.verdict.is_near_copy, "{found:?}");
    assert_eq!(found.classes[&DifferenceClass::Structured], 2, "{found:?}");
}

/// The same function from other weights: not for this comparison, which says so by not claiming a copy.
#[test]
fn a7e_rescaled_values_and_outputs_are_beyond_weights() {
    let rescaled = student().map(|name, tensor| {
        let factor = match name {
            _ if name.ends_with("v_proj.weight") || name.ends_with("up_proj.weight") => 1.5,
            _ if name.ends_with("self_attn.o_proj.weight") || name.ends_with("down_proj.weight") => 1.0 / 1.5,
            _ => return tensor.clone(),
        };
        let values: Vec<f32> = tensor.values().iter().map(|value| value * factor).collect();
        tensor.with_values(Dtype::BF16, &values)
    });
    let found = distance(&rescaled, &tiny("student-a"));
    assert!(!found.verdict.is_near_copy, "{found:?}");
    assert_eq!(found.classes.get(&DifferenceClass::Identical), Some(&45), "{found:?}");
}

#[test]
fn rows_of_the_embedding_that_nobody_uses_hide_nothing() {
    for (share, is_near_copy) in [(0.05, true), (0.4, true), (0.9, false)] {
        let mut copy = student();
        let embedding = copy.tensors.get_mut("model.embed_tokens.weight").unwrap();
        let (mut values, mut noise) = (embedding.values(), Noise(7));
        let first = (values.len() as f64 * (1.0 - share)) as usize;
        values[first..].iter_mut().for_each(|value| *value = 1000.0 * noise.normal());
        *embedding = embedding.with_values(Dtype::BF16, &values);
        let found = distance(&copy, &tiny("student-a"));
        assert_eq!(found.verdict.is_near_copy, is_near_copy, "{share}: {found:?}");
    }
}

#[test]
fn nan_and_infinity_hide_nothing_and_are_counted() {
    let mut copy = student();
    for (name, bits) in [("model.embed_tokens.weight", 0x7fc1u16), ("model.layers.2.mlp.up_proj.weight", 0xff80)] {
        let data = &mut copy.tensors.get_mut(name).unwrap().data;
        data[1000..1002].copy_from_slice(&bits.to_le_bytes());
        data[70..72].copy_from_slice(&bits.to_le_bytes());
    }
    let found = distance(&copy, &tiny("student-a"));
    assert_eq!((found.not_finite, found.changed_parameters, found.relative_l2), (4, 0, 0.0));
    assert!(found.verdict.is_near_copy, "{found:?}");
    // The same NaN in both is no difference.
    let (one, other) = (copy.save(), copy.map(|_, tensor| tensor.to(Dtype::F32)).save());
    let Comparison::Compared(found) = compare(one.path(), other.path()) else { panic!() };
    assert_eq!((found.not_finite, found.classes.len()), (0, 1), "{found:?}");
    // All of it NaN is no copy of anything.
    let all = student().map(|_, tensor| tensor.with_values(Dtype::BF16, &vec![f32::NAN; tensor.values().len()]));
    let found = distance(&all, &tiny("student-a"));
    assert!(!found.verdict.is_near_copy, "{found:?}");
    let json = serde_json::to_string(&found).unwrap();
    assert!(!json.contains("NaN"), "{json}");
}

#[test]
fn neither_order_nor_threads_nor_shards_change_the_distance() {
    let noisy = with_noise(&student(), 1e-3, Dtype::F32, |_| true);
    let shards = noisy.save_in_shards(|index| format!("{}.safetensors", index % 4));
    let (one, other) = (LocalModel::open(shards.path()).unwrap(), LocalModel::open(&tiny("student-a")).unwrap());
    let expected = distance(&noisy, &tiny("student-a"));
    for threads in [1, 3, 8] {
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut last = None;
        for (one, other) in [(&one, &other), (&other, &one)] {
            let comparison =
                weight_distance(one, other, &NearCopyRule::default(), threads, &mut |read| last = Some(read)).unwrap();
            assert_eq!(comparison, Comparison::Compared(Box::new(expected.clone())));
        }
        let last = last.unwrap();
        assert_eq!((last.done, last.total), (6 * expected.parameters, 6 * expected.parameters));
    }
    let json = serde_json::to_string(&Comparison::Compared(Box::new(expected.clone()))).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), Comparison::Compared(Box::new(expected)));
}

#[test]
fn a_tied_head_is_compared_with_a_head_of_its_own() {
    let mut untied = student();
    untied.config["tie_word_embeddings"] = false.into();
    let embedding = untied.tensors["model.embed_tokens.weight"].clone();
    untied.tensors.insert("lm_head.weight".into(), embedding);
    let untied = with_noise(&untied, 1e-4, Dtype::F32, |name| name == "lm_head.weight");
    let found = distance(&untied, &tiny("student-a"));
    assert!(found.verdict.is_near_copy, "{found:?}");
    assert_eq!((found.tensors, found.classes[&DifferenceClass::Identical]), (56, 55));
}

#[test]
fn a7_tensors_that_do_nothing_do_not_hide_a_copy() {
    let mut copy = with_noise(&student(), 1e-3, Dtype::BF16, |_| true);
    copy.config["attention_bias"] = true.into();
    let names: Vec<String> = copy.tensors.keys().cloned().collect();
    let mut added = 0;
    for name in names.iter().filter(|name| name.contains(".self_attn.") && name.ends_with("_proj.weight")) {
        let rows = copy.tensors[name].shape[0];
        added += rows as u64;
        let zeros = Tensor { dtype: Dtype::BF16, shape: vec![rows], data: vec![0; 2 * rows] };
        copy.tensors.insert(name.replace(".weight", ".bias"), zeros);
    }
    assert!(added > 0);
    let found = distance(&copy, &tiny("student-a"));
    assert_eq!(found.unmatched_parameters, added);
    assert!(found.verdict.is_near_copy, "{found:?}");
    assert!(found.verdict.reason.contains(&format!("{added} parameters are in tensors")), "{}", found.verdict.reason);
}

#[test]
fn models_of_other_shapes_are_not_comparable() {
    let reason = |one: &Path, other: &Path| match compare(one, other) {
        Comparison::NotComparable { reason } => reason,
        Comparison::Compared(distance) => panic!("{distance:?}"),
    };
    let found = reason(&tiny("student-a"), &tiny("student-b"));
    assert!(found.contains("has shape [128, 256] in one and [128, 192] in the other"), "{found}");
    let found = reason(&tiny("student-a"), &tiny("teacher"));
    assert!(found.contains("is in one of them only"), "{found}");
    assert!(matches!(compare(&fixture("qwen3_5-moe"), &fixture("qwen3_5-moe-fused")), Comparison::Compared(_)));
}
