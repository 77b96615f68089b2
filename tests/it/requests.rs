//! What a site's definition says about its requests: headers, queries and secrets, hosts, error rules, and mirrors with a
//! place for the host.

use std::fs;

use image::ImageFormat;

use crate::support::fault_server::{Answer, Asked, Certificate, FaultServer};
use crate::support::gallery::picture;
use crate::support::program::{Program, ProgramOutput, Sandbox, files};

const SITE_FILE: &str = "own.toml";

/// The collection.
const GOT: &str = "got";

/// As it is, and as it stands in addresses.
const SECRET: [&str; 3] = ["s3cr3t_ke+y", "s3cr3t_ke%2By", "s3cr3t_ke%2by"];

/// A definition of a site at `base` with further lines in `[site]`, and further tables.
fn definition(base: &str, site: &str, tables: &str) -> String {
    format!(
        r#"
[site]
name = "own"
base = "{base}"
{site}
[listing]
kind = "html"
url = "/list/{{page}}"
stop = {{ status = [404] }}
[item]
select = "li"
thumb = "img@src"
[[full]]
rewrite = {{ from = "thumb", regex = '(?<full>.+)\?small', to = '${{full}}' }}
[file]
capture = {{ from = "full", regex = '(?<name>[^/]+)$' }}
name = "{{name}}"
{tables}
"#
    )
}

/// Has a listing page of thumbs with these addresses.
fn list(server: &FaultServer, path: &str, images: &[&str]) {
    let items = images
        .iter()
        .map(|image| format!("<li><img src=\"{image}?small\"></li>"));
    let page = format!("<html><ul>{}</ul></html>", items.collect::<String>());
    server.show(path, page.into_bytes());
}

/// A server that has what was asked at the path without its query.
fn without_query(server: &FaultServer, asked: &Asked) -> Answer {
    let path = asked.path.split('?').next().unwrap_or_default();
    Answer::ok(server.shown(path).to_vec())
}

fn fetch(world: &Sandbox, definition: &str) -> Program {
    fs::write(world.work().join(SITE_FILE), definition).expect("a file for the definition");
    let args = ["fetch", "--no-config", "--site-file", SITE_FILE, "-d", GOT];
    let quick = [
        "--retries",
        "1",
        "--retry-wait",
        "1ms",
        "--robots",
        "ignore",
    ];
    world.wallhaul().args(args).args(quick)
}

/// Asserts that no secret is in any output, nor in any file that the program wrote.
fn assert_no_secret(what: &str, world: &Sandbox, ended: &ProgramOutput) {
    let holds = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        SECRET.iter().any(|secret| text.contains(secret))
    };
    for text in [&ended.stdout, &ended.stderr] {
        assert!(!holds(text.as_bytes()), "{what}: {text}");
    }
    let mut folders = vec![world.work()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            assert!(
                !holds(path.as_os_str().as_encoded_bytes()),
                "{what}: {path:?}"
            );
            if path.is_dir() {
                folders.push(path);
            } else {
                assert!(
                    !holds(&fs::read(&path).expect("a file")),
                    "{what}: {path:?}"
                );
            }
        }
    }
}

const SECRETS: &str = "[secrets]\nkey = { variable = 'OWN_KEY', help = 'ask for it at own.invalid' }\n\
    [request]\nheaders = { X-Key = '{secret.key}' }\nquery = { key = '{secret.key}' }\n\
    image_headers = { X-Image-Key = '{secret.key}' }\nimage_query = { ikey = '{secret.key}' }\nreferer = 'page'\n";

/// One way in which a server fails, with the secret in whatever it can say.
type Failure = fn(&FaultServer, &Asked) -> Answer;

