//! A node that is not one: it acks every batch, finds what a test put into its list, and publishes what a test says.

use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate::dead_letters::{DeadLetters, Keep, Letter, Sender};
use tidegate::history::{self, Sample, Swept};
use tidegate::ingest::{Accepted, Desk, Ingest, Refused, Request, Update};
use tidegate::output::Delivery;
use tidegate::output::alerts::{About, Alerts, Settings};
use tidegate::telemetry::{Level, Telemetry};
use tidegate::web::control::{
    Collected, Control, ControlError, Deployed, Deployment, Difference, History, LastFault, ModuleStatus,
    PastStatus, RollBack, RuleLine, RuleLog, RuleState, RuleStatus, Terms, TrialStatus,
};
use tidegate::web::{Limits, Views, Web};
use tidegate_engine::query::Matcher;
use tidegate_event::{Batch, BatchBuilder, FieldSet, NewEvent, Span, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_util::sync::CancellationToken;

/// Room for events on their way, in bytes.
pub const ROOM: usize = 32 << 20;

/// The node.
pub struct Node {
    /// Where the HTTP port listens.
    pub http: SocketAddr,
    /// Where Riemann's port listens.
    pub riemann: SocketAddr,
    /// Where Riemann's port for server-sent events listens.
    pub sse: SocketAddr,
    /// The counters.
    pub telemetry: Arc<Telemetry>,
    /// What deployments were asked for.
    pub wishes: Arc<Mutex<Vec<Deployment>>>,
    /// How many rules there are beside `slow`.
    pub more: Arc<AtomicUsize>,
    /// The dead letters.
    pub letters: Arc<DeadLetters>,
    /// The desk.
    pub alerts: Arc<Alerts>,
    /// Those that were put back into the line of the output `hook`.
    pub resent: Arc<Mutex<Vec<Delivery>>>,
    /// The way of forwarded events to pages.
    pub live: broadcast::Sender<Arc<Delivery>>,
    /// Whether the node says that it is ready.
    pub ready: Arc<AtomicBool>,
    /// Refuse all further batches as if the log could not be written.
    pub broken: Arc<AtomicBool>,
    /// Keep the room of all further batches, as shards do that never finish.
    pub hold: Arc<AtomicBool>,
    /// Ends it.
    pub stop: CancellationToken,
    /// Done when everything has ended.
    pub ended: tokio::task::JoinHandle<()>,
    state: Arc<Mutex<State>>,
    client: reqwest::Client,
}

#[derive(Default)]
struct State {
    held: Vec<Batch>,
    appended: Vec<Batch>,
    subscribers: Vec<(Matcher, mpsc::Sender<Update>)>,
    rooms: Vec<OwnedSemaphorePermit>,
}

/// A desk called `pager` without alerts.
fn alerts() -> Arc<Alerts> {
    let settings = Settings::default();
    let desks = [("pager", &settings)].into_iter();
    let alerts = Alerts::open(desks, None, Arc::default()).expect("it is in memory");
    let about = |_: &str| About { version: Some("1.0.0".into()), generation: Some(1) };
    alerts.start(Arc::new(about), Some("http://127.0.0.1:5559"));
    Arc::new(alerts)
}

/// Lets a rule tell the desk of something critical.
pub fn alarm(alerts: &Alerts) {
    let event = NewEvent {
        time: Some(AT),
        host: Some("web1"),
        service: Some("http"),
        state: Some("critical"),
        metric: Some(7.into()),
        description: Some("it is slow"),
        ..NewEvent::default()
    };
    let batch = batch(&[event]);
    let delivery = Delivery { rule: "slow".into(), declared: "pager".into(), position: 40, n: 0, batch };
    alerts.take("pager", &[Arc::new(delivery)]).expect("there is room");
}

/// A moment in all examples.
pub const AT: Timestamp = Timestamp(1_366_049_218_000_000);

/// Three streams, one of them critical.
pub fn sample() -> Batch {
    batch(&[
        NewEvent {
            host: Some("web1"),
            service: Some("http"),
            state: Some("ok"),
            metric: Some(120.into()),
            ttl: Some(60.0),
            ..NewEvent::default()
        },
        NewEvent {
            host: Some("web2"),
            service: Some("http"),
            state: Some("critical"),
            metric: Some(930.5.into()),
            description: Some("slow"),
            tags: &["edge"],
            ..NewEvent::default()
        },
        NewEvent { host: Some("db1"), service: Some("disk /"), ..NewEvent::default() },
    ])
}

/// A batch of these events, all of the same moment.
pub fn batch(events: &[NewEvent<'_>]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder.push(&NewEvent { time: Some(AT), ..*event });
    }
    builder.stamp(0, AT);
    builder.finish()
}

/// A batch of one event.
pub fn one(host: &str, service: &str, metric: i64) -> Batch {
    batch(&[NewEvent {
        host: Some(host),
        service: Some(service),
        metric: Some(metric.into()),
        ..NewEvent::default()
    }])
}

/// What a rule choked on, and what an output refused.
/// None of them is ever too old, though the clock here stands still and that of the machine does not.
const AGES: Duration = Duration::from_secs(1 << 32);

fn dead_letters() -> Vec<Letter> {
    let event = batch(&[NewEvent {
        host: Some("web3"),
        service: Some("http"),
        metric: Some(0.into()),
        ..NewEvent::default()
    }]);
    let rule = Sender::Rule {
        rule: "slow".into(),
        generation: 2,
        module: "b3:6f1c".into(),
        kind: "trap".into(),
        during: "in on_event".into(),
    };
    let output =
        Sender::Output { output: "hook".into(), rule: "slow".into(), declared: "board".into(), n: 0 };
    let letter = |id: &str, from, message: &str, position| Letter {
        id: id.into(),
        from,
        message: message.into(),
        position,
        at: AT,
        event: Some(event.clone()),
    };
    vec![
        letter("40:slow:9c0ffee5", rule, "panicked at src/lib.rs:17:5: division by zero", 40),
        letter("41:slow:0@hook", output, "answered 400 Bad Request", 41),
    ]
}

fn wanted(batch: &Batch, matcher: &Matcher) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in batch.events().filter(|event| matcher.matches(event)) {
        builder.copy(&event, FieldSet::ALL, |_| ());
    }
    builder.finish()
}

