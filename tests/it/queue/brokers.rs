//! How brokers are reached, and what is said where they cannot be used.

use super::*;
use crate::support::nats::{NEWEST, OLDER};

fn scan(world: &Sandbox, arguments: &[&str]) -> ProgramOutput {
    let run = world
        .wallhaul()
        .args(["scan", "demo", "-d", "walls", "--no-config"]);
    run.args(arguments).run()
}

#[test]
fn a_broker_that_is_not_there_is_exit_6() {
    let world = Sandbox::new();
    for command in ["scan", "work", "fetch"] {
        let run = world
            .wallhaul()
            .args([command, "--queue", "nats://127.0.0.1:1", "--no-config"]);
        let refused = run.args(["-d", "walls"]).run();
        assert_eq!(refused.code, Some(6), "{refused:?}");
        assert!(refused.stderr.contains("nats://127.0.0.1:1"), "{refused:?}");
    }
    for arguments in [["queue", "status"], ["queue", "dead"]] {
        let refused = world
            .wallhaul()
            .args(arguments)
            .args(["--queue", "nats://127.0.0.1:1"])
            .run();
        assert_eq!(refused.code, Some(6), "{refused:?}");
    }
}

#[test]
fn a_wrong_secret_is_exit_6_and_no_secret_is_shown() {
    let world = Sandbox::new();
    let nats = Nats::with(NEWEST, "authorization { user: me, password: s3cr3t }");
    let address = |login: &str| nats.url().replace("nats://", &format!("nats://{login}@"));
    let run = |login: &str| {
        let run = world
            .wallhaul()
            .args(["scan", "demo", "-d", "walls", "--no-config"]);
        run.env("WALLHAUL_QUEUE", address(login)).run()
    };
    let refused = run("me:wr0ng");
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(!refused.stderr.contains("wr0ng"), "{refused:?}");
    assert_eq!(scan(&world, &["--queue", &nats.url()]).code, Some(6));
    let welcome = run("me:s3cr3t");
    assert_eq!(welcome.code, Some(0), "{welcome:?}");
    // In an argument every user of the machine could read it.
    let visible = scan(&world, &["--queue", &address("me:s3cr3t")]);
    assert_eq!(visible.code, Some(2), "{visible:?}");
    assert!(
        visible.stderr.contains("WALLHAUL_QUEUE") && !visible.stderr.contains("s3cr3t"),
        "{visible:?}"
    );
}

#[test]
fn a_queue_that_is_not_named_or_not_possible_is_exit_2() {
    let world = Sandbox::new();
    for (arguments, word) in [
        (&["scan", "demo"][..], "WALLHAUL_QUEUE"),
        (&["work"], "WALLHAUL_QUEUE"),
        (&["queue", "status"], "WALLHAUL_QUEUE"),
        (&["work", "--queue", "amqp://127.0.0.1"], "amqp"),
        (
            &["work", "--queue", "nats://127.0.0.1/jobs"],
            "behind the host",
        ),
        (
            &["work", "--queue", "nats://broker.example"],
            "--insecure-broker",
        ),
        (
            &[
                "work",
                "--queue",
                "nats://127.0.0.1",
                "--queue-ca",
                "missing.pem",
            ],
            "missing.pem",
        ),
        (
            &[
                "work",
                "--queue",
                "nats://127.0.0.1",
                "--queue-nkey",
                "missing.nk",
            ],
            "missing.nk",
        ),
        (
            &[
                "work",
                "--queue",
                "nats://127.0.0.1",
                "--queue-key",
                "key.pem",
            ],
            "--queue-certificate",
        ),
    ] {
        let refused = world.wallhaul().args(arguments).args(["--no-config"]).run();
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains(word), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn the_older_server_works_as_well() {
    let cluster = Cluster::around(Site::open(20), Nats::with(OLDER, ""));
    let worker = cluster.lasting_worker("one").start();
    let followed = cluster.follow().run();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 20),
        "{followed:?}"
    );
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
    assert_eq!(cluster.site.sent(), cluster.site.originals());
}

#[test]
fn a_consumer_that_is_deleted_by_hand_is_made_again() {
    let cluster = Cluster::new(Site::closed(20, Site::IMAGES));
    let worker = cluster.lasting_worker("one").start();
    let following = cluster.follow().start();
    in_flight(&cluster, 4);
    let consumers = cluster.nats.ask("$JS.API.CONSUMER.NAMES.JOBS", "");
    let host = consumers["consumers"][0]
        .as_str()
        .expect("a host's consumer")
        .to_owned();
    let deleted = cluster
        .nats
        .ask(&format!("$JS.API.CONSUMER.DELETE.JOBS.{host}"), "");
    assert_eq!(deleted["success"], true, "{deleted}");
    cluster.site.gate.open();
    let followed = following.wait();
    assert_eq!(
        (followed.code, count(&followed.sum(), "saved")),
        (Some(0), 20),
        "{followed:?}"
    );
    assert_eq!(end(worker).code, Some(143));
    cluster.assert_complete(&["one"]);
}
