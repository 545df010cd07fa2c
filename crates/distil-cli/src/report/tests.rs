//! The page, made from outcomes put together by hand.

use distil_eval::record::RunEnvironment;
use distil_eval::{
    ModelIdentity, PromptReport, PromptStatistics, ScoreOutcome, ScoreReport, ScoredPrompt, StudentOutcome,
    StudentReport, StudentStatus, TeacherIdentity, TeacherReport, TokenSequence,
};

use super::{Facts, page::page};

fn identity() -> ModelIdentity {
    ModelIdentity { architecture: "qwen3_5".to_owned(), files: Vec::new() }
}

/// A student's report and outcome from its divergence at each position.
fn student(name: &str, positions_kl_nats: Vec<Vec<f64>>) -> (StudentReport, StudentOutcome) {
    let prompts: Vec<PromptStatistics> = positions_kl_nats
        .iter()
        .map(|values| PromptStatistics::from_positions(values).expect("finite positions"))
        .collect();
    let all: Vec<f64> = positions_kl_nats.iter().flatten().copied().collect();
    let report = StudentReport {
        model: name.to_owned(),
        revision: None,
        status: StudentStatus::Scored,
        kl: Some(all.iter().sum::<f64>() / all.len() as f64),
        positions: all.len(),
        standard_error: None,
        prompts,
        copy_of: None,
        reason: None,
    };
    (report, StudentOutcome { identity: Some(identity()), positions_kl_nats })
}

fn failed(name: &str, reason: &str) -> (StudentReport, StudentOutcome) {
    let report = StudentReport {
        model: name.to_owned(),
        revision: None,
        status: StudentStatus::Failed,
        kl: None,
        positions: 0,
        standard_error: None,
        prompts: Vec::new(),
        copy_of: None,
        reason: Some(reason.to_owned()),
    };
    (report, StudentOutcome { identity: None, positions_kl_nats: Vec::new() })
}

/// An outcome of `prompts` of as many tokens each as their texts have words, one token a word.
fn outcome(
    teacher: &str,
    prompts: &[(&str, &str)],
    students: Vec<(StudentReport, StudentOutcome)>,
) -> (ScoreOutcome, Vec<Vec<String>>) {
    let words = |text: &str| text.split_inclusive(' ').map(str::to_owned).collect::<Vec<_>>();
    let texts = prompts.iter().map(|(prompt, continuation)| [words(prompt), words(continuation)].concat()).collect();
    let scored: Vec<ScoredPrompt> = prompts
        .iter()
        .enumerate()
        .map(|(index, (prompt, continuation))| ScoredPrompt {
            id: index.to_string(),
            text: (*prompt).to_owned(),
            sequence: TokenSequence::new(index, &vec![0; words(prompt).len()], &vec![0; words(continuation).len()])
                .expect("both have words"),
        })
        .collect();
    let (reports, outcomes) = students.into_iter().unzip();
    let outcome = ScoreOutcome {
        report: ScoreReport {
            protocol: distil_eval::PROTOCOL.to_owned(),
            teacher: TeacherReport { model: teacher.to_owned(), revision: None },
            prompts: scored
                .iter()
                .map(|prompt| PromptReport {
                    prompt_tokens: prompt.sequence.prompt().len(),
                    continuation_tokens: prompt.sequence.continuation().len(),
                    digest: "00".repeat(32),
                })
                .collect(),
            students: reports,
            seconds: [("teacher_load".to_owned(), 0.5)].into(),
            peak_rss_bytes: Some(300 << 20),
        },
        teacher: TeacherIdentity {
            name: teacher.to_owned(),
            revision: None,
            model: identity(),
            head_digest: "ab".repeat(32),
            tokenizer_digest: "cd".repeat(32),
            vocab_size: 2048,
        },
        prompts: scored,
        students: outcomes,
    };
    (outcome, texts)
}

fn render(outcome: &ScoreOutcome, texts: &[Vec<String>]) -> String {
    let environment = RunEnvironment {
        device: "cpu".to_owned(),
        dtype: "f32".to_owned(),
        threads: 2,
        kl_kernel: "portable".to_owned(),
        versions: [("distil".to_owned(), "0.1.0".to_owned())].into(),
    };
    let speeds = vec![Some(1234.0); outcome.students.len()];
    page(&Facts { outcome, settings: &[], environment: &environment, speeds: &speeds, texts }).into_string()
}