impl Node {
    /// A node with the defaults.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// A node with other limits.
    pub async fn limited(limits: Limits) -> Self {
        Self::with(move |web| web.limits = limits).await
    }

    /// A node that is set up differently.
    pub async fn with(change: impl FnOnce(&mut Web)) -> Self {
        // Nobody opens the desk: what is queued there is taken by the thread below.
        let desk = Arc::new(Desk::default());
        let receiver = desk.queued().clone();
        let state = Arc::new(Mutex::new(State { held: vec![sample()], ..State::default() }));
        let (broken, hold) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let telemetry = Arc::new(Telemetry::default());
        {
            let (state, broken, hold) = (state.clone(), broken.clone(), hold.clone());
            let telemetry = telemetry.clone();
            std::thread::spawn(move || sequence(&receiver, &state, &broken, &hold, &telemetry));
        }
        let (live, ready) = (broadcast::Sender::new(256), Arc::new(AtomicBool::new(true)));
        let wishes = Arc::new(Mutex::new(Vec::new()));
        let more = Arc::new(AtomicUsize::new(0));
        let letters =
            Arc::new(DeadLetters::memory(Keep { age: AGES, ..Keep::default() }, telemetry.letters.clone()));
        letters.keep(dead_letters());
        let resent = Arc::new(Mutex::new(Vec::new()));
        let alerts = alerts();
        let mut web = Web {
            ingest: Ingest::new(desk, ROOM, 0, 1),
            control: Arc::new(FakeControl { wishes: wishes.clone(), more: more.clone() }),
            telemetry: telemetry.clone(),
            live: {
                let live = live.clone();
                Arc::new(move || live.subscribe())
            },
            letters: letters.clone(),
            alerts: alerts.clone(),
            resend: {
                let resent = resent.clone();
                Arc::new(move |output: String, delivery| {
                    let takes = output == "hook";
                    if takes {
                        resent.lock().unwrap().push(delivery);
                    }
                    async move { takes }.boxed()
                })
            },
            ready: {
                let ready = ready.clone();
                Arc::new(move || match ready.load(SeqCst) {
                    true => Ok(()),
                    false => Err(vec!["the log is still being read".into()]),
                })
            },
            views: Arc::new(Views::memory()),
            history: {
                let history =
                    history::History::start(history::Settings::default(), telemetry.history.clone()).unwrap();
                remember(&history);
                history
            },
            archive: None,
            version: "0.1.0".into(),
            http_ack: Level::Logged,
            riemann_ack: Level::Logged,
            allow_remote: false,
            token: None,
            sse_headers: HeaderMap::new(),
            limits: Limits::default(),
        };
        change(&mut web);
        // Only tests that set headers ask there; all others have two ports.
        let sse_wanted = !web.sse_headers.is_empty();
        let (http, riemann, sse) = (listen().await, listen().await, listen().await);
        let addresses =
            (http.local_addr().unwrap(), riemann.local_addr().unwrap(), sse.local_addr().unwrap());
        let stop = CancellationToken::new();
        let ended =
            tokio::spawn(web.serve(Some(http), Some(riemann), sse_wanted.then_some(sse), stop.clone()));
        tidegate::output::tls::install();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let (http, riemann, sse) = addresses;
        Self {
            http,
            riemann,
            sse,
            telemetry,
            wishes,
            more,
            letters,
            alerts,
            resent,
            live,
            ready,
            broken,
            hold,
            stop,
            ended,
            state,
            client,
        }
    }

