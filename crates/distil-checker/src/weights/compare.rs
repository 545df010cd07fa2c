//! The tensors that are there against the tensors that the configuration calls for.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::Used;
use crate::{
    Code,
    config::ModelConfig,
    expected::{self, EMBEDDING, Expected, HEAD},
    findings::Findings,
    text::{counted, first_few, grouped},
};

/// Tensors that a message names.
const SHOWN: usize = 5;

/// What the comparison counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    /// Elements of the tensors that a loader takes.
    pub(crate) text: u64,
    /// Those of them that one token passes.
    pub(crate) active: u64,
}

/// Compares, reports, and counts what a loader takes.
pub(crate) fn compare(config: &ModelConfig, used: &HashMap<&str, Used<'_>>, findings: &mut Findings) -> Counted {
    let mut comparison = Comparison {
        used,
        taken: HashSet::new(),
        counted: Counted::default(),
        missing: 0,
        missing_elements: 0,
        missing_names: Vec::new(),
        wrong: Vec::new(),
    };
    let grouped_experts = per_expert_tensors(used);
    for part in expected::parts(config) {
        match &part {
            Expected::Tensor { name, shape } => comparison.one(name, shape, None),
            Expected::Experts { prefix, experts, intermediate, hidden } => {
                let share = config.expert_share();
                if used.contains_key(format!("{prefix}.gate_up_proj").as_str()) {
                    for (name, shape) in Expected::fused_shapes(*experts, *intermediate, *hidden) {
                        comparison.one(&format!("{prefix}.{name}"), &shape, share);
                    }
                } else {
                    let present = grouped_experts.get(prefix.as_str()).map_or(&[][..], Vec::as_slice);
                    comparison.per_expert(prefix, *experts, *intermediate, *hidden, present, share);
                }
            }
        }
    }
    comparison.report(config, findings);
    comparison.counted
}

/// Tensors such as `layers.3.mlp.experts.17.up_proj.weight`, by what stands before the number: the numbers.
fn per_expert_tensors<'a>(used: &HashMap<&'a str, Used<'_>>) -> HashMap<&'a str, Vec<u64>> {
    let mut groups: HashMap<&str, Vec<u64>> = HashMap::new();
    for name in used.keys() {
        let Some((prefix, rest)) = name.split_once(".mlp.experts.") else { continue };
        let Some((number, _)) = rest.split_once('.') else { continue };
        // `07` is not the name of expert 7.
        let Some(number) = number.parse::<u64>().ok().filter(|parsed| parsed.to_string() == number) else { continue };
        groups.entry(&name[..prefix.len() + ".mlp.experts".len()]).or_default().push(number);
    }
    for numbers in groups.values_mut() {
        numbers.sort_unstable();
        numbers.dedup();
    }
    groups
}

struct Comparison<'a> {
    used: &'a HashMap<&'a str, Used<'a>>,
    /// Canonical names that a loader takes.
    taken: HashSet<&'a str>,
    counted: Counted,
    missing: u64,
    missing_elements: u64,
    missing_names: Vec<String>,
    wrong: Vec<WrongShape<'a>>,
}

struct WrongShape<'a> {
    name: &'a str,
    file: &'a str,
    found: &'a [u64],
    needed: Vec<u64>,
}

