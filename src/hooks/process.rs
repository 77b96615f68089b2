//! A command on its way: in a process group of its own, with nothing to read, its output drained and cut, and ended
//! with its whole group when it takes too long or the run may not wait.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With success.
    Done,
    /// Otherwise: how.
    Failed(String),
    /// The run could not wait for it.
    CutOff,
}

/// What it wrote last is kept, up to so many bytes: that is where programs say what went wrong.
const OUTPUT_KEPT: usize = 4096;

/// After a polite signal, how long a command that took too long may take to end,
const LEAVE: Duration = Duration::from_secs(2);
/// and one that the run cannot wait for.
const LEAVE_AT_ONCE: Duration = Duration::from_millis(250);

/// Runs `command` to its end, for as long as `limit` at most; answers with what it wrote last.
///
/// It is over when it exits. What it leaves running behind it is its own affair, unless it is ended here.
pub(super) async fn run(
    mut command: Command,
    limit: Duration,
    cancel: &CancellationToken,
) -> (End, Vec<u8>) {
    let (child, mut output) = match start(&mut command) {
        Ok(started) => started,
        Err(error) => {
            return (
                End::Failed(format!("it could not be started: {error}")),
                Vec::new(),
            );
        }
    };
    // It holds the other end of the output.
    drop(command);
    let mut group = Group {
        leader: child.id().and_then(as_pid),
        child,
    };
    let end = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            group.end(LEAVE_AT_ONCE).await;
            End::CutOff
        }
        waited = timeout(limit, group.wait(&mut output)) => match waited {
            Ok(Ok(status)) => ended(status),
            Ok(Err(error)) => End::Failed(format!("it could not be waited for: {error}")),
            Err(_elapsed) => {
                // Its last words may be why; and a group that is ended must not find the pipe full.
                let _ = timeout(LEAVE * 2, output.drain_while(group.end(LEAVE))).await;
                End::Failed(format!("it was ended after {limit:?}, see --exec-timeout"))
            }
        },
    };
    (end, output.rest())
}

fn start(command: &mut Command) -> io::Result<(Child, Output)> {
    let (reader, writer) = io::pipe()?;
    let output = Receiver::from_owned_fd(OwnedFd::from(reader))?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    Ok((
        command.spawn()?,
        Output {
            pipe: Some(output),
            kept: Vec::new(),
        },
    ))
}

fn ended(status: ExitStatus) -> End {
    match (status.success(), status.code(), status.signal()) {
        (true, ..) => End::Done,
        (false, Some(code), _) => End::Failed(format!("exit status {code}")),
        (false, None, Some(signal)) => End::Failed(format!("ended by signal {signal}")),
        (false, None, None) => End::Failed(status.to_string()),
    }
}

fn as_pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

/// A command and everything it starts. Ended when dropped before its time, as when the runtime is left.
struct Group {
    child: Child,
    /// Its number, which is the group's too; none once it was waited for.
    leader: Option<Pid>,
}

impl Group {
    /// Waits for the command, and takes its output meanwhile.
    async fn wait(&mut self, output: &mut Output) -> io::Result<ExitStatus> {
        let status = output.drain_while(self.child.wait()).await?;
        self.leader = None;
        Ok(status)
    }

    /// Ends the group: asks its members to leave, and after `patience`, or once the command has left, makes them.
    async fn end(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        let left = timeout(patience, self.child.wait()).await.is_ok();
        self.signal(Signal::KILL);
        self.leader = None;
        if !left {
            // Nothing outlives that but a call into a broken disk.
            let _ = timeout(patience, self.child.wait()).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // A group that is gone needs none.
            let _ = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// What a command writes: all of it is read, so that it never waits, and the last of it kept.
struct Output {
    /// None once every writer is gone.
    pipe: Option<Receiver>,
    kept: Vec<u8>,
}

impl Output {
    /// Takes what is written while `work` goes on.
    async fn drain_while<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.take() => {}
            }
        }
    }

    /// Takes what there is, or waits for some. Cancel-safe.
    async fn take(&mut self) {
        let Some(pipe) = &self.pipe else {
            return std::future::pending().await;
        };
        let ready = pipe.readable().await;
        let mut buffer = vec![0; 64 * 1024];
        match ready.and_then(|()| pipe.try_read(&mut buffer)) {
            Ok(0) => self.pipe = None,
            Ok(read) => self.keep(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pipe = None,
        }
    }

    /// The last of it, without waiting for those who still could write.
    fn rest(mut self) -> Vec<u8> {
        let Some(Ok(pipe)) = self.pipe.take().map(Receiver::into_nonblocking_fd) else {
            return self.kept;
        };
        let mut buffer = vec![0; 64 * 1024];
        // What a pipe holds at most; more would be somebody who writes on.
        for _ in 0..16 {
            match rustix::io::read(&pipe, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => self.keep(&buffer[..read]),
            }
        }
        self.kept
    }

    fn keep(&mut self, written: &[u8]) {
        let written = &written[written.len().saturating_sub(OUTPUT_KEPT)..];
        let room = OUTPUT_KEPT - written.len();
        let surplus = self.kept.len().saturating_sub(room);
        self.kept.drain(..surplus);
        self.kept.extend_from_slice(written);
    }
}
