//! Where a student is worst: the positions with the greatest divergence in their text, and whole continuations coloured
//! by divergence.

use super::findings::{Place, worst_places};
use super::html::Html;
use super::kinds::extremes;
use super::{Facts, Measured, named};
use crate::numbers::{count, counted, nats, nats_roughly};

const PASSAGES: usize = 6;
/// Places looked at to find that many passages that read differently.
const CANDIDATES: usize = 60;
/// Two passages read alike when they agree in this many tokens up to the marked one.
const ALIKE: usize = 6;
/// Tokens between two passages of the same prompt, at least.
const APART: usize = 12;
/// Tokens shown before and after the marked one.
const BEFORE: usize = 60;
const AFTER: usize = 14;

/// Coloured continuations for each student.
const COLOURED_PROMPTS: usize = 3;
/// Tokens of a prompt's end before its coloured continuation.
const PROMPT_TAIL: usize = 60;
/// Tokens of a coloured continuation, at most: a page has to stay a page.
const COLOURED_TOKENS: usize = 2000;

/// Where one colour ends and the next begins, in nats: half powers of ten, the same on every page.
const LEVELS: [f64; 6] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0];

/// The section of one student; nothing where it never diverges.
pub(super) fn section(facts: &Facts<'_>, student: &Measured<'_>) -> Html {
    let mut html = Html::new();
    let places = different(facts, worst_places(student.positions_kl_nats, CANDIDATES, APART));
    if places.is_empty() {
        return html;
    }
    html.add(r#"<section class="worst"><h2>Where "#, &[]);
    html.append(named(student.place, &student.report.model));
    html.add(r#" is worst</h2><p class="note">"#, &[]);
    if let Some((worst, best)) = extremes(facts, student) {
        html.add(
            "On average it is furthest off {} ({} nats over {}) and nearest {} ({} over {}). ",
            &[
                &worst.kind.place(),
                &nats_roughly(worst.mean_nats),
                &counted(worst.positions as u64, "position"),
                &best.kind.place(),
                &nats_roughly(best.mean_nats),
                &count(best.positions as u64),
            ],
        );
    }
    html.add(
        r#"Below, the marked token is what the teacher wrote; the figure is how far the student’s prediction of it was from the teacher’s, with all before it read.</p><div class="passages">"#,
        &[],
    );
    for place in &places {
        html.append(passage(facts, place));
    }
    html.add("</div>", &[]);

    let mut hardest: Vec<(usize, f64)> =
        student.report.prompts.iter().enumerate().map(|(prompt, score)| (prompt, score.mean)).collect();
    hardest.sort_by(|first, second| second.1.total_cmp(&first.1));
    html.add("<h3>Its hardest prompts, token by token</h3>", &[]);
    html.append(legend());
    for (rank, (prompt, mean)) in hardest.iter().take(COLOURED_PROMPTS).enumerate() {
        // The first is open; the others are a click away.
        let open = if rank == 0 { "open" } else { "closed" };
        html.append(coloured(facts, student, *prompt, *mean, open == "open"));
    }
    html.add("</section>", &[]);
    html
}

/// The first places whose passages read differently: text that repeats itself is wrong in the same way again and again.
fn different(facts: &Facts<'_>, places: Vec<Place>) -> Vec<Place> {
    let mut seen: Vec<String> = Vec::new();
    let mut kept = Vec::new();
    for place in places {
        let (_, continuation) = facts.texts_of(place.prompt);
        let end = (place.position + 1).min(continuation.len());
        let ending = continuation[end.saturating_sub(ALIKE)..end].concat();
        if kept.len() < PASSAGES && !seen.contains(&ending) {
            seen.push(ending);
            kept.push(place);
        }
    }
    kept
}

/// One position in its text.
fn passage(facts: &Facts<'_>, place: &Place) -> Html {
    let (prompt, continuation) = facts.texts_of(place.prompt);
    let mut html = Html::new();
    html.add(
        r#"<article><p class="where"><span class="nats">{}</span> nats <span class="at">prompt {}, token {} of {}</span></p><p class="passage" dir="auto">"#,
        &[&nats(place.kl_nats), &place.prompt, &(place.position + 1), &continuation.len()],
    );
    let from = place.position.saturating_sub(BEFORE);
    let of_prompt = BEFORE.saturating_sub(place.position).min(prompt.len());
    let tail = &prompt[prompt.len() - of_prompt..];
    let is_cut = from > 0 || of_prompt < prompt.len();
    if !tail.is_empty() {
        html.add(r#"<span class="prompt">{}{}</span>"#, &[&(if is_cut { "…" } else { "" }), &tail.concat()]);
    } else if is_cut {
        html.add("…", &[]);
    }
    let text = |range: std::ops::Range<usize>| {
        let end = range.end.min(continuation.len());
        continuation[range.start.min(end)..end].concat()
    };
    html.add("{}", &[&text(from..place.position)]);
    let marked = text(place.position..place.position + 1);
    html.add(r#"<mark class="h{}">{}</mark>"#, &[&level(place.kl_nats), &shown(&marked)]);
    let end = place.position + 1 + AFTER;
    let cut = if end < continuation.len() { "…" } else { "" };
    html.add(r#"<span class="after">{}{}</span></p></article>"#, &[&text(place.position + 1..end), &cut]);
    html
}

/// The colour of a divergence.
fn level(kl_nats: f64) -> usize {
    LEVELS.iter().filter(|bound| kl_nats >= **bound).count()
}

/// A token's text with what would be invisible spelled out.
fn shown(text: &str) -> String {
    if text.is_empty() {
        // A special token such as the end of the text, or a part of a character whose rest comes later.
        return "∅".to_owned();
    }
    if text.trim().is_empty() {
        return text
            .chars()
            .map(|character| match character {
                '\n' => '⏎',
                '\t' => '⇥',
                _ => '␣',
            })
            .collect();
    }
    text.to_owned()
}

fn legend() -> Html {
    let mut html = Html::new();
    html.add(r#"<p class="legend">nats at each token: <span class="heat">"#, &[]);
    for level in 0..=LEVELS.len() {
        let label = match level {
            0 => format!("below {}", LEVELS[0]),
            level => format!("{} and more", LEVELS[level - 1]),
        };
        let short = if level == 0 { format!("< {}", LEVELS[0]) } else { LEVELS[level - 1].to_string() };
        html.add(r#"<span class="h{}" title="{}">{}</span>"#, &[&level, &label, &short]);
    }
    html.add("</span></p>", &[]);
    html
}

/// A continuation, each token coloured by its divergence.
fn coloured(facts: &Facts<'_>, student: &Measured<'_>, prompt: usize, mean: f64, open: bool) -> Html {
    let (before, continuation) = facts.texts_of(prompt);
    let values = student.positions_kl_nats.get(prompt).map_or(&[][..], Vec::as_slice);
    let mut html = Html::new();
    html.add(if open { "<details open>" } else { "<details>" }, &[]);
    html.add(
        r#"<summary>Prompt {}: {} nats on average</summary><p class="heat text" dir="auto">"#,
        &[&prompt, &nats(mean)],
    );
    let tail = &before[before.len().saturating_sub(PROMPT_TAIL)..];
    let cut = if tail.len() < before.len() { "…" } else { "" };
    html.add(r#"<span class="prompt">{}{}</span>"#, &[&cut, &tail.concat()]);
    for (text, value) in continuation.iter().zip(values).take(COLOURED_TOKENS) {
        let level = level(*value);
        let text = if text.is_empty() { "∅" } else { text };
        if level == 0 {
            html.value(&text);
        } else {
            html.add(r#"<span class="h{}" title="{} nats">{}</span>"#, &[&level, &nats(*value), &text]);
        }
    }
    html.add("</p>", &[]);
    if continuation.len() > COLOURED_TOKENS {
        html.add(
            r#"<p class="note">The first {} of {} tokens.</p>"#,
            &[&count(COLOURED_TOKENS as u64), &count(continuation.len() as u64)],
        );
    }
    html.add("</details>", &[]);
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_blanks_can_be_seen() {
        assert_eq!(shown(" \n\t"), "␣⏎⇥");
        assert_eq!(shown(" whale"), " whale");
        assert_eq!(shown(""), "∅");
    }
}