impl Comparison<'_> {
    /// Looks for one tensor. `share` is given for those of a mixture's experts.
    fn one(&mut self, name: &str, shape: &[u64], share: Option<(u64, u64)>) {
        let Some((name, used)) = self.used.get_key_value(name) else {
            self.miss(1, expected::product(shape).unwrap_or(u64::MAX), || name.to_owned());
            return;
        };
        self.taken.insert(name);
        let elements = used.tensor.elements();
        self.counted.text = self.counted.text.saturating_add(elements);
        let active = share.map_or(elements, |share| expected::chosen(elements, share));
        self.counted.active = self.counted.active.saturating_add(active);
        if used.tensor.shape != shape {
            self.wrong.push(WrongShape {
                name: &used.tensor.name,
                file: used.file,
                found: &used.tensor.shape,
                needed: shape.to_vec(),
            });
        }
    }

    fn miss(&mut self, count: u64, elements: u64, name: impl FnOnce() -> String) {
        self.missing = self.missing.saturating_add(count);
        self.missing_elements = self.missing_elements.saturating_add(elements);
        if self.missing_names.len() < SHOWN {
            self.missing_names.push(name());
        }
    }

    /// Looks for the experts of one layer in tensors of their own. `present` are the numbers that the files name, so the
    /// work is bounded by the files however many experts the configuration claims.
    fn per_expert(
        &mut self,
        prefix: &str,
        experts: u64,
        intermediate: u64,
        hidden: u64,
        present: &[u64],
        share: Option<(u64, u64)>,
    ) {
        // Rounded once for a layer, not for each tensor.
        let before = self.counted;
        let shapes = Expected::expert_shapes(intermediate, hidden);
        let present = &present[..present.partition_point(|number| *number < experts)];
        for number in present {
            for (name, shape) in &shapes {
                self.one(&format!("{prefix}.{number}.{name}"), shape, None);
            }
        }
        if let Some(share) = share {
            let elements = self.counted.text - before.text;
            self.counted.active = before.active.saturating_add(expected::chosen(elements, share));
        }
        let absent = experts - present.len() as u64;
        if absent > 0 {
            let elements = expected::product(&[absent, 3, intermediate, hidden]).unwrap_or(u64::MAX);
            let first = (0..)
                .zip(present)
                .find(|(number, there)| number != *there)
                .map_or(present.len() as u64, |(number, _)| number);
            self.miss(3 * absent, elements, || format!("{prefix}.{first}.{}", shapes[0].0));
        }
    }

    fn report(&mut self, config: &ModelConfig, findings: &mut Findings) {
        let needed = config.parameters().total;
        if self.missing > 0 {
            let message = format!(
                "{} of the {} parameters that config.json calls for are in no file: {} missing, such as {}; upload the complete weights, or the configuration that belongs to them",
                grouped(self.missing_elements),
                grouped(needed),
                if self.missing == 1 {
                    "1 tensor is".to_owned()
                } else {
                    format!("{} tensors are", grouped(self.missing))
                },
                first_few(&self.missing_names, SHOWN)
            );
            let evidence = json!({
                "missing": self.missing, "missing_parameters": self.missing_elements, "needed_parameters": needed,
                "first": self.missing_names
            });
            findings.error(Code::MissingTensors, message, evidence);
        }
        self.report_shapes(findings);
        self.report_extra(config, findings);
    }

    fn report_shapes(&self, findings: &mut Findings) {
        // Rows of embedding and head have a code of their own: vocab_mismatch.
        let is_rows_only = |wrong: &&WrongShape<'_>| {
            let is_table = wrong.name.ends_with(EMBEDDING) || wrong.name.ends_with(HEAD);
            is_table && wrong.found.len() == 2 && wrong.found[1] == wrong.needed[1]
        };
        let wrong: Vec<&WrongShape<'_>> = self.wrong.iter().filter(|wrong| !is_rows_only(wrong)).collect();
        let Some(first) = wrong.first() else { return };
        let message = format!(
            "{} another shape than config.json calls for: {} in {} is {:?} and should be {:?}{}; the configuration belongs to other weights",
            if wrong.len() == 1 {
                "1 tensor has".to_owned()
            } else {
                format!("{} tensors have", grouped(wrong.len() as u64))
            },
            crate::text::quoted(first.name),
            first.file.escape_debug(),
            first.found,
            first.needed,
            if wrong.len() > 1 { ", and more" } else { "" },
        );
        let shapes: Vec<_> = wrong
            .iter()
            .take(SHOWN)
            .map(
                |wrong| json!({"tensor": wrong.name, "file": wrong.file, "shape": wrong.found, "needed": wrong.needed}),
            )
            .collect();
        findings.error(Code::MissingTensors, message, json!({"wrong_shapes": wrong.len(), "first": shapes}));
    }

    fn report_extra(&self, config: &ModelConfig, findings: &mut Findings) {
        let mut extra: Vec<&str> = self.used.keys().copied().filter(|name| !self.taken.contains(name)).collect();
        if config.tie_word_embeddings
            && let Some(index) = extra.iter().position(|name| *name == HEAD)
        {
            extra.swap_remove(index);
            let message = "config.json ties the output head to the embedding, so lm_head.weight in the files is not used; set tie_word_embeddings to false if it is the head you trained";
            findings.warning(Code::MissingTensors, message, json!({"unused": [HEAD]}));
        }
        extra.retain(|name| !super::stored::is_marker(name) && !super::stored::is_adapter_tensor(name));
        if extra.is_empty() {
            return;
        }
        extra.sort_unstable();
        let message = format!(
            "{} in the files that config.json does not call for, such as {}: no loader reads {}",
            counted(extra.len(), "tensor"),
            first_few(&extra, SHOWN),
            if extra.len() == 1 { "it" } else { "them" }
        );
        findings.info(
            Code::MissingTensors,
            message,
            json!({"unused": extra.iter().take(SHOWN).collect::<Vec<_>>(), "count": extra.len()}),
        );
    }
}
