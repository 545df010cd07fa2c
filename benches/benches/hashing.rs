//! SHA-256 of files against `sha256sum`, on the same files, in turns, with the files in the page cache.
//!
//! ```sh
//! cargo bench -p distil-benches --bench hashing [-- --folder FOLDER] [--megabytes 512] [--rounds 15]
//! ```
//!
//! Prints a table in Markdown: median and best time of each, and how much faster than `sha256sum` by the median of the
//! rounds' ratios. The files are written to FOLDER, a temporary one unless given, and removed.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use distil_checker::hash_files;

const FILES: usize = 4;

struct Arguments {
    folder: PathBuf,
    megabytes: usize,
    rounds: usize,
}

impl Arguments {
    fn parse() -> Result<Option<Self>, Box<dyn Error>> {
        let mut arguments = Self { folder: std::env::temp_dir(), megabytes: 512, rounds: 15 };
        let mut is_bench = false;
        let mut given = std::env::args().skip(1);
        while let Some(name) = given.next() {
            let mut value = || given.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--bench" => is_bench = true,
                "--folder" => arguments.folder = value()?.into(),
                "--megabytes" => arguments.megabytes = value()?.parse()?,
                "--rounds" => arguments.rounds = value()?.parse()?,
                other => return Err(format!("unknown argument {other}").into()),
            }
        }
        // `cargo test --benches` starts this too, and wants no measurement.
        Ok(is_bench.then_some(arguments))
    }
}

/// Removes the files, also after an error.
struct Files(Vec<PathBuf>);

impl Files {
    fn write(folder: &Path, megabytes: usize) -> Result<Self, Box<dyn Error>> {
        let mut files = Self(Vec::new());
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut block = vec![0u8; 1 << 20];
        for index in 0..FILES {
            let path = folder.join(format!("distil-hashing-{}-{index}.bin", std::process::id()));
            files.0.push(path.clone());
            let mut file = fs::File::create_new(&path)?;
            for _ in 0..megabytes {
                for word in block.chunks_exact_mut(8) {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    word.copy_from_slice(&state.to_le_bytes());
                }
                file.write_all(&block)?;
            }
        }
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

fn sha256sum(paths: &[PathBuf]) -> Result<Vec<String>, Box<dyn Error>> {
    let output = Command::new("sha256sum").args(paths).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("sha256sum failed".into());
    }
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

fn ours(paths: &[PathBuf], threads: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let threads = NonZeroUsize::new(threads).ok_or("no threads")?;
    Ok(hash_files(paths, threads, &mut |_| {})?.into_iter().map(|digest| digest.sha256.to_string()).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::parse()? else { return Ok(()) };
    let files = Files::write(&arguments.folder, arguments.megabytes)?;
    let one = &files.0[..1];
    // The first reading brings the files into the page cache, and both have to agree.
    if sha256sum(&files.0)? != ours(&files.0, 2)? {
        return Err("the digests differ".into());
    }
    println!("| files | threads | ours, median s (best) | sha256sum, median s (best) | GB/s | times as fast |");
    println!("|---|---|---|---|---|---|");
    for (paths, threads) in [(one, 1), (&files.0[..], 1), (&files.0[..], 2)] {
        let (mut our_times, mut their_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..arguments.rounds {
            let mut time = [0.0; 2];
            // Who goes first takes turns too.
            for turn in 0..2 {
                let is_ours = (turn + round) % 2 == 0;
                let start = Instant::now();
                let digests = if is_ours { ours(paths, threads)? } else { sha256sum(paths)? };
                time[usize::from(!is_ours)] = start.elapsed().as_secs_f64();
                assert_eq!(digests.len(), paths.len());
            }
            our_times.push(time[0]);
            their_times.push(time[1]);
            ratios.push(time[1] / time[0]);
        }
        let best = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let gigabytes = ((paths.len() * arguments.megabytes) << 20) as f64 / 1e9;
        let (our_best, their_best) = (best(&our_times), best(&their_times));
        let (our_median, their_median) = (median(our_times), median(their_times));
        println!(
            "| {} × {} MiB | {threads} | {our_median:.3} ({our_best:.3}) | {their_median:.3} ({their_best:.3}) | {:.2} | {:.2} |",
            paths.len(),
            arguments.megabytes,
            gigabytes / our_median,
            median(ratios),
        );
    }
    Ok(())
}
