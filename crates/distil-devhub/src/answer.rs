//! An answer before it goes out: the place where faults are put in.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, IF_RANGE, LOCATION,
    RANGE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::body::{self, After, Plan, Source};
use crate::connection::{ConnectionHandle, Ending};
use crate::fault::FaultKind;
use crate::git::hex;
use crate::range::{self, Asked};
use crate::record::LoggedRequest;

pub(crate) const X_ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
pub(crate) const X_ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
pub(crate) const X_LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
pub(crate) const X_LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
pub(crate) const X_REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Nothing,
    Text(String),
    Json(Value),
    /// A file or part of one, and the file's size.
    File(Source, u64),
}

/// Text from outside may hold what a header may not.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let plain: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
        HeaderValue::from_str(&plain).unwrap_or(HeaderValue::from_static("?"))
    })
}

impl Answer {
    fn new(status: StatusCode, content: Content) -> Self {
        Answer { status, headers: HeaderMap::new(), content }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.insert(name, header_value(value));
        self
    }

    pub(crate) fn text(status: StatusCode, content_type: &str, text: &str) -> Self {
        Answer::new(status, Content::Text(text.to_owned())).with(CONTENT_TYPE, content_type)
    }

    /// A refusal as the Hub words it.
    pub(crate) fn refusal(status: StatusCode, code: Option<&str>, message: &str) -> Self {
        let mut answer = Answer::new(status, Content::Json(json!({ "error": message })))
            .with(CONTENT_TYPE, "application/json; charset=utf-8")
            .with(X_ERROR_MESSAGE, message);
        if let Some(code) = code {
            answer = answer.with(X_ERROR_CODE, code);
        }
        answer
    }

    pub(crate) fn redirect(status: StatusCode, location: &str) -> Self {
        Answer::text(status, "text/plain; charset=utf-8", &format!("Redirecting to {location}"))
            .with(LOCATION, location)
    }

    pub(crate) fn not_modified(etag: &str) -> Self {
        Answer::new(StatusCode::NOT_MODIFIED, Content::Nothing).with(ETAG, etag)
    }

    /// 200 with a weak ETag of the content, or 304 where the client has it.
    pub(crate) fn json(value: Value, asked: &HeaderMap) -> Self {
        use sha1::{Digest, Sha1};
        let text = value.to_string();
        let etag = format!("W/\"{:x}-{}\"", text.len(), &hex(&Sha1::digest(&text))[..27]);
        if none_match_names(asked, &etag) {
            return Answer::not_modified(&etag);
        }
        Answer::new(StatusCode::OK, Content::Json(value))
            .with(CONTENT_TYPE, "application/json; charset=utf-8")
            .with(ETAG, &etag)
    }

    /// A file with its (strong) ETag: whole, in part, or not at all, as the conditions asked for have it.
    pub(crate) fn file(path: std::path::PathBuf, size_bytes: u64, etag: &str, asked: &HeaderMap) -> Self {
        if none_match_names(asked, etag) {
            return Answer::not_modified(etag);
        }
        // A range goes with the condition that the file is still the same: else everything is sent.
        let unchanged = text_of(asked, IF_RANGE).is_none_or(|condition| condition == etag);
        let range = text_of(asked, RANGE).filter(|_| unchanged);
        let (status, part) = match range::read(range, size_bytes) {
            Asked::All => (StatusCode::OK, 0..size_bytes),
            Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
            Asked::Unsatisfiable => {
                return Answer::text(StatusCode::RANGE_NOT_SATISFIABLE, "text/plain", "The range is beyond the file")
                    .with(CONTENT_RANGE, &format!("bytes */{size_bytes}"));
            }
        };
        let content_range = format!("bytes {}-{}/{size_bytes}", part.start, part.end.saturating_sub(1));
        let answer = Answer::new(status, Content::File(Source::File(path, part), size_bytes))
            .with(CONTENT_TYPE, "application/octet-stream")
            .with(ACCEPT_RANGES, "bytes")
            .with(ETAG, etag);
        if status == StatusCode::PARTIAL_CONTENT { answer.with(CONTENT_RANGE, &content_range) } else { answer }
    }

    /// The answer that a fault puts in the place of the true one; `None` for those that answer nothing.
    pub(crate) fn of_fault(kind: &FaultKind) -> Option<Self> {
        let status = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Some(match kind {
            FaultKind::Status { status: number, retry_after } => {
                let status = status(*number);
                let answer = Answer::refusal(status, None, status.canonical_reason().unwrap_or("A fault to order"));
                match retry_after {
                    Some(text) => answer.with(RETRY_AFTER, text),
                    None => answer,
                }
            }
            FaultKind::Redirect { status: number, location } => Answer::redirect(status(*number), location),
            FaultKind::AnswerWith(text) => Answer::text(StatusCode::OK, "application/json; charset=utf-8", text),
            FaultKind::NotJson => {
                let page = "<!DOCTYPE html><html><body>Log in to use this network</body></html>";
                Answer::text(StatusCode::OK, "text/html; charset=utf-8", page)
            }
            _ => return None,
        })
    }

