//! Stages that remember: what each is told when the pipeline is read ([`Recipe`]), what it remembers ([`Memory`]), and what it
//! does with an item and with a moment. The remembering itself is done by the SDK's parts.

use crate::func::{Fold, Func, Stop, samples};
use crate::pred::Pred;
use crate::run::{Clock, Item, Pass};
use crate::value::{Fact, Name, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_sdk::{
    Align, Apdex, Batches, Counter, EveryN, Field, FixedTime, Forecast, KINDS_MAX, LIST_MAX, LastN, Latest,
    Leaders, Line, Metric, MovingTime, Rollup, Runs, Silence, Slope, Span, Stable, Standing, Ticker,
    Timestamp,
};

/// Where a stage's windows begin. What begins with the stage begins with the first event of its key or fork.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    Epoch,
    First,
    Stage,
}

impl From {
    fn at(self, started: Timestamp) -> Align {
        match self {
            Self::Epoch => Align::Epoch,
            Self::First => Align::First,
            Self::Stage => Align::At(started),
        }
    }
}

/// A stage with memory, as the pipeline describes it. `riemann` asks for Riemann's way where ours differs.
#[derive(Clone, Debug)]
pub enum Recipe {
    Reduce { f: Reduce, init: Option<Value> },
    Counter(Metric),
    LastN(usize),
    EveryN(usize),
    MovingTime { span: Span, riemann: bool },
    FixedTime { every: Span, from: From, riemann: bool },
    Batch { n: usize, every: Span, from: From, edges: bool },
    Coalesce { every: Span, from: From, riemann: bool },
    Project(Vec<Pred>),
    FoldInterval { every: Span, from: From, field: Name, f: Func, empty: bool },
    Rate { every: Span, from: From, riemann: bool },
    Percentiles { every: Span, from: From, points: Vec<(f64, Option<String>)> },
    Slope,
    SlopeEvery { every: Span, from: From, riemann: bool },
    EwmaTimeless { r: f64, zero: bool },
    Ewma { half_life: f64, zero: bool },
    Top { k: usize, f: Func, demote: bool },
    Apdex { every: Span, from: From, satisfied: Pred, tolerated: Pred },
    Predict { n: usize, ahead: Span, reuse: Span },
    ClockSkew,
    FillIn { every: Span, event: Value, at_once: bool },
    FillInLast { every: Span, f: Option<Func>, set: Vec<(Name, Value)> },
    Interpolate { every: Span },
    Changed { f: Func, init: Value, pairs: bool },
    ChangedState { init: Value },
    Stable { hold: Span, f: Func, riemann: bool },
    Runs { n: u32, f: Func },
    Throttle { n: u32, every: Span, from: From },
    Rollup { n: u32, every: Span, from: From },
    Sum,
    Mean,
}

impl Recipe {
    /// Whether it gathers what it tells at a moment to come, so that something would be lost if that did not come.
    pub fn holds_back(&self) -> bool {
        matches!(
            self,
            Self::FixedTime { .. }
                | Self::Batch { .. }
                | Self::FoldInterval { .. }
                | Self::Rate { .. }
                | Self::Percentiles { .. }
                | Self::Apdex { .. }
                | Self::Rollup { .. }
        )
    }

    /// By how many lists what it passes on is deeper than what came.
    pub fn lists(&self) -> usize {
        match self {
            Self::FoldInterval { f: Func::Duplicate(_), .. } => 2,
            Self::LastN(_)
            | Self::EveryN(_)
            | Self::MovingTime { .. }
            | Self::FixedTime { .. }
            | Self::Batch { .. }
            | Self::Coalesce { .. }
            | Self::Project(_)
            | Self::FoldInterval { .. }
            | Self::Changed { pairs: true, .. }
            | Self::Rollup { .. } => 1,
            _ => 0,
        }
    }

    /// For how long it may hold something back, or has to remember it.
    pub fn span(&self) -> Span {
        match *self {
            Self::MovingTime { span, .. } => span,
            Self::FixedTime { every, .. }
            | Self::Batch { every, .. }
            | Self::Coalesce { every, .. }
            | Self::FoldInterval { every, .. }
            | Self::Rate { every, .. }
            | Self::Percentiles { every, .. }
            | Self::SlopeEvery { every, .. }
            | Self::Apdex { every, .. }
            | Self::FillIn { every, .. }
            | Self::FillInLast { every, .. }
            | Self::Interpolate { every }
            | Self::Throttle { every, .. }
            | Self::Rollup { every, .. } => every,
            Self::Ewma { half_life, .. } => Span::from_secs_f64(half_life),
            Self::Stable { hold, .. } => hold,
            _ => Span::ZERO,
        }
    }
}

