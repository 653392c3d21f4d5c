//! RabbitMQ: a durable queue, written over TLS and read back by its Python client.

use super::certificate::{self, Certificate};
use super::course::Load;
use super::daemon::{Daemon, PYTHON, listens, ports, write};
use super::{Arrived, Kind, Loss, Receiver, Repeats};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Each message is confirmed when it is on disk. What was not confirmed in time comes again.
pub const QUEUE: Kind = Kind {
    name: "rabbitmq",
    needs: &["rabbitmq-server", "epmd", "python3", certificate::NEEDS],
    loss: Loss::Nothing,
    repeats: Repeats::Batches,
    make,
};

/// Without the wrapper that changes to another user.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Makes the queue, or prints everything that is in it and leaves it there.
const CLIENT: &str = r#"
import sys, pika
port, work = int(sys.argv[1]), sys.argv[2]
link = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port, heartbeat=0))
channel = link.channel()
told = channel.queue_declare("load", durable=True)
left = told.method.message_count if work == "read" else 0
for method, properties, body in channel.consume("load", inactivity_timeout=10) if left else ():
    assert properties.message_id and properties.delivery_mode == 2, properties
    sys.stdout.write(body.decode() + "\n")
    left -= 1
    if left == 0:
        break
link.close()
"#;

struct Rabbit {
    names: Daemon,
    daemon: Daemon,
    port: u16,
    /// The port for TLS.
    secure: u16,
    certificate: Certificate,
    client: String,
}

fn make(folder: &Path, _: &Path) -> Result<Box<dyn Receiver>> {
    let [port, secure, names, distribution] = ports()?;
    let certificate = Certificate::new(folder)?;
    let home = folder.display().to_string();
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users.guest = true\nlog.console = false\n\
         disk_free_limit.absolute = 10MB\nvm_memory_high_watermark.absolute = 1GB\n\
         listeners.ssl.1 = 127.0.0.1:{secure}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\n",
        certificate.authority, certificate.chain, certificate.key
    );
    let config = write(folder, "rabbitmq.conf", &config)?;
    let plugins = write(folder, "enabled_plugins", "[].\n")?;
    let client = write(folder, "client.py", CLIENT)?;
    // Erlang's own table of names: one that ends with this run.
    let epmd =
        Daemon::new("epmd", ["-port", &names.to_string(), "-address", "127.0.0.1"], folder.join("epmd.log"));
    let daemon = Daemon::new(SERVER, [] as [String; 0], folder.join("rabbitmq.log"))
        .with("HOME", &home)
        .with("RABBITMQ_NODENAME", format!("load{port}@localhost"))
        .with("RABBITMQ_CONFIG_FILE", config)
        .with("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .with("RABBITMQ_MNESIA_BASE", format!("{home}/mnesia"))
        .with("RABBITMQ_LOG_BASE", format!("{home}/log"))
        .with("RABBITMQ_PID_FILE", format!("{home}/rabbitmq.pid"))
        .with("RABBITMQ_DIST_PORT", distribution.to_string())
        .with("ERL_EPMD_PORT", names.to_string())
        .with("ERL_EPMD_ADDRESS", "127.0.0.1")
        // A script waits for the server.
        .with_family()
        // It listens before it is ready to talk.
        .ready_when({
            let client = client.clone();
            move || listens(port) && listens(secure) && ask(&client, port, "declare").is_ok()
        });
    Ok(Box::new(Rabbit { names: epmd, daemon, port, secure, certificate, client }))
}

fn ask(client: &str, port: u16, work: &str) -> Result<String> {
    let said = Command::new(PYTHON).args([client, &port.to_string(), work]).output()?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr).lines().last().unwrap_or("pika failed"));
    }
    Ok(String::from_utf8(said.stdout)?)
}

impl Receiver for Rabbit {
    fn output(&self) -> String {
        format!(
            "type = \"amqp\"\naddress = \"127.0.0.1:{}\"\nrouting_key = \"load\"\ntimeout = \"10s\"\n{}",
            self.secure,
            self.certificate.settings()
        )
    }

    fn start(&mut self) -> Result<()> {
        if !self.names.runs() {
            self.names.start()?;
        }
        self.daemon.start()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn read(&mut self, load: &Load) -> Result<Arrived> {
        let mut arrived = vec![Vec::new(); load.streams];
        for line in ask(&self.client, self.port, "read")?.lines() {
            let event: Value = serde_json::from_str(line)?;
            let host = event["host"].as_str().unwrap_or_default();
            let stream = host.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
            let number = event["metric"].as_u64().unwrap_or_default();
            arrived.get_mut(stream).with_context(|| format!("a stream {host}"))?.push(number);
        }
        Ok(arrived)
    }
}
