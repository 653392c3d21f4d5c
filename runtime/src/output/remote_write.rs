//! Prometheus remote write 1.0: samples as a compressed message over HTTP.
//!
//! A receiver takes the samples of a series in the order of their times only, and refuses a whole request for one that is
//! older than what it has. A batch whose answer was lost may be there already: when it is sent again, samples that are
//! refused as too old have arrived before. All others that are refused so have come too late, and are refused for good.

use super::graphite::finite;
use super::http::{self, Client};
use super::kinds::{Kind, Place};
use super::prometheus::{Naming, read_naming};
use super::{Delivery, SendError, Sink, Verdict, Which};
use crate::config::Section;
use prost::Message;
use reqwest::{Method, StatusCode, Url};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

/// What receivers say of a sample that is not newer than what they have.
const TOO_OLD: [&str; 4] = ["out of order", "duplicate sample", "too old sample", "out of bounds"];

/// The value that ends a series: a NaN of its own.
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// `type = "prometheus-remote-write"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The receiver.
    pub http: http::Settings,
    /// How series are named.
    pub naming: Naming,
}

impl Kind for Settings {
    type Sink = RemoteWrite;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let naming = read_naming(at);
        let http = http::read(at, "http://127.0.0.1:9090/api/v1/write");
        Some(Self { http: http?, naming: naming? })
    }

    fn sink(&self, place: &Place) -> Result<RemoteWrite, String> {
        let client = Client::new(&self.http)?;
        let url = client.url("", &[]);
        let doubt = Doubt { first: place.batch, lost: HashSet::new() };
        Ok(RemoteWrite { client, url, naming: self.naming.clone(), doubt })
    }
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    /// Milliseconds since 1970.
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Which events may have arrived although nobody said so.
#[derive(Debug)]
struct Doubt {
    /// So many that come first: the node was started, and its end may have come before an answer.
    first: usize,
    /// Those whose answer was lost.
    lost: HashSet<Id>,
}

type Id = (u64, u32, Arc<str>);

fn id(delivery: &Delivery) -> Id {
    (delivery.position, delivery.n, delivery.rule.clone())
}

/// Writes samples.
#[derive(Debug)]
pub struct RemoteWrite {
    client: Client,
    url: Url,
    naming: Naming,
    doubt: Doubt,
}

impl RemoteWrite {
    /// The samples of as many events as have one, by series and time, and why the next has none.
    fn request(&self, batch: &[Arc<Delivery>]) -> (WriteRequest, usize, Option<String>) {
        let mut series: BTreeMap<_, Vec<Sample>> = BTreeMap::new();
        let mut refused = None;
        let mut events = 0;
        for delivery in batch {
            let event = delivery.event();
            let value = match finite(&event) {
                _ if event.is_expired() => Ok(f64::from_bits(STALE)),
                Some(metric) => Ok(metric.as_f64()),
                None => Err("an event without a finite metric has no sample".to_owned()),
            };
            match value.and_then(|value| Ok((value, self.naming.series(delivery)?))) {
                Ok((value, name)) => {
                    let timestamp = event.time().0.div_euclid(1_000);
                    series.entry(name).or_default().push(Sample { value, timestamp });
                }
                Err(why) => {
                    refused = Some(why);
                    break;
                }
            }
            events += 1;
        }
        let timeseries = series.into_iter().map(|(series, mut samples)| {
            samples.sort_by_key(|sample| sample.timestamp);
            // The same sample twice is one.
            samples.dedup_by_key(|sample| (sample.timestamp, sample.value.to_bits()));
            let mut labels = vec![Label { name: "__name__".into(), value: series.name }];
            labels.extend(series.labels.into_iter().map(|(name, value)| Label { name, value }));
            labels.sort_by(|one, other| one.name.cmp(&other.name));
            TimeSeries { labels, samples }
        });
        (WriteRequest { timeseries: timeseries.collect() }, events, refused)
    }

    async fn write(&mut self, request: WriteRequest, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let body = snap::raw::Encoder::new()
            .compress_vec(&request.encode_to_vec())
            .map_err(|error| SendError::later(format!("snappy: {error}")))?;
        let post = self
            .client
            .post(self.url.clone(), "application/x-protobuf", body)
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0");
        let lost = match self.client.exchange(post).await {
            Err(lost) => lost,
            Ok(answer) => {
                let too_old = answer.status == StatusCode::BAD_REQUEST && {
                    let said = String::from_utf8_lossy(&answer.body);
                    TOO_OLD.iter().any(|words| said.contains(words))
                };
                let verdict = http::judge(&answer);
                if too_old
                    && let [only] = batch
                    && self.may_have_arrived(only)
                {
                    return Ok(());
                }
                match verdict {
                    Err(error) if answer.status.is_server_error() => error,
                    other => return other,
                }
            }
        };
        // A server that failed, or did not answer, may have taken it.
        self.doubt.lost.extend(batch.iter().map(|delivery| id(delivery)));
        Err(lost)
    }

    fn may_have_arrived(&self, delivery: &Delivery) -> bool {
        self.doubt.first > 0 || self.doubt.lost.contains(&id(delivery))
    }

    /// These have arrived: what comes next has not been sent before.
    fn settle(&mut self, batch: &[Arc<Delivery>]) {
        self.doubt.first = self.doubt.first.saturating_sub(batch.len());
        for delivery in batch {
            self.doubt.lost.remove(&id(delivery));
        }
    }
}

impl Sink for RemoteWrite {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let (request, events, refused) = self.request(batch);
        if events > 0 {
            self.write(request, &batch[..events]).await?;
            self.settle(&batch[..events]);
        }
        match refused {
            None => Ok(()),
            Some(message) => {
                Err(SendError { verdict: Verdict::Refused(Which::First), delivered: events, message })
            }
        }
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let (request, delivered, refused) = self.request(batch);
        if let Some(message) = refused {
            return Err(SendError { verdict: Verdict::Refused(Which::First), delivered, message });
        }
        let mut text = String::new();
        for series in &request.timeseries {
            let labels: Vec<_> =
                series.labels.iter().map(|label| format!("{}={:?}", label.name, label.value)).collect();
            for sample in &series.samples {
                let value = match sample.value.to_bits() {
                    STALE => "stale".to_owned(),
                    _ => sample.value.to_string(),
                };
                let _ = writeln!(text, "{{{}}} {value} {}", labels.join(","), sample.timestamp);
            }
        }
        Ok(self.client.describe(&Method::POST, &self.url, &text))
    }
}
