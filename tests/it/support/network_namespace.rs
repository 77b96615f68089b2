//! A network namespace without a route out: its loopback has any addresses that a test wants, and
//! every port is free. Needs root.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd as _;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::program::{Program, Running, Sandbox};
use super::until;

/// A network; it is there as long as this.
pub(crate) struct NetworkNamespace {
    holder: Running,
}

impl NetworkNamespace {
    /// A network in which these addresses are this machine's, beside those of any loopback.
    pub(crate) fn with(world: &Sandbox, addresses: &[&str]) -> Self {
        let script = "ip link set lo up && for own; do ip address add \"$own\" dev lo || exit; done && \
                      echo there && exec sleep infinity";
        let holder = world
            .program("unshare")
            .args(["--net", "/bin/sh", "-c", script, "sh"])
            .args(addresses)
            .start();
        until("a network", || {
            assert_eq!(holder.stderr(), "");
            (holder.stdout() == "there\n").then_some(())
        });
        Self { holder }
    }

    /// The process that holds it.
    #[cfg(feature = "nats")]
    pub(crate) fn id(&self) -> i32 {
        self.holder.id()
    }

    /// Has a program run in it.
    pub(crate) fn home_of(&self, program: Program) -> Program {
        program.under(["nsenter", &format!("--net={}", self.path())])
    }

    /// Listens at an address there: `127.0.0.1:80`.
    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        self.inside(|| TcpListener::bind(address).expect("an address that is free there"))
    }

    /// Has a socket at an address there.
    pub(crate) fn socket(&self, address: &str) -> UdpSocket {
        self.inside(|| UdpSocket::bind(address).expect("an address that is free there"))
    }

    /// Does something in it. A socket stays where it was made.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(self.path()).expect("its holder's network");
        thread::scope(|scope| {
            // Only the thread moves, and it ends with that.
            let moved = scope.spawn(move || {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("the right to move");
                work()
            });
            moved.join().expect("it was done")
        })
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_namespace_has_its_own_addresses_and_no_route_out() {
        let world = Sandbox::new();
        let island = NetworkNamespace::with(&world, &["203.0.113.7/32"]);
        let listener = island.listen("203.0.113.7:80");
        let script = "import socket, sys\n\
                      socket.create_connection(('203.0.113.7', 80), 60)\n\
                      try: socket.create_connection(('203.0.113.8', 80), 60)\n\
                      except OSError as error: print(error.strerror)";
        let ended = island
            .home_of(world.program("python3").args(["-IS", "-c", script]))
            .run();
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.as_str()),
            ("Network is unreachable\n", "")
        );
        assert!(listener.accept().is_ok());
        assert!(
            TcpListener::bind("203.0.113.7:0").is_err(),
            "it is nowhere else"
        );
    }
}
