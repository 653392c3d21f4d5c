//! A look at a connection before it is used again.

use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long to look: the end of a connection may have arrived and not been noticed yet.
const LOOK: Duration = Duration::from_millis(1);

/// The connection, if the other side is still there as far as can be known without sending. Nothing is expected from it
/// now: whatever can be read is its end, or not meant for us.
pub async fn reuse(stream: Option<TcpStream>) -> Option<TcpStream> {
    let stream = stream?;
    let ended = async {
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut [0]) {
                // What was noted was there, and has been read before.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    };
    let quiet = timeout(LOOK, ended).await.is_err();
    quiet.then_some(stream)
}
