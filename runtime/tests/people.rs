//! What people are told, by the programs that they have: Alertmanager's API and what it sends to Slack and PagerDuty itself,
//! and a mail server that somebody else wrote.
//!
//! A program that is missing fails the test where `CI` is set, and is named elsewhere.

mod fake_node;

use fake_node::{Node, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate::config::{self, Environment, Source};
use tidegate::output::alerts::{About, Wanted};
use tidegate::output::{Delivery, Outputs};
use tidegate_event::{BatchBuilder, Metric, NewEvent, Timestamp};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(60);

/// Debian's, for which its packages are made.
const PYTHON: &str = "/usr/bin/python3";

/// Whether a program is there; missing ones are named, and missed where everything was installed.
fn there(program: &str, found: bool) -> bool {
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing: .ci/run installs it");
    if !found {
        eprintln!("not installed, so not tried: {program}");
    }
    found
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A process that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// The path and the body of every request.
type Posted = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that takes everything.
async fn capture() -> (SocketAddr, Posted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let posted: Posted = Arc::default();
    let seen = posted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, seen.clone()));
        }
    });
    (address, posted)
}

async fn serve(stream: tokio::net::TcpStream, seen: Posted) -> Option<()> {
    let mut stream = tokio::io::BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let path = head.split(' ').nth(1)?.to_owned();
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        seen.lock().unwrap().push((path.clone(), serde_json::from_slice(&body).unwrap_or_default()));
        // What PagerDuty answers, and Slack does not mind.
        let answer = "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn to(posted: &Posted, path: &str) -> Vec<Value> {
    posted.lock().unwrap().iter().filter(|(known, _)| known == path).map(|(_, body)| body.clone()).collect()
}

/// The outputs of a configuration, with a node that has no rules.
struct Scene {
    outputs: Outputs,
    node: Node,
    n: u32,
}

impl Scene {
    fn new(text: &str) -> Self {
        tidegate::output::tls::install();
        let source = Source { path: None, text: text.to_owned() };
        let config = config::parse(source, &Environment::new()).unwrap_or_else(|error| panic!("{error}"));
        let node = Node::new(16 << 20);
        let outputs = Outputs::start(&config.outputs, &node.telemetry).expect("they start");
        let about = |_: &str| About { version: Some("1.2.3".into()), generation: Some(4) };
        outputs.alerts().start(Arc::new(about), Some("https://tidegate.example"));
        outputs.follow(&node.ingest);
        Self { outputs, node, n: 0 }
    }

    fn event(&mut self, to: &str, host: &str, state: &str) {
        self.n += 1;
        let mut builder = BatchBuilder::new();
        builder.push(&NewEvent {
            time: Some(Timestamp(tidegate::clock::now().0)),
            host: Some(host),
            service: Some("disk /"),
            state: Some(state),
            metric: Some(Metric::Float(0.97)),
            description: Some("97 % used <of 40 GB> & growing"),
            tags: &["prod"],
            attributes: &[("datacenter", "eu-1")],
            ..NewEvent::default()
        });
        let batch = builder.finish();
        let position = u64::from(self.n);
        let delivery =
            Delivery { rule: "disk-full".into(), declared: "alerts".into(), position, n: 0, batch };
        assert!(self.outputs.forward(to, delivery));
    }
}

/// What is in one and not in the other, or of another kind there.
fn lacking(theirs: &Value, ours: &Value, path: &str) -> Vec<String> {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) if path != ".payload.custom_details" => theirs
            .iter()
            .flat_map(|(name, value)| {
                let path = format!("{path}.{name}");
                ours.get(name).map_or_else(|| vec![path.clone()], |own| lacking(value, own, &path))
            })
            .collect(),
        (Value::Array(theirs), Value::Array(ours)) => match (theirs.first(), ours.first()) {
            (Some(theirs), Some(ours)) => lacking(theirs, ours, &format!("{path}[0]")),
            (Some(_), None) => vec![format!("{path}[0]")],
            _ => Vec::new(),
        },
        _ if std::mem::discriminant(theirs) == std::mem::discriminant(ours) => Vec::new(),
        _ => vec![format!("{path}: {ours} instead of {theirs}")],
    }
}

async fn get(url: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    match client.get(url).send().await {
        Ok(answer) => serde_json::from_str(&answer.text().await.unwrap_or_default()).unwrap_or_default(),
        Err(_) => Value::Null,
    }
}

/// Waits until something is so, for as long as a slow machine may take.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !so().await {
        assert!(tokio::time::Instant::now() < end, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn alertmanager(program: &Path, folder: &Path, port: u16, capture: SocketAddr) -> Daemon {
    let config = format!(
        "route: {{receiver: both, group_by: [alert_id], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}}\n\
         receivers:\n\
         - name: both\n  \
           slack_configs:\n  - {{api_url: 'http://{capture}/their-slack', channel: '#alerts', send_resolved: true}}\n  \
           pagerduty_configs:\n  - {{routing_key: abc, url: 'http://{capture}/their-pagerduty'}}\n"
    );
    let file = folder.join("alertmanager.yml");
    std::fs::write(&file, config).unwrap();
    let child = Command::new(program)
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", folder.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--cluster.listen-address=", "--log.level=error"])
        .stdin(Stdio::null())
        .spawn()
        .expect("it starts");
    Daemon(child)
}

