//! `GET /api/v1/topology`: where events come in, which rules see them, and where they go, with how much flows where.

use crate::telemetry::OutputStats;
use crate::web::control::RuleState;
use crate::web::overview::rounded;
use crate::web::ranking::{self, Order, Wanted};
use crate::web::rates::Rate;
use crate::web::{App, Shared, answer};
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use std::collections::BTreeSet;

/// Rules that are drawn: those that have trouble or take most time.
const RULES: usize = 200;

#[derive(Debug, Serialize)]
struct Topology {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Rules that are not drawn.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct Node {
    id: String,
    kind: &'static str,
    name: String,
    per_second: f64,
    queued: u64,
    status: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Edge {
    from: String,
    to: String,
    /// Not known where a rule has several outputs, where rules send to what asks for events itself, and of what a desk of
    /// alerts tells.
    per_second: Option<f64>,
}

/// `GET /api/v1/topology`
pub async fn show(State(app): State<App>) -> Response {
    answer::json(&topology(&app))
}

fn topology(app: &Shared) -> Topology {
    let shown = Wanted { order: Order::Activity, limit: RULES, after: None, find: None };
    let ranked = ranking::rank(app, &shown);
    let telemetry = &app.telemetry;
    let (mut nodes, mut edges) = (Vec::new(), Vec::new());
    app.pulse.rates(|rates| {
        for (name, stats) in telemetry.inputs() {
            let per_second = rates.inputs.get(&name).map_or(0.0, |rate| rounded(rate.events.per_second()));
            let id = format!("input:{name}");
            edges.push(Edge { from: id.clone(), to: "log".into(), per_second: Some(per_second) });
            let detail = match stats.address.as_str() {
                "" => stats.kind.to_owned(),
                address => format!("{} on {address}", stats.kind),
            };
            let sheds = rates.inputs.get(&name).is_some_and(|rate| rate.shed.per_second() > 0.0);
            let status = if sheds { "shedding" } else { "ok" }.to_owned();
            nodes.push(Node { id, kind: "input", name, per_second, queued: 0, status, detail });
        }
        let trouble = telemetry.log.trouble();
        let waiting: u64 = telemetry.shards().values().map(|shard| telemetry.waiting(shard)).sum();
        nodes.push(Node {
            id: "log".into(),
            kind: "log",
            name: "log".into(),
            per_second: rounded(rates.events.per_second()),
            queued: waiting + app.ingest.waiting() as u64,
            status: if trouble.is_some() { "failing".into() } else { "ok".into() },
            detail: trouble.unwrap_or_else(|| {
                let (segments, bytes) = (telemetry.log.segments.get(), telemetry.log.size.get());
                if segments == 0 {
                    "in memory only".into()
                } else {
                    format!("{segments} segments, {bytes} bytes")
                }
            }),
        });
        for rule in &ranked.rules {
            let id = format!("rule:{}", rule.name);
            let rate = rates.rules.get(rule.name.as_str());
            let second = |of: Option<&Rate>| rounded(of.map_or(0.0, Rate::per_second));
            let per_second = second(rate.map(|rate| &rate.events));
            edges.push(Edge { from: "log".into(), to: id.clone(), per_second: Some(per_second) });
            if rule.emitted > 0 {
                let emitted = second(rate.map(|rate| &rate.emitted));
                edges.push(Edge { from: id.clone(), to: "log".into(), per_second: Some(emitted) });
            }
            let outputs: BTreeSet<&String> = rule.outputs.values().collect();
            let forwarded = second(rate.map(|rate| &rate.forwarded));
            for output in &outputs {
                let per_second = (outputs.len() == 1 || forwarded == 0.0).then_some(forwarded);
                edges.push(Edge { from: id.clone(), to: format!("output:{output}"), per_second });
            }
            let status = match rule.status {
                RuleState::Running => "running",
                RuleState::Paused => "paused",
                RuleState::Restarting => "restarting",
                RuleState::Quarantined => "quarantined",
            };
            nodes.push(Node {
                id,
                kind: "rule",
                name: rule.name.clone(),
                per_second,
                queued: 0,
                status: status.into(),
                detail: rule.query.clone(),
            });
        }
        for (name, stats) in telemetry.outputs() {
            let per_second = rates.outputs.get(&name).map_or(0.0, |rate| rounded(rate.per_second()));
            if stats.asks.get().is_some() {
                let to = format!("output:{name}");
                let alone = edges.iter().all(|edge| edge.to != to);
                edges.push(Edge { from: "log".into(), to, per_second: alone.then_some(per_second) });
            }
            nodes.push(output(name, &stats, per_second));
        }
    });
    for (desk, outputs) in app.alerts.told() {
        let from = format!("output:{desk}");
        let told = outputs.iter().map(|output| format!("output:{output}"));
        edges.extend(told.map(|to| Edge { from: from.clone(), to, per_second: None }));
    }
    Topology { nodes, edges, left_out: ranked.total - ranked.rules.len().min(ranked.total) }
}

fn output(name: String, stats: &OutputStats, per_second: f64) -> Node {
    let error = stats.last_error.lock().map_or(None, |error| error.clone());
    let status = match stats.healthy.get() {
        1 => "ok",
        0 => "failing",
        _ => "idle",
    };
    let detail = match error.filter(|_| status == "failing") {
        Some(error) => error,
        None => stats.kind.to_owned(),
    };
    Node {
        id: format!("output:{name}"),
        kind: if stats.kind == "alerts" { "alerts" } else { "output" },
        name,
        per_second,
        queued: u64::try_from(stats.queued.get()).unwrap_or(0),
        status: status.into(),
        detail,
    }
}
