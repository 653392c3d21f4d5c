//! What went into a rule and what came out, as bytes: so that a module can be held against the rule that it was built from.
//!
//! With `TIDEGATE_SCENES` set to a folder, each scene that is played is also written there, as `PACKAGE-TEST.scene`; the
//! colons of the test's path become dots, and a test's second scene is called `PACKAGE-TEST-2.scene`. A file is text, one
//! JSON object in a line; bytes are written in hex.
//!
//! ```text
//! {"scene":1,"package":"latency_state","test":"tests::speaks_once","settings":"01…"}
//! {"block":"0000…","records":"…","bytes":"00","next_wake":5000000,"keys":1}
//! …
//! ```
//!
//! The first line says which format this is, which rule, and the settings for `tg_bind`. Every further line is one call in
//! order: the block for `tg_batch`, and of the reply its records, their bytes, the next wake and the number of keys. The
//! next wake is at least a microsecond after the block's time, since that is what a host makes of an earlier one.
//!
//! This file knows nothing of rules or engines, so that whoever replays a recording need not either.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io::{self, BufRead, Write};
use tidegate_event::{Reply, ReplyRef};

/// The format that this reads and writes.
const FORMAT: u32 = 1;

/// The variable that names the folder for recordings.
pub const FOLDER_VARIABLE: &str = "TIDEGATE_SCENES";

/// A scene as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The package of the rule.
    pub package: String,
    /// The test that played it.
    pub test: String,
    /// The settings for `tg_bind`.
    pub settings: Vec<u8>,
    /// The calls, in order.
    pub exchanges: Vec<Exchange>,
}

/// One call: what went in and what came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The block that was handed over.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub block: Vec<u8>,
    /// The records of the reply.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub records: Vec<u8>,
    /// The bytes that go with them.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub bytes: Vec<u8>,
    /// The next wake, in microseconds.
    pub next_wake: i64,
    /// How many keys had state.
    pub keys: u32,
}

#[derive(Serialize, Deserialize)]
struct Head {
    scene: u32,
    package: String,
    test: String,
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    settings: Vec<u8>,
}

impl Exchange {
    /// A call with its reply.
    pub fn new(block: &[u8], reply: &Reply) -> Self {
        Self {
            block: block.to_vec(),
            records: reply.record_bytes().to_vec(),
            bytes: reply.string_bytes().to_vec(),
            next_wake: reply.next_wake.0,
            keys: reply.keys,
        }
    }

    /// Holds another reply to the same block against this one, byte for byte.
    pub fn compare(&self, other: &Reply) -> Result<(), Difference> {
        let other = Self::new(&self.block, other);
        if *self == other {
            return Ok(());
        }
        let lines = |exchange: &Self| -> Vec<String> {
            let effects = ReplyRef::new(&exchange.records, &exchange.bytes).effects();
            let mut lines: Vec<String> = effects
                .map(|effect| match effect {
                    Ok(effect) => {
                        let record = tidegate_event::Record { overrides: 0, ..effect.record };
                        format!("{record:?} {:?}", effect.overrides().collect::<Vec<_>>())
                    }
                    Err(error) => error.to_string(),
                })
                .collect();
            lines.push(format!("next wake {}, {} keys", exchange.next_wake, exchange.keys));
            lines
        };
        let (expected, found) = (lines(self), lines(&other));
        let at = expected.iter().zip(&found).position(|(expected, found)| expected != found);
        let at = at.unwrap_or(expected.len().min(found.len()));
        let line =
            |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "the same, in other bytes".into());
        Err(Difference { effect: at, expected: line(&expected), found: line(&found) })
    }
}

/// The first thing in which two replies differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the effect; one beyond the last for what follows the effects.
    pub effect: usize,
    /// What the recording has.
    pub expected: String,
    /// What the other has.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "effect {}\n  natively {}\n  in wasm  {}", self.effect, self.expected, self.found)
    }
}

impl std::error::Error for Difference {}

