//! Every architecture and layout against what transformers says of the same weights in f32.
//!
//! The bounds are what two honest f32 runs of the reference differ by (prefill against one token at a time).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use distil_model::{CausalLm, Generation, HiddenStatesRequest, LoadOptions, Sampling};

/// Greatest absolute difference of a logit.
const MODELS: [(&str, f32); 11] = [
    ("llama", 5e-5),
    ("qwen2", 5e-5),
    ("qwen3", 5e-5),
    ("qwen3_moe", 5e-5),
    ("qwen3_5-dense", 1e-3),
    ("qwen3_5-dense-f32", 1e-3),
    ("qwen3_5-dense-mild", 1e-3),
    ("qwen3_5-moe", 3e-4),
    ("qwen3_5-moe-fused", 3e-4),
    ("qwen3_5-wrapper", 1e-3),
    ("v248320-teacher", 5e-5),
];

struct Fixture {
    model: CausalLm,
    reference: HashMap<String, Tensor>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn fixture(name: &str) -> Fixture {
    let folder = folder(name);
    let model = CausalLm::load(&folder, &LoadOptions::cpu_f32()).unwrap();
    let reference = candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
    Fixture { model, reference }
}

impl Fixture {
    fn ids(&self, name: &str) -> Vec<Vec<u32>> {
        let rows = self.reference[name].to_vec2::<i64>().unwrap();
        rows.into_iter().map(|row| row.into_iter().map(|id| id as u32).collect()).collect()
    }

    /// Values of the reference at its positions, `[sequence][position][column]`.
    fn rows(&self, name: &str) -> Vec<Vec<Vec<f32>>> {
        self.reference[name].to_vec3::<f32>().unwrap()
    }

    fn positions(&self) -> Vec<usize> {
        self.reference["positions"].to_vec1::<i64>().unwrap().into_iter().map(|position| position as usize).collect()
    }

