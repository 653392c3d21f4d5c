//! Riemann's HTTP and WebSocket port: the routes, and what a request to one of them asks for.
//!
//! Routing is by path alone: any method does, a slash at the end is optional, parameters nobody knows are ignored.
//! Differences from Riemann are listed in `docs/http-api.md`.

mod channel;
mod events;
mod index;

use crate::web::App;
use crate::web::answer::Failure;
use crate::web::params::Params;
use axum::Router;
use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code, rejection::WebSocketUpgradeRejection,
};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use channel::Channel;
use index::Ear;
use std::time::Duration;
use tidegate_engine::query::Matcher;

/// The largest message on a WebSocket.
const MESSAGE: usize = 4 << 20;

/// How long we wait for the other side to say goodbye as well.
const GOODBYE: Duration = Duration::from_secs(1);

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The routes of the port.
pub fn routes(app: App) -> Router {
    let nothing = async |uri: Uri| {
        Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is nothing at {}: this port has /index, /events and /pubsub/NAME", uri.path()),
        )
    };
    Router::new()
        .route("/index", any(index_route))
        .route("/index/", any(index_route))
        .route("/pubsub/{channel}", any(channel_route))
        .route("/pubsub/{channel}/", any(channel_route))
        .route("/events", any(events::route))
        .route("/events/", any(events::route))
        .fallback(nothing)
        .with_state(app)
}

/// The routes of the port for server-sent events. What the operator wants in the head of an answer stands there instead of
/// what we would say.
pub fn sse_routes(app: App, headers: HeaderMap) -> Router {
    let index = async |State(app): State<App>, uri: Uri| -> Result<Response, Failure> {
        index::sse(&app, &app.sse, &Question::of(&uri)?.matcher)
    };
    let nothing = async |uri: Uri| {
        Failure::new(
            StatusCode::NOT_FOUND,
            format!("there is nothing at {}: this port has /index?query=…", uri.path()),
        )
    };
    let dressed = move |mut response: Response| {
        let own = [(header::CONNECTION, HeaderValue::from_static("keepalive"))];
        response.headers_mut().extend(own);
        response.headers_mut().extend(headers.clone());
        std::future::ready(response)
    };
    Router::new()
        .route("/index", get(index))
        .route("/index/", get(index))
        .layer(map_response(dressed))
        .fallback(nothing)
        .with_state(app)
}

/// What a request to `/index` asks for.
struct Question {
    matcher: Matcher,
    subscribe: bool,
}

impl Question {
    fn of(uri: &Uri) -> Result<Self, Failure> {
        let mut params = Params::of(uri)?;
        let Some(query) = params.take("query")? else {
            return Err(Failure::bad("a query was expected in `?query=`; `query=true` asks for everything"));
        };
        let subscribe = params.take("subscribe")?.as_deref() == Some("true");
        Ok(Self { matcher: Matcher::parse(&query)?, subscribe })
    }
}

async fn index_route(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let question = Question::of(&uri);
    if let Ok(upgrade) = upgrade {
        return Ok(index::socket(app, upgrade, question, true));
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        return index::sse(&app, &app.riemann, &question?.matcher);
    }
    Err(no_socket())
}

async fn channel_route(
    State(app): State<App>,
    Path(channel): Path<String>,
    uri: Uri,
    upgrade: Upgrade,
) -> Result<Response, Failure> {
    let Ok(upgrade) = upgrade else { return Err(no_socket()) };
    let question = Question::of(&uri).map(|question| Question { subscribe: true, ..question });
    Ok(match channel.as_str() {
        "index" => index::socket(app, upgrade, question, false),
        _ => {
            let heard = question.and_then(|question| Channel::open(&app, channel, question.matcher));
            index::listen(app, upgrade, heard.map(|channel| (Ear::Channel(channel), true)))
        }
    })
}

fn no_socket() -> Failure {
    Failure::new(
        StatusCode::UPGRADE_REQUIRED,
        "a WebSocket was expected here, or `Accept: text/event-stream` on /index: for plain HTTP use /api/v1/query on the \
         HTTP port",
    )
}

/// Says why, and closes.
async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    // A control frame holds 125 bytes, two of them for the code.
    let reason = &reason[..reason.floor_char_boundary(123)];
    let frame = CloseFrame { code, reason: reason.into() };
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    let _ = tokio::time::timeout(GOODBYE, farewell).await;
}

/// Opens a socket only to say on it why it is closed: a browser shows a page nothing of a refused upgrade.
fn turn_away(upgrade: WebSocketUpgrade, failure: &Failure) -> Response {
    let code = match failure.status() {
        StatusCode::SERVICE_UNAVAILABLE => close_code::AGAIN,
        _ => close_code::POLICY,
    };
    let reason = failure.message().to_owned();
    upgrade.on_upgrade(async move |mut socket| close(&mut socket, code, &reason).await).into_response()
}
