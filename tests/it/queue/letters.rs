//! Jobs that no worker can do: the dead letters.

use super::*;
use crate::support::fault_server::{Answer, FaultServer};

#[test]
fn images_that_are_gone_or_broken_are_dead_letters_with_their_reasons_and_are_queued_again() {
    let world = Sandbox::new();
    let nats = Nats::start();
    let server = FaultServer::gallery();
    server.on(FaultServer::FAULTY, |_| {
        Answer::head("404 Not Found", &["Content-Length: 0"])
    });
    server.on(FaultServer::GOOD[1], |_| {
        Answer::head("200 OK", &["Content-Length: 12", "Content-Type: image/png"])
            .bytes("not an image")
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
    let queue = |arguments: &[&str]| {
        let run = world.wallhaul().args(["queue"]).args(arguments);
        run.args(["--queue", &nats.url(), "--no-config"]).run()
    };
    let worker = run("work").args(["-d", "one"]).start();
    let follow = || run("scan").args(["--follow", "-d", "walls"]).run();
    let followed = follow();
    let sum = followed.sum();
    assert_eq!(
        (followed.code, count(&sum, "saved"), count(&sum, "failed")),
        (Some(1), 3, 2),
        "{followed:?}"
    );
    let dead = queue(&["dead", "--json"]);
    assert_eq!(dead.code, Some(0), "{dead:?}");
    let mut reasons: Vec<_> = dead
        .objects()
        .iter()
        .map(|letter| letter["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort_unstable();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(
        reasons.iter().any(|reason| reason.contains("404")),
        "{reasons:?}"
    );
    let status = queue(&["status", "--json"]);
    assert_eq!(
        (count(&status.sum(), "jobs"), count(&status.sum(), "dead")),
        (0, 2),
        "{status:?}"
    );
    // Mended, they are fetched by their own letters, and the next run learns of it.
    server.heal();
    let retried = queue(&["retry", "--all"]);
    assert_eq!(
        (retried.code, retried.stderr.as_str()),
        (Some(0), "2 jobs queued again\n")
    );
    until("their results", || (nats.results() == 2).then_some(()));
    assert_eq!(count(&queue(&["status", "--json"]).sum(), "dead"), 0);
    let again = follow();
    let sum = again.sum();
    assert_eq!(
        (again.code, count(&sum, "saved"), count(&sum, "failed")),
        (Some(0), 2, 0),
        "{again:?}"
    );
    assert_eq!(end(worker).code, Some(143));
    assert_eq!(files(&world.work().join("one/simpledesktops")).len(), 5);
}

#[test]
fn poison_messages_are_buried_once_and_the_other_jobs_are_done() {
    let cluster = Cluster::new(Site::open(8));
    let queued = cluster.coordinator("scan").args(["-d", "walls"]).run();
    assert_eq!(queued.code, Some(0), "{queued:?}");
    let consumers = cluster.nats.ask("$JS.API.CONSUMER.NAMES.JOBS", "");
    let host = consumers["consumers"][0]
        .as_str()
        .expect("a host's consumer")
        .to_owned();
    let state = cluster.folder("walls").join(".wallhaul/queue-id");
    let ours = fs::read_to_string(state).unwrap();
    let newer = format!(
        r#"{{"v":1,"collection":"{}","job":{{"v":9}}}}"#,
        ours.trim()
    );
    for poison in ["not json", r#"{"v":99}"#, &newer] {
        let stored = cluster.nats.ask(&format!("wallhaul.job.{host}"), poison);
        assert!(stored["seq"].is_u64(), "{stored}");
    }
    let worker = cluster.lasting_worker("one").start();
    let followed = cluster.follow().run();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 8),
        "{followed:?}"
    );
    until("the poison to be buried", || {
        (cluster.nats.messages("JOBS") == 0).then_some(())
    });
    // A coordinator writes what workers could not read into the dead letters.
    assert_eq!(cluster.follow().run().code, Some(0));
    let dead = cluster.queue(&["dead", "--json"]);
    assert_eq!((dead.code, dead.objects().len()), (Some(0), 3), "{dead:?}");
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
}

#[test]
fn a_site_that_a_worker_does_not_know_is_left_to_others() {
    let cluster = Cluster::new(Site::open(8));
    let own = cluster.world.work().join("own.toml");
    let definition = fs::read_to_string("src/site/shipped/simpledesktops.toml").unwrap();
    fs::write(&own, definition.replace("simpledesktops\"", "mysite\"")).unwrap();
    let scan =
        cluster
            .coordinator("scan")
            .args(["mysite", "--site-file", "own.toml", "-d", "walls"]);
    let following = scan.args(["--follow", "--json"]).start();
    let stranger = cluster.lasting_worker("one").start();
    until("a note", || {
        stranger.stdout().contains("site_unavailable").then_some(())
    });
    assert_eq!(end(stranger).code, Some(143));
    assert!(files(&cluster.world.work().join("one/mysite")).is_empty());
    drop(following);
}

#[test]
fn a_worker_of_a_mirror_goes_on_where_it_was_offered_a_job_of_an_unknown_site() {
    let own = OwnSite::new(1);
    assert_eq!(count(&own.scan().sum(), "queued"), 1);
    let mirror = FaultServer::gallery();
    let run = |command: &str| {
        let run = own.world.wallhaul().args([command, "--base-url"]);
        run.args([&mirror.origin(), "--queue", &own.nats.url()])
            .args(["--lease", "2s", "--json", "--no-config"])
    };
    let worker = run("work").args(["-d", "one"]).start();
    until("a note", || {
        worker.stdout().contains("site_unavailable").then_some(())
    });
    let followed = run("scan").args(["--follow", "-d", "walls"]).run();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 5),
        "{followed:?}"
    );
    assert_eq!(end(worker).code, Some(143));
}

