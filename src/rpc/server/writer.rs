//! The one task that writes to a client: whole messages, in the order they were queued.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::WRITE_TIMEOUT;
use super::counters::{Counters, count};

/// Messages that wait for the writer. Small: streams have queues of their own, and replies may be large.
pub(super) const OUTBOX_LEN: usize = 8;

/// Queued messages are joined up to about this many bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// Writes until the outbox is closed and empty, or the client takes nothing for [`WRITE_TIMEOUT`].
pub(super) async fn write_all<W: AsyncWrite + Unpin>(
    mut socket: W,
    mut outbox: mpsc::Receiver<Vec<u8>>,
    client: Arc<str>,
    counters: Arc<Counters>,
) {
    while let Some(mut batch) = outbox.recv().await {
        while batch.len() < BATCH_BYTES {
            let Ok(message) = outbox.try_recv() else { break };
            batch.extend_from_slice(&message);
        }
        match write_batch(&mut socket, &batch).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                count(&counters.stuck);
                warn!(%client, "rpc client does not read, closing");
                return;
            }
            // It has gone. Nobody is left to tell.
            Err(_) => return,
        }
    }
    // As above.
    let _ = socket.shutdown().await;
}

/// The timeout is for progress: a slow client is served, a stuck one is not.
async fn write_batch<W: AsyncWrite + Unpin>(socket: &mut W, mut batch: &[u8]) -> io::Result<()> {
    while !batch.is_empty() {
        match timeout(WRITE_TIMEOUT, socket.write(batch)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Ok(written)) => batch = &batch[written..],
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    socket.flush().await
}
