//! The inputs, through real sockets: what they accept, what they answer, and that nothing goes uncounted.

mod fake_node;

use fake_node::wire::{self, Answer, events, frame, query, yes};
use fake_node::{Mood, Node, assert_input_balances, eventually};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tidegate::config::{self, Host, InputKind, Riemann};
use tidegate::ingest::Refused;
use tidegate::input;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// An input that runs.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn tcp(node: &Node, settings: Riemann) -> Self {
        Self::start(node, Riemann { tcp: Some(ANY), ..settings }).await
    }

    async fn udp(node: &Node, settings: Riemann) -> Self {
        Self::start(node, Riemann { udp: Some(ANY), ..settings }).await
    }

    async fn start(node: &Node, settings: Riemann) -> Self {
        let configured = [config::Input { name: "r".into(), kind: InputKind::Riemann(settings) }];
        let mut inputs =
            input::bind(&configured, &node.ingest, &node.telemetry).await.expect("loopback is free");
        let input = inputs.remove(0);
        let address = input.address().expect("a socket has an address");
        assert_ne!(address.port(), 0, "the real port is told");
        let stop = CancellationToken::new();
        Self { address, stop: stop.clone(), task: tokio::spawn(input.run(stop)) }
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        stream.set_nodelay(true).unwrap();
        stream
    }
}

fn silent() -> Riemann {
    Riemann::silent()
}

/// Sends messages and reads as many answers.
async fn talk(stream: &mut TcpStream, messages: &[Vec<u8>]) -> Vec<Option<Answer>> {
    let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
    stream.write_all(&bytes).await.unwrap();
    let mut answers = Vec::new();
    for _ in messages {
        answers.push(wire::read(stream).await);
    }
    answers
}

fn no(error: &str) -> Answer {
    Answer { ok: false, error: Some(error.into()), services: Vec::new() }
}

#[tokio::test]
async fn a_message_is_acked_when_it_is_logged() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    assert_eq!(talk(&mut stream, &[events(&["a", "b"])]).await, [Some(yes())]);
    assert_eq!(node.services(), ["a", "b"], "they were there before the answer");
    let stats = node.input("r/tcp");
    assert_eq!((stats.received.get(), stats.accepted.get(), stats.connections.get()), (2, 2, 1));
    assert_eq!(stats.bytes.get(), frame(&events(&["a", "b"])).len() as u64);
    drop(stream);
    eventually("the connection is gone", || stats.connections.get() == 0).await;
    assert_eq!(stats.closed.total(), 0, "it was theirs to close");
}

#[tokio::test]
async fn bytes_may_arrive_one_at_a_time() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    for byte in [frame(&events(&["a"])), frame(&events(&["b"]))].concat() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!([wire::read(&mut stream).await, wire::read(&mut stream).await], [Some(yes()), Some(yes())]);
    assert_eq!(node.services(), ["a", "b"]);
}

#[tokio::test]
async fn a_thousand_messages_sent_at_once_are_acked_each_in_order_and_logged_in_few_batches() {
    let node = Node::new(8 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    let services: Vec<String> = (0..1000).map(|n| format!("s{n}")).collect();
    let messages: Vec<_> = services.iter().map(|service| events(&[service])).collect();
    let answers = talk(&mut stream, &messages).await;
    assert!(answers.iter().all(|answer| *answer == Some(yes())));
    assert_eq!(node.services(), services);
    assert!(node.batches() < 100, "{} batches for a flood of 1000 messages", node.batches());
    assert_input_balances(&node.input("r/tcp"));
}

#[tokio::test]
async fn a_message_of_length_zero_is_acked() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    let answers = talk(&mut stream, &[vec![], events(&["a"]), vec![], vec![]]).await;
    assert_eq!(answers, [Some(yes()), Some(yes()), Some(yes()), Some(yes())]);
    assert_eq!(node.services(), ["a"]);
}

#[tokio::test]
async fn a_message_with_events_and_a_question_is_answered_from_what_it_brought() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    let both = [events(&["b"]), query("true")].concat();
    let answers = talk(&mut stream, &[events(&["a"]), both, events(&["c"]), query("true"), vec![]]).await;
    let found = |services: &[&str]| {
        Some(Answer { services: services.iter().map(|s| (*s).to_owned()).collect(), ..yes() })
    };
    let expected = [Some(yes()), found(&["a", "b"]), Some(yes()), found(&["a", "b", "c"]), Some(yes())];
    assert_eq!(answers, expected, "a question sees what came before it, and nothing of what comes after");
    assert_eq!(node.services(), ["a", "b", "c"]);
    assert_input_balances(&node.input("r/tcp"));
}

