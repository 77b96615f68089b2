//! Connections that fail, break or stall; DNS, TLS certificates, proxies.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use super::dns::where_it_says;
use super::*;
use crate::support::fault_server::Certificate;

/// The head of an answer that promises more than any image here has.
fn promise() -> Answer {
    Answer::head(
        "200 OK",
        &["Content-Type: image/png", "Content-Length: 100000"],
    )
}

/// What each is called, what happens, and what is said of it.
type Break = (&'static str, fn(&Asked) -> Answer, &'static str);

const BREAKS: [Break; 6] = [
    (
        "RST before the answer",
        |_| Answer::default().reset(),
        "disconnected before responding",
    ),
    (
        "FIN before the answer",
        |_| Answer::default().close(),
        "disconnected before responding",
    ),
    (
        "RST in the head",
        |_| Answer::raw("HTTP/1.1 200 OK\r\nContent-").reset(),
        "disconnected before responding",
    ),
    (
        "FIN in the head",
        |_| Answer::raw("HTTP/1.1 200 OK\r\nContent-").close(),
        "disconnected before responding",
    ),
    (
        "RST in the body",
        |asked| promise().bytes(&asked.shown[..50]).reset(),
        "broke off after 50 of 100000 bytes",
    ),
    (
        "FIN in the body",
        |asked| promise().bytes(&asked.shown[..50]).close(),
        "broke off after 50 of 100000 bytes",
    ),
];

#[test]
fn connection_reset_is_retried() {
    let mut cases = Vec::new();
    for (name, script, says) in BREAKS {
        cases.push(Case::image(name, script).fails(3, &["127.0.0.1:", says, "(3 attempts)"]));
        let once = Case::image(format!("{name}, once"), move |asked| match asked.nth {
            1 => script(asked),
            _ => asked.served(),
        });
        cases.push(once.comes(2));
        cases.push(Case::page(format!("{name} of a page"), script).fails(3, &["127.0.0.1:", says]));
    }
    hold(&cases);
}

