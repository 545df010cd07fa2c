//! A student's tokenizer against the teacher's.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Tokenizer;
use crate::{
    Code,
    findings::Findings,
    text::{grouped, quoted},
};

/// Differences that are shown.
const SHOWN: usize = 5;

/// Reports every difference. What decides which ids a text gets is an error: vocabulary, merges, added tokens. What
/// comes before and after it is a warning.
pub(crate) fn compare(student: &Tokenizer, teacher: &Tokenizer, findings: &mut Findings) {
    if !student.duplicates.is_empty() {
        let message = format!(
            "{} names the same thing twice ({}), so that it depends on the reader what counts; save the teacher's tokenizer again",
            student.source,
            student.duplicates.join(", ")
        );
        findings.error(Code::TokenizerMismatch, message, json!({"part": "vocabulary", "twice": student.duplicates}));
    }
    if student.model_type != teacher.model_type {
        let message = format!(
            "the tokenizer's model is {}, the teacher's is {}; use the teacher's tokenizer",
            quoted(&student.model_type),
            quoted(&teacher.model_type)
        );
        let evidence =
            json!({"part": "model", "found": shown(&student.model_type), "teacher": shown(&teacher.model_type)});
        findings.error(Code::TokenizerMismatch, message, evidence);
    }
    compare_vocabularies(student, teacher, findings);
    compare_merges(student, teacher, findings);
    compare_added_tokens(student, teacher, findings);
    compare_steps(student, teacher, findings);
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn compare_vocabularies(student: &Tokenizer, teacher: &Tokenizer, findings: &mut Findings) {
    let (student_added, teacher_added) = (student.added_by_text(), teacher.added_by_text());
    // Where no file names the student's added tokens, nothing can be said of them.
    let is_compared = |text: &str| student.added_tokens.is_some() || !teacher_added.contains_key(text);
    let (mut missing, mut changed) = (Vec::new(), Vec::new());
    for (id, text) in tokens(teacher, &teacher_added) {
        match student.id_of(text, &student_added) {
            Some(found) if found != id => changed.push((id, text, found)),
            None if is_compared(text) => missing.push((id, text)),
            Some(_) | None => {}
        }
    }
    let is_extra = |(_, text): &(u32, &str)| teacher.id_of(text, &teacher_added).is_none();
    let mut extra: Vec<(u32, &str)> = tokens(student, &student_added).filter(is_extra).collect();
    if missing.is_empty() && changed.is_empty() && extra.is_empty() {
        return;
    }
    missing.sort_unstable();
    changed.sort_unstable();
    extra.sort_unstable();
    let message = format!(
        "the vocabulary is not the teacher's: of its {} tokens {} are missing and {} have another id, and {} are not its own; use the teacher's tokenizer",
        grouped(teacher.vocabulary.len() as u64),
        grouped(missing.len() as u64),
        grouped(changed.len() as u64),
        grouped(extra.len() as u64)
    );
    let missing_json = |(id, text): &(u32, &str)| json!({"token": shown(text), "teacher": id});
    let changed_json = |(id, text, found): &(u32, &str, u32)| json!({"token": shown(text), "id": found, "teacher": id});
    let extra_json = |(id, text): &(u32, &str)| json!({"token": shown(text), "id": id});
    let evidence = json!({
        "part": "vocabulary", "tokens": student.vocabulary.len(), "teacher_tokens": teacher.vocabulary.len(),
        "missing": missing.len(), "changed": changed.len(), "extra": extra.len(),
        "first_missing": missing.iter().take(SHOWN).map(missing_json).collect::<Vec<_>>(),
        "first_changed": changed.iter().take(SHOWN).map(changed_json).collect::<Vec<_>>(),
        "first_extra": extra.iter().take(SHOWN).map(extra_json).collect::<Vec<_>>(),
    });
    findings.error(Code::TokenizerMismatch, message, evidence);
}

/// Every text with its id, once: an added token may stand in the vocabulary too.
fn tokens<'a>(tokenizer: &'a Tokenizer, added: &'a HashMap<&'a str, u32>) -> impl Iterator<Item = (u32, &'a str)> {
    let own = tokenizer.vocabulary.iter().map(|(text, id)| (*id, text.as_str()));
    let beside = added.iter().filter(|(text, _)| !tokenizer.vocabulary.contains_key(**text));
    own.chain(beside.map(|(text, id)| (*id, *text)))
}

