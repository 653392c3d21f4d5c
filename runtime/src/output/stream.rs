//! A connection of an output that is not HTTP: TCP, TLS, UDP or a Unix socket, made when it is needed and made anew after a
//! failure.

use super::http::causes;
use super::tls;
use crate::config::{Problem, Section};
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long to look whether a connection is still there: its end may have arrived and not been noticed yet.
const LOOK: Duration = Duration::from_millis(1);

/// How to reach the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A stream of bytes; with TLS if that is configured.
    Tcp,
    /// Datagrams.
    Udp,
    /// A stream of bytes to a path on this machine.
    Unix,
    /// Datagrams to a path on this machine.
    UnixDatagram,
}

/// Where, how, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Host and port, or a path.
    pub address: String,
    /// How.
    pub protocol: Protocol,
    /// Encryption of TCP.
    pub tls: Option<tls::Settings>,
    /// How long connecting, writing and an answer may take.
    pub timeout: Duration,
    /// Bytes of a datagram.
    pub max_datagram: usize,
}

impl Settings {
    /// Over TCP to this host and port.
    pub fn tcp(address: impl Into<String>) -> Self {
        let (timeout, max_datagram) = (Duration::from_secs(30), 1432);
        Self { address: address.into(), protocol: Protocol::Tcp, tls: None, timeout, max_datagram }
    }

    /// The address with its protocol, for a person.
    pub fn describe(&self) -> String {
        let scheme = match (self.protocol, &self.tls) {
            (Protocol::Tcp, Some(_)) => "tls",
            (Protocol::Tcp, None) => "tcp",
            (Protocol::Udp, _) => "udp",
            (Protocol::Unix, _) => "unix",
            (Protocol::UnixDatagram, _) => "unix datagram",
        };
        format!("{scheme} {}", self.address)
    }

    /// Whether it is made of datagrams.
    pub fn is_datagram(&self) -> bool {
        matches!(self.protocol, Protocol::Udp | Protocol::UnixDatagram)
    }

    /// Does something with the other side, as long as patience lasts.
    pub async fn within<T>(&self, work: impl Future<Output = io::Result<T>>) -> Result<T, String> {
        match timeout(self.timeout, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(format!("{}: {}", self.address, causes(&error))),
            Err(_) => Err(format!("{}: no answer for {:?}", self.address, self.timeout)),
        }
    }
}

/// Reads `address`, `protocol` (one of these words, the first if none is given), `timeout`, `max_datagram` where there are
/// datagrams, and what belongs to TLS where there is TCP.
pub fn read(at: &mut Section<'_>, example: &str, words: &[(&'static str, Protocol)]) -> Option<Settings> {
    let protocol = match words {
        [(_, only)] => *only,
        _ => at.word("protocol", words, words[0].1),
    };
    let tls = if words.iter().any(|(_, protocol)| *protocol == Protocol::Tcp) { tls::read(at) } else { None };
    if tls.is_some() && protocol != Protocol::Tcp {
        at.error(Problem::new(at.spot_of("tls"), "TLS goes over TCP only".into()));
    }
    let datagrams =
        words.iter().any(|(_, protocol)| *protocol != Protocol::Tcp && *protocol != Protocol::Unix);
    let timeout = at.time("timeout", ("10ms", "10m"), "30s");
    let max_datagram = if datagrams { at.size("max_datagram", ("512B", "64000B"), "1432B") } else { 1432 };
    let address = match protocol {
        Protocol::Tcp | Protocol::Udp => at.target("address", example),
        Protocol::Unix | Protocol::UnixDatagram => at.required("address", "\"/run/metrics.sock\""),
    };
    Some(Settings { address: address?, protocol, tls, timeout, max_datagram: max_datagram as usize })
}

/// A stream of bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

enum Open {
    Stream(Box<dyn Duplex>),
    Udp(UdpSocket),
    UnixDatagram(UnixDatagram),
}

