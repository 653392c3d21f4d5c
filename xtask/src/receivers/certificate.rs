//! A certificate for this machine, for receivers that are reached over TLS, made by openssl.

use super::daemon::write;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What [`Certificate::new`] needs.
pub const NEEDS: &str = "openssl";

/// Where everything is, as text for configurations.
pub struct Certificate {
    /// Who has signed it: what the output is to trust.
    pub authority: String,
    /// The certificate.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl Certificate {
    /// A new one, in files in this folder.
    pub fn new(folder: &Path) -> Result<Self> {
        let names = write(folder, "names", "subjectAltName = IP:127.0.0.1, DNS:localhost\n")?;
        let at = |name: &str| folder.join(name).display().to_string();
        let (authority, signer, request) = (at("ca.pem"), at("ca.key"), at("server.csr"));
        let (chain, key) = (at("server.pem"), at("server.key"));
        let kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        openssl(&["req", "-x509", "-subj", "/CN=load"], &kind, &["-keyout", &signer, "-out", &authority])?;
        openssl(&["req", "-new", "-subj", "/CN=localhost"], &kind, &["-keyout", &key, "-out", &request])?;
        openssl(
            &["x509", "-req", "-days", "2", "-in", &request, "-extfile", &names],
            &["-CA", &authority, "-CAkey", &signer, "-CAcreateserial"],
            &["-out", &chain],
        )?;
        Ok(Self { authority, chain, key })
    }

    /// What an output is told.
    pub fn settings(&self) -> String {
        format!("tls = true\nca = {:?}\n", self.authority)
    }
}

fn openssl(what: &[&str], more: &[&str], to: &[&str]) -> Result<()> {
    let said = Command::new("openssl").args(what).args(more).args(to).output().context("openssl")?;
    if !said.status.success() {
        bail!("openssl {}: {}", what.join(" "), String::from_utf8_lossy(&said.stderr));
    }
    Ok(())
}
