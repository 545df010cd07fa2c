//! The sampler of `distil/1`: rule 2 of the protocol.

use crate::{
    DatasetError, DrawRequest, DrawTraffic, Drawn, PassedOver, Prompt, Seed,
    corpus::Reading,
    open_file::{Located, OpenFile, read_documents},
    parallel,
    prompt_text::{Unfit, distil_prompt},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Tries for each prompt, and tries that any draw has: enough to find all of a corpus of as many documents as are
/// wanted, or the one in a hundred that is fit.
const TRIES_PER_PROMPT: u64 = 100;
const LEAST_TRIES: u64 = 1000;

/// What became of one try.
enum Try {
    Empty,
    Repeated,
    Row(Located),
}

/// Tries are numbered from 0, and each has its own random numbers: first one below the size of the corpus in bytes,
/// which falls into one of the files laid end to end in their order; then one below the number of rows of that file.
/// The first `count` tries that give a prompt give the draw.
///
/// They are looked at in rounds of as many as prompts are still missing, so that nothing is read that is not needed,
/// whatever the number of threads.
pub(crate) fn draw(reading: &Reading<'_>, request: &DrawRequest) -> Result<Drawn, DatasetError> {
    let seed = Seed::of_block(request.netuid, request.block);
    let files = reading.files();
    let mut ends = Vec::with_capacity(files.len());
    let mut total = 0u64;
    for file in files {
        total = total.checked_add(file.size).ok_or_else(|| DatasetError::Request {
            field: "source",
            value: reading.source().to_string(),
            requirement: "its files may have at most 2^64 bytes together",
        })?;
        ends.push(total);
    }

    let limit = (request.count as u64).saturating_mul(TRIES_PER_PROMPT).max(LEAST_TRIES);
    let mut tries = 0;
    let mut opened: HashMap<usize, Arc<OpenFile>> = HashMap::new();
    let mut seen: HashSet<(usize, u64)> = HashSet::new();
    let mut prompts: Vec<Prompt> = Vec::with_capacity(request.count);
    let mut passed_over = PassedOver::default();
    while prompts.len() < request.count {
        let round = ((request.count - prompts.len()) as u64).min(limit - tries);
        if round == 0 {
            return Err(DatasetError::TooFewDocuments {
                accepted: prompts.len(),
                wanted: request.count,
                tries,
                too_short: passed_over.too_short,
                not_text: passed_over.not_text,
                repeated: passed_over.repeated,
                empty: passed_over.empty,
            });
        }

        // Which files; then, of each, which rows.
        let mut by_file: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for number in tries..tries + round {
            let place = seed.try_numbers(number).below(total);
            by_file.entry(ends.partition_point(|end| *end <= place)).or_default().push(number);
        }
        let mut by_file: Vec<(usize, Vec<u64>, Option<Arc<OpenFile>>)> =
            by_file.into_iter().map(|(file, numbers)| (file, numbers, opened.get(&file).cloned())).collect();
        by_file.sort_by_key(|(_, numbers, _)| numbers[0]);
        let located = parallel::map(&by_file, reading.threads, |(index, numbers, known)| {
            let file = match known {
                Some(file) => Arc::clone(file),
                None => Arc::new(reading.open(*index)?),
            };
            let groups_before = file.known_groups();
            let mut rows_here = HashSet::new();
            let mut found = Vec::with_capacity(numbers.len());
            for &number in numbers {
                let mut random = seed.try_numbers(number);
                random.below(total);
                found.push((
                    number,
                    match file.rows() {
                        0 => Try::Empty,
                        rows => {
                            let row = random.below(rows);
                            if seen.contains(&(*index, row)) || !rows_here.insert(row) {
                                Try::Repeated
                            } else {
                                Try::Row(file.locate(*index, row)?)
                            }
                        }
                    },
                ));
            }
            if known.is_none() || file.known_groups() > groups_before {
                file.keep_footer(groups_before)?;
            }
            reading.tell_progress();
            Ok::<_, DatasetError>((*index, file, rows_here, found))
        })?;
        let mut found = Vec::with_capacity(round as usize);
        for (index, file, rows, tried) in located {
            opened.insert(index, file);
            seen.extend(rows.into_iter().map(|row| (index, row)));
            found.extend(tried);
        }
        found.sort_by_key(|(number, _)| *number);
        tries += round;

        // What the rows hold.
        let mut rows = Vec::with_capacity(found.len());
        for (_, tried) in found {
            match tried {
                Try::Empty => passed_over.empty += 1,
                Try::Repeated => passed_over.repeated += 1,
                Try::Row(row) => rows.push(row),
            }
        }
        let rows: Vec<&Located> = rows.iter().collect();
        for (row, text) in rows.iter().zip(read_documents(reading, &rows, |_, bytes| Ok(distil_prompt(bytes)))?) {
            match text {
                Ok(text) => prompts.push(Prompt { id: row.id(), text }),
                Err(Unfit::TooShort) => passed_over.too_short += 1,
                Err(Unfit::NotText) => passed_over.not_text += 1,
            }
        }
        reading.meter.set_accepted(prompts.len());
        reading.tell_progress();
    }

    let footers = |cached| opened.values().filter(|file| file.footer_cached() == Some(cached)).count() as u64;
    Ok(Drawn {
        block: request.block.number,
        block_hash: request.block.hash,
        seed: seed.to_string(),
        sampler: request.sampler,
        source: reading.source().to_string(),
        prompts,
        passed_over,
        traffic: DrawTraffic {
            footers_cached: footers(true),
            footers_fetched: footers(false),
            ..DrawTraffic::default()
        },
    })
}
