//! A gate in front of a server's files: requests are held until a test admits them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A gate; open for ever once it is dropped.
pub(crate) struct RequestGate {
    port: u16,
    hall: Arc<Shared>,
}

/// Where those wait who were not let in yet.
#[derive(Default)]
struct Shared {
    standing: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    /// How many have come, and how many of them, the first ones, may go in.
    came: usize,
    admitted: usize,
    went: usize,
}

impl RequestGate {
    /// A gate that nobody passes yet.
    pub(crate) fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("the port it got").port();
        let hall = Arc::new(Shared::default());
        let inside = Arc::clone(&hall);
        thread::spawn(move || {
            for visitor in listener.incoming().flatten() {
                let hall = Arc::clone(&inside);
                thread::spawn(move || hall.receive(visitor));
            }
        });
        Self { port, hall }
    }

    /// The settings of an nginx that has this gate before `path`.
    pub(crate) fn before(&self, path: &str) -> String {
        let port = self.port;
        format!(
            "location {path} {{ auth_request /.gate; try_files $uri $uri/index.html =404; }}\n\
             location = /.gate {{ internal; proxy_pass http://127.0.0.1:{port}; proxy_read_timeout 1h; }}"
        )
    }

    /// How many have come to the gate and were not let in.
    pub(crate) fn waiting(&self) -> usize {
        let standing = self.hall.standing();
        standing.came - standing.went
    }

    /// Lets in `count` more, in the order they came or will come.
    pub(crate) fn admit(&self, count: usize) {
        self.hall.standing().admitted += count;
        self.hall.changed.notify_all();
    }

    /// Lets everybody in from now on.
    pub(crate) fn open(&self) {
        self.hall.standing().open = true;
        self.hall.changed.notify_all();
    }
}

impl Drop for RequestGate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Shared {
    fn standing(&self) -> MutexGuard<'_, State> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a visitor waiting. One who left in between is not missed.
    fn receive(&self, mut visitor: TcpStream) {
        let _ = visitor.read(&mut [0; 4096]);
        let mut standing = self.standing();
        let place = standing.came;
        standing.came += 1;
        let shut = |standing: &mut State| !standing.open && place >= standing.admitted;
        standing = self
            .changed
            .wait_while(standing, shut)
            .unwrap_or_else(PoisonError::into_inner);
        standing.went += 1;
        drop(standing);
        let _ = visitor.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ScopedJoinHandle;

    use super::super::nginx::Nginx;
    use super::super::until;
    use super::*;

    #[test]
    fn request_gate_holds_requests_until_admitted() {
        let site = tempfile::tempdir().unwrap();
        std::fs::create_dir(site.path().join("kept")).unwrap();
        std::fs::write(site.path().join("kept/a.png"), "a picture").unwrap();
        let gate = RequestGate::closed();
        let nginx = Nginx::serve(site.path(), &gate.before("/kept/"));
        thread::scope(|scope| {
            let ask = || nginx.get("/kept/a.png");
            let visitors = [scope.spawn(ask), scope.spawn(ask)];
            until("both at the gate", || (gate.waiting() == 2).then_some(()));
            assert_eq!(nginx.get("/elsewhere").0, 404);
            gate.admit(1);
            until("one inside", || {
                visitors
                    .iter()
                    .any(ScopedJoinHandle::is_finished)
                    .then_some(())
            });
            assert_eq!(gate.waiting(), 1);
            gate.open();
            for visitor in visitors {
                assert_eq!(visitor.join().unwrap(), (200, b"a picture".to_vec()));
            }
            assert_eq!(nginx.get("/kept/b.png").0, 404);
        });
    }
}
