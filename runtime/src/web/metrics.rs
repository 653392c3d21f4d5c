//! `GET /metrics`: all counters as text for Prometheus and its kin, read when somebody asks.
//!
//! No series is named by what a sender wrote: inputs and outputs come from the configuration, reasons from the code. Rules
//! are the operator's, and still there may be thousands: the [`RULES`] that have taken most time have series of their own,
//! and all of them together have totals, in which those that were removed stay. So totals never fall, and what the others
//! did is the total less those that are shown.

mod alerts;
mod text;

use crate::clock;
use crate::telemetry::{
    ByReason, Counter, Gauge, InputStats, OutputStats, Process, RuleStats, ShardStats, Telemetry,
};
use crate::web::App;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use text::{Form, Labels, Page};
use tidegate_event::State as Code;

/// Rules that have series of their own.
const RULES: usize = 100;

/// `GET /metrics`
pub async fn scrape(State(app): State<App>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = Form::accepted(accept);
    let mut page = Page::new(form);
    page.inputs(&app.telemetry.inputs());
    page.outputs(&app.telemetry.outputs());
    page.rules(&app.telemetry, clock::now().0);
    page.shards(&app.telemetry);
    page.node(&app.telemetry);
    page.alerts(&app.telemetry.alerts);
    let (used, room) = app.ingest.in_flight();
    for (name, help, value) in [
        (
            "tidegate_door_waiting",
            "Batches, questions and reports that wait for the sequencer.",
            app.ingest.waiting(),
        ),
        ("tidegate_in_flight_bytes", "Events on their way through the node.", used),
        ("tidegate_in_flight_limit_bytes", "How many there may be.", room),
    ] {
        page.gauges(name, help, [(Labels::new(), value)]);
    }
    let shown = app.telemetry.streams.series.get();
    page.gauges("tidegate_streams_shown", "Series on /metrics/streams.", [(Labels::new(), shown)]);
    let version = vec![("version", Cow::from(app.version.as_str()))];
    page.gauges("tidegate_build_info", "What runs here; always 1.", [(version, 1)]);
    page.process(&Process::look());
    ([(header::CONTENT_TYPE, form.media_type())], page.finish()).into_response()
}

/// `GET /metrics/streams`: the latest values of the streams that outputs of type `prometheus` were given.
pub async fn streams(State(app): State<App>) -> Response {
    let text = app.telemetry.streams.text(clock::start());
    ([(header::CONTENT_TYPE, Form::Plain.media_type())], text).into_response()
}

/// A name, what it means, and where it is found.
type Family<S, V> = (&'static str, &'static str, fn(&S) -> &V);

