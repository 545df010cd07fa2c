//! Datasets on the Hub, over real HTTP: the same prompts as from disk, few bytes, and bad days.

use crate::common::{Layout, draw, open, request, text, texts, threads, write_parquet};
use distil_dataset::{Corpus, DatasetError, Drawn, PromptSource, Sampler};
use distil_devhub::{DevHub, Fault, FaultKind, RepoKind, RequestRecord, Server};
use distil_hub::{Hub, HubError, HubSettings, Patience};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const REPO: &str = "HuggingFaceFW/fineweb";

/// A server with a dataset that lies as FineWeb does.
struct Scene {
    server: DevHub,
    commit: String,
    folder: TempDir,
    cache: TempDir,
}

impl Scene {
    fn new(write: impl FnOnce(&Path)) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data/CC-MAIN-2013-20")).unwrap();
        fs::create_dir_all(folder.path().join("data/CC-MAIN-2024-10")).unwrap();
        fs::create_dir_all(folder.path().join("sample/10BT")).unwrap();
        fs::write(folder.path().join("README.md"), "A dataset.").unwrap();
        write(folder.path());
        let server = DevHub::start().unwrap();
        let commit = server.publish(RepoKind::Dataset, REPO, folder.path()).unwrap();
        Scene { server, commit, folder, cache: tempfile::tempdir().unwrap() }
    }

    fn small() -> Scene {
        Scene::new(|folder| {
            for (index, name) in [
                "data/CC-MAIN-2013-20/train-00000-of-00002.parquet",
                "data/CC-MAIN-2013-20/train-00001-of-00002.parquet",
                "data/CC-MAIN-2024-10/000_00000.parquet",
                "sample/10BT/000_00000.parquet",
            ]
            .iter()
            .enumerate()
            {
                let first = index as u64 * 10_000;
                let mut rows = texts(first..first + 250, 600);
                rows.iter_mut().step_by(7).for_each(|row| *row = Some("too short".to_owned()));
                write_parquet(&folder.join(name), &rows, &Layout { rows_per_group: 50, ..Layout::default() });
            }
        })
    }

    fn hub(&self) -> Hub {
        let mut settings = HubSettings::new(&self.server.endpoint(), self.cache.path().join("hub")).unwrap();
        settings.patience = Patience {
            silence: Duration::from_secs(5),
            attempts: 3,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(1500),
            ..Patience::default()
        };
        Hub::new(settings).unwrap()
    }

    fn source(&self, folder: &str) -> PromptSource {
        PromptSource::parse(&format!("hub:{REPO}@{}{folder}", self.commit)).unwrap()
    }

    fn prompt_cache(&self) -> PathBuf {
        self.cache.path().join("prompts")
    }

    fn open(&self, folder: &str, cache: bool) -> Result<Corpus, DatasetError> {
        Corpus::open(&self.source(folder), || Ok(self.hub()), cache.then(|| self.prompt_cache()).as_deref())
    }

    fn draw(&self, block: u64, count: usize, cache: bool) -> Result<Drawn, DatasetError> {
        self.open("", cache)?.draw(&request(block, count, Sampler::Distil), threads(8), &|_| {})
    }

    /// Answers of the server other than redirects, and the bytes of their bodies.
    fn sent(&self) -> (u64, u64) {
        let requests = self.server.requests();
        let answers = requests.iter().filter(|request: &&RequestRecord| request.status != Some(302));
        answers.fold((0, 0), |(count, bytes), answer| (count + 1, bytes + answer.body_bytes))
    }
}

#[test]
fn a_dataset_gives_the_same_prompts_as_its_folder() {
    let scene = Scene::small();
    for sampler in [Sampler::Distil, Sampler::Reference] {
        let far = scene.open("/sample", false).unwrap().draw(&request(5, 40, sampler), threads(8), &|_| {}).unwrap();
        let near = draw(&scene.folder.path().join("sample"), 5, 40, Sampler::Distil).unwrap();
        if sampler == Sampler::Distil {
            assert_eq!(far.seed, near.seed);
            assert_eq!(far.prompts.len(), 40);
            for (far, near) in far.prompts.iter().zip(&near.prompts) {
                assert_eq!((&far.text, far.id.as_str()), (&near.text, format!("sample/{}", near.id).as_str()));
            }
        } else {
            assert_eq!(far.prompts.len(), 40);
            assert!(far.prompts.iter().all(|prompt| !prompt.text.starts_with("too short")));
        }
    }
    // The folder `data` is the default, and all of the repository can be had.
    assert_eq!(scene.open("", false).unwrap().file_count(), 3);
    assert_eq!(scene.open("/", false).unwrap().file_count(), 4);
    assert_eq!(scene.open("/data/CC-MAIN-2013-20", false).unwrap().file_count(), 2);
    assert!(scene.open("/nothing", false).is_err());
}