impl Recording {
    /// Writes the recording.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let Self { package, test, settings, exchanges } = self;
        let head =
            Head { scene: FORMAT, package: package.clone(), test: test.clone(), settings: settings.clone() };
        serde_json::to_writer(&mut to, &head)?;
        to.write_all(b"\n")?;
        for exchange in exchanges {
            serde_json::to_writer(&mut to, exchange)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }

    /// Reads a recording.
    pub fn read(from: impl BufRead) -> io::Result<Self> {
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let mut lines = from.lines();
        let head =
            lines.next().ok_or_else(|| invalid("a recording was expected, the file is empty".into()))??;
        let head: Head = serde_json::from_str(&head)
            .map_err(|error| invalid(format!("the first line is not that of a recording: {error}")))?;
        if head.scene != FORMAT {
            return Err(invalid(format!(
                "a recording of format {FORMAT} was expected, found {}: play the scenes again",
                head.scene
            )));
        }
        let exchanges = lines
            .enumerate()
            .map(|(number, line)| {
                serde_json::from_str(&line?)
                    .map_err(|error| invalid(format!("line {} is not a call: {error}", number + 2)))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { package: head.package, test: head.test, settings: head.settings, exchanges })
    }

    /// The name of its file.
    pub fn file_name(&self, scene_of_test: u32) -> String {
        let fine = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
        let test: String = self.test.replace("::", ".").chars().map(fine).collect();
        let number = if scene_of_test > 1 { format!("-{scene_of_test}") } else { String::new() };
        format!("{}-{test}{number}.scene", self.package)
    }
}

fn to_hex<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let text: String = digits.map(|digit| DIGITS[usize::from(digit)] as char).collect();
    to.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let digit = |c: u8| (c as char).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    match bytes {
        Some(bytes) if rest.is_empty() => Ok(bytes),
        _ => Err(serde::de::Error::custom("bytes in hex were expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_event::{Action, Base, Record, Spot, Timestamp};

    fn reply(metric: i64) -> Reply {
        let mut reply = Reply::default();
        reply.push(&Record {
            base: Base::Row(0),
            action: Action::Emit,
            metric: Spot::Set(metric.into()),
            time: Timestamp(7),
            target: 0,
            overrides: 0,
        });
        reply
    }

    fn recording() -> Recording {
        Recording {
            package: "slow".into(),
            test: "tests::speaks".into(),
            settings: vec![1, 0xfe],
            exchanges: vec![Exchange::new(&[0, 1, 2], &reply(1)), Exchange::default()],
        }
    }

    #[test]
    fn a_recording_reads_back() {
        let mut written = Vec::new();
        recording().write(&mut written).unwrap();
        assert_eq!(Recording::read(written.as_slice()).unwrap(), recording());
        assert_eq!(recording().file_name(1), "slow-tests.speaks.scene");
        assert_eq!(recording().file_name(2), "slow-tests.speaks-2.scene");
    }

    #[test]
    fn damage_is_pointed_at() {
        let error = |text: &str| Recording::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error("").contains("the file is empty"));
        assert!(error("x").contains("the first line is not that of a recording"));
        let head = r#"{"scene":1,"package":"","test":"","settings":""}"#;
        assert!(
            error(&format!("{head}\n{{\"block\":\"0\"}}")).contains("line 2 is not a call: bytes in hex")
        );
        assert!(error(&head.replace(":1", ":2")).contains("format 1 was expected, found 2"));
    }

    #[test]
    fn a_difference_names_the_effect() {
        let exchange = Exchange::new(&[], &reply(1));
        assert_eq!(exchange.compare(&reply(1)), Ok(()));
        let difference = exchange.compare(&reply(2)).unwrap_err();
        assert_eq!(difference.effect, 0);
        assert!(
            difference.expected.contains("Int(1)") && difference.found.contains("Int(2)"),
            "{difference}"
        );
        let none = exchange.compare(&Reply::default()).unwrap_err();
        assert!(none.found.contains("next wake"), "{none}");
    }
}
