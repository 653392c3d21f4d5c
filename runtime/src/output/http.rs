//! An HTTP client for outputs: one address, credentials, TLS, and what each answer means for what was sent.
//!
//! Redirects are not followed: they would carry the headers, secrets included, to somewhere nobody named.

use super::{SendError, Verdict, Which, tls};
use crate::clock;
use crate::config::{Problem, Secret, Section, Spot};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use std::sync::Arc;
use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How much of a refusal is kept to be shown.
const SHOWN: usize = 200;

/// How much of an answer is read.
const ANSWER: usize = 16 << 20;

/// The longest wait that the other side may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Where to, as whom, and how patiently.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The address.
    pub url: Secret,
    /// Headers of the operator's own.
    pub headers: Vec<(String, Secret)>,
    /// For basic authentication.
    pub user: Option<(String, Secret)>,
    /// For `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// For `https://`.
    pub tls: tls::Settings,
}

impl Settings {
    /// This address, with nothing else said.
    pub fn at(url: &str) -> Self {
        let (headers, tls) = (Vec::new(), tls::Settings::default());
        let timeout = Duration::from_secs(30);
        Self { url: url.into(), headers, user: None, token: None, timeout, tls }
    }
}

/// Reads `url`, `headers`, `username`, `password`, `token`, `timeout` and what belongs to TLS.
pub fn read(at: &mut Section<'_>, example: &str) -> Option<Settings> {
    keys(at, example, None)
}

/// The same where everybody has the same address.
pub fn read_or(at: &mut Section<'_>, default: &str) -> Option<Settings> {
    keys(at, default, Some(default))
}

fn keys(at: &mut Section<'_>, example: &str, default: Option<&str>) -> Option<Settings> {
    let timeout = at.time("timeout", ("10ms", "10m"), "30s");
    let headers = at.secrets("headers");
    for (name, value) in &headers {
        if header(name, value).is_none() {
            let spot = match at.spot_of("headers") {
                Spot::File(range) => Spot::Secret(range),
                other => other,
            };
            at.error(Problem::new(spot, format!("`{name}` cannot be sent as a header")));
        }
    }
    let user = match (at.text("username", "\"tidegate\""), at.secret_if_given("password")) {
        (Some(name), password) => Some((name, password.unwrap_or_else(|| "".into()))),
        (None, None) => None,
        (None, Some(_)) => {
            let problem = Problem::new(at.secret_spot("password"), "`password` needs a `username`".into());
            at.error(problem);
            None
        }
    };
    let token = at.secret_if_given("token");
    if user.is_some() && token.is_some() {
        let message = "`username` and `token` are two ways to say who we are".into();
        at.error(Problem::new(at.secret_spot("token"), message).hint("give one of them"));
    }
    let tls = tls::keys(at, false);
    let url = match default {
        Some(default) => at.secret_if_given("url").unwrap_or_else(|| default.into()),
        None => at.secret("url", &format!("\"{example}\""))?,
    };
    let fault = match Url::parse(url.reveal()) {
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
            Some(format!("`url` begins with {}://, http:// or https:// was expected", parsed.scheme()))
        }
        Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            Some("`url` names a user: give `username` and `password` instead".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("`url` is none: {error}")),
    };
    if let Some(message) = fault {
        at.error(Problem::new(at.secret_spot("url"), message).hint(format!("such as \"{example}\"")));
    }
    Some(Settings { url, headers, user, token, timeout, tls })
}

fn header(name: &str, value: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value.reveal()).ok()?;
    value.set_sensitive(true);
    Some((name.parse().ok()?, value))
}

/// Sends requests to one address.
#[derive(Debug)]
pub struct Client {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// How long the other side wants to be left alone.
    pub after: Option<Duration>,
    /// What it said, up to 16 MiB.
    pub body: Vec<u8>,
}

