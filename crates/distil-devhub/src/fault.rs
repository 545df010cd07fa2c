//! Faults to order.

use std::str::FromStr;

use crate::DevHubError;
use crate::record::{RequestRecord, Server};

/// What is done to an answer.
///
/// The first group replaces an answer whole and counts every matching request. The others change an answer that is
/// made, and count only where there is something to change: bytes of a body for the faults of bodies (so a redirect or
/// a `HEAD` uses none of them up), an ETag to drop, a size to lie about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Answers with this status and the body `{"error": ...}`.
    Status {
        /// From 400 to 599 for a failure.
        status: u16,
        /// The header `Retry-After`: seconds or an HTTP date.
        retry_after: Option<String>,
    },
    /// Answers with this status and the header `Location`.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// As it stands in the header.
        location: String,
    },
    /// Answers 200 with this text as `application/json`: whatever a hostile Hub may say.
    AnswerWith(String),
    /// Answers 200 with a page of HTML, as a captive portal does.
    NotJson,
    /// Takes the request and stays silent, with the connection open.
    NeverAnswer,
    /// Takes the request and resets the connection.
    Reset,
    /// Takes the request and closes the connection in good order.
    CloseBeforeAnswer,

    /// Announces the whole length, sends this many bytes and closes.
    CutBodyAfter(u64),
    /// Announces the whole length, sends this many bytes and resets.
    ResetBodyAfter(u64),
    /// Announces the whole length, sends this many bytes and stays silent.
    StallBodyAfter(u64),
    /// Sends bodies no faster than this.
    SlowBody {
        /// At least 1.
        bytes_per_second: u64,
    },
    /// Inverts all bits of the byte at this offset of the file, where the body holds it.
    FlipByte(u64),
    /// Answers a range with 200 and everything.
    IgnoreRange,
    /// Announces a `Content-Length` that is wrong by so much: more than is sent before the connection closes, or less,
    /// and then the body ends there.
    WrongLength(i64),
    /// Begins the JSON with blanks, so that it has this many bytes in all and ends only there. No length is announced.
    OversizedJson(u64),
    /// Leaves `ETag` and `X-Linked-Etag` out.
    DropEtag,
    /// States this size for all files: in JSON, `X-Linked-Size` and the total of `Content-Range`.
    LieAboutSize(u64),
}

impl FaultKind {
    /// True where the fault replaces an answer whole.
    pub(crate) fn replaces_answer(&self) -> bool {
        matches!(
            self,
            FaultKind::Status { .. }
                | FaultKind::Redirect { .. }
                | FaultKind::AnswerWith(_)
                | FaultKind::NotJson
                | FaultKind::NeverAnswer
                | FaultKind::Reset
                | FaultKind::CloseBeforeAnswer
        )
    }
}

/// A fault, and for which requests: by default all of them, for ever.
///
/// ```
/// use distil_devhub::{Fault, FaultKind};
///
/// // The first two answers about anything of alice are 503.
/// let busy = Fault::new(FaultKind::Status { status: 503, retry_after: Some("1".to_owned()) }).on("/alice/").times(2);
/// // The second download of these weights breaks off after 1,000 bytes. Content of LFS files comes from `/cdn/`.
/// let cut = Fault::new(FaultKind::CutBodyAfter(1000)).on("/cdn/").on("model.safetensors").method("GET").after(1).times(1);
/// assert_eq!(cut, "cut-body-after=1000;on=/cdn/;on=model.safetensors;method=GET;after=1;times=1".parse()?);
/// # Ok::<(), distil_devhub::DevHubError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    parts_of_path: Vec<String>,
    method: Option<String>,
    server: Option<Server>,
    after: u64,
    times: Option<u64>,
}

impl Fault {
    /// This fault for every request.
    pub fn new(kind: FaultKind) -> Self {
        Fault { kind, parts_of_path: Vec::new(), method: None, server: None, after: 0, times: None }
    }

    /// Only for requests whose path and query, as sent or with its percent-escapes decoded, have this in them. Given
    /// more than once, all have to be there.
    pub fn on(mut self, part_of_path: &str) -> Self {
        self.parts_of_path.push(part_of_path.to_owned());
        self
    }

    /// Only for this method: `GET`, `HEAD` or `POST`.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_ascii_uppercase());
        self
    }

    /// Only for requests to this of the two servers.
    pub fn at(mut self, server: Server) -> Self {
        self.server = Some(server);
        self
    }

    /// Passes over this many matching requests first.
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    /// Strikes this often, then no more.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn matches(&self, request: &RequestRecord, decoded_path: &str) -> bool {
        self.method.as_ref().is_none_or(|method| *method == request.method)
            && self.server.is_none_or(|server| server == request.server)
            && self.parts_of_path.iter().all(|part| request.path.contains(part) || decoded_path.contains(part))
    }
}

/// Reads `kind[=value]` and then, each after a semicolon, any of `on=`, `method=`, `server=hub|cdn`, `after=`, `times=`
/// and, for `status`, `retry-after=`. The kinds are `status`, `not-json`, `never-answer`, `reset`,
/// `close-before-answer`, `cut-body-after`, `reset-body-after`, `stall-body-after`, `slow-body`, `flip-byte`,
/// `ignore-range`, `wrong-length`, `oversized-json`, `drop-etag` and `lie-about-size`.
impl FromStr for Fault {
    type Err = DevHubError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| DevHubError::FaultText { text: text.chars().take(200).collect(), problem })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let mut items = text.split(';').map(|item| match item.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (item, None),
    });
    let (name, value) = items.next().unwrap_or_default();
    let mut fault = Fault::new(parse_kind(name, value)?);
    for (name, value) in items {
        let value = value.ok_or_else(|| format!("{name:?} needs a value, as in {name}=..."))?;
        fault = match name {
            "on" => fault.on(value),
            "method" => fault.method(value),
            "server" => fault.at(match value {
                "hub" => Server::Hub,
                "cdn" => Server::Cdn,
                other => return Err(format!("server {other:?} is neither hub nor cdn")),
            }),
            "after" => fault.after(number(name, value)?),
            "times" => fault.times(number(name, value)?),
            "retry-after" => match &mut fault.kind {
                FaultKind::Status { retry_after, .. } => {
                    *retry_after = Some(value.to_owned());
                    fault
                }
                _ => return Err("retry-after belongs to status alone".to_owned()),
            },
            other => return Err(format!("{other:?} is none of on, method, server, after, times, retry-after")),
        };
    }
    Ok(fault)
}

