//! The async runtime of the commands that use the network, with signals and the limit of open files.

use std::any::Any;
use std::cell::OnceCell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::Context as _;
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
    let mut builder = Builder::new_multi_thread();
    // More than four threads only wake one another: the work mostly waits for the network.
    builder
        .worker_threads(cores.min(4))
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all();
    let runtime = build(&mut builder)?;
    check_threads(&runtime)?;
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
    runtime.shutdown_timeout(EXIT_DELAY);
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

/// How long the first blocking thread may take to start.
const THREAD_START: Duration = Duration::from_secs(5);

/// Finds out whether blocking work can begin. Where the system refuses a thread and the runtime has one already, tokio
/// (1.54) reports nothing: the work waits for one of its own threads to become free, which never happens.
fn check_threads(runtime: &Runtime) -> Result<(), ThreadError> {
    let started = runtime.block_on(async {
        tokio::time::timeout(THREAD_START, tokio::task::spawn_blocking(|| ())).await
    });
    match started {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ThreadError::from(io::Error::other(
            "no thread for blocking work has started",
        ))),
    }
}

/// Raises the soft limit of open files to the hard one: each worker holds a socket and a file.
fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If it is refused the soft limit stays; images beyond it fail with an error that says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