/// The failures, and one run without any.
fn failures() -> [(&'static str, Failure); 14] {
    [
        ("fine", without_query),
        ("404", |_, _| Answer::status(404)),
        ("403", |_, _| {
            Answer::whole("403 s3cr3t_ke+y", &[], SECRET.join(" "))
        }),
        ("500", |_, _| {
            Answer::whole("500 s3cr3t_ke+y", &["Retry-After: 0"], SECRET.join(" "))
        }),
        ("redirect elsewhere", |_, asked| {
            Answer::to(302, &format!("http://s3cr3t_ke+y.invalid{}", asked.path))
        }),
        ("redirect with it", |_, asked| {
            let path = asked.path.split('?').next().unwrap_or_default();
            Answer::to(
                302,
                &format!("{path}?key={}&ikey={}&again=1", SECRET[1], SECRET[0]),
            )
        }),
        ("reset", |_, _| {
            Answer::head("200 OK", &["Content-Length: 900"])
                .bytes("x")
                .reset()
        }),
        ("bad head", |_, _| {
            Answer::raw("HTTP/1.1 200 s3cr3t_ke+y\r\ns3cr3t_ke+y\r\n\r\n").close()
        }),
        ("bad coding", |_, _| {
            Answer::whole("200 OK", &["Content-Encoding: s3cr3t_ke+y"], "x")
        }),
        ("bad body", |_, asked| {
            let link = format!("{}?next&key={}", asked.path, SECRET[1]);
            let text = SECRET.join(" ");
            Answer::ok(format!(
                "<html><li><img src=\"/a.png?small\" title=\"{text}\"><li><img src=\"{link}?small\">\
                 <li><img src=\"/{text}.png?small\"></html>"
            ))
        }),
        ("error by rule", |_, _| {
            Answer::whole("401 No", &[], SECRET.join(" "))
        }),
        ("moved to a path with it", |server, asked| {
            let path = asked.path.split('?').next().unwrap_or_default();
            let is_page = path.starts_with("/list/");
            if path.contains(SECRET[0]) {
                let shown = if is_page { "/list/1" } else { "/a.png" };
                Answer::ok(server.shown(shown).to_vec())
            } else {
                Answer::to(302, &format!("{path}/{}/x.png", SECRET[0]))
            }
        }),
        ("spelt in other ways", |_, _| {
            Answer::whole(
                "200 OK",
                &["Content-Type: text/html; key=s3cr3t_ke+y"],
                "<html><li><img src=\"/a.png?small\" title=\"s3cr3t_ke&#43;y\">\
                 <li><img src=\"/s3cr3t_ke&plus;y.png?small\"></html>",
            )
        }),
        ("named by it", |server, asked| {
            let path = asked.path.split('?').next().unwrap_or_default();
            let name = "Content-Disposition: attachment; filename=\"s3cr3t_ke+y.png\"";
            let etag = "ETag: \"s3cr3t_ke+y\"";
            Answer::whole("200 OK", &[name, etag], server.shown(path).to_vec())
        }),
    ]
}

#[test]
fn a_secret_is_in_no_output_however_the_site_fails() {
    for (what, failure) in failures() {
        for images_alone in [false, true] {
            let world = Sandbox::new();
            let server = std::sync::Arc::new(FaultServer::start());
            server.show("/a.png", picture(1, ImageFormat::Png));
            list(&server, "/list/1", &["/a.png"]);
            let inside = std::sync::Arc::downgrade(&server);
            server.everywhere(move |asked| {
                let server = inside.upgrade().expect("the test goes on");
                let is_page = asked.path.starts_with("/list/1");
                if asked.path.starts_with("/list/") && !is_page {
                    Answer::status(404)
                } else if images_alone && is_page {
                    without_query(&server, asked)
                } else {
                    failure(&server, asked)
                }
            });
            let rule = "[[request.error]]\nstatus = 401\naction = 'stop'\nhint = 'get a key'\n";
            let definition = definition(&server.origin(), "", &format!("{SECRETS}{rule}"));
            let what = format!("{what}, images alone: {images_alone}");
            for args in [&["-vv"][..], &["--json", "-vv", "--names", "header"]] {
                let ended = fetch(&world, &definition)
                    .args(["--secret-env", "OWN_KEY"])
                    .args(args)
                    .env("OWN_KEY", SECRET[0])
                    .run();
                assert!(
                    ended.code.is_some_and(|code| code <= 3),
                    "{what}: {}",
                    ended.stderr
                );
                assert_no_secret(&what, &world, &ended);
            }
            let ledger = world
                .wallhaul()
                .args(["ledger", "list", "--json", "-d", GOT]);
            assert_no_secret(&what, &world, &ledger.run());
            let sent = server.requests();
            let is_sent = |asked: &Asked| {
                let (header, query) = match asked.header("x-key") {
                    Some(_) => ("x-key", format!("key={}", SECRET[1])),
                    None => ("x-image-key", format!("ikey={}", SECRET[1])),
                };
                asked.header(header) == Some(SECRET[0]) && asked.path.ends_with(&query)
            };
            assert!(
                !sent.is_empty() && sent.iter().all(is_sent),
                "{what}: {sent:?}"
            );
        }
    }
}

#[test]
fn a_secret_is_in_no_output_where_nothing_can_be_connected_to() {
    for certificate in [Certificate::SelfSigned, Certificate::WrongName] {
        let (world, server) = (Sandbox::new(), FaultServer::secure(certificate));
        let definition = definition(&server.origin(), "", SECRETS);
        let run = fetch(&world, &definition).args(["--secret-env", "OWN_KEY", "-vv"]);
        let ended = run.env("OWN_KEY", SECRET[0]).run();
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        assert_no_secret("TLS", &world, &ended);
        assert!(server.requests().is_empty());
    }
}

#[test]
fn a_missing_secret_is_a_usage_error_with_its_name_and_help() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let definition = definition(&server.origin(), "", SECRETS);
    let run = || fetch(&world, &definition);
    let refused = |run: Program, words: &[&str]| {
        let ended = run.run();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {}", ended.stderr);
        }
        assert_no_secret("refused", &world, &ended);
    };
    refused(
        run(),
        &["`OWN_KEY`", "`OWN_KEY_FILE`", "ask for it at own.invalid"],
    );
    // A definition may come from anybody, and the variable may hold anything.
    refused(run().env("OWN_KEY", SECRET[0]), &["--secret-env OWN_KEY"]);
    refused(
        run().env("OWN_KEY_FILE", "key.txt"),
        &["--secret-env OWN_KEY"],
    );
    let allowed = || run().args(["--secret-env", "OWN_KEY"]);
    refused(allowed().env("OWN_KEY", "abc"), &["too short"]);
    refused(
        allowed().env("OWN_KEY_FILE", "key.txt"),
        &["key.txt", "OWN_KEY_FILE"],
    );
    assert!(server.requests().is_empty());
}

