//! The story, as it goes.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};

use distil_scoring::{Crown, Role, Verdict};
use distil_types::{Hotkey, MinerKey};
use distil_validator::{Event, Observer, StudentEnd};

use crate::text::visible;

/// Lines that wait to be told. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Story(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    is_told: bool,
    lines: Vec<String>,
    names: BTreeMap<Hotkey, String>,
}

impl Story {
    pub(super) fn new(is_told: bool) -> Self {
        Self(Arc::new(Mutex::new(Lines { is_told, lines: Vec::new(), names: BTreeMap::new() })))
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn say(&self, line: String) {
        let mut lines = self.lines();
        if lines.is_told {
            lines.lines.push(line);
        }
    }

    pub(super) fn name(&self, hotkey: Hotkey, name: &str) {
        self.lines().names.insert(hotkey, name.to_owned());
    }

    fn name_of(&self, miner: &MinerKey) -> String {
        self.lines().names.get(&miner.hotkey).cloned().unwrap_or_else(|| miner.to_string())
    }

    /// Miners in a sentence of the rules, by their names.
    pub(super) fn named(&self, sentence: &str) -> String {
        let mut sentence = visible(sentence).to_string();
        for (hotkey, name) in &self.lines().names {
            while let Some(start) = sentence.find(&format!("{hotkey}@")) {
                let rest = &sentence[start + hotkey.to_string().len() + 1..];
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let end = start + hotkey.to_string().len() + 1 + digits;
                sentence.replace_range(start..end, name);
            }
        }
        sentence
    }

    /// Tells what waits. A reader that has gone stops nothing.
    pub(super) fn flush(&self, notes: &mut dyn Write) {
        for line in std::mem::take(&mut self.lines().lines) {
            let _ = writeln!(notes, "{line}");
        }
        let _ = notes.flush();
    }
}

/// Tells what the validator does, as it does it.
#[derive(Debug)]
pub(super) struct StoryObserver {
    story: Story,
}

impl StoryObserver {
    pub(super) fn new(story: Story) -> Self {
        Self { story }
    }
}

impl Observer for StoryObserver {
    fn event(&mut self, event: &Event) {
        let story = &self.story;
        let line = match event {
            Event::Snapshot { block, neurons, submissions } => {
                format!("  The validator reads block {}: {neurons} seats, {submissions} commitments.", block.number)
            }
            Event::Checked { miner, passed: true, .. } => {
                format!("  {}'s repository passes the check, by its headers alone.", story.name_of(miner))
            }
            Event::Disqualified { miner, code, sentence } => {
                format!("  {} is out: {code}. {}", story.name_of(miner), story.named(sentence))
            }
            Event::RoundBegun { round, students, prompts, .. } => {
                let names: Vec<String> = students
                    .iter()
                    .map(|(miner, role, _)| match role {
                        Role::King => format!("King {}", story.name_of(miner)),
                        _ => story.name_of(miner),
                    })
                    .collect();
                format!(
                    "  Round {round}: {prompts} prompts, drawn by the block's hash. Taking part: {}.",
                    names.join(", ")
                )
            }
            Event::TeacherDone { positions, .. } => {
                format!("  The teacher continues the prompts by {positions} tokens, in a process of its own.")
            }
            Event::StudentDone { miner, end, .. } => {
                let name = story.name_of(miner);
                match end {
                    StudentEnd::Measured { how, kl_nats: Some(kl), prompts } if *how == "completed" => {
                        format!("  {name}: KL {kl:.4} nats over {prompts} prompts.")
                    }
                    StudentEnd::Measured { how, kl_nats: Some(kl), prompts } => {
                        format!("  {name}: {} after {prompts} prompts, with KL {kl:.4} nats.", how.replace('_', " "))
                    }
                    StudentEnd::NotMeasured { how, reason } => format!("  {name}: {how}: {}", story.named(reason)),
                    _ => format!("  {name}: done."),
                }
            }
            Event::IntegrityChecked { miner, found } => {
                format!("  {}'s repository is looked at again: {found}.", story.name_of(miner))
            }
            Event::RoundDecided { outcome } => {
                let mut lines = vec!["  The decision:".to_owned()];
                for verdict in outcome.verdicts.iter().filter(|verdict| verdict.verdict != Verdict::KeepsCrown) {
                    let (name, sentence) = (story.name_of(&verdict.miner), story.named(&verdict.sentence));
                    lines.push(format!("    {name}: {} ({sentence})", verdict.verdict));
                }
                lines.push(match &outcome.crown {
                    Crown::Given { king, dethroned: Some(old) } => {
                        format!("    {} dethrones {}.", story.name_of(king), story.name_of(old))
                    }
                    Crown::Given { king, dethroned: None } => format!("    {} is the first king.", story.name_of(king)),
                    Crown::Unchanged { king: Some(king) } => format!("    {} stays king.", story.name_of(king)),
                    Crown::Unchanged { king: None } => "    Nobody is king.".to_owned(),
                    Crown::Lost { king, reason } => format!("    {} loses the crown: {reason}", story.name_of(king)),
                });
                lines.join("\n")
            }
            Event::WeightsConfirmed { king, uid, block } => {
                format!("  All weight goes to {} at seat {uid}; block {block} has it.", story.name_of(king))
            }
            Event::WeightsLost { reason } => format!("  Weights were lost: {reason}"),
            _ => return,
        };
        story.say(line);
    }
}
