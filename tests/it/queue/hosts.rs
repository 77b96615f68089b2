//! What all workers together do to one host.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::support::fault_server::{Answer, FaultServer};

#[test]
fn six_workers_together_keep_the_cap_of_a_host() {
    let cluster = Cluster::new(Site::closed(40, Site::IMAGES));
    let names = ["1", "2", "3", "4", "5", "6"];
    let workers = names.map(|name| cluster.lasting_worker(name).start());
    let following = cluster.follow().args(["--host-jobs", "3"]).start();
    // Each image that is let in makes room for one more, and never for two.
    let mut most = 0;
    for admitted in 0..40 {
        let left = 40 - admitted;
        until("as many as may be", || {
            let waiting = cluster.site.gate.waiting();
            most = most.max(waiting);
            (waiting >= left.min(3)).then_some(())
        });
        cluster.site.gate.admit(1);
    }
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(most, 3);
    for worker in workers {
        assert_eq!(end(worker).code, Some(143));
    }
    cluster.assert_complete(&names);
}

#[test]
fn a_429_pauses_the_host_for_all_workers() {
    let world = Sandbox::new();
    let nats = Nats::start();
    let server = FaultServer::gallery();
    let refused = Arc::new(AtomicUsize::new(0));
    server.on(FaultServer::FAULTY, {
        let refused = Arc::clone(&refused);
        move |asked| match asked.nth {
            1 => {
                refused.fetch_add(1, Ordering::SeqCst);
                Answer::head(
                    "429 Too Many Requests",
                    &["Retry-After: 3", "Content-Length: 0"],
                )
            }
            _ => asked.served(),
        }
    });
    let run = |command: &str| {
        let run = world
            .wallhaul()
            .args([command, "--base-url", &server.origin()]);
        run.args([
            "--queue",
            &nats.url(),
            "--lease",
            "2s",
            "--json",
            "--no-config",
        ])
    };
    let workers = ["one", "two"].map(|name| run("work").args(["-d", name, "-j", "1"]).start());
    let start = Instant::now();
    let followed = run("scan")
        .args(["--follow", "-d", "walls", "--host-jobs", "1"])
        .run();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 5),
        "{followed:?}"
    );
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    for worker in workers {
        assert_eq!(end(worker).code, Some(143));
    }
}