#[test]
fn a_secret_may_be_in_a_file_and_an_optional_one_may_be_missing() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let outside = tempfile::tempdir().expect("a temporary folder");
    let key = outside.path().join("key");
    fs::write(&key, format!("{}\n", SECRET[0])).expect("a file for the secret");
    let definition = definition(&server.origin(), "", SECRETS);
    let run = fetch(&world, &definition).args(["--secret-env", "OWN_KEY"]);
    run.env("OWN_KEY_FILE", &key).run();
    let asked = server.requests();
    let is_sent = |asked: &Asked| asked.header("x-key") == Some(SECRET[0]);
    assert!(!asked.is_empty() && asked.iter().all(is_sent), "{asked:?}");

    server.heal();
    let optional = definition.replace("OWN_KEY',", "OWN_KEY', optional = true,");
    fetch(&world, &optional).run();
    let asked = server.requests();
    let is_bare = |asked: &Asked| asked.header("x-key").is_none() && !asked.path.contains('?');
    assert!(!asked.is_empty() && asked.iter().all(is_bare), "{asked:?}");
}

#[test]
fn images_on_other_hosts_are_counted_skips_until_any_host_is_allowed() {
    // A definition that ships is imitated by a site file, whose own `any` counts: so the words are tested where
    // definitions are compiled, and here that a private address stays barred.
    let (world, server) = (Sandbox::new(), FaultServer::start());
    let there = FaultServer::start();
    there.show("/b.png", picture(2, ImageFormat::Png));
    server.show("/a.png", picture(1, ImageFormat::Png));
    let elsewhere = format!("{}/b.png", there.origin());
    list(&server, "/list/1", &["/a.png", &elsewhere]);
    let definition = definition(&server.origin(), "image_hosts = ['any']", "");
    let ended = fetch(&world, &definition).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 skipped: address not allowed"));
    assert!(there.requests().is_empty());
    assert_eq!(files(&world.work().join(GOT)).len(), 1);
}

