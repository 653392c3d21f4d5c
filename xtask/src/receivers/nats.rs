//! NATS: a stream of JetStream's, written over TLS and read back from its first message to its last.

use super::certificate::{self, Certificate};
use super::course::Load;
use super::daemon::{Daemon, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use crate::program::find;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// Each message is acknowledged, and known by its `Nats-Msg-Id`.
pub const JETSTREAM: Kind = Kind {
    name: "nats-jetstream",
    needs: &["nats-server", certificate::NEEDS],
    loss: Loss::Nothing,
    repeats: Repeats::Never,
    make,
};

/// What the stream is made with: longer than any run is its memory of what it has.
const STREAM: &str =
    r#"{"name":"load","subjects":["load.>"],"storage":"file","duplicate_window":3600000000000}"#;

struct Nats {
    daemon: Daemon,
    port: u16,
    certificate: Certificate,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port] = ports()?;
    let store = folder.join("jetstream").display().to_string();
    let certificate = Certificate::new(folder)?;
    // We read in plain text.
    let config = format!(
        "allow_non_tls: true\ntls {{ cert_file: {:?}, key_file: {:?} }}\n",
        certificate.chain, certificate.key
    );
    let config = write(folder, "nats.conf", &config)?;
    let words = ["-c", &config, "-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd", &store];
    let daemon = Daemon::new(find("nats-server").context("nats-server")?, words, folder.join("nats.log"))
        .ready_when(move || listens(port));
    Ok(Box::new(Nats { daemon, port, certificate }))
}

impl Receiver for Nats {
    fn output(&self) -> String {
        format!(
            "type = \"nats\"\naddress = \"127.0.0.1:{}\"\njetstream = true\nsubject = \"load.{{{{ host }}}}\"\n{}",
            self.port,
            self.certificate.settings()
        )
    }

    fn start(&mut self) -> Result<()> {
        self.daemon.start()?;
        let told = Talk::with(self.port)?.ask("$JS.API.STREAM.CREATE.load", STREAM)?;
        match &told["error"] {
            Value::Null => Ok(()),
            error => bail!("the stream: {error}"),
        }
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut talk = Talk::with(self.port)?;
        let info = talk.ask("$JS.API.STREAM.INFO.load", "")?;
        let messages = info["state"]["messages"].as_u64().context("the stream has no state")?;
        let reader = r#"{"stream_name":"load","config":{"deliver_subject":"back","ack_policy":"none","deliver_policy":"all"}}"#;
        talk.say("SUB back 2\r\n")?;
        let made = talk.ask("$JS.API.CONSUMER.CREATE.load", reader)?;
        if made["error"] != Value::Null {
            bail!("reading the stream: {made}");
        }
        let mut arrived = vec![Vec::new(); load.streams];
        for _ in 0..messages {
            let event: Value = serde_json::from_slice(&talk.hear("back")?)?;
            let host = event["host"].as_str().unwrap_or_default();
            let stream = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
            let number = event["metric"].as_u64().unwrap_or_default();
            arrived.get_mut(stream).with_context(|| format!("a stream {host}"))?.push(number);
        }
        Ok(arrived)
    }
}

/// A conversation in NATS's protocol.
struct Talk {
    from: BufReader<TcpStream>,
    to: TcpStream,
    /// Messages that came while another was waited for.
    early: Vec<(String, Vec<u8>)>,
}

impl Talk {
    fn with(port: u16) -> Result<Self> {
        let to = TcpStream::connect(("127.0.0.1", port))?;
        to.set_read_timeout(Some(Duration::from_secs(20)))?;
        let from = BufReader::new(to.try_clone()?);
        let mut this = Self { from, to, early: Vec::new() };
        this.say("CONNECT {\"verbose\":false}\r\nSUB answer 1\r\n")?;
        Ok(this)
    }

    fn say(&mut self, words: &str) -> Result<()> {
        Ok(self.to.write_all(words.as_bytes())?)
    }

    fn ask(&mut self, subject: &str, body: &str) -> Result<Value> {
        self.say(&format!("PUB {subject} answer {}\r\n{body}\r\n", body.len()))?;
        Ok(serde_json::from_slice(&self.hear("answer")?)?)
    }

    /// The next message for one of our two subscriptions.
    fn hear(&mut self, wanted: &str) -> Result<Vec<u8>> {
        if let Some(at) = self.early.iter().position(|(to, _)| to == wanted) {
            return Ok(self.early.remove(at).1);
        }
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line)? == 0 {
                bail!("the server hung up");
            }
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (head, subscription) = match words.as_slice() {
                ["PING"] => {
                    self.say("PONG\r\n")?;
                    continue;
                }
                ["-ERR", ..] => bail!("the server said {line}"),
                ["MSG", _, subscription, ..] => (0, *subscription),
                ["HMSG", _, subscription, .., head, _] => (head.parse()?, *subscription),
                _ => continue,
            };
            let length: usize = words.last().context("a length")?.parse()?;
            let mut bytes = vec![0; length + 2];
            self.from.read_exact(&mut bytes)?;
            bytes.truncate(length);
            bytes.drain(..head);
            let to = if subscription == "1" { "answer" } else { "back" };
            if to == wanted {
                return Ok(bytes);
            }
            self.early.push((to.to_owned(), bytes));
        }
    }
}
