//! One request at a time: with a deadline, bounded, sent again where that may help, and with what went wrong told apart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, Response, StatusCode, redirect};
use url::{Origin, Url};

use crate::settings::{HubSettings, Patience};
use crate::{HubError, error::Result};

/// How a body may be slow and still be in time.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;
const MAX_REDIRECTS: usize = 5;

/// A request and how much of an answer to it is read.
pub(crate) struct Request<'a> {
    /// What errors call it.
    pub(crate) what: &'a str,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// A longer body is refused.
    pub(crate) max_body_bytes: u64,
}

/// An answer with 200, 206 or 304.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Sends requests, with the token for the Hub's own address alone.
pub(crate) struct Transport {
    client: Client,
    /// The token as a header, and the only address that it is for.
    authorization: Option<(Origin, header::HeaderValue)>,
    patience: Patience,
    requests: AtomicU64,
    bytes_received: AtomicU64,
}

impl Transport {
    pub(crate) fn new(settings: &HubSettings) -> Result<Self> {
        let patience = settings.patience.clone();
        let endpoint = Url::parse(&settings.endpoint)
            .map_err(|error| HubError::Setting { setting: "HF_ENDPOINT", reason: error.to_string() })?;
        let authorization = match &settings.token {
            None => None,
            Some(token) => {
                let mut value: header::HeaderValue = format!("Bearer {}", token.expose()).parse().map_err(|_| {
                    HubError::Setting { setting: "HF_TOKEN", reason: "cannot stand in a header".to_owned() }
                })?;
                value.set_sensitive(true);
                Some((endpoint.origin(), value))
            }
        };
        let client = Client::builder()
            .user_agent(concat!("distil/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(patience.connect)
            .read_timeout(patience.silence)
            .build()
            .map_err(|error| HubError::Setting { setting: "HF_ENDPOINT", reason: innermost(&error) })?;
        let (requests, bytes_received) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { client, authorization, patience, requests, bytes_received })
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// How long a request may take whose body has at most so many bytes.
    pub(crate) fn deadline(&self, body_bytes: u64) -> Duration {
        self.patience.request + Duration::from_secs(body_bytes / SLOWEST_BYTES_PER_SECOND)
    }

    /// Requests sent and bytes of bodies received.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes_received.load(Ordering::Relaxed))
    }

    /// Sends a request until it is answered with 200, 206 or 304, or no further try makes sense.
    pub(crate) async fn fetch(&self, request: &Request<'_>) -> Result<Answer> {
        let mut waits = Waits::new(&self.patience, request.url.as_str());
        loop {
            match self.fetch_once(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => waits.before_next_try(error).await?,
            }
        }
    }

    async fn fetch_once(&self, request: &Request<'_>) -> Result<Answer> {
        let deadline = self.deadline(request.max_body_bytes);
        let whole = async {
            let mut body = self.open(request).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = body.next().await? {
                if bytes.len() as u64 + chunk.len() as u64 > request.max_body_bytes {
                    let reason = format!("it is longer than {} bytes", request.max_body_bytes);
                    return Err(HubError::bad(request.what, reason));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(Answer { status: body.status, headers: body.headers, body: bytes.into() })
        };
        match tokio::time::timeout(deadline, whole).await {
            Ok(answer) => answer,
            Err(_) => Err(HubError::Timeout { what: request.what.to_owned(), waited: deadline }),
        }
    }

    /// Sends a request once and gives its body to be read piece by piece.
    pub(crate) async fn open<'a>(&'a self, request: &Request<'a>) -> Result<Body<'a>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let what = request.what;
        let response = self.answer(request).await?;
        let status = response.status();
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED) {
            return Err(refusal(what, &response));
        }
        let headers = response.headers().clone();
        let announced = response.content_length();
        Ok(Body {
            what,
            transport: self,
            status,
            headers,
            announced,
            received: 0,
            response: Box::pin(response.bytes_stream()),
        })
    }

    /// Sends a request and follows a few redirects. The token is looked at anew for each address: a library that follows
    /// by itself compares an address with the one before it only, and would hand it to the second of two on one host.
    async fn answer(&self, request: &Request<'_>) -> Result<Response> {
        let what = request.what;
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut builder = self.client.get(url.clone());
            for (name, value) in &request.headers {
                builder = builder.header(name, value);
            }
            if let Some((origin, value)) = &self.authorization
                && url.origin() == *origin
            {
                builder = builder.header(header::AUTHORIZATION, value);
            }
            let response = builder.send().await.map_err(|error| self.failed(what, &error, None))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            url = redirected(&url, &response).map_err(|reason| HubError::bad(what, reason))?;
        }
        Err(HubError::bad(what, "redirected too often".to_owned()))
    }