#[tokio::test]
async fn a_question_that_does_not_parse_is_refused_and_its_events_are_kept() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    for question in ["", "state = ", "((("] {
        let both = [events(&["a"]), query(question)].concat();
        let answers = talk(&mut stream, &[both, events(&["b"])]).await;
        let refusal = answers[0].as_ref().expect("the connection stays open");
        assert!(!refusal.ok && refusal.error.as_ref().is_some_and(|error| !error.is_empty()), "{refusal:?}");
        assert_eq!(answers[1], Some(yes()));
    }
    assert_eq!(node.services(), ["a", "b", "a", "b", "a", "b"]);
}

#[tokio::test]
async fn refused_events_are_answered_with_the_reason_and_the_next_are_heard() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    node.set(Mood::Refuse(Refused::Log("no space left on device".into())));
    let reason = no("the log cannot be written: no space left on device");
    let both = [events(&["b"]), query("true")].concat();
    for answer in talk(&mut stream, &[events(&["a"]), both]).await {
        assert_eq!(answer, Some(Answer { ..no(reason.error.as_deref().unwrap()) }));
    }
    node.set(Mood::Accept);
    assert_eq!(talk(&mut stream, &[events(&["c"])]).await, [Some(yes())]);
    let stats = node.input("r/tcp");
    assert_eq!((stats.shed.all()["log"], stats.accepted.get()), (2, 1));
    assert_input_balances(&stats);
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_anything_is_reserved() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    for length in [0xffff_ffffu32, 0x7fff_ffff, (16 << 20) + 1] {
        let mut stream = running.connect().await;
        stream.write_all(&[frame(&events(&["a"])), length.to_be_bytes().to_vec()].concat()).await.unwrap();
        assert_eq!(wire::read(&mut stream).await, Some(yes()), "what came before is acked");
        let refusal = wire::read(&mut stream).await.expect("an answer says why");
        assert!(!refusal.ok && refusal.error.unwrap().contains("16777216 are allowed"));
        assert_eq!(wire::read(&mut stream).await, None, "then the connection ends");
    }
    let stats = node.input("r/tcp");
    assert_eq!((stats.closed.all()["too_large"], stats.rejected.all()["too_large"]), (3, 3));
    assert_input_balances(&stats);
}

#[tokio::test]
async fn garbage_is_refused_with_the_reason_after_what_was_good() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    let answers = talk(&mut stream, &[events(&["a"]), vec![0xff; 50], events(&["never"])]).await;
    assert_eq!(answers[0], Some(yes()));
    let refusal = answers[1].as_ref().expect("an answer says why");
    assert!(!refusal.ok && refusal.error.is_some(), "{refusal:?}");
    assert_eq!(answers[2], None);
    assert_eq!(node.services(), ["a"]);
    let stats = node.input("r/tcp");
    eventually("the connection is counted as closed", || stats.closed.total() == 1).await;
    assert_eq!((stats.closed.all()["undecodable"], stats.rejected.all()["undecodable"]), (1, 1));
    assert_input_balances(&stats);
}

#[tokio::test]
async fn whoever_announces_much_and_stalls_is_closed() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, Riemann { stall: Duration::from_millis(300), ..silent() }).await;
    let mut stalled = Vec::new();
    for _ in 0..100 {
        let mut stream = running.connect().await;
        stream.write_all(&(16u32 << 20).to_be_bytes()).await.unwrap();
        stream.write_all(b"ten bytes.").await.unwrap();
        stalled.push(stream);
    }
    // One that dribbles makes progress at every read, and none to speak of.
    let mut dribbler = running.connect().await;
    dribbler.write_all(&1000u32.to_be_bytes()).await.unwrap();
    let began = Instant::now();
    while dribbler.write_all(b"x").await.is_ok() && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "a byte now and then is a stall as well");
    let mut honest = running.connect().await;
    assert_eq!(talk(&mut honest, &[events(&["a"])]).await, [Some(yes())]);
    for mut stream in stalled {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed without an answer");
    }
    let stats = node.input("r/tcp");
    eventually("all are counted", || stats.closed.all().get("stalled") == Some(&101)).await;
    assert_input_balances(&stats);
}

