//! What stands before every route: whose request it is, and what happens when we make a mistake.
//!
//! While the node listens on loopback the danger is a browser on the same machine that runs a stranger's page. Two checks
//! hold against it: the `Host` must be a loopback name (a stranger's name that was made to resolve to 127.0.0.1 is not), and
//! nothing that changes anything may come from another origin.
//!
//! Where others may ask, too, they may only read, until there is a token; with one, every change needs it, wherever it comes
//! from. Events are no change in this sense: whoever reaches the port for them may send them.

use crate::web::answer::Failure;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;

/// Whoever is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The hash of the token that changes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(blake3::Hash);

impl Token {
    /// Only its hash is kept; hashes are compared in constant time.
    pub fn new(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()))
    }
}

/// Whose requests are served.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Names other than loopback ones may be asked for.
    pub allow_remote: bool,
    /// The listener speaks Riemann: its boards live on ports, and with `allow_remote` on machines, of their own.
    pub riemann: bool,
    /// The `access-control-allow-origin` that the operator has set: those pages may read here.
    pub readers: Option<HeaderValue>,
    /// What changes need, if there is one.
    pub token: Option<Token>,
}

/// Lets a request through, or says why not.
pub async fn check(State(policy): State<Policy>, request: Request, next: Next) -> Response {
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    // Whoever cannot be told is somebody else.
    let own = request.extensions().get().is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback());
    let admitted =
        policy.admit(method, path, headers).and_then(|()| policy.entrust(method, path, headers, own));
    if let Err(failure) = admitted {
        let locked = failure.status() == StatusCode::UNAUTHORIZED;
        let mut response = nosniff(failure.into_response());
        if locked {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        return response;
    }
    let origin = request.headers().get(header::ORIGIN).filter(|_| policy.riemann).cloned();
    let mut response = nosniff(next.run(request).await);
    if let Some(origin) = origin {
        response.headers_mut().entry(header::ACCESS_CONTROL_ALLOW_ORIGIN).or_insert(origin);
        response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// Turns a panic in a route into an answer, so that it stays a matter of one request.
pub async fn catch(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(ToString::to_string);
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(path, panic = said, "a route panicked: this is a bug, please report it");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error: see the node's log")
                .into_response()
        }
    }
}

