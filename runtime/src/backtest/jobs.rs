//! Backtests that somebody asked a running node for: one at a time, on a thread of its own that leaves the node its time.
//!
//! Some may wait, and the last few that are done are kept with their reports; further ones are refused, and older ones go.

use super::{Candidate, Interval, Pace, Past, Plan, Progress, Range, Report, Source, Wishes};
use crate::archive::Archive;
use crate::clock;
use crate::history::Chart;
use crate::modules::Modules;
use crate::rules;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidegate_engine::shard::key_of;
use tidegate_event::{Span, Timestamp, stream_key};
use tidegate_wasm::ModuleStore;

/// Backtests that may wait.
const WAITING: usize = 8;
/// Those that are over and are kept.
const KEPT: usize = 10;
/// Guests run on this stack: 512 KiB of it are theirs.
const STACK: usize = 8 << 20;
/// Points of a chart.
const POINTS: usize = 400;
/// The share of the work that the chart is, when there is one.
const CHART: f64 = 0.2;
/// A breath lasts so long at most, unless the node is busy.
const BREATH: Duration = Duration::from_millis(20);

/// What is to be tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Which {
    /// A rule that is deployed, with what is said otherwise.
    Rule {
        /// Its name.
        name: String,
        /// Its parameters.
        set: BTreeMap<String, String>,
        /// Its query.
        query: Option<String>,
        /// Its key.
        per: Option<String>,
    },
    /// A module that is kept.
    Module {
        /// Its digest.
        digest: String,
        /// Its parameters.
        set: BTreeMap<String, String>,
        /// Its query, instead of the module's own.
        query: Option<String>,
        /// Its key, instead of the module's own.
        per: Option<String>,
    },
}

impl Which {
    fn wishes(&self) -> Wishes {
        let (Self::Rule { set, query, per, .. } | Self::Module { set, query, per, .. }) = self;
        Wishes { query: query.clone(), per: per.clone(), set: set.clone() }
    }

    /// The candidate; `over` is the rule whose settings count where nothing else is said.
    fn candidate(&self, archive: &Archive, over: Option<&Candidate>) -> anyhow::Result<Candidate> {
        let mut wishes = self.wishes();
        match self {
            Self::Rule { name, .. } => {
                let deployed = Candidate::deployed(name, &archive.data)?;
                let mut candidate =
                    Candidate::of_module(deployed.wasm.clone(), &wishes.over(&deployed)?, true)?;
                candidate.spec.name.clone_from(name);
                Ok(candidate)
            }
            Self::Module { digest, .. } => {
                let kept = Modules::Folder(archive.data.join("modules")).load(digest);
                let wasm = kept.or_else(|| rules::by_digest(digest).map(<[u8]>::to_vec));
                let wasm = wasm.with_context(|| {
                    format!("no module with digest {digest} is here: send it to /api/v1/modules first")
                })?;
                if let Some(over) = over {
                    wishes = wishes.over(over)?;
                }
                Candidate::of_module(wasm, &wishes, over.is_none())
            }
        }
    }
}

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// What is tried.
    pub rule: Which,
    /// What it is compared with.
    pub against: Option<Which>,
    /// The first moment.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// The stream that is drawn: host and service.
    pub chart: Option<(Option<String>, Option<String>)>,
    /// Who wants it.
    pub by: String,
}

/// How a backtest is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Others come first.
    #[default]
    Waiting,
    /// It is at work.
    Running,
    /// There is a report.
    Done,
    /// There is an error.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl Status {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it will change no more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A backtest.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// What was asked for.
    pub wish: Wish,
    /// When.
    pub at: Timestamp,
    /// How it is.
    pub status: Status,
    /// Why it failed.
    pub error: Option<String>,
    /// What came of it.
    pub report: Option<Arc<Value>>,
    run: Arc<Progress>,
    draw: Arc<Progress>,
}

