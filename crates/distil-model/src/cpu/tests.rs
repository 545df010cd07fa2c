//! Each kernel against its counterpart in tensor operations, which every other device takes.

use candle_core::{DType, Device, Tensor};

use super::{attention, convolution, delta_rule, elementwise};
use crate::config::DeltaNetConfig;
use crate::layers::attention::{AttentionShape, decode, prefill};
use crate::layers::{Slots, delta_net};

/// Values that look random and are the same everywhere, in [-1, 1).
fn values(shape: &[usize], seed: u32) -> Tensor {
    let mut state = u64::from(seed) * 0x9e37_79b9 + 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    Tensor::from_vec((0..shape.iter().product()).map(next).collect::<Vec<f32>>(), shape, &Device::Cpu).unwrap()
}

fn assert_close(a: &Tensor, b: &Tensor, bound: f32) {
    assert_eq!(a.dims(), b.dims());
    let difference = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(difference <= bound, "{difference} > {bound}");
    let size = b.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    assert!(size > 10.0 * bound, "values of {size} can't show a difference of {bound}");
}

fn shape(window: usize) -> AttentionShape {
    AttentionShape { query_heads: 6, key_value_heads: 2, head_dim: 24, window }
}

#[test]
fn attention_of_whole_sequences() {
    let segments = [0..300, 300..301, 301..370];
    let (query, key, value) = (values(&[370, 6, 24], 1), values(&[370, 2, 24], 2), values(&[370, 2, 24], 3));
    for window in [usize::MAX, 40, 1] {
        let fast = attention::prefill(&query, &key, &value, &segments, shape(window)).unwrap();
        let portable = prefill(&query, &key, &value, &segments, shape(window)).unwrap();
        assert_close(&fast, &portable, 2e-6);
    }
}

#[test]
fn attention_of_one_new_token_each() {
    let slots = Slots { starts: vec![0, 17, 32], end: 33 };
    let (query, key, value) = (values(&[3, 6, 24], 1), values(&[3, 2, 40, 24], 2), values(&[3, 2, 40, 24], 3));
    for window in [usize::MAX, 5] {
        let fast = attention::decode(&query, &key, &value, &slots, shape(window)).unwrap();
        let portable = decode(&query, &key, &value, &slots, shape(window)).unwrap();
        assert_close(&fast, &portable, 2e-6);
    }
}

const DELTA: DeltaNetConfig = DeltaNetConfig { key_heads: 2, value_heads: 4, key_dim: 16, value_dim: 40, kernel: 4 };

/// Inputs and a state that is not zero.
fn delta_inputs(tokens: usize, sequences: usize, alike: bool) -> (Tensor, Tensor, Tensor, Tensor) {
    let channels = 2 * 2 * 16 + 4 * 40;
    let mixed = values(&[tokens, channels], 1);
    // Keys that are all but the same make the triangular system of a chunk as bad as it gets.
    let mixed = if alike { ((mixed * 1e-3).unwrap() + 1.0).unwrap() } else { mixed };
    let beta = ((values(&[tokens, 4], 2) + 1.0).unwrap() * 0.5).unwrap();
    let log_decay = (values(&[tokens, 4], 3).abs().unwrap() * if alike { -1e-3 } else { -0.7 }).unwrap();
    (mixed, beta, log_decay, values(&[sequences, 4, 16, 40], 4))
}

#[test]
fn the_delta_rule_of_whole_sequences() {
    for alike in [false, true] {
        let segments = [0..150, 150..151, 151..215];
        let (mixed, beta, log_decay, state) = delta_inputs(215, 3, alike);
        let inputs = crate::delta_rule::Inputs::split(&mixed, &beta, &log_decay, DELTA).unwrap();
        let (portable, portable_state) = crate::delta_rule::chunked(&inputs, &state, &segments).unwrap();
        let fast = delta_rule::run(&mixed, &beta, &log_decay, &state, &segments, DELTA).unwrap();
        assert_close(&fast, &portable, 1e-5);
        assert_close(&state, &portable_state, 1e-5);
    }
}

#[test]
fn the_delta_rule_of_one_new_token_each() {
    let segments = [0..1, 1..2, 2..3];
    let (mixed, beta, log_decay, state) = delta_inputs(3, 3, false);
    let inputs = crate::delta_rule::Inputs::split(&mixed, &beta, &log_decay, DELTA).unwrap();
    let (portable, portable_state) = crate::delta_rule::recurrent_step(&inputs, &state).unwrap();
    let fast = delta_rule::run(&mixed, &beta, &log_decay, &state, &segments, DELTA).unwrap();
    assert_close(&fast, &portable, 1e-6);
    assert_close(&state, &portable_state, 1e-6);
}

#[test]
fn the_convolution() {
    let segments = [0..9, 9..10, 10..12];
    let (x, weight) = (values(&[12, 33], 1), values(&[4, 33], 2));
    let fast = convolution::causal_silu(&x, &weight, &segments).unwrap();
    assert_close(&fast, &delta_net::causal_silu(&x, &weight, &segments).unwrap(), 1e-6);
}

#[test]
fn elementwise_products_and_norms() {
    let (a, b) = ((values(&[7, 3000], 1) * 40.0).unwrap(), (values(&[7, 3000], 2) * 40.0).unwrap());
    assert_close(&elementwise::silu_mul(&a, &b).unwrap(), &(a.silu().unwrap() * &b).unwrap(), 2e-4);
    assert_close(
        &elementwise::sigmoid_mul(&a, &b).unwrap(),
        &(&a * candle_nn::ops::sigmoid(&b).unwrap()).unwrap(),
        2e-5,
    );
    let weight = values(&[3000], 3);
    let normed = candle_nn::ops::rms_norm(&a, &weight, 1e-6).unwrap();
    assert_close(&elementwise::rms_norm(&a, &weight, 1e-6).unwrap(), &normed, 1e-5);
    let gated = (normed * b.silu().unwrap()).unwrap();
    assert_close(&elementwise::gated_rms_norm(&a, &b, &weight, 1e-6).unwrap(), &gated, 5e-4);
}

#[test]
fn rotary_embedding() {
    let rotary = crate::layers::rotary::Rotary::new(&crate::config::RotaryConfig {
        theta: 1e4,
        rotary_dim: 16,
        scaling: crate::config::RotaryScaling::None,
    });
    let x = values(&[5, 3, 24], 1);
    let table = |dtype| rotary.table([0, 1, 700, 3, 4].into_iter(), dtype, &Device::Cpu).unwrap();
    let fast = table(DType::F32).apply(&x).unwrap();
    // f64 takes the tensor operations.
    let portable = table(DType::F64).apply(&x.to_dtype(DType::F64).unwrap()).unwrap().to_dtype(DType::F32).unwrap();
    assert_close(&fast, &portable, 1e-6);
}
