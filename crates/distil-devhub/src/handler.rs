//! From a request to its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, State as Shared};
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, RANGE};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, Request, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use crate::answer::{Answer, X_LINKED_ETAG, X_LINKED_SIZE, X_REPO_COMMIT, none_match_names};
use crate::api;
use crate::connection::{ConnectionHandle, Ending};
use crate::fault::FaultKind;
use crate::git::hex;
use crate::name::{RepoKind, RepoName};
use crate::record::{RequestRecord, Server};
use crate::repository::{Commit, FileEntry, Repository, Visibility};
use crate::route::{self, Ask, Route};
use crate::state::{Seen, State};

/// Longest body of a request, which is a list of paths.
const LONGEST_REQUEST_BYTES: usize = 1 << 20;

pub(crate) async fn hub(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request<Body>,
) -> Response<Body> {
    handle(state, connection, request, Server::Hub).await
}

pub(crate) async fn cdn(
    Shared(state): Shared<Arc<State>>,
    ConnectInfo(connection): ConnectInfo<ConnectionHandle>,
    request: Request<Body>,
) -> Response<Body> {
    handle(state, connection, request, Server::Cdn).await
}

async fn handle(
    state: Arc<State>,
    connection: ConnectionHandle,
    request: Request<Body>,
    server: Server,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = path_and_query(&parts.uri).to_owned();
    let decoded_path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    let logged = state.log.begin(RequestRecord {
        server,
        method: parts.method.to_string(),
        range: text_of(&parts, RANGE),
        if_none_match: text_of(&parts, IF_NONE_MATCH),
        had_authorization: parts.headers.contains_key(AUTHORIZATION),
        path,
        status: None,
        body_bytes: 0,
    });

    let replacing = state.faults().take_replacing(&logged.asked, &decoded_path);
    let mut faults = Vec::new();
    let answer = match replacing.as_ref() {
        Some(kind) => match Answer::of_fault(kind) {
            Some(answer) => answer,
            None => {
                match kind {
                    FaultKind::Reset => connection.end(Ending::Reset),
                    FaultKind::CloseBeforeAnswer => connection.end(Ending::Close),
                    _ => {}
                }
                std::future::pending().await
            }
        },
        None => {
            let mut answer = match server {
                Server::Hub => answer_hub(&state, &parts, body).await,
                Server::Cdn => answer_cdn(&state, &parts),
            };
            let take = |answer: &Answer, of_range: bool| {
                state.faults().take_changing(&logged.asked, &decoded_path, |kind| {
                    (*kind == FaultKind::IgnoreRange) == of_range && answer.is_touched_by(kind, &parts.method)
                })
            };
            // What a body holds depends on whether its range is ignored.
            if !take(&answer, true).is_empty() {
                answer.ignore_range();
            }
            faults = take(&answer, false);
            answer
        }
    };
    let response = answer.into_response(&faults, &parts.method, &connection, &logged);
    logged.answered(response.status().as_u16());
    response
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |text| text.as_str())
}

