//! Everything that speaks HTTP: the API and the page on one port, Riemann's WebSocket and HTTP port on another.
//!
//! The routes are listed in [`api`] and in [`riemann::routes`], each with the file that serves it. Every request passes
//! [`guard`] first. Whoever listens for long (a page, a tap, a board) is a [`reader::Reader`]: there is a limited number of
//! them, each has a bounded queue, and a slow one misses events and is told so, or is closed; none can hold up the node.
//!
//! Not here: what a deployment does (behind [`control::Control`]), and where counters are counted.

mod alerts;
mod answer;
mod assets;
mod backtests;
mod board;
mod body;
mod complete;
pub mod control;
mod dead_letters;
mod events;
mod explain;
mod guard;
mod health;
mod history;
mod listener;
mod metrics;
mod modules;
mod overview;
mod params;
mod ranking;
mod rates;
mod reader;
mod riemann;
mod rules;
mod search;
mod show;
mod silences;
mod sse;
mod state;
mod stream;
mod tap;
mod topology;
mod views;
mod vocabulary;
mod when;

pub use guard::Token;
pub use views::Views;

use crate::archive::Archive;
use crate::backtest::Jobs;
use crate::clock;
use crate::dead_letters::DeadLetters;
use crate::history::History;
use crate::ingest::Ingest;
use crate::output::Delivery;
use crate::output::alerts::Alerts;
use crate::telemetry::{InputStats, Level, Telemetry};
use crate::web::board::Board;
use crate::web::control::Control;
use crate::web::explain::Seen;
use crate::web::guard::Policy;
use crate::web::overview::Pulse;
use crate::web::show::Shows;
use crate::web::vocabulary::Vocabulary;
use axum::Router;
use axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

/// Tells whether the node does its work, or what is missing.
pub type Ready = Arc<dyn Fn() -> Result<(), Vec<String>> + Send + Sync>;

/// Makes one more receiver of what rules forward to the live output.
pub type Live = Arc<dyn Fn() -> broadcast::Receiver<Arc<Delivery>> + Send + Sync>;

/// Puts an event back into the line of an output; tells whether it is there.
pub type Resend = Arc<dyn Fn(String, Delivery) -> BoxFuture<'static, bool> + Send + Sync>;

/// What the two ports need to know and to reach.
#[derive(Clone)]
pub struct Web {
    /// The door for events, searches and subscriptions.
    pub ingest: Ingest,
    /// Whoever deploys rules.
    pub control: Arc<dyn Control>,
    /// The counters.
    pub telemetry: Arc<Telemetry>,
    /// Events that rules forward to the live output; pages listen to it.
    pub live: Live,
    /// The dead letters.
    pub letters: Arc<DeadLetters>,
    /// The alerts.
    pub alerts: Arc<Alerts>,
    /// Puts a dead letter back into an output's line.
    pub resend: Resend,
    /// Whether the node does its work.
    pub ready: Ready,
    /// What pages have saved.
    pub views: Arc<Views>,
    /// How streams went.
    pub history: Arc<History>,
    /// What is on disk, for those who look back.
    pub archive: Option<Archive>,
    /// Our version.
    pub version: String,
    /// What an answer on the HTTP port means.
    pub http_ack: Level,
    /// What an answer on Riemann's port means.
    pub riemann_ack: Level,
    /// Serve names other than loopback ones.
    pub allow_remote: bool,
    /// What changes need.
    pub token: Option<Token>,
    /// What is added to the head of each answer on the port for server-sent events.
    pub sse_headers: HeaderMap,
    /// What a stranger can make us hold.
    pub limits: Limits,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("version", &self.version)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What a stranger can make us hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections on each port.
    pub connections: usize,
    /// Pages, taps and boards that listen, on both ports together.
    pub readers: usize,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub header: Duration,
    /// How long a body may pause.
    pub body: Duration,
    /// How long the other side may take nothing of what we send, or stay behind with events.
    pub stall: Duration,
    /// The time between two pings on a WebSocket.
    pub ping: Duration,
    /// How long what a page shows goes on after it has gone, so that it can come back.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            readers: 512,
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            ping: Duration::from_secs(30),
            linger: Duration::from_secs(15),
        }
    }
}

/// What every route can reach.
struct Shared {
    ingest: Ingest,
    control: Arc<dyn Control>,
    telemetry: Arc<Telemetry>,
    live: Live,
    letters: Arc<DeadLetters>,
    alerts: Arc<Alerts>,
    resend: Resend,
    /// Dead letters that are sent in again come in here: an input from the first of them on.
    revived: OnceLock<Arc<InputStats>>,
    ready: Ready,
    views: Arc<Views>,
    history: Arc<History>,
    archive: Option<Archive>,
    backtests: Jobs,
    seen: Seen,
    shows: Shows,
    board: Board,
    vocabulary: Vocabulary,
    version: String,
    limits: Limits,
    started: Instant,
    http: Arc<InputStats>,
    riemann: Arc<InputStats>,
    sse: Arc<InputStats>,
    pulse: Pulse,
    readers: Arc<Semaphore>,
    stop: CancellationToken,
}

type App = Arc<Shared>;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    /// The API and the page.
    Api,
    /// Riemann's WebSocket and HTTP protocol.
    Riemann,
    /// Riemann's server-sent events.
    Sse,
}