impl Client {
    /// With these settings; nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        Self::with_token_as(settings, "Bearer")
    }

    /// The same, for a server that has a word of its own for `Bearer`.
    pub fn with_token_as(settings: &Settings, scheme: &str) -> Result<Self, String> {
        let url = Url::parse(settings.url.reveal()).map_err(|error| format!("the url is none: {error}"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let (name, value) =
                header(name, value).ok_or_else(|| format!("`{name}` cannot be sent as a header"))?;
            headers.insert(name, value);
        }
        let mut authorize = |text: String| {
            let mut value =
                HeaderValue::from_str(&text).map_err(|_| "the credentials cannot be sent".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
            Ok::<_, String>(())
        };
        if let Some((name, password)) = &settings.user {
            use base64::Engine as _;
            let pair = format!("{name}:{}", password.reveal());
            authorize(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair)))?;
        }
        if let Some(token) = &settings.token {
            authorize(format!("{scheme} {}", token.reveal()))?;
        }
        let tls = match url.scheme() {
            "https" => Arc::unwrap_or_clone(settings.tls.client()?),
            _ => tls::nobody()?,
        };
        let client = reqwest::Client::builder()
            .default_headers(headers.clone())
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(settings.timeout)
            .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| causes(&error.without_url()))?;
        Ok(Self { client, url, headers })
    }

    /// The address with this behind its path, and these parameters.
    pub fn url(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        if !path.is_empty() {
            let joined = format!("{}/{}", url.path().trim_end_matches('/'), path.trim_start_matches('/'));
            url.set_path(&joined);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// A POST to this address with this body.
    pub fn post(&self, url: Url, content_type: &'static str, body: Vec<u8>) -> RequestBuilder {
        self.request(Method::POST, url).header("content-type", content_type).body(body)
    }

    /// A request to be filled.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends, and returns what was answered when that was a success; otherwise what it means.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, SendError> {
        let answer = self.exchange(request).await?;
        judge(&answer)?;
        Ok(answer)
    }

    /// Sends, and returns whatever was answered. No answer is an error that passes.
    pub async fn exchange(&self, request: RequestBuilder) -> Result<Answer, SendError> {
        // The URL may be a secret.
        let lost = |error: reqwest::Error| SendError::later(causes(&error.without_url()));
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after);
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() < ANSWER => body.extend_from_slice(&chunk),
                Ok(_) => break,
                // The status came, and says whether it was taken. Where the body matters its reader finds it cut off.
                Err(_) if !status.is_success() => break,
                Err(error) => return Err(lost(error)),
            }
        }
        body.truncate(ANSWER);
        Ok(Answer { status, after, body })
    }

    /// What would be sent, for a person. The address's own path and parameters, and the headers' values, may be secret.
    pub fn describe(&self, method: &Method, url: &Url, body: &str) -> String {
        let mut shown = url.clone();
        let hidden = self.url.path().trim_end_matches('/');
        let rest = url.path().strip_prefix(hidden).unwrap_or_default().to_owned();
        if !hidden.is_empty() {
            shown.set_path(&format!("/***{rest}"));
        }
        let own: Vec<_> = self.url.query_pairs().map(|(name, _)| name).collect();
        let pairs: Vec<(String, String)> = url
            .query_pairs()
            .map(|(name, value)| {
                let value = if own.contains(&name) { "***".into() } else { value };
                (name.into_owned(), value.into_owned())
            })
            .collect();
        if !pairs.is_empty() {
            shown.query_pairs_mut().clear().extend_pairs(pairs);
        }
        let mut text = format!("{method} {shown}\n");
        for name in self.headers.keys() {
            text += &format!("{name}: ***\n");
        }
        text + "\n" + body
    }
}

/// An error with all its causes: the outermost alone says only that sending failed.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// What an answer means for all that was sent: 2xx is delivered; 408, 425, 429 and 5xx pass; 400, 413 and 422 refuse some of
/// it; all else refuses us.
pub fn judge(answer: &Answer) -> Result<(), SendError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(SHOWN)]);
    let message = format!("answered {status} {}", body.trim().escape_debug()).trim_end().to_owned();
    let verdict = match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Verdict::Later(answer.after.unwrap_or_default())
        }
        _ if status.is_server_error() => Verdict::Later(answer.after.unwrap_or_default()),
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Verdict::Refused(Which::Some)
        }
        _ => Verdict::Refused(Which::All),
    };
    Err(SendError { verdict, delivered: 0, message })
}

/// `Retry-After` is a number of seconds or a date.
fn retry_after(value: &str) -> Option<Duration> {
    let wait = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp().as_microsecond();
            Duration::from_micros(u64::try_from(date - clock::now().0).unwrap_or(0))
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_longer_than_an_hour() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("86400"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("Fri, 01 Jan 2100 00:00:00 GMT"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn a_preview_shows_what_we_add_and_nothing_that_was_configured() {
        let mut settings = Settings::at("http://x/h1dden/?key=h1dden");
        settings.token = Some("h1dden".into());
        settings.headers = vec![("x-mine".into(), "h1dden".into())];
        let client = Client::new(&settings).unwrap();
        let url = client.url("write", &[("precision", "ms")]);
        assert_eq!(url.as_str(), "http://x/h1dden/write?key=h1dden&precision=ms");
        let text = client.describe(&Method::POST, &url, "body");
        let expected =
            "POST http://x/***/write?key=***&precision=ms\nx-mine: ***\nauthorization: ***\n\nbody";
        assert_eq!(text, expected);
    }
}
