//! One running command: in its own process group, with an empty stdin and its output drained. The whole group
//! is ended when it exceeds its time limit or the run is cancelled.

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
    /// With exit status 0.
    Done,
    /// With an error: the sentence for it.
    Failed(String),
    /// The run was stopped before the command ended.
    Cancelled,
}

/// How many bytes of the end of the output are kept: programs say last what went wrong.
const TAIL_BYTES: usize = 4096;

/// Time between SIGTERM and SIGKILL for a command over its time limit,
const GRACE: Duration = Duration::from_secs(2);
/// and for one that is cancelled because the run ends.
const GRACE_AT_CANCEL: Duration = Duration::from_millis(250);

/// Runs `command` to its end or for at most `limit`; returns the end of its output too.
///
/// A command is over when it exits. Background processes it started are left alone, unless the command is ended
/// here: then its whole group is.
pub(super) async fn run(
    mut command: Command,
    limit: Duration,
    cancel: &CancellationToken,
) -> (End, Vec<u8>) {
    let (child, mut output) = match start(&mut command) {
        Ok(started) => started,
        Err(error) => {
            return (End::Failed(format!("cannot start it: {error}")), Vec::new());
        }
    };
    // `command` holds the write end of the pipe; while it lives the output has no end of file.
    drop(command);
    let mut group = ProcessGroup {
        leader: child.id().and_then(to_pid),
        child,
    };
    let end = tokio::select! {
        biased;
        () = cancel.cancelled() => {
            group.end(GRACE_AT_CANCEL).await;
            End::Cancelled
        }
        waited = timeout(limit, group.wait(&mut output)) => match waited {
            Ok(Ok(status)) => status_to_end(status),
            Ok(Err(error)) => End::Failed(format!("cannot wait for it: {error}")),
            Err(_elapsed) => {
                // Keep reading meanwhile: the last output may say why it hangs, and a process blocked on a full
                // pipe could not react to SIGTERM.
                let _ = timeout(GRACE * 2, output.drain_while(group.end(GRACE))).await;
                End::Failed(format!("timed out after {limit:?} (see --exec-timeout)"))
            }
        },
    };
    (end, output.into_tail())
}

fn start(command: &mut Command) -> io::Result<(Child, OutputTail)> {
    let (reader, writer) = io::pipe()?;
    let output = Receiver::from_owned_fd(OwnedFd::from(reader))?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    Ok((
        command.spawn()?,
        OutputTail {
            pipe: Some(output),
            tail: Vec::new(),
            is_cut: false,
        },
    ))
}

fn status_to_end(status: ExitStatus) -> End {
    match (status.success(), status.code(), status.signal()) {
        (true, ..) => End::Done,
        (false, Some(code), _) => End::Failed(format!("exit status {code}")),
        (false, None, Some(signal)) => End::Failed(format!("ended by signal {signal}")),
        (false, None, None) => End::Failed(status.to_string()),
    }
}

fn to_pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

/// A command and every process it starts. Killed when dropped early, as when the runtime shuts down.
struct ProcessGroup {
    child: Child,
    /// The child's pid, which is also the group's id. `None` once the child was waited for: the kernel may give
    /// the number to another process then.
    leader: Option<Pid>,
}

impl ProcessGroup {
    /// Waits for the command and reads its output meanwhile.
    async fn wait(&mut self, output: &mut OutputTail) -> io::Result<ExitStatus> {
        let status = output.drain_while(self.child.wait()).await?;
        self.leader = None;
        Ok(status)
    }

    /// Sends SIGTERM to the group, and SIGKILL after `grace` or as soon as the command itself has exited.
    async fn end(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let left = timeout(grace, self.child.wait()).await.is_ok();
        self.signal(Signal::KILL);
        self.leader = None;
        if !left {
            // Only a process stuck in the kernel, on a broken disk, survives SIGKILL: do not wait for ever.
            let _ = timeout(grace, self.child.wait()).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // Fails only when the group is gone already.
            let _ = kill_process_group(leader, signal);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Reads all output, so that the command never blocks on a full pipe, and keeps the end of it.
struct OutputTail {
    /// `None` after end of file.
    pipe: Option<Receiver>,
    tail: Vec<u8>,
    /// Whether output in front of the tail was dropped.
    is_cut: bool,
}

impl OutputTail {
    /// Reads output until `work` is done.
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

    /// Reads what is available, or waits for more. Cancel-safe: bytes are taken only after the wait.
    async fn take(&mut self) {
        let Some(pipe) = &self.pipe else {
            return std::future::pending().await;
        };
        let ready = pipe.readable().await;
        let mut buffer = vec![0; 64 * 1024];
        match ready.and_then(|()| pipe.try_read(&mut buffer)) {
            Ok(0) => self.pipe = None,
            Ok(read) => self.append(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pipe = None,
        }
    }

    /// The kept end of the output, from a whole word on: a part of a secret would not be known for one.
    fn into_tail(mut self) -> Vec<u8> {
        self.read_rest();
        if self.is_cut {
            let cut_word = self.tail.iter().position(u8::is_ascii_whitespace);
            self.tail.drain(..cut_word.unwrap_or(0));
        }
        self.tail
    }

    /// Reads what is left in the pipe without waiting for processes that still hold it.
    fn read_rest(&mut self) {
        let Some(Ok(pipe)) = self.pipe.take().map(Receiver::into_nonblocking_fd) else {
            return;
        };
        let mut buffer = vec![0; 64 * 1024];
        // 16 x 64 KiB is the most a pipe can hold; more means that a process writes on.
        for _ in 0..16 {
            match rustix::io::read(&pipe, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => self.append(&buffer[..read]),
            }
        }
    }

    fn append(&mut self, output: &[u8]) {
        self.is_cut |= self.tail.len() + output.len() > TAIL_BYTES;
        let output = &output[output.len().saturating_sub(TAIL_BYTES)..];
        let room = TAIL_BYTES - output.len();
        let surplus = self.tail.len().saturating_sub(room);
        self.tail.drain(..surplus);
        self.tail.extend_from_slice(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_output_that_is_cut_begins_with_a_whole_word() {
        for (before, kept) in [("", "s3cr3t key "), ("x", " key "), ("word ", " key ")] {
            let mut output = OutputTail {
                pipe: None,
                tail: Vec::new(),
                is_cut: false,
            };
            let rest = "x".repeat(TAIL_BYTES - "s3cr3t key ".len());
            output.append(before.as_bytes());
            output.append(format!("s3cr3t key {rest}").as_bytes());
            let tail = String::from_utf8(output.into_tail()).unwrap();
            assert_eq!(tail, format!("{kept}{rest}"), "{before}");
        }
    }
}