impl Job {
    /// How much of it is done, from 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.status.is_over() || self.status == Status::Waiting {
            return if self.status == Status::Done { 1.0 } else { 0.0 };
        }
        let share = |progress: &Progress| {
            let (done, total) = (progress.done.load(Relaxed), progress.total.load(Relaxed));
            if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) }
        };
        let drawn = if self.wish.chart.is_some() { CHART } else { 0.0 };
        share(&self.run) * (1.0 - drawn) + share(&self.draw) * drawn
    }
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING} backtests wait already: wait for one to end, or cancel one")]
pub struct NoRoom;

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    jobs: VecDeque<Job>,
    /// Whether the thread is there.
    works: bool,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a wish into the line and says its number. `is_busy` tells whether the node has more to do than it can.
    pub fn add(
        &self,
        archive: &Archive,
        wish: Wish,
        is_busy: impl Fn() -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Result<u64, NoRoom>> {
        let mut inner = self.lock();
        if inner.jobs.iter().filter(|job| job.status == Status::Waiting).count() >= WAITING {
            return Ok(Err(NoRoom));
        }
        inner.last += 1;
        let pace = Some(pace(is_busy));
        let progress = || Arc::new(Progress { pace: pace.clone(), ..Progress::default() });
        let (id, at) = (inner.last, clock::now());
        let (status, error, report) = Default::default();
        inner.jobs.push_back(Job { id, wish, at, status, error, report, run: progress(), draw: progress() });
        if !inner.works {
            let (jobs, archive) = (self.clone(), archive.clone());
            let thread = std::thread::Builder::new().name("backtests".into()).stack_size(STACK);
            if let Err(error) = thread.spawn(move || jobs.work(&archive)) {
                inner.jobs.pop_back();
                return Err(error);
            }
            inner.works = true;
        }
        Ok(Ok(id))
    }

    /// All of them, the latest first.
    pub fn all(&self) -> Vec<Job> {
        self.lock().jobs.iter().rev().cloned().collect()
    }

    /// One of them.
    pub fn find(&self, id: u64) -> Option<Job> {
        self.lock().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// Ends one that waits or runs, and forgets one that is over. Says how it was.
    pub fn end(&self, id: u64) -> Option<Status> {
        let mut inner = self.lock();
        let at = inner.jobs.iter().position(|job| job.id == id)?;
        let job = &mut inner.jobs[at];
        let status = job.status;
        job.run.stop.store(true, Relaxed);
        job.draw.stop.store(true, Relaxed);
        match status {
            Status::Waiting => job.status = Status::Cancelled,
            Status::Running => {}
            Status::Done | Status::Failed | Status::Cancelled => drop(inner.jobs.remove(at)),
        }
        Some(status)
    }

    /// Ends all of them: the node stops.
    pub fn stop(&self) {
        let mut inner = self.lock();
        for job in &mut inner.jobs {
            job.run.stop.store(true, Relaxed);
            job.draw.stop.store(true, Relaxed);
            if job.status == Status::Waiting {
                job.status = Status::Cancelled;
            }
        }
    }

    fn take(&self) -> Option<Job> {
        let mut inner = self.lock();
        let next = inner.jobs.iter_mut().find(|job| job.status == Status::Waiting);
        match next {
            Some(job) => {
                job.status = Status::Running;
                Some(job.clone())
            }
            None => {
                inner.works = false;
                None
            }
        }
    }

    fn work(&self, archive: &Archive) {
        while let Some(job) = self.take() {
            let run = std::panic::AssertUnwindSafe(|| run(archive, &job));
            let outcome = std::panic::catch_unwind(run)
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the backtest panicked: see the node's log")));
            let mut inner = self.lock();
            if let Some(job) = inner.jobs.iter_mut().find(|other| other.id == job.id) {
                match outcome {
                    _ if job.run.stop.load(Relaxed) => job.status = Status::Cancelled,
                    Ok(report) => {
                        job.status = Status::Done;
                        job.report = Some(Arc::new(report));
                    }
                    Err(error) => {
                        job.status = Status::Failed;
                        job.error = Some(format!("{error:#}"));
                    }
                }
            }
            while inner.jobs.iter().filter(|job| job.status.is_over()).count() > KEPT {
                let Some(oldest) = inner.jobs.iter().position(|job| job.status.is_over()) else { break };
                inner.jobs.remove(oldest);
            }
        }
    }
}

/// Half of the time is the node's, and all of it while it is busy.
fn pace(is_busy: impl Fn() -> bool + Send + Sync + 'static) -> Pace {
    let last: Mutex<Option<Instant>> = Mutex::default();
    Pace(Arc::new(move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let worked = last.map_or(Duration::ZERO, |at| at.elapsed()).min(BREATH);
        if worked > Duration::from_millis(1) || is_busy() {
            std::thread::sleep(worked.max(Duration::from_millis(1)));
            let mut patience = 10;
            while is_busy() && patience > 0 {
                patience -= 1;
                std::thread::sleep(BREATH);
            }
            *last = Some(clock::start());
        } else if last.is_none() {
            *last = Some(clock::start());
        }
    }))
}

