//! Requests to the hub: the token where it belongs, redirects, timeouts, and a second try where one may help.

use std::io::Error as IoError;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body, Timeout};

use super::{Error, Reference, Settings, Watch};

/// Attempts in a row that bring nothing, after which a request is given up.
const ATTEMPTS: u32 = 5;

/// The same where not even a connection comes about: most likely there is no network.
const ATTEMPTS_TO_REACH: u32 = 2;

/// Before the second attempt; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A longer wait that a server asks for is left to the user.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// So often a pause looks whether the user wants to stop.
const BEAT: Duration = Duration::from_millis(100);

const MAX_REDIRECTS: usize = 10;

pub struct Client {
    agent: Agent,
    pub endpoint: String,
    token: Option<String>,
    token_file: PathBuf,
    cache: PathBuf,
    patience: Duration,
}

/// What is wanted of a file.
#[derive(Clone, Copy)]
pub enum Ask {
    /// What it is, without the file itself.
    Head,
    /// The file, from this byte on.
    From(u64),
}

/// How an attempt failed.
pub enum Trouble {
    /// Another attempt would end alike.
    Final(Error),
    /// Another attempt may do better, after the time that the server asks for.
    Passing { error: Failing, wait: Option<Duration> },
}

/// A failure that counts once it has repeated itself.
pub enum Failing {
    Status(u16),
    Stalled,
    Broken(String),
    Unreachable(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Final(error)
    }
}

impl Client {
    pub fn new(settings: &Settings) -> Client {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("sweep/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(settings.patience))
            .timeout_connect(Some(settings.patience))
            .timeout_per_read(Some(settings.patience))
            .timeout_per_write(Some(settings.patience))
            .build()
            .new_agent();
        Client {
            agent,
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            token_file: settings.token_file.clone(),
            cache: settings.cache.clone(),
            patience: settings.patience,
        }
    }

    /// Asks once. The answer is a success, or, to [`Ask::Head`], a redirect that says which content it leads to.
    pub fn once(&self, about: &Reference, ask: Ask, url: &str) -> Result<Response<Body>, Trouble> {
        let home = origin(url);
        let mut url = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let mut request = match ask {
                Ask::Head => self.agent.head(&url),
                Ask::From(_) => self.agent.get(&url),
            };
            // Signed addresses of a content network need no token, and must not learn it.
            if let Some(token) = self.token.as_ref().filter(|_| origin(&url) == home) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            if let Ask::From(start @ 1..) = ask {
                request = request.header("range", format!("bytes={start}-"));
            }
            let response = request.call().map_err(|error| self.trouble(error))?;
            let status = response.status();
            let is_answer = matches!(ask, Ask::Head) && header(response.headers(), "x-linked-etag").is_some();
            if status.is_success() || (status.is_redirection() && is_answer) {
                return Ok(response);
            }
            if !status.is_redirection() {
                return Err(self.refusal(about, &url, origin(&url) == home, &response));
            }
            url = header(response.headers(), "location")
                .and_then(|location| join(&url, location))
                .ok_or_else(|| odd(&url, "a redirect that leads nowhere"))?;
        }
        Err(odd(&url, "redirected in a circle").into())
    }

    /// Asks until it is answered or there is no hope.
    pub fn ask(&self, about: &Reference, ask: Ask, url: &str, watch: &dyn Watch) -> Result<Response<Body>, Error> {
        self.persist(url, watch, || self.once(about, ask, url), || false)
    }

