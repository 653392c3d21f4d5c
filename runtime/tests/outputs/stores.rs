//! Stores of metrics that answer: what passes, what is refused, and what was there already.

use super::{PATIENCE, Running, batch, delivery, listen};
use crate::fake_node::eventually;
use flate2::read::GzDecoder;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex};
use tidegate::config::{self, Common, Environment, OutputKind, Source};
use tidegate::output::Delivery;
use tidegate_event::Metric;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};

/// A type of output with these lines.
pub fn kind(section: &str) -> OutputKind {
    let source = Source { path: None, text: format!("[outputs.out]\n{section}") };
    let mut config = config::parse(source, &Environment::new()).unwrap_or_else(|error| panic!("{error}"));
    config.outputs.remove(0).kind
}

/// A request: its head in lower case, and its body.
type Asked = (String, Vec<u8>);

/// An HTTP server that answers these one after the other, and then always the last; an empty answer closes the connection.
fn server(listener: TcpListener, answers: &[&'static str]) -> Arc<Mutex<Vec<Asked>>> {
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let (seen, answers) = (asked.clone(), Arc::new(Mutex::new(VecDeque::from(answers.to_vec()))));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, answers) = (seen.clone(), answers.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if stream.read_line(&mut head).await.ok()? == 0 {
                            return None::<()>;
                        }
                    }
                    let lower = head.to_lowercase();
                    let length =
                        lower.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.ok()?;
                    seen.lock().unwrap().push((head, body));
                    let answer = {
                        let mut answers = answers.lock().unwrap();
                        if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() }
                    };
                    let answer = answer.filter(|answer| !answer.is_empty())?;
                    stream.write_all(answer.as_bytes()).await.ok()?;
                }
            });
        }
    });
    asked
}

const FINE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 14\r\n\r\nfield conflict";
const OLD: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 19\r\n\r\nout of order sample";