#[test]
fn a_host_whose_consumer_was_deleted_gets_it_from_the_next_scan() {
    let own = OwnSite::new(1);
    assert_eq!(count(&own.scan().sum(), "queued"), 1);
    let hosts = own.nats.hosts();
    let [host] = &hosts[..] else {
        panic!("one host")
    };
    let api = format!("$JS.API.CONSUMER.DELETE.JOBS.{host}");
    assert_eq!(own.nats.ask(&api, "")["success"], true);
    assert_eq!(own.nats.hosts(), [""; 0]);
    assert_eq!(count(&own.scan().sum(), "queued"), 1);
    assert_eq!(own.nats.hosts(), hosts);
}

#[test]
fn removed_jobs_are_found_again_by_the_next_scan() {
    let cluster = Cluster::new(Site::open(8));
    let scan = || {
        cluster
            .coordinator("scan")
            .args(["--json", "-d", "walls"])
            .run()
    };
    assert_eq!(count(&scan().sum(), "queued"), 8);
    let removed = cluster.queue(&["purge", "--all"]);
    assert_eq!(
        (removed.code, removed.stderr.as_str()),
        (Some(0), "8 jobs removed\n")
    );
    assert_eq!(cluster.nats.messages("JOBS"), 0);
    let refused = cluster.queue(&["purge"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

#[test]
fn private_addresses_of_given_urls_are_refused_by_workers() {
    let (world, nats) = (Sandbox::new(), Nats::start());
    let server = FaultServer::gallery();
    let run = |arguments: &[&str]| {
        let run = world.wallhaul().args(arguments);
        run.args(["--queue", &nats.url(), "--json", "--no-config"])
    };
    let worker = run(&["work", "-d", "one"]).start();
    // Whoever queues it has named it; a worker, to whom it comes from another machine, has not.
    let url = format!("{}{}", server.origin(), FaultServer::GOOD[0]);
    let followed = run(&["scan", &url, "--follow", "-d", "walls"]).run();
    assert_eq!(
        (followed.code, count(&followed.sum(), "failed")),
        (Some(1), 1),
        "{followed:?}"
    );
    assert!(followed.stdout.contains("private"), "{followed:?}");
    assert!(server.originals_asked().is_empty());
    assert_eq!(end(worker).code, Some(143));
}

#[test]
fn a_pause_that_would_be_forgotten_is_refused() {
    let world = Sandbox::new();
    let nats = Nats::start();
    let run = world
        .wallhaul()
        .args(["queue", "pause", "cdn.example.com", "1h"]);
    let refused = run.args(["--queue", &nats.url(), "--no-config"]).run();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("120 s"), "{refused:?}");
}

#[test]
fn retry_gives_a_host_that_is_to_be_asked_slowly_one_job_at_a_time() {
    let own = OwnSite::new(1);
    own.server.on("/full/1.png", |_| Answer::status(404));
    let worker = own.worker().start();
    let followed = own.follow().args(["--wait", "50ms"]).run();
    assert_eq!(followed.code, Some(1), "{followed:?}");
    assert_eq!(end(worker).code, Some(143));
    // Without jobs the host has no consumer, so that it is made anew.
    assert_eq!(own.nats.hosts(), [""; 0]);
    let run = own.world.wallhaul().args(["queue", "retry", "--all"]);
    let retried = run.args(["--queue", &own.nats.url(), "--no-config"]).run();
    assert_eq!(retried.stderr, "1 job queued again\n");
    let [host] = &own.nats.hosts()[..] else {
        panic!("one host")
    };
    let info = own
        .nats
        .ask(&format!("$JS.API.CONSUMER.INFO.JOBS.{host}"), "");
    assert_eq!(info["config"]["max_ack_pending"], 1, "{info}");
}
