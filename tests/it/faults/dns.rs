//! DNS: names that are not answered in time, and names with a public and a private address at once.

use std::net::UdpSocket;
use std::time::Instant;

use super::*;
use crate::support::PATIENCE;
use crate::support::fault_server::Certificate;
use crate::support::network_namespace::NetworkNamespace;

/// An address that is public by its number, and our own on an island.
const PUBLIC: &str = "203.0.113.7";

/// The names of the site.
const NAMES: &str = "simpledesktops.com static.simpledesktops.com";

/// Has a program run where these files in `/etc` say this. It takes root to bring that about.
pub(super) fn where_it_says(world: &Sandbox, files: &[(&str, &str)], program: Program) -> Program {
    let script = "set -e; while [ \"$1\" != -- ]; do mount --bind \"$1\" \"/etc/$2\"; shift 2; done; shift; exec \"$@\"";
    let mut above = ["unshare", "--mount", "/bin/sh", "-c", script, "sh"]
        .map(str::to_owned)
        .to_vec();
    for (name, text) in files {
        let file = world.home().join(name);
        fs::write(&file, text).expect("a file for what it says");
        above.extend([
            file.to_str().expect("a plain name").to_owned(),
            (*name).to_owned(),
        ]);
    }
    program.under(above.into_iter().chain(["--".to_owned()]))
}

/// An island whose server of names never says a word.
struct SilentDns {
    island: NetworkNamespace,
    asked: UdpSocket,
}

impl SilentDns {
    fn in_world(world: &Sandbox) -> Self {
        let island = NetworkNamespace::with(world, &[&format!("{PUBLIC}/32")]);
        let asked = island.socket("127.0.0.1:53");
        asked
            .set_nonblocking(true)
            .expect("a socket can be asked without waiting");
        Self { island, asked }
    }

    /// The program there, where the system has so much patience with it.
    fn home_of(&self, world: &Sandbox, patience: &str, hosts: &str) -> Program {
        let servers = format!("nameserver 127.0.0.1\noptions {patience}\n");
        let files = [
            ("resolv.conf", &*servers),
            ("nsswitch.conf", "hosts: files dns\n"),
            ("hosts", hosts),
        ];
        let program = world.wallhaul().env("WALLHAUL_RETRY_WAIT", "1ms");
        self.island.home_of(where_it_says(world, &files, program))
    }

    /// How often it was asked for an address since the last time.
    fn asked(&self) -> usize {
        let mut count = 0;
        while self.asked.recv(&mut [0; 512]).is_ok() {
            count += 1;
        }
        count
    }
}

/// How long the system waits for an answer in all: longer than any test; and what the program waits.
const FOR_EVER: (&str, &str) = ("timeout:30 attempts:5", "700ms");

/// A system that gives up before the program does.
const A_SECOND: (&str, &str) = ("timeout:1 attempts:1", "60s");

#[test]
fn dns_timeout_of_a_listing_is_retried_then_fails() {
    let world = Sandbox::new();
    let silence = SilentDns::in_world(&world);
    // An address of each family is asked for. Who tries again while the system still asks joins it.
    for ((patience, limit), robots, asked) in [
        (FOR_EVER, "obey", 2),
        (FOR_EVER, "ignore", 2),
        (A_SECOND, "ignore", 6),
    ] {
        let begun = Instant::now();
        let program = silence.home_of(&world, patience, "");
        let said = [
            "fetch",
            "-d",
            GOT,
            "-R",
            "2",
            "--connect-timeout",
            limit,
            "--robots",
            robots,
        ];
        let ended = program.args(said).run();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(
            ended
                .stderr
                .contains("DNS lookup of `simpledesktops.com` failed: "),
            "{}",
            ended.stderr
        );
        assert_eq!(silence.asked(), asked, "{patience}, {robots}");
        assert!(
            begun.elapsed() < PATIENCE / 2,
            "{:?}: it waited for the system",
            begun.elapsed()
        );
    }
    let listener = silence.island.listen(&format!("{PUBLIC}:443"));
    let rogue = FaultServer::secure_on_listener(listener, Certificate::Valid).with_gallery();
    let authority = world.home().join("authority.pem");
    rogue.keep_authority(&authority);
    let program = silence.home_of(&world, FOR_EVER.0, &format!("{PUBLIC} {NAMES}\n"));
    let ended = program
        .args(["fetch", "-d", GOT, "--ca-certificate"])
        .args([authority])
        .run();
    assert_eq!(
        (ended.code, collection(&world).len(), silence.asked()),
        (Some(0), 5, 0),
        "{}",
        ended.stderr
    );
}

