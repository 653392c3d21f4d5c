//! AMQP 0-9-1, as RabbitMQ speaks it: a persistent message per event, each confirmed by the broker.
//!
//! A message that no queue takes comes back (`mandatory`) and is refused. What was confirmed is not sent again; what was
//! not, because the connection broke, is, under the same `message_id`.

use super::kinds::{Kind, Place};
use super::outcomes::{Outcome, Outcomes};
use super::payload::{self, Payload};
use super::stream::Duplex;
use super::template::{self, Template};
use super::words::cut;
use super::{Delivery, Keys, SendError, Sink, Which, tls};
use crate::config::{Problem, Secret, Section};
use async_compat::Compat;
use async_rs::Runtime;
use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::Task;
use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind};
use rustls::pki_types::ServerName;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What a short text of AMQP holds.
const SHORT: usize = 255;

/// `type = "amqp"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Host and port.
    pub address: String,
    /// The virtual host.
    pub vhost: String,
    /// As whom.
    pub user: String,
    /// With what password.
    pub password: Secret,
    /// The exchange for an event.
    pub exchange: Template,
    /// The routing key for an event.
    pub routing_key: Template,
    /// The form of an event.
    pub payload: Payload,
    /// Whether the broker keeps messages on disk.
    pub persistent: bool,
    /// Whether a queue must take it.
    pub mandatory: bool,
    /// How long a batch may take.
    pub timeout: Duration,
    /// Encryption.
    pub tls: Option<tls::Settings>,
}

impl Kind for Settings {
    type Sink = Amqp;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let vhost = at.text_or("vhost", "/");
        let user = at.text_or("username", "guest");
        let password = at.secret_if_given("password").unwrap_or_else(|| "guest".into());
        let exchange = template::read_or(at, "exchange", "");
        let routing_key = template::read_or(at, "routing_key", "tidegate");
        let payload = payload::read(at);
        let persistent = at.switch("persistent", true);
        let mandatory = at.switch("mandatory", true);
        if vhost.len() > SHORT {
            at.error(Problem::new(at.spot_of("vhost"), "`vhost` is longer than 255 bytes".into()));
        }
        let timeout = at.time("timeout", ("10ms", "10m"), "30s");
        let tls = tls::read(at);
        let address = at.target("address", "127.0.0.1:5672");
        Some(Self {
            address: address?,
            vhost,
            user,
            password,
            exchange: exchange?,
            routing_key: routing_key?,
            payload: payload?,
            persistent,
            mandatory,
            timeout,
            tls,
        })
    }

    fn sink(&self, place: &Place) -> Result<Amqp, String> {
        let tls = self.tls.as_ref().map(|tls| tls.towards(&self.address)).transpose()?;
        let outcomes = Outcomes::default();
        Ok(Amqp { settings: self.clone(), tls, keys: place.keys, outcomes, session: None })
    }
}

/// Publishes messages.
pub struct Amqp {
    settings: Settings,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    keys: Keys,
    outcomes: Outcomes,
    session: Option<(Connection, Channel)>,
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Amqp").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// A message ready to be sent.
struct Message {
    exchange: String,
    routing_key: String,
    payload: Vec<u8>,
}

impl Sink for Amqp {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let keys = self.keys.of_all(batch);
        self.outcomes.begin(&keys);
        let patience = self.settings.timeout;
        let error = match timeout(patience, self.publish(batch, &keys)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(SendError::later(format!("no answer for {patience:?}"))),
        };
        let error = error.map(|error| {
            // Nothing that still waits in it must be sent by it: the next connection begins where this one was heard last.
            self.session = None;
            let message = format!("{}: {}", self.settings.address, error.message);
            SendError { message, ..error }
        });
        self.outcomes.judge(&keys, error)
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let mut text = String::new();
        for (delivered, delivery) in batch.iter().enumerate() {
            let message = self
                .message(delivery)
                .map_err(|message| SendError { delivered, ..SendError::refused(Which::First, message) })?;
            let (exchange, payload) = (&message.exchange, self.settings.payload.show(&message.payload));
            text += &format!(
                "exchange {exchange:?}, routing key {:?}, message_id {}\n{payload}\n\n",
                message.routing_key,
                self.keys.of(delivery)
            );
        }
        Ok(text)
    }
}

impl Amqp {
    fn message(&self, delivery: &Delivery) -> Result<Message, String> {
        let settings = &self.settings;
        let exchange = settings.exchange.render(delivery)?;
        if exchange.len() > SHORT {
            return Err("the name of its exchange is longer than 255 bytes".into());
        }
        let routing_key = cut(&settings.routing_key.render(delivery)?, SHORT).to_owned();
        Ok(Message { exchange, routing_key, payload: settings.payload.encode(delivery)? })
    }

