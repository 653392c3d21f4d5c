//! Assembles everything, bottom up, and stops it, top down. Read this first.
//!
//! ```text
//! inputs ─► ingest ─► sequencer ─► shard threads ─► sequencer ─► outputs
//!                        │  ▲                           │
//!                       log └──────── emitted ──────────┘
//! ```

use crate::archive::Archive;
use crate::catalogue::Catalogue;
use crate::checkpoint::{self, Checkpointer};
use crate::config::{Config, InputKind};
use crate::control::{self, Controller};
use crate::data::{Data, draw_seed};
use crate::dead_letters::DeadLetters;
use crate::history::History;
use crate::ingest::{Desk, Ingest, Progress, Request, ring};
use crate::input;
use crate::log::{Log, Retention};
use crate::modules::Modules;
use crate::output::alerts::{About, Ask};
use crate::output::{Outputs, tls};
use crate::rebuild::{Grounds, Rebuilder};
use crate::sequencer::{Parts, Recovered, Sequencer, Way};
use crate::shard_thread::{self, Handed, RING};
use crate::telemetry::{Level, Telemetry};
use crate::web::{self, Views, Web};
use anyhow::{Context, anyhow};
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;
use tidegate_engine::shard::{Settings, Shard};
use tidegate_event::Span;
use tidegate_wasm::{Apart, Host, HostOptions};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Outputs have this long to send what waits when the node stops.
const DRAIN: Duration = Duration::from_secs(10);

/// A running node.
pub struct Node {
    addresses: Vec<(String, SocketAddr)>,
    recovered: Recovered,
    telemetry: Arc<Telemetry>,
    ingest: Ingest,
    desk: Arc<Desk>,
    outputs: Arc<Outputs>,
    stop_inputs: CancellationToken,
    inputs: JoinSet<()>,
    _input_threads: InputThreads,
    stop_web: CancellationToken,
    web: tokio::task::JoinHandle<()>,
    care: tokio::task::JoinHandle<()>,
    threads: Vec<JoinHandle<()>>,
    checkpointer: Option<Checkpointer>,
    /// Let go last: until then nobody else may own the directory.
    _data: Option<Data>,
}

