//! KL kernels against each other, the read bandwidth and candle, at the vocabulary of Qwen3.5.

use std::hint::black_box;
use std::num::NonZeroUsize;

use candle_core::{Device, Tensor, WithDType};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use distil_benches::{ReadStyle, candle_naive_kl, read_pairs};
use distil_kl::{Kernel, Logit, Path, Rows, Threads, kl_gradient_rows, kl_rows};
use half::{bf16, f16};

const COLUMNS: usize = 248_320;
const ROWS: usize = 64;
/// Vocabulary tile of the incremental form.
const TILE: usize = 4096;

/// Logits like a language model's: a wide bulk, a few columns that stand out, a student near it.
fn logits() -> (Vec<f32>, Vec<f32>) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut normal = || {
        let mut sum = 0.0;
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 40) as f32 / (1u64 << 24) as f32;
        }
        (sum - 2.0) * 1.7
    };
    let teacher: Vec<f32> = (0..ROWS * COLUMNS).map(|_| normal() * 3.0).collect();
    let student = teacher.iter().map(|logit| logit + 0.4 * normal()).collect();
    (teacher, student)
}

fn rows<T: Logit>(data: &[T]) -> Rows<'_, T> {
    Rows::new(data, ROWS, COLUMNS).expect("the shape of the data")
}

fn two() -> Threads {
    Threads::try_from(2).expect("not zero")
}

fn bench_format<T: Logit + WithDType>(criterion: &mut Criterion, name: &str, teacher: &[T], student: &[T]) {
    let mut group = criterion.benchmark_group(format!("kl/{name}/{ROWS}x{COLUMNS}"));
    let bytes = 2 * size_of_val(teacher);
    group.throughput(Throughput::Bytes(bytes as u64)).sample_size(20);
    let mut kl_nats = vec![0.0; ROWS];
    for kernel in Path::ALL.into_iter().filter_map(Kernel::new) {
        group.bench_function(kernel.path().name(), |bencher| {
            bencher.iter(|| kernel.kl_rows(rows(teacher), rows(student), Threads::ONE, &mut kl_nats));
        });
    }
    group.bench_function("two threads", |bencher| {
        bencher.iter(|| kl_rows(rows(teacher), rows(student), two(), &mut kl_nats));
    });
    group.bench_function("tiles of 4096", |bencher| {
        bencher.iter(|| tiled(teacher, student));
    });
    let mut gradient = vec![0.0; ROWS * COLUMNS];
    let scale = vec![1.0 / ROWS as f32; ROWS];
    group.bench_function("gradient", |bencher| {
        bencher.iter(|| kl_gradient_rows(rows(teacher), rows(student), &scale, Threads::ONE, &mut gradient));
    });
    bench_candle(&mut group, teacher, student);
    group.finish();
}

fn tiled<T: Logit>(teacher: &[T], student: &[T]) -> Vec<f64> {
    let mut tiled = Kernel::fastest().tiled(ROWS);
    for first in (0..COLUMNS).step_by(TILE) {
        let width = TILE.min(COLUMNS - first);
        let tile = |data| Rows::with_stride(data, ROWS, width, COLUMNS).expect("within the row");
        tiled.push(tile(&teacher[first..]), tile(&student[first..]), Threads::ONE).expect("tiles of the same shape");
    }
    tiled.finish()
}

fn bench_candle<T: WithDType>(group: &mut BenchmarkGroup<'_, WallTime>, teacher: &[T], student: &[T]) {
    let tensor = |data| Tensor::from_slice(data, (ROWS, COLUMNS), &Device::Cpu).expect("its shape");
    let (teacher, student) = (tensor(teacher), tensor(student));
    group.sample_size(10);
    group.bench_function("candle naive", |bencher| {
        bencher.iter(|| candle_naive_kl(&teacher, &student).expect("same shape"));
    });
}

fn bench_bandwidth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for (name, element_bytes) in [("bf16", 2), ("f32", 4)] {
        let one = vec![1u8; ROWS * COLUMNS * element_bytes];
        let two = vec![2u8; one.len()];
        group.throughput(Throughput::Bytes(2 * one.len() as u64)).sample_size(20);
        for threads in [1, 2] {
            let count = NonZeroUsize::new(threads).expect("not zero");
            for style in [ReadStyle::Plain, ReadStyle::Prefetched] {
                group.bench_function(format!("{name}/{style:?}/{threads}"), |bencher| {
                    bencher.iter(|| black_box(read_pairs(&one, &two, ROWS, count, style)));
                });
            }
        }
    }
    group.finish();
}

fn bench_kl(criterion: &mut Criterion) {
    let (teacher, student) = logits();
    bench_format(criterion, "f32", &teacher, &student);
    let narrow = |data: &[f32]| data.iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>();
    bench_format(criterion, "bf16", &narrow(&teacher), &narrow(&student));
    let narrow = |data: &[f32]| data.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>();
    bench_format(criterion, "f16", &narrow(&teacher), &narrow(&student));
}

criterion_group!(benches, bench_bandwidth, bench_kl);
criterion_main!(benches);
