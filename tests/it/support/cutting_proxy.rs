//! A TCP proxy on a loopback port before a real server, that can cut connections in the middle of a body, or hold
//! everything that they carry.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// A proxy that passes bytes on, in both directions, as they come. Its threads end with the connections; the one that
/// accepts them ends with the tests.
pub(crate) struct CuttingProxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    server: u16,
    /// A connection is cut once it has brought this many bytes.
    limit: AtomicUsize,
    /// What the server sent in all.
    passed: AtomicUsize,
    /// Whether nothing is passed on, in either direction.
    held: AtomicBool,
}

impl CuttingProxy {
    /// Listens on a free port, for the server on this one.
    pub(crate) fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            server,
            limit: AtomicUsize::new(usize::MAX),
            passed: AtomicUsize::new(0),
            held: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&accepting);
                thread::spawn(move || serve(&client, &state));
            }
        });
        Self { port, state }
    }

    /// `http://127.0.0.1:PORT`, as for `--base-url`.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Cuts every connection once it has brought more than `bytes`; `usize::MAX` cuts none.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.state.limit.store(bytes, Ordering::Relaxed);
    }

    /// Passes nothing on from now on, as a cable that is pulled out; or goes on.
    #[cfg(feature = "nats")]
    pub(crate) fn hold(&self, held: bool) {
        self.state.held.store(held, Ordering::Relaxed);
    }

    /// How many bytes the server has sent since this was asked last.
    pub(crate) fn take_passed(&self) -> usize {
        self.state.passed.swap(0, Ordering::Relaxed)
    }
}

impl State {
    fn wait_while_held(&self) {
        while self.held.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn serve(client: &TcpStream, state: &State) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", state.server)) else {
        return;
    };
    let (mut from_client, mut to_server) = (client, &server);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = from_client.read(&mut buffer) {
                state.wait_while_held();
                if to_server.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            let _ = to_server.shutdown(Shutdown::Write);
        });
        pass_answers(&server, client, state);
        // Both ends, so that the other thread ends as well.
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

fn pass_answers(mut server: &TcpStream, mut client: &TcpStream, state: &State) {
    let (mut buffer, mut brought) = (vec![0; 16 * 1024], 0);
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        state.wait_while_held();
        let left = state.limit.load(Ordering::Relaxed).saturating_sub(brought);
        let passed = length.min(left);
        state.passed.fetch_add(passed, Ordering::Relaxed);
        if client.write_all(&buffer[..passed]).is_err() || passed < length {
            return;
        }
        brought += passed;
    }
}