#[test]
fn the_cache_saves_bytes_and_changes_nothing() {
    let scene = Scene::small();
    let without = scene.draw(3, 40, false).unwrap();
    scene.server.clear_requests();
    let cold = scene.draw(3, 40, true).unwrap();
    let (answers, bytes) = scene.sent();
    assert_eq!(cold.traffic, without.traffic);
    assert_eq!((cold.traffic.total().requests, cold.traffic.total().bytes), (answers, bytes));
    assert_eq!(cold.traffic.network.bytes, bytes);
    assert!(!cold.traffic.listing_cached);
    assert_eq!((cold.traffic.footers_cached, cold.traffic.footers_fetched), (0, 3));

    scene.server.clear_requests();
    let warm = scene.draw(3, 40, true).unwrap();
    assert!(warm.traffic.listing_cached);
    assert_eq!((warm.traffic.footers_cached, warm.traffic.footers_fetched), (3, 0));
    assert_eq!((warm.traffic.listing.bytes, warm.traffic.footers.bytes), (0, 0));
    assert_eq!(warm.traffic.data, cold.traffic.data);
    assert_eq!(scene.sent(), (warm.traffic.data.requests, warm.traffic.data.bytes));
    assert_eq!((&warm.prompts, &cold.prompts), (&cold.prompts, &without.prompts));

    // Another block: what is known of the footers is built upon.
    let next = scene.draw(4, 40, true).unwrap();
    assert_eq!(next.prompts, scene.draw(4, 40, false).unwrap().prompts);
    assert_eq!(next.traffic.footers_fetched, 0);
}

#[test]
fn footers_are_known_in_part_and_read_on() {
    let scene = Scene::new(|folder| {
        let layout = Layout { rows_per_group: 1, ..Layout::default() };
        write_parquet(&folder.join("data/a.parquet"), &texts(0..1500, 250), &layout);
    });
    // Each draw asks for one row; what earlier ones read of the footer is not read again.
    let mut bytes = 0;
    for block in 0..6 {
        let drawn = scene.draw(block, 1, true).unwrap();
        assert_eq!(drawn.prompts, scene.draw(block, 1, false).unwrap().prompts);
        bytes += drawn.traffic.footers.bytes;
    }
    let file = scene.folder.path().join("data/a.parquet");
    let content = fs::read(file).unwrap();
    let footer = u32::from_le_bytes(content[content.len() - 8..content.len() - 4].try_into().unwrap());
    assert!(footer > 500_000 && bytes < u64::from(footer) + 40_000, "{bytes} of {footer}");
}

#[test]
fn a_damaged_cache_is_not_believed() {
    let scene = Scene::small();
    let first = scene.draw(8, 30, true).unwrap();
    let mut entries = Vec::new();
    let mut folders = vec![scene.prompt_cache()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { entries.push(path) }
        }
    }
    assert_eq!(entries.len(), 4, "a listing and three footers");
    for (index, entry) in entries.iter().enumerate() {
        let mut bytes = fs::read(entry).unwrap();
        match index {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.clear(),
            2 => {
                // A digit of a number: still valid JSON.
                let place = bytes.iter().rposition(u8::is_ascii_digit).unwrap();
                bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
            }
            _ => bytes.extend_from_slice(b" "),
        }
        fs::write(entry, bytes).unwrap();
    }
    let again = scene.draw(8, 30, true).unwrap();
    assert_eq!(again, first);
    assert_eq!(scene.draw(8, 30, true).unwrap().traffic.footers_cached, first.traffic.footers_fetched);
}

#[test]
fn row_groups_of_any_size_stay_within_the_budget() {
    // One row group of 45 MB, written in pages of a megabyte, without a list of them.
    let scene = Scene::new(|folder| {
        let layout = Layout { rows_per_group: 15_000, rows_per_page: 350, fineweb: false, ..Layout::default() };
        write_parquet(&folder.join("data/a.parquet"), &texts(0..15_000, 3000), &layout);
    });
    let drawn = scene.draw(1, 40, true).unwrap();
    let total = drawn.traffic.total();
    assert!(total.bytes < 60_000_000, "{total:?}");
    assert_eq!(drawn.prompts.len(), 40);
}

