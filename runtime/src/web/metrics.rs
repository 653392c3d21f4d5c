//! `GET /metrics`: all counters as OpenMetrics text, read when somebody asks.
//!
//! No series is named by what a sender wrote: inputs and outputs come from the configuration, reasons from the code. Rules
//! are the operator's, and still there may be thousands; beyond [`RULES`] the rest is shown as one.

use crate::telemetry::{ByReason, Counter, Gauge, InputStats, OutputStats, RuleStats, ShardStats, Telemetry};
use crate::web::App;
use crate::web::answer::Failure;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Rules that have series of their own.
const RULES: usize = 150;

/// The name under which all further rules appear.
const OTHER_RULES: &str = "(others)";

/// `GET /metrics`
pub async fn scrape(State(app): State<App>) -> Result<Response, Failure> {
    let mut text = String::new();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(app.telemetry.clone())));
    text::encode(&mut text, &registry)
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

#[derive(Debug)]
struct Scrape(Arc<Telemetry>);

type Labels = Vec<(&'static str, String)>;

/// A name, what it means, and where it is found.
type Family<S, V> = (&'static str, &'static str, fn(&S) -> &V);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        page.inputs(&self.0.inputs())?;
        page.outputs(&self.0.outputs())?;
        page.rules(&self.0.rules())?;
        page.shards(&self.0.shards())?;
        page.node(&self.0)
    }
}

struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn counters<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            // An empty set of labels would be written as `{}`.
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            } else {
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            }
        }
        Ok(())
    }

    fn gauges<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn inputs(&mut self, inputs: &BTreeMap<String, Arc<InputStats>>) -> fmt::Result {
        let labels = |input: &InputStats| vec![("input", input.name.clone()), ("kind", input.kind.into())];
        let plain =
            |read: fn(&InputStats) -> u64| inputs.values().map(move |input| (labels(input), read(input)));
        let reasons = |of: fn(&InputStats) -> &ByReason| {
            inputs.values().flat_map(move |input| {
                of(input).all().into_iter().map(move |(reason, count)| {
                    let mut labels = labels(input);
                    labels.push(("reason", reason.into()));
                    (labels, count)
                })
            })
        };
        self.counters(
            "tidegate_input_events_received",
            "Events that arrived: accepted, rejected and shed ones.",
            plain(|input| input.received.get()),
        )?;
        self.counters(
            "tidegate_input_events_accepted",
            "Events that are in the log.",
            plain(|input| input.accepted.get()),
        )?;
        self.counters(
            "tidegate_input_events_rejected",
            "Events refused for what they are.",
            reasons(|input| &input.rejected),
        )?;
        self.counters(
            "tidegate_input_events_shed",
            "Events refused or dropped for lack of room.",
            reasons(|input| &input.shed),
        )?;
        self.counters("tidegate_input_bytes", "Bytes read.", plain(|input| input.bytes.get()))?;
        self.counters(
            "tidegate_input_connections_closed",
            "Connections that the node closed.",
            reasons(|input| &input.closed),
        )?;
        let open = inputs.values().map(|input| (labels(input), input.connections.get()));
        self.gauges("tidegate_input_connections", "Connections open.", open)
    }

    fn outputs(&mut self, outputs: &BTreeMap<String, Arc<OutputStats>>) -> fmt::Result {
        let labels =
            |output: &OutputStats| vec![("output", output.name.clone()), ("kind", output.kind.into())];
        let counters: [Family<OutputStats, Counter>; 5] = [
            ("tidegate_output_events_taken", "Events that rules handed over.", |output| &output.taken),
            ("tidegate_output_events_delivered", "Events that the other side has.", |output| {
                &output.delivered
            }),
            ("tidegate_output_events_dropped", "Events dropped because the queue was full.", |output| {
                &output.dropped
            }),
            ("tidegate_output_events_failed", "Events that the other side refused for good.", |output| {
                &output.failed
            }),
            ("tidegate_output_retries", "Attempts that are repeated.", |output| &output.retries),
        ];
        for (name, help, of) in counters {
            self.counters(name, help, outputs.values().map(|output| (labels(output), of(output).get())))?;
        }
        let waiting = outputs.values().map(|output| (labels(output), output.queued.get()));
        self.gauges("tidegate_output_queued", "Events that wait.", waiting)?;
        let health = outputs.values().map(|output| (labels(output), output.healthy.get()));
        self.gauges(
            "tidegate_output_healthy",
            "Whether the last attempt succeeded: 1 yes, 0 no, -1 none so far.",
            health,
        )
    }

    fn rules(&mut self, rules: &BTreeMap<String, Arc<RuleStats>>) -> fmt::Result {
        let sum = |of: &dyn Fn(&RuleStats) -> f64| {
            let mut series = Vec::new();
            for (n, (name, rule)) in rules.iter().enumerate() {
                if n < RULES {
                    series.push((vec![("rule", name.clone())], of(rule)));
                } else if n == RULES {
                    series.push((vec![("rule", OTHER_RULES.to_owned())], of(rule)));
                } else if let Some((_, rest)) = series.last_mut() {
                    *rest += of(rule);
                }
            }
            series
        };
        let counters: [Family<RuleStats, Counter>; 6] = [
            ("tidegate_rule_events", "Events that the rule's query wanted.", |rule| &rule.events),
            ("tidegate_rule_calls", "Calls of the rule.", |rule| &rule.calls),
            ("tidegate_rule_emitted", "Events that the rule put back into the stream.", |rule| &rule.emitted),
            ("tidegate_rule_forwarded", "Events that the rule handed to outputs.", |rule| &rule.forwarded),
            ("tidegate_rule_logged", "Lines that the rule logged.", |rule| &rule.logged),
            ("tidegate_rule_faults", "Times that the rule misbehaved.", |rule| &rule.faults),
        ];
        for (name, help, of) in counters {
            self.counters(name, help, sum(&|rule| of(rule).get() as f64))?;
        }
        self.counters(
            "tidegate_rule_seconds",
            "Seconds spent in the rule.",
            sum(&|rule| rule.nanos.get() as f64 / 1e9),
        )?;
        self.counters(
            "tidegate_rule_effects_cut",
            "Effects that were cut off.",
            sum(&|rule| rule.cut.total() as f64),
        )?;
        self.gauges("tidegate_rule_keys", "Keys that have state.", sum(&|rule| rule.keys.get() as f64))?;
        self.gauges(
            "tidegate_rule_memory_bytes",
            "Memory of the rule.",
            sum(&|rule| rule.memory.get() as f64),
        )
    }

    fn shards(&mut self, shards: &BTreeMap<usize, Arc<ShardStats>>) -> fmt::Result {
        let labels = |shard: &usize| vec![("shard", shard.to_string())];
        let each =
            |of: fn(&ShardStats) -> f64| shards.iter().map(move |(shard, stats)| (labels(shard), of(stats)));
        self.counters(
            "tidegate_shard_events",
            "Events of its own.",
            each(|shard| shard.events.get() as f64),
        )?;
        self.counters(
            "tidegate_shard_batches",
            "Batches stepped.",
            each(|shard| shard.batches.get() as f64),
        )?;
        self.counters(
            "tidegate_shard_seconds",
            "Seconds spent stepping.",
            each(|shard| shard.nanos.get() as f64 / 1e9),
        )?;
        let gauges: [Family<ShardStats, Gauge>; 3] = [
            ("tidegate_shard_streams", "Streams in its index.", |shard| &shard.streams),
            ("tidegate_shard_position", "The log position it has reached.", |shard| &shard.position),
            ("tidegate_shard_queued", "Batches that wait for it.", |shard| &shard.queued),
        ];
        for (name, help, of) in gauges {
            let series = shards.iter().map(|(shard, stats)| (labels(shard), of(stats).get()));
            self.gauges(name, help, series)?;
        }
        Ok(())
    }

    fn node(&mut self, telemetry: &Telemetry) -> fmt::Result {
        let log = &telemetry.log;
        let none = Labels::new;
        for (name, help, counter) in [
            ("tidegate_events", "Events that entered the log, emitted ones included.", &telemetry.events),
            ("tidegate_log_records", "Records appended.", &log.records),
            ("tidegate_log_bytes", "Bytes appended.", &log.bytes),
            ("tidegate_log_writes", "Writes to the file system.", &log.writes),
            ("tidegate_log_errors", "Writes that failed.", &log.errors),
            (
                "tidegate_subscriber_events_skipped",
                "Events that subscribers missed because they read too slowly.",
                &telemetry.skipped,
            ),
        ] {
            self.counters(name, help, [(none(), counter.get())])?;
        }
        self.counters(
            "tidegate_log_seconds",
            "Seconds spent writing.",
            [(none(), log.nanos.get() as f64 / 1e9)],
        )?;
        for (name, help, gauge) in [
            ("tidegate_log_segments", "Segment files there are.", &log.segments),
            ("tidegate_log_size_bytes", "Bytes they hold.", &log.size),
            ("tidegate_subscribers", "Subscribers there are.", &telemetry.subscribers),
        ] {
            self.gauges(name, help, [(none(), gauge.get())])?;
        }
        Ok(())
    }
}
