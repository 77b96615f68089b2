//! A TCP proxy on a loopback port before a real server, that can cut connections in the middle of a body.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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

    /// How many bytes the server has sent since this was asked last.
    pub(crate) fn take_passed(&self) -> usize {
        self.state.passed.swap(0, Ordering::Relaxed)
    }
}

fn serve(client: &TcpStream, state: &State) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", state.server)) else {
        return;
    };
    let (mut from_client, mut to_server) = (client, &server);
    thread::scope(|scope| {
        scope.spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
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
        let left = state.limit.load(Ordering::Relaxed).saturating_sub(brought);
        let passed = length.min(left);
        state.passed.fetch_add(passed, Ordering::Relaxed);
        if client.write_all(&buffer[..passed]).is_err() || passed < length {
            return;
        }
        brought += passed;
    }
}