/// How two become one.
#[derive(Clone, Debug)]
pub enum Reduce {
    Plus,
    /// The later event with the larger metric.
    MaxMetric,
    Fold(Fold),
}

/// What a stage remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Memory {
    Reduce(Option<Value>),
    Counter(Counter),
    LastN(LastN<Value>),
    EveryN(EveryN<Value>),
    MovingTime(MovingTime<Value>),
    FixedTime(FixedTime<Value>),
    Batch(Batches<Value>),
    Coalesce { latest: Latest<(Option<String>, Option<String>), Value>, clock: Ticker },
    Project(Vec<Option<Value>>),
    FoldInterval { values: Vec<Value>, last: Option<Value>, clock: Ticker },
    Rate { sum: f64, last: Option<Value>, ttl: Option<f64>, clock: Ticker },
    Percentiles { samples: Vec<Value>, clock: Ticker },
    Slope(Slope),
    SlopeEvery { now: Option<Value>, before: Option<Value>, earlier: Option<Value>, clock: Ticker },
    Ewma { value: Option<f64>, newest: Option<Timestamp> },
    Top(Leaders<(Option<String>, Option<String>), Value>),
    Apdex { index: Apdex, last: Option<Value>, start: Timestamp },
    Predict { points: Forecast, line: Option<(Line, Timestamp)> },
    ClockSkew(BTreeMap<Option<String>, Heard>),
    FillIn { silence: Silence, last: Option<Value> },
    Interpolate { last: Option<Value>, clock: Ticker },
    Changed { last: Value, item: Value },
    ChangedState(BTreeMap<(Option<String>, Option<String>), Value>),
    Stable(Stable<Value, Value>),
    Runs(Runs<Value>),
    Throttle { start: Option<Timestamp>, passed: u32 },
    Rollup(Rollup<Value>),
    Sum { sum: Counter, count: u64 },
}