    /// A request to the HTTP port.
    pub fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.http))
    }

    /// A request to Riemann's port.
    pub fn ask_riemann(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.riemann))
    }

    /// Fetches from Riemann's port for server-sent events.
    pub async fn ask_sse(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.request(Method::GET, format!("http://{}{path}", self.sse));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// Fetches from the HTTP port.
    pub async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    /// Sends events to the HTTP port.
    pub async fn post_events(&self, kind: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.ask(Method::POST, "/api/v1/events").header("content-type", kind);
        request.body(body).send().await.unwrap()
    }

    /// The services of all events that were appended, in order.
    pub fn appended(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let events = state.appended.iter().flat_map(Batch::events);
        events.map(|event| event.service().unwrap_or_default().to_owned()).collect()
    }

    /// The times of all events that were appended, in order.
    pub fn appended_times(&self) -> Vec<Timestamp> {
        let state = self.state.lock().unwrap();
        state.appended.iter().flat_map(Batch::events).map(|event| event.time()).collect()
    }

    /// The batch that was appended first.
    pub fn appended_event(&self) -> Batch {
        self.state.lock().unwrap().appended[0].clone()
    }

    /// Tells all subscribers what has happened.
    pub async fn publish(&self, batch: &Batch) {
        for (matcher, updates) in self.subscribers() {
            let events = wanted(batch, &matcher);
            if !events.is_empty() {
                // A subscriber that is gone is no concern of a publisher.
                let _ = updates.send(Update::Events(Arc::new(events))).await;
            }
        }
    }

    /// Tells all subscribers that they have missed something.
    pub async fn skip(&self, events: u64) {
        for (_, updates) in self.subscribers() {
            updates.send(Update::Skipped(events)).await.unwrap();
        }
    }

    /// Everybody who listens.
    pub fn subscribers(&self) -> Vec<(Matcher, mpsc::Sender<Update>)> {
        let mut state = self.state.lock().unwrap();
        state.subscribers.retain(|(_, updates)| !updates.is_closed());
        state.subscribers.clone()
    }

    /// Waits until so many listen.
    pub async fn await_subscribers(&self, number: usize) {
        for _ in 0..500 {
            if self.subscribers().len() == number {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{number} subscribers were expected, {} are there", self.subscribers().len());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Three points of `web1 http`, before and after it was critical.
fn remember(history: &history::History) {
    let key = tidegate_event::stream_key(0, Some(b"web1"), Some(b"http"));
    for (seconds, metric, state) in [(-15, 120.0, 1), (-10, 930.5, 3), (0, 118.0, 1)] {
        let sample = Sample { key, least: metric, most: metric, last: metric, n: 1, state };
        history.take(&Swept { at: AT + Span::secs(seconds), samples: vec![sample] });
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn sequence(
    requests: &crossbeam_channel::Receiver<Request>,
    state: &Mutex<State>,
    broken: &AtomicBool,
    hold: &AtomicBool,
    telemetry: &Telemetry,
) {
    let position = AtomicU64::new(0);
    while let Ok(request) = requests.recv() {
        let mut state = state.lock().unwrap();
        match request {
            Request::Append(append) => {
                let events = append.batch.len() as u64;
                let verdict = if broken.load(SeqCst) {
                    append.input.shed.add("log", events);
                    Err(Refused::Log("no space left on device".into()))
                } else {
                    append.input.accepted.add(events);
                    telemetry.events.add(events);
                    state.appended.push(append.batch);
                    Ok(Accepted { position: Some(position.fetch_add(1, SeqCst) + 1) })
                };
                if hold.load(SeqCst) {
                    state.rooms.push(append.room);
                }
                if let Some(ack) = append.ack {
                    let _ = ack.send(verdict);
                }
            }
            Request::Search { matcher, limit, reply } => {
                let mut found = tidegate::ingest::Found::default();
                for batch in &state.held {
                    let batch = wanted(batch, &matcher);
                    found.truncated |= batch.len() > limit;
                    found.batches.push(batch.first(limit));
                }
                let _ = reply.try_send(found);
            }
            Request::Subscribe { matcher, snapshot, updates } => {
                if snapshot {
                    let batches = state.held.iter().map(|batch| Arc::new(wanted(batch, &matcher)));
                    for batch in batches {
                        let _ = updates.try_send(Update::Snapshot { batch, last: true });
                    }
                }
                state.subscribers.push((matcher, updates));
            }
            Request::Follow { matcher, updates } => state.subscribers.push((matcher, updates)),
            other => panic!("the web asks for nothing of this kind: {other:?}"),
        }
    }
}

/// Deploys nothing, and remembers what it was asked.
struct FakeControl {
    wishes: Arc<Mutex<Vec<Deployment>>>,
    more: Arc<AtomicUsize>,
}

impl Control for FakeControl {
    fn deploy(&self, wish: Deployment) -> BoxFuture<'_, Result<Deployed, ControlError>> {
        let name = wish.name.clone().unwrap_or_default();
        let bytes = wish.wasm.as_ref().map_or(0, Bytes::len);
        let answer = stale(&wish.terms).and_then(|()| match name.as_str() {
            "invalid" => Err(ControlError::Invalid("parameter `limit`: a number was expected".into())),
            "unknown" => Err(ControlError::NotFound("there is no module of that digest".into())),
            "conflict" => Err(ControlError::Conflict("another deployment is under way".into())),
            "busy" => Err(ControlError::Busy("the compiler is busy".into())),
            "panic" => panic!("a bug"),
            _ => Ok(Deployed {
                name,
                generation: 2,
                position: 41,
                module: "b3:6f1c".into(),
                version: "1.2.0".into(),
                bytes,
                millis: 12,
                shards: 2,
            }),
        });
        self.wishes.lock().unwrap().push(wish);
        async { answer }.boxed()
    }

    fn roll_back(&self, wish: RollBack) -> BoxFuture<'_, Result<Deployed, ControlError>> {
        async move {
            known(&wish.name)?;
            stale(&wish.terms)?;
            if wish.to.is_some_and(|to| to != 1) {
                return Err(ControlError::NotFound(
                    "rule slow has no earlier generation 9; kept are 1".into(),
                ));
            }
            Ok(Deployed {
                name: wish.name,
                generation: 3,
                position: 45,
                module: "b3:6f1c".into(),
                version: "1.1.0".into(),
                bytes: 4,
                millis: 12,
                shards: 2,
            })
        }
        .boxed()
    }

    fn remove(&self, name: String, terms: Terms) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move { stale(&terms).and(known(&name)).map(|()| 42) }.boxed()
    }

    fn pause(&self, name: String, pause: bool, terms: Terms) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move { stale(&terms).and(known(&name)).map(|()| if pause { 43 } else { 44 }) }.boxed()
    }

    fn end_trial(
        &self,
        name: String,
        reason: Option<String>,
        terms: Terms,
    ) -> BoxFuture<'_, Result<u64, ControlError>> {
        async move { stale(&terms).and(known(&name)).map(|()| if reason.is_none() { 46 } else { 47 }) }
            .boxed()
    }

    fn history(&self, name: &str) -> Option<History> {
        (name == "slow").then(|| History {
            name: "slow".into(),
            history: vec![PastStatus {
                generation: 1,
                module: "b3:6f1c".into(),
                version: "1.1.0".into(),
                query: "service = \"http\"".into(),
                by: Some("eve@box".into()),
                position: 7,
                since: "2013-04-15T18:00:00.000Z".into(),
                ended_position: 30,
                ended: "2013-04-15T18:05:00.000Z".into(),
                how: "replaced",
                reason: None,
            }],
            differences: vec![Difference {
                position: 40,
                candidate: true,
                action: "forward board".into(),
                event: json!({ "host": "web1", "state": "critical" }),
            }],
        })
    }

    fn modules(&self) -> Vec<ModuleStatus> {
        vec![ModuleStatus {
            module: "b3:6f1c".into(),
            bytes: 38_500,
            used_by: vec!["slow".into()],
            last_used: "2013-04-15T18:06:58.000Z".into(),
        }]
    }

    fn collect(&self, all: bool) -> BoxFuture<'_, Result<Collected, ControlError>> {
        let modules = if all { vec!["b3:7e2d".to_owned()] } else { Vec::new() };
        let bytes = modules.len() as u64 * 20_000;
        async move { Ok(Collected { modules, bytes }) }.boxed()
    }

    fn names(&self) -> Vec<(String, RuleState)> {
        let mut names = vec![("slow".to_owned(), RuleState::Running)];
        names.extend((0..self.more.load(SeqCst)).map(|n| (format!("more-{n:05}"), RuleState::Running)));
        names
    }

    fn rule(&self, name: &str) -> Option<RuleStatus> {
        let more =
            name.starts_with("more-").then(|| RuleStatus { name: name.into(), ..RuleStatus::default() });
        more.or_else(|| (name == "slow").then(slow))
    }

    fn lines(&self, name: &str, limit: usize) -> Option<RuleLog> {
        let line = |level, message: &str, position| RuleLine {
            at: "2013-04-15T18:06:58.000Z".into(),
            level,
            message: message.into(),
            position,
            event: Some(json!({ "host": "web1" })),
            ..RuleLine::default()
        };
        (name == "slow").then(|| {
            let mut lines = vec![
                line("info", "a first event", 39),
                line("error", "trap: panicked at src/lib.rs:17:5: division by zero (in on_event)", 40),
            ];
            let missed = lines.len().saturating_sub(limit);
            lines.drain(..missed);
            RuleLog { rule: name.into(), lines, missed: missed as u64 }
        })
    }

    fn keep(&self, wasm: Bytes) -> BoxFuture<'_, Result<Value, ControlError>> {
        self.inspect(wasm, None)
    }

    fn inspect(&self, wasm: Bytes, rule: Option<String>) -> BoxFuture<'_, Result<Value, ControlError>> {
        async move {
            if wasm.starts_with(b"\0asm") {
                let running = rule.filter(|rule| rule == "slow").map(|_| {
                    let changes = json!([{ "what": "version", "from": "1.2.0", "to": "1.3.0" }]);
                    json!({
                        "generation": 2, "version": "1.2.0", "changes": changes, "set": { "limit_ms": "250" },
                        "outputs": { "board": "live" },
                    })
                });
                let parameter = json!({
                    "name": "limit_ms", "type": "number", "doc": "what is slow", "default": null, "required": true,
                });
                Ok(json!({
                    "module": "b3:7e2d", "name": "slow", "version": "1.3.0", "query": "service = \"http\"", "per": "stream",
                    "bytes": wasm.len(), "parameters": [parameter], "outputs": [{ "name": "board", "doc": "where it is told", "many": false }],
                    "schema": 1, "sdk": "0.1.0", "imports": [], "running": running,
                }))
            } else {
                Err(ControlError::Invalid("a module starts with `\\0asm`, this one does not".into()))
            }
        }
        .boxed()
    }
}

