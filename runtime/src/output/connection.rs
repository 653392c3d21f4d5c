//! A look at a connection before it is used again.

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long to look: the end of a connection may have arrived and not been noticed yet.
const LOOK: Duration = Duration::from_millis(1);

/// The connection, if the other side is still there as far as can be known without sending. Nothing is expected from it
/// now: whatever can be read is its end, or not meant for us.
pub async fn reuse(stream: Option<TcpStream>) -> Option<TcpStream> {
    let stream = stream?;
    let quiet = timeout(LOOK, stream.readable()).await.is_err();
    quiet.then_some(stream)
}
