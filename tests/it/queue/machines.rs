//! Three hosts with addresses of their own, set up as docs/machines.md says: its server's configuration, its units.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::support::fault_server::FaultServer;
use crate::support::nats::NEWEST;
use crate::support::network_namespace::NetworkNamespace;
use crate::support::program::WALLHAUL;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");

/// The address of the broker, and of the site.
const BROKER: &str = "10.77.0.1";

/// Joins two hosts by a cable; the other one reaches the broker by it.
fn connect(broker: &NetworkNamespace, other: &NetworkNamespace, number: u8) {
    let script = format!(
        "set -e
         ip link add cable{number} type veth peer name eth0 netns {other}
         ip address add 10.77.{number}.1/24 dev cable{number}
         ip link set cable{number} up
         nsenter --net=/proc/{other}/ns/net sh -ec '
             ip address add 10.77.{number}.2/24 dev eth0
             ip link set eth0 up
             ip route add {BROKER} via 10.77.{number}.1'",
        other = other.id(),
    );
    let net = format!("--net=/proc/{}/ns/net", broker.id());
    let done = Command::new("nsenter")
        .args([&net, "sh", "-c", &script])
        .output();
    let done = done.expect("nsenter");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// What a unit starts, and the variables that it sets.
fn unit(name: &str) -> (Vec<String>, Vec<(String, String)>) {
    let text = fs::read_to_string(Path::new(DOCS).join("machines").join(name)).unwrap();
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(key));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let [started] = &value("ExecStart=")[..] else {
        panic!("{name} starts one program");
    };
    let arguments = started
        .strip_prefix("/usr/local/bin/wallhaul ")
        .expect("our program");
    let arguments = arguments.split(' ').map(str::to_owned).collect();
    let variables = value("Environment=").into_iter().map(|one| {
        let (name, value) = one.split_once('=').expect("NAME=VALUE");
        (name.to_owned(), value.to_owned())
    });
    (arguments, variables.collect())
}

#[test]
fn three_hosts_by_the_units_and_the_servers_configuration_of_the_docs() {
    let world = Sandbox::new();
    let [broker, gather, first, second] =
        [&[BROKER][..], &[], &[], &[]].map(|own| NetworkNamespace::with(&world, own));
    for (number, other) in (2..).zip([&gather, &first, &second]) {
        connect(&broker, other, number);
    }
    let site = FaultServer::on_listener(broker.listen(&format!("{BROKER}:80"))).with_gallery();
    let papers = rcgen::generate_simple_self_signed([BROKER.to_owned()]).unwrap();
    let folder = world.work();
    fs::write(folder.join("server.pem"), papers.cert.pem()).unwrap();
    fs::write(
        folder.join("server.key"),
        papers.signing_key.serialize_pem(),
    )
    .unwrap();
    let shipped = fs::read_to_string(Path::new(DOCS).join("nats-server.conf")).unwrap();
    let work = folder.display().to_string();
    let settings = shipped
        .replace("/etc/nats", &work)
        .replace("/var/lib/nats", &format!("{work}/store"));
    fs::write(folder.join("nats.conf"), settings).unwrap();
    let server = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/tools/pip")
        .join(NEWEST);
    let server = world
        .program(server.to_str().unwrap())
        .args(["-c", "nats.conf"]);
    let server = server
        .env("WALLHAUL_COORDINATOR_PASSWORD", "c0ordinator")
        .env("WALLHAUL_WORKER_PASSWORD", "w0rker");
    let server = broker.home_of(server).start();
    until("nats-server to be ready", || {
        server.stderr().contains("Server is ready").then_some(())
    });
    let run = |host: &NetworkNamespace, service: &str, role: &str, place: &str| {
        let (arguments, variables) = unit(service);
        let mut run = world.wallhaul().args(arguments);
        for (name, _) in variables {
            run = run.env(&name, folder.join(format!("state-{place}")));
        }
        let run = run
            .env("WALLHAUL_QUEUE", format!("tls://{role}@{BROKER}"))
            .env("WALLHAUL_QUEUE_CA", folder.join("server.pem"))
            .env("WALLHAUL_BASE_URL", format!("http://{BROKER}"))
            .env("WALLHAUL_JSON", "true");
        // A folder for each, in the place of a bucket for all: the state is in it then.
        let run = run
            .without("WALLHAUL_STATE_DIR")
            .env("WALLHAUL_DIRECTORY", folder.join(place));
        host.home_of(run).start()
    };
    let workers = [(&first, "one"), (&second, "two")]
        .map(|(host, place)| run(host, "wallhaul-work.service", "worker:w0rker", place));
    let scan = run(
        &gather,
        "wallhaul-scan.service",
        "coordinator:c0ordinator",
        "walls",
    )
    .wait();
    assert_eq!(
        (scan.code, count(&scan.sum(), "saved")),
        (Some(0), 5),
        "{scan:?}"
    );
    let mut images = 0;
    for (worker, place) in workers.into_iter().zip(["one", "two"]) {
        let ended = end(worker);
        assert_eq!(ended.code, Some(143), "{ended:?}");
        assert!(!ended.stdout.contains("\"event\":\"warned\""), "{ended:?}");
        images += files(&folder.join(place).join("simpledesktops")).len();
    }
    assert_eq!(images, 5);
    assert!(site.originals_asked().values().all(|&times| times == 1));
    // A worker's password is no coordinator's.
    let refused = run(&gather, "wallhaul-scan.service", "worker:w0rker", "others").wait();
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(!refused.stderr.contains("w0rker"), "{refused:?}");
}

#[test]
fn units_of_the_docs_are_valid_and_hardened() {
    let world = Sandbox::new();
    let mut copies = Vec::new();
    for name in [
        "wallhaul-work.service",
        "wallhaul-scan.service",
        "wallhaul-scan.timer",
    ] {
        let text = fs::read_to_string(Path::new(DOCS).join("machines").join(name)).unwrap();
        let copy = world.work().join(name);
        fs::write(&copy, text.replace("/usr/local/bin/wallhaul", WALLHAUL)).unwrap();
        copies.push(copy);
    }
    let verified = world
        .program("systemd-analyze")
        .args(["verify"])
        .args(&copies)
        .run();
    assert_eq!(
        (verified.code, verified.stderr.as_str()),
        (Some(0), ""),
        "{verified:?}"
    );
    for service in &copies[..2] {
        // In tenths: 2.0 of 10.
        let arguments = ["security", "--offline=true", "--threshold=20", "--no-pager"];
        let rated = world
            .program("systemd-analyze")
            .args(arguments)
            .args([service])
            .run();
        assert_eq!(rated.code, Some(0), "{rated:?}");
    }
}
