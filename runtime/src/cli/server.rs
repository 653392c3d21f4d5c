//! A running node, asked over HTTP.

use super::failure::{Exit, Failure};
use crate::output::tls;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;

/// Connecting takes no longer.
const CONNECT: Duration = Duration::from_secs(5);

/// An answer takes no longer; compiling a large module is part of some.
const ANSWER: Duration = Duration::from_secs(60);

/// An answer that does not end says something at least this often.
const SILENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read at once.
const LONGEST: usize = 256 << 20;

/// Where the node is.
#[derive(Clone, Debug, clap::Args)]
pub struct Where {
    /// The node's address.
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_SERVER",
        default_value = "http://127.0.0.1:5559",
        value_name = "URL"
    )]
    pub server: String,
}

/// Which deployment a change is of.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Terms {
    /// Change nothing unless this generation of the rule is in force (0: no rule of that name).
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
}

/// Who asks for changes: the user and the machine, as far as they can be known.
fn who() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let host = sysinfo::System::host_name();
    let who = format!("{}@{}", user.as_deref().unwrap_or("somebody"), host.as_deref().unwrap_or("somewhere"));
    who.chars().filter(|c| c.is_ascii_graphic()).take(200).collect()
}

/// The header with the token that a node may want before it changes anything. A command line is no place for one.
fn token() -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(token) = std::env::var("TIDEGATE_TOKEN").ok().filter(|token| !token.trim().is_empty()) {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim())).map_err(|_| {
            Failure::say(Exit::Usage, "TIDEGATE_TOKEN: plain letters, digits and signs were expected")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// A node.
#[derive(Debug)]
pub struct Server {
    base: Url,
    client: Client,
}

/// What a node has against a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// The status of the answer.
    pub status: StatusCode,
    /// Why.
    pub message: String,
    /// Where in the query, in bytes.
    pub span: Option<(usize, usize)>,
    /// What to do.
    pub help: Option<String>,
}

impl From<Objection> for Failure {
    fn from(objection: Objection) -> Self {
        let exit = match objection.status.as_u16() {
            400 => Exit::Usage,
            415 | 422 => Exit::Invalid,
            401 | 403 | 413 | 429 => Exit::Refused,
            _ => Exit::Failed,
        };
        let help = objection.help.filter(|help| !help.is_empty()).map(|help| format!("; {help}"));
        Self::say(exit, format!("{}{}", objection.message, help.unwrap_or_default()))
    }
}

/// The end of a request: the answer's value, an objection, or no node.
pub type Answer<T> = Result<Result<T, Objection>, Failure>;

impl Server {
    /// A node at this address; nothing is connected yet.
    pub fn at(place: &Where) -> Result<Self, Failure> {
        let text = place.server.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let base = Url::parse(&text).ok().filter(|url| url.has_host() && url.scheme() == "http").ok_or_else(
            || {
                Failure::say(
                    Exit::Usage,
                    format!(
                        "--server: an address like http://127.0.0.1:5559 was expected, found `{}`",
                        place.server
                    ),
                )
            },
        )?;
        // No proxy: a node is asked directly, wherever this shell's web traffic goes.
        let tls = tls::nobody().map_err(|error| Failure::say(Exit::Bug, error))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .default_headers(token()?)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE);
        Ok(Self { base, client: client.build().map_err(|error| Failure::new(Exit::Bug, error))? })
    }

    /// Its address, for people.
    pub fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The address of a resource: the parts of its path, and its parameters.
    pub fn url(&self, path: &[&str], params: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !params.is_empty() {
            url.query_pairs_mut().extend_pairs(params);
        }
        url
    }

    /// Asks, and reads the whole answer.
    pub async fn ask(&self, method: Method, url: Url, wasm: Option<Vec<u8>>) -> Answer<Value> {
        self.carry_out(self.client.request(method, url), wasm).await
    }

    /// A page beside the API, as text.
    pub async fn page(&self, path: &str) -> Result<(StatusCode, String), Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        let sent = self.client.get(url).timeout(ANSWER).send().await;
        let response = sent.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        Ok((status, String::from_utf8_lossy(&self.body(response).await?).into_owned()))
    }

    /// Asks for a change, and says who asks and of which generation.
    pub async fn change(
        &self,
        method: Method,
        url: Url,
        terms: &Terms,
        wasm: Option<Vec<u8>>,
    ) -> Answer<Value> {
        let mut request = self.client.request(method, url).header("x-tidegate-by", who());
        if let Some(generation) = terms.if_generation {
            request = request.header("if-match", format!("\"{generation}\""));
        }
        self.carry_out(request, wasm).await
    }

    /// Asks for a change that is described in JSON, and says who asks.
    pub async fn tell(&self, method: Method, url: Url, body: Option<&Value>) -> Answer<Value> {
        let mut request = self.client.request(method, url).header("x-tidegate-by", who());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        self.carry_out(request, None).await
    }

    async fn carry_out(&self, request: RequestBuilder, wasm: Option<Vec<u8>>) -> Answer<Value> {
        let mut request = request.timeout(ANSWER);
        if let Some(wasm) = wasm {
            request = request.header("content-type", "application/wasm").body(wasm);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = self.body(response).await?;
        Ok(if status.is_success() { Ok(self.parse(&body)?) } else { Err(objection(status, &body)) })
    }

    /// Asks for an answer that does not end.
    pub async fn listen(&self, url: Url) -> Answer<Response> {
        let response = self.client.get(url).send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        match status.is_success() {
            true => Ok(Ok(response)),
            false => Ok(Err(objection(status, &self.body(response).await?))),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Failure::say(
                    Exit::Failed,
                    format!("the answer of {} has more than {LONGEST} bytes: ask for less", self.base),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn parse(&self, body: &[u8]) -> Result<Value, Failure> {
        serde_json::from_slice(body).map_err(|_| {
            Failure::say(
                Exit::Unreachable,
                format!("{} answers, but not as a tidegate node does: is the port right?", self.base),
            )
        })
    }

    /// Why there is no answer, or no more of it.
    pub fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let why = if error.is_timeout() { "no answer in time".to_owned() } else { cause.to_string() };
        Failure::say(
            Exit::Unreachable,
            format!(
                "server unreachable: {} ({why}); is `tidegate run` running there?",
                self.base.as_str().trim_end_matches('/')
            ),
        )
    }
}

fn objection(status: StatusCode, body: &[u8]) -> Objection {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &value["error"];
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    let at = |index: usize| error["span"][index].as_u64().and_then(|at| usize::try_from(at).ok());
    Objection {
        status,
        message: text("message")
            .unwrap_or_else(|| format!("the server answers {status} and gives no reason")),
        span: at(0).zip(at(1)),
        help: text("help"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str) -> Result<Server, Failure> {
        Server::at(&Where { server: address.into() })
    }

    #[test]
    fn names_and_queries_are_escaped() {
        let server = server("127.0.0.1:1").unwrap();
        assert_eq!(
            server.url(&["rules", "a/../b"], &[("query", "a = \"b&c\" + d")]).as_str(),
            "http://127.0.0.1:1/api/v1/rules/a%2F..%2Fb?query=a+%3D+%22b%26c%22+%2B+d"
        );
    }

    #[test]
    fn only_http_is_spoken() {
        for wrong in ["https://127.0.0.1:1", "ftp://x", "", "http://"] {
            let failure = server(wrong).unwrap_err().to_string();
            assert!(failure.contains("an address like http://127.0.0.1:5559 was expected"), "{failure}");
        }
    }

    #[test]
    fn objections_are_read_whatever_answers() {
        let body = br#"{"error":{"message":"no","span":[3,5],"help":"do"}}"#;
        let read = objection(StatusCode::BAD_REQUEST, body);
        assert_eq!(
            (read.message.as_str(), read.span, read.help.as_deref()),
            ("no", Some((3, 5)), Some("do"))
        );
        let read = objection(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!(read.message, "the server answers 502 Bad Gateway and gives no reason");
    }
}
