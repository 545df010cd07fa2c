//! `distil status`: what a validator knows, while it runs or not.

mod page;

use std::io::Write;
use std::path::Path;

use distil_store::StoreReader;

use super::state::store_error;
use crate::exit::ExitStatus;
use crate::output::{OutputError, write_json};
use crate::settings::Format;

/// Writes the state of a validator as of this moment.
pub(crate) fn run(state: &Path, format: Format, out: &mut dyn Write) -> Result<ExitStatus, OutputError> {
    let status = StoreReader::open(state).and_then(|store| store.status()).map_err(store_error)?;
    match format {
        Format::Json => write_json(out, &status)?,
        Format::Text => {
            out.write_all(page::render(&status).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}