    fn logits(&self) -> Vec<Vec<Vec<f32>>> {
        let ids = self.ids("input_ids");
        let requests: Vec<_> =
            ids.iter().map(|tokens| HiddenStatesRequest { tokens, positions: 0..tokens.len() }).collect();
        let hidden = self.model.hidden_states(&requests).unwrap();
        let positions = self.positions();
        let vocabulary = 0..self.model.head().vocab_size();
        hidden
            .iter()
            .map(|hidden| {
                self.model.head().logits_tile(&pick(hidden, &positions), vocabulary.clone()).unwrap().to_vec2().unwrap()
            })
            .collect()
    }
}

fn pick(hidden: &Tensor, positions: &[usize]) -> Tensor {
    let rows: Vec<u32> = positions.iter().map(|&position| position as u32).collect();
    hidden.index_select(&Tensor::from_vec(rows, positions.len(), &Device::Cpu).unwrap(), 0).unwrap()
}

fn greatest_difference(a: &[Vec<Vec<f32>>], b: &[Vec<Vec<f32>>]) -> f32 {
    let flat = |x: &[Vec<Vec<f32>>]| x.iter().flatten().flatten().copied().collect::<Vec<_>>();
    let (a, b) = (flat(a), flat(b));
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(&b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |max, difference| if difference <= max { max } else { difference })
}

#[test]
#[allow(clippy::print_stdout)] // the figures, for whoever runs it with --nocapture
fn logits_match_transformers() {
    for (name, bound) in MODELS {
        let fixture = fixture(name);
        let difference = greatest_difference(&fixture.logits(), &fixture.rows("logits"));
        println!("{name}: greatest difference of a logit {difference:.1e} (bound {bound:.0e})");
        assert!(difference <= bound, "{name}: {difference} > {bound}");
    }
}

#[test]
fn hidden_states_of_every_layer_match_transformers() {
    for (name, bound) in [("qwen3_5-dense", 1e-3), ("qwen3_5-moe", 3e-4)] {
        let fixture = fixture(name);
        let positions = fixture.positions();
        for (sequence, ids) in fixture.ids("input_ids").iter().enumerate() {
            let states = fixture.model.layer_hidden_states(ids).unwrap();
            assert_eq!(states.len(), fixture.model.config().num_layers + 1);
            for (layer, state) in states.iter().enumerate() {
                let expected = fixture.rows(&format!("hidden.{layer}"))[sequence].clone();
                let difference = greatest_difference(&[pick(state, &positions).to_vec2().unwrap()], &[expected]);
                assert!(difference <= bound, "{name}, layer {layer}: {difference}");
            }
        }
    }
}

#[test]
fn d10_greedy_continuations_match_transformers_without_any_penalty() {
    let mut compared = 0;
    for (name, _) in MODELS {
        let fixture = fixture(name);
        if !fixture.reference.contains_key("greedy_ids") {
            continue;
        }
        compared += 1;
        let prompt = fixture.ids("greedy_prompt").remove(0);
        let expected = fixture.ids("greedy_ids").remove(0);
        // Beside a longer and a shorter prompt, so that alignment and masks matter.
        let other = fixture.ids("input_ids").remove(0);
        let prompts = [&other[..], &prompt[..], &prompt[..1]];
        let generation = greedy(expected.len(), Vec::new());
        let continuations = fixture.model.generate(&prompts, &generation, &mut |_| {}).unwrap();
        assert_eq!(continuations[1], expected, "{name}");
    }
    assert!(compared >= 5);
}

fn greedy(max_new_tokens: usize, end_of_sequence: Vec<u32>) -> Generation {
    Generation { max_new_tokens, sampling: Sampling::Greedy, end_of_sequence, cache_budget_bytes: 1 << 30 }
}

#[test]
fn layouts_of_the_same_weights_give_the_same_logits() {
    let per_expert = fixture("qwen3_5-moe").logits();
    let fused = fixture("qwen3_5-moe-fused").logits();
    assert_eq!(greatest_difference(&per_expert, &fused), 0.0);
}

#[test]
fn a_batch_gives_what_each_sequence_gives_alone() {
    for name in ["qwen3_5-moe", "qwen3"] {
        let fixture = fixture(name);
        let ids = fixture.ids("input_ids");
        let lengths = [130, 1, 65, 7];
        let sequences: Vec<&[u32]> =
            lengths.iter().enumerate().map(|(i, &length)| &ids[i % ids.len()][..length]).collect();

        let requests: Vec<_> = sequences.iter().map(|tokens| whole(tokens)).collect();
        let together = fixture.model.hidden_states(&requests).unwrap();
        for (request, together) in requests.iter().zip(&together) {
            let alone = fixture.model.hidden_states(std::slice::from_ref(request)).unwrap().remove(0);
            let difference = greatest_difference(&[alone.to_vec2().unwrap()], &[together.to_vec2().unwrap()]);
            assert!(difference < 1e-4, "{name}, {} tokens: {difference}", request.tokens.len());
        }
    }
}

fn whole(tokens: &[u32]) -> HiddenStatesRequest<'_> {
    HiddenStatesRequest { tokens, positions: 0..tokens.len() }
}