fn compare_merges(student: &Tokenizer, teacher: &Tokenizer, findings: &mut Findings) {
    if student.merges == teacher.merges {
        return;
    }
    let is_same = |index: usize| student.merges.get(index) == teacher.merges.get(index);
    let longest = student.merges.len().max(teacher.merges.len());
    let different = (0..longest).filter(|index| !is_same(*index)).count();
    let first = (0..longest).find(|index| !is_same(*index)).unwrap_or(0);
    let at = |tokenizer: &Tokenizer| tokenizer.merges.get(first).map(|(a, b)| [shown(a), shown(b)]);
    let message = format!(
        "the merges are not the teacher's: {} of {} differ in their place, the first at {}; use the teacher's tokenizer",
        grouped(different as u64),
        grouped(longest as u64),
        grouped(first as u64)
    );
    let evidence = json!({
        "part": "merges", "merges": student.merges.len(), "teacher_merges": teacher.merges.len(), "different": different,
        "first_at": first, "found": at(student), "teacher": at(teacher),
    });
    findings.error(Code::TokenizerMismatch, message, evidence);
}

fn compare_added_tokens(student: &Tokenizer, teacher: &Tokenizer, findings: &mut Findings) {
    let (Some(found), Some(needed)) = (&student.added_tokens, &teacher.added_tokens) else {
        if student.added_tokens.is_none() && teacher.added_tokens.as_ref().is_some_and(|tokens| !tokens.is_empty()) {
            let message = format!("no file beside {} names the added tokens, so they are not compared", student.source);
            findings.warning(Code::TokenizerMismatch, message, json!({"part": "added_tokens"}));
        }
        return;
    };
    let mut ids: Vec<u32> = found.keys().chain(needed.keys()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| found.get(id) != needed.get(id));
    if ids.is_empty() {
        return;
    }
    let describe = |token: Option<&super::AddedToken>| {
        token.map(|token| {
            json!({
                "content": shown(&token.content), "special": token.special, "lstrip": token.lstrip, "rstrip": token.rstrip,
                "single_word": token.single_word, "normalized": token.normalized,
            })
        })
    };
    let first: Vec<Value> = ids
        .iter()
        .take(SHOWN)
        .map(|id| json!({"id": id, "found": describe(found.get(id)), "teacher": describe(needed.get(id))}))
        .collect();
    let message = format!(
        "{} added tokens differ from the teacher's, the first with id {}; use the teacher's tokenizer",
        grouped(ids.len() as u64),
        ids[0]
    );
    let evidence = json!({
        "part": "added_tokens", "added_tokens": found.len(), "teacher_added_tokens": needed.len(), "different": ids.len(), "first": first,
    });
    findings.error(Code::TokenizerMismatch, message, evidence);
}

fn compare_steps(student: &Tokenizer, teacher: &Tokenizer, findings: &mut Findings) {
    let steps = [
        ("normalizer", &student.normalizer, &teacher.normalizer),
        ("pre_tokenizer", &student.pre_tokenizer, &teacher.pre_tokenizer),
        ("decoder", &student.decoder, &teacher.decoder),
    ];
    let mut different: Vec<&str> = Vec::new();
    for (name, found, needed) in steps {
        if let (Some(found), Some(needed)) = (found, needed)
            && found != needed
        {
            different.push(name);
        }
    }
    if student.source == teacher.source && student.settings != teacher.settings {
        different.push("model settings");
    }
    for name in different {
        let message =
            format!("the tokenizer's {name} differs from the teacher's; scoring uses the teacher's tokenizer");
        findings.warning(Code::TokenizerMismatch, message, json!({"part": name}));
    }
}
