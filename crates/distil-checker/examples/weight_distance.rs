//! Prints the distance between two models' weights as JSON: `weight_distance FOLDER FOLDER`.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use distil_checker::{LocalModel, NearCopyRule, weight_distance};

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    let [one, other] = folders.as_slice() else {
        return Err("give two models' folders".into());
    };
    let (one, other) = (LocalModel::open(Path::new(one))?, LocalModel::open(Path::new(other))?);
    let threads = std::thread::available_parallelism()?;
    let comparison = weight_distance(&one, &other, &NearCopyRule::default(), threads, &mut |_| {})?;
    println!("{}", serde_json::to_string_pretty(&comparison)?);
    Ok(())
}
