//! A server that misbehaves as scripted, on plain threads and sockets: any bytes at any pace, an RST or a FIN
//! anywhere, endless responses, and invalid certificates. Without a script it is healthy, and `heal` removes all scripts.
//!
//! ```text
//! let server = FaultServer::gallery();                           // a listing of good images around one
//! server.on(FaultServer::FAULTY, |asked| match asked.nth {       // that will be faulty
//!     1 => Answer::head("200 OK", &["Content-Length: 900"]).bytes("x").reset(),
//!     _ => asked.served(),
//! });
//! server.heal();
//! ```

mod connection;
mod request;
mod response;

pub(crate) use connection::Certificate;
pub(crate) use request::{Asked, etag};
pub(crate) use response::Answer;

use std::collections::{BTreeMap, HashMap};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use blake3::Hash;
use image::ImageFormat;
use rustix::net::{Shutdown, shutdown};

use super::gallery::{item, page, picture};
use connection::{Connection, Tls};
use response::NextStep;

/// What a path answers.
type Script = Arc<dyn Fn(&Asked) -> Answer + Send + Sync>;

/// A running server. Its listener ends when it is dropped; a connection when the other side leaves it.
pub(crate) struct FaultServer {
    port: u16,
    house: Arc<Shared>,
}

struct Shared {
    listener: TcpListener,
    rooms: Mutex<State>,
    tls: Option<Tls>,
}

#[derive(Default)]
struct State {
    shown: HashMap<String, Arc<[u8]>>,
    faults: HashMap<String, Script>,
    /// The answer to every request.
    everywhere: Option<Script>,
    asked: Vec<Asked>,
    counts: HashMap<String, usize>,
    connections: usize,
    over: bool,
}

impl FaultServer {
    /// The one image of a [`FaultServer::gallery`] that its tests make faulty,
    pub(crate) const FAULTY: &str = "/uploads/desktops/2020/02/02/faulty.png";

    /// and those that they leave alone.
    pub(crate) const GOOD: [&str; 4] = [
        "/uploads/desktops/2020/01/01/good-1.png",
        "/uploads/desktops/2020/01/02/good-2.png",
        "/uploads/desktops/2020/01/03/good-3.png",
        "/uploads/desktops/2020/01/04/good-4.png",
    ];

    /// A server that has nothing yet: all it says is 404.
    pub(crate) fn start() -> Self {
        Self::open(TcpListener::bind("127.0.0.1:0").expect("a free port"), None)
    }

    /// The same in TLS, under the name `localhost`.
    pub(crate) fn secure(papers: Certificate) -> Self {
        Self::open(
            TcpListener::bind("127.0.0.1:0").expect("a free port"),
            Some(Tls::with(papers)),
        )
    }

    /// The same on a listener of one's own,
    pub(crate) fn on_listener(listener: TcpListener) -> Self {
        Self::open(listener, None)
    }

    /// in TLS.
    pub(crate) fn secure_on_listener(listener: TcpListener, papers: Certificate) -> Self {
        Self::open(listener, Some(Tls::with(papers)))
    }

    /// A server with a gallery of two pages: two good images, then the one that will be faulty and two good ones.
    pub(crate) fn gallery() -> Self {
        Self::start().with_gallery()
    }

    /// Adds that gallery.
    pub(crate) fn with_gallery(self) -> Self {
        let [one, two, three, four] = Self::GOOD;
        let listed = [one, two, Self::FAULTY, three, four];
        for (index, path) in listed.iter().enumerate() {
            self.show(path, picture(index, ImageFormat::Png));
        }
        self.list(1, &listed[..2]);
        self.list(2, &listed[2..]);
        self
    }

    fn open(listener: TcpListener, tls: Option<Tls>) -> Self {
        let port = listener.local_addr().expect("the port it got").port();
        let house = Arc::new(Shared {
            listener,
            rooms: Mutex::default(),
            tls,
        });
        let inside = Arc::clone(&house);
        thread::spawn(move || {
            for visitor in inside.listener.incoming() {
                if inside.rooms().over {
                    return;
                }
                if let Ok(visitor) = visitor {
                    let house = Arc::clone(&inside);
                    thread::spawn(move || house.receive(visitor));
                }
            }
        });
        Self { port, house }
    }