#[test]
fn stall_timeout_ends_a_hanging_response_and_retries() {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n";
    let every = Duration::from_millis(50);
    let hangs: [Break; 4] = [
        (
            "no answer",
            |_| Answer::default().hang(),
            "timed out waiting",
        ),
        (
            "half a head",
            |_| Answer::raw(&HEAD[..40]).hang(),
            "timed out waiting",
        ),
        (
            "half a body",
            |asked| promise().bytes(&asked.shown[..50]).hang(),
            "timed out waiting",
        ),
        ("an empty body", |_| promise().hang(), "timed out waiting"),
    ];
    let mut cases = Vec::new();
    for (name, script, says) in hangs {
        cases.push(Case::image(name, script).fails(3, &[says, "(3 attempts)"]));
        cases.push(Case::page(format!("{name} of a page"), script).fails(3, &[says]));
    }
    let slow_body = move |asked: &Asked| promise().drip(asked.shown.repeat(10), every).hang();
    cases.push(
        Case::image("a head byte by byte", move |_| {
            Answer::default().drip(HEAD, every)
        })
        .fails(3, &["waiting"]),
    );
    cases.push(
        Case::image("a body byte by byte", slow_body).fails(3, &["fewer than 100 bytes a second"]),
    );
    cases.push(
        Case::page("a page byte by byte", slow_body).fails(3, &["fewer than 100 bytes a second"]),
    );
    hold(
        &cases
            .into_iter()
            .map(|case| case.with(&["--stall-timeout", "700ms"]))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn stall_timeout_does_not_end_a_slow_but_steady_image() {
    let slowly = |asked: &Asked| {
        let length = format!("Content-Length: {}", asked.shown.len());
        Answer::head("200 OK", &[&length]).drip(asked.shown.to_vec(), Duration::from_millis(20))
    };
    // Longer in all than a server may be silent.
    hold(&[Case::image("slow", slowly).comes(1).with(&[
        "--stall-timeout",
        "2s",
        "--min-speed",
        "1",
    ])]);
}

/// A port of this machine that nobody listens at.
fn dead() -> String {
    // The next process that gets it is not one of ours: each of them asks for any free one.
    format!(
        "127.0.0.1:{}",
        TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port")
            .port()
    )
}

#[test]
fn connection_refused_or_dns_failure_of_an_image_names_the_host() {
    let there = format!("http://{}", dead());
    let refused = |name: &str, args: &[&str], asked| {
        let elsewhere = format!("{there}{}", FaultServer::FAULTY);
        let case = Case::image(name, move |_| Answer::to(302, &elsewhere)).with(args);
        case.fails(asked, &["127.0.0.1:", "cannot connect to", "refused"])
            .at_home(&there)
    };
    let unknown = Case::image("no name", |_| {
        Answer::to(302, "http://nothing.invalid/a.png")
    });
    hold(&[
        refused("refused", &["--robots", "ignore"], 3),
        // It is its robots.txt that is asked for again and again then.
        refused("refused, robots.txt first", &[], 1),
        unknown
            .with(&["--robots", "ignore"])
            .fails(3, &["nothing.invalid", "DNS"])
            .at_home("http://nothing.invalid"),
    ]);
}

#[test]
fn connection_refused_or_dns_failure_of_a_listing_names_the_host() {
    for (origin, says) in [
        (format!("http://{}", dead()), "cannot connect to"),
        ("http://nothing.invalid".to_owned(), "DNS"),
    ] {
        let world = Sandbox::new();
        let ended = fetch_from(world.wallhaul(), &origin).run();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        let host = origin.trim_start_matches("http://");
        assert!(
            ended.stderr.contains(host) && ended.stderr.contains(says),
            "{}",
            ended.stderr
        );
    }
}

/// What is wrong with papers, and what is said of it.
const BAD_PAPERS: [(Certificate, &str); 3] = [
    (
        Certificate::SelfSigned,
        "its certificate is not signed by a trusted authority",
    ),
    (
        Certificate::WrongName,
        "its certificate is for another name",
    ),
    (Certificate::Expired, "its certificate has expired"),
];

#[test]
fn tls_bad_certificate_of_a_listing_is_refused_without_plain_http() {
    for (papers, says) in BAD_PAPERS {
        let (world, rogue) = (Sandbox::new(), FaultServer::secure(papers).with_gallery());
        let authority = world.home().join("authority.pem");
        rogue.keep_authority(&authority);
        let run = || {
            fetch(world.wallhaul(), &rogue)
                .args(["--ca-certificate".as_ref(), authority.as_os_str()])
                .run()
        };
        let ended = run();
        assert_eq!(ended.code, Some(3), "{papers:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(says) && ended.stderr.contains("localhost"),
            "{papers:?}: {}",
            ended.stderr
        );
        assert!(rogue.requests().is_empty(), "{papers:?}");
        assert_eq!(
            rogue.connections(),
            1,
            "{papers:?}: no second try, and none without TLS"
        );
    }
}

#[test]
fn tls_valid_certificate_of_a_listing_is_accepted() {
    let (world, rogue) = (
        Sandbox::new(),
        FaultServer::secure(Certificate::Valid).with_gallery(),
    );
    let authority = world.home().join("authority.pem");
    rogue.keep_authority(&authority);
    let ended = fetch(world.wallhaul(), &rogue)
        .args(["--ca-certificate".as_ref(), authority.as_os_str()])
        .run();
    assert_eq!(
        (ended.code, collection(&world).len()),
        (Some(0), 5),
        "{}",
        ended.stderr
    );
}

#[test]
fn proxy_env_variable_with_a_dead_or_407_proxy_is_named_and_never_bypassed() {
    let dead = dead();
    let proxy = FaultServer::start();
    proxy.everywhere(|_| {
        Answer::whole(
            "407 Who Are You",
            &["Proxy-Authenticate: Basic realm=\"x\""],
            "",
        )
    });
    let [shut, locked] = [format!("http://{dead}"), proxy.origin()];
    let with_password = format!("http://me:secret@{dead}");
    let plain = FaultServer::gallery();
    let secure = FaultServer::secure(Certificate::Valid).with_gallery();
    for (rogue, name, proxy, says) in [
        (&plain, "HTTP_PROXY", &shut, "proxy `"),
        (&plain, "http_proxy", &shut, "proxy"),
        (&plain, "ALL_PROXY", &shut, "proxy"),
        (&plain, "http_proxy", &with_password, "proxy"),
        (&plain, "http_proxy", &locked, "a proxy asks for a password"),
        (&secure, "HTTPS_PROXY", &shut, "proxy"),
        (&secure, "https_proxy", &locked, "proxy"),
    ] {
        let world = Sandbox::new();
        let ended = fetch(world.wallhaul(), rogue).env(name, proxy).run();
        assert_eq!(
            (ended.code, rogue.connections()),
            (Some(3), 0),
            "{name}={proxy}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(says) && !ended.stderr.contains("secret"),
            "{name}={proxy}: {}",
            ended.stderr
        );
        if *proxy == shut {
            assert!(ended.stderr.contains(&dead), "{}", ended.stderr);
        }
    }
    let world = Sandbox::new();
    let past_it = fetch(world.wallhaul(), &plain)
        .env("HTTP_PROXY", &shut)
        .env("NO_PROXY", "127.0.0.1")
        .run();
    assert_eq!(past_it.code, Some(0), "{}", past_it.stderr);
    let world = Sandbox::new();
    assert_eq!(fetch(world.wallhaul(), &plain).run().code, Some(0));
}

#[test]
fn proxy_env_variable_that_cannot_be_used_is_named_before_any_request() {
    let plain = FaultServer::gallery();
    for (name, value) in [
        ("http_proxy", "http://bad host:xx"),
        ("HTTP_PROXY", "ftp://127.0.0.1:21"),
        ("all_proxy", "quic://me:secret@127.0.0.1:1"),
        ("ALL_PROXY", "http://me:sec/secret@127.0.0.1:1"),
        ("https_proxy", "socks6://127.0.0.1:1"),
    ] {
        let world = Sandbox::new();
        let ended = fetch(world.wallhaul(), &plain).env(name, value).run();
        assert_eq!(
            (ended.code, plain.connections()),
            (Some(2), 0),
            "{}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(&format!("`{name}`")) && !ended.stderr.contains("secret"),
            "{}",
            ended.stderr
        );
    }
    let (world, dead) = (Sandbox::new(), dead());
    let in_cgi = fetch(world.wallhaul(), &plain)
        .env("HTTP_PROXY", format!("http://{dead}"))
        .env("REQUEST_METHOD", "GET")
        .run();
    assert_eq!(in_cgi.code, Some(0), "{}", in_cgi.stderr);
    assert!(
        in_cgi.stderr.contains("HTTP_PROXY is ignored"),
        "{}",
        in_cgi.stderr
    );
    for empty in ["http_proxy", "all_proxy", "NO_PROXY"] {
        let world = Sandbox::new();
        assert_eq!(
            fetch(world.wallhaul(), &plain).env(empty, "").run().code,
            Some(0)
        );
    }
}

/// A SOCKS 5 proxy (RFC 1928) that connects every request to `origin`, and keeps what hosts it was
/// asked for. Its threads end with the test's process.
fn socks_proxy(origin: u16) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, keeps) = (client.unwrap(), Arc::clone(&keeps));
            thread::spawn(move || {
                let mut read = |bytes: usize| {
                    let mut buffer = vec![0; bytes];
                    client.read_exact(&mut buffer).map(|()| buffer)
                };
                // A connection that is opened in advance may be closed unused.
                let Ok(greeting) = read(2) else { return };
                read(greeting[1].into()).unwrap();
                client.write_all(b"\x05\x00").unwrap();
                let mut read = |bytes: usize| {
                    let mut buffer = vec![0; bytes];
                    client.read_exact(&mut buffer).map(|()| buffer).unwrap()
                };
                // Version, command, reserved; then the kind of the address: a name, behind its
                // length.
                let head = read(5);
                let rest = read(usize::from(head[4]) + 2);
                keeps.lock().unwrap().push([&head[3..], &rest].concat());
                client.write_all(b"\x05\x00\x00\x01\0\0\0\0\0\0").unwrap();
                let mut server = TcpStream::connect(("127.0.0.1", origin)).unwrap();
                let (mut up, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || io::copy(&mut up, &mut to));
                let _ = io::copy(&mut server, &mut client);
            });
        }
    });
    (port, asked)
}

