use crate::{HubError, error::Result};
use std::{fmt, path::PathBuf, time::Duration};
use url::Url;

/// An access token. It is never shown: neither `Debug` nor an error holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token as the Hub hands it out.
    ///
    /// # Errors
    ///
    /// It is empty, or holds what cannot stand in a header.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = "a token is one word of printable ASCII characters, such as hf_…".to_owned();
            return Err(HubError::Setting { setting: "HF_TOKEN", reason });
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How long is waited for what, and how often it is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// The longest silence: before an answer begins, and within its body.
    pub silence: Duration,
    /// The longest time of one request as a whole, plus one second for each 64 KiB it may bring. A download is
    /// bounded by its silences alone.
    pub request: Duration,
    /// Tries in all, the first one included. For a download: tries in a row that bring no byte.
    pub attempts: u32,
    /// Before the second try; it doubles with each one.
    pub first_wait: Duration,
    /// The longest wait before a try. Where the Hub asks for more, the error tells so instead of waiting.
    pub longest_wait: Duration,
    /// Seed of the jitter that keeps many clients from trying again in step.
    pub jitter_seed: u64,
}

impl Default for Patience {
    /// For the real Hub: 10 s to connect, 30 s of silence, 60 s a request, five tries, waits from half a second to 20 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            request: Duration::from_secs(60),
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
            jitter_seed: 0,
        }
    }
}

/// Where the Hub is, who we are, where downloads lie, and how patient we are.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HubSettings {
    /// The Hub's address, without a slash at the end.
    pub endpoint: String,
    /// Who we are; public repositories need none.
    pub token: Option<Token>,
    /// The folder of downloads, in the layout that huggingface_hub and hf-hub share.
    pub cache: PathBuf,
    /// No request is made: only what the cache holds can be had.
    pub offline: bool,
    /// How long and how often.
    pub patience: Patience,
}

/// The Hub itself.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

impl HubSettings {
    /// An endpoint and a cache, no token, [`Patience::default`].
    ///
    /// # Errors
    ///
    /// The endpoint is not an http or https address, or holds a query, a fragment or a password.
    pub fn new(endpoint: &str, cache: PathBuf) -> Result<Self> {
        let endpoint = check_endpoint(endpoint)?;
        Ok(Self { endpoint, token: None, cache, offline: false, patience: Patience::default() })
    }

    /// Reads the variables that the Hub's own clients read: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`,
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HOME`, `HF_HUB_CACHE` (or `HUGGINGFACE_HUB_CACHE`) and `HF_HUB_OFFLINE`;
    /// `XDG_CACHE_HOME` and `HOME` where those leave the folder open. The token file is `$HF_HOME/token`, as
    /// `hf auth login` writes it.
    ///
    /// `variable` looks one up; programs pass `|name| std::env::var(name).ok()`.
    ///
    /// # Errors
    ///
    /// A variable cannot be used, no folder for the cache can be told, or the token file cannot be read.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let is_set = |name: &str| {
            get(name)
                .is_some_and(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
        };
        let home = match (get("HF_HOME"), get("XDG_CACHE_HOME"), get("HOME")) {
            (Some(home), _, _) => Some(PathBuf::from(home)),
            (None, Some(caches), _) => Some(PathBuf::from(caches).join("huggingface")),
            (None, None, Some(home)) => Some(PathBuf::from(home).join(".cache/huggingface")),
            (None, None, None) => None,
        };
        let cache = get("HF_HUB_CACHE")
            .or_else(|| get("HUGGINGFACE_HUB_CACHE"))
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|home| home.join("hub")));
        let Some(cache) = cache else {
            let reason = "neither it nor HF_HUB_CACHE nor HOME is set: no folder to keep downloads in".to_owned();
            return Err(HubError::Setting { setting: "HF_HOME", reason });
        };
        let mut settings = Self::new(get("HF_ENDPOINT").as_deref().unwrap_or(DEFAULT_ENDPOINT), cache)?;
        settings.offline = is_set("HF_HUB_OFFLINE");
        settings.token = match get("HF_TOKEN") {
            _ if is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN") => None,
            Some(token) => Some(Token::new(&token)?),
            None => match get("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| home.map(|home| home.join("token"))) {
                Some(path) => read_token(path)?,
                None => None,
            },
        };
        Ok(settings)
    }
}

/// A token's file; it need not exist.
fn read_token(path: PathBuf) -> Result<Option<Token>> {
    use std::io::{ErrorKind, Read as _};
    const MAX_BYTES: u64 = 4096;
    let mut text = String::new();
    match std::fs::File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)) {
        Ok(_) if text.trim().is_empty() => Ok(None),
        Ok(_) => Token::new(&text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HubError::File { path, source }),
    }
}

fn check_endpoint(text: &str) -> Result<String> {
    // What was given is not quoted: it may hold a password.
    let error = |reason: &str| HubError::Setting {
        setting: "HF_ENDPOINT",
        reason: format!("{reason}; an address such as {DEFAULT_ENDPOINT} is meant"),
    };
    let url = Url::parse(text.trim()).map_err(|problem| error(&problem.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(error("not an http or https address"));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(error("holds more than an address"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<HubSettings> {
        HubSettings::from_environment(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_is_read_as_the_hubs_own_clients_read_it() {
        let plain = settings(&[("HOME", "/home/me")]).unwrap();
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, PathBuf::from("/home/me/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.is_none());
        let xdg = settings(&[("HOME", "/home/me"), ("XDG_CACHE_HOME", "/caches")]).unwrap();
        assert_eq!(xdg.cache, PathBuf::from("/caches/huggingface/hub"));
        let full = settings(&[
            ("HF_HOME", "/hf"),
            ("HF_ENDPOINT", "http://127.0.0.1:9000/"),
            ("HF_TOKEN", " hf_abc\n"),
            ("HF_HUB_OFFLINE", "1"),
        ])
        .unwrap();
        assert_eq!((full.endpoint.as_str(), full.offline), ("http://127.0.0.1:9000", true));
        assert_eq!(full.cache, PathBuf::from("/hf/hub"));
        assert_eq!(full.token.as_ref().map(Token::expose), Some("hf_abc"));
        let named = settings(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/elsewhere")]).unwrap();
        assert_eq!(named.cache, PathBuf::from("/elsewhere"));
        let silent = settings(&[("HF_HOME", "/hf"), ("HF_TOKEN", "hf_abc"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert!(silent.unwrap().token.is_none());
    }

    #[test]
    fn the_token_file_of_a_login_is_read_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_secret\n").unwrap();
        let settings = settings(&[("HF_HOME", folder.path().to_str().unwrap())]).unwrap();
        assert_eq!(settings.token.as_ref().map(Token::expose), Some("hf_secret"));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (pairs, name) in [
            (&[("HF_ENDPOINT", "huggingface.co"), ("HOME", "/h")][..], "HF_ENDPOINT"),
            (&[("HF_ENDPOINT", "ftp://huggingface.co"), ("HOME", "/h")], "HF_ENDPOINT"),
            (&[("HF_ENDPOINT", "https://me:secret@huggingface.co"), ("HOME", "/h")], "HF_ENDPOINT"),
            (&[("HF_TOKEN", "two words"), ("HOME", "/h")], "HF_TOKEN"),
            (&[], "HF_HOME"),
        ] {
            let message = settings(pairs).unwrap_err().to_string();
            assert!(message.starts_with(name), "{message}");
        }
    }
}