fn unpacked((_, body): &Asked) -> String {
    let mut text = String::new();
    GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn influxdb_gets_compressed_points_and_says_who_it_is() {
    let (listener, address) = listen().await;
    let asked = server(listener, &[FINE]);
    let section = format!(
        "type = \"influxdb\"\nurl = \"http://{address}\"\norg = \"o\"\nbucket = \"b\"\ntoken = \"t0p\""
    );
    let running = Running::new(kind(&section), Common::default());
    running.send(0..2);
    running.settled().await;
    let asked = asked.lock().unwrap();
    let head = &asked[0].0;
    assert!(head.starts_with("POST /api/v2/write?org=o&bucket=b&precision=us HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("authorization: Token t0p\r\n") && head.contains("content-encoding: gzip\r\n"),
        "{head}"
    );
    let lines: String = asked.iter().map(unpacked).collect();
    assert_eq!(lines, "s0,host=web1 value=0 1700000000000000\ns1,host=web1 value=1 1700000000000000\n");
}

#[tokio::test]
async fn a_store_that_is_busy_or_has_no_database_yet_is_waited_for() {
    let (listener, address) = listen().await;
    let asked = server(listener, &[BUSY, MISSING, "", FINE]);
    let section = format!("type = \"influxdb\"\nurl = \"http://{address}\"\ndatabase = \"d\"");
    let running = Running::new(kind(&section), Common::default());
    running.send(0..1);
    running.settled().await;
    let stats = running.stats();
    assert_eq!((stats.delivered.get(), stats.failed.get(), stats.retries.get()), (1, 0, 3));
    let bodies: Vec<String> = asked.lock().unwrap().iter().map(unpacked).collect();
    assert!(bodies.windows(2).all(|two| two[0] == two[1]), "the same point each time: {bodies:?}");
}

#[tokio::test]
async fn a_batch_that_is_refused_is_tried_event_by_event() {
    for section in ["type = \"influxdb\"\ndatabase = \"d\"\ngzip = false", "type = \"opentsdb\""] {
        let (listener, address) = listen().await;
        drop(listener);
        let running =
            Running::new(kind(&format!("{section}\nurl = \"http://{address}\"")), Common::default());
        running.send(0..1);
        let stats = running.stats();
        eventually("it is known to be down", || stats.healthy.get() == 0).await;
        running.send(1..4);
        // The event that was tried, the batch of the others, and then each of those alone.
        let asked = server(TcpListener::bind(address).await.unwrap(), &[FINE, BAD, FINE, BAD, FINE]);
        running.settled().await;
        assert_eq!((stats.delivered.get(), stats.failed.get()), (3, 1), "{section}");
        assert!(running.last_error().contains("field conflict"), "{}", running.last_error());
        assert_eq!(asked.lock().unwrap().len(), 5);
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn written((head, body): &Asked) -> WriteRequest {
    assert!(head.contains("content-encoding: snappy\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    assert!(head.contains("x-prometheus-remote-write-version: 0.1.0\r\n"), "{head}");
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    prost::Message::decode(plain.as_slice()).unwrap()
}

fn sample(n: u32, metric: i64) -> Delivery {
    Delivery { batch: batch("load", Some(Metric::Int(metric))), ..delivery(n) }
}

#[tokio::test]
async fn remote_write_sends_series_with_sorted_labels() {
    let (listener, address) = listen().await;
    let asked = server(listener, &[FINE]);
    let section =
        format!("type = \"prometheus-remote-write\"\nurl = \"http://{address}/w\"\nfixed = {{ A = \"x\" }}");
    let running = Running::new(kind(&section), Common::default());
    running.outputs.forward("out", sample(0, 5));
    running.settled().await;
    let asked = asked.lock().unwrap();
    let request = written(&asked[0]);
    let labels: Vec<_> =
        request.series[0].labels.iter().map(|label| format!("{}={}", label.name, label.value)).collect();
    assert_eq!(labels, ["__name__=load", "a=x", "host=web1"]);
    assert_eq!(request.series[0].samples, [Sample { value: 5.0, timestamp: 1_700_000_000_000 }]);
}

#[tokio::test]
async fn remote_write_knows_what_had_arrived_when_its_answer_was_lost() {
    let (listener, address) = listen().await;
    // The first event is a batch. Then the answer for the second is lost, and the receiver calls it too old. The third is
    // too old for the first time.
    let asked = server(listener, &[FINE, "", OLD, OLD]);
    let section = format!("type = \"prometheus-remote-write\"\nurl = \"http://{address}/w\"");
    let running = Running::new(kind(&section), Common { batch: 1, ..Common::default() });
    for n in 0..3 {
        running.outputs.forward("out", sample(n, n.into()));
    }
    running.settled().await;
    let stats = running.stats();
    assert_eq!((stats.delivered.get(), stats.failed.get()), (2, 1));
    assert_eq!(asked.lock().unwrap().len(), 4);
    assert!(running.last_error().contains("out of order"), "{}", running.last_error());
}

#[tokio::test]
async fn statsd_gets_whole_lines_in_datagrams_and_a_dead_one_is_noticed() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let section = format!("type = \"statsd\"\naddress = \"{address}\"\nmax_datagram = \"512B\"");
    let running = Running::new(kind(&section), Common::default());
    running.send(0..100);
    running.settled().await;
    let (mut lines, mut datagram) = (String::new(), [0; 2048]);
    while lines.lines().count() < 100 {
        let length = tokio::time::timeout(PATIENCE, socket.recv(&mut datagram)).await.unwrap().unwrap();
        assert!(length <= 512 && datagram[length - 1] == b'\n');
        lines += std::str::from_utf8(&datagram[..length]).unwrap();
    }
    let expected: String = (0..100).map(|n| format!("web1.s{n}:{n}|g\n")).collect();
    assert_eq!(lines, expected);
    drop(socket);
    let stats = running.stats();
    // The kernel says so at the second attempt.
    running.send(0..1);
    running.settled().await;
    running.send(1..2);
    eventually("it is known to be down", || stats.healthy.get() == 0).await;
}

#[tokio::test]
async fn chosen_streams_are_shown_until_they_expire_and_no_more_than_there_may_be() {
    let running = Running::new(kind("type = \"prometheus\"\nmax_series = 3"), Common::default());
    running.send(0..4);
    running.settled().await;
    let stats = running.stats();
    assert_eq!((stats.delivered.get(), stats.failed.get()), (3, 1));
    assert!(running.last_error().contains("3 series already"), "{}", running.last_error());
    let text = running.telemetry.streams.text(std::time::Instant::now());
    assert_eq!(
        text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(),
        ["s0{host=\"web1\"} 0", "s1{host=\"web1\"} 1", "s2{host=\"web1\"} 2"]
    );
}
