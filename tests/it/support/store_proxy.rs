//! An HTTP proxy on a loopback port before a real object store, that spoils answers as a test wants it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is done with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It is passed on, and the connection closed in place of the answer,
    PassThenClose,
    /// or torn down,
    PassThenReset,
    /// or this status is answered,
    PassThenAnswer(u16),
    /// or nothing, ever.
    PassThenHang,
    /// This status is answered, and the store hears nothing.
    Answer(u16),
    /// The connection is closed, and the store hears nothing.
    Close,
    /// Nothing is answered, ever, and the store hears nothing.
    Hang,
    /// It is passed on at this many bytes a second.
    Slow(u32),
}

/// A proxy that passes requests on until it is told otherwise. Its threads end with the connections; the one that accepts
/// them ends with the tests.
pub(crate) struct StoreProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plans: Vec<Plan>,
    requests: BTreeMap<String, usize>,
    /// How often a fault was done.
    faults: usize,
    /// Puts that were not answered yet, and the bytes of their bodies; and the most of both.
    at_once: (usize, usize),
    most_at_once: (usize, usize),
}

struct Plan {
    method: &'static str,
    left: usize,
    fault: Fault,
}

struct Request {
    method: String,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl StoreProxy {
    /// Listens on a free port, for the store on this one.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Mutex::default();
        let shared = Arc::new(Shared { server, state });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || serve(&client, &shared));
            }
        });
        Self { port, shared }
    }

    /// Where it listens on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Spoils the next `times` requests of this method.
    pub(crate) fn spoil(&self, method: &'static str, times: usize, fault: Fault) {
        let left = times;
        self.shared.state().plans.push(Plan {
            method,
            left,
            fault,
        });
    }

    /// Spoils nothing more.
    pub(crate) fn heal(&self) {
        self.shared.state().plans.clear();
    }

    /// How many requests of this method came.
    pub(crate) fn requests(&self, method: &str) -> usize {
        let state = self.shared.state();
        state.requests.get(method).copied().unwrap_or(0)
    }

    /// How many requests were spoilt.
    pub(crate) fn faults(&self) -> usize {
        self.shared.state().faults
    }

    /// The most puts, and the most bytes of them, that waited for their answers at one time.
    pub(crate) fn most_at_once(&self) -> (usize, usize) {
        self.shared.state().most_at_once
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and says what is to be done with it.
    fn begin(&self, method: &str) -> Option<Fault> {
        let mut state = self.state();
        *state.requests.entry(method.to_owned()).or_default() += 1;
        let plans = state.plans.iter_mut();
        let mut open = { plans }.filter(|plan| plan.method == method && plan.left > 0);
        let fault = open.next().map(|plan| {
            plan.left -= 1;
            plan.fault
        });
        state.faults += usize::from(fault.is_some());
        fault
    }

    /// Counts the puts that wait, while what this returns is there.
    fn waiting(&self, bytes: usize) -> impl Drop + '_ {
        struct Waiting<'a>(&'a Shared, usize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                let Self(shared, bytes) = self;
                let (count, sum) = &mut shared.state().at_once;
                (*count, *sum) = (*count - 1, *sum - *bytes);
            }
        }
        let mut state = self.state();
        let (count, sum) = (state.at_once.0 + 1, state.at_once.1 + bytes);
        state.at_once = (count, sum);
        let most = state.most_at_once;
        state.most_at_once = (most.0.max(count), most.1.max(sum));
        Waiting(self, bytes)
    }
}

fn serve(client: &TcpStream, shared: &Shared) {
    while let Some(request) = read_request(client) {
        let fault = shared.begin(&request.method);
        let _waiting = (request.method == "PUT").then(|| shared.waiting(request.body.len()));
        if answer(client, &request, fault, shared.server).is_none() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// `None` once the connection is not to be used any more.
fn answer(
    mut client: &TcpStream,
    request: &Request,
    fault: Option<Fault>,
    server: u16,
) -> Option<()> {
    let passed = |rate| pass(request, server, rate);
    match fault {
        None => client.write_all(&passed(None)?).ok(),
        Some(Fault::Slow(rate)) => client.write_all(&passed(Some(rate))?).ok(),
        Some(Fault::PassThenClose) => {
            passed(None)?;
            None
        }
        Some(Fault::Close) => None,
        Some(Fault::PassThenReset) => {
            passed(None)?;
            // With no time to linger the end is an RST.
            let none = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(client, none).expect("a socket's option");
            None
        }
        Some(Fault::PassThenAnswer(status)) => {
            passed(None)?;
            client.write_all(refusal(status).as_bytes()).ok()
        }
        Some(Fault::Answer(status)) => client.write_all(refusal(status).as_bytes()).ok(),
        Some(Fault::PassThenHang) => {
            passed(None)?;
            until_it_leaves(client)
        }
        Some(Fault::Hang) => until_it_leaves(client),
    }
}

fn until_it_leaves(mut client: &TcpStream) -> Option<()> {
    let _ = client.read(&mut [0; 1]);
    None
}

/// `None` when the other side leaves instead.
fn read_request(mut client: &TcpStream) -> Option<Request> {
    let (head, mut body) = read_head(client)?;
    let method = { &head }.split(|byte| *byte == b' ').next()?;
    let method = String::from_utf8_lossy(method).into_owned();
    let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap_or(0));
    let got = body.len();
    body.resize(length.max(got), 0);
    client.read_exact(&mut body[got..]).ok()?;
    Some(Request { method, head, body })
}

/// The store's answer to a request, by a connection of its own.
fn pass(request: &Request, server: u16, rate: Option<u32>) -> Option<Vec<u8>> {
    let mut store = TcpStream::connect(("127.0.0.1", server)).ok()?;
    store.write_all(&request.head).ok()?;
    match rate {
        None => store.write_all(&request.body).ok()?,
        Some(rate) => {
            // Twenty pieces a second.
            for piece in request.body.chunks((rate / 20).max(1) as usize) {
                store.write_all(piece).ok()?;
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
    let (head, mut body) = read_head(&store)?;
    let status = head.get(9..12)?;
    if request.method == "HEAD" || status == b"204" || status == b"304" {
        return Some(head);
    }
    if let Some(length) = header(&head, "content-length") {
        let got = body.len();
        body.resize(length.parse().ok()?, 0);
        store.read_exact(&mut body[got..]).ok()?;
    } else {
        // In chunks.
        let mut buffer = [0; 16 * 1024];
        while !body.ends_with(b"0\r\n\r\n") {
            let read = store.read(&mut buffer).ok().filter(|read| *read > 0)?;
            body.extend_from_slice(&buffer[..read]);
        }
    }
    Some([head, body].concat())
}

/// A head to its empty line, and what came with it of the body.
fn read_head(mut stream: &TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut read, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let body = read.split_off(end + 4);
            return Some((read, body));
        }
        let more = stream.read(&mut buffer).ok().filter(|more| *more > 0)?;
        read.extend_from_slice(&buffer[..more]);
    }
}

fn header(head: &[u8], name: &str) -> Option<String> {
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_owned())
}

/// As a store of the S3 kind says it.
fn refusal(status: u16) -> String {
    let (reason, code) = match status {
        409 => ("Conflict", "ConditionalRequestConflict"),
        503 => ("Service Unavailable", "SlowDown"),
        507 => ("Insufficient Storage", "InsufficientStorage"),
        _ => ("Internal Server Error", "InternalError"),
    };
    let body = format!("<Error><Code>{code}</Code></Error>");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