fn parse_kind(name: &str, value: Option<&str>) -> Result<FaultKind, String> {
    let given = value.ok_or_else(|| format!("{name} needs a number, as in {name}=100"));
    let kind = match name {
        "not-json" => FaultKind::NotJson,
        "never-answer" => FaultKind::NeverAnswer,
        "reset" => FaultKind::Reset,
        "close-before-answer" => FaultKind::CloseBeforeAnswer,
        "ignore-range" => FaultKind::IgnoreRange,
        "drop-etag" => FaultKind::DropEtag,
        "status" => FaultKind::Status { status: status(given?)?, retry_after: None },
        "cut-body-after" => FaultKind::CutBodyAfter(number(name, given?)?),
        "reset-body-after" => FaultKind::ResetBodyAfter(number(name, given?)?),
        "stall-body-after" => FaultKind::StallBodyAfter(number(name, given?)?),
        "slow-body" => FaultKind::SlowBody { bytes_per_second: number(name, given?)? },
        "flip-byte" => FaultKind::FlipByte(number(name, given?)?),
        "wrong-length" => FaultKind::WrongLength(number(name, given?)?),
        "oversized-json" => FaultKind::OversizedJson(number(name, given?)?),
        "lie-about-size" => FaultKind::LieAboutSize(number(name, given?)?),
        other => return Err(format!("{other:?} is no kind of fault; see the documentation of Fault for all of them")),
    };
    let takes_no_value = matches!(
        kind,
        FaultKind::NotJson
            | FaultKind::NeverAnswer
            | FaultKind::Reset
            | FaultKind::CloseBeforeAnswer
            | FaultKind::IgnoreRange
            | FaultKind::DropEtag
    );
    if takes_no_value && value.is_some() { Err(format!("{name} takes no value")) } else { Ok(kind) }
}

fn number<N: FromStr>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{name}={text:?} is not a whole number in range"))
}

fn status(text: &str) -> Result<u16, String> {
    let status: u16 = number("status", text)?;
    if (200..600).contains(&status) { Ok(status) } else { Err(format!("status {status} is not from 200 to 599")) }
}

/// The faults that were ordered, and how often each was met.
#[derive(Debug, Default)]
pub(crate) struct FaultBook(Vec<Ordered>);

#[derive(Debug)]
struct Ordered {
    fault: Fault,
    met: u64,
    struck: u64,
}

impl FaultBook {
    pub(crate) fn order(&mut self, fault: Fault) {
        self.0.push(Ordered { fault, met: 0, struck: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The oldest fault that replaces this request's answer and has not run out.
    pub(crate) fn take_replacing(&mut self, request: &RequestRecord, decoded_path: &str) -> Option<FaultKind> {
        self.0
            .iter_mut()
            .filter(|ordered| ordered.fault.kind.replaces_answer() && ordered.fault.matches(request, decoded_path))
            .find_map(Ordered::strike)
    }

    /// All faults that change this request's answer and have not run out.
    pub(crate) fn take_changing(
        &mut self,
        request: &RequestRecord,
        decoded_path: &str,
        applies: impl Fn(&FaultKind) -> bool,
    ) -> Vec<FaultKind> {
        self.0
            .iter_mut()
            .filter(|ordered| {
                !ordered.fault.kind.replaces_answer()
                    && applies(&ordered.fault.kind)
                    && ordered.fault.matches(request, decoded_path)
            })
            .filter_map(Ordered::strike)
            .collect()
    }
}

impl Ordered {
    fn strike(&mut self) -> Option<FaultKind> {
        if self.fault.times.is_some_and(|times| self.struck >= times) {
            return None;
        }
        self.met += 1;
        if self.met <= self.fault.after {
            return None;
        }
        self.struck += 1;
        Some(self.fault.kind.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_are_read_from_text() {
        let busy = FaultKind::Status { status: 429, retry_after: Some("Wed, 21 Oct 2026 07:28:00 GMT".to_owned()) };
        let expected = Fault::new(busy).on("/api/").at(Server::Hub).times(2);
        let text = "status=429;retry-after=Wed, 21 Oct 2026 07:28:00 GMT;on=/api/;server=hub;times=2";
        assert_eq!(text.parse::<Fault>().unwrap(), expected);
        assert_eq!("wrong-length=-3".parse::<Fault>().unwrap(), Fault::new(FaultKind::WrongLength(-3)));
        for bad in [
            "",
            "status",
            "status=99",
            "status=x",
            "reset=1",
            "boom",
            "reset;times",
            "reset;times=-1",
            "reset;x=1",
            "reset;server=moon",
            "reset;retry-after=1",
            "flip-byte",
        ] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_fault_or_an_error(text in "\\PC{0,60}|(status|slow-body|reset)(=[0-9]{0,5})?(;(on|times|after)=[a-z0-9]{0,4}){0,3}") {
            let _ = text.parse::<Fault>();
        }
    }
}