impl Node {
    /// Starts a node. Listeners are bound first, so that an address that is taken is an error here; they are served when
    /// the log has been read.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_compiling(config, None).await
    }

    /// The same, with modules compiled apart, in a process of their own, instead of in this one.
    pub async fn start_compiling(config: Config, apart: Option<Apart>) -> anyhow::Result<Self> {
        tls::install();
        let telemetry = Arc::new(Telemetry::default());
        let data = if config.log.enabled { Some(Data::open(&config.data)?) } else { None };
        let seed = data.as_ref().map_or_else(draw_seed, |data| data.seed);
        let shards = config.engine.shards;

        // The door, and who listens at it. The sequencer takes what comes in as soon as it runs.
        let desk = Arc::new(Desk::default());
        let ingest = Ingest::new(desk.clone(), config.engine.in_flight, seed, shards);
        let mut inputs = input::bind(&config.inputs, &ingest, &telemetry).await.map_err(listen_errors)?;
        let http = listen("http", config.http.address).await?;
        let websocket = match config.websocket.enabled {
            true => Some(listen("websocket", config.websocket.address).await?),
            false => None,
        };
        let sse = match config.sse.enabled {
            true => Some(listen("sse", config.sse.address).await?),
            false => None,
        };
        let addresses = addresses(&inputs, &http, websocket.as_ref(), sse.as_ref());

        // Rules: modules, the wasm host, what is deployed, where it sends things.
        let modules = Arc::new(match &data {
            Some(data) => Modules::folder(data.folder.join("modules")).context("modules cannot be kept")?,
            None => Modules::memory(),
        });
        let folder = data.as_ref().map(|data| data.folder.clone());
        let options = HostOptions { data: folder, apart, ..HostOptions::default() };
        let host = Arc::new(Host::new(&options, modules.clone()).context("the wasm engine does not start")?);
        let catalogue = Arc::new(Catalogue::new(telemetry.clone()));
        let letters = Arc::new(match &data {
            Some(data) => DeadLetters::open(
                &data.folder.join("dead-letters"),
                config.dead_letters,
                telemetry.letters.clone(),
            )
            .context("the dead letters cannot be opened")?,
            None => DeadLetters::memory(config.dead_letters, telemetry.letters.clone()),
        });
        let spools = data.as_ref().map(|data| data.folder.join("outputs"));
        let outputs =
            Arc::new(Outputs::open(&config.outputs, &telemetry, spools.as_deref(), letters.clone())?);

        // Shards, each on its own thread, and the sequencer before them.
        let node_name: Arc<str> = sysinfo::System::host_name().unwrap_or("tidegate".to_owned()).into();
        if config.instrumentation.enabled {
            let interval = config.instrumentation.interval;
            let itself = input::Instrumentation::new(interval, &node_name, ingest.clone(), &telemetry);
            inputs.push(input::Input::Instrumentation(itself));
        }
        let settings = |number| Settings {
            number,
            shards,
            seed,
            default_ttl: config.engine.default_ttl,
            max_streams: config.engine.max_streams.div_ceil(shards),
            node: node_name.clone(),
            rebuild: data.is_some(),
        };
        let history = History::start(config.history, telemetry.history.clone())
            .context("the thread of the history does not start")?;
        let archive = data.as_ref().map(|data| Archive::new(data.folder.clone(), host.clone(), settings(0)));
        let cores = config.engine.pin.then(core_affinity::get_core_ids).flatten().unwrap_or_default();
        let cores = if cores.len() >= shards { cores } else { Vec::new() };
        let mut threads = Vec::new();
        let mut ways = Vec::new();
        for number in 0..shards {
            let (feed, handed) = ring::<Handed>(RING);
            let shard = Shard::new(settings(number), host.clone());
            let progress = Arc::<Progress>::default();
            ways.push(Way { ring: feed, progress: progress.clone() });
            let thread = shard_thread::spawn(
                shard,
                handed,
                desk.clone(),
                progress,
                telemetry.clone(),
                Some(history.tracks(shards)),
                cores.get(number).copied(),
            )?;
            threads.push(thread);
        }
        let retention = Retention {
            segment: config.log.segment,
            keep_bytes: config.log.keep_bytes,
            keep_for: config.log.keep_for,
        };
        let log = match &data {
            Some(data) => Some(Log::open(&data.folder.join("log"), retention, telemetry.clone())?),
            None => None,
        };
        let (mut log, reader) = log.map_or((None, None), |(log, reader)| (Some(log), Some(reader)));
        if let Some(log) = &mut log
            && needs_syncing(&config)
        {
            let desk = desk.clone();
            log.sync_with(Arc::new(move || desk.wake())).context("the log cannot be synced")?;
        }
        let (checkpointer, loaded) = match (&data, &log) {
            (Some(data), Some(log)) => {
                let folder = data.folder.join("checkpoints");
                let loaded = checkpoint::load(&folder).context("the checkpoints cannot be read")?;
                let settle = settled(data.folder.join("log"), outputs.clone());
                let stats = telemetry.checkpoints.clone();
                let low_water = log.low_water();
                let checkpointer =
                    Checkpointer::start(&folder, shards, desk.clone(), stats, settle, low_water)?;
                (Some(checkpointer), loaded)
            }
            _ => (None, None),
        };
        let every = Span(config.log.checkpoint.as_micros() as i64);
        let rebuilder = match &data {
            Some(data) => {
                let grounds = Grounds {
                    checkpoints: data.folder.join("checkpoints"),
                    log: data.folder.join("log"),
                    guests: host.clone(),
                    settings: settings(0),
                };
                Some(Rebuilder::start(grounds, desk.clone(), telemetry.clone())?)
            }
            None => None,
        };
        let parts = Parts {
            rebuilder,
            checkpoints: checkpointer.as_ref().map(|checkpointer| (checkpointer.jobs(), every)),
            shards: ways,
            log,
            catalogue: catalogue.clone(),
            outputs: outputs.clone(),
            telemetry: telemetry.clone(),
            seed,
        };
        let ready = Arc::new(AtomicBool::new(false));
        let about = about(catalogue.clone());
        let controller = Arc::new(Controller::new(control::Parts {
            ingest: ingest.clone(),
            host,
            modules,
            catalogue,
            outputs: outputs.clone(),
            telemetry: telemetry.clone(),
            shards,
            logs: data.is_some(),
            // For as long as the log may say that one was deployed.
            grace: Span(i64::try_from(config.log.keep_for.as_micros()).unwrap_or(i64::MAX)),
        }));
        let (recovered, sequencer) = recover(Sequencer::new(parts), loaded, reader, &desk).await?;
        threads.push(desk.open(sequencer)?);

        // Everything behind the door works: let them in.
        let stop_inputs = CancellationToken::new();
        outputs.begin(recovered.position);
        let page = addresses.iter().find(|(name, _)| name == "http").map(|(_, address)| address);
        let page = config.http.public_url.clone().or_else(|| Some(format!("http://{}", page?)));
        outputs.alerts().start(about, page.as_deref());
        outputs.follow(&ingest);
        let mut running = JoinSet::new();
        let input_threads = InputThreads::start(shards)?;
        for input in inputs {
            input_threads.run(&mut running, input.run(stop_inputs.child_token()));
        }
        let stop_web = CancellationToken::new();
        let web = Web {
            ingest: ingest.clone(),
            control: controller.clone(),
            telemetry: telemetry.clone(),
            live: {
                let outputs = outputs.clone();
                Arc::new(move || outputs.live())
            },
            letters,
            alerts: outputs.alerts().clone(),
            resend: {
                let outputs = outputs.clone();
                Arc::new(move |output, delivery| {
                    let outputs = outputs.clone();
                    async move { outputs.send_again(&output, delivery).await }.boxed()
                })
            },
            history,
            archive,
            views: Arc::new(match &data {
                Some(data) => Views::folder(data.folder.join("views")).context("the views cannot be kept")?,
                None => Views::memory(),
            }),
            ready: readiness(&ready, &telemetry),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            http_ack: config.http.ack,
            riemann_ack: config.websocket.ack,
            allow_remote: config.http.allow_remote,
            token: config.http.token.as_ref().map(|token| web::Token::new(token.reveal())),
            sse_headers: config.sse.headers,
            limits: web::Limits::default(),
        };
        let care = tokio::spawn(control::look_after(controller, stop_web.clone()));
        let web = tokio::spawn(web.serve(Some(http), websocket, sse, stop_web.clone()));
        ready.store(true, SeqCst);
        Ok(Self {
            addresses,
            recovered,
            telemetry,
            ingest,
            desk,
            outputs,
            stop_inputs,
            inputs: running,
            _input_threads: input_threads,
            stop_web,
            web,
            care,
            threads,
            checkpointer,
            _data: data,
        })
    }

    /// What listens where, with the real ports.
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// What the start found in the log.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// The counters.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// The door, for whoever runs in the same process.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Stops: inputs first, then what is on its way is finished, then outputs send what waits, for a while at most.
    pub async fn stop(mut self) {
        self.stop_inputs.cancel();
        while self.inputs.join_next().await.is_some() {}
        self.stop_web.cancel();
        let _ = tokio::join!(self.web, self.care);
        self.ingest.stop();
        self.desk.submit(Request::Stop);
        self.desk.wake();
        let checkpointer = self.checkpointer.take();
        let threads = std::mem::take(&mut self.threads);
        let _ = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread ended in a panic");
                }
            }
            drop(checkpointer);
        })
        .await;
        self.outputs.shutdown(DRAIN).await;
    }
}

