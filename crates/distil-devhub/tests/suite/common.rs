//! A server with one model and one dataset, and clients for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use distil_devhub::{DevHub, RepoKind};
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::RANGE;
use serde_json::Value;
use tempfile::TempDir;

/// Weights of this many bytes; they repeat with a period of 251, so that every place is told from its neighbours.
pub(crate) const WEIGHTS_BYTES: usize = 700_000;

pub(crate) struct Scene {
    pub(crate) hub: DevHub,
    pub(crate) folder: TempDir,
    pub(crate) client: Client,
    pub(crate) commit: String,
}

pub(crate) fn weights() -> Vec<u8> {
    (0..WEIGHTS_BYTES).map(|place| (place % 251) as u8).collect()
}

pub(crate) fn write(folder: &Path, path: &str, content: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// `alice/tiny`: a small file, weights, and files in folders whose names need escapes.
pub(crate) fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config.json", br#"{"vocab_size": 8}"#);
    write(folder.path(), "weights.bin", &weights());
    write(folder.path(), "notes/two words.txt", b"spaces");
    write(folder.path(), "notes/deep/caf\u{e9} 100%.txt", b"unicode");
    let hub = DevHub::start().unwrap();
    let commit = hub.publish(RepoKind::Model, "alice/tiny", folder.path()).unwrap();
    Scene { hub, folder, client: client(), commit }
}

/// Follows no redirect, and gives up soon: a silent server is a failure of the test.
pub(crate) fn client() -> Client {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .no_proxy()
        .build()
        .unwrap()
}

impl Scene {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.hub.endpoint())
    }

    pub(crate) fn request(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request(path).send().unwrap()
    }

    pub(crate) fn head(&self, path: &str) -> Response {
        self.client.head(self.url(path)).send().unwrap()
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status(), 200, "{path}");
        response.json().unwrap()
    }

    /// Where the content server has the weights.
    pub(crate) fn content_url(&self) -> String {
        header(&self.get("/alice/tiny/resolve/main/weights.bin"), "location")
    }

    pub(crate) fn content(&self, range: Option<&str>) -> reqwest::Result<Response> {
        let request = self.client.get(self.content_url());
        match range {
            Some(range) => request.header(RANGE, range).send(),
            None => request.send(),
        }
    }
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).unwrap_or_else(|| panic!("no {name} in {response:?}"));
    value.to_str().unwrap().to_owned()
}

pub(crate) fn has(response: &Response, name: &str) -> bool {
    response.headers().contains_key(name)
}