    async fn publish(&mut self, batch: &[Arc<Delivery>], keys: &[String]) -> Result<(), SendError> {
        if self.session.as_ref().is_none_or(|(connection, _)| !connection.status().connected()) {
            self.session = None;
            self.session = Some(self.connect().await?);
        }
        let Some((_, channel)) = &self.session else { return Ok(()) };
        let options = BasicPublishOptions { mandatory: self.settings.mandatory, immediate: false };
        let mut waiting = Vec::new();
        for i in self.outcomes.open(keys) {
            let message = match self.message(&batch[i]) {
                Ok(message) => message,
                Err(why) => {
                    self.outcomes.note(&keys[i], Outcome::Refused(why));
                    continue;
                }
            };
            let seconds = u64::try_from(batch[i].event().time().secs()).unwrap_or(0);
            let properties = BasicProperties::default()
                .with_message_id(keys[i].as_str().into())
                .with_content_type(self.settings.payload.content_type().into())
                .with_delivery_mode(if self.settings.persistent { 2 } else { 1 })
                .with_timestamp(seconds)
                .with_app_id("tidegate".into());
            let Message { exchange, routing_key, payload } = message;
            let sent =
                channel.basic_publish(exchange.into(), routing_key.into(), options, &payload, properties);
            waiting.push((i, sent.await.map_err(|error| judge(&error))?));
        }
        let mut error = None;
        for (i, confirm) in waiting {
            match confirm.await {
                Ok(Confirmation::Ack(None) | Confirmation::NotRequested) => {
                    self.outcomes.note(&keys[i], Outcome::Arrived);
                }
                Ok(Confirmation::Ack(Some(back))) => {
                    let why = format!("came back: {} {}", back.reply_code, back.reply_text);
                    self.outcomes.note(&keys[i], Outcome::Refused(why));
                }
                Ok(Confirmation::Nack(_)) => error = Some(SendError::later("the broker could not keep it")),
                Err(failed) => error = Some(error.unwrap_or_else(|| judge(&failed))),
            }
        }
        error.map_or(Ok(()), Err)
    }

    async fn connect(&self) -> Result<(Connection, Channel), SendError> {
        let settings = &self.settings;
        let (host, port) = settings.address.rsplit_once(':').unwrap_or((&settings.address, "5672"));
        let uri = AMQPUri {
            scheme: if self.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: settings.user.clone(),
                    password: settings.password.reveal().to_owned(),
                },
                host: host.to_owned(),
                port: port.parse().unwrap_or(5672),
            },
            vhost: settings.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(30), ..AMQPQueryString::default() },
        };
        let (address, tls) = (settings.address.clone(), self.tls.clone());
        let open = async move |_: AMQPUri, _: Runtime<Kit>| {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let stream: Box<dyn Duplex> = match &tls {
                None => Box::new(stream),
                Some((connector, name)) => Box::new(connector.connect(name.clone(), stream).await?),
            };
            Ok(AsyncTcpStream::Plain(Compat::new(stream)))
        };
        let properties = ConnectionProperties::default().with_connection_name("tidegate".into());
        let kit = Runtime::new(Kit(async_rs::Tokio::current()));
        let refused = |error: lapin::Error| judge(&error);
        let connection = Connection::connector(uri, kit, open, properties).await.map_err(refused)?;
        let channel = connection.create_channel().await.map_err(refused)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(refused)?;
        Ok((connection, channel))
    }
}

/// What an error means: what is not allowed and what is not there refuses us, all else passes.
fn judge(error: &lapin::Error) -> SendError {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::ProtocolError(told) => match told.kind() {
            AMQPErrorKind::Soft(
                AMQPSoftError::ACCESSREFUSED | AMQPSoftError::NOTFOUND | AMQPSoftError::PRECONDITIONFAILED,
            ) => SendError::refused(Which::All, message),
            _ => SendError::later(message),
        },
        _ => SendError::later(message),
    }
}

/// Tokio as lapin uses it, with connections that may be encrypted already.
#[derive(Clone, Debug)]
struct Kit(async_rs::Tokio);

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = <async_rs::Tokio as Executor>::Task<T>;

    fn block_on<T, F: Future<Output = T>>(&self, work: F) -> T {
        self.0.block_on(work)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn(work)
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        self.0.spawn_blocking(work)
    }
}

impl Reactor for Kit {
    type TcpStream = Compat<Box<dyn Duplex>>;
    type Sleep = <async_rs::Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        // lapin is handed connections, never sockets.
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    #[expect(clippy::manual_async_fn, reason = "the future must not borrow")]
    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        async move {
            let stream: Box<dyn Duplex> = Box::new(TcpStream::connect(address).await?);
            Ok(Compat::new(stream))
        }
    }
}
