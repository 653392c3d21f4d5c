//! TLS towards the other side: whom we trust, and who we are.

use crate::config::{Problem, Section};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio_rustls::TlsConnector;

/// The keys of this file, but `tls` itself.
const KEYS: [&str; 5] = ["ca", "cert", "key", "server_name", "insecure"];

/// Whom to trust and what to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Certificates to trust instead of this machine's.
    pub ca: Option<PathBuf>,
    /// Our own certificate and those above it.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// The name that the certificate must be for, where it is not the one we connect to.
    pub server_name: Option<String>,
    /// Believe anybody.
    pub insecure: bool,
}

/// Reads `tls` and what belongs to it.
pub fn read(at: &mut Section<'_>) -> Option<Settings> {
    let on = at.switch("tls", false);
    let settings = keys(at, true);
    let given = KEYS.into_iter().find(|key| at.has(key) && (*key != "insecure" || settings.insecure));
    match (on, given) {
        (true, _) => Some(settings),
        (false, None) => None,
        (false, Some(key)) => {
            let problem = Problem::new(at.spot_of(key), format!("`{key}` is for TLS, which is switched off"));
            at.error(problem.hint("set tls = true"));
            None
        }
    }
}

/// Reads what belongs to TLS where an address says whether there is any.
pub fn keys(at: &mut Section<'_>, named: bool) -> Settings {
    let path = |text: Option<String>| text.map(PathBuf::from);
    let settings = Settings {
        ca: path(at.text("ca", "\"/etc/tidegate/ca.pem\"")),
        cert: path(at.text("cert", "\"/etc/tidegate/node.pem\"")),
        key: path(at.text("key", "\"/etc/tidegate/node.key\"")),
        server_name: if named { at.text("server_name", "\"metrics.example\"") } else { None },
        insecure: at.switch("insecure", false),
    };
    if settings.insecure {
        let problem = Problem::new(at.spot_of("insecure"), "whoever answers is believed".into());
        at.warn(problem.hint("give the certificate to trust as `ca` instead"));
    }
    if let Some(name) = settings.server_name.as_deref().filter(|name| ServerName::try_from(*name).is_err()) {
        let message = format!("`server_name` is {name:?}, a name or an IP address was expected");
        at.error(Problem::new(at.spot_of("server_name"), message));
    }
    let own = [("ca", &settings.ca), ("cert", &settings.cert), ("key", &settings.key)];
    let unreadable = own.into_iter().find_map(|(key, path)| {
        let error = std::fs::File::open(path.as_ref()?).err()?;
        Some((key, format!("{} cannot be read: {error}", path.as_ref()?.display())))
    });
    let wrong = unreadable.or_else(|| settings.pem().err());
    if let Some((key, message)) = wrong {
        at.error(Problem::new(at.spot_of(key), message));
    }
    settings
}

/// Whom we trust besides, and who we are.
type Pem = (Option<Vec<CertificateDer<'static>>>, Option<Identity>);

/// A certificate chain and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Settings {
    /// What a connection needs. Reads the files again, so that a new sink sees new certificates.
    pub fn client(&self) -> Result<Arc<ClientConfig>, String> {
        let (ca, identity) = self.pem().map_err(|(_, message)| message)?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(match ca {
                Some(certificates) => {
                    let mut roots = RootCertStore::empty();
                    for certificate in certificates {
                        roots.add(certificate).map_err(|error| format!("`ca`: {error}"))?;
                    }
                    roots
                }
                None => trusted().clone(),
            })
        };
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("`cert` and `key`: {error}"))?,
        };
        Ok(Arc::new(config))
    }

    /// How to begin TLS with this host and port, and the name that its certificate must be for.
    pub fn towards(&self, address: &str) -> Result<(TlsConnector, ServerName<'static>), String> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|_| {
            format!("no certificate can be for {host:?}: give the name it is for as `server_name`")
        })?;
        Ok((TlsConnector::from(self.client()?), name))
    }

    /// What is in the files, or the key whose file is wrong and why.
    fn pem(&self) -> Result<Pem, (&'static str, String)> {
        let ca = self.ca.as_deref().map(|path| certificates(path).map_err(|why| ("ca", why))).transpose()?;
        let identity = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                let chain = certificates(cert).map_err(|why| ("cert", why))?;
                let wrong = |_| ("key", format!("{} holds no private key in PEM", key.display()));
                Some((chain, PrivateKeyDer::from_pem_file(key).map_err(wrong)?))
            }
            (Some(_), None) => return Err(("cert", "`cert` needs its private key as `key`".into())),
            (None, Some(_)) => return Err(("key", "`key` needs its certificate as `cert`".into())),
        };
        Ok((ca, identity))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let none = |why: String| format!("{} holds no certificate in PEM{why}", path.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(none(String::new())),
        Err(error) => Err(none(format!(": {error}"))),
    }
}

/// Whom this machine trusts; read once.
fn trusted() -> &'static RootCertStore {
    static TRUSTED: OnceLock<RootCertStore> = OnceLock::new();
    TRUSTED.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some certificates of this machine cannot be read");
        }
        let mut roots = RootCertStore::empty();
        let (_, unusable) = roots.add_parsable_certificates(found.certs);
        if unusable > 0 {
            tracing::debug!(unusable, "certificates of this machine that cannot be used");
        }
        roots
    })
}

/// For connections that are never encrypted: trusts nobody, and costs nothing.
pub fn nobody() -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Makes what this program uses for TLS the default of its libraries. Again and again is fine.
pub fn install() {
    let _ = ring::default_provider().install_default();
}

/// Checks signatures, and believes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
