//! The original validator's sampler, for comparison.

use crate::{
    DatasetError, DrawRequest, DrawTraffic, Drawn, PassedOver, Prompt, PromptSource,
    corpus::Reading,
    open_file::{Located, OpenFile, read_documents},
    prompt_text::{first_chars_if_long_enough, reference_prompt},
    python_random::PythonRandom,
};
use std::{ops::ControlFlow, sync::Arc};

/// Documents of the pool that is made from a dataset on the Hub.
const POOL: usize = 500;
/// The original looks for the pool among so many documents for each, and stops at the first long enough one after.
const SCANNED_PER_DOCUMENT: u64 = 20;

pub(crate) fn draw(reading: &Reading<'_>, request: &DrawRequest) -> Result<Drawn, DatasetError> {
    let mut traffic = DrawTraffic::default();
    let prompts = match reading.source() {
        PromptSource::Path(_) => draw_from_disk(reading, request)?,
        PromptSource::Hub { .. } => draw_from_hub(reading, request, &mut traffic)?,
    };
    reading.meter.set_accepted(prompts.len());
    reading.tell_progress();
    Ok(Drawn {
        block: request.block.number,
        block_hash: request.block.hash,
        seed: request.block.number.to_string(),
        sampler: request.sampler,
        source: reading.source().to_string(),
        prompts,
        passed_over: PassedOver::default(),
        traffic,
    })
}

fn sample(request: &DrawRequest, pool: u64) -> Result<Vec<u64>, DatasetError> {
    PythonRandom::new(request.block.number)
        .sample(pool, request.count)
        .ok_or(DatasetError::PoolTooSmall { pool, wanted: request.count })
}

/// The pool is every document of every file, in order.
fn draw_from_disk(reading: &Reading<'_>, request: &DrawRequest) -> Result<Vec<Prompt>, DatasetError> {
    let mut files = Vec::with_capacity(reading.files().len());
    let mut pool = 0u64;
    for index in 0..reading.files().len() {
        if reading.files()[index].size == 0 {
            continue;
        }
        let file = Arc::new(reading.open(index)?);
        let first = pool;
        pool = pool.saturating_add(file.rows());
        files.push((first, index, file));
    }
    let mut rows = Vec::with_capacity(request.count);
    for place in sample(request, pool)? {
        let (first, index, file) = &files[files.partition_point(|(first, ..)| *first <= place) - 1];
        rows.push(file.locate(*index, place - first)?);
    }
    let rows: Vec<&Located> = rows.iter().collect();
    let texts = read_documents(reading, &rows, |row, document| {
        let text = document.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(|| {
            DatasetError::Document { place: row.id(), problem: "it is null or not UTF-8, so not a text".to_owned() }
        })?;
        Ok(reference_prompt(text).to_owned())
    })?;
    Ok(rows.iter().zip(texts).map(|(row, text)| Prompt { id: row.id(), text }).collect())
}

/// The pool is the first 500 documents of 200 characters or more, cut to 4,000.
fn draw_from_hub(
    reading: &Reading<'_>,
    request: &DrawRequest,
    traffic: &mut DrawTraffic,
) -> Result<Vec<Prompt>, DatasetError> {
    let mut pool: Vec<Prompt> = Vec::with_capacity(POOL);
    let mut scanned = 0u64;
    for index in 0..reading.files().len() {
        let file: OpenFile = reading.open(index)?;
        let groups_before = file.known_groups();
        let stopped = file.documents(|id, document| {
            scanned += 1;
            let text = document.and_then(|bytes| std::str::from_utf8(bytes).ok());
            if let Some(text) = text.and_then(first_chars_if_long_enough) {
                pool.push(Prompt { id: id.to_string(), text: text.to_owned() });
                if pool.len() == POOL || scanned > POOL as u64 * SCANNED_PER_DOCUMENT {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        file.keep_footer(groups_before)?;
        match file.footer_cached() {
            Some(true) => traffic.footers_cached += 1,
            _ => traffic.footers_fetched += 1,
        }
        reading.tell_progress();
        if stopped.is_break() {
            break;
        }
    }
    let places = sample(request, pool.len() as u64)?;
    Ok(places
        .into_iter()
        .map(|place| {
            let Prompt { id, text } = &pool[place as usize];
            Prompt { id: id.clone(), text: reference_prompt(text).to_owned() }
        })
        .collect())
}