/// The threads on which inputs read, decode, and do the sequencer's work: as many as cores are left by the shards. They are
/// apart from those of the page and the outputs, so that neither waits for the other, and few, so that a message that comes
/// alone wakes one of them and not a second one to look for more.
struct InputThreads(Option<tokio::runtime::Runtime>);

impl InputThreads {
    fn start(shards: usize) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(cores.saturating_sub(shards).max(1)).thread_name("input").enable_all();
        Ok(Self(Some(builder.build().context("the threads of the inputs do not start")?)))
    }

    fn run(&self, running: &mut JoinSet<()>, input: impl Future<Output = ()> + Send + 'static) {
        if let Some(threads) = &self.0 {
            running.spawn_on(input, threads.handle());
        }
    }
}

impl Drop for InputThreads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which must not happen on another runtime's.
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

/// Reads the log off the async threads: it may take a while, and it blocks.
async fn recover(
    mut sequencer: Sequencer,
    loaded: Option<checkpoint::Loaded>,
    reader: Option<crate::log::Reader>,
    desk: &Arc<Desk>,
) -> anyhow::Result<(Recovered, Sequencer)> {
    let Some(reader) = reader else { return Ok((Recovered::default(), sequencer)) };
    let heard = desk.queued().clone();
    let checkpoint = loaded.as_ref().map(|loaded| loaded.head.position);
    let span = tracing::info_span!("recover", checkpoint);
    let (recovered, sequencer) = tokio::task::spawn_blocking(move || {
        let _within = span.entered();
        let recovered = sequencer.recover(loaded, reader, &heard);
        (recovered, sequencer)
    })
    .await?;
    let recovered = recovered.context("the log cannot be read")?;
    tracing::info!(
        records = recovered.records,
        events = recovered.events,
        position = recovered.position,
        checkpoint = recovered.checkpoint,
        "the log was read"
    );
    Ok((recovered, sequencer))
}