impl Web {
    /// Serves the API and the page on one listener, Riemann's WebSocket and HTTP protocol on another, and its server-sent
    /// events on a third, until `stop`. Registers them as inputs: `http`, `riemann-ws` and `riemann-sse`.
    pub async fn serve(
        self,
        http: Option<TcpListener>,
        riemann: Option<TcpListener>,
        sse: Option<TcpListener>,
        stop: CancellationToken,
    ) {
        let input = |name, listener: &Option<TcpListener>, level| {
            let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
            match address {
                Some(address) => self.telemetry.add_input(name, name, address, level),
                None => Arc::default(),
            }
        };
        let app = Arc::new(Shared {
            http: input("http", &http, self.http_ack),
            riemann: input("riemann-ws", &riemann, self.riemann_ack),
            sse: input("riemann-sse", &sse, Level::None),
            readers: Arc::new(Semaphore::new(self.limits.readers)),
            pulse: Pulse::default(),
            started: clock::start(),
            stop: stop.clone(),
            ingest: self.ingest,
            control: self.control,
            telemetry: self.telemetry,
            live: self.live,
            revived: OnceLock::new(),
            letters: self.letters,
            alerts: self.alerts,
            resend: self.resend,
            ready: self.ready,
            views: self.views,
            history: self.history,
            archive: self.archive,
            backtests: Jobs::default(),
            seen: Seen::default(),
            shows: Shows::default(),
            board: Board::default(),
            vocabulary: Vocabulary::default(),
            version: self.version,
            limits: self.limits,
        });
        let alerts = tokio::spawn(overview::follow_alerts(app.clone()));
        let backtests = app.backtests.clone();
        let beat = tokio::spawn(overview::beat(app.clone()));
        let headers = self.sse_headers;
        let port = |listener: Option<TcpListener>, port: Port| {
            let (app, stop) = (app.clone(), stop.clone());
            let readers = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).filter(|_| port == Port::Sse).cloned();
            let policy = Policy {
                allow_remote: self.allow_remote,
                riemann: port != Port::Api,
                readers,
                token: self.token,
            };
            let headers = headers.clone();
            async move {
                let Some(listener) = listener else { return };
                let limits = app.limits;
                let (stats, routes) = match port {
                    Port::Api => (app.http.clone(), api(app)),
                    Port::Riemann => (app.riemann.clone(), riemann::routes(app)),
                    Port::Sse => (app.sse.clone(), riemann::sse_routes(app, headers)),
                };
                let routes =
                    routes.layer(from_fn(guard::catch)).layer(from_fn_with_state(policy, guard::check));
                listener::serve(listener, routes, stats, limits, stop).await;
            }
        };
        tokio::join!(port(http, Port::Api), port(riemann, Port::Riemann), port(sse, Port::Sse));
        // Sockets outlive the connections they came from, and close themselves once `stop` is there.
        let readers = u32::try_from(self.limits.readers).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(Duration::from_secs(2), app.readers.acquire_many(readers)).await;
        backtests.stop();
        let _ = tokio::join!(beat, alerts);
    }
}

/// The routes of the HTTP port.
fn api(app: App) -> Router {
    let wrong_method = async |method: Method, uri: Uri| {
        answer::Failure::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{} does not answer to {method}: see the `allow` header", uri.path()),
        )
    };
    Router::new()
        .route("/api/v1/events", post(events::post).put(events::post))
        .route("/api/v1/query", get(search::query))
        .route("/api/v1/stream", get(stream::open))
        .route("/api/v1/tap", get(tap::open))
        .route("/api/v1/overview", get(overview::show))
        .route("/api/v1/history", get(history::show))
        .route("/api/v1/backtests", get(backtests::all).post(backtests::begin))
        .route("/api/v1/backtests/{id}", get(backtests::one).delete(backtests::end))
        .route("/api/v1/explain", get(explain::show))
        .route("/api/v1/topology", get(topology::show))
        .route("/api/v1/complete", get(complete::show))
        .route("/api/v1/views", get(views::all))
        .route("/api/v1/views/{name}", get(views::one).put(views::put).delete(views::delete))
        .route("/api/v1/rules", get(rules::all))
        .route("/api/v1/rules/{name}", get(rules::one).put(rules::put).delete(rules::delete))
        .route("/api/v1/rules/{name}/state", get(state::get))
        .route("/api/v1/rules/{name}/pause", post(rules::pause))
        .route("/api/v1/rules/{name}/resume", post(rules::resume))
        .route("/api/v1/rules/{name}/logs", get(rules::logs))
        .route("/api/v1/rules/{name}/history", get(rules::history))
        .route("/api/v1/rules/{name}/rollback", post(rules::roll_back))
        .route("/api/v1/rules/{name}/promote", post(rules::promote))
        .route("/api/v1/rules/{name}/abandon", post(rules::abandon))
        .route("/api/v1/modules", get(modules::all).post(modules::keep))
        .route("/api/v1/modules/gc", post(modules::collect))
        .route("/api/v1/modules/inspect", post(modules::inspect))
        .route("/api/v1/dead-letters", get(dead_letters::all))
        .route("/api/v1/dead-letters/{id}", get(dead_letters::one).delete(dead_letters::delete))
        .route("/api/v1/dead-letters/{id}/replay", post(dead_letters::replay))
        .route("/api/v1/alerts", get(alerts::all))
        .route("/api/v1/alerts/{id}", get(alerts::one))
        .route("/api/v1/alerts/{id}/acknowledge", post(alerts::acknowledge).delete(alerts::unacknowledge))
        .route("/api/v1/alerts/{id}/resolve", post(alerts::resolve))
        .route("/api/v1/silences", get(silences::all).post(silences::add))
        .route("/api/v1/silences/{id}", delete(silences::delete))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .route("/metrics/streams", get(metrics::streams))
        .fallback(get(assets::serve))
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

/// Counts a message that was refused before it was known how many events it has: as one.
fn count_refusal(input: &InputStats, reason: &'static str) {
    input.received.add(1);
    input.rejected.add(reason, 1);
}
