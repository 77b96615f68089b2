//! Coordinators and workers where nothing goes wrong.

use super::*;

const IMAGES: usize = 60;

#[test]
fn three_workers_fetch_every_image_once_and_the_ledger_of_the_coordinator_knows_them() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let names = ["one", "two", "three"];
    let workers = names.map(|name| cluster.worker(name).start());
    let followed = cluster.follow().run();
    assert_eq!(followed.code, Some(0), "{followed:?}");
    let sum = followed.sum();
    assert_eq!(
        (
            count(&sum, "found"),
            count(&sum, "saved"),
            count(&sum, "failed")
        ),
        (60, 60, 0)
    );
    let mut saved = 0;
    for worker in workers {
        let ended = worker.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        saved += count(&ended.sum(), "saved");
    }
    assert_eq!(saved, 60);
    cluster.assert_complete(&names);
    assert_eq!(cluster.site.sent(), cluster.site.originals());
    assert_eq!(
        (cluster.nats.messages("JOBS"), cluster.nats.results()),
        (0, 0)
    );
    // The names are those that a run on one machine gives.
    let alone = cluster
        .site
        .fetch(&cluster.world)
        .args(["-d", "alone", "--no-config"])
        .run();
    assert_eq!(alone.code, Some(0), "{alone:?}");
    let of = |folder: PathBuf| files(&folder).into_keys().collect::<Vec<_>>();
    let mut together: Vec<_> = names
        .iter()
        .flat_map(|name| of(cluster.folder(name)))
        .collect();
    together.sort_unstable();
    assert_eq!(together, of(cluster.world.work().join("alone")));
}

#[test]
fn a_second_scan_queues_nothing_that_was_fetched() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let worker = cluster.lasting_worker("one").start();
    assert_eq!(cluster.follow().run().code, Some(0));
    let again = cluster.follow().run();
    assert_eq!(
        (again.code, count(&again.sum(), "already_there")),
        (Some(0), 60)
    );
    assert_eq!(end(worker).code, Some(143));
    assert_eq!(cluster.site.sent(), cluster.site.originals());
}

#[test]
fn scan_leaves_jobs_in_the_queue_and_the_next_one_records_their_results() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let scan = || {
        cluster
            .coordinator("scan")
            .args(["--json", "-d", "walls"])
            .run()
    };
    let queued = scan();
    assert_eq!(
        (queued.code, count(&queued.sum(), "queued")),
        (Some(0), 60),
        "{queued:?}"
    );
    assert_eq!(cluster.nats.messages("JOBS"), 60);
    // What is there is not queued again.
    let again = scan();
    assert_eq!(
        (again.code, count(&again.sum(), "queued")),
        (Some(0), 60),
        "{again:?}"
    );
    assert_eq!(cluster.nats.messages("JOBS"), 60);
    assert_eq!(cluster.worker("one").run().code, Some(0));
    assert_eq!(cluster.nats.results(), 60);
    let recorded = scan();
    let sum = recorded.sum();
    assert_eq!(
        (recorded.code, count(&sum, "queued"), count(&sum, "saved")),
        (Some(0), 0, 60)
    );
    assert_eq!(cluster.nats.messages("JOBS"), 0);
    assert_eq!(cluster.site.sent(), cluster.site.originals());
}

#[test]
fn follow_waits_for_the_jobs_of_an_earlier_scan() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let queued = cluster.coordinator("scan").args(["-d", "walls"]).run();
    assert_eq!(queued.code, Some(0), "{queued:?}");
    let following = cluster.follow().start();
    until("the listing to be read", || {
        following.stdout().contains("listing_ended").then_some(())
    });
    let worker = cluster.worker("one").start();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 60),
        "{followed:?}"
    );
    assert_eq!(worker.wait().code, Some(0));
    assert_eq!(cluster.site.sent(), cluster.site.originals());
}

#[test]
fn fetch_with_a_queue_is_both_halves() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let fetch = || {
        cluster
            .coordinator("fetch")
            .args(["--json", "-d", "walls"])
            .run()
    };
    let fetched = fetch();
    let sum = fetched.sum();
    assert_eq!(
        (fetched.code, count(&sum, "found"), count(&sum, "saved")),
        (Some(0), 60, 60),
        "{fetched:?}"
    );
    cluster.assert_complete(&["walls"]);
    let again = fetch();
    assert_eq!(
        (again.code, count(&again.sum(), "already_there")),
        (Some(0), 60),
        "{again:?}"
    );
    assert_eq!(cluster.site.sent(), cluster.site.originals());
    let verified = cluster.site.visit(&cluster.world, "verify");
    let verified = verified
        .args(["-d", "walls/simpledesktops", "--no-config"])
        .run();
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn the_demo_is_fetched_by_way_of_a_queue() {
    let world = Sandbox::new();
    let nats = Nats::start();
    let run = world.wallhaul().args([
        "fetch",
        "demo",
        "--queue",
        &nats.url(),
        "-d",
        "walls",
        "--json",
    ]);
    let ended = run.run();
    assert_eq!(
        (ended.code, count(&ended.sum(), "saved")),
        (Some(0), 153),
        "{ended:?}"
    );
    assert_eq!(files(&world.work().join("walls/demo")).len(), 153);
}

#[test]
fn hooks_run_on_the_coordinator_and_limits_hold_there() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let worker = cluster.lasting_worker("one").start();
    let hook = r#"sh -c 'echo "$1" >> saved' sh {name}"#;
    let limited = cluster
        .follow()
        .args(["--max-downloads", "7", "--exec", hook])
        .run();
    let sum = limited.sum();
    assert_eq!(
        (limited.code, count(&sum, "saved")),
        (Some(0), 7),
        "{limited:?}"
    );
    assert_eq!(sum["limit"], "--max-downloads");
    let seen = fs::read_to_string(cluster.world.work().join("saved")).unwrap();
    assert_eq!(seen.lines().count(), 7);
    assert_eq!(cluster.nats.messages("JOBS"), 0);
    assert_eq!(end(worker).code, Some(143));
    assert_eq!(files(&cluster.folder("one")).len(), 7);
}

#[test]
fn a_coordinator_that_is_interrupted_leaves_its_jobs_queued() {
    let cluster = Cluster::new(Site::open(IMAGES));
    let following = cluster.follow().start();
    until("all jobs to be queued", || {
        (cluster.nats.messages("JOBS") == 60).then_some(())
    });
    let ended = end(following);
    assert_eq!(
        (ended.code, count(&ended.sum(), "queued")),
        (Some(143), 60),
        "{ended:?}"
    );
    assert_eq!(cluster.nats.messages("JOBS"), 60);
}