    /// As for `--base-url`.
    pub(crate) fn origin(&self) -> String {
        match self.house.tls {
            None => format!("http://127.0.0.1:{}", self.port),
            Some(_) => format!("https://localhost:{}", self.port),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Writes the certificate of the authority that signed its own where `--ca-certificate` can read it.
    pub(crate) fn keep_authority(&self, file: &Path) {
        self.house
            .tls
            .as_ref()
            .expect("a server with papers")
            .keep_authority(file);
    }

    /// Has these bytes at `path`, with a strong validator and in any range.
    pub(crate) fn show(&self, path: &str, bytes: impl Into<Arc<[u8]>>) {
        self.house
            .rooms()
            .shown
            .insert(path.to_owned(), bytes.into());
    }

    /// The healthy bytes at `path`.
    pub(crate) fn shown(&self, path: &str) -> Arc<[u8]> {
        let shown = self.house.rooms().shown.get(path).cloned();
        shown.unwrap_or_else(|| panic!("nothing is shown at {path}"))
    }

    /// The hashes of these.
    pub(crate) fn hashes(&self, paths: &[&str]) -> Vec<Hash> {
        paths
            .iter()
            .map(|path| blake3::hash(&self.shown(path)))
            .collect()
    }

    /// Has a listing page of this number that shows a thumb of each of these originals.
    pub(crate) fn list(&self, number: usize, originals: &[&str]) {
        let thumbs = originals
            .iter()
            .map(|path| item(&format!("{path}.295x184_q100.png"), "/browse/"));
        let page = page(number, &thumbs.collect::<Vec<_>>());
        self.show(&format!("/browse/{number}/"), page.into_bytes());
    }

    /// Lets `path` answer like this instead, until it is healed.
    pub(crate) fn on(&self, path: &str, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        self.house
            .rooms()
            .faults
            .insert(path.to_owned(), Arc::new(script));
    }

    /// Answers every path without an answer of its own like this, until it is healed.
    pub(crate) fn everywhere(&self, script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        self.house.rooms().everywhere = Some(Arc::new(script));
    }

    /// Takes every fault away, and forgets what was asked so far.
    pub(crate) fn heal(&self) {
        let mut rooms = self.house.rooms();
        rooms.faults.clear();
        rooms.everywhere = None;
        rooms.asked.clear();
        rooms.counts.clear();
    }

    /// Every request since it was healed last.
    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.house.rooms().asked.clone()
    }

    /// Those for `path`.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let mut requests = self.requests();
        requests.retain(|asked| asked.path == path);
        requests
    }

    /// How often each path below `/uploads/` was asked for.
    pub(crate) fn originals_asked(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for Asked { path, .. } in self
            .requests()
            .into_iter()
            .filter(|asked| asked.path.starts_with("/uploads/"))
        {
            *counts.entry(path).or_default() += 1;
        }
        counts
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.house.rooms().connections
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.house.rooms().over = true;
        // Wakes the thread that listens, which then sees that it is over.
        let _ = shutdown(&self.house.listener, Shutdown::Both);
    }
}

impl Shared {
    fn rooms(&self) -> MutexGuard<'_, State> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request after another, until one side has enough.
    fn receive(&self, visitor: TcpStream) {
        let number = {
            let mut rooms = self.rooms();
            rooms.connections += 1;
            rooms.connections - 1
        };
        let _ = visitor.set_nodelay(true);
        let mut wire = match &self.tls {
            None => Connection::Plain(visitor),
            Some(tls) => tls.wrap(visitor),
        };
        while let Ok(Some(mut asked)) = wire.request() {
            asked.connection = number;
            let answer = self.answer(asked);
            if !matches!(answer.give(&mut wire), Ok(NextStep::Next)) {
                return;
            }
        }
    }