#[test]
fn dns_timeout_of_an_image_host_is_retried_then_fails() {
    for ((patience, limit), robots, tries) in [
        (FOR_EVER, "ignore", 3),
        (FOR_EVER, "obey", 1),
        (A_SECOND, "ignore", 3),
    ] {
        let world = Sandbox::new();
        let silence = SilentDns::in_world(&world);
        let here = FaultServer::on_listener(silence.island.listen("127.0.0.1:8000")).with_gallery();
        let there =
            FaultServer::on_listener(silence.island.listen(&format!("{PUBLIC}:80"))).with_gallery();
        let elsewhere = format!("http://static.simpledesktops.com{}", FaultServer::FAULTY);
        here.on(FaultServer::FAULTY, move |_| Answer::to(302, &elsewhere));
        let run = |hosts: &str| {
            let program = fetch(silence.home_of(&world, patience, hosts), &here);
            program
                .args(["--connect-timeout", limit, "--robots", robots])
                .run()
        };
        let begun = Instant::now();
        let ended = run("");
        assert!(
            begun.elapsed() < PATIENCE / 2,
            "{:?}: it waited for the system",
            begun.elapsed()
        );
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert_kept(&world, &here, &FaultServer::GOOD, &ended);
        assert_eq!(here.asked(FaultServer::FAULTY).len(), tries, "{robots}");
        let line = ended
            .stderr
            .lines()
            .find(|line| line.starts_with("failed "))
            .unwrap_or_default();
        assert!(
            line.contains("DNS lookup of `static.simpledesktops.com` failed: "),
            "{}",
            ended.stderr
        );
        let due = if tries == 1 {
            "(1 attempt)".to_owned()
        } else {
            format!("({tries} attempts)")
        };
        assert!(line.contains(&due), "{}", ended.stderr);

        let before = here.originals_asked().len();
        let healed = run(&format!("{PUBLIC} {NAMES}\n"));
        assert_eq!(
            (healed.code, there.originals_asked().len()),
            (Some(0), 1),
            "{}",
            healed.stderr
        );
        assert_eq!(
            (collection(&world).len(), here.originals_asked().len()),
            (5, before)
        );
    }
}

#[test]
fn dns_timeout_does_not_delay_other_hosts() {
    const HUNG: usize = 20;
    let world = Sandbox::new();
    let silence = SilentDns::in_world(&world);
    let rogue = FaultServer::on_listener(silence.island.listen("127.0.0.1:8000")).with_gallery();
    let hung = (0..HUNG).map(|number| format!("http://name-{number}.test:8000/a.png\n"));
    let list = hung.collect::<String>() + "http://known.test:8000" + FaultServer::FAULTY + "\n";
    let program = silence.home_of(&world, FOR_EVER.0, "127.0.0.1 known.test\n");
    let said = [
        "fetch",
        "-i",
        "-",
        "-d",
        GOT,
        "-j",
        "32",
        "-R",
        "1",
        "--connect-timeout",
        "2s",
        "--json",
    ];
    let ended = program.stdin(&list).args(said).run();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(
        (
            ended.sum()["failed"].as_u64(),
            ended.sum()["saved"].as_u64()
        ),
        (Some(HUNG as u64), Some(1))
    );
    assert_kept(&world, &rogue, &[FaultServer::FAULTY], &ended);
}

#[test]
fn dns_name_given_by_the_user_allows_only_its_own_port() {
    let (world, here, there) = (
        Sandbox::new(),
        FaultServer::gallery(),
        FaultServer::gallery(),
    );
    let (given, other) = (
        format!("http://known.test:{}", here.port()),
        format!("http://known.test:{}", there.port()),
    );
    here.on(FaultServer::FAULTY, move |_| {
        Answer::to(302, &format!("{other}{}", FaultServer::FAULTY))
    });
    let program = where_it_says(
        &world,
        &[("hosts", "127.0.0.1 known.test\n")],
        world.wallhaul(),
    );
    let ended = program
        .args([
            "fetch",
            "-d",
            GOT,
            &format!("{given}{}", FaultServer::FAULTY),
        ])
        .run();
    assert_eq!(
        (ended.code, there.connections()),
        (Some(1), 0),
        "{}",
        ended.stderr
    );
    assert!(
        ended
            .stderr
            .contains("the user named its host with another scheme or port"),
        "{}",
        ended.stderr
    );
}

/// An island on which each name of the site leads to a public place and to a private one, both of which have the site.
struct MixedDns {
    world: Sandbox,
    island: NetworkNamespace,
    hosts: String,
}

/// The two places at one port.
struct MixedServers {
    public: Option<FaultServer>,
    private: FaultServer,
}

impl MixedDns {
    fn new() -> Self {
        let world = Sandbox::new();
        let island = NetworkNamespace::with(&world, &[&format!("{PUBLIC}/32")]);
        let hosts = format!("127.0.0.1 {NAMES} other.test\n{PUBLIC} {NAMES} other.test\n");
        Self {
            world,
            island,
            hosts,
        }
    }