#[test]
fn socks_proxy_as_gnome_names_it_is_used_and_resolves_the_names() {
    for name in ["all_proxy", "ALL_PROXY", "http_proxy"] {
        let (world, plain) = (Sandbox::new(), FaultServer::gallery());
        let (port, asked) = socks_proxy(plain.port());
        let ended = fetch_from(world.wallhaul(), "http://mirror.test")
            .env(name, format!("socks://127.0.0.1:{port}/"))
            .run();
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        let asked = asked.lock().unwrap();
        // A name (3) of eleven bytes, and port 80.
        assert!(!asked.is_empty(), "{name}");
        assert!(
            asked
                .iter()
                .all(|host| host == b"\x03\x0bmirror.test\0\x50"),
            "{asked:?}"
        );
    }
}

/// The program in a world where names are found in this hosts file first.
fn in_a_world_of_names(world: &Sandbox, hosts: &str) -> Program {
    where_it_says(world, &[("hosts", hosts)], world.wallhaul())
}

#[test]
fn dns_name_with_a_private_address_is_not_contacted() {
    for address in [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "fd00::1",
    ] {
        let names = format!("{address} simpledesktops.com static.simpledesktops.com\n");
        let says = format!("resolves to a private address ({address})");
        let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
        rogue.on(FaultServer::FAULTY, |_| {
            Answer::to(302, "http://static.simpledesktops.com/a.png")
        });
        let ended = fetch(in_a_world_of_names(&world, &names), &rogue).run();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(&says), "{}", ended.stderr);
        assert_kept(&world, &rogue, &FaultServer::GOOD, &ended);

        let world = Sandbox::new();
        let ended = in_a_world_of_names(&world, &names)
            .args(["fetch", "-R", "0"])
            .run();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert!(ended.stderr.contains(&says), "{}", ended.stderr);
    }
}