    /// Repeats an attempt while it fails in passing; `moved` says whether the last one brought something all the same.
    pub fn persist<T>(
        &self,
        url: &str,
        watch: &dyn Watch,
        mut attempt: impl FnMut() -> Result<T, Trouble>,
        mut moved: impl FnMut() -> bool,
    ) -> Result<T, Error> {
        let mut failures = 0;
        loop {
            if watch.is_stopped() {
                return Err(Error::Stopped);
            }
            let (error, wait) = match attempt() {
                Ok(done) => return Ok(done),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Passing { error, wait }) => (error, wait),
            };
            if moved() {
                failures = 0;
            }
            failures += 1;
            if let (Some(wait), Failing::Status(status)) = (wait.filter(|&wait| wait > LONGEST_PAUSE), &error) {
                return Err(Error::Wait { seconds: wait.as_secs(), status: *status });
            }
            let limit = if matches!(error, Failing::Unreachable(_)) { ATTEMPTS_TO_REACH } else { ATTEMPTS };
            if failures >= limit {
                return Err(self.given_up(url, error, failures));
            }
            let pause = wait.unwrap_or(FIRST_PAUSE * 2_u32.pow(failures - 1));
            let what = match &error {
                Failing::Status(status) => format!("answered {status}"),
                Failing::Stalled => format!("nothing came for {} s", self.patience.as_secs_f64()),
                Failing::Broken(why) | Failing::Unreachable(why) => why.clone(),
            };
            watch.note(&format!("{url}: {what}; again in {} s", pause.as_secs_f64()));
            let end = Instant::now() + pause;
            while Instant::now() < end && !watch.is_stopped() {
                std::thread::sleep(BEAT.min(end.saturating_duration_since(Instant::now())));
            }
        }
    }

    fn given_up(&self, url: &str, error: Failing, attempts: u32) -> Error {
        let url = url.to_owned();
        match error {
            Failing::Status(status) => Error::Busy { url, status, attempts },
            Failing::Stalled => Error::Stalled { url, seconds: self.patience.as_secs_f64(), attempts },
            Failing::Broken(why) => Error::Broken { url, why, attempts },
            Failing::Unreachable(why) => {
                Error::Unreachable { endpoint: self.endpoint.clone(), why, cache: self.cache.clone() }
            }
        }
    }

    fn trouble(&self, error: ureq::Error) -> Trouble {
        let again = |error| Trouble::Passing { error, wait: None };
        match error {
            ureq::Error::HostNotFound => again(Failing::Unreachable("its name is not known here".to_owned())),
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                again(Failing::Unreachable("no connection in time".to_owned()))
            }
            ureq::Error::ConnectionFailed => again(Failing::Unreachable("no connection".to_owned())),
            ureq::Error::Timeout(_) => again(Failing::Stalled),
            ureq::Error::Io(error) => again(broken(&error)),
            // A certificate that is not trusted, a proxy that is not one: the same next time.
            error => Trouble::Final(Error::Unreachable {
                endpoint: self.endpoint.clone(),
                why: error.to_string(),
                cache: self.cache.clone(),
            }),
        }
    }

    fn refusal(&self, about: &Reference, url: &str, is_home: bool, response: &Response<Body>) -> Trouble {
        let (status, code) = (response.status().as_u16(), header(response.headers(), "x-error-code"));
        let (about, has_token, token_file) = (about.clone(), self.token.is_some(), self.token_file.clone());
        let error = match (status, code) {
            (408 | 416 | 429 | 500..=599, _) => {
                let wait = header(response.headers(), "retry-after").and_then(|text| text.trim().parse().ok());
                return Trouble::Passing { error: Failing::Status(status), wait: wait.map(Duration::from_secs) };
            }
            // A signed address is old after a while; the hub gives a fresh one.
            (401 | 403, _) if !is_home => return Trouble::Passing { error: Failing::Status(status), wait: None },
            (_, Some("RevisionNotFound")) => Error::NoRevision { about },
            (404, Some("EntryNotFound")) => Error::Lacks { what: format!("file at {url}"), about },
            (_, Some("GatedRepo")) | (403, _) => Error::Denied { about, status, has_token, token_file },
            // To those who may not see it, the hub does not say whether a repository is there.
            (401 | 404, _) => Error::NoRepository { about, has_token, token_file },
            _ => return odd(url, &format!("it answered {status}")).into(),
        };
        error.into()
    }
}

/// What a failed read means for the next attempt.
pub fn broken(error: &IoError) -> Failing {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    if matches!(inner, Some(ureq::Error::Timeout(_))) || error.kind() == std::io::ErrorKind::TimedOut {
        return Failing::Stalled;
    }
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Failing::Unreachable("the connection was refused".to_owned()),
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            Failing::Unreachable(error.to_string())
        }
        // The system's resolver gives its failures no kind of their own.
        _ if error.to_string().contains("failed to lookup address") => {
            Failing::Unreachable("its name is not known here".to_owned())
        }
        _ => Failing::Broken(error.to_string()),
    }
}

pub fn odd(url: &str, why: &str) -> Error {
    Error::Odd { url: url.to_owned(), why: why.to_owned() }
}

pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Scheme, host and port: where a token may go.
fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((uri.scheme_str()?.to_lowercase(), uri.authority()?.as_str().to_lowercase()))
}

/// Where a `Location` leads, seen from the address that answered it.
fn join(from: &str, location: &str) -> Option<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.to_owned());
    }
    let (scheme, host) = origin(from)?;
    if let Some(rest) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return Some(format!("{scheme}://{host}{location}"));
    }
    let path = from.split(['?', '#']).next()?;
    Some(format!("{}/{location}", path.rsplit_once('/')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_and_tokens_stay_at_home() {
        let from = "http://hub:80/bert/resolve/main/a.json?x=1";
        for (location, expected) in [
            ("https://cdn/a?sig=1", "https://cdn/a?sig=1"),
            ("//cdn/a", "http://cdn/a"),
            ("/org/bert/resolve/main/a.json", "http://hub:80/org/bert/resolve/main/a.json"),
            ("b.json", "http://hub:80/bert/resolve/main/b.json"),
        ] {
            assert_eq!(join(from, location).as_deref(), Some(expected));
        }
        assert_eq!(origin("HTTP://Hub:80/a"), origin("http://hub:80/b"));
        assert_ne!(origin("http://hub:80/a"), origin("http://hub:81/a"));
        assert_ne!(origin("http://hub/a"), origin("https://hub/a"));
    }
}