fn run(archive: &Archive, job: &Job) -> anyhow::Result<Value> {
    let wish = &job.wish;
    let against = wish.against.as_ref().map(|which| which.candidate(archive, None)).transpose()?;
    let over = against.as_ref().filter(|_| matches!(wish.against, Some(Which::Rule { .. })));
    let rule = wish.rule.candidate(archive, over)?;
    if wish.from > wish.to {
        bail!("`from` lies behind `to`: nothing lies between");
    }
    let past = Past { folder: archive.log(), seed: Some(archive.settings.seed), without: Vec::new() };
    let mut plan = Plan {
        rule,
        against,
        source: Source::Log(past),
        range: Range { from: wish.from, to: wish.to },
        warm_up: Span::ZERO,
        shards: 1,
        instructions: 0,
        default_ttl: archive.settings.default_ttl,
        max_streams: archive.settings.max_streams,
    };
    let own = plan.own_marks();
    if let Source::Log(past) = &mut plan.source {
        past.without = own;
    }
    let report = plan.run(&job.run)?;
    let mut told = serde_json::to_value(&report)?;
    if let Some(chart) = chart(&plan, &report, job)? {
        told["chart"] = chart;
    }
    Ok(told)
}

/// The metric of a stream over the time that was played, and when each version would have fired for its key.
fn chart(plan: &Plan, report: &Report, job: &Job) -> anyhow::Result<Option<Value>> {
    let Some((host, service)) = &job.wish.chart else { return Ok(None) };
    let Some((from, to)) = report.read.range() else { return Ok(None) };
    let text = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    let stream = stream_key(plan.source.seed(), text(host).as_deref(), text(service).as_deref());
    let mut chart = Chart::new(from, to.max(from + Span::millis(1)), POINTS);
    let sides = [Some(&plan.rule), plan.against.as_ref()];
    let mut keys = [None, None];
    plan.source.read(plan.range, &job.draw, |batch| {
        for event in batch.events().filter(|event| event.key() == stream) {
            chart.event(batch.header.now, &event);
            for (key, side) in keys.iter_mut().zip(sides) {
                if let (None, Some(side)) = (&key, side) {
                    *key = Some(key_of(&side.spec.per, &event, plan.source.seed()));
                }
            }
        }
        true
    })?;
    let fired = |intervals: &[Interval], key: Option<u64>| -> Value {
        let own: Vec<&Interval> = intervals.iter().filter(|interval| Some(interval.key) == key).collect();
        json!(own)
    };
    let against = report.against.as_ref().map(|against| fired(&against.fired.intervals, keys[1]));
    Ok(Some(json!({
        "host": host, "service": service, "from": clock::iso8601(from), "to": clock::iso8601(to),
        "step_ms": chart.step_ms(), "points": chart.points(), "states": chart.states(),
        "rule": fired(&report.rule.fired.intervals, keys[0]), "against": against,
    })))
}
