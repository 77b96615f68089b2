//! Signals that end a run.

use std::cell::OnceCell;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::environment::Environment;
use crate::engine::Shutdown;
use crate::exit::Signal;

/// How long images in flight may take to finish after the first signal.
const GRACE: Duration = Duration::from_secs(3);

/// How long an aborted run may take to flush and print its summary.
const ABORT_TIMEOUT: Duration = Duration::from_millis(700);

/// Handles signals: the first stops the run; the second, or the end of [`GRACE`], aborts it. The future returns only
/// when an aborted run has not ended within [`ABORT_TIMEOUT`], because the reader of its output has stopped reading
/// or a disk hangs. `received` holds the first signal. Signals that were ignored at the start stay ignored (`nohup`).
///
/// Cancel-safe: dropping the future loses no signal that was not acted on.
///
/// # Errors
///
/// When a handler cannot be installed.
pub(super) fn handle<'a>(
    environment: &Environment,
    shutdown: Shutdown,
    received: &'a OnceCell<Signal>,
) -> anyhow::Result<impl Future<Output = ()> + 'a> {
    let listen = |kind: SignalKind| {
        environment
            .handles(kind.as_raw_value())
            .then(|| signal(kind))
            .transpose()
    };
    let mut hangup = listen(SignalKind::hangup())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    // SIGXFSZ kills by default. With a handler the write itself fails (EFBIG), which is reported like a full disk.
    let file_too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let _keep_handler = file_too_large;
        let mut next = async || {
            tokio::select! {
                () = arrival(&mut hangup) => Signal::Hangup,
                () = arrival(&mut interrupt) => Signal::Interrupt,
                () = arrival(&mut terminate) => Signal::Terminate,
            }
        };
        let first = next().await;
        received.get_or_init(|| first);
        shutdown.interrupt();
        let _ = tokio::time::timeout(GRACE, next()).await;
        shutdown.abort();
        tokio::time::sleep(ABORT_TIMEOUT).await;
    })
}

/// Returns when the signal arrives; never for a signal without a listener. Cancel-safe.
async fn arrival(listener: &mut Option<tokio::signal::unix::Signal>) {
    match listener {
        Some(listener) => {
            listener.recv().await;
        }
        None => std::future::pending().await,
    }
}
