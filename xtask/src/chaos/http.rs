//! Just enough HTTP for the oracle and the driver: one request on one connection, and reading one that comes in.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A body is no longer: what is asked for here is small.
const BODY: u64 = 256 << 20;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// 200 is fine.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if the status is fine; else an error that shows it.
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(self.text()?)?)
    }

    /// The body as text, if the status is fine.
    pub fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(&self.body).context("an answer that is not text")?;
        match self.status {
            200..300 => Ok(text),
            status => bail!("answered {status}: {text}"),
        }
    }
}

/// Asks a server at `HOST:PORT`.
pub fn ask(
    address: &str,
    method: &str,
    path: &str,
    kind: &str,
    body: &[u8],
    patience: Duration,
) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !body.is_empty() {
        request += &format!("content-type: {kind}\r\n");
    }
    request += "\r\n";
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)?;
    let mut from = BufReader::new(stream);
    let (first, body) = read(&mut from)?.context("the connection was closed without an answer")?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.with_context(|| format!("{first:?} is no answer"))?, body })
}

/// Reads a request or an answer: its first line and its body. `None` at the end of the connection.
pub fn read(from: &mut impl BufRead) -> Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    let mut next = |from: &mut dyn BufRead| -> Result<Option<String>> {
        line.clear();
        let read = from.take(64 << 10).read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    };
    let Some(first) = next(from)? else { return Ok(None) };
    let (mut length, mut chunked) = (None, false);
    loop {
        let line = next(from)?.context("the head is cut off")?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { bail!("{line:?} in a head") };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.trim().parse::<u64>()?),
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = next(from)?.context("a chunk is cut off")?;
            let size = u64::from_str_radix(&size, 16)?;
            if size + body.len() as u64 > BODY {
                bail!("a body of more than {BODY} bytes");
            }
            from.take(size).read_to_end(&mut body)?;
            next(from)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        from.take(length.min(BODY)).read_to_end(&mut body)?;
        if (body.len() as u64) < length {
            bail!("a body is cut off after {} of {length} bytes", body.len());
        }
    }
    Ok(Some((first, body)))
}

/// A text in a parameter of a URL.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Option<(String, Vec<u8>)>> {
        read(&mut text.as_bytes())
    }

    #[test]
    fn bodies_are_read_by_length_and_in_chunks() {
        let (first, body) = of("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap().unwrap();
        assert_eq!((first.as_str(), body.as_slice()), ("HTTP/1.1 200 OK", &b"abc"[..]));
        let (_, body) =
            of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                .unwrap()
                .unwrap();
        assert_eq!(body, b"abcde");
        assert!(of("").unwrap().is_none());
        assert!(of("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc").is_err());
    }
}
