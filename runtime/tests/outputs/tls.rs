//! TLS: whom an output believes, and who it says it is.

use super::stores::kind;
use super::{FINE, Running, listen, serve_http};
use crate::fake_node::eventually;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate::config::Common;
use tokio::io::{AsyncBufReadExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority with a certificate for `localhost`, in files.
struct Authority {
    folder: PathBuf,
    ca: String,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let signed =
            CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&own, &issuer).unwrap();
        for (name, text) in [("ca.pem", &ca), ("cert.pem", &signed.pem()), ("key.pem", &own.serialize_pem())]
        {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self { folder: folder.to_owned(), ca: folder.join("ca.pem").display().to_string() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A server with our certificate; with `ours` it wants one from its clients as well.
    fn acceptor(&self, ours: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if ours {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(self.file("cert.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.file("key.pem")).unwrap();
        TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}

/// Ends TLS, and passes what comes on to another port.
async fn front(acceptor: TlsAcceptor, to: std::net::SocketAddr) -> u16 {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inner = acceptor.accept(stream).await.ok()?;
                let mut behind = TcpStream::connect(to).await.ok()?;
                copy_bidirectional(&mut inner, &mut behind).await.ok()
            });
        }
    });
    address.port()
}

async fn line_of(listener: &TcpListener) -> String {
    let (stream, _) = listener.accept().await.unwrap();
    BufReader::new(stream).lines().next_line().await.unwrap().expect("a line")
}

#[tokio::test]
async fn a_connection_believes_its_own_authority_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) =
        (Authority::new(&folder.path().join("right")), Authority::new(&folder.path().join("wrong")));
    let (behind, address) = listen().await;
    let port = front(right.acceptor(false), address).await;
    let section = |host: &str, rest: &str| {
        kind(&format!("type = \"graphite\"\naddress = \"{host}:{port}\"\ntls = true\n{rest}"))
    };
    let refused = [
        ("nobody's", section("localhost", ""), "UnknownIssuer"),
        ("another's", section("localhost", &format!("ca = {:?}", wrong.ca)), "certificate"),
        ("of another name", section("127.0.0.1", &format!("ca = {:?}", right.ca)), "not valid for name"),
    ];
    for (whose, kind, reason) in refused {
        let running = Running::new(kind, Common::default());
        running.send(0..1);
        let stats = running.stats();
        eventually("it is refused and tried again", || stats.retries.get() >= 1).await;
        assert!(running.last_error().contains(reason), "{whose}: {}", running.last_error());
        assert_eq!(stats.delivered.get(), 0, "{whose}");
    }
    let believed = [
        section("localhost", &format!("ca = {:?}", right.ca)),
        section("127.0.0.1", &format!("ca = {:?}\nserver_name = \"localhost\"", right.ca)),
        section("127.0.0.1", "insecure = true"),
    ];
    for kind in believed {
        let running = Running::new(kind, Common::default());
        running.send(0..1);
        assert_eq!(line_of(&behind).await, "web1.s0 0 1700000000");
        running.settled().await;
    }
}

#[tokio::test]
async fn a_webhook_over_https_shows_its_certificate_where_one_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (listener, address) = listen().await;
    let posted = serve_http(listener, |_| Some(FINE)).await;
    let port = front(authority.acceptor(true), address).await;
    let section =
        format!("type = \"webhook\"\nurl = \"https://localhost:{port}/\"\nca = {:?}\n", authority.ca);
    let stranger = Running::new(kind(&section), Common::default());
    stranger.send(0..1);
    let stats = stranger.stats();
    eventually("it is refused and tried again", || stats.retries.get() >= 1).await;
    assert!(posted.lock().unwrap().is_empty());
    let own = format!("cert = {:?}\nkey = {:?}\n", authority.file("cert.pem"), authority.file("key.pem"));
    let known = Running::new(kind(&(section + &own)), Common::default());
    known.send(0..1);
    known.settled().await;
    assert_eq!(known.stats().delivered.get(), 1);
    assert_eq!(posted.lock().unwrap().len(), 1);
}

#[test]
fn files_that_hold_no_certificate_are_found_when_the_configuration_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.pem");
    std::fs::write(&path, "nothing").unwrap();
    for (keys, expected) in [
        (format!("ca = {path:?}"), "holds no certificate"),
        ("ca = \"/nowhere.pem\"".into(), "/nowhere.pem cannot be read"),
        (format!("cert = {path:?}"), "`cert` needs its private key"),
        ("server_name = \"a b\"".into(), "a name or an IP address was expected"),
    ] {
        let text = format!("[outputs.out]\ntype = \"graphite\"\naddress = \"x:1\"\ntls = true\n{keys}\n");
        let source = tidegate::config::Source { path: None, text };
        let error = tidegate::config::parse(source, &tidegate::config::Environment::new()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let text = "[outputs.out]\ntype = \"graphite\"\naddress = \"x:1\"\ninsecure = true\n".to_owned();
    let source = tidegate::config::Source { path: None, text };
    let error = tidegate::config::parse(source, &tidegate::config::Environment::new()).unwrap_err();
    assert!(error.to_string().contains("`insecure` is for TLS, which is switched off"), "{error}");
}
