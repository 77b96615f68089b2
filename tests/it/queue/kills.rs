//! Workers, coordinators and brokers that die, freeze or come back empty.

use rustix::process::Signal;

use super::*;
use crate::support::cutting_proxy::CuttingProxy;

const IMAGES: usize = 40;

#[test]
fn killed_workers_lose_no_image() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let doomed = ["one", "two"].map(|name| cluster.lasting_worker(name).start());
    let following = cluster.follow().start();
    in_flight(&cluster, 8);
    for worker in &doomed {
        worker.signal(Signal::KILL);
    }
    cluster.site.gate.open();
    let survivor = cluster.worker("three").start();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(survivor.wait().code, Some(0));
    cluster.assert_complete(&["one", "two", "three"]);
    // At most what was in flight when they were killed.
    assert!(cluster.sent_again() <= 8, "{}", cluster.sent_again());
}

#[test]
fn a_worker_that_is_asked_to_end_returns_its_jobs() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let leaving = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    // Twice: the second time nothing is finished.
    leaving.signal(Signal::TERM);
    let left = leaving.insist(Signal::TERM);
    assert_eq!(left.code, Some(143), "{left:?}");
    cluster.site.gate.open();
    let other = cluster.worker("two").start();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(other.wait().code, Some(0));
    cluster.assert_complete(&["one", "two"]);
}

#[test]
fn a_killed_coordinator_is_continued_by_the_next() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let worker = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    following.signal(Signal::KILL);
    let _ = following.wait();
    cluster.site.gate.open();
    let followed = cluster.follow().run();
    assert_eq!(followed.code, Some(0), "{followed:?}");
    let run = cluster.world.wallhaul().args(["ledger", "stats", "--json"]);
    let stats = run
        .args(["-d", "walls/simpledesktops", "--no-config"])
        .run();
    assert_eq!(count(&stats.sum(), "saved"), 40, "{stats:?}");
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
    assert_eq!(cluster.site.sent(), cluster.site.originals());
}

#[test]
fn a_broker_that_is_killed_and_started_again_loses_nothing() {
    let mut cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let worker = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    cluster.nats.kill();
    cluster.site.gate.open();
    std::thread::sleep(std::time::Duration::from_millis(500));
    cluster.nats.up();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
    assert!(cluster.sent_again() <= 4, "{}", cluster.sent_again());
}

#[test]
fn a_broker_that_is_killed_while_jobs_are_queued_loses_nothing() {
    let mut cluster = Cluster::new(Site::closed(IMAGES, Site::LISTING));
    let worker = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    until("the listing to be asked for", || {
        (cluster.site.gate.waiting() >= 1).then_some(())
    });
    // Several are requested at once, and the first need not be the first to arrive.
    until("jobs", || {
        let is_read = following.stdout().contains("page_read");
        if !is_read && cluster.site.gate.waiting() > 0 {
            cluster.site.gate.admit(1);
        }
        is_read.then_some(())
    });
    cluster.nats.kill();
    cluster.site.gate.open();
    std::thread::sleep(std::time::Duration::from_millis(500));
    cluster.nats.up();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
}

#[test]
fn a_wiped_broker_ends_the_run_and_the_next_scan_completes_it() {
    let mut cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let worker = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    cluster.site.gate.admit(12);
    until("some results", || {
        (following.stdout().matches("\"saved\"").count() >= 8).then_some(())
    });
    cluster.nats.kill();
    cluster.nats.wipe();
    cluster.nats.up();
    let lost = following.wait();
    assert_eq!(lost.code, Some(6), "{lost:?}");
    cluster.site.gate.open();
    let _ = end(worker);
    let other = cluster.lasting_worker("one").start();
    let followed = cluster.follow().run();
    assert_eq!(followed.code, Some(0), "{followed:?}");
    let _ = end(other);
    cluster.assert_complete(&["one"]);
    // What was recorded before the wipe was not asked for again: at most what was in flight, or not recorded.
    assert!(cluster.sent_again() <= 16, "{}", cluster.sent_again());
}

#[test]
fn a_frozen_worker_loses_its_jobs_to_another_and_says_nothing_when_it_wakes() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let frozen = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    frozen.signal(Signal::STOP);
    cluster.site.gate.open();
    let other = cluster.worker("two").start();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    frozen.signal(Signal::CONT);
    assert_eq!(other.wait().code, Some(0));
    let woken = end(frozen);
    assert_eq!(woken.code, Some(143), "{woken:?}");
    cluster.assert_complete(&["one", "two"]);
    assert_eq!(cluster.nats.messages("JOBS"), 0);
    assert_eq!(cluster.nats.results(), 0);
    assert!(cluster.sent_again() <= 4, "{}", cluster.sent_again());
}