#[test]
fn decoding_follows_its_own_logits_and_ends_at_the_end_of_sequence() {
    let fixture = fixture("qwen3_5-dense");
    let ids = fixture.ids("input_ids");
    let prompts: Vec<&[u32]> = vec![&ids[0][..70], &ids[1][..3], &ids[0][..1], &ids[1][..64]];
    let mut steps = Vec::new();
    let free = fixture.model.generate(&prompts, &greedy(24, Vec::new()), &mut |progress| steps.push(progress)).unwrap();
    assert_eq!(steps.len(), 24);
    assert_eq!((steps[23].new_tokens, steps[23].finished_prompts), (96, 4));
    for (prompt, continuation) in prompts.iter().zip(&free) {
        let tokens = [prompt, continuation.as_slice()].concat();
        let positions = prompt.len() - 1..tokens.len() - 1;
        let hidden =
            fixture.model.hidden_states(&[HiddenStatesRequest { tokens: &tokens, positions }]).unwrap().remove(0);
        let logits = fixture.model.head().logits_tile(&hidden, 0..512).unwrap();
        assert_eq!(&logits.argmax(1).unwrap().to_vec1::<u32>().unwrap(), continuation);
    }
    // One prompt's sixth token as the end: it and whoever meets it stop there, the others go on as before.
    let end = free[1][5];
    let ended = fixture.model.generate(&prompts, &greedy(24, vec![end]), &mut |_| {}).unwrap();
    for (free, ended) in free.iter().zip(&ended) {
        let expected = free.iter().position(|&token| token == end).map_or(24, |position| position + 1);
        assert_eq!(ended, &free[..expected]);
    }
    // A budget for one prompt at a time changes nothing.
    let alone = Generation { cache_budget_bytes: 1, ..greedy(24, Vec::new()) };
    assert_eq!(fixture.model.generate(&prompts, &alone, &mut |_| {}).unwrap(), free);
}

#[test]
fn draws_depend_on_the_seed_and_not_on_the_batch() {
    let fixture = fixture("qwen3");
    let ids = fixture.ids("input_ids");
    let prompts: Vec<&[u32]> = vec![&ids[0][..20], &ids[1][..5], &ids[0][..9]];
    let generation = |seed: u8, cache_budget_bytes| Generation {
        sampling: Sampling::TopP { temperature: 0.7, top_p: 0.9, seed: [seed; 32] },
        cache_budget_bytes,
        ..greedy(16, Vec::new())
    };
    let run = |generation: &Generation| fixture.model.generate(&prompts, generation, &mut |_| {}).unwrap();
    let first = run(&generation(1, 1 << 30));
    assert_eq!(first, run(&generation(1, 1)));
    assert_ne!(first, run(&generation(2, 1 << 30)));
}