#[test]
fn a_site_that_is_off_needs_the_users_word() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    server.show("/a.png", picture(1, ImageFormat::Png));
    list(&server, "/list/1", &["/a.png"]);
    let definition = definition(&server.origin(), "opt_in = 'its terms forbid it'", "");
    let ended = fetch(&world, &definition).run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .contains("its terms forbid it; `--opt-in own` turns it on")
    );
    assert!(server.requests().is_empty());
    let ended = fetch(&world, &definition).args(["--opt-in", "own"]).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn error_rules_end_a_listing_pass_pages_over_and_skip_images() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    for name in ["/a.png", "/c.png"] {
        server.show(
            name,
            picture(usize::from(name.as_bytes()[1]), ImageFormat::Png),
        );
    }
    list(&server, "/list/1", &["/a.png", "/b.png"]);
    list(&server, "/list/3", &["/c.png"]);
    let json = |status: &str, code: &str| {
        Answer::whole(
            status,
            &[],
            format!("{{\"error\": {{\"code\": \"{code}\"}}}}"),
        )
    };
    server.on("/list/2", move |_| json("500 Hole", "NO_DATA"));
    server.on("/b.png", move |_| json("403 No", "VIDEO"));
    server.on("/list/4", move |_| json("400 No", "TOO_FAR"));
    // The host has no robots.txt, which is no error of its pages.
    let rules = "[[request.error]]\nstatus = 404\ncontains = 'no such'\naction = 'end'\n\
        [[request.error]]\npointer = '/error/code'\nequals = 'NO_DATA'\naction = 'skip'\n\
        [[request.error]]\nstatus = [400, 404]\ncontains = 'TOO_FAR'\naction = 'end'\n\
        [[request.error]]\nstatus = 403\npointer = '/error/code'\nequals = 'VIDEO'\naction = 'skip'\nhint = 'a video'\n";
    let ended = fetch(&world, &definition(&server.origin(), "", rules))
        .args(["--json"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let objects = ended.objects();
    let skip = objects
        .iter()
        .find(|line| line["outcome"] == "skipped")
        .unwrap();
    assert_eq!(skip["reason"], "error_rule");
    assert!(
        skip["detail"]
            .as_str()
            .unwrap()
            .ends_with("answered 403: a video"),
        "{skip}"
    );
    let end = objects
        .iter()
        .find(|line| line["event"] == "listing_ended")
        .unwrap();
    assert_eq!(
        (&end["reason"], &end["status"]),
        (&"no_such_page".into(), &400.into())
    );
    assert_eq!(ended.sum()["saved"], 2, "{}", ended.stdout);
}

#[test]
fn an_error_rule_that_stops_ends_the_run_with_its_hint() {
    let rules = "[[request.error]]\nstatus = 403\ncontains = 'BAD_KEY'\naction = 'stop'\nhint = 'get a key'\n";
    for faulty in ["/list/2", "/b.png"] {
        let (world, server) = (Sandbox::new(), FaultServer::start());
        for name in ["/a.png", "/b.png", "/c.png"] {
            server.show(
                name,
                picture(usize::from(name.as_bytes()[1]), ImageFormat::Png),
            );
        }
        list(&server, "/list/1", &["/a.png", "/b.png", "/c.png"]);
        server.on(faulty, |_| Answer::whole("403 No", &[], "BAD_KEY"));
        let ended = fetch(&world, &definition(&server.origin(), "", rules))
            .args(["-j", "1"])
            .run();
        assert_eq!(ended.code, Some(3), "{faulty}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("answered 403: get a key"),
            "{faulty}: {}",
            ended.stderr
        );
        assert_eq!(server.asked(faulty).len(), 1, "{faulty}: not retried");
        let again = fetch(&world, &definition(&server.origin(), "", ""));
        server.heal();
        assert_eq!(again.run().code, Some(0), "{faulty}");
        assert_eq!(
            files(&world.work().join(GOT)).len(),
            3,
            "{faulty}: the next run continues"
        );
    }
}

#[test]
fn a_mirror_with_a_place_for_the_host_keeps_two_hosts_apart() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    for (index, host) in ["own.invalid", "i1.own.invalid", "i2.own.invalid"]
        .iter()
        .enumerate()
    {
        server.show(
            &format!("/m/{host}/x/1.png"),
            picture(index + 1, ImageFormat::Png),
        );
    }
    let images = [
        "/x/1.png",
        "https://i1.own.invalid/x/1.png",
        "//i2.own.invalid/x/1.png",
    ];
    list(&server, "/m/own.invalid/list/1", &images);
    let tables = "[secrets]\nkey = { variable = 'OWN_KEY' }\n[request]\nquery = { k = '{secret.key}', raw = '1' }\n";
    let definition = definition(
        "https://own.invalid",
        "image_hosts = ['*.own.invalid']",
        tables,
    );
    let definition = definition
        .replace("name = \"{name}\"", "name = \"{host}-{name}\"")
        .replace("(?<name>[^/]+)$", "//(?<host>[^/]+)/.*?(?<name>[^/]+)$");
    let inside = server.shown("/m/own.invalid/list/1").to_vec();
    server.on("/m/own.invalid/list/1?raw=1", move |_| {
        Answer::ok(inside.clone())
    });
    let mirror = format!("{}/m/{{host}}/", server.origin());
    let ended = fetch(&world, &definition)
        .args(["--base-url", &mirror])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names: Vec<_> = files(&world.work().join(GOT)).into_keys().collect();
    assert_eq!(
        names,
        [
            "i1.own.invalid-1.png",
            "i2.own.invalid-1.png",
            "own.invalid-1.png"
        ]
    );
    let ledger = world.wallhaul().args(["ledger", "list", "-d", GOT]).run();
    for address in [
        "https://own.invalid/x/1.png",
        "https://i1.own.invalid/x/1.png",
    ] {
        assert!(ledger.stdout.contains(address), "{}", ledger.stdout);
    }
}