#[tokio::test]
async fn a_silent_connection_stays_until_it_has_been_silent_for_too_long() {
    let node = Node::new(1 << 20);
    let settings = Riemann { idle: Duration::from_millis(400), stall: Duration::from_millis(50), ..silent() };
    let running = Running::tcp(&node, settings).await;
    let mut stream = running.connect().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(talk(&mut stream, &[events(&["a"])]).await, [Some(yes())], "between messages there is time");
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    eventually("it is counted", || node.input("r/tcp").closed.all().get("idle") == Some(&1)).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_its_answers_is_not_read_either_and_then_closed() {
    let node = Node::new(64 << 20);
    let running = Running::tcp(&node, Riemann { unread: Duration::from_millis(500), ..silent() }).await;
    // An event of its own in the index makes each answer long.
    let long = "x".repeat(60_000);
    let mut honest = running.connect().await;
    assert_eq!(talk(&mut honest, &[events(&[&long])]).await, [Some(yes())]);
    let mut stream = running.connect().await;
    let question = frame(&query("true")).repeat(1000);
    let mut written = 0;
    let began = Instant::now();
    let mut closed = false;
    while began.elapsed() < Duration::from_secs(15) && written < 200 << 20 {
        match tokio::time::timeout(Duration::from_secs(5), stream.write(&question)).await {
            Ok(Ok(count)) => written += count,
            Ok(Err(_)) => {
                closed = true;
                break;
            }
            Err(_) => break,
        }
    }
    let stats = node.input("r/tcp");
    eventually("it is counted", || stats.closed.all().get("unread_replies") == Some(&1)).await;
    assert!(closed, "the connection was ended from the other side");
    assert!(stats.bytes.get() < 32 << 20, "{} bytes were read all the same", stats.bytes.get());
    assert_eq!(talk(&mut honest, &[events(&["b"])]).await, [Some(yes())], "nobody else was held up");
}

#[tokio::test]
async fn answers_still_come_after_the_peer_has_said_its_last_word() {
    let node = Node::new(1 << 20);
    node.set(Mood::Slow(Duration::from_millis(20)));
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    let message = frame(&events(&["a"]));
    stream.write_all(&message.repeat(200)).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = 0;
    while wire::read(&mut stream).await == Some(yes()) {
        answers += 1;
    }
    assert_eq!(answers, 200);
}

#[tokio::test]
async fn a_stopping_node_answers_what_it_has_taken_in() {
    let node = Node::new(1 << 20);
    node.set(Mood::Slow(Duration::from_millis(300)));
    let running = Running::tcp(&node, silent()).await;
    let mut stream = running.connect().await;
    stream.write_all(&frame(&events(&["a"]))).await.unwrap();
    let stats = node.input("r/tcp");
    eventually("it has arrived", || stats.received.get() == 1).await;
    running.stop.cancel();
    assert_eq!(wire::read(&mut stream).await, Some(yes()));
    assert_eq!(wire::read(&mut stream).await, None);
    tokio::time::timeout(Duration::from_secs(5), running.task).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn there_are_so_many_places_and_no_more() {
    let node = Node::new(1 << 20);
    let running = Running::tcp(&node, Riemann { max_per_address: 2, ..silent() }).await;
    let (mut first, mut second) = (running.connect().await, running.connect().await);
    for stream in [&mut first, &mut second] {
        assert_eq!(talk(stream, &[events(&["a"])]).await, [Some(yes())]);
    }
    let mut third = running.connect().await;
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed at once");
    let stats = node.input("r/tcp");
    assert_eq!(stats.closed.all()["too_many_from_address"], 1);
    drop(first);
    eventually("a place is free again", || stats.connections.get() == 1).await;
    let mut fourth = running.connect().await;
    assert_eq!(talk(&mut fourth, &[events(&["a"])]).await, [Some(yes())]);
}

#[tokio::test]
async fn a_node_without_room_holds_its_senders_back_and_loses_nothing() {
    let node = Node::new(1 << 20);
    node.set(Mood::Slow(Duration::from_millis(10)));
    let running = Running::tcp(&node, silent()).await;
    let service = "x".repeat(1000);
    let message = events(&[&service]);
    let clients = (0..4).map(|_| async {
        let mut stream = running.connect().await;
        let (mut from, mut to) = stream.split();
        let flood = frame(&message).repeat(2000);
        let (sent, answers) = tokio::join!(to.write_all(&flood), async {
            let mut answers = Vec::new();
            for _ in 0..2000 {
                answers.push(wire::read(&mut from).await.expect("an answer for each"));
            }
            answers
        });
        sent.unwrap();
        answers
    });
    for answer in futures_util::future::join_all(clients).await.concat() {
        assert_eq!(answer, yes());
    }
    let stats = node.input("r/tcp");
    assert_eq!((stats.received.get(), stats.accepted.get()), (8000, 8000));
    assert_input_balances(&stats);
}

#[tokio::test]
async fn random_frames_harm_nobody_else() {
    let node = Node::new(8 << 20);
    let running = Running::tcp(&node, silent()).await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut honest = running.connect().await;
    for round in 0..300 {
        let mut stream = running.connect().await;
        let length = random.usize(0..400);
        let noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let bytes = if round % 2 == 0 { frame(&noise) } else { noise };
        stream.write_all(&bytes).await.unwrap();
        drop(stream);
        assert_eq!(talk(&mut honest, &[events(&["a"])]).await, [Some(yes())], "round {round}");
    }
    let stats = node.input("r/tcp");
    eventually("the noise is gone", || stats.connections.get() == 1).await;
    assert_input_balances(&stats);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_cause() {
    let node = Node::new(1 << 20);
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let address = taken.local_addr().unwrap();
    let settings = Riemann { tcp: Some(address), ..silent() };
    let configured = [config::Input { name: "r".into(), kind: InputKind::Riemann(settings) }];
    let errors = input::bind(&configured, &node.ingest, &node.telemetry).await.unwrap_err();
    let message = errors[0].to_string();
    assert!(message.starts_with(&format!("input r cannot listen on tcp {address}: ")), "{message}");
    assert!(message.contains("in use"), "{message}");
}

#[tokio::test]
async fn datagrams_are_taken_without_an_answer_and_everything_else_is_counted() {
    let node = Node::new(8 << 20);
    let running = Running::udp(&node, silent()).await;
    let socket = UdpSocket::bind(ANY).await.unwrap();
    socket.connect(running.address).await.unwrap();
    let stats = node.input("r/udp");
    let long = "x".repeat(16_000);
    let oversize = "x".repeat(17_000);
    for (message, expected) in [
        (events(&["a", "b"]), 2),
        (vec![], 2),
        (query("true"), 2),
        (vec![0xff; 20], 3),
        (events(&[&long]), 4),
        (events(&[&oversize]), 5),
        (vec![0; 60_000], 6),
        (events(&["c"]), 7),
    ] {
        socket.send(&message).await.unwrap();
        eventually(&format!("{expected} received"), || stats.received.get() == expected).await;
    }
    eventually("all are logged", || stats.accepted.get() == 4).await;
    assert_eq!(node.services(), ["a", "b", long.as_str(), "c"]);
    assert_eq!(stats.rejected.all().into_iter().collect::<Vec<_>>(), [("too_large", 2), ("undecodable", 1)]);
    assert_input_balances(&stats);
    let mut answer = [0; 10];
    let silence = tokio::time::timeout(Duration::from_millis(50), socket.recv(&mut answer)).await;
    assert!(silence.is_err(), "nothing is ever answered");
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn datagrams_that_find_no_room_are_shed_and_counted() {
    let node = Node::new(64 << 10);
    node.set(Mood::Slow(Duration::from_millis(100)));
    let running = Running::udp(&node, silent()).await;
    let socket = UdpSocket::bind(ANY).await.unwrap();
    socket.connect(running.address).await.unwrap();
    let stats = node.input("r/udp");
    let service = "x".repeat(10_000);
    let mut sent = 0;
    while stats.shed.total() == 0 {
        assert!(sent < 1000, "64 KiB hold no {sent} messages of 10 KB");
        socket.send(&events(&[&service])).await.unwrap();
        sent += 1;
        tokio::task::yield_now().await;
    }
    let quiet = || stats.received.get() == stats.accepted.get() + stats.shed.total() + stats.rejected.total();
    eventually("all is quiet", quiet).await;
    assert!(stats.shed.all().keys().all(|reason| ["overloaded"].contains(reason)), "{:?}", stats.shed.all());
}

#[tokio::test]
async fn this_machine_reports_at_each_interval_until_it_is_told_to_stop() {
    let node = Node::new(8 << 20);
    let host = Host { every: Duration::from_millis(250), host: Some("here".into()) };
    let configured = [config::Input { name: "me".into(), kind: InputKind::Host(host) }];
    let mut inputs = input::bind(&configured, &node.ingest, &node.telemetry).await.unwrap();
    let (stop, input) = (CancellationToken::new(), inputs.remove(0));
    assert_eq!(input.address(), None);
    let task = tokio::spawn(input.run(stop.clone()));
    eventually("two looks", || node.batches() >= 2).await;
    stop.cancel();
    task.await.unwrap();
    let services = node.services();
    for service in ["cpu", "load", "memory"] {
        assert!(services.iter().any(|found| found == service), "{service} in {services:?}");
    }
    assert_input_balances(&node.input("me"));
}