/// Mean KL, in nats, of a bf16 run from the reference's f32 logits.
fn mean_kl_from_reference(rounded: &Fixture) -> f64 {
    let log_softmax = |row: &[f32]| -> Vec<f64> {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        row.iter().map(|&logit| f64::from(logit - max) - sum.ln()).collect()
    };
    let (found, expected) = (rounded.logits(), rounded.rows("logits"));
    let rows: Vec<_> = expected.iter().flatten().zip(found.iter().flatten()).collect();
    let kl = |(expected, found): &(&Vec<f32>, &Vec<f32>)| -> f64 {
        let (p, q) = (log_softmax(expected), log_softmax(found));
        p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    rows.iter().map(kl).sum::<f64>() / rows.len() as f64
}

#[test]
#[allow(clippy::print_stdout)] // the figures, for whoever runs it with --nocapture
fn bf16_is_as_close_to_f32_as_in_transformers() {
    // What transformers' own bf16 run of these models is away from its f32 run, over all positions. Of the recurrent
    // ones only this has small residual updates: the others divide by norms near zero and are chaotic in bf16.
    for (name, in_transformers) in
        [("qwen3", 2.4e-4), ("llama", 5.5e-5), ("qwen2", 2.6e-4), ("qwen3_moe", 6.5e-4), ("qwen3_5-dense-mild", 5.8e-7)]
    {
        let options = LoadOptions { device: Device::Cpu, dtype: candle_core::DType::BF16 };
        let rounded = Fixture { model: CausalLm::load(&folder(name), &options).unwrap(), ..fixture(name) };
        let kl = mean_kl_from_reference(&rounded);
        println!("{name}: bf16 is {kl:.1e} nats from f32 (transformers {in_transformers:.1e})");
        assert!(kl > 0.0 && kl < 1.5 * in_transformers, "{name}: {kl}");
        if name == "qwen3" || name == "llama" {
            let prompt = rounded.ids("greedy_prompt").remove(0);
            let continuation =
                rounded.model.generate(&[&prompt], &greedy(4, Vec::new()), &mut |_| {}).unwrap().remove(0);
            assert_eq!(continuation, rounded.ids("greedy_ids")[0][..4]);
        }
    }
}

#[test]
fn every_model_runs_and_decodes_in_bf16_and_f16() {
    for dtype in [candle_core::DType::BF16, candle_core::DType::F16] {
        for (name, _) in MODELS {
            let model = CausalLm::load(&folder(name), &LoadOptions { device: Device::Cpu, dtype }).unwrap();
            let prompts: [&[u32]; 2] = [&[3, 1, 4, 1, 5], &[2, 7]];
            let new = model.generate(&prompts, &greedy(3, Vec::new()), &mut |_| {});
            let new = new.unwrap_or_else(|error| panic!("{name} in {dtype:?}: {error}"));
            assert!(new.iter().all(|continuation| continuation.len() == 3), "{name} in {dtype:?}");
            let hidden = model.hidden_states(&[whole(prompts[0])]).unwrap().remove(0);
            assert_eq!(hidden.dtype(), dtype, "{name}");
        }
    }
}

/// All positions of all models of a larger collection, where it is there. `DISTIL_FIXTURES` says where, else it is
/// looked for beside the repository.
#[test]
#[allow(clippy::print_stdout)] // says what was compared, or that nothing was
fn every_position_of_a_larger_collection_matches() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures");
    let models = std::env::var_os("DISTIL_FIXTURES").map_or(beside, PathBuf::from).join("models");
    let Ok(entries) = std::fs::read_dir(&models) else {
        println!("skipped: no larger collection of models is here; set DISTIL_FIXTURES to its folder");
        return;
    };
    let mut compared = 0;
    for folder in entries.map(|entry| entry.unwrap().path()).filter(|folder| folder.join("config.json").exists()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let bound = match name.as_str() {
            name if name.starts_with("qwen3_5-moe") => 3e-4,
            name if name.starts_with("qwen3_5") => 1e-3,
            _ => 5e-5,
        };
        let model = CausalLm::load(&folder, &LoadOptions::cpu_f32()).unwrap();
        let reference = candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
        let fixture = Fixture { model, reference };
        let ids = fixture.ids("input_ids");
        let requests: Vec<_> = ids.iter().map(|tokens| whole(tokens)).collect();
        let hidden = fixture.model.hidden_states(&requests).unwrap();
        let vocabulary = 0..fixture.model.head().vocab_size();
        let logits =
            |hidden: &Tensor| fixture.model.head().logits_tile(hidden, vocabulary.clone()).unwrap().to_vec2().unwrap();
        let (found, expected) = if fixture.reference.contains_key("logits_f32") {
            (hidden.iter().map(logits).collect(), fixture.rows("logits_f32"))
        } else {
            let positions = fixture.reference["logits_f32.pos"].to_vec1::<i64>().unwrap();
            let positions: Vec<usize> = positions.into_iter().map(|position| position as usize).collect();
            let rows = fixture.reference["logits_f32.rows"].to_vec2::<f32>().unwrap();
            (vec![logits(&pick(&hidden[0], &positions))], vec![rows])
        };
        let difference = greatest_difference(&found, &expected);
        println!("{name}: greatest difference of a logit {difference:.1e} (bound {bound:.0e})");
        assert!(difference <= bound, "{name}: {difference} > {bound}");
        if fixture.reference.contains_key("greedy_ids") {
            let expected = fixture.ids("greedy_ids").remove(0);
            let prompt = fixture.ids("greedy_prompt").remove(0);
            let found = fixture.model.generate(&[&prompt], &greedy(expected.len(), Vec::new()), &mut |_| {}).unwrap();
            assert_eq!(found[0], expected, "{name}");
        }
        compared += 1;
    }
    assert!(compared >= 10, "{compared} models in {}", models.display());
}
