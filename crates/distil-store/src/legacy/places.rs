//! What belongs where: a pure function from files to things to do.

use std::collections::BTreeMap;

use distil_scoring::{Disqualification, DisqualificationCode};
use distil_types::{Commitment, Hotkey, MinerKey};
use serde_json::{Value, json};

use super::files::LegacyFile;
use super::{Action, Found};

/// The most things of one file that are placed.
const MAX_ITEMS: usize = 100_000;
/// The most bytes of one thing that are kept.
const MAX_ITEM_BYTES: usize = 1 << 20;
/// The most characters of a text that are shown.
const MAX_SHOWN_CHARS: usize = 200;

/// A text from a file, short and printable.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN_CHARS)
        .map(|character| if character.is_control() || is_hidden(character) { ' ' } else { character })
        .collect();
    if text.chars().nth(MAX_SHOWN_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// Direction controls and invisible characters.
fn is_hidden(character: char) -> bool {
    matches!(u32::from(character), 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF | 0xE0000..=0xE007F)
}

/// What the files say about who is who.
#[derive(Default)]
struct Identities {
    /// The commitments that were seen on the chain, with their blocks.
    commitments: BTreeMap<Hotkey, (u64, Option<Commitment>)>,
    /// Who sat where, at the time of a file.
    seats: BTreeMap<u64, Hotkey>,
}

/// What is to be done with everything in the files, in their order.
pub(super) fn place(files: &[LegacyFile], king: Option<MinerKey>) -> Vec<Found> {
    let identities = identities(files);
    let mut found = Vec::new();
    for file in files {
        let name = shown(&file.name);
        let mut add = |key: &str, action| found.push(Found { file: name.clone(), key: shown(key), action });
        let content = match &file.content {
            Ok(content) => content,
            Err(reason) => {
                add("", Action::Leave { reason: reason.clone() });
                continue;
            }
        };
        if content.not_finite > 0 {
            let reason = format!("{} numbers that are NaN or infinite stand as null", content.not_finite);
            add("", Action::Leave { reason });
        }
        let document = &content.document;
        match file.name.rsplit('/').next().unwrap_or_default() {
            "disqualified.json" => each(document, &mut add, |key, value| disqualification(key, value, &identities)),
            "scores.json" => each(document, &mut add, |_, value| keep("score of its time", value)),
            "h2h_latest.json" | "h2h_history.json" => each_entry(document, &mut add, "head-to-head round"),
            "score_history.json" => each_entry(document, &mut add, "round"),
            "king_history.json" => each_entry(document, &mut add, "king of its time"),
            "last_eval.json" | "eval_results.json" => add("", keep("evaluation", document)),
            "announcement.json" => add("", keep("announcement, which is not made again", document)),
            "top4_leaderboard.json" => add("", keep("leaderboard", document)),
            "evaluated_uids.json" => {
                each(document, &mut add, |_, value| keep("evaluation done by another validator", value))
            }
            "failures.json" => {
                each(document, &mut add, |_, value| keep("count of failures, whatever their cause", value))
            }
            "dq_reasons.json" => each(document, &mut add, |_, value| keep("reason of a disqualification", value)),
            "commitments.json" | "commitments_cache.json" => {
                let reason = "commitments are read from the chain; these only proved whose a disqualification is";
                add("", leave(reason));
            }
            "metagraph.json" | "uid_hotkey_map.json" => {
                add("", leave("seats are read from the chain; these only proved whose a disqualification is"));
            }
            "model_hashes.json" => {
                let reason = "it mixes hashes of first files only with commits of repositories: neither is a digest of \
                              all tensors, so nothing could be compared with it";
                each(document, &mut add, |_, _| leave(reason));
            }
            _ if file.name.starts_with("prompt_cache/") => add("", leave("prompts are drawn anew for each round")),
            "eval_progress.json" | "price.json" | "tmc_config.json" => {
                add("", leave("it tells of a moment that has passed"));
            }
            _ => add("", leave("it is none of the files that the original wrote")),
        }
    }
    if let Some(king) = king {
        let action = match identities.commitments.get(&king.hotkey) {
            Some((block, Some(commitment))) if *block == king.commit_block => {
                Action::Crown { king, commitment: commitment.clone() }
            }
            Some((block, _)) if *block != king.commit_block => Action::Leave {
                reason: format!("{king} is not crowned: the files show its commitment in block {block}"),
            },
            Some(_) => Action::Leave {
                reason: format!("{king} is not crowned: the files show no model pinned to a revision for it"),
            },
            None => Action::Leave { reason: format!("{king} is not crowned: the files show no commitment of it") },
        };
        found.push(Found { file: String::new(), key: king.to_string(), action });
    }
    found
}

fn leave(reason: &str) -> Action {
    Action::Leave { reason: reason.to_owned() }
}

fn keep(kind: &'static str, value: &Value) -> Action {
    let document = value.to_string();
    if document.len() > MAX_ITEM_BYTES {
        return Action::Leave { reason: format!("it is larger than {MAX_ITEM_BYTES} bytes") };
    }
    Action::Keep { kind, document }
}

/// Each entry of an object under its key, each of a list under its place.
fn each(document: &Value, add: &mut impl FnMut(&str, Action), mut action: impl FnMut(&str, &Value) -> Action) {
    let count = match document {
        Value::Object(entries) => {
            for (key, value) in entries.iter().take(MAX_ITEMS) {
                add(key, action(key, value));
            }
            entries.len()
        }
        Value::Array(entries) => {
            for (index, value) in entries.iter().enumerate().take(MAX_ITEMS) {
                let key = index.to_string();
                add(&key, action(&key, value));
            }
            entries.len()
        }
        _ => {
            add("", leave("it is neither an object nor a list"));
            return;
        }
    };
    if count > MAX_ITEMS {
        add("", Action::Leave { reason: format!("only the first {MAX_ITEMS} of its {count} entries are looked at") });
    }
}

/// Each entry of a list under its block, where it has one; an object as a whole.
fn each_entry(document: &Value, add: &mut impl FnMut(&str, Action), kind: &'static str) {
    let block_of = |value: &Value| value.get("block").and_then(Value::as_u64);
    match document {
        Value::Array(entries) => {
            for (index, value) in entries.iter().enumerate().take(MAX_ITEMS) {
                let key = block_of(value).map_or_else(|| index.to_string(), |block| format!("block {block}"));
                add(&key, keep(kind, value));
            }
            if entries.len() > MAX_ITEMS {
                add("", Action::Leave { reason: format!("only the first {MAX_ITEMS} entries are looked at") });
            }
        }
        Value::Object(_) => {
            let key = block_of(document).map_or_else(String::new, |block| format!("block {block}"));
            add(&key, keep(kind, document));
        }
        _ => add("", leave("it is neither an object nor a list")),
    }
}

fn identities(files: &[LegacyFile]) -> Identities {
    let mut identities = Identities::default();
    let mut contradicted = Vec::new();
    for file in files {
        let Ok(content) = &file.content else { continue };
        match file.name.rsplit('/').next().unwrap_or_default() {
            "commitments.json" | "commitments_cache.json" => {
                let all = content.document.get("commitments").unwrap_or(&content.document);
                for (hotkey, value) in all.as_object().into_iter().flatten() {
                    let (Ok(hotkey), Some(block)) =
                        (hotkey.parse::<Hotkey>(), value.get("block").and_then(Value::as_u64))
                    else {
                        continue;
                    };
                    let text = |field: &str| value.get(field).and_then(Value::as_str);
                    let commitment = match (text("model"), text("revision")) {
                        (Some(model), Some(revision)) => match (model.parse(), revision.parse()) {
                            (Ok(model), Ok(revision)) => Some(Commitment { model, revision }),
                            _ => None,
                        },
                        _ => None,
                    };
                    match identities.commitments.insert(hotkey, (block, commitment)) {
                        Some((earlier, _)) if earlier != block => contradicted.push(hotkey),
                        _ => {}
                    }
                }
            }
            "metagraph.json" => {
                for neuron in content.document.get("neurons").and_then(Value::as_array).into_iter().flatten() {
                    let hotkey = neuron.get("hotkey").and_then(Value::as_str).and_then(|text| text.parse().ok());
                    if let (Some(uid), Some(hotkey)) = (neuron.get("uid").and_then(Value::as_u64), hotkey) {
                        identities.seats.insert(uid, hotkey);
                    }
                }
            }
            "uid_hotkey_map.json" => {
                for (uid, hotkey) in content.document.as_object().into_iter().flatten() {
                    let hotkey = hotkey.as_str().and_then(|text| text.parse().ok());
                    if let (Ok(uid), Some(hotkey)) = (uid.parse(), hotkey) {
                        identities.seats.insert(uid, hotkey);
                    }
                }
            }
            _ => {}
        }
    }
    // Two files that differ prove nothing.
    for hotkey in contradicted {
        identities.commitments.remove(&hotkey);
    }
    identities
}

/// The key is of one of several eras: a seat, a hotkey, a hotkey and a block, or a flag on an owner.
fn disqualification(key: &str, value: &Value, identities: &Identities) -> Action {
    let Some(reason) = value.as_str() else { return leave("its reason is not a text") };
    if key.starts_with("flag:") {
        return leave("it is a mark on a coldkey or on an account of the Hub, and nothing ties those to a miner");
    }
    let miner = match whose(key, reason, identities) {
        Ok(miner) => miner,
        Err(why) => return Action::Leave { reason: why },
    };
    let code = match code(reason) {
        Ok(code) => code,
        Err(why) => return leave(why),
    };
    Action::Disqualify {
        disqualification: Disqualification {
            miner,
            code,
            sentence: format!("carried over from the validator before: {}", shown(reason)),
            evidence: json!({ "imported_from": "disqualified.json", "key": shown(key), "reason": shown(reason) }),
        },
        block: miner.commit_block,
    }
}

fn whose(key: &str, reason: &str, identities: &Identities) -> Result<MinerKey, String> {
    if let Some((hotkey, block)) = key.split_once(':') {
        let hotkey: Hotkey = hotkey.parse().map_err(|error| format!("its key names no miner: {error}"))?;
        let is_plain = block.bytes().all(|digit| digit.is_ascii_digit());
        let block = block.parse().ok().filter(|_| is_plain).ok_or("the block in its key is no number")?;
        return Ok(MinerKey::new(hotkey, block));
    }
    let named = named_block(reason);
    if let Ok(hotkey) = key.parse::<Hotkey>() {
        return match (identities.commitments.get(&hotkey), named) {
            (Some((block, _)), Some(named)) if *block != named => {
                Err(format!("its reason names block {named}, and the files show the commitment in block {block}"))
            }
            (Some((block, _)), _) => Ok(MinerKey::new(hotkey, *block)),
            (None, _) => Err("no file shows in which block this hotkey committed".to_owned()),
        };
    }
    if let Ok(uid) = key.parse::<u64>() {
        let recycled = "a seat changes hands, and no file proves who had it then";
        let Some(named) = named else { return Err(recycled.to_owned()) };
        let mut of_block = identities.commitments.iter().filter(|(_, (block, _))| *block == named);
        let (Some((hotkey, _)), None) = (of_block.next(), of_block.next()) else { return Err(recycled.to_owned()) };
        return match identities.seats.get(&uid) {
            Some(seated) if seated == hotkey => Ok(MinerKey::new(*hotkey, named)),
            _ => Err(recycled.to_owned()),
        };
    }
    Err("its key is neither a seat nor a hotkey".to_owned())
}

/// The block of "committed later at block N".
fn named_block(reason: &str) -> Option<u64> {
    let (_, after) = reason.split_once("committed later at block ")?;
    let digits = after.split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Which of our codes a reason is, or why it is none.
fn code(reason: &str) -> Result<DisqualificationCode, &'static str> {
    let reason = reason.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if reason.starts_with("copy:") {
        Ok(DisqualificationCode::Copy)
    } else if has(&["check_failed", "429", "rate limit", "timeout", "503", "502", "connection", "cannot compute"]) {
        Err("it may have been the network's fault; the repository is looked at anew")
    } else if has(&["no longer exists", "404", "401", "403", "inaccessible", "removed", "private"]) {
        Err("one refusal of the Hub is no proof that a repository is gone; it is looked at anew")
    } else if has(&["chat template"]) {
        Err("a changed chat template is allowed")
    } else if has(&["vram"]) {
        Err("the memory that a model took is no proof; the repository is looked at anew")
    } else if has(&["fraud", "security:", "weights changed since commitment"]) {
        Ok(DisqualificationCode::Invalid)
    } else {
        Err("its reason is none of ours; the repository is looked at anew")
    }
}
