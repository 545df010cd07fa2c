use crate::{
    Error, PairedTest, PromptStatistics, Rules, Verdict,
    decide::sentence,
    judge::{Bar, Measured, judge, lowest, margin},
    moments,
    plausible::{PartialStatistics, implausible},
    score::weighted_mean,
    text::excerpt,
};
use serde::{Deserialize, Serialize};

/// A round as it was recorded, possibly by another program: students by name, and of each what is known.
///
/// ```
/// use distil_scoring::{RecordedRound, Rules, Verdict};
/// use distil_types::SubnetProfile;
///
/// let round = RecordedRound::from_json(
///     r#"{"n_prompts": 2, "king": "alice/old", "students": [
///          {"model": "alice/old", "kl": 0.1, "prompts": [{"mean": 0.08}, {"mean": 0.12}]},
///          {"model": "bob/new", "kl": 0.09, "prompts": [{"mean": 0.07}, {"mean": 0.11}]}
///        ]}"#,
/// )?;
/// let decision = round.decide(&Rules::of(&SubnetProfile::sn97()));
/// assert_eq!(decision.king.as_deref(), Some("bob/new"));
/// assert_eq!(decision.verdicts[0].verdict, Verdict::BeatsKing);
/// # Ok::<(), distil_scoring::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RecordedRound {
    n_prompts: usize,
    king: Option<String>,
    students: Vec<RecordedStudent>,
}

/// Fields that are not listed are passed over: they are data of whoever wrote the record.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct RecordedStudent {
    model: String,
    kl: Option<f64>,
    prompts: Vec<RecordedPrompt>,
    early_stopped: Option<bool>,
    functional_copy_of: Option<String>,
    status: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct RecordedPrompt {
    mean: f64,
    std: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    positions: Option<u32>,
}

/// What the rules say of a recorded round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedDecision {
    /// Who is king after the round.
    pub king: Option<String>,
    /// Whether a king lost its crown to a challenger.
    pub dethroned: bool,
    /// Why the round counts for nothing, if so: the king has no score in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// One entry a challenger, in the order of the record.
    pub verdicts: Vec<RecordedVerdict>,
}

/// What the rules say of one challenger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedVerdict {
    /// Its name as recorded.
    pub model: String,
    /// One of the first eight of [`Verdict`].
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The KL in nats that decided.
    pub kl: Option<f64>,
    /// `1 - kl / king_kl`, where both have one.
    pub margin: Option<f64>,
    /// The comparison with the king, where both did all prompts at the same positions. Where the positions are not
    /// recorded each prompt weighs the same.
    pub paired: Option<PairedTest>,
}

impl RecordedRound {
    /// The largest document that is read, in bytes.
    pub const MAX_BYTES: usize = 64 << 20;
    /// The most students of a round: as many as a subnet can have seats.
    const MAX_STUDENTS: usize = 65_536;