/// One connection. Whatever fails or is given up half way ends it; the next use makes another.
pub struct Wire {
    settings: Arc<Settings>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    open: Option<Open>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("settings", &self.settings)
            .field("open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}

impl Wire {
    /// To this address; nothing is connected yet.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let tls = settings.tls.as_ref().map(|tls| tls.towards(&settings.address)).transpose()?;
        Ok(Self { settings: Arc::new(settings.clone()), tls, open: None })
    }

    /// What it was made with.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Writes all of it; that it was read is not known.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let settings = self.settings.clone();
        let writing = async {
            let (mut stream, _) = self.take().await?;
            stream.write_all(bytes).await?;
            stream.flush().await?;
            self.keep(stream);
            Ok(())
        };
        settings.within(writing).await
    }

    /// The connection, made sure of or made anew, and whether it is new. Whoever takes it brings it back with [`Self::keep`]
    /// while it is in order.
    pub async fn take(&mut self) -> io::Result<(Box<dyn Duplex>, bool)> {
        if let Some(Open::Stream(stream)) = self.open.take()
            && let Some(stream) = quiet(stream).await
        {
            return Ok((stream, false));
        }
        Ok((self.connect().await?, true))
    }

    /// Keeps the connection for the next use.
    pub fn keep(&mut self, stream: Box<dyn Duplex>) {
        self.open = Some(Open::Stream(stream));
    }

    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        if self.settings.protocol == Protocol::Unix {
            return Ok(Box::new(UnixStream::connect(&self.settings.address).await?));
        }
        let stream = TcpStream::connect(&self.settings.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
        })
    }

    /// Sends each as a datagram of its own; that any arrived is not known.
    pub async fn datagrams<'a>(&mut self, all: impl IntoIterator<Item = &'a [u8]>) -> Result<(), String> {
        let settings = self.settings.clone();
        let sending = async {
            let open = match self.open.take() {
                Some(open @ (Open::Udp(_) | Open::UnixDatagram(_))) => open,
                _ => self.socket().await?,
            };
            for datagram in all {
                match &open {
                    Open::Udp(socket) => socket.send(datagram).await?,
                    Open::UnixDatagram(socket) => socket.send(datagram).await?,
                    Open::Stream(_) => unreachable!("a stream is not kept for datagrams"),
                };
            }
            self.open = Some(open);
            Ok(())
        };
        settings.within(sending).await
    }

    async fn socket(&self) -> io::Result<Open> {
        let address = &self.settings.address;
        if self.settings.protocol == Protocol::UnixDatagram {
            let socket = UnixDatagram::unbound()?;
            socket.connect(address)?;
            return Ok(Open::UnixDatagram(socket));
        }
        let mut last = io::Error::other("the name has no address");
        for to in tokio::net::lookup_host(address).await? {
            let from: std::net::SocketAddr =
                if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
            let socket = UdpSocket::bind(from).await?;
            match socket.connect(to).await {
                Ok(()) => return Ok(Open::Udp(socket)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The connection, if the other side is still there as far as can be known without sending. Nothing is expected from it
/// now: whatever can be read is its end, or not meant for us.
async fn quiet(mut stream: Box<dyn Duplex>) -> Option<Box<dyn Duplex>> {
    let nothing = timeout(LOOK, stream.read(&mut [0])).await.is_err();
    nothing.then_some(stream)
}

/// Puts lines together into datagrams of at most so many bytes. A line that is longer is a datagram of its own.
pub fn pack(lines: &[u8], most: usize) -> Vec<&[u8]> {
    let mut packed = Vec::new();
    let (mut start, mut end) = (0, 0);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if end > start && end - start + line.len() > most {
            packed.push(&lines[start..end]);
            start = end;
        }
        end += line.len();
    }
    if end > start {
        packed.push(&lines[start..end]);
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_hold_whole_lines() {
        let packed = |most| pack(b"aa\nbb\ncccccc\nd\n", most);
        assert_eq!(packed(6), [&b"aa\nbb\n"[..], b"cccccc\n", b"d\n"]);
        assert_eq!(packed(1), [&b"aa\n"[..], b"bb\n", b"cccccc\n", b"d\n"]);
        assert_eq!(packed(100).concat(), b"aa\nbb\ncccccc\nd\n");
        assert!(pack(b"", 10).is_empty());
    }
}