#[test]
fn a_draw_that_would_move_too_much_is_refused() {
    // Pages of 12 MB: 40 of them are more than 400 MB.
    let scene = Scene::new(|folder| {
        let layout = Layout { rows_per_group: 8000, rows_per_page: 4000, fineweb: false, ..Layout::default() };
        let layout = Layout { compression: parquet::basic::Compression::UNCOMPRESSED, ..layout };
        write_parquet(&folder.join("data/a.parquet"), &texts(0..8000, 3000), &layout);
    });
    match scene.draw(1, 40, false).unwrap_err() {
        DatasetError::Budget { budget_bytes, spent_bytes, wanted_bytes, file } => {
            assert_eq!((budget_bytes, file.as_str()), (400_000_000, "data/a.parquet"));
            assert!(spent_bytes <= budget_bytes && spent_bytes + wanted_bytes > budget_bytes);
        }
        other => panic!("{other}"),
    }
    let (_, bytes) = scene.sent();
    assert!(bytes <= 400_000_000, "{bytes}");
    // The same file on disk has no such limit, and fewer prompts fit into it.
    assert_eq!(draw(scene.folder.path(), 1, 40, Sampler::Distil).unwrap().prompts.len(), 40);
    assert_eq!(scene.draw(1, 10, false).unwrap().prompts.len(), 10);
}

#[test]
fn c1_a_bad_day_of_the_hub_is_survived_or_named_as_such() {
    let scene = Scene::small();
    let expected = scene.draw(2, 20, false).unwrap().prompts;
    let status = |status| FaultKind::Status { status, retry_after: None };
    for kind in
        [status(429), status(503), FaultKind::CutBodyAfter(100), FaultKind::ResetBodyAfter(10), FaultKind::Reset]
    {
        scene.server.order(Fault::new(kind.clone()).times(2));
        assert_eq!(scene.draw(2, 20, false).unwrap().prompts, expected, "{kind:?}");
        scene.server.clear_faults();

        let broken = match kind {
            // Only bodies of parquet files, so that it is they that fail.
            FaultKind::CutBodyAfter(_) | FaultKind::ResetBodyAfter(_) => Fault::new(kind.clone()).at(Server::Cdn),
            _ => Fault::new(kind.clone()),
        };
        scene.server.order(broken);
        let error = scene.draw(2, 20, false).unwrap_err();
        assert!(error.is_transient(), "{kind:?}: {error}");
        scene.server.clear_faults();
    }
}

#[test]
fn what_is_gone_is_not_transient() {
    let scene = Scene::small();
    let corpus = scene.open("", false).unwrap();
    scene.server.remove(RepoKind::Dataset, REPO).unwrap();
    for error in [
        corpus.draw(&request(1, 2, Sampler::Distil), threads(1), &|_| {}).unwrap_err(),
        scene.open("", false).unwrap_err(),
    ] {
        assert!(!error.is_transient(), "{error}");
        assert!(matches!(&error, DatasetError::Hub(error) if error.is_absence()), "{error}");
    }
}

#[test]
fn without_the_network_nothing_is_drawn_anew() {
    let scene = Scene::small();
    scene.draw(1, 5, true).unwrap();
    let mut settings = scene.hub().settings().clone();
    settings.offline = true;
    let hub = Hub::new(settings).unwrap();
    let error = Corpus::open(&scene.source(""), || Ok(hub), None).unwrap_err();
    assert!(matches!(&error, DatasetError::Hub(HubError::Offline { .. })), "{error}");
    assert!(error.is_transient());
}

#[test]
fn the_pool_of_the_reference_is_the_first_500_that_are_long_enough() {
    let scene = Scene::new(|folder| {
        for (file, first) in [("data/a.parquet", 0), ("data/b.parquet", 400), ("data/c.parquet", 800)] {
            let rows: Vec<Option<String>> = (first..first + 400)
                .map(|row| match row % 4 {
                    0 => Some(text(row, 100)),
                    1 if row % 8 == 1 => None,
                    _ => Some(text(row, 5000)),
                })
                .collect();
            write_parquet(&folder.join(file), &rows, &Layout { rows_per_group: 60, ..Layout::default() });
        }
    });
    let pool: Vec<u64> = (0..1200).filter(|row| row % 4 != 0 && row % 8 != 1).take(500).collect();
    let drawn =
        scene.open("", true).unwrap().draw(&request(7_900_050, 40, Sampler::Reference), threads(4), &|_| {}).unwrap();
    // As CPython samples from that pool.
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../vectors/cpython_sample.json")).unwrap();
    let sample = vectors["samples"].as_array().unwrap().iter().find(|sample| {
        (sample["seed"].as_u64(), sample["pool"].as_u64(), sample["count"].as_u64())
            == (Some(7_900_050), Some(500), Some(40))
    });
    let places = sample.unwrap()["places"].as_array().unwrap();
    assert_eq!(drawn.prompts.len(), 40);
    for (prompt, place) in drawn.prompts.iter().zip(places) {
        let row = pool[place.as_u64().unwrap() as usize];
        let (file, in_file) =
            [("a", row), ("b", row.wrapping_sub(400)), ("c", row.wrapping_sub(800))][row as usize / 400];
        assert_eq!(prompt.id, format!("data/{file}.parquet#rg{}:r{}", in_file / 60, in_file % 60));
        assert!(text(row, 5000).starts_with(&prompt.text));
    }
    assert_eq!(open(scene.folder.path()).unwrap().file_count(), 3);
}