/// Generation 2 is in force.
fn stale(terms: &Terms) -> Result<(), ControlError> {
    match terms.generation {
        None | Some(2) => Ok(()),
        Some(other) => Err(ControlError::Stale {
            message: format!("generation {other} of rule slow was expected, and 2 is in force"),
            generation: 2,
            by: "eve@box".into(),
            at: "2013-04-15T18:05:00.000Z".into(),
        }),
    }
}

fn known(name: &str) -> Result<(), ControlError> {
    match name {
        "slow" => Ok(()),
        _ => Err(ControlError::NotFound(format!("there is no rule `{name}`"))),
    }
}

/// One frame of server-sent events.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Its number, if it has one.
    pub id: Option<u64>,
    /// Its name, if it has one.
    pub event: Option<String>,
    /// Its data as JSON; a comment has none.
    pub data: Option<Value>,
}

/// Reads an answer frame by frame.
pub struct Frames {
    response: Response,
    text: String,
    /// The last id, as it was written.
    pub last_id: String,
}

impl Frames {
    /// The frames of an answer that must be one of server-sent events.
    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        Self { response, text: String::new(), last_id: String::new() }
    }

    /// The next frame, comments included; none at the end of the answer.
    pub async fn next(&mut self) -> Option<Frame> {
        let end = loop {
            if let Some(end) = self.text.find("\n\n") {
                break end;
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        };
        let text = self.text.drain(..end + 2).collect::<String>();
        let mut frame = Frame { id: None, event: None, data: None };
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ") {
                // Of a page's frames the number stands behind the name of the show.
                Some(("id", id)) => {
                    frame.id = Some(id.rsplit('.').next().unwrap().parse().unwrap());
                    self.last_id = id.into();
                }
                Some(("event", name)) => frame.event = Some(name.into()),
                Some(("data", data)) => frame.data = Some(serde_json::from_str(data).unwrap()),
                Some(("", _)) => {}
                _ => panic!("a frame has id, event and data, found: {line}"),
            }
        }
        Some(frame)
    }

    /// The data of the next frame of this name; others are passed over.
    pub async fn named(&mut self, name: &str) -> Value {
        let wanted = async {
            loop {
                let frame = self.next().await.expect("the stream goes on");
                if frame.event.as_deref() == Some(name) {
                    break frame.data.unwrap();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(15), wanted)
            .await
            .unwrap_or_else(|_| panic!("a frame `{name}` was expected"))
    }
}

/// The services of a list of events.
pub fn services(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["service"].as_str().unwrap()).collect()
}