#[test]
fn a_proxy_by_a_name_with_a_private_address_is_used_for_given_addresses() {
    let (world, proxy) = (Sandbox::new(), FaultServer::start());
    proxy.everywhere(|_| Answer::ok(picture(1, ImageFormat::Png)));
    let run = world.wallhaul().args([
        "fetch",
        "--no-config",
        "-d",
        GOT,
        "http://own.invalid/a.png",
    ]);
    let address = format!("http://localhost:{}", proxy.port());
    let ended = run.env("http_proxy", address).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = proxy.requests();
    assert!(
        asked
            .iter()
            .any(|asked| asked.path == "http://own.invalid/a.png"),
        "{asked:?}"
    );
}

#[test]
fn a_recorded_fixture_holds_no_secret() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    server.show("/a.png", picture(1, ImageFormat::Png));
    let quoting = format!(
        "<html><!-- {} --><ul><li><img src=\"/a.png?small&key={}\"></ul></html>",
        SECRET[0], SECRET[1]
    );
    server.show("/list/1", quoting.into_bytes());
    let server = std::sync::Arc::new(server);
    let inside = std::sync::Arc::downgrade(&server);
    server.everywhere(move |asked| {
        let server = inside.upgrade().expect("the test goes on");
        if asked.path.starts_with("/list/1") || asked.path.starts_with("/a.png") {
            without_query(&server, asked)
        } else {
            Answer::status(404)
        }
    });
    let definition = definition(&server.origin(), "", SECRETS).replace(r"\?small", r"\?small.*");
    fs::write(world.work().join(SITE_FILE), definition).expect("a file for the definition");
    let ended = world
        .wallhaul()
        .args(["sites", "record", SITE_FILE, "-d", "fixture"])
        .args(["--no-config", "--secret-env", "OWN_KEY"])
        .env("OWN_KEY", SECRET[0])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(world.work().join("fixture").is_dir());
    assert_no_secret("record", &world, &ended);
}

#[test]
fn a_variable_has_the_users_value_and_an_unknown_one_is_a_usage_error() {
    let (world, server) = (Sandbox::new(), FaultServer::start());
    server.show("/a.png", picture(1, ImageFormat::Png));
    list(&server, "/oak%20trees/1?kind=oak%20trees", &["/a.png"]);
    let tables = "[variables]\nkind = 'any'\n[request]\nquery = { kind = '{kind}' }\n";
    let definition = definition(&server.origin(), "", tables).replace("/list/", "/{kind:segment}/");
    let ended = fetch(&world, &definition)
        .args(["-V", "kind=oak trees"])
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    fs::write(
        world.work().join("config.toml"),
        "variable = ['kind=oak trees']\n",
    )
    .unwrap();
    server.heal();
    fs::write(world.work().join(SITE_FILE), &definition).expect("a file for the definition");
    let args = [
        "fetch",
        "--config",
        "config.toml",
        "--site-file",
        SITE_FILE,
        "-d",
        GOT,
    ];
    let ended = world.wallhaul().args(args).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!server.asked("/oak%20trees/1?kind=oak%20trees").is_empty());
    let ended = fetch(&world, &definition).args(["-V", "knid=oak"]).run();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("did you mean `kind`?"),
        "{}",
        ended.stderr
    );
}
