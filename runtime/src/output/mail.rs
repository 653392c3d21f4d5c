//! Mail over SMTP: what waits becomes one mail, with the most urgent notice in the subject.
//!
//! The `Message-ID` is made of the ids of what the mail tells, so a mail that is sent twice is one to whoever looks at it;
//! servers do not. Mails about the same alert refer to one another and so make a thread.

use super::kinds::{Kind, Place};
use super::notice::{Notice, cut, name};
use super::slack::words_of;
use super::template::Template;
use super::{Delivery, Keys, SendError, Sink, Verdict, Which, tls, wording as words};
use crate::clock;
use crate::config::{Problem, Secret, Section};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Identity, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes of a mail's text.
const TEXT: usize = 1 << 20;

/// Bytes of a subject.
const SUBJECT: usize = 500;

/// People who get it.
const RECIPIENTS: usize = 64;

/// Answers that speak of us and not of the mail: a password that is wrong today may be right tomorrow.
const CREDENTIALS: [&str; 4] = ["530", "534", "535", "538"];

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// From a command on, which must succeed.
    StartTls,
    /// From the first byte on.
    Tls,
}

/// `type = "mail"`
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Host and port of the server.
    pub address: String,
    /// How the connection is protected.
    pub security: Security,
    /// Whom to trust, and who we are.
    pub tls: tls::Settings,
    /// Who sends it, to the server.
    pub user: Option<(String, Secret)>,
    /// Who sends it, to the reader.
    pub from: Mailbox,
    /// Who gets it.
    pub to: Vec<Mailbox>,
    /// Instead of the usual subject.
    pub subject: Option<Template>,
    /// Instead of the usual text.
    pub text: Option<Template>,
    /// How long the server may take for each answer.
    pub timeout: Duration,
}

impl Kind for Settings {
    type Sink = Mail;

    fn read(at: &mut Section<'_>) -> Option<Self> {
        let (subject, text) = words_of(at, "subject");
        let words = [("starttls", Security::StartTls), ("tls", Security::Tls), ("none", Security::None)];
        let security = at.word("security", &words, Security::StartTls);
        let tls = tls::keys(at, false);
        let user = match (at.text("username", "\"tidegate\""), at.secret_if_given("password")) {
            (Some(name), Some(password)) => Some((name, password)),
            (None, None) => None,
            _ => {
                let message = "`username` and `password` belong together".into();
                at.error(Problem::new(at.spot(), message).hint("give both, or neither"));
                None
            }
        };
        if user.is_some() && security == Security::None {
            let message = "the password is sent to the server without encryption".into();
            at.warn(Problem::new(at.spot_of("security"), message).hint("security = \"starttls\" or \"tls\""));
        }
        let timeout = at.time("timeout", ("10ms", "10m"), "30s");
        let mailbox = |at: &Section<'_>, key: &str, text: &str| -> Option<Mailbox> {
            let parsed = text.parse();
            let wrong = |_| {
                let message =
                    format!("`{key}` has \"{}\", an address of mail was expected", text.escape_debug());
                at.error(
                    Problem::new(at.spot_of(key), message)
                        .hint("such as \"Tidegate <tidegate@example.com>\""),
                );
            };
            parsed.map_err(wrong).ok()
        };
        let from = at.required("from", "\"Tidegate <tidegate@example.com>\"");
        let from = from.and_then(|text| mailbox(at, "from", &text));
        let to = at.texts_or("to", RECIPIENTS, &[], "[\"oncall@example.com\"]");
        if to.is_empty() {
            let problem = Problem::new(at.spot_of("to"), "`to` names nobody".into());
            at.error(problem.hint("such as to = [\"oncall@example.com\"]"));
        }
        let to: Option<Vec<Mailbox>> = to.iter().map(|text| mailbox(at, "to", text)).collect();
        let address = at.target("address", "smtp.example.com:587");
        Some(Self { address: address?, security, tls, user, from: from?, to: to?, subject, text, timeout })
    }

    fn sink(&self, place: &Place) -> Result<Mail, String> {
        let (host, port) = self.address.rsplit_once(':').ok_or("the address has no port")?;
        let host = host.trim_matches(['[', ']']);
        let port: u16 = port.parse().map_err(|_| "the port is no number")?;
        let mine = sysinfo::System::host_name().unwrap_or("localhost".to_owned());
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .hello_name(ClientId::Domain(mine))
            .timeout(Some(self.timeout))
            .tls(match self.security {
                Security::None => Tls::None,
                Security::StartTls => Tls::Required(parameters(&self.tls, host)?),
                Security::Tls => Tls::Wrapper(parameters(&self.tls, host)?),
            });
        if let Some((name, password)) = &self.user {
            transport = transport.credentials(Credentials::new(name.clone(), password.reveal().to_owned()));
        }
        Ok(Mail { transport: transport.build(), keys: place.keys, settings: self.clone() })
    }
}