    fn answer(&self, mut asked: Asked) -> Answer {
        let mut rooms = self.rooms();
        let count = rooms.counts.entry(asked.path.clone()).or_default();
        *count += 1;
        asked.nth = *count;
        rooms.asked.push(asked.clone());
        let script = rooms
            .faults
            .get(&asked.path)
            .or(rooms.everywhere.as_ref())
            .map(Arc::clone);
        let shown = rooms.shown.get(&asked.path).cloned();
        // A script may take its time.
        drop(rooms);
        let is_there = shown.is_some();
        asked.shown = shown.unwrap_or_default();
        match script {
            Some(script) => script(&asked),
            None if is_there => asked.served(),
            None => Answer::status(404),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::time::{Duration, Instant};

    use super::*;

    fn ask(rogue: &FaultServer, path: &str, headers: &str) -> (Vec<u8>, Option<ErrorKind>) {
        let mut stream = TcpStream::connect(("127.0.0.1", rogue.port())).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n").unwrap();
        let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return (got, None),
                Ok(read) => got.extend_from_slice(&buffer[..read]),
                Err(error) => return (got, Some(error.kind())),
            }
        }
    }

    #[test]
    fn fault_server_ends_connections_as_scripted() {
        let rogue = FaultServer::start();
        rogue.on("/fin", |_| Answer::raw("cut").close());
        rogue.on("/rst", |_| Answer::raw("cut").reset());
        rogue.on("/drip", |_| {
            Answer::default()
                .drip("slow", Duration::from_millis(10))
                .close()
        });
        assert_eq!(ask(&rogue, "/fin", ""), (b"cut".to_vec(), None));
        assert_eq!(
            ask(&rogue, "/rst", ""),
            (b"cut".to_vec(), Some(ErrorKind::ConnectionReset))
        );
        let start = Instant::now();
        assert_eq!(ask(&rogue, "/drip", ""), (b"slow".to_vec(), None));
        assert!(start.elapsed() >= Duration::from_millis(40));
    }

    #[test]
    fn fault_server_sends_endless_and_slow_responses_on_any_listener() {
        let rogue = FaultServer::on_listener(TcpListener::bind("[::1]:0").unwrap());
        rogue.everywhere(|asked| {
            Answer::default()
                .and(Answer::ok(format!("{} {}", asked.method, asked.path)))
                .close()
        });
        rogue.on("/pieces", |_| {
            Answer::chunked(&["X: y"], &[b"one", b"two"])
                .pause(Duration::from_millis(1))
                .close()
        });
        rogue.on("/endless", |_| Answer::raw("begun ").forever("and on "));
        let ask = |path: &str| {
            let mut stream = TcpStream::connect(("::1", rogue.port())).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
            let mut got = Vec::new();
            stream.take(100_000).read_to_end(&mut got).unwrap();
            String::from_utf8(got).unwrap()
        };
        assert_eq!(
            ask("/a?b"),
            "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nGET /a?b"
        );
        let pieces = "HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
        assert_eq!(ask("/pieces"), pieces);
        assert_eq!(ask("/endless").len(), 100_000);
    }

    #[test]
    fn fault_server_counts_requests_and_can_be_healed() {
        let rogue = FaultServer::gallery();
        rogue.on(FaultServer::FAULTY, |asked| {
            Answer::raw(format!("try {}", asked.nth)).close()
        });
        assert_eq!(ask(&rogue, FaultServer::FAULTY, "").0, b"try 1");
        assert_eq!(ask(&rogue, FaultServer::FAULTY, "").0, b"try 2");
        assert_eq!(rogue.asked(FaultServer::FAULTY).len(), 2);
        rogue.heal();
        let rest = format!(
            "Range: bytes=4-\r\nIf-Range: {}\r\nConnection: close\r\n",
            etag(&rogue.shown(FaultServer::FAULTY))
        );
        let stream = TcpStream::connect(("127.0.0.1", rogue.port())).unwrap();
        (&stream)
            .write_all(format!("GET {} HTTP/1.1\r\n{rest}\r\n", FaultServer::FAULTY).as_bytes())
            .unwrap();
        let due = rogue.shown(FaultServer::FAULTY)[4..].to_vec();
        let mut got = Vec::new();
        while !got.ends_with(&due) {
            let mut buffer = [0; 4096];
            let read = (&stream).read(&mut buffer).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&buffer[..read]);
        }
        assert!(got.starts_with(b"HTTP/1.1 206 "));
        assert_eq!(
            (rogue.asked(FaultServer::FAULTY).len(), rogue.connections()),
            (1, 3)
        );
    }
}