/// Every start tag with its attributes, to see what markup a page really has.
fn tags(page: &str) -> Vec<&str> {
    let after_style = page.find("</style>").expect("a page has a style");
    page[after_style..].split('<').skip(1).filter_map(|rest| rest.split('>').next()).collect()
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let hostile = "</title></style><script>alert(1)</script>\" onmouseover=\"x\u{202e}\u{1b}[2J";
    let (outcome, texts) = outcome(
        hostile,
        &[(hostile, &hostile.repeat(4))],
        vec![
            student(hostile, vec![(0..12).map(|i| f64::from(i) / 4.0).collect()]),
            failed("broken'><img src=x onerror=alert(2)>", "config says <b>\u{2066}</b>"),
        ],
    );
    let page = render(&outcome, &texts);
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}') && !page.contains('\u{2066}'));
    for tag in tags(&page) {
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default();
        assert!(!["script", "img", "iframe", "object", "link", "b"].contains(&name), "<{tag}>");
        // Within a tag, an odd quote would have let a value out of its attribute.
        assert!(tag.matches('"').count().is_multiple_of(2), "<{tag}>");
        assert!(!tag.contains(" onmouseover=\"x") && !tag.contains(" onerror=alert"), "<{tag}>");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn the_page_loads_nothing() {
    let (outcome, texts) =
        outcome("t", &[("Call me", "Ishmael. Some years ago ")], vec![student("s", vec![vec![0.5, 0.1, 0.0, 2.0]])]);
    let page = render(&outcome, &texts);
    for outside in ["http://", "https://", "src=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The only references are to marks on the page itself.
    assert_eq!(page.matches("href=\"").count(), page.matches("href=\"#m").count());
}

#[test]
fn findings_are_in_words() {
    let (outcome, texts) = outcome(
        "teacher",
        &[("Call me ", "Ishmael. Some years ago never mind how long "), ("It was ", "the whiteness of the whale ")],
        vec![
            student("near", vec![vec![0.01, 0.0, 0.02, 0.9, 0.0, 0.01, 0.0, 0.02], vec![0.01, 0.02, 0.0, 0.02, 0.03]]),
            student("far", vec![vec![1.0; 8], vec![2.0; 5]]),
        ],
    );
    let page = render(&outcome, &texts);
    assert!(page.contains("<h1><bdi>near</bdi> is closest to <bdi>teacher</bdi></h1>"));
    assert!(page.contains("<strong>0.0800"), "the score of the best");
    assert!(page.contains("Half of the divergence comes from 8% of positions."), "one of thirteen");
    // The worst position of `near` stands in its text, the token marked.
    assert!(page.contains(r#"<span class="nats">0.9000</span> nats <span class="at">prompt 0, token 4 of 8</span>"#));
    assert!(page.contains(r#"<span class="prompt">Call me </span>Ishmael. Some years <mark class="h4">ago </mark><span class="after">never mind how long </span>"#));
    assert!(page.contains("Its hardest prompt is 1 (2.0 nats), its easiest 0 (1.0)."));
}

#[test]
fn a_page_without_figures_says_so() {
    let (outcome, texts) = outcome("t", &[("a ", "b c ")], vec![failed("s", "model.safetensors is cut short")]);
    let page = render(&outcome, &texts);
    assert!(page.contains("<h1>No student could be scored</h1>"));
    assert!(page.contains("model.safetensors is cut short"));
    assert!(!page.contains("Prompt by prompt") && !page.contains("NaN"));
}

#[test]
fn a_perfect_copy_of_the_teacher_makes_a_page() {
    let (outcome, texts) = outcome("t", &[("a ", "b c ")], vec![student("s", vec![vec![0.0, 0.0]])]);
    let page = render(&outcome, &texts);
    assert!(page.contains("exactly what the teacher predicts"));
    assert!(!page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn copies_and_early_stops_are_not_ranked() {
    let (mut copy, copy_outcome) = student("copy", vec![vec![0.1, 0.1]]);
    copy.status = StudentStatus::FunctionalCopy;
    copy.copy_of = Some("first".to_owned());
    let (mut stopped, stopped_outcome) = student("stopped", vec![vec![0.05, 0.05]]);
    stopped.status = StudentStatus::EarlyStopped;
    let first = student("first", vec![vec![0.2, 0.2]]);
    let (outcome, texts) =
        outcome("t", &[("a ", "b c ")], vec![first, (copy, copy_outcome), (stopped, stopped_outcome)]);
    let page = render(&outcome, &texts);
    assert!(page.contains("<h1><bdi>first</bdi> is 0.2000 nats from <bdi>t</bdi></h1>"));
    assert!(page.contains("<td>copy of first</td>"));
    assert!(page.contains("A copy computes what an earlier student computes."));
    assert!(!page.contains("copy: 0.1000 nats"), "no mark of the copy hides that of the student it copies");
    assert!(page.contains("first: 0.2000 nats") && page.contains("stopped: 0.0500 nats"));
    assert!(page.contains("<td>stopped early, after 1 prompt</td>"));
}
