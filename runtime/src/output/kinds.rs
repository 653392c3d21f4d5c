//! The types of outputs: one line each.

use super::runner::run;
use super::{Delivery, Keys, Queue, SendError, Sink};
use crate::config::{Common, Section};
use crate::data::draw_seed;
use crate::dead_letters::DeadLetters;
use crate::telemetry::{Exposition, OutputStats};
use std::fmt;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// A type of output: how its section is read, and the sink that its settings make.
pub trait Kind: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// What sends.
    type Sink: Sink;

    /// Reads the keys of its own; all mistakes are reported to the section.
    fn read(at: &mut Section<'_>) -> Option<Self>;

    /// A sink with these settings. Nothing is connected yet.
    fn sink(&self, place: &Place) -> Result<Self::Sink, String>;
}

/// What of the node a sink may see.
#[derive(Clone, Debug)]
pub struct Place {
    /// Events in a batch at most, and so what a restart may repeat.
    pub batch: usize,
    /// Its name, and what is counted of it.
    pub stats: Arc<OutputStats>,
    /// What `/metrics/streams` shows.
    pub streams: Arc<Exposition>,
    /// Names events for receivers that know them again.
    pub keys: Keys,
}

impl Place {
    /// Without a node: each is another one, and what it sends is never taken for what was sent before.
    pub fn alone(output: &str, batch: usize) -> Self {
        Self {
            batch,
            stats: Arc::new(OutputStats { name: output.to_owned(), ..OutputStats::default() }),
            streams: Arc::default(),
            keys: Keys::new(draw_seed()),
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $word:literal $settings:ty, $needed:literal;)*) => {
        /// `type = …` of an output, with its settings.
        #[derive(Clone, Debug, PartialEq)]
        pub enum OutputKind {
            $($(#[$doc])* $variant($settings),)*
        }

        impl OutputKind {
            /// The words for the types, as in the configuration.
            pub const WORDS: &[&str] = &[$($word),*];

            /// For each type the lines that must be given.
            pub const NEEDED: &[&str] = &[$($needed),*];

            /// Reads what a type of this name has of its own.
            pub fn read(word: &str, at: &mut Section<'_>) -> Option<Self> {
                match word {
                    $($word => <$settings as Kind>::read(at).map(Self::$variant),)*
                    _ => None,
                }
            }

            /// The word for this type, as in the configuration.
            pub fn word(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $word,)*
                }
            }

            /// Starts the task that sends what waits in this queue.
            pub(super) fn start(
                &self,
                place: &Place,
                queue: Arc<Queue>,
                common: Common,
                letters: Arc<DeadLetters>,
            ) -> Result<JoinHandle<()>, String> {
                match self {
                    $(Self::$variant(settings) => {
                        let sink = settings.sink(place)?;
                        Ok(tokio::spawn(run(sink, queue, common, letters)))
                    })*
                }
            }

            /// Sends a batch once, or with `dry` says what would be sent. The outer error is one of the settings.
            pub async fn try_out(
                &self,
                place: &Place,
                dry: bool,
                batch: &[Arc<Delivery>],
            ) -> Result<Result<Option<String>, SendError>, String> {
                match self {
                    $(Self::$variant(settings) => {
                        let mut sink = settings.sink(place)?;
                        Ok(match dry {
                            true => sink.preview(batch).map(Some),
                            false => sink.send(batch).await.map(|()| None),
                        })
                    })*
                }
            }
        }
    };
}

kinds! {
    /// Lines for a person on standard output.
    Console "console" super::console::Settings, "";
    /// Lines in a file.
    File "file" super::file::Settings, "path = \"x\"";
    /// Alerts, which tell other outputs.
    Alerts "alerts" super::alerts::Settings, "";
    /// Prometheus's Alertmanager.
    Alertmanager "alertmanager" super::alertmanager::Settings, "url = \"http://x\"";
    /// Messages in a Slack channel.
    Slack "slack" super::slack::Settings, "url = \"http://x\"";
    /// Incidents in PagerDuty.
    PagerDuty "pagerduty" super::pagerduty::Settings, "routing_key = \"x\"";
    /// Mail over SMTP.
    Mail "mail" super::mail::Settings, "address = \"x:25\"\nfrom = \"a@x\"\nto = [\"b@x\"]";
    /// A POST per batch.
    Webhook "webhook" super::webhook::Settings, "url = \"http://x\"";
    /// Lines for Carbon.
    Graphite "graphite" super::graphite::Settings, "address = \"x:1\"";
    /// Points for InfluxDB.
    Influxdb "influxdb" super::influxdb::Settings, "url = \"http://x\"\ndatabase = \"x\"";
    /// Points for OpenTSDB.
    Opentsdb "opentsdb" super::opentsdb::Settings, "url = \"http://x\"";
    /// Lines for StatsD.
    Statsd "statsd" super::statsd::Settings, "address = \"x:1\"";
    /// Values on `/metrics/streams`.
    Prometheus "prometheus" super::prometheus::Settings, "";
    /// Samples for a Prometheus.
    RemoteWrite "prometheus-remote-write" super::remote_write::Settings, "url = \"http://x\"";
    /// Another Riemann or Tidegate.
    Riemann "riemann" super::riemann::Settings, "address = \"x:1\"";
    /// Documents in Elasticsearch or OpenSearch.
    Elasticsearch "elasticsearch" super::elasticsearch::Settings, "url = \"http://x\"";
    /// Lines in Grafana Loki.
    Loki "loki" super::loki::Settings, "url = \"http://x\"";
    /// Annotations in Grafana.
    Grafana "grafana" super::grafana::Settings, "url = \"http://x\"";
    /// Widgets of Dashing.
    Dashing "dashing" super::dashing::Settings, "url = \"http://x\"";
    /// Messages in NATS.
    Nats "nats" super::nats::Settings, "address = \"x:1\"";
    /// Messages in RabbitMQ and the like.
    Amqp "amqp" super::amqp::Settings, "address = \"x:1\"";
    /// Rows in PostgreSQL.
    Postgres "postgres" super::postgres::Settings, "address = \"x:1\"";
    /// Messages for syslog.
    Syslog "syslog" super::syslog::Settings, "address = \"x:1\"";
}
