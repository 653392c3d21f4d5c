//! Who we are to a NATS server: a name and a password, a token, or a key (an NKEY) that signs what the server asks.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::Serialize;

/// What the seed of a user's key begins with, once decoded: five bits for "seed", eight for "user".
const SEED: [u8; 2] = [0x95, 0x00];

/// What the public key of a user begins with.
const USER: u8 = 20 << 3;

/// Credentials.
#[derive(Debug)]
pub enum Login {
    /// None.
    Nobody,
    /// A name and a password.
    Password(String, String),
    /// A token.
    Token(String),
    /// A key, and the paper of an account that says whose it is.
    Key(Ed25519KeyPair, Option<String>),
}

/// What goes into `CONNECT`.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub struct Credentials {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nkey: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sig: Option<String>,
}

impl Login {
    /// Reads a seed (`SUA…`) or what is in a `.creds` file.
    pub fn key(text: &str) -> Result<Self, String> {
        let block = |name: &str| {
            let (_, rest) = text.split_once(&format!("-----BEGIN {name}-----"))?;
            let (inside, _) = rest.split_once("---")?;
            Some(inside.trim().to_owned())
        };
        match (block("NATS USER JWT"), block("USER NKEY SEED")) {
            (Some(jwt), Some(seed)) => Ok(Self::Key(pair(&seed)?, Some(jwt))),
            (None, None) => Ok(Self::Key(pair(text.trim())?, None)),
            _ => Err("of a credentials file one of its two blocks was found".into()),
        }
    }

    /// What to say to a server that asks this.
    pub fn credentials(&self, nonce: Option<&str>) -> Result<Credentials, String> {
        let nobody = Credentials::default();
        Ok(match self {
            Self::Nobody => nobody,
            Self::Password(user, pass) => {
                Credentials { user: Some(user.clone()), pass: Some(pass.clone()), ..nobody }
            }
            Self::Token(token) => Credentials { auth_token: Some(token.clone()), ..nobody },
            Self::Key(pair, jwt) => {
                let nonce = nonce.ok_or("the server asks nobody to sign: it has no keys or accounts")?;
                let sig = Some(BASE64_URL_SAFE_NO_PAD.encode(pair.sign(nonce.as_bytes())));
                let nkey = jwt.is_none().then(|| public(pair.public_key().as_ref()));
                Credentials { nkey, jwt: jwt.clone(), sig, ..nobody }
            }
        })
    }
}

fn pair(seed: &str) -> Result<Ed25519KeyPair, String> {
    let wrong = || "this is no seed of a user's key: such begin with SU".to_owned();
    let raw = from_base32(seed).ok_or_else(wrong)?;
    let (body, sum) = raw.split_last_chunk::<2>().ok_or_else(wrong)?;
    let (kind, seed) = body.split_first_chunk::<2>().ok_or_else(wrong)?;
    if crc16(body) != u16::from_le_bytes(*sum) || *kind != SEED {
        return Err(wrong());
    }
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| wrong())
}

/// `U…`
fn public(key: &[u8]) -> String {
    let mut raw = vec![USER];
    raw.extend_from_slice(key);
    raw.extend_from_slice(&crc16(&raw).to_le_bytes());
    to_base32(&raw)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn to_base32(bytes: &[u8]) -> String {
    let bit = |i: usize| bytes.get(i / 8).is_some_and(|byte| byte >> (7 - i % 8) & 1 == 1);
    let digit = |n: usize| (0..5).fold(0, |digit, i| digit << 1 | usize::from(bit(n * 5 + i)));
    (0..(bytes.len() * 8).div_ceil(5)).map(|n| char::from(BASE32[digit(n)])).collect()
}

fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes() {
        held = held << 5 | BASE32.iter().position(|digit| *digit == byte)? as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and its signature of `nonce`, made by NATS's library for Python.
    const SEED: &str = "SUADAMJSGM2DKNRXHA4WCYTDMRSWMMBRGIZTINJWG44DSYLCMNSGKZRF4M";
    const PUBLIC: &str = "UAR3YVERFQPG5EWEVBUCLSDH4J773RKVX755IJCPC6RGVP7752LF22PY";
    const SIGNATURE: &str =
        "oLKPLeh_My54lHdHyfV-vh3GUkwTYHWvSRODQAcBoYVOABccftjll24yEGmm_lK-sqTkROD7TrjaxEBdLcUfBw";

    #[test]
    fn a_key_signs_and_says_its_name() {
        let login = Login::key(SEED).unwrap();
        let said = login.credentials(Some("nonce")).unwrap();
        assert_eq!(said.nkey.as_deref(), Some(PUBLIC));
        assert_eq!(said.sig.as_deref(), Some(SIGNATURE));
        assert!(login.credentials(None).is_err());
    }

    #[test]
    fn a_credentials_file_has_a_paper_and_a_key() {
        let file = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.e30.x\n------END NATS USER JWT------\n\nSome words.\n\
             -----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
        );
        let said = Login::key(&file).unwrap().credentials(Some("n")).unwrap();
        assert_eq!((said.jwt.as_deref(), said.nkey), (Some("eyJ0.e30.x"), None));
        assert!(Login::key(&file.replace("NKEY SEED", "X")).is_err());
    }

    #[test]
    fn what_is_no_seed_is_told_apart() {
        let damaged = SEED.replacen("GM2D", "GM2E", 1);
        for wrong in ["", "SU", PUBLIC, &damaged, "hello", &SEED[..50]] {
            assert!(Login::key(wrong).is_err(), "{wrong}");
        }
    }
}