#[tokio::test]
async fn alertmanager_has_our_alerts_and_we_send_what_it_sends() {
    let program = find("prometheus-alertmanager");
    if !there("prometheus-alertmanager", program.is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (server, posted) = capture().await;
    let port = free_port().await;
    let _daemon = alertmanager(&program.unwrap(), folder.path(), port, server);
    let mut scene = Scene::new(&format!(
        "[outputs.desk]\ntype = \"alerts\"\nto = [\"slack\", \"pd\", \"am\"]\n\
         [outputs.slack]\ntype = \"slack\"\nurl = \"http://{server}/slack\"\nchannel = \"#alerts\"\n\
         [outputs.pd]\ntype = \"pagerduty\"\nrouting_key = \"abc\"\nurl = \"http://{server}/pagerduty\"\n\
         [outputs.am]\ntype = \"alertmanager\"\nurl = \"http://127.0.0.1:{port}\"\n\
         labels = {{ team = \"sre\" }}\nlabel_attributes = [\"datacenter\"]\n"
    ));
    let api = format!("http://127.0.0.1:{port}/api/v2/alerts");
    // It may not listen yet: then the output tries again.
    scene.event("desk", "web1", "critical");
    until("Alertmanager lists the alert", async || {
        get(&api).await.as_array().is_some_and(|all| all.len() == 1)
    })
    .await;
    let theirs = get(&api).await;
    let labels = &theirs[0]["labels"];
    let id = scene.outputs.alerts().list(&Wanted { limit: 1, ..Wanted::default() }).alerts[0]["id"].clone();
    let expected = json!({
        "alertname": "disk /", "instance": "web1", "rule": "disk-full", "severity": "critical", "team": "sre",
        "datacenter": "eu-1", "alert_id": id,
    });
    assert_eq!(*labels, expected);
    assert_eq!(theirs[0]["status"]["state"], "active");
    assert_eq!(
        theirs[0]["generatorURL"].as_str().unwrap(),
        format!("https://tidegate.example/#/alerts?alert={}", id.as_str().unwrap())
    );

    // The state changes: the one before ends there.
    scene.event("desk", "web1", "warning");
    let severities = async || {
        let all = get(&api).await;
        let all = all.as_array().cloned().unwrap_or_default();
        all.iter().map(|alert| alert["labels"]["severity"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("the state is another", async || severities().await == ["warning"]).await;

    // What Alertmanager itself sends of it, beside what we send.
    for path in ["/slack", "/pagerduty", "/their-slack", "/their-pagerduty"] {
        eventually(path, || !to(&posted, path).is_empty()).await;
    }
    let (their, our) = (to(&posted, "/their-slack"), to(&posted, "/slack"));
    assert_eq!(lacking(&their[0], &our[0], ""), Vec::<String>::new(), "Slack: {} {}", their[0], our[0]);
    let attachment = &our[0]["attachments"][0];
    assert_eq!(attachment["title"], "[FIRING] web1 disk / is critical");
    assert_eq!(attachment["color"], "danger");
    let text = attachment["text"].as_str().unwrap();
    assert!(text.contains("97 % used &lt;of 40 GB&gt; &amp; growing"), "{text}");
    assert!(text.contains("rule disk-full 1.2.3, deployment 4, 1 event"), "{text}");
    let (their, our) = (to(&posted, "/their-pagerduty"), to(&posted, "/pagerduty"));
    assert_eq!(lacking(&their[0], &our[0], ""), Vec::<String>::new(), "PagerDuty: {} {}", their[0], our[0]);
    assert_eq!((&our[0]["event_action"], &our[0]["dedup_key"]), (&json!("trigger"), &id));
    let details = our[0]["payload"]["custom_details"].as_object().unwrap();
    assert!(details.values().all(Value::is_string), "{details:?}");

    // Somebody cares, then it is over.
    let alerts = scene.outputs.alerts().clone();
    let of = id.as_str().unwrap().to_owned();
    tokio::task::spawn_blocking(move || alerts.acknowledge(&of, "ann", "on it")).await.unwrap().unwrap();
    scene.event("desk", "web1", "ok");
    until("nothing is left", async || severities().await.is_empty()).await;
    eventually("PagerDuty hears of the end", || to(&posted, "/pagerduty").len() == 4).await;
    let actions: Vec<Value> =
        to(&posted, "/pagerduty").iter().map(|body| body["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "trigger", "acknowledge", "resolve"]);
    assert!(to(&posted, "/pagerduty").iter().all(|body| body["dedup_key"] == id));
    let last = to(&posted, "/slack").pop().unwrap();
    assert_eq!(last["attachments"][0]["color"], "good");

    // A silence of Alertmanager's finds our labels.
    let now = tidegate::clock::now();
    let ends = Timestamp(now.0 + 3_600_000_000);
    let silence = json!({
        "matchers": [{ "name": "instance", "value": "web2", "isRegex": false, "isEqual": true }],
        "startsAt": tidegate::clock::iso8601(now), "endsAt": tidegate::clock::iso8601(ends),
        "createdBy": "ann", "comment": "moving",
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let made =
        client.post(format!("http://127.0.0.1:{port}/api/v2/silences")).json(&silence).send().await.unwrap();
    assert_eq!(made.status(), 200);
    scene.event("desk", "web2", "critical");
    until("the alert is suppressed there", async || get(&api).await[0]["status"]["state"] == "suppressed")
        .await;
    // What happened is in the stream as well.
    let services = scene.node.services();
    assert!(
        services.len() >= 5 && services.iter().all(|service| service == "tidegate alert"),
        "{services:?}"
    );
}

/// A mail server that asks for TLS and a password, and prints what it gets as JSON.
const MAIL_SERVER: &str = r#"
import json, ssl, sys, threading, email, email.policy
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        said = {"to": envelope.rcpt_tos, "from": envelope.mail_from, "subject": mail["subject"], "id": mail["message-id"],
                "references": mail["references"], "auto": mail["auto-submitted"], "tls": session.ssl is not None,
                "user": session.auth_data, "text": mail.get_content()}
        print(json.dumps(said), flush=True)
        return "250 OK"
def check(server, session, envelope, mechanism, data):
    ok = data.login == b"tidegate" and data.password == b"t0p"
    return AuthResult(success=ok, auth_data=data.login.decode() if ok else None)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[1]), tls_context=context, require_starttls=True,
           authenticator=check, auth_required=True).start()
print("ready", flush=True)
threading.Event().wait()
"#;

/// What it got.
type Mails = Arc<Mutex<Vec<Value>>>;

fn mail_server(folder: &Path, port: u16, mails: &Mails) -> Daemon {
    let child = Command::new(PYTHON)
        .args(["-c", MAIL_SERVER, &port.to_string()])
        .args([folder.join("cert.pem"), folder.join("key.pem")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().expect("it says that it is ready").unwrap(), "ready");
    let mails = mails.clone();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            mails.lock().unwrap().push(serde_json::from_str(&line).unwrap());
        }
    });
    Daemon(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_arrives_over_tls_and_waits_while_the_server_is_away() {
    let found = Command::new(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
    if !there("aiosmtpd", found.is_ok_and(|status| status.success())) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = folder.path().join("cert.pem");
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let port = free_port().await;
    let mails = Mails::default();
    let server = mail_server(folder.path(), port, &mails);
    let mut scene = Scene::new(&format!(
        "[outputs.desk]\ntype = \"alerts\"\nto = [\"post\"]\n\
         [outputs.post]\ntype = \"mail\"\naddress = \"localhost:{port}\"\nfrom = \"Tidegate <tidegate@example.com>\"\n\
         to = [\"ann@example.com\", \"Bob <bob@example.com>\"]\nusername = \"tidegate\"\npassword = \"t0p\"\n\
         ca = {cert:?}\ntimeout = \"5s\"\n"
    ));
    let got = |n: usize| mails.lock().unwrap().len() >= n;
    scene.event("desk", "web1", "critical");
    until("the first mail", async || got(1)).await;
    {
        let mails = mails.lock().unwrap();
        let mail = &mails[0];
        assert_eq!(mail["to"], json!(["ann@example.com", "bob@example.com"]));
        assert_eq!(mail["subject"], "[FIRING] web1 disk / is critical");
        assert_eq!(
            (&mail["tls"], &mail["user"], &mail["auto"]),
            (&json!(true), &json!("tidegate"), &json!("auto-generated"))
        );
        let text = mail["text"].as_str().unwrap();
        for part in [
            "web1 disk /: critical, 0.97",
            "97 % used <of 40 GB> & growing",
            "since 20",
            "rule disk-full 1.2.3, deployment 4, 1 event",
            "https://tidegate.example/#/alerts?alert=",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
    // While the server is away, what happens waits, and then comes in as few mails as can be.
    drop(server);
    scene.event("desk", "web1", "warning");
    for host in ["web2", "web3", "web4"] {
        scene.event("desk", host, "critical");
    }
    let post = scene.node.telemetry.outputs()["post"].clone();
    eventually("it was tried", || post.retries.get() > 0).await;
    let _server = mail_server(folder.path(), port, &mails);
    let all = || {
        mails.lock().unwrap().iter().map(|mail| mail["text"].as_str().unwrap().to_owned()).collect::<String>()
    };
    until("everything arrived", async || ["web2", "web3", "web4"].iter().all(|host| all().contains(host)))
        .await;
    eventually("all is settled", || post.queued.get() == 0).await;
    let mails = mails.lock().unwrap();
    assert!(mails.len() <= 4, "{} mails", mails.len());
    assert_eq!(mails[0]["references"].as_str().map(|text| text.starts_with("<alert-")), Some(true));
    assert_eq!((post.delivered.get(), post.failed.get(), post.dropped.get()), (5, 0, 0));
}