/// The rule of all examples.
fn slow() -> RuleStatus {
    RuleStatus {
        name: "slow".into(),
        generation: 2,
        module: "b3:6f1c".into(),
        version: "1.2.0".into(),
        query: "service = \"http\"".into(),
        per: "stream".into(),
        set: BTreeMap::from([("limit_ms".into(), "250".into())]),
        outputs: BTreeMap::from([("board".into(), "live".into())]),
        status: RuleState::Running,
        events: 100,
        memory: 131_072,
        keys: 2,
        emitted: 1,
        forwarded: 3,
        faults: 1,
        last_fault: Some(LastFault {
            kind: "trap".into(),
            message: "division by zero".into(),
            during: "on_event".into(),
            event: Some(json!({ "host": "web1" })),
            at: "2013-04-15T18:06:58.000Z".into(),
        }),
        by: Some("eve@box".into()),
        since: "2013-04-15T18:05:00.000Z".into(),
        trial: Some(TrialStatus {
            generation: 3,
            module: "b3:7e2d".into(),
            version: "1.3.0".into(),
            percent: 5.0,
            by: Some("eve@box".into()),
            since: "2013-04-15T18:06:00.000Z".into(),
            promoted_at: Some("2013-04-15T18:16:00.000Z".into()),
            events: 40,
            same: 6,
            only_new: 1,
            ..TrialStatus::default()
        }),
        ..RuleStatus::default()
    }
}
