//! `distil prompts`: the prompts of a block.

use std::io::Write;

use distil_dataset::Drawn;

use crate::draw::draw;
use crate::exit::ExitStatus;
use crate::hub::HubAccess;
use crate::output::{OutputError, write_json};
use crate::settings::{Common, Format, PromptsSettings};
use crate::text::{visible, visible_lines};

/// Draws the prompts and writes them to `out`.
pub(crate) fn run(
    settings: &PromptsSettings,
    common: Common,
    out: &mut dyn Write,
    progress_out: &mut dyn Write,
) -> Result<ExitStatus, OutputError> {
    let drawn = draw(&settings.draw, settings.threads, &HubAccess::default(), common, progress_out)?;
    match common.format {
        Format::Json => write_json(out, &drawn)?,
        Format::Text => {
            out.write_all(text(&drawn).as_bytes())?;
            out.flush()?;
        }
    }
    Ok(ExitStatus::Done)
}

fn text(drawn: &Drawn) -> String {
    let mut text = format!(
        "{} prompts of block {} ({}), sampler {}, from {}\n",
        drawn.prompts.len(),
        drawn.block,
        drawn.block_hash,
        drawn.sampler,
        visible(&drawn.source)
    );
    for (index, prompt) in drawn.prompts.iter().enumerate() {
        text += &format!("\n[{index}] {}\n{}\n", visible(&prompt.id), visible_lines(&prompt.text));
    }
    text
}