    /// True where the fault finds something here to change.
    pub(crate) fn is_touched_by(&self, kind: &FaultKind, method: &Method) -> bool {
        let has_body = self.status.is_success() && method != Method::HEAD;
        match kind {
            FaultKind::DropEtag => self.headers.contains_key(ETAG) || self.headers.contains_key(X_LINKED_ETAG),
            FaultKind::LieAboutSize(_) => {
                matches!(self.content, Content::Json(_)) && self.status.is_success()
                    || self.headers.contains_key(X_LINKED_SIZE)
                    || self.headers.contains_key(CONTENT_RANGE)
            }
            FaultKind::IgnoreRange => self.status == StatusCode::PARTIAL_CONTENT,
            FaultKind::OversizedJson(_) => has_body && matches!(self.content, Content::Json(_)),
            FaultKind::FlipByte(offset) => {
                has_body
                    && match &self.content {
                        Content::File(Source::File(_, part), _) => part.contains(offset),
                        _ => true,
                    }
            }
            FaultKind::WrongLength(_) => self.status.is_success(),
            _ => has_body,
        }
    }

    /// Makes the response, with these faults in it.
    pub(crate) fn into_response(
        mut self,
        faults: &[FaultKind],
        method: &Method,
        connection: &ConnectionHandle,
        logged: &Arc<LoggedRequest>,
    ) -> Response<Body> {
        for fault in faults {
            self.change_head(fault);
        }
        let memory = |text: String| Source::Memory(Bytes::from(text));
        let source = match self.content {
            Content::Nothing => Source::Memory(Bytes::new()),
            Content::Text(text) => memory(text),
            Content::Json(value) => memory(value.to_string()),
            Content::File(source, _) => source,
        };
        let limit_bytes = u64::MAX;
        let mut plan =
            Plan { source, limit_bytes, after: After::Complete, flipped: Vec::new(), bytes_per_second: None };
        let mut announced = Some(plan.source.size_bytes());
        for fault in faults {
            change_body(fault, &mut plan, &mut announced);
        }
        if self.status != StatusCode::NOT_MODIFIED
            && let Some(length) = announced
        {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let no_body = method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED;
        let body = if no_body { Body::empty() } else { body::body(plan, connection.clone(), Arc::clone(logged)) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    /// Turns part of a file into all of it.
    pub(crate) fn ignore_range(&mut self) {
        if let Content::File(Source::File(_, part), size_bytes) = &mut self.content {
            *part = 0..*size_bytes;
            self.status = StatusCode::OK;
            self.headers.remove(CONTENT_RANGE);
        }
    }

    /// Faults of headers and values.
    fn change_head(&mut self, fault: &FaultKind) {
        match fault {
            FaultKind::DropEtag => {
                self.headers.remove(ETAG);
                self.headers.remove(X_LINKED_ETAG);
            }
            FaultKind::LieAboutSize(size) => {
                if let Content::Json(value) = &mut self.content {
                    restate_sizes(value, *size);
                }
                if self.headers.contains_key(X_LINKED_SIZE) {
                    self.headers.insert(X_LINKED_SIZE, HeaderValue::from(*size));
                }
                let range = text_of(&self.headers, CONTENT_RANGE).and_then(|text| text.split_once('/'));
                if let Some((part, _)) = range {
                    let restated = header_value(&format!("{part}/{size}"));
                    self.headers.insert(CONTENT_RANGE, restated);
                }
            }
            _ => {}
        }
    }
}

fn change_body(fault: &FaultKind, plan: &mut Plan, announced: &mut Option<u64>) {
    let size_bytes = plan.source.size_bytes();
    match fault {
        FaultKind::CutBodyAfter(bytes) if *bytes < size_bytes => {
            (plan.limit_bytes, plan.after) = (*bytes, After::Ends(Ending::Close));
        }
        FaultKind::ResetBodyAfter(bytes) if *bytes < size_bytes => {
            (plan.limit_bytes, plan.after) = (*bytes, After::Ends(Ending::Reset));
        }
        FaultKind::StallBodyAfter(bytes) if *bytes < size_bytes => {
            (plan.limit_bytes, plan.after) = (*bytes, After::StaysSilent);
        }
        FaultKind::SlowBody { bytes_per_second } => plan.bytes_per_second = Some(*bytes_per_second),
        FaultKind::FlipByte(offset) => plan.flipped.push(*offset),
        FaultKind::WrongLength(by) => {
            let length = size_bytes.saturating_add_signed(*by);
            *announced = Some(length);
            if length > size_bytes {
                plan.after = After::Ends(Ending::Close);
            } else {
                plan.limit_bytes = plan.limit_bytes.min(length);
            }
        }
        FaultKind::OversizedJson(bytes) => {
            if let Source::Memory(json) = &plan.source {
                plan.source = Source::BlanksThen(bytes.saturating_sub(json.len() as u64), json.clone());
                *announced = None;
            }
        }
        _ => {}
    }
}

/// Sets every `size` of a JSON value that is a number.
fn restate_sizes(value: &mut Value, size: u64) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| restate_sizes(item, size)),
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "size" && field.is_number() {
                    *field = size.into();
                } else {
                    restate_sizes(field, size);
                }
            }
        }
        _ => {}
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// True where `If-None-Match` names this ETag or any; weak and strong ones are compared by their text.
pub(crate) fn none_match_names(asked: &HeaderMap, etag: &str) -> bool {
    let plain = |text: &str| text.trim().trim_start_matches("W/").to_owned();
    asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|named| named.trim() == "*" || plain(named) == plain(etag))
}
