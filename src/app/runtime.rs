//! The async runtime of the commands that use the network, with signals and the limit of open files.

use std::any::Any;
use std::cell::OnceCell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use super::console::print_error;
use super::environment::Environment;
use super::signals;
use crate::engine::Shutdown;
use crate::exit::{Exit, ThreadError};

/// Threads that may block. Name look-ups block, and each can hang for half a minute, so there are enough that
/// hung look-ups do not delay the others.
const BLOCKING_THREADS: usize = 64;

/// How long blocked threads may delay the exit: a write or a flush that hangs must not keep the process alive.
const EXIT_DELAY: Duration = Duration::from_millis(500);

/// Runs async `work` to its end, or until a signal ends it.
///
/// # Errors
///
/// Those of `work`, or when the system lets no thread start.
pub fn block_on<F: Future<Output = anyhow::Result<Exit>>>(
    environment: &Environment,
    work: impl FnOnce(Shutdown) -> F,
) -> anyhow::Result<Exit> {
    raise_open_files_limit();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // More than four threads only wake one another: the work mostly waits for the network.
    let workers = cores.min(4);
    // One more for blocking work.
    check_threads(workers + 1)?;
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all();
    let runtime = build(&mut builder)?;
    let received = OnceCell::new();
    let shutdown = Shutdown::default();
    let result = runtime.block_on(async {
        let ended = signals::handle(environment, shutdown.clone(), &received)
            .context("listening for signals")?;
        tokio::select! {
            result = work(shutdown) => result,
            // `received` holds the signal, which decides the exit code below.
            () = ended => Ok(Exit::Done),
        }
    });
    if received.get().is_none() && matches!(result, Ok(Exit::Done)) {
        // A run that ended well has awaited all that matters. What is left are idle connections and pages asked for
        // beyond the end of a listing, which the system ends sooner than the runtime.
        runtime.shutdown_background();
    } else {
        runtime.shutdown_timeout(EXIT_DELAY);
    }
    match received.get() {
        Some(&signal) => Ok(result
            .unwrap_or_else(|error| print_error(&error))
            .max_severity(Exit::Signal(signal))),
        None => result,
    }
}

/// Builds the runtime. tokio panics where the system lets no further thread start; the panic becomes an error,
/// and its message is kept off the screen.
fn build(builder: &mut Builder) -> anyhow::Result<Runtime> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let built = std::panic::catch_unwind(AssertUnwindSafe(|| builder.build()));
    std::panic::set_hook(hook);
    let refused = |panic: Box<dyn Any + Send>| {
        let why = panic
            .downcast_ref::<String>()
            .map_or("no reason given", String::as_str);
        Err(io::Error::other(why))
    };
    Ok(built.unwrap_or_else(refused).map_err(ThreadError::from)?)
}

/// Finds out whether the system lets `count` threads more exist. Where it refuses one of several, tokio (1.54) panics and
/// then waits for ever for those that did start.
fn check_threads(count: usize) -> Result<(), ThreadError> {
    // The threads end when this is dropped.
    let (all_started, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    std::thread::scope(|scope| {
        let _all_started = all_started;
        for _ in 0..count {
            std::thread::Builder::new().spawn_scoped(scope, || wait.lock().recv())?;
        }
        Ok(())
    })
}

/// Raises the soft limit of open files to the hard one: each worker holds a socket and a file.
fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused the soft limit stays; images beyond it fail with an error that says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