impl Memory {
    /// What a stage remembers that has seen nothing yet.
    pub fn fresh(recipe: &Recipe, started: Timestamp) -> Self {
        let zero = |zero: bool| zero.then_some(0.0);
        match recipe {
            Recipe::Reduce { init, .. } => Self::Reduce(init.clone()),
            Recipe::Counter(init) => Self::Counter(Counter::starting(*init)),
            Recipe::LastN(n) => Self::LastN(LastN::new(*n)),
            Recipe::EveryN(n) => Self::EveryN(EveryN::new(*n)),
            Recipe::MovingTime { span, riemann: true } => {
                Self::MovingTime(MovingTime::new(*span).after(Timestamp::EPOCH + *span))
            }
            Recipe::MovingTime { span, .. } => Self::MovingTime(MovingTime::new(*span)),
            Recipe::FixedTime { every, from, riemann } => {
                let windows = FixedTime::new(*every, from.at(started));
                Self::FixedTime(if *riemann { windows.open_end() } else { windows })
            }
            Recipe::Batch { n, every, from, .. } => Self::Batch(Batches::new(*n, *every, from.at(started))),
            Recipe::Coalesce { every, from, .. } => Self::Coalesce {
                latest: Latest::default(),
                clock: Ticker::new(*every, from.at(started)).at_once(),
            },
            Recipe::Project(basis) => Self::Project(vec![None; basis.len()]),
            Recipe::FoldInterval { every, from, .. } => Self::FoldInterval {
                values: Vec::new(),
                last: None,
                clock: Ticker::new(*every, from.at(started)),
            },
            Recipe::Rate { every, from, .. } => {
                Self::Rate { sum: 0.0, last: None, ttl: None, clock: Ticker::new(*every, from.at(started)) }
            }
            Recipe::Percentiles { every, from, .. } => {
                Self::Percentiles { samples: Vec::new(), clock: Ticker::new(*every, from.at(started)) }
            }
            Recipe::Slope => Self::Slope(Slope::default()),
            Recipe::SlopeEvery { every, from, riemann } => {
                let clock = Ticker::new(*every, from.at(started));
                let clock = if *riemann { clock.at_once() } else { clock };
                Self::SlopeEvery { now: None, before: None, earlier: None, clock }
            }
            Recipe::EwmaTimeless { zero: from, .. } => Self::Ewma { value: zero(*from), newest: None },
            Recipe::Ewma { zero: from, .. } => {
                Self::Ewma { value: zero(*from), newest: from.then_some(Timestamp::EPOCH) }
            }
            Recipe::Top { k, .. } => Self::Top(Leaders::of(*k)),
            Recipe::Apdex { .. } => Self::Apdex { index: Apdex::default(), last: None, start: started },
            Recipe::Predict { n, .. } => Self::Predict { points: Forecast::over(*n), line: None },
            Recipe::ClockSkew => Self::ClockSkew(BTreeMap::new()),
            Recipe::FillIn { every, at_once, .. } => {
                let mut silence = Silence::of(*every);
                if *at_once {
                    silence.heard(started);
                }
                Self::FillIn { silence, last: None }
            }
            Recipe::FillInLast { every, .. } => Self::FillIn { silence: Silence::of(*every), last: None },
            Recipe::Interpolate { every } => {
                Self::Interpolate { last: None, clock: Ticker::new(*every, Align::First).at_once() }
            }
            Recipe::Changed { init, .. } => Self::Changed { last: init.clone(), item: Value::Null },
            Recipe::ChangedState { .. } => Self::ChangedState(BTreeMap::new()),
            Recipe::Stable { hold, .. } => Self::Stable(Stable::lasting(*hold)),
            Recipe::Runs { n, .. } => Self::Runs(Runs::of(*n)),
            Recipe::Throttle { .. } => Self::Throttle { start: None, passed: 0 },
            Recipe::Rollup { n, every, from } => Self::Rollup(Rollup::new(*n, *every, from.at(started))),
            Recipe::Sum | Recipe::Mean => Self::Sum { sum: Counter::starting(Metric::Int(0)), count: 0 },
        }
    }

    /// When it wants to be woken.
    pub fn due(&self, recipe: &Recipe) -> Timestamp {
        match self {
            Self::FixedTime(windows) => windows.due(),
            Self::Batch(batches) => batches.due(),
            Self::Coalesce { clock, .. }
            | Self::FoldInterval { clock, .. }
            | Self::Rate { clock, .. }
            | Self::Percentiles { clock, .. }
            | Self::SlopeEvery { clock, .. }
            | Self::Interpolate { clock, .. } => clock.due(),
            Self::Apdex { start, last: Some(_), .. } => match recipe {
                Recipe::Apdex { every, .. } => *start + *every,
                _ => Timestamp::NEVER,
            },
            Self::FillIn { silence, .. } => silence.due(),
            Self::Stable(stable) => stable.due(),
            Self::Rollup(rollup) => rollup.due(),
            _ => Timestamp::NEVER,
        }
    }