    fn home_of(&self, program: Program) -> Program {
        self.island.home_of(where_it_says(
            &self.world,
            &[("hosts", &self.hosts)],
            program,
        ))
    }

    /// Both of them, or the private one alone.
    fn places(&self, port: u16, papers: Option<Certificate>, with_public: bool) -> MixedServers {
        let open = |address: &str| {
            let listener = self.island.listen(&format!("{address}:{port}"));
            let rogue = match papers {
                Some(papers) => FaultServer::secure_on_listener(listener, papers),
                None => FaultServer::on_listener(listener),
            };
            let rogue = rogue.with_gallery();
            rogue.list(
                1,
                &FaultServer::GOOD
                    .map(|path| format!("{IMAGES}{path}"))
                    .each_ref()
                    .map(|path| &**path),
            );
            rogue.on("/browse/2/", |_| Answer::status(404));
            rogue
        };
        MixedServers {
            public: with_public.then(|| open(PUBLIC)),
            private: open("127.0.0.1"),
        }
    }
}

#[test]
fn dns_test_setup_returns_the_private_address_first() {
    let crossroads = MixedDns::new();
    let script = "import socket, sys\n\
                  for found in socket.getaddrinfo(sys.argv[1], 80, type=socket.SOCK_STREAM): print(found[4][0])";
    for name in NAMES.split(' ') {
        let program = crossroads
            .world
            .program("python3")
            .args(["-IS", "-c", script, name]);
        let ended = crossroads.home_of(program).run();
        assert_eq!(
            ended.stdout,
            format!("127.0.0.1\n{PUBLIC}\n"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn dns_with_private_and_public_addresses_connects_to_the_public_one_only() {
    // Pages and images go by different clients, and images by another one where HTTP/2 is offered.
    let image = format!("{IMAGES}{}", FaultServer::GOOD[0]);
    let wanted: [(&[&str], usize); 4] = [
        (&[], 4),
        (&["--http2"], 4),
        (&[&image], 1),
        (&[&image, "--http2"], 1),
    ];
    for (args, saved) in wanted {
        for with_public in [true, false] {
            let crossroads = MixedDns::new();
            let places = crossroads.places(443, Some(Certificate::Valid), with_public);
            let authority = crossroads.world.home().join("authority.pem");
            places
                .public
                .as_ref()
                .unwrap_or(&places.private)
                .keep_authority(&authority);
            let program = crossroads.home_of(
                crossroads
                    .world
                    .wallhaul()
                    .args(["fetch", "-d", GOT, "-R", "0"]),
            );
            let program = program.args(["--ca-certificate".as_ref(), authority.as_os_str()]);
            let ended = program.args(args).run();
            let failed = if saved == 1 { 1 } else { 3 };
            let due = if with_public {
                (Some(0), saved)
            } else {
                (Some(failed), 0)
            };
            let got = collection(&crossroads.world).len();
            assert_eq!(
                ((ended.code, got), places.private.connections()),
                (due, 0),
                "{args:?}: {}",
                ended.stderr
            );
            assert!(
                with_public || ended.stderr.contains("cannot connect to "),
                "{}",
                ended.stderr
            );
            if let Some(public) = &places.public {
                assert_kept(
                    &crossroads.world,
                    public,
                    &FaultServer::GOOD[..saved],
                    &ended,
                );
            }
        }
    }
}

#[test]
fn dns_of_a_redirect_with_private_and_public_addresses_connects_to_the_public_one_only() {
    let (listed, given) = ("static.simpledesktops.com", "other.test");
    for (host, with_public) in [
        (listed, true),
        (listed, false),
        (given, true),
        (given, false),
    ] {
        let crossroads = MixedDns::new();
        let places = crossroads.places(80, None, with_public);
        let here =
            FaultServer::on_listener(crossroads.island.listen("127.0.0.1:8000")).with_gallery();
        let elsewhere = format!("http://{host}{}", FaultServer::FAULTY);
        here.on(FaultServer::FAULTY, move |_| Answer::to(302, &elsewhere));
        let program = crossroads.home_of(crossroads.world.wallhaul());
        let ended = if host == listed {
            fetch(program, &here).run()
        } else {
            let image = format!("{}{}", here.origin(), FaultServer::FAULTY);
            program
                .env("WALLHAUL_RETRY_WAIT", "1ms")
                .args(["fetch", "-d", GOT, &image])
                .run()
        };
        assert_eq!(places.private.connections(), 0, "{host}: {}", ended.stderr);
        assert_eq!(
            ended.code,
            Some(i32::from(!with_public)),
            "{host}: {}",
            ended.stderr
        );
        let due = [
            if host == listed {
                &FaultServer::GOOD[..]
            } else {
                &[]
            },
            if with_public {
                &[FaultServer::FAULTY]
            } else {
                &[]
            },
        ];
        assert_kept(&crossroads.world, &here, &due.concat(), &ended);
    }
}
