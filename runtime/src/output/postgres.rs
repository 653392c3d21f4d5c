//! PostgreSQL: a row per event, a transaction per batch.
//!
//! The events of a batch go as one parameter in JSON to one statement, which leaves out those whose key the table has: what
//! is sent again is not there twice. The table:
//!
//! ```sql
//! create table tidegate_events (
//!     id text primary key, time timestamptz not null, host text, service text, state text, description text,
//!     metric double precision, ttl real, tags text[] not null, attributes jsonb not null,
//!     rule text not null, output text not null, position bigint not null, n bigint not null
//! )
//! ```

use super::http::causes;
use super::kinds::{Kind, Place};
use super::words::moment;
use super::{Delivery, Keys, SendError, Sink, Verdict, Which, tls};
use crate::config::{Problem, Secret, Section};
use rustls::pki_types::ServerName;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, NoTls, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Error, Statement};
use tokio_rustls::TlsConnector;

/// The columns, with their types.
const COLUMNS: [(&str, &str); 14] = [
    ("id", "text"),
    ("time", "timestamptz"),
    ("host", "text"),
    ("service", "text"),
    ("state", "text"),
    ("description", "text"),
    ("metric", "double precision"),
    ("ttl", "real"),
    ("tags", "text[]"),
    ("attributes", "jsonb"),
    ("rule", "text"),
    ("output", "text"),
    ("position", "bigint"),
    ("n", "bigint"),
];

/// `type = "postgres"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Host and port, or the path of a socket.
    pub address: String,
    /// The database.
    pub database: String,
    /// As whom.
    pub user: String,
    /// With what password.
    pub password: Option<Secret>,
    /// The table, with its schema before a dot if need be.
    pub table: String,
    /// Whether the table is made if it is not there.
    pub create_table: bool,
    /// How long a batch may take.
    pub timeout: Duration,
    /// Encryption.
    pub tls: Option<tls::Settings>,
}

impl Kind for Settings {
    type Sink = Postgres;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let database = at.text_or("database", "tidegate");
        let user = at.text_or("username", "tidegate");
        let password = at.secret_if_given("password");
        let table = at.text_or("table", "tidegate_events");
        if table.split('.').any(|part| part.is_empty() || part.len() > 63 || part.contains('\0')) {
            let problem =
                Problem::new(at.spot_of("table"), format!("`table` is {table:?}, which is no table's name"));
            at.error(problem.hint("such as \"tidegate_events\" or \"monitoring.events\""));
        }
        let create_table = at.switch("create_table", false);
        let timeout = at.time("timeout", ("10ms", "10m"), "30s");
        let tls = tls::read(at);
        let address = at.required("address", "\"127.0.0.1:5432\"")?;
        if !address.starts_with('/') && target(&address).is_none() {
            let problem = Problem::new(
                at.spot_of("address"),
                format!("`address` is {address:?}, a host and a port or the path of a socket was expected"),
            );
            at.error(problem.hint("such as \"127.0.0.1:5432\" or \"/run/postgresql/.s.PGSQL.5432\""));
        }
        if address.starts_with('/') && tls.is_some() {
            at.error(Problem::new(at.spot_of("tls"), "a socket on this machine has no TLS".into()));
        }
        Some(Self { address, database, user, password, table, create_table, timeout, tls })
    }

    fn sink(&self, place: &Place) -> Result<Postgres, String> {
        let tls = self.tls.as_ref().map(|tls| tls.towards(&self.address)).transpose()?;
        let tls = tls.map(|(connector, name)| Encrypt { connector, name });
        Ok(Postgres { settings: self.clone(), tls, keys: place.keys, session: None })
    }
}

fn target(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host, port.parse().ok()?)).filter(|(host, port)| !host.is_empty() && *port != 0)
}

/// Inserts rows.
#[derive(Debug)]
pub struct Postgres {
    settings: Settings,
    tls: Option<Encrypt>,
    keys: Keys,
    session: Option<Session>,
}

/// A connection with the statement prepared on it.
#[derive(Debug)]
struct Session {
    client: Client,
    insert: Statement,
}

impl Sink for Postgres {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let rows = self.rows(batch);
        let patience = self.settings.timeout;
        match timeout(patience, self.insert(&rows)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.session = None;
                Err(SendError::later(format!("{}: no answer for {patience:?}", self.settings.address)))
            }
        }
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let rows: serde_json::Value = serde_json::from_str(&self.rows(batch)).expect("it is JSON");
        Ok(format!("{}\n\n$1 = {rows:#}\n", self.settings.statement()))
    }
}