fn parameters(tls: &tls::Settings, host: &str) -> Result<TlsParameters, String> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let mut builder = TlsParameters::builder(host.to_owned()).dangerous_accept_invalid_certs(tls.insecure);
    if tls.insecure {
        builder = builder.dangerous_accept_invalid_hostnames(true);
    }
    if let Some(path) = &tls.ca {
        builder = builder.certificate_store(CertificateStore::None);
        let found = Certificate::from_pem(&read(path)?).map_err(|error| format!("`ca`: {error}"))?;
        builder = builder.add_root_certificate(found);
    }
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let identity =
            Identity::from_pem(&read(cert)?, &read(key)?).map_err(|error| format!("`cert`: {error}"))?;
        builder = builder.identify_with(identity);
    }
    builder.build_rustls().map_err(|error| error.to_string())
}

/// Sends mails.
#[derive(Debug)]
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    keys: Keys,
    settings: Settings,
}

impl Sink for Mail {
    async fn send(&mut self, batch: &[Arc<Delivery>]) -> Result<(), SendError> {
        let mail = self.mail(batch)?;
        match self.transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => Err(judge(&error, batch.len())),
        }
    }

    fn preview(&mut self, batch: &[Arc<Delivery>]) -> Result<String, SendError> {
        let text = self.mail(batch)?.formatted();
        let to: Vec<String> = self.settings.to.iter().map(|one| one.email.to_string()).collect();
        let head = format!("to {} through {}\n\n", to.join(", "), self.settings.address);
        Ok(head + &String::from_utf8_lossy(&text).replace("\r\n", "\n") + "\n")
    }
}

/// What an answer means. Of several notices in a mail nobody knows which one was not wanted.
fn judge(error: &lettre::transport::smtp::Error, notices: usize) -> SendError {
    let message = super::http::causes(error);
    let ours = error.status().is_some_and(|code| CREDENTIALS.contains(&code.to_string().as_str()));
    match error.is_permanent() && !ours {
        true if notices > 1 => SendError::refused(Which::Some, message),
        true => SendError::refused(Which::First, message),
        false => SendError { verdict: Verdict::Later(Duration::ZERO), delivered: 0, message },
    }
}

impl Mail {
    /// The mail that tells all of a batch. An error names the event that has no words.
    fn mail(&self, batch: &[Arc<Delivery>]) -> Result<Message, SendError> {
        let settings = &self.settings;
        let (mut text, mut subjects) = (String::new(), Vec::new());
        for (delivered, delivery) in batch.iter().enumerate() {
            let refused = |why| SendError { delivered, ..SendError::refused(Which::First, why) };
            let notice = Notice::read(delivery);
            let title = words::title(delivery, &notice, settings.subject.as_ref()).map_err(refused)?;
            let body = words::text(delivery, &notice, settings.text.as_ref()).map_err(refused)?;
            if batch.len() > 1 {
                let _ = writeln!(text, "{title}\n");
            }
            text += &body;
            text.push('\n');
            subjects.push((notice.kind, title));
        }
        if text.len() > TEXT {
            text.truncate(cut(&text, TEXT).len());
            text += "\n… the rest of this mail was too long; see the page.\n";
        }
        subjects.sort_by_key(|(kind, _)| *kind);
        let mut subject =
            subjects.first().map(|(_, title)| cut(title, SUBJECT).to_owned()).unwrap_or_default();
        if subjects.len() > 1 {
            subject += &format!(" (and {} more)", subjects.len() - 1);
        }
        let domain = settings.from.email.domain();
        let now = Duration::from_micros(u64::try_from(clock::now().0).unwrap_or(0));
        let mut mail = Message::builder()
            .from(settings.from.clone())
            .date(SystemTime::UNIX_EPOCH + now)
            .message_id(Some(format!("<{}@{domain}>", name(&[&self.keys.of_whole(batch)]))))
            .user_agent(concat!("Tidegate/", env!("CARGO_PKG_VERSION")).to_owned())
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .subject(subject)
            .header(ContentType::TEXT_PLAIN);
        if let [only] = batch {
            let notice = Notice::read(only);
            let thread = format!("<alert-{}@{domain}>", notice.first().id);
            mail = mail.references(thread.clone()).in_reply_to(thread);
        }
        for one in &settings.to {
            mail = mail.to(one.clone());
        }
        mail.body(text).map_err(|error| SendError::refused(Which::All, error.to_string()))
    }
}
