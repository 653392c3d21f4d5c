//! Lines for Carbon over TCP: `path value seconds`.
//!
//! The path is Riemann's: the labels of the host in reverse, then the service with dots for spaces, where a `0.95` at the
//! end becomes `95`. Characters that would end a line, split a field or climb a folder become `_`.
//!
//! Carbon says nothing back. Lines that were written while it went away may be lost without anybody being told; a
//! connection that has ended is noticed before the next batch is written.

use super::connection::reuse;
use super::{Delivery, SendError, Sink, Verdict, Which};
use std::fmt::Write;
use std::time::Duration;
use tidegate_event::Event;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Writes lines to a Carbon.
#[derive(Debug)]
pub struct Graphite {
    address: String,
    prefix: String,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Graphite {
    /// At this host and port.
    pub fn new(address: String, prefix: String, patience: Duration) -> Self {
        Self { address, prefix, patience, stream: None }
    }

    async fn write(&mut self, lines: &[u8]) -> Result<(), String> {
        let mut stream = match reuse(self.stream.take()).await {
            Some(stream) => stream,
            None => TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?,
        };
        stream.write_all(lines).await.map_err(|error| error.to_string())?;
        self.stream = Some(stream);
        Ok(())
    }
}

impl Sink for Graphite {
    async fn send(&mut self, batch: &[Delivery]) -> Result<(), SendError> {
        let mut lines = String::new();
        let mut refused = None;
        for (i, delivery) in batch.iter().enumerate() {
            if let Err(reason) = line(&mut lines, &self.prefix, &delivery.event()) {
                refused = Some((i, reason));
                break;
            }
        }
        if !lines.is_empty() {
            let patience = self.patience;
            let written = timeout(patience, self.write(lines.as_bytes())).await;
            let written = written.unwrap_or_else(|_| Err(format!("nothing was read for {patience:?}")));
            if let Err(message) = written {
                self.stream = None;
                return Err(SendError::later(format!("{}: {message}", self.address)));
            }
        }
        match refused {
            None => Ok(()),
            Some((delivered, reason)) => {
                let verdict = Verdict::Refused(Which::First);
                Err(SendError { verdict, delivered, message: reason.to_owned() })
            }
        }
    }
}

/// Appends the line of an event, or says why there is none.
fn line(lines: &mut String, prefix: &str, event: &Event<'_>) -> Result<(), &'static str> {
    let metric = event.number().ok_or("an event without a metric cannot be a Graphite line")?;
    if !metric.as_f64().is_finite() {
        return Err("a metric that is not finite cannot be a Graphite line");
    }
    let path = path(event.host(), event.service());
    if path.is_empty() {
        return Err("an event without host and service cannot be a Graphite line");
    }
    let _ = writeln!(lines, "{prefix}{path} {metric} {}", event.time().secs());
    Ok(())
}

fn path(host: Option<&str>, service: Option<&str>) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        parts.extend(host.rsplit('.').map(safe));
    }
    if let Some(service) = service.filter(|service| !service.is_empty()) {
        let quantile = service
            .rsplit_once(" 0.")
            .filter(|(_, digits)| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let service = quantile.map_or(service.to_owned(), |(name, digits)| format!("{name} {digits}"));
        parts.extend(service.split(' ').map(safe));
    }
    parts.join(".")
}

fn safe(part: &str) -> String {
    part.chars()
        .map(|c| if c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\') { '_' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_riemanns() {
        for (host, service, expected) in [
            (Some("web1.example.com"), Some("api req latency"), "com.example.web1.api.req.latency"),
            (Some("web1"), Some("latency 0.95"), "web1.latency.95"),
            (Some("web1"), Some("version 1.0.95"), "web1.version.1.0.95"),
            (None, Some("cpu"), "cpu"),
            (Some("web1"), None, "web1"),
            (None, None, ""),
        ] {
            assert_eq!(path(host, service), expected);
        }
    }

    #[test]
    fn no_name_can_end_a_line_or_climb_a_folder() {
        assert_eq!(path(Some("a\nb"), Some("disk /../etc\tx 1")), "a_b.disk._.._etc_x.1");
    }
}
