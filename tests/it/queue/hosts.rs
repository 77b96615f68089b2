//! What all workers together do to one host.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
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

#[test]
fn the_wait_between_requests_counts_from_the_last_request_of_any_worker() {
    const WAIT: Duration = Duration::from_secs(1);
    let own = OwnSite::new(2);
    let queued = own
        .visit("scan")
        .args(["-d", "walls", "--wait", "1s"])
        .run();
    assert_eq!(count(&queued.sum(), "queued"), 2, "{queued:?}");
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    own.server.on("/full/1.png", move |_| {
        released.lock().unwrap().recv().unwrap();
        Answer::to(302, "/moved.png")
    });
    let times = Arc::new(Mutex::new(Vec::new()));
    for path in ["/moved.png", "/full/2.png"] {
        own.server.show(path, own.server.shown("/full/2.png"));
        let times = Arc::clone(&times);
        own.server.on(path, move |asked| {
            times.lock().unwrap().push((path, Instant::now()));
            asked.served()
        });
    }
    // A worker that reads robots.txt waits before its next request in any case.
    let worker = |folder| {
        let run = own.visit("work").args(["-d", folder, "-j", "1"]);
        run.args(["--robots", "ignore"]).start()
    };
    let first = worker("one");
    until("the first image to be requested", || {
        (own.asked("/full/1.png") == 1).then_some(())
    });
    let second = worker("two");
    let [host] = &own.nats.hosts()[..] else {
        panic!("one host")
    };
    until("the second worker to wait for a job", || {
        let info = own
            .nats
            .ask(&format!("$JS.API.CONSUMER.INFO.JOBS.{host}"), "");
        (info["num_waiting"] == 1).then_some(())
    });
    // The first request was long ago when the last one is made.
    std::thread::sleep(WAIT);
    release.send(()).unwrap();
    until("both images", || (own.nats.results() == 2).then_some(()));
    let times = times.lock().unwrap();
    let [("/moved.png", last), ("/full/2.png", next)] = times[..] else {
        panic!("{times:?}")
    };
    assert!(next - last >= WAIT, "{:?}", next - last);
    for worker in [first, second] {
        assert_eq!(end(worker).code, Some(143));
    }
}
