//! The tokenizer and the chat template, against the teacher's.

use serde_json::{Map, Value, json};

use crate::{
    Code, Requirements,
    findings::Findings,
    repository::Repository,
    template::{self, Template},
    tokenizer::{self, TokenizerReading, read_tokenizer},
};

pub(super) fn check_tokenizer(
    repository: &dyn Repository,
    requirements: &Requirements,
    tokenizer_config: Option<&Map<String, Value>>,
    findings: &mut Findings,
) {
    let teacher = requirements.teacher();
    let needed = teacher.and_then(|teacher| teacher.tokenizer.as_deref());
    let Some((teacher, needed)) = teacher.zip(needed) else {
        let message = "the tokenizer was not compared: no tokenizer of the teacher was given";
        findings.info(Code::TokenizerMismatch, message, Value::Null);
        return;
    };
    match read_tokenizer(repository, tokenizer_config, needed.sha256) {
        Ok(TokenizerReading::Known) => {}
        Ok(TokenizerReading::Read(tokenizer)) => tokenizer::compare(&tokenizer, needed, findings),
        Ok(TokenizerReading::None) => {
            let message = "there is no tokenizer.json, nor vocab.json with merges.txt; scoring uses the teacher's tokenizer, others need it beside the weights";
            findings.warning(Code::TokenizerMismatch, message, Value::Null);
        }
        Ok(TokenizerReading::Invalid { file, reason }) => {
            let message = format!("{file} is no tokenizer: {reason}; use the teacher's");
            findings.error(Code::TokenizerMismatch, message, json!({"file": file, "reason": reason}));
        }
        Err(error) => findings.failure(&error),
    }
    match template::read(repository, tokenizer_config) {
        // A model saved without one is no sign of anything.
        Ok(Template::None) => {}
        Ok(template) if template == teacher.template => {}
        Ok(_) => {
            let message = "the chat template differs from the teacher's; it has no part in scoring";
            findings.warning(Code::TokenizerMismatch, message, json!({"part": "chat_template"}));
        }
        Err(error) => findings.failure(&error),
    }
}