    /// What went wrong below HTTP. `progress` is bytes received and announced of a body under way.
    fn failed(&self, what: &str, error: &reqwest::Error, progress: Option<(u64, u64)>) -> HubError {
        let what = what.to_owned();
        if error.is_timeout() {
            let waited = if error.is_connect() { self.patience.connect } else { self.patience.silence };
            return HubError::Timeout { what, waited };
        }
        match progress {
            Some((received, expected)) if received < expected => HubError::CutOff { what, received, expected },
            _ => HubError::Connection { what, reason: innermost(error) },
        }
    }
}

/// A body under way.
pub(crate) struct Body<'a> {
    what: &'a str,
    transport: &'a Transport,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What `Content-Length` says.
    pub(crate) announced: Option<u64>,
    received: u64,
    response: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<Bytes>> + Send>>,
}

impl Body<'_> {
    /// The next piece, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.response.next().await {
            None => Ok(None),
            Some(Ok(chunk)) => {
                self.received += chunk.len() as u64;
                self.transport.bytes_received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Ok(Some(chunk))
            }
            Some(Err(error)) => {
                let progress = self.announced.map(|announced| (self.received, announced));
                Err(self.transport.failed(self.what, &error, progress))
            }
        }
    }
}

/// Where an answer sends us; never from https to http.
fn redirected(from: &Url, response: &Response) -> std::result::Result<Url, String> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let Some(to) = location.and_then(|location| from.join(location).ok()) else {
        return Err("redirected to no address".to_owned());
    };
    if !matches!(to.scheme(), "http" | "https") {
        return Err("redirected to what is no web address".to_owned());
    }
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err("redirected from https to http".to_owned());
    }
    Ok(to)
}

/// An answer that is not what was asked for, as an error.
fn refusal(what: &str, response: &Response) -> HubError {
    let what = what.to_owned();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let code = header("x-error-code").map(crate::text::excerpt);
    let retry_after = header("retry-after").and_then(|text| read_retry_after(text, SystemTime::now()));
    match response.status().as_u16() {
        404 => HubError::NotFound { what, code },
        status @ (401 | 403) => HubError::Refused { what, status, code },
        429 => HubError::RateLimited { what, retry_after },
        status if status == 408 || status >= 500 => HubError::Server { what, status, retry_after },
        status => HubError::BadAnswer { what, reason: format!("status {status}") },
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). At most a day is believed.
fn read_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    let wait = match text.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text.trim()).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST))
}

/// The cause at the bottom of an error, which says most.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Waits between tries: doubling, with jitter, longer where the Hub says so.
pub(crate) struct Waits<'a> {
    patience: &'a Patience,
    jitter: u64,
    tries: u32,
}