/// What the desks of the alerts say of a rule.
fn about(catalogue: Arc<Catalogue>) -> Ask {
    Arc::new(move |rule| match catalogue.get(rule) {
        Some(entry) => {
            let version = Some(entry.spec.version.clone()).filter(|version| !version.is_empty());
            About { version, generation: Some(entry.spec.generation) }
        }
        None => About::default(),
    })
}

/// What else a checkpoint relies on: the log up to it is on the disk, and so is what was forwarded.
fn settled(log: std::path::PathBuf, outputs: Arc<Outputs>) -> checkpoint::Settle {
    Box::new(move |position| {
        crate::log::sync(&log).map_err(|error| error.to_string())?;
        outputs.sync().map_err(|error| format!("the spools of the outputs: {error}"))?;
        match outputs.settled() {
            settled if settled >= position => Ok(()),
            settled => Err(format!("an output's spool has got to position {settled} and not to {position}")),
        }
    })
}

/// Whether anybody is promised that what was acked survives a power cut. Then everything is synced, and nothing leaves
/// through an output before it is.
fn needs_syncing(config: &Config) -> bool {
    let inputs = config.inputs.iter().filter_map(|input| match &input.kind {
        InputKind::Riemann(riemann) => riemann.tcp.map(|_| riemann.ack),
        _ => None,
    });
    let websocket = config.websocket.enabled.then_some(config.websocket.ack);
    inputs.chain([config.http.ack]).chain(websocket).any(|level| level == Level::Synced)
}

async fn listen(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{what} cannot listen on {address}: choose another address for it in the configuration")
    })
}

fn listen_errors(errors: Vec<input::BindError>) -> anyhow::Error {
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow!("{}", all.join("\n"))
}

/// What listens where. An input's counters are named `NAME/tcp`; a person reads `NAME tcp`.
fn addresses(
    inputs: &[input::Input],
    http: &TcpListener,
    websocket: Option<&TcpListener>,
    sse: Option<&TcpListener>,
) -> Vec<(String, SocketAddr)> {
    let mut addresses: Vec<(String, SocketAddr)> = inputs
        .iter()
        .filter_map(|input| Some((input.stats().name.replace('/', " "), input.address()?)))
        .collect();
    for (name, listener) in [("websocket", websocket), ("sse", sse)] {
        addresses.extend(listener.and_then(|listener| Some((name.to_owned(), listener.local_addr().ok()?))));
    }
    addresses.extend(http.local_addr().ok().map(|address| ("http".to_owned(), address)));
    addresses
}

fn readiness(ready: &Arc<AtomicBool>, telemetry: &Arc<Telemetry>) -> web::Ready {
    let (ready, telemetry) = (ready.clone(), telemetry.clone());
    Arc::new(move || match (ready.load(SeqCst), telemetry.log.trouble()) {
        (true, None) => Ok(()),
        (false, _) => Err(vec!["the log is being read".to_owned()]),
        (true, Some(trouble)) => Err(vec![format!("nothing is taken in: {trouble}")]),
    })
}
