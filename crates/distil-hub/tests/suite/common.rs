use std::fs;
use std::path::Path;
use std::time::Duration;

use distil_devhub::{DevHub, RepoKind as ServedKind};
use distil_hub::{Hub, HubSettings, Patience, RepoKind, Snapshot, Token};
use tempfile::TempDir;

pub(crate) const REPO: &str = "alice/student";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// A server with one model, and what a client needs.
pub(crate) struct Scene {
    pub(crate) server: DevHub,
    pub(crate) commit: String,
    pub(crate) folder: TempDir,
    pub(crate) cache: TempDir,
}

/// Bytes that are the same in each run and nowhere periodic.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

pub(crate) fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "config.json", br#"{"model_type":"qwen3_5"}"#);
        write(folder.path(), WEIGHTS, &noise(3_000_000, 1));
        write(folder.path(), "sub folder/größe #1.txt", b"a small file with a strange name");
        write(folder.path(), "empty.txt", b"");
        let server = DevHub::start().unwrap();
        let commit = server.publish(ServedKind::Model, REPO, folder.path()).unwrap();
        Self { server, commit, folder, cache: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn settings(&self) -> HubSettings {
        let mut settings = HubSettings::new(&self.server.endpoint(), self.cache.path().join("hub")).unwrap();
        settings.patience = Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_millis(400),
            request: Duration::from_secs(20),
            attempts: 3,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_millis(1500),
            jitter_seed: 7,
        };
        settings
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::new(self.settings()).unwrap()
    }

    pub(crate) fn hub_with_token(&self, token: &str) -> Hub {
        let mut settings = self.settings();
        settings.token = Some(Token::new(token).unwrap());
        Hub::new(settings).unwrap()
    }

    pub(crate) fn snapshot(&self, hub: &Hub) -> Snapshot {
        hub.snapshot(RepoKind::Model, &REPO.parse().unwrap(), None).unwrap()
    }

    pub(crate) fn served(&self, path: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(path)).unwrap()
    }
}