fn text_of(parts: &Parts, name: HeaderName) -> Option<String> {
    parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Why the Hub does not give what was asked for.
enum Refusal {
    RepositoryNotFound { with_token: bool },
    Gated { name: RepoName, with_token: bool },
    RevisionNotFound { revision: String },
    EntryNotFound { path: String, commit: Arc<Commit> },
    NoSuchPage,
    WrongMethod { allowed: &'static str },
    BadRequest { problem: &'static str },
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let with_token = |yes| if yes { StatusCode::NOT_FOUND } else { StatusCode::UNAUTHORIZED };
        match refusal {
            Refusal::RepositoryNotFound { with_token: yes } => {
                Answer::refusal(with_token(yes), Some("RepoNotFound"), "Repository not found")
            }
            Refusal::Gated { name, with_token } => {
                let (status, advice) = if with_token {
                    (StatusCode::FORBIDDEN, "you are not in the authorized list")
                } else {
                    (StatusCode::UNAUTHORIZED, "you must have access to it and be authenticated to access it")
                };
                Answer::refusal(status, Some("GatedRepo"), &format!("Access to {name} is restricted and {advice}"))
            }
            Refusal::RevisionNotFound { revision } => {
                Answer::refusal(StatusCode::NOT_FOUND, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"))
            }
            Refusal::EntryNotFound { path, commit } => {
                let message = format!("Entry not found: {path}");
                Answer::refusal(StatusCode::NOT_FOUND, Some("EntryNotFound"), &message)
                    .with(X_REPO_COMMIT, &commit.stamp.id)
            }
            Refusal::NoSuchPage => {
                Answer::refusal(StatusCode::NOT_FOUND, None, "Sorry, we can't find the page you are looking for.")
            }
            Refusal::WrongMethod { allowed } => {
                let message = format!("This route answers {allowed} only");
                Answer::refusal(StatusCode::METHOD_NOT_ALLOWED, None, &message).with(ALLOW, allowed)
            }
            Refusal::BadRequest { problem } => Answer::refusal(StatusCode::BAD_REQUEST, None, problem),
        }
    }
}

async fn answer_hub(state: &State, parts: &Parts, body: Body) -> Answer {
    let Some(Route::Repository(kind, name, ask)) = route::read_hub(parts.uri.path()) else {
        return Refusal::NoSuchPage.into();
    };
    let allowed = if matches!(ask, Ask::PathsInfo { .. }) { "POST" } else { "GET, HEAD" };
    if !allowed.split(", ").any(|method| method == parts.method.as_str()) {
        return Refusal::WrongMethod { allowed }.into();
    }
    let body = match parts.method {
        Method::POST => axum::body::to_bytes(body, LONGEST_REQUEST_BYTES).await,
        _ => Ok(bytes::Bytes::new()),
    };
    let Ok(body) = body else {
        return Refusal::BadRequest { problem: "the body broke off or is longer than 1 MiB" }.into();
    };

    let authorization = text_of(parts, AUTHORIZATION);
    let with_token = authorization.is_some();
    let shelf = state.shelf();
    let accepted = shelf.is_accepted(authorization.as_deref());
    match shelf.see(kind, &name, accepted) {
        Seen::Nothing => Refusal::RepositoryNotFound { with_token }.into(),
        Seen::RenamedTo(new_name) => {
            let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            let location = format!("{}{query}", ask.path(kind, new_name));
            Answer::redirect(StatusCode::TEMPORARY_REDIRECT, &location)
        }
        Seen::Repository(repository) => {
            if repository.visibility == Visibility::Gated && ask.is_for_content() && !accepted {
                return Refusal::Gated { name, with_token }.into();
            }
            let asked = Asked {
                state,
                parts,
                body: &body,
                page_entries: shelf.page_entries,
                small_files_redirect: shelf.small_files_redirect,
            };
            asked.answer(kind, &name, repository, ask).unwrap_or_else(Answer::from)
        }
    }
}

/// A request about a repository that the client may see.
struct Asked<'a> {
    state: &'a State,
    parts: &'a Parts,
    body: &'a [u8],
    page_entries: usize,
    small_files_redirect: bool,
}

/// The body of `paths-info`, where it is JSON.
#[derive(Deserialize)]
struct PathsAsked {
    paths: Vec<String>,
    #[serde(default)]
    expand: bool,
}

impl Asked<'_> {
    fn answer<'a>(
        &self,
        kind: RepoKind,
        name: &RepoName,
        repository: &'a Repository,
        ask: Ask,
    ) -> Result<Answer, Refusal> {
        let commit = |revision: &str| {
            repository.commit(revision).ok_or_else(|| Refusal::RevisionNotFound { revision: revision.to_owned() })
        };
        let entry = |commit: &'a Arc<Commit>, path: &str| {
            let missing = || Refusal::EntryNotFound { path: path.to_owned(), commit: Arc::clone(commit) };
            commit.files.get(path).ok_or_else(missing)
        };
        match ask {
            Ask::Refs => Ok(self.json(api::refs(repository))),
            Ask::Info { revision } => {
                let commit = commit(&revision)?;
                let expand: Vec<String> = self.query("expand[]").chain(self.query("expand")).collect();
                let info = api::info(kind, name, repository, commit, self.switch("blobs"), &expand);
                Ok(self.json(info))
            }
            Ask::Tree { revision, path } => {
                let commit = commit(&revision)?;
                let entries = api::tree(commit, &path, self.switch("recursive"), self.switch("expand"));
                let entries = entries.ok_or_else(|| Refusal::EntryNotFound { path, commit: Arc::clone(commit) })?;
                self.page(entries, &commit.stamp.id)
            }
            Ask::PathsInfo { revision } => {
                let commit = commit(&revision)?;
                let asked = self.paths_asked()?;
                Ok(self.json(Value::Array(api::paths_info(commit, &asked.paths, asked.expand))))
            }
            Ask::Resolve { ref revision, ref path } => {
                let commit = commit(revision)?;
                let entry = entry(commit, path)?;
                // A file that everyone may see is served from a cache, at a path of the same host; an empty one is not.
                let is_cached = repository.visibility == Visibility::Public && entry.blob.size_bytes > 0;
                let answer = match entry.lfs_pointer_bytes {
                    None if is_cached && self.small_files_redirect => {
                        let cached = Ask::ResolveCache { commit: commit.stamp.id.to_string(), path: path.clone() };
                        let mut query = form_urlencoded::Serializer::new(String::new());
                        query.append_pair(self.parts.uri.path(), "").append_pair("etag", &git_etag(entry));
                        let location = format!("{}?{}", cached.path(kind, name), query.finish());
                        Answer::redirect(StatusCode::TEMPORARY_REDIRECT, &location)
                    }
                    None => self.small_file(path, entry),
                    Some(_) => self.lfs_file(kind, name, path, entry),
                };
                Ok(answer.with(X_REPO_COMMIT, &commit.stamp.id))
            }
            Ask::ResolveCache { commit: id, path } => {
                let commit = commit(&id)?;
                let entry = entry(commit, &path)?;
                match entry.lfs_pointer_bytes {
                    None => Ok(self.small_file(&path, entry).with(X_REPO_COMMIT, &commit.stamp.id)),
                    Some(_) => Err(Refusal::NoSuchPage),
                }
            }
        }
    }

    fn small_file(&self, path: &str, entry: &FileEntry) -> Answer {
        let stored = self.state.store.path(&entry.blob.sha256);
        Answer::file(stored, entry.blob.size_bytes, &git_etag(entry), &self.parts.headers)
            .with(CONTENT_DISPOSITION, &disposition(path))
    }

    fn lfs_file(&self, kind: RepoKind, name: &RepoName, path: &str, entry: &FileEntry) -> Answer {
        let etag = format!("\"{}\"", entry.blob.sha256);
        let cdn_path = format!("/cdn/{}/{}/{name}/{}", entry.blob.sha256, kind.plural(), route::encode(path));
        let location = format!("{}{cdn_path}?Signature={}", self.state.cdn_origin, signature(&cdn_path));
        let answer = if none_match_names(&self.parts.headers, &etag) {
            Answer::not_modified(&etag)
        } else {
            Answer::redirect(StatusCode::FOUND, &location)
        };
        answer.with(X_LINKED_ETAG, &etag).with(X_LINKED_SIZE, &entry.blob.size_bytes.to_string()).with(ETAG, &etag)
    }

    fn json(&self, value: Value) -> Answer {
        Answer::json(value, &self.parts.headers)
    }

    /// One page of a list, and the way to the next one.
    fn page(&self, entries: Vec<Value>, commit: &str) -> Result<Answer, Refusal> {
        let limit = match self.query("limit").next() {
            None => self.page_entries,
            Some(text) => match text.parse::<usize>() {
                Ok(limit @ 1..) => limit.min(self.page_entries),
                _ => return Err(Refusal::BadRequest { problem: "limit is not a whole number from 1" }),
            },
        };
        let first = match self.query("cursor").next() {
            None => 0,
            Some(text) => read_cursor(&text).ok_or(Refusal::BadRequest { problem: "cursor is not one of ours" })?,
        };
        let more = entries.len() > first.saturating_add(limit);
        let page: Vec<Value> = entries.into_iter().skip(first).take(limit).collect();
        let answer = self.json(Value::Array(page)).with(X_REPO_COMMIT, commit);
        if !more {
            return Ok(answer);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.pairs().filter(|(name, _)| name != "cursor"));
        query.append_pair("cursor", &write_cursor(first + limit));
        let next = format!("{}{}?{}", self.state.hub_origin, self.parts.uri.path(), query.finish());
        Ok(answer.with(LINK, &format!("<{next}>; rel=\"next\"")))
    }

    fn paths_asked(&self) -> Result<PathsAsked, Refusal> {
        let content_type = text_of(self.parts, CONTENT_TYPE).unwrap_or_default();
        if content_type.starts_with("application/json") {
            return serde_json::from_slice(self.body)
                .map_err(|_| Refusal::BadRequest { problem: "the body is not {\"paths\": [...]}" });
        }
        let mut asked = PathsAsked { paths: Vec::new(), expand: false };
        for (name, value) in form_urlencoded::parse(self.body) {
            match &*name {
                "paths" => asked.paths.push(value.into_owned()),
                "expand" => asked.expand = value.eq_ignore_ascii_case("true"),
                _ => {}
            }
        }
        Ok(asked)
    }

    fn pairs(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(self.parts.uri.query().unwrap_or_default().as_bytes()).into_owned()
    }

    fn query(&self, name: &str) -> impl Iterator<Item = String> {
        self.pairs().filter(move |(given, _)| given == name).map(|(_, value)| value)
    }

    fn switch(&self, name: &str) -> bool {
        self.query(name).any(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }
}

