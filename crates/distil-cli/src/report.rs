//! `report.html`: one page, complete in itself, that shows how far each student is from its teacher and where.
//!
//! It loads nothing and runs no script: style and charts are inline. All values, text from models and prompts among
//! them, enter it through [`html::Html`], which escapes every one.

mod charts;
mod findings;
mod html;
mod kinds;
mod page;
mod prompts;
mod students;
mod worst;

use distil_eval::record::RunEnvironment;
use distil_eval::{EvalError, ScoreOutcome, ScoreRequest, StudentReport, token_texts};

use crate::settings::SettingLine;
use html::Html;

/// Makes the page. `speeds` are tokens per second, one for each student.
///
/// # Errors
///
/// When the teacher's tokenizer cannot be read again for the text of the tokens.
pub(crate) fn render(
    request: &ScoreRequest,
    outcome: &ScoreOutcome,
    settings: &[SettingLine],
    environment: &RunEnvironment,
    speeds: &[Option<f64>],
) -> Result<String, EvalError> {
    let sequences: Vec<&[u32]> = outcome.prompts.iter().map(|prompt| prompt.sequence.tokens()).collect();
    let texts = token_texts(&request.teacher.folder, &sequences)?;
    Ok(page::page(&Facts { outcome, settings, environment, speeds, texts: &texts }).into_string())
}

/// All that the page shows.
struct Facts<'a> {
    outcome: &'a ScoreOutcome,
    settings: &'a [SettingLine],
    environment: &'a RunEnvironment,
    speeds: &'a [Option<f64>],
    /// The text of each token of each prompt and its continuation.
    texts: &'a [Vec<String>],
}

/// A student that has figures, with its place in the run.
#[derive(Clone, Copy)]
struct Measured<'a> {
    place: usize,
    report: &'a StudentReport,
    kl: f64,
    positions_kl_nats: &'a [Vec<f64>],
}

impl<'a> Facts<'a> {
    /// The students that have figures.
    fn measured(&self) -> Vec<Measured<'a>> {
        let students = self.outcome.report.students.iter().zip(&self.outcome.students).enumerate();
        students
            .filter_map(|(place, (report, outcome))| {
                let positions_kl_nats = outcome.positions_kl_nats.as_slice();
                let kl = report.kl.filter(|_| positions_kl_nats.iter().any(|prompt| !prompt.is_empty()))?;
                Some(Measured { place, report, kl, positions_kl_nats })
            })
            .collect()
    }

    /// The texts of a prompt's tokens and of its continuation's.
    fn texts_of(&self, prompt: usize) -> (&'a [String], &'a [String]) {
        let texts = self.texts.get(prompt).map_or(&[][..], Vec::as_slice);
        let prompt_tokens = self.outcome.prompts.get(prompt).map_or(0, |prompt| prompt.sequence.prompt().len());
        texts.split_at(prompt_tokens.min(texts.len()))
    }
}

/// Colours and shapes differ by coprime numbers, so thirty students can be told apart, and no two neighbours by colour
/// alone.
const COLOURS: usize = 6;
const SHAPES: usize = 5;

/// A student's mark: a shape in a colour, centred at a point (lengths in any unit of SVG).
fn mark(place: usize, x: &str, y: &str) -> Html {
    let mut html = Html::new();
    html.add(r##"<use href="#m{}" class="c{}" x="{}" y="{}"/>"##, &[&(place % SHAPES), &(place % COLOURS), &x, &y]);
    html
}

/// A student's mark before its name.
fn named(place: usize, name: &str) -> Html {
    let mut html = Html::new();
    html.add(r#"<span class="name"><svg class="mark" width="14" height="14" aria-hidden="true">"#, &[]);
    html.append(mark(place, "7", "7"));
    html.add("</svg><bdi>{}</bdi></span>", &[&name]);
    html
}

#[cfg(test)]
mod tests;