impl<'a> Waits<'a> {
    pub(crate) fn new(patience: &'a Patience, subject: &str) -> Self {
        // FNV-1a: different requests of one client wait differently, the same one always the same.
        let jitter = subject.bytes().fold(0xcbf2_9ce4_8422_2325 ^ patience.jitter_seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self { patience, jitter, tries: 0 }
    }

    /// Waits, or gives the error back where waiting is of no use.
    ///
    /// # Errors
    ///
    /// The one given.
    pub(crate) async fn before_next_try(&mut self, error: HubError) -> Result<()> {
        self.tries += 1;
        if !error.is_worth_a_retry() || self.tries >= self.patience.attempts {
            return Err(error);
        }
        let wait = self.wait(self.tries).max(error.retry_after().unwrap_or_default());
        if wait > self.patience.longest_wait {
            return Err(error);
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Something came: the next failure is again the first one.
    pub(crate) fn progressed(&mut self) {
        self.tries = 0;
    }

    /// Between half and all of `first_wait * 2^(tries - 1)`, up to `longest_wait`.
    fn wait(&self, tries: u32) -> Duration {
        let full = self.patience.first_wait.saturating_mul(1 << (tries - 1).min(20)).min(self.patience.longest_wait);
        // The finaliser of SplitMix64: one bit of difference in the subject changes half of these.
        let mut mixed = self.jitter.wrapping_add(u64::from(tries).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        full.mul_f64(0.5 + 0.5 * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        assert_eq!(read_retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(read_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(read_retry_after("Sun, 06 Nov 1994 08:40:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(read_retry_after("999999999", now), Some(Duration::from_secs(86_400)));
        assert_eq!(read_retry_after("soon", now), None);
        assert_eq!(read_retry_after("-1", now), None);
    }

    /// Answers each request by what its path asks for, and keeps whether it had a token.
    fn serve(answers: impl Fn(&str) -> String + Send + 'static) -> (String, std::sync::mpsc::Receiver<(String, bool)>) {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (sender, received) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map(|line| line.unwrap().to_ascii_lowercase())
                    .take_while(|line| !line.is_empty())
                    .collect();
                let path = lines[0].split(' ').nth(1).unwrap().to_owned();
                let had_token = lines.iter().any(|line| line.starts_with("authorization:"));
                stream.write_all(answers(&path).as_bytes()).unwrap();
                if sender.send((path, had_token)).is_err() {
                    return;
                }
            }
        });
        (address, received)
    }

    fn redirect(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }

    fn get(address: &str, path: &str) -> Result<Answer> {
        let mut settings = HubSettings::new(address, std::env::temp_dir()).unwrap();
        settings.token = Some(crate::Token::new("hf_secret").unwrap());
        settings.patience.attempts = 1;
        let transport = Transport::new(&settings).unwrap();
        let url = Url::parse(address).unwrap().join(path).unwrap();
        let request = Request { what: "a file", url, headers: Vec::new(), max_body_bytes: 100 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(transport.fetch(&request))
    }

    #[test]
    fn the_token_goes_to_the_hub_alone_however_often_one_is_sent_on() {
        let body = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
        // The content network sends on to itself once more.
        let (network, at_network) = serve(move |path| match path {
            "/first" => redirect("/second"),
            _ => body.to_owned(),
        });
        let (hub, at_hub) = serve(move |path| match path {
            "/file" => redirect("/moved"),
            "/moved" => redirect(&format!("{network}/first")),
            "/round" => redirect("/round"),
            "/ftp" => redirect("ftp://example.org/file"),
            _ => redirect("http://["),
        });
        assert_eq!(get(&hub, "/file").unwrap().body, "ok");
        assert_eq!(at_hub.try_iter().collect::<Vec<_>>(), [("/file".to_owned(), true), ("/moved".to_owned(), true)]);
        let seen: Vec<_> = at_network.try_iter().collect();
        assert_eq!(seen, [("/first".to_owned(), false), ("/second".to_owned(), false)]);
        for (path, problem) in [("/round", "too often"), ("/ftp", "no web address"), ("/bad", "no address")] {
            let error = get(&hub, path).unwrap_err();
            assert!(matches!(&error, HubError::BadAnswer { reason, .. } if reason.contains(problem)), "{error}");
        }
    }

    #[test]
    fn waits_double_with_jitter_and_are_the_same_for_the_same_request() {
        let patience = Patience { first_wait: Duration::from_millis(100), ..Patience::default() };
        let waits = Waits::new(&patience, "https://huggingface.co/a");
        for tries in 1..12 {
            let full = Duration::from_millis(100 << (tries - 1)).min(patience.longest_wait);
            let wait = waits.wait(tries);
            assert!(wait >= full / 2 && wait <= full, "{tries}: {wait:?} of {full:?}");
            assert_eq!(wait, Waits::new(&patience, "https://huggingface.co/a").wait(tries));
        }
        assert_ne!(waits.wait(3), Waits::new(&patience, "https://huggingface.co/b").wait(3));
    }
}