fn nosniff(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl Policy {
    fn admit(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Failure> {
        let refuse = |message: String| Err(Failure::new(StatusCode::FORBIDDEN, message));
        let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
        let host = text(header::HOST);
        if let Some(host) = host.filter(|host| !self.allow_remote && !is_loopback(name(host))) {
            return refuse(format!(
                "a loopback name was expected as the host, found `{host}`: ask for localhost, or allow remote access in the \
                 configuration"
            ));
        }
        let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        let same = |own: &str, theirs: &str| own.eq_ignore_ascii_case(theirs);
        let fine = if self.riemann {
            let own = host.is_some_and(|host| same(name(host), name(authority)));
            let writes = path.trim_end_matches('/') == "/events";
            let reader = self.readers.as_ref().is_some_and(|readers| *readers == "*" || readers == origin);
            own || is_loopback(name(authority)) || ((self.allow_remote || reader) && !writes)
        } else {
            is_safe(method) || host.is_some_and(|host| same(host, authority))
        };
        if fine { Ok(()) } else { refuse(format!("pages of `{origin}` may not do this")) }
    }

    /// Whether a change may be made by whoever asks for it; `own` is this machine.
    fn entrust(&self, method: &Method, path: &str, headers: &HeaderMap, own: bool) -> Result<(), Failure> {
        let sends = path == "/api/v1/events";
        if self.riemann || is_safe(method) || sends {
            return Ok(());
        }
        let Some(token) = &self.token else {
            return match own {
                true => Ok(()),
                false => Err(Failure::new(
                    StatusCode::FORBIDDEN,
                    "this node has no token, so only its own machine may change anything: set http.token",
                )),
            };
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
        let given = given.and_then(|given| given.strip_prefix("Bearer ")).map(Token::new);
        match given {
            Some(given) if given == *token => Ok(()),
            Some(_) => Err(Failure::new(StatusCode::UNAUTHORIZED, "this is not the token of this node")),
            None => {
                let message = "changes need this node's token, as `authorization: Bearer TOKEN`";
                Err(Failure::new(StatusCode::UNAUTHORIZED, message))
            }
        }
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The name in `name:port`, `[::1]:port`.
fn name(authority: &str) -> &str {
    if let Some((name, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return name;
    }
    authority.split_once(':').map_or(authority, |(name, _)| name)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(policy: &Policy, method: Method, path: &str, host: &str, origin: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if !origin.is_empty() {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        policy.admit(&method, path, &headers).is_ok()
    }

    #[test]
    fn only_loopback_names_are_served_unless_remote_access_is_allowed() {
        let local = Policy { allow_remote: false, riemann: false, readers: None, token: None };
        let open = Policy { allow_remote: true, ..local.clone() };
        for host in ["localhost", "LOCALHOST:5559", "127.0.0.1:5559", "[::1]:5559", "board.localhost:1"] {
            assert!(admits(&local, Method::GET, "/", host, ""), "{host}");
        }
        for host in
            ["evil.example", "evil.example:5559", "localhost.evil.example", "10.0.0.1:5559", "[::2]:1"]
        {
            assert!(!admits(&local, Method::GET, "/", host, ""), "{host}");
            assert!(admits(&open, Method::GET, "/", host, ""), "{host}");
        }
    }

    #[test]
    fn changes_come_from_the_same_origin_only() {
        for allow_remote in [false, true] {
            let policy = Policy { allow_remote, riemann: false, readers: None, token: None };
            let put = |origin| admits(&policy, Method::PUT, "/api/v1/rules/a", "localhost:5559", origin);
            assert!(put(""));
            assert!(put("http://localhost:5559"));
            for origin in [
                "http://localhost:4567",
                "https://evil.example",
                "null",
                "http://localhost:5559.evil.example",
            ] {
                assert!(!put(origin), "{origin}");
                assert!(admits(&policy, Method::GET, "/", "localhost:5559", origin), "{origin}");
            }
        }
    }

    #[test]
    fn who_may_change_something_is_this_machine_or_whoever_has_the_token() {
        let open = Policy { allow_remote: true, riemann: false, readers: None, token: None };
        let locked = Policy { token: Some(Token::new("s3cret-s3cret")), ..open.clone() };
        let boards = Policy { riemann: true, ..locked.clone() };
        let asks = |policy: &Policy, method: Method, path: &str, given: &str, own: bool| {
            let mut headers = HeaderMap::new();
            if !given.is_empty() {
                headers.insert(header::AUTHORIZATION, given.parse().unwrap());
            }
            policy.entrust(&method, path, &headers, own).map_or_else(|no| no.status().as_u16(), |()| 200)
        };
        let (rule, events) = ("/api/v1/rules/a", "/api/v1/events");
        assert_eq!(asks(&open, Method::PUT, rule, "", true), 200);
        assert_eq!(asks(&open, Method::PUT, rule, "", false), 403);
        for own in [true, false] {
            for (given, status) in [
                ("", 401),
                ("Bearer s3cret-s3cre", 401),
                ("s3cret-s3cret", 401),
                ("Bearer s3cret-s3cret", 200),
            ] {
                assert_eq!(asks(&locked, Method::DELETE, rule, given, own), status, "{given}");
            }
            for policy in [&open, &locked] {
                assert_eq!(asks(policy, Method::GET, rule, "", own), 200);
                assert_eq!(asks(policy, Method::POST, events, "", own), 200);
            }
            assert_eq!(asks(&boards, Method::PUT, "/events", "", own), 200);
        }
    }

    #[test]
    fn riemann_boards_on_other_ports_are_served_and_strangers_are_not() {
        let local = Policy { allow_remote: false, riemann: true, readers: None, token: None };
        let remote = Policy { allow_remote: true, riemann: true, readers: None, token: None };
        let board = "http://localhost:4567";
        assert!(admits(&local, Method::GET, "/index", "127.0.0.1:5556", board));
        assert!(admits(&local, Method::PUT, "/events/", "127.0.0.1:5556", board));
        assert!(!admits(&local, Method::GET, "/index", "127.0.0.1:5556", "https://evil.example"));
        assert!(admits(&remote, Method::GET, "/index", "riemann.example:5556", "http://dash.example"));
        assert!(!admits(&remote, Method::GET, "/events/", "riemann.example:5556", "http://dash.example"));
        assert!(admits(
            &remote,
            Method::PUT,
            "/events",
            "riemann.example:5556",
            "http://riemann.example:4567"
        ));
    }

    #[test]
    fn pages_that_the_operator_names_may_read_and_not_write() {
        let named = |readers: &'static str| Policy {
            allow_remote: false,
            riemann: true,
            readers: Some(HeaderValue::from_static(readers)),
            token: None,
        };
        let asks =
            |readers, path, origin| admits(&named(readers), Method::GET, path, "127.0.0.1:5558", origin);
        assert!(asks("*", "/index", "https://dash.example"));
        assert!(asks("https://dash.example", "/index", "https://dash.example"));
        assert!(!asks("https://dash.example", "/index", "https://evil.example"));
        assert!(!asks("*", "/events", "https://dash.example"));
    }
}