    /// Reads a round from its JSON.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRecord`] with the field and what is wrong with it: text that is no JSON (NaN and infinity are
    /// none), a number that is too large, a field that is missing or of another kind, more prompts than the round has,
    /// a king that is two students.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let invalid = |place: String, problem: String| Error::InvalidRecord { place, problem };
        if text.len() > Self::MAX_BYTES {
            let problem = format!("it has {} bytes, at most {} are read", text.len(), Self::MAX_BYTES);
            return Err(invalid("the record".to_owned(), problem));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let round: RecordedRound = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let place = match error.path().to_string() {
                path if path == "." => "the record".to_owned(),
                path => excerpt(&path).trim_matches('"').to_owned(),
            };
            invalid(place, excerpt(&error.inner().to_string()).trim_matches('"').to_owned())
        })?;
        json.end().map_err(|error| invalid("the record".to_owned(), error.to_string()))?;
        round.check().map_err(|(place, problem)| invalid(place, problem))?;
        Ok(round)
    }

    fn check(&self) -> Result<(), (String, String)> {
        if self.n_prompts == 0 {
            return Err(("n_prompts".to_owned(), "a round has at least one prompt".to_owned()));
        }
        if self.students.len() > Self::MAX_STUDENTS {
            let problem = format!("{} are too many, at most {}", self.students.len(), Self::MAX_STUDENTS);
            return Err(("students".to_owned(), problem));
        }
        for (index, student) in self.students.iter().enumerate() {
            if student.prompts.len() > self.n_prompts {
                let problem = format!("{} in a round of {}", student.prompts.len(), self.n_prompts);
                return Err((format!("students[{index}].prompts"), problem));
            }
            if let Some(prompt) = student.prompts.iter().position(|prompt| prompt.positions == Some(0)) {
                let place = format!("students[{index}].prompts[{prompt}].positions");
                return Err((place, "a prompt has at least one position".to_owned()));
            }
        }
        if let Some(king) = &self.king
            && self.students.iter().filter(|student| student.model == *king).count() > 1
        {
            return Err(("king".to_owned(), format!("more than one student is called {}", excerpt(king))));
        }
        Ok(())
    }

    /// Decides the round by the rules of a live one.
    ///
    /// The order of students stands for the order of their commitments. The recorded KL decides; without one, the mean
    /// over all positions, or over the prompts where positions are not recorded. A king that has no usable score keeps
    /// the crown. Commit blocks are not recorded, so a king is never taken for a copy.
    pub fn decide(&self, rules: &Rules) -> RecordedDecision {
        let king_index =
            self.king.as_ref().and_then(|king| self.students.iter().position(|student| student.model == *king));
        let king = king_index.map(|index| &self.students[index]);
        let bar = match (&self.king, king) {
            (None, _) => Bar::Vacant,
            (Some(_), None) => Bar::Unknown,
            (Some(_), Some(king)) => Bar::of_king(&self.measured(king, None), rules),
        };

        let mut verdicts = Vec::new();
        let mut contenders = Vec::new();
        for (_, student) in self.students.iter().enumerate().filter(|(index, _)| Some(*index) != king_index) {
            let paired = king.and_then(|king| self.compare(student, king));
            let measured = self.measured(student, paired.as_ref());
            let verdict = judge(&measured, bar, rules);
            if let (Verdict::BeatsKing, Some(kl)) = (verdict, measured.kl) {
                contenders.push((verdicts.len(), kl));
            }
            let reason = sentence(verdict, &measured, bar, rules);
            let (kl, margin) = (measured.kl, margin(measured.kl, bar));
            verdicts.push(RecordedVerdict { model: student.model.clone(), verdict, reason, kl, margin, paired });
        }
        let winner = lowest(contenders).map(|index| verdicts[index].model.clone());
        RecordedDecision {
            dethroned: winner.is_some() && self.king.is_some(),
            void: (bar == Bar::Unknown).then(|| "the king has no usable score in this round".to_owned()),
            king: winner.or_else(|| self.king.clone()),
            verdicts,
        }
    }

    fn measured<'p>(&self, student: &RecordedStudent, paired: Option<&'p PairedTest>) -> Measured<'p> {
        let stopped = student.early_stopped.unwrap_or(false) || student.status.as_deref() == Some("early_stopped");
        Measured {
            is_copy: student.functional_copy_of.is_some(),
            kl: student.kl(),
            implausible: implausible(student.prompts.iter().map(PartialStatistics::from)),
            is_complete: !stopped && student.prompts.len() == self.n_prompts,
            paired,
        }
    }

    fn compare(&self, student: &RecordedStudent, king: &RecordedStudent) -> Option<PairedTest> {
        if student.prompts.len() != self.n_prompts {
            return None;
        }
        match (student.summaries(), king.summaries()) {
            (Some(student), Some(king)) => PairedTest::new(&student, &king).ok(),
            _ => PairedTest::new(&student.of_equal_weight(), &king.of_equal_weight()).ok(),
        }
    }
}

impl RecordedStudent {
    fn kl(&self) -> Option<f64> {
        if self.kl.is_some() {
            return self.kl;
        }
        match self.summaries() {
            Some(prompts) => weighted_mean(&prompts).ok(),
            None => {
                let total = moments::sum(self.prompts.iter().map(|prompt| prompt.mean));
                Some(total / self.prompts.len() as f64).filter(|mean| mean.is_finite())
            }
        }
    }

    /// The prompts with their positions, where all are recorded and there are any.
    fn summaries(&self) -> Option<Vec<PromptStatistics>> {
        let weighed = |prompt: &RecordedPrompt| prompt.positions.map(|positions| prompt.summary(positions as usize));
        self.prompts.iter().map(weighed).collect::<Option<Vec<_>>>().filter(|prompts| !prompts.is_empty())
    }

    fn of_equal_weight(&self) -> Vec<PromptStatistics> {
        self.prompts.iter().map(|prompt| prompt.summary(1)).collect()
    }
}

impl RecordedPrompt {
    /// As far as means are concerned: what is not recorded is not looked at afterwards.
    fn summary(&self, positions: usize) -> PromptStatistics {
        let RecordedPrompt { mean, std, min, max, .. } = *self;
        let (min, max) = (min.unwrap_or(mean), max.unwrap_or(mean));
        PromptStatistics { mean, std: std.unwrap_or(0.0), min, max, positions }
    }
}

impl From<&RecordedPrompt> for PartialStatistics {
    fn from(prompt: &RecordedPrompt) -> Self {
        let RecordedPrompt { mean, std, min, max, positions } = *prompt;
        PartialStatistics { mean, std, min, max, positions: positions.map(|positions| positions as usize) }
    }
}