#[test]
fn a_broker_that_is_frozen_for_longer_than_the_lease_loses_nothing() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let workers = ["one", "two"].map(|name| cluster.lasting_worker(name).start());
    let following = cluster.follow().start();
    in_flight(&cluster, 8);
    cluster.nats.signal(Signal::STOP);
    std::thread::sleep(std::time::Duration::from_secs(4));
    cluster.nats.signal(Signal::CONT);
    cluster.site.gate.open();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    for worker in workers {
        assert_eq!(end(worker).code, Some(143));
    }
    cluster.assert_complete(&["one", "two"]);
    assert!(cluster.sent_again() <= 8, "{}", cluster.sent_again());
}

#[test]
fn connections_to_the_broker_that_are_reset_or_held_lose_nothing() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let proxy = CuttingProxy::before(cluster.nats.port());
    let url = proxy.origin().replace("http", "nats");
    let run = cluster
        .site
        .visit(&cluster.world, "work")
        .args(["--queue", &url, "-d", "one"]);
    let cut = run.args(["--json", "-j", "4", "--no-config"]).start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    // Each connection so far has brought more, and is cut by the next byte.
    proxy.cut_after(1);
    cluster.site.gate.admit(8);
    until("some results, by another connection", || {
        proxy.cut_after(usize::MAX);
        (following.stdout().matches("\"saved\"").count() >= 4).then_some(())
    });
    in_flight(&cluster, 4);
    // For longer than the lease: another worker gets the jobs.
    proxy.hold(true);
    let other = cluster.lasting_worker("two").start();
    cluster.site.gate.open();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 40),
        "{followed:?}"
    );
    proxy.hold(false);
    for worker in [cut, other] {
        assert_eq!(end(worker).code, Some(143));
    }
    cluster.assert_complete(&["one", "two"]);
    assert_eq!(cluster.nats.messages("JOBS"), 0);
    assert!(cluster.sent_again() <= 12, "{}", cluster.sent_again());
}

#[test]
fn two_coordinators_of_one_site_fetch_each_image_once() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let worker = cluster.lasting_worker("one").start();
    let both = ["walls", "others"].map(|folder| {
        let run = cluster
            .coordinator("scan")
            .args(["--follow", "--json", "-d", folder]);
        run.start()
    });
    let mut saved = 0;
    for ended in both.map(Running::wait) {
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let sum = ended.sum();
        assert_eq!(count(&sum, "saved") + count(&sum, "skipped"), 40, "{sum}");
        saved += count(&sum, "saved");
    }
    assert_eq!(saved, 40);
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
    assert_eq!(cluster.site.sent(), cluster.site.originals());
}

#[test]
fn jobs_that_are_lost_end_the_run_though_another_collection_has_jobs() {
    let cluster = Cluster::new(Site::open(8));
    let following = cluster.follow().start();
    until("all jobs to be queued", || {
        (cluster.nats.messages("JOBS") == 8).then_some(())
    });
    let [host] = &cluster.nats.hosts()[..] else {
        panic!("one host")
    };
    let demo = cluster.world.wallhaul().args(["scan", "demo", "-p", "1"]);
    let demo = demo.args(["--queue", &cluster.nats.url(), "--lease", "2s"]);
    let demo = demo.args(["-d", "demo", "--no-config"]).run();
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let others = cluster.nats.messages("JOBS") - 8;
    assert!(others > 0);
    let subject = format!(r#"{{"filter":"wallhaul.job.{host}"}}"#);
    let purged = cluster.nats.ask("$JS.API.STREAM.PURGE.JOBS", &subject);
    assert_eq!(purged["purged"], 8, "{purged}");
    let lost = following.wait();
    assert_eq!(lost.code, Some(6), "{lost:?}");
    assert_eq!(cluster.nats.messages("JOBS"), others);
}

#[test]
fn fetch_with_a_queue_ends_when_its_own_workers_cannot_go_on() {
    let cluster = Cluster::new(Site::closed(IMAGES, Site::IMAGES));
    let small = ["-d", "walls", "--max-queued", "2"];
    let queued = cluster
        .coordinator("scan")
        .args(small)
        .args(["--max-downloads", "1"])
        .run();
    assert_eq!(queued.code, Some(0), "{queued:?}");
    // It has the folder, which takes one worker at a time.
    let holder = cluster
        .coordinator("work")
        .args(["-d", "walls", "-j", "1"])
        .start();
    in_flight(&cluster, 1);
    // The queue is full, and nobody makes room in it.
    let ended = cluster.coordinator("fetch").args(small).run();
    assert_eq!(ended.code, Some(5), "{ended:?}");
    assert!(ended.stderr.contains("another run"), "{ended:?}");
    assert_eq!(cluster.nats.messages("JOBS"), 2);
    drop(holder);
}