    /// An item comes.
    pub fn step(
        &mut self,
        recipe: &Recipe,
        started: Timestamp,
        item: Item,
        clock: &Clock<'_, '_>,
        pass: &mut Pass,
    ) -> Result<(), Stop> {
        let now = clock.now;
        match (self, recipe) {
            (Self::Reduce(acc), Recipe::Reduce { f, .. }) => {
                let value = item.own(clock);
                let Some(before) = acc.take() else {
                    *acc = Some(value);
                    return Ok(());
                };
                let after = match f.apply(&before, value, now) {
                    Ok(after) => after,
                    Err(stop) => {
                        *acc = Some(before);
                        return Err(stop);
                    }
                };
                pass.value(after.clone());
                *acc = Some(after);
            }
            (Self::Counter(counter), _) => match item.metric(clock) {
                None => pass.on(item),
                Some(metric) => {
                    if item.tagged("reset", clock) {
                        counter.set(metric);
                    } else {
                        counter.add(metric);
                    }
                    pass.on(item.set_metric(Some(counter.get()))?);
                }
            },
            (Self::LastN(last), _) => pass.list(last.push(item.own(clock)).iter().cloned()),
            (Self::EveryN(every), _) => {
                if let Some(list) = every.push(item.own(clock)) {
                    pass.list(list);
                }
            }
            (Self::MovingTime(window), Recipe::MovingTime { riemann, .. }) => {
                let time = item.happened(*riemann, clock);
                if window.push(time, item.own(clock)) {
                    pass.list(window.values().cloned());
                }
            }
            (Self::FixedTime(windows), Recipe::FixedTime { riemann, .. }) => {
                let time = item.happened(*riemann, clock);
                for list in windows.push(time, item.own(clock)) {
                    pass.list(list);
                }
            }
            (Self::Batch(batches), Recipe::Batch { edges, .. }) => {
                if let Some(list) = batches.push(now, item.own(clock)) {
                    pass.list(with_edges(list, batches, *edges));
                }
            }
            (Self::Coalesce { latest, clock: ticker }, Recipe::Coalesce { riemann, .. }) => {
                let expired = item.expired(clock);
                let default = Some(crate::value::DEFAULT_TTL);
                let until = if expired { Timestamp(i64::MIN) } else { item.valid_until(clock, default) };
                if expired && *riemann {
                    ticker.stop();
                } else if *riemann {
                    ticker.alive(now, item.valid_until(clock, None));
                } else {
                    ticker.alive(now, Timestamp::NEVER);
                }
                let (host, service) = item.stream(clock);
                latest.put((service, host), until, item.own(clock));
            }
            (Self::Project(members), Recipe::Project(basis)) => project(members, basis, item, clock, pass),
            (Self::FoldInterval { values, last, clock: ticker }, Recipe::FoldInterval { field, .. }) => {
                let value = item.get(field, clock);
                if tick_for(ticker, &item, clock) {
                    values.clear();
                    *last = None;
                } else if !value.is_null() {
                    if values.len() < LIST_MAX {
                        values.push(value);
                    } else {
                        pass.left_out += 1;
                    }
                    *last = Some(item.own(clock));
                }
            }
            (Self::Rate { sum, last, ttl, clock: ticker }, Recipe::Rate { riemann, .. }) => {
                let expired = tick_for(ticker, &item, clock);
                if expired && !*riemann {
                    (*sum, *last) = (0.0, None);
                } else if let Some(metric) = item.metric(clock) {
                    *sum += metric.as_f64();
                    *ttl = item.ttl(clock);
                    *last = Some(item.own(clock));
                }
            }
            (Self::Percentiles { samples, clock: ticker }, _) => {
                if tick_for(ticker, &item, clock) {
                    samples.clear();
                } else if item.metric(clock).is_some() {
                    if samples.len() < LIST_MAX {
                        samples.push(item.own(clock));
                    } else {
                        pass.left_out += 1;
                    }
                }
            }
            (Self::Slope(slope), _) => {
                if let (Some(metric), Some(time)) = (item.metric(clock), item.time(clock))
                    && let Some(grows) = slope.add(time, metric.as_f64())
                {
                    pass.on(item.set_metric(Some(Metric::Float(grows)))?);
                }
            }
            (
                Self::SlopeEvery { now: latest, before, clock: ticker, .. },
                Recipe::SlopeEvery { riemann, .. },
            ) => {
                tick_for(ticker, &item, clock);
                if item.metric(clock).is_some() {
                    let value = item.own(clock);
                    if !*riemann && before.is_none() && latest.is_none() {
                        *before = Some(value);
                    } else {
                        *latest = Some(value);
                    }
                }
            }
            (Self::Ewma { value, .. }, Recipe::EwmaTimeless { r, .. }) => {
                let metric = item.metric(clock).map(|metric| {
                    let metric = metric.as_f64();
                    *value = Some(value.map_or(metric, |value| r * metric + (1.0 - r) * value));
                    Metric::Float(value.unwrap_or(metric))
                });
                pass.on(item.set_metric(metric)?);
            }
            (Self::Ewma { value, newest }, Recipe::Ewma { half_life, zero }) => {
                let Some(metric) = item.metric(clock) else {
                    pass.on(item);
                    return Ok(());
                };
                let metric = metric.as_f64();
                let time = item.happened(*zero, clock).unwrap_or(if *zero { Timestamp::EPOCH } else { now });
                let since = newest.map_or(0.0, |newest| (time - newest).secs_f64());
                let decay = |secs: f64| libm::exp2(-secs / half_life);
                let new = match (*value, *zero) {
                    (None, _) => metric,
                    (Some(value), true) if since >= 0.0 => (1.0 - decay(1.0)) * metric + decay(since) * value,
                    (Some(value), true) => (1.0 - decay(1.0)) * decay(-since) * metric + value,
                    (Some(value), false) if since > 0.0 => metric + decay(since) * (value - metric),
                    (Some(value), false) => value,
                };
                let newest_now = newest.map_or(time, |newest| newest.max(time));
                (*value, *newest) = (Some(new), Some(newest_now));
                let Value::Fact(mut fact) = item.own(clock) else { return Err("an event was expected") };
                (fact.metric, fact.time) = (Some(Metric::Float(new)), Some(newest_now));
                pass.value(Value::Fact(fact));
            }
            (Self::Top(leaders), Recipe::Top { f, demote, .. }) => {
                top(leaders, f, *demote, item, clock, pass)?
            }
            (Self::Apdex { index, last, start }, Recipe::Apdex { every, from, satisfied, tolerated }) => {
                if item.expired(clock) {
                    return Ok(());
                }
                if last.is_none() {
                    *start = from.at(started).start(now, *every);
                }
                if satisfied.holds(&item, clock) {
                    index.satisfied();
                } else if tolerated.holds(&item, clock) {
                    index.tolerated();
                } else {
                    index.frustrated();
                }
                *last = Some(item.own(clock));
            }
            (Self::Predict { points, line }, Recipe::Predict { ahead, reuse, .. }) => {
                let (Some(metric), Some(time)) = (item.metric(clock), item.time(clock)) else {
                    return Ok(());
                };
                points.add(time, metric.as_f64());
                let kept = line.filter(|(_, until)| now < *until).map(|(line, _)| line);
                let Some(used) = kept.or_else(|| points.line()) else { return Ok(()) };
                if kept.is_none() {
                    *line = Some((used, now + *reuse));
                }
                pass.on(item.set_metric(Some(Metric::Float(used.at(time + *ahead))))?);
            }
            (Self::ClockSkew(heard), _) => clock_skew(heard, item, clock, pass)?,
            (Self::FillIn { silence, last }, recipe) => {
                if item.expired(clock) {
                    silence.stop();
                    *last = None;
                } else {
                    silence.heard(now);
                    if matches!(recipe, Recipe::FillInLast { .. }) {
                        *last = Some(item.clone().own(clock));
                    }
                }
                pass.on(item);
            }
            (Self::Interpolate { last, clock: ticker }, _) => {
                if item.expired(clock) {
                    ticker.stop();
                    *last = None;
                    pass.on(item);
                } else {
                    ticker.alive(now, item.valid_until(clock, None));
                    *last = Some(item.own(clock));
                }
            }
            (Self::Changed { last, item: before }, Recipe::Changed { f, pairs, .. }) => {
                let value = item.apply(f, clock)?;
                if value != *last {
                    *last = value;
                    if *pairs {
                        let item = item.own(clock);
                        pass.list([std::mem::replace(before, item.clone()), item]);
                    } else {
                        pass.on(item);
                    }
                } else if *pairs {
                    *before = item.own(clock);
                }
            }
            (Self::ChangedState(states), Recipe::ChangedState { init }) => {
                let (host, service) = item.stream(clock);
                let state = item.get(&Name::Standard(Field::State), clock);
                let key = (host, service);
                if states.get(&key).unwrap_or(init) != &state {
                    // Who is as at the beginning need not be remembered.
                    if state == *init {
                        states.remove(&key);
                    } else if states.len() < KINDS_MAX || states.contains_key(&key) {
                        states.insert(key, state);
                    } else {
                        pass.left_out += 1;
                    }
                    pass.on(item);
                }
            }
            (Self::Stable(stable), Recipe::Stable { f, riemann, .. }) => {
                let time = item.happened(*riemann, clock).unwrap_or(now);
                let value = item.own(clock);
                let like = f.apply(&value, now)?;
                stable.push(time, like, value).into_iter().for_each(|value| pass.value(value));
            }
            (Self::Runs(runs), Recipe::Runs { f, .. }) => {
                if runs.add(item.apply(f, clock)?) {
                    pass.on(item);
                }
            }
            (Self::Throttle { start, passed }, Recipe::Throttle { n, every, from }) => {
                if start.is_none_or(|start| start + *every <= now) {
                    (*start, *passed) = (Some(from.at(started).start(now, *every)), 0);
                }
                if *passed < *n {
                    *passed += 1;
                    pass.on(item);
                }
            }
            (Self::Rollup(rollup), _) => {
                if let Some(value) = rollup.push(now, item.own(clock)) {
                    pass.list([value]);
                }
            }
            (Self::Sum { sum, count }, recipe) => match item.metric(clock) {
                None => pass.on(item),
                Some(metric) => {
                    *count += 1;
                    let sum = sum.add(metric);
                    let mean = matches!(recipe, Recipe::Mean);
                    let metric = if mean { Metric::Float(sum.as_f64() / *count as f64) } else { sum };
                    pass.on(item.set_metric(Some(metric))?);
                }
            },
            _ => return Err("a stage that remembers something else"),
        }
        Ok(())
    }

