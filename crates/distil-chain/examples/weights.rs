//! What weights become and when they are revealed, from the command line.
//!
//! ```text
//! weights row NEURONS MINIMUM UID:WEIGHT...          the row: UID:VALUE...
//! weights arithmetic NETUID TEMPO PERIOD BLOCK       blocks from the committing one until the round is to be out, by
//!                                                    block numbers
//! weights stateful NEXT-START TEMPO PERIOD BLOCK     the same where epochs are kept in storage
//! ```
//!
//! A line of standard input holds the arguments, a line of standard output the answer.

#![allow(clippy::print_stdout)]

use distil_chain::{EpochSchedule, WeightPlan};
use distil_types::{NetUid, Uid};
use std::{error::Error, io};

fn main() -> Result<(), Box<dyn Error>> {
    for line in io::stdin().lines() {
        println!("{}", answer(&line?)?);
    }
    Ok(())
}

fn answer(line: &str) -> Result<String, Box<dyn Error>> {
    let until_open = |schedule: EpochSchedule, period: &str, block: &str| -> Result<String, Box<dyn Error>> {
        let block: u64 = block.parse()?;
        let reveal_block = schedule.reveal_block(block, period.parse()?);
        Ok((schedule.open_block(reveal_block) - block).to_string())
    };
    match *line.split(' ').collect::<Vec<_>>() {
        ["row", neurons, minimum, ref weights @ ..] => {
            let weight = |pair: &&str| -> Result<(Uid, f64), Box<dyn Error>> {
                let (uid, weight) = pair.split_once(':').ok_or("UID:WEIGHT")?;
                Ok((Uid(uid.parse()?), weight.parse()?))
            };
            let plan = WeightPlan::new(weights.iter().map(weight).collect::<Result<Vec<_>, _>>()?)?;
            Ok(plan.row(neurons.parse()?, minimum.parse()?, |_| None)?.to_string())
        }
        ["arithmetic", netuid, tempo, period, block] => {
            let schedule = EpochSchedule::BlockArithmetic { netuid: NetUid(netuid.parse()?), tempo: tempo.parse()? };
            until_open(schedule, period, block)
        }
        ["stateful", next_start, tempo, period, block] => {
            let (next_start, tempo) = (next_start.parse()?, tempo.parse()?);
            until_open(EpochSchedule::Stateful { epoch: 5, next_start, tempo }, period, block)
        }
        _ => Err(format!("not a command: {}", line.chars().take(40).collect::<String>().escape_debug()).into()),
    }
}