impl Postgres {
    async fn insert(&mut self, rows: &str) -> Result<(), SendError> {
        let session = match self.session.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.connect().await?,
        };
        let done = session.client.execute(&session.insert, &[&rows]).await;
        if !session.client.is_closed() {
            self.session = Some(session);
        }
        done.map(drop).map_err(|error| judge(&error))
    }

    async fn connect(&self) -> Result<Session, SendError> {
        let settings = &self.settings;
        let mut config = Config::new();
        config.user(&settings.user).dbname(&settings.database).application_name("tidegate");
        if let Some(password) = &settings.password {
            config.password(password.reveal());
        }
        let lost = |error: io::Error| SendError::later(format!("{}: {error}", settings.address));
        let refused = |error: Error| judge(&error);
        let client = if settings.address.starts_with('/') {
            let stream = UnixStream::connect(&settings.address).await.map_err(lost)?;
            let (client, connection) =
                config.ssl_mode(SslMode::Disable).connect_raw(stream, NoTls).await.map_err(refused)?;
            tokio::spawn(connection);
            client
        } else {
            let stream = TcpStream::connect(&settings.address).await.map_err(lost)?;
            stream.set_nodelay(true).map_err(lost)?;
            match &self.tls {
                None => {
                    let (client, connection) = config
                        .ssl_mode(SslMode::Disable)
                        .connect_raw(stream, NoTls)
                        .await
                        .map_err(refused)?;
                    tokio::spawn(connection);
                    client
                }
                Some(tls) => {
                    let (client, connection) = config
                        .ssl_mode(SslMode::Require)
                        .connect_raw(stream, tls.clone())
                        .await
                        .map_err(refused)?;
                    tokio::spawn(connection);
                    client
                }
            }
        };
        if settings.create_table {
            client.batch_execute(&settings.definition()).await.map_err(refused)?;
        }
        let insert = client.prepare(&settings.statement()).await.map_err(refused)?;
        Ok(Session { client, insert })
    }

    fn rows(&self, batch: &[Arc<Delivery>]) -> String {
        let rows: Vec<Row> = batch.iter().map(|delivery| Row::of(self.keys.of(delivery), delivery)).collect();
        serde_json::to_string(&rows).expect("memory takes every row")
    }
}

impl Settings {
    /// The name as SQL reads it.
    fn quoted(&self) -> String {
        let parts = self.table.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
        parts.collect::<Vec<_>>().join(".")
    }

    fn definition(&self) -> String {
        let columns = COLUMNS.map(|(name, of)| match name {
            "id" => format!("{name} {of} primary key"),
            "time" | "tags" | "attributes" | "rule" | "output" | "position" | "n" => {
                format!("{name} {of} not null")
            }
            _ => format!("{name} {of}"),
        });
        format!("create table if not exists {} ({})", self.quoted(), columns.join(", "))
    }

    fn statement(&self) -> String {
        let names = COLUMNS.map(|(name, _)| name).join(", ");
        let columns = COLUMNS.map(|(name, of)| format!("{name} {of}")).join(", ");
        let table = self.quoted();
        format!(
            "insert into {table} ({names}) select {names} from json_to_recordset($1::text::json) as row({columns}) \
             on conflict (id) do nothing"
        )
    }
}

/// A row as `json_to_recordset` reads it.
#[derive(Serialize)]
struct Row {
    id: String,
    time: String,
    host: Option<String>,
    service: Option<String>,
    state: Option<String>,
    description: Option<String>,
    metric: Option<Number>,
    ttl: Option<Number>,
    tags: Vec<String>,
    attributes: BTreeMap<String, String>,
    rule: String,
    output: String,
    position: i64,
    n: u32,
}

/// JSON has no word for NaN and the infinities; PostgreSQL reads them from text.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Word(&'static str),
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        match number {
            _ if number.is_finite() => Self::Finite(number),
            f64::INFINITY => Self::Word("Infinity"),
            f64::NEG_INFINITY => Self::Word("-Infinity"),
            _ => Self::Word("NaN"),
        }
    }
}