/// Names a place in a list; made so that nobody counts on what it says.
fn write_cursor(entry: usize) -> String {
    hex(format!("after:{entry}").as_bytes())
}

fn read_cursor(text: &str) -> Option<usize> {
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()))
        .collect();
    String::from_utf8(bytes?).ok()?.strip_prefix("after:")?.parse().ok()
}

fn disposition(path: &str) -> String {
    let name = route::encode(path.rsplit('/').next().unwrap_or(path));
    format!("inline; filename*=UTF-8''{name}; filename=\"{name}\";")
}

/// The ETag of a file that git itself holds.
fn git_etag(entry: &FileEntry) -> String {
    format!("\"{}\"", entry.git_id.hex())
}

/// Stands for the signature of a signed URL: it shows that a URL came from the Hub and was not made up.
fn signature(cdn_path: &str) -> String {
    hex(&Sha256::digest(format!("distil-devhub signs {cdn_path}")))
}

/// The content server: whoever has a signed URL gets the file. A token is not for it.
fn answer_cdn(state: &State, parts: &Parts) -> Answer {
    let refusal = |status, code: &str| {
        Answer::text(status, "application/xml", &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>"))
    };
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed").with(ALLOW, "GET, HEAD");
    }
    if parts.headers.contains_key(AUTHORIZATION) {
        return refusal(StatusCode::BAD_REQUEST, "OnlyOneAuthMechanismAllowed");
    }
    let path = parts.uri.path();
    let mut query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    if !query.any(|(name, value)| name == "Signature" && value == signature(path)) {
        return refusal(StatusCode::FORBIDDEN, "AccessDenied");
    }
    let Some(Route::Content { sha256, kind, name, path }) = route::read_cdn(path) else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    if state.shelf().has_lost_content(kind, &name) {
        return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
    }
    let Some(size_bytes) = state.store.size_bytes(&sha256) else {
        return refusal(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    // Not the file's SHA-256, though it looks like one: the storage behind the Hub has ETags of its own.
    let etag = format!("\"{}\"", hex(&Sha256::digest(&sha256)));
    Answer::file(state.store.path(&sha256), size_bytes, &etag, &parts.headers)
        .with(CONTENT_DISPOSITION, &disposition(&path))
}
