//! The lines of NATS's protocol, as far as a publisher needs them.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Bytes of one line that the server may send.
const LINE: u64 = 64 << 10;

/// Bytes of one message that the server may send: acknowledgements are short.
const MESSAGE: usize = 1 << 20;

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    /// About itself, as JSON.
    Info(String),
    /// A message for us: its subject, the status in its headers, its bytes.
    Message {
        /// Where it went.
        subject: String,
        /// `503` and the like.
        status: Option<u16>,
        /// What it says.
        payload: Vec<u8>,
    },
    /// It wants to hear from us.
    Ping,
    /// It has done all that came before our `PING`.
    Pong,
    /// Something went wrong.
    Error(String),
    /// `+OK`
    Fine,
}

fn strange(line: &str) -> io::Error {
    io::Error::other(format!("the server said {:?}", super::super::words::cut(line, 100)))
}

/// Reads the next thing that the server says.
pub async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<FromServer> {
    let mut line = Vec::new();
    (&mut *from).take(LINE).read_until(b'\n', &mut line).await?;
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Err(match line.is_empty() {
            true => io::ErrorKind::UnexpectedEof.into(),
            false => io::Error::other("the server's line has no end"),
        });
    };
    let line = String::from_utf8_lossy(line);
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((&line, ""));
    let rest = rest.trim();
    match word.to_ascii_uppercase().as_str() {
        "INFO" => Ok(FromServer::Info(rest.to_owned())),
        "PING" => Ok(FromServer::Ping),
        "PONG" => Ok(FromServer::Pong),
        "+OK" => Ok(FromServer::Fine),
        "-ERR" => Ok(FromServer::Error(rest.trim_matches('\'').to_owned())),
        "MSG" => {
            // subject sid [reply] bytes
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            let (Some(subject), Some(length), 3 | 4) = (words.first(), words.last(), words.len()) else {
                return Err(strange(&line));
            };
            let length = length.parse().map_err(|_| strange(&line))?;
            let payload = bytes(from, length).await?;
            Ok(FromServer::Message { subject: (*subject).to_owned(), status: None, payload })
        }
        "HMSG" => {
            // subject sid [reply] bytes of the headers, bytes of all
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            let (Some(subject), [.., head, length], 4 | 5) = (words.first(), words.as_slice(), words.len())
            else {
                return Err(strange(&line));
            };
            let (Ok(head), Ok(length)) = (head.parse::<usize>(), length.parse()) else {
                return Err(strange(&line));
            };
            let mut payload = bytes(from, length).await?;
            if head > payload.len() {
                return Err(strange(&line));
            }
            let status = String::from_utf8_lossy(&payload[..head]).lines().next().and_then(|first| {
                first.strip_prefix("NATS/1.0")?.split_ascii_whitespace().next()?.parse().ok()
            });
            payload.drain(..head);
            Ok(FromServer::Message { subject: (*subject).to_owned(), status, payload })
        }
        _ => Err(strange(&line)),
    }
}

async fn bytes(from: &mut (impl AsyncBufRead + Unpin), length: usize) -> io::Result<Vec<u8>> {
    if length > MESSAGE {
        return Err(io::Error::other(format!("the server announced a message of {length} bytes")));
    }
    let mut payload = vec![0; length + 2];
    from.read_exact(&mut payload).await?;
    payload.truncate(length);
    Ok(payload)
}

/// Appends a message with headers. Neither subject nor headers have white space or line ends.
pub fn publish(to: &mut Vec<u8>, subject: &str, reply: &str, headers: &[(&str, &str)], payload: &[u8]) {
    let mut head = String::from("NATS/1.0\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    let (length, all) = (head.len(), head.len() + payload.len());
    let line = match reply {
        "" => format!("HPUB {subject} {length} {all}\r\n"),
        reply => format!("HPUB {subject} {reply} {length} {all}\r\n"),
    };
    to.extend_from_slice(line.as_bytes());
    to.extend_from_slice(head.as_bytes());
    to.extend_from_slice(payload);
    to.extend_from_slice(b"\r\n");
}

/// A subject without what would end it, match others, or be no token.
pub fn subject(text: &str) -> String {
    let plain = |c: char| if c.is_whitespace() || c.is_control() || c == '*' || c == '>' { '_' } else { c };
    let tokens = text.trim().split('.').map(|token| match token {
        "" => "_".to_owned(),
        token => token.chars().map(plain).collect(),
    });
    tokens.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut bytes: &[u8]) -> Vec<Result<FromServer, String>> {
        let mut said = Vec::new();
        while !bytes.is_empty() {
            let next = read(&mut bytes).await.map_err(|error| error.to_string());
            let ended = next.is_err();
            said.push(next);
            if ended {
                break;
            }
        }
        said
    }

    #[tokio::test]
    async fn what_the_server_says_is_read_whole() {
        let said = b"INFO {\"a\": 1} \r\nping\r\nPONG\r\n+OK\r\n-ERR 'Authorization Violation'\r\n\
            MSG _INBOX.a.7 1 4\r\nab\r\n\r\nMSG s 1 reply 0\r\n\r\nHMSG s 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n\
            HMSG s 1 r 12 14\r\nNATS/1.0\r\n\r\nok\r\n";
        let message = |subject: &str, status, payload: &[u8]| {
            Ok(FromServer::Message { subject: subject.into(), status, payload: payload.into() })
        };
        assert_eq!(
            all(said).await,
            [
                Ok(FromServer::Info("{\"a\": 1}".into())),
                Ok(FromServer::Ping),
                Ok(FromServer::Pong),
                Ok(FromServer::Fine),
                Ok(FromServer::Error("Authorization Violation".into())),
                message("_INBOX.a.7", None, b"ab\r\n"),
                message("s", None, b""),
                message("s", Some(503), b""),
                message("s", None, b"ok"),
            ]
        );
    }

    #[tokio::test]
    async fn what_no_server_says_is_an_error_and_costs_nothing() {
        for strange in [
            &b"HELLO\r\n"[..],
            b"MSG s\r\n",
            b"MSG s 1 x\r\n",
            b"MSG s 1 99999999999\r\n",
            b"MSG s 1 18446744073709551615\r\n",
            b"HMSG s 1 9 4\r\nabcd\r\n",
            b"HMSG s 1 9\r\n",
            b"PING",
            b"MSG s 1 5\r\nab",
        ] {
            assert!(all(strange).await.last().unwrap().is_err(), "{}", String::from_utf8_lossy(strange));
        }
        let endless = vec![b'a'; 100_000];
        assert!(all(&endless).await[0].as_ref().unwrap_err().contains("no end"));
    }

    #[test]
    fn a_message_is_written_with_its_lengths() {
        let mut bytes = Vec::new();
        publish(&mut bytes, "a.b", "", &[("Nats-Msg-Id", "7:r:0")], b"{}");
        publish(&mut bytes, "a", "r", &[], b"");
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            "HPUB a.b 32 34\r\nNATS/1.0\r\nNats-Msg-Id: 7:r:0\r\n\r\n{}\r\nHPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n"
        );
    }

    #[test]
    fn a_subject_matches_no_other() {
        assert_eq!(subject("tidegate.web1.api latency"), "tidegate.web1.api_latency");
        assert_eq!(subject(" a..b.*.>.é\r\nPUB x "), "a._.b._._.é__PUB_x");
        assert_eq!(subject(""), "_");
    }
}