impl Row {
    fn of(id: String, delivery: &Delivery) -> Self {
        let event = delivery.event();
        Self {
            id,
            time: moment(event.time().0).to_string(),
            host: event.host().map(storable),
            service: event.service().map(storable),
            state: event.state().map(storable),
            description: event.description().map(storable),
            metric: event.metric().map(Number::from),
            // As many digits as it has, not as many as it gets.
            ttl: event.ttl().map(|ttl| Number::from(ttl.to_string().parse().unwrap_or(f64::NAN))),
            tags: event.tags().map(storable).collect(),
            attributes: event.attributes().map(|(name, value)| (storable(name), storable(value))).collect(),
            rule: delivery.rule.to_string(),
            output: delivery.declared.to_string(),
            position: i64::try_from(delivery.position).unwrap_or(i64::MAX),
            n: delivery.n,
        }
    }
}

/// A text without NUL, which no text of PostgreSQL's can hold.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// What an error means: the class of its SQLSTATE says.
fn judge(error: &Error) -> SendError {
    let Some(told) = error.as_db_error() else { return SendError::later(causes(error)) };
    let code = told.code().code();
    let message =
        format!("{code} {}{}", told.message(), told.detail().map(|d| format!(": {d}")).unwrap_or_default());
    match verdict(code) {
        Verdict::Refused(which) => SendError::refused(which, message),
        Verdict::Later(_) => SendError::later(message),
    }
}

fn verdict(code: &str) -> Verdict {
    match code.get(..2) {
        // Data exceptions and broken constraints: an event that does not fit.
        Some("22" | "23") => Verdict::Refused(Which::Some),
        // Wrong credentials, no such database, and what has no place or no right: us.
        Some("28" | "3D" | "3F" | "42" | "0A") => Verdict::Refused(Which::All),
        // A connection that broke, no room, an operator, a conflict, a standby.
        _ => Verdict::Later(Duration::ZERO),
    }
}

/// Starts TLS where PostgreSQL has agreed to it.
#[derive(Clone)]
struct Encrypt {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Encrypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encrypt({:?})", self.name)
    }
}

impl TlsConnect<TcpStream> for Encrypt {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(self.connector.connect(self.name, stream).await?)) })
    }
}

/// The encrypted connection.
struct Encrypted(tokio_rustls::client::TlsStream<TcpStream>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{sink, with};

    fn settings() -> Settings {
        Settings {
            address: "x:5432".into(),
            database: "tidegate".into(),
            user: "tidegate".into(),
            password: None,
            table: "mon.it\"or".into(),
            create_table: true,
            timeout: Duration::from_secs(1),
            tls: None,
        }
    }

    #[test]
    fn a_batch_is_one_statement_that_leaves_out_what_is_there() {
        let mut postgres: Postgres = sink(&settings());
        let event = with(&["a"], &[("dc", "e\0u")], "web1", "api");
        expect_test::expect![[r#"
            insert into "mon"."it""or" (id, time, host, service, state, description, metric, ttl, tags, attributes, rule, output, position, n) select id, time, host, service, state, description, metric, ttl, tags, attributes, rule, output, position, n from json_to_recordset($1::text::json) as row(id text, time timestamptz, host text, service text, state text, description text, metric double precision, ttl real, tags text[], attributes jsonb, rule text, output text, position bigint, n bigint) on conflict (id) do nothing

            $1 = [
              {
                "id": "7:slow_api:0:ebdaaf4ca681f781",
                "time": "2023-11-14T22:13:20Z",
                "host": "web1",
                "service": "api",
                "state": "ok",
                "description": null,
                "metric": 0.0,
                "ttl": 2.5,
                "tags": [
                  "a"
                ],
                "attributes": {
                  "dc": "e�u"
                },
                "rule": "slow_api",
                "output": "pager",
                "position": 7,
                "n": 0
              }
            ]
        "#]].assert_eq(&postgres.preview(&[Arc::new(event)]).unwrap());
    }

    #[test]
    fn numbers_that_json_cannot_write_go_as_text() {
        let written = [1.0, 0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
            .map(|number| serde_json::to_string(&Number::from(number)).unwrap());
        assert_eq!(written, ["1.0", "0.1", "\"NaN\"", "\"Infinity\"", "\"-Infinity\""]);
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_fit_is_refused() {
        for code in ["57P03", "57P01", "53300", "40001", "08006", "25006", "55P03", "XX000"] {
            assert!(matches!(verdict(code), Verdict::Later(_)), "{code}");
        }
        assert_eq!(verdict("22P02"), Verdict::Refused(Which::Some));
        assert_eq!(verdict("23514"), Verdict::Refused(Which::Some));
        for code in ["28P01", "3D000", "42P01", "42501"] {
            assert_eq!(verdict(code), Verdict::Refused(Which::All), "{code}");
        }
    }
}