impl Page {
    fn inputs(&mut self, inputs: &BTreeMap<String, Arc<InputStats>>) {
        fn labels(input: &InputStats) -> Labels<'_> {
            vec![("input", Cow::from(&input.name)), ("kind", input.kind.into())]
        }
        let counters: [Family<InputStats, Counter>; 4] = [
            ("tidegate_input_events_accepted", "Events that are in the log.", |input| &input.accepted),
            (
                "tidegate_input_events_received",
                "Events that arrived: accepted, rejected and shed ones.",
                |input| &input.received,
            ),
            ("tidegate_input_bytes", "Bytes read.", |input| &input.bytes),
            ("tidegate_input_events_sent", "Events sent to subscribers.", |input| &input.sent),
        ];
        for (name, help, of) in counters {
            self.counters(name, help, inputs.values().map(|input| (labels(input), of(input).get())));
        }
        let reasons: [Family<InputStats, ByReason>; 3] = [
            ("tidegate_input_events_rejected", "Events refused for what they are.", |input| &input.rejected),
            ("tidegate_input_events_shed", "Events refused or dropped for lack of room.", |input| {
                &input.shed
            }),
            ("tidegate_input_connections_closed", "Connections that the node closed.", |input| &input.closed),
        ];
        for (name, help, of) in reasons {
            let series = inputs.values().flat_map(|input| {
                of(input).all().into_iter().map(|(reason, count)| {
                    let mut labels = labels(input);
                    labels.push(("reason", reason.into()));
                    (labels, count)
                })
            });
            self.counters(name, help, series);
        }
        let levels = inputs.values().map(|input| {
            let mut labels = labels(input);
            labels.push(("level", input.level.name().into()));
            (labels, 1)
        });
        self.gauges("tidegate_input_ack", "What an answer of this input means; always 1.", levels);
        let open = inputs.values().map(|input| (labels(input), input.connections.get()));
        self.gauges("tidegate_input_connections", "Connections open.", open);
        let times = inputs.values().map(|input| (labels(input), input.latency.read()));
        self.times(
            "tidegate_input_message_seconds",
            "From decoding a message to having answered it; over UDP, to having handed it on.",
            14..=34,
            times.filter(|(_, times)| times.count() > 0),
        );
    }

    fn outputs(&mut self, outputs: &BTreeMap<String, Arc<OutputStats>>) {
        fn labels(output: &OutputStats) -> Labels<'_> {
            vec![("output", Cow::from(&output.name)), ("kind", output.kind.into())]
        }
        let counters: [Family<OutputStats, Counter>; 8] = [
            ("tidegate_output_events_taken", "Events that rules handed over.", |output| &output.taken),
            ("tidegate_output_events_delivered", "Events that the other side has.", |output| {
                &output.delivered
            }),
            ("tidegate_output_events_dropped", "Events dropped because the queue was full.", |output| {
                &output.dropped
            }),
            ("tidegate_output_events_failed", "Events that were given up on: dead letters.", |output| {
                &output.failed
            }),
            (
                "tidegate_output_events_skipped",
                "Events that a replay of the log brought again and the spool knew.",
                |output| &output.skipped,
            ),
            (
                "tidegate_output_spool_errors",
                "Times that the spool could not be written or read.",
                |output| &output.spool_errors,
            ),
            ("tidegate_output_retries", "Attempts that are repeated.", |output| &output.retries),
            (
                "tidegate_output_events_unlabelled",
                "Events sent without labels of their own, as there were too many sets of them.",
                |output| &output.unlabelled,
            ),
        ];
        for (name, help, of) in counters {
            self.counters(name, help, outputs.values().map(|output| (labels(output), of(output).get())));
        }
        let gauges: [Family<OutputStats, Gauge>; 7] = [
            ("tidegate_output_queued", "Events that wait or are being sent.", |output| &output.queued),
            ("tidegate_output_queue_capacity", "Events that may wait; 0 where none ever does.", |output| {
                &output.capacity
            }),
            ("tidegate_output_queue_bytes", "Bytes that wait.", |output| &output.queued_bytes),
            ("tidegate_output_queue_capacity_bytes", "Bytes that may wait.", |output| &output.capacity_bytes),
            ("tidegate_output_spool_bytes", "Bytes of the files of the spool.", |output| &output.spool_bytes),
            (
                "tidegate_output_breaker",
                "Whether it is left alone after failures: 0 no, 1 one attempt is under way, 2 yes.",
                |output| &output.breaker,
            ),
            (
                "tidegate_output_healthy",
                "Whether the last attempt succeeded: 1 yes, 0 no, -1 none so far.",
                |output| &output.healthy,
            ),
        ];
        for (name, help, of) in gauges {
            self.gauges(name, help, outputs.values().map(|output| (labels(output), of(output).get())));
        }
    }

    fn rules(&mut self, telemetry: &Telemetry, now: i64) {
        let all = telemetry.rules();
        let removed = telemetry.removed_rules();
        let quarantined = all.iter().filter(|rule| rule.is_quarantined(now)).count();
        let none = Labels::new;
        self.gauges("tidegate_rules", "Rules that are deployed.", [(none(), all.len())]);
        self.gauges(
            "tidegate_rules_quarantined",
            "Of these, left alone after faults.",
            [(none(), quarantined)],
        );
        let shown = busiest(&all);
        let labels = |rule: &Arc<RuleStats>| vec![("rule", Cow::Owned(rule.name.to_string()))];
        let counters: [Family<RuleStats, Counter>; 7] = [
            ("events", "Events that the query wanted.", |rule| &rule.events),
            ("calls", "Calls.", |rule| &rule.calls),
            ("emitted", "Events put back into the stream.", |rule| &rule.emitted),
            ("forwarded", "Events handed to outputs.", |rule| &rule.forwarded),
            ("logged", "Lines logged.", |rule| &rule.logged),
            ("faults", "Times that a call misbehaved.", |rule| &rule.faults),
            ("quarantines", "Times that a shard left it alone after faults.", |rule| &rule.quarantines),
        ];
        for (name, help, of) in counters {
            let total = all.iter().map(|rule| of(rule).get()).sum::<u64>() + of(removed).get();
            let (sum, one) = (format!("tidegate_rules_{name}"), format!("tidegate_rule_{name}"));
            self.counters(&sum, &format!("All rules: {help}"), [(none(), total)]);
            self.counters(&one, help, shown.iter().map(|rule| (labels(rule), of(rule).get())));
        }
        let seconds = |rule: &RuleStats| rule.nanos.get() as f64 / 1e9;
        let total = all.iter().map(|rule| seconds(rule)).sum::<f64>() + seconds(removed);
        self.counters("tidegate_rules_seconds", "All rules: seconds spent in calls.", [(none(), total)]);
        let each = shown.iter().map(|rule| (labels(rule), seconds(rule)));
        self.counters("tidegate_rule_seconds", "Seconds spent in calls.", each);
        let cut = shown.iter().flat_map(|rule| {
            rule.cut.all().into_iter().map(|(reason, count)| {
                let mut labels = labels(rule);
                labels.push(("reason", reason.into()));
                (labels, count)
            })
        });
        let help = "Effects and events that were cut off, for want of room among the keys too.";
        self.counters("tidegate_rule_effects_cut", help, cut);
        let gauges: [Family<RuleStats, Gauge>; 2] = [
            ("keys", "Keys that have state.", |rule| &rule.keys),
            ("memory_bytes", "Memory.", |rule| &rule.memory),
        ];
        for (name, help, of) in gauges {
            let total: i64 = all.iter().map(|rule| of(rule).get()).sum();
            let (sum, one) = (format!("tidegate_rules_{name}"), format!("tidegate_rule_{name}"));
            self.gauges(&sum, &format!("All rules: {help}"), [(none(), total)]);
            self.gauges(&one, help, shown.iter().map(|rule| (labels(rule), of(rule).get())));
        }
        let held = shown.iter().map(|rule| (labels(rule), u8::from(rule.is_quarantined(now))));
        self.gauges("tidegate_rule_quarantined", "Whether it is left alone after faults.", held);
    }

    fn shards(&mut self, telemetry: &Telemetry) {
        let shards = telemetry.shards();
        fn label(shard: &usize) -> Labels<'static> {
            vec![("shard", shard.to_string().into())]
        }
        let counters: [Family<ShardStats, Counter>; 3] = [
            ("tidegate_shard_events", "Events of its own.", |shard| &shard.events),
            ("tidegate_shard_batches", "Batches stepped.", |shard| &shard.batches),
            ("tidegate_shard_rule_faults", "Times that rules misbehaved in it.", |shard| &shard.faults),
        ];
        for (name, help, of) in counters {
            self.counters(name, help, shards.iter().map(|(number, shard)| (label(number), of(shard).get())));
        }
        let refused = shards.iter().map(|(number, shard)| (label(number), shard.refused.get()));
        let help = "Events of streams that found no room in its index.";
        self.counters("tidegate_shard_index_refused", help, refused);
        let seconds = shards.iter().map(|(number, shard)| (label(number), shard.nanos.get() as f64 / 1e9));
        self.counters("tidegate_shard_seconds", "Seconds spent stepping.", seconds);
        let gauges: [Family<ShardStats, Gauge>; 3] = [
            ("tidegate_shard_streams", "Streams in its index.", |shard| &shard.streams),
            ("tidegate_shard_position", "The log position it has reached.", |shard| &shard.position),
            ("tidegate_shard_rule_memory_bytes", "Memory of the rules that run in it.", |shard| {
                &shard.memory
            }),
        ];
        for (name, help, of) in gauges {
            self.gauges(name, help, shards.iter().map(|(number, shard)| (label(number), of(shard).get())));
        }
        let waiting = shards.iter().map(|(number, shard)| (label(number), telemetry.waiting(shard)));
        self.gauges("tidegate_shard_queued", "Batches that it has yet to step.", waiting);
        let times = shards.iter().map(|(number, shard)| (label(number), shard.latency.read()));
        self.times(
            "tidegate_shard_event_seconds",
            "What an event takes: index and rules, on average over the batch it came in.",
            5..=24,
            times,
        );
        let states = (0..6_u8).map(|code| {
            let count: i64 = shards.values().map(|shard| shard.states[usize::from(code)].get()).sum();
            let name = match Code::from_code(code) {
                Code::Ok => "ok",
                Code::Warning => "warning",
                Code::Critical => "critical",
                Code::Unknown => "unknown",
                Code::Expired => "expired",
                Code::Other => "other",
            };
            (vec![("state", Cow::from(name))], count)
        });
        self.gauges("tidegate_streams", "Streams in the index by state.", states);
    }

    fn node(&mut self, telemetry: &Telemetry) {
        let (log, letters, control) = (&telemetry.log, &telemetry.letters, &telemetry.control);
        let none = Labels::new;
        for (name, help, counter) in [
            ("tidegate_dead_letters_written", "Dead letters written, and found at start.", &letters.written),
            (
                "tidegate_dead_letters_removed",
                "Dead letters removed, sent again, or replaced.",
                &letters.removed,
            ),
            (
                "tidegate_dead_letters_evicted",
                "Dead letters that had to go for want of room, or for their age.",
                &letters.evicted,
            ),
            (
                "tidegate_dead_letters_errors",
                "Times that they could not be written or read.",
                &letters.errors,
            ),
            ("tidegate_events", "Events that entered the log, emitted ones included.", &telemetry.events),
            ("tidegate_log_records", "Records appended.", &log.records),
            ("tidegate_log_bytes", "Bytes appended.", &log.bytes),
            ("tidegate_log_writes", "Writes to the file system.", &log.writes),
            ("tidegate_log_errors", "Writes that failed.", &log.errors),
            ("tidegate_checkpoints", "Checkpoints made.", &telemetry.checkpoints.made),
            ("tidegate_checkpoint_errors", "Checkpoints given up.", &telemetry.checkpoints.failed),
            ("tidegate_checkpoint_bytes", "Bytes of checkpoints written.", &telemetry.checkpoints.bytes),
            (
                "tidegate_log_gaps",
                "Places that could not be read, or where positions were missing.",
                &log.gaps,
            ),
            ("tidegate_log_positions_missing", "Positions that were missing there.", &log.missing),
            ("tidegate_log_damaged_bytes", "Bytes that could not be read there.", &log.damaged),
            ("tidegate_log_torn_bytes", "Bytes of torn tails that were cut off.", &log.torn),
            ("tidegate_log_sync_failures", "Syncs that failed.", &log.sync_failures),
            (
                "tidegate_log_rewritten_bytes",
                "Bytes written again because they could not be synced.",
                &log.rewritten,
            ),
            (
                "tidegate_modules_removed",
                "Modules that were let go because nothing used them.",
                &control.modules_removed,
            ),
            (
                "tidegate_rules_rebuilt",
                "Times that a rule got back what a fault had cost it.",
                &control.rebuilt,
            ),
            (
                "tidegate_rules_not_rebuilt",
                "Times that a rule began anew because that could not be rebuilt.",
                &control.not_rebuilt,
            ),
            (
                "tidegate_history_samples",
                "What streams did in a step of their history.",
                &telemetry.history.samples,
            ),
            (
                "tidegate_history_streams_forgotten",
                "Streams whose history had to go for want of room.",
                &telemetry.history.forgotten,
            ),
            (
                "tidegate_history_events_untracked",
                "Events of streams that have no history for want of room.",
                &telemetry.history.untracked,
            ),
            (
                "tidegate_history_samples_lost",
                "Samples that found no room on their way to the history.",
                &telemetry.history.lost,
            ),
            ("tidegate_deploys_promoted", "Candidates that the node promoted.", &control.promoted),
            ("tidegate_deploys_abandoned", "Candidates that the node gave up.", &control.abandoned),
            ("tidegate_deploys_rolled_back", "Rules that the node took back.", &control.rolled_back),
            (
                "tidegate_subscriber_events_skipped",
                "Events that subscribers missed because they read too slowly.",
                &telemetry.skipped,
            ),
        ] {
            self.counters(name, help, [(none(), counter.get())]);
        }
        let seconds = log.nanos.get() as f64 / 1e9;
        self.counters("tidegate_log_seconds", "Seconds spent writing.", [(none(), seconds)]);
        for (name, help, gauge) in [
            ("tidegate_log_segments", "Segment files there are.", &log.segments),
            ("tidegate_log_size_bytes", "Bytes they hold.", &log.size),
            (
                "tidegate_checkpoint_position",
                "Position of the newest checkpoint.",
                &telemetry.checkpoints.position,
            ),
            ("tidegate_log_unsynced_bytes", "Bytes that wait to be synced.", &log.unsynced),
            ("tidegate_dead_letters", "Dead letters there are.", &letters.kept),
            ("tidegate_dead_letters_bytes", "Bytes of their files.", &letters.bytes),
            ("tidegate_history_streams", "Streams that have a history.", &telemetry.history.streams),
            ("tidegate_history_bytes", "Memory of the histories of streams.", &telemetry.history.bytes),
            ("tidegate_subscribers", "Subscribers there are.", &telemetry.subscribers),
            ("tidegate_modules", "Modules that are kept.", &control.modules),
            ("tidegate_modules_bytes", "Bytes that they have.", &control.module_bytes),
        ] {
            self.gauges(name, help, [(none(), gauge.get())]);
        }
        let checkpoints = &telemetry.checkpoints;
        self.gauges(
            "tidegate_checkpoint_longest_slice_seconds",
            "Longest that events waited for a slice of a checkpoint.",
            [(none(), checkpoints.longest.get() as f64 / 1e9)],
        );
        self.gauges(
            "tidegate_checkpoint_timestamp_seconds",
            "When the newest checkpoint was made, in seconds since 1970; 0 while there is none.",
            [(none(), checkpoints.at.get() as f64 / 1e6)],
        );
        let fine = u8::from(log.trouble().is_none());
        self.gauges(
            "tidegate_log_healthy",
            "Whether the log takes in events: 1 yes, 0 no.",
            [(none(), fine)],
        );
        let times = Some(control.swaps.read()).filter(|times| times.count() > 0);
        let help = "How long a shard stood still for a rule that was deployed or promoted.";
        self.times("tidegate_swap_seconds", help, 10..=30, times.map(|times| (none(), times)));
        let times = Some(log.sync_times.read()).filter(|times| times.count() > 0);
        let help =
            "From asking the disk to sync to its answer; one answer for all that was written meanwhile.";
        self.times("tidegate_log_sync_seconds", help, 14..=34, times.map(|times| (none(), times)));
    }

    fn process(&mut self, process: &Process) {
        fn known<V>(value: Option<V>) -> impl Iterator<Item = (Labels<'static>, V)> {
            value.into_iter().map(|value| (Labels::new(), value))
        }
        let cpu = process.cpu.map(|cpu| cpu.as_secs_f64());
        self.counters("process_cpu_seconds", "Processor time used.", known(cpu));
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Memory in use.", process.resident),
            (
                "process_virtual_memory_bytes",
                "Address space, most of it reserved only.",
                process.virtual_size,
            ),
            ("process_threads", "Threads.", process.threads),
            ("process_open_fds", "Files and sockets open.", process.open_files),
            ("process_max_fds", "How many there may be.", process.max_files),
        ] {
            self.gauges(name, help, known(value));
        }
        let help = "When the process began, in seconds since 1970.";
        self.gauges("process_start_time_seconds", help, known(process.began));
    }
}

/// Those that have taken most time since the start, by name.
fn busiest(all: &[Arc<RuleStats>]) -> Vec<Arc<RuleStats>> {
    let mut all: Vec<_> = all.iter().map(|rule| (rule.nanos.get(), rule)).collect();
    if all.len() > RULES {
        all.select_nth_unstable_by(RULES, |(a, one), (b, other)| {
            b.cmp(a).then_with(|| one.name.cmp(&other.name))
        });
        all.truncate(RULES);
    }
    let mut shown: Vec<_> = all.into_iter().map(|(_, rule)| rule.clone()).collect();
    shown.sort_by(|one, other| one.name.cmp(&other.name));
    shown
}