    /// A moment comes that it asked for.
    #[expect(clippy::collapsible_match, reason = "a guard does not move a clock on")]
    pub fn wake(&mut self, recipe: &Recipe, clock: &Clock<'_, '_>, pass: &mut Pass) -> Result<(), Stop> {
        let now = clock.now;
        match (self, recipe) {
            (Self::FixedTime(windows), _) => windows.wake(now).into_iter().for_each(|list| pass.list(list)),
            (Self::Batch(batches), Recipe::Batch { edges, .. }) => {
                if let Some(list) = batches.wake(now) {
                    pass.list(with_edges(list, batches, *edges));
                }
            }
            (Self::Coalesce { latest, clock: ticker }, Recipe::Coalesce { riemann, .. }) => {
                if ticker.tick(now) {
                    pass.list(latest.values().cloned());
                    latest.expire(now);
                    if latest.is_empty() && !*riemann {
                        ticker.stop();
                    }
                }
            }
            (
                Self::FoldInterval { values, last, clock: ticker },
                Recipe::FoldInterval { field, f, empty, .. },
            ) => {
                if ticker.tick(now) {
                    let values = std::mem::take(values);
                    let mut fact = match last.take() {
                        Some(Value::Fact(fact)) => fact,
                        _ if *empty => Box::default(),
                        _ => return Ok(()),
                    };
                    let folded = fold_values(f, values, now)?;
                    fact.set(field, folded)?;
                    pass.value(Value::Fact(fact));
                }
            }
            (Self::Rate { sum, last, ttl, clock: ticker }, Recipe::Rate { every, riemann, .. }) => {
                if ticker.tick(now) {
                    let mut fact = match last {
                        Some(Value::Fact(last)) => last.clone(),
                        _ if *riemann => Box::default(),
                        _ => return Ok(()),
                    };
                    fact.metric = Some(Metric::Float(std::mem::take(sum) / every.secs_f64()));
                    fact.time = Some(now);
                    fact.ttl = *ttl;
                    *ttl = ttl.map(|ttl| ttl - every.secs_f64());
                    pass.value(Value::Fact(fact));
                }
            }
            (Self::Percentiles { samples: kept, clock: ticker }, Recipe::Percentiles { points, .. }) => {
                if ticker.tick(now) {
                    let list = std::mem::take(kept);
                    let numbers: Vec<Option<Metric>> =
                        list.iter().map(|value| value.fact().and_then(|fact| fact.metric)).collect();
                    samples(&list, &numbers, points).into_iter().for_each(|value| pass.value(value));
                }
            }
            (Self::SlopeEvery { now: latest, before, earlier, clock: ticker }, _) => {
                if ticker.tick(now) {
                    *earlier = match latest.take() {
                        Some(latest) => before.replace(latest),
                        None => before.clone(),
                    };
                    if let (Some(from), Some(Value::Fact(to))) = (&*earlier, &*before) {
                        let slope = slope_of(from.fact().ok_or("an event was expected")?, to)?;
                        let mut fact = to.clone();
                        (fact.metric, fact.time) = (Some(Metric::Float(slope)), Some(now));
                        pass.value(Value::Fact(fact));
                    }
                }
            }
            (Self::Apdex { index, last, .. }, _) => {
                if let (Some(score), Some(Value::Fact(mut fact))) = (std::mem::take(index).get(), last.take())
                {
                    fact.metric = Some(Metric::Float(score));
                    pass.value(Value::Fact(fact));
                }
            }
            (Self::FillIn { silence, .. }, Recipe::FillIn { event, .. }) => {
                if silence.tick(now) {
                    pass.value(at(event.clone(), now));
                }
            }
            (Self::FillIn { silence, last }, Recipe::FillInLast { f, set, .. }) => {
                if silence.tick(now)
                    && let Some(last) = last
                {
                    let last = f.as_ref().map_or_else(|| Ok(last.clone()), |f| f.apply(last, now))?;
                    let Value::Fact(mut fact) = at(last, now) else { return Err("an event was expected") };
                    set.iter().try_for_each(|(name, value)| fact.set(name, value.clone()))?;
                    pass.value(Value::Fact(fact));
                }
            }
            (Self::Interpolate { last, clock: ticker }, _) => {
                if ticker.tick(now)
                    && let Some(last) = last
                {
                    pass.value(at(last.clone(), now));
                }
            }
            (Self::Stable(stable), _) => stable.wake(now).into_iter().for_each(|value| pass.value(value)),
            (Self::Rollup(rollup), _) => {
                if let Some(list) = rollup.wake(now) {
                    pass.list(list);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Reduce {
    fn apply(&self, before: &Value, value: Value, now: Timestamp) -> Result<Value, Stop> {
        match self {
            Self::Plus => {
                let numbers = [before.number(), value.number()];
                if numbers.contains(&None) {
                    return Err("numbers were expected");
                }
                Ok(crate::value::number(tidegate_sdk::folds::sum(&numbers)))
            }
            Self::MaxMetric => {
                let metric = |value: &Value| value.fact().and_then(|fact| fact.metric);
                let (Some(a), Some(b), Value::Fact(mut fact)) = (metric(before), metric(&value), value)
                else {
                    return Err("events with metrics were expected");
                };
                fact.metric = Some(if tidegate_sdk::folds::order(a, b).is_gt() { a } else { b });
                Ok(Value::Fact(fact))
            }
            Self::Fold(fold) => fold.apply(&[before.clone(), value], now),
        }
    }
}

/// Starts or stops a clock by what comes. Says whether it stopped.
fn tick_for(ticker: &mut Ticker, item: &Item, clock: &Clock<'_, '_>) -> bool {
    let expired = item.expired(clock);
    if expired {
        ticker.stop();
    } else {
        ticker.alive(clock.now, item.valid_until(clock, None));
    }
    expired
}

/// The window's own edges around a list, if they are wanted.
fn with_edges(mut list: Vec<Value>, batches: &Batches<Value>, edges: bool) -> Vec<Value> {
    if edges {
        let (start, end) = batches.edges();
        let secs = |time: Timestamp| crate::value::number(Metric::Float(time.secs_f64()));
        list.insert(0, secs(start));
        list.push(secs(end));
    }
    list
}

fn project(
    members: &mut [Option<Value>],
    basis: &[Pred],
    item: Item,
    clock: &Clock<'_, '_>,
    pass: &mut Pass,
) {
    let mut wanted = false;
    for (member, pred) in members.iter_mut().zip(basis) {
        if pred.holds(&item, clock) {
            *member = Some(item.clone().own(clock));
            wanted = true;
        }
    }
    if !wanted {
        return;
    }
    let now = clock.now;
    pass.list(members.iter_mut().map(|member| match member {
        Some(Value::Fact(fact)) if fact.is_expired(now) => {
            let stub = Value::Fact(Box::new(fact.stub(now)));
            *member = None;
            stub
        }
        Some(value) => value.clone(),
        None => Value::Null,
    }));
}

/// What one stands for goes to one port whole and to the other as a stub: 0 is the top, 1 the bottom.
fn top(
    leaders: &mut Leaders<(Option<String>, Option<String>), Value>,
    f: &Func,
    demote: bool,
    item: Item,
    clock: &Clock<'_, '_>,
    pass: &mut Pass,
) -> Result<(), Stop> {
    let now = clock.now;
    let name = item.stream(clock);
    let expired = item.expired(clock);
    let value = item.own(clock);
    let number = f.apply(&value, now)?.number();
    let stub = |value: &Value| value.fact().map_or(Value::Null, |fact| Value::Fact(Box::new(fact.stub(now))));
    let (leads, displaced) = match number.filter(|_| !expired) {
        None => {
            leaders.remove(&name);
            (false, None)
        }
        Some(number) => match leaders.put(name, number.as_f64(), value.clone()) {
            Standing::Leads { displaced } => (true, displaced),
            Standing::Behind => (false, None),
        },
    };
    let displaced = displaced.filter(|_| demote).map(|(_, displaced)| displaced);
    if let Some(displaced) = &displaced {
        pass.to(0, Item::Own(stub(displaced)));
    }
    if let Some(displaced) = displaced {
        pass.to(1, Item::Own(displaced));
    }
    // The side that it leaves hears of it first; what has expired goes to both as it is.
    match (expired, leads) {
        (true, _) => {
            pass.to(0, Item::Own(value.clone()));
            pass.to(1, Item::Own(value));
        }
        (false, true) => {
            pass.to(1, Item::Own(stub(&value)));
            pass.to(0, Item::Own(value));
        }
        (false, false) => {
            pass.to(0, Item::Own(stub(&value)));
            pass.to(1, Item::Own(value));
        }
    }
    Ok(())
}

/// What a fold makes of field values: of numbers as if they were metrics, unless it takes values.
fn fold_values(f: &Func, values: Vec<Value>, now: Timestamp) -> Result<Value, Stop> {
    let Func::Fold(fold) = f else { return f.apply(&Value::List(values), now) };
    let facts: Vec<Value> = values
        .iter()
        .map(|value| Value::Fact(Box::new(Fact { metric: value.number(), ..Fact::default() })))
        .collect();
    if facts.is_empty() {
        return Ok(match fold {
            Fold::Sum | Fold::Count => Value::Int(0),
            Fold::Product => Value::Int(1),
            _ => Value::Null,
        });
    }
    match fold.apply(&facts, now)? {
        Value::Fact(fact) => Ok(fact.metric.map_or(Value::Null, crate::value::number)),
        other => Ok(other),
    }
}

fn slope_of(a: &Fact, b: &Fact) -> Result<f64, Stop> {
    let point = |fact: &Fact| Some((fact.time?, fact.metric?.as_f64()));
    let (Some((from, before)), Some((to, after))) = (point(a), point(b)) else {
        return Err("events with a time were expected");
    };
    Ok(if from == to { 0.0 } else { (after - before) / (to - from).secs_f64() })
}

/// What a host's clock said, when it said so, and for how long that counts.
pub type Heard = (Timestamp, Timestamp, Timestamp);

/// What is past its time-to-live counts once more, as in `coalesce`.
fn clock_skew(
    heard: &mut BTreeMap<Option<String>, Heard>,
    item: Item,
    clock: &Clock<'_, '_>,
    pass: &mut Pass,
) -> Result<(), Stop> {
    let now = clock.now;
    let (host, _) = item.stream(clock);
    if item.expired(clock) {
        heard.remove(&host);
        heard.retain(|_, (_, _, until)| *until >= now);
        pass.on(item);
        return Ok(());
    }
    let time = item.time(clock);
    match time {
        Some(time) if heard.len() < KINDS_MAX || heard.contains_key(&host) => {
            let until = item.valid_until(clock, Some(crate::value::DEFAULT_TTL));
            heard.insert(host, (time, now, until));
        }
        Some(_) => pass.left_out += 1,
        None => drop(heard.remove(&host)),
    }
    let mut clocks: Vec<Timestamp> = heard.values().map(|(time, at, _)| *time + (now - *at)).collect();
    heard.retain(|_, (_, _, until)| *until >= now);
    clocks.sort_unstable();
    let ahead = match (clocks.get(clocks.len() / 2), time) {
        (None, _) => Span::ZERO,
        (Some(median), Some(time)) => time - *median,
        (Some(_), None) => return Err("an event with a time was expected"),
    };
    pass.on(item.set_metric(Some(Metric::Float(ahead.secs_f64())))?);
    Ok(())
}

/// The same event at another time.
fn at(value: Value, now: Timestamp) -> Value {
    match value {
        Value::Fact(mut fact) => {
            fact.time = Some(now);
            Value::Fact(fact)
        }
        other => other,
    }
}