/// Takes connections at the IPv6 side of `port` until there is room for no more: the next client
/// gets no answer.
fn silent(port: u16) -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let socket = TcpSocket::new_v6().expect("IPv6");
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    socket.bind(address).expect("the port is free there");
    let listener = socket.listen(1).expect("a listener");
    let mut waiting = Vec::new();
    while let Ok(connection) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(connection);
    }
    (listener, waiting)
}

#[test]
fn dns_ipv6_connect_timeout_falls_back_to_ipv4() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let _dead = silent(rogue.port());
    let names = "::1 gallery.test\n127.0.0.1 gallery.test\n";
    let origin = format!("http://gallery.test:{}", rogue.port());
    let begun = Instant::now();
    let program = fetch_from(in_a_world_of_names(&world, names), &origin);
    let ended = program.args(["-R", "0", "--connect-timeout", "60s"]).run();
    assert_eq!(
        (ended.code, collection(&world).len()),
        (Some(0), 5),
        "{}",
        ended.stderr
    );
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "it waited for the dead one"
    );
}

#[test]
fn dns_ipv6_connection_refused_falls_back_to_ipv4() {
    let (world, rogue) = (Sandbox::new(), FaultServer::gallery());
    let names = "::1 gallery.test\n127.0.0.1 gallery.test\n";
    let origin = format!("http://gallery.test:{}", rogue.port());
    let ended = fetch_from(in_a_world_of_names(&world, names), &origin)
        .args(["-R", "0"])
        .run();
    assert_eq!(
        (ended.code, collection(&world).len()),
        (Some(0), 5),
        "{}",
        ended.stderr
    );
}
